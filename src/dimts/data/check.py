"""Check every utterance for issues, and judge the set. A kind of issue states whether it sets an utterance
aside.

Each limit is a setting with its unit in the name; an issue holds what was measured beside what is allowed.
`tolerate` and `refuse` change which kinds set an utterance aside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dimts.base.errors import ConfigError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import nearest
from dimts.data.manifest import Utterance
from dimts.text.ethiopic import is_ethiopic_letter


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of issue."""

    rejects: bool
    """Whether an utterance with it is set aside."""
    remedy: Message
    """Remedy for the user."""


KINDS: dict[str, Kind] = {
    # the item itself
    "no_audio": Kind(True, Message("data.mend_no_audio")),
    "no_text": Kind(True, Message("data.mend_no_text")),
    "transcript_row": Kind(True, Message("data.mend_transcript_row")),
    "text_unreadable": Kind(True, Message("data.mend_text_unreadable")),
    "subtitles_unreadable": Kind(True, Message("data.mend_subtitles_unreadable")),
    "unreadable": Kind(True, Message("data.mend_unreadable")),
    # the sound
    "no_speech": Kind(True, Message("data.mend_no_speech")),
    "too_short": Kind(True, Message("data.mend_too_short")),
    "too_long": Kind(True, Message("data.mend_too_long")),
    "cut_in_speech": Kind(True, Message("data.mend_cut_in_speech")),
    "low_snr": Kind(True, Message("data.mend_low_snr")),
    "noisy": Kind(False, Message("data.mend_noisy")),
    "clipped": Kind(True, Message("data.mend_clipped")),
    "narrow_band": Kind(True, Message("data.mend_narrow_band")),
    "peaky": Kind(False, Message("data.mend_peaky")),
    "silence_share": Kind(True, Message("data.mend_silence_share")),
    "overlap": Kind(True, Message("data.mend_overlap")),
    "reverberant": Kind(False, Message("data.mend_reverberant")),
    # the text and the sound
    "not_amharic": Kind(True, Message("data.mend_not_amharic")),
    "other_language": Kind(True, Message("data.mend_other_language")),
    "speaking_rate": Kind(True, Message("data.mend_speaking_rate")),
    "mismatch": Kind(True, Message("data.mend_mismatch")),
    "unlike_others": Kind(True, Message("data.mend_unlike_others")),
    "cue_without_speech": Kind(True, Message("data.mend_cue_without_speech")),
    "line_without_speech": Kind(True, Message("data.mend_line_without_speech")),
    "invented": Kind(True, Message("data.mend_invented")),
    "pronunciation": Kind(False, Message("data.mend_pronunciation")),
    # the set
    "duplicate_audio": Kind(True, Message("data.mend_duplicate_audio")),
    "duplicate_text": Kind(False, Message("data.mend_duplicate_text")),
    "rate_outlier": Kind(False, Message("data.mend_rate_outlier")),
    "leak": Kind(True, Message("data.mend_leak")),
    "repeated_transcript": Kind(True, Message("data.mend_repeated_transcript")),
    "other_speaker": Kind(True, Message("data.mend_other_speaker")),
    "several_speakers": Kind(True, Message("data.mend_several_speakers")),
    # the licence
    "licence": Kind(True, Message("data.mend_licence")),
    # a person
    "dropped": Kind(True, Message("data.mend_dropped")),
    # the subtitles
    "subtitles_out_of_order": Kind(False, Message("data.mend_subtitles_out_of_order")),
    "subtitles_backwards": Kind(False, Message("data.mend_subtitles_backwards")),
    "subtitles_overlap": Kind(False, Message("data.mend_subtitles_overlap")),
    "subtitles_rolling": Kind(False, Message("data.mend_subtitles_rolling")),
    "subtitles_same_time": Kind(False, Message("data.mend_subtitles_same_time")),
    "subtitles_other_language": Kind(False, Message("data.mend_subtitles_other_language")),
    "subtitles_unclear_time": Kind(False, Message("data.mend_subtitles_unclear_time")),
    "subtitles_labels": Kind(False, Message("data.mend_subtitles_labels")),
    # the sound file
    "length_unknown": Kind(False, Message("data.mend_length_unknown")),
    "channels_cancel": Kind(False, Message("data.mend_channels_cancel")),
}
"""Every kind of issue, in the order of reports."""


def kind_title(kind: str) -> str:
    """Return the name of a kind of issue for people, in the language of the process."""
    return Message(f"data.kind_{kind}").text() if kind in KINDS else kind


