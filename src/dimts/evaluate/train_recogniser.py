"""Lessons and recordings → a recogniser. Under half an hour on two old cores; can be stopped and gone on with.

Without recordings it learns from the formant voices alone. With a project's, half of what it hears is real, each
time in another room, at another tempo and pitch: that is how it comes to understand the speakers whose voice is to be
judged. Clips of the splits dev and test are never taught with; how well it hears them is measured at the end and kept
in the file. The front end (phone_network.py) is frozen: it was trained on more people than any project holds. So each
wave goes through it once, and what it gave is learnt from several times, each time with other gaps.
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
    invent,
    lessons,
    said_by,
    spoil,
    taught_variants,
)
from dimts.text.phones import WORD_MARK

if TYPE_CHECKING:
    from torch import Tensor

    from dimts.evaluate.phone_network import Network, WhisperFrontEnd

Lesson = tuple["Tensor", tuple[int, ...]]
"""What the frontend gave, [N, front-end width] in half precision, and the numbers of the signs said."""
Recorded = tuple[Callable[[], Wave], tuple[str, ...]]
"""How to read a clip, and the signs said in it."""
_BORDER_WAVES, _BORDER_SECONDS = 1200, 1800.0
"""Of formant voices, or of recordings at the most, that the segmenter learns from."""
_BORDER_MIXTURES = 16
"""Gaussians a state for these many voices."""
_BORDER_LEAST_SECONDS = 60.0
"""Of recordings; from fewer it learns nothing that the formant voices have not taught it better."""


@dataclass(frozen=True, slots=True)
class TrainRecogniserSettings:
    """How the recogniser is trained."""

    steps: int = 800
    batch: int = 16
    """Waves a step."""
    fresh: int = 3
    """New lessons a step; the others of the batch come from the last `remembered`."""
    remembered: int = 2400
    learning_rate: float = 2e-3
    """At its height; it rises for the first 8 % and falls as a cosine."""
    real_share: float = 0.5
    """Of each batch, if there are recordings."""
    width: int = 128
    blocks: int = 2
    seed: int = 1
    from_scratch: bool = True
    """All but the frontend begins with random weights; False: all goes on from where it is."""
    max_seconds: float = 12.0
    """Longer recordings are left out."""
    lessons: SyntheticSpeechSettings = field(default_factory=SyntheticSpeechSettings)

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.fresh) < 1 or self.remembered < self.batch:
            raise ConfigError("evaluate.too_few_steps")
        if not 0.0 <= self.real_share <= 1.0:
            raise ConfigError("evaluate.real_share_out_of_range", real_share=self.real_share)


_SEEDS = 1_000_003
_WARM_SHARE = 0.08
_EASY_SHARE = 0.2
_WEIGHT_DECAY = 0.01
_CLIP_NORM = 2.0
_KEPT = 0.995
"""Of the averaged weights at each step; the average is what is saved."""
_MASK_FRAMES = 6
_SAVE_EVERY = 100
_TELL_EVERY = 10


def utterance_words(row: Utterance) -> list[tuple[str, ...]]:
    """The signs that should be heard in each word of a clip."""
    return [word for word in word_labels(word.split() for word in row.phones.split(f" {WORD_MARK} ")) if word]


def utterance_signs(row: Utterance) -> tuple[str, ...]:
    """What should be heard in a clip."""
    return tuple(sign for word in utterance_words(row) for sign in word)


def train_recogniser(
    out: Path | str,
    project: Project | None = None,
    settings: TrainRecogniserSettings | None = None,
    on_progress: ProgressCallback = ignore,
    *,
    initial: Path | str | None = None,
) -> PhoneRecogniser:
    """Train a recogniser and write it to `out`; with a project, on its kept training clips too.

    `initial` is the recogniser file whose weights it begins with; none: the shipped one. What was begun lies in
    `out` + ".part" and is gone on with; settings must be the same. Raises ConfigError for a project without clips to
    learn from.
    """
    settings = settings or TrainRecogniserSettings()
    require("torch", "evaluate")
    out = Path(out)
    rows = [row for row in Manifest.read(project.manifest) if row.kept and row.phones] if project else []
    real = [row for row in rows if row.split == "train" and row.seconds <= settings.max_seconds]
    if project and not real:
        raise ConfigError("evaluate.no_kept_clips", project=project.root)
    recordings = [(partial(_clip, project, row), utterance_signs(row)) for row in real]
    begun = PhoneRecogniser.load(initial)
    network, taught = _train(out, settings, recordings, begun.network, on_progress)
    on_progress(Progress("recogniser_borders", 0, 1, "fits"))
    borders, borders_from = _borders(begun, project, real, settings.seed)
    on_progress(Progress("recogniser_borders", 1, 1, "fits"))
    held = [row for row in rows if row.split in ("dev", "test")]
    notes = {
        "trained_on": _description(settings, real),
        "real_clips": len(real),
        "settings": asdict(settings),
        "steps": taught,
        "borders_from": borders_from,
        "per_formant_held_out_voices": round(formant_rate(PhoneRecogniser(network), 24).rate, 4),
    }
    recogniser = PhoneRecogniser(network, notes, borders)
    if project and held:
        notes |= held_out(recogniser, [(partial(_clip, project, row), utterance_signs(row)) for row in held])
    recogniser.save(out)
    out.with_suffix(".part").unlink(missing_ok=True)
    return recogniser


def held_out(recogniser: PhoneRecogniser, clips: Sequence[Recorded]) -> dict[str, float]:
    """Phone error rates on clips it was not taught with: as they are, without length, and of classes of phones."""
    total, plain, classes = Edits(), Edits(), Edits()
    for read, said in clips:
        heard = recogniser.hear(read()).phones
        total += per(heard, said)
        plain += per(heard, said, length=False)
        classes += edits([phone_class(sign) for sign in heard], [phone_class(sign) for sign in said])
    return {
        "per_held_out_clips": round(total.rate, 4),
        "per_held_out_clips_without_length": round(plain.rate, 4),
        "per_held_out_clips_of_classes": round(classes.rate, 4),
    }


def formant_rate(recogniser: PhoneRecogniser, sentences: int, seed: int = 7) -> Edits:
    """How many signs it gets wrong on invented sentences by formant voices it was never taught with."""
    rng = random.Random(seed)
    total = Edits()
    for number in range(sentences):
        voice = Formant(FormantSettings(variant=HELD_OUT_VARIANTS[number % len(HELD_OUT_VARIANTS)]))
        for wave, said in said_by(voice, [invent(rng, SyntheticSpeechSettings())]):
            total += edits(recogniser.hear(wave).phones, said)
    return total


def _clip(project: Project | None, row: Utterance) -> Wave:
    assert project is not None  # noqa: S101 # rows come from a project
    return Wave.load(project.inside(row.path))


def _description(settings: TrainRecogniserSettings, real: Sequence[Utterance]) -> str:
    count = settings.batch + settings.fresh * (settings.steps - 1)
    said = f"{count} waves of invented words by formant voices"
    if real:
        minutes = sum(row.seconds for row in real) / 60
        said = f"{settings.real_share:.0%} of {count} waves from {len(real)} clips"
        said += f" ({minutes:.1f} min), the rest invented words by formant voices"
    return said


def _borders(
    begun: PhoneRecogniser, project: Project | None, rows: Sequence[Utterance], seed: int
) -> tuple[HMMAligner, str]:
    """What finds the borders of phones, and what it was taught by."""
    if project is None:
        return formant_segmenter(seed), f"{_BORDER_WAVES} waves of invented words by formant voices"
    seconds = sum(row.seconds for row in rows)
    if seconds < _BORDER_LEAST_SECONDS:
        return begun.segmenter, f"the recogniser it began with ({seconds:.0f} s of recordings are too few)"
    step = max(1.0, seconds / _BORDER_SECONDS)
    chosen = [rows[math.floor(at * step)] for at in range(math.ceil(len(rows) / step))]
    try:
        found = HMMAligner.fit([(_clip(project, row), utterance_words(row)) for row in chosen])
    except ConfigError as error:
        return begun.segmenter, f"the recogniser it began with ({error})"
    return found, f"{sum(row.seconds for row in chosen) / 60:.1f} min of the recordings"


def formant_segmenter(seed: int) -> HMMAligner:
    """Taught by formant voices, which tell their borders themselves."""
    rng, settings = random.Random(f"{seed} borders"), SyntheticSpeechSettings()
    names, clips, known = taught_variants(), [], []
    for _ in range(_BORDER_WAVES):
        words = invent(rng, settings)
        rate = rng.uniform(settings.slowest, settings.fastest)
        voice = Formant(FormantSettings(rate=rate, pitch=rng.uniform(0.7, 1.5), variant=rng.choice(names)))
        spoken = voice.speak_timed(words, "።")
        clips.append((spoken.wave, [phone_labels(word) for word in words]))
        known.append([part for word, times in zip(words, spoken.times, strict=True) for part in _parts(word, times)])
    return HMMAligner.fit(clips, known, _BORDER_MIXTURES)


def _parts(word: Sequence[str], times: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Times of phones → of signs: Cʷ, which is heard as two, is parted in its middle."""
    for phone, (start, end) in zip(word, times, strict=True):
        edges = np.linspace(start, end, len(phone_labels([phone])) + 1)
        yield from ((float(first), float(last)) for first, last in itertools.pairwise(edges))


