"""In a real browser, as a teacher sees the page: four steps, few actions, nothing of the tabs behind
*Expert*."""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dimts.base.project import Project
from dimts.web import speakers
from dimts.web.project_settings import get, put
from dimts.web.pulse import PULSE_SECONDS
from dimts.web.strings import Strings
from dimts.web.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

Write = Callable[[Path, int], list[Path]]


@pytest.fixture
def nothing(workspace: Workspace, project: Project) -> Workspace:
    """A folder without a project."""
    import shutil

    shutil.rmtree(project.root)
    return workspace


def test_from_nothing_to_a_sentence_in_one_click_and_a_sample_before(
    drive: Any, nothing: Workspace, serve: Callable[[], Any], open_page: Callable[..., Any]
) -> None:
    from playwright.sync_api import expect

    page = open_page(serve().address, "en-US", expert=False)
    drive.shows(page, "#step-speak", "built-in voice")
    expect(page.locator("#tabs")).not_to_be_visible()
    # a sample of a voice, before anything is made
    source = page.locator("#samples audio").first.get_attribute("src")
    answer = page.request.get(urllib.parse.urljoin(page.url.partition("#")[0], source))
    assert answer.status == 200
    assert len(answer.body()) > 5000
    page.locator("#step-speak-go").click()
    page.wait_for_function("document.querySelector('#speech')?.currentTime > 0.2", timeout=drive.LONG)
    drive.shows(page, "#speak-status .good", "seconds of speech")
    assert nothing.names() == []
    page.locator("#back").click()
    expect(page.locator("#step-record-go")).to_be_visible()
    page.go_back()
    expect(page.locator("#speak-text")).to_be_visible(timeout=drive.LONG)


def test_before_gradio_a_sentence_is_spoken_and_what_was_written_stays(
    drive: Any, nothing: Workspace, serve: Callable[..., Any], open_page: Callable[..., Any]
) -> None:
    from playwright.sync_api import expect

    page = open_page(serve(ready=False).address, "en-US", expert=False)
    expect(page.locator("#opening-text")).to_be_visible()  # nobody has waited for gradio
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.locator("#opening-text").fill("ውሃ")
    page.locator("#opening-go").click()
    page.wait_for_function("document.querySelector('#speech')?.currentTime > 0.2", timeout=drive.LONG)
    assert drive.violations(page, "opening") == []
    # whoever writes or listens is not interrupted
    expect(page.locator("#opening-whole")).to_be_visible(timeout=drive.LONG)
    assert page.locator("#opening-text").input_value() == "ውሃ"
    page.locator("#opening-text").fill("ወንዝ")
    page.locator("#opening-whole").click()
    page.locator("#step-speak-go").click()
    expect(page.locator("#speak-text textarea")).to_have_value("ወንዝ", timeout=drive.LONG)
    assert nothing.names() == []


