"""Curves where people look at them: real trackio and wandb, on this machine alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dimts.base.errors import MissingExtra
from dimts.base.plugins import has
from dimts.train import track

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_PROGRAM = """
import sys
from pathlib import Path
from dimts.train.track import Tracker
for steps in ((1, 2), (3, 4)):  # a run, and its going on
    tracker = Tracker(sys.argv[1], Path(sys.argv[2]), "run-1")
    for step in steps:
        tracker.write(step, {"loss": 4.0 - step / 2})
    tracker.close()
assert tracker.written == 2
"""


def _track(kind: str, folder: Path, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, kind, str(folder)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False", **environment},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_trackio_shows_the_curve_and_goes_on_with_it(tmp_path: Path) -> None:
    if not has("trackio"):
        pytest.skip("trackio is not installed: pip install 'dimts[trackio]'")
    _track("trackio", tmp_path, TRACKIO_DIR=str(tmp_path / "trackio"))
    program = (
        "import json; from trackio.sqlite_storage import SQLiteStorage as s; "
        "print(json.dumps([[one['step'], one['loss']] for one in s.get_logs('dimts', 'run-1')]))"
    )
    seen = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")},
        capture_output=True,
        text=True,
        timeout=800,
        check=True,
    )
    assert json.loads(seen.stdout.splitlines()[-1]) == [[1, 3.5], [2, 3.0], [3, 2.5], [4, 2.0]]


def test_wandb_keeps_the_curve_in_the_run_s_folder_when_offline(tmp_path: Path) -> None:
    if not has("wandb"):
        pytest.skip("wandb is not installed: pip install 'dimts[wandb]'")
    _track("wandb", tmp_path, WANDB_MODE="offline", WANDB_SILENT="true")
    files = list((tmp_path / "wandb").glob("offline-run-*/run-run-1.wandb"))
    assert len(files) >= 1
    assert sum(path.stat().st_size for path in files) > 500


def test_what_is_not_installed_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track, "has", lambda library: False)
    for kind in ("tensorboard", "trackio", "wandb"):
        with pytest.raises(MissingExtra, match=kind) as caught:
            track.require_tracker(kind)
        assert caught.value.message.remedy() == f"pip install 'dimts[{kind}]'"
    track.require_tracker("none")
