"""Judge an answer for a fidel word: the probability that it is right, and every issue.

Two kinds of reasons. The letters say which consonants and vowels there are: an answer that drops, adds or
changes one is wrong, whichever backend gave it. Length and ɨ are not written: there our own evidence decides
(marks, tables, morphology, the model, the syllable template), as far as it is sure. A backend that cannot
tell long from short is refused wherever a consonant is long; one that can is contradicted only by what is
certain. The limits are calibrated on gold (benchmarks/judge.py, docs/decisions/0041-judge.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dimts.base.errors import ConfigError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.text.ethiopic import is_ethiopic_letter
from dimts.text.g2p.rules import RulesAnswer
from dimts.text.g2p.syllables import excess
from dimts.text.phones import LONG, ROUND, VOWELS, is_phone, short, skeleton


@dataclass(frozen=True)
class EvidenceSettings:
    """[text.g2p.evidence]: limits of the judge "evidence", which compares answers with all evidence about a
    word."""

    min_vowel_share: float = 1.0
    """Share of the vowels in the fidel (orders 1 to 5 and 7) that the answer must contain, in order."""
    max_skeleton_distance: int = 0
    """Most consonants and vowels that may differ from the fidel (ʔ and assimilated n excepted)."""
    max_phones_per_letter: float = 3.0
    """Most phones for each letter: more means joined words, or another word."""
    sure_length: float = 0.985
    """Probability from which a consonant must be long (or short) in the answer of a backend that marks
    length."""
    likely_length: float = 0.5
    """The same probability for a backend that never marks length: it is used only for words without long
    consonants."""
    max_syllable_excess: float = 12.5
    """Largest cost of its placing of ɨ above the best, for a backend that marks length (syllables.excess)."""

    def __post_init__(self) -> None:
        for name in ("min_vowel_share", "sure_length", "likely_length"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError("text.share_out_of_range", name=f"text.g2p.evidence.{name}")


@dataclass(frozen=True)
class SanitySettings:
    """[text.g2p.sanity]: limits of the judge "sanity", which uses only the answer and the length of the
    word."""

    min_vowel_ratio: float = 0.2
    """Least share of vowels among the phones."""
    max_vowel_ratio: float = 0.8
    """Greatest share of vowels among the phones."""
    max_ethiopic_share: float = 0.0
    """Greatest share of Ethiopic letters among the characters of an answer."""
    min_ipa_share: float = 1.0
    """Least share of phones that are Amharic phones in IPA."""
    min_length_ratio: float = 0.8
    """Fewest phones for each letter."""
    max_length_ratio: float = 3.0
    """Most phones for each letter."""

    def __post_init__(self) -> None:
        for name in ("min_vowel_ratio", "max_vowel_ratio", "max_ethiopic_share", "min_ipa_share"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError("text.share_out_of_range", name=f"text.g2p.sanity.{name}")
        for kind in ("vowel", "length"):
            if not 0.0 <= getattr(self, f"min_{kind}_ratio") <= getattr(self, f"max_{kind}_ratio"):
                raise ConfigError("text.limits_crossed", name=kind)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The judge's decision on one answer."""

    score: float
    """Probability that the answer is right, 0 to 1."""
    doubts: tuple[Issue, ...]

    @property
    def believed(self) -> bool:
        """Whether there is no issue."""
        return not self.doubts


_LONGEST_COMPARED = 200
"""Letters of the longest word that is compared; a longer one is no word and is accepted as it is."""
_DOUBTED = 0.4
"""Highest score of an answer with one issue; each further issue multiplies it again."""


def judge(
    word: str,
    phones: Sequence[str],
    evidence: RulesAnswer | None,
    *,
    marks_length: bool = True,
    settings: EvidenceSettings | None = None,
    trust_length: bool = False,
) -> Judgement:
    """Judge `phones` as the pronunciation of `word`.

    `evidence` is the rules' answer for the word, None for a word without Ethiopic letters; `marks_length` is
    whether the backend can mark a consonant as long; with `trust_length` its lengths are accepted.
    """
    settings = settings or EvidenceSettings()
    doubts = _wrong_signs(word, phones)
    if doubts or evidence is None:
        return Judgement(0.0 if doubts else 1.0, tuple(doubts))
    if not marks_length and max(evidence.chances, default=0.0) > settings.likely_length:
        # an answer without length fails wherever a consonant is long
        missing = _against_lengths(evidence, [False] * len(evidence.reading), marks_length, settings)
        return Judgement(
            min(_likelihood(evidence, [False] * len(evidence.reading)), _DOUBTED), tuple(missing)
        )
    doubts += _against_letters(evidence, phones, settings)
    chance = 1.0
    if not doubts:
        spoken = _lengths(evidence, phones)
        if spoken is not None and not trust_length:
            doubts += _against_lengths(evidence, spoken, marks_length, settings)
            chance = _likelihood(evidence, spoken)
        doubts += _against_syllables(evidence, phones, marks_length, settings)
    return Judgement(min(chance, _DOUBTED ** len(doubts)), tuple(doubts))


