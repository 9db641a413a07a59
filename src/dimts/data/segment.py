"""Cut recordings into pieces whose borders are in silence, by their speech and their cues.

A border is put a margin outside the speech, at the lowest level near there, and never past the middle
of the silence: what a neighbour says stays with the neighbour. Where there is no silence to cut in,
neighbouring cues are taken together, or the piece carries an issue.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from dimts.audio.wave import Wave, stream
from dimts.base.errors import ConfigError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.data.recording import Cue
from dimts.data.vad import SpeechActivity

_FADE_SECONDS = 0.010
"""Length of the cross-fade where a long silence is shortened."""
_SEARCH_SECONDS = 0.04
"""Largest shift of a border to a lower level."""
_CUE_REACH_SECONDS = 0.8
"""Largest distance of a subtitle's border from its silence."""
FORMANT = "formant"
"""Name of the built-in aligner: formant speech of the script is warped onto the recording."""
MIN_CUT_SILENCE_SECONDS = 0.06
"""Shortest gap between speech in which a border can be."""


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """[data.segment]: segmentation of recordings."""

    detector: Literal["silero", "level"] = "silero"
    """Voice activity detector: silero-VAD, or the level alone (for studio silence)."""
    aligner: str = FORMANT
    """Aligner of a script with a long recording: "formant", or a plug-in of the group dimts.aligner."""
    min_seconds: float = 0.6
    """Shorter clips are set aside. XTTS refuses clips under 0.5 s."""
    max_seconds: float = 11.5
    """Longer clips are cut where they can be, else set aside. XTTS v2 takes 11.6 s at most."""
    lead_seconds: float = 0.12
    """Silence kept before the first sound of a clip, if there is as much."""
    tail_seconds: float = 0.20
    """Silence kept after the last sound of a clip, if there is as much."""
    max_pause_seconds: float = 0.8
    """Length to which a longer silence inside a clip is shortened."""

    def __post_init__(self) -> None:
        if not 0.0 < self.min_seconds < self.max_seconds:
            raise ConfigError(
                "data.clip_lengths_crossed", min_seconds=self.min_seconds, max_seconds=self.max_seconds
            )
        if min(self.lead_seconds, self.tail_seconds) < 0 or self.max_pause_seconds < 0.2:
            raise ConfigError("data.margins_out_of_range")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece to cut out of a recording, and its text."""

    start_seconds: float
    end_seconds: float
    text: str | None
    speaker: str = ""
    score: float | None = None
    issues: tuple[Issue, ...] = ()

    @property
    def seconds(self) -> float:
        """Length from border to border, silences included."""
        return self.end_seconds - self.start_seconds


def whole(
    activity: SpeechActivity, text: str | None, settings: SegmentSettings, speaker: str = ""
) -> Piece | None:
    """Return the recording without the silence around it; None without speech."""
    if not activity.speech:
        return None
    return bordered(activity, 0, len(activity.speech), text, settings, speaker)


def bordered(
    activity: SpeechActivity,
    first: int,
    last: int,
    text: str | None,
    settings: SegmentSettings,
    speaker: str = "",
) -> Piece:
    """Return speech spans [first, last) with their margins."""
    spans = activity.speech
    before = spans[first - 1][1] if first > 0 else None
    after = spans[last][0] if last < len(spans) else None
    return between(activity, spans[first][0], spans[last - 1][1], before, after, text, settings, speaker)


def between(
    activity: SpeechActivity,
    start: float,
    end: float,
    before: float | None,
    after: float | None,
    text: str | None,
    settings: SegmentSettings,
    speaker: str = "",
) -> Piece:
    """Return speech from `start` to `end` with margins, given where the neighbours' speech ends and
    begins."""
    issues = []
    low = 0.0 if before is None else (before + start) / 2
    high = activity.seconds if after is None else (end + after) / 2
    first = max(low, start - settings.lead_seconds)
    last = min(high, end + settings.tail_seconds)
    if first > low:
        first = activity.quietest(max(low, first - _SEARCH_SECONDS), min(start, first + _SEARCH_SECONDS))
    if last < high:
        last = activity.quietest(max(end, last - _SEARCH_SECONDS), min(high, last + _SEARCH_SECONDS))
    if start - first < MIN_CUT_SILENCE_SECONDS / 4:
        issues.append(
            Issue("cut_in_speech", Message("data.begins_in_speech", first=first), start - first, 0.0)
        )
    if last - end < MIN_CUT_SILENCE_SECONDS / 4:
        issues.append(Issue("cut_in_speech", Message("data.ends_in_speech", last=last), last - end, 0.0))
    return Piece(first, last, text, speaker, issues=tuple(issues))


def by_silence(activity: SpeechActivity, settings: SegmentSettings) -> list[Piece]:
    """Cut speech without a text into pieces of the allowed length, at the longest silences."""
    groups: list[tuple[int, int]] = []
    todo = [(0, len(activity.speech))] if activity.speech else []
    longest = settings.max_seconds - settings.lead_seconds - settings.tail_seconds
    while todo:
        first, last = todo.pop()
        spans = activity.speech[first:last]
        if spans[-1][1] - spans[0][0] <= longest or len(spans) == 1:
            groups.append((first, last))
            continue
        gaps = [after[0] - before[1] for before, after in itertools.pairwise(spans)]
        split = first + 1 + int(np.argmax(gaps))
        todo += [(split, last), (first, split)]
    return [bordered(activity, first, last, None, settings) for first, last in sorted(groups)]


def by_cues(activity: SpeechActivity, cues: Sequence[Cue], settings: SegmentSettings) -> list[Piece]:
    """Cut by timed cues, in order of time: each border is moved into the nearest silence.

    Speech spans go to the cue they overlap most. Cues between which nobody pauses are taken together.
    Speech under no cue stays out; a cue without speech is a piece with an issue.
    """
    spans = activity.speech
    under = _CueIndex(cues)
    owner: list[int | None] = []
    for start, end in spans:
        overlap = {index: under.shared(index, start, end) for index in under.between(start, end)}
        best = max(overlap, key=overlap.__getitem__, default=None)
        owner.append(best if best is not None and overlap[best] > 0 else None)
    groups = _spanning(activity, under, owner)
    pieces: list[Piece] = []
    taken: set[int] = set()
    for first, last, members in groups:
        taken.update(members)
        speakers = {cues[index].speaker for index in members}
        piece = bordered(
            activity,
            first,
            last,
            " ".join(cues[index].text for index in members),
            settings,
            speakers.pop() if len(speakers) == 1 else "",
        )
        if len(speakers) > 1 or any(cues[index].several_speakers for index in members):
            piece = replace(
                piece, issues=(*piece.issues, Issue("several_speakers", Message("data.several_speakers")))
            )
        pieces.append(piece)
    for index, cue in enumerate(cues):
        if index not in taken:
            issue = Issue(
                "cue_without_speech",
                Message("data.cue_without_speech", start_seconds=cue.start_seconds or 0.0),
            )
            pieces.append(
                Piece(cue.start_seconds or 0.0, cue.end_seconds or 0.0, cue.text, cue.speaker, None, (issue,))
            )
    return sorted(pieces, key=lambda piece: piece.start_seconds)


class _CueIndex:
    """Cues by time: those that overlap a stretch of speech, without scanning all of them."""

    def __init__(self, cues: Sequence[Cue]) -> None:
        self._starts = [cue.start_seconds or 0.0 for cue in cues]
        self._ends = [cue.end_seconds or 0.0 for cue in cues]
        self._over = list(itertools.accumulate(self._ends, max))  # in order even where cues are inside others

    def between(self, start: float, end: float) -> range:
        """Return indices among which are all cues that overlap a stretch."""
        return range(bisect.bisect_right(self._over, start), bisect.bisect_left(self._starts, end))

    def shared(self, index: int, start: float, end: float) -> float:
        """Return the seconds of a cue within the stretch; negative where they are apart."""
        return min(end, self._ends[index]) - max(start, self._starts[index])

    def seconds(self, index: int) -> float:
        """Return the length of a cue."""
        return self._ends[index] - self._starts[index]


def _spanning(
    activity: SpeechActivity, under: _CueIndex, owner: Sequence[int | None]
) -> list[tuple[int, int, tuple[int, ...]]]:
    """Group speech spans by owner; a span that extends into the next cue joins the two."""
    groups: list[tuple[int, int, tuple[int, ...]]] = []
    for at, mine in enumerate(owner):
        if mine is None:
            continue
        start, end = activity.speech[at]
        members = tuple(
            index
            for index in under.between(start, end)
            # a cue most of which is in this span is spoken in it
            if index == mine or under.shared(index, start, end) > 0.5 * under.seconds(index)
        )
        if groups and (groups[-1][2][-1] >= members[0]) and groups[-1][1] == at:
            before = groups[-1]
            groups[-1] = (before[0], at + 1, tuple(sorted({*before[2], *members})))
        else:
            groups.append((at, at + 1, members))
    return groups


def cut(path: Path, pieces: Iterable[Piece], rate: int) -> Iterator[Wave]:
    """Yield the pieces (in order of their start) of a file at `rate` Hz; one pass, memory of one piece."""
    buffer = np.zeros(0, np.float32)
    offset = 0  # of buffer[0] in the recording, in samples
    waves = stream(path, rate)
    ended = False
    for piece in pieces:
        first, last = round(piece.start_seconds * rate), round(piece.end_seconds * rate)
        while not ended and offset + len(buffer) < last:
            block = next(waves, None)
            if block is None:
                ended = True
                break
            if first > offset:  # what is before is not wanted again
                drop = min(first - offset, len(buffer))
                buffer, offset = buffer[drop:], offset + drop
            buffer = np.concatenate([buffer, block.samples])
        yield Wave(buffer[max(0, first - offset) : max(0, last - offset)].copy(), rate)
    waves.close()  # type: ignore[attr-defined]


def shorten_pauses(
    wave: Wave, speech: Sequence[tuple[float, float]], settings: SegmentSettings
) -> tuple[Wave, float]:
    """Shorten the inner silences of a clip to `max_pause_seconds`; also returns the seconds removed.

    `speech` in seconds of the clip. The middle of a silence goes, cross-faded; its edges stay.
    """
    rate, fade = wave.rate, round(_FADE_SECONDS * wave.rate)
    out, at, gone = [], 0, 0
    for (_, end), (start, _) in itertools.pairwise(speech):
        surplus = round((start - end - settings.max_pause_seconds) * rate)
        if surplus <= 2 * fade:
            continue
        first = round((end + settings.max_pause_seconds / 2) * rate)
        ramp = np.linspace(0.0, 1.0, fade, dtype=np.float32)
        joined = (
            wave.samples[first : first + fade] * (1 - ramp) + wave.samples[first + surplus :][:fade] * ramp
        )
        out += [wave.samples[at:first], joined]
        at, gone = first + surplus + fade, gone + surplus
    if not gone:
        return wave, 0.0
    return Wave(np.concatenate([*out, wave.samples[at:]]), rate), gone / rate
