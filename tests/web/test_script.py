"""The recording script lies in the project: kept, chosen from a text, and gone on with where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dimts.base.errors import DataError, ProjectError
from dimts.base.project import Project
from dimts.evaluate.sentences import SENTENCES
from dimts.web import script
from dimts.web.uploads import keep_take, text_of

LIMIT = 5_000_000


def test_without_a_script_the_short_one_is_read(project: Project) -> None:
    found = script.reading(project)
    assert found.lines == tuple(SENTENCES)
    assert (found.next, found.line(1), found.recorded) == (1, SENTENCES[0], frozenset())


def test_a_script_is_kept_and_a_session_goes_on(
    project: Project, tmp_path: Path, recordings: Callable[[Path, int], list[Path]]
) -> None:
    script.save(project, "  ሰላም   ለዓለም። \n\nእንዴት ናችሁ?\nሰላም ለዓለም።\nደህና ነኝ።\n")
    assert script.reading(project).lines == ("ሰላም ለዓለም።", "እንዴት ናችሁ?", "ደህና ነኝ።")
    sound, _, other, _ = recordings(tmp_path / "cache", 2)
    keep_take(project, sound, script.reading(project).line(2), tmp_path / "cache", LIMIT)
    assert script.reading(project).recorded == {2}
    assert script.reading(project).next == 1
    keep_take(project, other, script.reading(project).line(1), tmp_path / "cache", LIMIT)
    assert script.reading(project).next == 3
    # a sentence put in front changes numbers, not what is recorded
    found = script.save(project, "አዲስ።\nሰላም ለዓለም።\nእንዴት ናችሁ?")
    assert (found.recorded, found.next) == (frozenset({2, 3}), 1)


def test_lines_beyond_the_script_are_its_ends(project: Project) -> None:
    found = script.save(project, "አንድ።\nሁለት።")
    assert [found.line(number) for number in (-3, 0, 1, 2, 99)] == ["አንድ።", "አንድ።", "አንድ።", "ሁለት።", "ሁለት።"]
    assert script.save(project, "").line(1) == ""
    assert script.reading(project).next == 1


@pytest.mark.parametrize(
    "text", ["ሀ" * (script.MAX_LETTERS + 1), "\n".join(map(str, range(script.MAX_LINES + 1)))]
)
def test_a_script_that_is_too_long_is_refused(project: Project, text: str) -> None:
    with pytest.raises(DataError):
        script.save(project, text)
    assert not (project.root / script.FILE).exists()


def test_a_script_is_chosen_from_a_text(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("\n".join(SENTENCES), encoding="utf-8")
    found = script.choose_from(project, [path], 5)
    assert script.reading(project).lines == found.sentences
    assert len(set(found.sentences) & set(SENTENCES)) == 5


def test_only_texts_are_chosen_from(tmp_path: Path) -> None:
    good, bad, table = tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.tsv"
    good.write_text("ሰላም።", encoding="utf-8")
    bad.write_bytes(b"\xff\xfe\0")
    table.write_text("ሰላም።", encoding="utf-8")
    assert text_of(good, tmp_path) == good
    for path in (bad, table, Path("/etc/passwd")):
        with pytest.raises(ProjectError):
            text_of(path, tmp_path)
