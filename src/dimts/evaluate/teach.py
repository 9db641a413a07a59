"""Lessons and recordings → a listener. Under half an hour on two old cores; can be stopped and gone on with.

Without recordings it learns from the formant voices alone. With a project's, half of what it hears is real: that
is how it comes to understand the speakers whose voice is to be judged. Clips of the splits dev and test are never
taught with; how well it hears them is measured at the end and kept in the file.
"""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.wave import Wave
from dimts.base.errors import CheckpointError, ConfigError
from dimts.base.files import aside
from dimts.base.plugins import need
from dimts.base.progress import Progress, Tell, silent
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.evaluate.lessons import HELD_OUT_VARIANTS, LessonSettings, invent, lessons, said_by
from dimts.evaluate.listener import SIGNS, Listener, features, words_signs
from dimts.evaluate.metrics import Edits, edits
from dimts.text.phones import WORD_MARK

if TYPE_CHECKING:
    from torch import Tensor

    from dimts.evaluate.network import Network

Lesson = tuple[np.ndarray, tuple[int, ...]]
"""Features [F, bands] and the numbers of the signs said."""


@dataclass(frozen=True, slots=True)
class TeachSettings:
    """How the listener is trained."""

    steps: int = 1000
    batch: int = 16
    """Waves a step."""
    learning_rate: float = 2e-3
    """At its height; it rises for the first 8 % and falls as a cosine."""
    real_share: float = 0.5
    """Of each batch, if there are recordings."""
    width: int = 112
    blocks: int = 4
    seed: int = 1
    from_scratch: bool = True
    """False: go on from the shipped listener."""
    max_seconds: float = 12.0
    """Longer recordings are left out."""
    lessons: LessonSettings = field(default_factory=LessonSettings)

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1:
            raise ConfigError("a listener needs at least one step and one wave a step", "raise --steps")
        if not 0.0 <= self.real_share <= 1.0:
            raise ConfigError(f"real_share = {self.real_share} is out of range", "choose from 0 to 1")


_SEEDS = 1_000_003
_WARM_SHARE = 0.08
_EASY_SHARE = 0.2
_WEIGHT_DECAY = 0.01
_CLIP_NORM = 2.0
_KEPT = 0.995
"""Of the averaged weights at each step; the average is what is saved."""
_MASK_FRAMES, _MASK_BANDS = 8, 10
_SAVE_EVERY = 100
_TELL_EVERY = 10


def utterance_signs(row: Utterance) -> tuple[str, ...]:
    """What should be heard in a clip."""
    words = [word.split() for word in row.phones.split(f" {WORD_MARK} ")]
    return tuple(sign for word in words_signs(words) for sign in word)


def teach(
    out: Path | str,
    project: Project | None = None,
    settings: TeachSettings | None = None,
    tell: Tell = silent,
) -> Listener:
    """Train a listener and save it at `out`; `out`.part beside it holds what a stopped run goes on with.

    Raises DataError without a manifest, ConfigError for a project without kept training clips, CheckpointError
    for a `.part` of other settings.
    """
    settings = settings or TeachSettings()
    need("torch", "evaluate")
    out = Path(out)
    rows = [row for row in Manifest.read(project.manifest) if row.kept and row.phones] if project else []
    real = [row for row in rows if row.split == "train" and row.seconds <= settings.max_seconds]
    if project and not real:
        raise ConfigError(f"{project.root} has no kept clips to learn from", f"dimts data prepare {project.root}")
    recordings = [_lesson(_clip(project, row), utterance_signs(row)) for row in real] if project else []
    network, taught = _train(out, settings, recordings, tell)
    held = [row for row in rows if row.split in ("dev", "test")]
    notes = {
        "taught_on": _description(settings, real),
        "settings": asdict(settings),
        "steps": taught,
        "per_formant_held_out_voices": round(formant_rate(Listener(network), 24).rate, 4),
    }
    listener = Listener(network, notes)
    if project and held:
        heard = sum((edits(listener.hear(_clip(project, row)).phones, utterance_signs(row)) for row in held), Edits())
        notes["per_held_out_clips"] = round(heard.rate, 4)
    listener.save(out)
    out.with_suffix(".part").unlink(missing_ok=True)
    return listener


def formant_rate(listener: Listener, sentences: int, seed: int = 7) -> Edits:
    """How many signs it gets wrong on invented sentences by formant voices it was never taught with."""
    rng = random.Random(seed)
    total = Edits()
    for number in range(sentences):
        voice = Formant(FormantSettings(variant=HELD_OUT_VARIANTS[number % len(HELD_OUT_VARIANTS)]))
        for wave, said in said_by(voice, [invent(rng, LessonSettings())]):
            total += edits(listener.hear(wave).phones, said)
    return total


def _clip(project: Project | None, row: Utterance) -> Wave:
    assert project is not None  # noqa: S101 # rows come from a project
    return Wave.load(project.inside(row.path))


def _lesson(wave: Wave, said: Sequence[str]) -> Lesson:
    return features(wave), tuple(SIGNS.index(sign) for sign in said)


