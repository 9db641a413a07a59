"""The page in a real browser, by mouse and keyboard: the main way through, both languages, and attacks on
it."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.web.project_settings import get
from dimts.web.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

Write = Callable[[Path, int], list[Path]]


def test_from_two_recordings_to_a_voice(
    drive: Any,
    serve: Callable[[], Any],
    open_page: Callable[..., Any],
    workspace: Workspace,
    recordings: Write,
    tmp_path: Path,
) -> None:
    from playwright.sync_api import expect

    server = serve()
    page = open_page(server.address)
    name = page.locator("#project-name textarea, #project-name input")
    name.fill("hana")
    name.press("Enter")
    expect(page.locator("#project input")).to_have_value("hana", timeout=drive.LONG)
    project = workspace.project("hana")

    drive.tab(page, "prepare")
    files = recordings(tmp_path / "mine", 2)
    page.locator("#prepare-files input[type=file]").set_input_files([str(path) for path in files])
    drive.shows(page, "#prepare-status .good", "2")
    page.locator("#prepare-start").focus()
    page.keyboard.press("Enter")
    drive.shows(page, "#job-status .good", "አልቋል")
    drive.shows(page, "#clips-summary", "2")

    page.locator("#clip-after").click()
    text = page.locator("#clip-text textarea")
    expect(text).not_to_have_value("", timeout=drive.LONG)
    text.fill("ገበሬው ማሳውን በበሬ ያርሳል። እናቴ ጣፋጭ ዳቦ ትጋግራለች።")
    page.locator("#clip-save").focus()
    page.keyboard.press("Enter")
    drive.shows(page, "#clips-table", "ዳቦ")
    corrected = [row for row in Manifest.read(project.manifest) if row.by == "person"]
    assert [row.text for row in corrected] == ["ገበሬው ማሳውን በበሬ ያርሳል። እናቴ ጣፋጭ ዳቦ ትጋግራለች።"]
    drive.picture(page, "prepared")

    drive.tab(page, "train")
    steps = page.locator("#set-train-steps input")
    expect(steps).to_have_value("300", timeout=drive.LONG)
    page.wait_for_timeout(1000)  # the fields of a tab that was just opened are filled by then
    steps.fill("50")
    steps.press("Tab")
    page.locator("#train-start").click()
    drive.shows(page, "#job-status .busy", "/ 50")
    assert get(project)["train.steps"] == 50

    # in the middle: the page is loaded again, its server dies, another browser comes
    page.reload()
    drive.shows(page, "#job-status .busy", "/ 50")
    server.process.kill()
    server.process.wait()
    again = serve()
    other = open_page(again.address, locale="en-US")
    drive.shows(other, "#job-status .notice", "Training")
    drive.shows(other, "#job-status .good", "done")
    run = next(project.runs.glob("*/run.json"))
    assert json.loads(run.read_text(encoding="utf-8"))["ended"]["code"] == "train.all_steps_taken"
    drive.tab(other, "train")
    drive.shows(other, "#train-state", "Step 50 of 50")
    drive.picture(other, "trained")

    drive.tab(other, "speak")
    expect(other.locator("#speak-voice input")).to_have_value("hana", timeout=drive.LONG)
    other.locator("#speak-go").click()
    other.wait_for_function("document.querySelector('#speech')?.currentTime > 0.2")
    drive.shows(other, "#speak-status .good", "seconds of speech")
    expect(other.locator("#speak-spectrogram img")).to_be_visible(timeout=drive.LONG)
    with other.expect_download() as download:
        other.locator("#speak-mp3").click()
    assert Path(download.value.path()).stat().st_size > 1000
    drive.picture(other, "spoken")

    drive.tab(other, "compare")
    other.locator("#compare-sentences textarea").fill("ሰላም።\nእንዴት ናችሁ?")
    other.locator("#compare-begin").click()
    for number, button in ((1, "a"), (2, "b")):
        drive.shows(other, "#compare-status", f"Sentence {number} of 2")
        other.locator(f"#compare-better-{button}").click()
    drive.shows(other, "#compare-status", "All sentences are judged")
    drive.picture(other, "compared")


@pytest.mark.parametrize(("locale", "language"), [("am-ET", "am"), ("en-GB", "en"), ("fr-FR", "en")])
@pytest.mark.parametrize("width", [1280, 360])
def test_every_tab_in_both_languages_fits_the_screen(
    drive: Any,
    serve: Callable[[], Any],
    open_page: Callable[..., Any],
    locale: str,
    language: str,
    width: int,
) -> None:
    page = open_page(serve().address, locale, width)
    assert page.url.partition("#")[0].endswith(f"/{language}/")
    assert page.evaluate("document.documentElement.lang") == language
    page.wait_for_timeout(1500)
    seen = []
    for name in ("text", "prepare", "train", "speak", "compare", "storage", "system"):
        drive.tab(page, name)
        page.wait_for_timeout(700)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        seen.append(page.locator(f"#tab-{name}").inner_text())
        drive.picture(page, f"{name}-{language}-{width}")
    if language == "am":
        left = set(
            re.findall(
                r"Drop File Here|Click to Upload|Record\b|Uploading|More tabs|Loading", "\n".join(seen)
            )
        )
        assert left == set()
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll('button, input, textarea, audio')].filter(e => e.offsetParent
        && !(e.ariaLabel || e.labels?.length || e.innerText?.trim() || e.title || e.placeholder))
        .map(e => e.outerHTML)"""
    )
    assert unnamed == []


