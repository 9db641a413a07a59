"""A CTC phone recogniser: log posteriors of phone labels, likelihoods of phone sequences, alignments.
    posteriors = PhoneRecogniser.load().recognise(wave)
    posteriors.phones, posteriors.nll(phones), posteriors.align(phones)

It has no language model, so it does not correct mispronunciations. Its labels are those of phone_labels.py.
The shipped weights and their training data are described in weights/phone_recogniser.md.
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
    """Log posteriors of the phone labels in each frame of one wave."""

    log_probs: Matrix
    """[N, labels] natural logarithms of posterior probabilities, blank first; a frame is 20 ms."""

    @cached_property
    def decoded(self) -> tuple[AlignedPhone, ...]:
        """Labels of the greedy CTC decoding (repetitions merged, blanks removed), each with its time."""
        best = self.log_probs.argmax(axis=1)
        out: list[AlignedPhone] = []
        first = 0
        for at in range(1, len(best) + 1):
            if at == len(best) or best[at] != best[first]:
                number = int(best[first])
                if number:
                    probability = float(np.exp(self.log_probs[first:at, number]).mean())
                    out.append(
                        AlignedPhone(LABELS[number], first * FRAME_SECONDS, at * FRAME_SECONDS, probability)
                    )
                first = at
        return tuple(out)

    @property
    def phones(self) -> tuple[str, ...]:
        """Labels of the greedy CTC decoding."""
        return tuple(one.label for one in self.decoded)

    def nll(self, phones: Sequence[str]) -> float:
        """Negative log-likelihood of `phones` by CTC (Graves et al. 2006); inf if there are too few
        frames."""
        return float(self.prefix_nlls(phones)[-1])

    def prefix_nlls(self, phones: Sequence[str]) -> npt.NDArray[np.float64]:
        """[S + 1] negative log-likelihoods of the first 0, 1, … S phones, each as `nll` gives it."""
        return _nlls(self.prefix_log_probs(phones)[-1])

    def prefix_log_probs(self, phones: Sequence[str]) -> npt.NDArray[np.float64]:
        """[N + 1, S + 1] forward log probabilities: the first n frames emit exactly the first s phones."""
        path = _with_blanks(phones)
        steps = self.log_probs[:, path].astype(np.float64)  # [N, 2 S + 1]
        skip = _skippable(path)
        forward = np.full((len(steps) + 1, len(phones) + 1), IMPOSSIBLE)
        forward[0, 0] = 0.0
        state = np.full(len(path) + 2, IMPOSSIBLE)  # padded by two unreachable states in front
        for now, step in enumerate(steps):
            if now:
                two = np.where(skip, state[:-2], IMPOSSIBLE)
                state[2:] = np.logaddexp(np.logaddexp(state[2:], state[1:-1]), two) + step
            else:
                state[2:4] = step[:2]
            forward[now + 1] = np.logaddexp(state[2::2], state[1::2])  # after the blank, or without it
        return forward

    def path(self, phones: Sequence[str]) -> npt.NDArray[np.int64]:
        """Find the Viterbi path [N]: 2 k + 1 in phone k, 2 k in the blank before it. AudioError if too
        short."""
        path = _with_blanks(phones)
        return viterbi_path(self.log_probs[:, path].astype(np.float64), _skippable(path))

    def align(self, phones: Sequence[str]) -> tuple[AlignedPhone, ...]:
        """Align `phones` by the Viterbi path. AudioError if the wave is too short for them."""
        path = self.path(phones)
        aligned = []
        for number, label in enumerate(phones):
            rows = np.flatnonzero(path == 2 * number + 1)
            probability = float(np.exp(self.log_probs[rows, label_index(label)]).mean())
            aligned.append(
                AlignedPhone(label, rows[0] * FRAME_SECONDS, (rows[-1] + 1) * FRAME_SECONDS, probability)
            )
        return tuple(aligned)


@dataclass(frozen=True, slots=True)
class Alternative:
    """A stretch of a wave that other labels explain better than those of the text."""

    evidence: float
    """Log-likelihood ratio of the best labels of the stretch to those of the text."""
    position: int
    """Number of labels of the text before the stretch."""
    labels: tuple[str, ...]
    """Greedy decoding of the stretch."""


class AlternativeScorer:
    """Scores alternatives to a text in one wave: one stretch of the wave may hold any labels.

    The labels before and after the stretch are summed over their alignments as in CTC; within it the most
    probable label of each frame counts; its limits are the most likely ones.
    """

    def __init__(self, posteriors: Posteriors, phones: Sequence[str]) -> None:
        """Compute forward and backward log probabilities. AudioError if the wave is too short for
        `phones`."""
        self._posteriors = posteriors
        backwards = Posteriors(posteriors.log_probs[::-1])
        before, after = (
            posteriors.prefix_log_probs(phones),
            backwards.prefix_log_probs(phones[::-1])[::-1, ::-1],
        )  # [N + 1, S + 1]
        self._whole = float(before[-1, -1])
        self.prefix_nlls = _nlls(before[-1])
        """[S + 1] as `Posteriors.prefix_nlls` gives them."""
        if self._whole <= IMPOSSIBLE / 2:
            raise AudioError("evaluate.too_short_for_phones", phones_count=len(phones))
        anything = np.concatenate(([0.0], np.cumsum(posteriors.log_probs.max(axis=1), dtype=np.float64)))[
            :, None
        ]
        self._begun = before - anything
        self._through = np.maximum.accumulate(self._begun, axis=0) + anything  # from the best start so far
        self._after = after

    def substitution(self, first: int, last: int) -> Alternative:
        """Score other labels in place of those from `first` up to but not including `last`."""
        ends = self._through[:, first] + self._after[:, last]
        end = int(ends.argmax())
        start = int(self._begun[: end + 1, first].argmax())
        labels = greedy_decode(self._posteriors.log_probs[start:end].argmax(axis=1))
        return Alternative(float(ends[end]) - self._whole, first, labels)

    def insertion(self) -> Alternative:
        """Score additional labels between two of the text, or before or after all, at the likeliest
        position."""
        position = int((self._through + self._after).max(axis=0).argmax())
        return self.substitution(position, position)


def _nlls(log_probs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Negate log probabilities; inf for impossible ones."""
    found: npt.NDArray[np.float64] = np.where(log_probs > IMPOSSIBLE / 2, -log_probs, math.inf)
    return found