def _description(settings: TeachSettings, real: Sequence[Utterance]) -> str:
    said = f"{settings.steps * settings.batch} waves of invented words by formant voices"
    if real:
        minutes = sum(row.seconds for row in real) / 60
        said = f"{settings.real_share:.0%} of {settings.steps * settings.batch} waves from {len(real)} clips"
        said += f" ({minutes:.1f} min), the rest invented words by formant voices"
    return said


def _train(out: Path, settings: TeachSettings, recordings: list[Lesson], tell: Tell) -> tuple[Network, int]:
    import torch

    from dimts.evaluate.network import Network, NetworkSpec

    torch.manual_seed(settings.seed)
    if settings.from_scratch:
        network = Network(NetworkSpec(width=settings.width, blocks=settings.blocks, expansion=2), len(SIGNS))
    else:
        network = Listener.load().network
    network.train()
    mean = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.98)
    )
    part = out.with_suffix(".part")
    done = _resume(part, settings, network, mean, optimizer)
    losses: list[float] = []
    for step in range(done, settings.steps):
        torch.manual_seed(_SEEDS * settings.seed + step)  # dropout, too, is the step's own
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _slope(step / settings.steps)
        loss = _loss(network, _batch(settings, recordings, step))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP_NORM)
        optimizer.step()
        kept = min(_KEPT, (step + 1) / (step + 10))
        with torch.no_grad():
            for old, new in zip(mean.parameters(), network.parameters(), strict=True):
                old.lerp_(new, 1 - kept)
        losses.append(loss.item())
        if (step + 1) % _TELL_EVERY == 0 or step + 1 == settings.steps:
            recent = float(np.mean(losses[-_TELL_EVERY:]))
            tell(Progress("train-listener", step + 1, settings.steps, "steps", values={"loss": recent}))
        if (step + 1) % _SAVE_EVERY == 0:
            _save_part(part, settings, step + 1, network, mean, optimizer)
    return mean.eval(), settings.steps


def _slope(part: float) -> float:
    return (
        part / _WARM_SHARE + 1e-2
        if part < _WARM_SHARE
        else 0.5 + 0.5 * math.cos(math.pi * (part - _WARM_SHARE) / (1 - _WARM_SHARE))
    )


def _batch(settings: TeachSettings, recordings: list[Lesson], step: int) -> list[Lesson]:
    """The lessons of one step; drawn from the step's own seed, so that a resumed run sees the same."""
    rng = random.Random(f"{settings.seed} {step}")
    real = round(settings.batch * settings.real_share) if recordings else 0
    chosen = [_mask(rng, recordings[rng.randrange(len(recordings))]) for _ in range(real)]
    ease = min(1.0, step / max(1.0, _EASY_SHARE * settings.steps))  # clean and short first: CTC finds its feet sooner
    made = settings.lessons
    words = min(made.most_words, 2 + round(ease * made.most_words))
    source = lessons(rng, replace(made, spoil_share=ease * made.spoil_share, most_words=words))
    for _ in range(settings.batch - real):
        wave, said = next(source)
        chosen.append(_mask(rng, _lesson(wave, said)))
    return chosen


def _mask(rng: random.Random, lesson: Lesson) -> Lesson:
    """A few frames and bands blanked (SpecAugment; Park et al. 2019)."""
    mels, said = lesson[0].copy(), lesson[1]
    for _ in range(max(1, len(mels) // 150)):
        at = rng.randrange(max(1, len(mels)))
        mels[at : at + rng.randint(0, _MASK_FRAMES)] = 0.0
    for _ in range(2):
        at = rng.randrange(mels.shape[1])
        mels[:, at : at + rng.randint(0, _MASK_BANDS)] = 0.0
    return mels, said


def _loss(network: Network, batch: list[Lesson]) -> Tensor:
    import torch
    from torch.nn import functional as F

    from dimts.evaluate.network import STRIDE

    longest = max(len(mels) for mels, _ in batch)
    mels = torch.zeros(len(batch), longest, batch[0][0].shape[1])
    for row, (one, _) in zip(mels, batch, strict=True):
        row[: len(one)] = torch.from_numpy(one)
    lengths = torch.tensor([len(one) for one, _ in batch])
    chances = network(mels, lengths)  # [B, N, signs]
    said = torch.tensor([sign for _, signs in batch for sign in signs])
    counts = torch.tensor([len(signs) for _, signs in batch])
    total = F.ctc_loss(
        chances.transpose(0, 1), said, -(-lengths // STRIDE), counts, reduction="sum", zero_infinity=True
    )
    return total / counts.sum()


def _save_part(part: Path, settings: TeachSettings, step: int, network: Network, mean: Network, optimizer: Any) -> None:
    import torch

    content = {
        "settings": repr(settings),
        "step": step,
        "network": network.state_dict(),
        "mean": mean.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with aside(part) as temporary:
        torch.save(content, temporary)


def _resume(part: Path, settings: TeachSettings, network: Network, mean: Network, optimizer: Any) -> int:
    import torch

    if not part.exists():
        return 0
    content = torch.load(part, weights_only=True)
    if content["settings"] != repr(settings):
        raise CheckpointError(f"{part} was begun with other settings", f"remove {part}, or use its settings")
    network.load_state_dict(content["network"])
    mean.load_state_dict(content["mean"])
    optimizer.load_state_dict(content["optimizer"])
    return int(content["step"])
