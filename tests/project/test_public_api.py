"""The public names are exactly those of `__all__`; generated pages are those that the program would write
now."""

from __future__ import annotations

import runpy
import tomllib
from pathlib import Path

import dimts


def test_every_public_name_can_be_had_and_no_other_is_promised() -> None:
    for name in dimts.__all__:
        assert getattr(dimts, name) is not None
    assert dir(dimts) == sorted(dimts.__all__)
    assert set(dimts._HOMES) | {"__version__"} == set(dimts.__all__)


def test_the_version_is_the_same_in_the_package_and_its_metadata(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    assert dimts.__version__ == project["version"]


def test_every_module_opens_with_what_it_is(repository: Path) -> None:
    bare = [
        path.name
        for path in (repository / "src").rglob("*.py")
        if not path.read_text("utf-8").startswith('"""')
    ]
    assert bare == []


def test_the_command_line_page_is_not_stale(repository: Path) -> None:
    from dimts.cli.reference import reference

    assert (repository / "docs" / "cli.md").read_text("utf-8") == reference(), "run: make docs"


def test_the_tree_of_the_architecture_page_is_the_real_one(repository: Path) -> None:
    render = runpy.run_path(str(repository / "tools" / "tree.py"))["render"]
    page = (repository / "docs" / "architecture.md").read_text("utf-8")
    assert render(page) == page, "run: make docs"


def test_every_package_has_a_folder_of_tests(repository: Path) -> None:
    packages = {path.parent.name for path in (repository / "src" / "dimts").glob("*/__init__.py")}
    assert {name for name in packages if not list((repository / "tests" / name).glob("test_*.py"))} == set()
