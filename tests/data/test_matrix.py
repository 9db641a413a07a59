"""Tables in every dialect, and random bytes for every reader of text: read, or refused with a reason."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dimts.base.errors import SourceError
from dimts.data.labels import LABELS, audacity_labels
from dimts.data.parquet import unpack
from dimts.data.sources import corpus_note, find_recordings, with_speakers
from dimts.data.subtitles import read_subtitles
from dimts.data.tables import read_kaldi, read_table
from dimts.data.text_files import read_text

TEXTS = ("ሰላም ለዓለም", "ዛሬ ጥሩ ቀን ነው፣ ነገም", 'እሱ "እሺ" አለ', "ልጆቹ ትምህርት ቤት ሄዱ")
HEADERS = (
    ("path", "text"),
    ("audio_file", "transcription"),
    ("wav_filename", "wav_filesize", "transcript"),
    ("client_id", "path", "sentence", "up_votes"),
    ("id", "speaker", "duration", "raw_text"),
    None,
)
SEPARATORS = ("\t", "|", ",", ";")
ENDS = ("\n", "\r\n")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16")


def cells(header: tuple[str, ...] | None, number: int, text: str) -> list[str]:
    known = {
        **dict.fromkeys(("path", "audio_file", "wav_filename"), f"s{number}.wav"),
        **dict.fromkeys(("text", "transcription", "transcript", "sentence", "raw_text"), text),
        "id": f"s{number}", "speaker": "abebe", "client_id": "abebe",
        "wav_filesize": "90210", "up_votes": "2", "duration": "1.5",
    }  # fmt: skip
    return [known[name] for name in header or ("path", "text")]


@pytest.mark.parametrize(
    ("header", "separator", "end", "encoding"), list(itertools.product(HEADERS, SEPARATORS, ENDS, ENCODINGS))
)
def test_tables_of_every_dialect(
    tmp_path: Path, header: tuple[str, ...] | None, separator: str, end: str, encoding: str
) -> None:
    content = io.StringIO(newline="")
    quoted = separator in ",;"
    for number, text in enumerate(TEXTS):
        (tmp_path / f"s{number}.wav").touch()
        row = cells(header, number, text)
        if number == 0 and header:
            content.write(separator.join(header) + end)
        if quoted:
            csv.writer(content, delimiter=separator, lineterminator=end).writerow(row)
        else:
            content.write(separator.join(row) + end)
    (tmp_path / "metadata.csv").write_bytes(content.getvalue().encode(encoding))
    rows = list(find_recordings([tmp_path]))
    assert [(row.name, row.text, row.problem) for row in rows] == [
        (f"s{number}", text, None) for number, text in enumerate(TEXTS)
    ]
    assert {row.speaker for row in rows} == {
        "abebe" if header and {"speaker", "client_id"} & set(header) else ""
    }


BAD_ROWS: dict[str, Callable[[str, list[str]], list[str] | str]] = {
    "no text": lambda separator, row: [*row[:-1], ""],
    "no name": lambda separator, row: ["", *row[1:]],
    "no such sound": lambda separator, row: ["lost.wav", *row[1:]],
    "one cell": lambda separator, row: row[:1],
    "the same again": lambda separator, row: ["s0.wav", *row[1:]],
    "backwards": lambda separator, row: row[::-1],
    "open quote": lambda separator, row: separator.join([row[0], f'"{row[1]}']),
    "a NUL": lambda separator, row: ["s\0.wav", *row[1:]],
}


@pytest.mark.parametrize(
    ("defect", "separator", "header"), list(itertools.product(BAD_ROWS, SEPARATORS, (("path", "text"), None)))
)
def test_one_bad_row_leaves_the_others_alone(
    tmp_path: Path, defect: str, separator: str, header: tuple[str, ...] | None
) -> None:
    texts = ("ሰላም ለዓለም", "ዛሬ ጥሩ ቀን ነው", "ልጆቹ ትምህርት ቤት ሄዱ", "ገበሬው ማሳውን በበሬ ያርሳል")
    lines = [separator.join(header)] if header else []
    for number, text in enumerate(texts):
        (tmp_path / f"s{number}.wav").touch()
        row: list[str] | str = [f"s{number}.wav", text]
        if number == 2:
            (tmp_path / f"s{number}.wav").unlink()  # else the sound is a recording without text
            row = BAD_ROWS[defect](separator, [f"s{number}.wav", text])
        lines.append(row if isinstance(row, str) else separator.join(row))
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = list(find_recordings([tmp_path]))
    good = [(one.path.name, one.text) for one in found if one.problem is None]
    assert good == [(f"s{number}.wav", text) for number, text in enumerate(texts) if number != 2]
    assert len([one for one in found if one.problem is not None]) == 1


@pytest.mark.parametrize("key", ["file_name", "audio_filepath", "path", "audio"])
@pytest.mark.parametrize("text", ["text", "sentence", "transcription"])
def test_json_lines(tmp_path: Path, key: str, text: str) -> None:
    (tmp_path / "s0.wav").touch()
    rows = [{key: "s0.wav", text: TEXTS[0], "duration": 1.5}, {key: "lost.wav", text: TEXTS[1]}, [1]]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows] + ["{broken"]
    (tmp_path / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    found = list(find_recordings([tmp_path]))
    assert [(row.text, row.problem and row.problem.kind) for row in found] == [
        (TEXTS[0], None),
        (TEXTS[1], "no_audio"),
        ("", "transcript_row"),
        ("", "transcript_row"),
    ]


def reader_of(reader: Callable[[str], object]) -> Callable[[Path], object]:
    return lambda path: reader(read_text(path))


READERS: dict[str, Callable[[Path], object]] = {
    "metadata.csv": lambda path: list(read_table(path, lambda cell: False)),
    "metadata.tsv": lambda path: list(read_table(path, lambda cell: True)),
    "metadata.jsonl": lambda path: list(read_table(path, lambda cell: False)),
    "wav.scp": lambda path: list(read_kaldi(path)),
    "a.srt": read_subtitles,
    "a.vtt": read_subtitles,
    "a.ass": read_subtitles,
    "a.sub": read_subtitles,
    "a.parquet": lambda path: unpack(path, path.parent / "out"),
    "a.arrow": lambda path: unpack(path, path.parent / "out"),
    **{f"a{suffix}": reader_of(reader) for suffix, reader in LABELS.items()},
    "corpus.json": lambda path: corpus_note(path.parent),
    "speakers.tsv": lambda path: with_speakers([], path.name, path.parent, ""),
}
PIECES = st.sampled_from(
    [b"\n", b"\t", b",", b";", b"|", b'"', b"'", b"{", b"}", b"[", b"]", b"path", b"text", b"start", b"end",
     b"1.5", b"-1", b"nan", (b"00:00:01,000 --> " b"00:00:02,000"), b"WEBVTT\n\n", b"[Events]\n",
     b"Dialogue: 0,0:00:01.00,", b"NOTE", b"<tt><body><div>", b"</div></body></tt>",
     b'<p begin="1s" end="2s">', b"</p>", b"{1}{1}25", b"ARROW1", b"PAR1", b"<ANNOTATION_DOCUMENT>",
     b"</ANNOTATION_DOCUMENT>", b'<TIER TIER_ID="a">', b"[COLF]", b"00:00:01.00,00:00:02.00", "ሰላም".encode(),
     "አበበ፦ ".encode(), b"\xff", b"\x00", b"\xef\xbb\xbf", b"{\\p1}", b"<v ", b"&amp;", b"../../x.wav"]
)  # fmt: skip
CONTENT = st.lists(PIECES | st.binary(max_size=6), max_size=40).map(b"".join)


def read_or_refused(name: str, content: bytes, folder: Path) -> None:
    (folder / name).write_bytes(content)
    (folder / "text").write_bytes(content)
    refused = []
    try:
        READERS[name](folder / name)
    except SourceError as error:
        refused.append(error)
    assert all(error.message.line(language) for error in refused for language in ("en", "am"))
    audacity_labels(content.decode("utf-8", "replace"))


@pytest.mark.parametrize("name", READERS)
@given(content=CONTENT)
@settings(max_examples=12, deadline=None)
def test_random_bytes_are_read_or_refused(
    name: str, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    read_or_refused(name, content, tmp_path_factory.mktemp("bytes"))


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
@given(content=CONTENT)
@settings(max_examples=500, deadline=None)
def test_many_random_bytes_are_read_or_refused(
    name: str, content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    read_or_refused(name, content, tmp_path_factory.mktemp("bytes"))


@given(
    content=CONTENT,
    name=st.sampled_from(
        [
            "a.txt",
            "a.srt",
            "metadata.csv",
            "x.list",
            "train.jsonl",
            "a.lab",
            "a.eaf",
            "a.ttml",
            "a.sub",
            "a.json",
            "manifest.json",
            "corpus.json",
            "x.parquet",
            "a.TextGrid",
            "b.source.json",
        ]
    ),
)
@settings(max_examples=60, deadline=None)
def test_random_bytes_beside_a_good_recording(
    content: bytes, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("beside")
    for stem in "ab":
        (folder / f"{stem}.wav").touch()
    (folder / "b.txt").write_text("ሰላም", encoding="utf-8")
    (folder / name).write_bytes(content)
    found = [row for row in find_recordings([folder]) if row.path.name == "b.wav"]
    assert found
    assert all(row.problem is None or row.problem.message.line() for row in found)
