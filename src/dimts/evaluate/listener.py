"""Wave → the phones that are heard in it, each with its time and chance: our own small recogniser.

    heard = Listener.load().hear(wave)
    heard.phones, heard.cost(phones), heard.align(phones)

It knows no words, so it does not put right what a voice says wrong. Its signs are the phones of
text/phones.py with ʷ written as a following w, as they sound the same; ʔ at the start of a word is not
expected, as Amharic does not tell it from nothing there. The shipped weights and what they were taught
on are described in weights/listener.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dimts.audio.level import high_pass
from dimts.audio.spectrum import Matrix, Mel, mel_power
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError, CheckpointError
from dimts.base.files import aside
from dimts.base.plugins import need
from dimts.text.phones import CONSONANTS, LONG, ROUND, VOWELS, WORD_MARK, is_vowel

if TYPE_CHECKING:
    from dimts.evaluate.network import Network

SIGNS = ("", *VOWELS, *(sign for phone in CONSONANTS for sign in (phone, phone + LONG)))
"""What it can write; "" is CTC's blank."""
MEL = Mel(rate=16_000, transform=512, window=400, hop=160, bands=64, low_hz=60.0, high_hz=7800.0)
FRAME_SECONDS = 0.020
"""One answer."""
WEIGHTS = Path(__file__).parent / "weights" / "listener.safetensors"
_RANGE = 1e-7
"""Power below this share of the loudest is the floor (70 dB)."""
_SCALE = 4.0
_SHORTEST_SECONDS = 0.05
_IMPOSSIBLE = -1e30
_KIND = "dimts listener"
_NUMBERS = {sign: number for number, sign in enumerate(SIGNS)}


def signs(phones: Iterable[str]) -> tuple[str, ...]:
    """Phones as the listener writes them: Cʷ as C w, words run together.

    >>> signs(["kʼʷː", "a", "#", "l"])
    ('kʼː', 'w', 'a', 'l')
    """
    out: list[str] = []
    for phone in phones:
        if phone == WORD_MARK:
            continue
        plain = phone.removesuffix(LONG)
        base = plain.removesuffix(ROUND)
        out.append(base + phone[len(plain) :])
        if base != plain:
            out.append("w")
    return tuple(out)


