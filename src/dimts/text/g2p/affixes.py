"""Prefixes and suffixes of Amharic stems, in the code of `letters`, ":" where a consonant is long.

Built once from small paradigms (Leslau, Reference Grammar of Amharic, 1995; FSI Amharic Basic Course). "-" in
a suffix: no ɨ after this consonant, although a syllable would need one (fəlːəɡh); ".": always ɨ. Convention,
where sources differ: object -ኝ and negative -ም are short, 3fsg -ች is long, as in the gold lists.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

Suffixes = dict[str, dict[str, str]]
"""Marked code by bare code and slot."""
Prefixes = dict[str, dict[tuple[str, str], str]]
"""Marked code by bare code and (slot, voice)."""

OBJECTS = ("t", "w", "at", "N", "h", "x", "n", "ac:hu", "ac:ew", "wo", "wot")
PREPOSED = tuple(
    f"{letter}:{end}"
    for letter in "lb"
    for end in ("et", "at", "N", "h", "x", "n", "ac:hu", "ac:ew", "wo", "wot")
)
"""-ll- for, -bb- against: ሰበረለት, ሰበረበት."""
CLITICS = ("", "n", "m", "n:a", "s:", "n.m", "n.s:", "n.n:a", "m:a", "k:o", "nji", "m.n:a", "s:a")
"""Accusative, "also", "and" (-nna), contrast (-ss, -mma, -kko) and their chains, as Leslau has them."""
DEFINITE = ("u", "wa", "E", "h", "x", "ac:n", "ac:hu", "ac:ew", "wo", "itu", "iwa", "A")


def _join(stem: str, ending: str) -> str:
    """Join two pieces of a suffix; the first vowel is dropped by Amharic's rule."""
    if not ending or not stem:
        return stem + ending
    if ending[0] == "a" and stem[-1] in "e":
        return stem[:-1] + ending
    if ending[0] == "a" and stem[-1] in "uo":
        return stem[:-1] + "A" + ending[1:]
    if ending[0] == "a" and stem[-1] == "a":
        return stem + ending[1:]
    if ending[0] == "e" and stem[-1] in "euoa":
        return stem + ending[1:]
    return stem + ending


def _with_objects(subject: str, vowel: bool) -> Iterable[str]:
    """Yield a subject ending with every object; `vowel`: whether it ends in a vowel."""
    yield subject
    for thing in OBJECTS:
        if vowel:
            if (thing == "w" and subject[-1:] == "u") or (thing == "t" and subject[-1:] not in ("u", "o")):
                continue
            yield _join(subject, thing)
            if thing == "at" and subject[-1:] in ("u", "o"):
                yield subject + "wat"
            if thing == "ac:ew" and subject[-1:] in ("u", "o"):
                yield subject + "wac:ew"
        elif thing == "w":
            yield subject + "ew"
        elif thing in ("wo", "wot"):
            yield f"{subject}.{thing}"
        elif thing != "t":
            yield subject + ("e" + thing if thing in ("N", "n") else thing)
            if thing == "n":
                yield subject + "n"
            if thing in ("h", "x", "N"):
                yield subject + thing
    for thing in PREPOSED:
        yield subject + thing


def _perfect(after_vowel: bool) -> Iterable[str]:
    """Yield endings of the perfective; after a stem in -a the third person masculine has none (መጣ)."""
    for subject in ("e", "u", "ec:", "ku", "hu", "k", "h", "x", "n", "ac:hu"):
        if after_vowel and subject in ("e", "ec:", "ac:hu"):
            subject = subject[1:]
        if subject == "":
            yield from _with_objects("a", True) if False else ("", *OBJECTS[1:], *PREPOSED)
            continue
        if subject.endswith("c:"):
            yield f"{subject}.w"
        if subject in ("ku", "hu"):
            yield from (subject, subject + "t", subject[0] + "At", subject[0] + "Ac:ew", subject + "wat")
            yield from (subject + thing for thing in PREPOSED)
            continue
        if subject in ("h", "x", "k", "n") and not after_vowel:
            yield f"-{subject}"
            yield from (form for form in _with_objects(subject, False) if form != subject)
            continue
        yield from _with_objects(subject, subject[-1:] in ("e", "u"))


_AUXILIARIES = {
    "": ("al", "al:ehu", "al:eh", "al:ex", "al:en", "alec:", "al:ac:hu"),
    "u": ("al:u",),
    "i": ("yal:ex",),
}


def _imperfect() -> Iterable[str]:
    for subject in ("", "u", "i"):
        plain = ["", *_with_objects(subject, bool(subject))] if subject else list(_with_objects("", False))
        yield from plain
        for auxiliary in _AUXILIARIES[subject]:
            yield auxiliary if subject != "i" else "al:ex"
        for form in plain:
            if form and form != subject:
                for auxiliary in ("al", "al:u", "al:ehu", "al:eh", "al:en", "alec:", "al:ac:hu", "al:ex"):
                    yield form + auxiliary
    yield from ("al:eh", "iyal:ex")


