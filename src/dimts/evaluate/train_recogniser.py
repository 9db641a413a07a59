"""Train the phone recogniser on synthetic utterances and recordings, resumably.
Without recordings it is trained on formant voices alone. With a project's, half of each batch is recordings,
each time with another reverberation, tempo and vocal tract length. Clips of the splits dev and test are not
used in training; the phone error rate on them is measured at the end and kept in the file. The front end
(phone_network.py) is frozen, as it was trained on more speakers than any project has: each wave passes
through it once, and its output is used in several steps, each time with another masking.
"""

from __future__ import annotations

import copy
import itertools
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dimts.audio.augment import change_vocal_tract
from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.wave import Wave
from dimts.base.errors import CheckpointError, ConfigError
from dimts.base.files import atomic_path
from dimts.base.messages import Message
from dimts.base.plugins import require
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.evaluate.hmm_aligner import HMMAligner
from dimts.evaluate.metrics import Edits, edits, per, phone_class
from dimts.evaluate.phone_labels import LABELS, MEL, features, phone_labels, word_labels
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.synthetic_speech import (
    HELD_OUT_VARIANTS,
    SyntheticSpeechSettings,
    augment,
    random_words,
    synthesise,
    synthetic_utterances,
    training_variants,
)
from dimts.text.phones import WORD_MARK

if TYPE_CHECKING:
    from torch import Tensor

    from dimts.evaluate.phone_network import Network, WhisperFrontEnd

TrainingSample = tuple["Tensor", tuple[int, ...]]
"""Output of the front end, [N, front-end width] in half precision, and the indices of the labels."""
Recorded = tuple[Callable[[], Wave], tuple[str, ...]]
"""A function that reads a clip, and the labels of the clip."""
_ALIGNER_WAVES, _ALIGNER_SECONDS = 1200, 1800.0
"""Training data of the aligner: waves of formant voices, or at most so many seconds of recordings."""
_ALIGNER_MIXTURES = 16
"""Gaussians a state of the aligner of formant voices."""
_ALIGNER_LEAST_SECONDS = 60.0
"""Least seconds of recordings to train an aligner on; with fewer the initial one is better."""


@dataclass(frozen=True, slots=True)
class TrainRecogniserSettings:
    """Settings of the training of the recogniser."""

    steps: int = 800
    """Optimiser steps."""
    batch: int = 16
    """Batch size, in waves."""
    new_per_step: int = 3
    """New waves a step; the rest of the batch is drawn from the last `buffer_size`."""
    buffer_size: int = 2400
    """Number of the newest waves that batches are drawn from."""
    learning_rate: float = 2e-3
    """Peak learning rate, after warm-up over 8 % of the steps and before cosine decay."""
    real_share: float = 0.5
    """Share of recordings in a batch, 0 to 1, if there are any."""
    width: int = 128
    """Width of the conformer blocks."""
    blocks: int = 2
    """Number of conformer blocks."""
    seed: int = 1
    from_scratch: bool = True
    """Whether all weights but those of the front end begin random; False continues from the initial ones."""
    max_seconds: float = 12.0
    """Duration above which recordings are not used in training."""
    synthetic: SyntheticSpeechSettings = field(default_factory=SyntheticSpeechSettings)

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.new_per_step) < 1 or self.buffer_size < self.batch:
            raise ConfigError("evaluate.too_few_steps")
        if not 0.0 <= self.real_share <= 1.0:
            raise ConfigError("evaluate.real_share_out_of_range", real_share=self.real_share)


_SEEDS = 1_000_003
_WARM_UP_SHARE = 0.08
_CURRICULUM_SHARE = 0.2
_WEIGHT_DECAY = 0.01
_CLIP_NORM = 2.0
_EMA_DECAY = 0.995
"""Decay of the exponential moving average of the weights, which is what is saved."""
_MASK_FRAMES = 6
_SAVE_EVERY = 100
_REPORT_EVERY = 10


