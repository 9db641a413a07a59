"""Tables, subtitles and media that once were read wrongly: each is read, or set aside with one reason."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from dimts.audio.media import Medium
from dimts.base.errors import AudioError
from dimts.data.sources import find_recordings
from dimts.data.subtitles import read_subtitles
from dimts.data.vad import detect_speech

ONE, TWO, THREE = "አበበ በሶ በላ", "ዝናብ ዛሬ ይዘንባል", "ልጆቹ ትምህርት ቤት ሄዱ"
Found = list[tuple[str, str, str]]


def read(folder: Path) -> tuple[Found, list[str]]:
    """(name, text, speaker) of what is usable, and the kinds of what is not."""
    rows = list(find_recordings([folder]))
    good = [(row.name, row.text, row.speaker) for row in rows if row.problem is None and row.cues]
    return good, [row.problem.kind for row in rows if row.problem is not None]


@pytest.mark.parametrize(
    ("name", "good", "problems"),
    [
        ("utf16_beside_good", [("c0", ONE, ""), ("c1", TWO, "")], ["no_audio"] * 4),
        ("speaker_in_fidel", [("c0", ONE, "አበበ"), ("c1", TWO, "አበበ")], ["no_audio"]),
        ("gptsovits_fidel", [("c0", ONE, "አበበ"), ("c1", TWO, "አበበ")], ["no_audio"]),
        (
            "comma_in_text",
            [("c0", "አበበ, በሶ በላ", ""), ("c1", "ዝናብ, ዛሬ ይዘንባል", ""), ("c2", "ልጆቹ, ትምህርት ቤት ሄዱ", "")],
            [],
        ),
        ("bad_quote", [("c1", TWO, ""), ("c2", THREE, "")], ["transcript_row"]),
        ("open_quote", [("c1", TWO, ""), ("c2", THREE, "")], ["transcript_row"]),
        ("semicolon", [("c0", ONE, ""), ("c1", TWO, "")], ["no_audio"]),
        ("deepspeech/train.csv", [("c0", ONE, ""), ("c1", TWO, "")], ["no_audio"]),
        ("hf_jsonl", [("c0", ONE, ""), ("c1", TWO, "")], ["no_audio"]),
        ("other_table_name", [("c0", ONE, ""), ("c1", TWO, "")], ["no_audio"]),
        ("upper_extension", [("c0", ONE, ""), ("c1", TWO, "")], ["no_audio"]),
        ("other_extension", [("c0", ONE, ""), ("c1", TWO, "")], ["no_audio"]),
        ("upper_txt", [("c0", ONE, ""), ("c1", TWO, "")], []),
        ("mac_nfd", [("café0", ONE, ""), ("café1", TWO, "")], []),
        ("duplicate_id", [("c0", ONE, ""), ("c1", TWO, ""), ("c2", THREE, "")], ["transcript_row"]),
        ("start_end", [("c0", f"{ONE} {TWO}", "")], []),
        ("kaldi_segments", [("c0", ONE, "")], []),
        ("kaldi_tab", [("u0", ONE, ""), ("u1", TWO, "")], ["no_audio"]),
        ("long_name_row", [("c0", ONE, "")], ["no_audio"]),
    ],
)
def test_tables(shared: Path, name: str, good: Found, problems: list[str]) -> None:
    assert read(shared / "cases" / "data" / "tables" / name) == (good, problems)


def test_a_wrong_row_is_named_by_its_line(shared: Path) -> None:
    rows = list(find_recordings([shared / "cases" / "data" / "tables" / "open_quote"]))
    (problem,) = [row.problem for row in rows if row.problem is not None]
    assert problem.message.code == "data.bad_row"
    assert problem.message.parameters["row"] == 2


def test_times_of_rows_are_cut_at(shared: Path) -> None:
    (row,) = find_recordings([shared / "cases" / "data" / "tables" / "start_end"])
    assert [(cue.text, cue.start_seconds, cue.end_seconds) for cue in row.cues] == [
        (ONE, 0.0, 1.0),
        (TWO, 1.0, 2.0),
    ]
    (row,) = find_recordings([shared / "cases" / "data" / "tables" / "kaldi_segments"])
    assert [(cue.start_seconds, cue.end_seconds) for cue in row.cues] == [(0.2, 1.8)]


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("drawing.ass", [ONE]),
        ("entities.vtt", [f"{ONE} <ሀ> {TWO}"]),
        ("hashtags.srt", ["አበበ እና ዝናብ ዛሬ ይዘንባል"]),
        ("label.srt", [ONE]),
        ("note_and_ids.vtt", [ONE, TWO]),
        ("same_time.srt", [ONE]),
        ("two_speakers.srt", [f"{ONE} {TWO}"]),
    ],
)
def test_subtitle_texts(shared: Path, name: str, texts: list[str]) -> None:
    cues, issues = read_subtitles(shared / "cases" / "data" / "subtitle_texts" / name)
    assert [cue.text for cue in cues] == texts
    assert cues[0].several_speakers == (name == "two_speakers.srt")
    assert cues[0].speaker == ("አበበ" if name == "label.srt" else "")
    expected = {"label.srt": ["subtitles_labels"], "same_time.srt": ["subtitles_other_language"]}
    assert [issue.kind for issue in issues] == expected.get(name, [])


@pytest.mark.parametrize(
    ("name", "seconds", "issues"),
    [
        ("piped.flac", 1.75, ["length_unknown"]),
        ("recorder_died.wav", 1.75, ["length_unknown"]),
        ("two_languages.mkv", 1.75, []),
        ("out_of_phase.flac", 1.75, ["channels_cancel"]),
        ("float_over_full_scale.wav", 1.75, []),
        ("kind_caf.caf", 1.75, []),
        ("kind_au.au", 1.75, []),
        ("kind_w64.w64", 1.75, []),
        ("joined.mp3", 3.75, ["length_unknown"]),
        ("wrong_frame_count.mp3", 1.78, ["length_unknown"]),
    ],
)
def test_media(shared: Path, name: str, seconds: float, issues: list[str]) -> None:
    path = shared / "cases" / "data" / "media" / name
    (recording,) = find_recordings([path])
    assert recording.text
    activity = detect_speech(path)
    assert activity.seconds == pytest.approx(seconds, abs=0.15)
    assert activity.spoken_seconds(0.0, activity.seconds) > 1.0
    assert activity.clipped_share(0.0, activity.seconds) == 0.0
    assert [issue.kind for issue in activity.issues] == issues


@pytest.mark.parametrize(
    ("name", "begins"),
    [("sound_starts_late.mkv", 4.09), ("hole.mkv", 0.0), ("talk.ogg", 0.0), ("audacity.ogg", 0.0)],
)
def test_times_of_subtitles_are_those_of_the_sound(shared: Path, name: str, begins: float) -> None:
    path = shared / "cases" / "data" / "subtitles" / name
    (recording,) = find_recordings([path])
    assert recording.by == "subtitle"
    activity = detect_speech(path)
    assert len(recording.cues) == 3
    for cue in recording.cues:
        start, end = cue.start_seconds or 0.0, cue.end_seconds or 0.0
        assert activity.spoken_seconds(start - 0.1, end + 0.1) > 0.5 * (end - start)
    assert activity.spoken_seconds(0.0, begins) == 0.0
    inside = sum(
        activity.spoken_seconds((cue.start_seconds or 0.0) - 0.2, (cue.end_seconds or 0.0) + 0.2)
        for cue in recording.cues
    )
    assert inside == pytest.approx(activity.spoken_seconds(0.0, activity.seconds), abs=0.2)


def test_a_file_of_one_sample_a_second_is_refused(tmp_path: Path) -> None:
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 1, 2, 2, 16)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", 10_000) + bytes(10_000)
    (tmp_path / "slow.wav").write_bytes(struct.pack("<4sI", b"RIFF", len(body)) + body)
    with pytest.raises(AudioError) as caught, Medium.open(tmp_path / "slow.wav"):
        pass
    assert caught.value.code == "audio.impossible_format"


def test_odd_names_are_set_aside_and_the_rest_goes_on(tmp_path: Path, shared: Path) -> None:
    sound = shared / "cases" / "data" / "tables" / "kaldi_tab" / "wavs" / "c0.ogg"
    shutil.copy(sound, tmp_path / "good.ogg")
    try:
        shutil.copy(sound, tmp_path / "bad\udcff.ogg")
    except OSError:
        pytest.skip("this file system takes no such names")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone.ogg").symlink_to(tmp_path / "nowhere.ogg")
    rows = {row.name: row.problem and row.problem.message.code for row in find_recordings([tmp_path])}
    assert rows == {
        "good": None,
        "bad\ufffd": "data.name_not_utf8",
        "up": "data.link_to_parent",
        "gone": None,
    }