def _imperfect_after_a() -> Iterable[str]:
    """Yield endings after a stem in -a: yɨsäma, yɨsämaw."""
    plain = ("", "w", "t", "N", "h", "x", "n", "c:hu", "c:ew", "wo", *PREPOSED)
    yield from plain
    for form in plain[1:]:
        yield from (
            form + auxiliary for auxiliary in ("al", "al:u", "al:ehu", "al:eh", "al:en", "alec:", "al:ac:hu")
        )


def _jussive() -> Iterable[str]:
    for subject in ("", "u", "i"):
        yield from _with_objects(subject, bool(subject))


def _gerund() -> Iterable[str]:
    for subject in ("o", "a", "E", "eh", "ex", "en", "ew", "ac:hu", "wo", "ewo"):
        forms = list(_with_objects(subject, subject in ("o", "a", "E")))
        yield from forms
        for form in forms:
            if form == "o":
                yield from ("Al", "wal", "o'al")
            elif form == "a":
                yield from ("alec:", "al:ec:")
            elif form == "E":
                yield from ("Eyal:ehu", "E'al:ehu", "iyal:ehu", "al:ehu")
            elif form == "ew":
                yield from ("ewal", "ew'al")
            elif form == "ac:hu":
                yield from ("ac:hAl", "ac:huwal", "ac:hual")
            else:
                yield from (form + "al", form + "al:u", form + "alec:")


NOUN_ENDINGS = ("", "oc:", "woc:", "yoc:", "at", "an", "yan", "wyan", "n:et", "oc:in")
_AFTER_NOUN = ("", "u", "w", "wa", "A", "E", "yE", "h", "x", "ac:n", "ac:hu", "ac:ew", "yac:n", "yac:hu",
               "yac:ew", "itu", "ytu", "wo", ".wo", "wan", "iwa", "ywa", "ye")  # fmt: skip
DERIVED = ("N:a", "eN:a", "n:et", "awi", "wi", "awit", "am", "ma", "m:a", "N:a.n:et", "eN:an:et", "eN:.n:et",
           "N:oc:",
           "eN:oc:", "awin:et", "win:et", "awyan", "n:a", "aw")  # fmt: skip


def _noun() -> Iterable[str]:
    for plural in NOUN_ENDINGS:
        for owner in _AFTER_NOUN:
            yield plural + owner
    yield CONSTRUCT
    for derived in DERIVED:
        for owner in (
            "",
            "u",
            "w",
            "wa",
            "E",
            "yE",
            "h",
            "x",
            "ac:n",
            "ac:ew",
            "oc:",
            "woc:",
            "woc:u",
            "oc:u",
            "itu",
        ):
            yield derived + owner


CONSTRUCT = "e"
"""Ending of a noun before its owner, from Ge'ez: ሀገረ ስብከት, ቤተ ክርስቲያን."""


def _bare(marked: str) -> str:
    return marked.replace(":", "").replace(".", "").replace("-", "")


VOWELS = "euiaEoAIO"


def _inside(marked: str) -> str:
    """Mark the object -ኝ as long unless it ends the word: sətʼːəɲ, but jɨsətʼəɲːal."""
    return marked[:-1].replace("N:", "N").replace("N", "N:") + marked[-1:]


def with_clitic(form: str, clitic: str) -> str:
    """Join an ending and a clitic: one consonant keeps an ɨ before it, and a subject -h its own."""
    if not clitic:
        return form
    if form.startswith("-") and len(form) == 2:
        form = form[1:]
    elif form.endswith("N"):
        form += ":"
    return form + ("." if form and form[-1] not in VOWELS else "") + clitic


@cache
def clitics() -> tuple[tuple[str, str], ...]:
    """Return (bare, marked) of all clitics that may end any word."""
    return tuple((_bare(clitic), clitic) for clitic in CLITICS if clitic)


@cache
def suffixes() -> Suffixes:
    """Return the suffixes of stems, without clitics; slots perf, perfa (after a vowel), imp, impa, jus, ger,
    noun."""
    found: Suffixes = {}
    forms = {
        "perf": _perfect(after_vowel=False),
        "perfa": _perfect(after_vowel=True),
        "imp": _imperfect(),
        "impa": _imperfect_after_a(),
        "jus": _jussive(),
        "ger": _gerund(),
        "noun": _noun(),
    }
    for slot, endings in forms.items():
        for ending in dict.fromkeys(endings):
            marked = _inside(ending) if "N" in ending else ending
            found.setdefault(_bare(marked), {}).setdefault(slot, marked)
    return found


# ---------------------------------------------------------------- before the stem
_PERFECT_OUTER = ("", "ye", "be", "le", "ke", "sle", "'nde", "'ske", "'ye", "'al", "yal", "bal", "kal",
                  "slal", "'ndal", "lal", "sal", "kene", "wede", "'yal", "yebe", "yale", "bale", "beye",
                  "keye", "'nde'al")  # fmt: skip
