"""The pages of an evaluation in a real browser: accessible by the rules of WCAG 2.1 AA, and without
network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dimts.audio.formant import Formant
from dimts.evaluate.leaderboard import leaderboard
from dimts.evaluate.report import Report, ReportSample
from tests.evaluate.test_compare_results import content, write
from tests.evaluate.test_listening_page import BROWSER

AXE = Path(
    os.environ.get("DIMTS_AXE", Path(__file__).parents[2] / ".venv/axe/node_modules/axe-core/axe.min.js")
)


def problems(page_file: Path, scheme: str) -> list[str]:
    """Faults that axe finds, and requests to anywhere."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page(color_scheme=scheme)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(page_file.as_uri())
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found: dict[str, Any] = page.evaluate(
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']})"
        )
        browser.close()
    outside = [url for url in asked if not url.startswith(("file:", "data:"))]
    faults = [
        json.dumps([one["id"], [node["html"][:150] for node in one["nodes"]]]) for one in found["violations"]
    ]
    return faults + outside


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core (tools/browser.sh installs it; or set DIMTS_AXE)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_pass_axe_and_load_nothing(tmp_path: Path, scheme: str) -> None:
    write(tmp_path / "one.json", content("ድምፅ", per=0.3))
    write(tmp_path / "old.json", content(schema_version=0))
    board = leaderboard(tmp_path).write(tmp_path / "leaderboard.html")
    assert problems(board, scheme) == []
    wave = Formant().speak([tuple("səlam")], "።")
    report = Report(
        "Systems",
        notes=["first"],
        facts={"sentences": "2"},
        summary={"Systems, best first": [["voice", "phone errors"], ["ድምፅ", "0.5 [0.4, 0.6]"]]},
        remarks_heading="What the figures tell",
        remarks=["news: plain prose"],
        spoken=[
            ReportSample("ሰላም።", "s ə l a m", "rules 1", {"one": wave, "other": wave}, ["recognised: s"])
        ],
        tables={"Commonest phone errors": [["expected", "recognised", "ድምፅ"], ["s", "z", "3"]]},
    )
    report.write(tmp_path / "report.html")
    assert problems(tmp_path / "report.html", scheme) == []


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core (tools/browser.sh installs it; or set DIMTS_AXE)")
def test_the_reports_of_the_demo_and_of_its_voices_pass_axe(tmp_path: Path) -> None:
    from dimts.cli.main import main

    home = tmp_path / "demo"
    assert main(["demo", str(home), "--steps", "2", "--clips", "6", "--speech", str(tmp_path / "none")]) == 0
    assert main(["evaluate", str(home), "--limit", "3", "--no-quality"]) == 0
    for report in (home / "report.html", home / "evaluation" / "report.html"):
        for scheme in ("light", "dark"):
            assert problems(report, scheme) == [], f"{report.parent.name}, {scheme}"
