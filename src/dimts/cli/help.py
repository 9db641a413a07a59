"""Help pages in the language of the process.

The English of a command, an option or an argument stands in the code: a docstring, a `help=`. The Amharic is
in the catalogue `help`, by codes that follow the command line: `help.train.run`, `help.train.run.--base`,
`help.train.run.project`. The words of the pages themselves (headings, defaults, ranges) are in the catalogue
`cli` in every language. A catalogue is read when a page is shown, never before.

The pages are written by `format_help` of the classes below, which typer takes as `cls=`. Its other ways reach
too little: gettext's global domain follows the locale, not DIMTS_LANG, and of typer's words only some pass it
("Usage: ", "Show this message and exit." and the ranges do not); a `formatter_class` sees finished sentences.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from dimts.base.messages import LANGUAGES, Message, catalogue_text, current_language

PROGRAM = "dimts"
_CATALOGUE = "help"
_SENTENCE_END = "።"
_TYPES = {
    "<str>": "cli.help_type_text",
    "<int>": "cli.help_type_number",
    "<int range>": "cli.help_type_number_range",
    "<path>": "cli.help_type_path",
    "<list[str]>": "cli.help_type_texts",
    "<list[Path]>": "cli.help_type_paths",
}
"""Message of each of typer's names of a type of value; a choice is shown by its values."""

AnyCommand: TypeAlias = TyperCommand | TyperGroup
AnyParameter: TypeAlias = TyperOption | TyperArgument


class Command(TyperCommand):
    """A command whose help page is in the language of the process."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page of the command."""
        _write_page(self, ctx, formatter)


class Group(TyperGroup):
    """A group of commands whose help page is in the language of the process."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page of the group."""
        _write_page(self, ctx, formatter)


class CommandLine(typer.Typer):
    """A collection of commands with help pages in the language of the process."""

    def __init__(self, *, cls: type[Group] = Group, **settings: Any) -> None:
        super().__init__(
            cls=cls,
            rich_markup_mode=None,
            add_completion=False,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
            **settings,
        )

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = Command, **settings: Any
    ) -> Callable[[Any], Any]:
        """Register a command, as `typer.Typer.command` does."""
        return super().command(name, cls=cls, **settings)


def help_texts(root: AnyCommand) -> dict[str, str]:
    """Return the English of every command, option and argument, by its code in the catalogue `help`."""
    return dict(_texts(root, (PROGRAM,)))


def _texts(command: AnyCommand, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    yield _code(path), inspect.cleandoc(command.help or "")
    for parameter in command.params:
        if isinstance(parameter, AnyParameter):
            yield _code(path, parameter), parameter.help or ""
    for name, inner in _commands(command).items():
        yield from _texts(inner, (*path, name))


def _code(path: Sequence[str], parameter: AnyParameter | None = None) -> str:
    """Return the code of a command, by the words that call it, or of a parameter of it."""
    words = [*path[1:]] or [PROGRAM]
    if isinstance(parameter, TyperOption):
        words.append(max(parameter.opts, key=len))
    elif parameter is not None:
        words.append(parameter.name)
    return ".".join((_CATALOGUE, *words))


def _commands(command: AnyCommand) -> dict[str, AnyCommand]:
    return dict(getattr(command, "commands", {}))


def _translated(code: str, english: str) -> str:
    """Return the catalogue's text in the language of the process; `english` where it has none."""
    language = current_language()
    return (catalogue_text(code, language) if language != LANGUAGES[0] else "") or english


def _write_page(command: AnyCommand, ctx: typer.Context, formatter: Any) -> None:
    """Write usage, description, arguments, options and commands, as typer orders them."""
    path = _path(ctx)
    _write_usage(command, ctx, formatter)
    if text := _translated(_code(path), inspect.cleandoc(command.help or "")):
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text)
    shown = [one for one in command.get_params(ctx) if not getattr(one, "hidden", False)]
    arguments = [_parameter_row(path, one, ctx) for one in shown if isinstance(one, TyperArgument)]
    options = [_parameter_row(path, one, ctx) for one in shown if isinstance(one, TyperOption)]
    _write_section(formatter, "cli.help_arguments", arguments)
    _write_section(formatter, "cli.help_options", options)
    visible = {name: one for name, one in _commands(command).items() if not one.hidden}
    limit = formatter.width - 6 - max(map(len, visible), default=0)
    commands = [(name, _summary(one, (*path, name), limit)) for name, one in visible.items()]
    _write_section(formatter, "cli.help_commands", commands)


