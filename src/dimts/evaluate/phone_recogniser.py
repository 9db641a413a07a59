"""Wave → the phones that are heard in it, each with its time and chance: our own small recogniser.

    heard = Recogniser.load().hear(wave)
    heard.phones, heard.cost(phones), heard.align(phones)

It knows no words, so it does not put right what a voice says wrong. Its signs are the phones of
text/phones.py with ʷ written as a following w, as they sound the same; ʔ at the start of a word is not
expected, as Amharic does not tell it from nothing there. The shipped weights and what they were taught
on are described in weights/phone_recogniser.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dimts.audio.spectrum import Matrix
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError, CheckpointError
from dimts.base.files import atomic_path
from dimts.base.plugins import require
from dimts.evaluate.phone_labels import (
    FRAME_SECONDS,
    IMPOSSIBLE,
    LABELS,
    AlignedPhone,
    features,
    greedy_decode,
    label_index,
    viterbi_path,
)

if TYPE_CHECKING:
    from torch import Tensor

    from dimts.evaluate.hmm_aligner import HMMAligner
    from dimts.evaluate.phone_network import Network

WEIGHTS = Path(__file__).parent / "weights" / "phone_recogniser.safetensors"
_KIND = "dimts phone recogniser"


@dataclass(frozen=True, eq=False)
class Posteriors:
    """What was heard in one wave."""

    chances: Matrix
    """[N, signs] natural logarithms of chances, blank first; a frame is 20 ms."""

    @cached_property
    def placed(self) -> tuple[AlignedPhone, ...]:
        """The likeliest sign of each frame, repetitions and blanks taken out."""
        best = self.chances.argmax(axis=1)
        out: list[AlignedPhone] = []
        first = 0
        for at in range(1, len(best) + 1):
            if at == len(best) or best[at] != best[first]:
                number = int(best[first])
                if number:
                    chance = float(np.exp(self.chances[first:at, number]).mean())
                    out.append(AlignedPhone(LABELS[number], first * FRAME_SECONDS, at * FRAME_SECONDS, chance))
                first = at
        return tuple(out)

    @property
    def phones(self) -> tuple[str, ...]:
        """What was said, as signs."""
        return tuple(one.sign for one in self.placed)

    def cost(self, phones: Sequence[str]) -> float:
        """−ln of the chance that `phones` were said, over all their timings (CTC; Graves et al. 2006); inf: never."""
        return float(self.costs_of_beginnings(phones)[-1])

    def costs_of_beginnings(self, phones: Sequence[str]) -> npt.NDArray[np.float64]:
        """[S + 1] the cost of nothing, of the first phone alone, of the first two … of all; each as `cost` gives it."""
        return _costs(self.beginnings(phones)[-1])

    def beginnings(self, phones: Sequence[str]) -> npt.NDArray[np.float64]:
        """[N + 1, S + 1] ln of the chance that after n frames the first s phones, and no more, have been said."""
        path = _with_blanks(phones)
        steps = self.chances[:, path].astype(np.float64)  # [N, 2 S + 1]
        skip = _may_skip(path)
        said = np.full((len(steps) + 1, len(phones) + 1), IMPOSSIBLE)
        said[0, 0] = 0.0
        state = np.full(len(path) + 2, IMPOSSIBLE)  # two more in front, from which nothing comes
        for now, step in enumerate(steps):
            if now:
                two = np.where(skip, state[:-2], IMPOSSIBLE)
                state[2:] = np.logaddexp(np.logaddexp(state[2:], state[1:-1]), two) + step
            else:
                state[2:4] = step[:2]
            said[now + 1] = np.logaddexp(state[2::2], state[1::2])  # after the blank, or without it
        return said

    def path(self, phones: Sequence[str]) -> npt.NDArray[np.int64]:
        """[N] the likeliest timing: 2 k + 1 in a frame of phone k, 2 k in a blank before. AudioError if too short."""
        path = _with_blanks(phones)
        return viterbi_path(self.chances[:, path].astype(np.float64), _may_skip(path))

    def align(self, phones: Sequence[str]) -> tuple[AlignedPhone, ...]:
        """Where each of `phones` was said, by the likeliest timing. AudioError if the wave is too short for them."""
        taken = self.path(phones)
        placed = []
        for number, sign in enumerate(phones):
            rows = np.flatnonzero(taken == 2 * number + 1)
            chance = float(np.exp(self.chances[rows, label_index(sign)]).mean())
            placed.append(AlignedPhone(sign, rows[0] * FRAME_SECONDS, (rows[-1] + 1) * FRAME_SECONDS, chance))
        return tuple(placed)


@dataclass(frozen=True, slots=True)
class Alternative:
    """What was said where the text asks for something else, or for nothing."""

    evidence: float
    """ln of how much likelier it is that anything at all was said there than what the text asks for."""
    place: int
    """How many phones of the text stand before it."""
    said: tuple[str, ...]
    """What it seems to be."""


class AlternativeScorer:
    """All timings of a text in one wave, where in one stretch anything may be said instead.

    What comes before that stretch and what comes after it is summed over its timings as CTC does; within, the
    likeliest sign of each frame counts; the stretch is as long as is likeliest.
    """

    def __init__(self, heard: Posteriors, phones: Sequence[str]) -> None:
        """AudioError if the wave is too short for `phones`."""
        self._heard = heard
        backwards = Posteriors(heard.chances[::-1])
        before, after = heard.beginnings(phones), backwards.beginnings(phones[::-1])[::-1, ::-1]  # [N + 1, S + 1]
        self._whole = float(before[-1, -1])
        self.costs = _costs(before[-1])
        """As `Heard.costs_of_beginnings`."""
        if self._whole <= IMPOSSIBLE / 2:
            raise AudioError("evaluate.too_short_for_phones", phones_count=len(phones))
        anything = np.concatenate(([0.0], np.cumsum(heard.chances.max(axis=1), dtype=np.float64)))[:, None]
        self._begun = before - anything
        self._through = np.maximum.accumulate(self._begun, axis=0) + anything  # begun at the best frame so far
        self._after = after

    def instead(self, first: int, last: int) -> Alternative:
        """Something else than the phones from `first` to `last` (without it)."""
        ends = self._through[:, first] + self._after[:, last]
        end = int(ends.argmax())
        start = int(self._begun[: end + 1, first].argmax())
        said = greedy_decode(self._heard.chances[start:end].argmax(axis=1))
        return Alternative(float(ends[end]) - self._whole, first, said)

    def besides(self) -> Alternative:
        """Something between two phones or beyond the ends, where most speaks for it."""
        place = int((self._through + self._after).max(axis=0).argmax())
        return self.instead(place, place)


def _costs(chances: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """−ln of chances that are given by their ln."""
    found: npt.NDArray[np.float64] = np.where(chances > IMPOSSIBLE / 2, -chances, math.inf)
    return found


def _with_blanks(phones: Sequence[str]) -> list[int]:
    path = [0]
    for phone in phones:
        path += [label_index(phone), 0]
    return path


def _may_skip(path: list[int]) -> Any:
    """Where the blank before may be left out: between two different signs."""
    return np.array([at >= 2 and sign != 0 and sign != path[at - 2] for at, sign in enumerate(path)])


class PhoneRecogniser:
    """A recogniser ready to hear; on the CPU, in about 1/40 of the sound's length."""

    def __init__(
        self, network: Network, notes: dict[str, Any] | None = None, segmenter: HMMAligner | None = None
    ) -> None:
        self.network = network.eval()
        self.notes = notes or {}
        """What it was taught on, and how well it hears."""
        self._segmenter = segmenter

    @property
    def knows_people(self) -> bool:
        """Whether it was taught by recordings, and not by formant voices alone."""
        return bool(self.notes.get("real_clips", 0))

    @property
    def segmenter(self) -> HMMAligner:
        """What finds the borders of phones. CheckpointError for a recogniser without one, of an older make."""
        if self._segmenter is None:
            raise CheckpointError("evaluate.recogniser_without_aligner")
        return self._segmenter

    @classmethod
    def load(cls, path: Path | str | None = None) -> PhoneRecogniser:
        """The shipped recogniser, or one from a file that `train-recogniser` wrote.

        Raises CheckpointError for a file that is none, MissingExtra without torch or safetensors.
        """
        path = Path(path) if path is not None else WEIGHTS
        safetensors = require("safetensors", "evaluate")
        torch_files = require("safetensors.torch", "evaluate")
        from dimts.evaluate.phone_network import Network, NetworkSpec

        if not path.is_file():
            raise CheckpointError("evaluate.no_recogniser", path=path)
        try:
            with safetensors.safe_open(str(path), "pt") as file:
                notes = dict(file.metadata() or {})
            state = torch_files.load_file(str(path))
        except safetensors.SafetensorError as error:
            raise CheckpointError("evaluate.recogniser_unreadable", path=path, error=error) from error
        if notes.get("kind") != _KIND or json.loads(notes.get("labels", "[]")) != list(LABELS):
            raise CheckpointError("evaluate.recogniser_old", path=path)
        network = Network(NetworkSpec(**json.loads(notes["spec"])), len(LABELS))
        borders = {name: state.pop(name) for name in list(state) if name.startswith(_BORDERS)}
        try:
            network.load_state_dict(_unpacked(state))
            segmenter = _segmenter(borders, notes[_LENGTHS]) if borders else None
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError("evaluate.recogniser_misfit", path=path, error=error) from error
        return cls(network, json.loads(notes.get("notes", "{}")), segmenter)

    def save(self, path: Path | str) -> Path:
        """One safetensors file: matrices in 8 bits with a scale for each row, vectors in half precision."""
        torch = require("torch", "evaluate")
        torch_files = require("safetensors.torch", "evaluate")
        path = Path(path)
        state = _packed(self.network.state_dict())
        notes = {
            "kind": _KIND,
            "labels": json.dumps(LABELS, ensure_ascii=False),
            "spec": json.dumps(asdict(self.network.spec)),
            "notes": json.dumps(self.notes, ensure_ascii=False, sort_keys=True),
        }
        if self._segmenter is not None:
            state |= {_BORDERS + name: torch.from_numpy(some) for name, some in self._segmenter.tensors().items()}
            notes[_LENGTHS] = json.dumps(asdict(self._segmenter.lengths), ensure_ascii=False)
        with atomic_path(path) as temporary:
            torch_files.save_file(state, str(temporary), metadata=notes)
        return path

    def hear(self, wave: Wave) -> Posteriors:
        """Listen to one wave of any rate. AudioError if it is under 50 ms."""
        torch = require("torch", "evaluate")
        mels = torch.from_numpy(features(wave))
        with torch.inference_mode():
            chances = self.network(mels[None], torch.tensor([len(mels)]))[0]
        return Posteriors(chances.numpy())


