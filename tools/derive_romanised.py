"""Derive tables/romanised.tsv: how much likelier runs of three letters are in romanised Amharic than in
English.

    python tools/derive_romanised.py ENGLISH.txt

ENGLISH.txt holds English words, one a line (what follows a blank is ignored, so CMUdict fits). The Amharic
words are those of the tables, romanised as people do: ejectives like plain consonants, ɨ as i, e or not at
all.
"""

from __future__ import annotations

import math
import random
import sys
from collections import Counter
from pathlib import Path

from dimts.text.g2p.rules import Rules
from dimts.text.phones import LONG, ROUND
from dimts.text.reading import table

TABLE = Path(__file__).parent.parent / "src/dimts/text/tables/romanised.tsv"
LETTERS = {
    "ʃ": "sh", "tʃ": "ch", "ɲ": "gn ny", "ʔ": "", "ʒ": "zh", "j": "y", "dʒ": "j", "ɡ": "g", "kʼ": "k q",
    "tʼ": "t", "tʃʼ": "ch", "sʼ": "ts s", "pʼ": "p", "ə": "e", "i": "i", "e": "e ie", "ɨ": "i e -",
}  # fmt: skip
KEPT = 30
"""Trigrams with fewer occurrences in both languages together are left out."""
SCALE = 10


def romanised(phones: tuple[str, ...], chance: random.Random) -> str:
    out = []
    for phone in phones:
        long = phone.endswith(LONG)
        plain = phone.removesuffix(LONG)
        rounded = plain.endswith(ROUND)
        written = chance.choice(
            LETTERS.get(plain.removesuffix(ROUND), plain.removesuffix(ROUND)).split(" ")
        ).strip("-")
        out.append(
            written + "w" * rounded if not long or len(written) != 1 or chance.random() < 0.7 else written * 2
        )
    return "".join(out)


def trigrams(word: str) -> list[str]:
    padded = f"^{word}$"
    return [padded[at : at + 3] for at in range(len(padded) - 2)]


def main() -> None:
    chance = random.Random(1)
    english = {
        line.split()[0].lower() for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines() if line
    }
    english = {word for word in english if word.isascii() and word.isalpha() and len(word) > 2}
    rules = Rules()
    fidel = {
        row[0] for name in ("lexicon.tsv", "geezorg/lexicon.tsv") for row in table(name.removesuffix(".tsv"))
    }
    amharic = [romanised(rules.explain(word).phones, chance) for word in sorted(fidel) for _ in range(4)]
    amharic += [row[0].lower() for row in table("ethiopian_names")] * 6
    counts = [
        Counter(gram for word in words for gram in trigrams(word)) for words in (amharic, sorted(english))
    ]
    totals = [sum(one.values()) for one in counts]
    rows = []
    for gram in sorted(set(counts[0]) | set(counts[1])):
        ours, theirs = (counts[side][gram] * totals[1] / totals[side] for side in (0, 1))
        if ours + theirs >= KEPT:
            rows.append((gram, round(SCALE * math.log((ours + 5) / (theirs + 5)))))
    by_weight: dict[int, list[str]] = {}
    for gram, weight in rows:
        if weight:
            by_weight.setdefault(weight, []).append(gram)
    lines = [f"{weight}\t{' '.join(by_weight[weight])}" for weight in sorted(by_weight)]
    header = (
        "# tools/derive_romanised.py: tenths of log odds, romanised "
        "Amharic over English, and runs of letters\n"
    )
    TABLE.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")
    print(len(rows), "runs,", TABLE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