def sanity(word: str, phones: Sequence[str], settings: SanitySettings | None = None) -> Judgement:
    """Judge `phones` by their shape alone: Ethiopic left over, share of IPA, vowel ratio, phones for each
    letter."""
    settings = settings or SanitySettings()
    if not phones:
        return Judgement(0.0, (Issue("empty", Message("text.no_answer", word=word)),))
    written = "".join(phones)
    letters = sum(map(is_ethiopic_letter, word)) or sum(map(str.isalpha, word)) or 1
    measures = {
        "ethiopic_left": (
            sum(map(is_ethiopic_letter, written)) / max(1, len(written)),
            0.0,
            settings.max_ethiopic_share,
        ),
        "ipa_share": (sum(map(is_phone, phones)) / len(phones), settings.min_ipa_share, 1.0),
        "vowel_ratio": (
            sum(phone in VOWELS for phone in phones) / len(phones),
            settings.min_vowel_ratio,
            settings.max_vowel_ratio,
        ),
        "length_ratio": (len(phones) / letters, settings.min_length_ratio, settings.max_length_ratio),
    }
    doubts = []
    for kind, (measured, least, most) in measures.items():
        if not least <= measured <= most:
            allowed = least if measured < least else most
            message = Message(f"text.sanity_{kind}", measured=round(measured, 2), allowed=allowed)
            doubts.append(Issue(kind, message, round(measured, 3), allowed))
    return Judgement(0.0 if doubts else 1.0, tuple(doubts))


def _wrong_signs(word: str, phones: Sequence[str]) -> list[Issue]:
    if not phones:
        return [Issue("empty", Message("text.no_answer", word=word))]
    left = sorted({char for phone in phones for char in phone if is_ethiopic_letter(char)})
    if left:
        return [Issue("ethiopic_left", Message("text.ethiopic_left", left=" ".join(left)), len(left), 0)]
    if glued := [phone for phone in phones if any(char.isspace() or char in "_#|" for char in phone)]:
        return [Issue("glued", Message("text.glued", glued=" ".join(glued)), len(glued), 0)]
    if unknown := [phone for phone in phones if not is_phone(phone)]:
        return [
            Issue(
                "unknown_phone",
                Message("text.unknown_phone", fromkeys=" ".join(dict.fromkeys(unknown))),
                len(unknown),
                0,
            )
        ]
    return []


def _against_letters(evidence: RulesAnswer, phones: Sequence[str], settings: EvidenceSettings) -> list[Issue]:
    reading = evidence.reading
    letters = len(reading)
    if letters and len(phones) > settings.max_phones_per_letter * letters:
        share = round(len(phones) / letters, 2)
        return [
            Issue(
                "phone_ratio",
                Message("text.phone_ratio", phones_count=len(phones), letters=letters),
                share,
                settings.max_phones_per_letter,
            )
        ]
    expected = _plain(evidence)
    found_sounds = skeleton(phones)
    if expected == found_sounds:
        return []
    if letters > _LONGEST_COMPARED:
        return [Issue("skeleton", Message("text.skeleton"), letters, settings.max_skeleton_distance)]
    written = [vowel for vowel in reading.vowels if vowel and vowel != "ɨ"]
    occurring = _common(written, [phone for phone in phones if phone in VOWELS])
    doubts = []
    share = occurring / len(written) if written else 1.0
    elided = _elided(reading.consonants, reading.vowels)
    if occurring + elided < settings.min_vowel_share * len(written):
        missing = len(written) - occurring
        doubts.append(
            Issue(
                "vowel_share",
                Message("text.vowel_share", missing=missing, written_count=len(written)),
                round(share, 3),
                settings.min_vowel_share,
            )
        )
    distance = _distance(_tolerant(expected), _tolerant(found_sounds))
    if distance > settings.max_skeleton_distance:
        doubts.append(
            Issue(
                "skeleton",
                Message(
                    "text.skeleton_distance",
                    distance=distance,
                    found_sounds="".join(found_sounds),
                    expected="".join(expected),
                ),
                distance,
                settings.max_skeleton_distance,
            )
        )
    return doubts


