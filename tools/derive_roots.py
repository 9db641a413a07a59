"""Roots of verbs from the Ge'ez Frontier list → tables/geezorg/roots.tsv, with their class where the list
shows it.

    python tools/derive_roots.py LIST ...        the lists gemination_ipa.tsv, gemination_marks.tsv

A citation form gives a root. The list holds only words with long consonants, so class B shows itself
(agent fällagi, infinitive mäfälläg, noun fɨllägä have a long second radical) and class A does not: a
root without such a word gets "?", which morphology reads as "A, but not surely".
"""

from __future__ import annotations

import re
import sys
from importlib import resources
from pathlib import Path

from dimts.text.g2p.letters import encode, unmarked
from dimts.text.g2p.lexicon import built_in
from dimts.text.g2p.morphology import family_of

HEAD = """\
# Verbs by their citation form and class ("?": not known, usually A), derived by tools/derive_roots.py from
# the Ge'ez Frontier Foundation's gemination lists, CC BY-SA 4.0, see LICENCE; in the code of
# g2p/letters.py.
# ../verbs/roots.tsv comes first: mend there.
"""
C = "([hlmsrxbtcnN'kwzZydjgfpvqTCSP])"
CITATIONS = (
    re.compile(f"^{C}e{C}e:{C}e$"), re.compile(f"^{C}o{C}e:{C}e$"), re.compile(f"^{C}a{C}e:{C}e$"),
    re.compile(f"^{C}e{C}a:$"), re.compile(f"^{C}o{C}a:$"), re.compile(f"^{C}e{C}e{C}e:{C}e$"),
    re.compile(f"^{C}e{C}{C}e:{C}e$"), re.compile(f"^{C}o{C}e{C}e:{C}e$"),
)  # fmt: skip
DERIVED = re.compile("^(te|'as|'a)(?=[^euiaEoAIO'][eoa])")


def signs_of_b(first: str, second: str, third: str) -> tuple[str, ...]:
    """Marked codes that only a verb of class B has."""
    return (
        f"{first}e{second}a:{third}i", f"me{first}e{second}e:{third}", f"{first}{second}e:{third}a",
        f"{first}{second}a:{third}i", f"{first}{second}a:{third}E", f"{first}{second}:{third}",
        f"te{first}e{second}a:{third}i",
        f"ma{first}e{second}e:{third}", f"{first}e{second}a:{third}", f"{first}u{second}e:{third}a",
    )  # fmt: skip


def main() -> None:
    rows: set[str] = set()
    known: set[str] = set()
    for name in sys.argv[1:]:
        for line in Path(name).read_text(encoding="utf-8").splitlines():
            word, other = line.split("\t")[:2]
            marked = (
                encode(other)
                if "\u135f" in other
                else built_in("geezorg/lexicon.tsv").lengths.get(encode(word), "")
            )
            if not marked or not re.fullmatch("[a-zA-Z':]+", marked):
                continue
            known.add(marked)
            stripped = DERIVED.sub("", marked)
            for candidate in (stripped, marked):
                if any(pattern.match(candidate) for pattern in CITATIONS):
                    rows.add(unmarked(candidate))
                    break  # täsäbbärä is t- and sbr, not a verb of four radicals
    lines = []
    for code in sorted(rows):
        root = family_of(code, "?")
        if root is None:
            continue
        family, radicals = root
        kind = {"3": "?", "3o": "?", "3a": "C", "2a": "?", "2oa": "?", "0": "?"}.get(family, "Q")
        if family in ("3", "3o") and any(sign in known for sign in signs_of_b(*radicals)):
            kind = "B"
        lines.append(f"{code}\t{kind}")
    target = Path(str(resources.files("dimts.text").joinpath("tables/geezorg/roots.tsv")))
    target.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
    print(len(lines), "roots")


if __name__ == "__main__":
    main()
