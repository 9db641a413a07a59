"""Every stage learns, goes on bit for bit after a kill, and says what it cannot use."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dimts.base.errors import ConfigError, DataError, DimtsError
from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.train import runs
from dimts.train.fine_tune import FineTuneResult, fine_tune
from dimts.train.pipeline import base_of_earlier_stages, train_stages
from dimts.train.settings import (
    BatchSettings,
    DecoderStageSettings,
    DvaeStageSettings,
    SpeakerStageSettings,
    SyntheticSettings,
    TrainSettings,
)
from dimts.train.snapshot import Checkpoints
from dimts.train.snapshot import load as load_snapshot
from dimts.xtts.load import load

pytestmark = pytest.mark.usefixtures("small_engine")
MakeProject = Callable[..., Project]
SHORT = TrainSettings(
    steps=6,
    save_every=2,
    evaluate_every=3,
    batches=BatchSettings(seconds=4),
    dvae=DvaeStageSettings(autoencoder_steps=2),
    decoder=DecoderStageSettings(discriminators="spectrogram", discriminator_after=1, speaker_weight=1.0),
)
STAGES = ("speaker", "dvae", "gpt", "decoder")


def _settings(stage: str, **changes: Any) -> TrainSettings:
    return dataclasses.replace(SHORT, stage=stage, **changes)


def _state(run: FineTuneResult) -> dict[str, str]:
    """Fingerprints of all that a run leaves, times aside."""
    last = Checkpoints(run.folder / "checkpoints", 1).last()
    assert last is not None
    assert run.bundle is not None
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(last.iterdir())}
    found |= {
        name: hashlib.sha256((run.bundle / name).read_bytes()).hexdigest() for name in ("model.safetensors",)
    }
    lines = [
        {key: value for key, value in line.items() if "second" not in key} for line in runs.read_log(run.log)
    ]
    found["log"] = hashlib.sha256(json.dumps(lines).encode()).hexdigest()
    return found


class _Crash(Exception):
    """Stands for a power cut."""


def _breaking_at(step: int) -> Callable[[Progress], None]:
    def on_progress(progress: Progress) -> None:
        if progress.stage == "train" and progress.done >= step and "loss" in progress.values:
            raise _Crash

    return on_progress


@pytest.mark.parametrize("stage", ["speaker", "dvae", "gpt", pytest.param("decoder", marks=pytest.mark.slow)])
def test_a_broken_run_of_a_stage_ends_as_an_unbroken_one(make_project: MakeProject, stage: str) -> None:
    settings = _settings(stage, ema=0.9)
    whole = fine_tune(make_project("whole"), settings)
    project = make_project("broken")
    with pytest.raises(_Crash):
        fine_tune(project, settings, _breaking_at(5))
    again = fine_tune(project, settings)
    assert len(list(project.runs.glob("2*"))) == 1
    assert again.losses == whole.losses
    assert _state(again) == _state(whole)
    assert {row.applied.code for row in whole.options if row.option == f"{stage}.steps"} <= {
        "train.option_off",
        "train.option_applied",
    }


@pytest.mark.slow
def test_several_optimizers_and_discriminators_lie_in_one_snapshot(make_project: MakeProject) -> None:
    run = fine_tune(make_project(), _settings("decoder"))
    last = Checkpoints(run.folder / "checkpoints", 1).last()
    assert last is not None
    snapshot = load_snapshot(last)
    assert {name.partition("/")[0] for name in snapshot.optimizer} == {"generator", "discriminator"}
    assert all(name.startswith("vocoder.") for name in snapshot.weights)
    assert any(name.startswith("discriminator.discriminators.2.") for name in snapshot.extras)


@pytest.mark.parametrize("stage", ["dvae", pytest.param("decoder", marks=pytest.mark.slow)])
def test_parts_of_a_step_give_the_losses_of_one(make_project: MakeProject, stage: str) -> None:
    one = _settings(stage, steps=3, batches=BatchSettings(seconds=60))
    two = _settings(stage, steps=3, batches=BatchSettings(seconds=30, accumulate=2))
    wanted = fine_tune(make_project("one"), one).losses
    assert fine_tune(make_project("two"), two).losses == pytest.approx(wanted, rel=1e-4)


def test_only_the_stage_s_own_part_is_changed(make_project: MakeProject) -> None:
    project = make_project()
    first = fine_tune(project, _settings("dvae"))
    assert first.bundle is not None
    before = load(first.bundle, dvae=True)
    assert before.meta["stages"] == ["dvae"]
    kept = {name: value.clone() for name, value in before.model.state_dict().items()}
    second = fine_tune(project, _settings("decoder", base=str(first.bundle)))
    assert second.bundle is not None
    after = load(second.bundle, dvae=True)
    assert after.meta["stages"] == ["decoder", "dvae"]
    changed = {
        name.partition(".")[0]
        for name, value in after.model.state_dict().items()
        if not kept[name].equal(value)
    }
    assert changed == {"vocoder"}


def test_synthetic_clips_need_no_recordings_and_come_again_after_a_break(tmp_path: Path) -> None:
    settings = SyntheticSettings(share=1.0, texts="texts.txt", clips=3, dev_clips=2, speakers=4, max_words=3)
    found = []
    for name in ("whole", "broken"):
        project = Project.create(tmp_path / name, '[text.g2p]\nbackends = ["rules"]\n')
        (project.root / "texts.txt").write_text(
            "ሰላም ለዓለም።\nዛሬ ጥሩ ቀን ነው።\nልጆች ትምህርት ቤት ሄዱ።\n", encoding="utf-8"
        )
        chosen = _settings("gpt", steps=4, synthetic=settings)
        if name == "broken":
            with pytest.raises(_Crash):
                fine_tune(project, chosen, _breaking_at(3))
        found.append(fine_tune(project, chosen))
    assert found[0].losses == found[1].losses
    assert _state(found[0]) == _state(found[1])


def test_synthetic_clips_join_those_of_the_manifest(make_project: MakeProject) -> None:
    synthetic = SyntheticSettings(share=0.5, dev_clips=2, speakers=4)
    run = fine_tune(make_project(), _settings("dvae", synthetic=synthetic, batches=BatchSettings(seconds=8)))
    row = next(row for row in run.options if row.option == "synthetic.share")
    assert row.effect.parameters["generated"] >= 1


@pytest.mark.slow
def test_all_stages_one_after_another_and_again_after_a_break(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_stages(make_project("whole"), SHORT, STAGES)
    assert [load(run.bundle, dvae=True).meta["stages"] for run in whole if run.bundle][-1] == sorted(STAGES)
    assert whole[-1].bundle is not None
    meta = load(whole[-1].bundle).meta
    assert (meta["rehearsal"], [run.bundle.name for run in whole[:-1] if run.bundle]) == (
        False,
        ["model"] * 3,
    )
    project = make_project("broken")
    monkeypatch.chdir(project.root.parent)
    project = Project(Path(project.root.name))  # as on a command line

    def break_in_the_gpt(progress: Progress) -> None:
        if progress.stage == "train" and "loss_mel" in progress.values and progress.done >= 4:
            raise _Crash

    with pytest.raises(_Crash):
        train_stages(project, SHORT, STAGES, break_in_the_gpt)
    events: list[Progress] = []
    again = train_stages(project, SHORT, STAGES, events.append)
    codes = [event.message.code for event in events if event.message is not None]
    assert codes.count("train.stage_done") == 2
    assert [run.losses for run in again] == [run.losses for run in whole]
    assert _state(again[-1])["model.safetensors"] == _state(whole[-1])["model.safetensors"]
    assert len(list(project.runs.glob("2*"))) == 4


def test_stages_of_a_later_command_go_on_from_the_stage_before(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project named by a relative path: DVAE, the same again, then a GPT by a command of its own."""
    project = make_project()
    monkeypatch.chdir(project.root.parent)
    project = Project(Path(project.root.name))
    short = dataclasses.replace(SHORT, steps=3, evaluate_every=0)
    assert base_of_earlier_stages(project, short, ("gpt",)) == (short, None)
    first = train_stages(project, short, ("dvae",))[-1]
    assert first.bundle is not None
    events: list[Progress] = []
    again = train_stages(project, short, ("dvae",), events.append)[-1]
    assert again.folder == first.folder
    after = train_stages(project, short, ("gpt",), events.append)[-1]
    assert {"train.stage_done", "train.base_of_earlier_stage"} <= {
        e.message.code for e in events if e.message
    }
    assert after.bundle is not None
    assert load(after.bundle).meta["stages"] == ["dvae", "gpt"]
    own = dataclasses.replace(short, base="elsewhere")
    assert base_of_earlier_stages(project, own, ("gpt",)) == (own, None)
    assert base_of_earlier_stages(project, short, ("speaker", "gpt")) == (short, None)


