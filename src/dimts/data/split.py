"""Split utterances into train, dev and test, and find duplicates. Seeded; assigned utterances never move.

A text's split follows from its hash, so all readings of it share a split whatever else is in the set.
Stretches of a long recording share one too. A new utterance whose text is too similar to one in another split
is set aside as a leak, as the earlier one may have been trained on.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dimts.base.errors import ConfigError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.base.plugins import require
from dimts.data.acoustics import likeness
from dimts.data.manifest import Split, Utterance
from dimts.text.ethiopic import fold_homophones

_SPOKEN = re.compile(r"[^\w]+")
_GRAM = 4
_BANDS = 24
"""Bands of two min-hashes: texts that share 70 % of their 4-grams meet in one with p > 0.99."""
_SMALL_BUCKET = 40
"""Texts in a band up to which each is compared with each."""
_MIN_TEXTS = 5
"""Least different texts from which one is held out even if no hash requires it."""
_PRIME = (1 << 61) - 1
_LENGTH_SLACK = 0.08
"""Clips whose lengths differ by more are not duplicates."""
_LENGTH_SLACK_SECONDS = 0.15
_COMPARED_AT_ONCE = 256
"""Clips compared with all of their length in one step."""


@dataclass(frozen=True, slots=True)
class SplitSettings:
    """[data.split]: held-out sets."""

    dev_share: float = 0.05
    """Share of the dev set, for evaluation during training."""
    test_share: float = 0.05
    """Share of the test set, for the final evaluation."""
    seed: int = 0
    """Seed of the choice of sentences."""
    near_text: float = 0.85
    """Similarity (normalised edit distance) above which texts share a split."""
    keep: bool = False
    """Use the splits that tables name (train.tsv, dev.tsv, test.tsv, a column `split`), for clips that have
    none yet."""
    stretch_seconds: float = 60.0
    """Length of the stretches in which clips of a long recording are held out, so that neighbours share a
    split."""

    def __post_init__(self) -> None:
        if self.dev_share < 0 or self.test_share < 0 or self.dev_share + self.test_share > 0.5:
            raise ConfigError("data.split_shares_out_of_range")


def text_key(text: str) -> str:
    """Normalise a text to what is spoken: without punctuation, spacing and spelling variants."""
    return _SPOKEN.sub("", fold_homophones(text)).lower()


def assign(
    rows: Sequence[Utterance], settings: SplitSettings, *, complete: bool = True
) -> dict[str, Split | Issue]:
    """Assign splits to the kept rows that have none yet; returns {utterance id: split, or issue}.

    Rows with a split keep it. With `complete`, a set of five texts or more gets a dev set even if no
    hash fell there.
    """
    kept = [row for row in rows if row.kept]
    groups = _near_groups(kept, settings.near_text)
    sides: dict[int, set[Split]] = defaultdict(set)
    units: dict[str, Split] = {}
    out: dict[str, Split | Issue] = {}
    several = Counter(row.recording for row in kept)
    for row, group in zip(kept, groups, strict=True):
        if row.split:
            sides[group].add(row.split)
            if several[row.recording] > 1:
                units.setdefault(_unit(row, settings), row.split)
    for row, group in zip(kept, groups, strict=True):
        if row.split:
            continue
        unit = _unit(row, settings) if several[row.recording] > 1 else ""
        of_unit = units.get(unit) if unit else None
        wanted = of_unit or (row.source_split if settings.keep else None) or None
        there = sides[group]
        if len(there | ({wanted} if wanted else set())) > 1:
            places = tuple(sorted(there))
            near = Message("data.leak_of_stretch", places=places, wanted=wanted) if of_unit else None
            if wanted and not of_unit:
                near = Message("data.leak_of_source_split", places=places, wanted=wanted)
            out[row.id] = Issue("leak", near or Message("data.leak", places=places))
            continue
        choice: Split = wanted or next(iter(there), None) or _fall(unit or text_key(row.text), settings)
        there.add(choice)
        if unit:
            units.setdefault(unit, choice)
        out[row.id] = choice
    if complete:
        _fill_dev(kept, groups, out, settings)
    return out


def _unit(row: Utterance, settings: SplitSettings) -> str:
    return f"{row.recording}/{int(row.start_seconds // settings.stretch_seconds)}"


def _fall(key: str, settings: SplitSettings) -> Split:
    at = _position(key, settings)
    if at < settings.dev_share:
        return "dev"
    return "test" if at < settings.dev_share + settings.test_share else "train"


def _position(key: str, settings: SplitSettings) -> float:
    digest = hashlib.sha256(f"{settings.seed}|{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _fill_dev(
    kept: Sequence[Utterance], groups: Sequence[int], out: dict[str, Split | Issue], settings: SplitSettings
) -> None:
    """Make a dev set for a small set without one: its text of the lowest hash."""
    if not settings.dev_share or len(set(groups)) < _MIN_TEXTS:
        return
    splits = [row.split or out.get(row.id) for row in kept]
    if "dev" in splits:
        return
    several = Counter(row.recording for row in kept)
    old = {group for row, group in zip(kept, groups, strict=True) if row.split or several[row.recording] > 1}
    if settings.keep:
        old |= {group for row, group in zip(kept, groups, strict=True) if row.source_split}
    free = [(row, group) for row, group in zip(kept, groups, strict=True) if group not in old]
    if not free:  # one long recording: its last stretch
        units = [_unit(row, settings) for row in kept if out.get(row.id) == "train"]
        fresh = {group for row, group in zip(kept, groups, strict=True) if not row.split}
        if len(set(units)) > 1:
            for row, group in zip(kept, groups, strict=True):
                if row.id in out and _unit(row, settings) == units[-1] and group in fresh:
                    out[row.id] = "dev"
        return
    chosen = min(free, key=lambda one: _position(text_key(one[0].text), settings))[1]
    for row, group in zip(kept, groups, strict=True):
        if group == chosen and row.id in out:
            out[row.id] = "dev"


# --- repeats --------------------------------------------------------------------------------------


def repeats(rows: Sequence[Utterance], near: float) -> dict[str, Issue]:
    """Find clips whose audio is there already, except the first; returns {utterance id: issue}.

    Compares sketches of clips of nearly the same length; exact copies and copies of another level,
    codec or rate are found alike.
    """
    mine = [row for row in rows if row.sketch and row.kept]
    if len(mine) < 2:
        return {}
    order = sorted(range(len(mine)), key=lambda index: mine[index].seconds)
    seconds = np.array([mine[index].seconds for index in order])
    vectors = likeness([mine[index].sketch for index in order])
    lasts = np.searchsorted(seconds, seconds * (1 + _LENGTH_SLACK) + _LENGTH_SLACK_SECONDS, side="right")
    issues: dict[str, Issue] = {}
    for begin in range(0, len(order), _COMPARED_AT_ONCE):  # one product of matrices for many clips
        end = min(begin + _COMPARED_AT_ONCE, len(order))
        alike = vectors[begin:end] @ vectors[begin : lasts[end - 1]].T
        for at, hit in np.argwhere(alike >= near) + begin:
            if not at < hit < lasts[at]:
                continue
            first, second = sorted((order[at], order[hit]))
            if mine[second].id not in issues and mine[first].id not in issues:
                issues[mine[second].id] = Issue(
                    "duplicate_audio",
                    Message("data.duplicate_audio", id=mine[first].id),
                    float(alike[at - begin, hit - begin]),
                    near,
                )
    return issues


def repeated_texts(rows: Sequence[Utterance]) -> dict[str, Issue]:
    """Find sentences that the same speaker has read before in the set; returns {utterance id: issue}."""
    first: dict[tuple[str, str], str] = {}
    issues: dict[str, Issue] = {}
    for row in rows:
        if not row.kept:
            continue
        key = (row.speaker, text_key(row.text))
        if key in first:
            issues[row.id] = Issue("duplicate_text", Message("data.duplicate_text", first=first[key]))
        else:
            first[key] = row.id
    return issues


def _near_groups(rows: Sequence[Utterance], near: float) -> list[int]:
    """Return a group number for every row; similar texts share one, directly or through others."""
    keys = [text_key(row.text) for row in rows]
    parent: dict[str, str] = {key: key for key in keys}

    def root(key: str) -> str:
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    ratio = require("rapidfuzz.fuzz", "data").ratio
    for one, other in _candidates(sorted(parent)):
        if root(one) != root(other) and ratio(one, other) >= near * 100:
            parent[root(other)] = root(one)
    numbers: dict[str, int] = {}
    return [numbers.setdefault(root(key), len(numbers)) for key in keys]


def _candidates(keys: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Yield pairs of texts that share much, by min-hashing their 4-grams (Broder 1997)."""
    random = np.random.default_rng(0)
    factors = random.integers(1, 1 << 31, 2 * _BANDS, dtype=np.uint64)
    shifts = random.integers(0, 1 << 61, 2 * _BANDS, dtype=np.uint64)
    buckets: dict[tuple[int, bytes], list[str]] = defaultdict(list)
    for key in keys:
        grams = {key[at : at + _GRAM] for at in range(max(1, len(key) - _GRAM + 1))}
        hashes = np.array([_hash(gram) for gram in sorted(grams)], np.uint64)
        lowest = ((hashes[:, None] * factors + shifts) % np.uint64(_PRIME)).min(axis=0)
        for band in range(_BANDS):
            buckets[band, lowest[2 * band : 2 * band + 2].tobytes()].append(key)
    seen: set[tuple[str, str]] = set()
    for members in buckets.values():
        if len(members) <= _SMALL_BUCKET:
            pairs: Iterable[tuple[str, str]] = itertools.combinations(members, 2)
        else:  # neighbours in the alphabet, and all with the first: groups close over them
            pairs = itertools.chain(
                itertools.pairwise(members), ((members[0], other) for other in members[1:])
            )
        for pair in pairs:
            if pair not in seen:
                seen.add(pair)
                yield pair


def _hash(gram: str) -> int:
    return int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=4).digest(), "big")