DATASET_KINDS = frozenset(
    {
        *(
            "duplicate_audio",
            "duplicate_text",
            "rate_outlier",
            "unlike_others",
            "leak",
            "other_speaker",
            "repeated_transcript",
        ),
        "licence",
    }
)
"""Kinds that depend on the other utterances or on the project; recomputed whenever the set changes."""


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """[data.check]: limits of the checks, and which issues set a clip aside."""

    min_snr_db: float = 10.0
    """Speech-to-noise ratio below which a clip is set aside."""
    good_snr_db: float = 20.0
    """Speech-to-noise ratio below which a clip is kept with a note."""
    max_clipped_share: float = 0.001
    """Largest share of clipped samples."""
    min_bandwidth_hz: float = 5000.0
    """Least bandwidth of a clip; telephone and 8 kHz files have less."""
    max_silence_share: float = 0.6
    """Largest share of silence in a clip."""
    max_decay_seconds: float = 1.2
    """Decay after speech (time of a fall by 60 dB) above which a clip gets a note."""
    min_phones_per_second: float = 5.0
    """Speaking rate below which words are missing in the text, or there is too much audio."""
    max_phones_per_second: float = 26.0
    """Speaking rate above which the audio lacks words of the text."""
    min_amharic_share: float = 0.8
    """Least share of Ethiopic letters."""
    match: bool = True
    """Compare every clip with formant speech of its text; takes a third of the time."""
    min_match: float = 0.33
    """Least match of text and audio: 0 is a wrong text, 1 the right one, by their usual values. Of real read
    speech 2 % is below, of wrong texts of the same speaker and length 5 % above."""
    speaker: bool = True
    """Compare every clip's voice with the other clips of its speaker."""
    speaker_spreads: float = 3.5
    """Distance of a clip's voice from the speaker's usual, in robust standard deviations, above which it is
    doubted."""
    max_overlap_share: float = 0.05
    """Largest share of a clip with a second voice, or music, at the same time."""
    near_duplicate_likeness: float = 0.96
    """Similarity above which two clips are one recording."""
    tolerate: tuple[str, ...] = ()
    """Kinds of issue that do not set a clip aside."""
    refuse: tuple[str, ...] = ()
    """Kinds of issue that set a clip aside although by default they do not."""

    def __post_init__(self) -> None:
        for name in (*self.tolerate, *self.refuse):
            if name not in KINDS:
                raise ConfigError("data.unknown_issue_kind", name=name, nearest=nearest(name, KINDS))
        if self.min_phones_per_second >= self.max_phones_per_second:
            raise ConfigError("data.phone_rates_crossed")
        if self.speaker_spreads <= 0:
            raise ConfigError("data.speaker_spreads_not_positive", speaker_spreads=self.speaker_spreads)

    def rejects(self, kind: str) -> bool:
        """Whether an issue of this kind sets an utterance aside."""
        return kind not in self.tolerate and (kind in self.refuse or KINDS[kind].rejects)


def decide(row: Utterance, settings: CheckSettings) -> Utterance:
    """Decide by its issues whether a row is kept or set aside. Without a clip or a text nothing can be
    kept."""
    rejected = tuple(dict.fromkeys(issue.kind for issue in row.issues if settings.rejects(issue.kind)))
    usable = bool(row.path and row.text and row.seconds > 0)
    if row.decision == "drop":
        rejected = ("dropped",)
    elif row.decision == "keep" and usable:
        rejected = ()
    if not usable and not rejected:  # a tolerated kind cannot make a clip out of nothing
        rejected = tuple(dict.fromkeys(issue.kind for issue in row.issues)) or (
            "no_text" if row.path else "no_audio",
        )
    return replace(row, rejected_for=rejected, kept=not rejected, split=row.split if not rejected else "")


# --- one utterance --------------------------------------------------------------------------------


def check_sound(measures: Mapping[str, float], seconds: float, settings: CheckSettings) -> list[Issue]:
    """Check a clip's audio by its measures."""
    issues = []

    def below(kind: str, code: str, name: str, limit: float) -> bool:
        value = measures.get(name, math.nan)
        if value < limit:
            issues.append(Issue(kind, Message(code, value=value), value, limit))
        return value < limit

    def above(kind: str, code: str, name: str, limit: float) -> None:
        value = measures.get(name, math.nan)
        if value > limit:
            issues.append(Issue(kind, Message(code, value=value), value, limit))

    if not below("low_snr", "data.low_snr", "snr_db", settings.min_snr_db):
        below("noisy", "data.noisy", "snr_db", settings.good_snr_db)
    above("clipped", "data.clipped", "clipped_share", settings.max_clipped_share)
    below("narrow_band", "data.narrow_band", "bandwidth_hz", settings.min_bandwidth_hz)
    above("silence_share", "data.silence_share", "silence_share", settings.max_silence_share)
    above("overlap", "data.overlap", "overlap_share", settings.max_overlap_share)
    above("reverberant", "data.reverberant", "decay_seconds", settings.max_decay_seconds)
    return issues


