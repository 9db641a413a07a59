"""A wave and what should be said in it → what is wrong with it: one `Examined`, with a Doubt for every fault found.

    examined = examine(wave, words, listener, profile)
    examined.doubts        cut, loop, extra, wrong_word, short_consonants, other_voice, noise, pause

The commonest complaints about neural voices: the end is cut off, a piece is said twice, something is said that is
not in the text. Each of these is a run of signs that the listener heard and nobody asked for, or the other way
round; single mistakes of the listener are no fault. Thresholds were set on planted errors (docs/evaluation.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dimts.audio.level import frame_levels, high_pass
from dimts.audio.likeness import Embedding, embed, likeness
from dimts.audio.wave import Wave
from dimts.base.doubt import Doubt
from dimts.base.errors import AudioError, ConfigError
from dimts.evaluate.listener import Heard, Listener, words_signs
from dimts.evaluate.metrics import Edits, Step, align, best_prefixes, per
from dimts.evaluate.sound import Prosody, prosody
from dimts.text.phones import CONSONANTS, LONG, is_vowel, short


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """From where on something is a fault."""

    missing_run: int = 4
    """Signs missing at the end."""
    extra_run: int = 3
    """Signs in a row, on balance, that come without being asked for."""
    word_excess: float = 3.0
    """Natural log by which other signs are likelier in a word than its own, on the mean of its signs."""
    short_margin: float = 2.2
    """Natural log by which "said short" must be likelier than "said long", for one long consonant."""
    likeness: float = 0.80
    """Likeness to the voice below which it is another's."""
    snr_db: float = 17.0
    """Speech over noise (see `floor_snr_db`), below which it is noisy."""
    pause_seconds: float = 1.2
    """A silence within a phrase that is longer has lost its way."""

    def __post_init__(self) -> None:
        if min(self.missing_run, self.extra_run) < 2 or self.pause_seconds <= 0 or self.word_excess <= 0:
            raise ConfigError("fault thresholds are out of range", "runs >= 2, pause_seconds > 0, word_excess > 0")


@dataclass(frozen=True, slots=True)
class HeardWord:
    """One expected word and how well it was heard."""

    expected: tuple[str, ...]
    heard: tuple[str, ...]
    error: float
    """Share of its signs that are wrong or missing."""
    excess: float
    """By how much, in natural log for each sign, other signs are likelier there than its own."""


@dataclass(frozen=True, slots=True)
class Examined:
    """All that was found in one wave."""

    expected: tuple[str, ...]
    heard: tuple[str, ...]
    errors: Edits
    """Phone errors, length counted."""
    errors_without_length: Edits
    words: tuple[HeardWord, ...]
    prosody: Prosody
    likeness: float
    """To the voice it should be; nan where none was given."""
    snr_db: float
    doubts: tuple[Doubt, ...]


def examine(
    wave: Wave,
    words: Sequence[Sequence[str]],
    listener: Listener,
    profile: Embedding | None = None,
    settings: FaultSettings | None = None,
) -> Examined:
    """Listen to `wave`, in which `words` (phones) should be said by the voice of `profile`.

    Silence is examined too: everything is missing. AudioError if there are no phones to expect.
    """
    settings = settings or FaultSettings()
    spelt = [word for word in words_signs(words) if word]
    expected = tuple(sign for word in spelt for sign in word)
    if not expected:
        raise AudioError("there is nothing that should be said", "give words with phones")
    if wave.seconds < 2 * _SHORTEST_SECONDS or not np.any(wave.samples):
        return _silence(wave, spelt, expected)
    heard = listener.hear(wave)
    steps = align(heard.phones, expected, _likeness_cost)
    found = _words(heard, spelt, expected, steps)
    spoken = prosody(wave, expected)
    snr = floor_snr_db(wave)
    alike = likeness(embed(wave), profile) if profile is not None else math.nan
    doubts = [
        *_runs(heard.phones, expected, steps, settings),
        *_wrong_words(found, settings),
        *_lengths(heard, expected, settings),
        *_pauses(spoken, settings),
    ]
    if alike < settings.likeness:
        doubts.append(Doubt("other_voice", f"likeness to the voice is {alike:.2f}", alike, settings.likeness))
    if snr < settings.snr_db:
        doubts.append(Doubt("noise", f"speech is only {snr:.0f} dB over the noise", snr, settings.snr_db))
    return Examined(
        expected, heard.phones, per(heard.phones, expected), per(heard.phones, expected, length=False), found, spoken,
        alike, snr, tuple(doubts),
    )  # fmt: skip


