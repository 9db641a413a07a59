"""`dimts evaluate watermark`: what is found in files, and what it says without the extra."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dimts.audio.watermark import has_watermark
from dimts.cli.main import main


def test_without_the_extra_it_names_the_command_that_installs_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if has_watermark():
        pytest.skip("the extra 'watermark' is installed")
    assert main(["say", "--voice", "formant", "ሰላም", "-o", str(tmp_path / "a.wav")]) == 0
    capsys.readouterr()
    assert main(["evaluate", "watermark", str(tmp_path / "a.wav")]) == 2
    assert "dimts[watermark]" in capsys.readouterr().err
    more = ["--set", "speak.watermark=on", "-o", str(tmp_path / "b.wav")]
    assert main(["say", "--voice", "formant", "ሰላም", *more]) == 2
    assert "dimts[watermark]" in capsys.readouterr().err
    assert not (tmp_path / "b.wav").exists()


@pytest.mark.slow
def test_marked_files_are_found_and_a_bad_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not has_watermark():
        pytest.skip("no weights: pip install 'dimts[watermark]'")
    files = [str(tmp_path / f"{name}.wav") for name in ("plain", "marked", "bad")]
    text = "ሰላም ለዓለም። ዛሬ እንዴት ናችሁ?"
    for file, setting in zip(files, ("off", "on"), strict=False):
        assert (
            main(["say", "--voice", "formant", "--set", f"speak.watermark={setting}", text, "-o", file]) == 0
        )
    Path(files[2]).write_bytes(b"no sound")
    capsys.readouterr()
    assert main(["evaluate", "watermark", *files]) == 2
    printed = capsys.readouterr()
    plain, marked = printed.out.splitlines()
    assert "no mark found" in plain
    assert "marked as synthetic" in marked
    assert files[2] in printed.err
    assert main(["evaluate", "watermark", files[1], "--json"]) == 0
    assert [one["found"] for one in json.loads(capsys.readouterr().out)] == [True]
