"""What the judge catches and what it wrongly refuses: planted and real faults against gold.

    python benchmarks/judge.py [--gold FOLDER]

Right answers are the gold rows themselves (those whose sounds the letters write; the few that contradict
the fidel are listed), given once by a backend that marks length and once, where nothing is long, by one
that cannot. Faults are planted into them, one kind at a time, and collected from the peers that are
installed: real answers whose skeleton is wrong. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

from dimts.base.errors import DimtsError, TextError
from dimts.text.g2p.chain import BACKENDS
from dimts.text.g2p.judge import judge
from dimts.text.g2p.rules import Rules
from dimts.text.phones import CONSONANTS, LONG, VOWELS, fidel_skeleton, from_ipa, short, skeleton

SHARED = Path(os.environ.get("DIMTS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
LISTS = ("wikipron.dev.tsv", "lexibank.dev.tsv", "fsi.dev.tsv")
Phones = tuple[str, ...]


def load(folder: Path) -> list[tuple[str, Phones]]:
    rows = []
    for name in LISTS:
        for line in (folder / name).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                word, spoken = line.split("\t")[:2]
                try:
                    rows.append((word, from_ipa(spoken.replace(" ", ""))))
                except TextError:
                    continue
    return rows


def plain(sounds: Phones) -> Phones:
    """A skeleton without ʔ and with n before labials as m, as gold lists differ in both."""
    out = [sound for sound in sounds if sound != "ʔ"]
    return tuple(
        "m" if sound == "n" and out[at + 1 : at + 2] in (["b"], ["f"], ["p"]) else sound
        for at, sound in enumerate(out)
    )


def agrees(word: str, phones: Phones) -> bool:
    return plain(fidel_skeleton(word)) == plain(skeleton(phones))


def drop(kind: Callable[[str], bool]) -> Callable[[Phones, random.Random], Phones | None]:
    def plant(phones: Phones, dice: random.Random) -> Phones | None:
        places = [at for at, phone in enumerate(phones) if kind(phone) and phone not in ("ɨ", "ʔ")]
        if not places:
            return None
        at = dice.choice(places)
        return phones[:at] + phones[at + 1 :]

    return plant


def change(
    kind: Callable[[str], bool], others: list[str]
) -> Callable[[Phones, random.Random], Phones | None]:
    def plant(phones: Phones, dice: random.Random) -> Phones | None:
        places = [at for at, phone in enumerate(phones) if kind(phone) and phone not in ("ɨ", "ʔ")]
        if not places:
            return None
        at = dice.choice(places)
        choice = dice.choice([other for other in others if other != short(phones[at])])
        return (*phones[:at], choice, *phones[at + 1 :])

    return plant


def swap(phones: Phones, dice: random.Random) -> Phones | None:
    places = [at for at in range(len(phones) - 1) if phones[at] in VOWELS and "ɨ" not in phones[at : at + 2]]
    if not places:
        return None
    at = dice.choice(places)
    return (*phones[:at], phones[at + 1], phones[at], *phones[at + 2 :])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gold", type=Path, default=SHARED / "gold")
    options = parser.parse_args()
    dice = random.Random(0)
    rows = load(options.gold)
    right = [(word, phones) for word, phones in rows if agrees(word, phones)]
    rules = Rules()
    evidence = {word: rules.explain(word) for word, _ in rows}

    def believed(word: str, phones: Phones, marks_length: bool) -> bool:
        return judge(word, phones, evidence[word], marks_length=marks_length).believed

    def refused(cases: list[tuple[str, Phones]], marks_length: bool) -> dict[str, object]:
        found = [word for word, phones in cases if not believed(word, phones, marks_length)]
        return {
            "of": len(cases),
            "percent": round(100 * len(found) / max(1, len(cases)), 2),
            "words": found[:8],
        }

    short_ones = [
        (word, phones) for word, phones in right if not any(phone.endswith(LONG) for phone in phones)
    ]
    report: dict[str, object] = {
        "right_refused": refused(right, True),
        "right_refused_without_length": refused(short_ones, False),
        "gold_against_its_letters": [word for word, phones in rows if not agrees(word, phones)],
    }
    plain_consonants = [phone for phone in CONSONANTS if phone != "ʔ"]
    full = [vowel for vowel in VOWELS if vowel != "ɨ"]
    planted: dict[str, Callable[[Phones, random.Random], Phones | None]] = {
        "consonant_dropped": drop(lambda phone: phone not in VOWELS),
        "vowel_dropped": drop(lambda phone: phone in VOWELS),
        "consonant_changed": change(lambda phone: phone not in VOWELS, plain_consonants),
        "vowel_changed": change(lambda phone: phone in VOWELS, full),
        "swapped": swap,
        "fidel_left": lambda phones, dice: (*phones, "ለ"),
        "unknown_phone": lambda phones, dice: (*phones, "ɮ"),
        "glued": lambda phones, dice: (*phones, *dice.choice(right)[1]),
        "another_word": lambda phones, dice: dice.choice(right)[1],
        "run_together": lambda phones, dice: ("".join(phones),) if len(phones) > 2 else None,
        "empty": lambda phones, dice: (),
    }
    faults: dict[str, dict[str, object]] = {}
    total, caught = 0, 0
    for name, plant in planted.items():
        seen: collections.Counter[bool] = collections.Counter()
        for word, phones in right:
            wrong = plant(phones, dice)
            if wrong is None or agrees(word, wrong):
                continue
            seen[not believed(word, wrong, True)] += 1
        total, caught = total + seen.total(), caught + seen[True]
        faults[name] = {
            "of": seen.total(),
            "caught_percent": round(100 * seen[True] / max(1, seen.total()), 2),
        }
    report["planted"] = {"caught_percent": round(100 * caught / total, 2), **faults}
    peers: dict[str, object] = {}
    for name in ("epitran", "epitran-pp", "epitran-red", "espeak", "transphone"):
        try:
            backend = BACKENDS[name]()
        except DimtsError as error:
            peers[name] = str(error)[:120]
            continue
        words = list(dict.fromkeys(word for word, _ in right))
        gold = collections.defaultdict(list)
        for word, phones in right:
            gold[word].append(phones)
        answers = dict(zip(words, backend.phones(words), strict=True))
        wrong = [
            word
            for word in words
            if all(plain(skeleton(g)) != plain(skeleton(answers[word])) for g in gold[word])
        ]
        fine = [word for word in words if answers[word] in gold[word] or ("ʔ", *answers[word]) in gold[word]]
        missed = [word for word in wrong if believed(word, answers[word], backend.marks_length)]
        lost = [word for word in fine if not believed(word, answers[word], backend.marks_length)]
        other = [word for word in words if word not in fine and word not in wrong]
        slipped = [word for word in other if believed(word, answers[word], backend.marks_length)]
        peers[name] = {
            "wrong_skeleton": len(wrong),
            "caught_percent": round(100 * (1 - len(missed) / max(1, len(wrong))), 2),
            "right": len(fine),
            "refused_percent": round(100 * len(lost) / max(1, len(fine)), 2),
            "refused": lost[:8],
            "wrong_length_or_vowel": len(other),
            "caught": len(other) - len(slipped),
            "slipped": slipped[:8],
        }
    report["peers"] = peers
    print(json.dumps(report, ensure_ascii=False))


if __name__ == "__main__":
    main()
