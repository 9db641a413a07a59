"""A home with a project, and recordings that the formant voice speaks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from dimts.audio.wave import Wave, join
from dimts.base.config import to_toml
from dimts.base.project import Project
from dimts.web.home import Home

SENTENCES = (
    "ገበሬው ማሳውን በበሬ ያርሳል። እናቴ ጣፋጭ እንጀራ ትጋግራለች።",
    "ወንዙ በዝናቡ ምክንያት ሞልቶ ፈሰሰ። ጓደኛዬ ከሩቅ አገር ደብዳቤ ጻፈልኝ።",
    "ልጆቹ በግቢው ውስጥ ኳስ ይጫወታሉ።",
)


@cache
def spoken(text: str) -> Wave:
    """A sentence as the formant voice says it, with silence around."""
    from dimts.speak import Speaker

    quiet = Wave.silence(0.4, 24_000)
    return join([quiet, Speaker.load("formant").say(text), quiet])


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A folder of projects with one in it, whose every setting stands in its file."""
    from dimts.web.settings import classes

    root = tmp_path / "voices"
    root.mkdir()
    tables = [to_toml(kind(), table, comments=True) for table, kind in classes().items()]
    Project.create(root / "abebe", "# my remark\n\n" + "\n".join(tables))
    return Home(root)


@pytest.fixture
def project(home: Home) -> Project:
    """The project of `home`."""
    return home.project("abebe")


@pytest.fixture
def recordings() -> Callable[[Path, int], list[Path]]:
    """Write so many recordings with their texts into a folder; gives all files."""

    def write(folder: Path, count: int = 2) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        out = []
        for number, text in enumerate(SENTENCES[:count], start=1):
            out.append(spoken(text).save(folder / f"line{number}.wav"))
            out.append(folder / f"line{number}.txt")
            out[-1].write_text(text + "\n", encoding="utf-8")
        return out

    return write