@pytest.mark.parametrize("width", [1280, 360])
def test_a_step_pressed_before_gradio_opens_with_it(
    drive: Any, nothing: Workspace, serve: Callable[..., Any], open_page: Callable[..., Any], width: int
) -> None:
    from playwright.sync_api import expect

    page = open_page(serve(ready=False).address, "am-ET", width, expert=False, color_scheme="dark")
    expect(page.locator("#opening-text")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert drive.violations(page, "opening") == []
    drive.picture(page, f"opening-{width}")
    page.locator("#step-record-go").click()
    drive.shows(page, "#opening-status", Strings("am")("opening.pressed"))
    expect(page.locator("#prepare-files")).to_be_visible(timeout=drive.LONG)
    page.wait_for_function("document.querySelector('#project input')?.value", timeout=drive.LONG)
    assert len(nothing.names()) == 1
    page.locator("#tabs:not([inert])").wait_for()
    page.reload()  # it is pressed once
    page.locator("#tabs:not([inert])").wait_for()
    assert len(nothing.names()) == 1


@pytest.mark.parametrize("width", [1280, 360])
def test_from_two_recordings_to_an_own_voice_in_few_actions(
    drive: Any, nothing: Workspace, serve: Callable[[], Any], open_page: Callable[..., Any],
    recordings: Write, tmp_path: Path, width: int,
) -> None:  # fmt: skip
    files = [str(path) for path in recordings(tmp_path / "mine", 2)]
    page = open_page(serve().address, "am-ET", width, expert=False)
    actions = 0

    def press(selector: str) -> None:
        nonlocal actions
        actions += 1
        page.locator(selector).click()

    page.locator("#step-record .next-step").wait_for()
    press("#step-record-go")
    page.wait_for_function("document.querySelector('#project input')?.value", timeout=drive.LONG)
    page.locator("#tabs:not([inert])").wait_for()
    page.locator("#prepare-files input[type=file]").set_input_files(files)
    actions += 1
    drive.shows(page, "#prepare-status .good", "2")
    press("#next-check")
    drive.shows(page, "#clips-summary", "2")
    press("#next-train")
    project = nothing.project(nothing.names()[0])
    assert get(project)["train.sample_every"] > 0
    put(project, {"train.steps": 12, "train.sample_every": 6})  # the way is tried here, not the voice
    press("#train-start")
    strings = Strings("am")
    trained = strings("page.pair", name=strings("jobs.kind.train"), value=strings("jobs.state.done"))
    drive.shows(page, "#job-status .good", trained)
    press("#next-speak")
    page.wait_for_function(f"document.querySelector('#speak-voice input').value === '{project.root.name}'",
                           timeout=drive.LONG)  # fmt: skip
    drive.shows(page, "#speak-status .good", "")
    page.wait_for_function("document.querySelector('#speech')?.currentTime > 0.1", timeout=drive.LONG)
    assert actions <= 8
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    drive.picture(page, f"steps-spoken-{width}")
    # what was made is passed on
    page.locator("#tab-speak button.label-wrap", has_text=strings("share.voice")).click()
    page.locator("#share-voice").click()
    drive.shows(page, "#share-voice-status .good", f"{project.root.name}.zip")
    with page.expect_download() as download:
        page.locator("#share-voice-file").click()
    assert Path(download.value.path()).stat().st_size > 10_000


def test_the_steps_by_keyboard_and_expert_mode(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], project: Project
) -> None:
    from playwright.sync_api import expect

    page = open_page(serve().address, "en-US", expert=False)
    page.locator("#tabs:not([inert])").wait_for(state="attached")
    page.locator("#step-check-go").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#prepare-start")).to_be_visible(timeout=drive.LONG)
    expect(page.locator("#prepare-files")).not_to_be_visible()
    assert page.evaluate("document.activeElement.id") == "back"
    page.keyboard.press("Enter")
    expect(page.locator("#steps")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "step-check-go"
    page.locator("#step-train-go").click()
    expect(page.locator("#train-preset")).to_be_visible(timeout=drive.LONG)
    expect(page.locator("#set-train-steps")).not_to_be_visible()
    page.reload()
    expect(page.locator("#train-preset")).to_be_visible(timeout=drive.LONG)
    page.locator("#expert").click()
    expect(page.locator("#set-train-steps")).to_be_visible(timeout=drive.LONG)
    assert page.locator("#expert").get_attribute("aria-pressed") == "true"
    drive.tab(page, "system")
    page.reload()
    expect(page.locator("#tab-system")).to_be_visible(timeout=drive.LONG)


def test_presets_the_order_of_backends_and_a_class(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], project: Project
) -> None:
    from playwright.sync_api import expect

    page = open_page(serve().address, "en-US", expert=False)
    page.locator("#tabs:not([inert])").wait_for(state="attached")
    page.locator("#step-train-go").click()
    page.locator("#train-preset label", has_text=Strings("en")("preset.8gb-lora")).click()
    drive.shows(page, "#train-time", "once clips are prepared")
    assert get(project)["train.lora.rank"] == 16
    before = get(project)["text.g2p.backends"]
    page.locator("#order-train button.label-wrap").click()
    page.locator("#order-train-list label").nth(1).click()
    page.locator("#order-train-earlier").click()
    drive.shows(page, "#order-train-answer .good", "ትምህርት")
    assert get(project)["text.g2p.backends"] == [before[1], before[0], *before[2:]]
    # the answer stays while the page looks at the settings again; an order changed elsewhere is shown
    page.wait_for_timeout(3000 * PULSE_SECONDS)
    drive.shows(page, "#order-train-answer .good", "ትምህርት")
    put(project, {"text.g2p.backends": before})
    drive.shows(page, "#order-train-list label", f"1. {before[0]}")
    assert page.locator("#order-train-answer .good").count() == 0

    page.locator("#back").click()
    page.locator("#step-record-go").click()
    page.get_by_text(Strings("en")("prepare.microphone")).click()
    page.locator("#class button.label-wrap").click()
    page.locator("#class-name").locator("input, textarea").first.fill("ሐና")
    page.locator("#class-add").click()
    drive.shows(page, "#class-status .bad", "ሐና")  # no consent, no entry
    page.locator("#class-consent").locator("input, textarea").first.fill("form of 2026-03-01")
    page.locator("#class-add").click()
    drive.shows(page, "#class-status .good", "ሐና")
    expect(page.locator("#class-now input")).to_have_value("ሐና", timeout=drive.LONG)
    drive.take(page)
    (one,) = speakers.speakers(project)
    table = (speakers.folder_of(project, one) / speakers.TABLE).read_text(encoding="utf-8")
    assert "\tሐና\tform of 2026-03-01" in table


def test_things_are_renamed_and_deleted(
    drive: Any,
    serve: Callable[[], Any],
    open_page: Callable[..., Any],
    workspace: Workspace,
    recordings: Write,
) -> None:
    from playwright.sync_api import expect

    project = workspace.project("abebe")
    recordings(project.recordings, 1)
    page = open_page(serve().address, "en-US")
    drive.tab(page, "storage")
    drive.shows(page, "#storage-table", "line1.wav")

    def choose(kind: str) -> None:
        page.locator("#storage-chosen input").click()
        page.get_by_role("option").filter(has_text=kind).first.click()
        drive.shows(page, "#storage-frees .notice", "frees")

    choose("recording")
    page.locator("#storage-delete").click()
    drive.shows(page, "#storage-status .bad", "not confirmed")
    assert (project.recordings / "line1.wav").is_file()
    page.locator("#storage-name").locator("input, textarea").first.fill("first")
    page.locator("#storage-rename").click()
    drive.shows(page, "#storage-status .good", "first")
    assert (project.recordings / "first.txt").is_file()
    choose("recording")
    page.locator("#storage-sure input").check()
    page.locator("#storage-delete").click()
    drive.shows(page, "#storage-status .good", "Deleted")
    assert not list(project.recordings.iterdir())
    choose("project")
    page.locator("#storage-name").locator("input, textarea").first.fill("ሐና")
    page.locator("#storage-rename").click()
    expect(page.locator("#project input")).to_have_value("ሐና", timeout=drive.LONG)
    assert workspace.names() == ["ሐና"]