def utterance_words(row: Utterance) -> list[tuple[str, ...]]:
    """Return the expected labels of each word of a clip."""
    return [word for word in word_labels(word.split() for word in row.phones.split(f" {WORD_MARK} ")) if word]


def utterance_labels(row: Utterance) -> tuple[str, ...]:
    """Return the expected labels of a clip."""
    return tuple(label for word in utterance_words(row) for label in word)


def train_recogniser(
    out: Path | str,
    project: Project | None = None,
    settings: TrainRecogniserSettings | None = None,
    on_progress: ProgressCallback = ignore,
    *,
    initial: Path | str | None = None,
) -> PhoneRecogniser:
    """Train a recogniser and write it to `out`; with a project, on its kept training clips too.

    `initial` is the recogniser file whose weights it begins with; None: the shipped one. An interrupted
    training is resumed from `out` with the suffix .part if its settings are the same, else CheckpointError.
    Raises ConfigError for a project without clips for training.
    """
    settings = settings or TrainRecogniserSettings()
    require("torch", "evaluate")
    out = Path(out)
    rows = [row for row in Manifest.read(project.manifest) if row.kept and row.phones] if project else []
    real = [row for row in rows if row.split == "train" and row.seconds <= settings.max_seconds]
    if project and not real:
        raise ConfigError("evaluate.no_kept_clips", project=project.root)
    recordings = [(partial(_clip, project, row), utterance_labels(row)) for row in real]
    start = PhoneRecogniser.load(initial)
    network, steps = _train(out, settings, recordings, start.network, on_progress)
    on_progress(Progress("recogniser_borders", 0, 1, "fits"))
    aligner, aligner_data = _fit_aligner(start, project, real, settings.seed)
    on_progress(Progress("recogniser_borders", 1, 1, "fits"))
    held = [row for row in rows if row.split in ("dev", "test")]
    notes = {
        "trained_on": _description(settings, real),
        "real_clips": len(real),
        "settings": asdict(settings),
        "steps": steps,
        "aligner_trained_on": aligner_data.text("en"),
        "aligner_message": aligner_data.as_dict(),
        "per_formant_held_out_voices": round(formant_per(PhoneRecogniser(network), 24).rate, 4),
    }
    recogniser = PhoneRecogniser(network, notes, aligner)
    if project and held:
        notes |= held_out_per(
            recogniser, [(partial(_clip, project, row), utterance_labels(row)) for row in held]
        )
    recogniser.save(out)
    out.with_suffix(".part").unlink(missing_ok=True)
    return recogniser


def held_out_per(recogniser: PhoneRecogniser, clips: Sequence[Recorded]) -> dict[str, float]:
    """Measure phone error rates on held-out clips: of labels, without length, and of classes of phones."""
    total, plain, classes = Edits(), Edits(), Edits()
    for read, expected in clips:
        phones = recogniser.recognise(read()).phones
        total += per(phones, expected)
        plain += per(phones, expected, length=False)
        classes += edits([phone_class(label) for label in phones], [phone_class(label) for label in expected])
    return {
        "per_held_out_clips": round(total.rate, 4),
        "per_held_out_clips_without_length": round(plain.rate, 4),
        "per_held_out_clips_of_classes": round(classes.rate, 4),
    }


def formant_per(recogniser: PhoneRecogniser, sentences: int, seed: int = 7) -> Edits:
    """Measure the phone errors on random words by the formant voices kept out of training."""
    rng = random.Random(seed)
    total = Edits()
    for number in range(sentences):
        voice = Formant(FormantSettings(variant=HELD_OUT_VARIANTS[number % len(HELD_OUT_VARIANTS)]))
        for wave, labels in synthesise(voice, [random_words(rng, SyntheticSpeechSettings())]):
            total += edits(recogniser.recognise(wave).phones, labels)
    return total


