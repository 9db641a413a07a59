"""dimts data …, as people type it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dimts.audio.formant import Formant
from dimts.audio.wave import Wave
from dimts.base.project import Project
from dimts.cli.main import main
from dimts.text.g2p.rules import Rules

TEXTS = ("ሰላም ለዓለም", "እንዴት ናችሁ", "ዛሬ ጥሩ ቀን ነው")


@pytest.fixture
def home_of_voice(tmp_path: Path) -> Path:
    """A project with three recordings, and one that is broken."""
    project = Project.create(tmp_path / "voice", '[text.g2p]\nbackends = ["rules"]\n')
    for number, text in enumerate(TEXTS):
        wave = Formant().speak(Rules().phones(text.split()), "።")
        Wave(np.pad(wave.samples, 12_000), wave.rate).save(project.recordings / f"a{number}.wav")
        (project.recordings / f"a{number}.txt").write_text(text, encoding="utf-8")
    (project.recordings / "bad.wav").write_bytes(b"")
    (project.recordings / "bad.txt").write_text("ሰላም", encoding="utf-8")
    return project.root


def test_prepare_says_what_was_kept_and_why_not(
    home_of_voice: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "prepare", str(home_of_voice), "--speaker", "abebe"]) == 0
    out, err = capsys.readouterr()
    assert "3 clips kept" in out
    assert "1  unreadable" in out
    assert "set aside bad:" in err
    assert "0 bytes" in err


def test_stats_are_a_table_or_json(home_of_voice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "prepare", str(home_of_voice), "--speaker", "abebe"])
    capsys.readouterr()
    assert main(["data", "stats", str(home_of_voice)]) == 0
    table = capsys.readouterr().out
    assert "abebe" in table
    assert "diphones" in table
    assert main(["data", "stats", str(home_of_voice), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["kept"] == 3
    assert figures["speakers"]["abebe"]["clips"] == 3


def test_check_lists_doubts_and_judges(home_of_voice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "prepare", str(home_of_voice)])
    capsys.readouterr()
    assert main(["data", "check", str(home_of_voice)]) == 1  # a few seconds make no voice
    shown = capsys.readouterr().out
    assert "unfit" in shown
    assert "bad" in shown
    assert main(["data", "check", str(home_of_voice), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "unfit"
    assert found["issues"]["unreadable"] == {"utterances": 1, "set_aside": 1}


def test_settings_can_be_given_for_one_run(home_of_voice: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "prepare", str(home_of_voice), "--set", "data.segment.min_seconds=1.5"]) == 0
    assert "too_short" in capsys.readouterr().out
    assert main(["data", "prepare", str(home_of_voice), "--set", "data.segment.min_second=1.5"]) == 2
    assert "min_seconds" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["stats", "check"])
def test_without_a_manifest_the_remedy_is_named(
    home_of_voice: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main(["data", command, str(home_of_voice)]) == 2
    assert "dimts data prepare" in capsys.readouterr().err


def test_nothing_to_prepare_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Project.create(tmp_path / "voice", "")
    assert main(["data", "prepare", str(tmp_path / "voice")]) == 2
    assert "no recordings" in capsys.readouterr().err
    assert main(["data", "prepare", str(tmp_path / "voice"), "nowhere"]) == 2
    assert "nowhere" in capsys.readouterr().err
    assert main(["data", "prepare", str(tmp_path / "none")]) == 2
    assert "dimts new" in capsys.readouterr().err


def test_a_script_is_chosen_from_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.txt"
    text.write_text("ትናንት ማታ ኃይለኛ ነፋስ ስለነበር ዛፎች ወደቁ።\nአያቴ የድሮ ታሪክ ይነግሩን ነበር።\n", encoding="utf-8")
    assert main(["data", "script", str(text), "-n", "1", "-o", str(tmp_path / "metadata.tsv")]) == 0
    assert "1 sentences" in capsys.readouterr().err
    rows = (tmp_path / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "id\tpath\ttext"
    assert len(rows) == 2


def test_recordings_are_brought_in(
    home_of_voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.wav").write_bytes((home_of_voice / "recordings" / "a0.wav").read_bytes())
    assert main(["data", "add", str(home_of_voice), str(tmp_path / "new.wav")]) == 0
    assert "1 files added" in capsys.readouterr().out
    assert (home_of_voice / "recordings" / "new.wav").is_file()
    assert main(["data", "add", str(home_of_voice), str(tmp_path / "none.wav")]) == 2


def test_a_person_decides_and_exports(
    home_of_voice: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dimts.data.manifest import Manifest

    main(["data", "prepare", str(home_of_voice)])
    first, second, *_ = (row.id for row in Manifest.read(home_of_voice / "manifest.jsonl") if row.kept)
    capsys.readouterr()
    assert main(["data", "set", str(home_of_voice), first, "--drop"]) == 0
    assert "dropped" in capsys.readouterr().out
    assert main(["data", "set", str(home_of_voice), first]) == 2
    assert "--keep" in capsys.readouterr().err
    assert main(["data", "remove", str(home_of_voice), second]) == 0
    assert "1 utterances removed; 1 of them were kept" in capsys.readouterr().out
    assert main(["data", "remove", str(home_of_voice)]) == 2
    capsys.readouterr()
    assert main(["data", "export", str(home_of_voice), "-o", str(tmp_path / "out"), "--as", "ljspeech"]) == 0
    assert "1 clips" in capsys.readouterr().out
    assert len((tmp_path / "out" / "metadata.csv").read_text(encoding="utf-8").splitlines()) == 1
