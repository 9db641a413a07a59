"""[train] of dimts.toml: every option of a run. Light to import; each takes effect or is refused.

The effect of each option is measured at the end of a run and written into its option report
(`option_report.py`). A value of 0 or "" disables an option unless its line says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from dimts.base.errors import ConfigError
from dimts.train.early_stopping import StopSettings

STAGES = ("speaker", "dvae", "gpt", "decoder")
"""Stages in the order of training: each uses what the ones before it have trained."""


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """[train.batches]: composition of a step."""

    seconds: float = 0.0
    """Seconds of speech in one forward pass on one process; a step has `accumulate` of them on every process.
    0: 40 for a base, 12 for random weights."""
    clips: int = 0
    """Most clips in one forward pass; 0: only `seconds` counts."""
    packing: Literal["auto", "off"] = "auto"
    """auto: rows are packed one behind the other without padding; off: rows of similar length are padded to
    the longest."""
    accumulate: int = 1
    """Forward passes whose gradients are added up before a step."""
    unusable: Literal["error", "skip"] = "error"
    """A clip that cannot be trained on (too long for the model, not a number): stop, or skip and list it."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """How often each clip of a speaker is drawn per epoch (1 if not named; 0.5: every other epoch)."""
    replay: str = ""
    """Folder of another prepared project whose clips are mixed in against forgetting, e.g. English."""
    replay_share: float = 0.1
    """Seconds of replayed speech per second of this project's."""

    def __post_init__(self) -> None:
        if self.seconds < 0 or self.clips < 0 or self.accumulate < 1:
            raise ConfigError("train.train_batches_seconds_clips")
        if any(weight < 0 for weight in self.weights.values()) or not 0 <= self.replay_share <= 10:
            raise ConfigError("train.train_batches_weights_replay")


@dataclass(frozen=True, slots=True)
class ReferenceSettings:
    """[train.reference]: the crop of each clip that conditions the model on the voice."""

    min_seconds: float = 3.0
    """Shortest random crop; a clip that is shorter gives half of itself."""
    max_seconds: float = 6.0
    """Longest random crop."""
    pad: bool = False
    """Pad crops with silence to max_seconds, as the published training did; costs time and trains on
    silence."""
    fixed: int = 0
    """Crops per clip that are drawn once and used in turn; 0: a new one at every step. With a frozen
    conditioning (freeze_conditioning, LoRA) their latents are computed once and cached beside the codes."""
    mask: Literal["none", "own", "coqui"] = "none"
    """Codes under the crop without loss: none; own: in every row; coqui: as the published training did, in
    the last row only and at four times the offset."""

    def __post_init__(self) -> None:
        if not 0.5 <= self.min_seconds <= self.max_seconds <= 30 or self.fixed < 0:
            raise ConfigError("train.train_reference_min_seconds")
        if self.mask == "coqui" and not self.pad:
            raise ConfigError("train.train_reference_mask_coqui")


@dataclass(frozen=True, slots=True)
class ScheduleSettings:
    """[train.schedule]: the learning rate over the run, as shares of `train.learning_rate`."""

    shape: Literal["constant", "linear", "cosine"] = "cosine"
    """Shape of the decay of the rate after the warm-up."""
    warmup_steps: int = 20
    """Steps over which the rate rises from 1/warmup_steps to its full value."""
    final_share: float = 0.05
    """Share of the full rate at the last step (linear and cosine)."""

    def __post_init__(self) -> None:
        if self.warmup_steps < 0 or not 0 <= self.final_share <= 1:
            raise ConfigError("train.train_schedule_warmup_steps")


