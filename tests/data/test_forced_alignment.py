"""A script beside a long recording: each line is found, to a few hundredths of a second; what was not read is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dimts.audio.level import high_pass
from dimts.audio.wave import Wave, join
from dimts.base.errors import ConfigError, DataError
from dimts.data import forced_alignment as warping
from dimts.data.forced_alignment import ALIGNERS, Line, align, find_aligner, sentences
from dimts.data.segment import Piece, SegmentSettings
from dimts.data.text_match import Matcher
from dimts.data.vad import SpeechActivity, detect_speech, detect_speech_in
from dimts.text.g2p.rules import Rules

SETTINGS = SegmentSettings()


def lines_of(texts: list[str]) -> list[Line]:
    return [Line(text, tuple(word for word in Rules().phones(text.split()) if word)) for text in texts]


def errors(activity: SpeechActivity, pieces: list[Piece], truth: dict[str, tuple[float, float]]) -> list[float]:
    out = []
    for piece in pieces:
        if piece.text in truth and piece.seconds:
            spoken = activity.spoken(piece.start_seconds, piece.end_seconds)
            start, end = truth[piece.text]
            out += [abs(spoken[0][0] - start), abs(spoken[-1][1] - end)]
    return out


@pytest.fixture(scope="module")
def long_take(
    speech: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str], list[tuple[float, float]]]:
    """Three minutes of one voice."""
    rng = np.random.default_rng(5)
    parts, truth, at, texts = [], [], 0.0, [speech.sentence(index) for index in range(40)]
    for text in texts:
        one = speech.said(text, "f2")
        gap = Wave.silence(float(rng.uniform(0.3, 1.1)), one.wave.rate)
        at += gap.seconds
        truth.append((at + one.start_seconds, at + one.end_seconds))
        parts += [gap, one.wave]
        at += one.wave.seconds
    path = tmp_path_factory.mktemp("long") / "take.wav"
    speech.room(join([*parts, Wave.silence(0.5, 24_000)]), 0.0, 0.0, -60.0).save(path)
    return path, texts, truth


def test_every_line_is_found(long_take: tuple[Path, list[str], list[tuple[float, float]]]) -> None:
    path, texts, truth = long_take
    activity = detect_speech(path)
    pieces = align(path, activity, lines_of(texts), Matcher(), SETTINGS)
    assert [piece.text for piece in pieces] == texts
    found = errors(activity, pieces, dict(zip(texts, truth, strict=True)))
    assert np.median(found) <= 0.05
    assert max(found) <= 0.15
    for piece in pieces:  # no border inside anybody's speech
        assert not any(
            start + 0.03 < at < end - 0.03 for at in (piece.start_seconds, piece.end_seconds) for start, end in truth
        )


def test_a_line_nobody_read_is_named_and_the_rest_is_found(
    long_take: tuple[Path, list[str], list[tuple[float, float]]],
) -> None:
    path, texts, truth = long_take
    extra = "ይህ ዓረፍተ ነገር በቀረጻው ውስጥ ፈጽሞ አልተነበበም"
    script = [*texts[:20], extra, *texts[20:]]
    activity = detect_speech(path)
    pieces = align(path, activity, lines_of(script), Matcher(), SETTINGS)
    found = errors(activity, pieces, dict(zip(texts, truth, strict=True)))
    assert np.mean(np.array(found) < 0.1) > 0.9
    (odd,) = [piece for piece in pieces if extra in (piece.text or "")]
    assert odd.doubts or odd.text != extra or odd.seconds < 1.5


def test_a_recording_that_ends_early_names_the_lines_that_are_missing(
    long_take: tuple[Path, list[str], list[tuple[float, float]]], tmp_path: Path
) -> None:
    path, texts, truth = long_take
    part = Wave.load(path).cut(0.0, truth[24][1] + 0.2).save(tmp_path / "part.wav")
    activity = detect_speech(part)
    pieces = align(part, activity, lines_of(texts), Matcher(), SETTINGS)
    by_text = {piece.text: piece for piece in pieces}
    found = errors(activity, [by_text[text] for text in texts[:22]], dict(zip(texts, truth, strict=True)))
    assert max(found) < 0.15
    missing = [by_text[text] for text in texts[27:] if text in by_text]
    assert len(missing) >= 10
    assert all([doubt.kind for doubt in piece.doubts] == ["line_without_speech"] for piece in missing)


def test_silence_holds_no_line(tmp_path: Path) -> None:
    path = Wave.silence(3.0, 16_000).save(tmp_path / "silence.wav")
    pieces = align(path, detect_speech(path), lines_of(["ሰላም ለዓለም", "እንዴት ናችሁ"]), Matcher(), SETTINGS)
    assert [[doubt.kind for doubt in piece.doubts] for piece in pieces] == [["line_without_speech"]] * 2


def test_real_speech_is_aligned_with_its_script(shared: Path, tmp_path: Path) -> None:
    """Forty news sentences of one reader in one file; where each begins and ends is known from its own file."""
    folder = shared / "speech" / "alffa"
    rows = [line.split("\t") for line in (folder / "metadata.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    rows = [row for row in rows if row[2] == "tr097"][:40]
    waves, truth, at = [], {}, 0.0
    for row in rows:
        wave = high_pass(Wave.load(folder / row[1]))
        speech_ = detect_speech_in(wave.samples, wave.rate).speech
        truth[row[4]] = (at + speech_[0][0], at + speech_[-1][1])
        waves.append(wave)
        at += wave.seconds
    path = join(waves).save(tmp_path / "news.flac")
    activity = detect_speech(path)
    texts = [row[4] for row in rows]
    pieces = align(path, activity, lines_of(texts), Matcher(), SETTINGS)
    assert len({piece.text for piece in pieces} & set(texts)) >= 38
    found = errors(activity, pieces, truth)
    assert np.median(found) <= 0.05
    assert np.mean(np.array(found) < 0.3) >= 0.93


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ሰላም። ደህና ነህ? እኔ ደህና ነኝ", ["ሰላም።", "ደህና ነህ?", "እኔ ደህና ነኝ"]),
        ("በ3.5 ሚሊዮን ብር", ["በ3.5 ሚሊዮን ብር"]),
        ("አንድ፣ ሁለት፣ ሦስት", ["አንድ፣ ሁለት፣ ሦስት"]),
        ("  ", []),
    ],
)
def test_a_text_is_taken_in_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


@given(st.text(alphabet="ሀለሐ። ፣?", max_size=200))
def test_no_letter_is_lost_between_sentences(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


class Even:
    """An aligner of another's making, at the door for plug-ins: it thinks that all phones are equally long."""

    asked: tuple[tuple[float, int, bool, bool], ...] = ()

    def place(self, heard: Wave, lines: Any, *, first: bool, last: bool) -> list[float]:
        Even.asked = (*Even.asked, (heard.seconds, len(lines), first, last))
        phones = np.cumsum([0, *(sum(map(len, words)) for words in lines)])
        return list(phones / phones[-1] * heard.seconds)