def _with_blanks(phones: Sequence[str]) -> list[int]:
    path = [0]
    for phone in phones:
        path += [label_index(phone), 0]
    return path


def _skippable(path: list[int]) -> Any:
    """Find the states whose preceding blank may be skipped: those between two different labels."""
    return np.array([at >= 2 and label != 0 and label != path[at - 2] for at, label in enumerate(path)])


class PhoneRecogniser:
    """A phone recogniser; on one CPU core it takes about 1/40 of the wave's duration."""

    def __init__(
        self, network: Network, notes: dict[str, Any] | None = None, aligner: HMMAligner | None = None
    ) -> None:
        self.network = network.eval()
        self.notes = notes or {}
        """Training data and settings, and phone error rates on held-out data."""
        self._aligner = aligner

    @property
    def trained_on_recordings(self) -> bool:
        """True if recordings were in the training data, False if formant voices alone were."""
        return bool(self.notes.get("real_clips", 0))

    @property
    def aligner(self) -> HMMAligner:
        """The aligner that finds phone boundaries. CheckpointError for a recogniser without one."""
        if self._aligner is None:
            raise CheckpointError("evaluate.recogniser_without_aligner")
        return self._aligner

    @classmethod
    def load(cls, path: Path | str | None = None) -> PhoneRecogniser:
        """Load the shipped recogniser, or one from a file that `train-recogniser` wrote.

        Raises CheckpointError for any other file, MissingExtra without torch or safetensors.
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
        aligner_tensors = {name: state.pop(name) for name in list(state) if name.startswith(_ALIGNER_PREFIX)}
        try:
            network.load_state_dict(_unpacked(state))
            aligner = _load_aligner(aligner_tensors, notes[_GEMINATION]) if aligner_tensors else None
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError("evaluate.recogniser_misfit", path=path, error=error) from error
        return cls(network, json.loads(notes.get("notes", "{}")), aligner)

    def save(self, path: Path | str) -> Path:
        """Write one safetensors file: matrices in int8 with a scale for each row, vectors in float16."""
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
        if self._aligner is not None:
            state |= {
                _ALIGNER_PREFIX + name: torch.from_numpy(one) for name, one in self._aligner.tensors().items()
            }
            notes[_GEMINATION] = json.dumps(asdict(self._aligner.gemination), ensure_ascii=False)
        with atomic_path(path) as temporary:
            torch_files.save_file(state, str(temporary), metadata=notes)
        return path

    def recognise(self, wave: Wave) -> Posteriors:
        """Compute the posteriors of one wave of any sample rate. AudioError if it is under 50 ms."""
        torch = require("torch", "evaluate")
        mels = torch.from_numpy(features(wave))
        with torch.inference_mode():
            log_probs = self.network(mels[None], torch.tensor([len(mels)]))[0]
        return Posteriors(log_probs.numpy())


_ALIGNER_PREFIX, _GEMINATION = "aligner.", "gemination"
"""Prefix of the aligner's tensors, and name of its entry in the file's metadata."""


def _load_aligner(tensors: Mapping[str, Tensor], gemination: str) -> HMMAligner:
    from dimts.evaluate.gemination import GeminationScorer
    from dimts.evaluate.hmm_aligner import HMMAligner

    arrays = {name.removeprefix(_ALIGNER_PREFIX): tensor.numpy() for name, tensor in tensors.items()}
    return HMMAligner.from_tensors(arrays, GeminationScorer(**json.loads(gemination)))


_ROW_SCALE = ".scale"
_MOST = 127
_EXACT = ~0xFF
"""Mask of the kept bits of a scale: 127 times 16 bits is exact, so packing again gives equal tensors."""


def _packed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Quantise weights for storage: [rows, …] int8 with their scales [rows]; vectors in half precision."""
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
    """Dequantise what `_packed` gave."""
    import torch

    return {
        name: tensor.float() * state[name + _ROW_SCALE].view(-1, *[1] * (tensor.dim() - 1))
        if tensor.dtype == torch.int8
        else tensor.float()
        for name, tensor in state.items()
        if not name.endswith(_ROW_SCALE)
    }
