"""Recognise and align speech with Meta's Omnilingual ASR: a CTC model that knows Amharic letters.

The model is the ONNX export that sherpa-onnx publishes (300 million weights, int8; model and code Apache-2.0,
Omnilingual ASR team 2025): 16 kHz samples x [1, N] of mean 0 and variance 1 → logits [1, T, V], 50 frames a
second, token 0 is the blank, a line of tokens.txt is a token with its number. sherpa-onnx writes clips down;
for alignment the logits are asked from onnxruntime. Letters that sound alike are one letter here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dimts.audio.alignment import place_lines
from dimts.audio.wave import Wave
from dimts.base.errors import DataError
from dimts.base.plugins import require
from dimts.text.ethiopic import fold_homophones
from dimts.text.phones import to_fidel

RATE = 16_000
MODEL_FILES = ("model.int8.onnx", "model.onnx")
TOKENS_FILE = "tokens.txt"
FETCHED = "omnilingual"
"""Name under which 'dimts data fetch' knows the weights."""
_BLANK = 0
_CHUNK_SECONDS = 28.0
"""Seconds that the model is given at a time, with `_MARGIN_SECONDS` on both sides; it takes 40."""
_MARGIN_SECONDS = 1.0
_MIN_SAMPLES = 800
_GAIN = 1.0
"""Gain of a frame in which the line's own letter is the likeliest, in nats."""
_MAX_COST = 2.5
"""Cost at most of a frame in which another letter is, so that a slip of the model does not lose a line."""

_MAX_UNLIKE = 0.6
"""Share of letters by which a line and what is recognised at its place may be unlike."""

Logits = npt.NDArray[np.float32]


def model_file(folder: Path) -> Path:
    """The model in a folder. DataError where it or its tokens are missing."""
    found = next((folder / name for name in MODEL_FILES if (folder / name).is_file()), None)
    if found is None or not (folder / TOKENS_FILE).is_file():
        raise DataError("data.no_omnilingual_model", folder=folder, files=(MODEL_FILES[0], TOKENS_FILE))
    return found


