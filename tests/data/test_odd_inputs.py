"""Tables, texts and names as people have them: each item is read rightly, or set aside with one reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from dimts.data.sources import find_recordings
from dimts.data.subtitles import spoken_text
from dimts.data.tables import column_key, header

A, B, C = "ሰላም ለዓለም", "ዛሬ ጥሩ ቀን ነው", "ልጆቹ ትምህርት ቤት ሄዱ"
TIMED = [(A, 0.5, 2.25), (B, 3.0, 4.5)]


def made(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """Files in a folder; those without content are sounds."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder: Path) -> tuple[list[tuple[str, str, str]], list[str]]:
    """(file, text, speaker) of what has a text; the codes of what is set aside."""
    rows = list(find_recordings([folder]))
    good = [(row.path.name, row.text, row.speaker) for row in rows if row.problem is None and row.cues]
    problems = [row.problem for row in rows if row.problem is not None]
    reasons = [problem.message.parameters.get("reason", problem.message) for problem in problems]
    return sorted(good), sorted(reason.code for reason in reasons)


PLAIN = {"a.wav": "", "b.wav": ""}
BOTH = [("a.wav", A, ""), ("b.wav", B, "")]
BY_ABEBE = [("a.wav", A, "አበበ"), ("b.wav", B, "አበበ")]
TABLES: dict[str, tuple[dict[str, str | bytes], list[tuple[str, str, str]]]] = {
    "Amharic header": ({"d.csv": f"ፋይል,ጽሑፍ,ተናጋሪ\na.wav,{A},አበበ\nb.wav,{B},አበበ\n"}, BY_ABEBE),
    "other spelling": ({"d.csv": f"የድምፅ ፋይል,ፅሁፍ,አንባቢ\na.wav,{A},አበበ\nb.wav,{B},አበበ\n"}, BY_ABEBE),
    "text first": ({"d.csv": f"ዓረፍተ ነገር,ድምጽ\n{A},a.wav\n{B},b.wav\n"}, BOTH),
    "text first, no header": ({"d.csv": f"{A},a.wav\n{B},b.wav\n"}, BOTH),
    "speaker last, no header": ({"all.list": f"a.wav|{A}|አበበ\nb.wav|{B}|አበበ\n"}, BY_ABEBE),
    "unknown words": ({"d.csv": f"my sound,english,my words\na.wav,hi,{A}\nb.wav,good day,{B}\n"}, BOTH),
    "two languages": ({"d.csv": f"file,text,amharic\na.wav,hello,{A}\nb.wav,good,{B}\n"}, BOTH),
    "camel case": ({"d.csv": f"audioFile,Transcript,SpeakerID\na.wav,{A},አበበ\nb.wav,{B},አበበ\n"}, BY_ABEBE),
    "sep= of Excel": ({"d.csv": f"sep=;\r\npath;text\r\na.wav;{A}\r\nb.wav;{B}\r\n"}, BOTH),
    "title and comments": ({"d.csv": f"# my corpus, 2026\n\npath,text\na.wav,{A}\nb.wav,{B}\n"}, BOTH),
    "comment, no header": ({"d.csv": f"# my corpus, 2026\na.wav,{A}\nb.wav,{B}\n"}, BOTH),
    "empty cells behind": ({"d.csv": f"path,text\na.wav,{A},,\nb.wav,{B},\n"}, BOTH),
    "quotes in tsv": ({"d.tsv": f'path\ttext\na.wav\t"{A}"\nb.wav\t"{B}"\n'}, BOTH),
    "lines in tsv": ({"d.tsv": f'path\ttext\na.wav\t"ሰላም\nለዓለም"\nb.wav\t{B}\n'}, BOTH),
    "doubled quotes": ({"d.csv": 'path|text\na.wav|"እሱ ""እሺ"" አለ"\n'}, [("a.wav", 'እሱ "እሺ" አለ', "")]),
    "a bar in the text": ({"d.csv": f"path|text\na.wav|{A} | {B}\n"}, [("a.wav", f"{A} | {B}", "")]),
    "a tab in the text": ({"d.tsv": f"path\ttext\na.wav\t{A}\t{B}\n"}, [("a.wav", f"{A} {B}", "")]),
    "metadata.txt": ({"metadata.txt": f"a|{A}\nb|{B}\n"}, BOTH),
    "UTF-16 .txt of Excel": ({"d.txt": f"path\ttext\r\na.wav\t{A}\r\nb.wav\t{B}\r\n".encode("utf-16")}, BOTH),
    "LibriSpeech": ({"1-2.trans.txt": f"a {A}\nb {B}\n"}, BOTH),
    "Kaldi's text alone": ({"text": f"a {A}\nb\t{B}\n"}, BOTH),
    "names of links": ({"d.csv": f"url,text\nhttps://x.et/f/a.wav?dl=1,{A}\n%62.wav,{B}\n"}, BOTH),
    "JSON: texts by name": ({"metadata.json": json.dumps({"a.wav": A, "b.wav": B})}, BOTH),
    "JSON: objects by name": ({"my.json": json.dumps({"a": {"text": A}, "b": {"text": B}})}, BOTH),
    "JSON: a list inside": (
        {"my.json": json.dumps(
            {"v": 1, "data": [{"path": "a.wav", "text": A}, {"path": "b.wav", "text": B}]})},
        BOTH),
    "JSON: columns": ({"my.json": json.dumps({"path": ["a.wav", "b.wav"], "text": [A, B]})}, BOTH),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_people_are_read(tmp_path: Path, name: str) -> None:
    files, good = TABLES[name]
    assert read(made(tmp_path, {**PLAIN, **files})) == (good, [])


PLACES: dict[str, tuple[dict[str, str], list[tuple[str, str, str]]]] = {
    "a table beside the folder": (
        {"audio/a.wav": "", "audio/b.wav": "",
         "transcripts/all.tsv": f"path\ttext\na.wav\t{A}\nb.wav\t{B}\n"},
        BOTH),
    "by ..": (
        {"audio/a.wav": "", "audio/b.wav": "",
         "x/all.tsv": f"path\ttext\n../audio/a.wav\t{A}\n../audio/b.wav\t{B}\n"},
        BOTH),
    "filelists": (
        {"wavs/a.wav": "", "wavs/b.wav": "",
         "filelists/my_train.txt": f"wavs/a.wav|{A}\nwavs/b.wav|{B}\n"}, BOTH),
    "any folder": ({"ድምፅ/1/a.wav": "", "ድምፅ/2/b.wav": "", "metadata.csv": f"a|{A}\nb|{B}\n"}, BOTH),
    "texts in a folder of texts": ({"wav/a.wav": "", "wav/b.wav": "", "txt/a.txt": A, "txt/b.lab": B}, BOTH),
    "sounds before texts": ({"audio/a.wav": "", "audio/b.wav": "", "txt/a.txt": A, "txt/b.lab": B}, BOTH),
    "labels beside a table": ({"wavs/a.wav": "", "metadata.csv": f"a|{A}\n", "lab/a.lab": B}, BOTH[:1]),
    "the same names in two folders": (
        {"wav/s1/1.wav": "", "wav/s2/1.wav": "", "txt/s1/1.txt": A, "txt/s2/1.txt": B},
        [("1.wav", A, ""), ("1.wav", B, "")]),
    "double suffixes": (
        {"a.wav": "", "b.mp3": "", "a.wav.txt": A, "b.mp3.lab": B}, [BOTH[0], ("b.mp3", B, "")]),
    "names that differ in case": (
        {"A.wav": "", "a.wav": "", "A.txt": A, "a.txt": B}, [("A.wav", A, ""), ("a.wav", B, "")]),
    "the sound rather than the video": (
        {"a.mp4": "", "a.wav": "", "metadata.csv": f"a|{A}\n"}, [("a.wav", A, "")]),
}  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
def test_texts_find_their_sounds(tmp_path: Path, name: str) -> None:
    files, good = PLACES[name]
    assert read(made(tmp_path, files)) == (good, [])


def test_a_sound_of_the_same_name_elsewhere_is_not_taken(tmp_path: Path) -> None:
    files = {"clips/b.wav": "", "clips/metadata.csv": f"b.wav|{B}\n", "other/a.wav": "", "x/a.wav": ""}
    folder = made(tmp_path, {**files, "metadata.csv": f"path,text\nclips/a.wav,{A}\na,{A}\n"})
    assert read(folder) == ([("b.wav", B, "")], ["data.row_without_sound"] * 2)


ASIDE = {
    "spreadsheet": ({"metadata.xlsx": b"PK"}, "data.is_spreadsheet"),
    "document": ({"script.docx": b"PK"}, "data.is_document"),
    "document beside": ({"a.PDF": b"%PDF"}, "data.is_document"),
    "rich text under another name": ({"a.txt": b"{\\rtf1 x}"}, "data.is_document"),
    "archive": ({"more.tar.gz": b"\x1f\x8b"}, "data.is_archive"),
    "download": ({"talk.mp3.part": b"x"}, "data.is_unfinished"),
    "link": ({"talk.url": b"[InternetShortcut]"}, "data.is_link_file"),
    "file of links": ({"talks.txt": b"# mine\nhttps://x.et/1\n"}, "data.is_link_file"),
    "another archive": ({"more.rar": b"Rar!"}, "data.is_other_archive"),
    "labels": ({"a.srv3": b"<timedtext/>"}, "data.is_other_label"),
    "other language": (
        {"a.en.srt": b"1\n00:00:01,000 --> 00:00:02,000\nhello\n"}, "data.subtitles_not_amharic"),
    "header alone": ({"metadata.csv": b"path,text\n"}, "data.no_rows"),
    "no text of Kaldi": ({"wav.scp": b"a a.wav\n"}, "data.no_such_source"),
    "half a character": ({"m.jsonl": b'{"path": "a.wav", "text": "\\ud800 x"}\n'}, "data.half_characters"),
    "not a number": ({"m.jsonl": b'{"path": "a.wav", "text": NaN}\n'}, "data.row_without_text"),
}  # fmt: skip


@pytest.mark.parametrize("name", ASIDE)
def test_what_is_not_read_is_named_once(tmp_path: Path, name: str) -> None:
    files, code = ASIDE[name]
    made(tmp_path, {"a.wav": "", "b.wav": "", "b.txt": B, **files})
    assert read(tmp_path) == ([("b.wav", B, "")], [code])


def test_what_has_nothing_to_do_with_sounds_is_passed_over(tmp_path: Path) -> None:
    made(tmp_path, {"b.wav": "", "b.txt": B, "LICENSE.pdf": "x", "Thumbs.db": "x",
                    "~$b.docx": "x", "._b.wav": "x",
                    "config.json": "{}", "desktop.ini": "x", "__MACOSX/._b.txt": "x"})  # fmt: skip
    assert read(tmp_path) == ([("b.wav", B, "")], [])


def test_kaldi_ids_that_are_wrong_are_named(tmp_path: Path) -> None:
    made(tmp_path, {"a.wav": "", "b.wav": "", "c.wav": "", "wav.scp": "a a.wav\nb b.wav\nc c.wav\nb a.wav\n",
                    "text": f"a {A}\na {C}\nb {B}\nd {C}\n"})  # fmt: skip
    assert read(tmp_path) == (
        [("b.wav", B, "")],
        ["data.no_line_in_text", "data.repeated_row", "data.row_without_sound", "data.two_texts"],
    )


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("path,start,end,text", "00:00:00.5,0:02.25"),
        ("path,start_ms,end_ms,text", "500,2250"),
        ("path,Start Time (ms),End Time (ms),text", "500,2250"),
        ("path,startTime,endTime,text", "0.5,2.25"),
        ("path,start (s),end (s),text", "0.5,2.25"),
        ("path,onset,offset,text", "0.5,2.25"),
        ("path,from,to,text", "0.5,2.25"),
        ("path,offset,duration,text", "0.5,1.75"),
        ("path,start_ms,duration_ms,text", "500,1750"),
        ("ፋይል,መነሻ,መጨረሻ,ጽሁፍ", "0.5,2.25"),
        ("my sound,begin_time,end_time,my words", "0.5,2.25"),
    ],
)
def test_times_of_rows_in_every_form(tmp_path: Path, head: str, row: str) -> None:
    made(tmp_path, {"a.wav": "", "d.csv": f"{head}\na.wav,{row},{A}\n"})
    (found,) = find_recordings([tmp_path])
    assert [(cue.text, cue.start_seconds, cue.end_seconds) for cue in found.cues] == [(A, 0.5, 2.25)]


