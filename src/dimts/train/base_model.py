"""Build the model to train: load the base from disk, or initialise a small one; choose what is trained.

load_base    weights, a vocabulary that can encode the texts, and the spelling of the texts
configure    trained parameters, kernels, dropout and gradient checkpointing
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from dimts.base import builtin_voices
from dimts.base.config import to_dict
from dimts.base.errors import CheckpointError
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback
from dimts.base.project import Project
from dimts.base.version import __version__
from dimts.data.manifest import Utterance
from dimts.text.ethiopic import letter
from dimts.text.frontend import MARKS, Frontend, FrontendSettings
from dimts.text.phones import inventory
from dimts.train.code_cache import Coder
from dimts.train.codebook import initialise_from_clips
from dimts.train.runs import identity
from dimts.train.settings import TrainSettings
from dimts.xtts import lora
from dimts.xtts.download import BUNDLE_LICENCE_FILE, XTTS_V2, accepted, base_folder
from dimts.xtts.extend_vocabulary import ExtendSettings, extend_vocabulary
from dimts.xtts.gpt import MLP
from dimts.xtts.load import load
from dimts.xtts.model import XTTS
from dimts.xtts.spec import SPECS
from dimts.xtts.vocabulary import Vocabulary

STAGE_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "speaker": ("timbre.",),
    "dvae": ("dvae.", "mel_stats"),
    "gpt": ("gpt.", "conditioning."),
    "decoder": ("vocoder.",),
}
"""Prefixes of the names of the tensors that each stage trains."""
_PIECES = 200
"""Merged pieces of fidel in the vocabulary of a randomly initialised model."""
_SAMPLED_SPELLINGS = 8
"""Rows spelt again to see whether the manifest's spellings still agree with the settings."""


@dataclass(slots=True)
class TrainableModel:
    """The model to train and everything that is saved with it."""

    model: XTTS
    vocabulary: Vocabulary
    frontend: FrontendSettings
    random: bool
    """Whether the model was initialised with random weights."""
    origin: Message
    """Origin of the weights, for the model card."""
    name: str
    """Fingerprint of weights and vocabulary before training."""
    old_rows: int
    """Rows of the vocabulary the base had; further ones were added for the texts."""
    licence: str = ""
    """Licence of the base's weights."""
    folder: Path | None = None
    """Folder of the base; None for a randomly initialised model."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """The base's config.json in coqui's format."""
    remarks: list[Message] = field(default_factory=list)
    learnt: set[str] = field(default_factory=set)
    """Stages that have been trained, here or before."""
    codes_of_gpt: str = ""
    """Fingerprint of the DVAE whose codes the GPT was trained on; empty: unknown."""
    respelt: dict[str, str] = field(default_factory=dict)
    """Spellings by utterance id, where the manifest's disagrees with the present settings."""

    @property
    def front_end(self) -> dict[str, Any]:
        """Return the front end's description as it is stored in a bundle."""
        return {"version": __version__, "settings": to_dict(self.frontend)}

    @property
    def rehearsal(self) -> bool:
        """Whether parts of the model still have their random initial weights."""
        return self.random and not set(STAGE_PREFIXES) <= self.learnt

    def note_trained(self, stage: str) -> None:
        """Record that a stage was trained, and the DVAE whose codes it used."""
        self.learnt.add(stage)
        if stage == "gpt":
            self.codes_of_gpt = self.coder_name

    @property
    def coder_name(self) -> str:
        """Fingerprint of the DVAE; empty without one."""
        return Coder(self.model.dvae, self.model.mel_stats, self.model.spec).name if self.model.dvae else ""

    def learnt_whole(self) -> list[str]:
        """Return the names of the parameters that are trained directly, not through an adapter."""
        return [n for n, p in self.model.named_parameters() if p.requires_grad and ".adapter." not in n]

    def merge_adapters(self) -> None:
        """Merge the adapters, if there are any, into their layers' weights."""
        lora.merge(self.model, keep=False)

    @property
    def adapter_parameters(self) -> int:
        """Return the number of parameters in adapters."""
        return sum(parameter.numel() for parameter in lora.parameters(self.model))

    def adapter_strength(self) -> float:
        """Return the norm of the adapters' updates as a share of the norm of the weights they modify."""
        return lora.strength(self.model)

    def spell(self, row: Utterance) -> str:
        """Return the spelling that the model reads for a row."""
        return self.respelt.get(row.id, row.spelling)