def _clip(project: Project | None, row: Utterance) -> Wave:
    assert project is not None  # noqa: S101 # rows come from a project
    return Wave.load(project.inside(row.path))


def _description(settings: TrainRecogniserSettings, real: Sequence[Utterance]) -> str:
    count = settings.batch + settings.new_per_step * (settings.steps - 1)
    if not real:
        return f"{count} waves of random words by formant voices"
    minutes = sum(row.seconds for row in real) / 60
    return (
        f"{settings.real_share:.0%} of {count} waves from {len(real)} clips ({minutes:.1f} min), "
        "the rest random words by formant voices"
    )


def _fit_aligner(
    initial: PhoneRecogniser, project: Project | None, rows: Sequence[Utterance], seed: int
) -> tuple[HMMAligner, Message]:
    """Train the aligner; return it with a description of its training data."""
    if project is None:
        return formant_aligner(seed), Message("evaluate.aligner_of_formants", waves=_ALIGNER_WAVES)
    seconds = sum(row.seconds for row in rows)
    if seconds < _ALIGNER_LEAST_SECONDS:
        return initial.aligner, Message("evaluate.aligner_kept_too_little", seconds=seconds)
    step = max(1.0, seconds / _ALIGNER_SECONDS)
    chosen = [rows[math.floor(at * step)] for at in range(math.ceil(len(rows) / step))]
    try:
        found = HMMAligner.fit([(_clip(project, row), utterance_words(row)) for row in chosen])
    except ConfigError as error:
        return initial.aligner, Message("evaluate.aligner_kept", reason=error)
    minutes = sum(row.seconds for row in chosen) / 60
    return found, Message("evaluate.aligner_of_recordings", minutes=minutes)


def formant_aligner(seed: int) -> HMMAligner:
    """Train an aligner on formant voices, whose phone boundaries are known."""
    rng, settings = random.Random(f"{seed} borders"), SyntheticSpeechSettings()
    names, clips, boundaries = training_variants(), [], []
    for _ in range(_ALIGNER_WAVES):
        words = random_words(rng, settings)
        rate = rng.uniform(settings.slowest, settings.fastest)
        voice = Formant(FormantSettings(rate=rate, pitch=rng.uniform(0.7, 1.5), variant=rng.choice(names)))
        spoken = voice.speak_timed(words, "።")
        clips.append((spoken.wave, [phone_labels(word) for word in words]))
        boundaries.append(
            [part for word, times in zip(words, spoken.times, strict=True) for part in _parts(word, times)]
        )
    return HMMAligner.fit(clips, boundaries, _ALIGNER_MIXTURES)