def floor_snr_db(wave: Wave) -> float:
    """Loud half of the frames over the quietest twentieth, dB; nan for silence, inf over digital silence.

    A voice leaves closures and gaps in which nothing but the noise is left, even where it makes no pause, so the
    quietest frames tell the noise (after the minimum statistics of Martin 2001).
    """
    levels = frame_levels(high_pass(wave)).astype(np.float64)
    if len(levels) < _LEAST_FRAMES or levels.max() <= _SILENT_DBFS:
        return math.nan
    ordered = np.sort(10.0 ** (levels / 10.0))
    noise = float(ordered[: max(1, round(_QUIETEST_SHARE * len(ordered)))].mean())
    return 10.0 * math.log10(float(ordered[len(ordered) // 2 :].mean()) / max(noise, 1e-13))


_QUIETEST_SHARE = 0.05
_LEAST_FRAMES, _SILENT_DBFS = 20, -100.0
_SHORTEST_SECONDS = 0.05
_CLOSE_COST, _FAR_COST = 0.5, 1.2
"""Taking m for mː or p for b is a slip of the ear; a vowel for a consonant is another place in the sentence."""


def _likeness_cost(one: str, other: str) -> float:
    if short(one) == short(other):
        return _CLOSE_COST / 2
    if is_vowel(one) and is_vowel(other):
        return _CLOSE_COST
    if is_vowel(one) or is_vowel(other):
        return _FAR_COST
    a, b = CONSONANTS[short(one)], CONSONANTS[short(other)]
    alike = (a.manner == b.manner) + (a.place == b.place) + (a.voiced == b.voiced)
    return _CLOSE_COST if alike >= 2 else 1.0


def _silence(wave: Wave, spelt: Sequence[tuple[str, ...]], expected: tuple[str, ...]) -> Examined:
    nothing = Edits(missing=len(expected))
    return Examined(
        expected, (), nothing, nothing, tuple(HeardWord(word, (), 1.0, math.inf) for word in spelt),
        Prosody(wave.seconds, math.nan, (), wave.seconds, 0.0, math.nan, math.nan), math.nan, math.nan,
        (Doubt("cut", f"nothing is said of {len(expected)} phones", float(len(expected)), 0.0),),
    )  # fmt: skip


def _runs(heard: Sequence[str], expected: Sequence[str], steps: Sequence[Step], settings: FaultSettings) -> list[Doubt]:
    """What is missing at the end (cut), and what is said too much (loop, extra)."""
    doubts: list[Doubt] = []
    _, reached = best_prefixes(heard, expected, _likeness_cost)
    missing = len(expected) - reached
    if missing >= settings.missing_run:
        lost = " ".join(expected[-missing:])
        doubts.append(Doubt("cut", f"the end is missing: {lost}", float(missing), float(settings.missing_run - 1)))
    for first, last in _extra_runs(steps, settings.extra_run):
        places = [step.heard for step in steps[first:last] if step.heard is not None and step.kind != "same"]
        said = [heard[place] for place in places]
        if _repeats(said, heard[: places[0]], heard[places[-1] + 1 :]):
            kind, words = "loop", "said again"
        else:
            at_end = not any(step.kind == "same" for step in steps[last:])
            kind, words = "extra", "said after the end" if at_end else "not asked for"
        doubts.append(Doubt(kind, f"{words}: {' '.join(said)}", float(len(said)), float(settings.extra_run - 1)))
    return doubts


def _extra_runs(steps: Sequence[Step], least: int) -> list[tuple[int, int]]:
    """Stretches of the alignment with at least `least` more signs than there should be.

    Within a repetition the aligner finds a sign here and there that fits by chance; these do not end a stretch.
    """
    runs: list[tuple[int, int]] = []
    at = 0
    while at < len(steps):
        if steps[at].kind != "extra":
            at += 1
            continue
        surplus, best, end, here = 0, 0, at, at
        while here < len(steps) and surplus >= 0:
            surplus += {"extra": 1, "same": -1, "wrong": 0, "missing": -1}[steps[here].kind]
            here += 1
            if surplus > best:
                best, end = surplus, here
        if best >= least:
            runs.append((at, end))
        at = max(end, at + 1)
    return runs


def _repeats(said: Sequence[str], before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether what was said too much is much the same as what stands beside it."""
    for beside in (before[-len(said) - 2 :], after[: len(said) + 2]):
        same = sum(step.kind == "same" for step in align(list(said), list(beside)))
        if said and same >= 0.6 * len(said):
            return True
    return False


def _words(
    heard: Heard, spelt: Sequence[tuple[str, ...]], expected: Sequence[str], steps: Sequence[Step]
) -> tuple[HeardWord, ...]:
    excess = _excess(heard, expected)
    out = []
    first = 0
    for word in spelt:
        last = first + len(word)
        mine = [step for step in steps if step.expected is not None and first <= step.expected < last]
        said = tuple(heard.phones[step.heard] for step in mine if step.heard is not None)
        good = sum(
            step.kind == "same"
            or (step.heard is not None and short(heard.phones[step.heard]) == short(expected[step.expected or 0]))
            for step in mine
        )
        out.append(HeardWord(word, said, 1.0 - good / len(word), float(np.mean(excess[first:last]))))
        first = last
    return tuple(out)


def _excess(heard: Heard, expected: Sequence[str]) -> np.ndarray:
    """For each expected sign: how much likelier, in natural log, the best sign is over the time it was given."""
    try:
        placed = heard.align(expected)
    except AudioError:  # shorter than the sentence can be
        return np.full(len(expected), math.inf)
    return np.array([-math.log(max(one.chance, 1e-9)) for one in placed])


def _wrong_words(words: Sequence[HeardWord], settings: FaultSettings) -> list[Doubt]:
    return [
        Doubt(
            "wrong_word",
            f"heard {' '.join(word.heard) or 'nothing'} for {' '.join(word.expected)}",
            word.excess,
            settings.word_excess,
        )
        for word in words
        if word.excess >= settings.word_excess
    ]


def _lengths(heard: Heard, expected: tuple[str, ...], settings: FaultSettings) -> list[Doubt]:
    """Long consonants that are likelier to have been said short; not the very last sign, after which nothing tells."""
    places = [place for place, sign in enumerate(expected[:-1]) if sign.endswith(LONG)]
    if not places:
        return []
    as_long = heard.cost(expected)
    found: dict[int, float] = {}
    for place in places:
        margin = as_long - heard.cost([*expected[:place], short(expected[place]), *expected[place + 1 :]])
        if math.isfinite(margin) and margin > settings.short_margin:
            found[place] = margin
    if not found:
        return []
    said = ", ".join(f"{expected[place]} in {' '.join(expected[max(0, place - 2) : place + 3])}" for place in found)
    return [Doubt("short_consonants", f"sounds short: {said}", max(found.values()), settings.short_margin)]


def _pauses(spoken: Prosody, settings: FaultSettings) -> list[Doubt]:
    longest = max((end - start for start, end in spoken.pauses), default=0.0)
    if longest <= settings.pause_seconds:
        return []
    return [Doubt("pause", f"a silence of {longest:.1f} s within", longest, settings.pause_seconds)]
