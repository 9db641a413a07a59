"""`dimts text` and `dimts normalise`: show and convert written Amharic to its spoken form."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from io import BufferedReader, FileIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import typer

from dimts.base.errors import TextError, storage_error
from dimts.base.messages import Message
from dimts.cli.output import write

if TYPE_CHECKING:
    from dimts.text.frontend import BackendComparison, Frontend, FrontendSettings, Phrase, Word
    from dimts.text.normalise import Normalised
    from dimts.text.stream import TextBlock

_PROJECT = typer.Option(
    None, "--project", help="Project folder whose [text] settings and lexicon.tsv are used."
)
_SET = typer.Option(
    [],
    "--set",
    metavar="TABLE.KEY=VALUE",
    help="Any setting, e.g. text.normalise.emoji=read; may be repeated.",
)


def register(app: typer.Typer) -> None:
    """Add `dimts text` and `dimts normalise`."""
    app.command("text", no_args_is_help=True)(text)
    app.command("normalise", no_args_is_help=True)(normalise)


def text(
    written: str = typer.Argument("", metavar="TEXT", help='What to read; "-" reads standard input.'),
    why: bool = typer.Option(
        False, "--why", help="Show each span: what it was taken for, what it became, and why."
    ),
    compare: bool = typer.Option(
        False, "--compare", help="Show what every pronunciation backend says, side by side."
    ),
    as_json: bool = typer.Option(
        False, "--json", help="One JSON object: spoken form, spans, phrases, words."
    ),
    steps: bool = typer.Option(
        False, "--steps", help="List the steps of normalisation with examples, and leave."
    ),
    project: Path | None = _PROJECT,
    lexicon: Path | None = typer.Option(None, "--lexicon", help="Your own lexicon: word TAB phones."),
    overrides: list[str] = _SET,
) -> None:
    """Show how a text is read: its spoken form, its phrases, the phones of each word and their source."""
    if steps:
        _show_steps(as_json)
        return
    front = _frontend(project, lexicon, overrides)
    source = _given(written)
    normalised = front.normaliser(source)
    if not any(char.isalpha() for char in normalised.spoken):
        raise TextError("cli.nothing_readable")
    phrases = list(front(source))
    rows: list[BackendComparison] = []
    if compare:
        from dimts.text.frontend import compare as compare_backends

        rows = compare_backends(source, front.settings)
    if as_json:
        answer: dict[str, Any] = {
            "written": normalised.written,
            "spoken": normalised.spoken,
            "spans": [span.as_dict() for span in normalised.spans],
            "phrases": [phrase.as_dict() for phrase in phrases],
        }
        if compare:
            answer["compare"] = [row.as_dict() for row in rows]
        print(json.dumps(answer, ensure_ascii=False))
        return
    print(normalised.spoken)
    if why:
        _show_spans(normalised)
    _show_phrases(phrases)
    if compare:
        _show_comparison(rows)


def _given(written: str) -> str:
    if written == "-":
        try:
            written = sys.stdin.buffer.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise TextError("cli.stdin_not_utf8", reason=error.reason) from error
    if not written.strip():
        raise TextError("cli.text_empty")
    return written


def normalise(
    files: list[str] = typer.Argument(
        ..., metavar="FILE...", help='Text files, UTF-8; "-" is standard input.'
    ),
    jobs: int = typer.Option(
        1, "--jobs", "-j", min=1, help="Processes to share the lines among; their order stays."
    ),
    output: Path | None = typer.Option(
        None, "--output", "-o", help="Write to this file, whole or not at all."
    ),
    project: Path | None = _PROJECT,
    overrides: list[str] = _SET,
) -> None:
    """Write the spoken form of every line of FILE..., one line for each, as a stream: files may be of any
    size."""
    from dimts.base.files import atomic_path
    from dimts.text.stream import normalise_stream

    settings = _settings(project, overrides).normalise
    for name in files:
        if name != "-" and not Path(name).exists():
            raise TextError("cli.no_such_text", path=name)
        if name != "-" and Path(name).is_dir():
            raise TextError("cli.text_is_folder", path=name)
    spoken = normalise_stream(_blocks(files), settings, jobs)
    if output is None:
        for part in spoken:
            sys.stdout.buffer.write(part.encode("utf-8"))
            sys.stdout.buffer.flush()
        return
    with atomic_path(output) as temporary, temporary.open("wb") as file:
        for part in spoken:
            file.write(part.encode("utf-8"))


def _blocks(files: list[str]) -> Iterator[TextBlock]:
    from dimts.text.stream import blocks

    for name in files:
        if name == "-":
            yield from blocks(_chunks(sys.stdin.buffer), Message("cli.standard_input").text())
            continue
        try:
            with Path(name).open("rb", buffering=0) as file:
                yield from blocks(_chunks(file), name)
        except OSError as error:
            raise storage_error(error, name) or error from error


def _chunks(file: IO[bytes] | BufferedReader | FileIO) -> Iterator[bytes]:
    read = file.read1 if isinstance(file, BufferedReader) else file.read
    while chunk := read(_CHUNK_BYTES):
        yield chunk


_CHUNK_BYTES = 1 << 18


# ---------------------------------------------------------------- settings
def _settings(project: Path | None, overrides: list[str] | None) -> FrontendSettings:
    from dimts.base.config import from_table
    from dimts.base.project import Project
    from dimts.text.frontend import FrontendSettings

    if project is None:
        return from_table(FrontendSettings, {}, "text", overrides or ())
    return Project.open(project).settings("text", FrontendSettings, tuple(overrides or ()))


def _frontend(project: Path | None, lexicon: Path | None, overrides: list[str] | None) -> Frontend:
    from dimts.base.project import Project
    from dimts.text.frontend import Frontend

    own = lexicon
    if own is None and project is not None and Project.open(project).lexicon.is_file():
        own = Project.open(project).lexicon
    return Frontend(_settings(project, overrides), own)


# ---------------------------------------------------------------- what is shown
def _show_steps(as_json: bool) -> None:
    from dimts.text.normalise import STEPS

    for step in STEPS:
        if as_json:
            what = step.what.text("en")
            row = {"step": step.name, "what": what, "written": step.written, "spoken": step.spoken}
            print(json.dumps(row, ensure_ascii=False))
        else:
            example = f"  {step.written} → {step.spoken}".rstrip() if step.written else ""
            print(f"{step.name:14} {step.what}{example}")
    if not as_json:
        print()
        write(Message("cli.steps_off"))


def _show_spans(normalised: Normalised) -> None:
    for span in normalised.spans:
        if span.kind == "text" and not span.spoken.strip():
            continue
        carried = f" [{span.value}]" if span.value else ""
        written, spoken = span.written.strip(), span.spoken.strip()
        print(f"  {span.start}-{span.end}\t{span.title}\t{written}\t→ {spoken}{carried}\t({span.why})")


def _show_phrases(phrases: list[Phrase]) -> None:
    notes: dict[str, int] = {}  # a reason that holds for many words is printed once, below
    counts = Counter(reason for phrase in phrases for word in phrase.words for reason in set(_reasons(word)))
    common = {reason for reason, words in counts.items() if words > 1}
    for phrase in phrases:
        code = "cli.phrase" if phrase.rate == 1 else "cli.phrase_at_rate"
        print()
        write(Message(code, spoken=phrase.spoken, pause=phrase.pause_seconds, rate=phrase.rate))
        for word in phrase.words:
            shown = [
                f"[{notes.setdefault(reason, len(notes) + 1)}]" if reason in common else reason
                for reason in _reasons(word)
            ]
            print(f"  {word.spoken}\t{' '.join(word.phones)}\t{word.by}\t{'; '.join(shown)}".rstrip())
    if notes:
        print()
    for reason, number in notes.items():
        print(f"[{number}] {reason}")


def _reasons(word: Word) -> list[str]:
    from dimts.text.g2p.backend import SPELLING

    doubts = [str(doubt) for doubt in word.doubts]
    return doubts + [
        one.doubts[0].message.text()
        if one.by == SPELLING
        else Message(
            "cli.backend_refused", by=one.by, reasons=tuple(doubt.message for doubt in one.doubts)
        ).text()
        for one in word.refused
    ]


def _show_comparison(rows: list[BackendComparison]) -> None:
    print()
    write(Message("cli.every_backend"))
    believed = Message("cli.believed").text()
    for row in rows:
        print(f"  {row.word.spoken}\t→ {' '.join(row.word.phones)} ({row.word.by})")
        for answer in row.answers:
            doubts = "; ".join(map(str, answer.doubts)) or believed
            print(f"    {answer.by}\t{' '.join(answer.phones)}\t{doubts}")
