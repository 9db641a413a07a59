"""The way to a voice in four steps, with which the page opens: what is done, what is next, one button each.

Record or upload → check → train → speak and share. A step's button opens that part of the page alone; all
tabs and every setting are behind *Expert* (see `style.py`, which shows and hides). A step is done when the
project holds what it makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import gradio as gr

from dimts.base.project import Project
from dimts.web import clips, samples, uploads
from dimts.web.components import TabContext, escaped
from dimts.web.jobs import TRAINING, Jobs
from dimts.web.style import TABS
from dimts.web.voice_names import voice_label
from dimts.web.workspace import voices

FOLLOWING = {"record": "check", "check": "train", "train": "speak"}
"""Step → the one after it."""
_MOST_OWN_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Step:
    """State of one step."""

    name: str
    done: bool
    text: str
    """What is done, in the page's language."""
    following: str
    """What is to be done next."""
    button: str
    minutes: float | None = None
    """Minutes recorded, where the step is about them."""


def steps(page: TabContext, project: Project | None) -> list[Step]:
    """Return the four steps of a project; without one, those that need none."""
    from dimts.data.check import GOOD_MINUTES

    strings = page.strings
    recorded = len(uploads.recordings(project)) if project else 0
    rows = clips.rows(project) if project else []
    kept = [row for row in rows if row.kept]
    found = voices(project) if project else []
    waiting = Jobs(project).waiting() if project else []
    training = any(job.kind in TRAINING for job in waiting)
    minutes = f"{sum(row.seconds for row in kept) / 60:.1f}"
    checked = strings(
        "steps.check.some", kept=len(kept), all=len(rows), minutes=minutes, wanted=f"{GOOD_MINUTES:.0f}"
    )
    states = {
        "record": "some" if recorded else "none",
        "check": "some" if rows else "ready" if recorded else "none",
        "train": "running" if training else "some" if found else "ready" if kept else "none",
        "speak": "own" if found else "built_in",
    }
    texts = {
        "record": strings("steps.record.some", count=recorded) if recorded else strings("steps.record.none"),
        "check": checked if rows else strings("clips.none"),
        "train": strings("steps.train.running") if training
        else strings("steps.train.some", count=len(found)) if found else strings("steps.train.none"),
        "speak": strings("steps.speak.own", name=found[0]) if found else strings("steps.speak.built_in"),
    }  # fmt: skip
    done = {"record": recorded > 0, "check": bool(kept), "train": bool(found), "speak": False}
    measured = {"record": uploads.minutes_of(project) if project else 0.0}
    return [
        Step(name, done[name], texts[name], strings(f"steps.{name}.{states[name]}.next"),
             strings(f"steps.{name}.{states[name]}.go"), measured.get(name))
        for name in TABS
    ]  # fmt: skip


def build(page: TabContext, none: Any) -> dict[str, Any]:
    """Lay the steps out and bind them; `none` is the place that says that there is no project.
    Returns each step's button, to be bound to its tab."""
    shown, buttons = [], {}
    with gr.Column(elem_id="home"):
        with gr.Row(elem_id="steps"):
            for name in TABS:
                with gr.Column(min_width=150, elem_classes=["step"]):
                    shown.append(gr.HTML(elem_id=f"step-{name}"))
                    button = gr.Button(
                        page.strings(f"steps.{name}"), elem_id=f"step-{name}-go", variant="primary"
                    )
                    buttons[name] = button
        status = gr.HTML(elem_id="step-status")
        problem = gr.HTML(elem_id="step-problem")
        heard = gr.HTML(elem_id="samples")
    seen = gr.State(())
    places = [*shown, *buttons.values(), heard, problem, seen]

    def refresh(name: str | None, before: tuple[object, ...]) -> Any:
        project = page.project(name) if name and name in page.workspace.names() else None
        stamp = (name, _stamp(project))
        if stamp == tuple(before):
            return [gr.skip()] * len(places)
        found = steps(page, project)
        following = next((step.name for step in found if not step.done), "")
        return [
            *(_html(page, step, following) for step in found),
            *(gr.update(value=step.button, variant="primary" if step.name == following else "secondary")
              for step in found),
            _samples(page, project),
            "",
            stamp,
        ]  # fmt: skip

    page.refreshed(refresh, [page.picker, seen], places, problem)
    page.quietly(page.picker.change, lambda name: refresh(name, ()), [page.picker], places, errors=problem)
    for name, button in buttons.items():
        _bind(page, name, button, status, none)
    return buttons


def _bind(page: TabContext, name: str, button: Any, status: Any, none: Any) -> None:
    """Let a button open its step: the first one makes a project where there is none, the second prepares
    what was recorded, the last one speaks."""

    def on_record(project: str | None) -> Any:
        found = page.workspace.names()
        if project in found:
            return gr.skip(), gr.skip()
        made = page.workspace.create(_free(page.strings("steps.first_project"), found))
        return gr.update(choices=page.workspace.names(), value=made), ""

    def on_check(project: str | None) -> Any:
        found = page.project(project)
        jobs = Jobs(found)
        if uploads.recordings(found) and not clips.rows(found) and not jobs.waiting():
            jobs.start("prepare")
        return ""

    button.click(None, [], [], js=f"() => dimts.step('{name}')")
    if name == "record":
        page.on(button.click, on_record, [page.picker], [page.picker, none], errors=status)
    elif name == "check":
        page.on(button.click, on_check, [page.picker], [status], errors=status)


