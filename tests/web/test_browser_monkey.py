"""In a real browser: random clicks, typing and reloads in two tabs, with the page and its runner killed.

Afterwards dimts.toml and the manifest are what the log of confirmed edits says, and no console held an error.
`DIMTS_MONKEY_SECONDS` is how long it goes on (120), `DIMTS_MONKEY_SEED` what it does.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.web.jobs import Jobs
from dimts.web.project_settings import get, put

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

SECONDS = float(os.environ.get("DIMTS_MONKEY_SECONDS", "120"))
SEED = int(os.environ.get("DIMTS_MONKEY_SEED", "1"))
PATIENCE = 300.0
"""Seconds after which an edit that the page has accepted must be on the disk."""
TABS = ("text", "prepare", "train", "speak", "compare", "storage", "system")
BUTTONS = {
    "text": ("text-read", "text-ask-all", "order-text-earlier"),
    "prepare": ("clip-before", "clip-after", "clips-reload", "mic-skip", "mic-back", "class-add"),
    "train": ("train-forecast", "train-start", "train-pause"),
    "speak": ("speak-go", "speak-stop", "phone-go", "phone-stop"),
    "compare": ("compare-begin",),
    "storage": ("storage-delete", "storage-rename"),
    "system": (),
}
"""Buttons that change neither settings nor texts when nothing else is done before."""
NUMBERS = {"train.steps": "train", "speak.seed": "speak", "train.batches.seconds": "train"}
WORDS = ("ገበሬው", "ማሳውን", "ያርሳል።", "እናቴ", "ዳቦ", "ትጋግራለች።", "ወንዙ", "ሞልቶ", "ፈሰሰ።")
EXCUSED = ("ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_INCOMPLETE_CHUNKED_ENCODING",
           "ERR_CONTENT_LENGTH_MISMATCH", "ERR_EMPTY_RESPONSE", "ERR_NETWORK", "Failed to fetch",
           "network error", "Connection errored out", "503",
           "AbortError: signal is aborted without reason")  # fmt: skip
"""What a browser writes when the page's server was killed, or is not there yet; and, the last one, what
gradio writes when the page is left, as it stops listening to its server then (`beforeunload`)."""


@dataclass
class Monkey:
    """Two tabs on one project, and what was confirmed."""

    drive: Any
    serve: Callable[[], Any]
    open_page: Callable[..., Any]
    project: Project
    chance: random.Random
    server: Any = None
    pages: list[Any] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    open: dict[str, set[Any]] = field(default_factory=dict)
    """Key or clip → values that may stand there, as the page died before it had answered."""
    errors: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Serve the page and open it twice."""
        self.server = self.serve()
        self.pages = [self._opened("am-ET"), self._opened("en-US")]

    def _opened(self, locale: str) -> Any:
        page = self.open_page(self.server.address, locale)
        page.on("console", lambda one: self._console(one.type, one.text))
        page.on("pageerror", lambda error: self._console("error", str(error)))
        page.set_default_timeout(PATIENCE * 1000)
        self._usable(page)
        return page

    def _console(self, kind: str, text: str) -> None:
        if kind == "error" and not any(one in text for one in EXCUSED):
            self.errors.append(f"{text[:300]} (after {self.done[-3:]})")

    def _usable(self, page: Any) -> None:
        page.wait_for_function("document.querySelector('#tabs') && !document.querySelector('#tabs').inert")

    # ------------------------------------------------------------ what it does
    def click(self, page: Any) -> None:
        """Press some button that changes nothing that is logged."""
        tab = self.chance.choice(TABS)
        self.drive.tab(page, tab)
        if BUTTONS[tab]:
            button = page.locator(f"#{self.chance.choice(BUTTONS[tab])}")
            if button.is_visible():
                button.click()

    def number(self, page: Any) -> None:
        """Type a number into a setting; sometimes one that is refused."""
        key = self.chance.choice(list(NUMBERS))
        self.drive.tab(page, NUMBERS[key])
        wrong = self.chance.random() < 0.25
        value = -self.chance.randrange(1, 50) if wrong else self.chance.randrange(1, 3000)
        place = "#set-" + key.replace(".", "-").replace("_", "-")
        self._type(page, f"{place} input", str(value))
        if wrong:
            page.locator(f"{place}.wrong").wait_for()
            assert get(self.project)[key] in self._allowed(key, self.settings.get(key))
        else:
            self._confirm(key, value, lambda: get(self.project)[key])
            self.settings[key] = value

    def text(self, page: Any) -> None:
        """Correct a clip, and leave its field one way or another."""
        self.drive.tab(page, "prepare")
        page.locator(f"#clip-{self.chance.choice(('after', 'before'))}").click()
        field_ = page.locator("#clip-text textarea")
        page.wait_for_function(
            "(() => { const field = document.querySelector('#clip-text textarea');"
            " return field.value.length > 2 && !field.readOnly; })()"
        )
        clip = page.locator("#clip-head").inner_text().split(" · ")[0]
        row = next((one for one in Manifest.read(self.project.manifest) if one.name == clip), None)
        assert row is not None
        if field_.input_value() != row.text:  # the other tab has corrected it, which this one does not show
            return
        text = " ".join(self.chance.choices(WORDS, k=4))
        field_.fill(text)
        if self.chance.random() < 0.5:
            field_.press("Tab")
        else:
            page.locator("#clip-after").click()
        self._confirm(row.id, text, lambda: self._texts()[row.id])
        self.texts[row.id] = text

    def reload(self, page: Any) -> None:
        """Load a page again; what was written to be spoken is still there."""
        self.drive.tab(page, "speak")
        text = " ".join(self.chance.choices(WORDS, k=3))
        page.locator("#speak-text textarea").fill(text)
        page.wait_for_function(
            "(text) => localStorage.getItem('dimts-speak-text') === JSON.stringify(text)", arg=text
        )
        page.reload()
        self._usable(page)
        page.wait_for_function(
            "(text) => document.querySelector('#speak-text textarea')?.value === text", arg=text
        )

    def kill_page(self, page: Any) -> None:
        """End the page's server at once, as a power cut would, in the middle of an edit."""
        key = "speak.seed"
        self.drive.tab(page, NUMBERS[key])
        value = self.chance.randrange(1, 3000)
        page.locator("#set-speak-seed input").fill(str(value))
        page.keyboard.press("Tab")
        self.server.process.kill()
        self.server.process.wait()
        self.open.setdefault(key, set()).update({value, self.settings.get(key)})
        for one in self.pages:
            one.context.close()
        self.start()
        self.settings[key] = get(self.project)[key]
        assert self.settings[key] in self.open.pop(key)

    def kill_runner(self, page: Any) -> None:
        """End the process that waits for a job, and then the job."""
        del page
        running = [job for job in Jobs(self.project).all() if job.state == "running"]
        for job in running:
            for number in (job.runner, job.pid):
                try:
                    psutil.Process(number).send_signal(signal.SIGKILL)
                except psutil.Error:
                    continue

    # ------------------------------------------------------------ helpers
    def _type(self, page: Any, selector: str, text: str) -> None:
        """As a person: again, where the page has put another tab's value there meanwhile."""
        place = page.locator(selector)
        for _ in range(5):
            place.fill(text)
            page.wait_for_timeout(200)
            if place.input_value() == text:
                break
        place.press("Tab")

    def _confirm(self, key: str, value: Any, read: Callable[[], Any]) -> None:
        """Wait until an edit is on the disk."""
        end = time.monotonic() + PATIENCE
        while read() != value:
            assert time.monotonic() < end, f"{key} is {read()!r}, not {value!r}, after {self.done[-5:]}"
            time.sleep(0.1)

    def _allowed(self, key: str, now: Any) -> set[Any]:
        return {now, *self.open.get(key, ())}

    def _texts(self) -> dict[str, str]:
        return {row.id: row.text for row in Manifest.read(self.project.manifest)}


