"""The page that is there at once, while gradio is imported: the four steps, and a text to speak.

It is plain HTML: a person sees what is done and what is next, hears the voices, and lets one speak. A step
that is pressed here is pressed again on gradio's page as soon as that is there. Nothing changes by itself
under the hands of somebody who writes or listens.

    GET  /LANGUAGE/                           the page
    GET  /opening/LANGUAGE?project=NAME       the part of it that is about a project
    POST /speak/LANGUAGE                      speak {"project", "voice", "text"}: the token for /audio/TOKEN
"""

from __future__ import annotations

import threading
from concurrent.futures import Future

from dimts.base.errors import DimtsError, SynthesisError
from dimts.base.project import Project
from dimts.web import samples, synthesis
from dimts.web.markup import escaped, header, notice
from dimts.web.strings import Strings
from dimts.web.style import CSS, ETHIOPIC, ICON, LATIN, PLACE
from dimts.web.synthesis import Speakers, Streams
from dimts.web.workspace import Workspace

EXAMPLE = "ሰላም ለዓለም። ዛሬ እንዴት ናችሁ?"
"""The text in the field before a person has written one."""
_FONTS = ", ".join(f'"{one}"' for one in (*LATIN, *ETHIOPIC))
_LOOK = f"""
:root {{ --background-fill-primary: #fff; --background-fill-secondary: #fafaf9; --body-text-color: #292524;
  --body-text-color-subdued: #57534e; --color-accent: #14795c; --border-color-primary: #e7e5e4;
  --neutral-300: #d6d3d1; --neutral-500: #78716c; --neutral-700: #44403c; --text-sm: .875rem;
  --font: {_FONTS}, sans-serif; color-scheme: light; }}
:root.dark {{ --background-fill-primary: #0c0a09; --background-fill-secondary: #1c1917;
  --body-text-color: #f5f5f4; --body-text-color-subdued: #d6d3d1; --color-accent: #81cfb0;
  --border-color-primary: #44403c; color-scheme: dark; }}
body {{ margin: 0; font: 1rem/1.5 var(--font); color: var(--body-text-color);
  background: var(--background-fill-primary); }}
main {{ max-width: 1060px; margin: 0 auto; padding: 8px 20px 40px; display: grid; gap: 14px; }}
#home {{ display: grid; gap: 14px; }}
.step button, #opening-go, #opening-whole {{ font: inherit; font-weight: 600; padding: 10px 16px;
  cursor: pointer; border-radius: 8px; border: 1px solid var(--neutral-500);
  background: var(--background-fill-primary); color: var(--body-text-color); }}
.step:has(.next-step) button, #opening-go, #opening-whole {{ background: #14795c; color: white;
  border-color: #14795c; }}
.step {{ gap: 10px; }}
button[aria-busy=true] {{ opacity: .7; }}
label {{ display: grid; gap: 4px; }}
textarea, select {{ font: inherit; line-height: 1.6; padding: 8px 10px; border-radius: 8px; width: 100%;
  box-sizing: border-box; border: 1px solid var(--neutral-500); color: inherit;
  background: var(--background-fill-primary); }}
#opening-speak {{ display: grid; gap: 12px; border: 1px solid var(--border-color-primary);
  border-radius: 14px; padding: 16px; }}
[hidden] {{ display: none !important; }}
"""
_SCRIPT = """
{
PLACE
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  const shade = () => root.classList.toggle("dark", dark.matches);
  shade();
  dark.addEventListener("change", shade);
  const one = (id) => document.getElementById(id);
  const project = () => one("home").dataset.project;
  let there = false, touched = false, pressed = "";
  const say = (place, text, kind) => {
    const line = document.createElement("p");
    line.className = `notice ${kind}`;
    line.setAttribute("role", kind === "bad" ? "alert" : "status");
    line.textContent = text;
    one(place).replaceChildren(line);
  };
  const fill = () => {
    const text = one("opening-text"), voice = one("opening-voice"), before = kept(`voice-${project()}`, "");
    text.value = kept("speak-text", text.value);
    if ([...voice.options].some((option) => option.value === before)) voice.value = before;
  };
  const draw = async (name) => {
    const answer = await fetch(`../opening/${root.lang}?project=${encodeURIComponent(name)}`);
    if (answer.ok) { one("home").outerHTML = await answer.text(); fill(); }
  };
  const whole = () => location.reload();
  const speak = async () => {
    touched = true;
    say("opening-said", TEXTS.loading, "busy");
    const asked = {project: project(), voice: one("opening-voice").value, text: one("opening-text").value};
    try {
      const answer = await fetch(`../speak/${root.lang}`, {method: "POST", body: JSON.stringify(asked)});
      const said = await answer.text();
      if (!answer.ok) return say("opening-said", said, "bad");
      const audio = Object.assign(document.createElement("audio"), {id: "speech", controls: true,
        autoplay: true, src: `../audio/${said}`});
      audio.setAttribute("aria-label", TEXTS.player);
      one("opening-said").replaceChildren(audio);
    } catch { say("opening-said", TEXTS.away, "bad"); }
  };
  const press = (name, button) => {
    if (name === "speak") return speak();
    sessionStorage.setItem("dimts-press", pressed = name);
    if (there) return whole();
    button.setAttribute("aria-busy", "true");
    say("opening-status", TEXTS.pressed, "busy");
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.press) press(button.dataset.press, button);
    else if (button?.id === "opening-go") speak();
    else if (button?.id === "opening-whole") whole();
  });
  document.addEventListener("change", (event) => {
    if (event.target.id === "opening-voice") keep(`voice-${project()}`, event.target.value);
    if (event.target.id !== "opening-project") return;
    go({project: event.target.value});
    draw(event.target.value);
  });
  document.addEventListener("input", (event) => {
    if (event.target.id === "opening-text") keep("speak-text", event.target.value);
  });
  for (const kind of ["focusin", "play"]) document.addEventListener(kind, (event) => {
    if (event.target.matches("textarea, select, audio")) touched = true;
  }, true);
  const ask = async () => {
    try {
      const answer = await (await fetch(`../ready/${root.lang}?wait`)).text();
      if (answer === "no") return setTimeout(ask, 200);
      if (answer !== "yes") return say("opening-status", answer, "bad");
      there = true;
      if (pressed || !touched) return whole();
      say("opening-status", TEXTS.ready, "good");
      one("opening-whole").hidden = false;
    } catch { setTimeout(ask, 1000); }
  };
  fill();
  if (place().project && place().project !== project()) draw(place().project);
  ask();
}
"""