def load_base(
    project: Project,
    settings: TrainSettings,
    rows: Sequence[Utterance],
    on_progress: ProgressCallback,
    *,
    write: bool = True,
) -> TrainableModel:
    """Load the model to train, in evaluation mode, before `configure`. CheckpointError for an unusable base.

    Without `write` nothing is written into the project: a random model then keeps its random codebook.
    """
    frontend = project.settings("text", FrontendSettings)
    used = [row for row in rows if row.kept and row.split in ("train", "dev")]
    respelt = _respelt(project, frontend, used, on_progress)
    spellings = [respelt.get(row.id, row.spelling) for row in used]
    if settings.base:
        engine = _from_base(settings.base, frontend, spellings, settings.seed, settings.stage)
    else:
        engine = _on_the_spot(settings, frontend, spellings)
        if write and settings.stage in ("gpt", "decoder"):  # the others learn a codebook, or need none
            initialise_from_clips(
                engine.model, project, used, f"{settings.size}-{settings.seed}", settings.seed
            )
    engine.respelt = respelt
    if respelt:
        engine.remarks.append(Message("train.texts_respelt", count=len(respelt)))
    return engine


CHOICE = {"temperature": 0.6, "repetition_penalty": 1.0}
"""How a voice of size small chooses its codes: those of its codebook come again, and a penalty forbids them
(docs/decisions/0080)."""


def _on_the_spot(
    settings: TrainSettings, frontend: FrontendSettings, spellings: Sequence[str]
) -> TrainableModel:
    vocabulary = _grown(None, frontend, spellings)
    spec = replace(
        SPECS[settings.size], text_ids=vocabulary.size, start_text=vocabulary.start, stop_text=vocabulary.stop
    )
    name = identity(size=settings.size, seed=settings.seed, vocabulary=vocabulary.fingerprint)
    origin = Message("train.origin_random", size=settings.size, seed=settings.seed)
    engine = TrainableModel(
        XTTS.build(spec, settings.seed), vocabulary, frontend, True, origin, name, vocabulary.size,
        config=CHOICE if settings.size == "small" else {},
    )  # fmt: skip
    engine.remarks.append(Message("train.rehearsal", size=settings.size))
    return engine


def _grown(old: Vocabulary | None, frontend: FrontendSettings, spellings: Sequence[str]) -> Vocabulary:
    """Build a vocabulary that can encode every spelling: phones and stops, or fidel letters and pieces."""
    marks = sorted({*MARKS.values(), "?", "!"})
    if frontend.spelling == "phones":
        symbols = list(inventory())
        return (
            Vocabulary.for_phones(symbols, marks=marks)
            if old is None
            else old.grow_phones(symbols, marks=marks)
        )
    letters = sorted(
        {letter for spelling in spellings for letter in spelling if not letter.isspace()} - set(marks)
    )
    return (old or Vocabulary.for_phones([])).grow_fidel(spellings, letters, _PIECES, marks=marks)


