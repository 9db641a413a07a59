"""Look up written pronunciations of words: in our tables, and in the user's own lexicon.

Two kinds of files, both tab-separated, both for people to edit, `#` opens a comment:

- *length tables* (`tables/lexicon.tsv`, `tables/geezorg/lexicon.tsv`): a fidel word with ፟ over every
  long letter; ɨ follows by rule ("." after a letter: always ɨ, "-": never). A second column gives the
  phones in full where the rule is not enough.
- *user lexicons*: `word TAB phones [TAB note]`, phones in IPA; several rows for a word are
  alternatives, the first is spoken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from dimts.base.errors import ConfigError, TextError
from dimts.base.files import write_text
from dimts.base.messages import Message
from dimts.text.ethiopic import bare, fold_homophones, is_ethiopic_letter
from dimts.text.g2p.letters import encode, unmarked
from dimts.text.phones import LONG, fidel_skeleton, from_ipa, is_phone, skeleton


@dataclass(frozen=True, slots=True)
class Table:
    """A length table, by code."""

    lengths: Mapping[str, str]
    """Marked code by the code of the word."""
    phones: Mapping[str, tuple[str, ...]]
    """Phones by the code of the word, where the table gives them in full."""
    others: Mapping[str, tuple[str, ...]]
    """Marked codes of further readings, by code."""


def parse_table(text: str) -> Table:
    """Parse a length table. The first row of a word is its usual reading."""
    lengths: dict[str, str] = {}
    full: dict[str, tuple[str, ...]] = {}
    others: dict[str, tuple[str, ...]] = {}
    for line in encode(text).split("\n"):
        if not line or line[0] == "#":
            continue
        marked, _, rest = line.partition("\t")
        code = unmarked(marked)
        if lengths.setdefault(code, marked) is not marked:
            if lengths[code] != marked:
                others[code] = (*others.get(code, ()), marked)
        elif rest:
            phones = rest.split("\t")[0]
            if phones and phones != "-":
                full[code] = tuple(phones.split())
    return Table(lengths, full, others)


@cache
def built_in(name: str) -> Table:
    """Load the table `tables/<name>` of this package."""
    return parse_table(resources.files("dimts.text").joinpath(f"tables/{name}").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a user lexicon."""

    word: str
    phones: tuple[str, ...]
    note: str = ""
    row: int = 0


def load(path: Path) -> list[Entry]:
    """Read the rows of a user lexicon; ConfigError with file and row for one that cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError("text.no_such_lexicon", path=path) from error
    except UnicodeDecodeError as error:
        raise ConfigError("text.lexicon_not_utf8", path=path, error=error) from error
    entries = []
    for row, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        columns = line.split("\t")
        if len(columns) < 2 or not columns[0].strip() or not columns[1].strip():
            raise ConfigError("text.lexicon_row_not_two_columns", path=path, row=row, line=line)
        try:
            phones = from_ipa(columns[1].strip())
        except TextError as error:
            raise ConfigError("text.lexicon_row_wrong", path=path, row=row, error=error.message) from error
        entries.append(Entry(bare(columns[0].strip()), phones, "\t".join(columns[2:]), row))
    return entries


def save(path: Path, entries: Sequence[Entry]) -> None:
    """Write a user lexicon atomically; the inverse of `load`."""
    lines = [
        "\t".join([entry.word, " ".join(entry.phones), *([entry.note] if entry.note else [])])
        for entry in entries
    ]
    write_text(path, "".join(line + "\n" for line in lines))


def add(path: Path, word: str, phones: tuple[str, ...], note: str = "") -> list[Entry]:
    """Add a first reading of `word` to the lexicon at `path` (made if absent); returns the rows replaced."""
    entries = load(path) if path.exists() else []
    word = bare(word)
    replaced = [entry for entry in entries if entry.word == word]
    save(path, [*(entry for entry in entries if entry.word != word), Entry(word, phones, note)])
    return replaced


def problems(entry: Entry) -> list[Message]:
    """Return what looks wrong about a row: an empty word, unknown phones, sounds that the fidel does not
    have."""
    if not any(map(is_ethiopic_letter, entry.word)):
        return [Message("text.word_without_fidel", word=entry.word)]
    found = [Message("text.entry_no_phone", phone=phone) for phone in entry.phones if not is_phone(phone)]
    written, spoken = fidel_skeleton(entry.word), skeleton(entry.phones)
    if written[:1] == ("ʔ",) and spoken[:1] != ("ʔ",):
        written = written[1:]
    as_w = fidel_skeleton(entry.word.replace("ዉ", "ው"))  # ዉ is a common spelling of ው
    if spoken not in (written, as_w):
        found.append(
            Message("text.phones_against_letters", letters=" ".join(written), phones=" ".join(spoken))
        )
    if any(phone.endswith(LONG) and at == 0 for at, phone in enumerate(entry.phones)):
        found.append(Message("text.long_at_beginning"))
    return found


class Lexicon:
    """The backend of a user lexicon: it answers for its own words only. Letters of one sound count as one."""

    name = "user"
    marks_length = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._exact: dict[str, tuple[str, ...]] = {}
        self._folded: dict[str, tuple[str, ...]] = {}
        for entry in load(path):
            self._exact.setdefault(entry.word, entry.phones)
            self._folded.setdefault(fold_homophones(entry.word), entry.phones)

    def phones(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the phones of each word, () for one that is not listed."""
        return [
            self._exact.get(word) or self._folded.get(fold_homophones(word), ()) for word in map(bare, words)
        ]
