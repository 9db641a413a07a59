"""Build the training and dev clips of a run from manifest rows: spelling, ids, cached codes.

A row that the model cannot take ends the run with its reason, or (train.batches.unusable = "skip") is listed
and left out. Nothing is cut or padded to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dimts.base.config import to_dict
from dimts.base.errors import DataError, DimtsError, ProjectError
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.train.base_model import TrainableModel
from dimts.train.blank_clips import BlankStore
from dimts.train.code_cache import AudioOnly, ClipStore, Coder, cache_codes
from dimts.train.collate import TrainingClip
from dimts.train.generated_clips import ClipList, GeneratedClips, GeneratedSampler, open_corpus
from dimts.train.runs import identity
from dimts.train.sampler import Sampler
from dimts.train.settings import TrainSettings

SECONDS_PER_FORWARD_RANDOM, SECONDS_PER_FORWARD = 12.0, 40.0
"""Seconds of speech per forward pass when train.batches.seconds is 0: with random weights, and with a
base."""
LEAST_RATE = 16_000
"""Samples per second below which a recording lacks a band that speaker encoder, DVAE and vocoder should
learn."""
_Clips = tuple[ClipStore, list[tuple[TrainingClip, Utterance]], list[Message]]
_ClipSource = Callable[
    [Project, TrainSettings, TrainableModel, Sequence[Utterance], ProgressCallback], _Clips
]
"""Reads the clips of rows: their store, those that can be used, and remarks on the others."""
_SHORTEST_SECONDS = 0.5
"""Shortest clip with room for a conditioning crop."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The clips of a run."""

    train: ClipList
    dev: ClipList
    dev_rows: tuple[tuple[Utterance, Path], ...]
    """Manifest rows of the dev clips, and the paths of their audio."""
    stores: tuple[ClipStore, ...]
    seconds_per_forward: float
    reference: Path
    """Clip used as speaker reference for spoken samples: near 8 seconds, of the speaker with most speech."""
    speaker: str
    """Speaker of that clip."""
    replayed: int = 0
    """Number of clips of another project, at the end of `train`."""
    left_out: int = 0
    """Number of clips that could not be used."""
    generated_per_part: int = 0
    """Generated clips in one forward pass, in addition to those of the manifest."""
    corpus: str = ""
    """Fingerprint of the generated clips' source."""
    remarks: tuple[Message, ...] = ()
    """Warnings for the user: clips left out, no dev set."""

    @property
    def name(self) -> str:
        """Fingerprint of clips and texts: a run is continued only with the same."""
        clips = [(clip.key, clip.ids, clip.weight) for clip in (*self.train, *self.dev)]
        return identity(clips=clips, corpus=self.corpus)

    def store(self, key: str) -> ClipStore:
        """Return the store that holds a clip's codes and audio."""
        return next(store for store in self.stores if key in store)

    def sampler(self, settings: TrainSettings, processes: int) -> Sampler | GeneratedSampler:
        """Return the sampler of a run."""
        parts = settings.batches.accumulate * processes
        manifest = None
        if len(self.train):
            rows = tuple(clip.row for clip in self.train)
            packed = settings.batches.packing == "auto"
            seconds = self.seconds_per_forward * (1 - settings.synthetic.share)
            manifest = Sampler(rows, seconds, settings.batches.clips, parts, packed, settings.seed)
        if not self.generated_per_part and manifest is not None:
            return manifest
        return GeneratedSampler(manifest, len(self.train), self.generated_per_part, parts)


def load_training_set(
    project: Project,
    settings: TrainSettings,
    engine: TrainableModel,
    rows: Sequence[Utterance],
    on_progress: ProgressCallback,
    *,
    recordings: bool = True,
) -> TrainingSet:
    """Load all clips of a run. Raises DataError for an empty or unusable set, AudioError for a broken clip.

    Without `recordings` none is read and nothing is written: the clips have the lengths of the manifest and
    no contents.
    """
    synthetic = settings.synthetic
    generated = _generated(project, settings, engine, rows) if synthetic.share else None
    if synthetic.share == 1 and generated is not None:
        data = _only_generated(project, settings, generated, write=recordings)
    else:
        source = _clips if recordings else _blank_clips
        data = _from_manifest(project, settings, engine, rows, on_progress, source)
    if generated is not None:
        data = _with_generated(data, settings, generated)
    return data