# Learning


@pytest.mark.slow
def test_the_dvae_learns_a_few_clips_and_uses_its_codes(make_project: MakeProject) -> None:
    own = DvaeStageSettings(autoencoder_steps=150, learning_rate=2e-3)
    run = fine_tune(
        make_project(), _settings("dvae", steps=500, evaluate_every=100, save_every=500, dvae=own)
    )
    lines = runs.read_log(run.log)
    steps = [line for line in lines if line["kind"] == "step"]
    assert steps[-1]["loss_reconstruction"] < 0.2 * steps[0]["loss_reconstruction"]
    assert steps[-1]["perplexity"] > 30


@pytest.mark.slow
def test_the_decoder_learns_a_few_clips(make_project: MakeProject) -> None:
    own = dataclasses.replace(SHORT.decoder, discriminator_after=1000, speaker_weight=0.0, learning_rate=1e-3)
    run = fine_tune(
        make_project(), _settings("decoder", steps=200, evaluate_every=100, save_every=200, decoder=own)
    )
    steps = [line for line in runs.read_log(run.log) if line["kind"] == "step"]
    assert steps[-1]["loss_mel"] < 0.6 * steps[0]["loss_mel"]


@pytest.mark.slow
def test_the_speaker_encoder_follows_its_teacher(make_project: MakeProject) -> None:
    run = fine_tune(make_project(), _settings("speaker", steps=60, evaluate_every=60, save_every=60))
    steps = [line for line in runs.read_log(run.log) if line["kind"] == "step"]
    assert steps[-1]["loss_distillation"] < 0.5 * steps[0]["loss_distillation"]


