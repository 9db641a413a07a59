"""In a real browser: no state of the Amharic page shows Latin letters but names, paths, commands and
phones."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from dimts.base.extras import EXTRAS
from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.text.frontend import Frontend
from dimts.text.g2p.chain import backend_names
from dimts.text.phones import CONSONANTS, VOWELS
from dimts.web.strings import Strings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

TABS = ("text", "prepare", "train", "speak", "compare", "storage", "system")
NAMES = set((Path(__file__).parent / "names_on_the_amharic_page.txt").read_text(encoding="utf-8").split())
"""Names of programs, models, number types, files and licences, which are the same in every language."""
ATTRIBUTES = ("aria-label", "title", "placeholder", "alt")
SHOWN = """() => {
  const out = [], skipped = "script, style, textarea[data-people], audio";
  const seen = (one) => one.checkVisibility({visibilityProperty: true});
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode, element = node.nodeType === 3 ? node.parentElement : node;
    if (element.closest(skipped) || !seen(element)) continue;
    if (node.nodeType === 3) out.push(node.data);
    else {
      for (const name of ATTRIBUTES) out.push(element.getAttribute(name) ?? "");
      if (element.matches("textarea, input:not([type=file], [type=checkbox], [type=radio])"))
        out.push(element.value);
    }
  }
  return out;
}""".replace("ATTRIBUTES", repr(list(ATTRIBUTES)))
_COMMAND = re.compile(r"(pip install \S+|dimts( [a-z-]+)+|https?://\S*|--[a-z-]+)")
_PATH = re.compile(r"\S*[/\\]\S*|\S+\.(wav|txt|tsv|srt|vtt|ass|toml|so|safetensors|pth|json|zip|pt|vocab)")


def latin(texts: list[str], own: Collection[str] = ()) -> dict[str, str]:
    """Words of Latin letters that are neither names nor commands nor paths nor phones, nor a person's `own` →
    where they stand."""
    libraries = {name for extra in EXTRAS.values() for name in extra.libraries}
    allowed = (
        NAMES | libraries | {one.replace("_", "-") for one in libraries} | set(EXTRAS) | set(backend_names())
    )
    phones = {*VOWELS, *CONSONANTS, *own}
    found = {}
    for text in texts:
        for word in _COMMAND.sub(" ", text).split():
            plain = word.strip(".,:;()[]{}«»“”\"'`፣፤።፦=%?!…–—")
            core = re.sub(r"[\u1200-\u139f፣፤።፦]+", " ", plain)
            for part in core.split():
                part = part.strip(".,:;()[]{}\"'`=-")
                if not re.search(r"[A-Za-z]{2}", part) or _PATH.fullmatch(part):
                    continue
                if part in allowed or part.lower() in {one.lower() for one in allowed}:
                    continue
                if part in phones or re.search(r"[^\x00-\x7f]", part):
                    continue  # phones in IPA
                if re.fullmatch(r"[\d.,]+\w*|v?\d[\w.+-]*|(sm_)?\d+", part):
                    continue  # versions and amounts
                found.setdefault(part, text[:200])
    return found


def test_the_words_that_are_found_are_those_of_sentences() -> None:
    assert latin(
        ["ድምፅ (formant)፣ LoRA", "s ə l a m", "pip install 'dimts[ui]'", "recordings/a b.wav", "2.1.0+cpu"]
    ).keys() <= {"b.wav"}
    assert latin(["Traceback here", "ስሕተት፦ wrong"]).keys() == {"Traceback", "here", "wrong"}


def test_no_english_on_the_amharic_page(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], project: Project,
    recordings: Callable[[Path, int], list[Path]],
) -> None:  # fmt: skip
    from dimts.data.prepare import prepare

    recordings(project.recordings, 2)
    prepare(project)
    strings = Strings("am")
    page = open_page(serve().address, "am-ET")
    found: dict[str, dict[str, str]] = {}
    example = page.locator("#text-written textarea").input_value()
    # phones without a sign that only IPA has: sost
    own = {"".join(word.phones) for phrase in Frontend()(example) for word in phrase.words}
    own |= {row.name for row in Manifest.read(project.manifest)}

    def look(state: str) -> None:
        page.wait_for_timeout(800)
        found[state] = latin(page.evaluate(SHOWN), own)
        print(state, found[state])

    page.wait_for_selector("#tabs:not([inert])")
    for name in TABS:
        drive.tab(page, name)
        closed = page.locator(f"#tab-{name} button.label-wrap:not(.open):visible")
        while closed.count():  # one by one: what opens may hold others
            count = closed.count()
            closed.first.click()
            page.wait_for_function(
                "([folds, before]) => [...document.querySelectorAll(folds)].filter((one) => "
                "one.checkVisibility()).length !== before",
                arg=[f"#tab-{name} button.label-wrap:not(.open)", count],
            )
        look(name)
    drive.tab(page, "text")
    page.locator("#text-read").click()
    page.wait_for_function("document.querySelector('#text-spoken textarea').value.length > 3")
    page.locator("#text-ask-all").click()
    page.locator("#text-others").wait_for(state="visible")
    page.locator("#order-text-ask").click()
    drive.shows(page, "#order-text-answer .good", "")
    page.locator("#fix-save").click()
    drive.shows(page, "#lexicon-status .bad", "")
    look("text answered")
    drive.tab(page, "prepare")
    page.locator("#clip-after").click()
    page.wait_for_function("document.querySelector('#clip-text textarea').value.length > 3")
    for button, place in (("mic-keep", "mic-status"), ("class-add", "class-status"),
                          ("fetch-recogniser-go", "fetch-recogniser-status"),
                          ("share-data", "share-data-status")):  # fmt: skip
        page.locator(f"#{button}").click()
        drive.shows(page, f"#{place} .notice", "")
    look("prepare answered")
    drive.tab(page, "train")
    page.locator("#train-forecast").click()
    drive.shows(page, "#job-status .good", strings("jobs.state.done"))
    page.locator("#train-cost").wait_for(state="visible")
    page.locator("#set-train-steps input").fill("-3")
    page.locator("#set-train-steps input").press("Tab")
    page.locator("#set-train-steps.wrong").wait_for()
    look("train forecast")
    drive.tab(page, "speak")
    for button, place in (("phone-go", "phone-code"), ("share-voice", "share-voice-status")):
        page.locator(f"#{button}").click()
        drive.shows(page, f"#{place} .notice", "")
    page.locator("#speak-go").click()
    drive.shows(page, "#speak-status .good", "")
    look("speak answered")
    drive.tab(page, "storage")
    page.locator("#storage-delete").click()
    drive.shows(page, "#storage-status .bad", "")
    look("storage answered")
    drive.tab(page, "system")
    page.locator("#system-look").click()
    drive.shows(page, "#system-table", "ፕሮሰሰር")
    look("system answered")
    page.locator("#expert").click()
    look("home")
    for step in ("record", "check", "train", "speak"):
        page.locator(f"#step-{step}-go").click()
        page.locator("#back").wait_for(state="visible")
        look(f"step {step}")
        page.locator("#back").click()
    assert {state: words for state, words in found.items() if words} == {}
