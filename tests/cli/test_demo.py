"""`dimts demo`: the whole way, from recordings to a report, on a few clips and a few steps."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from dimts.audio.wave import Wave
from dimts.cli.main import main
from dimts.data.manifest import Manifest


def demo(folder: Path, *more: str) -> int:
    return main(["demo", str(folder), "--steps", "2", "--clips", "6", *more])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished demo without real recordings."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    assert demo(folder, "--speech", str(folder / "none")) == 0
    return folder


def test_the_report_holds_players_plots_phones_and_the_caveat(made: Path) -> None:
    page = (made / "report.html").read_text("utf-8")
    assert page.count("<audio") == 6, "three sentences in two voices"
    assert page.count("data:audio/wav;base64,") == 6
    assert page.count("data:image/png;base64,") == 6
    assert page.count("<svg") == 2, "loss and clip lengths"
    assert "s ə l a m # l ə ʔ a l ə m" in page
    assert "rehearsal" in page
    assert "--base" in page, "the command that uses the real weights is named"
    assert not re.search(r'(src|href)="https?:', page), "the page needs no network"


def test_the_formant_voice_has_speech_energy_and_the_tiny_voice_says_something(made: Path) -> None:
    waves = {path.name: Wave.load(path) for path in (made / "spoken").glob("*.wav")}
    assert len(waves) == 6
    for name, wave in waves.items():
        assert wave.rate == 24_000
        assert wave.seconds > 0.2, name
        if "formant" in name:
            assert 1.0 < wave.seconds < 6.0
            assert np.sqrt(np.mean(np.square(wave.samples))) > 0.01, name


def test_it_says_that_the_formant_voice_stood_in(made: Path) -> None:
    source = json.loads((made / "recordings" / "source.json").read_text("utf-8"))
    assert (source["code"], source["parameters"]["count"]) == ("cli.demo_formant_recordings", 6)
    assert len(Manifest.read(made / "manifest.jsonl")) == 6


def test_real_recordings_are_taken_where_they_are(
    shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    assert demo(folder, "--speech", str(shared / "speech" / "alffa")) == 0
    assert "took 6 real recordings of tr097" in capsys.readouterr().err
    rows = Manifest.read(folder / "manifest.jsonl")
    assert len(rows) == 6
    assert {row.speaker for row in rows} == {"tr097"}
