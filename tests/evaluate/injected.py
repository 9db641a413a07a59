"""Sentences with and without injected errors, by several formant voices: what the detectors are pair_results on."""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from dimts.audio.formant import Formant, FormantSettings, FormantSpeech
from dimts.audio.level import high_pass
from dimts.audio.likeness import Embedding, embed, likeness, profile
from dimts.audio.wave import Wave
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.evaluate import error_injection
from dimts.evaluate.faults import Examined, FaultSettings, calibrate, examine, with_thresholds
from dimts.evaluate.hmm_aligner import HMMAligner
from dimts.evaluate.phone_labels import word_labels
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.sentences import GREETINGS, SENTENCES
from dimts.evaluate.synthetic_speech import add_noise
from dimts.speak import FORMANT_FRONTEND
from dimts.text.frontend import Frontend

Words = list[tuple[str, ...]]

LOW, HIGH = ("", "m3", "Henrique"), ("f2", "linda", "klatt2")
"""Voices, all but the first never taught to the recogniser; those of one group sound alike to the voice encoder too."""
WANTED = {
    "wrong word": {"wrong_word"},
    "cut": {"cut"},
    "loop": {"loop", "extra"},
    "said after the end": {"extra", "loop"},
    "halved length": {"short_consonants"},
    "other voice": {"other_voice"},
    "noise at 10 dB": {"noise"},
}
"""Planted error → the issues that find it."""


@dataclass
class Tally:
    """How often each injected error was found, and what was found where none was."""

    injected: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    clean: int = 0
    alarms: list[str] = field(default_factory=list)
    false_alarms: int = 0
    missed: list[str] = field(default_factory=list)

    def recall(self, error: str) -> float:
        return self.found[error] / self.injected[error]


@cache
def sentences() -> tuple[Words, ...]:
    frontend = Frontend(FORMANT_FRONTEND)
    every = ([w.phones for phrase in frontend(text) for w in phrase.words] for text in SENTENCES + GREETINGS)
    return tuple(words for words in every if len(words) >= 3)


@cache
def profile_of(variant: str) -> Embedding:
    voice = Formant(FormantSettings(variant=variant))
    return profile([voice.speak(words, "።") for words in sentences()[:6]])


def detect_all(recogniser: PhoneRecogniser, count: int, seed: int = 5) -> Tally:
    """`count` clean sentences and, of each, one with every injected error."""
    rng, tally = random.Random(seed), Tally()
    everything = [word for words in sentences() for word in words]
    for number in range(count):
        words = sentences()[number % len(sentences())]
        group, others = (LOW, HIGH) if number % 2 else (HIGH, LOW)
        variant = rng.choice(group)
        voice = Formant(FormantSettings(variant=variant, rate=rng.uniform(0.85, 1.2), pitch=rng.uniform(0.9, 1.1)))
        spoken = voice.speak_timed(words, "።")
        clean = examine(spoken.wave, words, recogniser, profile_of(variant))
        tally.clean += 1
        tally.false_alarms += bool(clean.issues)
        tally.alarms += [f"{variant}: {issue.kind}: {issue.message}" for issue in clean.issues]
        for error, wave in injected(rng, voice, spoken, words, everything, others).items():
            found = examine(wave, words, recogniser, profile_of(variant))
            tally.injected[error] += 1
            tally.found[error] += bool(kinds(found) & WANTED[error])
    return tally


def injected(
    rng: random.Random, voice: Formant, spoken: FormantSpeech, words: Words, everything: Words, others: tuple[str, ...]
) -> dict[str, Wave]:
    first, last = _some_words(rng, words)
    out = {
        "wrong word": voice.speak(error_injection.wrong_word(words, rng, everything), "።"),
        "cut": error_injection.cut_end(spoken, rng.uniform(0.4, 0.8)),
        "loop": error_injection.repeat_words(spoken, first, last, rng.choice((2, 3))),
        "said after the end": error_injection.append_words(
            spoken, voice.speak([rng.choice([w for w in everything if len(w) >= 4])])
        ),
        "other voice": Formant(FormantSettings(variant=rng.choice(others))).speak(words, "።"),
        "noise at 10 dB": add_noise(spoken.wave, 10.0, np.random.default_rng(rng.getrandbits(32))),
    }
    if any(phone.endswith("ː") for phone in [phone for word in words for phone in word][:-1]):
        out["halved length"] = error_injection.halve_long_consonants(spoken, words)
    return out


