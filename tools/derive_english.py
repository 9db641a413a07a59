"""Derive tables/english_words.tsv: how Amharic speakers say frequent English words, in fidel.

    python tools/derive_english.py CMUDICT FREQUENCIES NAMES
    python tools/derive_english.py CMUDICT --report

CMUDICT is the file cmudict.dict of the CMU Pronouncing Dictionary (phones by stress). FREQUENCIES is a JSON
object of words and their counts (the file en.json.gz of pyspellchecker, unpacked). NAMES holds frequent
names, one a line (of the census of the United States, 1990, as the package names 0.3 has them: the first 700
of men, 900 of women, 1 500 of families). The phones are mapped to those of Amharic by the rules below,
reduced vowels by their letters. With --report it counts how many rows of tables/english.tsv, which people
wrote, come out the same, and writes nothing.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dimts.text import romanised
from dimts.text.ethiopic import fold_homophones
from dimts.text.normalise import Normaliser, NormaliseSettings
from dimts.text.phones import to_fidel
from dimts.text.reading import pairs

TABLE = Path(__file__).parent.parent / "src/dimts/text/tables/english_words.tsv"
CONSONANTS = {
    "B": "b", "CH": "tʃ", "D": "d", "DH": "z", "F": "f", "G": "ɡ", "HH": "h", "JH": "dʒ", "K": "k", "L": "l",
    "M": "m", "N": "n", "P": "p", "R": "r", "S": "s", "SH": "ʃ", "T": "t", "TH": "s", "V": "v", "W": "w",
    "Y": "j", "Z": "z", "ZH": "ʒ",
}  # fmt: skip
VOWELS = {"AA": "a", "AE": "a", "AO": "o", "EH": "e", "IH": "i", "IY": "i", "OW": "o", "UH": "u", "UW": "u"}
GLIDES = {"AW": "a w", "AY": "a j", "OY": "o j"}
VOWEL_LETTERS = re.compile(r"[aeiouy]+")
AMHARIC = ("blew", "safer", "habit", "chew")
"""Frequent English words that are rather Amharic: ብለው, ሰፈር, ሀብት, ጨው."""
_ETHIOPIAN = """
gabriel nathan isaac jeremiah joel seth adam noah elias salem sara hana alem mariam moses abraham sol mina
israel samson hannah naomi esther judith micah eli ezra asa jonah jesus dina dana ruth hiwot marta lulu
wade mulu kidd
"""
ETHIOPIAN = frozenset(_ETHIOPIAN.split())
"""Names that Ethiopians have too, in another form."""
FREQUENT = 5_000
"""Rank up to which a word is English, whatever it may be in Amharic."""
WANTED = 12_000
"""Most frequent words that are taken."""
SHORTEST = 3


def vowel_letters(word: str, count: int) -> list[str]:
    """Return the letters of each vowel of a word; [] where they cannot be told apart."""
    plain = re.sub(r"^y(?=[aeiou])|(?<=[aeiou])y(?=[aeiou])|(?<=q)u", "-", word)
    if len(VOWEL_LETTERS.findall(plain)) > count:
        plain = re.sub(r"(?<=[^aeiouy])e(?=s?$|d$|ly$|ment)", "-", plain)
    found = VOWEL_LETTERS.findall(plain)
    for pair in ("ia", "io", "iu", "eo", "ie", "ua", "ue", "ea", "oi"):  # one sound each, or two
        if len(found) < count:
            found = [part for run in found for part in re.sub(pair, f"{pair[0]} {pair[1]}", run).split()]
    return found if len(found) == count else []


def reduced(letters: str, before: str, following: str, *, is_first: bool, is_last: bool) -> str:
    """Return what an unstressed vowel is by the letters that are written for it."""
    letter = letters[-1:] if letters[:1] == "i" and before in ("SH", "CH", "ZH", "JH") else letters[:1]
    if letter == "e":
        return "ə" if following in ("N", "L", "") else "e"
    if letter == "a" and following == "JH":
        return "e"
    if letter == "o" and before == "T" and is_first:
        return "u"
    if letter == "o":
        return "ə" if following in ("N", "M") and is_last else "o"
    if letter == "u":
        return "ə" if following == "S" and is_last else "a" if is_first else "u"
    return {"a": "a", "i": "i", "y": "i"}.get(letter, "ə")


def amharic_phones(word: str, arpabet: list[str]) -> Iterator[str]:
    """Yield the phones of an English word as an Amharic speaker says them."""
    vowels = [phone for phone in arpabet if phone[-1].isdigit()]
    written = vowel_letters(word, len(vowels))
    place = 0
    for at, phone in enumerate(arpabet):
        following = arpabet[at + 1] if at + 1 < len(arpabet) else ""
        before = arpabet[at - 1] if at else ""
        plain = phone.rstrip("012")
        if plain == phone:
            yield from _consonant(word, plain, before, following, len(arpabet) - at)
            continue
        letters = written[place] if written else ""
        place += 1
        yield from _vowel(word, phone, letters, before, following, (place - 1, len(vowels)))


def _consonant(word: str, plain: str, before: str, following: str, left: int) -> Iterator[str]:
    if plain == "NG":
        yield "n"
        if following[:1] not in ("K", "G"):
            yield "ɡ"
    elif plain == "Z" and left == 1 and word.endswith("s"):
        yield "s"
    elif plain == "Y" and before and not before[-1].isdigit() and following[:2] in ("UW", "UH"):
        yield "i"
        yield "w"
    elif plain == "K" and following == "W":
        yield from ("k", "u")
    elif plain == "TH" and left == 1:
        yield "z"
    else:
        yield CONSONANTS[plain]


def _vowel(
    word: str, phone: str, letters: str, before: str, following: str, place: tuple[int, int]
) -> Iterator[str]:
    plain, stressed = phone[:-1], phone[-1] != "0"
    at_end, vowel_follows = not following, following[-1:].isdigit()
    if not before:
        yield "ʔ"
    if plain == "EY":
        yield from ("e", "j") if at_end or vowel_follows else ("e",)
    elif plain in GLIDES:
        yield from GLIDES[plain].split()
    elif plain == "ER":
        yield from ("o" if vowel_follows and letters[:1] == "o" and not stressed else "ə", "r")
    elif plain == "AH" and following == "N" and before in ("SH", "ZH", "CH") and not stressed:
        yield "ɨ"  # -tion
    elif plain == "AH" and following == "L" and not stressed and word.endswith(("le", "el", "les", "els")):
        yield "ɨ"
    elif plain == "AH":
        first, last = place[0] == 0, place[0] == place[1] - 1
        yield "a" if stressed else reduced(letters, before, following, is_first=first, is_last=last)
    elif plain == "AA" and letters[:1] == "o":
        yield "o"
    elif plain == "OW" and at_end and word.endswith("ow"):
        yield from ("o", "w")
    else:
        yield VOWELS[plain]
    if vowel_follows and plain in ("IY", "IH"):
        yield "j"
    elif vowel_follows and plain in ("UW", "OW"):
        yield "w"


def fidel(word: str, arpabet: list[str]) -> str:
    phones = list(amharic_phones(word, arpabet))
    joined = [
        phone for at, phone in enumerate(phones)
        if not (phone == "u" and phones[at - 2 : at] == ["i", "w"])
    ]  # fmt: skip
    return to_fidel(joined)


def _vowels(arpabet: list[str]) -> int:
    return sum(phone[-1].isdigit() for phone in arpabet)


def dictionary(path: Path) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *phones = line.partition("#")[0].split()
        if word.isascii() and word.isalpha():
            words.setdefault(word, phones)
    return words


def report(words: dict[str, list[str]]) -> None:
    rows = [(word, spoken) for word, spoken in pairs("english").items() if word in words]
    other = [(word, spoken, fidel(word, words[word])) for word, spoken in rows]
    wrong = [row for row in other if fold_homophones(row[1]) != fold_homophones(row[2])]
    print(f"{len(rows) - len(wrong)} of {len(rows)} as people wrote them")
    for row in wrong:
        print(*row, *words[row[0]])


def main() -> None:
    words = dictionary(Path(sys.argv[1]))
    if "--report" in sys.argv:
        report(words)
        return
    counts = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    taken = [word for word in ranked if len(word) >= SHORTEST and word in words][:WANTED]
    known = {key.lower() for name in ("english", "names", "ethiopian_names") for key in pairs(name)}
    names = Path(sys.argv[3]).read_text(encoding="utf-8").split()
    taken += [name for name in names if len(name) >= SHORTEST and name in words and name not in ETHIOPIAN]
    rows = []
    read = Normaliser(NormaliseSettings(off=("homophones",)))
    for rank, word in enumerate(taken):
        if word in known or _is_amharic(word, rank) or not vowel_letters(word, _vowels(words[word])):
            continue
        spoken = fidel(word, words[word])
        if read.spoken(spoken) == spoken:  # not ዶር, which is an abbreviation
            rows.append(f"{word}\t{spoken}\n")
    head = (
        "# frequent English words, derived from the CMU Pronouncing Dictionary by tools/derive_english.py"
        "\thow Amharic speakers say them\n"
    )
    TABLE.write_text(head + "".join(sorted(set(rows))), encoding="utf-8")
    print(len(set(rows)), "words")


def _is_amharic(word: str, rank: int) -> bool:
    """Whether a word is rather Amharic in Latin letters: not frequent, and in the lexicon in a spelling."""
    if word in AMHARIC:
        return True
    return rank >= FREQUENT and romanised.looks_amharic(word) and romanised._best(word)[1]


if __name__ == "__main__":
    main()
