"""In a real browser: every control writes its own line of dimts.toml; the whole way by keyboard; for all
readers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.web.controls import Control, controls
from dimts.web.project_settings import get
from dimts.web.strings import Strings
from dimts.web.workspace import Workspace
from dimts.xtts.download import XTTS_V2

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

PLACES = {
    "voice": ("prepare", "prepare.voice"),
    "text": ("text", "text.settings"),
    "prepare": ("prepare", "prepare.settings"),
    "train": ("train", ""),
    "train_more": ("train", "train.more"),
    "speak": ("speak", ""),
}
"""Where the controls stand: tab, and the text of the fold they lie in."""


def until(drive: Any, what: Callable[[], bool], about: str = "") -> None:
    """Wait for something outside of the page."""
    end = time.monotonic() + drive.LONG / 1000
    while not what():
        assert time.monotonic() < end, f"it did not come to pass: {about}"
        time.sleep(0.1)


def move(page: Any, one: Control, now: Any) -> Any:
    """Set a control by hand to another value; gives what dimts.toml should say then."""
    place = page.locator("#set-" + one.key.replace(".", "-").replace("_", "-"))
    if one.look == "switch":
        place.locator("input").click()
        return not now
    if one.look in ("choice", "order"):
        options = one.options or ("", XTTS_V2.name)  # train.base: what the project and the machine have
        other = next(option for option in options if option != now and option not in (now or ()))
        labels = Strings("en")
        key = f"choice.{one.key}.{other}"
        label = (
            labels(key)
            if labels.has(key)
            else labels("train.base.missing")
            if one.key == "train.base"
            else other
        )
        place.locator("input").click()
        page.get_by_role("option", name=label, exact=True).first.click()
        if one.look == "order":
            page.keyboard.press("Escape")
        return [*now, other] if one.look == "order" else other
    if one.look in ("whole", "number"):
        value = int(now or 0) + 1 if one.look == "whole" else 0.5 if now in (None, 0.0) else now * 1.25
        wanted = str(value)
    else:
        value = wanted = f"ሌላ {one.key}"
    type_into(page, place, wanted)
    return value


def type_into(page: Any, place: Any, text: str) -> None:
    """Write into a field and leave it; again, as a person would, where the page has put its own text
    meanwhile."""
    field = place.locator("input, textarea").first
    for _ in range(5):
        field.fill(text)
        page.wait_for_timeout(200)
        if field.input_value() == text:
            break
    field.press("Tab")


def test_every_control_changes_its_own_field_and_no_other(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], project: Project, monkeypatch: Any
) -> None:
    page = open_page(serve().address, "en-US")
    strings = Strings("en")
    seen = set()
    for where, (tab, fold) in PLACES.items():
        drive.tab(page, tab)
        if fold:
            page.locator(f"#tab-{tab} button.label-wrap", has_text=strings(fold)).first.click()
        own = [one for one in controls() if one.tab == where]
        # shown, and filled with what the project says
        page.locator("#set-" + own[-1].key.replace(".", "-").replace("_", "-")).wait_for(state="visible")
        page.wait_for_timeout(1500)
        for one in own:
            before = get(project)
            value = move(page, one, before[one.key])
            until(drive, lambda before=before: get(project) != before, one.key)
            after = get(project)
            assert {key for key in before if before[key] != after[key]} == {one.key}
            assert after[one.key] == (pytest.approx(value) if isinstance(value, float) else value), one.key
            seen.add(one.key)
    assert seen == {one.key for one in controls()}
    assert page.locator(".toast-body").count() == 0  # nothing was refused


def reach(page: Any, selector: str, most: int = 250) -> None:
    """Go on by the Tab key until an element inside of `selector` has the focus."""
    for _ in range(most):
        if page.evaluate("(s) => !!document.activeElement?.closest(s)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the keyboard does not get to {selector}")


def choose(drive: Any, page: Any, dialogues: list[Any], selector: str) -> Any:
    """The dialogue for files, opened with Enter; `dialogues` has been listening since the page was opened."""
    reach(page, selector)
    page.keyboard.press("Enter")
    for _ in range(drive.LONG // 200):
        if dialogues:
            return dialogues.pop()
        page.wait_for_timeout(200)
    raise AssertionError(f"Enter opens no dialogue at {selector}")


def open_tab(page: Any, name: str) -> None:
    """Open a tab with the keyboard alone."""
    page.evaluate("document.activeElement?.blur()")
    reach(page, f"button[role=tab][data-tab-id='{name}']")
    page.keyboard.press("Enter")
    page.locator(f"#tab-{name}").wait_for(state="visible")


def test_the_whole_way_by_keyboard_alone(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], workspace: Workspace,
    recordings: Callable[[Path, int], list[Path]], tmp_path: Path,
) -> None:  # fmt: skip
    page = open_page(serve().address, "en-US")
    project = workspace.project("abebe")
    dialogues: list[
        Any
    ] = []  # a dialogue that nobody listens to stays open, and Chromium opens no second one
    page.on("filechooser", lambda dialogue: dialogues.append(dialogue))
    open_tab(page, "prepare")
    chosen = [str(path) for path in recordings(tmp_path / "mine", 2)]
    choose(drive, page, dialogues, "#prepare-files").set_files(chosen)
    drive.shows(page, "#prepare-status .good", "2")
    reach(page, "#prepare-start")
    page.keyboard.press("Enter")
    drive.shows(page, "#job-status .good", "done")
    drive.shows(page, "#clips-summary", "2")
    reach(page, "#clip-after")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#clip-text textarea').value.length > 3")
    reach(page, "#clip-text")
    page.keyboard.press("Control+A")
    page.keyboard.type("ገበሬው ማሳውን በበሬ ያርሳል። እናቴ ጣፋጭ ዳቦ ትጋግራለች።")
    reach(page, "#clip-save")
    page.keyboard.press("Enter")
    drive.shows(page, "#clips-table", "ዳቦ")
    assert [row.text for row in Manifest.read(project.manifest) if row.by == "person"] == [
        "ገበሬው ማሳውን በበሬ ያርሳል። እናቴ ጣፋጭ ዳቦ ትጋግራለች።"
    ]
    open_tab(page, "train")
    page.wait_for_timeout(1500)
    reach(page, "#set-train-steps")
    page.keyboard.press("Control+A")
    page.keyboard.type("50")
    page.keyboard.press("Tab")
    until(drive, lambda: bool(get(project)["train.steps"] == 50))
    reach(page, "#train-start")
    page.keyboard.press("Enter")
    drive.shows(page, "#job-status .busy", "/ 50")
    page.reload()
    drive.shows(page, "#job-status .notice", "Training")
    drive.shows(page, "#job-status .good", "done")
    open_tab(page, "speak")
    page.wait_for_function("document.querySelector('#speak-voice input').value === 'abebe'")
    reach(page, "#speak-go")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#speech')?.currentTime > 0.2")
    reach(page, "#speech")
    drive.shows(page, "#speak-status .good", "seconds of speech")