def _train(
    out: Path,
    settings: TrainRecogniserSettings,
    recordings: Sequence[Recorded],
    begun: Network,
    on_progress: ProgressCallback,
) -> tuple[Network, int]:
    import torch

    from dimts.evaluate.phone_network import Network

    torch.manual_seed(settings.seed)
    network = begun
    if settings.from_scratch:
        network = Network(replace(begun.spec, width=settings.width, blocks=settings.blocks), len(LABELS))
        network.frontend.load_state_dict(begun.frontend.state_dict())
    network.train()
    network.frontend.requires_grad_(False)
    mean = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(
        list(network.own()), lr=settings.learning_rate, weight_decay=_WEIGHT_DECAY, betas=(0.9, 0.98)
    )
    source = _Source(settings, recordings, network.frontend)
    part = out.with_suffix(".part")
    done = _resume(part, settings, network, mean, optimizer)
    losses: list[float] = []
    for step in range(done, settings.steps):
        torch.manual_seed(_SEEDS * settings.seed + step)  # dropout, too, is the step's own
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _slope(step / settings.steps)
        loss = _loss(network, source.batch(step))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP_NORM)
        optimizer.step()
        kept = min(_KEPT, (step + 1) / (step + 10))
        with torch.no_grad():
            for old, new in zip(mean.own(), network.own(), strict=True):
                old.lerp_(new, 1 - kept)
        losses.append(loss.item())
        if (step + 1) % _TELL_EVERY == 0 or step + 1 == settings.steps:
            recent = float(np.mean(losses[-_TELL_EVERY:]))
            on_progress(Progress("recogniser", step + 1, settings.steps, "steps", values={"loss": recent}))
        if (step + 1) % _SAVE_EVERY == 0:
            _save_part(part, settings, step + 1, network, mean, optimizer)
    return mean.eval(), settings.steps


