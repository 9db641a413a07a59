"""Pronounce a fidel word from tables, morphology and a length model, without any library.

Which consonants are long is decided by the first source that knows: marks in the text, the tables,
morphology, a small sequence model. Then `syllables` inserts ɨ. Every answer has an explanation. Standard
library only; the tables are read at the first word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from importlib import resources

from dimts.text.ethiopic import bare, fold_homophones
from dimts.text.g2p import misspellings
from dimts.text.g2p.gemination_model import GeminationModel
from dimts.text.g2p.letters import LetterReading, encode, lengths_of, pronounce, read, slots_of
from dimts.text.g2p.lexicon import built_in
from dimts.text.g2p.morphology import Morphology
from dimts.text.reading import is_prefix

_LONGEST_WORD = 64
"""Longest word in signs of code; the longest words of running text have about 40."""
_FIRM = 0.9
"""Trust below which an analysis is weighed against the model."""
_FANCIED = 0.6
"""Trust up to which an analysis is no evidence."""
_GUESSED = ("model", "nothing")
"""Sources of a word that nothing knows."""
_SURELY_MEANT = 0.6
"""Confidence from which a known word is taken for the one that is meant."""
OWN, GEEZORG = "lexicon.tsv", "geezorg/lexicon.tsv"
_LISTED, _LISTED_ELSEWHERE, _DISPUTED, _BY_CONTEXT = 0.99, 0.9, 0.7, 0.9
"""Confidence in the sources, as measured on the development lists (docs/decisions/0040-pronunciation.md)."""


@dataclass(frozen=True)
class RulesSettings:
    """[text.g2p.rules]: sources of consonant length, and elision."""

    lexicon: bool = True
    """Use the tables in the package."""
    morphology: bool = True
    """Split words into affixes and stem, so that inflected words inherit the stem's length."""
    model: bool = True
    """Use the sequence model for words without another source."""
    elide: bool = False
    """Fast speech: drop ʔ between vowels of prefix and stem (የአማርኛ as yamarɨɲːa)."""


@dataclass(frozen=True, slots=True)
class RulesAnswer:
    """A pronunciation and the evidence for it."""

    phones: tuple[str, ...]
    lengths: tuple[bool, ...]
    """Whether each consonant of the reading is long."""
    chances: tuple[float, ...]
    """Probability that each consonant is long."""
    source: str
    """Source of the lengths: marks, lexicon, morphology or model."""
    reading: LetterReading
    parts: str = ""
    """The word's parts, e.g. "be+bEt+oc:+u"."""
    meant: str = ""
    """The spelling that was read instead, where letters were mistaken for others (ኢትዮኘያ: ኢትዮጵያ)."""

    @property
    def confidence(self) -> float:
        """The probability that every length is right."""
        product = 1.0
        for long, chance in zip(self.lengths, self.chances, strict=True):
            product *= chance if long else 1.0 - chance
        return product


_KEPT_WORDS = 1 << 17


