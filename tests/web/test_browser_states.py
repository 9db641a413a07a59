"""In a real browser: every step, tab and state of the page, in both languages, at three widths, light and
dark: nothing that axe finds (WCAG 2.1, A and AA), nothing wider than the screen, no error in the console."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dimts.base.project import Project
from dimts.data.prepare import prepare
from dimts.web.project_settings import put
from dimts.web.strings import Strings
from dimts.web.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

WIDTHS = (1280, 768, 360)
SCHEMES = ("light", "dark")
STILL = """Promise.all(document.getAnimations().filter((one) => one instanceof CSSTransition)
  .map((one) => one.finished.catch(() => {})))"""
"""JavaScript: wait until no colour is on its way to another."""
ALL_TABS = """![...document.querySelectorAll('.overflow-menu > button')].some((one) =>
  one.checkVisibility({visibilityProperty: true}))"""
"""JavaScript: no tab lies in the menu of a narrow screen any more."""
LOCALES = {"am": "am-ET", "en": "en-US"}


@dataclass
class Viewer:
    """Looks at each state of one page at every width and in both schemes."""

    drive: Any
    page: Any
    language: str
    found: list[str] = field(default_factory=list)

    def look(self, state: str) -> None:
        """Note what is wrong in the present state."""
        page = self.page
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                page.wait_for_function(
                    "(dark) => document.body.classList.contains('dark') === dark", arg=scheme == "dark"
                )
                # what moves is not looked at in the middle of it: its colours are mixed
                page.evaluate(STILL)
                name = f"{state}-{self.language}-{width}-{scheme}"
                self.found += self.drive.violations(page, name)
                if page.evaluate("document.documentElement.scrollWidth") > width:
                    self.found.append(f"{name}: wider than the screen")
                self.drive.picture(page, name)
        page.set_viewport_size({"width": WIDTHS[0], "height": 900})
        page.wait_for_function(ALL_TABS)

    def unfold(self, tab: str) -> None:
        """Open everything that is folded in a tab."""
        folds = f"#tab-{tab} button.label-wrap:not(.open)"
        self.page.evaluate("(folds) => document.querySelectorAll(folds).forEach((one) => one.click())", folds)


@pytest.fixture
def almaz(workspace: Workspace, recordings: Callable[[Path, int], list[Path]]) -> Project:
    """A project with three prepared recordings, for a short training."""
    import shutil

    shutil.rmtree(workspace.root / "abebe")
    project = workspace.project(workspace.create("አልማዝ"))
    recordings(project.recordings, 3)
    prepare(project)
    put(project, {"train.steps": 12, "train.sample_every": 6})
    return project


@pytest.mark.parametrize("language", list(LOCALES))
def test_every_state_is_for_readers_of_all_kinds(
    drive: Any, serve: Callable[..., Any], open_page: Callable[..., Any], almaz: Project, language: str
) -> None:
    page = open_page(serve().address, LOCALES[language], expert=False)
    errors: list[str] = []
    page.on("console", lambda one: errors.append(one.text) if one.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    viewer = Viewer(drive, page, language)
    _steps(viewer)
    page.locator("#expert").click()
    _text(viewer)
    _prepare(viewer)
    _train(viewer, almaz)
    _speak(viewer)
    _others(viewer)
    assert viewer.found == []
    assert errors == []


def _steps(viewer: Viewer) -> None:
    page, drive = viewer.page, viewer.drive
    page.locator("#tabs:not([inert])").wait_for(state="attached")
    drive.shows(page, "#samples", "formant")
    viewer.look("home")
    for step, shown in (
        ("record", "#prepare-files"), ("check", "#clips-table"), ("train", "#train-preset"),
        ("speak", "#speak-status .good"),
    ):  # fmt: skip
        page.locator(f"#step-{step}-go").click()
        page.locator(shown).wait_for()
        viewer.look(f"step-{step}")
        page.locator("#back").click()


def _text(viewer: Viewer) -> None:
    page, drive = viewer.page, viewer.drive
    drive.tab(page, "text")
    viewer.unfold("text")
    page.locator("#text-written textarea").fill("ዛሬ በ3:30 ሰዓት 25 ሰዎች መጡ። Hello")
    page.locator("#text-read").click()
    page.wait_for_function("document.querySelector('#text-spoken textarea').value.length > 5")
    page.locator("#text-ask-all").click()
    page.locator("#text-others").wait_for()
    viewer.look("text")


def _prepare(viewer: Viewer) -> None:
    page, drive = viewer.page, viewer.drive
    drive.tab(page, "prepare")
    viewer.unfold("prepare")
    page.locator("#clip-after").click()
    page.wait_for_function("document.querySelector('#clip-text textarea').value.length > 2")
    page.locator("#pictures-go").click()
    page.locator("#pictures img").first.wait_for()
    viewer.look("prepare")
    page.locator("#clip-text textarea").fill("")
    page.locator("#clip-save").click()
    page.locator("#clip-status .bad").wait_for()
    viewer.look("prepare-refused")


def _train(viewer: Viewer, project: Project) -> None:
    page, drive, strings = viewer.page, viewer.drive, Strings(viewer.language)
    drive.tab(page, "train")
    viewer.unfold("train")
    place = page.locator("#set-train-steps input")
    place.fill("-5")
    place.press("Tab")
    page.locator("#set-train-steps.wrong").wait_for()
    viewer.look("train-refused")
    place.fill("12")
    place.press("Tab")
    page.locator("#set-train-steps:not(.wrong)").wait_for()
    page.locator("#train-start").click()
    page.locator("#job-status progress").wait_for()
    page.locator("#job button.label-wrap").click()
    viewer.look("train-running")
    kind, done, failed = (strings(f"jobs.{one}") for one in ("kind.train", "state.done", "state.failed"))
    drive.shows(page, "#job-status .good", strings("page.pair", name=kind, value=done))
    page.locator("#train-curves").wait_for()
    viewer.look("train-done")
    (project.root / "manifest.jsonl").rename(project.root / "away.jsonl")
    page.locator("#train-new").click()
    drive.shows(page, "#job-status .bad", failed)
    viewer.look("train-failed")
    (project.root / "away.jsonl").rename(project.root / "manifest.jsonl")


def _speak(viewer: Viewer) -> None:
    page, drive = viewer.page, viewer.drive
    drive.tab(page, "speak")
    viewer.unfold("speak")
    page.locator("#speak-go").click()
    page.locator("#speak-status .good").wait_for()
    page.locator("#speak-spectrogram img").wait_for()
    viewer.look("speak")
    page.locator("#speak-text textarea").fill(" ")
    page.locator("#speak-go").click()
    page.locator("#speak-status .bad").wait_for()
    viewer.look("speak-refused")


def _others(viewer: Viewer) -> None:
    page, drive = viewer.page, viewer.drive
    drive.tab(page, "compare")
    viewer.unfold("compare")
    viewer.look("compare")
    drive.tab(page, "storage")
    drive.shows(page, "#storage-table", "line1.wav")
    page.locator("#storage-chosen input").click()
    page.get_by_role("option").first.click()
    page.locator("#storage-frees .notice").wait_for()
    page.locator("#storage-delete").click()
    page.locator("#storage-status .bad").wait_for()
    viewer.look("storage")
    drive.tab(page, "system")
    page.locator("#system-look").click()
    drive.shows(page, "#system-table", "torch")
    viewer.look("system")
