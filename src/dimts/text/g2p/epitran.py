"""Pronounce words by Epitran (Mortensen et al. 2018), in three of its Amharic modes, without consonant
length.

Epitran's constructor reads panphon's feature table three times through pandas (5–7 s), and Amharic
needs none of it: what is asked for here is its map, its rules, and their order, which take 0.1 s.
Should a later release need more, its own constructor is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dimts.base.errors import TextError
from dimts.base.plugins import require
from dimts.text.ethiopic import bare
from dimts.text.phones import from_epitran


class Epitran:
    """Epitran's mode `amh-Ethi`. MissingExtra if the library is not installed."""

    name = "epitran"
    marks_length = False
    code = "amh-Ethi"

    def __init__(self) -> None:
        require("epitran", "g2p")
        self._mode = _mode(self.code)

    def phones(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        """Return its answers in our inventory; fidel and unknown notation are kept for the judge."""
        return [_parsed(self._mode.transliterate(bare(word))) for word in words]


class EpitranPP(Epitran):
    """Epitran's mode `amh-Ethi-pp`: with its rules for ɨ."""

    name = "epitran-pp"
    code = "amh-Ethi-pp"


class EpitranRed(Epitran):
    """Epitran's mode `amh-Ethi-red`: the reduced map."""

    name = "epitran-red"
    code = "amh-Ethi-red"


def _parsed(text: str) -> tuple[str, ...]:
    try:
        return from_epitran(text)
    except TextError:
        return tuple(text)


def _mode(code: str) -> Any:
    simple = require("epitran.simple", "g2p")

    class Lean(simple.SimpleEpitran):  # type: ignore[misc, name-defined]
        """SimpleEpitran without the feature table, which only its vectors need."""

        def __init__(self) -> None:
            self.rev, self.tones = False, False
            self.g2p = self._load_grapheme_to_phoneme_map(code, False)
            self.regexp = self._build_greedy_match_regex(self.g2p.keys())
            self.puncnorm = simple.PuncNorm()
            self.preprocessor = simple.PrePostProcessor(code, "pre", False)
            self.postprocessor = simple.PrePostProcessor(code, "post", False)
            self.strip_diacritics = simple.StripDiacritics(code)
            self.preproc = self.postproc = True
            self.ligatures = False
            self.nils: dict[str, int] = simple.defaultdict(int)

    try:
        lean = Lean()
        lean.transliterate("ሀ")
    except (AttributeError, TypeError):  # another release with a different structure
        return simple.SimpleEpitran(code)
    return lean
