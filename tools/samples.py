"""Speak the sound samples of the README anew: docs/audio/*.mp3, each by the command that its table names.

python tools/samples.py [--out docs/audio]
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"\| \[[^]]+\]\(docs/audio/(?P<file>[\w.-]+)\) \| `dimts (?P<command>say [^`]+)`")


def samples(readme: str) -> dict[str, list[str]]:
    """File name → arguments of `dimts` that make it, from the table of the README."""
    return {row["file"]: shlex.split(row["command"]) for row in ROW.finditer(readme)}


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "audio")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name, arguments in samples((ROOT / "README.md").read_text("utf-8")).items():
        subprocess.run([sys.executable, "-m", "dimts", *arguments, "-o", str(given.out / name)], check=True)


if __name__ == "__main__":
    main()