def test_the_keyboard_reaches_everything(serve: Callable[[], Any], open_page: Callable[..., Any]) -> None:
    page = open_page(serve().address, "en-US")
    page.wait_for_selector("#tabs:not([inert])")  # nothing can be reached before the fields are filled
    reached = set()
    page.locator("header.top a").focus()
    page.evaluate("window.first = document.activeElement")
    for _ in range(300):  # once around, back to where it began
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === window.first"):
            break
        reached.add(page.evaluate("document.activeElement.closest('[id]')?.id || ''"))
    assert {"text-read", "text-ask-all", "fix-save"} <= reached
    page.locator("#text-written textarea").fill("ሰላም")
    page.locator("#text-read").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#text-spoken textarea').value.includes('ሰላም')")


def test_a_take_by_microphone(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], project: Project
) -> None:
    page = open_page(serve().address, "en-US")
    drive.tab(page, "prepare")
    page.get_by_text("Read a script into the microphone").click()
    drive.take(page)
    (sound,) = project.recordings.glob("mic-*.wav")
    assert sound.with_suffix(".txt").read_text(encoding="utf-8").startswith("ልጆቹ")
    from playwright.sync_api import expect

    expect(page.locator("#mic-number input")).to_have_value("2", timeout=drive.LONG)


EVIL = "<img src=x onerror=window.hacked=1><script>window.hacked=2</script>"


def test_no_html_of_people_is_run(
    drive: Any,
    serve: Callable[[], Any],
    open_page: Callable[..., Any],
    workspace: Workspace,
    recordings: Write,
    tmp_path: Path,
) -> None:
    project = workspace.project("abebe")
    project.lexicon.write_text(f"ሰላም\ts ə l a m\t{EVIL}\n", encoding="utf-8")
    sound, text = recordings(tmp_path / "mine", 1)
    evil = sound.with_name("<img src=x onerror=window.hacked=3>.wav")
    sound.rename(evil)
    text.unlink()
    evil.with_suffix(".txt").write_text(f"ሰላም {EVIL}", encoding="utf-8")
    page = open_page(serve().address, "en-US")
    page.locator("#text-written textarea").fill(f"ሰላም {EVIL} ለዓለም")
    page.locator("#text-read").click()
    page.wait_for_function("document.querySelector('#text-spoken textarea').value.length > 3")
    page.locator("#fix-word textarea, #fix-word input").first.fill(EVIL)
    page.locator("#fix-phones textarea, #fix-phones input").first.fill(EVIL)
    page.locator("#fix-save").click()
    page.wait_for_selector("#lexicon-status .bad")  # refused beside the field, the reason shown as text
    name = page.locator("#project-name textarea, #project-name input")
    name.fill(EVIL[:60])
    name.press("Enter")
    drive.tab(page, "prepare")
    page.locator("#prepare-files input[type=file]").set_input_files(
        [str(evil), str(evil.with_suffix(".txt"))]
    )
    drive.shows(page, "#prepare-status .good", "1")
    drive.shows(page, "#prepare-recordings", "onerror")
    page.locator("#prepare-start").click()
    page.wait_for_selector("#job-status .bad, #job-status .good")
    page.wait_for_timeout(1500)
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0
    assert workspace.names() == ["abebe"]