def words_signs(words: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
    """The same for each word, ʔ before a vowel at its start left out."""
    return [signs(word[1:] if len(word) > 1 and word[0] == "ʔ" and is_vowel(word[1]) else word) for word in words]


def features(wave: Wave) -> Matrix:
    """What the network sees: [F, 64] log-mel at 100 frames a second, each band against its own mean.

    Loudness, offset and the colour of the microphone are thereby gone. AudioError for a wave under 50 ms.
    """
    if wave.seconds < _SHORTEST_SECONDS:
        raise AudioError(f"{wave.seconds:.2f} s is too short to hear anything in", "use a longer sound")
    power = mel_power(high_pass(wave.resample(MEL.rate)).samples, MEL)
    level = np.log(np.maximum(power, max(float(power.max()) * _RANGE, 1e-12)))
    centred: Matrix = ((level - level.mean(axis=0)) / _SCALE).astype(np.float32)
    return centred


@dataclass(frozen=True, slots=True)
class Placed:
    """One sign in time."""

    sign: str
    start: float
    end: float
    """Seconds."""
    chance: float
    """Mean chance of the sign over its frames, by the listener."""


@dataclass(frozen=True, eq=False)
class Heard:
    """What was heard in one wave."""

    chances: Matrix
    """[N, signs] natural logarithms of chances, blank first; a frame is 20 ms."""

    @cached_property
    def placed(self) -> tuple[Placed, ...]:
        """The likeliest sign of each frame, repetitions and blanks taken out."""
        best = self.chances.argmax(axis=1)
        out: list[Placed] = []
        first = 0
        for at in range(1, len(best) + 1):
            if at == len(best) or best[at] != best[first]:
                number = int(best[first])
                if number:
                    chance = float(np.exp(self.chances[first:at, number]).mean())
                    out.append(Placed(SIGNS[number], first * FRAME_SECONDS, at * FRAME_SECONDS, chance))
                first = at
        return tuple(out)

    @property
    def phones(self) -> tuple[str, ...]:
        """What was said, as signs."""
        return tuple(one.sign for one in self.placed)

    def cost(self, phones: Sequence[str]) -> float:
        """−ln of the chance that `phones` were said, over all their timings (CTC; Graves et al. 2006); inf: never."""
        path = _with_blanks(phones)
        steps = self.chances[:, path].astype(np.float64)  # [N, 2 S + 1]
        skip = _may_skip(path)
        state = np.full(len(path), _IMPOSSIBLE)
        state[:2] = steps[0, :2]
        for now in steps[1:]:
            one = np.concatenate(([_IMPOSSIBLE], state[:-1]))
            two = np.where(skip, np.concatenate(([_IMPOSSIBLE] * 2, state))[: len(path)], _IMPOSSIBLE)
            state = np.logaddexp(np.logaddexp(state, one), two) + now
        total = float(np.logaddexp.reduce(state[-2:]))
        return -total if total > _IMPOSSIBLE / 2 else math.inf

    def align(self, phones: Sequence[str]) -> tuple[Placed, ...]:
        """Where each of `phones` was said, by the likeliest timing. AudioError if the wave is too short for them."""
        path = _with_blanks(phones)
        steps = self.chances[:, path].astype(np.float64)
        skip = _may_skip(path)
        state = np.full(len(path), _IMPOSSIBLE)
        state[:2] = steps[0, :2]
        back = np.zeros(steps.shape, np.int8)
        for at in range(1, len(steps)):
            one = np.concatenate(([_IMPOSSIBLE], state[:-1]))
            two = np.where(skip, np.concatenate(([_IMPOSSIBLE] * 2, state))[: len(path)], _IMPOSSIBLE)
            choices = np.stack((state, one, two))
            back[at] = choices.argmax(axis=0)
            state = choices.max(axis=0) + steps[at]
        place = len(path) - 1 if len(path) == 1 or state[-1] >= state[-2] else len(path) - 2
        if state[place] <= _IMPOSSIBLE / 2:
            raise AudioError(f"the sound is too short for {len(phones)} phones", "is it the right sentence?")
        taken: list[list[int]] = [[] for _ in phones]
        for at in range(len(steps) - 1, -1, -1):
            if place % 2:
                taken[place // 2].append(at)
            place -= int(back[at, place])
        return tuple(
            Placed(
                sign,
                min(rows) * FRAME_SECONDS,
                (max(rows) + 1) * FRAME_SECONDS,
                float(np.exp(self.chances[rows, _number(sign)]).mean()),
            )
            for sign, rows in zip(phones, taken, strict=True)
        )


def _number(sign: str) -> int:
    if sign not in _NUMBERS or not sign:
        raise AudioError(f"the listener has no sign {sign!r}", f"it has: {' '.join(SIGNS[1:])}; see signs()")
    return _NUMBERS[sign]


def _with_blanks(phones: Sequence[str]) -> list[int]:
    path = [0]
    for phone in phones:
        path += [_number(phone), 0]
    return path


def _may_skip(path: list[int]) -> Any:
    """Where the blank before may be left out: between two different signs."""
    return np.array([at >= 2 and sign != 0 and sign != path[at - 2] for at, sign in enumerate(path)])


class Listener:
    """A recogniser ready to hear; on the CPU, in about 1/100 of the sound's length."""

    def __init__(self, network: Network, notes: dict[str, Any] | None = None) -> None:
        self.network = network.eval()
        self.notes = notes or {}
        """What it was taught on, and how well it hears."""

    @classmethod
    def load(cls, path: Path | str | None = None) -> Listener:
        """The shipped listener, or one from a file that `train-listener` wrote.

        Raises CheckpointError for a file that is none, MissingExtra without torch or safetensors.
        """
        path = Path(path) if path is not None else WEIGHTS
        safetensors = need("safetensors", "evaluate")
        torch_files = need("safetensors.torch", "evaluate")
        from dimts.evaluate.network import Network, NetworkSpec

        if not path.is_file():
            raise CheckpointError(f"there is no listener at {path}", "dimts evaluate train-listener makes one")
        try:
            with safetensors.safe_open(str(path), "pt") as file:
                notes = dict(file.metadata() or {})
            state = torch_files.load_file(str(path))
        except safetensors.SafetensorError as error:
            raise CheckpointError(f"{path} is no listener: {error}", "copy it again, or train one") from error
        if notes.get("kind") != _KIND or json.loads(notes.get("signs", "[]")) != list(SIGNS):
            raise CheckpointError(f"{path} is no listener of this version", "dimts evaluate train-listener makes one")
        network = Network(NetworkSpec(**json.loads(notes["spec"])), len(SIGNS))
        try:
            network.load_state_dict({name: tensor.float() for name, tensor in state.items()})
        except RuntimeError as error:
            raise CheckpointError(f"{path} does not fit its own description: {error}", "train it again") from error
        return cls(network, json.loads(notes.get("notes", "{}")))

    def save(self, path: Path | str) -> Path:
        """One safetensors file in half precision."""
        torch_files = need("safetensors.torch", "evaluate")
        path = Path(path)
        state = {name: tensor.detach().half().contiguous() for name, tensor in self.network.state_dict().items()}
        notes = {
            "kind": _KIND,
            "signs": json.dumps(SIGNS, ensure_ascii=False),
            "spec": json.dumps(asdict(self.network.spec)),
            "notes": json.dumps(self.notes, ensure_ascii=False, sort_keys=True),
        }
        with aside(path) as temporary:
            torch_files.save_file(state, str(temporary), metadata=notes)
        return path

    def hear(self, wave: Wave) -> Heard:
        """Listen to one wave of any rate. AudioError if it is under 50 ms."""
        torch = need("torch", "evaluate")
        mels = torch.from_numpy(features(wave))
        with torch.inference_mode():
            chances = self.network(mels[None], torch.tensor([len(mels)]))[0]
        return Heard(chances.numpy())
