"""Parquet: what goes out comes back the same; corpora of others come in with their sounds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import soundfile

from dimts.base.errors import DataError, SourceError
from dimts.base.project import Project
from dimts.cli.main import main
from dimts.data.add import add
from dimts.data.manifest import Manifest
from dimts.data.parquet import read, restore, unpack, write
from dimts.data.prepare import prepare
from dimts.data.sources import find_recordings

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def prepared(project: Project, corpus: Any) -> Project:
    folder = corpus(4)
    with (folder / "metadata.tsv").open("a", encoding="utf-8") as table:
        table.write("lost\taudio/lost.wav\tabebe\tየለም\nshort\n")
    prepare(project, [folder])
    return project


def test_rows_come_back_as_they_were(prepared: Project, tmp_path: Path) -> None:
    rows = Manifest.read(prepared.manifest)
    assert write(tmp_path / "out.parquet", rows) == len(rows) == 6
    assert list(read(tmp_path / "out.parquet")) == rows
    schema = parquet.read_schema(tmp_path / "out.parquet")
    assert schema.field("seconds").type == arrow.float64()
    assert schema.field("kept").type == arrow.bool_()
    assert "audio" not in schema.names


def test_a_project_comes_back_with_its_clips(
    prepared: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.parquet"
    assert main(["data", "export", str(prepared.root), "-o", str(out), "--audio"]) == 0
    assert "6 rows with their clips" in capsys.readouterr().out
    other = Project.create(tmp_path / "other", "")
    assert main(["data", "restore", str(other.root), str(out)]) == 0
    assert other.manifest.read_bytes() == prepared.manifest.read_bytes()
    for row in Manifest.read(other.manifest):
        if row.path:
            assert other.inside(row.path).read_bytes() == prepared.inside(row.path).read_bytes()
    assert main(["data", "restore", str(other.root), str(out)]) == 2
    assert "already" in capsys.readouterr().err


def test_without_its_clips_it_is_not_restored(prepared: Project, tmp_path: Path) -> None:
    write(tmp_path / "out.parquet", Manifest.read(prepared.manifest))
    other = Project.create(tmp_path / "other", "")
    with pytest.raises(DataError, match="lacks the sound of 4 clips"):
        restore(tmp_path / "out.parquet", other.manifest, other.root)
    assert not other.manifest.exists()


def test_only_what_is_kept(prepared: Project, tmp_path: Path) -> None:
    assert main(["data", "export", str(prepared.root), "-o", str(tmp_path / "kept.parquet"), "--kept"]) == 0
    assert [row.kept for row in read(tmp_path / "kept.parquet")] == [True] * 4


def test_a_clip_that_is_gone_stops_the_export_and_leaves_nothing(prepared: Project, tmp_path: Path) -> None:
    rows = Manifest.read(prepared.manifest)
    prepared.inside(rows[1].path).unlink()
    with pytest.raises(DataError, match="cannot be read"):
        write(tmp_path / "out.parquet", rows, prepared.root)
    assert list(tmp_path.glob("*.parquet")) == []


def test_a_path_that_leads_out_of_the_project_is_refused(prepared: Project, tmp_path: Path) -> None:
    write(tmp_path / "out.parquet", Manifest.read(prepared.manifest), prepared.root)
    table = parquet.read_table(tmp_path / "out.parquet")
    paths = ["../evil.wav", *table["path"].to_pylist()[1:]]
    table = table.set_column(table.schema.get_field_index("path"), "path", [paths])
    parquet.write_table(table, tmp_path / "evil.parquet")
    other = Project.create(tmp_path / "other", "")
    with pytest.raises(DataError, match="outside the project"):
        restore(tmp_path / "evil.parquet", other.manifest, other.root)
    assert not (tmp_path / "evil.wav").exists()


@pytest.mark.parametrize("form", ["wav", "flac", "mp3"])
def test_a_corpus_of_the_hub_comes_in_with_its_sounds(
    project: Project, tmp_path: Path, speech: Any, form: str
) -> None:
    rows = []
    for index in range(3):
        said = speech.room(speech.said(speech.sentence(index + 2)).wave)
        data = io.BytesIO()
        soundfile.write(data, said.samples, said.rate, format=form.upper())
        name = f"common/../voice_{index}.{form}" if index else None
        rows.append(
            {
                "audio": {"bytes": data.getvalue(), "path": name},
                "sentence": speech.sentence(index + 2),
                "client_id": "a",
            }
        )
    parquet.write_table(arrow.Table.from_pylist(rows), tmp_path / "cv.parquet", row_group_size=2)
    added = add(project, [str(tmp_path / "cv.parquet")])
    assert len(added) == 4
    assert all(path.parent == project.recordings / "cv" for path in added)
    assert [(one.text, one.speaker) for one in find_recordings([project.recordings])] == [
        (speech.sentence(index + 2), "a") for index in range(3)
    ]
    assert add(project, [str(tmp_path / "cv.parquet")]) == []
    assert prepare(project).kept == 3


def test_what_holds_no_corpus_is_refused(prepared: Project, tmp_path: Path) -> None:
    (tmp_path / "no.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        unpack(tmp_path / "no.parquet", tmp_path)
    parquet.write_table(arrow.table({"text": ["ሰላም"]}), tmp_path / "text.parquet")
    with pytest.raises(SourceError, match="no sounds"):
        unpack(tmp_path / "text.parquet", tmp_path)
    with pytest.raises(DataError, match="not an export of dimts"):
        list(read(tmp_path / "text.parquet"))
    sounds = arrow.table({"audio": [{"bytes": b"x", "path": "a"}], "label": [1]})
    parquet.write_table(sounds, tmp_path / "sounds.parquet")
    with pytest.raises(SourceError, match="no column of text"):
        unpack(tmp_path / "sounds.parquet", tmp_path)
