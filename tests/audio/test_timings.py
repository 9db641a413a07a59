"""Timings: the formats say what the marks say, and can be read by others."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pysubs2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.audio.timings import Mark, as_json, srt, textgrid, vtt, write
from dimts.base.errors import AudioError

MARKS = [
    Mark("phrase", "ሰላም ለዓለም።", 0.0, 0.95),
    Mark("word", "ሰላም", 0.01, 0.38),
    Mark("phone", "s", 0.01, 0.1),
    Mark("phone", "ə", 0.1, 0.38),
    Mark("word", "ለዓለም", 0.38, 0.95),
    Mark("phrase", 'እንዴት "ናችሁ"?', 1.5, 2.43),
    Mark("word", "እንዴት", 1.5, 1.9),
]


@pytest.mark.parametrize("name", ["talk.srt", "talk.vtt"])
def test_subtitles_can_be_read_by_others(name: str, tmp_path: Path) -> None:
    read = pysubs2.load(str(write(tmp_path / name, MARKS, 2.43)), encoding="utf-8")
    assert [(event.start, event.end, event.text) for event in read] == [
        (0, 950, "ሰላም ለዓለም።"),
        (1500, 2430, 'እንዴት "ናችሁ"?'),
    ]


def test_clock_past_an_hour() -> None:
    assert "01:01:01,500 --> 01:01:02,999" in srt([Mark("phrase", "x", 3661.5, 3662.9994)], 4000.0)
    assert "01:01:01.500 --> 01:01:03.000" in vtt([Mark("phrase", "x", 3661.5, 3662.9996)], 4000.0)


def test_text_cannot_break_a_subtitle() -> None:
    text = "a --> b\n\n2\n00:00:00,000 --> 00:00:09,000\n<i>&"
    assert srt([Mark("phrase", text, 0, 1)], 1).count("-->") == 1
    assert "&lt;i&gt;&amp;" in vtt([Mark("phrase", text, 0, 1)], 1)


def test_json_keeps_every_mark() -> None:
    content = json.loads(as_json(MARKS, 2.43))
    assert content["seconds"] == 2.43
    assert [Mark(**mark) for mark in content["marks"]] == MARKS


def tiers(text: str) -> dict[str, list[tuple[float, float, str]]]:
    """Read a TextGrid (long form) as Praat does."""
    found = {}
    for part in text.split('class = "IntervalTier"')[1:]:
        name = re.search(r'name = "(.*)"', part)
        size = re.search(r"intervals: size = (\d+)", part)
        rows = re.findall(r'xmin = ([\d.]+)\s+xmax = ([\d.]+)\s+text = "((?:[^"]|"")*)"', part)
        assert name
        assert size
        assert len(rows) == int(size[1])
        found[name[1]] = [(float(start), float(end), text.replace('""', '"')) for start, end, text in rows]
    return found


def test_a_textgrid_has_a_tier_for_each_kind() -> None:
    found = tiers(textgrid(MARKS, 2.43))
    assert list(found) == ["phrases", "words", "phones"]
    assert [text for _, _, text in found["phrases"]] == ["ሰላም ለዓለም።", "", 'እንዴት "ናችሁ"?']
    assert found["words"][0] == (0.0, 0.01, "")


@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 5), st.text(max_size=8)), max_size=12),
    st.floats(0.1, 30),
)
@settings(max_examples=60, deadline=None)
def test_intervals_of_a_textgrid_fill_the_whole_without_gap_or_overlap(
    items: list[tuple[float, float, str]], seconds: float
) -> None:
    marks = [Mark("word", text, start, start + length) for start, length, text in items]
    for rows in tiers(textgrid(marks, seconds)).values():
        assert rows[0][0] == 0.0
        assert rows[-1][1] == pytest.approx(seconds, abs=1e-5)
        for (_, end, _), (start, _, _) in itertools.pairwise(rows):
            assert end == start
        assert all(end > start for start, end, _ in rows)


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="str") as caught:
        write(tmp_path / "talk.str", MARKS, 2.43)
    assert ".srt" in caught.value.message.remedy()
    assert list(tmp_path.glob("talk*")) == []
