"""The public benchmark amharic-tts-bench: sentences in sections with their readings, for any system.

    sentences = benchmark(["numbers"])

The list is benchmark_data/amharic-tts-bench.tsv (CC0 1.0). A row has a sentence as a person would write it,
its reading in words, the phones of that reading, and, for a minimal pair, the phones of the word it tests and
of the word it must not become. Readings and phones are in the file, so that a score does not change with
the front end; a new version of the list gets a new number.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from dimts.base.errors import ConfigError
from dimts.base.messages import Message
from dimts.base.plugins import nearest
from dimts.evaluate.comparison import SentenceList
from dimts.evaluate.measure import EvaluationSentence, WordContrast
from dimts.text.phones import WORD_MARK

NAME, VERSION = "amharic-tts-bench", "1"
_NOTES = {
    "news": Message("evaluate.section_news"),
    "numbers": Message("evaluate.section_numbers"),
    "pairs": Message("evaluate.section_pairs"),
    "heteronyms": Message("evaluate.section_heteronyms"),
    "latin": Message("evaluate.section_latin"),
    "paragraphs": Message("evaluate.section_paragraphs"),
    "twisters": Message("evaluate.section_twisters"),
}
SECTIONS = tuple(_NOTES)
"""Names of the sections."""


@dataclass(frozen=True, slots=True)
class BenchmarkRow:
    """One row of the list."""

    name: str
    """Identifier, e.g. news-001."""
    section: str
    text: str
    """The sentence as it is written."""
    reading: str
    """The spoken form, in words; the text itself where it holds nothing to be read out."""
    phones: tuple[tuple[str, ...], ...]
    """Phones of each word of the reading."""
    contrast: WordContrast | None
    """The word of a minimal pair, and the other."""

    def sentence(self) -> EvaluationSentence:
        """Return the row as a sentence of an evaluation."""
        return EvaluationSentence(
            self.name, self.text, words=self.phones, section=self.section, contrast=self.contrast
        )  # fmt: skip


def section_note(section: str) -> Message:
    """Return what the figures of a section can and cannot tell."""
    return _NOTES[section]


def rows() -> list[BenchmarkRow]:
    """Read the list."""
    text = (resources.files("dimts.evaluate") / "benchmark_data" / f"{NAME}.tsv").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [_row(cells) for cells in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]


def benchmark(sections: Sequence[str] = ()) -> SentenceList:
    """Return the benchmark, or some of its sections. ConfigError for an unknown section."""
    for section in sections:
        if section not in SECTIONS:
            raise ConfigError("evaluate.unknown_section", section=section, nearest=nearest(section, SECTIONS))
    chosen = [row.sentence() for row in rows() if not sections or row.section in sections]
    return SentenceList(NAME, VERSION, chosen)


def spread(lines: Sequence[EvaluationSentence], most: int) -> list[EvaluationSentence]:
    """Choose at most so many sentences, evenly over the list, so that every section keeps its share."""
    if len(lines) <= most:
        return list(lines)
    return [lines[number * len(lines) // most] for number in range(most)]


def _row(cells: dict[str, str]) -> BenchmarkRow:
    target, other = tuple(cells["target"].split()), tuple(cells["other"].split())
    return BenchmarkRow(
        cells["id"],
        cells["section"],
        cells["text"],
        cells["reading"] or cells["text"],
        tuple(tuple(word.split()) for word in cells["phones"].split(f" {WORD_MARK} ")),
        WordContrast(target, other) if target else None,
    )
