"""Subtitles: what is spoken, in order, apart."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import SourceError
from dimts.data.recording import Cue
from dimts.data.subtitles import in_order, read_subtitles, spoken_text

times = st.integers(0, 200).map(lambda tenth: tenth / 10)
cues = st.lists(st.builds(Cue, st.sampled_from(["ሀ", "ለ", "ሐ", "ሀ ለ"]), times, times), max_size=12)


@pytest.mark.parametrize(
    ("raw", "spoken", "speaker"),
    [
        ("ሰላም<00:00:01.500><c> ለዓለም</c>", "ሰላም ለዓለም", ""),
        ("<v አበበ>እንዴት ነህ?</v>", "እንዴት ነህ?", "አበበ"),
        ("[ሙዚቃ]", "", ""),
        ("♪ ዘፈን ♪", "", ""),
        ("(ጭብጨባ) እናመሰግናለን", "እናመሰግናለን", ""),
        ("- ሰላም\n- ደህና", "ሰላም ደህና", ""),
        ("{\\an8}<i>ሰላም</i>\\Nለሁሉም", "ሰላም ለሁሉም", ""),
        (">> ጤና ይስጥልኝ", "ጤና ይስጥልኝ", ""),
        ("…", "", ""),
    ],
)
def test_only_what_is_spoken_stays(raw: str, spoken: str, speaker: str) -> None:
    found = spoken_text(raw)
    assert (found.text, found.speaker) == (spoken, speaker)


@pytest.mark.parametrize(
    ("raw", "spoken", "speaker", "several"),
    [
        ("- ሰላም\n- ደህና", "ሰላም ደህና", "", True),
        ("አበበ፦ ሰላም\nከበደ፦ ደህና", "ሰላም ደህና", "", True),
        ("አበበ ከበደ፦ ሰላም", "ሰላም", "አበበ ከበደ", False),
        ("እንዲህ አለ፦ ሰላም", "እንዲህ አለ፦ ሰላም", "", False),
        ("ሰዓቱ 3:15 ነው", "ሰዓቱ 3:15 ነው", "", False),
        ("#አበበ እና #ከበደ መጡ", "አበበ እና ከበደ መጡ", "", False),
        ("# ላ ላ ላ #", "", "", False),
        ("{\\p1}m 0 0 l 9 9{\\p0}", "", "", False),
        ("ሰላም &amp; ጤና", "ሰላም & ጤና", "", False),
        ("Good morning everybody\nሰላም ለሁሉም", "ሰላም ለሁሉም", "", False),
    ],
)
def test_who_speaks_and_what_is_no_speech(raw: str, spoken: str, speaker: str, several: bool) -> None:
    found = spoken_text(raw)
    assert (found.text, found.speaker, found.several_speakers) == (spoken, speaker, several)


def test_cues_of_one_time_do_not_vanish() -> None:
    two, issues = in_order([Cue("ሀ", 1.0, 2.0), Cue("ለ", 1.0, 2.0)])
    assert two == (Cue("ሀ ለ", 1.0, 2.0, "", True),)
    assert [issue.kind for issue in issues] == ["subtitles_same_time"]
    one, issues = in_order([Cue("hello", 1.0, 2.0), Cue("ለ", 1.0, 2.0), Cue("ሐ", 3.0, 4.0)])
    assert [cue.text for cue in one] == ["ለ", "ሐ"]
    assert [issue.kind for issue in issues] == ["subtitles_other_language"]


@given(cues)
def test_cues_come_out_in_order_and_apart(given_cues: list[Cue]) -> None:
    ordered, _ = in_order(given_cues)
    borders = [(cue.start_seconds, cue.end_seconds) for cue in ordered]
    assert all(start < end for start, end in borders)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(borders))


def test_what_was_mended_is_told() -> None:
    mended, issues = in_order(
        [Cue("ሐ", 5.0, 6.0), Cue("ሀ", 1.0, 2.0), Cue("ለ", 1.5, 3.0), Cue("መ", 4.0, 3.5), Cue("ሐ", 5.9, 7.0)]
    )
    assert [(cue.text, cue.start_seconds, cue.end_seconds) for cue in mended] == [
        ("ሀ", 1.0, 1.5),
        ("ለ", 1.5, 3.0),
        ("ሐ", 5.0, 7.0),
    ]
    assert {issue.kind for issue in issues} == {
        "subtitles_out_of_order",
        "subtitles_overlap",
        "subtitles_backwards",
        "subtitles_rolling",
    }


def test_rolling_captions_are_unrolled() -> None:
    rolled, _ = in_order([Cue("ሰላም", 0.0, 1.0), Cue("ሰላም ለዓለም", 1.0, 2.0)])
    assert [cue.text for cue in rolled] == ["ሰላም", "ለዓለም"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n<v አበበ>ሰላም</v>\n"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nአበበ፦ ሰላም\n"),
        (
            "a.ass",
            "[Script Info]\nScriptType: v4.00+\n\n[Events]\n"
            "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
            "Comment: 0,0:00:00.00,0:00:01.00,Default,,0,0,0,,ማስታወሻ\n"
            "Dialogue: 0,0:00:01.00,0:00:02.00,Default,አበበ,0,0,0,,{\\i1}ሰላም\n",
        ),
    ],
)
def test_every_kind_of_file_is_read(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    (cue,), issues = read_subtitles(tmp_path / name)
    assert cue.text.endswith("ሰላም")
    assert (cue.start_seconds, cue.end_seconds) == (1.0, 2.0)
    assert cue.speaker == "አበበ"
    assert {issue.kind for issue in issues} <= {"subtitles_labels"}


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"\xff\xfe\x00", "1\n00:00:01,000 --> 00:00:02,000\n♪\n".encode()]
)
def test_what_is_no_subtitle_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.srt").write_bytes(content)
    with pytest.raises(SourceError):
        read_subtitles(tmp_path / "a.srt")
