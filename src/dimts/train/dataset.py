"""Manifest rows + engine → the clips to train and to judge on: spelt, encoded, their codes cached.

A row the engine cannot take ends the run with its reason, or (train.batches.unusable = "skip") is listed
and left out. Nothing is cut or padded to fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dimts.base.errors import DataError, DimtsError, ProjectError
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.train.base_model import TrainableModel
from dimts.train.code_cache import Coder, CodeStore, cache_codes
from dimts.train.collate import TrainingClip
from dimts.train.runs import identity
from dimts.train.settings import TrainSettings
from dimts.xtts.spec import Spec

SECONDS_PER_FORWARD_RANDOM, SECONDS_PER_FORWARD = 12.0, 40.0
"""Speech per forward pass when train.batches.seconds is 0: for an engine made on the spot, and for a base."""
_SHORTEST_SECONDS = 0.5
"""Shorter clips have no room for a crop that shows a voice."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What a run learns from."""

    train: tuple[TrainingClip, ...]
    dev: tuple[TrainingClip, ...]
    dev_rows: tuple[tuple[Utterance, Path], ...]
    """The rows of `dev`, and where their sound lies."""
    stores: tuple[CodeStore, ...]
    seconds_per_forward: float
    reference: Path
    """The clip that shows the voice when a sentence is spoken: near 8 seconds, of the speaker with most speech."""
    speaker: str
    """Who that is."""
    replayed: int
    """How many of `train`, at its end, are another project's."""
    left_out: int
    """Clips that could not be used."""
    remarks: tuple[str, ...]
    """What a person should know: clips left out, no dev set."""

    @property
    def name(self) -> str:
        """Fingerprint of clips and texts: a run goes on only with the same."""
        return identity(clips=[(clip.key, clip.ids, clip.weight) for clip in (*self.train, *self.dev)])


def load_training_set(
    project: Project,
    settings: TrainSettings,
    engine: TrainableModel,
    rows: Sequence[Utterance],
    on_progress: ProgressCallback,
) -> TrainingSet:
    """Everything to learn from. Raises DataError for an empty or unusable set, AudioError for a broken clip."""
    kept = [row for row in rows if row.kept and row.split in ("train", "dev")]
    if not any(row.split == "train" for row in kept):
        why = f"{len(rows)} rows, none kept for training" if rows else "it has no rows"
        raise DataError("train.nothing_train", manifest=project.manifest, why=why)
    store, clips, remarks = _clips(project, settings, engine, kept, on_progress)
    weights = settings.batches.weights
    unknown = sorted(set(weights) - {row.speaker for row in kept})
    if unknown:
        known = ", ".join(sorted({row.speaker for row in kept if row.speaker})) or "none is named"
        raise DataError("train.train_batches_weights_names", unknown=unknown[0], known=known)
    train = [clip for clip, row in clips if row.split == "train"]
    train = [replace(clip, weight=weights.get(clip.speaker, 1.0)) for clip in train]
    dev = [clip for clip, row in clips if row.split == "dev"]
    if not train:
        raise DataError("train.no_usable_clip", remarks=remarks[:3])
    if not dev:
        remarks.append("no dev clips: the training loss stands in for the dev loss (see data.split.dev_share)")
    stores = [store]
    left_out = len(kept) - len(clips)
    replayed: list[TrainingClip] = []
    if settings.batches.replay:
        replayed, other = _replayed(settings, engine, train, on_progress)
        train += replayed
        stores.append(other)
    seconds = settings.batches.seconds or (SECONDS_PER_FORWARD_RANDOM if engine.random else SECONDS_PER_FORWARD)
    reference = _reference([row for _, row in clips])
    return TrainingSet(
        tuple(train),
        tuple(dev),
        tuple((row, project.inside(row.path)) for _, row in clips if row.split == "dev"),
        tuple(stores),
        seconds,
        project.inside(reference.path),
        reference.speaker,
        len(replayed),
        left_out,
        tuple(remarks),
    )


def _clips(
    project: Project,
    settings: TrainSettings,
    engine: TrainableModel,
    rows: Sequence[Utterance],
    on_progress: ProgressCallback,
) -> tuple[CodeStore, list[tuple[TrainingClip, Utterance]], list[str]]:
    skip = settings.batches.unusable == "skip"
    spec, remarks = engine.model.spec, list[str]()
    if engine.model.dvae is None:
        raise DataError("train.base_no_dvae_make")

    def heard(progress: Progress) -> None:
        if progress.message:
            remarks.append(progress.message)
        on_progress(progress)

    coder = Coder(engine.model.dvae, engine.model.mel_stats, spec)
    store, keys = cache_codes(project, rows, coder, heard, skip=skip)
    clips = []
    for row in rows:
        if row.id not in keys:
            continue
        try:
            clips.append((_clip(row, keys[row.id], store, engine, spec), row))
        except DimtsError as error:
            if not skip:
                raise DataError("train.clip_unusable", clip=row.id, reason=error) from error
            remarks.append(Message("train.clip_left_out", clip=row.id, reason=error))
            on_progress(Progress("codes", len(clips), len(rows), "clips", remarks[-1]))
    return store, clips, remarks


def _clip(row: Utterance, key: str, store: CodeStore, engine: TrainableModel, spec: Spec) -> TrainingClip:
    ids = engine.vocabulary.encode(engine.spell(row))
    samples = store.samples(key)
    clip = TrainingClip(row.id, key, tuple(ids), samples, spec.codes_of(samples), spec, row.speaker)
    if clip.codes > spec.max_codes:
        most = spec.max_codes / spec.codes_per_second
        raise DataError("train.clip_too_long", seconds=clip.seconds, limit=most)
    if len(ids) > spec.max_text:
        raise DataError("train.text_too_long", ids=len(ids), limit=spec.max_text)
    if clip.seconds < _SHORTEST_SECONDS:
        raise DataError("train.clip_too_short", seconds=clip.seconds, limit=_SHORTEST_SECONDS)
    return clip


def _replayed(
    settings: TrainSettings, engine: TrainableModel, own: Sequence[TrainingClip], on_progress: ProgressCallback
) -> tuple[list[TrainingClip], CodeStore]:
    """Clips of another project, weighted so that their seconds are the wanted share of this project's."""
    try:
        other = Project.open(settings.batches.replay)
    except ProjectError as error:
        raise DataError("train.train_batches_replay", error=error.message) from error
    rows = [row for row in Manifest.read(other.manifest) if row.kept and row.split == "train"]
    if not rows:
        raise DataError("train.train_batches_replay_no", other=other.root)
    store, clips, _ = _clips(other, settings, engine, rows, on_progress)
    share = settings.batches.replay_share * sum(clip.seconds for clip in own) / sum(clip.seconds for clip, _ in clips)
    return [replace(clip, weight=share) for clip, _ in clips], store


def _reference(rows: Sequence[Utterance]) -> Utterance:
    """A clip near 8 s of the speaker with most speech, from training where there is one."""
    spoken: dict[str, float] = {}
    for row in rows:
        spoken[row.speaker] = spoken.get(row.speaker, 0.0) + row.seconds
    speaker = max(sorted(spoken), key=lambda name: spoken[name])
    return min(
        (row for row in rows if row.speaker == speaker),
        key=lambda row: (row.split != "train", abs(row.seconds - 8.0), row.id),
    )
