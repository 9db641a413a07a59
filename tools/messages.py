"""Compile, check and edit the message catalogues.

    python tools/messages.py                      sort every .po and compile it to the .mo beside it
    python tools/messages.py check                name every fault; exit code 1 if there is one
    python tools/messages.py set CODE EN AM [REMEDY_EN REMEDY_AM]
    python tools/messages.py set help.COMMAND… AM  the Amharic of a help text; \\n is a line end
    python tools/messages.py rename OLD NEW       in catalogues and source
    python tools/messages.py remove CODE …
    python tools/messages.py import FILE          rows of `set`, separated by tabs

A fault is a code that one language lacks, parameters that differ between languages, a `.mo` that is not what
its `.po` says, an entry without a text. The English of help texts stands in the code of the command line:
their catalogue, `help`, is Amharic alone and keeps the English that was translated as a comment. A fault is
also a command or an option without an entry, an entry of neither, and an English that has changed since.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import typer
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from dimts.base.messages import LANGUAGES, REMEDY, fields
from dimts.cli.help import help_texts
from dimts.cli.main import build

SOURCE = Path(__file__).parents[1] / "src/dimts"
TESTS = Path(__file__).parents[1] / "tests"
LOCALE = SOURCE / "base/locale"
HELP = "help"
"""Domain of the help texts of the command line."""


def catalogues(language: str) -> dict[str, Catalog]:
    """Domain → catalogue of one language."""
    out = {}
    for path in sorted((LOCALE / language / "LC_MESSAGES").glob("*.po")):
        with path.open("rb") as file:
            out[path.stem] = read_po(file, locale=language, abort_invalid=True)
    return out


def compiled(catalogue: Catalog) -> bytes:
    """A catalogue as a `.mo` file."""
    buffer = io.BytesIO()
    write_mo(buffer, catalogue)
    return buffer.getvalue()


def written(catalogue: Catalog) -> bytes:
    """A catalogue as a `.po` file, sorted by code."""
    buffer = io.BytesIO()
    write_po(buffer, catalogue, width=0, sort_output=True, omit_header=False, no_location=True)
    return buffer.getvalue()


def faults() -> Iterator[str]:
    """One line for each fault of the catalogues."""
    sets = {language: catalogues(language) for language in LANGUAGES}
    for domain in sorted(set().union(*sets.values())):
        for language, known in sets.items():
            if domain not in known and domain != HELP:
                yield f"{language}: there is no {domain}.po"
        texts = {
            language: {(one.context or "", str(one.id)): str(one.string) for one in known[domain] if one.id}
            for language, known in sets.items()
            if domain in known
        }
        for context, code in sorted(set().union(*texts.values())) if domain != HELP else ():
            yield from _entry_faults(domain, context, code, texts)
        for language in texts:
            path = LOCALE / language / "LC_MESSAGES" / f"{domain}.mo"
            if not path.is_file() or path.read_bytes() != compiled(sets[language][domain]):
                yield f"{language}/{domain}.mo is not what {domain}.po says: python tools/messages.py"
    yield from _help_faults(sets[LANGUAGES[1]][HELP])


def _entry_faults(
    domain: str, context: str, code: str, texts: dict[str, dict[tuple[str, str], str]]
) -> Iterator[str]:
    name = f"{code} [{context}]" if context else code
    if not code.startswith(f"{domain}."):
        yield f"{name} stands in {domain}.po"
    if context not in ("", REMEDY):
        yield f"{name}: unknown context"
    found = {language: known.get((context, code)) for language, known in texts.items()}
    for language, text in found.items():
        if text is None:
            yield f"{language}: {name} is missing"
        elif not text:
            yield f"{language}: {name} has no text"
    used = {language: fields(text) for language, text in found.items() if text}
    if len(set(used.values())) > 1:
        yield f"{name}: parameters differ: " + "; ".join(
            f"{one} {sorted(names)}" for one, names in used.items()
        )


def _help_faults(catalogue: Catalog) -> Iterator[str]:
    english = _help_texts()
    known = {str(one.id): one for one in catalogue if one.id}
    for code in sorted(english.keys() | known.keys()):
        if code not in english:
            yield f"{code}: there is no such command, option or argument"
        elif code not in known or not known[code].string:
            yield f"{code} is missing: {english[code]}"
        elif _words(" ".join(known[code].auto_comments)) != _words(english[code]):
            yield f"{code}: its English has changed; set the Amharic anew: {english[code]}"


@cache
def _help_texts() -> dict[str, str]:
    return help_texts(typer.main.get_command(build()))


def _words(text: str) -> str:
    """A text without white space, so that it may be broken into lines anywhere."""
    return "".join(text.split())


def compile_all() -> None:
    """Sort every `.po` and write the `.mo` beside it."""
    for language in LANGUAGES:
        for domain, catalogue in catalogues(language).items():
            path = LOCALE / language / "LC_MESSAGES" / f"{domain}.po"
            path.write_bytes(written(catalogue))
            path.with_suffix(".mo").write_bytes(compiled(catalogue))


def put(code: str, english: str, amharic: str, *remedy: str) -> None:
    """Add or replace a message, and its remedy where both texts of it are given.

    Ends the program if the code has other parameters already: it is most likely another message's.
    """
    domain = code.partition(".")[0]
    known = _catalogue(LANGUAGES[0], domain)[1].get(code)
    if known is not None and fields(str(known.string)) != fields(english):
        raise SystemExit(f"{code} is {known.string!r}: choose another code, or remove that one first")
    for number, (language, text) in enumerate(zip(LANGUAGES, (english, amharic), strict=True)):
        path, catalogue = _catalogue(language, domain)
        catalogue.delete(code)
        catalogue.add(code, text)
        catalogue.delete(code, context=REMEDY)
        if remedy:
            catalogue.add(code, remedy[number], context=REMEDY)
        path.write_bytes(written(catalogue))


def put_help(code: str, amharic: str) -> None:
    """Add or replace the Amharic of a help text, with its English as a comment.

    Ends the program where the command line has no such command, option or argument.
    """
    english = _help_texts().get(code)
    if english is None:
        raise SystemExit(f"{code}: there is no such command, option or argument")
    path, catalogue = _catalogue(LANGUAGES[1], HELP)
    catalogue.delete(code)
    catalogue.add(code, amharic.replace("\\n", "\n"), auto_comments=[" ".join(english.split())])
    path.write_bytes(written(catalogue))


def set_row(row: list[str]) -> None:
    """Put a message, or a help text where the row has a code and one text."""
    if len(row) == 2:
        put_help(*row)
    else:
        put(*row)


def remove(code: str) -> None:
    """Take a message and its remedy out of every catalogue."""
    for language in LANGUAGES:
        path, catalogue = _catalogue(language, code.partition(".")[0])
        if not path.is_file():
            continue
        catalogue.delete(code)
        catalogue.delete(code, context=REMEDY)
        path.write_bytes(written(catalogue))


def rename(old: str, new: str) -> None:
    """Give a message another code, in the catalogues and wherever the source says it in quotes."""
    rows: list[list[str]] = [[], []]
    for language in LANGUAGES:
        _, catalogue = _catalogue(language, old.partition(".")[0])
        for place, context in enumerate((None, REMEDY)):
            if entry := catalogue.get(old, context):
                rows[place].append(str(entry.string))
    put(new, *rows[0], *rows[1])
    remove(old)
    quoted = re.compile(rf'(["\']){re.escape(old)}\1')
    for path in (*SOURCE.rglob("*.py"), *TESTS.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if (changed := quoted.sub(rf"\g<1>{new}\1", text)) != text:
            path.write_text(changed, encoding="utf-8")


def _catalogue(language: str, domain: str) -> tuple[Path, Catalog]:
    path = LOCALE / language / "LC_MESSAGES" / f"{domain}.po"
    if not path.is_file():
        return path, Catalog(locale=language, project="dimts")
    with path.open("rb") as file:
        return path, read_po(file, locale=language, abort_invalid=True)


def main() -> int:
    """0 when all is well."""
    match sys.argv[1:]:
        case ["check"]:
            found = list(faults())
            sys.stdout.write("\n".join(found) + "\n" if found else "catalogues: no fault\n")
            return 1 if found else 0
        case ["set", *row] if len(row) in (2, 3, 5):
            set_row(row)
        case ["import", file]:
            for line in Path(file).read_text(encoding="utf-8").splitlines():
                set_row(line.split("\t"))
        case ["rename", old, new]:
            rename(old, new)
        case ["remove", *codes] if codes:
            for code in codes:
                remove(code)
        case []:
            pass
        case _:
            sys.stderr.write(__doc__ or "")
            return 2
    compile_all()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