def check_text(text: str, settings: CheckSettings) -> list[Issue]:
    """Check the text: script and language."""
    letters = [char for char in text if char.isalpha()]
    if not letters:
        if any(char.isalnum() for char in text):
            return []
        return [Issue("no_text", Message("data.no_word_in_text"))]
    share = sum(map(is_ethiopic_letter, letters)) / len(letters)
    if share < settings.min_amharic_share:
        message = Message("data.not_amharic", share=1 - share)
        return [Issue("not_amharic", message, share, settings.min_amharic_share)]
    foreign = sum(char in _TIGRINYA for char in letters)
    glottal, usual = letters.count("ኣ"), letters.count("አ")
    if foreign or (glottal >= _MIN_GLOTTAL and glottal > usual):
        return [Issue("other_language", Message("data.other_language"), foreign + glottal, 0)]
    return []


_TIGRINYA = frozenset("ቐቑቒቓቔቕቖቘቚቛቜቝ")
"""The q̱ row: frequent in Tigrinya, absent from Amharic."""
_MIN_GLOTTAL = 2
"""Occurrences of ኣ, which Tigrinya writes where Amharic writes አ; one may be an old spelling."""


def check_rate(phones: int, speech_seconds: float, settings: CheckSettings) -> list[Issue]:
    """Check the speaking rate: phones in a second of speech."""
    if speech_seconds <= 0 or not phones:
        return []
    rate = phones / speech_seconds
    limit = (
        settings.min_phones_per_second
        if rate < settings.min_phones_per_second
        else settings.max_phones_per_second
    )
    if settings.min_phones_per_second <= rate <= settings.max_phones_per_second:
        return []
    return [Issue("speaking_rate", Message("data.speaking_rate", rate=rate), rate, limit)]


def check_match(score: float, settings: CheckSettings) -> list[Issue]:
    """Check whether the audio matches the text, from their score."""
    if score >= settings.min_match:
        return []
    return [Issue("mismatch", Message("data.mismatch", score=score), score, settings.min_match)]


# --- the set --------------------------------------------------------------------------------------

_OUTLIER_SPREADS = 4.5
"""Distance from the speaker's median rate in robust standard deviations (1.4826 × median deviation)."""
_MIN_TO_COMPARE = 20


def _by_speaker(rows: Sequence[Utterance], measure: str) -> list[list[Utterance]]:
    """Return the kept rows with a measure, by their speakers."""
    speakers: dict[str, list[Utterance]] = {}
    for row in rows:
        if row.kept and measure in row.measures:
            speakers.setdefault(row.speaker, []).append(row)
    return [speakers[name] for name in sorted(speakers)]


def rate_outliers(rows: Sequence[Utterance]) -> dict[str, Issue]:
    """Find clips far from their speaker's usual speaking rate; returns {utterance id: issue}."""
    issues: dict[str, Issue] = {}
    for mine in _by_speaker(rows, "phones_per_second"):
        if len(mine) < _MIN_TO_COMPARE:
            continue
        rates = np.array([row.measures["phones_per_second"] for row in mine])
        middle = float(np.median(rates))
        spread = 1.4826 * float(np.median(np.abs(rates - middle))) + 0.25
        for row, rate in zip(mine, rates, strict=True):
            if abs(rate - middle) > _OUTLIER_SPREADS * spread:
                message = Message("data.rate_outlier", rate=float(rate), usual=middle)
                issues[row.id] = Issue("rate_outlier", message, float(rate), middle)
    return issues


_FAIR_SHARE = 0.35
"""Share of the upper quartile of a speaker's nearness that a clip must reach: how well the comparison works
differs from voice to voice, by a factor of eight."""


