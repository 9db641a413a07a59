"""The page speaks two languages, whole: every key in both, every key used, every value filled in."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dimts.web.strings as texts
from dimts.base import errors
from dimts.data.check import KINDS
from dimts.text.ethiopic import is_ethiopic_letter
from dimts.web.controls import controls
from dimts.web.jobs import COMMANDS, OVER
from dimts.web.strings import LANGUAGES, Strings, chosen, fields, table

SOURCE = Path(texts.__file__).parent
SAME = {"speak.formant", "compare.a", "compare.b"}


def test_every_key_has_a_text_in_every_language() -> None:
    keys = {language: set(table()[language]) for language in LANGUAGES}
    assert keys["en"] == keys["am"]
    assert all(table()[language][key].strip() for language in LANGUAGES for key in keys[language])


def test_both_languages_take_the_same_values() -> None:
    english, amharic = table()["en"], table()["am"]
    assert {key: fields(text) for key, text in english.items()} == {
        key: fields(text) for key, text in amharic.items()
    }


def test_amharic_is_in_fidel_and_english_is_not() -> None:
    for key, text in table()["am"].items():
        assert any(map(is_ethiopic_letter, text)) or key == "page.pair", key  # a stop between two values
    for key, text in table()["en"].items():
        rest = text.replace("ድምፅ", "")
        assert not any(map(is_ethiopic_letter, rest)), key


def calls() -> tuple[set[str], list[re.Pattern[str]]]:
    """The keys that the page's code asks for: those written out, and patterns of those put together."""
    whole, patterns = set(), []
    for path in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name not in ("strings", "has"):
                continue
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                whole.add(first.value)
            elif isinstance(first, ast.JoinedStr):
                parts = [re.escape(v.value) if isinstance(v, ast.Constant) else ".+" for v in first.values]
                patterns.append(re.compile("".join(parts)))
    return whole, patterns


def test_every_key_the_code_asks_for_is_there() -> None:
    whole, patterns = calls()
    assert len(whole) > 80
    assert whole <= set(table()["en"])
    for pattern in patterns:
        assert any(pattern.fullmatch(key) for key in table()["en"]), pattern.pattern


def test_no_text_is_left_over() -> None:
    whole, patterns = calls()
    put_together = re.compile(
        r"(control|choice|doubt|gradio|ended|error|system)\..+"
    )  # looked up through a variable
    unused = [
        key
        for key in table()["en"]
        if key not in whole
        and not put_together.fullmatch(key)
        and not any(p.fullmatch(key) for p in patterns)
    ]
    assert unused == []


def test_every_doubt_job_and_error_has_a_name() -> None:
    strings = Strings("am")
    assert [kind for kind in KINDS if not strings.has(f"doubt.{kind}")] == []
    assert [kind for kind in COMMANDS if not strings.has(f"jobs.kind.{kind}")] == []
    assert [state for state in ("queued", "running", *OVER) if not strings.has(f"jobs.state.{state}")] == []
    kinds = [
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)
    ]
    assert [name for name in kinds if not strings.has(f"error.{name}")] == []


def test_every_upload_refusal_has_a_name() -> None:
    source = (SOURCE / "uploads.py").read_text(encoding="utf-8")
    kinds = set(re.findall(r'Issue\(\s*"(upload_\w+)"', source))
    assert len(kinds) >= 7
    assert kinds == {key.removeprefix("doubt.") for key in table()["en"] if key.startswith("doubt.upload_")}


def test_every_control_has_a_label_and_no_label_is_without_control() -> None:
    labels = {
        key.removeprefix("control.").removesuffix(".info")
        for key in table()["en"]
        if key.startswith("control.")
    }
    assert labels == {one.key for one in controls()}
    choices = {key for key in table()["en"] if key.startswith("choice.")}
    assert choices <= {f"choice.{one.key}.{option}" for one in controls() for option in one.options}


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("am-ET,am;q=0.9,en;q=0.8", "am"),
        ("en-US,en;q=0.9,am;q=0.8", "en"),
        ("fr-FR,am;q=0.3", "am"),
        ("de", "en"),
        ("", "en"),
        ("am;q=nonsense,en", "en"),
        ("AM", "am"),
    ],
)
def test_the_browser_chooses(accepted: str, language: str) -> None:
    assert chosen(accepted) == language


@given(st.text())
def test_any_header_gives_a_language(header: str) -> None:
    assert chosen(header) in LANGUAGES


def test_every_control_says_what_it_does_for_the_voice() -> None:
    assert [one.key for one in controls() if f"control.{one.key}.info" not in table()["am"]] == []
