"""A script beside a long recording: each line is found, to a few hundredths of a second; what was not read is
named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.audio.level import high_pass
from dimts.audio.wave import Wave, join
from dimts.base.errors import ConfigError, DataError
from dimts.data.forced_alignment import ALIGNERS, Line, align, find_aligner, sentences
from dimts.data.segment import Piece, SegmentSettings
from dimts.data.text_match import Matcher
from dimts.data.vad import SpeechActivity, detect_speech, detect_speech_in
from dimts.text.g2p.rules import Rules

SETTINGS = SegmentSettings()


def lines_of(texts: list[str]) -> list[Line]:
    return [Line(text, tuple(word for word in Rules().phones(text.split()) if word)) for text in texts]


def errors(
    activity: SpeechActivity, pieces: list[Piece], truth: dict[str, tuple[float, float]]
) -> list[float]:
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
            start + 0.03 < at < end - 0.03
            for at in (piece.start_seconds, piece.end_seconds)
            for start, end in truth
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
    assert odd.issues or odd.text != extra or odd.seconds < 1.5


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
    assert all([issue.kind for issue in piece.issues] == ["line_without_speech"] for piece in missing)


def test_silence_holds_no_line(tmp_path: Path) -> None:
    path = Wave.silence(3.0, 16_000).save(tmp_path / "silence.wav")
    pieces = align(path, detect_speech(path), lines_of(["ሰላም ለዓለም", "እንዴት ናችሁ"]), Matcher(), SETTINGS)
    assert [[issue.kind for issue in piece.issues] for piece in pieces] == [["line_without_speech"]] * 2


def test_real_speech_is_aligned_with_its_script(shared: Path, tmp_path: Path) -> None:
    """Forty news sentences of one reader in one file; where each begins and ends is known from its own
    file."""
    folder = shared / "speech" / "alffa"
    rows = [
        line.split("\t") for line in (folder / "metadata.tsv").read_text(encoding="utf-8").splitlines()[1:]
    ]
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
    """An aligner of another's making, at the door for plug-ins: it thinks that all phones are equally
    long."""

    asked: tuple[tuple[float, int, bool, bool], ...] = ()

    def place(self, heard: Wave, lines: Any, *, first: bool, last: bool) -> list[float]:
        Even.asked = (*Even.asked, (heard.seconds, len(lines), first, last))
        phones = np.cumsum([0, *(sum(map(len, words)) for words in lines)])
        return list(phones / phones[-1] * heard.seconds)


class Wrong:
    """One that breaks its contract."""

    def place(self, heard: Wave, lines: Any, *, first: bool, last: bool) -> list[float]:
        return [0.0] * len(lines)


def test_an_aligner_of_another_package_is_asked(
    speech: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [speech.sentence(index + 2) for index in range(8)]
    parts = [one for text in texts for one in (Wave.silence(0.8, 24_000), speech.said(text, "f2").wave)]
    speech.room(join(parts), 0.0, 0.6, -60.0).save(tmp_path / "take.wav")
    activity = detect_speech(tmp_path / "take.wav")
    monkeypatch.setitem(ALIGNERS, "even", Even)
    monkeypatch.setitem(ALIGNERS, "wrong", Wrong)
    pieces = align(
        tmp_path / "take.wav", activity, lines_of(texts), Matcher(), SegmentSettings(aligner="even")
    )
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
    assert all(piece.issues[0].kind == "line_without_speech" for piece in unread)


@pytest.mark.parametrize(
    ("name", "read"), [("formant_rate_1.8", 8), ("real_fast_reader", 5), ("recording_ends_early", 2)]
)
def test_fast_readers_and_an_early_end(shared: Path, name: str, read: int) -> None:
    """`read` lines of the script are spoken; the others are named, each once."""
    folder = shared / "cases" / "data" / "align"
    texts = [
        part for line in (folder / f"{name}.txt").read_text("utf-8").splitlines() for part in sentences(line)
    ]
    path = folder / f"{name}.ogg"
    pieces = align(path, detect_speech(path), lines_of(texts), Matcher(), SETTINGS)
    assert [piece.text for piece in pieces if piece.seconds > 0.3] == texts[:read]
    assert [piece.text for piece in pieces if piece.issues] == texts[read:]
    assert {issue.kind for piece in pieces for issue in piece.issues} <= {"line_without_speech"}


@pytest.mark.parametrize("pace", [1.0, 1.3])
def test_what_is_not_in_the_script_and_what_is_not_read_are_left_out(
    speech: Any, tmp_path: Path, pace: float
) -> None:
    """Other speech in front, a line read twice, two lines skipped, music in the middle; at any pace."""
    texts = [speech.sentence(index + 3) for index in range(9)]
    noise = np.random.default_rng(3).standard_normal(24_000 * 6).astype(np.float32)
    music = np.sin(np.cumsum(440 + 200 * np.sin(np.arange(24_000 * 6) / 9_000)) * 2 * np.pi / 24_000)
    parts, truth, at = [], {}, 0.0

    def add(wave: Wave, text: str = "") -> None:
        nonlocal at
        gap = Wave.silence(0.7, 24_000)
        if text:
            truth.setdefault(text, (at + 0.7, at + 0.7 + wave.seconds))
        parts.extend([gap, wave])
        at += gap.seconds + wave.seconds

    def read(text: str) -> Wave:
        wave = speech.said(text, "f2").wave.resample(24_000)
        return Wave(wave.resample(round(24_000 * pace)).samples, 24_000)

    add(read(speech.sentence(30)))
    for number, text in enumerate(texts):
        if number in (4, 5):
            continue
        add(read(text), text)
        if number == 2:
            add(read(text))
        if number == 6:
            add(Wave((0.1 * music + 0.01 * noise).astype(np.float32), 24_000))
    path = speech.room(join(parts), 0.0, 0.6, -60.0).save(tmp_path / "take.wav")
    activity = detect_speech(path)
    pieces = align(path, activity, lines_of(texts), Matcher(), SETTINGS)
    spoken = {piece.text: piece for piece in pieces if piece.seconds > 0.3}
    assert set(spoken) >= set(truth) - {texts[2]}
    assert not {texts[4], texts[5]} & set(spoken)
    for text, piece in spoken.items():
        if text != texts[2]:
            start, end = truth[str(text)]
            assert min(end, piece.end_seconds) - max(start, piece.start_seconds) > 0.8 * (end - start)
