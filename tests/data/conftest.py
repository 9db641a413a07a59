"""Speech whose truth is known: the formant voice says sentences, and where each phone lies is told by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.wave import Wave, join
from dimts.base.project import Project
from dimts.text.g2p.rules import Rules

SENTENCES = (
    "ሰላም ለዓለም",
    "እንዴት ናችሁ",
    "ዛሬ ጥሩ ቀን ነው",
    "ነገ ጠዋት ወደ ገበያ እንሄዳለን",
    "መጽሐፉን ጠረጴዛው ላይ አስቀምጠው",
    "ልጆቹ በግቢው ውስጥ ኳስ ይጫወታሉ",
    "የአዲስ አበባ ከተማ በጣም ትልቅ ናት",
    "ቡና ከቁርስ በኋላ መጠጣት እወዳለሁ",
    "አውቶብሱ ዘግይቶ ስለመጣ በእግሬ ሄድኩ",
    "ክረምቱ ካለፈ በኋላ አበቦች ይፈካሉ",
    "ገበሬው ማሳውን በበሬ ያርሳል",
    "እናቴ ጣፋጭ እንጀራ ትጋግራለች",
    "ተማሪዎቹ ፈተናውን በጥሩ ውጤት አለፉ",
    "ሐኪሙ በሽተኛውን በጥንቃቄ መረመረው",
    "ወንዙ በዝናቡ ምክንያት ሞልቶ ፈሰሰ",
    "ሌሊቱን ሙሉ ከዋክብትን ስንመለከት አደርን",
    "ጓደኛዬ ከሩቅ አገር ደብዳቤ ጻፈልኝ",
    "ነጋዴው እቃውን በርካሽ ዋጋ ሸጠ",
    "ትናንት ማታ ኃይለኛ ነፋስ ነበር",
    "አያቴ የድሮ ታሪክ ይነግሩን ነበር",
)


@dataclass(frozen=True)
class Said:
    """A sentence as the formant voice said it."""

    text: str
    wave: Wave
    start_seconds: float
    """Where its first phone begins."""
    end_seconds: float


@cache
def said(text: str, variant: str = "", pitch: float = 1.0) -> Said:
    """The sentence alone, without silence around it."""
    words = Rules().phones(text.split())
    spoken = Formant(FormantSettings(variant=variant, pitch=pitch)).speak_timed(
        [word for word in words if word], "።"
    )
    times = [time for word in spoken.times for time in word]
    return Said(text, spoken.wave, times[0][0], times[-1][1])


def room(wave: Wave, lead: float = 0.4, tail: float = 0.4, noise_dbfs: float = -70.0, seed: int = 0) -> Wave:
    """A recording in a room: silence around the speech, noise over all of it."""
    rng = np.random.default_rng(seed)
    samples = np.pad(wave.samples, (round(lead * wave.rate), round(tail * wave.rate)))
    noise = rng.standard_normal(len(samples)) * 10 ** (noise_dbfs / 20)
    return Wave((samples + noise).astype(np.float32), wave.rate)


def sentence(index: int) -> str:
    """As many different sentences as wanted, made of two of the list."""
    if index < len(SENTENCES):
        return SENTENCES[index]
    index -= len(SENTENCES)
    first, second = index % len(SENTENCES), (index // len(SENTENCES) * 3 + index + 1) % len(SENTENCES)
    return f"{SENTENCES[first]} {SENTENCES[second]}"


class Speech:
    """What tests need to make speech, in one fixture (test modules cannot import each other)."""

    sentences = SENTENCES
    said = staticmethod(said)
    room = staticmethod(room)
    sentence = staticmethod(sentence)

    @staticmethod
    def take(count: int = 12, seed: int = 1) -> tuple[Wave, list[tuple[float, float]]]:
        """Sentences by three voices in one wave, silences between; and their true borders in seconds."""
        rng = np.random.default_rng(seed)
        parts, truth, at = [], [], 0.0
        for index in range(count):
            one = said(sentence(index), ("", "f2", "m3")[index % 3])
            gap = Wave.silence(float(rng.uniform(0.5, 1.5)), one.wave.rate)
            at += gap.seconds
            parts += [gap, one.wave]
            truth.append((at + one.start_seconds, at + one.end_seconds))
            at += one.wave.seconds
        return join([*parts, Wave.silence(0.7, 24_000)]), truth


@pytest.fixture(scope="session")
def speech() -> Speech:
    """Speech of the formant voice with its truth."""
    return Speech()


Corpus = Callable[..., Path]


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Make a folder with metadata.tsv and a recording of each sentence: corpus(count, first=0,
    name="corpus")."""

    def make(count: int = 4, first: int = 0, name: str = "corpus", variant: str = "") -> Path:
        folder = tmp_path / name
        (folder / "audio").mkdir(parents=True)
        lines = ["id\tpath\tspeaker\ttext"]
        for index in range(first, first + count):
            text = sentence(index)
            room(said(text, variant).wave, seed=index).save(folder / "audio" / f"s{index:03d}.wav")
            lines.append(f"s{index:03d}\taudio/s{index:03d}.wav\tabebe\t{text}")
        (folder / "metadata.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder

    return make


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose text chain asks our own rules alone (the others take seconds to start)."""
    return Project.create(
        tmp_path / "voice",
        '[project]\nlicence = "CC0-1.0"\nconsent = "synthetic"\n[text.g2p]\nbackends = ["rules"]\n',
    )