def _slope(part: float) -> float:
    return (
        part / _WARM_SHARE + 1e-2
        if part < _WARM_SHARE
        else 0.5 + 0.5 * math.cos(math.pi * (part - _WARM_SHARE) / (1 - _WARM_SHARE))
    )


class _Source:
    """The lessons, by number: each is made of its own seed, so that a resumed run sees the same."""

    def __init__(
        self, settings: TrainRecogniserSettings, recordings: Sequence[Recorded], frontend: WhisperFrontEnd
    ) -> None:
        self.settings, self.recordings, self.frontend = settings, recordings, frontend
        self.total = settings.batch + settings.fresh * (settings.steps - 1)
        self._kept: dict[int, Lesson] = {}

    def batch(self, step: int) -> list[Lesson]:
        """The newest lessons of a step, and some of those before."""
        import torch

        settings, rng = self.settings, random.Random(f"{self.settings.seed} {step}")
        made = settings.batch + settings.fresh * step
        oldest = max(0, made - settings.remembered)
        newest = list(range(made - (settings.fresh if step else settings.batch), made))
        chosen = newest[-settings.batch :]
        chosen += [rng.randrange(oldest, made) for _ in range(settings.batch - len(chosen))]
        for number in [number for number in self._kept if number < oldest]:
            del self._kept[number]
        out = []
        for number in chosen:
            states, said = self._lesson(number)
            out.append((_mask(rng, states.float()) * (torch.rand(states.shape[1]) > _DEAF_SHARE), said))
        return out

    def _lesson(self, number: int) -> Lesson:
        import torch

        if number not in self._kept:
            mels, said = self._heard(number, random.Random(f"{self.settings.seed} lesson {number}"))
            with torch.no_grad():
                states, _ = self.frontend(torch.from_numpy(mels)[None], torch.tensor([len(mels)]))
            self._kept[number] = states[0].half(), tuple(LABELS.index(sign) for sign in said)
        return self._kept[number]

    def _heard(self, number: int, rng: random.Random) -> tuple[np.ndarray, Sequence[str]]:
        """Features [F, bands] and the signs said."""
        settings = self.settings
        if self.recordings and rng.random() < settings.real_share:
            read, said = self.recordings[rng.randrange(len(self.recordings))]
            wave = read().resample(MEL.rate)
            if rng.random() < _CHANGED_SHARE:
                wave = spoil(change_vocal_tract(wave, 1 / rng.uniform(*_SHORTENINGS), MEL.rate), rng)
        else:
            # clean and short first: CTC finds its feet sooner
            ease = min(1.0, number / max(1.0, _EASY_SHARE * self.total)) if settings.from_scratch else 1.0
            made = settings.lessons
            words = min(made.most_words, 2 + round(ease * made.most_words))
            wave, said = next(lessons(rng, replace(made, spoil_share=ease * made.spoil_share, most_words=words)))
        return _hurry(rng, features(wave), len(said)), said


