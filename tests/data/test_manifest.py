"""The manifest: what is written is read, and what is wrong is named by file, row and field."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import DataError, ManifestError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.data.manifest import Manifest, Utterance, line_of, parse

texts = st.text(alphabet='ሀለሐመሠረሰቀበተነ 0123456789።፣"\\\t', max_size=40)
numbers = st.integers(-(10**9), 10**9).map(lambda number: number / 1000)
issues = st.builds(
    Issue,
    st.sampled_from(["low_snr", "clipped", "leak"]),
    st.builds(lambda value: Message("data.low_snr", value=value), numbers),
    st.none() | numbers,
    st.none() | numbers,
)
rows = st.builds(
    Utterance,
    id=st.text(string.ascii_letters, min_size=1),
    path=st.just("clips/a.wav"),
    text=texts.filter(lambda text: text != ""),
    spoken=texts,
    seconds=st.integers(1, 10**6).map(lambda number: number / 1000),
    speaker=texts,
    split=st.sampled_from(["train", "dev", "test"]),
    kept=st.booleans(),
    issues=st.lists(issues, max_size=3).map(tuple),
    rejected_for=st.lists(st.sampled_from(["low_snr", "clipped"]), max_size=2).map(tuple),
    by=st.sampled_from(["transcript", "subtitle", "script", "whisper", "person", ""]),
    score=st.none() | st.integers(0, 1000).map(lambda number: number / 1000),
    measures=st.dictionaries(st.sampled_from(["snr_db", "bandwidth_hz"]), numbers),
)

GOOD = {
    "id": "a",
    "path": "clips/a.wav",
    "text": "ሰላም",
    "seconds": 1.5,
    "speaker": "",
    "split": "train",
    "kept": True,
}


@given(rows)
def test_a_row_is_read_as_it_was_written(row: Utterance) -> None:
    assert parse(line_of(row), "m", 1) == row


def test_rows_come_back_in_order(tmp_path: Path) -> None:
    wanted = [Utterance(id=f"u{index}", text="ሰላም") for index in range(5)]
    Manifest.write(tmp_path / "m.jsonl", wanted)
    assert Manifest.read(tmp_path / "m.jsonl") == wanted


def test_appending_replaces_a_row_of_the_same_id_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    Manifest.append(path, [Utterance(id="a", text="ሀ"), Utterance(id="b", text="ለ")])
    Manifest.append(path, [Utterance(id="c", text="ሐ"), Utterance(id="a", text="መ")])
    assert [(row.id, row.text) for row in Manifest.read(path)] == [("a", "መ"), ("b", "ለ"), ("c", "ሐ")]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"seconds": "long"}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"seconds": -1.0, "kept": False}, "seconds"),
        ({"split": "training"}, "split"),
        ({"kept": 1}, "kept"),
        ({"pathh": "x"}, "pathh"),
        ({"path": "/etc/passwd"}, "path"),
        ({"path": "../other/a.wav"}, "path"),
        ({"path": ""}, "path"),
        ({"text": ""}, "text"),
        ({"id": ""}, "id"),
        ({"issues": [{"kind": "x"}]}, "issues"),
        ({"rejected_for": "clipped"}, "rejected_for"),
        ({"by": "magic"}, "by"),
        ({"measures": {"snr_db": "loud"}}, "measures"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, change: dict[str, object], field: str) -> None:
    path = tmp_path / "m.jsonl"
    good, wrong = {**GOOD, "id": "first"}, {**GOOD, **change}
    path.write_text(json.dumps(good) + "\n" + json.dumps(wrong) + "\n", encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        Manifest.read(path)
    assert (caught.value.path, caught.value.row, caught.value.field) == (str(path), 2, field)


@pytest.mark.parametrize("line", ["{", "[]", "nothing", json.dumps({"id": "a"})])
def test_what_is_no_row_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "m.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="row 1"):
        Manifest.read(tmp_path / "m.jsonl")


def test_an_id_stands_once(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(2 * (json.dumps(GOOD) + "\n"), encoding="utf-8")
    with pytest.raises(ManifestError, match="row 1 already"):
        Manifest.read(tmp_path / "m.jsonl")


def test_no_manifest_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        Manifest.read(tmp_path / "m.jsonl")
    assert "dimts data prepare" in caught.value.message.remedy()


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match="UTF-8"):
        Manifest.read(tmp_path / "m.jsonl")


def test_a_write_that_fails_leaves_the_old_manifest(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    Manifest.write(path, [Utterance(id="old", text="ሀ")])

    def rows_that_break() -> object:
        yield Utterance(id="new", text="ለ")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        Manifest.write(path, rows_that_break())  # type: ignore[arg-type]
    assert [row.id for row in Manifest.read(path)] == ["old"]
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []
