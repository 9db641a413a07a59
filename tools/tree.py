"""Write the tree in the README anew: each module with the first line of its docstring.

python tools/tree.py
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "dimts"
ORDER = ("base", "text", "audio", "xtts", "speak", "data", "train", "evaluate", "server", "web", "cli")
WIDTH = 118
INDENT = 22


def first_line(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).split(". ")[0].rstrip(".")


def line(depth: int, name: str, told: str) -> str:
    """One line of the tree, cut to the width at a word."""
    left = "  " * depth + name
    said = f"{left:<{INDENT}} {told}".rstrip()
    return said if len(said) <= WIDTH else said[: WIDTH - 1].rsplit(" ", 1)[0] + " …"


def tree(folder: Path, depth: int) -> list[str]:
    """The lines below `folder`, sub-folders after files."""
    lines = [
        line(depth, path.name, first_line(path)) for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"
    ]
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"):
        if (inner / "__init__.py").exists():
            lines += [line(depth, inner.name + "/", first_line(inner / "__init__.py")), *tree(inner, depth + 1)]
        elif inner.name == "tables":
            lines.append(line(depth, "tables/", "what a linguist edits: plain TSV, each with its source"))
    return lines


def main() -> None:
    """Write the file."""
    lines = []
    for name in ORDER:
        path = SOURCE / name
        if path.is_file():
            lines.append(line(0, name, first_line(path)))
        elif path.is_dir():
            lines += [line(0, name + "/", first_line(path / "__init__.py")), *tree(path, 1)]
    lines += [
        line(0, path.name, first_line(path)) for path in sorted(SOURCE.glob("*.py"))
        if path.name not in (*ORDER, "__init__.py")
    ]  # fmt: skip
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    block = "```text\nsrc/dimts/\n" + "".join(f"  {entry}\n" for entry in lines) + "```"
    readme.write_text(re.sub(r"```text\nsrc/dimts/\n.*?```", lambda _: block, text, flags=re.DOTALL), "utf-8")


if __name__ == "__main__":
    main()
