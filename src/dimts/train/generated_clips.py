"""Generate synthetic training clips on the fly: audio, ids and codes of the clip of an index. Nothing is
stored.

    clips = GeneratedClips(corpus, vocabulary, coder, spec)
    clips[17]                                  the 17th clip, the same whenever it is asked for
    GeneratedSampler(...).epoch(3)             the clips of each step: a function of seed and epoch

Clips of the manifest and generated ones share one numbering (`ClipList`): the manifest's come first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DataError
from dimts.base.project import Project
from dimts.text.frontend import Frontend, FrontendSettings
from dimts.train.collate import TrainingClip
from dimts.train.sampler import Sampler, Step
from dimts.train.settings import SyntheticSettings
from dimts.xtts.spec import Spec
from dimts.xtts.vocabulary import Vocabulary

EPOCH_STEPS = 200
"""Steps that count as an epoch where all clips are generated."""
_KEPT = 256
"""Clips cached in memory: those of a step and of the dev set are used several times."""
_STEPS_APART = 1 << 20
"""Indices reserved for the steps of one epoch, more than any epoch has."""
_KEY = "synthetic"
_SAMPLE_BYTES = 4


class GeneratedClip(Protocol):
    """One clip of a corpus that is generated on the fly."""

    @property
    def wave(self) -> Wave:
        """The audio."""

    @property
    def spelling(self) -> str:
        """The text as the model reads it."""

    @property
    def speaker(self) -> int:
        """Number of the speaker."""

    @property
    def times(self) -> Sequence[Sequence[tuple[float, float]]]:
        """For each word, for each phone of it: (start, end) in seconds."""


class Corpus(Protocol):
    """An infinite corpus whose clips depend only on its seed and their index."""

    def clip(self, index: int) -> GeneratedClip:
        """Return the clip of an index, negative ones included."""


@dataclass(slots=True)
class _Made:
    clip: TrainingClip
    wave: Wave
    audio: Tensor
    """[T] float32 at the input rate."""
    codes: Tensor | None = None


@dataclass(slots=True)
class GeneratedClips:
    """Generated clips for training, and their codes and audio by key (see `CodeStore`)."""

    corpus: Corpus
    vocabulary: Vocabulary
    coder: Any
    """`Coder` or `AudioOnly`: samples [T] → codes [C]."""
    spec: Spec
    _made: OrderedDict[int, _Made] = field(default_factory=OrderedDict)

    def __getitem__(self, index: int) -> TrainingClip:
        """Return the clip of an index, negative ones (the dev set's) included."""
        return self._get(index).clip

    def _get(self, index: int) -> _Made:
        found = self._made.get(index)
        if found is None:
            made = self.corpus.clip(index)
            audio = torch.from_numpy(made.wave.resample(self.spec.input_rate).samples.copy())
            ids = tuple(self.vocabulary.encode(made.spelling))
            codes = self.spec.codes_of(len(audio))
            clip = TrainingClip(
                f"{_KEY}-{index}",
                f"{_KEY}.{index}",
                ids,
                len(audio),
                codes,
                self.spec,
                f"{_KEY}-{made.speaker}",
                alignment=align_codes(
                    made.times, len(ids), codes, self.spec.code_stride / self.spec.input_rate
                ),
            )
            found = self._made[index] = _Made(clip, made.wave, audio)
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end(index)
        return found

    def cached_bytes(self, seconds: float) -> int:
        """Return the bytes of all cached clips of so many seconds: their sound at both rates."""
        return round(_KEPT * seconds * (self.spec.input_rate + self.spec.output_rate) * _SAMPLE_BYTES)

    # What `CodeStore` offers

    def __contains__(self, key: str) -> bool:
        return key.startswith(f"{_KEY}.")

    def _of(self, key: str) -> _Made:
        return self._get(int(key.partition(".")[2]))

    def samples(self, key: str) -> int:
        """Length of a clip in samples at the input rate."""
        return len(self._of(key).audio)

    def codes(self, key: str) -> Tensor:
        """A clip's codes, [C] int64."""
        made = self._of(key)
        if made.codes is None:
            made.codes = self.coder(made.audio)
        return made.codes

    def audio(self, key: str, start: int = 0, end: int | None = None) -> Tensor:
        """Samples `start` to `end` of a clip at the input rate, float32 [T]."""
        return self._of(key).audio[start:end]

    def wave(self, key: str) -> Wave:
        """A clip's sound at the rate it was made at."""
        return self._of(key).wave


@dataclass(frozen=True)
class ClipList(Sequence[TrainingClip]):
    """Clips of the manifest; indices beyond their number are generated clips. Its length counts the
    manifest's only."""

    clips: tuple[TrainingClip, ...]
    generated: GeneratedClips | None = None

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[TrainingClip]:
        return iter(self.clips)

    def __getitem__(self, index: Any) -> Any:
        if self.generated is None or isinstance(index, slice) or index < len(self.clips):
            return self.clips[index]
        return self.generated[index - len(self.clips)]


@dataclass(frozen=True, slots=True)
class GeneratedSampler:
    """Steps of generated clips, or of generated clips beside those of a manifest."""

    manifest: Sampler | None
    """Sampler of the manifest's clips that they are added to; None: all clips are generated."""
    first: int
    """Index of the first generated clip: the number of the manifest's."""
    per_part: int
    """Generated clips in one forward pass."""
    parts: int
    """Forward passes × processes per step."""

    def epoch(self, number: int) -> list[Step]:
        """The steps of epoch `number` (from 0), in order."""
        steps: Sequence[Step] = (
            self.manifest.epoch(number) if self.manifest else [((),) * self.parts for _ in range(EPOCH_STEPS)]
        )
        out = []
        for place, step in enumerate(steps):
            at = self.first + (number * _STEPS_APART + place) * self.per_part * self.parts
            ranges = (range(at + i * self.per_part, at + (i + 1) * self.per_part) for i in range(self.parts))
            out.append(tuple((*part, *more) for part, more in zip(step, ranges, strict=True)))
        return out

    def steps_per_epoch(self) -> int:
        """Steps of the first epoch."""
        return self.manifest.steps_per_epoch() if self.manifest else EPOCH_STEPS


def align_codes(
    times: Sequence[Sequence[tuple[float, float]]], ids: int, codes: int, seconds: float
) -> tuple[tuple[int, int], ...]:
    """Find the ids that sound during each code: (first, last) for each of `codes` codes of `seconds` each.

    `times` are those of the phones, word by word. The ids are a language tag, the phones with an id between
    words, and perhaps a mark at the end, which belongs to the last code. Empty where the number of ids does
    not agree with that.
    """
    phones = [time for word in times for time in word]
    places = [place + 1 + number for number, place in _word_places(times)]
    if not phones or ids - (places[-1] + 1) not in (0, 1):
        return ()
    found = []
    starts, ends = [start for start, _ in phones], [end for _, end in phones]
    for code in range(codes):
        first = min(bisect_right(ends, code * seconds), len(phones) - 1)
        last = max(bisect_left(starts, (code + 1) * seconds) - 1, first)
        found.append((places[first], ids - 1 if code == codes - 1 else places[last]))
    return tuple(found)


def _word_places(times: Sequence[Sequence[tuple[float, float]]]) -> Iterator[tuple[int, int]]:
    """(number of the word, number of the phone in all) for each phone."""
    place = 0
    for number, word in enumerate(times):
        for _ in word:
            yield number, place
            place += 1


def open_corpus(project: Project, settings: SyntheticSettings, texts: Sequence[str], seed: int) -> Corpus:
    """Build the synthetic corpus that [train.synthetic] describes; `texts` are used where it names no file.

    DataError without a text to speak, ConfigError where the model does not read phones.
    """
    from dimts.train.synthetic_corpus import SyntheticCorpus, SyntheticCorpusSettings, read_phrases

    frontend = project.settings("text", FrontendSettings)
    if frontend.spelling != "phones":
        raise ConfigError("train.synthetic_needs_phones", spelling=frontend.spelling)
    if settings.texts:
        path = project.root / settings.texts
        if not path.is_file():
            raise DataError("train.synthetic_no_texts", path=path)
        texts = path.read_text(encoding="utf-8").splitlines()
    lexicon = project.lexicon if project.lexicon.exists() else None
    phrases = read_phrases(texts, Frontend(frontend, lexicon))
    chosen = SyntheticCorpusSettings(
        speakers=settings.speakers, min_words=settings.min_words, max_words=settings.max_words
    )
    corpus: Corpus = SyntheticCorpus(phrases, chosen, seed=seed)
    return corpus
