"""Folders and tables as people keep them: every recording is found once, with its text; what is wrong is
named."""

from __future__ import annotations

from pathlib import Path

import pytest

from dimts.audio.wave import Wave
from dimts.base.errors import SourceError
from dimts.data.sources import Known, find_recordings, with_speakers


def sound(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return Wave.silence(0.1, 8000).save(path)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def found(*sources: Path, known: Known | None = None) -> list[tuple[str, str, str]]:
    return [
        (one.name, one.text, one.speaker) for one in find_recordings(sources, known) if one.problem is None
    ]


def problems(*sources: Path) -> list[tuple[str, str]]:
    return [(one.name, one.problem.kind) for one in find_recordings(sources) if one.problem is not None]


@pytest.mark.parametrize(
    ("name", "content", "speaker"),
    [
        (
            "metadata.tsv",
            "id\tpath\tspeaker\ttext\na\taudio/a.wav\tabebe\tሰላም\nb\taudio/b.wav\tabebe\tደህና\n",
            "abebe",
        ),
        ("metadata.csv", "path,speaker,text\naudio/a.wav,abebe,ሰላም\naudio/b.wav,abebe,ደህና\n", "abebe"),
        (
            "metadata.csv",
            "audio_file|text|speaker_name\naudio/a.wav|ሰላም|abebe\naudio/b.wav|ደህና|abebe\n",
            "abebe",
        ),
        ("metadata.csv", "a|ሰላም\nb|ደህና\n", ""),
        ("metadata.csv", "a|ሰላም|ሰላም\nb|ደህና|ደህና\n", ""),
        ("metadata.csv", "a|abebe|ሰላም\nb|abebe|ደህና\n", "abebe"),
        ("voice.list", "audio/a.wav|abebe|am|ሰላም\naudio/b.wav|abebe|am|ደህና\n", "abebe"),
        ("validated.tsv", "client_id\tpath\tsentence\nabebe\ta.wav\tሰላም\nabebe\tb.wav\tደህና\n", "abebe"),
        ("metadata.csv", '\ufefffile_name,transcription\na.wav,"ሰላም"\nb.wav,ደህና\n', ""),
    ],
)
def test_tables_of_other_programs_are_read(tmp_path: Path, name: str, content: str, speaker: str) -> None:
    for stem in "ab":
        sound(tmp_path / "audio" / f"{stem}.wav")
    write(tmp_path / name, content)
    assert found(tmp_path) == [("a", "ሰላም", speaker), ("b", "ደህና", speaker)]
    assert found(tmp_path / name) == found(tmp_path)


def test_ljspeech_keeps_its_sounds_in_wavs(tmp_path: Path) -> None:
    sound(tmp_path / "wavs" / "LJ001.wav")
    write(tmp_path / "metadata.csv", "LJ001|ሰላም፣ ለዓለም|ሰላም ለዓለም\n")
    assert found(tmp_path) == [("LJ001", "ሰላም፣ ለዓለም", "")]


def test_kaldi_folders_are_read(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    write(tmp_path / "wav.scp", "u1 a.wav\nu2 sox a.wav -t wav - |\nu3 a.wav\n")
    write(tmp_path / "text", "u1 ሰላም ለዓለም\n")
    write(tmp_path / "utt2spk", "u1 abebe\n")
    assert found(tmp_path / "wav.scp") == [("u1", "ሰላም ለዓለም", "abebe")]
    assert [kind for _, kind in problems(tmp_path / "wav.scp")] == ["transcript_row", "transcript_row"]


def test_a_text_beside_a_sound_is_its_transcript_or_its_script(tmp_path: Path) -> None:
    sound(tmp_path / "a.flac")
    write(tmp_path / "a.txt", "ሰላም\n")
    sound(tmp_path / "b.wav")
    write(tmp_path / "b.lab", "አንድ።\n\nሁለት።\n")
    rows = list(find_recordings([tmp_path]))
    assert [(one.name, one.by, len(one.cues)) for one in rows] == [("a", "transcript", 1), ("b", "script", 2)]
    assert list(find_recordings([tmp_path / "a.flac"])) == [rows[0]]
    assert list(find_recordings([tmp_path / "a.txt"])) == [rows[0]]


def test_subtitles_beside_a_film_are_its_text(tmp_path: Path) -> None:
    sound(tmp_path / "talk.wav")
    write(
        tmp_path / "talk.srt",
        "1\n00:00:01,000 --> 00:00:02,500\nሰላም\n\n2\n00:00:03,000 --> 00:00:04,000\nለዓለም\n",
    )
    (one,) = find_recordings([tmp_path])
    assert one.by == "subtitle"
    assert [(cue.text, cue.start_seconds, cue.end_seconds) for cue in one.cues] == [
        ("ሰላም", 1.0, 2.5),
        ("ለዓለም", 3.0, 4.0),
    ]


def test_a_sound_alone_is_a_recording_without_text(tmp_path: Path) -> None:
    sound(tmp_path / "in" / "deep" / "a.wav")
    assert found(tmp_path) == [("a", "", "")]


def test_each_file_is_found_once(tmp_path: Path) -> None:
    sound(tmp_path / "audio" / "a.wav")
    write(tmp_path / "metadata.tsv", "path\ttext\naudio/a.wav\tሰላም\n")
    assert found(tmp_path, tmp_path, tmp_path / "metadata.tsv") == [("a", "ሰላም", "")]


def test_a_table_made_on_another_machine_is_understood(tmp_path: Path) -> None:
    sound(tmp_path / "wavs" / "a.wav")
    write(tmp_path / "x.list", "C:\\voices\\sliced\\a.wav|abebe|am|ሰላም\n")
    assert found(tmp_path) == [("a", "ሰላም", "abebe")]


def test_rows_that_are_wrong_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav")
    table = "id\tpath\ttext\na\ta.wav\tሰላም\nlost\tlost.wav\tየለም\nb\tb.wav\t \nc\n\t\tባዶ\n"
    write(tmp_path / "metadata.tsv", table)
    assert found(tmp_path) == [("a", "ሰላም", "")]
    assert problems(tmp_path) == [
        ("lost", "no_audio"),
        ("b", "no_text"),
        ("metadata-5", "transcript_row"),
        ("metadata-6", "transcript_row"),
    ]


def test_a_text_that_lost_its_sound_is_named(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    write(tmp_path / "a.txt", "ሰላም")
    write(tmp_path / "b.txt", "ደህና")
    write(tmp_path / "README.txt", "These are recordings.")
    assert problems(tmp_path) == [("b", "no_audio")]


def test_a_text_that_is_no_text_sets_its_recording_aside(tmp_path: Path) -> None:
    for stem in "abc":
        sound(tmp_path / f"{stem}.wav")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00\xd8")
    write(tmp_path / "b.txt", " \n")
    write(tmp_path / "c.srt", "not a subtitle")
    assert problems(tmp_path) == [("a", "text_unreadable"), ("b", "no_text"), ("c", "subtitles_unreadable")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("", "data.no_rows"),
        ("a\nb\n", "data.columns_unclear"),
        ("a|hello\nb|world\n", "data.no_amharic_column"),
        ("\udcff|ሰላም", "data.not_utf8_file"),
    ],
)
def test_a_table_nobody_could_read_is_named_and_the_rest_goes_on(
    tmp_path: Path, content: str, code: str
) -> None:
    (tmp_path / "metadata.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    sound(tmp_path / "c.wav")
    table, good = find_recordings([tmp_path])
    assert (good.name, good.problem) == ("c", None)
    assert table.problem is not None
    assert table.problem.message.code == "data.table_passed_over"
    assert table.problem.message.parameters["reason"].code == code


def test_a_source_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        list(find_recordings([tmp_path / "nowhere"]))


def test_what_is_known_of_all_goes_to_each_but_a_row_knows_better(tmp_path: Path) -> None:
    for stem in "ab":
        sound(tmp_path / f"{stem}.wav")
    write(tmp_path / "metadata.tsv", "path\ttext\tspeaker\tlicence\na.wav\tሰላም\tabebe\tCC0\nb.wav\tደህና\t\t\n")
    rows = list(find_recordings([tmp_path], Known("kebede", "CC-BY-4.0", "form 3")))
    assert [(one.speaker, one.licence, one.consent) for one in rows] == [
        ("abebe", "CC0", "form 3"),
        ("kebede", "CC-BY-4.0", "form 3"),
    ]


def test_speakers_are_named_by_folders_or_by_a_file(tmp_path: Path) -> None:
    for name in ("abebe/a.wav", "kebede/b.wav", "c.wav"):
        sound(tmp_path / "in" / name)
    write(tmp_path / "in" / "metadata.tsv", "path\ttext\tspeaker\nc.wav\tሰላም\talmaz\n")
    rows = list(find_recordings([tmp_path / "in"]))
    by_folder = with_speakers(rows, "folder", tmp_path, "")
    assert {one.name: one.speaker for one in by_folder} == {"a": "abebe", "b": "kebede", "c": "almaz"}
    write(tmp_path / "speakers.tsv", "A.WAV\tአበበ\n\nnobody\tx\n")
    by_file = with_speakers(rows, "speakers.tsv", tmp_path, "other")
    assert {one.name: one.speaker for one in by_file} == {"a": "አበበ", "b": "other", "c": "almaz"}
    write(tmp_path / "speakers.tsv", "kebede\n")
    for rule in ("speakers.tsv", "nowhere.tsv"):
        with pytest.raises(SourceError):
            with_speakers(rows, rule, tmp_path, "")


def test_a_table_names_its_split(tmp_path: Path) -> None:
    for stem in "abc":
        sound(tmp_path / f"{stem}.wav")
    write(tmp_path / "dev.tsv", "path\tsentence\na.wav\tሰላም\n")
    write(tmp_path / "metadata.csv", "path,text,split\nb.wav,ደህና,validation\nc.wav,ነገ,\n")
    assert [(one.name, one.split) for one in find_recordings([tmp_path])] == [
        ("a", "dev"),
        ("b", "dev"),
        ("c", ""),
    ]
