"""Score a G2P backend or the whole chain against a gold list: WER, PER, F1 of gemination and epenthesis.
The list has `word TAB phones` on each line; several rows of a word are alternatives, of which the nearest
counts. Both sides are read by `phones.from_ipa`, so that notation makes no difference; ʔ before a vowel at
the start of a word is not scored, and Cʷ is C w. Gemination and ɨ are counted by consonant: F1 of "is long"
over all consonants, F1 of "ɨ follows" over those that no other vowel follows.
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
Pronounce = Callable[[Sequence[str]], Sequence[Phones]]
"""Function from words to their phones; () for a word without an answer."""

CHAIN = "chain"
"""Name of the whole chain of backends."""
_GROUP = "dimts.g2p"


@dataclass(frozen=True, slots=True)
class Gold:
    """Words with their reference pronunciations."""

    words: Mapping[str, tuple[Phones, ...]]
    """Alternative pronunciations by word."""
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
    """Counts of a binary decision, with F1."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0

    @property
    def f1(self) -> float:
        """F1 score, 0 to 1; 1 if there are neither positives nor errors."""
        total = 2 * self.true_positives + self.false_positives + self.false_negatives
        return 2 * self.true_positives / total if total else 1.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one backend on one gold list."""

    name: str
    """Name of the backend."""
    words: int
    """Number of words in the list."""
    unanswered: int
    """Number of words without an answer."""
    wrong: int
    """Number of words with any phone error, those without an answer included."""
    wrong_without_length: int
    """Number of words with any phone error when long consonants count as short ones."""
    phones: Edits
    """Phone errors."""
    phones_without_length: Edits
    """Phone errors when long consonants count as short ones."""
    gemination: Counts
    """Decisions on the length of consonants."""
    epenthesis: Counts
    """Decisions on ɨ after consonants."""
    mistakes: tuple[tuple[str, Phones, Phones], ...]
    """Word, answer and nearest gold pronunciation of each wrong word."""

    @property
    def wer(self) -> float:
        """Share of words with any error, 0 to 1."""
        return self.wrong / self.words

    @property
    def wer_without_length(self) -> float:
        """Share of words with any error when long consonants count as short ones, 0 to 1."""
        return self.wrong_without_length / self.words

    def as_dict(self) -> dict[str, float | int | str]:
        """Return JSON values; rates are shares of 1."""
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


def backend(name: str, settings: ChainSettings | None = None, lexicon: Path | None = None) -> Pronounce:
    """Load a backend by name or entry point, or "chain" for all of them in turn.

    Raises ConfigError for an unknown name, with the nearest one, MissingExtra for a backend that is not
    installed.
    """
    if name == CHAIN:
        chain = Chain(settings, lexicon)
        return lambda words: [word.phones for word in chain.words(list(words))]
    made = resolve(name, BACKENDS, _GROUP)()

    def pronounce(words: Sequence[str]) -> Sequence[Phones]:
        found: Sequence[Phones] = made.phones(list(words))
        return found

    return pronounce


def score(name: str, pronounce: Pronounce, gold: Gold) -> Scores:
    """Score a backend on every word of a gold list."""
    words = list(gold.words)
    answers = [_scored(phones) for phones in pronounce(words)]
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
        name,
        len(words),
        sum(not answer for answer in answers),
        wrong,
        wrong_plain,
        strict,
        plain,
        gemination,
        epenthesis,
        tuple(mistakes),
    )


def _scored(phones: Sequence[str]) -> Phones:
    return word_labels([phones])[0] if phones else ()


def _plain(phones: Phones) -> Phones:
    return tuple(short(phone) for phone in phones)


@dataclass(frozen=True, slots=True)
class _Slot:
    """A phone other than ɨ, with the decisions on it."""

    label: str
    """Phone without its length."""
    long: bool
    """Whether it is long."""
    followed: bool
    """Whether ɨ follows."""
    open: bool
    """Whether it is a consonant that no other vowel follows, after which ɨ is optional."""


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
    found, expected = _slots(answer), _slots(gold)
    lengths, vowels = Counts(), Counts()
    for step in align([slot.label for slot in found], [slot.label for slot in expected]):
        mine = found[step.hypothesis] if step.hypothesis is not None else None
        true = expected[step.reference] if step.reference is not None else None
        if all(slot is None or is_vowel(slot.label) for slot in (mine, true)):
            continue
        long, should = bool(mine and mine.long), bool(true and true.long)
        lengths += Counts(long and should, long and not should, should and not long)
        if true is None or true.open:
            follows, ought = bool(mine and mine.followed), bool(true and true.followed)
            vowels += Counts(follows and ought, follows and not ought, ought and not follows)
    return lengths, vowels
