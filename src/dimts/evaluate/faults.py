"""A wave and what should be said in it → what is wrong with it: one `Examined`, with a Doubt for every fault found.

    examined = examine(wave, words, recogniser, profile)
    examined.doubts        cut, loop, extra, wrong_word, short_consonants, other_voice, noise, pause

The commonest complaints about neural voices: the end is cut off, a piece is said twice, something is said that is
not in the text. Each is asked of the recogniser's chances, not of what it would have written: how much likelier is the
text without its end, how much of what was said belongs to no phone, how much likelier are other signs within a word;
length is asked of the borders of phones (segmenter.py, lengths.py).
So a recogniser that is unsure cries no wolf. Thresholds were set on planted errors (docs/evaluation.md); `calibrated`
raises them to what recordings of the speaker need.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dimts.audio.level import frame_levels, high_pass
from dimts.audio.likeness import Embedding, embed, likeness
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError, ConfigError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.evaluate.metrics import Edits, align, per
from dimts.evaluate.phone_labels import greedy_decode, word_labels
from dimts.evaluate.phone_recogniser import AlternativeScorer, PhoneRecogniser, Posteriors
from dimts.evaluate.sound import Prosody, prosody
from dimts.text.phones import short


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """From where on something is a fault. Evidence is in natural logarithms of likelihoods."""

    cut_evidence: float = 4.0
    """By which the text without its end is likelier than the whole, for each sign of that end."""
    extra_evidence: float = 12.0
    """By which something was said, rather than nothing, between two phones or beyond the ends."""
    word_excess: float = 3.7
    """By which something else is likelier than a word, for each sign of it and two more."""
    short_evidence: float = 1.0
    """By which "all long consonants last half their time" is likelier than "they last as long as usual"."""
    likeness: float = 0.80
    """Likeness to the voice below which it is another's."""
    snr_db: float = 17.0
    """Speech over noise (see `floor_snr_db`), below which it is noisy."""
    pause_seconds: float = 2.0
    """A silence within a phrase that is longer has lost its way."""

    def __post_init__(self) -> None:
        evidence = (self.cut_evidence, self.extra_evidence, self.word_excess, self.short_evidence)
        if min(evidence) <= 0 or self.pause_seconds <= 0:
            raise ConfigError("evaluate.thresholds_out_of_range")


@dataclass(frozen=True, slots=True)
class Evidence:
    """How much speaks for each fault, whatever the thresholds say."""

    cut: float
    """For each sign of the end that seems to be missing."""
    missing: int
    """How many these are."""
    extra: float
    """Of the place where most was said that belongs to no phone."""
    extra_said: tuple[str, ...]
    """What seems to have been said there."""
    extra_kind: str
    """loop: much the same stands beside it; extra: it does not."""
    short: Mapping[int, float]
    """Place of a long consonant → what speaks for half its time (lengths.py)."""

    @property
    def shortened(self) -> float:
        """What speaks for all of them having half their time; 0 where there is none."""
        return sum(self.short.values())


@dataclass(frozen=True, slots=True)
class HeardWord:
    """One expected word and how well it was heard."""

    expected: tuple[str, ...]
    heard: tuple[str, ...]
    error: float
    """Share of its signs that are wrong or missing."""
    excess: float
    """By how much, in natural log, anything else is likelier there than it, for each sign and two more."""


@dataclass(frozen=True, slots=True)
class Examined:
    """All that was found in one wave."""

    expected: tuple[str, ...]
    heard: tuple[str, ...]
    errors: Edits
    """Phone errors, length counted."""
    errors_without_length: Edits
    words: tuple[HeardWord, ...]
    evidence: Evidence
    prosody: Prosody
    likeness: float
    """To the voice it should be; nan where none was given."""
    snr_db: float
    doubts: tuple[Issue, ...]


def examine(
    wave: Wave,
    words: Sequence[Sequence[str]],
    recogniser: PhoneRecogniser,
    profile: Embedding | None = None,
    settings: FaultSettings | None = None,
) -> Examined:
    """Listen to `wave`, in which `words` (phones) should be said by the voice of `profile`.

    Silence is examined too: everything is missing. AudioError if there are no phones to expect.
    """
    settings = settings or FaultSettings()
    spelt = [word for word in word_labels(words) if word]
    expected = tuple(sign for word in spelt for sign in word)
    if not expected:
        raise AudioError("evaluate.no_words")
    if wave.seconds < 2 * _SHORTEST_SECONDS or not np.any(wave.samples):
        return _silence(wave, spelt, expected)
    heard = recogniser.hear(wave)
    found, evidence = _weigh(heard, spelt, expected, _short(wave, spelt, recogniser))
    spoken = prosody(wave, expected)
    snr = floor_snr_db(wave)
    alike = likeness(embed(wave), profile) if profile is not None else math.nan
    examined = Examined(
        expected, heard.phones, per(heard.phones, expected), per(heard.phones, expected, length=False), found, evidence,
        spoken, alike, snr, (),
    )  # fmt: skip
    return judged(examined, settings)


