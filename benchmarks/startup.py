"""Time of `import dimts`, `dimts --help` and a first sentence, beside a bare interpreter.

python benchmarks/startup.py            prints one JSON line; seconds are medians of user + system time
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 7


def seconds(*command: str) -> float:
    """Median CPU seconds (user + system) of a child process."""
    taken = []
    for _ in range(ROUNDS):
        before = os.times()
        subprocess.run(command, check=True, capture_output=True)
        after = os.times()
        taken.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
    return statistics.median(taken)


def main() -> None:
    dimts = str(Path(sys.executable).with_name("dimts"))
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "s.wav")
        bare = seconds(sys.executable, "-c", "pass")
        result = {
            "bare_python": bare,
            "import_dimts": seconds(sys.executable, "-c", "import dimts") - bare,
            "help": seconds(dimts, "--help"),
            "say": seconds(dimts, "say", "ሰላም ለዓለም", "-o", out),
        }
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
