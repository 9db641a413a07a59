"""How soon the page is there: from the start of `dimts web` to the browser's first contentful paint, to use,
and to gradio's page.

python benchmarks/page.py [--rounds 5] [--language am]

Seconds from the start of the process, medians: the address is answered; Chromium has painted the opening page
(its own `first-contentful-paint`); that can be used; the sentence that was asked for at once is heard;
gradio is loaded behind it; and gradio's page, opened then, can be used. `bytes` is what the browser received
for the opening page and for gradio's. The browser runs already, as a person's does; everything is on the same
cores. One JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CHROMIUM = os.environ.get("DIMTS_CHROMIUM", "/usr/bin/chromium")
LOCALES = {"am": "am-ET", "en": "en-GB"}
PATIENCE_SECONDS = 120.0
FIRST_PAINT = """() => new Promise(done => {
  const found = (one) => done(performance.timeOrigin + one.startTime);
  const [first] = performance.getEntriesByName('first-contentful-paint');
  if (first) found(first);
  else new PerformanceObserver((list) => list.getEntriesByName('first-contentful-paint').forEach(found))
    .observe({type: 'paint', buffered: true});
})"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listened(port: int) -> None:
    """Return as soon as somebody listens on a port."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.005)
    raise SystemExit("the page was not there in time")


def received(page: Any) -> int:
    """Bytes over the wire of the page and of what it has loaded."""
    script = """() => [...performance.getEntriesByType('navigation'),
      ...performance.getEntriesByType('resource')].reduce((sum, one) => sum + one.transferSize, 0)"""
    return int(page.evaluate(script))


def round_of(browser: Any, home: Path, language: str) -> dict[str, float]:
    """Start the page once and open it at once; seconds from the start of the process."""
    port = free_port()
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale=LOCALES[language])
    page = context.new_page()
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    command = [sys.executable, "-m", "dimts", "web", str(home), "--port", str(port)]
    start = time.time()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        listened(port)
        out = {"answered": time.time() - start}
        page.goto(f"http://127.0.0.1:{port}/", wait_until="commit")
        out["first_paint"] = page.evaluate(FIRST_PAINT) / 1000 - start
        page.wait_for_selector("#opening-go")
        page.wait_for_load_state()
        out["usable"] = time.time() - start
        out["bytes"] = received(page)
        page.click("#opening-go")
        page.wait_for_function("document.querySelector('#speech')?.currentTime > 0", polling=50)
        out["first_sound"] = time.time() - start
        page.wait_for_selector("#opening-whole", state="visible")
        out["gradio_loaded"] = time.time() - start
        pressed = time.time()
        page.click("#opening-whole")
        page.wait_for_function("document.querySelector('#tabs')?.inert === false", polling=50)
        out["gradio_opened_in"] = time.time() - pressed
        out["gradio_bytes"] = received(page)
    finally:
        process.terminate()
        process.wait()
        context.close()
    return out


def main() -> None:
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--language", choices=sorted(LOCALES), default="am")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        home = Path(folder)
        subprocess.run(
            [sys.executable, "-m", "dimts", "new", str(home / "abebe")], check=True, capture_output=True
        )
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        rounds = [round_of(browser, home, given.language) for _ in range(given.rounds)]
        browser.close()
    result: dict[str, Any] = {
        name: round(statistics.median(one[name] for one in rounds), 2) for name in rounds[0]
    }
    result["first_paint_worst"] = round(max(one["first_paint"] for one in rounds), 2)
    print(json.dumps({"cores": os.cpu_count(), "rounds": given.rounds, **result}))


if __name__ == "__main__":
    main()
