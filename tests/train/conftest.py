"""A small prepared project to train in: real wav files of a few tones, real texts, the rules'
pronunciation."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dimts.audio.wave import Wave
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.text.frontend import Frontend, FrontendSettings
from dimts.xtts.spec import SPECS

SETTINGS = '[text.g2p]\nbackends = ["rules"]\n'
WORDS = [
    "ሰላም",
    "ለዓለም",
    "እንዴት",
    "ናችሁ",
    "ዛሬ",
    "ጥሩ",
    "ቀን",
    "ነው",
    "ቡና",
    "እንጠጣ",
    "ልጆች",
    "ትምህርት",
    "ቤት",
    "ሄዱ",
    "ዝናብ",
    "ይዘንባል",
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in one order, whatever the machine; the recorded values were made so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SMALL = dataclasses.replace(SPECS["tiny"], layers=2, width=64, vocoder_channels=16, dvae_hidden=16)
"""An engine of a few hundred thousand parameters, for tests of everything but learning."""


@pytest.fixture
def small_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size "tiny" is smaller still."""
    monkeypatch.setitem(SPECS, "tiny", SMALL)


MakeProject = Callable[..., Project]


def tones(seconds: float, seed: int, rate: int = 22_050) -> Wave:
    """A few gliding tones with pauses: speech enough for a DVAE."""
    luck = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = 110 + 60 * luck.random() + 25 * np.sin(2 * np.pi * (1 + luck.random()) * time)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voiced = sum(np.sin(k * phase) / k for k in range(1, 12)) * (
        np.sin(2 * np.pi * 3 * time + luck.random()) > -0.5
    )
    return Wave((0.2 * voiced + 0.003 * luck.standard_normal(len(time))).astype(np.float32), rate)


def prepared(root: Path, clips: int = 8, seconds: float = 1.2, dev: int = 2) -> Project:
    """A project folder as `dimts data prepare` leaves it."""
    project = Project.create(root, SETTINGS)
    frontend = Frontend(project.settings("text", FrontendSettings))
    rows = []
    for number in range(clips + dev):
        wave = tones(seconds + 0.13 * (number % 4), number)
        path = project.clips / f"clip-{number:02d}.wav"
        wave.save(path)
        text = " ".join(WORDS[(number + k) % len(WORDS)] for k in range(2 + number % 3)) + "።"
        phrases = list(frontend(text))
        rows.append(
            Utterance(
                id=hashlib.sha256(str(number).encode()).hexdigest()[:10],
                path=project.relative(path),
                text=text,
                spelling=" ".join(phrase.spelling for phrase in phrases),
                seconds=wave.seconds,
                speaker=f"s{number % 2}",
                split="train" if number < clips else "dev",
                kept=True,
            )
        )
    Manifest.write(project.manifest, rows)
    return project


@pytest.fixture
def make_project(tmp_path: Path) -> MakeProject:
    """Makes a prepared project in this test's folder."""

    def make(name: str = "project", **changes: float) -> Project:
        return prepared(tmp_path / name, **changes)  # type: ignore[arg-type]

    return make
