"""Define sizes, rates and ids of XTTS v2, each with its unit; every other number follows from these.

The letters of all shapes in this folder:

    B rows (sentences)     S text ids        C codes (audio tokens)   L latents of a voice (32)
    F mel frames           T wave samples    D width of the model     d width of a timbre vector
    H heads                N tokens of a packed batch                 V a vocabulary's size

Source: the published config.json of XTTS v2 and the tensor shapes of its model.pth; sizes that config.json
has no field for (vocoder channels, speaker encoder filters, DVAE) are read from the tensors themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dimts.base.errors import CheckpointError

MEL_HOP = 256
"""Samples at the input rate between two mel frames."""
MEL_BANDS = 80
TIMBRE_RATE = 16_000
"""Samples per second of the speaker encoder's input."""
FRAMES_PER_CODE = 4
"""Mel frames per DVAE code (two convolutions of stride 2)."""
STOP_TARGETS = 4
"""STOP codes that each row has as targets after its last code."""
LATENTS = 32
"""L: conditioning vectors of the voice at the start of every sentence."""


@dataclass(frozen=True, slots=True)
class Spec:
    """The size of one XTTS model. Frozen; `dataclasses.replace` makes another."""

    layers: int = 30
    """GPT blocks."""
    width: int = 1024
    """D: width of the GPT, of its latents and of the vocoder's input."""
    heads: int = 16
    """H: attention heads of the GPT and of the conditioning encoder."""
    text_ids: int = 6681
    """Rows of the text embedding: the largest id + 1."""
    start_text: int = 261
    stop_text: int = 0
    audio_ids: int = 1026
    """DVAE codes plus START and STOP."""
    start_audio: int = 1024
    stop_audio: int = 1025
    max_text: int = 402
    """Most text ids of one sentence, START and STOP not counted."""
    max_audio: int = 605
    """Audio positions: `max_codes` + 3."""
    max_prompt: int = 70
    """gpt_max_prompt_tokens of the published config; only kept to be written back."""
    code_stride: int = 1024
    """Input samples per code."""
    input_rate: int = 22_050
    """Samples per second of reference and training waves."""
    output_rate: int = 24_000
    """Samples per second of the synthesised wave."""
    output_hop: int = 256
    """Output samples per vocoder frame."""
    vocoder_channels: int = 512
    """Channels before the first upsampling; halved by each."""
    timbre_filters: tuple[int, int, int, int] = (32, 64, 128, 256)
    """Channels of the four stages of the speaker encoder."""
    timbre_width: int = 512
    """d: width of the speaker embedding."""
    dvae_hidden: int = 512
    """Channels after the first DVAE convolution; doubled by the second."""
    dvae_code: int = 512
    """Width of a DVAE codebook entry."""
    dvae_codes: int = 1024
    """Entries of the DVAE codebook."""
    dropout: float = 0.1
    """Dropout in training at embeddings, attention probabilities and the two outputs of a block."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise CheckpointError("xtts.heads_do_not_divide", width=self.width, heads=self.heads)
        for name in ("start_text", "stop_text"):
            if not 0 <= getattr(self, name) < self.text_ids:
                raise CheckpointError(
                    "xtts.text_id_out_of_range", name=name, id=getattr(self, name), count=self.text_ids
                )
        for name in ("start_audio", "stop_audio"):
            if not 0 <= getattr(self, name) < self.audio_ids:
                raise CheckpointError(
                    "xtts.audio_id_out_of_range", name=name, id=getattr(self, name), count=self.audio_ids
                )

    @property
    def head_width(self) -> int:
        """Width of one GPT head."""
        return self.width // self.heads

    @property
    def text_positions(self) -> int:
        """Rows of the text position table: START, ids, STOP."""
        return self.max_text + 2

    @property
    def audio_positions(self) -> int:
        """Rows of the audio position table."""
        return self.max_audio + 3

    @property
    def max_codes(self) -> int:
        """Most codes of one sentence, STOP included (27.96 s at the official size)."""
        return self.max_audio - 3

    @property
    def codes_per_second(self) -> float:
        """Codes per second of speech (21.53 officially)."""
        return self.input_rate / self.code_stride

    @property
    def prefix_tokens(self) -> int:
        """Length of the longest prefix of a sentence: L latents, START, max_text ids, STOP, START of
        audio."""
        return LATENTS + self.max_text + 3

    def codes_of(self, samples: int) -> int:
        """Return the number of codes of a clip of `samples` input samples."""
        return -(-samples // self.code_stride)

    @classmethod
    def from_coqui(
        cls,
        config: Mapping[str, Any],
        shapes: Mapping[str, Sequence[int]] | None = None,
        *,
        text_ids: int | None = None,
        start_text: int | None = None,
        stop_text: int | None = None,
    ) -> Spec:
        """Read sizes from a coqui config.json, and from tensor shapes under coqui's names where it has no
        field.

        `text_ids`, `start_text` and `stop_text` are those of the vocabulary and go before what the config
        says, as in coqui-tts: community files carry stale ones. Raises CheckpointError for a config of
        another kind of model, or a value that is no whole number.
        """
        arguments = config.get("model_args")
        if not isinstance(arguments, Mapping) or config.get("model", "xtts") != "xtts":
            raise CheckpointError("xtts.config_not_xtts")
        if not arguments.get("gpt_use_perceiver_resampler", True):
            raise CheckpointError("xtts.config_xtts_v1")
        found: dict[str, Any] = {}
        for name, key in _COQUI_FIELDS.items():
            if arguments.get(key) is not None:
                found[name] = _whole_number(key, arguments[key])
        own = {"text_ids": text_ids, "start_text": start_text, "stop_text": stop_text}
        found.update({name: value for name, value in own.items() if value is not None})
        found.update(_sizes_from(shapes or {}))
        return cls(**found)

    def to_coqui(self, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a config.json that coqui-tts reads: `base` (or a minimal one) with these sizes in it."""
        config: dict[str, Any] = {**_COQUI_BASE, **(base or {})}
        config["audio"] = {
            "sample_rate": self.input_rate,
            "output_sample_rate": self.output_rate,
            **(
                {"dvae_sample_rate": self.input_rate}
                if "dvae_sample_rate" in (base or {}).get("audio", {})
                else {}
            ),
        }
        own = {key: getattr(self, name) for name, key in _COQUI_FIELDS.items()}
        config["model_args"] = {**_COQUI_ARGUMENTS, **config.get("model_args", {}), **own}
        config["model_args"]["decoder_input_dim"] = self.width
        return config

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Spec:
        """Invert `as_dict`; CheckpointError names an unknown or missing size."""
        names = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - names):
            raise CheckpointError("xtts.size_unknown", name=unknown[0])
        if missing := sorted(names - set(values)):
            raise CheckpointError("xtts.size_missing", name=missing[0])
        sizes: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**sizes)