# Alarms and refusals


def test_a_collapsed_codebook_stops_the_run_with_a_remedy(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dimts.train.stages import dvae

    monkeypatch.setattr(dvae, "_SETTLING_STEPS", 0)
    own = DvaeStageSettings(autoencoder_steps=1, restart_below=0.0, min_perplexity=0.99)
    run = fine_tune(make_project(), _settings("dvae", dvae=own))
    assert run.steps == 3
    assert run.ended.code == "train.codebook_collapsed"
    effect = next(row.effect for row in run.options if row.option == "dvae.min_perplexity")
    assert effect.parameters["reason"].code == "train.codebook_collapsed"


def test_a_discriminator_that_wins_stops_the_run(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dimts.train.stages import decoder

    monkeypatch.setattr(decoder, "_WINNING_LOSS", 100.0)
    run = fine_tune(make_project(), _settings("decoder"))
    assert run.steps == 3
    assert run.ended.code == "train.discriminator_wins"


def test_what_a_stage_cannot_use_is_one_line(make_project: MakeProject) -> None:
    project = make_project()
    rows = [dataclasses.replace(row, speaker="one") for row in Manifest.read(project.manifest)]
    Manifest.write(project.manifest, rows)
    with pytest.raises(DataError, match="at least two speakers"):
        fine_tune(project, _settings("speaker"))
    with pytest.raises(ConfigError, match="makes none"):
        fine_tune(project, _settings("dvae", sample_every=1))
    with pytest.raises(ConfigError, match="autoencoder_steps"):
        fine_tune(project, _settings("dvae", dvae=DvaeStageSettings(autoencoder_steps=6)))
    with pytest.raises(ConfigError, match=r"train\.decoder"):
        DecoderStageSettings(crop_frames=1)
    with pytest.raises(ConfigError, match=r"train\.speaker"):
        SpeakerStageSettings(crop_seconds=0.1)


@pytest.mark.parametrize("stage", ["speaker", "dvae", "decoder"])
def test_silence_low_rates_and_too_little_speech_are_one_line_each(
    make_project: MakeProject, stage: str
) -> None:
    from dimts.audio.wave import Wave

    project = make_project()
    rows = Manifest.read(project.manifest)
    low = [
        dataclasses.replace(row, measures={"original_hz": 8000.0}) if row is rows[1] else row for row in rows
    ]
    Manifest.write(project.manifest, low)
    with pytest.raises(DataError, match=f"clip {rows[1].id}: .*8000 samples per second, below 16000"):
        fine_tune(project, _settings(stage))
    Manifest.write(project.manifest, rows[:1] + rows[-1:])
    with pytest.raises(DataError, match=r"needs \d+ s of speech, and there are 1\.2 s|two speakers"):
        fine_tune(project, _settings(stage))
    Manifest.write(project.manifest, rows)
    Wave.silence(1.5, 22_050).save(project.root / rows[2].path)
    with pytest.raises(DimtsError, match=f"clip {rows[2].id}: silent throughout"):
        fine_tune(project, _settings(stage))


def test_a_base_whose_dvae_is_newer_than_its_gpt_is_refused(make_project: MakeProject) -> None:
    project = make_project()
    gpt = fine_tune(project, SHORT)
    dvae = fine_tune(project, _settings("dvae", base=str(gpt.bundle)))
    with pytest.raises(Exception, match="after its GPT") as error:
        fine_tune(project, _settings("decoder", base=str(dvae.bundle)))
    assert "gpt,decoder" in str(error.value)


_KILLED = """
import os, signal, sys
import torch
torch.set_num_threads(1)
from dimts.xtts.spec import SPECS
from tests.train.conftest import SMALL
from tests.train.test_stages import _settings
SPECS["tiny"] = SMALL
from dimts.train.fine_tune import fine_tune
def watch(progress):
    if progress.stage == "train" and progress.done >= 5 and "loss" in progress.values:
        os.kill(os.getpid(), signal.SIGKILL)
fine_tune(sys.argv[1], _settings(sys.argv[2]), watch)
"""


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_kill_9_loses_nothing(make_project: MakeProject, stage: str) -> None:
    whole = fine_tune(make_project("whole"), _settings(stage))
    project = make_project("killed")
    done = subprocess.run([sys.executable, "-c", _KILLED, str(project.root), stage], check=False)
    assert done.returncode == -9
    again = fine_tune(project, _settings(stage))
    assert again.losses == whole.losses
    assert _state(again) == _state(whole)


def test_a_step_that_is_not_finite_is_given_up_in_any_stage(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dimts.base.errors import TrainingError
    from dimts.train.stages.dvae import DvaeStage

    before = DvaeStage.before_step

    def poisoned(self: DvaeStage, step: int) -> None:
        before(self, step)
        if step >= 3:
            with torch.no_grad():
                self.dvae.decoder[0].bias[0] = float("nan")

    monkeypatch.setattr(DvaeStage, "before_step", poisoned)
    project = make_project()
    with pytest.raises(TrainingError, match="not finite"):
        fine_tune(project, _settings("dvae", steps=20))
    folder = next(project.runs.glob("2*"))
    assert json.loads((folder / "bad_batch.json").read_text())["clips"]


@pytest.mark.parametrize("stage", ["gpt", pytest.param("decoder", marks=pytest.mark.slow)])
def test_a_rejected_step_leaves_the_gradient_scaler_usable(
    make_project: MakeProject, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    from dimts.train import distributed, preflight
    from dimts.train.capabilities import Choice
    from dimts.train.stages.stage import Term
    from dimts.train.trainer import Trainer

    scalers: list[torch.amp.GradScaler] = []

    def scaled(**_: object) -> Accelerator:
        accelerator = Accelerator(
            cpu=True, mixed_precision="bf16"
        )  # fp16 is for cards; its scaler runs on a CPU too
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        AcceleratorState._shared_state["_mixed_precision"] = "fp16"
        scalers.append(accelerator.scaler)
        return accelerator

    monkeypatch.setattr(distributed, "Accelerator", scaled)
    monkeypatch.setattr(preflight, "plan_precision", lambda asked, machine: Choice("fp16", "simulated", {}))
    backward = Trainer._backward

    def poisoned(self: Trainer, *args: Any) -> Any:
        stage, before = self.stage, self.stage.losses
        if self.stats.steps == 2:
            stage.losses = lambda phase, batch: {  # type: ignore[method-assign]
                name: Term(term.mean * float("nan"), term.count)
                for name, term in before(phase, batch).items()
            }
        try:
            return backward(self, *args)
        finally:
            stage.losses = before  # type: ignore[method-assign]

    monkeypatch.setattr(Trainer, "_backward", poisoned)
    run = fine_tune(make_project(), _settings(stage))
    steps = [line for line in runs.read_log(run.log) if line["kind"] == "step"]
    assert [step["skipped"] for step in steps] == [0, 0, 1, 1, 1, 1]
    assert scalers[0].get_scale() <= 512.0
    AcceleratorState._reset_state()
