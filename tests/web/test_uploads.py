"""What comes from a browser is stored by content inside the project, or refused with a reason; nothing leads
out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dimts.base.errors import ProjectError
from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.data.prepare import prepare
from dimts.web.uploads import MAX_BATCH, Upload, discard, keep_take, receive, safe_name
from dimts.web.uploads import recordings as listed

LIMIT = 10_000_000
Write = Callable[[Path, int], list[Path]]


def given_as(paths: list[Path]) -> list[Upload]:
    return [Upload(path.name, path) for path in paths]


def files(project: Project) -> set[str]:
    return {path.relative_to(project.root).as_posix() for path in project.root.rglob("*") if path.is_file()}


def kinds(stored: object) -> list[str]:
    return [doubt.kind for _, doubt in stored.refused]  # type: ignore[attr-defined]


def test_sounds_and_texts_of_a_name_stay_together(
    project: Project, tmp_path: Path, recordings: Write
) -> None:
    stored = receive(project, given_as(recordings(tmp_path / "cache", 2)), tmp_path / "cache", LIMIT)
    assert not stored.refused
    assert [path.stem for path in stored.sounds] == [path.stem for path in stored.texts]
    assert all(path.parent == project.recordings for path in stored.sounds)
    summary = prepare(project)
    assert summary.recordings == 2
    assert {row.text for row in Manifest.read(project.manifest)} == {
        path.read_text(encoding="utf-8").strip() for path in (tmp_path / "cache").glob("*.txt")
    }


def test_the_same_sound_is_stored_once(project: Project, tmp_path: Path, recordings: Write) -> None:
    cache = tmp_path / "cache"
    sound = recordings(cache, 1)[0]
    again = cache / "another name.wav"
    again.write_bytes(sound.read_bytes())
    first = receive(project, [Upload(sound.name, sound)], cache, LIMIT)
    second = receive(project, [Upload(again.name, again)], cache, LIMIT)
    assert first.sounds == second.sounds


def test_a_text_that_comes_later_finds_its_sound(project: Project, tmp_path: Path, recordings: Write) -> None:
    cache = tmp_path / "cache"
    sound, text = recordings(cache, 1)
    stored = receive(project, given_as([sound]), cache, LIMIT)
    later = receive(project, given_as([text]), cache, LIMIT)
    assert later.texts == (stored.sounds[0].with_suffix(".txt"),)


def test_a_table_with_its_sounds_becomes_a_folder(
    project: Project, tmp_path: Path, recordings: Write
) -> None:
    cache = tmp_path / "cache"
    sound, text = recordings(cache, 1)
    table = cache / "metadata.tsv"
    table.write_text(
        f"path\ttext\n{sound.name}\t{text.read_text(encoding='utf-8').strip()}\n", encoding="utf-8"
    )
    stored = receive(project, given_as([sound, table]), cache, LIMIT)
    assert not stored.refused
    assert stored.sounds[0].parent.name.startswith("set-")
    assert prepare(project).recordings == 1


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../secret.wav", "..\\..\\secret.wav", "../abebe/dimts.toml"]
)
def test_a_table_cannot_name_what_was_not_uploaded(
    project: Project, tmp_path: Path, recordings: Write, path: str
) -> None:
    cache = tmp_path / "cache"
    sound = recordings(cache, 1)[0]
    (project.root.parent / "secret.wav").write_bytes(sound.read_bytes())
    (project.root / "secret.wav").write_bytes(sound.read_bytes())
    table = cache / "metadata.tsv"
    table.write_text(f"path\ttext\n{path}\tሰላም ለዓለም\n", encoding="utf-8")
    before = files(project)
    stored = receive(project, given_as([sound, table]), cache, LIMIT)
    if files(project) == before:
        assert kinds(stored) == ["upload_table"]
    else:  # the name was cut to its last part, which is not there
        assert [
            row.path for row in (Manifest.read(project.manifest) if project.manifest.exists() else [])
        ] == []
    assert not any("secret" in name for name in files(project) - before)


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.exe", b"MZ", "upload_type"),
        ("a.html", b"<script>alert(1)</script>", "upload_type"),
        ("no-suffix", b"x", "upload_type"),
        ("a.wav", b"RIFF not a sound", "upload_broken"),
        ("a.mp4", b"\0" * 64, "upload_broken"),
        ("a.txt", b"\xff\xfe\x00", "upload_not_text"),
        ("a.txt", b"text\0with null", "upload_not_text"),
        ("a.wav", b"", "upload_empty"),
        ("alone.txt", "ሰላም".encode(), "upload_alone"),
        ("other.csv", b"a,b", "upload_table"),
        ("dimts.toml", b"[train]", "upload_type"),
    ],
)
def test_what_is_no_recording_is_refused(
    project: Project, tmp_path: Path, name: str, content: bytes, kind: str
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / name).write_bytes(content)
    before = files(project)
    assert kinds(receive(project, [Upload(name, cache / name)], cache, LIMIT)) == [kind]
    assert files(project) == before


def test_a_file_over_the_limit_is_refused(project: Project, tmp_path: Path, recordings: Write) -> None:
    sound = recordings(tmp_path / "cache", 1)[0]
    stored = receive(project, given_as([sound]), tmp_path / "cache", sound.stat().st_size - 1)
    assert kinds(stored) == ["upload_too_large"]


def test_what_was_not_uploaded_is_refused(project: Project, tmp_path: Path, recordings: Write) -> None:
    cache = tmp_path / "cache"
    sound = recordings(tmp_path / "elsewhere", 1)[0]
    cache.mkdir()
    link = cache / "link.wav"
    link.symlink_to(sound)
    for path in (sound, link, cache / ".." / "elsewhere" / sound.name, cache / "missing.wav"):
        assert kinds(receive(project, [Upload("a.wav", path)], cache, LIMIT)) == ["upload_outside"]


@pytest.mark.parametrize(
    "name",
    [
        "../../../evil.wav",
        "..\\evil.wav",
        "/abs/evil.wav",
        "C:\\evil.wav",
        "<img src=x onerror=alert(1)>.wav",
    ],
)
def test_names_lead_nowhere(project: Project, tmp_path: Path, recordings: Write, name: str) -> None:
    sound = recordings(tmp_path / "cache", 1)[0]
    stored = receive(project, [Upload(name, sound)], tmp_path / "cache", LIMIT)
    (kept,) = stored.sounds
    assert kept.parent == project.recordings
    assert not set(kept.name) & set("<>/\\=() ")
    assert {path.name for path in tmp_path.iterdir()} == {"voices", "cache"}


@given(st.text())
@example("0.A.")
@example("0.A.!")
def test_any_name_becomes_a_safe_one(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert not safe.startswith(".")
    assert "/" not in safe
    assert "\\" not in safe
    assert "\0" not in safe
    assert safe not in ("..", ".")
    assert safe_name(safe) == safe
    assert len(safe) < 240


def test_too_many_files_at_once(project: Project, tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="too many"):
        receive(project, [Upload("a.wav", tmp_path / "a")] * (MAX_BATCH + 1), tmp_path, LIMIT)


def test_a_take_is_kept_with_its_line(project: Project, tmp_path: Path, recordings: Write) -> None:
    take = recordings(tmp_path / "cache", 1)[0]
    kept = keep_take(project, take, "ሰላም  ለዓለም።", tmp_path / "cache", LIMIT)
    assert listed(project) == [(kept, "ሰላም ለዓለም።")]


def test_a_broken_take_is_refused(project: Project, tmp_path: Path) -> None:
    take = tmp_path / "take.wav"
    take.write_bytes(b"nothing")
    with pytest.raises(ProjectError, match="cannot be used"):
        keep_take(project, take, "ሰላም", tmp_path, LIMIT)
    with pytest.raises(ProjectError, match="empty"):
        keep_take(project, take, "  ", tmp_path, LIMIT)
    assert listed(project) == []


def test_what_is_stored_is_deleted_from_the_cache_and_nothing_else(tmp_path: Path) -> None:
    cache, other = tmp_path / ".web", tmp_path / "mine.wav"
    cache.mkdir()
    upload, link = cache / "a.wav", cache / "b.wav"
    upload.write_bytes(b"1")
    other.write_bytes(b"2")
    link.symlink_to(other)
    discard([upload, other, link, cache / "gone.wav"], cache)
    assert not upload.exists()
    assert other.exists()
