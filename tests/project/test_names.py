"""The public face is exactly what it says, and no room has burst."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import dimts

MAX_LINES = 500


def test_every_public_name_can_be_had_and_no_other_is_promised() -> None:
    for name in dimts.__all__:
        assert getattr(dimts, name) is not None
    assert dir(dimts) == sorted(dimts.__all__)
    assert set(dimts._HOMES) | {"__version__"} == set(dimts.__all__)


def test_the_version_is_said_once(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    assert dimts.__version__ == project["version"]


def test_no_file_has_outgrown_its_room(repository: Path) -> None:
    sizes = {path: len(path.read_text("utf-8").splitlines()) for path in (repository / "src").rglob("*.py")}
    assert {path.name: lines for path, lines in sizes.items() if lines > MAX_LINES} == {}


def test_every_module_opens_with_what_it_is(repository: Path) -> None:
    bare = [path.name for path in (repository / "src").rglob("*.py") if not path.read_text("utf-8").startswith('"""')]
    assert bare == []


def test_the_tree_in_the_readme_is_the_real_tree(repository: Path) -> None:
    readme = (repository / "README.md").read_text("utf-8")
    block = re.search(r"```text\nsrc/dimts/\n(.*?)```", readme, re.DOTALL)
    assert block is not None
    told: set[str] = set()
    folder = ""
    for line in block.group(1).splitlines():
        entry = re.match(r"( *)(\S+)", line)
        if not entry:
            continue
        depth, name = len(entry.group(1)) // 2, entry.group(2)
        parents = folder.split("/")[: depth - 1] if depth > 1 else []
        path = "/".join([*parents, name.rstrip("/")])
        if name.endswith("/"):
            folder = path
        told.add(path)
    source = repository / "src" / "dimts"
    files = {p.relative_to(source).as_posix() for p in source.rglob("*.py") if p.name != "__init__.py"}
    folders = {parent for file in files for parent in map(Path.as_posix, Path(file).parents) if parent != "."}
    tables = {p.relative_to(source).as_posix() for p in source.rglob("tables") if p.is_dir()}
    assert told == files | folders | tables


def test_the_command_line_page_is_not_stale(repository: Path) -> None:
    from dimts.cli.reference import reference

    assert (repository / "docs" / "cli.md").read_text("utf-8") == reference(), "run: make docs"