def _against_lengths(
    evidence: RulesAnswer, spoken: Sequence[bool], marks_length: bool, settings: EvidenceSettings
) -> list[Issue]:
    limit = settings.sure_length if marks_length else settings.likely_length
    doubts = []
    source = Message(f"text.length_source_{evidence.source}")
    for at, (long, chance) in enumerate(zip(spoken, evidence.chances, strict=True)):
        consonant = evidence.reading.consonants[at]
        if not long and chance > limit:
            kind = "length_missing" if marks_length else "length_unsaid"
            doubts.append(
                Issue(
                    kind,
                    Message("text.length_missing", consonant=consonant, source=source),
                    0.0,
                    round(chance, 3),
                )
            )
        elif long and marks_length and 1.0 - chance > limit:
            doubts.append(
                Issue(
                    "length_added",
                    Message("text.length_added", consonant=consonant, source=source),
                    1.0,
                    round(chance, 3),
                )
            )
    return doubts


def _against_syllables(
    evidence: RulesAnswer, phones: Sequence[str], marks_length: bool, settings: EvidenceSettings
) -> list[Issue]:
    if marks_length:
        over = excess(phones)
        if over > settings.max_syllable_excess:
            return [
                Issue("syllables", Message("text.syllables_impossible"), over, settings.max_syllable_excess)
            ]
        return []
    ours = _voiced([short(phone) for phone in evidence.phones])
    theirs = _voiced([short(phone) for phone in phones])
    if ours != theirs and _tolerant(skeleton(ours)) == _tolerant(skeleton(theirs)):
        wrong = abs(ours.count("ɨ") - theirs.count("ɨ")) or 1
        return [Issue("syllables", Message("text.syllables", phones="".join(evidence.phones)), wrong, 0)]
    return []


def _voiced(phones: list[str]) -> list[str]:
    """Return the phones without the ʔ at the start of every word that begins with a vowel, spoken of or
    not."""
    return phones[1:] if len(phones) > 1 and phones[0] == "ʔ" and phones[1] in VOWELS else phones


def _likelihood(evidence: RulesAnswer, spoken: Sequence[bool]) -> float:
    chance = 1.0
    for long, likely in zip(spoken, evidence.chances, strict=True):
        chance *= likely if long else 1.0 - likely
    return chance


def _plain(evidence: RulesAnswer) -> tuple[str, ...]:
    """Return the skeleton of the letters, as `skeleton` writes one."""
    out: list[str] = []
    for consonant, vowel in zip(evidence.reading.consonants, evidence.reading.vowels, strict=True):
        out.append(consonant.removesuffix(ROUND))
        if consonant.endswith(ROUND):
            out.append("w")
        if vowel and vowel != "ɨ":
            out.append(vowel)
    return tuple(out)


def _tolerant(sounds: Sequence[str]) -> list[str]:
    """Return the sounds without those that careful speakers may drop or assimilate: ʔ, ʔa after ə, n before b
    f p m."""
    out: list[str] = []
    for at, sound in enumerate(sounds):
        following = sounds[at + 1] if at + 1 < len(sounds) else ""
        if sound == "ʔ":
            if out and out[-1] == "ə" and following == "a":
                out.pop()
            continue
        if sound == "n" and following in ("b", "f", "p", "pʼ"):
            sound = "m"
        if out and out[-1] == "ə" and sound == "a":
            out.pop()
        out.append(sound)
    return out


def _elided(consonants: Sequence[str], vowels: Sequence[str]) -> int:
    """Return the number of vowels that a following ʔa may elide."""
    return sum(
        vowels[at - 1] == "ə" and consonants[at] == "ʔ" and vowels[at] == "a"
        for at in range(1, len(consonants))
    )


def _lengths(evidence: RulesAnswer, phones: Sequence[str]) -> list[bool] | None:
    """Return for each consonant of the reading whether `phones` has it long; None if they do not align."""
    consonants = [phone for phone in phones if phone not in VOWELS]
    out: list[bool] = []
    at = 0
    for consonant in evidence.reading.consonants:
        base = short(consonants[at]) if at < len(consonants) else ""
        if consonant == "ʔ" and base != "ʔ":
            out.append(False)
            continue
        long = at < len(consonants) and consonants[at].endswith(LONG)
        at += 1
        if (
            consonant.endswith(ROUND)
            and not base.endswith(ROUND)
            and at < len(consonants)
            and short(consonants[at]) == "w"
        ):
            at += 1
        out.append(long)
    return out if at == len(consonants) else None


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for left in first:
        last = row[:]
        for at, right in enumerate(second, 1):
            row[at] = last[at - 1] + 1 if left == right else max(row[at - 1], last[at])
    return row[-1]


def _distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the Levenshtein distance."""
    if first == second:
        return 0
    row = list(range(len(second) + 1))
    for at, left in enumerate(first, 1):
        diagonal, row[0] = row[0], at
        for column, right in enumerate(second, 1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (left != right)),
            )
    return row[-1]
