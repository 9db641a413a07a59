"""Detect faults of a spoken sentence: `examine` returns measurements, evidence and an Issue for each fault.

    examined = examine(wave, words, recogniser, profile)
    examined.issues        cut, loop, extra, wrong_word, short_consonants, other_voice, noise, pause

The commonest faults of neural voices are a truncated end, repetitions and speech that is not in the text.
Each is tested by a likelihood ratio from the recogniser's posteriors rather than by its decoding: of the text
without its end, of additional labels between those of the text, of other labels in place of a word. Length is
tested by phone durations (hmm_aligner.py, gemination.py). So an uncertain recogniser raises few false alarms.
Default thresholds were set on injected errors (docs/evaluation.md); `calibrate` raises them to what
recordings of the speaker need.
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
from dimts.evaluate.phone_labels import AlignedPhone, greedy_decode, word_labels
from dimts.evaluate.phone_recogniser import AlternativeScorer, PhoneRecogniser, Posteriors
from dimts.evaluate.sound import Prosody, prosody
from dimts.text.phones import short


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """Thresholds of the faults. Evidence is a log-likelihood ratio, natural logarithm."""

    cut_evidence: float = 4.0
    """Log-likelihood ratio of the text without its end to the whole text, for each label of that end."""
    extra_evidence: float = 12.0
    """Log-likelihood ratio of additional labels at one position to none."""
    word_excess: float = 3.7
    """Log-likelihood ratio of other labels to those of a word, divided by their number plus two."""
    short_evidence: float = 0.6
    """Log-likelihood ratio of half to full duration, summed over the long consonants of the sentence."""
    likeness: float = 0.80
    """Cosine similarity to the speaker's embedding below which the voice counts as another's."""
    snr_db: float = 17.0
    """Signal-to-noise ratio (see `floor_snr_db`) in dB, below which the sentence is noisy."""
    pause_seconds: float = 2.0
    """Longest silence within a sentence that is no fault."""

    def __post_init__(self) -> None:
        evidence = (self.cut_evidence, self.extra_evidence, self.word_excess, self.short_evidence)
        if min(evidence) <= 0 or self.pause_seconds <= 0:
            raise ConfigError("evaluate.thresholds_out_of_range")


@dataclass(frozen=True, slots=True)
class Evidence:
    """Log-likelihood ratios of the faults of a sentence, before thresholds."""

    cut: float
    """Ratio of the text without its end to the whole text, for each missing label."""
    missing: int
    """Number of labels missing at the end."""
    extra: float
    """Ratio of additional labels at the likeliest position to none."""
    extra_labels: tuple[str, ...]
    """Greedy decoding of the additional labels."""
    extra_kind: str
    """"loop" if the additional labels repeat their neighbours, else "extra"."""
    short: Mapping[int, float]
    """Ratio of half to full duration by position of the long consonant (gemination.py)."""

    @property
    def shortened(self) -> float:
        """Sum of the ratios of all long consonants; 0 if there is none."""
        return sum(self.short.values())


@dataclass(frozen=True, slots=True)
class RecognisedWord:
    """An expected word and the labels recognised for it."""

    expected: tuple[str, ...]
    """Labels of the word."""
    recognised: tuple[str, ...]
    """Greedy decoding of the frames aligned to the word."""
    error: float
    """Share of its labels that are substituted or deleted, 0 to 1."""
    excess: float
    """Log-likelihood ratio of other labels to those of the word, divided by their number plus two."""


@dataclass(frozen=True, slots=True)
class Examined:
    """Measurements, evidence and faults of one spoken sentence."""

    expected: tuple[str, ...]
    """Labels of the text."""
    recognised: tuple[str, ...]
    """Greedy decoding of the wave."""
    errors: Edits
    """Phone errors, with length."""
    errors_without_length: Edits
    """Phone errors, long consonants counted as short ones."""
    words: tuple[RecognisedWord, ...]
    evidence: Evidence
    prosody: Prosody
    likeness: float
    """Cosine similarity to the speaker's embedding; nan without one."""
    snr_db: float
    """Signal-to-noise ratio in dB (see `floor_snr_db`)."""
    issues: tuple[Issue, ...]
    """Faults found by the thresholds."""
    aligned: tuple[AlignedPhone, ...] = ()
    """Times of the expected labels by forced alignment; empty where the wave is too short for them."""