def kinds(found: Examined) -> set[str]:
    return {issue.kind for issue in found.issues}


Clip = tuple[Wave, Words]
"""A recording and the phones of its words."""


@dataclass(frozen=True)
class Speaker:
    """A real speaker: recordings to know the voice by, and others, kept apart, to plant errors in."""

    name: str
    known: Sequence[Clip]
    apart: Sequence[Clip]


def detect_in_recordings(
    recogniser: PhoneRecogniser, speakers: Sequence[Speaker], boundaries: HMMAligner, tally: Tally
) -> None:
    """The same with real speakers, added to `tally`: every clip kept apart, once clean and once with each error.

    Thresholds for a clip come from all others of the speaker that were kept apart. Errors are injected where `boundaries`,
    which is not the recogniser's own, finds the phones. A wrong word is a right recording whose text asks for another
    word. Another voice: each speaker against all clips of the others.
    """
    rng = random.Random(11)
    everything = [word for one in speakers for _, words in one.apart for word in words if len(word) >= 4]
    voices = {one.name: [embed(wave) for wave, _ in one.apart] for one in speakers}
    for speaker in speakers:
        voice = profile([wave for wave, _ in speaker.known[:_PROFILE_CLIPS]])
        clean = [examine(wave, words, recogniser, voice) for wave, words in speaker.apart]
        thresholds = [
            calibrate(FaultSettings(), [*clean[:number], *clean[number + 1 :]]) for number in range(len(clean))
        ]
        for number in range(len(speaker.apart)):
            limits = thresholds[number]
            unspoilt = with_thresholds(clean[number], limits)
            tally.clean += 1
            tally.false_alarms += bool(unspoilt.issues)
            tally.alarms += [f"{speaker.name}: {issue.kind}: {issue.message}" for issue in unspoilt.issues]
            changed = injected_in(rng, speaker.apart, number, boundaries, everything)
            for error, (spoilt, asked) in changed.items():
                found = examine(spoilt, asked, recogniser, voice, limits)
                tally.injected[error] += 1
                hit = bool(kinds(found) & WANTED[error])
                tally.found[error] += hit
                if not hit:
                    tally.missed.append(f"{speaker.name} {number} {error}")
        for other, embeddings in voices.items():
            if other == speaker.name:
                continue
            for number, embedding in enumerate(embeddings):
                tally.injected["other voice"] += 1
                tally.found["other voice"] += likeness(embedding, voice) < thresholds[number % len(thresholds)].likeness


_PROFILE_CLIPS = 10


def injected_in(
    rng: random.Random, clips: Sequence[Clip], number: int, boundaries: HMMAligner, everything: Words
) -> dict[str, tuple[Wave, Sequence[Sequence[str]]]]:
    """Planted error → a clip with it, and what it should say."""
    wave, words = clips[number]
    spoken = error_injection.align_recording(wave, words, boundaries)
    first, last = _some_words(rng, words)
    other, other_words = clips[number - 1]
    there = error_injection.align_recording(other, other_words, boundaries)
    place = rng.choice([at for at, word in enumerate(other_words) if len(word) >= 4])
    piece = other.cut(there.times[place][0][0], there.times[place][-1][1])
    end = Wave(wave.samples[: round(spoken.times[-1][-1][1] * wave.rate)], wave.rate)
    changed: dict[str, tuple[Wave, Sequence[Sequence[str]]]] = {
        "wrong word": (wave, error_injection.wrong_word(words, rng, everything)),
        "cut": (error_injection.cut_end(spoken, rng.uniform(0.4, 0.8)), words),
        "loop": (error_injection.repeat_words(spoken, first, last, rng.choice((2, 3))), words),
        "said after the end": (error_injection.append_words(replace(spoken, wave=end), piece), words),
        "noise at 10 dB": (add_noise(wave, 10.0, np.random.default_rng(number)), words),
    }
    if any(phone.endswith("ː") for phone in [phone for word in words for phone in word][:-1]):
        changed["halved length"] = error_injection.halve_long_consonants(spoken, words), words
    return changed