_BORDERS, _LENGTHS = "segmenter.", "lengths"
"""What the tensors' names begin with, and the entry that belongs to them."""


def _segmenter(tensors: Mapping[str, Tensor], lengths: str) -> HMMAligner:
    from dimts.evaluate.gemination import GeminationScorer
    from dimts.evaluate.hmm_aligner import HMMAligner

    arrays = {name.removeprefix(_BORDERS): tensor.numpy() for name, tensor in tensors.items()}
    return HMMAligner.of(arrays, GeminationScorer(**json.loads(lengths)))


_ROW_SCALE = ".scale"
_MOST = 127
_EXACT = ~0xFF
"""Bits of a scale that are kept: 127 times 16 bits is exact, so packing again gives the same to the last bit."""


def _packed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are stored: [rows, …] int8 beside their scales [rows]; vectors in half precision."""
    import torch

    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        value = tensor.detach().float()
        if value.dim() < 2:
            out[name] = value.half().contiguous()
            continue
        scale = (value.flatten(1).abs().amax(dim=1) / _MOST).clamp(min=1e-7)
        scale = (scale.view(torch.int32) & _EXACT).view(torch.float32)
        shaped = scale.view(-1, *[1] * (value.dim() - 1))
        out[name] = (value / shaped).round().clamp(-_MOST, _MOST).to(torch.int8).contiguous()
        out[name + _ROW_SCALE] = scale
    return out


def _unpacked(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `_packed`, but for the rounding."""
    import torch

    return {
        name: tensor.float() * state[name + _ROW_SCALE].view(-1, *[1] * (tensor.dim() - 1))
        if tensor.dtype == torch.int8
        else tensor.float()
        for name, tensor in state.items()
        if not name.endswith(_ROW_SCALE)
    }