class Wrong:
    """One that breaks its contract."""

    def place(self, heard: Wave, lines: Any, *, first: bool, last: bool) -> list[float]:
        return [0.0] * len(lines)


def test_an_aligner_of_another_package_is_asked(speech: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [speech.sentence(index + 2) for index in range(8)]
    parts = [one for text in texts for one in (Wave.silence(0.8, 24_000), speech.said(text, "f2").wave)]
    speech.room(join(parts), 0.0, 0.6, -60.0).save(tmp_path / "take.wav")
    activity = detect_speech(tmp_path / "take.wav")
    monkeypatch.setitem(ALIGNERS, "even", Even)
    monkeypatch.setitem(ALIGNERS, "wrong", Wrong)
    pieces = align(tmp_path / "take.wav", activity, lines_of(texts), Matcher(), SegmentSettings(aligner="even"))
    ((seconds, count, first, last),) = Even.asked
    assert (count, first, last) == (8, True, True)
    assert seconds == pytest.approx(activity.spoken_seconds(0.0, activity.seconds), abs=0.1)
    assert [piece.text for piece in pieces] == texts
    with pytest.raises(DataError, match="times for 8 lines"):
        align(tmp_path / "take.wav", activity, lines_of(texts), Matcher(), SegmentSettings(aligner="wrong"))
    with pytest.raises(ConfigError, match="aligner 'evn'"):
        find_aligner("evn")


@pytest.mark.parametrize("read", [3, 7, 12])
def test_a_reader_who_stopped_early(speech: Any, tmp_path: Path, read: int) -> None:
    texts = [speech.sentence(index + 2) for index in range(14)]
    parts, truth, at = [], {}, 0.0
    for text in texts[:read]:
        one = speech.said(text, "m3")
        truth[text] = (at + 0.7 + one.start_seconds, at + 0.7 + one.end_seconds)
        parts += [Wave.silence(0.7, 24_000), one.wave]
        at += 0.7 + one.wave.seconds
    speech.room(join(parts), 0.0, 0.6, -60.0).save(tmp_path / "take.wav")
    activity = detect_speech(tmp_path / "take.wav")
    pieces = align(tmp_path / "take.wav", activity, lines_of(texts), Matcher(), SETTINGS)
    spoken = [piece for piece in pieces if piece.seconds]
    assert [piece.text for piece in spoken][: read - 1] == texts[: read - 1]
    assert np.median(errors(activity, spoken, truth)) < 0.05
    unread = [piece for piece in pieces if not piece.seconds]
    assert {piece.text for piece in unread} >= set(texts[read + 1 :])
    assert all(piece.doubts[0].kind == "line_without_speech" for piece in unread)


def plainly_warped(heard: Any, said: Any, paces: tuple[float, float], free_start: bool, whole: bool) -> list[int]:
    """The same warp, cell by cell: the best way to each cell, and where it came from."""
    rows, columns = len(heard), len(said)
    slack = warping._SLACK_SECONDS / warping.FRAME_SECONDS
    ahead = warping._INTRO_SECONDS / warping.FRAME_SECONDS if free_start else slack
    best: dict[tuple[int, int], float] = {}
    came: dict[tuple[int, int], tuple[int, int] | None] = {}
    for n in range(rows):
        for m in range(columns):
            if not whole and (n - m * paces[1] > ahead or (rows >= columns * paces[0] and n - m * paces[0] < -slack)):
                continue
            cost = 1.0 - float(heard[n] @ said[m])
            ways: list[tuple[float, tuple[int, int] | None]] = [
                (best.get((n - 1, m - 1), np.inf) + 2 * cost, (n - 1, m - 1)),
                (best.get((n - 1, m), np.inf) + cost + warping._STAND_COST, (n - 1, m)),
                (best.get((n, m - 1), np.inf) + cost + warping._STAND_COST, (n, m - 1)),
            ]
            if m == 0 and (n == 0 or (free_start and n < ahead)):
                ways[0] = (cost + warping._SKIP_COST * n, None)
            best[n, m], came[n, m] = min(ways, key=lambda way: way[0])
    ends = {n: best.get((n, columns - 1), np.inf) / (n + columns) for n in range(rows)}
    if not whole and min(ends.values()) == np.inf:
        return []
    at: tuple[int, int] | None = (rows - 1 if whole else min(ends, key=lambda n: ends[n]), columns - 1)
    over: dict[int, int] = {}
    while at is not None:
        over.setdefault(at[1], at[0])
        at = came[at]
    return [over[m] for m in range(columns)]


@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 60), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_warp_is_that_of_the_plain_recursion(
    seed: int, rows: int, columns: int, narrow: bool, free_start: bool, whole: bool
) -> None:
    rng = np.random.default_rng(seed)
    heard, said = (rng.standard_normal((count, 6)) for count in (rows, columns))
    heard, said = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (heard, said))
    paces = warping._NARROW if narrow else warping._WIDEST
    with pytest.MonkeyPatch.context() as patch:  # so short that the band is felt
        patch.setattr(warping, "_SLACK_SECONDS", 0.6)
        patch.setattr(warping, "_INTRO_SECONDS", 2.4)
        expected = plainly_warped(heard, said, paces, free_start, whole)
        assume(expected)  # else the end was out of reach
        found = warping.warp(heard.astype(np.float32), said.astype(np.float32), paces,
                             free_start=free_start, whole=whole)  # fmt: skip
    assert found.tolist() == expected
