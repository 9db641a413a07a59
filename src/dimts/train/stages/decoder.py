"""Train the vocoder (HiFi-GAN) on the GPT's latents, teacher-forced on the codes of real clips.

Latents and speaker vectors of the manifest's clips are computed once and cached. A step decodes a crop of
each clip: first the discriminators are trained to tell it from the recording, then the generator on 45 × mel
L1 + 2 × feature matching + the adversarial loss, and every few steps on the speaker similarity of a longer
crop. The mel loss ends at the highest frequency of a recording, so that a 16 kHz recording teaches nothing
above 8 kHz.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from dimts.base.messages import Message
from dimts.base.progress import Progress
from dimts.train.collate import Collator
from dimts.train.optim import groups
from dimts.train.stages.stage import (
    Phase,
    Stage,
    StageContext,
    StepKind,
    Term,
    clips_of,
    loss_share,
    move_to,
    other_stages,
)
from dimts.train.tensor_store import TensorStore
from dimts.xtts.discriminators import DiscriminatorOutput, build_discriminator
from dimts.xtts.gan_loss import (
    LOSS_MEL,
    discriminator_loss,
    feature_loss,
    generator_loss,
    mel_distance,
    speaker_loss,
)
from dimts.xtts.mel import resample
from dimts.xtts.spec import TIMBRE_RATE

if TYPE_CHECKING:
    from dimts.base.progress import ProgressCallback
    from dimts.train.collate import TrainingClip
    from dimts.train.probe import Probe

RATE_OF_RANDOM_WEIGHTS, RATE_OF_A_BASE = 2e-4, 1e-4
BETAS = (0.8, 0.99)
_DEV_CROPS = 4
"""Length of a dev crop as a multiple of a training crop."""
_SPEAKER_SHARE = 0.25
"""Share of the clips of a step that the speaker loss uses."""
_COMPARED_STEPS = 200
"""Steps with a speaker loss among which a forecast looks for the one with most clips."""
_BAND_STEP_HZ = 500.0
"""Band limits are rounded down to multiples of this, so that few mel banks are needed."""
_WINNING_LOSS = 0.01
"""Loss of one discriminator, least squares of real and generated, below which it is perfect and the
generator learns nothing from it."""
_AVERAGED_STEPS = 50
LEAST_SECONDS = 5.0
_PER_SHARD = 64


@dataclass
class DecoderBatch:
    """Crops of some clips."""

    frames: Tensor
    """Interpolated latents [B, D, n]."""
    timbre: Tensor
    """[B, d, 1]"""
    waves: Tensor
    """Recordings [B, 256 n] at 24 kHz."""
    band_limits: Sequence[float]
    """Highest frequency of each recording in Hz."""
    long_frames: Tensor | None = None
    """Longer crops of some of the clips, for the speaker loss [b, D, m]."""
    long_waves: Tensor | None = None
    """[b, 256 m]"""
    long_timbre: Tensor | None = None
    """[b, d, 1]"""
    generated: Tensor | None = None
    """Output of the generator for `frames`, kept between the two phases."""


class DecoderStage(Stage):
    """The vocoder and its discriminators."""

    name: ClassVar[str] = "decoder"
    changes_state_in_forward: ClassVar[bool] = True
    shown: ClassVar[tuple[str, ...]] = ("loss_mel", "loss_discriminator")

    def __init__(self, context: StageContext) -> None:
        super().__init__(context)
        self.own, self.vocoder = self.settings.decoder, self.model.vocoder
        own, decay = self.own, self.settings.weight_decay
        weights = {"mel": own.mel_weight, "features": own.feature_weight, "adversarial": 1.0}
        if own.speaker_weight:
            weights["speaker"] = own.speaker_weight
        self._module = nn.ModuleDict({"vocoder": self.vocoder})
        self._phases: tuple[Phase, ...] = (
            Phase("generator", groups(self.vocoder, decay), weights, betas=BETAS),
        )
        self.discriminator: nn.Module | None = None
        if own.discriminators != "none":
            self.discriminator = build_discriminator(own.discriminators, self.settings.seed)
            move_to(self.discriminator, self.model.device)
            self._module["discriminator"] = self.discriminator
            own_phase = Phase(
                "discriminator", groups(self.discriminator, decay), {"discriminator": 1.0}, betas=BETAS
            )
            self._phases = (own_phase, *self._phases)
        self._average_loss = torch.ones(1, device=self.model.device)
        """Moving average of the loss per discriminator."""
        self._step = 0
        self._pieces = (0, 0)
        """Samples of a crop and of a longer one in the steps so far."""
        known = context.tensors
        self._store = (
            TensorStore.open(self.project.codes / f"decoder-{self._fingerprint()}")
            if known is None
            else known
        )
        if self.engine.random and "gpt" not in self.engine.learnt:
            self.engine.remarks.append(Message("train.gpt_untrained"))

    def _fingerprint(self) -> str:
        """Return the fingerprint of everything that determines latents and speaker vector."""
        digest = hashlib.sha256(f"teacher_forced {self.engine.coder_name}".encode())
        for part in (self.model.gpt, self.model.conditioning, self.model.timbre):
            for key, value in sorted(part.state_dict().items()):
                digest.update(key.encode())
                digest.update(np.ascontiguousarray(value.detach().cpu().float().numpy()).tobytes())
        return digest.hexdigest()[:16]

    @property
    def module(self) -> nn.Module:
        """Vocoder and discriminators."""
        return self._module

    def phases(self) -> tuple[Phase, ...]:
        """Discriminator, then generator."""
        return self._phases

    def active(self, phase: Phase, step: int) -> bool:
        """Whether a phase is active: the discriminator is not during the warm-up."""
        return phase.name == "generator" or step >= self.own.discriminator_after

    def step_kinds(self, parts: Sequence[Sequence[int]]) -> list[StepKind]:
        """Return steps with and without discriminators and speaker loss, of which most clips and an average
        number have one."""
        counts: Counter[tuple[bool, bool]] = Counter()
        steps: dict[tuple[bool, bool], list[int]] = {}
        for step in range(self.total_steps):
            due = bool(self.own.speaker_weight) and step % self.own.speaker_every == 0
            judged = self.discriminator is not None and step >= self.own.discriminator_after
            counts[judged, due] += 1
            if len(chosen := steps.setdefault((judged, due), [])) < (_COMPARED_STEPS if due else 1):
                chosen.append(step)
        clips = [self.data.train[index] for part in parts for index in part]
        found = []
        for kind, count in counts.items():
            drawn = {
                step: sum(self._draws_speaker_loss(clip, step) for clip in clips) for step in steps[kind]
            }
            usual = min(drawn, key=lambda step: abs(drawn[step] - _SPEAKER_SHARE * len(clips)))
            most = max(drawn, key=lambda step: drawn[step])
            found.append(StepKind(usual, count))
            found += [StepKind(most, 0)] if drawn[most] > drawn[usual] else []
        return found

    def usual_learning_rate(self) -> float:
        """Return 2e-4 for random weights, 1e-4 for a base."""
        return RATE_OF_RANDOM_WEIGHTS if "decoder" not in self.engine.learnt else RATE_OF_A_BASE

    def needed_seconds(self) -> float:
        """Return the duration of a few clips."""
        return LEAST_SECONDS

    def extras(self) -> dict[str, Tensor]:
        """Return the discriminators, and the moving average of their loss."""
        found = {"discriminator_loss": self._average_loss}
        if self.discriminator is not None:
            state = self.discriminator.state_dict()
            found |= {f"discriminator.{name}": tensor for name, tensor in state.items()}
        return found

    # Data

    def prepare(self, on_progress: ProgressCallback) -> None:
        """Cache latents and speaker vectors of the manifest's clips."""
        clips = [clip for clip in (*self.data.train, *self.data.dev) if not clip.key.startswith("synthetic")]
        new = [clip for clip in clips if f"latents.{clip.key}" not in self._store]
        waiting: dict[str, Tensor] = {}
        for done, clip in enumerate(new, start=1):
            latents, timbre = self._compute(clip)
            waiting |= {f"latents.{clip.key}": latents, f"timbre.{clip.key}": timbre}
            if len(waiting) >= 2 * _PER_SHARD or done == len(new):
                self._store.write(waiting)
                waiting = {}
            on_progress(Progress("latents", done, len(new), "clips"))

    @torch.no_grad()
    def _compute(self, clip: TrainingClip) -> tuple[Tensor, Tensor]:
        """Return a clip's latents [C, D], the hidden states of its codes, and speaker vector [d]."""
        single = Collator([clip], self.data.stores, self.settings.reference, 0, frozen=True)
        examples = single.examples(self.model, [0], None)
        voice = cast(Tensor, examples.latents)  # [1, L, D]; frozen: never None
        latents = self.model.gpt.teacher_forced(voice, clip.ids, examples.codes[0, : clip.codes])
        audio = self.data.store(clip.key).audio(clip.key)
        resampled = resample(audio[None].to(self.model.device), clip.spec.input_rate, TIMBRE_RATE)
        return latents.float().cpu().contiguous(), self.model.timbre(resampled)[0, :, 0].float().cpu()

    def _latents(self, clip: TrainingClip) -> tuple[Tensor, Tensor]:
        if f"latents.{clip.key}" in self._store:
            return self._store[f"latents.{clip.key}"][:], self._store[f"timbre.{clip.key}"][:]
        return self._compute(clip)

    def counts(self, phase: Phase, part: Sequence[int], epoch: int) -> dict[str, float]:
        """Return the number of clips."""
        found = dict.fromkeys(phase.weights, float(len(part)))
        if "speaker" in found:
            found["speaker"] = float(sum(self._in_speaker_loss(self.data.train[index]) for index in part))
        return found

    @property
    def _speaker_due(self) -> bool:
        """Whether the current step has a speaker loss."""
        return bool(self.own.speaker_weight) and self._step % self.own.speaker_every == 0

    def _in_speaker_loss(self, clip: TrainingClip) -> bool:
        """Whether a clip of the current step is part of its speaker loss, however the step is split."""
        return self._speaker_due and self._draws_speaker_loss(clip, self._step)

    def _draws_speaker_loss(self, clip: TrainingClip, step: int) -> bool:
        rng = random.Random(f"{self.settings.seed}:{clip.key}:{step}:speaker")
        return rng.random() < _SPEAKER_SHARE

    @torch.no_grad()
    def batch(self, part: Sequence[int], epoch: int | None) -> DecoderBatch:
        """Load a random crop of each clip; of the dev set, a longer one from the middle."""
        clips = clips_of(self.data, part, epoch)
        device, hop = self.model.device, self.vocoder.hop
        count = self.own.crop_frames * (_DEV_CROPS if epoch is None else 1)
        long = round(self.own.speaker_seconds * self.model.spec.output_rate / hop)
        rows: list[tuple[Tensor, Tensor]] = []
        longer: list[tuple[Tensor, Tensor]] = []
        timbres = []
        long_timbres = []
        for clip in clips:
            latents, timbre = self._latents(clip)
            frames = self.vocoder.interpolate(latents[None])[0]  # [D, F]
            wave = self._wave(clip)
            rng = (
                random.Random(f"{self.settings.seed}:{clip.key}:{epoch}:{self._step}")
                if epoch is not None
                else None
            )
            rows.append(_piece(frames, wave, count, hop, rng))
            if rng is not None and self._in_speaker_loss(clip):
                longer.append(_piece(frames, wave, long, hop, rng))
                long_timbres.append(timbre)
            timbres.append(timbre)
        batch = DecoderBatch(
            torch.stack([frames for frames, _ in rows]).to(device),
            torch.stack(timbres)[:, :, None].to(device),
            torch.stack([wave for _, wave in rows]).to(device),
            [self._band_limit(clip) for clip in clips],
        )
        if longer:
            batch.long_frames = torch.stack([frames for frames, _ in longer]).to(device)
            batch.long_waves = torch.stack([wave for _, wave in longer]).to(device)
            batch.long_timbre = torch.stack(long_timbres)[:, :, None].to(device)
        if epoch is not None:
            self._pieces = (batch.waves.shape[1], max(long * hop if longer else 0, self._pieces[1]))
        return batch

    def _wave(self, clip: TrainingClip) -> Tensor:
        """Return a clip's audio [T] at 24 kHz."""
        sound = self.data.store(clip.key).wave(clip.key)
        return resample(
            torch.from_numpy(sound.samples.copy())[None], sound.rate, self.model.spec.output_rate
        )[0]

    def _band_limit(self, clip: TrainingClip) -> float:
        own = self.data.store(clip.key).wave(clip.key).rate / 2 if not clip.top_hz else clip.top_hz
        return min(max(own // _BAND_STEP_HZ * _BAND_STEP_HZ, _BAND_STEP_HZ), LOSS_MEL.top_hz)

    # Learning

    def before_step(self, step: int) -> None:
        """Store the number of the step, and count steps with a speaker loss."""
        self._step = step
        self.stats.events["speaker_losses_due"] += self._speaker_due

    def losses(self, phase: Phase, batch: Any) -> dict[str, Term]:
        """Compute the discriminator's loss, or the generator's four terms."""
        if batch.generated is None:
            batch.generated = self.vocoder.vocode(batch.frames, batch.timbre)
        fake, real, count = batch.generated, batch.waves, len(batch.waves)
        if phase.name == "discriminator":
            loss = discriminator_loss(self._discriminate(real), self._discriminate(fake.detach().float()))
            self._note(loss)
            return {"discriminator": Term(loss, count)}
        with torch.autocast(fake.device.type, enabled=False):
            terms = {"mel": Term(mel_distance(fake.float(), real, batch.band_limits), count)}
        zero = fake.new_zeros(())
        terms |= {"features": Term(zero, count), "adversarial": Term(zero, count)}
        if self.discriminator is not None and self._step >= self.own.discriminator_after:
            with torch.no_grad():
                output_real = self._discriminate(real)
            output = self._discriminate(fake.float())
            terms["features"] = Term(feature_loss(output_real, output), count)
            terms["adversarial"] = Term(generator_loss(output), count)
        if self.own.speaker_weight:
            terms["speaker"] = self._speaker_term(batch)
        batch.generated = None
        return terms

    def _discriminate(self, waves: Tensor) -> DiscriminatorOutput:
        output: DiscriminatorOutput = self._module["discriminator"](waves)
        return output

    def _note(self, loss: Tensor) -> None:
        parts = 8 if self.own.discriminators == "hifigan" else 3
        with torch.no_grad():
            self._average_loss.lerp_(loss.detach().float()[None] / parts, 1 / _AVERAGED_STEPS)

    def _speaker_term(self, batch: DecoderBatch) -> Term:
        if batch.long_frames is None or batch.long_waves is None or batch.long_timbre is None:
            return Term(batch.frames.new_zeros(()), 0)
        count = len(batch.long_frames)
        fake = self.vocoder.vocode(batch.long_frames, batch.long_timbre)
        with torch.autocast(fake.device.type, enabled=False):
            rate = self.model.spec.output_rate
            return Term(speaker_loss(self.model.timbre, fake.float(), batch.long_waves, rate), count)

    # Evaluation

    def dev_weights(self) -> Mapping[str, float]:
        """Return the weight of the mel L1 alone."""
        return {"mel": 1.0}

    def dev_losses(self, batch: Any) -> dict[str, Term]:
        """Compute the mel L1 of longer crops."""
        fake = self.vocoder.vocode(batch.frames, batch.timbre)
        with torch.autocast(fake.device.type, enabled=False):
            return {"mel": Term(mel_distance(fake.float(), batch.waves, batch.band_limits), len(batch.waves))}

    def alarm(self, values: Mapping[str, float | None]) -> Message | None:
        """Return an alarm for a perfect discriminator, from which the generator learns nothing."""
        loss = float(self._average_loss)
        return Message("train.discriminator_wins", loss=loss) if loss < _WINNING_LOSS else None

    # Report

    def option_effects(self, probe: Probe, steps: Sequence[Mapping[str, Any]]) -> dict[str, Message]:
        """Return the measured effects of the stage's options."""
        own, last = self.own, steps[-1]
        parameters = (
            sum(p.numel() for p in self.discriminator.parameters()) if self.discriminator is not None else 0
        )
        rate = self.model.spec.output_rate
        spoken = [step for step in steps if step.get("loss_speaker")]
        judged = sum("loss_discriminator" in step for step in steps)
        return {
            **self.own_effects(steps),
            "decoder.crop_frames": Message("train.effect_seconds_of_clip", seconds=self._pieces[0] / rate),
            "decoder.discriminators": Message("train.effect_parameters", parameters=parameters),
            "decoder.discriminator_after": Message(
                "train.effect_discriminated", judged=judged, steps=len(steps)
            ),
            "decoder.mel_weight": loss_share(last, "mel", own.mel_weight),
            "decoder.feature_weight": loss_share(last, "features", own.feature_weight),
            "decoder.speaker_weight": loss_share(spoken[0], "speaker", own.speaker_weight)
            if spoken
            else Message("train.effect_no_such_loss"),
            "decoder.speaker_every": Message(
                "train.effect_speaker_losses",
                due=self.stats.events["speaker_losses_due"],
                steps=self.stats.session_steps,
                spoken=len(spoken),
            ),
            "decoder.speaker_seconds": Message(
                "train.effect_seconds_of_clip", seconds=self._pieces[1] / rate
            ),
        }

    def ignored_options(self) -> dict[str, Message]:
        """Return the options of the other stages."""
        return other_stages(self.name)


def _piece(
    frames: Tensor, wave: Tensor, count: int, hop: int, rng: random.Random | None
) -> tuple[Tensor, Tensor]:
    """Cut `count` frames [D, count] and their audio, from the middle where `rng` is None; short clips are
    padded."""
    last = frames.shape[1] - count
    start = max(last, 0) // 2 if rng is None else rng.randint(0, max(last, 0))
    own = frames[:, start : start + count]
    sound = wave[start * hop : (start + count) * hop]
    return (
        nn.functional.pad(own, (0, count - own.shape[1])),
        nn.functional.pad(sound, (0, count * hop - len(sound))),
    )