def _path(ctx: Any) -> tuple[str, ...]:
    """Return the words that call the command of a context; the first is the program."""
    names: list[str] = []
    while ctx.parent is not None:
        names.append(ctx.info_name)
        ctx = ctx.parent
    return (PROGRAM, *reversed(names))


def _write_usage(command: AnyCommand, ctx: Any, formatter: Any) -> None:
    pieces = [_word("cli.help_usage_options")]
    pieces += [piece for one in command.get_params(ctx) for piece in one.get_usage_pieces(ctx)]
    if isinstance(command, TyperGroup):
        pieces.append(_word("cli.help_usage_command"))
    formatter.write_usage(ctx.command_path, " ".join(pieces), prefix=_word("cli.help_usage") + " ")


def _write_section(formatter: Any, heading: str, rows: Sequence[tuple[str, str]]) -> None:
    if rows:
        formatter.write_paragraph()
        formatter.write(_word(heading) + "\n")
        with formatter.indentation():
            formatter.write_dl(rows)


def _parameter_row(path: Sequence[str], parameter: AnyParameter, ctx: Any) -> tuple[str, str]:
    """Return names and type of a parameter, and its text with default, range and whether it is required."""
    record = parameter.get_help_record(ctx)
    name = record[0] if record else ""
    label = parameter.display_type(ctx)
    if label in _TYPES:
        name = name.replace(label, _word(_TYPES[label]))
    if isinstance(parameter, TyperOption) and parameter.opts[-1] in ctx.help_option_names:
        return name, _word("cli.help_option")
    text = _translated(_code(path, parameter), parameter.help or "")
    notes = [note for note in (_default(parameter, ctx), _range(parameter)) if note]
    notes += [Message("cli.help_required")] if parameter.required else []
    return name, f"{text}  {Message('cli.help_notes', notes=notes).text()}".strip() if notes else text


def _default(parameter: AnyParameter, ctx: Any) -> Message | None:
    """Return the note of a default; None where there is none, or it is not to be shown."""
    value: Any = parameter.show_default
    if isinstance(value, str):
        value = f"({value})"
    elif value:
        value = parameter.get_default(ctx, call=False)
        if isinstance(value, list | tuple):
            value = ", ".join(map(str, value))
    if value is None or value is False or value == "":
        return None
    return Message("cli.help_default", value=str(value))


def _range(parameter: AnyParameter) -> Message | None:
    """Return the note of the least and the greatest number that may be given."""
    low, high = parameter.min, parameter.max
    if low is not None and high is not None:
        return Message("cli.help_between", low=low, high=high)
    if low is not None:
        return Message("cli.help_at_least", low=low)
    return Message("cli.help_at_most", high=high) if high is not None else None


def _summary(command: AnyCommand, path: Sequence[str], limit: int) -> str:
    """Return the line of a command in the list of its group.

    click cuts the English at `limit` or at its first full stop. It does not know the Amharic one, so that the
    whole first sentence is shown, on as many lines as it needs.
    """
    english = command.get_short_help_str(limit)
    text = _translated(_code(path), english)
    first, end, _ = text.partition(_SENTENCE_END)
    return text if text == english else " ".join(f"{first}{end}".split())


def _word(code: str) -> str:
    return Message(code).text()