def test_times_that_are_none_set_the_row_aside(tmp_path: Path) -> None:
    made(tmp_path, {"a.wav": "", "d.csv": f"path,start,end,text\na.wav,0:75,1:20,{A}\na.wav,1:2:3:4,9,{A}\n"})
    assert read(tmp_path) == ([], ["data.times_not_numbers"] * 2)


def test_names_of_columns() -> None:
    assert column_key("\ufeff Start-Time (ms) ") == column_key("startTimeMs") == "start_time_ms"
    assert column_key("ፅሑፍ") == column_key("ጽሁፍ")
    assert header(["id", "client_id", "path", "sentence", "duration"]) == {
        "id": 0, "speaker": 1, "path": 2, "text": 3, "duration": 4
    }  # fmt: skip


SRT = "1\n00:00:00,500 --> 00:00:02,250\n{A}\n\n2\n00:00:03,000 --> 00:00:04,500\n{B}\n"
CUES = {
    "a.srt": f"0:00:00,5 --> 0:00:02,25\n{A}\n\n00:03,000 --> 00:04,500\n{B}\n",
    "no blank lines.srt": f"1\n00:00:00.500-->00:00:02.250\n{A}\n2\n00:00:03:000 -> 00:00:04:500\n{B}\n",
    "a.vtt": "00:00:00,500 --> 00:00:02,250 line:0\n"
             f"<ruby>ሰላም<rt>selam</rt></ruby> ለዓለም\n\n00:03.000 --> 00:04.500\n{B}\n",
    "a.lrc": f"[offset:+500]\n[00:05.00][00:01.00]<00:01.00>ሰላም <00:01.50>ለዓለም\n[00:02:75]\n[00:03.50]{B}\n",
    "a.ctm": "a 1 0.5 1.75 ሰላም\n",
    "a.stm": f"a 1 abebe 0.5 2.25 <o,f0> {A}\na 1 abebe 3.0 4.5 {B}\n",
    "a.smi": f"<SAMI><BODY><SYNC Start=500><P Class=AM>ሰላም<br>ለዓለም<SYNC Start=2250><P>&nbsp;"
             f"<SYNC Start=3000><P>{B}<SYNC Start=4500><P>&nbsp;</BODY></SAMI>",
    "srt.txt": SRT.format(A=A, B=B),
    "printed by Whisper.txt": f"[00:00.500 --> 00:02.250]  {A}\n[00:03.000 --> 00:04.500]  {B}\n",
    "silences.TextGrid": 'File type = "ooTextFile"\nObject class = "TextGrid"\n0\n9\n<exists>\n2\n'
             f'"IntervalTier"\n"ipa"\n0\n9\n1\n0.5\n2.25\n"sələm"\n'
             f'"IntervalTier"\n"አማርኛ"\n0\n9\n5\n0\n0.5\n"sil"\n0.5\n2.25\n"{A}"\n2.25\n3\n"<SIL>"\n3\n4.5\n"{B}"\n4.5\n9\n"#"\n',
}  # fmt: skip


