"""Help pages: the English is typer's own page, the Amharic has a text for everything and keeps names."""

from __future__ import annotations

import gettext
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup

import dimts.base.messages
from dimts.base.messages import LANGUAGE_VARIABLE, catalogue_text
from dimts.cli.help import PROGRAM, AnyCommand, Command, Group, help_texts
from dimts.cli.main import build

ROOT = typer.main.get_command(build())
ENGLISH = help_texts(ROOT)
_SUFFIXES = (
    "toml|tsv|csv|jsonl?|html|safetensors|parquet|scp|vtt|srt|ass|lab|list|txt|TextGrid|png|svg|pdf|wav|voice"
)
_NAMES = re.compile(
    r"--[a-z-]+|'[^' ]+'|(?<=['`])dimts(?: [a-z]+)+"  # options, values, commands
    rf"|[\w*-]*\.(?:{_SUFFIXES})\b|https?:[^\s)]+"  # files, addresses
    r"|\[[a-z.]+\]|\b[a-z]+(?:\.[a-z0-9_]+)+(?:=[\w.-]*\w)?"  # settings
    r"|\{[a-z]+\}|\b[A-Z][A-Z0-9_]+\b|\d+(?:\.\d+)*",  # fields, variables, figures
    re.ASCII,
)
"""What is spelt alike in every language."""
_TRANSLATED = {"GB", "CPU", "e.g"}
"""Words with an Amharic one."""


def contexts() -> Iterator[tuple[AnyCommand, typer.Context]]:
    """Every command of the command line, and the context in which its page is shown."""

    def within(command: AnyCommand, name: str, parent: typer.Context | None) -> Iterator[typer.Context]:
        ctx = command.context_class(command, info_name=name, parent=parent, **command.context_settings)
        yield ctx
        for inner_name, inner in getattr(command, "commands", {}).items():
            yield from within(inner, inner_name, ctx)

    for ctx in within(ROOT, PROGRAM, None):
        yield ctx.command, ctx


def catalogue() -> dict[str, str]:
    """Every help text of the Amharic catalogue, by its code."""
    folder = Path(dimts.base.messages.__file__).parent / "locale"
    found = gettext.translation("help", folder, languages=["am"])
    return {code: text for code, text in found._catalog.items() if code}  # type: ignore[attr-defined]


def test_the_english_pages_are_those_of_typer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LANGUAGE_VARIABLE, "en")
    for command, ctx in contexts():
        assert isinstance(command, Command | Group), ctx.command_path
        page, expected = ctx.make_formatter(), ctx.make_formatter()
        command.format_help(ctx, page)
        (TyperGroup if isinstance(command, TyperGroup) else TyperCommand).format_help(command, ctx, expected)
        assert page.getvalue() == expected.getvalue(), ctx.command_path


_SEVERAL = typer.Option(["a", "b"], help="Names.")


def page_of(command: Callable[..., None], cls: type[TyperCommand]) -> str:
    """The help page of a command line `dimts work`."""
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command("work", cls=cls)(command)
    app.callback()(lambda: None)
    root = typer.main.get_group(app)
    work, ctx = root.commands["work"], typer.Context(root, info_name=PROGRAM)
    return work.get_help(typer.Context(work, info_name="work", parent=ctx))


def test_defaults_and_ranges_of_each_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(
        few: int = typer.Option(3, max=5),
        some: float = typer.Option(0.5, min=0, max=1),
        names: list[str] = _SEVERAL,
        words: str = typer.Option("x", show_default="the one before"),
        quiet: bool = typer.Option(True, "--quiet", show_default=False),
        hidden: int = typer.Option(1, hidden=True),
        file: str = typer.Argument("a.txt", help="A file."),
    ) -> None:
        """Work hard."""

    monkeypatch.setenv(LANGUAGE_VARIABLE, "en")
    assert page_of(work, Command) == page_of(work, TyperCommand)
    monkeypatch.setenv(LANGUAGE_VARIABLE, "am")
    page = page_of(work, Command)
    for note in ("[ነባሪ፦ 3፤ ቢበዛ 5]", "[ነባሪ፦ 0.5፤ ከ0 እስከ 1]", "[ነባሪ፦ a, b]", "[ነባሪ፦ (the one before)]"):
        assert note in page
    assert "Work hard." in page, "a text without translation stays as it is"


def test_every_command_option_and_argument_has_an_amharic_text_and_none_is_left_over() -> None:
    known = catalogue()
    assert known.keys() == ENGLISH.keys()
    assert all(re.search(r"[\u1200-\u137f]", text) for code, text in known.items() if ENGLISH[code])
    assert all(text.endswith("።") for text in known.values())
    assert len(known) > 200


def test_names_and_paragraphs_are_the_same_in_both_languages() -> None:
    differ = {}
    for code, english in ENGLISH.items():
        texts = (english, catalogue_text(code, "am"))
        names = [set(_NAMES.findall(text)) - _TRANSLATED for text in texts]
        latin = [set(re.findall(r"[A-Za-z]{2,}", text)) for text in texts]
        paragraphs = [text.count("\n\n") for text in texts]
        if names[0] != names[1] or latin[1] - latin[0] or paragraphs[0] != paragraphs[1]:
            differ[code] = names[0] ^ names[1] | latin[1] - latin[0]
    assert not differ