def upload_event(config: dict[str, Any]) -> int:
    """The number of the handler behind the upload of recordings."""
    (files,) = [one["id"] for one in config["components"] if one["props"].get("elem_id") == "prepare-files"]
    return next(one["id"] for one in config["dependencies"] if [files, "upload"] in map(list, one["targets"]))


def test_nothing_leaves_the_folder_and_the_server_stays_up(
    serve: Callable[[], Any], workspace: Workspace, tmp_path: Path
) -> None:
    httpx = pytest.importorskip("httpx")
    secret = tmp_path / "secret.txt"
    secret.write_text("do not read me", encoding="utf-8")
    own = workspace.root / "abebe" / "dimts.toml"
    before = {path for path in tmp_path.rglob("*") if workspace.root not in path.parents}
    server = serve()
    with httpx.Client(base_url=server.address, timeout=60) as client:
        for path in (secret, own, "/etc/passwd", workspace.root / ".web" / ".." / ".." / "secret.txt"):
            for route in (f"/en/gradio_api/file={path}", f"/en/file={path}", f"/en/gradio_api/file/{path}"):
                answer = client.get(route)
                assert answer.status_code in (403, 404), (route, answer.status_code)
                assert "do not read me" not in answer.text
                assert "[train]" not in answer.text
        for route in ("/audio/../../secret.txt", "/audio/%2e%2e%2fsecret.txt", "/en/../../secret.txt"):
            assert client.get(route).status_code in (307, 403, 404, 405)

        # a file that was never uploaded, claimed by a forged call
        config = client.get("/en/config").json()
        for path in (str(secret), "/etc/passwd", str(own)):
            data = {"path": path, "orig_name": "a.txt", "meta": {"_type": "gradio.FileData"}}
            call = {"data": ["abebe", [data]], "fn_index": upload_event(config), "session_hash": "forged"}
            joined = client.post("/en/gradio_api/queue/join", json=call)
            if joined.status_code == 200:
                with client.stream("GET", "/en/gradio_api/queue/data?session_hash=forged") as events:
                    said = next(line for line in events.iter_lines() if "process_completed" in line)
                assert '"success": false' in said or '"success":false' in said
                assert "do not read me" not in said
        assert not any((workspace.root / "abebe" / "recordings").iterdir())

        # too much: with its size said, and without
        big = client.post("/en/gradio_api/upload", files={"files": ("big.wav", b"\0" * 8_000_000)})
        assert big.status_code == 413
        assert "5 MB" in big.text
        place = urlsplit(server.address)
        with socket.create_connection((place.hostname, place.port), timeout=60) as raw:
            raw.sendall(
                b"POST /en/gradio_api/upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 200000000\r\n\r\n"
            )
            assert raw.recv(100).startswith(b"HTTP/1.1 413")

        def pour() -> Iterator[bytes]:
            for _ in range(200):
                yield b"\0" * 1_000_000

        try:
            status = client.post("/en/gradio_api/upload", content=pour()).status_code
        except httpx.HTTPError:
            status = 0  # cut off
        assert status not in range(200, 300)

    def one(number: int) -> int:
        routes = ("/en/", "/am/", "/en/config", "/ready", "/audio/nothing", "/en/gradio_api/file=/etc/passwd")
        return int(httpx.get(server.address + routes[number % len(routes)], timeout=60).status_code)

    with ThreadPoolExecutor(50) as pool:
        codes = list(pool.map(one, range(50)))
    assert set(codes) <= {200, 403, 404}
    assert httpx.get(f"{server.address}/ready").status_code == 200
    assert {path for path in tmp_path.rglob("*") if workspace.root not in path.parents} == before
