"""What the library says reaches an Amharic reader in Amharic: the table is well-formed, current, and broad."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import dimts
from dimts.base.errors import ConfigError
from dimts.data.check import KINDS
from dimts.text.ethiopic import is_ethiopic_letter
from dimts.web.said import rows, said

HOUSE = Path(dimts.__file__).parent
REACHED = ("base", "text", "data", "train", "speak", "audio/media.py", "audio/level.py", "audio/wave.py")
"""Rooms whose messages a page's user may meet."""
MOST_UNKNOWN = 0.45
"""Share of those rooms' messages that may be missing: settings without a control, files made by hand, our own bugs."""


def template(node: ast.expr) -> str | None:
    """A text in the code, with {} for its values; None for what is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = template(node.left), template(node.right)
        return f"{'{}' if left is None else left}{'{}' if right is None else right}"
    return None


@cache
def texts(place: str) -> frozenset[str]:
    """Every text that stands in the code of a room or file."""
    paths = [HOUSE / place] if place.endswith(".py") else sorted((HOUSE / place).rglob("*.py"))
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return frozenset(
        " ".join(text.split()) for node in nodes if isinstance(node, ast.expr) and (text := template(node))
    )


def raised(place: str) -> Iterator[str]:
    """Messages and hints of the errors for people, and of the doubts, in a room or file."""
    paths = [HOUSE / place] if place.endswith(".py") else sorted((HOUSE / place).rglob("*.py"))
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if not isinstance(node, ast.Call) or not (name.endswith("Error") or name == "Doubt"):
                continue
            if name in ("KeyError", "TypeError", "ValueError", "RuntimeError", "ManifestError", "PronunciationError"):
                continue
            for one in node.args[1:2] if name == "Doubt" else node.args[:2]:
                text = template(one)
                if text and re.search(r"[a-z]{2}", text.replace("{}", "")):
                    yield " ".join(text.split())


def test_the_table_is_well_formed() -> None:
    english = [one for one, _ in rows()]
    assert len(english) == len(set(english))
    for one, amharic in rows():
        count = one.count("{}")
        assert any(map(is_ethiopic_letter, amharic)), one
        plain, numbered = amharic.count("{}"), re.findall(r"\{(\d)\}", amharic)
        assert not (plain and numbered), one
        # "as asked" may leave a value out, but never takes one that is not there
        assert plain <= count, one
        assert all(int(number) < count for number in numbered), one
        assert said(one.replace("{}", "7"), "am") != one.replace("{}", "7")


def test_every_line_is_still_said_somewhere() -> None:
    everywhere = set().union(*(texts(place) for place in (*REACHED, "web", "cli", "xtts", "audio")))
    assert [one for one, _ in rows() if one not in everywhere] == []


def test_whatever_the_page_itself_says_is_known() -> None:
    known = {one for one, _ in rows()}
    own = set(raised("web")) - set(raised("web/app.py")) - set(raised("web/texts.py"))
    assert sorted(own - known) == []


def test_most_of_what_the_library_says_is_known() -> None:
    known = {one for one, _ in rows()}
    all_ = {text for place in REACHED for text in raised(place)}
    unknown = sorted(all_ - known)
    assert len(unknown) <= MOST_UNKNOWN * len(all_), "\n".join(unknown)


def test_what_to_do_about_a_doubt_is_said_in_amharic() -> None:
    assert [name for name, kind in KINDS.items() if said(kind.remedy, "am") == kind.remedy] == []


def test_values_stay_and_messages_in_messages_are_said_too() -> None:
    assert said("no such project: 'ሀ{0}'", "am") == "ይህ ፕሮጀክት የለም፦ 'ሀ{0}'"
    assert said("train.attention = 'flash' cannot run here: needs a CUDA card, none here", "am") == (
        "የአቴንሽን ዓይነት 'flash' እዚህ አይሠራም፦ የCUDA ካርድ ያስፈልገዋል፤ እዚህ የለም"
    )


@pytest.mark.parametrize("text", ["", "something else entirely", "no such project", "ሰላም"])
def test_what_is_unknown_stays_as_it_is(text: str) -> None:
    assert said(text, "am") == text
    assert said("no such job: 'x'", "en") == "no such job: 'x'"


def test_a_real_error_in_amharic() -> None:
    from dimts.train.settings import TrainSettings

    with pytest.raises(ConfigError) as caught:
        TrainSettings(checkpointing="sometimes")
    assert said(caught.value.message, "am").endswith("ከምርጫዎቹ አንዱ አይደለም")
    assert "ይምረጡ" in said(caught.value.hint, "am")