@dataclass
class Rules:
    """The backend `rules`."""

    settings: RulesSettings = field(default_factory=RulesSettings)
    name: str = "rules"
    marks_length: bool = True

    def __post_init__(self) -> None:
        self._known: dict[str, tuple[str, ...]] = {}
        self._morphology = Morphology(nouns=self.settings.lexicon) if self.settings.morphology else None
        self._model = GeminationModel() if self.settings.model else None

    def phones(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the phones of each word; () for one without Ethiopic letters."""
        known = self._known
        if len(known) > _KEPT_WORDS:
            known = self._known = {}
        return [known.get(word) or self._remember(word) for word in words]

    def _remember(self, word: str) -> tuple[str, ...]:
        found = self._known[word] = self.explain(word).phones
        return found

    def looked_up(self, word: str) -> tuple[str, ...]:
        """Return the tables' pronunciation of exactly this word, () if it is not listed."""
        found = self._listed(encode(bare(word)), read(word))
        return found.phones if found else ()

    def in_context(self, words: Sequence[str]) -> dict[int, RulesAnswer]:
        """Return readings of heteronyms in a phrase that their neighbours decide, by place."""
        found: dict[int, RulesAnswer] = {}
        for at, word in enumerate(words):
            for reading, meaning, before, after in _readings_of(word):
                left = words[at - 1] if at else ""
                right = words[at + 1] if at + 1 < len(words) else ""
                if (left and _any_like(left, before)) or (right and _any_like(right, after)):
                    chosen = read(reading)
                    chances = self._chances(chosen.marks, _BY_CONTEXT)
                    found[at] = self._answer(chosen, chosen.marks, chances, "context", meaning)
                    break
        return found

    def explain(self, word: str) -> RulesAnswer:
        """Return the phones of one word, with the evidence."""
        answer = self._as_written(word)
        if answer.source not in _GUESSED or not misspellings.is_suspect(word):
            return answer
        return self._as_meant(word) or answer

    def _as_meant(self, word: str) -> RulesAnswer | None:
        """Return the reading of the word that is meant, None if the word is as likely right."""
        for meant in misspellings.candidates(word):
            answer = self._as_written(meant)
            if answer.source not in _GUESSED and answer.confidence >= _SURELY_MEANT:
                return replace(answer, meant=meant)
        meant = misspellings.foreign_p(word)
        return replace(self._as_written(meant), meant=meant) if meant != word else None

    def _as_written(self, word: str) -> RulesAnswer:
        reading = read(word)
        if any(reading.marks):
            return self._answer(reading, reading.marks, tuple(map(float, reading.marks)), "marks")
        code = encode(word if word.isalpha() else "".join(char for char in bare(word) if char.isalpha()))
        if self.settings.lexicon and (found := self._listed(code, reading)):
            return found
        if len(code) > _LONGEST_WORD:  # no word, but several joined: length is not worth guessing
            none = (False,) * len(reading)
            return self._answer(reading, none, (0.2,) * len(reading), "nothing")
        if self._morphology and (analysis := self._morphology.analyse(code)) and analysis.trust > _FANCIED:
            lengths = lengths_of(analysis.marked)
            if len(lengths) == len(reading):
                chances = self._chances(lengths, analysis.trust)
                if (
                    analysis.trust < _FIRM and self._model
                ):  # a far-fetched analysis and the model decide together
                    guessed = self._model.chances(code)
                    chances = tuple((own + other) / 2 for own, other in zip(chances, guessed, strict=True))
                    lengths = tuple(chance > 0.5 for chance in chances)
                known = slots_of(analysis.marked) if analysis.trust >= _FIRM else None
                return self._answer(reading, lengths, chances, "morphology", analysis.parts, known)
        if self._model:
            chances = self._model.chances(code)
            if len(chances) == len(reading):
                return self._answer(reading, tuple(chance > 0.5 for chance in chances), chances, "model")
        none = (False,) * len(reading)
        return self._answer(reading, none, (0.2,) * len(reading), "nothing")

    def _listed(self, code: str, reading: LetterReading) -> RulesAnswer | None:
        if code not in _codes():
            return None
        found = [table for table in (built_in(OWN), built_in(GEEZORG)) if code in table.lengths]
        table = found[0]
        first = table.lengths[code]
        lengths = lengths_of(first)
        chances = self._chances(lengths, _LISTED if table is built_in(OWN) else _LISTED_ELSEWHERE)
        for other in found:  # where the tables disagree, or list both, the length is not sure
            for marked in (other.lengths[code], *other.others.get(code, ())):
                if marked == first:
                    continue
                chances = tuple(
                    chance if long == is_long else (_DISPUTED if is_long else 1.0 - _DISPUTED)
                    for chance, long, is_long in zip(chances, lengths_of(marked), lengths, strict=False)
                )
        if code in table.phones:
            return RulesAnswer(table.phones[code], lengths, chances, "lexicon", reading)
        if len(lengths) != len(reading):
            return None
        return self._answer(reading, lengths, chances, "lexicon", known=slots_of(first))

    @staticmethod
    def _chances(lengths: Sequence[bool], trust: float) -> tuple[float, ...]:
        otherwise = 1.0 - trust
        return tuple([trust if long else otherwise for long in lengths])

    def _answer(
        self,
        reading: LetterReading,
        lengths: tuple[bool, ...],
        chances: tuple[float, ...],
        source: str,
        parts: str = "",
        known: Mapping[int, bool] | None = None,
    ) -> RulesAnswer:
        phones = pronounce(reading, lengths, known)
        if self.settings.elide:
            phones = elided(phones)
        return RulesAnswer(phones, lengths, chances, source, reading, parts)


class Tables:
    """The tables of pronunciations alone, as the backend `lexicon`."""

    name = "lexicon"
    marks_length = True

    def __init__(self) -> None:
        self._rules = Rules()

    def phones(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """Return the phones of each word that a table lists as written, () for all others."""
        return [self._rules.looked_up(word) for word in words]


@cache
def _codes() -> frozenset[str]:
    """Return the codes of every word of the tables."""
    return frozenset(built_in(OWN).lengths) | frozenset(built_in(GEEZORG).lengths)


Heteronym = tuple[str, str, tuple[str, ...], tuple[str, ...]]
"""A reading with marks, its meaning, patterns for the word before, patterns for the word after."""


@cache
def heteronyms() -> Mapping[str, tuple[Heteronym, ...]]:
    """Return (reading with marks, meaning, patterns for the word before and after) by word."""
    text = resources.files("dimts.text").joinpath("tables/heteronyms.tsv").read_text(encoding="utf-8")
    found: dict[str, tuple[Heteronym, ...]] = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            reading, meaning, before, after = [*line.split("\t"), "", ""][:4]
            patterns = tuple(fold_homophones(side).split() for side in (before, after))
            row = (fold_homophones(reading), meaning, tuple(patterns[0]), tuple(patterns[1]))
            word = bare(row[0])
            found[word] = (*found.get(word, ()), row)
    return found


@lru_cache(maxsize=1 << 14)
def _readings_of(word: str) -> tuple[Heteronym, ...]:
    """Return the readings of a heteronym, also behind a prefix: የገና has those of ገና."""
    table = heteronyms()
    folded = fold_homophones(word)
    if rows := table.get(folded):
        return rows
    for size in (1, 2, 3):
        if len(word) > size + 1 and is_prefix(word[:size]) and (rows := table.get(folded[size:])):
            return tuple((word[:size] + row[0], row[1], row[2], row[3]) for row in rows)
    return ()


def _any_like(word: str, patterns: Sequence[str]) -> bool:
    word = fold_homophones(word)
    return any(word == pattern or (pattern[0] == "*" and word.endswith(pattern[1:])) for pattern in patterns)


def elided(phones: tuple[str, ...]) -> tuple[str, ...]:
    """Elide as in fast speech: ʔ between vowels is dropped, with the weaker vowel (ə ʔ a → a, V ʔ ɨ → V)."""
    out: list[str] = []
    at = 0
    while at < len(phones):
        if phones[at] == "ʔ" and out and out[-1] in "əɨ" and at + 1 < len(phones) and phones[at + 1] in "aəɨ":
            stronger = phones[at + 1] if phones[at + 1] == "a" else out[-1]
            out[-1] = stronger
            at += 2
            continue
        out.append(phones[at])
        at += 1
    return tuple(out)