def judged(examined: Examined, settings: FaultSettings) -> Examined:
    """The same, its doubts by other thresholds."""
    if not examined.heard and math.isinf(examined.evidence.cut):
        return examined  # silence is a fault by any
    return replace(examined, doubts=tuple(_doubts(examined, settings)))


def calibrated(settings: FaultSettings, clean: Sequence[Examined]) -> FaultSettings:
    """The thresholds for a speaker of whom `clean` are recordings without faults.

    Each is moved to where the recordings alone would cross it in about one of a hundred (mean and deviation, as there
    are few of them; of what is asked of the text, without the oddest tenth, whose text may be wrong; of lengths and
    likeness, which lie far from normal, to where one of twenty crosses it). None is made stricter than in `settings`
    but that of likeness, up to where hardly any stranger was found: a steady reader is told from others better than
    most. Under five recordings nothing is moved.
    """
    if len(clean) < _LEAST_CLEAN:
        return settings

    def highest(values: Iterable[float], usual: float, odd: float = 0.0) -> float:
        known = sorted(value for value in values if math.isfinite(value))
        if len(known) < _LEAST_CLEAN:
            return usual
        known = known[: len(known) - math.ceil(odd * len(known))]
        return max(usual, float(np.mean(known) + _ONE_IN_A_HUNDRED * np.std(known, ddof=1)))

    words = (max(word.excess for word in one.words) for one in clean)
    return replace(
        settings,
        cut_evidence=highest((one.evidence.cut for one in clean), settings.cut_evidence, _ODD_SHARE),
        extra_evidence=highest((one.evidence.extra for one in clean), settings.extra_evidence, _ODD_SHARE),
        word_excess=highest(words, settings.word_excess, _ODD_SHARE),
        short_evidence=_over_most(
            [one.evidence.shortened for one in clean if one.evidence.short], settings.short_evidence
        ),
        likeness=_least_alike([one.likeness for one in clean], settings.likeness),
        snr_db=-highest((-one.snr_db for one in clean), -settings.snr_db),
        pause_seconds=highest((_longest_pause(one.prosody) for one in clean), settings.pause_seconds),
    )


def _over_most(values: Sequence[float], usual: float) -> float:
    return max(usual, float(np.quantile(values, _MOST))) if len(values) >= _LEAST_CLEAN else usual


def _least_alike(values: Sequence[float], usual: float) -> float:
    known = [value for value in values if math.isfinite(value)]
    return min(float(np.quantile(known, 1.0 - _MOST)), max(_STRANGEST, usual)) if len(known) >= _LEAST_CLEAN else usual


_STRANGEST = 0.83
"""Likeness under which 98.7 % of the strangers lie (docs/evaluation.md)."""
_LEAST_CLEAN = 5
_MOST = 0.95
_ODD_SHARE = 0.1
_ONE_IN_A_HUNDRED = 2.33
"""Deviations above the mean."""


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


def _silence(wave: Wave, spelt: Sequence[tuple[str, ...]], expected: tuple[str, ...]) -> Examined:
    nothing = Edits(missing=len(expected))
    return Examined(
        expected, (), nothing, nothing, tuple(HeardWord(word, (), 1.0, math.inf) for word in spelt),
        Evidence(math.inf, len(expected), 0.0, (), "extra", {}),
        Prosody(wave.seconds, math.nan, (), wave.seconds, 0.0, math.nan, math.nan), math.nan, math.nan,
        (Issue('cut', Message('evaluate.nothing_spoken', expected_count=len(expected)), float(len(expected)), 0.0),),
    )  # fmt: skip


