"""Code of a word → its parts, each with its length: prefixes + stem + suffixes.

A stem is a word of the tables, or a verb: its consonants are looked up as a root, its vowels as one of
the patterns of `tables/verbs/stems.tsv`. So inflected words inherit the length of what they are made
from, and verbs that no list holds follow their class. Of several analyses the most trusted one wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple

from dimts.text.g2p.affixes import prefixes, suffixes
from dimts.text.g2p.letters import VOWELS_IN_CODE, encode
from dimts.text.g2p.lexicon import built_in

SLOTS = ("perf", "imp", "jus", "ipv", "ger", "inf", "agt", "ins")
_VERB_SUFFIXES = {"perf": "perf", "imp": "imp", "jus": "jus", "ipv": "jus", "ger": "ger"}
"""Which set of suffixes a slot takes; the others are nouns."""
_FINAL_A = ("2a", "2oa", "0a", "3aa", "3oaa", "4a")
_PALATALS = {"c": "t", "j": "d", "x": "s", "Z": "z", "C": "T", "N": "n", "y": "l"}
_KNOWN_ROOT, _OPEN_TYPE, _NEW_ROOT = 0.96, 0.85, 0.75
_NOUN = 0.95
_T_VOICES, _A_VOICES = ("t", "rt", "ft", "xt"), ("a", "ra", "fa", "xa")
_DIGITS = str.maketrans(dict.fromkeys("hlmsrxbtcnN'kwzZydjgfpvqTCSP", "C"))


@dataclass(frozen=True, slots=True)
class Analysis:
    """One way to take a word apart."""

    marked: str
    """The code of the whole word with length, and "." "-" for ɨ that is always or never there."""
    parts: str
    """For a person: prefix+stem+suffix."""
    trust: float
    """The chance that its lengths are right, as measured on the development lists."""


class Stem(NamedTuple):
    """One pattern of stems.tsv."""

    family: str
    types: str
    voice: str
    slot: str
    pattern: str


@cache
def _patterns() -> dict[str, tuple[Stem, ...]]:
    """Shape with C for every consonant → the stems of that shape."""
    found: dict[str, list[Stem]] = {}
    text = resources.files("dimts.text").joinpath("tables/verbs/stems.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        family, types, voice, *cells = line.split("\t")
        for slot, cell in zip(SLOTS, cells, strict=True):
            for pattern in cell.split("|"):
                if pattern != "-":
                    _put(found, Stem(family, types, voice, slot, pattern))
                    if family == "4":
                        _put(found, Stem("4o", types, voice, slot, pattern.replace("1e", "1o").replace("1:e", "1:o")))
    return {shape: tuple(stems) for shape, stems in found.items()}


def _put(found: dict[str, list[Stem]], stem: Stem) -> None:
    shape = "".join(sign if sign in VOWELS_IN_CODE else "C" for sign in stem.pattern if sign not in ":.~=")
    found.setdefault(shape, []).append(stem)


_FAMILIES = {
    "CeCeCe": "3", "CoCeCe": "3o", "CaCeCe": "3a", "CeCa": "2a", "CoCa": "2oa", "CeCe": "2e", "CoCe": "ho",
    "CaCe": "ha", "CECe": "hE", "CeCeCeCe": "4", "CeCCeCe": "4c", "CoCeCeCe": "4o", "CaCa": "2a",
    "CeCaCe": "3e", "CeCaCa": "3aa", "CoCaCa": "3oaa", "CaCECe": "caE", "CeCoCe": "3u", "CACe": "hA",
}  # fmt: skip
"""Citation form → family of the root."""


def family_of(citation: str, kind: str) -> tuple[str, str] | None:
    """The family and the radicals of a citation form in code, e.g. "felege" → ("3", "flg"); None if it fits none."""
    if citation.startswith("'a") and len(citation) > 4:
        rest = citation[2:]
        shape = rest.translate(_DIGITS)
        if shape in ("CeCe", "CCeCe"):
            return "0", _consonants(rest)
        if shape in ("Ca", "Ce"):
            return "0" + shape[1], _consonants(rest)
        if shape in _FAMILIES:
            return _FAMILIES[shape], _consonants(rest)
        return None
    if citation.startswith("'a"):
        return "0" + citation[-1], _consonants(citation[2:])
    family = _FAMILIES.get(citation.translate(_DIGITS))
    if family is None:
        return None
    if family == "2e" and kind == "H":
        family = "he"
    if family == "ho" and kind == "W":
        family = "2oe"
    return family, _consonants(citation)


def _consonants(code: str) -> str:
    return "".join(sign for sign in code if sign not in VOWELS_IN_CODE)


@cache
def _roots() -> dict[tuple[str, str], str]:
    """(family, radicals) → its types, most usual first; "?" for a root whose type nobody has noted."""
    found: dict[tuple[str, str], str] = {}
    for name in ("verbs/roots.tsv", "geezorg/roots.tsv"):
        file = resources.files("dimts.text").joinpath(f"tables/{name}")
        if not file.is_file():
            continue
        for line in encode(file.read_text(encoding="utf-8")).splitlines():
            if line.startswith("#") or "\t" not in line:
                continue
            citation, kind = line.split("\t")[:2]
            root = family_of(citation, kind)
            if root is not None:
                found.setdefault(root, kind)
    return found


class Morphology:
    """Affixes, the nouns of the tables, the verbs."""

    def analyse(self, code: str) -> Analysis | None:
        """The most trusted analysis of `code`, None if there is none."""
        best: Analysis | None = None
        weight = 0.0
        for score, analysis in self.analyses(code):
            if score > weight:
                best, weight = analysis, score
        return best

    def analyses(self, code: str) -> Iterator[tuple[float, Analysis]]:
        """Every analysis, with its weight."""
        ends = _ends(code)
        for cut, heads in _starts(code):
            for end, tails in ends:
                if end > cut and (stem := code[cut:end]):
                    yield from self._with_stem(stem, heads, tails)
                    if end - cut >= 2 and cut and stem[0] not in VOWELS_IN_CODE and code[cut - 1] == "e":
                        # a prefix in -e swallows the እ of its stem: ye + 'na:nte = yenante
                        yield from self._nouns("'" + stem, heads, tails, swallowed=1)

    def _with_stem(
        self, stem: str, heads: Iterable[tuple[str, str, str]], tails: Iterable[tuple[str, str]]
    ) -> Iterator[tuple[float, Analysis]]:
        shape = stem.translate(_DIGITS)
        patterns = _patterns().get(shape)
        if patterns:
            yield from self._verbs(stem, patterns, heads, tails)
        yield from self._nouns(stem, heads, tails)

    def _verbs(
        self,
        stem: str,
        patterns: Iterable[Stem],
        heads: Iterable[tuple[str, str, str]],
        tails: Iterable[tuple[str, str]],
    ) -> Iterator[tuple[float, Analysis]]:
        consonants = _consonants(stem)
        for pattern in patterns:
            radicals = _radicals(pattern.pattern, consonants)
            if radicals is None:
                continue
            kind = _roots().get((pattern.family, radicals))
            if kind is None:
                continue
            trust = _KNOWN_ROOT
            if pattern.types != "*" and pattern.types not in kind:
                if kind != "?":
                    continue
                trust = _OPEN_TYPE if pattern.types == "A" else _OPEN_TYPE - 0.05
            elif kind == "AB" and pattern.types == "B":
                trust -= 0.05
            voice = "t" if pattern.voice in _T_VOICES else "a" if pattern.voice in _A_VOICES else pattern.voice
            voice = {"f": "-"}.get(voice, voice)
            if pattern.family.startswith("0"):
                voice = "0" + voice
            wanted = _VERB_SUFFIXES.get(pattern.slot, "noun")
            if pattern.pattern.endswith("a") and wanted != "noun":
                wanted = "perfa" if wanted == "perf" else "impa"
            lost_a = pattern.slot == "perf" and pattern.family in _FINAL_A and wanted == "perf"
            for slot, head_voice, head in heads:
                if slot != pattern.slot or head_voice != voice:
                    continue
                for kind_of_tail, tail in tails:
                    if kind_of_tail == wanted and not (lost_a and tail[:1] not in ("u", "A")):
                        marked = head + _fill(pattern.pattern, consonants) + tail
                        weight = trust + 0.01 * len(radicals) - 0.002 * len(tail) - _rare(tail)
                        weight -= 0.03 if voice != "-" else 0.0
                        yield weight, Analysis(marked, f"{head}+{stem}({pattern.slot}{voice})+{tail}", trust)

    def _nouns(
        self,
        stem: str,
        heads: Iterable[tuple[str, str, str]],
        tails: Iterable[tuple[str, str]],
        swallowed: int = 0,
    ) -> Iterator[tuple[float, Analysis]]:
        if len(stem) < 2:
            return
        for name, trust in (("lexicon.tsv", _NOUN), ("geezorg/lexicon.tsv", _NOUN - 0.08)):
            marked_stem = built_in(name).lengths.get(stem)
            if marked_stem is None or (len(stem) < 3 and name != "lexicon.tsv"):
                continue
            for slot, _, head in heads:
                if slot != "noun":
                    continue
                for kind_of_tail, tail in tails:
                    if kind_of_tail == "noun" and _fits(stem, tail):
                        marked = head + marked_stem[swallowed:] + tail
                        weight = trust + 0.012 * len(stem) - 0.03 * bool(head) - 0.01 * bool(tail) - _rare(tail)
                        yield weight, Analysis(marked, f"{head}+{stem}+{tail}", trust)
            return


def _rare(tail: str) -> float:
    """What an ending costs that is seldom meant: -ስ, -ኮ, -ማ, -ሳ, and the -ə of a construct (ቤተ)."""
    return 0.05 if tail.endswith(("s", "ko", "ma", "sa")) or tail == "e" else 0.0


def _fits(stem: str, tail: str) -> bool:
    """Whether a noun suffix may follow: a vowel only a consonant, a glide only a vowel."""
    if not tail:
        return True
    after_vowel = stem[-1] in VOWELS_IN_CODE
    if tail[0] in VOWELS_IN_CODE:
        return not after_vowel or tail[0] == "a"
    return after_vowel or tail[0] not in "wy"


def _radicals(pattern: str, consonants: str) -> str | None:
    """The radicals that `consonants` are in `pattern`; None where one radical would be two consonants."""
    found: dict[str, str] = {}
    at = 0
    for sign in pattern:
        if sign.isdigit():
            if found.setdefault(sign, consonants[at]) != consonants[at]:
                return None
            at += 1
        elif sign == "~":
            plain = _PALATALS.get(consonants[at - 1])
            if plain is None:
                return None
            found[pattern[pattern.index("~") - 1]] = plain
        elif sign == "=":
            found["="] = consonants[at - 1]
        elif sign not in VOWELS_IN_CODE and sign not in ":.":
            if sign != consonants[at]:
                return None
            at += 1
    return "".join(found[digit] for digit in sorted(found))


def _fill(pattern: str, consonants: str) -> str:
    out: list[str] = []
    at = 0
    for sign in pattern:
        if sign in VOWELS_IN_CODE or sign in ":.":
            out.append(sign)
        elif sign not in "~=":
            out.append(consonants[at])
            at += 1
    return "".join(out)


def _starts(code: str) -> Iterator[tuple[int, list[tuple[str, str, str]]]]:
    table = prefixes()
    for cut in range(min(len(code), 12)):
        found = table.get(code[:cut])
        if found:
            yield cut, found


def _ends(code: str) -> list[tuple[int, list[tuple[str, str]]]]:
    table = suffixes()
    return [(cut, found) for cut in range(1, len(code) + 1) if (found := table.get(code[cut:]))]