class CtcModel:
    """The model of a folder and its letters. DataError for files that are damaged or no such model."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        runtime = require("onnxruntime", "omnilingual")
        self.path, self.folder = model_file(folder), folder
        self.tokens = _read_tokens(folder / TOKENS_FILE)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        try:
            self._session = runtime.InferenceSession(
                str(self.path), options, providers=["CPUExecutionProvider"]
            )
            inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
            fits = len(inputs) == len(outputs) == 1 and len(inputs[0].shape) == 2
            fits = fits and len(outputs[0].shape) == 3 and outputs[0].shape[2] == len(self.tokens)
        except Exception as error:  # onnxruntime's errors have no common class
            raise DataError(
                "data.broken_omnilingual_model", folder=folder, reason=str(error)[:200]
            ) from error
        if not fits:
            raise DataError("data.other_onnx_model", folder=folder)
        self._input = inputs[0].name

    @cached_property
    def letters(self) -> dict[str, list[int]]:
        """Letter or space → the tokens that write it or a letter of the same sound."""
        found: dict[str, list[int]] = {}
        for number, token in enumerate(self.tokens):
            if number != _BLANK and len(token) == 1:
                found.setdefault(fold_homophones(token), []).append(number)
        return found

    def scores(self, wave: Wave, wanted: Sequence[Sequence[int]]) -> tuple[Logits, Logits, Logits, float]:
        """Logits of a sound of any length: of each group of tokens [T, W], of the blank [T], the best [T].

        Also returns the seconds of a frame.
        """
        samples = wave.resample(RATE).samples
        size, margin = round(_CHUNK_SECONDS * RATE), round(_MARGIN_SECONDS * RATE)
        parts: list[tuple[Logits, Logits, Logits]] = []
        frames, counted = 0, 0
        for begin in range(0, max(1, len(samples)), size):
            first, last = max(0, begin - margin), min(len(samples), begin + size + margin)
            logits = self._logits(samples[first:last])
            middle = first + (np.arange(len(logits)) + 0.5) * (last - first) / max(1, len(logits))
            kept = logits[(middle >= begin) & (middle < begin + size)]
            grouped = np.stack([kept[:, list(group)].max(axis=1) for group in wanted], axis=1)
            parts.append((grouped, kept[:, _BLANK], kept.max(axis=1)))
            frames, counted = frames + len(kept), counted + min(size, len(samples) - begin)
        groups, blank, best = (np.concatenate([part[at] for part in parts]) for at in range(3))
        return groups, blank, best, counted / RATE / max(1, frames)

    def _logits(self, samples: npt.NDArray[np.float32]) -> Logits:
        """[N] samples → [T, V]."""
        if len(samples) < _MIN_SAMPLES:
            samples = np.pad(samples, (0, _MIN_SAMPLES - len(samples)))
        even = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-5)
        (logits,) = self._session.run(None, {self._input: even[None].astype(np.float32)})
        found: Logits = logits[0]
        return found


class CtcRecogniser:
    """Writes clips down by sherpa-onnx, greedily: the same clip gives the same text.

    Raises MissingExtra, DataError for files that are no such model.
    """

    def __init__(self, folder: Path, threads: int = 1, provider: str = "cpu") -> None:
        library = require("sherpa_onnx", "omnilingual")
        CtcModel(folder)  # sherpa-onnx ends the process for a file that is no such model
        try:
            self._recognizer = library.OfflineRecognizer.from_omnilingual_asr_ctc(
                model=str(model_file(folder)),
                tokens=str(folder / TOKENS_FILE),
                num_threads=max(1, threads),
                provider=provider,
            )
        except (RuntimeError, ValueError) as error:
            raise DataError(
                "data.broken_omnilingual_model", folder=folder, reason=str(error)[:200]
            ) from error

    def recognise(self, wave: Wave) -> str:
        """The text of a clip of at most 40 s, any rate."""
        samples = wave.resample(RATE).samples
        stream = self._recognizer.create_stream()
        stream.accept_waveform(RATE, np.pad(samples, (0, max(0, _MIN_SAMPLES - len(samples)))))
        self._recognizer.decode_stream(stream)
        return " ".join(str(stream.result.text).split())


class CtcAligner:
    """Places lines by the letters that the model finds in the sound; an `Aligner` of `forced_alignment`."""

    def __init__(self, folder: Path) -> None:
        self._model = CtcModel(folder)

    def spans(
        self, speech: Wave, lines: Sequence[Sequence[Sequence[str]]], *, first: bool, last: bool
    ) -> list[tuple[float, float] | None]:
        """For each line of words of phones where it is spoken, in seconds of `speech`; None: not found.

        Letters of a line with blanks between are the columns of a Viterbi search; a frame with the line's own
        letter gains, one with another costs, speech between lines costs nothing.
        """
        groups: dict[str, list[int]] = {}
        texts = [self._spelt(line) for line in lines]
        for letter in "".join(texts):
            groups[letter] = self._model.letters[letter]
        if not groups:
            return [None] * len(lines)
        scores, blank, best, seconds = self._model.scores(speech, list(groups.values()))
        number = {letter: at for at, letter in enumerate(groups)}
        # the last column is the blank
        columns = [[one for letter in text for one in (number[letter], -1)] or [-1] for text in texts]
        borders = np.cumsum([0, *map(len, columns)])
        every = np.concatenate([scores, blank[:, None]], axis=1)
        spoken = (best > blank).astype(np.float32)
        gaps = best[:, None] - every[:, [one for line in columns for one in line]]
        costs = (np.minimum(gaps, _MAX_COST) - _GAIN * spoken[:, None]).astype(np.float32)
        _, found = place_lines(costs, borders, 0.0)
        letters = np.where(every.max(axis=1) >= best, every.argmax(axis=1), len(groups) + 1)
        return [
            (span[0] * seconds, span[1] * seconds)
            if span and _unlike(letters[slice(*span)], line, len(groups)) <= _MAX_UNLIKE
            else None
            for span, line in zip(found, columns, strict=True)
        ]

    def _spelt(self, line: Sequence[Sequence[str]]) -> str:
        """Words of phones in the letters that the model can write."""
        text = fold_homophones(" ".join(to_fidel(word) for word in line))
        return "".join(letter for letter in text if letter in self._model.letters)


def _unlike(frames: npt.NDArray[np.int64], line: Sequence[int], blank: int) -> float:
    """Share of letters by which what is recognised in the frames is another text than the line's, 0 to 1."""
    from rapidfuzz.distance import Levenshtein

    recognised = [int(one) for one, _ in itertools.groupby(frames) if one != blank]
    return Levenshtein.normalized_distance(recognised, [one for one in line if one >= 0])


def _read_tokens(path: Path) -> list[str]:
    """Tokens by number; a line without a token stands for a space. DataError for another file."""
    found: dict[int, str] = {}
    try:
        for line in path.read_text(encoding="utf-8").split("\n"):
            token, _, number = line.rstrip("\r").rpartition(" ")
            if number:
                found[int(number)] = token or " "
    except (ValueError, OSError) as error:
        raise DataError("data.broken_tokens", path=path) from error
    if not found or sorted(found) != list(range(len(found))):
        raise DataError("data.broken_tokens", path=path)
    return [found[number] for number in range(len(found))]
