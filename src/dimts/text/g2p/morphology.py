"""Analyse a word into prefixes, stem and suffixes, each with its consonant lengths.

A stem is a word of the tables, or a verb: its consonants are looked up as a root, its vowels as one of
the patterns of `tables/verbs/stems.tsv`. So inflected words inherit the length of what they are made
from, and verbs that no list holds follow their class. Of several analyses the most trusted one wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple

from dimts.text.g2p.affixes import CONSTRUCT, clitics, prefixes, suffixes, with_clitic
from dimts.text.g2p.letters import VOWELS_IN_CODE, encode, unmarked
from dimts.text.g2p.lexicon import built_in

_SOFTENED = ("imp", "jus", "ipv", "ger")
"""Slots where a following -i or -e makes the last radical palatal: sәbri, wɨsәdʒi, hedʒe."""
_AFTER_SOFT = ("E", "i", "al:ehu", "al:ex", "yal:ex", "iy")
SLOTS = ("perf", "imp", "jus", "ipv", "ger", "inf", "agt", "ins")
_VERB_SUFFIXES = {"perf": "perf", "imp": "imp", "jus": "jus", "ipv": "jus", "ger": "ger"}
"""Set of suffixes by slot; the other slots are nouns."""
_FINAL_A = ("2a", "2oa", "0a", "3aa", "3oaa", "3fa", "4a")
_PALATALS = {"c": "t", "j": "d", "x": "s", "Z": "z", "C": "T", "N": "n", "y": "l"}
_KNOWN_ROOT, _OPEN_TYPE = 0.96, 0.85
_LONGEST_PREFIX = 12
_SHORT, _BARE, _ONE_RADICAL, _CAUSATIVE = 0.12, 0.15, 0.3, 0.1
_SURE_AFFIXES = 3
"""Signs of affixes that make a verb of one or two radicals sure."""
_VOWEL_SIGNS = tuple(VOWELS_IN_CODE)
_BARE_SUBJECTS = ("y", "t", "'n:", "'", "ya", "ta", "yas", "tas", "yt:a", "tt:a")
_NOUN = 0.96
_RARE_VOICES = ("rt", "ft", "xt", "ra", "fa", "xa", "f", "ast2")
_T_VOICES, _A_VOICES = ("t", "rt", "ft", "xt"), ("a", "ra", "fa", "xa")
_DIGITS = str.maketrans(dict.fromkeys("hlmsrxbtcnN'kwzZydjgfpvqTCSP", "C"))


@dataclass(frozen=True, slots=True)
class Analysis:
    """One analysis of a word."""

    marked: str
    """The code of the whole word with length, and "." "-" for ɨ that is always or never there."""
    parts: str
    """The parts for display: prefix+stem+suffix."""
    trust: float
    """Probability that its lengths are right, as measured on the development lists."""


class Stem(NamedTuple):
    """One pattern of stems.tsv, prepared for matching."""

    types: str
    voice: str
    """Voice, as the prefixes name it, with "0" for roots that begin with a lost guttural."""
    slot: str
    ending: str
    """Set of suffixes that may follow."""
    lost_a: bool
    """Whether the stem's -a is replaced by -u."""
    lost_vowel: bool
    """Whether the stem's last vowel is lost before a suffix that begins with a vowel."""
    pattern: str
    cost: float
    """Cost against more probable stems."""


class Radicals(NamedTuple):
    """Positions of the radicals among the consonants of a stem."""

    places: tuple[int, ...]
    literals: tuple[tuple[int, str], ...]
    """Consonants that belong to the pattern."""
    same: tuple[tuple[int, int], ...]
    """Positions that hold the same radical."""
    palatal: bool
    doubled: bool
    plain: bool
    """Whether every consonant is a radical, in order."""

    def of(self, consonants: str) -> str | None:
        """Return the radicals, None if `consonants` do not fit."""
        if self.plain:
            return consonants
        for at, sign in self.literals:
            if consonants[at] != sign:
                return None
        for first, second in self.same:
            if consonants[first] != consonants[second]:
                return None
        found = "".join([consonants[at] for at in self.places])
        if self.palatal:
            plain = _PALATALS.get(found[-1])
            if plain is None:
                return None
            found = found[:-1] + plain
        return found + found[-1] if self.doubled else found


Shape = list[tuple[Radicals, dict[str, list[Stem]]]]
"""The stems of one shape by family, with the positions of the radicals."""


