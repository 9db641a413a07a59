"""Label files of editors and recognisers: the texts with their times, and nothing from files of other
kinds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.audio.timings import Mark, textgrid
from dimts.data.labels import LABELS, audacity_labels, praat_textgrid
from dimts.data.recording import Cue
from dimts.data.sources import find_recordings

ONE, TWO = Cue("ሰላም ለዓለም", 0.5, 2.25), Cue("ደህና ነህ?", 3.0, 4.5)
SHORT_GRID = """File type = "ooTextFile"
Object class = "TextGrid"

0
5
<exists>
2
"IntervalTier"
"phones"
0
5
1
0
5
"s"
"IntervalTier"
"sentences"
0
5
4
0
0.5
""
0.5
2.25
"ሰላም ለዓለም"
2.25
3
""
3
4.5
"ደህና ነህ?"
"""
FILES = {
    "a.TextGrid": textgrid([Mark("phrase", ONE.text, 0.5, 2.25), Mark("phrase", TWO.text, 3.0, 4.5)], 5.0),
    "a.textgrid": SHORT_GRID,
    "a.json": json.dumps({"text": "x", "segments": [
        {"start": 0.5, "end": 2.25, "text": " ሰላም ለዓለም"}, {"start": 3.0, "end": 4.5, "text": "ደህና ነህ?"}]}),
    "a.tsv": "start\tend\ttext\n500\t2250\tሰላም ለዓለም\n3000\t4500\tደህና ነህ?\n",
    "a.sbv": "0:00:00.500,0:00:02.250\nሰላም ለዓለም\n\n0:00:03.000,0:00:04.500\nደህና\nነህ?\n",
    "a.txt": "0.5\t2.25\tሰላም ለዓለም\n3.0\t4.5\tደህና ነህ?\n",
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_labels_beside_a_sound_are_its_text(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    (row,) = find_recordings([tmp_path])
    assert (row.cues, row.by, row.problem) == ((ONE, TWO), "subtitle", None)
    assert list(find_recordings([tmp_path / "a.wav"])) == [row]


def test_lyrics_last_until_the_next_line(tmp_path: Path) -> None:
    found = LABELS[".lrc"]("[ti:x]\n[00:01.50]ሰላም\n[00:03.00]ለዓለም\n")
    assert found == (Cue("ሰላም", 1.5, 3.0), Cue("ለዓለም", 3.0, 13.0))


def test_whisperx_names_its_speakers() -> None:
    content = {"segments": [{"start": 0, "end": 1, "text": "ሰላም", "speaker": "SPEAKER_01"}]}
    assert LABELS[".json"](json.dumps(content)) == (Cue("ሰላም", 0.0, 1.0, "SPEAKER_01"),)


@given(
    st.lists(
        st.tuples(st.text(alphabet='ሀለሐ "|:<>1', min_size=1, max_size=8), st.integers(1, 50)), max_size=8
    )
)
def test_a_textgrid_is_read_as_it_was_written(rows: list[tuple[str, int]]) -> None:
    at, marks = 0.0, []
    for text, length in rows:
        marks.append(Mark("phrase", text, at, at + length / 10))
        at += length / 10
    wanted = [" ".join(text.split()) for text, _ in rows if text.strip()]
    assert [cue.text for cue in praat_textgrid(textgrid(marks, at + 1)) or ()] == wanted


@pytest.mark.parametrize("suffix", LABELS)
@given(
    content=st.text(max_size=80)
    | st.sampled_from(["[1]", "{}", "null", '"TextGrid" 1 2', "[00:99]", '{"segments": 3}'])
)
@settings(max_examples=40)
def test_other_texts_are_no_labels(suffix: str, content: str) -> None:
    for cue in LABELS[suffix](content) or ():
        assert cue.text
    audacity_labels(content)
