"""Codes are made once per clip and engine, survive a broken pass, and give back the very samples of the
clip."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dimts.audio.wave import Wave
from dimts.base.errors import DataError
from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.train import code_cache
from dimts.train.code_cache import Coder, CodeStore, cache_codes
from dimts.xtts.model import XTTS
from dimts.xtts.spec import SPECS

MakeProject = Callable[..., Project]


@pytest.fixture(scope="module")
def model() -> XTTS:
    return XTTS.build(SPECS["tiny"], 0)


@pytest.fixture
def coder(model: XTTS) -> Coder:
    assert model.dvae is not None
    return Coder(model.dvae, model.mel_stats, model.spec)


def test_samples_come_back_exactly_and_codes_are_those_of_the_engine(
    make_project: MakeProject, coder: Coder, model: XTTS
) -> None:
    project = make_project(clips=3)
    rows = Manifest.read(project.manifest)
    store, clips = cache_codes(project, rows, coder)
    for row in rows:
        wave = torch.from_numpy(Wave.load(project.root / row.path, 22_050).samples)
        assert torch.equal(store.audio(clips[row.id]), wave)
        assert torch.equal(store.audio(clips[row.id], 100, 200), wave[100:200])
        assert torch.equal(store.codes(clips[row.id]), model.codes(wave[None])[0])
        assert store.samples(clips[row.id]) == len(wave)


def test_a_second_pass_computes_nothing_and_a_changed_clip_alone_is_new(
    make_project: MakeProject, coder: Coder, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(clips=3)
    rows = Manifest.read(project.manifest)
    asked: list[int] = []
    encode = Coder.__call__

    def counted(self: Coder, audio: torch.Tensor) -> torch.Tensor:
        asked.append(len(audio))
        return encode(self, audio)

    monkeypatch.setattr(Coder, "__call__", counted)
    cache_codes(project, rows, coder)
    assert len(asked) == len(rows)
    cache_codes(project, rows, coder)
    assert len(asked) == len(rows)
    Wave(np.full(30_000, 0.01, np.float32), 22_050).save(project.root / rows[0].path)
    cache_codes(project, rows, coder)
    assert asked[len(rows) :] == [30_000]


def test_a_broken_pass_goes_on_and_a_broken_shard_is_made_again(
    make_project: MakeProject, coder: Coder, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(clips=4, dev=0)
    rows = Manifest.read(project.manifest)
    monkeypatch.setattr(code_cache, "_SHARD_SECONDS", 1.0)

    def cut(progress: Progress) -> None:
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache_codes(project, rows, coder, cut)
    shards = sorted((project.codes / coder.name).glob("shard-*"))
    assert len(shards) == 2
    store, clips = cache_codes(project, rows, coder)
    assert all(clip in store for clip in clips.values())
    wanted = store.codes(clips[rows[0].id])
    shards[0].write_bytes(shards[0].read_bytes()[:100])
    store, clips = cache_codes(project, rows, coder)
    assert torch.equal(store.codes(clips[rows[0].id]), wanted)


def test_another_engine_has_codes_of_its_own(make_project: MakeProject, coder: Coder) -> None:
    other = XTTS.build(SPECS["tiny"], 1)
    assert other.dvae is not None
    assert Coder(other.dvae, other.mel_stats, other.spec).name != coder.name


def test_a_clip_outside_or_absent_is_named(make_project: MakeProject, coder: Coder) -> None:
    project = make_project(clips=2, dev=0)
    rows = Manifest.read(project.manifest)
    gone = dataclasses.replace(rows[0], path="clips/gone.wav")
    with pytest.raises(DataError, match=rf"clip {rows[0].id}: clips/gone\.wav is missing"):
        cache_codes(project, [gone], coder)
    told: list[Progress] = []
    _, clips = cache_codes(project, [gone, rows[1]], coder, told.append, skip=True)
    assert list(clips) == [rows[1].id]
    assert any(
        progress.message is not None and progress.message.code == "train.left_out" for progress in told
    )


def test_an_empty_store(tmp_path: Path) -> None:
    assert "x" not in CodeStore.open(tmp_path)