_CHANGED_SHARE = 0.6
"""Of the real clips, that are heard as by another vocal tract, in another room."""
_SHORTENINGS = (0.9, 1.1)
_DEAF_SHARE = 0.1
"""Of the ear's channels, that are silent for a lesson."""
_HURRIED_SHARE, _HURRY_FRAMES, _HURRY, _PACE = 0.6, 20, 0.3, 0.15
_LEAST_FRAMES_A_SIGN = 4


def _hurry(rng: random.Random, mels: np.ndarray, signs: int) -> np.ndarray:
    """Now faster, now slower, by up to exp(±0.3) within every 0.2 s, as people are and formant voices are not."""
    count = len(mels)
    if rng.random() >= _HURRIED_SHARE or count < 2:
        return mels
    turns = max(1, count // _HURRY_FRAMES) + 1
    pace = np.exp(rng.uniform(-_PACE, _PACE) + np.array([rng.uniform(-_HURRY, _HURRY) for _ in range(turns)]))
    slowness = 1.0 / np.interp(np.arange(count - 1), np.linspace(0, count - 1, turns), pace)
    times = np.concatenate(([0.0], np.cumsum(slowness)))
    old = np.interp(np.arange(0.0, times[-1]), times, np.arange(count))
    before = np.minimum(old.astype(int), count - 2)
    if len(before) < _LEAST_FRAMES_A_SIGN * signs:
        return mels  # no room for all that is said
    share = (old - before)[:, None].astype(np.float32)
    warped: np.ndarray = mels[before] * (1 - share) + mels[before + 1] * share
    return warped


def _mask(rng: random.Random, states: Tensor) -> Tensor:
    """A few stretches of time blanked (SpecAugment; Park et al. 2019)."""
    for _ in range(max(1, len(states) // 75)):
        at = rng.randrange(max(1, len(states)))
        states[at : at + rng.randint(0, _MASK_FRAMES)] = 0.0
    return states


def _loss(network: Network, batch: list[Lesson]) -> Tensor:
    import torch
    from torch.nn import functional as F

    states = torch.nn.utils.rnn.pad_sequence(
        [states for states, _ in batch], batch_first=True
    )  # [B, N, front-end width]
    lengths = torch.tensor([len(states) for states, _ in batch])
    chances = network.judge(states, torch.arange(states.shape[1])[None] < lengths[:, None])  # [B, N, signs]
    said = torch.tensor([sign for _, signs in batch for sign in signs])
    counts = torch.tensor([len(signs) for _, signs in batch])
    total = F.ctc_loss(chances.transpose(0, 1), said, lengths, counts, reduction="sum", zero_infinity=True)
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


def _resume(part: Path, settings: TrainRecogniserSettings, network: Network, mean: Network, optimizer: Any) -> int:
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
