"""Estimate the probability that each consonant of a word is long, by a small log-linear model.

For words that no table and no analysis knows. Each consonant is judged by what is around it: its
vowels and those of its neighbours (Amharic tells word classes by vowel patterns), the letters next to
it, the edges of the word. Weights are whole hundredths in `tables/geezorg/length.tsv`, trained by
tools/train_length_model.py; inference is a sum of table look-ups.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from importlib import resources

from dimts.text.g2p.letters import VOWELS_IN_CODE

_SCALE = 100.0
_EDGE = "#"


def letters_of(code: str) -> list[tuple[str, str]]:
    """Split a code into letters: [("f", "e"), ("l", "e"), ("g", "e")]; "" is the sixth order."""
    out: list[tuple[str, str]] = []
    for sign in code:
        if sign in VOWELS_IN_CODE and out and not out[-1][1]:
            out[-1] = (out[-1][0], sign)
        else:
            out.append((sign, ""))
    return out


def features(code: str) -> Iterator[list[str]]:
    """Yield for each consonant of `code` the names of its features."""
    letters = letters_of(code)
    size = len(letters)
    vowels = "".join(vowel or "_" for _, vowel in letters)
    padded = f"##{vowels}##"
    signs = [(_EDGE, ""), (_EDGE, ""), *letters, (_EDGE, ""), (_EDGE, "")]
    head, tail = code[:2], code[-3:]
    for at in range(size):
        (before2, _), (before, vowel_before), (here, vowel), (after, vowel_after), (after2, _) = signs[
            at : at + 5
        ]
        left, right = min(at, 4), min(size - 1 - at, 5)
        near = padded[at + 1 : at + 4]
        wide = padded[at : at + 5]
        place = f"{left}{right}"
        yield [
            "p" + place,
            f"w{vowels}{at}",
            f"v{near}{place}",
            "W" + wide,
            f"V{wide}{right}",
            f"c{here}{near}",
            f"C{here}{right}",
            f"b{before}{vowel_before}{here}{vowel}",
            f"a{here}{vowel}{after}{vowel_after}",
            f"r{before}{here}{after}",
            f"R{before}{vowel_before}{here}{vowel}{after}{vowel_after}",
            f"t{tail}{right}",
            f"T{code[-2:]}{right}{near}",
            f"h{head}{left}",
            f"H{head}{left}{near}",
            f"d{here == after}{here == before}{near}",
            f"D{before == after}{here == after2}{before2 == here}{near}{right}",
            f"l{left}{near}{after == _EDGE}",
        ]


class GeminationModel:
    """The trained model; its table is read at the first word."""

    def chances(self, code: str) -> tuple[float, ...]:
        """Return for each consonant of `code` the probability that it is long; never the first letter."""
        weights, bias = _weights()
        get = weights.get
        out = []
        for at, names in enumerate(features(code)):
            if at == 0:
                out.append(0.0)
                continue
            total = bias
            for name in names:
                total += get(name, 0)
            out.append(1.0 / (1.0 + math.exp(-total / _SCALE)))
        return tuple(out)


@cache
def _weights() -> tuple[dict[str, int], int]:
    file = resources.files("dimts.text").joinpath("tables/geezorg/length.tsv")
    weights: dict[str, int] = {}
    for line in file.read_text(encoding="utf-8").split("\n"):
        if line and line[0] != "#":  # each line: a weight, then every feature that has it
            weight, _, names = line.partition("\t")
            weights |= dict.fromkeys(names.split("\t"), int(weight))
    return weights, weights.pop("bias", 0)
