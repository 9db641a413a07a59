"""Cutting: borders lie in silence, neighbours keep what is theirs, nothing is lost on the way."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError
from dimts.data.recording import Cue
from dimts.data.segment import Piece, SegmentSettings, by_cues, by_silence, cut, shorten_pauses, whole
from dimts.data.vad import detect_speech_in

SETTINGS = SegmentSettings()


@pytest.fixture(scope="module")
def take(speech: Any) -> tuple[Wave, list[tuple[float, float]]]:
    wave, truth = speech.take(10)
    return speech.room(wave, 0.0, 0.0), truth


def inside(at: float, truth: list[tuple[float, float]], slack: float = 0.03) -> bool:
    return any(start + slack < at < end - slack for start, end in truth)


def test_a_whole_recording_loses_the_silence_around_it(speech: Any) -> None:
    one = speech.said(speech.sentences[4])
    wave = speech.room(one.wave, 1.0, 1.5)
    piece = whole(detect_speech_in(wave.samples, wave.rate), "x", SETTINGS)
    assert piece is not None
    assert 1.0 + one.start_seconds - 0.2 <= piece.start_seconds <= 1.0 + one.start_seconds - 0.05
    assert 1.0 + one.end_seconds + 0.1 <= piece.end_seconds <= 1.0 + one.end_seconds + 0.3
    assert piece.issues == ()


def test_a_recording_cut_in_speech_is_with_issues(speech: Any) -> None:
    one = speech.said(speech.sentences[6])
    for part in (one.wave.cut(0.4, 9.0), one.wave.cut(0.0, one.wave.seconds - 0.4)):
        piece = whole(detect_speech_in(part.samples, part.rate), "x", SETTINGS)
        assert piece is not None
        assert "cut_in_speech" in {issue.kind for issue in piece.issues}


def test_cues_are_cut_in_the_silences_that_are_meant(take: tuple[Wave, list[tuple[float, float]]]) -> None:
    wave, truth = take
    rng = np.random.default_rng(0)
    cues = [
        Cue(f"ሀ{n}", a + rng.uniform(-0.25, 0.25), b + rng.uniform(-0.25, 0.25))
        for n, (a, b) in enumerate(truth)
    ]
    pieces = by_cues(detect_speech_in(wave.samples, wave.rate), cues, SETTINGS)
    assert [piece.text for piece in pieces] == [cue.text for cue in cues]
    for piece, (start, end) in zip(pieces, truth, strict=True):
        assert start - 0.3 < piece.start_seconds < start
        assert end < piece.end_seconds < end + 0.4
        assert piece.issues == ()


def test_cues_without_a_pause_between_are_taken_together(
    take: tuple[Wave, list[tuple[float, float]]],
) -> None:
    wave, truth = take
    (start, end), rest = truth[7], [*truth[:7], *truth[8:]]
    middle = (start + end) / 2
    cues = [Cue("አንድ", start, middle), Cue("ሁለት", middle, end), *(Cue("ሌላ", *one) for one in rest)]
    cues.sort(key=lambda cue: cue.start_seconds or 0.0)
    pieces = by_cues(detect_speech_in(wave.samples, wave.rate), cues, SETTINGS)
    assert len(pieces) == len(truth)
    assert pieces[7].text == "አንድ ሁለት"
    assert pieces[7].start_seconds < start
    assert pieces[7].end_seconds > end


def test_a_cue_where_nobody_speaks_is_with_issues(take: tuple[Wave, list[tuple[float, float]]]) -> None:
    wave, truth = take
    gap = (truth[2][1] + 0.05, truth[3][0] - 0.05)
    cues = [Cue("ሀ", *truth[2]), Cue("ባዶ", *gap), Cue("ለ", *truth[3])]
    pieces = by_cues(detect_speech_in(wave.samples, wave.rate), cues, SETTINGS)
    assert [(piece.text, bool(piece.issues)) for piece in pieces] == [
        ("ሀ", False),
        ("ባዶ", True),
        ("ለ", False),
    ]


def test_speech_without_a_text_is_cut_at_its_longest_silences(
    take: tuple[Wave, list[tuple[float, float]]],
) -> None:
    wave, truth = take
    settings = SegmentSettings(max_seconds=6.0)
    pieces = by_silence(detect_speech_in(wave.samples, wave.rate), settings)
    assert all(piece.seconds <= 6.0 for piece in pieces)
    assert sum(piece.seconds for piece in pieces) > sum(b - a for a, b in truth)
    assert not any(inside(at, truth) for piece in pieces for at in (piece.start_seconds, piece.end_seconds))
    assert all(a.end_seconds <= b.start_seconds for a, b in itertools.pairwise(pieces))


def test_cutting_a_file_gives_its_samples(tmp_path: Path) -> None:
    samples = np.arange(50 * 22_050) % 2000 / 4000 - 0.25
    wave = Wave(samples.astype(np.float32), 22_050)
    path = wave.save(tmp_path / "ramp.flac")
    pieces = [Piece(0.0, 0.5, None), Piece(9.5, 21.0, None), Piece(20.5, 22.0, None), Piece(49.0, 60.0, None)]
    found = list(cut(path, pieces, 22_050))
    for piece, one in zip(pieces, found, strict=True):
        np.testing.assert_allclose(
            one.samples, wave.cut(piece.start_seconds, piece.end_seconds).samples, atol=1e-4
        )


def test_long_silences_inside_are_shortened_and_speech_is_not_touched() -> None:
    rate = 22_050
    tone = np.full(rate, 0.5, np.float32)
    wave = Wave(
        np.concatenate([tone, np.zeros(3 * rate, np.float32), tone, np.zeros(rate // 2, np.float32), tone]),
        rate,
    )
    short, gone = shorten_pauses(wave, [(0.0, 1.0), (4.0, 5.0), (5.5, 6.5)], SETTINGS)
    assert gone == pytest.approx(3.0 - SETTINGS.max_pause_seconds, abs=0.02)
    assert short.seconds == pytest.approx(wave.seconds - gone)
    assert np.count_nonzero(short.samples) == 3 * rate


def test_short_silences_stay(speech: Any) -> None:
    wave = speech.said(speech.sentences[0]).wave
    same, gone = shorten_pauses(wave, [(0.0, 0.3), (0.5, 1.0)], SETTINGS)
    assert same is wave
    assert gone == 0.0


@pytest.mark.parametrize("wrong", [{"min_seconds": 20.0}, {"lead_seconds": -0.1}, {"max_pause_seconds": 0.0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        SegmentSettings(**wrong)
