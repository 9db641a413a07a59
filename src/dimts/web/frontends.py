"""Text front ends of projects, made once for each state of settings and lexicon."""

from __future__ import annotations

from pathlib import Path

from dimts.base.project import Project
from dimts.text.frontend import Frontend, FrontendSettings

_MADE: dict[tuple[str, str, float], Frontend] = {}
_MOST_MADE = 4


def frontend_of(project: Project | None) -> Frontend:
    """The front end of a project with its lexicon; the plain one without a project."""
    if project is None:
        return _made(FrontendSettings(), None, 0.0)
    path = project.lexicon if project.lexicon.is_file() else None
    stamp = path.stat().st_mtime if path else 0.0
    return _made(project.settings("text", FrontendSettings), path, stamp)


def _made(settings: FrontendSettings, path: Path | None, stamp: float) -> Frontend:
    """A front end, made once; `stamp` tells an edited lexicon from the one before."""
    key = (repr(settings), str(path), stamp)
    if key not in _MADE:
        while len(_MADE) >= _MOST_MADE:
            _MADE.pop(next(iter(_MADE)))
        _MADE[key] = Frontend(settings, path)
    return _MADE[key]
