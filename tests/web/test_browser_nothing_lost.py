"""In a real browser: nothing that a person wrote is lost or overwritten, and nothing that went wrong is
hidden."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dimts.base.messages import Message
from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.web.jobs import Jobs
from dimts.web.project_settings import get, put
from dimts.web.strings import Strings
from dimts.web.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

STEPS = "#set-train-steps"
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"


def until(drive: Any, what: Callable[[], bool], about: str = "") -> None:
    """Wait for something outside of the page."""
    end = time.monotonic() + drive.LONG / 1000
    while not what():
        assert time.monotonic() < end, f"it did not come to pass: {about}"
        time.sleep(0.1)


def until_page(page: Any, what: Callable[[], bool]) -> None:
    """Wait for something that the browser tells by a callback."""
    end = time.monotonic() + 900
    while not what():
        assert time.monotonic() < end
        page.wait_for_timeout(100)


def value_of(page: Any, place: str) -> str:
    """What a field holds."""
    return str(page.locator(f"{place} input").input_value())


def test_a_button_pressed_at_once_overwrites_no_setting(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], project: Project
) -> None:
    put(project, {"train.steps": 50, "train.lora.rank": 8, "train.seed": 3})
    before = get(project)
    page = open_page(serve().address)
    # as soon as the browser lets it: not waiting for anything else
    drive.tab(page, "train")
    page.locator("#train-forecast").click()
    drive.shows(page, "#train-status .good", "")
    until(drive, lambda: bool(Jobs(project).all()), "the forecast is a job")
    assert get(project) == before
    assert value_of(page, STEPS) == "50"


def test_tabs_and_editors_do_not_undo_each_other(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], project: Project
) -> None:
    from playwright.sync_api import expect

    server = serve()
    one, other = open_page(server.address), open_page(server.address, "en-US")
    for page in (one, other):
        drive.tab(page, "train")
    one.locator(f"{STEPS} input").fill("77")
    one.locator(f"{STEPS} input").press("Tab")
    expect(other.locator(f"{STEPS} input")).to_have_value("77", timeout=drive.LONG)
    drive.shows(other, STEPS, Strings("en")("settings.changed_elsewhere"))
    # the other tab starts something: what it never touched stays
    other.locator("#train-forecast").click()
    until(drive, lambda: bool(Jobs(project).all()))
    assert get(project)["train.steps"] == 77
    # an editor writes the file
    put(project, {"train.steps": 88})
    for page in (one, other):
        expect(page.locator(f"{STEPS} input")).to_have_value("88", timeout=drive.LONG)

    # a wrong number: refused beside its field, in the page's language, until it is mended
    field = one.locator(f"{STEPS} input")
    field.fill("-3")
    field.press("Tab")
    reason = Message("web.value_too_small", key=Strings("am")("control.train.steps"), value=-3, least=0)
    drive.shows(one, f"{STEPS}.wrong", reason.text("am"))
    assert field.input_value() == "-3"
    assert get(project)["train.steps"] == 88
    field.fill("99")
    field.press("Tab")
    expect(one.locator(f"{STEPS}.wrong")).to_have_count(0, timeout=drive.LONG)
    until(drive, lambda: bool(get(project)["train.steps"] == 99))
    assert one.locator(".toast-body").count() == 0


def prepared(project: Project, recordings: Callable[[Path, int], list[Path]]) -> None:
    """Give the project clips."""
    from dimts.data.prepare import prepare

    recordings(project.recordings, 2)
    prepare(project)


def test_a_second_training_is_refused_and_a_waiting_job_can_be_removed(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], project: Project,
    recordings: Callable[[Path, int], list[Path]],
) -> None:  # fmt: skip
    prepared(project, recordings)
    put(project, {"train.steps": 2000})
    server = serve()
    one, other = open_page(server.address), open_page(server.address, "en-US")
    for page in (one, other):
        drive.tab(page, "train")
    one.locator("#train-start").click()
    drive.shows(one, "#train-status .good", "")
    other.locator("#train-start").click()
    drive.shows(other, "#train-status .bad", Message("web.training_already").text("en"))
    assert [job.kind for job in Jobs(project).all()] == ["train"]

    drive.tab(other, "prepare")
    other.locator("#prepare-start").click()
    drive.shows(other, "#job-remove", Strings("en")("jobs.kind.prepare"))
    other.locator("#job-remove").click()
    until(drive, lambda: [job.state for job in Jobs(project).all() if job.kind == "prepare"] == ["stopped"])

    drive.shows(one, "#job-status .busy", "/ 2000")
    one.locator("#train-pause").click()
    until(drive, lambda: all(job.over for job in Jobs(project).all()))
    assert [job.state for job in Jobs(project).all() if job.kind == "train"] == ["stopped"]


def test_a_corrected_text_is_saved_on_leaving_and_undone(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], project: Project,
    recordings: Callable[[Path, int], list[Path]],
) -> None:  # fmt: skip
    from playwright.sync_api import expect

    prepared(project, recordings)
    page = open_page(serve().address)
    drive.tab(page, "prepare")
    drive.shows(page, "#clips-summary", "2")
    page.locator("#clip-after").click()
    text = page.locator("#clip-text textarea")
    expect(text).not_to_have_value("", timeout=drive.LONG)
    before = text.input_value()
    text.fill("ገበሬው ማሳውን በበሬ ያርሳል። እናቴ ጣፋጭ ዳቦ ትጋግራለች።")
    page.locator("#clip-after").click()  # without pressing "save"
    expect(text).not_to_have_value("ገበሬው ማሳውን በበሬ ያርሳል። እናቴ ጣፋጭ ዳቦ ትጋግራለች።", timeout=drive.LONG)
    until(
        drive, lambda: any("ዳቦ" in (row.text or "") for row in Manifest.read(project.manifest)), "it is saved"
    )
    page.locator("#clip-undo").click()
    drive.shows(page, "#clip-status .good", "")
    assert before in [row.text for row in Manifest.read(project.manifest)]
    assert not any("ዳቦ" in (row.text or "") for row in Manifest.read(project.manifest))


def test_nothing_is_typed_into_a_clip_that_is_about_to_go(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], project: Project,
    recordings: Callable[[Path, int], list[Path]],
) -> None:  # fmt: skip
    from playwright.sync_api import expect

    prepared(project, recordings)
    server = serve()
    page = open_page(server.address)
    drive.tab(page, "prepare")
    drive.shows(page, "#clips-summary", "2")
    page.locator("#clip-after").click()
    text = page.locator("#clip-text textarea")
    expect(text).not_to_have_value("", timeout=drive.LONG)
    expect(text).to_be_editable(timeout=drive.LONG)
    first = text.input_value()
    held: list[Any] = []
    page.route("**/queue/join*", lambda route: held.append(route))
    page.locator("#clip-after").click()
    until_page(page, lambda: bool(held))
    expect(text).not_to_be_editable()  # the answer would write over what was typed
    text.press("End")
    page.keyboard.type("ውሃ")
    assert text.input_value() == first
    for route in held:
        route.continue_()
    page.unroute("**/queue/join*")
    expect(text).not_to_have_value(first, timeout=drive.LONG)
    expect(text).to_be_editable(timeout=drive.LONG)
    # and while the server is away, the field is not off for ever
    second = text.input_value()
    server.process.kill()
    server.process.wait()
    page.locator("#clip-before").click()
    expect(text).to_be_editable(timeout=drive.LONG)
    assert text.input_value() == second


def test_project_tab_and_text_survive_reload_back_and_forward(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], workspace: Workspace
) -> None:
    from playwright.sync_api import expect

    workspace.create("hana")
    page = open_page(serve().address, "en-US")
    page.locator("#project input").click()
    page.get_by_role("option", name="abebe", exact=True).click()
    page.wait_for_function("location.hash.includes('project=abebe')")
    drive.tab(page, "speak")
    page.wait_for_function("location.hash.includes('tab=speak')")
    page.locator("#speak-text textarea").press_sequentially(" ደህና ነኝ")
    written = page.locator("#speak-text textarea").input_value()
    page.wait_for_function("(localStorage.getItem('dimts-speak-text') || '').includes('ነኝ')")
    page.reload()
    page.locator("#tab-speak").wait_for(state="visible")
    expect(page.locator("#speak-text textarea")).to_have_value(written, timeout=drive.LONG)
    expect(page.locator("#project input")).to_have_value("abebe", timeout=drive.LONG)
    drive.tab(page, "train")
    page.wait_for_function("location.hash.includes('tab=train')")
    page.go_back()
    page.locator("#tab-speak").wait_for(state="visible")
    page.go_forward()
    page.locator("#tab-train").wait_for(state="visible")


CONFIG = """
daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  client_max_body_size 300m;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    location /tts/ {{
      proxy_pass {address}/; proxy_http_version 1.1; proxy_buffering off; proxy_read_timeout 600s;
      proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto https;
      proxy_set_header X-Forwarded-Prefix /tts;
    }}
  }}
}}
"""


@pytest.fixture
def proxied(workspace: Workspace, tmp_path: Path) -> Iterator[str]:
    """The page below /tts/ of a real nginx with HTTPS and a password; its address."""
    import socket
    import sys

    if not Path(NGINX).is_file():
        pytest.skip("no nginx here (Debian: apt-get install nginx-light)")
    users, folder = tmp_path / "users", tmp_path / "nginx"
    users.write_text("abebe:a long password\n", encoding="utf-8")
    users.chmod(0o600)
    folder.mkdir()
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject,
                    "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
                   check=True, capture_output=True)  # fmt: skip
    code = (
        "import sys; from pathlib import Path; from dimts.web.app import serve; "
        "from dimts.web.settings import WebSettings; "
        "serve(Path(sys.argv[1]), WebSettings(port=0, auth=Path(sys.argv[2]), proxies=('127.0.0.1',)), "
        "lambda a: print(a, flush=True))"
    )
    page = subprocess.Popen(
        [sys.executable, "-c", code, str(workspace.root), str(users)],
        stdout=subprocess.PIPE,
        text=True,
        stderr=subprocess.DEVNULL,
    )
    assert page.stdout is not None
    address = page.stdout.readline().strip().rstrip("/")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, address=address), encoding="utf-8")
    nginx = subprocess.Popen([NGINX, "-c", str(config), "-p", str(folder)])
    yield f"https://localhost:{port}/tts/"
    for process in (nginx, page):
        process.terminate()
        process.communicate(timeout=60)


def test_the_page_works_behind_nginx_below_a_path_with_https_and_a_password(
    drive: Any, proxied: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(proxied, "en-US", ignore_https_errors=True,
                     http_credentials={"username": "abebe", "password": "a long password"})  # fmt: skip
    assert re.match(r"https://localhost:\d+/tts/en/", page.url)
    drive.tab(page, "speak")
    page.locator("#speak-go").click()
    page.wait_for_function("document.querySelector('#speech')?.currentTime > 0.1")
    drive.shows(page, "#speak-status .good", "seconds of speech")
    page.locator("header.top a").click()
    page.wait_for_function("document.documentElement.lang === 'am'")
    assert re.match(r"https://localhost:\d+/tts/am/", page.url)
