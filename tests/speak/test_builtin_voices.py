"""Voices that come with the package: known by name to Python, command line, server and page."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dimts.base import builtin_voices
from dimts.base.config import to_dict
from dimts.base.errors import CheckpointError
from dimts.base.progress import ignore
from dimts.base.project import Project, ProjectSettings
from dimts.cli import doctor
from dimts.cli.main import main
from dimts.cli.new import template
from dimts.speak import Speaker
from dimts.text.frontend import FrontendSettings
from dimts.text.phones import inventory
from dimts.train.base_model import load_base
from dimts.train.settings import TrainSettings
from dimts.xtts.checkpoint import Bundle, save_bundle
from dimts.xtts.model import XTTS
from dimts.xtts.spec import LATENTS, SPECS
from dimts.xtts.vocabulary import Vocabulary
from dimts.xtts.voice import Voice


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny model with two voices where that of the package lies."""
    vocabulary = Vocabulary.for_phones(list(inventory()), marks=[".", ",", "?", "!", ";", ":"])
    spec = dataclasses.replace(
        SPECS["tiny"],
        layers=2,
        text_ids=vocabulary.size,
        start_text=vocabulary.start,
        stop_text=vocabulary.stop,
    )
    generator = torch.Generator().manual_seed(1)
    voices = {
        name: Voice(
            torch.randn(1, LATENTS, spec.width, generator=generator),
            torch.randn(1, spec.timbre_width, 1, generator=generator),
        )
        for name in ("hanna", "dawit")
    }
    note = {"version": "0", "settings": to_dict(FrontendSettings())}
    save_bundle(
        Bundle(XTTS.build(spec, 1), vocabulary, note, voices), tmp_path / "small", dvae=True, compact=True
    )
    monkeypatch.setattr(builtin_voices, "FOLDER", tmp_path / "small")
    return tmp_path / "small"


def test_the_voices_are_listed_in_order_and_none_where_they_were_left_out(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert builtin_voices.voices() == {"hanna": shipped, "dawit": shipped}
    assert builtin_voices.base() == shipped
    monkeypatch.setattr(builtin_voices, "FOLDER", shipped / "absent")
    assert builtin_voices.voices() == {}
    assert builtin_voices.base() is None


def test_a_speaker_is_loaded_by_the_name_of_a_voice_and_speaks_with_it(shipped: Path) -> None:
    speaker = Speaker.load("dawit")
    assert list(speaker.voices) == ["dawit", "hanna"]
    wave = speaker.say("ሰላም።")
    np.testing.assert_array_equal(wave.samples, speaker.say("ሰላም።", "dawit").samples)
    assert not np.array_equal(wave.samples, speaker.say("ሰላም።", "hanna").samples)


def test_say_speaks_with_it(shipped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("hanna", "dawit"):
        assert main(["say", "ሰላም።", "--voice", name, "-o", str(tmp_path / f"{name}.wav")]) == 0
    assert (tmp_path / "hanna.wav").read_bytes() != (tmp_path / "dawit.wav").read_bytes()
    assert (
        main(["say", "ሰላም።", "--voice", "hanna=0.5", "--voice", "dawit=0.5", "-o", str(tmp_path / "b.wav")])
        == 0
    )
    capsys.readouterr()
    assert main(["say", "ሰላም።", "--voice", "hana", "-o", str(tmp_path / "x.wav")]) == 2
    assert "hana" in capsys.readouterr().err


def test_doctor_names_them(shipped: Path) -> None:
    assert doctor.examine(Path())["models"]["built-in voices"]["names"] == "hanna, dawit"


def test_the_model_is_a_base_of_training_by_its_name(shipped: Path, tmp_path: Path) -> None:
    project = Project.create(tmp_path / "abebe", template(ProjectSettings(name="abebe")))
    base = load_base(project, TrainSettings(base="small"), [], ignore)
    assert base.folder == shipped
    assert not base.random
    assert [one.code for one in base.remarks] == ["train.from_small"]
    assert set(base.learnt) == {"speaker", "dvae", "gpt", "decoder"}, "nothing of it is random"


def test_a_model_that_was_left_out_is_named(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin_voices, "FOLDER", shipped / "absent")
    project = Project.create(tmp_path / "abebe", template(ProjectSettings(name="abebe")))
    with pytest.raises(CheckpointError) as caught:
        load_base(project, TrainSettings(base="small"), [], ignore)
    assert caught.value.message.code == "xtts.no_small_model"
    assert "--size small" in caught.value.message.remedy("en")
