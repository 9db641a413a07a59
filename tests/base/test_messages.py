"""Messages: catalogues that agree with each other and with the source, and parameters that come back as they
were."""

from __future__ import annotations

import ast
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dimts.base import errors
from dimts.base.errors import DataError, DimtsError, ManifestError, MissingExtra, PronunciationError
from dimts.base.issue import Issue
from dimts.base.messages import LANGUAGES, REMEDY, Message, _read, current_language, fields
from dimts.base.progress import Progress

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/dimts"
LOCALE = SOURCE / "base/locale"
DOMAINS = sorted(path.stem for path in (LOCALE / "en/LC_MESSAGES").glob("*.mo"))
ERRORS = {
    name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, DimtsError)
} - {
    "MissingExtra",
    "PronunciationError",
    "ManifestError",
}


def entries(language: str) -> dict[tuple[str, str], str]:
    """(context, code) → template, over all catalogues of a language."""
    out = {}
    for domain in DOMAINS:
        for key, text in _read(language, domain)._catalog.items():  # type: ignore[attr-defined]
            context, _, code = key.rpartition("\x04") if isinstance(key, str) else ("", "", "")
            if code:
                out[context, code] = text
    return out


def messages_made() -> Iterator[tuple[str, str, frozenset[str], bool]]:
    """Every message the source makes with a literal code: place, code, keywords, and whether there may be
    more (**)."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name not in ERRORS | {"Message"} or not node.args:
                continue
            code = node.args[0]
            if isinstance(code, ast.Constant) and isinstance(code.value, str):
                keywords = frozenset(word.arg for word in node.keywords if word.arg)
                more = any(word.arg is None for word in node.keywords)
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", code.value, keywords, more


def test_every_code_stands_in_every_catalogue_with_the_parameters_the_source_gives() -> None:
    known = {language: entries(language) for language in LANGUAGES}
    faults = []
    for place, code, keywords, more in messages_made():
        for language in LANGUAGES:
            template = known[language].get(("", code))
            if template is None:
                faults.append(f"{place}: {language} has no {code}")
                continue
            needed = fields(template) | fields(known[language].get((REMEDY, code), ""))
            if not more and needed - keywords:
                faults.append(f"{place}: {code} is made without {sorted(needed - keywords)}")
    assert not faults, "\n".join(faults)


def test_both_languages_have_the_same_messages_with_the_same_parameters() -> None:
    english, amharic = entries("en"), entries("am")
    assert english.keys() == amharic.keys()
    differ = [key for key in english if fields(english[key]) != fields(amharic[key])]
    assert not differ


def test_every_message_of_the_catalogues_is_made_somewhere() -> None:
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCE.rglob("*.py"))
    quoted = set(re.findall(r"""["'][a-z]+\.[a-z0-9_]+["']""", source))
    beginnings = tuple(re.findall(r"""f["']([a-z]+\.[a-z0-9_]+_)\{""", source))
    unused = [
        code
        for context, code in entries("en")
        if not context and not code.startswith(beginnings) and not {f'"{code}"', f"'{code}'"} & quoted
    ]
    assert not unused, unused


def test_stages_and_units_of_progress_have_texts() -> None:
    known = {code for _, code in entries("en")}
    missing = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Progress":
                given_units = [word.value for word in node.keywords if word.arg == "unit"] + node.args[3:4]
                names = [("stage", node.args[0])] + [("unit", one) for one in given_units]
                missing += [
                    f"{path.name}:{node.lineno} progress.{kind}_{one.value}"
                    for kind, one in names
                    if isinstance(one, ast.Constant) and f"progress.{kind}_{one.value}" not in known
                ]
    assert not missing, missing


def test_no_error_is_made_of_a_sentence() -> None:
    found = [f"{place} {code!r}" for place, code, _, _ in messages_made() if " " in code or "." not in code]
    assert not found, found


def test_compiled_catalogues_are_what_their_sources_say() -> None:
    pytest.importorskip("babel", reason="babel checks the catalogues")
    run = subprocess.run(
        [sys.executable, "tools/messages.py", "check"], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


@given(
    st.sampled_from(sorted(entries("en"))),
    st.sampled_from(LANGUAGES),
    st.text(st.characters(blacklist_categories=["Cs"]), max_size=50),
)
@example(("", "base.no_such_file"), "am", "ሀ{0}{path}%s\n\r\x00" * 1000)
@example(("", "base.no_such_file"), "en", "{")
def test_hostile_parameters_come_back_unharmed(key: tuple[str, str], language: str, value: str) -> None:
    context, code = key
    template = entries(language)[key]
    numbers = {name for name in fields(template) if f"{{{name}:" in template}
    nested = {name for name in fields(template) if f"{{{name}." in template}
    inner = Message("base.no_such_file", path=value)
    values = {
        name: 1.5 if name in numbers and not name.endswith("_count") else inner if name in nested else value
        for name in fields(template)
    }
    values |= {name: 3 for name in numbers if f"{{{name}:d" in template or f"{{{name}:," in template}
    message = Message(code, **values)
    text = message.remedy(language) if context else message.text(language)
    for name, one in values.items():
        if one is value:
            assert value in text, name
    assert Message.from_dict(json.loads(json.dumps(message.as_dict()))) == message


def test_a_cause_is_shown_in_the_language_of_its_message() -> None:
    cause = DataError("base.no_such_file", path="ሀ")
    message = Message("base.cannot_write", path="b", reason=cause)
    assert message.text("am") == Message("base.cannot_write", path="b", reason=cause.message.text("am")).text(
        "am"
    )
    assert message.remedy("am") == cause.message.remedy("am") != cause.message.remedy("en")


def test_a_message_no_catalogue_has_shows_its_code_and_values() -> None:
    assert Message("plugin.odd", path="a b").text("am") == "plugin.odd path=a b"


@pytest.mark.parametrize(
    "error",
    [
        DataError("base.no_such_file", path="a"),
        MissingExtra("torch", "train"),
        PronunciationError("ቃል", ["a", Message("base.a_text")]),
        ManifestError("m.jsonl", 3, "text", Message("base.a_text")),
    ],
)
def test_errors_cross_processes_with_all_they_know(error: DimtsError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert again.message == error.message
    assert vars(again).keys() == vars(error).keys()
    assert str(again) == str(error)


def test_issues_and_progress_are_data() -> None:
    issue = Issue(
        "too_short", Message("base.wrong_type", where="a", value=1, expected=Message("base.a_text")), 1.0, 2.0
    )
    assert Issue.from_dict(json.loads(json.dumps(issue.as_dict()))) == issue
    event = Progress("train", 1, 2, "steps", Message("base.disk_full"), {"loss": 1.0}, "abebe").as_dict(3.0)
    assert (event["code"], event["stage"], event["seconds_left"]) == ("base.disk_full", "train", 3.0)


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({}, "en"),
        ({"LANG": "am_ET.UTF-8"}, "am"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"DIMTS_LANG": "am", "LANG": "en_US.UTF-8"}, "am"),
        ({"DIMTS_LANG": "en", "LC_ALL": "am_ET"}, "en"),
        ({"LC_ALL": "C", "LANG": "am_ET"}, "en"),
    ],
)
def test_the_language_is_that_of_the_variable_or_the_locale(
    variables: dict[str, str], language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DIMTS_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert current_language() == language


@given(st.sampled_from(sorted({code for _, code in entries("en")})), st.data())
def test_a_message_read_from_a_file_is_shown_whatever_it_holds(code: str, data: st.DataObject) -> None:
    known = fields(entries("en").get(("", code), ""))
    values = st.none() | st.text(max_size=20) | st.floats() | st.lists(st.text(max_size=5), max_size=2)
    parameters = {name: data.draw(values) for name in known if data.draw(st.booleans())}
    message = Message.from_dict({"code": code, "parameters": parameters})
    for language in LANGUAGES:
        assert isinstance(message.text(language), str)
        assert isinstance(message.remedy(language), str)
