"""A run from manifest to voice: it learns, can be broken off anywhere, refuses what it cannot use."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import dimts.train.fine_tune as fine_tune_module
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError, ConfigError, DataError, DimtsError, TrainingError
from dimts.base.plugins import has
from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.train import runs
from dimts.train.early_stopping import StopSettings
from dimts.train.fine_tune import ALL_STEPS, PAUSED, FineTuneResult, fine_tune
from dimts.train.settings import BatchSettings, ReferenceSettings, TrainSettings
from dimts.train.snapshot import Checkpoints
from dimts.xtts.checkpoint import verify_bundle
from dimts.xtts.load import load
from dimts.xtts.model import XTTS

pytestmark = pytest.mark.usefixtures("small_engine")
MakeProject = Callable[..., Project]
SHORT = TrainSettings(steps=6, save_every=2, batches=BatchSettings(seconds=4))


def _state(run: FineTuneResult) -> dict[str, str]:
    """Fingerprints of all that a run leaves, times aside."""
    last = Checkpoints(run.folder / "checkpoints", 1).last()
    assert last is not None
    assert run.bundle is not None
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(last.iterdir())}
    found["voice"] = hashlib.sha256((run.bundle / "model.safetensors").read_bytes()).hexdigest()
    lines = [
        {key: value for key, value in line.items() if "second" not in key} for line in runs.read_log(run.log)
    ]
    found["log"] = hashlib.sha256(json.dumps(lines).encode()).hexdigest()
    return found


def _codes(events: list[Progress]) -> list[str]:
    return [event.message.code for event in events if event.message is not None]


class _Crash(Exception):
    """Stands for a power cut."""


def _breaking_at(step: int) -> Callable[[Progress], None]:
    def on_progress(progress: Progress) -> None:
        if progress.stage == "train" and progress.done >= step and "loss" in progress.values:
            raise _Crash

    return on_progress


def test_a_run_learns_and_leaves_a_voice_that_can_be_loaded(make_project: MakeProject) -> None:
    project = make_project()
    told: list[Progress] = []
    run = fine_tune(project, dataclasses.replace(SHORT, steps=24), told.append)
    assert run.steps == 24
    assert run.losses[-1] < run.losses[0] - 0.3
    assert run.dev_losses[-1] < run.dev_losses[0]
    assert run.bundle == project.voices / "project"
    assert verify_bundle(run.bundle) == []
    bundle = load(run.bundle, dvae=True)
    assert bundle.meta["rehearsal"] is True
    assert bundle.meta["metrics"]["dev_loss"] == pytest.approx(min(run.dev_losses))
    assert list(bundle.voices) == ["s1"]
    assert "rehearsal" in (run.bundle / "README.md").read_text()
    assert "train.rehearsal" in _codes(told)
    last = [progress for progress in told if progress.stage == "train"][-1]
    assert last.done == last.total == 24
    lines = runs.read_log(run.log)
    steps = [line for line in lines if line["kind"] == "step"]
    assert [line["step"] for line in steps] == list(range(1, 25))
    assert {"loss_text", "loss_mel", "learning_rate", "seconds", "audio_seconds_per_second"} <= steps[
        0
    ].keys()


@pytest.mark.parametrize(
    "at", [3, pytest.param(1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)]
)
def test_a_broken_run_ends_as_an_unbroken_one(make_project: MakeProject, at: int) -> None:
    settings = dataclasses.replace(SHORT, ema=0.9, batches=BatchSettings(seconds=4, accumulate=2))
    whole = fine_tune(make_project("whole"), settings)
    project = make_project("broken")
    with pytest.raises(_Crash):
        fine_tune(project, settings, _breaking_at(at))
    told: list[Progress] = []
    again = fine_tune(project, settings, told.append)
    assert "train.goes_on" in _codes(told) or at == 1
    assert len(list(project.runs.glob("2*"))) == 1
    assert again.losses == whole.losses
    ours, theirs = _state(again), _state(whole)
    assert ours == theirs


def test_averages_in_8_bits_are_smaller_and_go_on_bit_for_bit(make_project: MakeProject) -> None:
    if not has("bitsandbytes"):
        pytest.skip("bitsandbytes is not installed: pip install 'dimts[cuda]'")
    settings = dataclasses.replace(SHORT, optimizer="8bit")
    plain, whole = fine_tune(make_project("plain"), SHORT), fine_tune(make_project("whole"), settings)
    assert _state(whole) != _state(plain)
    assert whole.losses[-1] == pytest.approx(plain.losses[-1], abs=0.05)
    sizes = [
        next(run.folder.glob("checkpoints/*6/optimizer.safetensors")).stat().st_size for run in (whole, plain)
    ]
    assert sizes[0] < 0.5 * sizes[1]
    assert any(
        "optimizer_update_8bit" in str(fact.effect) for fact in whole.options if fact.option == "optimizer"
    )
    project = make_project("broken")
    with pytest.raises(_Crash):
        fine_tune(project, settings, _breaking_at(3))
    assert _state(fine_tune(project, settings)) == _state(whole)


def test_ctrl_c_saves_at_once_and_the_next_call_goes_on(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    asked: list[fine_tune_module.Interrupt] = []

    class Asked(fine_tune_module.Interrupt):
        def __enter__(self) -> fine_tune_module.Interrupt:
            asked.append(self)
            return self

        def __exit__(self, *_: object) -> None:
            """No handlers were set."""

        @contextlib.contextmanager
        def abandonable(self) -> Iterator[None]:
            yield

    monkeypatch.setattr(fine_tune_module, "Interrupt", Asked)

    def interrupt(progress: Progress) -> None:
        if progress.values and progress.done == 3:
            asked[-1].wanted = "SIGTERM"

    with pytest.raises(KeyboardInterrupt):
        fine_tune(project, dataclasses.replace(SHORT, save_every=100), interrupt)
    folder = next(project.runs.glob("2*"))
    assert Checkpoints(folder / "checkpoints", 2).last() == folder / "checkpoints" / "step-000003"
    assert fine_tune(project, dataclasses.replace(SHORT, save_every=100)).steps == 6
    assert not (project.runs / ".running").exists()


def test_a_signal_in_a_long_step_breaks_it_off_and_it_is_taken_again(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fine_tune(make_project("whole"), SHORT)
    project = make_project("broken")
    forward = XTTS.forward
    passes = 0

    def endless(self: XTTS, *given: Any, **named: Any) -> Any:
        nonlocal passes
        passes += self.training
        if passes == 4:
            os.kill(os.getpid(), signal.SIGTERM)
            while True:  # a step without an end, but with operations
                torch.zeros(1).add(1)
        return forward(self, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(XTTS, "forward", endless)
        with pytest.raises(KeyboardInterrupt):
            fine_tune(project, dataclasses.replace(SHORT, save_every=100))
    folder = next(project.runs.glob("2*"))
    assert Checkpoints(folder / "checkpoints", 2).last() == folder / "checkpoints" / "step-000003"
    again = fine_tune(project, dataclasses.replace(SHORT, save_every=100))
    assert again.losses == whole.losses


def test_a_pause_is_kept_and_resumed(make_project: MakeProject) -> None:
    project = make_project()

    def pause(progress: Progress) -> None:
        if progress.values and progress.done == 2:
            (next(project.runs.glob("2*")) / "pause").touch()

    run = fine_tune(project, SHORT, pause)
    assert (run.ended.code, run.bundle, run.steps) == (PAUSED, None, 2)
    assert fine_tune(project, SHORT).ended.code == ALL_STEPS


def test_pausing_what_does_not_run_is_said(make_project: MakeProject) -> None:
    with pytest.raises(TrainingError, match="no run is going on"):
        runs.request_pause(make_project())


def test_other_settings_begin_a_new_run_and_say_so(make_project: MakeProject) -> None:
    project = make_project()
    with pytest.raises(_Crash):
        fine_tune(project, SHORT, _breaking_at(3))
    told: list[Progress] = []
    fine_tune(project, dataclasses.replace(SHORT, learning_rate=1e-4), told.append)
    assert "train.new_run_begins" in _codes(told)
    assert len(list(project.runs.glob("2*"))) == 2


def test_what_changes_no_numbers_goes_on_with_the_run(make_project: MakeProject) -> None:
    whole = fine_tune(make_project("whole"), SHORT)
    project = make_project("changed")
    with pytest.raises(_Crash):
        fine_tune(project, SHORT, _breaking_at(3))
    told: list[Progress] = []
    other = dataclasses.replace(
        SHORT, keep=3, save_every=3, attention="sdpa", batches=BatchSettings(seconds=4)
    )
    again = fine_tune(project, other, told.append)
    assert again.losses == whole.losses
    assert len(list(project.runs.glob("2*"))) == 1
    assert "train.settings_changed" in _codes(told)
    line = next(line for line in runs.read_log(again.log) if line["kind"] == "settings")
    assert (line["step"], line["changed"]["keep"]) == (2, [2.0, 3.0])


def test_a_run_that_has_ended_can_be_lengthened(make_project: MakeProject) -> None:
    project = make_project()
    first = fine_tune(project, SHORT)
    longer = fine_tune(project, dataclasses.replace(SHORT, steps=9))
    assert (longer.folder, longer.steps, longer.losses[:6]) == (first.folder, 9, first.losses)
    assert (
        fine_tune(project, dataclasses.replace(SHORT, steps=9)).folder != first.folder
    )  # the same again is a new run


@pytest.mark.parametrize(
    ("attention", "packing", "checkpointing"),
    [
        ("eager", "off", "every 2"),
        pytest.param("eager", "auto", "off", marks=pytest.mark.slow),
        pytest.param("sdpa", "off", "off", marks=pytest.mark.slow),
        pytest.param("sdpa", "auto", "on", marks=pytest.mark.slow),
    ],
)
def test_kernels_packing_and_checkpointing_change_no_loss(
    make_project: MakeProject, attention: str, packing: str, checkpointing: str
) -> None:
    plain = TrainSettings(steps=3, dropout=0.0, batches=BatchSettings(seconds=60))
    other = dataclasses.replace(
        plain,
        attention=attention,
        checkpointing=checkpointing,
        loss_chunk=50 if checkpointing != "off" else 0,
        batches=BatchSettings(seconds=60, packing=packing),  # type: ignore[arg-type]
    )
    wanted = fine_tune(make_project("plain"), plain).losses
    assert fine_tune(make_project("other"), other).losses == pytest.approx(wanted, abs=1e-4)


def test_accumulated_passes_give_the_loss_of_one(make_project: MakeProject) -> None:
    one = TrainSettings(steps=4, dropout=0.0, batches=BatchSettings(seconds=60))
    four = dataclasses.replace(one, batches=BatchSettings(seconds=15, accumulate=4))
    wanted = fine_tune(make_project("one"), one).losses
    assert fine_tune(make_project("four"), four).losses == pytest.approx(wanted, abs=1e-5)


def test_early_stopping_ends_the_run_and_the_best_is_kept(make_project: MakeProject) -> None:
    settings = TrainSettings(
        steps=60,
        learning_rate=0.05,
        evaluate_every=1,
        keep=1,
        batches=BatchSettings(seconds=4),
        stop=StopSettings(patience=3, divergence_rises=0),
    )
    project = make_project()
    run = fine_tune(project, settings)
    assert run.steps < 60
    assert run.ended.code == "train.no_better_dev_loss"
    best = Checkpoints(run.folder / "checkpoints", 1).best()
    assert best is not None
    assert int(best.name[5:]) == run.steps - 3
    assert len(list((run.folder / "checkpoints").glob("step-*"))) == 2


def test_numbers_that_are_none_are_skipped_then_the_run_is_given_up(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dimts.train.trainer import Trainer

    def poisoned(self: Trainer, *args: object, **kwargs: object) -> dict[str, object]:
        if self.stats.steps >= 2:
            with torch.no_grad():
                self.model.gpt.mel_head.bias[0] = float("nan")
        return step(self, *args, **kwargs)  # type: ignore[arg-type]

    step = Trainer.step
    monkeypatch.setattr(Trainer, "step", poisoned)
    project = make_project()
    settings = dataclasses.replace(SHORT, steps=20, stop=StopSettings(bad_steps=2))
    with pytest.raises(TrainingError, match="not finite in 3 steps, last at step 4"):
        fine_tune(project, settings)
    folder = next(project.runs.glob("2*"))
    assert json.loads((folder / "bad_batch.json").read_text())["clips"]
    assert (folder / "bad_batch.safetensors").is_file()


def test_a_voice_can_be_trained_on(make_project: MakeProject) -> None:
    project = make_project()
    first = fine_tune(project, SHORT)
    again = fine_tune(project, dataclasses.replace(SHORT, base=str(first.bundle), learning_rate=1e-3))
    assert again.losses[0] < first.losses[-1] + 0.5


# What cannot be used


def _rows(project: Project) -> list[Utterance]:
    return Manifest.read(project.manifest)


def test_no_manifest_and_an_empty_one(make_project: MakeProject) -> None:
    project = make_project()
    Manifest.write(project.manifest, [dataclasses.replace(row, kept=False) for row in _rows(project)])
    with pytest.raises(DataError, match="nothing to train on"):
        fine_tune(project, SHORT)
    project.manifest.unlink()
    with pytest.raises(DataError, match="no manifest"):
        fine_tune(project, SHORT)


def test_a_missing_clip(make_project: MakeProject) -> None:
    project = make_project()
    (project.root / _rows(project)[2].path).unlink()
    with pytest.raises(DataError, match=f"clip {_rows(project)[2].id}: .* is missing"):
        fine_tune(project, SHORT)


@pytest.mark.parametrize(
    ("seconds", "value", "reason"),
    [
        (30.0, 0.1, "longer than the engine"),
        (0.3, 0.1, "shorter than"),
        (1.5, np.nan, r"not numbers|NaN|finite"),
    ],
)
def test_clips_that_cannot_be_learnt_stop_or_are_left_out(
    make_project: MakeProject, seconds: float, value: float, reason: str
) -> None:
    project = make_project()
    row = _rows(project)[1]
    samples = np.full(round(seconds * 22_050), 0.1, np.float32)
    samples[len(samples) // 2] = value
    soundfile.write(project.root / row.path, samples, 22_050, "FLOAT")
    with pytest.raises((DataError, AudioError), match=reason):
        fine_tune(project, SHORT)
    told: list[Progress] = []
    skipping = dataclasses.replace(SHORT, batches=BatchSettings(seconds=4, unusable="skip"))
    assert fine_tune(project, skipping, told.append).steps == 6
    assert any(row.id in str(progress.message) for progress in told)


def test_a_vocabulary_of_another_checkpoint(make_project: MakeProject) -> None:
    project = make_project()
    bundle = fine_tune(project, SHORT).bundle
    assert bundle is not None
    note = json.loads((bundle / "bundle.json").read_text())
    vocab = json.loads((bundle / "vocab.json").read_text())
    vocab["model"]["vocab"]["ጀ"] = note["spec"]["text_ids"]
    (bundle / "vocab.json").write_text(json.dumps(vocab))
    with pytest.raises(DimtsError, match="not the bundle's own"):
        fine_tune(project, dataclasses.replace(SHORT, base=str(bundle)))


def test_what_cannot_run_here_is_refused(make_project: MakeProject) -> None:
    project = make_project()
    with pytest.raises(ConfigError, match="CUDA"):
        fine_tune(project, dataclasses.replace(SHORT, attention="flash"))
    run = fine_tune(project, dataclasses.replace(SHORT, attention="flash", attention_fallback=True))
    assert any(
        "flash was asked for" in str(fact.effect)
        for fact in run.options
        if fact.option == "attention_fallback"
    )
    with pytest.raises(DimtsError, match="no such model folder"):
        fine_tune(project, dataclasses.replace(SHORT, base="nowhere"))
    with pytest.raises(ConfigError, match="coqui"):
        ReferenceSettings(mask="coqui")


def test_a_full_disk_keeps_the_last_good_checkpoint(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from dimts.train import snapshot

    project, write = make_project(), snapshot.save_file

    def full(tensors: dict[str, torch.Tensor], path: Path) -> None:
        if "step-000004" in str(path):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(tensors, path)

    monkeypatch.setattr(snapshot, "save_file", full)
    with pytest.raises(DimtsError, match="disk is full"):
        fine_tune(project, SHORT)
    folder = next(project.runs.glob("2*")) / "checkpoints"
    assert [path.name for path in folder.iterdir()] == ["step-000002"]
    monkeypatch.setattr(snapshot, "save_file", write)
    assert fine_tune(project, SHORT).steps == 6


def test_two_trainings_in_one_project_are_kept_apart(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project()
    project.runs.mkdir()
    (project.runs / ".running").write_text(str(os.getppid()))
    with pytest.raises(TrainingError, match="is training in this project"):
        fine_tune(project, SHORT)
    (project.runs / ".running").write_text("999999999")
    assert fine_tune(project, SHORT).steps == 6


def test_a_sample_is_spoken_and_disturbs_nothing(make_project: MakeProject) -> None:
    plain = fine_tune(make_project("plain"), SHORT)
    project = make_project("spoken")
    run = fine_tune(project, dataclasses.replace(SHORT, sample_every=3))
    assert run.losses == plain.losses
    samples = sorted((run.folder / "samples").glob("*.wav"))
    assert [path.stem for path in samples] == ["step-000003", "step-000006"]
    assert Wave.load(samples[0]).rate == 24_000
