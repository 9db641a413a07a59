"""Speaking in the page: heard while it is made, one voice at a time, nothing of other people's addresses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, SynthesisError, TextError
from dimts.base.project import Project
from dimts.web import synthesis
from dimts.web.synthesis import FORMANT, Speakers, Streams, settings_of, spoken


def test_the_stream_is_the_speech(project: Project, tmp_path: Path) -> None:
    speaker = Speakers().get(project, FORMANT, settings_of(project))
    token, stream = Streams().open(tmp_path)
    sizes = []
    waves = []
    for wave in spoken(speaker, "ሰላም ለዓለም። እንዴት ናችሁ?", stream):
        waves.append(wave)
        sizes.append(stream.path.stat().st_size)
        assert not stream.over.is_set()
    assert stream.over.is_set()
    assert sizes[-1] > sizes[0]  # it grows while it is spoken
    seconds = sum(wave.seconds for wave in waves)
    heard = Wave.load(stream.path)
    assert heard.seconds == pytest.approx(seconds, abs=0.2)
    assert np.abs(heard.samples).max() > 0.05
    assert token not in str(waves)


@pytest.mark.parametrize("text", ["", "hello", "ሀ" * 20_001])
def test_a_stream_ends_also_when_it_fails(project: Project, tmp_path: Path, text: str) -> None:
    speaker = Speakers().get(project, FORMANT, settings_of(project))
    _, stream = Streams().open(tmp_path)
    with pytest.raises(TextError):
        list(spoken(speaker, text, stream))
    assert stream.over.is_set()


def test_a_token_is_nobody_elses(tmp_path: Path) -> None:
    streams = Streams()
    tokens = {streams.open(tmp_path)[0] for _ in range(50)}
    assert len(tokens) == 50
    assert all(len(token) >= 24 for token in tokens)
    assert streams.get("../../etc/passwd") is None
    assert streams.get("") is None


def test_old_streams_are_taken_away(tmp_path: Path) -> None:
    streams = Streams()
    first, stream = streams.open(tmp_path)
    for _ in range(200):
        streams.open(tmp_path)
    assert streams.get(first) is None
    assert not stream.path.exists()


def test_a_voice_is_loaded_once_and_again_when_something_changed(project: Project) -> None:
    speakers = Speakers()
    first = speakers.get(project, FORMANT, settings_of(project))
    assert speakers.get(project, FORMANT, settings_of(project)) is first
    assert speakers.get(project, FORMANT, settings_of(project, rate=1.5)) is not first
    project.lexicon.write_text("ሰላም\ts ə lː a m\n", encoding="utf-8")
    assert speakers.get(project, FORMANT, settings_of(project)) is not first


def test_settings_of_the_page_are_checked(project: Project) -> None:
    assert settings_of(project, rate=1.5, seed=None).rate == 1.5
    with pytest.raises(ConfigError):
        settings_of(project, rate=9.0)


@pytest.mark.parametrize("name", ["..", "nobody", "nobody@100", "formant@3", "/etc"])
def test_only_voices_that_are_there_speak(project: Project, name: str) -> None:
    with pytest.raises(SynthesisError, match="no such voice"):
        synthesis.checked(project, name)
