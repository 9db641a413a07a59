"""The Ge'ez Frontier lists → tables/geezorg/lexicon.tsv: one spelling, doubtful rows and marks left out.

    python tools/derive_lexicon.py gemination_ipa.tsv gemination_marks.tsv

The first list gives phones (more reliable, so its rows come first), the second words with ፟. Left out are
rows that mark the first letter, rows whose only mark is on the last one (mostly over-marked, unless it is
-ኛ, -ች or a -ና after a consonant), and the mark on a final -ኝ.
"""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path

from dimts.base.errors import TextError
from dimts.text.ethiopic import GEMINATION_MARK, is_ethiopic_letter
from dimts.text.g2p.letters import VOWELS_IN_CODE, encode, lengths_of, read, unmarked
from dimts.text.phones import LONG, ROUND, VOWELS, from_ipa, short

HEAD = """\
# Words with ፟ (U+135F) over every long letter; ɨ follows by rule. Adapted from the gemination lists of
# the Ge'ez Frontier Foundation (github.com/geezorg/data, AmharicGemination), CC BY-SA 4.0, see LICENCE beside
# this file.
# Left out: rows whose only mark stands on the last letter (mostly over-marked).
# Do not edit by hand: rows of ../lexicon.tsv come first, so mend a word there.
"""


def marked_by(word: str, spoken: str) -> str | None:
    """`word` with ፟ where `spoken` has a long consonant; None if the two do not line up."""
    try:
        phones = [phone for phone in from_ipa(spoken) if phone != "ɨ"]
    except TextError:
        return None
    reading = read(word)
    out, at = [], 0
    for place, (consonant, vowel) in enumerate(zip(reading.consonants, reading.vowels, strict=True)):
        long = False
        phone = short(phones[at]) if at < len(phones) else ""
        if phone == consonant:
            long = phones[at].endswith(LONG)
            at += 1
        elif (
            consonant.endswith(ROUND)
            and phone == consonant.removesuffix(ROUND)
            and short(phones[at + 1]) == "w"
        ):
            long = LONG in phones[at] + phones[at + 1]
            at += 2
        elif not (consonant == "ʔ" and place == 0):
            return None
        if vowel and vowel != "ɨ":
            if at >= len(phones) or phones[at] != vowel or vowel not in VOWELS:
                return None
            at += 1
        out.append(word[place] + GEMINATION_MARK * long)
    return "".join(out) if at == len(phones) and len(reading) == len(word) else None


def kept(marked: str) -> str | None:
    """The row as it goes into the table, None if it is left out."""
    if marked[0] == GEMINATION_MARK or not all(
        is_ethiopic_letter(sign) or sign == GEMINATION_MARK for sign in marked
    ):
        return None
    lengths, code = lengths_of(encode(marked)), unmarked(encode(marked))
    if len(lengths) > 1 and lengths[0]:
        return None
    only_last = lengths[-1] and sum(lengths) == 1
    noun_ending = code.endswith("na") and len(code) > 2 and code[-3] not in VOWELS_IN_CODE
    if only_last and not (code.endswith(("Na", "oc")) or noun_ending):
        return None
    marked = marked.removesuffix(GEMINATION_MARK) if marked.endswith("ኝ" + GEMINATION_MARK) else marked
    return marked if GEMINATION_MARK in marked else None


def main() -> None:
    phones, marks = map(Path, sys.argv[1:3])
    words: dict[str, list[str]] = {}
    for path in (phones, marks):
        for line in path.read_text(encoding="utf-8").splitlines():
            word, other = line.split("\t")[:2]
            doubled = GEMINATION_MARK * 2
            marked = marked_by(word, other) if path == phones else other.replace(doubled, GEMINATION_MARK)
            if marked and marked not in words.setdefault(word, []):
                words[word].append(marked)
    rows = dict.fromkeys(row for readings in words.values() for marked in readings if (row := kept(marked)))
    target = Path(str(resources.files("dimts.text").joinpath("tables/geezorg/lexicon.tsv")))
    target.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    print(len(rows), "rows")


if __name__ == "__main__":
    main()
