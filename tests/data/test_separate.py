"""Taking music away from under a voice: refused without weights, and with some, Demucs itself runs."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimts.base.errors import DataError
from dimts.base.project import Project
from dimts.data.clean import CleanSettings, clean
from dimts.data.context import PrepareSettings
from dimts.data.manifest import Manifest
from dimts.data.prepare import prepare
from dimts.data.separate import find_weights, voice_of


def test_without_weights_it_is_refused_before_anything_is_done(
    project: Project, corpus: Any, tmp_path: Path
) -> None:
    settings = PrepareSettings(clean=CleanSettings(separate=str(tmp_path / "demucs")))
    with pytest.raises(DataError, match="no Demucs weights") as caught:
        prepare(project, [corpus(1)], settings)
    assert "hf download adefossez/HTDemucs" in caught.value.message.remedy()
    assert not project.clips.exists()
    (tmp_path / "demucs").mkdir()
    with pytest.raises(DataError, match="no Demucs weights"):
        find_weights(str(tmp_path / "demucs"))


def weights(folder: Path, klass: str = "demucs.htdemucs.HTDemucs") -> Path:
    """A Demucs of the smallest size with random weights, in the file format of the published one."""
    torch = pytest.importorskip("torch")
    demucs = pytest.importorskip("demucs.htdemucs")
    files = pytest.importorskip("safetensors.torch")
    options = {"sources": ["drums", "bass", "other", "vocals"], "channels": 8, "t_layers": 1, "t_heads": 2}
    torch.manual_seed(0)
    state = {
        name: tensor.contiguous().clone() for name, tensor in demucs.HTDemucs(**options).state_dict().items()
    }
    folder.mkdir()
    facts = {"klass": klass, "args": json.dumps([]), "kwargs": json.dumps(options)}
    files.save_file(state, str(folder / "955717e8.safetensors"), metadata=facts)
    return folder


@pytest.mark.slow
def test_demucs_itself_runs_on_every_clip(project: Project, corpus: Any, tmp_path: Path, speech: Any) -> None:
    """Random weights ruin the voice; what counts is that it was asked, that lengths stay, and that rows say
    so."""
    place = str(weights(tmp_path / "demucs"))
    wave = speech.room(speech.said(speech.sentence(4)).wave).resample(22_050)
    voice = voice_of(wave, place)
    assert (voice.rate, len(voice.samples)) == (wave.rate, len(wave.samples))
    assert np.isfinite(voice.samples).all()
    assert not np.allclose(voice.samples, wave.samples, atol=1e-3)
    assert np.array_equal(voice.samples, voice_of(wave, place).samples)  # no random shifts
    assert clean(wave, CleanSettings(separate=place)).steps[0] == "vocals by Demucs"
    settings = PrepareSettings(clean=CleanSettings(separate=place))
    with contextlib.suppress(DataError):  # nothing that can be used is left of it
        prepare(project, [corpus(1)], settings)
    (row,) = Manifest.read(project.manifest)
    assert row.cleaned[0] == "vocals by Demucs"


def test_a_file_that_names_another_class_is_not_built(tmp_path: Path, speech: Any) -> None:
    place = weights(tmp_path / "demucs", "subprocess.Popen")
    with pytest.raises(DataError, match=r"subprocess\.Popen"):
        voice_of(speech.said(speech.sentence(4)).wave, str(place))