def match_outliers(rows: Sequence[Utterance]) -> dict[str, Issue]:
    """Find clips that match their text far worse than their speaker's others; returns {utterance id:
    issue}."""
    issues: dict[str, Issue] = {}
    for mine in _by_speaker(rows, "match_nearness"):
        if len(mine) < _MIN_TO_COMPARE / 2:
            continue
        nearness = np.array([row.measures["match_nearness"] for row in mine])
        limit = _FAIR_SHARE * float(np.percentile(nearness, 75))
        for row, one in zip(mine, nearness, strict=True):
            if one < limit:
                message = Message("data.unlike_others", nearness=float(one), usual=limit / _FAIR_SHARE)
                issues[row.id] = Issue("unlike_others", message, float(one), limit)
    return issues


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding about the set as a whole."""

    severity: Literal["fix", "unfit"]
    message: Message
    """The finding and its remedy."""


@dataclass(frozen=True, slots=True)
class DatasetVerdict:
    """Whether a voice can be trained on the set."""

    fit: Literal["fit", "fix", "unfit"]
    """fit: train; fix: training works, but correct this first; unfit: training would be wasted."""
    findings: tuple[Finding, ...]
    issues: tuple[tuple[str, int, int], ...]
    """(kind, how many utterances have it, how many are set aside for it), most frequent first."""


MIN_MINUTES = 2.0
"""Least speech for adapting XTTS v2: its authors clone from seconds, but fine-tuning needs minutes."""
GOOD_MINUTES = 20.0
"""Speech from which fine-tuning for a single voice is worthwhile."""
MAX_SET_ASIDE_SHARE = 0.3
MAX_STRANGERS_SHARE = 0.1
GOOD_BANDWIDTH_HZ = 9000.0
GOOD_DISTINCT_SHARE = 0.5


def verdict(rows: Sequence[Utterance]) -> DatasetVerdict:
    """Judge the set as fit, fix or unfit, with reasons."""
    kept = [row for row in rows if row.kept]
    findings: list[Finding] = []

    def find(severity: Literal["fix", "unfit"], code: str, **parameters: float) -> None:
        findings.append(Finding(severity, Message(code, **parameters)))

    minutes = sum(row.seconds for row in kept) / 60
    if not kept:
        find("unfit", "data.set_empty")
    elif minutes < GOOD_MINUTES:
        find(
            "unfit" if minutes < MIN_MINUTES else "fix",
            "data.set_too_short",
            minutes=minutes,
            good=GOOD_MINUTES,
        )
    if kept:
        if not any(row.split == "train" for row in kept):
            find("unfit", "data.set_without_train")
        if not any(row.split == "dev" for row in kept):
            find("fix", "data.set_without_dev")
        band = float(np.median([row.measures.get("bandwidth_hz", math.inf) for row in kept]))
        if band < GOOD_BANDWIDTH_HZ:
            find("fix", "data.set_narrow_band", kilohertz=band / 1000)
        noisy = sum("noisy" in {issue.kind for issue in row.issues} for row in kept) / len(kept)
        if noisy > 0.5:
            find("fix", "data.set_noisy", share=noisy)
        if not all(row.licence for row in kept):
            find("fix", "data.set_licence_unknown")
        if not all(row.consent for row in kept):
            find("fix", "data.set_consent_unknown")
        distinct = len({row.text for row in kept}) / len(kept)
        if distinct < GOOD_DISTINCT_SHARE and len(kept) >= _MIN_TO_COMPARE:
            find("fix", "data.set_repeats_sentences", share=distinct)
        strange = sum("other_speaker" in row.rejected_for for row in rows) / len(rows)
        if strange > MAX_STRANGERS_SHARE:
            find("fix", "data.set_other_speakers", share=strange)
        speakers = Counter(row.speaker for row in kept)
        if len(speakers) > 1 and "" in speakers:
            find("fix", "data.set_unnamed_speakers", count=speakers[""])
    rejected_share = 1 - len(kept) / len(rows) if rows else 0.0
    if kept and rejected_share > MAX_SET_ASIDE_SHARE:
        find("fix", "data.set_mostly_rejected", share=rejected_share)
    worst: Literal["fit", "fix", "unfit"] = "fit"
    if findings:
        worst = "unfit" if any(one.severity == "unfit" for one in findings) else "fix"
    return DatasetVerdict(worst, tuple(findings), issue_counts(rows))


def issue_counts(rows: Sequence[Utterance]) -> tuple[tuple[str, int, int], ...]:
    """Count (kind, utterances that have it, utterances set aside for it), most frequent first."""
    having: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for row in rows:
        having.update({issue.kind for issue in row.issues} | set(row.rejected_for))
        rejected.update(set(row.rejected_for))
    return tuple((kind, count, rejected[kind]) for kind, count in having.most_common())
