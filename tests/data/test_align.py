"""A script beside a long recording: each line is found, to a few hundredths of a second; what was not read is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.audio.level import high_pass
from dimts.audio.wave import Wave, join
from dimts.data.activity import Activity, listen, listen_to
from dimts.data.align import Line, align, sentences
from dimts.data.match import Matcher
from dimts.data.segment import Piece, SegmentSettings
from dimts.text.g2p.rules import Rules

SETTINGS = SegmentSettings()


def lines_of(texts: list[str]) -> list[Line]:
    return [Line(text, tuple(word for word in Rules().phones(text.split()) if word)) for text in texts]


def errors(activity: Activity, pieces: list[Piece], truth: dict[str, tuple[float, float]]) -> list[float]:
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
    activity = listen(path)
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
    activity = listen(path)
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
    activity = listen(part)
    pieces = align(part, activity, lines_of(texts), Matcher(), SETTINGS)
    by_text = {piece.text: piece for piece in pieces}
    found = errors(activity, [by_text[text] for text in texts[:22]], dict(zip(texts, truth, strict=True)))
    assert max(found) < 0.15
    missing = [by_text[text] for text in texts[27:] if text in by_text]
    assert len(missing) >= 10
    assert all([doubt.kind for doubt in piece.doubts] == ["line_without_speech"] for piece in missing)


def test_silence_holds_no_line(tmp_path: Path) -> None:
    path = Wave.silence(3.0, 16_000).save(tmp_path / "silence.wav")
    pieces = align(path, listen(path), lines_of(["ሰላም ለዓለም", "እንዴት ናችሁ"]), Matcher(), SETTINGS)
    assert [[doubt.kind for doubt in piece.doubts] for piece in pieces] == [["line_without_speech"]] * 2


def test_real_speech_is_aligned_with_its_script(shared: Path, tmp_path: Path) -> None:
    """Forty news sentences of one reader in one file; where each begins and ends is known from its own file."""
    folder = shared / "speech" / "alffa"
    rows = [line.split("\t") for line in (folder / "metadata.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    rows = [row for row in rows if row[2] == "tr097"][:40]
    waves, truth, at = [], {}, 0.0
    for row in rows:
        wave = high_pass(Wave.load(folder / row[1]))
        speech_ = listen_to(wave.samples, wave.rate).speech
        truth[row[4]] = (at + speech_[0][0], at + speech_[-1][1])
        waves.append(wave)
        at += wave.seconds
    path = join(waves).save(tmp_path / "news.flac")
    activity = listen(path)
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
