"""The page as gradio knows it: what gradio does with what comes while an event is handled."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from dimts.web.workspace import Workspace

OF_VALUES = {"input", "blur", "select", "change"}
# in a process of its own: gradio leaves event loops open
CODE = """
import json, sys
from pathlib import Path
from dimts.web import page
from dimts.web.settings import WebSettings
from dimts.web.synthesis import Speakers, Streams
from dimts.web.workspace import Workspace
blocks = page.build("en", Workspace(Path(sys.argv[1])), Streams(), Speakers(), WebSettings())
print(json.dumps([(one["targets"], one["trigger_mode"]) for one in blocks.get_config_file()["dependencies"]]))
"""


def test_no_value_is_dropped_while_the_one_before_is_handled(workspace: Workspace) -> None:
    pytest.importorskip("gradio")
    command = [sys.executable, "-W", "ignore", "-c", CODE, str(workspace.root)]
    events = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    found = [(name, mode) for targets, mode in events for _, name in targets if name in OF_VALUES]
    assert {name for name, _ in found} == OF_VALUES
    assert {mode for _, mode in found} == {"always_last"}
