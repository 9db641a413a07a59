"""Compare the voices of a project, or systems of any kind: each speaks the same sentences and is ranked.

The sentences for a project are the package's own and some of the project's held-out clips, for which there is
a reference recording; the recordings themselves are measured too and show the best attainable figures. Other
systems speak a list of sentences, the benchmark or the list of a folder of recordings (comparison.py).
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dimts.audio.level import high_pass
from dimts.audio.likeness import profile
from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DataError
from dimts.base.progress import ProgressCallback, ignore
from dimts.base.project import Project, ProjectSettings
from dimts.data.manifest import Manifest, Utterance
from dimts.evaluate.benchmark import benchmark, spread
from dimts.evaluate.comparison import ComparisonInput, SentenceList, VoiceComparison, compare
from dimts.evaluate.comparison_report import write_report
from dimts.evaluate.faults import FaultSettings
from dimts.evaluate.measure import (
    EvaluationSentence,
    MeasuringTools,
    SentenceSpeaker,
    SpokenSentence,
    Transcriber,
)
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.report import losses
from dimts.evaluate.sentences import SENTENCES
from dimts.evaluate.systems import RecordingFolder, TTSSystem, VoiceSystem, open_system, reference_words
from dimts.text.phones import WORD_MARK

RECOGNISER_FILE = "phone_recogniser.safetensors"
"""File name of a project's recogniser, written by `dimts evaluate train-recogniser PROJECT`."""
FOLDER = "evaluation"
_PROFILE_CLIPS = 10
_SHORTEST_CLIP, _LONGEST_CLIP = 1.5, 12.0
_COQUI = "-coqui"


@dataclass(frozen=True, slots=True)
class CompareVoicesSettings:
    """Settings of the comparison."""

    most_sentences: int = 40
    """Number of sentences; half of them clips of the project, if there are so many."""
    quality: bool = True
    """Whether DNSMOS is computed, which takes most of the time."""
    pairs: bool = True
    """Whether the best voice is tested with minimal pairs."""
    calibrate: bool = True
    """Whether the thresholds of faults are adapted to the speaker's held-out recordings."""
    seed: int = 1
    """Seed of the choice of clips."""
    faults: FaultSettings = FaultSettings()  # noqa: RUF009 # frozen
    """Default thresholds of faults."""

    def __post_init__(self) -> None:
        if self.most_sentences < 1:
            raise ConfigError("evaluate.no_sentence")


def evaluate(
    project: Project,
    voices: Sequence[str] = (),
    settings: CompareVoicesSettings | None = None,
    *,
    sentences: Sequence[str] = (),
    recogniser: Path | None = None,
    transcribe: Transcriber | None = None,
    log: Path | None = None,
    on_progress: ProgressCallback = ignore,
) -> VoiceComparison:
    """Compare the voices of a project and write the report.

    `voices` are folders of voices or "formant"; without any, all below voices/. `sentences` replace the
    package's own. `recogniser` is a file of train-recogniser; None: the project's own, else the shipped one.
    `log` is the log.jsonl of the run whose snapshots the voices are, for its loss curves. Raises ConfigError
    if there is no voice, and the errors of synthesis.
    """
    settings = settings or CompareVoicesSettings()
    voice_folders = find_voices(project, voices)
    return compare_voices(
        project, {name: VoiceSystem.load(where) for name, where in voice_folders.items()}, settings,
        sentences=sentences, recogniser=recogniser, transcribe=transcribe, on_progress=on_progress,
        voice_folders=voice_folders, log=log,
    )  # fmt: skip


def find_voices(project: Project, voices: Sequence[str] = ()) -> dict[str, str]:
    """Find voices, folder by name; those of one name are named by their paths. ConfigError if there are
    none."""
    if voices:
        alike = Counter(Path(voice).name for voice in voices)
        return {voice if alike[Path(voice).name] > 1 else Path(voice).name: voice for voice in voices}
    folder = project.voices
    found = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    names = {path.name for path in found}
    kept = {
        path.name: str(path)
        for path in found
        if not path.name.startswith(".") and path.name.removesuffix(_COQUI) not in names - {path.name}
    }
    if not kept:
        raise ConfigError("evaluate.no_voices", project=project.root)
    return kept


