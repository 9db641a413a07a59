"""Write a trained model as a bundle, voices/<name>, that speaks without its base and can be trained further.

Besides weights, vocabulary, front end and the speakers' latents it holds a model card (README.md) and the
licence of the base where that has one. Samples during training are synthesised alike, without the folder.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dimts.audio.wave import Wave
from dimts.base import builtin_voices
from dimts.base.config import to_dict
from dimts.base.files import write_text
from dimts.base.progress import Progress, ProgressCallback
from dimts.base.project import Project, ProjectSettings
from dimts.base.version import __version__
from dimts.data.corpora import attributions
from dimts.text.frontend import Frontend
from dimts.train.base_model import TrainableModel
from dimts.train.dataset import TrainingSet
from dimts.train.metrics import EvaluatedSentence
from dimts.train.runs import RunFolder
from dimts.train.settings import TrainSettings
from dimts.xtts import lora
from dimts.xtts.bundle_files import BUNDLE
from dimts.xtts.checkpoint import Bundle, save_bundle
from dimts.xtts.coqui_checkpoint import save_coqui
from dimts.xtts.download import XTTS_V2, carry_licence
from dimts.xtts.generate import generate
from dimts.xtts.lora_checkpoint import save_adapter
from dimts.xtts.sampling import GenerateSettings
from dimts.xtts.stream import stream
from dimts.xtts.voice import Voice, clone

CARD = "README.md"
_SAFE_NAME = re.compile(r"[^\w.-]+")
_SAMPLE_CODES = 240
"""Longest spoken sample in codes: 11 s; an untrained model does not know when to stop."""


def export(
    project: Project,
    settings: TrainSettings,
    engine: TrainableModel,
    data: TrainingSet,
    metrics: Mapping[str, Any],
    folder: RunFolder,
    on_progress: ProgressCallback,
    *,
    step: int,
    where: Path | None = None,
) -> Path:
    """Write the voice as it is now, by default below voices/; returns its folder. An older one is replaced as
    a whole."""
    owner = project.settings("project", ProjectSettings)
    name = owner.name or project.root.resolve().name
    where = where or project.voices / voice_name(name)
    on_progress(Progress("save", 0, 1, "voices"))
    meta = {
        "name": name,
        "made_with": f"dimts {__version__}",
        "made": time.strftime("%Y-%m-%d"),
        "base": engine.origin.text("en"),
        "base_message": engine.origin.as_dict(),
        "rehearsal": engine.rehearsal,
        "stages": sorted(engine.learnt),
        "codes_of_gpt": engine.codes_of_gpt,
        "language": owner.language,
        "licence_of_recordings": owner.licence,
        "consent": owner.consent,
        "licence_of_base": engine.licence,
        "attribution": list(attributions(project)),
        "run": folder.root.name,
        "steps": step,
        "metrics": dict(metrics),
        "clips": len(data.train) - data.replayed,
        "seconds_of_speech": round(
            sum(clip.seconds for clip in data.train[: len(data.train) - data.replayed]), 1
        ),
        "settings": to_dict(settings),
    }
    voice = clone_voice(engine, data, name=data.speaker or name, licence=owner.licence, consent=owner.consent)
    bundle = Bundle(
        engine.model, engine.vocabulary, engine.front_end, {data.speaker or name: voice}, meta, engine.config
    )
    if settings.adapter_folder:
        named = settings.base in (XTTS_V2.name, builtin_voices.NAME)
        beside = settings.base if named else (engine.folder or Path()).resolve()
        wanted = settings.lora
        made = lora.LoraSettings(wanted.rank, wanted.alpha, wanted.dropout, wanted.targets)
        save_adapter(bundle, adapter_folder(where), made, beside, engine.learnt_whole())
        write_text(adapter_folder(where) / CARD, card(meta, engine, f"Kept apart from its base, {beside}."))
    engine.merge_adapters()
    save_bundle(bundle, where, dvae=engine.model.dvae is not None)
    write_text(where / CARD, card(meta, engine))
    if engine.folder is not None:
        carry_licence(engine.folder, where)
        if settings.adapter_folder:
            carry_licence(engine.folder, adapter_folder(where))
    if settings.coqui_folder:
        save_coqui(bundle, where.with_name(f"{where.name}-coqui"))
    on_progress(Progress("save", 1, 1, "voices"))
    return where


def voice_name(name: str) -> str:
    """Return the folder name of a voice."""
    return _SAFE_NAME.sub("-", name).strip("-.") or "voice"


def read_meta(folder: Path) -> dict[str, Any]:
    """Return a voice's metadata from its folder; empty where there is none."""
    try:
        note = json.loads((folder / BUNDLE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    meta = note.get("meta") if isinstance(note, dict) else None
    return meta if isinstance(meta, dict) else {}


def adapter_folder(voice: Path) -> Path:
    """Return the folder of a voice's adapters when they are saved apart from the base."""
    return voice.with_name(f"{voice.name}-adapter")


def clone_voice(engine: TrainableModel, data: TrainingSet, **meta: Any) -> Voice:
    """Return the voice cloned from the data's reference clip by the model as it is now."""
    engine.model.eval()
    wave = Wave.load(data.reference, engine.model.spec.input_rate)
    return clone(engine.model, [torch.from_numpy(wave.samples.copy())], reference=data.reference.name, **meta)


def speak_sample(engine: TrainableModel, data: TrainingSet, text: str, path: Path) -> float:
    """Synthesise `text` with the model as it is now, into a wave file; returns its seconds. The training
    state is unchanged."""
    with _speaking(engine, data) as synthesise:
        wave, _ = synthesise(text)
    wave.save(path)
    return wave.seconds


def speak_dev(engine: TrainableModel, data: TrainingSet, most: int) -> list[EvaluatedSentence]:
    """Synthesise the texts of the first `most` dev clips (0: all) with the model as it is; the training state
    is unchanged."""
    rows = data.dev_rows[:most] if most else data.dev_rows
    spoken = []
    with _speaking(engine, data) as synthesise:
        for row, path in rows:
            wave, words = synthesise(row.text)
            spoken.append(EvaluatedSentence(row.id, row.text, words, wave, Wave.load(path)))
    return spoken


@contextlib.contextmanager
def _speaking(
    engine: TrainableModel, data: TrainingSet
) -> Iterator[Callable[[str], tuple[Wave, tuple[tuple[str, ...], ...]]]]:
    """Yield a function from text to audio and the phones of its words; afterwards the model is as before."""
    model, was_training = engine.model, engine.model.training
    voice = clone_voice(engine, data)
    frontend = Frontend(engine.frontend)

    def synthesise(text: str) -> tuple[Wave, tuple[tuple[str, ...], ...]]:
        chunks: list[np.ndarray] = []
        words: list[tuple[str, ...]] = []
        for phrase in frontend(text):
            words += [word.phones for word in phrase.words if word.phones]
            ids = engine.vocabulary.encode(phrase.spelling)
            settings = GenerateSettings(seed=0, max_codes=_SAMPLE_CODES)
            latents = (step.latent for step in generate(model.gpt, voice.latents, ids, settings))
            chunks += [chunk.cpu().numpy() for chunk in stream(model.vocoder, latents, voice.timbre)]
        return Wave(np.concatenate(chunks), model.spec.output_rate), tuple(words)

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        yield synthesise
    model.train(was_training)


def card(meta: Mapping[str, Any], engine: TrainableModel, note: str = "") -> str:
    """Write the model card: what the voice is, what it is made from, who may use it."""
    losses = "\n".join(f"- {key}: {value:.3f}" for key, value in meta["metrics"].items() if value is not None)
    warning = (
        "**A rehearsal, not a voice.** The engine is small and began "
        "with random weights; it shows that the way "
        "from recordings to speech works. For a real voice: `dimts fetch`, "
        "`dimts train PROJECT --base xtts-v2`.\n\n"
        if meta["rehearsal"]
        else ""
    )
    unsaid = "not stated"
    named = "".join(f"- {one}\n" for one in meta.get("attribution", ()))
    return f"""# {meta["name"]}

{warning}An Amharic voice, fine-tuned with {meta["made_with"]} on {meta["made"]}. {note}

    dimts say "ሰላም ለዓለም" --voice {meta["name"]} -o selam.wav

## Made of

- base: {meta["base"]} (licence: {meta["licence_of_base"] or unsaid})
- recordings: {meta["clips"]} clips, {meta["seconds_of_speech"] / 60:.1f} minutes
- licence of the recordings: {meta["licence_of_recordings"] or unsaid}
- consent of the speakers: {meta["consent"] or unsaid}
{named}- front end: {engine.frontend.spelling}, with the settings in bundle.json
- training: run {meta["run"]}, {meta["steps"]} steps, settings in bundle.json

## Measured

{losses or "- nothing yet"}

Losses are cross-entropies of audio codes in nats; they compare runs on the same clips, not voices.

## Use

Speak only with the voice of someone who agreed to it, and say that the speech is synthetic.
"""