def spelt(words: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """As the recogniser writes them."""
    return [word for word in word_labels(words) if word]


def _some_words(rng: random.Random, words: Words) -> tuple[int, int]:
    """The first and the one after the last of some neighbouring words with at least four phones."""
    first = rng.randrange(len(words) - 1)
    last = first + 1
    while sum(map(len, words[first:last])) < 4:
        last += 1
        if last > len(words):
            first, last = first - 1, len(words)
    return first, last


def real_clips(folder: Path, speakers: Sequence[str] = ()) -> dict[str, list[Clip]]:
    """Recordings with their phones by speaker, from a folder with a metadata.tsv (id, path, speaker, text)."""
    frontend = Frontend(FORMANT_FRONTEND)
    out: dict[str, list[Clip]] = {}
    with (folder / "metadata.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if speakers and row["speaker"] not in speakers:
                continue
            words = [word.phones for phrase in frontend(row["text"]) for word in phrase.words if word.phones]
            if len(words) >= 3 and any(len(word) >= 4 for word in words):
                out.setdefault(row["speaker"], []).append((high_pass(Wave.load(folder / row["path"])), words))
    return out


LEAST_CLIPS = 12
"""Of a speaker in whose recordings errors are injected."""


@dataclass(frozen=True)
class Corpus:
    """Real recordings, parted for teaching a recogniser and trying it."""

    taught: dict[str, list[Clip]]
    own: list[Speaker]
    """Speakers it is taught, each third clip kept apart."""
    foreign: list[Speaker]
    """Speakers it is never taught."""
    strangers: list[Clip]
    """All that these say, and others with too few clips to plant errors in."""
    boundaries: HMMAligner
    """Taught by all recordings: the best borders that can be had without a hand."""


def corpus(folder: Path, strangers: str = "te", first: int = 0) -> Corpus:
    """Speakers whose names begin with `strangers` are never taught; of the others each third clip is not.

    `first`, 0 to 2, is where these thirds begin.
    """
    every = real_clips(folder)
    enough = {name: clips for name, clips in every.items() if len(clips) >= LEAST_CLIPS}
    foreign = {name: clips for name, clips in every.items() if name.startswith(strangers)}
    taught = {
        name: [clip for number, clip in enumerate(clips) if number % 3 != first] if name in enough else clips
        for name, clips in every.items()
        if name not in foreign
    }
    return Corpus(
        taught,
        [Speaker(name, taught[name], clips[first::3]) for name, clips in enough.items() if name in taught],
        [Speaker(name, clips[1::2], clips[::2]) for name, clips in enough.items() if name in foreign],
        [clip for clips in foreign.values() for clip in clips],
        HMMAligner.fit([(wave, spelt(words)) for clips in every.values() for wave, words in clips]),
    )


def project_of(folder: Path, taught: dict[str, list[Clip]]) -> Project:
    """A project whose training clips these are."""
    home = Project.create(folder, "[project]\n")
    rows = []
    for speaker, clips in taught.items():
        for number, (wave, words) in enumerate(clips):
            name = f"{speaker}-{number}"
            wave.save(home.clips / f"{name}.wav")
            phones = " # ".join(" ".join(word) for word in words)
            rows.append(
                Utterance(id=name, path=f"clips/{name}.wav", text=phones, phones=phones, spelling=phones,
                          seconds=wave.seconds, speaker=speaker, split="train", kept=True)
            )  # fmt: skip
    Manifest.write(home.manifest, rows)
    return home
