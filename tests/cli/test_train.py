"""`dimts train` as typed: a voice at the end, goes on after kill -9, refuses with one line and a remedy."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from dimts.base.project import Project
from dimts.data.manifest import Manifest


@pytest.fixture(scope="module")
def helpers() -> ModuleType:
    """The maker of prepared projects of the training tests."""
    path = Path(__file__).parent.parent / "train" / "conftest.py"
    spec = importlib.util.spec_from_file_location("train_fixtures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path, helpers: ModuleType) -> Project:
    made: Project = helpers.prepared(tmp_path / "abebe", clips=6)
    return made


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "dimts", "train", *map(str, arguments)]


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(_command(*arguments), capture_output=True, text=True, timeout=200, check=False)


SHORT = ("--steps", 4, "--set", "train.batches.seconds=4", "--set", "train.save_every=1")


def test_the_command_trains_a_voice_and_says_what_it_is(project: Project) -> None:
    done = _run(project.root, *SHORT)
    assert done.returncode == 0, done.stderr
    assert (project.voices / "abebe" / "bundle.json").is_file()
    assert done.stdout.rstrip().endswith(str(project.voices / "abebe"))
    assert "rehearsal" in done.stderr
    assert "loss" in done.stderr
    assert "_scaled_dot_product" in done.stdout
    assert "ignored: train.parts" in done.stdout


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
    while not list(project.runs.glob("2*/checkpoints/step-*/state.json")):
        assert running.poll() is None
        time.sleep(0.05)  # only so as not to spin; the loop waits for the file
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


def _bad(project: Project, change: Callable[[Project], object], *arguments: object) -> str:
    change(project)
    done = _run(project.root, *SHORT, *arguments)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert "Traceback" not in done.stderr
    assert [line.split(":")[0] for line in lines[-2:]] == ["error", "hint"], done.stderr
    assert not list(project.voices.glob("*"))
    return lines[-2]


def test_bad_input_is_one_line_and_a_remedy(project: Project) -> None:
    def nothing(project: Project) -> None:
        """Only the arguments are wrong."""

    assert "unknown setting train.learning_rat" in _bad(project, nothing, "--set", "train.learning_rat=1")
    assert "no such model folder" in _bad(project, nothing, "--base", "/nowhere")
    assert "cannot run here" in _bad(project, nothing, "--set", "train.attention=flash")
    assert "nothing to train on" in _bad(project, lambda project: Manifest.write(project.manifest, []))


def test_no_project_and_nothing_to_pause(tmp_path: Path, project: Project) -> None:
    assert "no such project folder" in _run(tmp_path / "none").stderr
    done = _run(project.root, "--pause")
    assert done.returncode == 2
    assert "no run is going on" in done.stderr