def examine(
    wave: Wave,
    words: Sequence[Sequence[str]],
    recogniser: PhoneRecogniser,
    profile: Embedding | None = None,
    settings: FaultSettings | None = None,
) -> Examined:
    """Compare `wave` with the phones of `words`, spoken by the speaker of embedding `profile`.

    A silent wave has the fault "cut". AudioError if `words` hold no phones.
    """
    settings = settings or FaultSettings()
    labels = [word for word in word_labels(words) if word]
    expected = tuple(label for word in labels for label in word)
    if not expected:
        raise AudioError("evaluate.no_words")
    if wave.seconds < 2 * _SHORTEST_SECONDS or not np.any(wave.samples):
        return _silence(wave, labels, expected)
    posteriors = recogniser.recognise(wave)
    aligned = _aligned(wave, labels, recogniser)
    shortness = recogniser.aligner.gemination.evidence(aligned) if aligned else {}
    found, evidence = _evidence(posteriors, labels, expected, shortness)
    phones, spoken = posteriors.phones, prosody(wave, expected)
    snr = floor_snr_db(wave)
    similarity = likeness(embed(wave), profile) if profile is not None else math.nan
    examined = Examined(
        expected, phones, per(phones, expected), per(phones, expected, length=False), found, evidence, spoken,
        similarity, snr, (), aligned,
    )  # fmt: skip
    return with_thresholds(examined, settings)


def with_thresholds(examined: Examined, settings: FaultSettings) -> Examined:
    """Return `examined` with issues by other thresholds."""
    if not examined.recognised and math.isinf(examined.evidence.cut):
        return examined  # silence is a fault by any thresholds
    return replace(examined, issues=tuple(_issues(examined, settings)))


def calibrate(settings: FaultSettings, clean: Sequence[Examined]) -> FaultSettings:
    """Adapt the thresholds to a speaker, from recordings `clean` without faults.

    Each is moved to where about 1 % of the recordings cross it: by mean and standard deviation, as there are
    few; for evidence on the text, without the most extreme tenth, whose text may be wrong; for durations and
    likeness, whose distributions are not normal, to the 95 % quantile. Only the threshold of likeness may
    become stricter than in `settings`, up to 0.83, which hardly any other speaker exceeds. With under five
    recordings nothing is changed.
    """
    if len(clean) < _LEAST_CLEAN:
        return settings

    def highest(values: Iterable[float], default: float, outliers: float = 0.0) -> float:
        known = sorted(value for value in values if math.isfinite(value))
        if len(known) < _LEAST_CLEAN:
            return default
        known = known[: len(known) - math.ceil(outliers * len(known))]
        return max(default, float(np.mean(known) + _ONE_IN_A_HUNDRED * np.std(known, ddof=1)))

    words = (max(word.excess for word in one.words) for one in clean)
    return replace(
        settings,
        cut_evidence=highest((one.evidence.cut for one in clean), settings.cut_evidence, _OUTLIER_SHARE),
        extra_evidence=highest(
            (one.evidence.extra for one in clean), settings.extra_evidence, _OUTLIER_SHARE
        ),
        word_excess=highest(words, settings.word_excess, _OUTLIER_SHARE),
        short_evidence=_upper_quantile(
            [one.evidence.shortened for one in clean if one.evidence.short], settings.short_evidence
        ),
        likeness=_likeness_threshold([one.likeness for one in clean], settings.likeness),
        snr_db=-highest((-one.snr_db for one in clean), -settings.snr_db),
        pause_seconds=highest((_longest_pause(one.prosody) for one in clean), settings.pause_seconds),
    )


