"""Write requirements.lock anew: what dimts[dev] stands on, at the versions installed beside this Python.

    python tools/lock.py

Walks the metadata of installed packages, so nothing gets in that an extra does not ask for.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEAD = """\
# What the set-up installs, with plain pip (Python 3.11). Written by tools/lock.py.
# torch is pinned without a build tag: a CPU or a CUDA build, whichever the index or --find-links gives.
"""
ROOT_EXTRAS = ("all", "dev")


def closure() -> dict[str, str]:
    """Package → version, of all that the extras need."""
    found: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [("dimts", extra) for extra in ROOT_EXTRAS]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        installed = metadata.distribution(name)
        if name != "dimts":
            found[name] = installed.version.partition("+")[0]
        for text in installed.requires or ():
            needed = Requirement(text)
            if needed.marker and not needed.marker.evaluate({"extra": extra}):
                continue
            inner = canonicalize_name(needed.name)
            waiting += [(inner, part) for part in ("", *needed.extras)]
    return found


def main() -> None:
    """Write the file."""
    lines = [f"{name}=={version}" for name, version in sorted(closure().items())]
    Path(__file__).resolve().parent.parent.joinpath("requirements.lock").write_text(
        HEAD + "\n".join(lines) + "\n", "utf-8"
    )


if __name__ == "__main__":
    main()
