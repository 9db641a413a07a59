"""`dimts phones`: convert lines of text to lines of phones. `dimts lexicon`: the user's own
pronunciations."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dimts.base.messages import Message
from dimts.cli.help import CommandLine
from dimts.cli.output import EXIT_BAD_INPUT, write

if TYPE_CHECKING:
    from dimts.text.frontend import Fallback, Frontend, FrontendSettings

_LINES_PER_PIECE = 500
"""Lines per task of a worker process."""
_DEFAULT_LEXICON = Path("lexicon.tsv")


def register(app: typer.Typer) -> None:
    """Add the commands `phones` and `lexicon`."""
    app.command("phones")(phones)
    group = CommandLine(
        name="lexicon",
        help="Your own pronunciations (word TAB phones): add, show, check. They come before every backend.",
        no_args_is_help=True,
    )
    group.command("add")(add)
    group.command("show")(show)
    group.command("check")(check)
    app.add_typer(group)


def phones(
    source: str = typer.Argument(
        ..., metavar="FILE|-", help="Text file, UTF-8; - reads from standard input."
    ),
    as_json: bool = typer.Option(
        False,
        "--json",
        help="One JSON object a line: phrases, words, who answered, what was refused and why.",
    ),
    jobs: int = typer.Option(1, "--jobs", "-j", min=1, help="Processes to share the lines among."),
    backends: str | None = typer.Option(
        None,
        "--backends",
        help="Comma-separated order of backends, e.g. rules or epitran,rules (default: the setting).",
    ),
    project: Path | None = typer.Option(
        None, "--project", help="Project folder whose [text] settings and lexicon.tsv are used."
    ),
    lexicon: Path | None = typer.Option(None, "--lexicon", help="Your own lexicon: word TAB phones."),
    overrides: list[str] = typer.Option(
        [], "--set", metavar="TABLE.KEY=VALUE", help="Any setting, e.g. text.g2p.if_all_fail=error."
    ),
) -> None:
    """Turn text into phones: one line out for each line in, phones by spaces, words by " # "."""
    settings, own = _settings(project, lexicon, backends, overrides)
    lines = _lines(source)
    fallbacks: list[Fallback] = []
    for line in _spread(lines, settings, own, as_json, jobs, fallbacks):
        print(line)
    show_fallbacks(fallbacks)


def show_fallbacks(fallbacks: Iterable[Fallback]) -> None:
    """Print on stderr which backends were passed over in this run, for how many words and why."""
    from dimts.text.frontend import fallback_messages

    for message in fallback_messages(fallbacks):
        typer.echo(message.line(), err=True)


def _settings(
    project: Path | None, lexicon: Path | None, backends: str | None, overrides: Sequence[str]
) -> tuple[FrontendSettings, Path | None]:
    from dimts.base.config import from_table
    from dimts.base.project import Project
    from dimts.text.frontend import FrontendSettings

    changes = list(overrides)
    if backends is not None:
        names = ", ".join(f'"{name.strip()}"' for name in backends.split(",") if name.strip())
        changes.append(f"text.g2p.backends=[{names}]")
    if project is None:
        return from_table(FrontendSettings, {}, "text", changes), lexicon
    opened = Project.open(project)
    settings = opened.settings("text", FrontendSettings, tuple(changes))
    return settings, lexicon or (opened.lexicon if opened.lexicon.is_file() else None)


def _lines(source: str) -> Iterator[str]:
    from dimts.base.errors import TextError

    try:
        if source == "-":
            stream: Iterable[bytes] = sys.stdin.buffer
            for raw in stream:
                yield raw.decode("utf-8").rstrip("\r\n")
            return
        with Path(source).open(encoding="utf-8-sig", newline=None) as file:
            for line in file:
                yield line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise TextError("cli.text_not_utf8", path=source, reason=error.reason) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise TextError("cli.no_such_text", path=source) from error


def _spread(
    lines: Iterator[str],
    settings: FrontendSettings,
    lexicon: Path | None,
    as_json: bool,
    jobs: int,
    fallbacks: list[Fallback],
) -> Iterator[str]:
    if jobs == 1:
        _start(settings, lexicon)
        for line in lines:
            yield _convert(line, as_json)
        fallbacks += _FRONTEND[0].chain.fallbacks()
        return

    def collected(piece: tuple[list[str], tuple[Fallback, ...]]) -> list[str]:
        fallbacks.extend(piece[1])
        return piece[0]

    from concurrent.futures import ProcessPoolExecutor
    from itertools import islice
    from multiprocessing import get_context

    with ProcessPoolExecutor(
        jobs, get_context("spawn"), _start, (settings, lexicon)
    ) as pool:  # as on Windows
        waiting = []
        while piece := list(islice(lines, _LINES_PER_PIECE)):
            waiting.append(pool.submit(_convert_all, piece, as_json))
            while len(waiting) > 2 * jobs:
                yield from collected(waiting.pop(0).result())
        for future in waiting:
            yield from collected(future.result())


_FRONTEND: list[Frontend] = []


def _start(settings: FrontendSettings, lexicon: Path | None) -> None:
    from dimts.text.frontend import Frontend

    _FRONTEND[:] = [Frontend(settings, lexicon)]


def _convert_all(lines: Sequence[str], as_json: bool) -> tuple[list[str], tuple[Fallback, ...]]:
    return [_convert(line, as_json) for line in lines], _FRONTEND[0].chain.fallbacks()


def _convert(line: str, as_json: bool) -> str:
    from dimts.text.frontend import phones_of_line

    if not as_json:
        return phones_of_line(_FRONTEND[0], line)
    import json

    phrases = [phrase.as_dict() for phrase in _FRONTEND[0](line)]
    return json.dumps({"written": line, "phrases": phrases}, ensure_ascii=False)


# ---------------------------------------------------------------- the lexicon
_FILE = typer.Option(
    None,
    "--file",
    "-f",
    help="The lexicon (default: the project's lexicon.tsv, else ./lexicon.tsv).",
    show_default=False,
)
_PROJECT = typer.Option(
    None, "--project", help="Project folder whose lexicon.tsv is meant.", show_default=False
)


def _place(file: Path | None, project: Path | None) -> Path:
    if file is not None:
        return file
    if project is not None:
        from dimts.base.project import Project

        return Project.open(project).lexicon
    return _DEFAULT_LEXICON


def add(
    word: str = typer.Argument(..., help="The word, in fidel."),
    spoken: list[str] = typer.Argument(
        ...,
        metavar="PHONES",
        help="Its phones in IPA, e.g. s ə l a m; or the word in fidel with ፟ over long letters.",
    ),
    note: str = typer.Option("", "--note", help="Why, or from whom; kept in the third column."),
    force: bool = typer.Option(False, "--force", help="Add it although the letters say something else."),
    file: Path | None = _FILE,
    project: Path | None = _PROJECT,
) -> None:
    """Add a pronunciation, which replaces those of the word in the lexicon."""
    from dimts.base.errors import TextError
    from dimts.text.ethiopic import is_ethiopic_letter
    from dimts.text.g2p import lexicon
    from dimts.text.g2p.letters import pronounce, read
    from dimts.text.phones import from_ipa

    text = " ".join(spoken)
    if any(map(is_ethiopic_letter, text)):
        reading = read(text)
        phones = pronounce(reading, reading.marks)
    else:
        phones = from_ipa(text)
    entry = lexicon.Entry(word, phones, note)
    found = lexicon.problems(entry)
    if found and not force:
        raise TextError("cli.phones_unlikely", word=word, found=tuple(found))
    path = _place(file, project)
    for old in lexicon.add(path, word, phones, note):
        write(Message("cli.entry_replaced", word=old.word, phones=" ".join(old.phones)))
    print(f"{word}\t{' '.join(phones)}\t→ {path}")


def show(
    words: list[str] = typer.Argument(
        None, metavar="[WORD]...", help="Words to look up; none: the whole lexicon."
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON object a line."),
    file: Path | None = _FILE,
    project: Path | None = _PROJECT,
) -> None:
    """Show the lexicon's pronunciations; for words it does not have, those of dimts and why."""
    import json

    from dimts.base.errors import ConfigError
    from dimts.text.ethiopic import bare
    from dimts.text.g2p import lexicon
    from dimts.text.g2p.rules import Rules

    path = _place(file, project)
    if not path.is_file() and not words:
        raise ConfigError("cli.no_such_lexicon", path=path)
    entries = lexicon.load(path) if path.is_file() else []
    rows: list[dict[str, Any]] = [
        {"word": entry.word, "phones": " ".join(entry.phones), "by": str(path), "note": entry.note}
        for entry in entries
        if not words or entry.word in map(bare, words)
    ]
    rules = Rules()
    for word in words or ():
        if not any(entry.word == bare(word) for entry in entries):
            answer = rules.explain(word)
            by = f"rules: {answer.source} {answer.parts}".strip()
            rows.append({"word": word, "phones": " ".join(answer.phones), "by": by, "note": ""})
    for row in rows:
        print(json.dumps(row, ensure_ascii=False) if as_json else "\t".join(map(str, row.values())).rstrip())


def check(
    file: Path | None = _FILE,
    project: Path | None = _PROJECT,
) -> None:
    """Check every row of the lexicon: phones against letters, unknown phones, words listed twice."""
    from dimts.text.g2p import lexicon

    path = _place(file, project)
    entries = lexicon.load(path)
    faults = 0
    seen: dict[str, int] = {}
    for entry in entries:
        for problem in lexicon.problems(entry):
            faults += 1
            write(Message("cli.entry_problem", path=path, row=entry.row, word=entry.word, problem=problem))
        if entry.word in seen:
            again = {"path": path, "row": entry.row, "word": entry.word, "first": seen[entry.word]}
            write(Message("cli.entry_again", **again))
        seen.setdefault(entry.word, entry.row)
    write(Message("cli.entries_checked", rows=len(entries), faults=faults))
    if faults:
        raise typer.Exit(EXIT_BAD_INPUT)
