"""`dimts --log json`: one JSON object for each event; and the same command in Amharic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from dimts.base.messages import Message


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dimts", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, **environment},
    )


def test_an_error_is_an_event_with_code_parameters_text_and_remedy() -> None:
    done = run("--log", "json", "say", "--input", "no{such}.txt", "-o", "a.wav")
    assert done.returncode == 2
    (event,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert (event["event"], event["code"], event["parameters"]) == (
        "error",
        "cli.no_such_text",
        {"path": "no{such}.txt"},
    )
    assert event["text"] == "no such text file: no{such}.txt"
    assert event["remedy"]
    assert Message.from_dict(event).text("am") != event["text"]


def test_work_and_its_end_are_events(tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("ሰላም\nhello\n?\n", encoding="utf-8")
    done = run("--log", "json", "say", "--input", str(lines), "--out-dir", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert {event["event"] for event in events} <= {"progress", "note", "warning"}
    last = [event for event in events if event["event"] == "progress"][-1]
    assert (last["stage"], last["done"], last["total"], last["unit"]) == ("say", 3, 3, "paragraphs")
    assert events[-1]["code"] == "cli.batch_done"


def test_the_command_speaks_amharic_where_asked() -> None:
    done = run("say", "--input", "no.txt", "-o", "a.wav", DIMTS_LANG="am")
    assert done.returncode == 2
    assert done.stderr.startswith("ስሕተት: እንዲህ ያለ የጽሑፍ ፋይል የለም፦ no.txt")


def test_a_language_without_messages_is_named() -> None:
    done = run("--version", DIMTS_LANG="xx")
    assert done.returncode == 0
    assert "DIMTS_LANG=xx" in done.stderr


def test_another_form_of_log_is_refused() -> None:
    done = run("--log", "yaml", "doctor")
    assert done.returncode == 2
    assert "text or json" in done.stderr