def compare_voices(
    project: Project,
    speakers: Mapping[str, SentenceSpeaker | VoiceSystem],
    settings: CompareVoicesSettings | None = None,
    *,
    sentences: Sequence[str] = (),
    recogniser: Path | None = None,
    transcribe: Transcriber | None = None,
    fingerprints: Mapping[str, str] | None = None,
    voice_folders: Mapping[str, str] | None = None,
    log: Path | None = None,
    on_progress: ProgressCallback = ignore,
) -> VoiceComparison:
    """Compare loaded speakers or systems, as `evaluate` does.

    With `fingerprints` by name, sentences spoken before by an unchanged speaker are reused; with
    `voice_folders` by name, the likelihoods of the recordings are compared.
    """
    settings = settings or CompareVoicesSettings()
    own = project.root / RECOGNISER_FILE
    phone_recogniser = PhoneRecogniser.load(recogniser or (own if own.is_file() else None))
    clips = _held_out(project)
    lines = _sentences_to_speak(project, clips, sentences, settings)
    likeness_to = profile([_clip(project, row) for row in clips[:_PROFILE_CLIPS]]) if clips else None
    systems: dict[str, TTSSystem] = {
        name: one if isinstance(one, VoiceSystem) else VoiceSystem(one, (fingerprints or {}).get(name, ""))
        for name, one in speakers.items()
    }
    given = ComparisonInput(
        title=f"Voices of {project.settings('project', ProjectSettings).name or project.root.resolve().name}",
        folder=project.root / FOLDER,
        sentences=SentenceList(project.root.resolve().name, "", lines),
        systems=systems,
        tools=MeasuringTools(phone_recogniser, likeness_to, settings.faults, settings.quality, transcribe),
        recordings=_recordings(project, clips, lines),
        calibrated=settings.calibrate,
        pairs=settings.pairs,
        voice_folders=voice_folders or {},
        descriptions=voice_folders or {},
        one_speaker=True,
        project=project.root.name,
        losses=losses(log) if log else {},
    )
    return write_report(given, compare(given, on_progress), on_progress)


def compare_systems(
    systems: Mapping[str, str],
    folder: Path,
    settings: CompareVoicesSettings | None = None,
    *,
    sentences: SentenceList | None = None,
    keys: Mapping[str, str] | None = None,
    recogniser: Path | None = None,
    transcribe: Transcriber | None = None,
    on_progress: ProgressCallback = ignore,
) -> VoiceComparison:
    """Compare systems of any kind (systems.py), what by name, and write to `folder`.

    The list is `sentences`; without it, that of the first folder of recordings, else the benchmark. If it is
    longer than the settings allow, sentences are taken evenly from all of it. `keys` are those of servers, by
    name. Raises ConfigError for a system that cannot be used, and DataError for a folder without the
    recordings of the list.
    """
    settings = settings or CompareVoicesSettings()
    phone_recogniser = PhoneRecogniser.load(recogniser)
    opened = {name: open_system(name, what, key=(keys or {}).get(name, "")) for name, what in systems.items()}
    folders = [system for system in opened.values() if isinstance(system, RecordingFolder)]
    listed = next((one for one in folders if one.texts), None)
    if sentences is None and listed is not None:
        sentences = SentenceList(listed.folder.name, "", listed.sentences())
    if sentences is None:
        sentences = benchmark()
    lines = [
        line if line.words else replace(line, words=reference_words(line.text))
        for line in spread(sentences.lines, settings.most_sentences)
    ]
    for one in folders:
        one.check(lines)
    given = ComparisonInput(
        title=f"Systems: {', '.join(systems)}",
        folder=folder,
        sentences=replace(sentences, lines=lines),
        systems=opened,
        tools=MeasuringTools(phone_recogniser, None, settings.faults, settings.quality, transcribe),
        pairs=settings.pairs,
        descriptions=systems,
    )
    return write_report(given, compare(given, on_progress), on_progress)


# ---------------------------------------------------------------- sentences
def _held_out(project: Project) -> list[Utterance]:
    """Select the kept clips of the splits dev and test; if there are none, all kept clips."""
    if not project.manifest.is_file():
        return []
    rows = [
        row
        for row in Manifest.rows(project.manifest)
        if row.kept and row.path and row.phones and _SHORTEST_CLIP <= row.seconds <= _LONGEST_CLIP
    ]
    held = [row for row in rows if row.split in ("dev", "test")]
    return held or rows


def _clip(project: Project, row: Utterance) -> Wave:
    return high_pass(Wave.load(project.inside(row.path)))


def _sentences_to_speak(
    project: Project, clips: Sequence[Utterance], sentences: Sequence[str], settings: CompareVoicesSettings
) -> list[EvaluationSentence]:
    own = [text for text in map(str.strip, sentences or SENTENCES) if text]
    if not own:
        raise DataError("evaluate.no_sentences")
    rng = random.Random(settings.seed)
    most_clips = (
        settings.most_sentences - len(own)
        if len(own) < settings.most_sentences // 2
        else settings.most_sentences // 2
    )
    with_clip = rng.sample(list(clips), min(most_clips, len(clips)))
    plain = own[: settings.most_sentences - len(with_clip)]
    lines = [EvaluationSentence(f"s{number:03d}", text) for number, text in enumerate(plain, start=1)]
    return lines + [
        EvaluationSentence(f"c{number:03d}", row.text, _clip(project, row))
        for number, row in enumerate(with_clip, start=1)
    ]


def _recordings(
    project: Project, clips: Sequence[Utterance], lines: Sequence[EvaluationSentence]
) -> list[tuple[EvaluationSentence, SpokenSentence]]:
    """Choose the speaker's own clips that show the best attainable figures."""
    return [
        (
            EvaluationSentence(row.id, row.text),
            SpokenSentence(
                _clip(project, row),
                tuple(tuple(word.split()) for word in row.phones.split(f" {WORD_MARK} ")),
                (),
                math.nan,
            ),
        )
        for row in clips[: max(1, len(lines) // 2)]
    ]
