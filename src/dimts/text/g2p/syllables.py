"""Insert ɨ between consonants: find the legal syllables of least cost, with lengths known beforehand.

Amharic syllables are CV, CVC, and at the end of a word CVCC with falling sonority. The fidel's sixth
order is a bare consonant; ɨ is put in only where a syllable needs it, and a long consonant fills the
end of one syllable and the start of the next (Hailu & Hailemariam 2011; Anberbir, Gasser et al. 2011;
FSI Amharic Basic Course). A cluster is decided once and remembered, so running text costs a lookup.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from dimts.text.phones import LONG, ROUND, VOWELS

_CLASSES = ("tʼ kʼ tʃʼ pʼ t k p tʃ b d ɡ dʒ ʔ", "sʼ s ʃ f h", "z ʒ v", "m", "n ɲ", "l", "r", "w j")
"""From the least to the most sonorous."""
SONORITY = {phone: rank for rank, row in enumerate(_CLASSES) for phone in row.split()}
_OBSTRUENT, _NASAL, _GLIDE = SONORITY["s"], SONORITY["n"], SONORITY["w"]
_CORONAL = frozenset(["t", "d", "tʼ", "tʃ", "tʃʼ", "dʒ", "s", "ʃ", "sʼ", "z"])
"""May follow any obstruent at the end of a word: lɨbs, habt, kʼəbd, but mɨɡɨb."""
_INSERTED = 10.0
_ILLEGAL = 1000.0
_LONGEST_RUN = 6
"""Longest run of consonants that is tried; longer ones do not occur."""
_DIGITS = 6
_SOFT = 1.0
_AVOIDED = 12.0
"""Costs: one ɨ; a syllable Amharic does not have; a dispreferred one; ʔ at the end of a syllable (above an
ɨ)."""


@lru_cache(maxsize=1 << 16)
def slots(cluster: tuple[str, ...], after_vowel: bool, before_vowel: bool) -> tuple[bool, ...]:
    """Return for each consonant of `cluster` whether ɨ follows it.

    `after_vowel`/`before_vowel`: whether a full vowel is before/after the cluster; otherwise the word
    begins/ends there. A long consonant ends in ː. The last consonant before a vowel never gets an ɨ.
    """
    # best[i]: the cheapest way up to an ɨ after consonant i, as (cost, bits of the consonants that have one);
    # of equal costs the one with its ɨ further left is taken
    size = len(cluster)
    best: list[tuple[float, int]] = []
    free = size - before_vowel
    for at in range(free):
        ways = [(_margin(cluster[: at + 1], not after_vowel, final=False), 0)]
        ways += (
            (best[last][0] + _margin(cluster[last + 1 : at + 1], False, final=False), best[last][1])
            for last in range(max(0, at - _LONGEST_RUN), at)
        )
        cost, code = min((round(cost, _DIGITS), code) for cost, code in ways)
        best.append((cost + _INSERTED, code | 1 << at))
    final = not before_vowel
    ends = [(_margin(cluster, not after_vowel, final), 0)]
    ends += (
        (cost + (_margin(cluster[last + 1 :], False, final) if last + 1 < size or final else 0.0), code)
        for last, (cost, code) in enumerate(best)
    )
    _, code = min((round(cost, _DIGITS), code) for cost, code in ends)
    return tuple(bool(code >> place & 1) for place in range(size))


def _cost(cluster: Sequence[str], answer: Sequence[bool], after_vowel: bool, before_vowel: bool) -> float:
    cost = sum(answer) * _INSERTED
    run: list[str] = []  # consonants since the last vowel
    initial = not after_vowel
    for phone, vowel in zip(cluster, answer, strict=True):
        run.append(phone)
        if vowel:
            cost += _margin(run, initial, final=False)
            run, initial = [], False
    return cost + (_margin(run, initial, final=not before_vowel) if run or not before_vowel else 0.0)


def _margin(run: Sequence[str], initial: bool, final: bool) -> float:
    """Return the cost of the consonants between two vowels, or between a vowel and an edge of the word."""
    if initial and final:
        return _ILLEGAL * len(run)
    if final:
        return _end(run)
    size = len(run) + sum(phone.endswith(LONG) for phone in run)
    if initial:
        if len(run) == 2 == size and _rank(run[0]) <= _OBSTRUENT and run[1] in ("r", "l"):
            return _INSERTED + _SOFT  # krəmt for kɨrəmt is pronounced so by some; we keep the ɨ
        return _ILLEGAL * (size - 1) if len(run) > 1 else 0.0
    if size > 2:
        return _ILLEGAL * (size - 2)
    if size == 2 and len(run) == 2:
        if run[0] == run[1]:
            return _AVOIDED
        return _coda(run[0]) + _SOFT * (_rank(run[1]) - _rank(run[0])) / _GLIDE
    return 0.0


def _end(run: Sequence[str]) -> float:
    if not run:
        return _SOFT * 5  # a final ɨ
    if len(run) == 1:
        return _coda(run[0])
    if len(run) > 2 or any(phone.endswith(LONG) for phone in run):
        return _ILLEGAL
    first, second = map(_rank, run)
    if second > _OBSTRUENT and first <= second:
        return _AVOIDED
    if _coda(run[0]) or (run[0] in ("w", "n", "m") and _NASAL - 1 <= second <= _NASAL) or run[0] == run[1]:
        return _AVOIDED
    if first > second:
        return 0.0
    return _SOFT if run[1] in _CORONAL else _AVOIDED


def _coda(phone: str) -> float:
    return _AVOIDED if phone in ("ʔ", "h") else 0.0


def _rank(phone: str) -> int:
    return SONORITY[phone.removesuffix(LONG).removesuffix(ROUND)]


def excess(phones: Sequence[str]) -> float:
    """Return the cost of the placing of ɨ in `phones` above the best one for the same sounds; 0 for the best.

    About 10 for one ɨ too many, 12 and more for a syllable that Amharic avoids, 1000 for one it does not
    have.
    """
    total = 0.0
    cluster: list[str] = []
    answer: list[bool] = []
    after_vowel = False
    if phones and phones[0] in VOWELS:  # a word begins with ʔ, whether it is written or not
        phones = ("ʔ", *phones)
    for phone in [*phones, ""]:
        if phone == "ɨ" and cluster:
            answer[-1] = True
        elif phone and phone not in VOWELS:
            cluster.append(phone)
            answer.append(False)
        elif phone != "ɨ":
            if cluster:
                best = slots(tuple(cluster), after_vowel, bool(phone))
                total += _cost(cluster, answer, after_vowel, bool(phone))
                total -= _cost(cluster, best, after_vowel, bool(phone))
            cluster, answer, after_vowel = [], [], True
    return total