_COQUI_FIELDS = {
    "layers": "gpt_layers",
    "width": "gpt_n_model_channels",
    "heads": "gpt_n_heads",
    "text_ids": "gpt_number_text_tokens",
    "start_text": "gpt_start_text_token",
    "stop_text": "gpt_stop_text_token",
    "audio_ids": "gpt_num_audio_tokens",
    "start_audio": "gpt_start_audio_token",
    "stop_audio": "gpt_stop_audio_token",
    "max_text": "gpt_max_text_tokens",
    "max_audio": "gpt_max_audio_tokens",
    "max_prompt": "gpt_max_prompt_tokens",
    "code_stride": "gpt_code_stride_len",
    "input_rate": "input_sample_rate",
    "output_rate": "output_sample_rate",
    "output_hop": "output_hop_length",
    "timbre_width": "d_vector_dim",
}
_EUROPE = ("en", "es", "fr", "de", "it", "pt", "pl", "tr", "ru", "nl", "cs")
_ASIA_AND_AFRICA = ("ar", "zh-cn", "hu", "ko", "ja", "hi", "am")
_COQUI_BASE: dict[str, Any] = {
    "model": "xtts",
    "languages": [*_EUROPE, *_ASIA_AND_AFRICA],
    "temperature": 0.75,
    "length_penalty": 1.0,
    "repetition_penalty": 5.0,
    "top_k": 50,
    "top_p": 0.85,
    "num_gpt_outputs": 1,
    "gpt_cond_len": 30,
    "gpt_cond_chunk_len": 4,
    "max_ref_len": 30,
    "sound_norm_refs": False,
}
_COQUI_ARGUMENTS: dict[str, Any] = {
    "gpt_batch_size": 1,
    "kv_cache": True,
    "num_chars": 255,
    "gpt_use_masking_gt_prompt_approach": True,
    "gpt_use_perceiver_resampler": True,
    "cond_d_vector_in_each_upsampling_layer": True,
}


def _whole_number(key: str, value: object) -> int:
    """Check a size of config.json; CheckpointError for anything but an integer."""
    whole = (
        value.is_integer()
        if isinstance(value, float)
        else isinstance(value, int) and not isinstance(value, bool)
    )
    if not whole or not isinstance(value, int | float):
        raise CheckpointError("xtts.config_value_wrong", key=key, value=str(value))
    return int(value)


def _sizes_from(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Derive sizes that only the tensors show, from {coqui's key: shape}; empty for what is not there."""
    found: dict[str, Any] = {}
    speaker = "hifigan_decoder.speaker_encoder."
    if shape := shapes.get("hifigan_decoder.waveform_decoder.conv_pre.weight"):
        found["vocoder_channels"] = shape[0]
    stages = [shapes.get(f"{speaker}layer{i}.0.conv1.weight") for i in (1, 2, 3, 4)]
    if all(stages):
        found["timbre_filters"] = tuple(shape[0] for shape in stages if shape)
    if shape := shapes.get(f"{speaker}fc.weight"):
        found["timbre_width"] = shape[0]
    if shape := shapes.get("dvae.encoder.0.0.weight"):
        found["dvae_hidden"] = shape[0]
    if shape := shapes.get("dvae.codebook.embed"):
        found["dvae_code"], found["dvae_codes"] = shape
    return found


SPECS: dict[str, Spec] = {
    "v2": Spec(),
    # For tests, the demo and a laptop: the official limits and rates, every part small.
    "tiny": Spec(
        layers=4,
        width=128,
        heads=4,
        text_ids=128,
        start_text=3,
        stop_text=0,
        audio_ids=258,
        start_audio=256,
        stop_audio=257,
        vocoder_channels=32,
        timbre_filters=(8, 8, 16, 16),
        timbre_width=64,
        dvae_hidden=32,
        dvae_code=32,
        dvae_codes=256,
    ),
    # Synthesises faster than real time on one core with AVX2, and can be trained from scratch on a CPU.
    "small": Spec(
        layers=8,
        width=256,
        heads=4,
        text_ids=160,
        start_text=3,
        stop_text=0,
        audio_ids=1026,
        start_audio=1024,
        stop_audio=1025,
        vocoder_channels=128,
        timbre_filters=(16, 32, 64, 128),
        timbre_width=256,
        dvae_hidden=96,
        dvae_code=64,
        dvae_codes=1024,
        dropout=0.0,
    ),
}
"""Known sizes by name."""
