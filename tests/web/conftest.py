"""A workspace with a project, recordings that the formant voice speaks, and the page in a real browser."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from dimts.audio.wave import Wave, join
from dimts.base.config import to_toml
from dimts.base.project import Project
from dimts.web.workspace import Workspace

SENTENCES = (
    "ገበሬው ማሳውን በበሬ ያርሳል። እናቴ ጣፋጭ እንጀራ ትጋግራለች።",
    "ወንዙ በዝናቡ ምክንያት ሞልቶ ፈሰሰ። ጓደኛዬ ከሩቅ አገር ደብዳቤ ጻፈልኝ።",
    "ልጆቹ በግቢው ውስጥ ኳስ ይጫወታሉ።",
)


@cache
def spoken(text: str) -> Wave:
    """A sentence as the formant voice says it, with silence around."""
    from dimts.speak import Speaker

    quiet = Wave.silence(0.4, 24_000)
    return join([quiet, Speaker.load("formant").say(text), quiet])


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A folder of projects with one in it, whose every setting stands in its file."""
    from dimts.web.project_settings import classes

    root = tmp_path / "voices"
    root.mkdir()
    tables = [to_toml(kind(), table, comments=True) for table, kind in classes().items()]
    Project.create(root / "abebe", "# my remark\n\n" + "\n".join(tables))
    return Workspace(root)


@pytest.fixture
def project(workspace: Workspace) -> Project:
    """The project of `workspace`."""
    return workspace.project("abebe")


@pytest.fixture
def recordings() -> Callable[[Path, int], list[Path]]:
    """Write so many recordings with their texts into a folder; gives all files."""

    def write(folder: Path, count: int = 2) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        out = []
        for number, text in enumerate(SENTENCES[:count], start=1):
            out.append(spoken(text).save(folder / f"line{number}.wav"))
            out.append(folder / f"line{number}.txt")
            out[-1].write_text(text + "\n", encoding="utf-8")
        return out

    return write


# ---------------------------------------------------------------- a real browser
CHROMIUM = os.environ.get("DIMTS_CHROMIUM", "/usr/bin/chromium")
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--autoplay-policy=no-user-gesture-required", "--use-fake-device-for-media-stream",
         "--use-fake-ui-for-media-stream")  # fmt: skip
SERVE = (
    "import sys; from pathlib import Path; from dimts.web.app import serve; "
    "from dimts.web.settings import WebSettings; "
    "serve(Path(sys.argv[1]), WebSettings(port=0, max_upload_megabytes=5), lambda a: print(a, flush=True))"
)
AXE = Path(
    os.environ.get("DIMTS_AXE", Path(__file__).parents[2] / ".venv/axe/node_modules/axe-core/axe.min.js")
)
LONG = 900_000
"""Milliseconds for what may take long on a busy machine."""


@dataclass
class Server:
    """A page that is being served."""

    process: subprocess.Popen[str]
    address: str


@pytest.fixture
def serve(workspace: Workspace) -> Iterator[Callable[[], Server]]:
    """Start the page of `workspace`; may be done again after its death. Without `ready`, gradio is not
    waited for."""
    pytest.importorskip("gradio")
    httpx = pytest.importorskip("httpx")
    running: list[subprocess.Popen[str]] = []

    def start(*, ready: bool = True) -> Server:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(workspace.root)],
            stdout=subprocess.PIPE,
            text=True,
            stderr=subprocess.DEVNULL,
        )
        running.append(process)
        assert process.stdout is not None
        address = process.stdout.readline().strip().rstrip("/")
        end = time.monotonic() + LONG / 1000
        while ready and httpx.get(f"{address}/ready").status_code != 200:
            assert process.poll() is None, "the page's server has ended"
            assert time.monotonic() < end, "the page was not ready in time"
            time.sleep(0.2)
        return Server(process, address)

    yield start
    for process in running:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.fixture
def open_page() -> Iterator[Callable[..., Any]]:
    """Open an address in a browser of its own; gives playwright's page."""
    sync = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).is_file():
        pytest.skip(f"no Chromium at {CHROMIUM} (set DIMTS_CHROMIUM)")
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))

        def opened(
            address: str, locale: str = "am-ET", width: int = 1280, *, expert: bool = True, **more: Any
        ) -> Any:
            """`expert`: with every tab, as the button *Expert* shows them; else as a new browser sees it."""
            context = browser.new_context(viewport={"width": width, "height": 900}, locale=locale, **more)
            if expert:
                context.add_init_script("localStorage.setItem('dimts-expert', 'true')")
            page = context.new_page()
            page.set_default_timeout(LONG)
            # asked at every frame, as playwright does by default, a page has time for nothing else
            page.wait_for_function = partial(page.wait_for_function, polling=250)
            page.goto(address)
            if expert:
                page.wait_for_function("document.querySelector('#project input')?.value")
            return page

        yield opened
        browser.close()


class Driver:
    """What the tests do with an open page, again and again."""

    LONG = LONG

    def tab(self, page: Any, name: str) -> None:
        """Open a tab; on a narrow screen some stand in a menu."""
        from dimts.web.strings import Strings

        seen = [
            one for one in page.locator(f"button[role=tab][data-tab-id='{name}']").all() if one.is_visible()
        ]
        if seen:
            seen[0].click()
        else:
            page.locator(".overflow-menu > button").click()
            strings = Strings(page.evaluate("document.documentElement.lang"))
            page.locator(".overflow-dropdown button", has_text=strings(f"tab.{name}")).first.click()
        page.locator(f"#tab-{name}").wait_for(state="visible")

    def shows(self, page: Any, selector: str, text: str | re.Pattern[str]) -> None:
        """Wait until a place holds a text."""
        from playwright.sync_api import expect

        expect(page.locator(selector).first).to_contain_text(text, timeout=LONG)

    def take(self, page: Any) -> None:
        """Record a take on the English page and keep it."""
        page.locator("#mic-take").get_by_role("button", name="Record").first.click()
        page.wait_for_timeout(2500)
        page.locator("#mic-take").get_by_role("button", name="Stop").first.click()
        page.wait_for_timeout(2000)
        page.locator("#mic-keep").click()
        self.shows(page, "#mic-status", "Kept.")

    def violations(self, page: Any, state: str) -> list[str]:
        """What axe-core finds on the page as it is (WCAG 2.1, A and AA); skips where it is not installed."""
        if not AXE.is_file():
            pytest.skip(f"no axe-core at {AXE} (tools/browser.sh installs it; or set DIMTS_AXE)")
        if not page.evaluate("Boolean(window.axe)"):
            page.evaluate(AXE.read_text(encoding="utf-8"))
        result = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})")
        return [
            f"{state}: {one['id']} ({one['impact']}): {node['html'][:160]}"
            for one in result["violations"]
            for node in one["nodes"]
        ]

    def picture(self, page: Any, name: str) -> None:
        """Keep a screenshot as a build artefact, where a folder is given for them."""
        if folder := os.environ.get("DIMTS_ARTEFACTS"):
            page.screenshot(path=Path(folder) / f"web-{name}.png", full_page=True)


@pytest.fixture
def drive() -> Driver:
    """The hands on the page."""
    return Driver()