def _weigh(
    heard: Posteriors, spelt: Sequence[tuple[str, ...]], expected: tuple[str, ...], shortness: Mapping[int, float]
) -> tuple[tuple[HeardWord, ...], Evidence]:
    """Each word, and what speaks for faults."""
    try:
        ways = AlternativeScorer(heard, expected)
    except AudioError:  # shorter than the sentence can be
        missing, cut = _cut(heard.costs_of_beginnings(expected))
        unheard = tuple(HeardWord(word, (), 1.0, math.inf) for word in spelt)
        return unheard, Evidence(cut, missing, 0.0, (), "extra", shortness)
    missing, cut = _cut(ways.costs)
    path, best = heard.path(expected), heard.chances.argmax(axis=1)
    words: list[HeardWord] = []
    first = 0
    for word in spelt:
        last = first + len(word)
        said = greedy_decode(best[(path >= 2 * first + 1) & (path <= 2 * last - 1)])
        good = sum(
            step.kind == "same" for step in align([short(sign) for sign in said], [short(sign) for sign in word])
        )
        other = ways.instead(first, last)
        words.append(HeardWord(word, said, 1.0 - good / len(word), other.evidence / (len(word) + _MORE_SIGNS)))
        first = last
    more = ways.besides()
    kind = "loop" if _repeats(more.said, expected[: more.place], expected[more.place :]) else "extra"
    return tuple(words), Evidence(cut, missing, more.evidence, more.said, kind, shortness)


_MORE_SIGNS = 2
"""That a word is counted longer by, as short ones are the sooner misheard."""


def _cut(costs: npt.NDArray[np.float64]) -> tuple[int, float]:
    """How many signs of the end are missing, if any are, and by how much that is likelier for each of them."""
    whole = len(costs) - 1
    if not math.isfinite(costs[whole]):
        return whole - int(np.argmin(costs)), math.inf
    gains = {gone: (costs[whole] - costs[whole - gone]) / gone for gone in range(_LEAST_MISSING, whole)}
    if not gains:
        return 0, 0.0
    gone = max(gains, key=lambda gone: (gains[gone], gone))
    return gone, float(gains[gone])


_LEAST_MISSING = 4
"""An end of fewer signs may have been swallowed as people do."""


def _repeats(said: Sequence[str], before: Sequence[str], after: Sequence[str]) -> bool:
    """Whether what was said too much is much the same as what stands beside it, length apart."""
    flat = [short(sign) for sign in said]
    for beside in (before[-len(said) - 2 :], after[: len(said) + 2]):
        same = sum(step.kind == "same" for step in align(flat, [short(sign) for sign in beside]))
        if said and same >= 0.6 * len(said):
            return True
    return False


def _short(wave: Wave, spelt: Sequence[tuple[str, ...]], recogniser: PhoneRecogniser) -> dict[int, float]:
    """Long consonants → what speaks for half their time; none where the wave is too short for all that is asked."""
    try:
        placed = recogniser.segmenter.segment(wave, spelt)
    except AudioError:  # is a cut
        return {}
    return recogniser.segmenter.lengths.evidence(placed)


def _doubts(one: Examined, settings: FaultSettings) -> Iterator[Issue]:
    evidence, expected = one.evidence, one.expected
    if evidence.cut > settings.cut_evidence:
        lost = " ".join(expected[-evidence.missing :])
        yield Issue("cut", Message("evaluate.end_missing", lost=lost), evidence.cut, settings.cut_evidence)
    if evidence.extra > settings.extra_evidence:
        code = "evaluate.extra_repeated" if evidence.extra_kind == "loop" else "evaluate.extra_invented"
        message = Message(code, said=" ".join(evidence.extra_said))
        yield Issue(evidence.extra_kind, message, evidence.extra, settings.extra_evidence)
    for word in one.words:
        if word.excess > settings.word_excess:
            expected_phones = " ".join(word.expected)
            message = Message("evaluate.word_missing", expected=expected_phones)
            if word.heard:
                message = Message("evaluate.wrong_word", found=" ".join(word.heard), expected=expected_phones)
            yield Issue("wrong_word", message, word.excess, settings.word_excess)
    if evidence.shortened > settings.short_evidence:
        said = ", ".join(
            f"{expected[place]} in {' '.join(expected[max(0, place - 2) : place + 3])}"
            for place, margin in evidence.short.items()
            if margin > 0
        )
        yield Issue(
            "short_consonants",
            Message("evaluate.short_consonants", said=said),
            evidence.shortened,
            settings.short_evidence,
        )
    if one.likeness < settings.likeness:
        yield Issue(
            "other_voice", Message("evaluate.other_voice", likeness=one.likeness), one.likeness, settings.likeness
        )
    if one.snr_db < settings.snr_db:
        yield Issue("noise", Message("evaluate.noise", snr_db=one.snr_db), one.snr_db, settings.snr_db)
    longest = _longest_pause(one.prosody)
    if longest > settings.pause_seconds:
        yield Issue("pause", Message("evaluate.pause", longest=longest), longest, settings.pause_seconds)


def _longest_pause(spoken: Prosody) -> float:
    return max((end - start for start, end in spoken.pauses), default=0.0)
