"""Write the tree in docs/architecture.md anew: each module with the first sentence of its docstring.

python tools/tree.py
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "dimts"
ORDER = (
    "base",
    "text",
    "audio",
    "xtts",
    "speak",
    "data",
    "train",
    "evaluate",
    "install",
    "server",
    "web",
    "cli",
)
WIDTH = 118
INDENT = 22


def first_line(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).split(". ")[0].rstrip(".")


def line(depth: int, name: str, summary: str) -> str:
    """One line of the tree, cut to the width at a word."""
    left = "  " * depth + name
    text = f"{left:<{INDENT}} {summary}".rstrip()
    return text if len(text) <= WIDTH else text[: WIDTH - 1].rsplit(" ", 1)[0] + " …"


def tree(folder: Path, depth: int) -> list[str]:
    """The lines below `folder`, sub-folders after files."""
    lines = [
        line(depth, path.name, first_line(path))
        for path in sorted(folder.glob("*.py"))
        if path.name != "__init__.py"
    ]
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"):
        if (inner / "__init__.py").exists():
            lines += [
                line(depth, inner.name + "/", first_line(inner / "__init__.py")),
                *tree(inner, depth + 1),
            ]
        elif inner.name == "tables":
            lines.append(line(depth, "tables/", "what a linguist edits: plain TSV, each with its source"))
    return lines


def render(page: str) -> str:
    """The page with the tree of today in the place of the one it has."""
    lines = []
    for name in ORDER:
        lines += [line(0, name + "/", first_line(SOURCE / name / "__init__.py")), *tree(SOURCE / name, 1)]
    lines += [
        line(0, path.name, first_line(path))
        for path in sorted(SOURCE.glob("*.py"))
        if path.stem != "__init__"
    ]
    block = "```text\nsrc/dimts/\n" + "".join(f"  {entry}\n" for entry in lines) + "```"
    return re.sub(r"```text\nsrc/dimts/\n.*?```", lambda _: block, page, flags=re.DOTALL)


def main() -> None:
    """Write the file."""
    page = ROOT / "docs" / "architecture.md"
    page.write_text(render(page.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
