"""A recogniser that knows Amharic, without its weights: sherpa-onnx itself on a tiny model of the same
layout, whose letters are tones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dimts.audio.wave import Wave, join
from dimts.base.errors import ConfigError, DataError
from dimts.base.project import Project
from dimts.data.context import PrepareSettings
from dimts.data.forced_alignment import Line, align, find_aligner
from dimts.data.manifest import Manifest
from dimts.data.omnilingual import RATE, CtcAligner, CtcModel, CtcRecogniser
from dimts.data.prepare import prepare
from dimts.data.recogniser_weights import WEIGHTS, find_weights
from dimts.data.segment import SegmentSettings
from dimts.data.text_match import Matcher
from dimts.data.transcribe import TranscribeSettings, character_error_rate, transcriber
from dimts.data.vad import SpeechActivity
from dimts.text.ethiopic import fold_homophones
from dimts.text.g2p.rules import Rules
from dimts.text.phones import to_fidel

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'dimts[export]'")

HOP = 320
LETTERS = "ሀለመሰረቀበተነአከወዘየደገጠፈልምርስብትንክውይድግሰላሐ"
TOKENS = ["<s>", " ", *dict.fromkeys(LETTERS)]
LOWEST_HZ, STEP_HZ = 300.0, 150.0
SECONDS = 0.1
"""Of a letter."""


def frequency(token: str) -> float:
    return LOWEST_HZ + STEP_HZ * TOKENS.index(token)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as sherpa-onnx publishes one: x [N, samples] → logits [N, frames, tokens], powers of tones."""
    folder = tmp_path_factory.mktemp("omnilingual")
    time = np.arange(HOP) / RATE
    waves = [
        [np.cos, np.sin][part](2 * np.pi * frequency(token) * time) for token in TOKENS for part in (0, 1)
    ]
    filters = np.array(waves, np.float32)[:, None] * np.hanning(HOP).astype(np.float32) / HOP
    adds = np.zeros((len(waves), len(TOKENS)), np.float32)
    adds[np.arange(len(waves)), np.arange(len(waves)) // 2] = 1.0
    adds[:2] = 0.0  # the blank has no tone
    bias = np.zeros(len(TOKENS), np.float32)
    bias[0] = 3.0
    helper, numpy_helper, kind = onnx.helper, onnx.numpy_helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axes"], ["channels"]),
        helper.make_node("Conv", ["channels", "filters"], ["parts"], strides=[HOP]),
        helper.make_node("Mul", ["parts", "parts"], ["powers"]),
        helper.make_node("Transpose", ["powers"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["frames", "adds"], ["tones"]),
        helper.make_node("Mul", ["tones", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logits"]),
    ]
    constants = {
        "axes": np.array([1]), "filters": filters, "adds": adds, "bias": bias,
        "scale": np.array([80.0], np.float32),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "tones",
        [helper.make_tensor_value_info("x", kind, ["N", "num_samples"])],
        [helper.make_tensor_value_info("logits", kind, ["N", "num_frames", len(TOKENS)])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    helper.set_model_props(model, {"model_type": "omnilingual-asr", "sample_rate": "16000"})
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.int8.onnx")
    (folder / "tokens.txt").write_text(
        "".join(f"{token} {number}\n" for number, token in enumerate(TOKENS)), encoding="utf-8"
    )
    return folder


def spoken(text: str) -> Wave:
    """A text in tones, a gap after each letter."""
    parts = []
    for letter in text:
        time = np.arange(round(SECONDS * RATE)) / RATE
        tone = (
            0.5
            * np.sin(2 * np.pi * frequency(letter) * time)
            * np.minimum(1, np.minimum(time, time[::-1]) * 200)
        )
        parts += [Wave(tone.astype(np.float32), RATE), Wave.silence(0.04, RATE)]
    return join(parts)


def line(text: str) -> Line:
    return Line(text, tuple(word for word in Rules().phones(text.split()) if word))


def plain(text: str) -> str:
    """A text as the aligner spells it."""
    return fold_homophones(" ".join(to_fidel(word) for word in line(text).words))


@pytest.mark.parametrize("text", ["ሰላም ለመሰል", "ደግ ነገር", "ከወዘየ"])
def test_sherpa_onnx_writes_down_what_is_spoken(tones: Path, text: str) -> None:
    pytest.importorskip("sherpa_onnx", reason="needs sherpa-onnx: pip install 'dimts[omnilingual]'")
    text = "".join(char for char in text if char in TOKENS)
    recogniser = CtcRecogniser(tones)
    assert recogniser.recognise(spoken(text).resample(22_050)) == text
    assert recogniser.recognise(Wave.silence(0.01, RATE)) == ""
    made = transcriber(TranscribeSettings(by="omnilingual", model=str(tones), threads=1))
    assert made.transcribe(spoken(text)).text == text


LINES = ["ሰላም ለሰው", "ደግ ነገር ተገኘ ነው", "ከወደ ገበየ መጠ", "በረደ ነደደ", "ተነሰ ወረደ ገበ"]


def test_lines_are_placed_by_their_letters(tones: Path) -> None:
    """Speech before and between the lines, a line that is not read, a sound longer than the model takes."""
    usable = ["".join(char for char in plain(text) if char in TOKENS) for text in LINES]
    other = spoken("የፈጠቀየ ፈጠየቀ")
    parts = [other, *map(spoken, usable[:2]), other, *map(spoken, usable[3:])]
    starts = np.cumsum([0.0, *(part.seconds for part in parts)])
    wave = join([*parts, *[spoken("ፈጠ ቀየ")] * 30])
    assert wave.seconds > 28.0
    found = CtcAligner(tones).spans(wave, [line(text).words for text in LINES], first=True, last=True)
    assert found[2] is None
    for number, part in ((0, 1), (1, 2), (3, 4), (4, 5)):
        span = found[number]
        assert span is not None
        assert span[0] == pytest.approx(starts[part], abs=0.2)
        assert span[1] == pytest.approx(starts[part + 1], abs=0.2)


def test_it_stands_behind_the_seam_of_aligners(tones: Path, tmp_path: Path) -> None:
    texts = LINES[:2]
    usable = ["".join(char for char in plain(text) if char in TOKENS) for text in texts]
    gap = Wave.silence(1.0, RATE)
    waves = [spoken(text) for text in usable]
    join([gap, waves[0], gap, waves[1], gap]).save(tmp_path / "take.wav")
    ends = [1.0 + waves[0].seconds, 2.0 + waves[0].seconds, 2.0 + waves[0].seconds + waves[1].seconds]
    activity = replace_speech(tmp_path / "take.wav", ((1.0, ends[0]), (ends[1], ends[2])))
    settings = SegmentSettings(aligner=f"omnilingual:{tones}")
    pieces = align(tmp_path / "take.wav", activity, [line(text) for text in texts], Matcher(), settings)
    assert [piece.text for piece in pieces] == texts
    for piece, (start, end) in zip(pieces, ((1.0, ends[0]), (ends[1], ends[2])), strict=True):
        assert piece.start_seconds == pytest.approx(start, abs=0.4)
        assert piece.end_seconds == pytest.approx(end, abs=0.4)


def replace_speech(path: Path, spans: tuple[tuple[float, float], ...]) -> SpeechActivity:
    """What the detector of speech would find, were tones speech."""
    from dimts.data.vad import detect_speech

    return replace(detect_speech(path), speech=spans)


def test_a_given_text_is_compared_with_what_is_recognised(
    project: Project, corpus: Callable[..., Path], tones: Path
) -> None:
    """The model knows tones and no voices, so every text is another."""
    pytest.importorskip("sherpa_onnx", reason="needs sherpa-onnx: pip install 'dimts[omnilingual]'")
    folder = corpus(2)
    settings = TranscribeSettings(by="omnilingual", model=str(tones), compare=0.5, threads=1)
    with pytest.raises(DataError, match="mismatch"):
        prepare(project, [folder], PrepareSettings(transcribe=settings))
    for row in Manifest.read(project.manifest):
        assert row.measures["character_error_rate"] > 0.5
        assert "data.recogniser_differs" in {issue.message.code for issue in row.issues}
    assert prepare(project, [folder], PrepareSettings()).kept == 2


@pytest.mark.parametrize(
    ("heard", "text", "rate"),
    [("ሠላም፣ ለዓለም", "ሰላም ለአለም።", 0.0), ("ሰላ", "ሰላም", 1 / 3), ("", "ሰላም", 1.0), ("ሰላም", "", 3.0)],
)
def test_letters_of_one_sound_are_no_error(heard: str, text: str, rate: float) -> None:
    assert character_error_rate(heard, text) == pytest.approx(rate)


def test_damaged_and_other_models_are_refused(tones: Path, tmp_path: Path) -> None:
    def refused(code: str, change: Callable[[Path], object]) -> None:
        folder = tmp_path / code
        folder.mkdir()
        for path in tones.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        change(folder)
        with pytest.raises(DataError) as caught:
            CtcModel(folder)
        assert caught.value.code == code

    refused("data.no_omnilingual_model", lambda folder: (folder / "model.int8.onnx").unlink())
    refused(
        "data.broken_omnilingual_model", lambda folder: (folder / "model.int8.onnx").write_bytes(b"no model")
    )
    refused(
        "data.broken_tokens", lambda folder: (folder / "tokens.txt").write_text("ሀ x\n", encoding="utf-8")
    )
    refused(
        "data.other_onnx_model", lambda folder: (folder / "tokens.txt").write_text("ሀ 0\n", encoding="utf-8")
    )
    find_aligner.cache_clear()
    with pytest.raises(DataError) as caught:
        find_aligner("omnilingual")
    assert caught.value.code == "data.weights_missing"
    assert "dimts data fetch omnilingual" in caught.value.message.remedy()
    with pytest.raises(ConfigError):
        TranscribeSettings(compare=0.3)


def test_the_weights_are_pinned() -> None:
    one = WEIGHTS["omnilingual"]
    assert len(one.revision) == 40
    assert {name: (size, len(digest)) for name, (size, digest) in one.files.items()} == {
        "model.int8.onnx": (365_352_120, 64),
        "tokens.txt": (86_423, 64),
    }
    assert TranscribeSettings(by="omnilingual").weights == "omnilingual"
    assert TranscribeSettings(by="whisper").weights == "large-v3"
    with pytest.raises(DataError, match=r"0\.4 GB.*Apache-2\.0"):
        find_weights("omnilingual")
