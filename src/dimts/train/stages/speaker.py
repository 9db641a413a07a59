"""Train the speaker encoder: distil the package's voice encoder into the ResNet that computes the speaker
vector.

The student sees a random crop of a clip, the teacher (`audio/likeness.py`, GE2E) the whole clip. Loss: 1 −
cosine between the teacher's vector and a linear map of the student's, which is not part of the voice, and the
squared difference between the two encoders' cosines of all pairs of clips, which trains the vector itself.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dimts.audio import likeness
from dimts.base.errors import AudioError, DataError
from dimts.base.messages import Message
from dimts.base.progress import Progress
from dimts.train.optim import groups
from dimts.train.stages.stage import (
    Phase,
    Stage,
    StageContext,
    Term,
    clips_of,
    loss_share,
    move_to,
    moved_buffers,
    other_stages,
)
from dimts.train.tensor_store import TensorStore
from dimts.xtts.mel import resample
from dimts.xtts.spec import TIMBRE_RATE

if TYPE_CHECKING:
    from dimts.base.progress import ProgressCallback
    from dimts.train.collate import TrainingClip
    from dimts.train.probe import Probe

RATE = 1e-3
LEAST_SECONDS = 5.0
_PER_SHARD = 256
_KEPT = 4096
"""Teacher's vectors of generated clips kept in memory."""


@dataclass(frozen=True)
class SpeakerBatch:
    """Crops of some clips, and the teacher's vectors of the whole clips."""

    waves: Tensor
    """[B, T] at 16 kHz, the shorter ones repeated."""
    vectors: Tensor
    """[B, 256] of length 1."""


class SpeakerStage(Stage):
    """The speaker encoder."""

    name: ClassVar[str] = "speaker"
    changes_state_in_forward: ClassVar[bool] = True
    speaks: ClassVar[bool] = False
    shown: ClassVar[tuple[str, ...]] = ("loss_distillation",)

    def __init__(self, context: StageContext) -> None:
        super().__init__(context)
        self.own = self.settings.speaker
        speakers = {clip.speaker for clip in (*self.data.train, *self.data.dev)}
        if len(speakers) < 2:
            raise DataError("train.one_speaker", clips=len(self.data.train))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            self.projection = nn.Linear(self.model.spec.timbre_width, likeness.WIDTH, bias=False)
        move_to(self.projection, self.model.device)
        self._module = nn.ModuleDict({"timbre": self.model.timbre, "projection": self.projection})
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        known = context.tensors
        self._store = TensorStore.open(self.project.codes / "voice-encoder") if known is None else known
        weights = {"distillation": 1.0, "similarity": self.own.similarity_weight}
        self._phases = (
            Phase("speaker", groups(self._module, self.settings.weight_decay), weights, betas=(0.9, 0.99)),
        )

    @property
    def module(self) -> nn.Module:
        """The encoder and the linear map to the teacher's vectors."""
        return self._module

    def phases(self) -> tuple[Phase, ...]:
        """Return the only phase."""
        return self._phases

    def usual_learning_rate(self) -> float:
        """Return 1e-3."""
        return RATE

    def needed_seconds(self) -> float:
        """Return the duration of a few clips."""
        return LEAST_SECONDS

    def extras(self) -> dict[str, Tensor]:
        """Return the running statistics of the norms, and the linear map."""
        return {**moved_buffers(self.model.timbre, "timbre."), "projection": self.projection.weight}

    # Data

    def prepare(self, on_progress: ProgressCallback) -> None:
        """Cache the teacher's vectors of the manifest's clips. AudioError for a clip without a voice."""
        clips = [clip for clip in (*self.data.train, *self.data.dev) if not clip.key.startswith("synthetic")]
        new = [clip for clip in clips if clip.key not in self._store]
        waiting: dict[str, Tensor] = {}
        for done, clip in enumerate(new, start=1):
            waiting[clip.key] = self._embed(clip)
            if len(waiting) == _PER_SHARD or done == len(new):
                self._store.write(waiting)
                waiting = {}
            on_progress(Progress("voice_vectors", done, len(new), "clips"))

    def _embed(self, clip: TrainingClip) -> Tensor:
        try:
            return torch.from_numpy(likeness.embed(self.data.store(clip.key).wave(clip.key)).copy())
        except AudioError as error:
            raise DataError("train.clip_unusable", clip=clip.id, reason=error) from error

    def _vector(self, clip: TrainingClip) -> Tensor:
        """Return the teacher's vector [256] of a clip."""
        if clip.key in self._store:
            stored: Tensor = self._store[clip.key][:]
            return stored
        if clip.key not in self._kept:
            self._kept[clip.key] = self._embed(clip)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[clip.key]

    def counts(self, phase: Phase, part: Sequence[int], epoch: int) -> dict[str, float]:
        """Return the numbers of clips and of pairs of clips."""
        return {"distillation": len(part), "similarity": len(part) * (len(part) - 1)}

    def batch(self, part: Sequence[int], epoch: int | None) -> SpeakerBatch:
        """Load a random crop of each clip; of the dev set, the beginning."""
        length = round(self.own.crop_seconds * TIMBRE_RATE)
        waves, vectors = [], []
        for clip in clips_of(self.data, part, epoch):
            rate = clip.spec.input_rate
            wanted = round(self.own.crop_seconds * rate)
            last = max(clip.samples - wanted, 0)
            start = (
                0
                if epoch is None
                else random.Random(f"{self.settings.seed}:{clip.key}:{epoch}").randint(0, last)
            )
            audio = self.data.store(clip.key).audio(clip.key, start, min(start + wanted, clip.samples))
            wave = resample(audio[None], rate, TIMBRE_RATE)[0]
            waves.append(wave.repeat(-(-length // len(wave)))[:length])
            vectors.append(self._vector(clip))
        device = self.model.device
        return SpeakerBatch(torch.stack(waves).to(device), torch.stack(vectors).to(device))

    # Learning

    def losses(self, phase: Phase, batch: Any) -> dict[str, Term]:
        """Compute 1 − cosine, and squared differences of the cosines of pairs."""
        vectors = self.model.timbre(batch.waves)[..., 0].float()  # [B, d]
        distillation = 1 - F.cosine_similarity(self.projection(vectors), batch.vectors, dim=1)
        count = len(vectors)
        apart = ~torch.eye(count, dtype=torch.bool, device=vectors.device)
        difference = (vectors @ vectors.t() - batch.vectors @ batch.vectors.t())[apart].square()
        similarity = difference.mean() if count > 1 else vectors.sum() * 0
        return {
            "distillation": Term(distillation.mean(), count),
            "similarity": Term(similarity, count * (count - 1)),
        }

    def dev_losses(self, batch: Any) -> dict[str, Term]:
        """Compute the same terms with the running statistics of the norms."""
        return self.losses(self._phases[0], batch)

    # Report

    def option_effects(self, probe: Probe, steps: Sequence[Mapping[str, Any]]) -> dict[str, Message]:
        """Return the measured effects of the stage's options."""
        seen = self.batch(self.sampler.epoch(0)[0][0], 0).waves.shape[1] / TIMBRE_RATE
        return {
            **self.own_effects(steps),
            "speaker.crop_seconds": Message("train.effect_seconds_of_clip", seconds=seen),
            "speaker.similarity_weight": loss_share(steps[0], "similarity", self.own.similarity_weight),
        }

    def ignored_options(self) -> dict[str, Message]:
        """Return the options of the other stages."""
        return other_stages(self.name)