def _from_manifest(
    project: Project,
    settings: TrainSettings,
    engine: TrainableModel,
    rows: Sequence[Utterance],
    on_progress: ProgressCallback,
    source: _ClipSource,
) -> TrainingSet:
    kept = [row for row in rows if row.kept and row.split in ("train", "dev")]
    if not any(row.split == "train" for row in kept):
        why = Message("train.manifest_none_kept", rows=len(rows)) if rows else Message("train.manifest_empty")
        raise DataError("train.no_training_clips_because", manifest=project.manifest, why=why)
    store, clips, remarks = source(project, settings, engine, kept, on_progress)
    weights = settings.batches.weights
    unknown = sorted(set(weights) - {row.speaker for row in kept})
    if unknown:
        known = sorted({row.speaker for row in kept if row.speaker}) or Message("train.no_named_speaker")
        raise DataError("train.train_batches_weights_names", unknown=unknown[0], known=known)
    train = [clip for clip, row in clips if row.split == "train"]
    train = [replace(clip, weight=weights.get(clip.speaker, 1.0)) for clip in train]
    dev = [clip for clip, row in clips if row.split == "dev"]
    if not train:
        raise DataError("train.no_usable_clip", remarks=remarks[:3])
    if not dev and not settings.synthetic.share:
        remarks.append(Message("train.no_dev_clips"))
    stores: list[ClipStore] = [store]
    replayed: list[TrainingClip] = []
    if settings.batches.replay:
        replayed, other = _replayed(settings, engine, train, on_progress, source)
        train += replayed
        stores.append(other)
    reference = _reference([row for _, row in clips])
    return TrainingSet(
        ClipList(tuple(train)),
        ClipList(tuple(dev)),
        tuple((row, project.inside(row.path)) for _, row in clips if row.split == "dev"),
        tuple(stores),
        _seconds(settings, engine.random),
        project.inside(reference.path),
        reference.speaker,
        replayed=len(replayed),
        left_out=len(kept) - len(clips),
        remarks=tuple(remarks),
    )


def _seconds(settings: TrainSettings, random: bool) -> float:
    return settings.batches.seconds or (SECONDS_PER_FORWARD_RANDOM if random else SECONDS_PER_FORWARD)


def _generated(
    project: Project, settings: TrainSettings, engine: TrainableModel, rows: Sequence[Utterance]
) -> GeneratedClips:
    texts = [row.text for row in rows if row.kept and row.split == "train"]
    corpus = open_corpus(project, settings.synthetic, texts, settings.seed)
    return GeneratedClips(corpus, engine.vocabulary, _coder(settings, engine), engine.model.spec)


def _only_generated(
    project: Project, settings: TrainSettings, generated: GeneratedClips, *, write: bool
) -> TrainingSet:
    """Build a training set without a manifest; the longest dev clip is the speaker reference."""
    dev = [-1 - number for number in range(settings.synthetic.dev_clips)]
    longest = max(dev, key=lambda index: (generated[index].seconds, index))
    reference = project.codes / f"synthetic-{settings.seed}.wav"
    if write:
        reference.parent.mkdir(parents=True, exist_ok=True)
        generated.wave(generated[longest].key).save(reference)
    return TrainingSet(
        ClipList(()), ClipList(()), (), (), _seconds(settings, True), reference, generated[longest].speaker
    )


def _with_generated(data: TrainingSet, settings: TrainSettings, generated: GeneratedClips) -> TrainingSet:
    synthetic = settings.synthetic
    dev = tuple(generated[-1 - number] for number in range(synthetic.dev_clips))
    mean = sum(clip.seconds for clip in dev) / len(dev)
    count = (
        synthetic.clips if synthetic.share == 1 else round(data.seconds_per_forward * synthetic.share / mean)
    )
    made_from = identity(clips=[(clip.ids, clip.samples) for clip in dev], settings=to_dict(synthetic))
    return replace(
        data,
        train=ClipList(data.train.clips, generated),
        dev=ClipList((*data.dev.clips, *dev)),
        stores=(*data.stores, generated),
        generated_per_part=max(1, count),
        corpus=made_from,
    )


def _coder(settings: TrainSettings, engine: TrainableModel) -> Coder | AudioOnly:
    """Return the stage's encoder of audio into codes, or one that keeps audio alone. DataError without a
    DVAE."""
    if settings.stage in ("speaker", "dvae"):
        return AudioOnly(engine.model.spec)
    if engine.model.dvae is None:
        raise DataError("train.base_no_dvae_make")
    return Coder(engine.model.dvae, engine.model.mel_stats, engine.model.spec)


def _clips(
    project: Project,
    settings: TrainSettings,
    engine: TrainableModel,
    rows: Sequence[Utterance],
    on_progress: ProgressCallback,
) -> _Clips:
    remarks = list[Message]()

    def on_cached(progress: Progress) -> None:
        if progress.message:
            remarks.append(progress.message)
        on_progress(progress)

    skip = settings.batches.unusable == "skip"
    store, keys = cache_codes(project, rows, _coder(settings, engine), on_cached, skip=skip)
    return store, _usable(settings, engine, rows, store, keys, remarks, on_progress), remarks