def opening_page(strings: Strings, workspace: Workspace, failed: str = "") -> str:
    """Return the HTML of the page; `failed` is why gradio could not be loaded."""
    import json

    texts = {
        "loading": strings("speak.loading"),
        "player": strings("speak.player"),
        "away": strings("opening.away"),
        "pressed": strings("opening.pressed"),
        "ready": strings("opening.ready"),
    }
    coded = json.dumps(texts, ensure_ascii=False).replace("<", "\\u003c")
    script = _SCRIPT.replace("PLACE", PLACE).replace("TEXTS", "texts")
    status = notice(failed, "bad") if failed else notice(strings("access.loading"), "busy")
    return (
        f'<!doctype html><html lang="{strings.language}" data-expert="no" data-view="home"><head>'
        f'<meta charset="utf-8"><title>{escaped(strings("page.title"))}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{ICON}'
        f"<style>{CSS}{_LOOK}</style></head><body><main>{header(strings, expert=False)}"
        f'<div id="opening-status">{status}</div>'
        f'<button type="button" id="opening-whole" hidden>{escaped(strings("opening.whole"))}</button>'
        f"{home(strings, workspace, workspace.first())}</main>"
        f"<script>{{ const texts = {coded}; {script} }}</script></body></html>"
    )


def home(strings: Strings, workspace: Workspace, name: str | None) -> str:
    """Return the part of the page about a project: its steps, what can be spoken, samples of its voices.

    What cannot be read of the project is named in its place. A name that is not there is as none.
    """
    names = workspace.names()
    project = workspace.project(name) if name in names else None
    options = "".join(
        f"<option{' selected' if project is not None and one == name else ''}>{escaped(one)}</option>"
        for one in names
    )
    chooser = (
        f"<label>{escaped(strings('project.choose'))}"
        f'<select id="opening-project" autocomplete="off">{options}</select></label>'
        if len(names) > 1
        else ""
    )
    known = escaped(name if project is not None else "")
    return (
        f'<div id="home" data-project="{known}">{chooser}'
        f"{_steps(strings, project)}{_speaking(strings, project)}"
        f'<section id="samples">{_samples(strings, workspace, project)}</section></div>'
    )


def speak(
    workspace: Workspace, streams: Streams, speakers: Speakers, project: str, voice: str, text: str
) -> str:
    """Speak a text into a stream of audio; returns its token once the first piece is there.

    Raises ProjectError and SynthesisError for names that are not there, otherwise as `synthesis.spoken`.
    """
    found = workspace.project(project) if project else None
    if found is not None:
        synthesis.checked(found, voice)
    elif voice not in samples.built_in():
        raise SynthesisError("web.no_such_voice", name=voice[:60])
    speaker = speakers.get(found, voice, synthesis.settings_of(found))
    token, stream = streams.open(workspace.cache / "speech")
    first: Future[None] = Future()

    def run() -> None:
        try:
            with speakers.turn:
                for _ in synthesis.spoken(speaker, text, stream):
                    if not first.done():
                        first.set_result(None)
        except Exception as error:
            if first.done():
                raise
            first.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    first.result()
    return token


def _steps(strings: Strings, project: Project | None) -> str:
    from dimts.web.steps import following_of, step_html, steps

    try:
        found = steps(strings, project)
    except DimtsError as error:
        return notice(error.message.line(strings.language), "bad")
    following = following_of(found)
    cells = "".join(
        f'<div class="step"><div id="step-{step.name}">{step_html(strings, step, following)}</div>'
        f'<button type="button" id="step-{step.name}-go" data-press="{step.name}">{escaped(step.button)}'
        "</button></div>"
        for step in found
    )
    return f'<div id="steps">{cells}</div>'


def _speaking(strings: Strings, project: Project | None) -> str:
    from dimts.web.voice_names import voice_label

    names = synthesis.choices(project) if project is not None else samples.built_in()
    options = "".join(
        f'<option value="{escaped(one)}">{escaped(voice_label(strings, one))}</option>' for one in names
    )
    return (
        f'<section id="opening-speak" aria-label="{escaped(strings("tab.speak"))}">'
        f'<label>{escaped(strings("speak.text"))}<textarea id="opening-text" rows="3" '
        f'maxlength="{synthesis.MAX_LETTERS}" autocomplete="off">{escaped(EXAMPLE)}</textarea></label>'
        f"<label>{escaped(strings('speak.voice'))}"
        f'<select id="opening-voice" autocomplete="off">{options}</select></label>'
        f'<button type="button" id="opening-go">{escaped(strings("speak.go"))}</button>'
        '<div id="opening-said"></div></section>'
    )


def _samples(strings: Strings, workspace: Workspace, project: Project | None) -> str:
    from dimts.web.steps import samples_html

    return samples_html(strings, workspace, project)
