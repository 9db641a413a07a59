"""What the library says reaches an Amharic reader in Amharic: the table is well-formed, current, and broad."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
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
NOT_OURS = ("KeyError", "TypeError", "ValueError", "RuntimeError", "ManifestError", "PronunciationError")
ELSEWHERE = {
    "options and commands of the terminal": (
        "write it as table.key=value, e.g. train.learning_rate=2e-5",
        "leave --device out, or take cpu",
        "load a model, or take a variant",
        "load a model: dimts fetch gets one",
        "the formant voice cannot learn from a recording",
        "the formant voice cannot speak like a recording",
        "export it with --audio",
        "export it with the sounds in it",
        "restore into a new project (dimts new)",
        "there is a manifest at {} already",
        "{} holds no sound for {} clips, e.g. {}",
        "{} was not exported by dimts",
    ),
    "functions of the library that read numerals and dates": (
        "it begins in the year 8",
        "no Ethiopic numeral to read",
        "no number words to read",
        "tens stand before ones, as in ፲፱፻፺፯",
        "they begin with ፩",
        "they look like ፲፱፻፺፯",
        "write it as in አንድ ሺህ ሁለት መቶ ሰላሳ አራት",
        "write them as in አንድ ሺህ ሁለት መቶ ሰላሳ አራት",
        "write year, month, day",
        "{} is no Amharic number word",
        "{}-{}-{} lies before the Ethiopian era",
    ),
    "training on several machines or in several processes, which the page does not start": (
        "accelerate launch was asked for {} processes and started one, as it does with --cpu",
        "lower train.ray.workers or train.ray.cores, or add machines",
        "no Ray cluster at {}: {}",
        "put the project on a disk that all machines see under the same path",
        "see 'ray status' and the machines' memory; the same command goes on at the last checkpoint",
        "start one with 'ray start --head', or leave train.ray.address empty",
        "the cluster has {} cores, {} workers of {} need more",
        "torchrun --nproc-per-node {} -m dimts train PROJECT",
        "training by {} is not supported",
        "use DDP or FSDP: torchrun --nproc-per-node N -m dimts train PROJECT",
        "workers were lost {} times, at last: {}",
        "{} is not on the machine {} of the cluster",
    ),
}
"""What those rooms say, but never to a page's user, and why not. All else is in the table."""


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
        re.sub(r"\{[^}]*\}", "{}", " ".join(text.split()))  # "{value:.1f}" is filled in by format
        for node in nodes
        if isinstance(node, ast.expr) and (text := template(node))
    )


def trees(place: str) -> Iterator[ast.Module]:
    """The code of a room or file."""
    for path in [HOUSE / place] if place.endswith(".py") else sorted((HOUSE / place).rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))


def worded(nodes: Iterable[ast.expr]) -> Iterator[str]:
    """The texts among them that hold words."""
    for node in nodes:
        text = " ".join((template(node) or "").split())
        text = re.sub(r"\{[^}]*\}", "{}", text)
        if re.search(r"[a-z]{2}", text.replace("{}", "")):
            yield text


def raised(place: str) -> Iterator[str]:
    """Messages and hints of the errors for people in a room or file."""
    for tree in trees(place):
        for node in ast.walk(tree):
            name = getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and name.endswith("Error") and name not in NOT_OURS:
                yield from worded(node.args[:2])


def doubted(place: str) -> Iterator[str]:
    """What doubts say, and what a verdict on a set does: as they are made, or by the helpers that make them."""
    for tree in trees(place):
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = {id(node): getattr(node.func, "id", "") for node in calls}
        for node in calls:
            where = {"Doubt": (1, 2), "below": (3, 4), "above": (3, 4), "find": (1, 3)}.get(names[id(node)], (0, 0))
            if names[id(node)] != "find" or getattr(node.args[0], "value", "") in ("fix", "unfit"):
                yield from worded(node.args[slice(*where)])
        if "Doubt" in names.values():
            for assigned in ast.walk(tree):
                if isinstance(assigned, ast.Assign) and getattr(assigned.targets[0], "id", "") == "message":
                    yield from worded([assigned.value])


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


def test_whatever_the_library_says_to_a_page_s_user_is_known() -> None:
    known = {one for one, _ in rows()}
    elsewhere = {text for texts_ in ELSEWHERE.values() for text in texts_}
    all_ = {text for place in REACHED for text in raised(place)}
    assert sorted(all_ - known - elsewhere) == []
    assert sorted(elsewhere - all_) == []  # said no more
    assert sorted(elsewhere & known) == []


def test_every_doubt_is_said_in_amharic() -> None:
    known = {one for one, _ in rows()}
    all_ = {text for place in ("data", "text", "web") for text in doubted(place)}
    assert len(all_) > 60
    assert sorted(all_ - known) == []


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