def _blank_clips(
    project: Project,
    settings: TrainSettings,
    engine: TrainableModel,
    rows: Sequence[Utterance],
    on_progress: ProgressCallback,
) -> _Clips:
    """Return clips of the lengths in the manifest. DataError where the stage needs a DVAE and there is
    none."""
    _coder(settings, engine)
    spec, remarks = engine.model.spec, list[Message]()
    keys = {row.id: f"clip:{project.root}.{row.id}" for row in rows}
    store = BlankStore({keys[row.id]: round(row.seconds * spec.input_rate) for row in rows}, spec)
    return store, _usable(settings, engine, rows, store, keys, remarks, on_progress), remarks


def _usable(
    settings: TrainSettings,
    engine: TrainableModel,
    rows: Sequence[Utterance],
    store: ClipStore,
    keys: Mapping[str, str],
    remarks: list[Message],
    on_progress: ProgressCallback,
) -> list[tuple[TrainingClip, Utterance]]:
    """Return the clips that the stage can use; the others end the run, or are skipped with a remark."""
    clips: list[tuple[TrainingClip, Utterance]] = []
    for row in rows:
        if row.id not in keys:
            continue
        try:
            clips.append((_clip(row, keys[row.id], store, engine, settings.stage), row))
        except DimtsError as error:
            if settings.batches.unusable != "skip":
                raise DataError("train.clip_unusable", clip=row.id, reason=error) from error
            remarks.append(Message("train.clip_left_out", clip=row.id, reason=error))
            on_progress(Progress("codes", len(clips), len(rows), "clips", remarks[-1]))
    return clips


def _clip(row: Utterance, key: str, store: ClipStore, engine: TrainableModel, stage: str) -> TrainingClip:
    spec = engine.model.spec
    ids = engine.vocabulary.encode(engine.spell(row))
    samples = store.samples(key)
    clip = TrainingClip(
        row.id, key, tuple(ids), samples, spec.codes_of(samples), spec, row.speaker, top_hz=_top(row)
    )
    if clip.codes > spec.max_codes:
        most = spec.max_codes / spec.codes_per_second
        raise DataError("train.clip_too_long", seconds=clip.seconds, limit=most)
    if len(ids) > spec.max_text:
        raise DataError("train.text_too_long", ids=len(ids), limit=spec.max_text)
    rate = row.measures.get("original_hz", 0.0)
    if stage != "gpt" and 0 < rate < LEAST_RATE:
        raise DataError("train.low_rate_clip", rate=rate, needed=LEAST_RATE)
    if clip.seconds < _SHORTEST_SECONDS:
        raise DataError("train.clip_too_short", seconds=clip.seconds, limit=_SHORTEST_SECONDS)
    return clip


def _top(row: Utterance) -> float:
    """Return the highest frequency of a recording: half its own rate, or its measured bandwidth if less."""
    measured = (row.measures.get("original_hz", 0.0) / 2, row.measures.get("bandwidth_hz", 0.0))
    return min((value for value in measured if value > 0), default=0.0)


def _replayed(
    settings: TrainSettings,
    engine: TrainableModel,
    own: Sequence[TrainingClip],
    on_progress: ProgressCallback,
    source: _ClipSource,
) -> tuple[list[TrainingClip], ClipStore]:
    """Load clips of another project, weighted so that their seconds are the configured share of this
    one's."""
    try:
        other = Project.open(settings.batches.replay)
    except ProjectError as error:
        raise DataError("train.train_batches_replay", error=error.message) from error
    rows = [row for row in Manifest.read(other.manifest) if row.kept and row.split == "train"]
    if not rows:
        raise DataError("train.train_batches_replay_no", other=other.root)
    store, clips, _ = source(other, settings, engine, rows, on_progress)
    share = (
        settings.batches.replay_share
        * sum(clip.seconds for clip in own)
        / sum(clip.seconds for clip, _ in clips)
    )
    return [replace(clip, weight=share) for clip, _ in clips], store


def _reference(rows: Sequence[Utterance]) -> Utterance:
    """Choose a clip near 8 s of the speaker with most speech, a training clip where there is one."""
    spoken: dict[str, float] = {}
    for row in rows:
        spoken[row.speaker] = spoken.get(row.speaker, 0.0) + row.seconds
    speaker = max(sorted(spoken), key=lambda name: spoken[name])
    return min(
        (row for row in rows if row.speaker == speaker),
        key=lambda row: (row.split != "train", abs(row.seconds - 8.0), row.id),
    )
