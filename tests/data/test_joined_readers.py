"""Joined recordings of one reader, with a script that is not what was read: what was read is found, nothing
else."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from dimts.audio.wave import Wave, join
from dimts.data.forced_alignment import Line, align
from dimts.data.segment import Piece, SegmentSettings
from dimts.data.text_match import Matcher
from dimts.data.vad import SpeechActivity, detect_speech
from dimts.text.g2p.rules import Rules

RATE = 16_000
MOST_LINES = 14
EVERY = 4
"""One line in so many is missing."""


def readers(folder: Path) -> dict[str, list[tuple[Path, str]]]:
    """Speaker → recordings with their texts, each text once."""
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    with (folder / "metadata.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            found[row["speaker"]].setdefault(row["text"], folder / row["path"])
    sets = {name: [(path, text) for text, path in rows.items()][:MOST_LINES] for name, rows in found.items()}
    return {name: rows for name, rows in sets.items() if len(rows) >= 5}


def joined(rows: list[tuple[Path, str]], unread: set[int], path: Path) -> dict[str, tuple[float, float]]:
    """All but the unread lines in one file; where each lies, in seconds."""
    parts, truth, at = [], {}, 0.0
    for number, (sound, text) in enumerate(rows):
        if number in unread:
            continue
        wave = Wave.load(sound, RATE)
        centred = Wave((wave.samples - np.mean(wave.samples)).astype(np.float32), RATE)
        truth[text] = (at + 0.5, at + 0.5 + wave.seconds)
        parts += [Wave.silence(0.5, RATE), centred]
        at += 0.5 + wave.seconds
    join([*parts, Wave.silence(0.5, RATE)]).save(path)
    return truth


def is_right(piece: Piece, place: tuple[float, float], activity: SpeechActivity) -> bool:
    """Whether a piece holds nine tenths of a line's speech, and hardly any other."""
    shared = activity.spoken_seconds(max(place[0], piece.start_seconds), min(place[1], piece.end_seconds))
    of_line, of_piece = (
        activity.spoken_seconds(*place),
        activity.spoken_seconds(piece.start_seconds, piece.end_seconds),
    )
    return shared > 0.9 * of_line and of_piece < 1.1 * of_line + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["in the recording", "in the script"])
def test_lines_are_found_where_every_fourth_is_missing(shared: Path, tmp_path: Path, missing: str) -> None:
    rules, matcher = Rules(), Matcher()
    wanted = right = 0
    wrong = []
    for name, rows in readers(shared / "speech" / "alffa").items():
        gone = {number for number in range(len(rows)) if number % EVERY == EVERY - 1}
        truth = joined(rows, gone if missing == "in the recording" else set(), tmp_path / "take.wav")
        texts = [
            text
            for number, (_, text) in enumerate(rows)
            if missing == "in the recording" or number not in gone
        ]
        lines = [Line(text, tuple(word for word in rules.phones(text.split()) if word)) for text in texts]
        activity = detect_speech(tmp_path / "take.wav")
        pieces = align(tmp_path / "take.wav", activity, lines, matcher, SegmentSettings())
        placed = {piece.text: piece for piece in pieces if piece.seconds > 0.3}
        wanted += sum(text in truth for text in texts)
        right += sum(
            is_right(placed[text], truth[text], activity)
            for text in texts
            if text in placed and text in truth
        )
        for text, piece in placed.items():
            place = truth.get(str(text))
            overlap = min(place[1], piece.end_seconds) - max(place[0], piece.start_seconds) if place else 0.0
            if overlap < 0.5 * piece.seconds:
                wrong.append((name, text))
    assert wrong == []
    assert right >= 0.98 * wanted
