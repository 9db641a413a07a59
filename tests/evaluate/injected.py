"""Sentences with and without injected errors, by formant voices and real speakers, to test the detectors
on."""

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
"""Variants, all but the first outside the recogniser's training data; those of a group have similar
embeddings."""
WANTED = {
    "wrong word": {"wrong_word"},
    "cut": {"cut"},
    "loop": {"loop", "extra"},
    "words after the end": {"extra", "loop"},
    "halved length": {"short_consonants"},
    "other voice": {"other_voice"},
    "noise at 10 dB": {"noise"},
}
"""Issues that detect each injected error."""


@dataclass
class Tally:
    """Detections of each injected error, and false alarms."""

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
    """Examine `count` clean sentences and, of each, one with every injected error."""
    rng, tally = random.Random(seed), Tally()
    everything = [word for words in sentences() for word in words]
    for number in range(count):
        words = sentences()[number % len(sentences())]
        group, others = (LOW, HIGH) if number % 2 else (HIGH, LOW)
        variant = rng.choice(group)
        voice = Formant(
            FormantSettings(variant=variant, rate=rng.uniform(0.85, 1.2), pitch=rng.uniform(0.9, 1.1))
        )
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
    rng: random.Random,
    voice: Formant,
    spoken: FormantSpeech,
    words: Words,
    everything: Words,
    others: tuple[str, ...],
) -> dict[str, Wave]:
    first, last = _some_words(rng, words)
    out = {
        "wrong word": voice.speak(error_injection.wrong_word(words, rng, everything), "።"),
        "cut": error_injection.cut_end(spoken, rng.uniform(0.4, 0.8)),
        "loop": error_injection.repeat_words(spoken, first, last, rng.choice((2, 3))),
        "words after the end": error_injection.append_words(
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
    """A real speaker: recordings for the embedding, and held-out ones to inject errors into."""

    name: str
    known: Sequence[Clip]
    held_out: Sequence[Clip]


def detect_in_recordings(
    recogniser: PhoneRecogniser, speakers: Sequence[Speaker], aligner: HMMAligner, tally: Tally
) -> None:
    """Examine every held-out clip of real speakers, clean and with each error; add the results to `tally`.

    Thresholds for a clip come from the other held-out clips of the speaker. Errors are injected at the
    boundaries of `aligner`, which is not the recogniser's own. A wrong word is a clean recording with another
    word in its text. Another voice: each speaker against all clips of the others.
    """
    rng = random.Random(11)
    everything = [word for one in speakers for _, words in one.held_out for word in words if len(word) >= 4]
    voices = {one.name: [embed(wave) for wave, _ in one.held_out] for one in speakers}
    for speaker in speakers:
        voice = profile([wave for wave, _ in speaker.known[:_PROFILE_CLIPS]])
        clean = [examine(wave, words, recogniser, voice) for wave, words in speaker.held_out]
        thresholds = [
            calibrate(FaultSettings(), [*clean[:number], *clean[number + 1 :]])
            for number in range(len(clean))
        ]
        for number in range(len(speaker.held_out)):
            limits = thresholds[number]
            unspoilt = with_thresholds(clean[number], limits)
            tally.clean += 1
            tally.false_alarms += bool(unspoilt.issues)
            tally.alarms += [f"{speaker.name}: {issue.kind}: {issue.message}" for issue in unspoilt.issues]
            changed = injected_in(rng, speaker.held_out, number, aligner, everything)
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
                tally.found["other voice"] += (
                    likeness(embedding, voice) < thresholds[number % len(thresholds)].likeness
                )


_PROFILE_CLIPS = 10


def injected_in(
    rng: random.Random, clips: Sequence[Clip], number: int, aligner: HMMAligner, everything: Words
) -> dict[str, tuple[Wave, Sequence[Sequence[str]]]]:
    """Return a clip and its text for each injected error."""
    wave, words = clips[number]
    spoken = error_injection.align_recording(wave, words, aligner)
    first, last = _some_words(rng, words)
    other, other_words = clips[number - 1]
    there = error_injection.align_recording(other, other_words, aligner)
    place = rng.choice([at for at, word in enumerate(other_words) if len(word) >= 4])
    piece = other.cut(there.times[place][0][0], there.times[place][-1][1])
    end = Wave(wave.samples[: round(spoken.times[-1][-1][1] * wave.rate)], wave.rate)
    changed: dict[str, tuple[Wave, Sequence[Sequence[str]]]] = {
        "wrong word": (wave, error_injection.wrong_word(words, rng, everything)),
        "cut": (error_injection.cut_end(spoken, rng.uniform(0.4, 0.8)), words),
        "loop": (error_injection.repeat_words(spoken, first, last, rng.choice((2, 3))), words),
        "words after the end": (error_injection.append_words(replace(spoken, wave=end), piece), words),
        "noise at 10 dB": (add_noise(wave, 10.0, np.random.default_rng(number)), words),
    }
    if any(phone.endswith("ː") for phone in [phone for word in words for phone in word][:-1]):
        changed["halved length"] = error_injection.halve_long_consonants(spoken, words), words
    return changed


def spelt(words: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Convert words to labels of the recogniser."""
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
    """Recordings with their phones by speaker, from a folder with a metadata.tsv (id, path, speaker,
    text)."""
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
"""Least number of clips of a speaker into whose recordings errors are injected."""


@dataclass(frozen=True)
class Corpus:
    """Real recordings, split for training and testing a recogniser."""

    training: dict[str, list[Clip]]
    """Training clips by speaker."""
    seen: list[Speaker]
    """Speakers of the training data, each third clip held out."""
    unseen: list[Speaker]
    """Speakers outside the training data."""
    unseen_clips: list[Clip]
    """All clips of speakers outside the training data, those with few clips included."""
    aligner: HMMAligner
    """Aligner trained on all recordings, as there is no manual alignment."""


def corpus(folder: Path, unseen: str = "te", first: int = 0) -> Corpus:
    """Read a corpus; speakers whose names begin with `unseen` and each third clip of the others are held out.

    `first`, 0 to 2, is where these thirds begin.
    """
    every = real_clips(folder)
    enough = {name: clips for name, clips in every.items() if len(clips) >= LEAST_CLIPS}
    others = {name: clips for name, clips in every.items() if name.startswith(unseen)}
    training = {
        name: [clip for number, clip in enumerate(clips) if number % 3 != first] if name in enough else clips
        for name, clips in every.items()
        if name not in others
    }
    return Corpus(
        training,
        [
            Speaker(name, training[name], clips[first::3])
            for name, clips in enough.items()
            if name in training
        ],
        [Speaker(name, clips[1::2], clips[::2]) for name, clips in enough.items() if name in others],
        [clip for clips in others.values() for clip in clips],
        HMMAligner.fit([(wave, spelt(words)) for clips in every.values() for wave, words in clips]),
    )


def project_of(folder: Path, training: dict[str, list[Clip]]) -> Project:
    """A project whose training clips these are."""
    home = Project.create(folder, "[project]\n")
    rows = []
    for speaker, clips in training.items():
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
