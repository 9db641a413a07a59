"""Ctrl-C of a person who presses it twice: a saved run, and no traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.train.conftest import prepared

if os.name == "nt":
    pytest.skip("signals are sent in another way on Windows", allow_module_level=True)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0.0, 0.002, 0.02], ids=["at once", "2 ms", "20 ms"])
def test_two_interrupts_print_no_traceback(tmp_path: Path, gap: float) -> None:
    project = prepared(tmp_path / "project", clips=4, dev=1)
    command = [
        sys.executable,
        "-m",
        "dimts",
        "--log",
        "json",
        "train",
        "run",
        str(project.root),
        "--steps",
        "100000",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            event = json.loads(line)
            if event.get("stage") == "train" and event.get("done", 0) >= 2:
                break
        process.send_signal(signal.SIGINT)
        time.sleep(gap)  # what is tested is this distance
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert "Traceback" not in rest, rest
    assert "Exception ignored" not in rest, rest