def bind(buttons: dict[str, Any], tabs: Any) -> None:
    """Let each button open the tab of its step, also one that has no room in a narrow strip."""
    for name, button in buttons.items():
        button.click(lambda tab=TABS[name]: gr.Tabs(selected=tab), [], [tabs], show_progress="hidden",
                     api_visibility="private")  # fmt: skip


def above(page: TabContext) -> None:
    """The line above an opened step: back to all four, and which step it is."""
    strings = page.strings
    titles = "".join(
        f'<h2 class="of-step" data-step="{name}">{escaped(strings(f"steps.{name}"))}</h2>' for name in TABS
    )
    gr.HTML(
        f'<nav class="way" aria-label="{escaped(strings("steps.way"))}"><button type="button" id="back" '
        f'onclick="dimts.home()">← {escaped(strings("steps.back"))}</button>{titles}</nav>',
        elem_id="way",
    )


def below(page: TabContext) -> None:
    """The button below an opened step that goes on to the next one: as if that one's own were pressed."""
    strings = page.strings
    buttons = "".join(
        f'<button type="button" class="of-step next" data-step="{name}" id="next-{after}" '
        f"onclick=\"document.querySelector('#step-{after}-go').click()\">"
        f"{escaped(strings('steps.go_on', step=strings(f'steps.{after}')))} →</button>"
        for name, after in FOLLOWING.items()
    )
    gr.HTML(f'<nav class="way" aria-label="{escaped(strings("steps.onward"))}">{buttons}</nav>',
            elem_id="onward")  # fmt: skip


def _free(name: str, taken: list[str]) -> str:
    """A name like `name` that no project has."""
    numbers = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(one for one in numbers if one not in taken)


def _html(page: TabContext, step: Step, following: str) -> str:
    state = "done" if step.done else "next" if step.name == following else "later"
    mark = {"done": "✓", "next": "●", "later": "○"}[state]
    title = page.strings(f"steps.{step.name}")
    spoken = page.strings(f"steps.state.{state}")
    ring = "" if step.minutes is None else _ring(page, step.minutes)
    css = f"{state} next-step" if state == "next" else state
    return (
        f'<div class="step-state {css}"><h2><span aria-hidden="true">{mark}</span> {escaped(title)}'
        f'<span class="hidden-text"> ({escaped(spoken)})</span></h2>'
        f'<div class="step-done">{ring}<p>{escaped(step.text)}</p></div>'
        f'<p class="step-next">{escaped(step.following)}</p></div>'
    )


def _ring(page: TabContext, minutes: float) -> str:
    """Minutes recorded, of those that a good voice wants, as a ring with its number inside: SVG."""
    from dimts.data.check import GOOD_MINUTES

    name = page.strings("steps.record.minutes", minutes=f"{minutes:.1f}", wanted=f"{GOOD_MINUTES:.0f}")
    length = 100 * min(minutes / GOOD_MINUTES, 1.0)  # the circle's radius makes its length 100
    shown = f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.1f}"
    return (
        f'<svg class="ring" viewBox="0 0 36 36" role="img" aria-label="{escaped(name)}">'
        '<circle cx="18" cy="18" r="15.915" class="ring-all"/>'
        f'<circle cx="18" cy="18" r="15.915" class="ring-part" stroke-dasharray="{length:.1f} 100"/>'
        f'<text x="18" y="19">{shown}</text>'
        f'<text x="18" y="26" class="ring-of">/ {GOOD_MINUTES:.0f}</text></svg>'
    )


def _samples(page: TabContext, project: Project | None) -> str:
    """A player for a sentence of each voice; nothing is made or sent before one is started."""
    strings = page.strings
    own = voices(project)[:_MOST_OWN_SAMPLES] if project else []
    folder = "" if project is None else f"{quote(page.name_of(project))}/"
    addresses = [(name, f"{folder}{quote(name)}") for name in own]
    addresses += [(name, quote(name)) for name in samples.built_in() if name not in own]
    players = "".join(
        f'<li><span>{escaped(voice_label(strings, name))}</span><audio controls preload="none" '
        f'aria-label="{escaped(strings("steps.sample", name=voice_label(strings, name)))}" '
        f'src="../sample/{address}"></audio></li>'
        for name, address in addresses
    )
    return f"<h2>{escaped(strings('steps.samples'))}</h2><ul>{players}</ul>"


def _stamp(project: Project | None) -> tuple[object, ...]:
    """Return a value that changes when a step may have."""
    if project is None:
        return ()
    times = []
    for path in (project.recordings, project.manifest, project.voices, project.root / "jobs"):
        try:
            times.append(path.stat().st_mtime_ns)
        except OSError:
            times.append(0)
    return tuple(times)