def test_a_monkey_loses_nothing(
    drive: Any, serve: Callable[[], Any], open_page: Callable[..., Any], project: Project,
    recordings: Callable[[Path, int], list[Path]],
) -> None:  # fmt: skip
    from dimts.data.prepare import prepare

    recordings(project.recordings, 3)
    prepare(project)
    put(project, {"train.steps": 40})
    monkey = Monkey(drive, serve, open_page, project, random.Random(SEED))
    monkey.settings, monkey.texts = get(project), monkey._texts()
    monkey.start()
    actions = [monkey.click, monkey.number, monkey.text, monkey.reload, monkey.kill_page, monkey.kill_runner]
    weights = (8, 5, 5, 2, 1, 1)
    end = time.monotonic() + SECONDS
    plan = list(actions)  # each at least once
    while plan or time.monotonic() < end:
        action = plan.pop(0) if plan else monkey.chance.choices(actions, weights)[0]
        monkey.done.append(action.__name__)
        action(monkey.chance.choice(monkey.pages))
    for job in Jobs(project).waiting():
        Jobs(project).stop(job.id, now=True)
    drive_until = time.monotonic() + PATIENCE
    while Jobs(project).waiting():
        assert time.monotonic() < drive_until, "a job does not end"
        time.sleep(0.2)
    # the order of backends is moved by a button of its own, and only as a whole
    now, wanted = get(project), dict(monkey.settings)
    order = "text.g2p.backends"
    assert sorted(now.pop(order)) == sorted(wanted.pop(order))
    assert now == wanted
    assert {key: text for key, text in monkey._texts().items() if key in monkey.texts} == monkey.texts
    assert monkey.errors == []
    assert not list(project.root.rglob("*.tmp"))