@pytest.mark.parametrize("name", CUES)
def test_times_and_texts_of_every_program(tmp_path: Path, name: str) -> None:
    stem = name.split(".")[0]
    made(tmp_path, {f"{stem}.wav": "", name: CUES[name]})
    (row,) = find_recordings([tmp_path])
    wanted = [("ሰላም", 0.5, 2.25)] if name == "a.ctm" else TIMED
    for cue, (text, start, end) in zip(row.cues, wanted, strict=False):
        assert cue.text == text
        assert cue.start_seconds == pytest.approx(start)
        assert cue.end_seconds == pytest.approx(end)
    assert len(row.cues) >= len(wanted)
    assert row.problem is None
    assert row.notes == ()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.srt", SRT.replace("00:00:00,500", "00:00:xx").format(A=C, B=B), "subtitles_unclear_time"),
        ("a.srt", SRT.replace("00:00:00,500", "00:75:80,500").format(A=C, B=B), "subtitles_unclear_time"),
        ("a.txt", f"0.5\t0.5\t{C}\n3.0\t4.5\t{B}\n", "subtitles_backwards"),
        ("a.json", json.dumps({"segments": [
            {"start": None, "end": 2, "text": C}, {"start": 3, "end": 4.5, "text": B}]}),
         "subtitles_backwards"),
    ],
)  # fmt: skip
def test_cues_that_are_left_out_are_counted(tmp_path: Path, name: str, content: str, kind: str) -> None:
    made(tmp_path, {"a.wav": "", name: content})
    (row,) = find_recordings([tmp_path])
    assert [(cue.text, cue.start_seconds, cue.end_seconds) for cue in row.cues] == TIMED[1:]
    assert [(issue.kind, issue.measured) for issue in row.notes] == [(kind, 1)]