_IMPERFECT_OUTER = ("s", "b", "l", "yem:", "lem:", "bem:", "kem:", "slem:", "'ndem:", "'nd", "'skem:", "'sk",
                    "wedem:", "kenem:", "yebem:", "yelem:", "yekem:", "yeslem:")  # fmt: skip
"""yəmmi-: the m of the relative is long (Leslau)."""
NOUN_OUTER = ("", "ye", "be", "le", "ke", "sle", "'nde", "'ske", "wede", "yale", "bale", "'ye", "yebe",
              "yele", "yeke", "kebe", "lebe", "beye", "keye", "leye", "'ndebe", "ke'n:e", "'n:e", "yen:e",
              "len:e", "ben:e", "ken:e", "bes", "yewede", "yesle", "'ndye", "sile", "mne", "yebale", "yeyale",
              "bebale", "'ndele")  # fmt: skip
"""ʔɨnːə- before a name or a pronoun is a group: እነርሱ, የነአበበ (Leslau)."""
_FULL = {
    "-": "", "t": "te", "a": "'a", "as": "'as", "0-": "'a", "0t": "ta", "0as": "'asa", "tn": "ten",
    "an": "'an", "ast": "'aste", "0ast": "'asta", "0ast2": "'aste", "0f": "te",
}  # fmt: skip
"""Prefix of each derivation where no subject prefix precedes it."""
_SHORT = {
    "-": "", "t": "", "a": "a", "as": "as", "0-": "a", "0t": "t:a", "0as": "asa", "tn": "n", "an": "an",
    "ast": "aste", "0ast": "asta", "0ast2": "aste", "0f": "t:e",
}  # fmt: skip
"""Prefix of each derivation after a subject prefix."""
_NOMINAL = {
    "-": "me", "t": "me", "a": "ma", "as": "mas", "0-": "ma", "0t": "met:a", "0as": "masa", "tn": "men",
    "an": "man", "ast": "maste", "0ast": "masta", "0ast2": "maste", "0f": "met:e",
}  # fmt: skip
_VOICES = {
    "perf": _FULL,
    "imp": _SHORT,
    "jus": {**_SHORT, "0-": ""},
    "ipv": {**_FULL, "0-": "'"},
    "ger": _FULL,
    "inf": _NOMINAL,
    "agt": _FULL,
    "ins": _NOMINAL,
}
"""Prefix of each voice right before the stem, by slot; 0 are verbs that begin with a lost guttural (አለፈ)."""


def _fused(outer: str, voice: str) -> Iterable[str]:
    """Yield outer prefix and voice as written: የ + አ- is የአ or ያ, አል + አ- is አላ."""
    if outer and voice.startswith("'a"):
        yield outer + voice
        yield (outer[:-1] if outer.endswith("e") else outer) + voice[1:]
    elif outer and voice.startswith("'"):
        yield outer + voice
    else:
        yield outer + voice


def _subjects(outer: str, voice: str, slot: str) -> Iterable[str]:
    """Yield conjunction, subject and voice of imperfective and jussive, joined."""
    vowel = voice[:1] == "a"
    for subject in ("y", "t", "n", "'"):
        if not outer:
            front = "'n:" if subject == "n" else subject
            if slot == "jus" and subject == "'":
                yield "l" + voice
            yield ("" if vowel and subject == "'" else front) + (
                ("'" + voice) if vowel and subject == "'" else voice
            )
        elif subject == "y":
            yield outer + ("iya" + voice[1:] if vowel else "i" + voice)
        elif subject == "'":
            yield outer + voice
        elif subject == "n":
            yield outer + "n:" + voice
        else:
            yield outer + subject + voice
    negatives = ("ay", "at", "al", "an")
    for negative in negatives:
        yield (outer if outer else "'") + negative + voice


@cache
def prefixes() -> Prefixes:
    """Return all prefixes of stems; a noun has the voice ""."""
    found: Prefixes = {}

    def put(slot: str, voice: str, marked: str) -> None:
        found.setdefault(_bare(marked), {}).setdefault((slot, voice), marked)

    for slot, voices in _VOICES.items():
        for voice, inner in voices.items():
            if slot in ("imp", "jus"):
                for outer in ("", *_IMPERFECT_OUTER) if slot == "imp" else ("",):
                    for marked in _subjects(outer, inner, slot):
                        put(slot, voice, marked)
            elif slot == "perf":
                for outer in _PERFECT_OUTER:
                    for marked in _fused(outer, inner):
                        put(slot, voice, marked)
            elif slot in ("ipv", "ger"):
                for marked in _fused("", inner):
                    put(slot, voice, marked)
            else:
                for outer in NOUN_OUTER:
                    for marked in _fused(outer, inner):
                        put(slot, voice, marked)
                    if slot in ("inf", "agt") and outer in ("", "be", "le", "ye", "ke", "sle"):
                        put(slot, voice, outer + "'ale" + inner)
                        if outer:
                            put(slot, voice, outer[:-1] + "ale" + inner)  # ለአለመሄድ, ላለመሄድ
    for outer in NOUN_OUTER:
        put("noun", "", outer)
    return found
