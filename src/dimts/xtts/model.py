"""Combine the parts of XTTS into one model, and compute the losses of a training step.

    model = XTTS.build(SPECS["tiny"], seed=1)       random weights, the same for the same seed
    losses = model(examples, LossSettings())        Examples → Losses(total, text, mel)
    model.conditioning_mel(wave), model.codes(wave) wave [B, T] at 22 050 Hz → mel [B, 80, F], codes [B, C]

Parts: `gpt`, `conditioning`, `timbre`, `vocoder`, the buffer `mel_stats` [80], and `dvae`, which is None in a
model that only speaks. What is trained is `gpt` and `conditioning`; the rest stays as published.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from dimts.base.errors import TrainingError
from dimts.xtts import mel as mels
from dimts.xtts.conditioning import Conditioning
from dimts.xtts.dvae import DVAE
from dimts.xtts.gpt import GPT, IGNORED, HiddenStates
from dimts.xtts.guided_attention import AttentionGuide
from dimts.xtts.guided_conditioning import speaker_contrast
from dimts.xtts.kernel_limits import Kind
from dimts.xtts.loss import Compat, LossSettings, cross_entropy
from dimts.xtts.speaker_encoder import SpeakerEncoder
from dimts.xtts.spec import MEL_BANDS, MEL_HOP, STOP_TARGETS, Spec
from dimts.xtts.transfer import to_device
from dimts.xtts.vocoder import Vocoder


@dataclass(frozen=True)
class Examples:
    """One training batch, padded on the right; padding is never seen, whatever it holds."""

    text_ids: Tensor
    """[B, S] int64, without START and STOP."""
    text_lengths: Sequence[int]
    """Ids of each row."""
    codes: Tensor
    """[B, C] int64, without START and STOP."""
    code_lengths: Sequence[int]
    """Codes of each row, ceil(samples / 1024)."""
    mel: Tensor | None = None
    """Mel of the conditioning crop, [B, 80, F]; or None where `latents` are given."""
    mel_lengths: Sequence[int] | None = None
    """Real mel frames of each row; None: all F."""
    latents: Tensor | None = None
    """[B, L, D], conditioning computed before (a frozen conditioner), instead of `mel`."""
    crops: Sequence[tuple[int, int]] | None = None
    """(start, end) in samples of the crop inside each clip; codes it covers are left out of the loss. None:
    none."""
    alignment: Tensor | None = None
    """Indices in `text_ids` of the first and the last phone that sound during each code, [B, C, 2] int64, −1
    where unknown. None: unknown for all rows."""
    aligned: Sequence[bool] | None = None
    """Whether `alignment` is known, for each row; derived from it where not given, as long as it is on the
    host."""

    speakers: Tensor | None = None
    """[B] int64, equal for rows of one speaker, −1 where unknown. None: unknown for all rows."""
    speaker_pairs: int = 0
    """Ordered pairs of rows whose speakers are known."""

    def __post_init__(self) -> None:
        if self.alignment is not None and self.aligned is None:
            object.__setattr__(self, "aligned", (self.alignment[:, 0, 0] >= 0).tolist())

    def to(self, device: torch.device | str) -> Examples:
        """The same batch on another device."""

        def move(t: Tensor | None) -> Tensor | None:
            return None if t is None else to_device(t, device)

        return Examples(
            to_device(self.text_ids, device),
            self.text_lengths,
            to_device(self.codes, device),
            self.code_lengths,
            move(self.mel),
            self.mel_lengths,
            move(self.latents),
            self.crops,
            move(self.alignment),
            self.aligned,
            move(self.speakers),
            self.speaker_pairs,
        )


@dataclass(frozen=True)
class Losses:
    """Losses of one batch, scalars in float32, and the number of targets of each mean."""

    total: Tensor
    text: Tensor
    mel: Tensor
    text_tokens: int
    mel_tokens: int
    attention: Tensor | None = None
    """Mean negative log attention of the guided heads on the phones that sound; None: not computed."""
    attention_tokens: int = 0
    speaker: Tensor | None = None
    """How far the latents are from keeping the speakers apart (`speaker_contrast`); None: not computed."""
    speaker_pairs: int = 0


class XTTS(nn.Module):
    """All parts of one model."""

    mel_stats: Tensor

    def __init__(self, spec: Spec, *, dvae: bool = True) -> None:
        super().__init__()
        self.spec = spec
        self.register_buffer("mel_stats", torch.ones(MEL_BANDS))
        self.gpt = GPT(spec)
        self.conditioning = Conditioning(spec)
        self.timbre = SpeakerEncoder(spec)
        self.vocoder = Vocoder(spec)
        self.dvae: DVAE | None = DVAE(spec) if dvae else None
        self.packed = True
        """Whether training rows run packed or padded; the result is the same."""
        for part in (self.timbre, self.vocoder, self.dvae):
            if part is not None:
                part.requires_grad_(False)

    @classmethod
    def build(cls, spec: Spec, seed: int, *, dvae: bool = True) -> XTTS:
        """A model with random weights; the same seed gives the same weights, and no global state is
        touched."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(spec, dvae=dvae).eval()

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.mel_stats.device

    def trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield (name, parameter) of everything that fine-tuning may change: GPT and conditioning."""
        for name, parameter in self.named_parameters():
            if name.startswith(("gpt.", "conditioning.")):
                yield name, parameter

    def use_attention(self, kind: Kind) -> None:
        """Choose the attention kernel everywhere: eager, sdpa, flash or xformers."""
        self.gpt.use_attention(kind)
        self.conditioning.use_attention(kind)

    # Input audio

    def conditioning_mel(self, wave: Tensor) -> Tensor:
        """Compute the mel of the conditioning encoder, [B, 80, T // 256 + 1], from [B, T] at 22 050 Hz."""
        return mels.log_mel(wave, mels.CONDITIONING, self.mel_stats)

    @torch.no_grad()
    def codes(self, wave: Tensor) -> Tensor:
        """Encode [B, T] at 22 050 Hz into codes [B, ceil(T / 1024)]. Rows of one call should have one
        length."""
        if self.dvae is None:
            raise TrainingError("xtts.no_dvae")
        found = self.dvae.encode(mels.log_mel(wave, mels.DVAE, self.mel_stats))
        return found[:, : self.spec.codes_of(wave.shape[-1])]

    # Training

    def hidden(self, examples: Examples, compat: Compat = "mended") -> HiddenStates:
        """Compute states and targets of a batch, before heads and loss."""
        coqui = compat == "coqui"
        latents = examples.latents
        if latents is None:
            if examples.mel is None:
                raise TrainingError("xtts.batch_without_conditioning")
            latents = self.conditioning(examples.mel, None if coqui else examples.mel_lengths)
        return self.gpt(  # type: ignore[no-any-return]
            latents,
            examples.text_ids,
            examples.text_lengths,
            examples.codes,
            examples.code_lengths,
            packed=self.packed,
            padding_ends_text=coqui,
        )

    def forward(self, examples: Examples, settings: LossSettings | None = None) -> Losses:
        """Compute the losses of one batch; `settings.compat` chooses upstream's errors or the corrected
        version."""
        settings = settings or LossSettings()
        coqui = settings.compat == "coqui"
        guide = AttentionGuide(self.gpt) if settings.guided_attention else contextlib.nullcontext()
        guided = settings.guided_conditioning > 0 and examples.speakers is not None
        if guided and examples.latents is None and examples.mel is not None:
            lengths = None if coqui else examples.mel_lengths
            examples = replace(examples, latents=self.conditioning(examples.mel, lengths))
        with guide:
            hidden = self.hidden(examples, settings.compat)
        targets = hidden.audio_targets
        if examples.crops is not None:
            spans = covered_spans(examples.crops, examples.code_lengths, self.spec, coqui=coqui)
            targets = targets.clone()
            for first, end in spans:
                targets[first:end] = IGNORED
            kept = len(targets) - sum(end - first for first, end in spans)
        else:
            kept = len(targets)
        text = cross_entropy(hidden.text, self.gpt.text_head, hidden.text_targets, settings)
        audio = cross_entropy(hidden.audio, self.gpt.mel_head, targets, settings)
        total = settings.text_weight * text + settings.mel_weight * audio
        found = Losses(total, text, audio, len(hidden.text_targets), kept)
        if isinstance(guide, AttentionGuide):
            attention, aligned = guide.loss(hidden.layout, examples)
            total = total + settings.guided_attention * attention
            found = replace(found, attention=attention, attention_tokens=aligned)
        if guided and examples.latents is not None and examples.speakers is not None:
            speaker = speaker_contrast(examples.latents, examples.speakers)
            total = total + settings.guided_conditioning * speaker
            found = replace(found, speaker=speaker, speaker_pairs=examples.speaker_pairs)
        return replace(found, total=total)


def covered_spans(
    crops: Sequence[tuple[int, int]], code_lengths: Sequence[int], spec: Spec, *, coqui: bool = False
) -> list[tuple[int, int]]:
    """Return the targets under the conditioning crop: (first, end) in each row, counted over all rows [Σ(C +
    4)].

    Mended: in every row, the codes any of whose samples the crop holds, never the STOPs. As coqui does it: in
    the last row only, samples divided by the mel hop instead of the code stride, STOPs included.
    """
    spans, before = [], 0
    for row, ((start, end), length) in enumerate(zip(crops, code_lengths, strict=True)):
        size = length + STOP_TARGETS
        first = last = 0
        if not coqui:
            first, last = start // spec.code_stride, min(-(-end // spec.code_stride), length)
        elif row == len(code_lengths) - 1:
            first, last = start // MEL_HOP, min(end // MEL_HOP, size)
        if first < last:
            spans.append((before + first, before + last))
        before += size
    return spans


def covered_codes(
    crops: Sequence[tuple[int, int]], code_lengths: Sequence[int], spec: Spec, *, coqui: bool = False
) -> Tensor:
    """Return the targets of `covered_spans` as a mask: bool [Σ(C + 4)] on the CPU."""
    covered = torch.zeros(sum(length + STOP_TARGETS for length in code_lengths), dtype=torch.bool)
    for first, end in covered_spans(crops, code_lengths, spec, coqui=coqui):
        covered[first:end] = True
    return covered