def _respelt(
    project: Project, settings: FrontendSettings, rows: Sequence[Utterance], on_progress: ProgressCallback
) -> dict[str, str]:
    """Spell the rows whose manifest entry is missing or was made with other settings."""
    if not rows:
        return {}
    frontend: Frontend | None = None

    def spell(row: Utterance) -> str:
        nonlocal frontend
        frontend = frontend or Frontend(settings, project.lexicon if project.lexicon.exists() else None)
        return " ".join(phrase.spelling for phrase in frontend(row.text))

    every = max(1, len(rows) // _SAMPLED_SPELLINGS)
    sampled = [row for row in rows[::every] if row.spelling]
    stale = any(spell(row) != row.spelling for row in sampled)
    wanted = [row for row in rows if stale or not row.spelling]
    out = {}
    for done, row in enumerate(wanted, start=1):
        out[row.id] = spell(row)
        on_progress(Progress("spell", done, len(wanted), "texts"))
    return out


def _origin(meta: Mapping[str, Any], folder: Path) -> Message:
    """Return where the weights of a bundle come from: its name, and what it was trained from itself."""
    name = meta.get("name", folder.name)
    if not meta.get("base"):
        return Message("train.origin_bundle", name=name)
    base = meta.get("base_message")
    from_ = Message.from_dict(base) if isinstance(base, Mapping) else meta["base"]
    return Message("train.origin_bundle_of", name=name, base=from_)


def _from_base(
    base: str, frontend: FrontendSettings, spellings: Sequence[str], seed: int, stage: str
) -> TrainableModel:
    folder = base_folder(base)
    bundle = load(folder, dvae=True)
    model, old = bundle.model, bundle.vocabulary
    vocabulary = _grown(old, frontend, spellings)
    if vocabulary.size > old.size:
        model = extend_vocabulary(
            model, old, vocabulary, ExtendSettings(seed=seed), _sounds(vocabulary)
        ).model
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name.startswith(STAGE_PREFIXES[stage]):  # weights mapped from the file must not be written to
            tensor.data = tensor.data.clone()
    origin = _origin(bundle.meta, folder)
    fetched = (folder / BUNDLE_LICENCE_FILE).is_file() or accepted(folder=folder)
    licence = str(bundle.meta.get("licence_of_base", "")) or (XTTS_V2.licence.name if fetched else "")
    digest = hashlib.sha256(vocabulary.fingerprint.encode())
    for _, tensor in sorted(model.state_dict().items()):
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    rehearsal = bool(bundle.meta.get("rehearsal", False))
    engine = TrainableModel(
        model,
        vocabulary,
        frontend,
        rehearsal,
        origin,
        digest.hexdigest()[:16],
        old.size,
        licence,
        folder,
        bundle.config,
        learnt=set(bundle.meta.get("stages", () if rehearsal else STAGE_PREFIXES)),
        codes_of_gpt=str(bundle.meta.get("codes_of_gpt", "")),
    )
    if base == builtin_voices.NAME:
        engine.remarks.append(Message("train.from_small"))
    if stage == "decoder" and engine.codes_of_gpt not in ("", engine.coder_name):
        raise CheckpointError("train.dvae_newer_than_gpt", folder=folder)
    if vocabulary.size > old.size:
        grown = vocabulary.size - old.size
        engine.remarks.append(Message("train.vocabulary_grew", rows=grown, size=vocabulary.size))
    return engine


def _sounds(vocabulary: Vocabulary) -> dict[str, tuple[str, ...]]:
    """Map fidel letters of the vocabulary to phones, so that new rows are initialised near similar sounds."""
    chart = (letter(token) for token in vocabulary.tokens if len(token) == 1)
    return {entry.char: (entry.consonant + "ʷ" * entry.labial, entry.vowel) for entry in chart if entry}


def empty_copy(model: XTTS, settings: TrainSettings) -> XTTS:
    """Build an uninitialised model of the same layout as `model` after `configure`, for weights to be
    loaded."""
    fresh = XTTS(model.spec, dvae=model.dvae is not None).eval()
    configure(fresh, replace(settings, compile=False), model.gpt.trunk.blocks()[0].attn.kind)
    return fresh


def configure(model: XTTS, settings: TrainSettings, attention: str) -> int:
    """Choose trained parameters and kernels; returns how many modules were compiled."""
    model.use_attention(attention)  # type: ignore[arg-type]
    model.packed = settings.batches.packing == "auto"
    model.gpt.use_dropout(settings.dropout, settings.attention_dropout)
    model.gpt.use_checkpointing(settings.checkpoint_every)
    model.conditioning.use_checkpointing(settings.checkpoint_every > 0)
    if settings.stage != "gpt":
        model.requires_grad_(False)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(STAGE_PREFIXES[settings.stage]))
        return 0
    if settings.trainable == "lora":
        chosen = settings.lora
        lora.attach(
            model, lora.LoraSettings(chosen.rank, chosen.alpha, chosen.dropout, chosen.targets), settings.seed
        )
    model.requires_grad_(False)
    for _, parameter in model.trained():
        parameter.requires_grad_(True)
    if settings.frozen_conditioning:
        model.conditioning.requires_grad_(False)
    if settings.trainable != "full":
        model.gpt.trunk.requires_grad_(False)
    for parameter in lora.parameters(model):
        parameter.requires_grad_(True)
    if settings.trainable == "last_layers":
        layers = model.gpt.trunk.h
        for block in layers[max(0, len(layers) - settings.last_layers) :]:
            block.requires_grad_(True)
        model.gpt.trunk.ln_f.requires_grad_(True)
    if not settings.compile:
        return 0
    torch.compiler.reset()  # drop the graphs of an earlier run in the same process
    for module in model.gpt.trunk.modules():
        if isinstance(module, MLP):
            module.compile(dynamic=True)
    return len(model.gpt.trunk.h)
