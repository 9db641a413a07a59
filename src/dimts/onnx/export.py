"""Export a bundle as the folder of an ONNX voice, compared with PyTorch before it is moved into place."""

from __future__ import annotations

import importlib
import logging
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from dimts.base.errors import CheckpointError, SynthesisError
from dimts.base.files import fingerprint, write_text
from dimts.base.messages import Message
from dimts.base.plugins import nearest
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.version import __version__
from dimts.onnx.decoder import Sentence
from dimts.onnx.gpt_graphs import prefix_graph, step_graph
from dimts.onnx.graph import WeightFile, WeightType, save_graph
from dimts.onnx.vocoder import OnnxVocoder
from dimts.onnx.vocoder_graph import vocoder_graph
from dimts.onnx.voice_folder import (
    FORMAT,
    NOTE,
    PREFIX,
    STEP,
    VERSION,
    VOCODER,
    WEIGHTS,
    OnnxVoice,
    PhoneTable,
    load_voice,
)
from dimts.xtts.bundle_files import VOCABULARY, replace_folder, to_json
from dimts.xtts.checkpoint import Bundle
from dimts.xtts.generate import generate
from dimts.xtts.gpt import Conv1D
from dimts.xtts.phone_spelling import SPACE
from dimts.xtts.sampling import GenerateSettings
from dimts.xtts.voice import Voice

WEIGHT_TYPES: tuple[WeightType, ...] = ("float32", "float16", "int8")
CARD = "README.md"
BLOCK_WEIGHTS = 32
"""Weights of an 8-bit block, which share one scale."""
MAX_ERROR = 1e-3
"""Largest difference of logits that float32 graphs may have from PyTorch."""
_MEASURED_CODES = 60
"""Codes of each sentence that is measured."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of the graphs with PyTorch, on codes drawn by PyTorch and fed to both."""

    sentences: int
    codes: int
    logits_error: float
    """Largest difference of a logit."""
    equal_codes: float
    """Share of steps at which both have the same most probable code, 0 to 1."""
    wave_error: float
    """Largest difference of a sample, of full scale 1."""
    wave_snr_db: float
    """Power of PyTorch's wave over that of the difference."""


def export_voice(
    bundle: Bundle,
    folder: Path | str,
    sentences: Sequence[Sequence[int]],
    *,
    weights: WeightType = "float32",
    voice: str | None = None,
    source: Path | None = None,
    on_progress: ProgressCallback = ignore,
) -> Agreement:
    """Write an ONNX voice atomically; an older one there is replaced.

    `sentences` are ids that the agreement with PyTorch is measured on. `voice` names one of the bundle's
    voices, which may be left out where there is one. Card and licence come from the folder `source`. Raises
    CheckpointError for a voice that cannot be exported, SynthesisError for an unknown one.
    """
    name, own = _voice_of(bundle, voice)
    own.check(bundle.model)
    if any(isinstance(part, Conv1D) and part.adapter is not None for part in bundle.model.modules()):
        raise CheckpointError("xtts.adapters_not_merged")
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()) and not (folder / NOTE).is_file():
        raise CheckpointError("onnx.folder_taken", folder=folder)
    steps = 5
    with replace_folder(folder) as target, torch.no_grad():
        _write_graphs(bundle, own, target, weights, on_progress)
        for path in sorted(source.iterdir()) if source is not None else ():
            if path.is_file() and path.name.upper().startswith(("LICENCE", "LICENSE", "NOTICE")):
                shutil.copyfile(path, target / path.name)
        note = _note(bundle, name, weights, target)
        write_text(target / NOTE, to_json(note))
        on_progress(
            Progress("export", 3, steps, "files", Message("onnx.measuring", sentences=len(sentences)))
        )
        agreement = measure(bundle, own, load_voice(target, torch.get_num_threads()), sentences)
        if weights == "float32" and not agreement.logits_error <= MAX_ERROR:
            raise CheckpointError("onnx.export_differs", error=agreement.logits_error, allowed=MAX_ERROR)
        write_text(target / CARD, card(note, agreement, source))
        files = {path.name: {"bytes": path.stat().st_size, "sha256": fingerprint(path)}
                 for path in sorted(target.iterdir()) if path.name != NOTE}  # fmt: skip
        write_text(target / NOTE, to_json({**note, "files": files, "measured": asdict(agreement)}))
    on_progress(Progress("export", steps, steps, "files"))
    return agreement


def _voice_of(bundle: Bundle, name: str | None) -> tuple[str, Voice]:
    if not bundle.voices:
        raise CheckpointError("onnx.no_voice")
    if name is None:
        if len(bundle.voices) > 1:
            raise SynthesisError("onnx.name_a_voice", voices=sorted(bundle.voices))
        name = next(iter(bundle.voices))
    if name not in bundle.voices:
        raise SynthesisError("onnx.unknown_voice", voice=name, nearest=nearest(name, bundle.voices))
    return name, bundle.voices[name]


def _write_graphs(
    bundle: Bundle, voice: Voice, target: Path, weights: WeightType, on_progress: ProgressCallback
) -> None:
    """Write the three graphs and their weights; one graph in memory at a time."""
    model = bundle.model
    shared = WeightFile(target / WEIGHTS)
    builders: dict[str, Callable[[], onnx.ModelProto]] = {
        PREFIX: lambda: prefix_graph(model.gpt, voice.latents, weights),
        STEP: lambda: step_graph(model.gpt, weights),
        VOCODER: lambda: vocoder_graph(model.vocoder, voice.timbre, weights),
    }
    try:
        for number, (name, build) in enumerate(builders.items()):
            on_progress(Progress("export", number, 5, "files"))
            graph = build()
            if weights == "int8" and name != VOCODER:
                graph = quantised(graph)
            save_graph(graph, target / name, shared)
    finally:
        shared.close()