@pytest.mark.parametrize(
    "content",
    [
        f"[00:00:01] {A}\n[00:00:03] {B}\n",
        f"0:01 - {A}\n0:03 - {B}\n",
        f"00:01\n{A}\n00:03\n{B}\n",
        f"1. {A}\n2. {B}\n",
        f"\u200b1) {A}\n\ufeff2) {B}\u200e\n",
    ],
)
def test_what_is_not_read_aloud_is_no_script(tmp_path: Path, content: str) -> None:
    made(tmp_path, {"a.wav": "", "a.txt": content})
    (row,) = find_recordings([tmp_path])
    assert ([cue.text for cue in row.cues], row.by) == ([A, B], "script")


@pytest.mark.parametrize(
    ("raw", "text", "speaker"),
    [
        (f"ዶ/ር አለሙ፦ {A}", A, "ዶ/ር አለሙ"),
        (f"Dr. Abebe: {A}", A, "Dr. Abebe"),
        (f"Speaker 1: {A}", A, "Speaker 1"),
        (f"SPEAKER_00: {A}", A, "SPEAKER_00"),
        (f"ተናጋሪ 2፡ {A}", A, "ተናጋሪ 2"),
        (f"🎵 {A} 🎵\n{B}", B, ""),
        (f"♪♪ {A} ♪♪", "", ""),
        ("ሰዓቱ 3:15 ነው", "ሰዓቱ 3:15 ነው", ""),
        (f"እንዲህ ሲል ተናገረ፦ {A}", f"እንዲህ ሲል ተናገረ፦ {A}", ""),
        ("አድራሻው https://x.et ነው", "አድራሻው https://x.et ነው", ""),
    ],
)
def test_names_and_music_are_not_spoken(raw: str, text: str, speaker: str) -> None:
    found = spoken_text(raw)
    assert (found.text, found.speaker) == (text, speaker)