@dataclass(frozen=True, slots=True)
class TrainLoraSettings:
    """[train.lora]: adapters, used when train.trainable = "lora"."""

    rank: int = 16
    """Width of an adapter."""
    alpha: float = 32.0
    """Strength: an adapter's update is multiplied by alpha / rank."""
    dropout: float = 0.0
    """Dropout of an adapter's input."""
    targets: tuple[str, ...] = ("attn.c_attn", "attn.c_proj")
    """Layers of each block that get one: attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise ConfigError("train.train_lora_rank_alpha")


@dataclass(frozen=True, slots=True)
class RayTrainSettings:
    """[train.ray]: the processes of `dimts train --ray`."""

    workers: int = 2
    """Processes; on a cluster with cards each has one card."""
    address: str = ""
    """Address of the cluster, e.g. "auto" or "10.0.0.1:6379"; empty starts one on this machine, on
    loopback."""
    cores: int = 1
    """Processor cores of each worker."""
    retries: int = 3
    """Number of restarts from the last checkpoint when a worker is lost."""

    def __post_init__(self) -> None:
        if self.workers < 1 or self.cores < 1 or self.retries < 0:
            raise ConfigError("train.train_ray_workers_cores")


@dataclass(frozen=True, slots=True)
class SyntheticSettings:
    """[train.synthetic]: formant speech by many speakers, generated while training. Nothing is stored."""

    share: float = 0.0
    """Share of the clips that are synthetic, 0 to 1; 1: the project needs no recordings."""
    texts: str = ""
    """Text file in the project, a sentence to a line; empty: the sentences of the project's own clips."""
    clips: int = 8
    """Clips of one forward pass where all are synthetic; else `share` decides how many are added."""
    dev_clips: int = 8
    """Synthetic clips among the dev clips."""
    speakers: int = 64
    """Number of different speakers."""
    min_words: int = 2
    """Fewest words of a clip."""
    max_words: int = 8
    """Most words of a clip."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError("train.setting_rule", table="train.synthetic", rule="0 ≤ share ≤ 1")
        if (
            min(self.clips, self.dev_clips, self.speakers, self.min_words) < 1
            or self.max_words < self.min_words
        ):
            raise ConfigError(
                "train.setting_rule",
                table="train.synthetic",
                rule="clips, dev_clips, speakers, min_words ≥ 1, max_words ≥ min_words",
            )


@dataclass(frozen=True, slots=True)
class SpeakerStageSettings:
    """[train.speaker]: the speaker encoder, distilled from the voice encoder in the package."""

    steps: int = 0
    """Optimizer steps of this stage; 0: train.steps."""
    seconds: float = 0.0
    """Seconds of speech in one forward pass of this stage; 0: train.batches.seconds."""
    learning_rate: float | None = None
    """Learning rate; unset: train.learning_rate, or 1e-3."""
    crop_seconds: float = 2.0
    """Length of the random piece of each clip that the encoder sees."""
    similarity_weight: float = 1.0
    """Weight of the difference between the two encoders' cosines of pairs of clips, beside 1.0 of the
    distillation."""

    def __post_init__(self) -> None:
        if (
            self.steps < 0
            or self.seconds < 0
            or not 0.5 <= self.crop_seconds <= 10
            or self.similarity_weight < 0
        ):
            raise ConfigError(
                "train.setting_rule",
                table="train.speaker",
                rule="steps, seconds, similarity_weight ≥ 0, 0.5 ≤ crop_seconds ≤ 10",
            )


@dataclass(frozen=True, slots=True)
class DvaeStageSettings:
    """[train.dvae]: the discrete autoencoder of mel spectrograms."""

    steps: int = 0
    """Optimizer steps of this stage; 0: train.steps."""
    seconds: float = 0.0
    """Seconds of speech in one forward pass of this stage; 0: train.batches.seconds."""
    learning_rate: float | None = None
    """Learning rate; unset: train.learning_rate, or 5e-4 for random weights, 5e-5 for a base."""
    autoencoder_steps: int = 300
    """Steps without a codebook before k-means initialises one; none for a base with a trained DVAE."""
    crop_seconds: float = 0.0
    """Length of the random piece of each clip; 0: whole clips, whose padding has no loss."""
    decay: float = 0.99
    """Decay of the moving averages that are the codebook."""
    commitment: float = 1.0
    """Weight of the distance between encoder outputs and their codes (commitment loss)."""
    restart_below: float = 0.03
    """A code used less than this share of the mean use is replaced by an encoder output; 0: none is."""
    min_perplexity: float = 0.05
    """Perplexity of the codes, as a share of their number, below which the codebook counts as collapsed; 0:
    never."""

    def __post_init__(self) -> None:
        if min(self.steps, self.autoencoder_steps) < 0 or self.seconds < 0 or self.commitment < 0:
            raise ConfigError("train.setting_rule", table="train.dvae", rule="steps, seconds, commitment ≥ 0")
        if not 0 <= self.decay < 1 or not 0 <= self.restart_below < 1 or not 0 <= self.min_perplexity < 1:
            rule = "0 ≤ decay, restart_below, min_perplexity < 1"
            raise ConfigError("train.setting_rule", table="train.dvae", rule=rule)
        if self.crop_seconds and not 0.5 <= self.crop_seconds <= 30:
            rule = "0.5 ≤ crop_seconds ≤ 30, or 0 for whole clips"
            raise ConfigError("train.setting_rule", table="train.dvae", rule=rule)


@dataclass(frozen=True, slots=True)
class DecoderStageSettings:
    """[train.decoder]: the vocoder, on the GPT's latents."""

    steps: int = 0
    """Optimizer steps of this stage; 0: train.steps."""
    seconds: float = 0.0
    """Seconds of clips in one forward pass of this stage; 0: train.batches.seconds."""
    learning_rate: float | None = None
    """Learning rate; unset: train.learning_rate, or 2e-4 for random weights, 1e-4 for a base."""
    crop_frames: int = 32
    """Frames (of 256 samples at 24 kHz) of each clip that are decoded in a step."""
    discriminators: Literal["hifigan", "spectrogram", "none"] = "hifigan"
    """hifigan: several periods and several scales; spectrogram: complex spectrograms of several resolutions,
    cheaper on a processor; none: mel loss only."""
    discriminator_after: int = 0
    """Steps without discriminators at the beginning."""
    mel_weight: float = 45.0
    """Weight of the mel L1 loss."""
    feature_weight: float = 2.0
    """Weight of the feature matching loss, summed over all feature maps."""
    speaker_weight: float = 0.0
    """Weight of the speaker-consistency loss (YourTTS: 9.0); 0: off."""
    speaker_every: int = 4
    """Steps between speaker-consistency losses, each on a longer crop."""
    speaker_seconds: float = 1.0
    """Length of the crop for the speaker-consistency loss."""

    def __post_init__(self) -> None:
        if min(self.steps, self.discriminator_after) < 0 or self.seconds < 0:
            raise ConfigError(
                "train.setting_rule", table="train.decoder", rule="steps, seconds, discriminator_after ≥ 0"
            )
        if self.crop_frames < 16 or self.speaker_every < 1 or not 0.4 <= self.speaker_seconds <= 10:
            rule = "crop_frames ≥ 16, speaker_every ≥ 1, 0.4 ≤ speaker_seconds ≤ 10"
            raise ConfigError("train.setting_rule", table="train.decoder", rule=rule)
        if self.mel_weight <= 0 or self.feature_weight < 0 or self.speaker_weight < 0:
            raise ConfigError(
                "train.setting_rule", table="train.decoder", rule="mel_weight > 0, other weights ≥ 0"
            )


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """[train]: options of fine-tuning."""

    RENAMED: ClassVar[Mapping[str, str]] = {
        "parts": "train.trainable",
        "new_rows_pace": "train.new_rows_lr_scale",
        "old_rows_pace": "train.old_rows_lr_scale",
    }

    stage: Literal["speaker", "dvae", "gpt", "decoder"] = "gpt"
    """Trained part: the speaker encoder, the DVAE, the GPT, or the vocoder on the GPT's latents."""

    base: str = ""
    """Folder of XTTS v2 weights to start from (see 'dimts fetch'); empty: a small model with random weights,
    which exercises the whole pipeline without a usable voice."""
    size: Literal["tiny", "small", "v2"] = "tiny"
    """Size of the random model when base is empty."""
    steps: int = 300
    """Optimizer steps of the run; 0 with epochs > 0."""
    epochs: int = 0
    """Passes over all clips instead of steps, when > 0."""
    seed: int = 0
    """Seed of everything random: initial weights, order, crops, dropout."""
    learning_rate: float | None = None
    """Learning rate; unset: 1e-5 for a base, 1e-4 for LoRA on a base, 1e-3 for random weights."""
    weight_decay: float = 0.01
    """Weight decay of AdamW, on weights only (not on biases, norms, embeddings)."""
    clip_norm: float = 1.0
    """Largest norm of all gradients together."""
    optimizer: Literal["auto", "fused", "foreach", "loop", "8bit"] = "auto"
    """Kernel of AdamW; 8bit needs bitsandbytes (on processors from 0.50), and every process its own
    weights."""
    text_weight: float = 0.01
    """Share of the text loss in the total, beside 1.0 of the code loss."""
    label_smoothing: float = 0.0
    """Share of the target's probability given to all other codes."""
    guided_attention: float = 0.0
    """Weight of a loss that teaches two heads to follow the text of synthetic clips, whose phones' times are
    known; a model with random weights learns to read several times sooner. 0: off."""
    guided_conditioning: float = 0.0
    """Weight of a loss that keeps the speakers apart in the conditioning latents; without it those of a model
    with random weights become the same for every voice, and it speaks the average of all. 0: off."""
    dropout: float = 0.1
    """Dropout in the trunk: embeddings and both outputs of a block."""
    attention_dropout: float = 0.0
    """Dropout of attention probabilities. The published training had 0.1; on processors it rules out the
    fused kernels."""
    trainable: Literal["full", "last_layers", "lora"] = "full"
    """Trained part of the trunk. Embeddings, heads and final norm are always trained."""
    last_layers: int = 4
    """Number of trunk layers that are trained when trainable = "last_layers"."""
    freeze_conditioning: bool = False
    """Do not train the conditioning encoder and perceiver (always so with LoRA)."""
    new_rows_lr_scale: float = 1.0
    """Learning rate of vocabulary rows added for Amharic, as a multiple of the common one."""
    old_rows_lr_scale: float = 1.0
    """Learning rate of the rows of the base vocabulary, as a multiple of the common one; 0 freezes them."""
    ema: float = 0.0
    """Decay of a moving average of the weights, which is then evaluated and exported, e.g. 0.999."""
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    """Number type of the forward pass; auto: bf16 on cards that have it, else float32."""
    attention: Literal["auto", "eager", "sdpa", "flash", "xformers"] = "auto"
    """Kernel of attention; auto takes the fastest that can run here."""
    attention_fallback: bool = False
    """Take the next best kernel, and say so, when the one asked for cannot run here."""
    checkpointing: str = "off"
    """Gradient checkpointing: "off", "on" (every layer), or "every K" layers. Less memory, more time."""
    loss_chunk: int = 0
    """Positions per piece of the code loss, so that not all logits are in memory at once; 0: whole."""
    sharding: Literal["off", "full"] = "off"
    """full: each of several processes holds a slice of weights, gradients and optimizer state (FSDP).
    `accelerate launch --use_fsdp` asks for it too. Checkpoints are whole, and the same either way."""
    compile: bool = False
    """torch.compile the MLPs of the trunk; needs a C++ compiler, and a minute before the first step. On a
    processor it replaces the layers that keep less for the backward pass."""
    evaluate_every: int = 0
    """Steps between evaluations of the dev loss; 0: once an epoch."""
    save_every: int = 100
    """Steps between checkpoints; one is also written at every evaluation and at the end."""
    keep: int = 2
    """Checkpoints kept besides the best."""
    best_by: str = "loss"
    """Criterion of the best checkpoint, which becomes the voice: "loss", of the dev clips, or a metric of
    `dimts evaluate` over dev sentences spoken at each evaluation: per, faults, likeness, quality, mcd_db,
    ..."""
    best_clips: int = 8
    """Dev sentences spoken for that metric; 0: all."""
    sample_every: int = 0
    """Steps between spoken samples in runs/<when>/samples; 0: none."""
    sample_text: str = "ሰላም ለዓለም።"
    """Text of the samples."""
    coqui_folder: bool = False
    """Also save the voice as a folder that coqui-tts loads: voices/<name>-coqui."""
    adapter_folder: bool = False
    """With LoRA on a base, also save the adapters apart from the base: voices/<name>-adapter, a few megabytes
    that speak as long as the base stays in its folder."""
    tracker: Literal["none", "tensorboard", "trackio", "wandb"] = "none"
    """Tracker of live curves besides log.jsonl."""
    batches: BatchSettings = field(default_factory=BatchSettings)
    reference: ReferenceSettings = field(default_factory=ReferenceSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    lora: TrainLoraSettings = field(default_factory=TrainLoraSettings)
    stop: StopSettings = field(default_factory=StopSettings)
    ray: RayTrainSettings = field(default_factory=RayTrainSettings)
    synthetic: SyntheticSettings = field(default_factory=SyntheticSettings)
    speaker: SpeakerStageSettings = field(default_factory=SpeakerStageSettings)
    dvae: DvaeStageSettings = field(default_factory=DvaeStageSettings)
    decoder: DecoderStageSettings = field(default_factory=DecoderStageSettings)

    def __post_init__(self) -> None:
        checks = {
            "steps ≥ 0, and epochs > 0 where steps = 0": self.steps >= 0
            and self.epochs >= 0
            and self.steps + self.epochs > 0,
            "learning_rate > 0": self.learning_rate is None or self.learning_rate > 0,
            "weight_decay ≥ 0": self.weight_decay >= 0,
            "clip_norm ≥ 0 (0: off)": self.clip_norm >= 0,
            "text_weight ≥ 0": self.text_weight >= 0,
            "0 ≤ label_smoothing < 1": 0 <= self.label_smoothing < 1,
            "guided_attention ≥ 0": self.guided_attention >= 0,
            "guided_attention > 0 only with synthetic.share > 0": not self.guided_attention
            or self.synthetic.share > 0,
            "guided_conditioning ≥ 0": self.guided_conditioning >= 0,
            "guided_conditioning > 0 only where the conditioning learns": not self.guided_conditioning
            or not self.frozen_conditioning,
            "0 ≤ dropout < 1": 0 <= self.dropout < 1,
            "0 ≤ attention_dropout < 1": 0 <= self.attention_dropout < 1,
            "last_layers ≥ 0": self.last_layers >= 0,
            "new_rows_lr_scale and old_rows_lr_scale ≥ 0": min(self.new_rows_lr_scale, self.old_rows_lr_scale)
            >= 0,
            "0 ≤ ema < 1": 0 <= self.ema < 1,
            "loss_chunk ≥ 0": self.loss_chunk >= 0,
            "evaluate_every ≥ 0": self.evaluate_every >= 0,
            "save_every ≥ 1": self.save_every >= 1,
            "keep ≥ 1": self.keep >= 1,
            "best_clips ≥ 0": self.best_clips >= 0,
            'adapter_folder only with trainable = "lora" and a base': not self.adapter_folder
            or (self.trainable == "lora" and bool(self.base)),
            "sample_every ≥ 0": self.sample_every >= 0,
        }
        for rule, holds in checks.items():
            if not holds:
                raise ConfigError("train.train", rule=rule)
        _ = self.checkpoint_every

    def for_stage(self, stage: str) -> TrainSettings:
        """Return the settings of one stage: steps, seconds and learning rate of its own table where they are
        set."""
        own = getattr(self, stage, None)
        if own is None:
            return replace(self, stage=stage)  # type: ignore[arg-type]
        seconds = own.seconds or self.batches.seconds
        return replace(
            self,
            stage=stage,  # type: ignore[arg-type]
            steps=own.steps or self.steps,
            epochs=0 if own.steps else self.epochs,
            learning_rate=own.learning_rate or self.learning_rate,
            batches=replace(self.batches, seconds=seconds),
        )

    @property
    def checkpoint_every(self) -> int:
        """Layers per recomputed block: 0 off, 1 every layer, k every k-th. ConfigError if unreadable."""
        words = self.checkpointing.split()
        if words in (["off"], ["on"]):
            return int(words == ["on"])
        if len(words) == 2 and words[0] == "every" and words[1].isdigit() and int(words[1]) > 0:
            return int(words[1])
        raise ConfigError("train.train_checkpointing_not_choice", checkpointing=self.checkpointing)

    @property
    def frozen_conditioning(self) -> bool:
        """Whether the conditioning encoder and perceiver stay as they are."""
        return self.freeze_conditioning or self.trainable == "lora"


def read_stages(text: str) -> tuple[str, ...]:
    """Return the stages that "all" or a list such as "dvae,gpt" names, in the order of training. ConfigError
    else."""
    if text.strip() == "all":
        return STAGES
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in STAGES:
            raise ConfigError("train.unknown_stage", stage=name)
    if not names:
        raise ConfigError("train.unknown_stage", stage=text)
    return tuple(stage for stage in STAGES if stage in names)


def steps_of(stage: str, steps: int) -> list[str]:
    """Return the overrides that set the number of steps of a stage."""
    return [f"train.steps={steps}", "train.epochs=0"] if stage == "gpt" else [f"train.{stage}.steps={steps}"]