@cache
def _patterns() -> dict[str, Shape]:
    """Group the stems by shape, with C for every consonant."""
    found: dict[str, dict[Radicals, dict[str, list[Stem]]]] = {}
    text = resources.files("dimts.text").joinpath("tables/verbs/stems.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        family, types, voice, *cells = line.split("\t")
        for slot, cell in zip(SLOTS, cells, strict=True):
            cases = cell.split("|")
            for pattern in cases:
                if pattern != "-":
                    lost = pattern + "a" in cases or pattern + "e" in cases
                    _put(found, family, _stem(types, family, voice, slot, pattern, lost))
                    if slot in _SOFTENED and pattern[-1].isdigit():
                        _put(found, family, _stem(types, family, voice, slot, pattern + "~", lost))
                    if family == "4":
                        rounded = pattern.replace("1e", "1o").replace("1:e", "1:o")
                        _put(found, "4o", _stem(types, "4o", voice, slot, rounded, lost))
    return {shape: list(groups.items()) for shape, groups in found.items()}


def _stem(types: str, family: str, voice: str, slot: str, pattern: str, lost_vowel: bool) -> Stem:
    cost = 0.03 if voice != "-" else 0.0
    cost += 0.012 if voice in _RARE_VOICES else 0.0
    voice = "t" if voice in _T_VOICES else "a" if voice in _A_VOICES else voice
    if family.startswith("0"):
        voice = "0" + voice
    elif voice == "f":
        voice = "-"
    ending = _VERB_SUFFIXES.get(slot, "noun")
    final_a = pattern.endswith(("a", "e")) and ending != "noun"
    if final_a:
        ending = "perfa" if slot == "perf" else "impa"
    lost_a = slot == "perf" and family in _FINAL_A and not final_a
    return Stem(types, voice, slot, ending, lost_a, lost_vowel, pattern, cost)


def _put(found: dict[str, dict[Radicals, dict[str, list[Stem]]]], family: str, stem: Stem) -> None:
    shape = "".join(sign if sign in VOWELS_IN_CODE else "C" for sign in stem.pattern if sign not in ":.~=")
    found.setdefault(shape, {}).setdefault(_radicals(stem.pattern), {}).setdefault(family, []).append(stem)


def _radicals(pattern: str) -> Radicals:
    first: dict[str, int] = {}
    literals: list[tuple[int, str]] = []
    same: list[tuple[int, int]] = []
    at = 0
    for sign in pattern:
        if sign.isdigit():
            if sign in first:
                same.append((first[sign], at))
            else:
                first[sign] = at
            at += 1
        elif sign not in VOWELS_IN_CODE and sign not in ":.~=":
            literals.append((at, sign))
            at += 1
    places = tuple(first[digit] for digit in sorted(first))
    palatal, doubled = "~" in pattern, "=" in pattern
    plain = places == tuple(range(at)) and not (palatal or doubled)
    return Radicals(places, tuple(literals), tuple(same), palatal, doubled, plain)


_FAMILIES = {
    "CeCeCe": "3", "CoCeCe": "3o", "CaCeCe": "3a", "CeCa": "2a", "CoCa": "2oa", "CeCe": "2e", "CoCe": "ho",
    "CaCe": "ha", "CECe": "hE", "CeCeCeCe": "4", "CeCCeCe": "4c", "CoCeCeCe": "4o", "CaCa": "2a",
    "CeCaCe": "3e",
    "CeCaCa": "3aa", "CoCaCa": "3oaa", "CaCECe": "caE", "CeCoCe": "3u", "CACe": "hA", "CeCeCa": "3fa",
    "CoCaCe": "3oe",
}  # fmt: skip
"""Family of the root by citation form."""


def family_of(citation: str, kind: str) -> tuple[str, str] | None:
    """Return family and radicals of a citation form in code, e.g. "felege" → ("3", "flg"); None if it fits
    none."""
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
    if kind == "W":
        family = {"ho": "2oe", "3": "3fe", "3o": "3ofe"}.get(family, family)
    return family, _consonants(citation)


def _consonants(code: str) -> str:
    return "".join(sign for sign in code if sign not in VOWELS_IN_CODE)


@cache
def _roots() -> dict[str, dict[str, str]]:
    """Map radicals to family and types, most usual first; "?" for a root of unknown type."""
    found: dict[str, dict[str, str]] = {}
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
                family, radicals = root
                found.setdefault(radicals, {}).setdefault(family, kind)
    return found


@cache
def _words() -> dict[str, tuple[str, float]]:
    """Return the marked code and trust of every word of the tables, by code."""
    found = {
        code: (marked, _NOUN - 0.08)
        for code, marked in built_in("geezorg/lexicon.tsv").lengths.items()
        if len(code) > 2
    }
    found |= {
        code: (marked, _NOUN) for code, marked in built_in("lexicon.tsv").lengths.items() if len(code) > 1
    }
    return found


Heads = Mapping[tuple[str, str], str]
Tails = Mapping[str, str]


class Morphology:
    """Morphological analyser: affixes, the nouns of the tables, the verbs."""

    def __init__(self, *, nouns: bool = True) -> None:
        """`nouns` False: verbs only, as if the tables held no words."""
        self._nouns = nouns

    def analyse(self, code: str) -> Analysis | None:
        """Return the most trusted analysis of `code`, None if there is none."""
        best: tuple[float, Analysis] | None = None
        for found in self.analyses(code):
            if best is None or found[0] > best[0]:
                best = found
        return best[1] if best else None

    def analyses(self, code: str) -> Iterator[tuple[float, Analysis]]:
        """Yield every analysis, with its weight."""
        starts, ends = prefixes(), suffixes()
        size = len(code)
        tails = list(_tails(code, ends))
        shapes, words = _patterns(), _words() if self._nouns else {}
        shape = code.translate(_DIGITS)
        for cut in range(min(size, _LONGEST_PREFIX)):
            heads = starts.get(code[:cut])
            if words and cut > 1 and code[cut - 1] == "a":
                yield from _fused_nouns(code, cut, starts, words, tails)
            if heads is None:
                continue
            noun = heads.get(("noun", ""))
            elides = cut and code[cut - 1] == "e" and code[cut] not in VOWELS_IN_CODE
            for end, found in tails:
                if end <= cut:
                    continue
                patterns = shapes.get(shape[cut:end])
                if patterns:
                    yield from _verbs(code[cut:end], patterns, heads, found)
                if noun is None or "noun" not in found:
                    continue
                stem = code[cut:end]
                if stem in words:
                    yield from _noun(stem, words[stem], noun, found["noun"])
                if found["noun"].startswith("oc:") and stem + "a" in words:  # gʷadːəɲːa + otʃː = gʷadːəɲːotʃː
                    marked, trust = words[stem + "a"]
                    yield from _noun(
                        stem,
                        (marked.removesuffix("a:") + ":" if marked.endswith(":") else marked[:-1], trust),
                        noun,
                        found["noun"],
                    )
                if (
                    elides and "'" + stem in words
                ):  # ye + 'na:nte = yena:nte: the prefix elides the እ of its stem
                    marked, trust = words["'" + stem]
                    yield from _noun(stem, (marked[1:], trust - 0.02), noun, found["noun"], elided=True)


def _fused_nouns(
    code: str,
    cut: int,
    starts: Mapping[str, Heads],
    words: Mapping[str, tuple[str, float]],
    tails: list[tuple[int, Tails]],
) -> Iterator[tuple[float, Analysis]]:
    """Yield nouns in አ- whose prefix has taken its vowel: ባገር is በአገር, ላንተ is ለአንተ."""
    heads = starts.get(code[: cut - 1] + "e")
    head = heads.get(("noun", "")) if heads else None
    if head is None:
        return
    for end, found in tails:
        if end > cut and "noun" in found and (stem := "'a" + code[cut:end]) in words:
            marked, trust = words[stem]
            for weight, analysis in _noun(stem, (marked, trust - 0.02), "", found["noun"]):
                joined = head.removesuffix("e") + analysis.marked[1:]
                parts = f"{head}+{stem}+{found['noun']}"
                yield weight - 0.03, Analysis(joined, parts, analysis.trust)


def _tails(code: str, ends: Mapping[str, Mapping[str, str]]) -> Iterator[tuple[int, Tails]]:
    """Yield every place where a suffix of `code` may begin, and the candidates."""
    size = len(code)
    stops = [(size, "")]
    stops += ((size - len(bare), clitic) for bare, clitic in clitics() if code.endswith(bare))
    for cut in range(1, size + 1):
        whole: Tails | None = None
        for stop, clitic in stops:
            if cut > stop or not (found := ends.get(code[cut:stop])):
                continue
            tails = {slot: with_clitic(form, clitic) for slot, form in found.items()} if clitic else found
            whole = {**tails, **whole} if whole else tails
        if whole:
            yield cut, whole


def _verbs(stem: str, patterns: Shape, heads: Heads, tails: Tails) -> Iterator[tuple[float, Analysis]]:
    consonants = _consonants(stem)
    for extractor, families in patterns:
        radicals = extractor.of(consonants)
        known = _roots().get(radicals) if radicals else None
        if not known:
            continue
        for family, kind in known.items():
            for types, voice, slot, ending, lost_a, lost_vowel, pattern, cost in families.get(family, ()):
                head = heads.get((slot, voice))
                if head is None:
                    continue
                tail = tails.get(ending)
                if tail is None or (lost_a and tail[:1] not in ("u", "A")):
                    continue
                if lost_vowel and tail[:1] not in _VOWEL_SIGNS:
                    continue
                if pattern[-1] == "~" and slot in _SOFTENED and not tail.startswith(_AFTER_SOFT):
                    continue
                trust = _KNOWN_ROOT
                if types != "*" and types not in kind:
                    if kind != "?":
                        continue
                    trust = _OPEN_TYPE if types == "A" else _OPEN_TYPE - 0.05
                elif types not in ("*", kind[0]):
                    trust -= 0.05
                weight = trust + 0.01 * len(consonants) - 0.002 * len(tail) - _rare(tail)
                weight -= cost
                weight -= _doubt(slot, len(consonants), head, tail)
                marked = _joined(head, _fill(pattern, consonants), tail)
                yield weight, Analysis(marked, f"{head}+{stem}({slot}{voice})+{tail}", min(trust, weight))


def _doubt(slot: str, radicals: int, head: str, tail: str) -> float:
    """Return how much less a verb is trusted whose affixes or radicals are those of many other words."""
    doubt = 0.0
    spoken = len(unmarked(tail.removesuffix("n:a").removesuffix("m")))
    if radicals == 1 and slot != "perf" and len(unmarked(head)) + spoken < _SURE_AFFIXES:
        doubt += _ONE_RADICAL  # nearly any short word would be such a verb
    light = not head or head in ("kem:", "lem:", "bem:") or (head in ("'a", "'as") and slot != "perf")
    if light and radicals < 3 and spoken < _SURE_AFFIXES:
        doubt += _SHORT  # two consonants and an ending: most words look like a verb then
    if slot in ("ipv", "agt") and not tail and not head:
        doubt += _BARE
    if slot == "imp" and not tail and head in ("'a", "'an", "'al", "'", "'as"):
        doubt += _BARE
    if slot == "imp" and tail and "al" not in tail and head == "'":
        doubt += _BARE  # "I" without a conjunction and without an auxiliary
    if slot == "imp" and "al" not in tail and head in _BARE_SUBJECTS:
        doubt += 0.025  # a bare yɨ- form is a jussive unless something governs it
    if slot in ("jus", "ipv"):
        if head == "'":
            doubt += 0.05
        elif not tail and head in ("'a", "'as"):
            doubt += _CAUSATIVE  # a bare imperative of a causative looks like a noun in a-
    if slot in ("perf", "ger") and tail.endswith("m") and not head:
        doubt += _CAUSATIVE  # "also" seldom follows a finite verb that is not negated
    return doubt


def _noun(
    stem: str, word: tuple[str, float], head: str, tail: str, *, elided: bool = False
) -> Iterator[tuple[float, Analysis]]:
    if tail.startswith("wo") and not tail.startswith("woc") and stem[-1] not in VOWELS_IN_CODE:
        tail = "." + tail  # sɨm-ɨwo
    if _fits(stem, tail):
        marked, trust = word
        weight = trust + 0.012 * len(stem) - 0.03 * bool(head) - 0.01 * bool(tail) - _rare(tail)
        closed = len(stem) > 1 and stem[0] not in VOWELS_IN_CODE and stem[1] not in VOWELS_IN_CODE
        if head and closed and not elided:
            # the ɨ of a stem's first syllable stays behind a prefix: yə-lɨdʒotʃː, but yə-rsu from ɨrsu
            marked = f"{marked[0]}.{marked[1:]}"
        yield weight, Analysis(_joined(head, marked, tail), f"{head}+{stem}+{tail}", min(trust, weight))


def _joined(head: str, stem: str, tail: str) -> str:
    """Join the marked word; a suffix of one consonant keeps its ɨ behind a consonant (sɨm-ɨh, səlam-ɨnːa)."""
    if stem and tail and tail[0] in "hxnmskNl" and stem[-1] not in VOWELS_IN_CODE and _stands_alone(tail):
        return f"{head}{stem}.{tail}"
    return head + stem + tail


def _stands_alone(tail: str) -> bool:
    """Whether a suffix begins with a consonant that no vowel follows."""
    return len(tail) == 1 or tail[1] not in VOWELS_IN_CODE


def _rare(tail: str) -> float:
    """Return the cost of rare endings: -ስ, -ኮ, -ማ, -ሳ, plurals in -at, -an, the construct state."""
    if tail.endswith(("s:", "k:o", "m:a", "s:a")):
        return 0.2
    if tail == CONSTRUCT:
        return 0.1
    return 0.06 if tail in ("at", "an", "am", "aw") else 0.0


def _fits(stem: str, tail: str) -> bool:
    """Whether a noun suffix may follow: a vowel only a consonant, a glide only a vowel."""
    if not tail:
        return True
    after_vowel = stem[-1] in VOWELS_IN_CODE
    if tail[0] in VOWELS_IN_CODE:
        return not after_vowel or tail[0] == "a"
    return after_vowel or tail[0] not in "wy"


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
