"""Train the DVAE (mel → codes → mel): first as a plain autoencoder, then with a codebook from k-means and
moving averages.

A random encoder puts nearly all frames next to the same few codes, so the codebook is initialised when the
autoencoder's outputs differ between frames. Loss: log-mel squared error + 1.0 × commitment, over real frames
only. The codebook has no gradient: exponential moving averages, with dead codes restarted (see
`xtts/dvae_training.py`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from dimts.base.errors import ConfigError
from dimts.base.messages import Message
from dimts.train.codebook import k_means
from dimts.train.optim import groups
from dimts.train.stages.stage import (
    Phase,
    Stage,
    StageContext,
    StepKind,
    Term,
    clips_of,
    loss_share,
    other_stages,
)
from dimts.xtts import mel as mels
from dimts.xtts.dvae import DVAE
from dimts.xtts.dvae_training import (
    DVAEOutput,
    initialise_codebook,
    initialise_layers,
    reconstruct,
    restart_dead_codes,
    update_codebook,
)
from dimts.xtts.spec import FRAMES_PER_CODE

if TYPE_CHECKING:
    from dimts.train.probe import Probe

RATE_OF_RANDOM_WEIGHTS, RATE_OF_A_BASE = 5e-4, 5e-5
_STATISTICS_CLIPS = 64
"""Clips from which mel statistics and the codebook are computed."""
_VECTORS_PER_CODE = 40
_SETTLING_STEPS = 200
"""Steps after k-means during which a collapsed codebook raises no alarm."""


@dataclass(frozen=True)
class DvaeBatch:
    """Mel spectrograms of some clips."""

    mel: Tensor
    """[B, 80, F], F a multiple of 4, padded with zeros."""
    lengths: Sequence[int]
    """Real frames of each row, multiples of 4."""


class DvaeStage(Stage):
    """The discrete autoencoder of mel spectrograms."""

    name: ClassVar[str] = "dvae"
    speaks: ClassVar[bool] = False
    shown: ClassVar[tuple[str, ...]] = ("loss_reconstruction", "codes_used", "perplexity")

    def __init__(self, context: StageContext) -> None:
        super().__init__(context)
        self.own = self.settings.dvae
        self.dvae: DVAE = self.model.dvae  # type: ignore[assignment]
        self.starts_random = "dvae" not in self.engine.learnt
        self.quantised_from = self.own.autoencoder_steps if self.starts_random else 0
        """0-based step from which the autoencoder is quantised."""
        self._codes_moved = 0.0
        """Root mean square of the codebook's last change."""
        self._step = 0
        if self.quantised_from >= self.total_steps:
            rule = f"autoencoder_steps < steps of the run ({self.total_steps})"
            raise ConfigError("train.setting_rule", table="train.dvae", rule=rule)
        self._seen: list[DVAEOutput] = []
        weights = {"reconstruction": 1.0, "commitment": self.own.commitment}
        self._phases = (
            Phase("dvae", groups(self.dvae, self.settings.weight_decay), weights, betas=(0.9, 0.99)),
        )

    @property
    def module(self) -> nn.Module:
        """Encoder, codebook and decoder."""
        return self.dvae

    def phases(self) -> tuple[Phase, ...]:
        """Return the only phase."""
        return self._phases

    def usual_learning_rate(self) -> float:
        """Return 5e-4 for random weights, 5e-5 for a base."""
        return RATE_OF_RANDOM_WEIGHTS if self.starts_random else RATE_OF_A_BASE

    def needed_seconds(self) -> float:
        """Return, for new weights, the duration of half as many code vectors as there are codes."""
        codes = self.dvae.codebook.embed.shape[1]
        return codes / self.model.spec.codes_per_second / 2 if self.starts_random else 0.0

    def step_kinds(self, parts: Sequence[Sequence[int]]) -> list[StepKind]:
        """Return the first step of new weights, which scales the layers, and steps without and with a
        codebook."""
        plain = self.quantised_from
        found = [StepKind(plain + 1, self.total_steps - plain)]
        return [StepKind(0, 0), StepKind(1, plain), *found] if plain else found

    def extras(self) -> dict[str, Tensor]:
        """Return the codebook with its averages, and the mel statistics."""
        codebook = {f"dvae.codebook.{name}": buffer for name, buffer in self.dvae.codebook.named_buffers()}
        return {**codebook, "mel_stats": self.model.mel_stats}

    @property
    def quantised(self) -> bool:
        """Whether the current step is quantised."""
        return self._step >= self.quantised_from

    # Data

    def counts(self, phase: Phase, part: Sequence[int], epoch: int) -> dict[str, float]:
        """Return the numbers of real frames and of real codes."""
        frames = sum(self._frames(index, epoch)[1] for index in part)
        return {"reconstruction": frames, "commitment": frames // FRAMES_PER_CODE}

    def _frames(self, index: int, epoch: int) -> tuple[int, int]:
        """Return first mel frame and number of frames of a clip's crop in an epoch, the number a multiple of
        4."""
        clip = self.data.train[index]
        hop, rate = mels.DVAE.hop, mels.DVAE.rate
        total = (clip.samples // hop + 1) // FRAMES_PER_CODE * FRAMES_PER_CODE
        wanted = round(self.own.crop_seconds * rate / hop) // FRAMES_PER_CODE * FRAMES_PER_CODE
        if not wanted or total <= wanted:
            return 0, total
        return random.Random(f"{self.settings.seed}:{clip.key}:{epoch}").randint(0, total - wanted), wanted

    def batch(self, part: Sequence[int], epoch: int | None) -> DvaeBatch:
        """Compute mels of whole clips, or of a random crop of each."""
        rows = []
        for index, clip in zip(part, clips_of(self.data, part, epoch), strict=True):
            audio = self.data.store(clip.key).audio(clip.key)
            mel = mels.log_mel(audio[None].to(self.model.device), mels.DVAE, self.model.mel_stats)[
                0
            ]  # [80, F]
            if epoch is None:
                start, count = 0, mel.shape[1] // FRAMES_PER_CODE * FRAMES_PER_CODE
            else:
                start, count = self._frames(index, epoch)
            rows.append(mel[:, start : start + count].t())
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)  # [B, F, 80]
        return DvaeBatch(padded.transpose(1, 2), [len(row) for row in rows])

    # Learning

    @torch.no_grad()
    def before_step(self, step: int) -> None:
        """Scale mels and layers at the first step of a new DVAE; initialise the codebook when quantising
        begins."""
        self._step = step
        if step == 0 and self.starts_random:
            self._measure_mels()
            initialise_layers(self.dvae, self._some_mels())
        if step == self.quantised_from and self.starts_random:
            self._lay_codebook()

    def _some_clips(self) -> list[Tensor]:
        """Return the audio of the clips of the first epoch's first steps."""
        found: list[Tensor] = []
        for step in self.sampler.epoch(0):
            for index in sorted(index for part in step for index in part):  # however the step is split
                clip = self.data.train[index]
                found.append(self.data.store(clip.key).audio(clip.key))
                if len(found) == _STATISTICS_CLIPS:
                    return found
        return found

    def _measure_mels(self) -> None:
        """Set the scale of each mel band to its root mean square log-mel over some clips."""
        ones = torch.ones_like(self.model.mel_stats)
        seen = [mels.log_mel(audio[None].to(ones.device), mels.DVAE, ones)[0] for audio in self._some_clips()]
        self.model.mel_stats.copy_(torch.cat(seen, dim=1).square().mean(dim=1).sqrt().clamp(min=1e-3))

    def _some_mels(self) -> Tensor:
        """Return the beginnings of some clips, all of the length of the shortest, [B, 80, F]."""
        stats = self.model.mel_stats
        mel = [
            mels.log_mel(audio[None].to(stats.device), mels.DVAE, stats)[0] for audio in self._some_clips()
        ]
        count = min(one.shape[1] for one in mel) // FRAMES_PER_CODE * FRAMES_PER_CODE
        return torch.stack([one[:, :count] for one in mel])

    def _lay_codebook(self) -> None:
        """Initialise the codebook by k-means over encoder outputs of some clips."""
        self.dvae.eval()
        stats = self.model.mel_stats
        mel = [mels.log_mel(audio[None].to(stats.device), mels.DVAE, stats) for audio in self._some_clips()]
        vectors = torch.cat([self.dvae.encoder(one)[0].t() for one in mel])  # [N, code width]
        count = self.dvae.codebook.embed.shape[1]
        vectors = vectors[: count * _VECTORS_PER_CODE]
        if len(vectors) < count:  # too little speech for so many codes: some share a vector
            vectors = vectors.repeat(-(-count // len(vectors)), 1)
        initialise_codebook(self.dvae.codebook, k_means(vectors, count, self.settings.seed), vectors)

    def losses(self, phase: Phase, batch: Any) -> dict[str, Term]:
        """Compute squared error of the log-mel, and commitment."""
        out = reconstruct(self.dvae, batch.mel, batch.lengths, quantised=self.quantised)
        self._seen.append(out)
        return _terms(out, batch)

    @torch.no_grad()
    def after_phase(self, phase: Phase) -> None:
        """Update the codebook with the vectors of the step, and restart dead codes."""
        seen, self._seen = self._seen, []
        if not self.quantised:
            return
        vectors, codes = (torch.cat([getattr(out, name) for out in seen]) for name in ("vectors", "codes"))
        codebook = self.dvae.codebook
        before = codebook.embed.clone()
        update_codebook(codebook, vectors.float(), codes, self.own.decay)
        self._codes_moved = float((codebook.embed - before).square().mean().sqrt())
        if self.own.restart_below:
            generator = torch.Generator().manual_seed(int(torch.randint(1 << 31, ())))
            self.stats.events["codes_restarted"] += restart_dead_codes(
                codebook, vectors.float(), generator, self.own.restart_below
            )

    def step_values(self) -> dict[str, float]:
        """Return codes in use and their perplexity, from the moving averages."""
        self._seen = []
        if not self.quantised:
            return {}
        used, perplexity = self._usage()
        return {"codes_used": float(used), "perplexity": perplexity}

    def _usage(self) -> tuple[int, float]:
        """Count codes with more than a tenth of an even share; and exp of the entropy of the shares."""
        sizes = self.dvae.codebook.cluster_size.double()
        shares = sizes / sizes.sum().clamp(min=1e-12)
        entropy = -(shares * shares.clamp(min=1e-12).log()).sum()
        return int((shares > 0.1 / len(shares)).sum()), float(entropy.exp())

    # Evaluation

    def dev_losses(self, batch: Any) -> dict[str, Term]:
        """Compute the same terms for whole dev clips."""
        out = reconstruct(self.dvae, batch.mel, batch.lengths)
        return _terms(out, batch)

    def ready_for_evaluation(self, steps: int) -> bool:
        """Whether the steps are quantised: a plain autoencoder has lower losses than any later one."""
        return steps > self.quantised_from or not self.starts_random

    def alarm(self, values: Mapping[str, float | None]) -> Message | None:
        """Return an alarm for a collapsed codebook."""
        if self.stats.steps < self.quantised_from + _SETTLING_STEPS or not self.own.min_perplexity:
            return None
        used, perplexity = self._usage()
        count = self.dvae.codebook.embed.shape[1]
        if perplexity >= self.own.min_perplexity * count:
            return None
        return Message("train.codebook_collapsed", used=used, codes=count, perplexity=perplexity)

    # Report

    def option_effects(self, probe: Probe, steps: Sequence[Mapping[str, Any]]) -> dict[str, Message]:
        """Return the measured effects of the stage's options."""
        _, perplexity = self._usage()
        frames = [
            self._frames(index, 0)[1] for step in self.sampler.epoch(0)[:1] for part in step for index in part
        ]
        with_codes = [step["step"] for step in steps if "perplexity" in step]
        return {
            **self.own_effects(steps),
            "dvae.autoencoder_steps": Message("train.effect_codes_from", step=with_codes[0])
            if with_codes
            else Message("train.effect_no_codes"),
            "dvae.crop_seconds": Message(
                "train.effect_longest_piece", seconds=max(frames) * mels.DVAE.hop / mels.DVAE.rate
            ),
            "dvae.decay": Message("train.effect_codes_moved", change=self._codes_moved),
            "dvae.commitment": loss_share(steps[-1], "commitment", self.own.commitment),
            "dvae.restart_below": Message(
                "train.effect_codes_restarted", codes=self.stats.events["codes_restarted"]
            ),
            "dvae.min_perplexity": Message(
                "train.effect_stopped",
                measured=Message("train.effect_perplexity", perplexity=perplexity),
                reason=self.stats.stop_reason or Message("train.effect_not_stopped"),
            ),
        }

    def ignored_options(self) -> dict[str, Message]:
        """Return the options of the other stages."""
        return other_stages(self.name)


def _terms(out: DVAEOutput, batch: DvaeBatch) -> dict[str, Term]:
    frames = sum(batch.lengths)
    return {
        "reconstruction": Term(out.reconstruction, frames),
        "commitment": Term(out.commitment, len(out.codes)),
    }
