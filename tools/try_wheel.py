"""Install the wheel of dist/ into fresh environments and use it there as a user would. Prints one JSON line
for each.

    python tools/try_wheel.py [--dist dist] [--extras "" cli,formant all] [--keep FOLDER]

"" is the wheel alone: it must normalise and phonemise with nothing installed beside it. cli,formant must
speak; all must run the demo. Each environment also meets a command that it lacks the libraries for: one line,
exit 2.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BARE = """
import dimts
assert dimts.normalise("በ2017 ዓ.ም") == "በሁለት ሺህ አስራ ሰባት አመተ ምህረት", dimts.normalise("በ2017 ዓ.ም")
assert dimts.phones("ሰላም ለዓለም") == "s ə l a m # l ə ʔ a l ə m"
try:
    dimts.Speaker
except dimts.DimtsError as error:
    assert "pip install 'dimts[formant]'" in str(error), error
else:
    raise SystemExit("dimts.Speaker without its libraries")
"""


def run(python: Path, *arguments: str, code: int = 0, expected: str = "") -> None:
    """`python` with `arguments` must end with `code` and print `expected`; with a settings-free, UTF-8
    environment."""
    kept = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [python, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**kept, "PYTHONUTF8": "1"},
    )
    if done.returncode != code or expected not in done.stdout + done.stderr:
        raise SystemExit(f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")


def size(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def use(python: Path, extras: str, work: Path) -> list[str]:
    """What a user of these extras does; the names of what was done."""
    os.chdir(work)
    if not extras:
        run(python, "-c", BARE)
        run(python, "-m", "dimts", "say", "ሰላም", code=2, expected="dimts[cli]")
        return ["normalise", "phones", "one line without extras"]
    Path("line.txt").write_text("ሰላም ለዓለም\n", "utf-8")
    run(python, "-m", "dimts", "say", "ሰላም ለዓለም።", "-o", "selam.wav")
    run(python, "-m", "dimts", "phones", "line.txt", expected="s ə l a m # l ə ʔ a l ə m")
    run(python, "-m", "dimts", "doctor", "--json", expected='"rules"')
    run(python, "-m", "dimts", "new", "abebe", "--recipe", "cpu-tiny")
    if extras == "all":
        run(python, "-m", "dimts", "demo", "demo", "--steps", "20", "--clips", "8")
        return ["say", "phones", "doctor", "new", "demo"]
    for command in (("train", "abebe"), ("train", "abebe", "--dry-run"), ("demo",)):
        run(python, "-m", "dimts", *command, code=2, expected="pip install 'dimts[")
    return ["say", "phones", "doctor", "new", "one line from train, train --dry-run, demo"]


def main() -> None:
    """Make, use and measure each environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    parser.add_argument("--extras", nargs="+", default=["", "cli,formant"])
    parser.add_argument("--keep", type=Path, help="folder for the environments; default: one that is removed")
    given = parser.parse_args()
    wheels = sorted(given.dist.resolve().glob("*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        raise SystemExit(f"no wheel in {given.dist}: python -m build")
    for extras in given.extras:
        with tempfile.TemporaryDirectory() as temporary:
            base = given.keep.resolve() if given.keep else Path(temporary)
            place = base / (extras.replace(",", "-") or "bare")
            work = Path(temporary) / "work"
            work.mkdir(parents=True)
            started = time.monotonic()
            venv.create(place, with_pip=True, clear=True)
            python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
            before = size(place)
            wheel = f"dimts[{extras}] @ {wheels[-1].as_uri()}" if extras else str(wheels[-1])
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--prefer-binary", wheel], check=True)
            answer = {
                "tool": "try_wheel",
                "extras": extras,
                "used": use(python, extras, work),
                "wheel_mb": round(wheels[-1].stat().st_size / 1e6, 1),
                "installed_mb": round((size(place) - before) / 1e6, 1),
                "seconds": round(time.monotonic() - started),
            }
            os.chdir(ROOT)
            print(json.dumps(answer, ensure_ascii=False))


if __name__ == "__main__":
    main()