def _upper_quantile(values: Sequence[float], default: float) -> float:
    return max(default, float(np.quantile(values, _MOST))) if len(values) >= _LEAST_CLEAN else default


def _likeness_threshold(values: Sequence[float], default: float) -> float:
    known = [value for value in values if math.isfinite(value)]
    return (
        min(float(np.quantile(known, 1.0 - _MOST)), max(_OTHER_SPEAKERS, default))
        if len(known) >= _LEAST_CLEAN
        else default
    )


_OTHER_SPEAKERS = 0.83
"""Likeness that 98.7 % of sentences of other speakers do not reach (docs/evaluation.md)."""
_LEAST_CLEAN = 5
_MOST = 0.95
_OUTLIER_SHARE = 0.1
_ONE_IN_A_HUNDRED = 2.33
"""Standard deviations above the mean that 1 % of a normal distribution exceed."""


def floor_snr_db(wave: Wave) -> float:
    """Estimate the SNR in dB: the louder half of the frames over the quietest twentieth.

    Speech has closures and gaps that hold nothing but noise, even without pauses, so the quietest frames
    estimate the noise floor (after the minimum statistics of Martin 2001). nan for silence, inf over digital
    silence.
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


def _silence(wave: Wave, labels: Sequence[tuple[str, ...]], expected: tuple[str, ...]) -> Examined:
    nothing = Edits(deletions=len(expected))
    return Examined(
        expected,
        (),
        nothing,
        nothing,
        tuple(RecognisedWord(word, (), 1.0, math.inf) for word in labels),
        Evidence(math.inf, len(expected), 0.0, (), "extra", {}),
        Prosody(wave.seconds, math.nan, (), wave.seconds, 0.0, math.nan, math.nan),
        math.nan,
        math.nan,
        (
            Issue(
                "cut",
                Message("evaluate.nothing_spoken", expected_count=len(expected)),
                float(len(expected)),
                0.0,
            ),
        ),
    )


def _evidence(
    posteriors: Posteriors,
    labels: Sequence[tuple[str, ...]],
    expected: tuple[str, ...],
    shortness: Mapping[int, float],
) -> tuple[tuple[RecognisedWord, ...], Evidence]:
    """Score each word and the faults."""
    try:
        scorer = AlternativeScorer(posteriors, expected)
    except AudioError:  # shorter than the sentence can be
        missing, cut = _cut(posteriors.prefix_nlls(expected))
        missing_words = tuple(RecognisedWord(word, (), 1.0, math.inf) for word in labels)
        return missing_words, Evidence(cut, missing, 0.0, (), "extra", shortness)
    missing, cut = _cut(scorer.prefix_nlls)
    path, best = posteriors.path(expected), posteriors.log_probs.argmax(axis=1)
    words: list[RecognisedWord] = []
    first = 0
    for word in labels:
        last = first + len(word)
        recognised = greedy_decode(best[(path >= 2 * first + 1) & (path <= 2 * last - 1)])
        good = sum(
            step.kind == "equal"
            for step in align([short(label) for label in recognised], [short(label) for label in word])
        )
        other = scorer.substitution(first, last)
        words.append(
            RecognisedWord(
                word, recognised, 1.0 - good / len(word), other.evidence / (len(word) + _MORE_LABELS)
            )
        )
        first = last
    more = scorer.insertion()
    kind = "loop" if _repeats(more.labels, expected[: more.position], expected[more.position :]) else "extra"
    return tuple(words), Evidence(cut, missing, more.evidence, more.labels, kind, shortness)


_MORE_LABELS = 2
"""Added to the number of labels of a word, as short words are misrecognised more often."""


def _cut(nlls: npt.NDArray[np.float64]) -> tuple[int, float]:
    """Find the likeliest number of labels missing at the end, and the log-likelihood ratio for each of
    them."""
    whole = len(nlls) - 1
    if not math.isfinite(nlls[whole]):
        return whole - int(np.argmin(nlls)), math.inf
    gains = {gone: (nlls[whole] - nlls[whole - gone]) / gone for gone in range(_LEAST_MISSING, whole)}
    if not gains:
        return 0, 0.0
    gone = max(gains, key=lambda gone: (gains[gone], gone))
    return gone, float(gains[gone])


_LEAST_MISSING = 4
"""Least number of labels of a missing end; speakers reduce shorter ones."""


def _repeats(labels: Sequence[str], before: Sequence[str], after: Sequence[str]) -> bool:
    """Return whether additional labels repeat 60 % of those before or after them, length ignored."""
    flat = [short(label) for label in labels]
    for beside in (before[-len(labels) - 2 :], after[: len(labels) + 2]):
        same = sum(step.kind == "equal" for step in align(flat, [short(label) for label in beside]))
        if labels and same >= 0.6 * len(labels):
            return True
    return False


def _aligned(
    wave: Wave, labels: Sequence[tuple[str, ...]], recogniser: PhoneRecogniser
) -> tuple[AlignedPhone, ...]:
    """Align the labels of the text; empty if the wave is too short for the text."""
    try:
        return tuple(recogniser.aligner.align(wave, labels))
    except AudioError:  # reported as a cut
        return ()


def _issues(one: Examined, settings: FaultSettings) -> Iterator[Issue]:
    evidence, expected = one.evidence, one.expected
    if evidence.cut > settings.cut_evidence:
        lost = " ".join(expected[-evidence.missing :])
        yield Issue("cut", Message("evaluate.end_missing", lost=lost), evidence.cut, settings.cut_evidence)
    if evidence.extra > settings.extra_evidence:
        code = "evaluate.extra_repeated" if evidence.extra_kind == "loop" else "evaluate.extra_invented"
        message = Message(code, phones=" ".join(evidence.extra_labels))
        yield Issue(evidence.extra_kind, message, evidence.extra, settings.extra_evidence)
    for word in one.words:
        if word.excess > settings.word_excess:
            expected_phones = " ".join(word.expected)
            message = Message("evaluate.word_missing", expected=expected_phones)
            if word.recognised:
                message = Message(
                    "evaluate.wrong_word", found=" ".join(word.recognised), expected=expected_phones
                )
            yield Issue("wrong_word", message, word.excess, settings.word_excess)
    if evidence.shortened > settings.short_evidence:
        consonants = ", ".join(
            f"{expected[place]} in {' '.join(expected[max(0, place - 2) : place + 3])}"
            for place, margin in evidence.short.items()
            if margin > 0
        )
        yield Issue(
            "short_consonants",
            Message("evaluate.short_consonants", consonants=consonants),
            evidence.shortened,
            settings.short_evidence,
        )
    yield from sound_issues(one.likeness, one.snr_db, one.prosody, settings)


def sound_issues(likeness: float, snr_db: float, spoken: Prosody, settings: FaultSettings) -> Iterator[Issue]:
    """Yield the faults of a sound that do not concern its text: another voice, noise, a pause."""
    if likeness < settings.likeness:
        yield Issue(
            "other_voice", Message("evaluate.other_voice", likeness=likeness), likeness, settings.likeness
        )
    if snr_db < settings.snr_db:
        yield Issue("noise", Message("evaluate.noise", snr_db=snr_db), snr_db, settings.snr_db)
    longest = _longest_pause(spoken)
    if longest > settings.pause_seconds:
        yield Issue("pause", Message("evaluate.pause", longest=longest), longest, settings.pause_seconds)


def _longest_pause(spoken: Prosody) -> float:
    return max((end - start for start, end in spoken.pauses), default=0.0)
