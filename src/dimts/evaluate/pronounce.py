"""A G2P backend or a whole chain against a gold list: how many words and phones are right, and what goes wrong.

The list has `word TAB phones` on each line; several rows of a word are alternatives, of which the nearest counts.
Both sides are read by `phones.from_ipa`, so that no notation gains; ʔ before a vowel at the start of a word is not
scored, and Cʷ is C w. Gemination and ɨ are counted by consonant: F1 of "is long" over all consonants, F1 of "ɨ
follows" over those that no other vowel follows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dimts.base.errors import DataError, TextError
from dimts.base.messages import Message
from dimts.base.plugins import resolve
from dimts.evaluate.metrics import Edits, align, edits
from dimts.evaluate.phone_labels import word_labels
from dimts.text.frontend import BACKENDS, Chain, ChainSettings
from dimts.text.phones import LONG, from_ipa, is_vowel, short

Phones = tuple[str, ...]
Say = Callable[[Sequence[str]], Sequence[Phones]]
"""Words → their phones; () where there is no answer."""

CHAIN = "chain"
"""The name of all backends together, as the front end asks them."""
_GROUP = "dimts.g2p"


@dataclass(frozen=True, slots=True)
class Gold:
    """A list of words with their right pronunciations."""

    words: Mapping[str, tuple[Phones, ...]]
    unreadable: tuple[Message, ...] = ()
    """Rows that were skipped, each with its reason."""

    @classmethod
    def load(cls, path: Path | str) -> Gold:
        """Read `word TAB phones` lines. DataError if the file is missing or holds no row that can be read."""
        path = Path(path)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError("evaluate.gold_unreadable", path=path, error=error) from error
        words: dict[str, tuple[Phones, ...]] = {}
        bad: list[Message] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            word, tab, phones = line.partition("\t")
            try:
                # spaces out: sources write a long consonant as two, and some cut d ʒ apart
                read = from_ipa("".join(phones.split("\t")[0].split()))
            except TextError as error:
                bad.append(Message("evaluate.gold_row_unreadable", row=number, reason=error))
                continue
            if not tab or not read:
                bad.append(Message("evaluate.gold_row_malformed", row=number))
                continue
            word = unicodedata.normalize("NFC", word.strip())
            words[word] = (*words.get(word, ()), _scored(read))
        if not words:
            raise DataError("evaluate.gold_empty", path=path)
        return cls(words, tuple(bad))


@dataclass(frozen=True, slots=True)
class Counts:
    """Of a yes-or-no question: F1 and its parts."""

    hits: int = 0
    false: int = 0
    missed: int = 0

    @property
    def f1(self) -> float:
        """2 hits / (2 hits + false + missed); 1 where there was nothing to find and nothing was."""
        total = 2 * self.hits + self.false + self.missed
        return 2 * self.hits / total if total else 1.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.hits + other.hits, self.false + other.false, self.missed + other.missed)


@dataclass(frozen=True, slots=True)
class Scores:
    """One backend on one list."""

    name: str
    words: int
    unanswered: int
    wrong: int
    """Words that are not right in every phone; those without an answer are among them."""
    wrong_without_length: int
    phones: Edits
    phones_without_length: Edits
    gemination: Counts
    epenthesis: Counts
    mistakes: tuple[tuple[str, Phones, Phones], ...]
    """(word, answer, nearest gold)."""

    @property
    def wer(self) -> float:
        """Share of words with any mistake."""
        return self.wrong / self.words

    @property
    def wer_without_length(self) -> float:
        """The same, long consonants counted as short ones."""
        return self.wrong_without_length / self.words

    def as_dict(self) -> dict[str, float | int | str]:
        """For JSON, rates as shares of 1."""
        return {
            "name": self.name,
            "words": self.words,
            "unanswered": self.unanswered,
            "wer": round(self.wer, 4),
            "wer_without_length": round(self.wer_without_length, 4),
            "per": round(self.phones.rate, 4),
            "per_without_length": round(self.phones_without_length.rate, 4),
            "gemination_f1": round(self.gemination.f1, 4),
            "epenthesis_f1": round(self.epenthesis.f1, 4),
        }


def backend(name: str, settings: ChainSettings | None = None, lexicon: Path | None = None) -> Say:
    """What `name` says: a backend of the chain by name or entry point, or "chain" for all of them in turn.

    Raises ConfigError for an unknown name (the nearest is told), MissingExtra for a backend that is not installed.
    """
    if name == CHAIN:
        chain = Chain(settings, lexicon)
        return lambda words: [word.phones for word in chain.words(list(words))]
    made = resolve(name, BACKENDS, _GROUP)()

    def say(words: Sequence[str]) -> Sequence[Phones]:
        found: Sequence[Phones] = made.phones(list(words))
        return found

    return say


def score(name: str, say: Say, gold: Gold) -> Scores:
    """Ask for every word of the list, and count."""
    words = list(gold.words)
    answers = [_scored(phones) for phones in say(words)]
    strict, plain = Edits(), Edits()
    gemination, epenthesis = Counts(), Counts()
    wrong = wrong_plain = 0
    mistakes = []
    for word, answer in zip(words, answers, strict=True):
        nearest = min(gold.words[word], key=lambda one: edits(answer, one).count)
        nearest_plain = min(gold.words[word], key=lambda one: edits(_plain(answer), _plain(one)).count)
        strict += edits(answer, nearest)
        here = edits(_plain(answer), _plain(nearest_plain))
        plain += here
        wrong_plain += here.count > 0
        if answer != nearest:
            wrong += 1
            mistakes.append((word, answer, nearest))
        lengths, vowels = _compare(answer, nearest)
        gemination += lengths
        epenthesis += vowels
    return Scores(
        name, len(words), sum(not answer for answer in answers), wrong, wrong_plain, strict, plain, gemination,
        epenthesis, tuple(mistakes),
    )  # fmt: skip


def _scored(phones: Sequence[str]) -> Phones:
    return word_labels([phones])[0] if phones else ()


def _plain(phones: Phones) -> Phones:
    return tuple(short(phone) for phone in phones)


@dataclass(frozen=True, slots=True)
class _Slot:
    """A sign without ɨ, and what belongs to it."""

    sign: str
    long: bool
    followed: bool
    """By ɨ."""
    open: bool
    """A consonant that no other vowel follows: here ɨ can stand or not."""


def _slots(phones: Phones) -> list[_Slot]:
    slots = []
    for at, phone in enumerate(phones):
        if phone == "ɨ":
            continue
        after = phones[at + 1] if at + 1 < len(phones) else ""
        free = not is_vowel(phone) and (after == "ɨ" or not is_vowel(after))
        slots.append(_Slot(short(phone), phone.endswith(LONG), after == "ɨ", free))
    return slots


def _compare(answer: Phones, gold: Phones) -> tuple[Counts, Counts]:
    said, right = _slots(answer), _slots(gold)
    lengths, vowels = Counts(), Counts()
    for step in align([slot.sign for slot in said], [slot.sign for slot in right]):
        mine = said[step.heard] if step.heard is not None else None
        true = right[step.expected] if step.expected is not None else None
        if all(slot is None or is_vowel(slot.sign) for slot in (mine, true)):
            continue
        long, should = bool(mine and mine.long), bool(true and true.long)
        lengths += Counts(long and should, long and not should, should and not long)
        if true is None or true.open:
            follows, ought = bool(mine and mine.followed), bool(true and true.followed)
            vowels += Counts(follows and ought, follows and not ought, ought and not follows)
    return lengths, vowels