def quantised(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with 8-bit weights in its plain matrix products, by onnxruntime's quantiser.

    Each block of 32 weights along the input has a scale, and so has each block of inputs, made 8-bit at every
    call (`accuracy_level` 4). Heads, norms and embeddings are no plain products: they cost little and matter
    much.
    """
    name, handlers = "onnxruntime.quantization.matmul_nbits_quantizer", logging.root.handlers[:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy's and onnx's, about the quantiser's own code
        made = importlib.import_module(name).MatMulNBitsQuantizer
        logging.root.handlers[:] = handlers  # it installs one of its own
        logging.getLogger(name).setLevel(logging.WARNING)  # else: a line for each node
        quantiser = made(graph, bits=8, block_size=BLOCK_WEIGHTS, is_symmetric=True, accuracy_level=4)
        quantiser.process()
    found: onnx.ModelProto = quantiser.model.model
    return found


def _note(bundle: Bundle, voice: str, weights: WeightType, target: Path) -> dict[str, Any]:
    """Return voice.json without the list of files; vocab.json is written where it is needed."""
    words = bundle.vocabulary
    if words.spelling == "phones":
        letters = {token: i for token, i in words.tokens.items() if len(token) == 1}
        tokens = letters | {symbol: words.tokens[symbol] for symbol in words.symbols}
        table = PhoneTable(tokens, words.tokens[f"[{words.language}]"], words.tokens[SPACE]).as_dict()
    else:
        table = {"spelling": words.spelling, "language": words.language}
        words.save(target / VOCABULARY)
    settings = GenerateSettings.from_coqui(dict(bundle.config))
    names = ("temperature", "top_k", "top_p", "repetition_penalty")
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_with": f"dimts {__version__}",
        "name": str(bundle.meta.get("name") or voice),
        "voice": voice,
        "weights": weights,
        "spec": bundle.model.spec.as_dict(),
        "vocabulary": table,
        "front_end": dict(bundle.front_end),
        "generate": {name: getattr(settings, name) for name in names},
        "meta": dict(bundle.meta),
        "files": {},
    }


@torch.no_grad()
def measure(bundle: Bundle, voice: Voice, made: OnnxVoice, sentences: Sequence[Sequence[int]]) -> Agreement:
    """Feed both with the codes that PyTorch draws for each sentence, and compare their outputs."""
    gpt, worst, equal, count, wave_error, powers = bundle.model.gpt, 0.0, 0, 0, 0.0, [1e-20, 1e-20]
    for ids in sentences:
        settings = GenerateSettings(seed=0, max_codes=_MEASURED_CODES)
        steps = list(generate(gpt, voice.latents, ids, settings))
        latents = torch.stack([step.latent for step in steps])
        logits = gpt.mel_head(latents).float().numpy()
        sentence, own = Sentence(made, ids), []
        for row, step in zip(logits, steps, strict=True):
            own.append(sentence.latent)
            worst = max(worst, float(np.abs(row - sentence.logits).max()))
            equal += int(row.argmax() == sentence.logits.argmax())
            count += 1
            if not step.last:
                sentence.read(step.code)
        whole = bundle.model.vocoder(latents[None], voice.timbre)[0].float().numpy()
        vocoder = OnnxVocoder(made)
        wave = np.concatenate([vocoder.push(own), vocoder.finish()])
        wave_error = max(wave_error, float(np.abs(wave - whole).max(initial=0.0)))
        powers[0] += float((whole.astype(np.float64) ** 2).sum())
        powers[1] += float(((wave - whole).astype(np.float64) ** 2).sum())
    snr = 10 * float(np.log10(powers[0] / powers[1]))
    return Agreement(len(sentences), count, worst, equal / max(count, 1), wave_error, snr)


def card(note: Mapping[str, Any], agreement: Agreement, source: Path | None) -> str:
    """Write the model card: what was exported, its agreement with PyTorch, and the voice's own card."""
    below = source / CARD if source is not None else None
    own = below.read_text(encoding="utf-8") if below is not None and below.is_file() else ""
    stored = {
        "float32": "as in the voice",
        "float16": "stored in 16 bits, computed in float32",
        "int8": "the GPT's matrices in 8 bits with a scale for each 32 weights, all others stored in 16 bits",
    }[note["weights"]]
    return f"""# {note["name"]} (ONNX, {note["weights"]})

ONNX graphs of the voice "{note["voice"]}", exported with {note["made_with"]}. Weights: {stored}.

    pip install 'dimts[onnx]'
    dimts say "ሰላም ለዓለም" --voice {note["name"]} -o selam.wav

## Agreement with PyTorch

Measured on {agreement.sentences} sentences, {agreement.codes} codes that PyTorch drew and both were fed:

- largest difference of a logit: {agreement.logits_error:.2g}
- steps at which both find the same code likeliest: {agreement.equal_codes:.1%}
- largest difference of a sample: {agreement.wave_error:.2g} of full scale
- wave above the difference: {agreement.wave_snr_db:.0f} dB

What the voice is made of, its licence and the consent of its speaker are those of the voice it was made from
(`meta` in {NOTE}, and its own card below).

{own}"""
