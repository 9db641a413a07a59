"""Compute statistics of a manifest: hours, lengths, speakers, phones and diphones. Statistics of shards can
be added.

total = Stats.of(first) + Stats.of(second)
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dimts.data.manifest import NO_NOISE_DB, Utterance
from dimts.text.phones import CONSONANTS, VOWELS

LENGTH_STEP_SECONDS = 0.5
"""Width of a bin of the histogram of clip lengths."""
SNR_STEP_DB = 2.0
RATE_STEP = 1.0
"""Width of a bin of speaking rates, phones a second."""
RARE = 10
"""Occurrences below which a phone counts as rare."""
LONG = "ː"
WORD_BORDER = "#"


@dataclass(frozen=True, slots=True)
class Stats:
    """Sums over utterances; `+` adds two."""

    utterances: int = 0
    kept: int = 0
    seconds: float = 0.0
    """Total length of the kept clips."""
    set_aside_seconds: float = 0.0
    splits: Counter[str] = field(default_factory=Counter)
    """Number of kept clips by split."""
    split_seconds: Counter[str] = field(default_factory=Counter)
    speakers: Counter[str] = field(default_factory=Counter)
    """Number of kept clips by speaker."""
    speaker_seconds: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    """Number of kept clips by bin (of LENGTH_STEP_SECONDS)."""
    snr: Counter[int] = field(default_factory=Counter)
    """Number of kept clips by bin (of SNR_STEP_DB); clips without any noise are left out."""
    rates: Counter[int] = field(default_factory=Counter)
    """Number of kept clips by bin (of RATE_STEP)."""
    phones: Counter[str] = field(default_factory=Counter)
    """Number of occurrences by phone with its length mark."""
    diphones: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of occurrences by two successive phones of a phrase; "#" is a word border."""
    words: int = 0
    distinct: frozenset[str] = frozenset()
    """Different texts, for counting repetitions."""
    rejected_for: Counter[str] = field(default_factory=Counter)
    """Number of utterances set aside by kind of issue."""
    issues: Counter[str] = field(default_factory=Counter)
    """Number of utterances by kind of issue."""
    by: Counter[str] = field(default_factory=Counter)
    """Number of kept clips by source of the text."""

    @classmethod
    def of(cls, rows: Iterable[Utterance]) -> Stats:
        """Compute the statistics of some rows; constant memory but for the distinct texts."""
        utterances = kept = words = 0
        seconds = rejected_seconds = 0.0
        splits, speakers, phones, rejected_for, issues, by = (Counter[str]() for _ in range(6))
        split_seconds: dict[str, float] = {}
        speaker_seconds: dict[str, float] = {}
        lengths, snr, rates = (Counter[int]() for _ in range(3))
        diphones: Counter[tuple[str, str]] = Counter()
        texts: set[str] = set()
        for row in rows:
            utterances += 1
            rejected_for.update(row.rejected_for)
            issues.update({issue.kind for issue in row.issues})
            if not row.kept:
                rejected_seconds += row.seconds
                continue
            kept += 1
            seconds += row.seconds
            splits[row.split] += 1
            split_seconds[row.split] = split_seconds.get(row.split, 0.0) + row.seconds
            speakers[row.speaker] += 1
            speaker_seconds[row.speaker] = speaker_seconds.get(row.speaker, 0.0) + row.seconds
            lengths[int(row.seconds / LENGTH_STEP_SECONDS)] += 1
            if row.measures.get("snr_db", NO_NOISE_DB) < NO_NOISE_DB:
                snr[int(row.measures["snr_db"] // SNR_STEP_DB)] += 1
            if "phones_per_second" in row.measures:
                rates[int(row.measures["phones_per_second"] // RATE_STEP)] += 1
            by[row.by] += 1
            texts.add(row.text)
            units = row.phones.split()
            phones.update(unit for unit in units if unit != WORD_BORDER)
            words += units.count(WORD_BORDER) + 1 if units else 0
            bounded = [WORD_BORDER, *units, WORD_BORDER] if units else []
            diphones.update(itertools.pairwise(bounded))
        return cls(
            utterances,
            kept,
            seconds,
            rejected_seconds,
            splits,
            Counter(split_seconds),
            speakers,
            Counter(speaker_seconds),
            lengths,
            snr,
            rates,
            phones,
            diphones,
            words,
            frozenset(texts),
            rejected_for,
            issues,
            by,
        )

    def __add__(self, other: Stats) -> Stats:
        return Stats(
            self.utterances + other.utterances,
            self.kept + other.kept,
            self.seconds + other.seconds,
            self.set_aside_seconds + other.set_aside_seconds,
            self.splits + other.splits,
            self.split_seconds + other.split_seconds,
            self.speakers + other.speakers,
            self.speaker_seconds + other.speaker_seconds,
            self.lengths + other.lengths,
            self.snr + other.snr,
            self.rates + other.rates,
            self.phones + other.phones,
            self.diphones + other.diphones,
            self.words + other.words,
            self.distinct | other.distinct,
            self.rejected_for + other.rejected_for,
            self.issues + other.issues,
            self.by + other.by,
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Phones of Amharic that never occur."""
        present = {phone.rstrip(LONG) for phone in self.phones}
        return tuple(phone for phone in (*VOWELS, *CONSONANTS) if phone not in present)

    @property
    def rare(self) -> tuple[str, ...]:
        """Phones that occur, but less often than RARE times."""
        plain: Counter[str] = Counter()
        for phone, count in self.phones.items():
            plain[phone.rstrip(LONG)] += count
        return tuple(phone for phone in (*VOWELS, *CONSONANTS) if 0 < plain[phone] < RARE)

    @property
    def long_phones(self) -> tuple[str, ...]:
        """Consonants that occur long."""
        return tuple(sorted(phone for phone in self.phones if phone.endswith(LONG)))

    def length_at(self, share: float) -> float:
        """Return the clip length below which `share` of the kept clips are (to a bin), in seconds; 0 without
        clips."""
        count = 0
        for step in sorted(self.lengths):
            count += self.lengths[step]
            if count >= share * self.kept:
                return (step + 0.5) * LENGTH_STEP_SECONDS
        return 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "utterances": self.utterances,
            "kept": self.kept,
            "set_aside": self.utterances - self.kept,
            "hours": round(self.seconds / 3600, 4),
            "seconds": round(self.seconds, 2),
            "set_aside_seconds": round(self.set_aside_seconds, 2),
            "splits": {
                name: {"clips": self.splits[name], "seconds": round(float(self.split_seconds[name]), 2)}
                for name in ("train", "dev", "test")
            },
            "speakers": {
                name: {"clips": count, "seconds": round(float(self.speaker_seconds[name]), 2)}
                for name, count in sorted(self.speakers.items())
            },
            "clip_seconds": {
                "median": self.length_at(0.5),
                "p5": self.length_at(0.05),
                "p95": self.length_at(0.95),
                "histogram": {
                    f"{step * LENGTH_STEP_SECONDS:g}": self.lengths[step] for step in sorted(self.lengths)
                },
            },
            "snr_db": {f"{step * SNR_STEP_DB:g}": self.snr[step] for step in sorted(self.snr)},
            "phones_per_second": {f"{step * RATE_STEP:g}": self.rates[step] for step in sorted(self.rates)},
            "sentences": {"distinct": len(self.distinct), "words": self.words, "by": dict(self.by)},
            "phones": {
                "distinct": len(self.phones),
                "total": sum(self.phones.values()),
                "counts": dict(self.phones.most_common()),
                "missing": list(self.missing),
                "rare": list(self.rare),
                "long": list(self.long_phones),
            },
            "diphones": {"distinct": len(self.diphones), "once": sum(n == 1 for n in self.diphones.values())},
            "reasons": dict(self.rejected_for.most_common()),
            "issues": dict(self.issues.most_common()),
        }
