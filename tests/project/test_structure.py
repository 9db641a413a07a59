"""How the package is built: names that mean one thing, no import circle, short functions, layers."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PATHS = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SOURCE / "dimts").rglob("*.py"))
}
LONGEST_FUNCTION = 80


@cache
def modules() -> dict[str, ast.Module]:
    """Syntax tree of every module by name."""
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in PATHS.items()}


def classes() -> Iterator[tuple[str, str]]:
    """Module and name of every public class."""
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield module, node.name


def imports(tree: ast.Module) -> Iterator[str]:
    """Modules of the package that a module imports at any depth, other than for type checking alone."""
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module in PATHS:
            for one in node.names:
                name = f"{node.module}.{one.name}"
                yield name if name in PATHS else node.module
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name in PATHS)


def test_a_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for module, name in classes():
        places[name].append(module)
    twice = {name: found for name, found in places.items() if len(found) > 1}
    assert not twice


def test_no_modules_import_each_other_in_a_circle_not_even_lazily() -> None:
    graph = {module: set(imports(tree)) - {module} for module, tree in modules().items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" → ".join(error.args[1])) from None


def test_no_function_is_longer_than_a_page() -> None:
    long = [
        f"{module}.{node.name}: {length} lines"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert not long


def test_nobody_imports_private_names_of_another_module() -> None:
    private = [
        f"{module} imports {node.module}.{one.name}"
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in PATHS
        for one in node.names
        if one.name.startswith("_") and not one.name.startswith("__")
    ]
    assert not private
