"""`dimts train` as typed: a voice at the end, goes on after kill -9, refuses with one line and a remedy."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

import dimts
from dimts.base.plugins import has
from dimts.base.project import Project
from dimts.cli.main import main
from dimts.data.manifest import Manifest
from dimts.train.snapshot import Checkpoints, load


@pytest.fixture
def project(tmp_path: Path, helpers: ModuleType) -> Project:
    made: Project = helpers.prepared(tmp_path / "abebe", clips=6)
    return made


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "dimts", "train", *map(str, arguments)]


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(*arguments), capture_output=True, text=True, timeout=200, check=False)


def _until(running: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    """Wait for something a running command does; its own words are told if it ends before."""
    while not there():
        if running.poll() is not None:
            raise AssertionError(running.communicate()[1])
        time.sleep(0.05)  # only so as not to spin


SHORT = ("--steps", 4, "--set", "train.batches.seconds=4", "--set", "train.save_every=1")


def test_the_command_trains_a_voice_and_says_what_it_is(project: Project) -> None:
    done = _run(project.root, *SHORT)
    assert done.returncode == 0, done.stderr
    assert (project.voices / "abebe" / "bundle.json").is_file()
    assert done.stdout.rstrip().endswith(str(project.voices / "abebe"))
    assert "random weights" in done.stderr
    assert "loss" in done.stderr
    assert "_scaled_dot_product" in done.stdout
    assert "ignored: train.trainable" in done.stdout


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGTERM, 130),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_a_signal_loses_nothing(project: Project, number: signal.Signals, code: int) -> None:
    endless = ("--steps", 4000, "--set", "train.batches.seconds=2", "--set", "train.save_every=1")
    endless += ("--set", "train.stop.patience=0", "--set", "train.stop.divergence_rises=0")
    running = subprocess.Popen(_command(project.root, *endless), stderr=subprocess.PIPE, text=True)
    _until(running, lambda: bool(list(project.runs.glob("2*/checkpoints/step-*/state.json"))))
    running.send_signal(number)
    _, told = running.communicate(timeout=60)
    assert running.returncode == code
    if code == 130:
        assert "what is done is kept" in told
    again = subprocess.Popen(_command(project.root, *endless), stderr=subprocess.PIPE, text=True)
    assert again.stderr is not None
    assert any("going on with" in line for line in again.stderr)
    again.kill()
    again.communicate()
    assert len(list(project.runs.glob("2*"))) == 1


def _bad(project: Project, capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    code = main(["train", str(project.root), *map(str, SHORT), *map(str, arguments)])
    told = capsys.readouterr().err
    lines = [line for line in told.splitlines() if line]
    assert code == 2, told
    assert "Traceback" not in told
    assert [line.split(":")[0] for line in lines[-2:]] == ["error", "hint"], told
    assert not list(project.voices.glob("*"))
    return lines[-2]


def test_bad_input_is_one_line_and_a_remedy(project: Project) -> None:
    done = _run(project.root, "--set", "train.learning_rat=1")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2:] == [
        "error: unknown setting train.learning_rat",
        "hint: did you mean 'learning_rate'?",
    ]


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("--base=/nowhere", "no such model folder"),
        ("train.attention=flash", "'flash' cannot run here: needs a CUDA card"),
        ("train.attention=xformers", "'xformers' cannot run here: needs a CUDA card"),
        ("train.precision=fp16", "fp16"),
        ("train.best_by=beauty", "unknown metric 'beauty'"),
        ("train.sharding=full", "shares the weights among processes, and there is one"),
        ("train.tracker=wandb", "wandb is needed for this"),
        ("train.adapter_folder=true", "adapter_folder only with"),
    ],
)
def test_settings_that_cannot_be_are_one_line(
    project: Project, capsys: pytest.CaptureFixture[str], setting: str, reason: str
) -> None:
    if "wandb" in setting and has("wandb"):
        pytest.skip("wandb is installed here")
    assert reason in _bad(project, capsys, *((setting,) if setting.startswith("--") else ("--set", setting)))


def _nothing_kept(project: Project) -> None:
    Manifest.write(project.manifest, [])


def _no_clip(project: Project) -> None:
    (project.root / Manifest.read(project.manifest)[0].path).unlink()


def _replaced(project: Project, seconds: float, value: float) -> None:
    samples = np.full(round(seconds * 22_050), 0.1, np.float32)
    samples[len(samples) // 2] = value
    soundfile.write(project.root / Manifest.read(project.manifest)[0].path, samples, 22_050, "FLOAT")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_nothing_kept, "nothing to train on"),
        (_no_clip, "is missing"),
        (partial(_replaced, seconds=30.0, value=0.1), "longer than the engine's"),
        (partial(_replaced, seconds=0.3, value=0.1), "shorter than"),
        (partial(_replaced, seconds=1.5, value=float("nan")), "not numbers"),
    ],
    ids=["empty manifest", "clip gone", "clip too long", "clip too short", "NaN in the sound"],
)
def test_clips_that_cannot_be_learnt_are_one_line(
    project: Project, capsys: pytest.CaptureFixture[str], spoil: Callable[[Project], None], reason: str
) -> None:
    spoil(project)
    assert reason in _bad(project, capsys)


def test_a_base_that_does_not_fit_is_one_line(
    project: Project, capsys: pytest.CaptureFixture[str], tmp_path: Path, shared: Path
) -> None:
    without_codes, other_words = tmp_path / "without-codes", tmp_path / "other-words"
    for folder in (without_codes, other_words):
        shutil.copytree(shared / "golden", folder)
    (without_codes / "dvae.safetensors").unlink()
    assert "dvae" in _bad(project, capsys, "--base", without_codes).lower()
    vocabulary = json.loads((other_words / "vocab.json").read_text())
    vocabulary["model"]["vocab"]["ጀጀጀ"] = len(vocabulary["model"]["vocab"]) + 7
    (other_words / "vocab.json").write_text(json.dumps(vocabulary))
    assert "gpt.text_embedding" in _bad(project, capsys, "--base", other_words)


def test_codes_that_are_lost_or_damaged_are_made_again(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(project.root), *map(str, SHORT)]
    assert main(arguments) == 0
    first = _losses(project)
    (shard,) = project.codes.glob("*/shard-*.safetensors")
    shard.write_bytes(shard.read_bytes()[:1000])
    assert main([*arguments, "--new"]) == 0
    assert _losses(project) == first
    capsys.readouterr()


def _losses(project: Project) -> list[float]:
    log = max(project.runs.glob("2*")) / "log.jsonl"
    return [line["loss"] for line in map(json.loads, log.read_text().splitlines()) if line["kind"] == "step"]


@pytest.fixture
def small_disk(project: Project) -> Iterator[Callable[[int], None]]:
    """A file system of its own for the project's runs; called with MiB, it gets that size. Skips where it may
    not."""

    def mount(*options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(project.runs)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    project.runs.mkdir(exist_ok=True)
    if sys.platform != "linux" or not mount("size=8m"):
        pytest.skip("only the administrator of a Linux machine can mount a small disk")
    try:
        yield lambda size: None if mount("remount", f"size={size}m") else pytest.fail("cannot remount")
    finally:
        subprocess.run(["umount", str(project.runs)], check=True)


@pytest.mark.slow
def test_a_disk_that_is_full_stops_the_run_with_the_last_checkpoint_intact(
    project: Project, small_disk: Callable[[int], None]
) -> None:
    done = _run(project.root, *SHORT)
    assert done.returncode == 2, done.stderr
    assert "the disk is full" in done.stderr.splitlines()[-2]
    assert not list(project.voices.glob("*"))
    shutil.rmtree(next(project.runs.glob("2*")))

    small_disk(500)
    assert _run(project.root, *SHORT).returncode == 0
    wanted = _losses(project)
    one = sum(path.stat().st_size for path in max(project.runs.glob("2*/checkpoints/step-*")).iterdir())
    for left in project.runs.glob("2*"):
        shutil.rmtree(left)
    small_disk(int(2.5 * one / 2**20))  # room for two checkpoints, and half of a third
    done = _run(project.root, *SHORT)
    assert done.returncode == 2, done.stderr
    assert "the disk is full" in done.stderr.splitlines()[-2]
    kept = Checkpoints(next(project.runs.glob("2*")) / "checkpoints", 2)
    assert [path.name for path in kept.all()] == ["step-000001", "step-000002"]
    assert not list(kept.folder.glob(".step-*"))
    assert [load(path).step for path in kept.all()] == [1, 2]  # by their fingerprints
    small_disk(500)
    done = _run(project.root, *SHORT)
    assert done.returncode == 0, done.stderr
    assert "going on with" in done.stderr
    assert _losses(project) == wanted


@pytest.mark.slow
def test_a_pause_asked_for_in_another_terminal(project: Project) -> None:
    arguments = (
        project.root,
        "--steps",
        300,
        "--set",
        "train.batches.seconds=2",
        "--set",
        "train.save_every=1000",
    )
    arguments += ("--set", "train.evaluate_every=1000")
    running = subprocess.Popen(_command(*arguments), stderr=subprocess.PIPE, text=True)
    _until(
        running,
        lambda: any(len(log.read_text().splitlines()) > 1 for log in project.runs.glob("2*/log.jsonl")),
    )
    asked = _run(project.root, "--pause")
    assert asked.returncode == 0, asked.stderr
    assert "to save and end" in asked.stderr
    _, told = running.communicate(timeout=120)
    assert running.returncode == 0
    assert "paused: the same command goes on" in told
    (saved,) = Checkpoints(next(project.runs.glob("2*")) / "checkpoints", 2).all()
    assert 0 < load(saved).step < 300
    again = subprocess.Popen(_command(*arguments), stderr=subprocess.PIPE, text=True)
    assert again.stderr is not None
    assert any("going on with" in line for line in again.stderr)
    again.kill()
    again.communicate()


@pytest.mark.slow
def test_the_best_checkpoint_by_a_figure_of_the_evaluation(project: Project) -> None:
    for name in ("per", "likeness"):
        by = (
            "--set",
            f"train.best_by={name}",
            "--set",
            "train.evaluate_every=2",
            "--set",
            "train.best_clips=1",
            "--new",
        )
        done = _run(project.root, *SHORT, *by)
        assert done.returncode == 0, done.stderr
        run = max(project.runs.glob("2*"))
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        scores = {line["step"]: line[name] for line in lines if line["kind"] == "evaluation"}
        assert list(scores) == [2, 4]
        if not any(
            score is not None for score in scores.values()
        ):  # four steps make no voice to be likened to
            assert name == "likeness"
            assert "likeness could be measured in no sentence at this step" in done.stderr
            assert (
                "likeness could be measured at no evaluation: the voice has the last weights" in done.stderr
            )
            assert not (run / "checkpoints" / "best.json").exists()
            continue
        best = json.loads((run / "checkpoints" / "best.json").read_text())
        right = (min if name == "per" else max)(scores.values())
        assert best[name] == right
        assert scores[best["step"]] == right
        assert f"- {name}: {right:.3f}" in (project.voices / "abebe" / "README.md").read_text()


def test_what_can_be_seen_of_a_run(project: Project) -> None:
    done = _run(project.root, *SHORT, "--set", "train.sample_every=2", "--set", "train.tracker=tensorboard")
    assert done.returncode == 0, done.stderr
    assert "audio_seconds_per_second=" in done.stderr
    (run,) = project.runs.glob("2*")
    assert [path.name for path in sorted((run / "samples").glob("*"))] == [
        "step-000002.wav",
        "step-000004.wav",
    ]
    assert "spoke step-000002.wav" in done.stderr
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"step", "evaluation", "sample"}
    read = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = read.EventAccumulator(str(run / "tensorboard")).Reload()
    curve = [(event.step, event.value) for event in events.Scalars("loss")]
    assert curve == [
        (step, pytest.approx(loss, rel=1e-6)) for step, loss in enumerate(_losses(project), start=1)
    ]


RECIPES = sorted((Path(dimts.__file__).parent / "recipes").glob("*.toml"))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_can_be_forecast(
    tmp_path: Path, helpers: ModuleType, capsys: pytest.CaptureFixture[str], recipe: Path, shared: Path
) -> None:
    project: Project = helpers.prepared(
        tmp_path / "abebe", clips=10
    )  # a step of a recipe has up to 8 forward passes
    with (project.root / "dimts.toml").open("a", encoding="utf-8") as file:
        file.write("\n" + recipe.read_text(encoding="utf-8"))
    (project.root / "sentences.txt").write_text("ሰላም ለዓለም። ዛሬ ጥሩ ቀን ነው።\n", encoding="utf-8")
    base = () if recipe.stem == "cpu-tiny" else ("--base", str(shared / "golden"))
    assert main(["train", str(project.root), "--dry-run", *base]) == 0, capsys.readouterr().err
    told = capsys.readouterr().out
    for word in (
        "weights",
        "gradients",
        "optimizer",
        "activations",
        *(f"{size} GB" for size in (4, 8, 12, 16, 24, 80)),
    ):
        assert word in told, told
    assert not list(project.runs.glob("2*"))


def test_no_project_and_nothing_to_pause(
    tmp_path: Path, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(tmp_path / "none")]) == 2
    assert "no such project folder" in capsys.readouterr().err
    assert main(["train", str(project.root), "--pause"]) == 2
    assert "no run is going on" in capsys.readouterr().err