def _parts(word: Sequence[str], times: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Convert times of phones to times of labels: Cʷ, which has two, is divided in the middle."""
    for phone, (start, end) in zip(word, times, strict=True):
        edges = np.linspace(start, end, len(phone_labels([phone])) + 1)
        yield from ((float(first), float(last)) for first, last in itertools.pairwise(edges))


def _train(
    out: Path,
    settings: TrainRecogniserSettings,
    recordings: Sequence[Recorded],
    initial: Network,
    on_progress: ProgressCallback,
) -> tuple[Network, int]:
    import torch

    from dimts.evaluate.phone_network import Network

    torch.manual_seed(settings.seed)
    network = initial
    if settings.from_scratch:
        network = Network(replace(initial.spec, width=settings.width, blocks=settings.blocks), len(LABELS))
        network.frontend.load_state_dict(initial.frontend.state_dict())
    network.train()
    network.frontend.requires_grad_(False)
    mean = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(
        list(network.trainable_parameters()),
        lr=settings.learning_rate,
        weight_decay=_WEIGHT_DECAY,
        betas=(0.9, 0.98),
    )
    source = _Source(settings, recordings, network.frontend)
    part = out.with_suffix(".part")
    done = _resume(part, settings, network, mean, optimizer)
    losses: list[float] = []
    for step in range(done, settings.steps):
        torch.manual_seed(_SEEDS * settings.seed + step)  # so that dropout is reproducible after resuming
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _learning_rate_factor(step / settings.steps)
        loss = _loss(network, source.batch(step))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP_NORM)
        optimizer.step()
        decay = min(_EMA_DECAY, (step + 1) / (step + 10))
        with torch.no_grad():
            for old, new in zip(mean.trainable_parameters(), network.trainable_parameters(), strict=True):
                old.lerp_(new, 1 - decay)
        losses.append(loss.item())
        if (step + 1) % _REPORT_EVERY == 0 or step + 1 == settings.steps:
            recent = float(np.mean(losses[-_REPORT_EVERY:]))
            on_progress(Progress("recogniser", step + 1, settings.steps, "steps", values={"loss": recent}))
        if (step + 1) % _SAVE_EVERY == 0:
            _save_part(part, settings, step + 1, network, mean, optimizer)
    return mean.eval(), settings.steps


def _learning_rate_factor(part: float) -> float:
    """Warm up linearly, then decay as a cosine; `part` of the training is done, 0 to 1."""
    return (
        part / _WARM_UP_SHARE + 1e-2
        if part < _WARM_UP_SHARE
        else 0.5 + 0.5 * math.cos(math.pi * (part - _WARM_UP_SHARE) / (1 - _WARM_UP_SHARE))
    )


class _Source:
    """Training samples by index, each from its own seed, so that a resumed run uses the same."""

    def __init__(
        self, settings: TrainRecogniserSettings, recordings: Sequence[Recorded], frontend: WhisperFrontEnd
    ) -> None:
        self.settings, self.recordings, self.frontend = settings, recordings, frontend
        self.total = settings.batch + settings.new_per_step * (settings.steps - 1)
        self._kept: dict[int, TrainingSample] = {}

    def batch(self, step: int) -> list[TrainingSample]:
        """Return the new samples of a step, and some of the buffer."""
        import torch

        settings, rng = self.settings, random.Random(f"{self.settings.seed} {step}")
        made = settings.batch + settings.new_per_step * step
        oldest = max(0, made - settings.buffer_size)
        newest = list(range(made - (settings.new_per_step if step else settings.batch), made))
        chosen = newest[-settings.batch :]
        chosen += [rng.randrange(oldest, made) for _ in range(settings.batch - len(chosen))]
        for number in [number for number in self._kept if number < oldest]:
            del self._kept[number]
        out = []
        for number in chosen:
            states, labels = self._sample(number)
            out.append(
                (_mask(rng, states.float()) * (torch.rand(states.shape[1]) > _CHANNEL_DROPOUT), labels)
            )
        return out

    def _sample(self, number: int) -> TrainingSample:
        import torch

        if number not in self._kept:
            mels, labels = self._features(number, random.Random(f"{self.settings.seed} sample {number}"))
            with torch.no_grad():
                states, _ = self.frontend(torch.from_numpy(mels)[None], torch.tensor([len(mels)]))
            self._kept[number] = states[0].half(), tuple(LABELS.index(label) for label in labels)
        return self._kept[number]

    def _features(self, number: int, rng: random.Random) -> tuple[np.ndarray, Sequence[str]]:
        """Make the features [F, bands] and labels of a sample."""
        settings = self.settings
        if self.recordings and rng.random() < settings.real_share:
            read, labels = self.recordings[rng.randrange(len(self.recordings))]
            wave = read().resample(MEL.rate)
            if rng.random() < _AUGMENTED_SHARE:
                wave = augment(change_vocal_tract(wave, 1 / rng.uniform(*_VOCAL_TRACT_RATIOS), MEL.rate), rng)
        else:
            # curriculum: clean and short utterances first, so that CTC converges sooner
            difficulty = (
                min(1.0, number / max(1.0, _CURRICULUM_SHARE * self.total)) if settings.from_scratch else 1.0
            )
            made = settings.synthetic
            words = min(made.most_words, 2 + round(difficulty * made.most_words))
            wave, labels = next(
                synthetic_utterances(
                    rng, replace(made, augmented_share=difficulty * made.augmented_share, most_words=words)
                )
            )
        return _warp_time(rng, features(wave), len(labels)), labels


_AUGMENTED_SHARE = 0.6
"""Share of recordings that are augmented, 0 to 1."""
_VOCAL_TRACT_RATIOS = (0.9, 1.1)
_CHANNEL_DROPOUT = 0.1
"""Share of front-end channels that are zeroed in a sample."""
_WARPED_SHARE, _WARP_FRAMES, _WARP, _RATE = 0.6, 20, 0.3, 0.15
_LEAST_FRAMES_A_LABEL = 4


def _warp_time(rng: random.Random, mels: np.ndarray, labels: int) -> np.ndarray:
    """Vary the tempo within features [F, bands] by factors of up to exp(±0.3) every 0.2 s."""
    count = len(mels)
    if rng.random() >= _WARPED_SHARE or count < 2:
        return mels
    turns = max(1, count // _WARP_FRAMES) + 1
    pace = np.exp(rng.uniform(-_RATE, _RATE) + np.array([rng.uniform(-_WARP, _WARP) for _ in range(turns)]))
    slowness = 1.0 / np.interp(np.arange(count - 1), np.linspace(0, count - 1, turns), pace)
    times = np.concatenate(([0.0], np.cumsum(slowness)))
    old = np.interp(np.arange(0.0, times[-1]), times, np.arange(count))
    before = np.minimum(old.astype(int), count - 2)
    if len(before) < _LEAST_FRAMES_A_LABEL * labels:
        return mels  # too short for CTC
    share = (old - before)[:, None].astype(np.float32)
    warped: np.ndarray = mels[before] * (1 - share) + mels[before + 1] * share
    return warped


def _mask(rng: random.Random, states: Tensor) -> Tensor:
    """Mask a few stretches of time (SpecAugment; Park et al. 2019)."""
    for _ in range(max(1, len(states) // 75)):
        at = rng.randrange(max(1, len(states)))
        states[at : at + rng.randint(0, _MASK_FRAMES)] = 0.0
    return states


def _loss(network: Network, batch: list[TrainingSample]) -> Tensor:
    import torch
    from torch.nn import functional as F

    states = torch.nn.utils.rnn.pad_sequence(
        [states for states, _ in batch], batch_first=True
    )  # [B, N, front-end width]
    lengths = torch.tensor([len(states) for states, _ in batch])
    log_probs = network.classify(
        states, torch.arange(states.shape[1])[None] < lengths[:, None]
    )  # [B, N, labels]
    targets = torch.tensor([label for _, labels in batch for label in labels])
    counts = torch.tensor([len(labels) for _, labels in batch])
    total = F.ctc_loss(
        log_probs.transpose(0, 1), targets, lengths, counts, reduction="sum", zero_infinity=True
    )
    return total / counts.sum()


def _save_part(
    part: Path, settings: TrainRecogniserSettings, step: int, network: Network, mean: Network, optimizer: Any
) -> None:
    import torch

    content = {
        "settings": repr(settings),
        "step": step,
        "network": network.state_dict(),
        "mean": mean.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with atomic_path(part) as temporary:
        torch.save(content, temporary)


def _resume(
    part: Path, settings: TrainRecogniserSettings, network: Network, mean: Network, optimizer: Any
) -> int:
    import torch

    if not part.exists():
        return 0
    content = torch.load(part, weights_only=True)
    if content["settings"] != repr(settings):
        raise CheckpointError("evaluate.settings_changed", part=part)
    network.load_state_dict(content["network"])
    mean.load_state_dict(content["mean"])
    optimizer.load_state_dict(content["optimizer"])
    return int(content["step"])
