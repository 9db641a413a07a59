"""Compare systems on the same sentences: synthesise, measure, rank and report.

    <folder>/  report.html results.json spoken/<system>/*.wav spoken/sentences.json

Sentences that an unchanged system has spoken before are not synthesised again, so an interrupted comparison
resumes. A sentence that a system fails to speak is named with its reason; figures and ranks are those of the
sentences that every system spoke.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DimtsError
from dimts.base.files import write_text
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.version import __version__
from dimts.evaluate.code_likelihood import HeldOutNLL, held_out_nll
from dimts.evaluate.faults import FaultSettings, calibrate, with_thresholds
from dimts.evaluate.measure import (
    EvaluationSentence,
    MeasuredSentence,
    MeasuringTools,
    SpokenSentence,
    measure,
    phrase_speaker,
)
from dimts.evaluate.metrics import align
from dimts.evaluate.minimal_pairs import PairResult, evaluate_pairs
from dimts.evaluate.rank import SYNTHETIC_UNTRAINED, UNTRAINED, Ranking, VoiceEffect, rank
from dimts.evaluate.systems import TTSSystem, VoiceSystem, is_system_fault

RECORDINGS = "recordings"
"""Name of the speaker's recordings in results and report."""
SCHEMA, SCHEMA_VERSION = "dimts.evaluation", 1
"""Name and version of the form of results.json; the schema is schemas/results.json."""


@dataclass(frozen=True, slots=True)
class SentenceList:
    """The sentences of a comparison, and where they come from."""

    name: str
    """Name of the list, e.g. amharic-tts-bench."""
    version: str
    """Version of the list; "" where it has none."""
    lines: Sequence[EvaluationSentence]

    @property
    def digest(self) -> str:
        """Hash of the names, texts and reference pronunciations."""
        facts = [(line.name, line.text, line.words) for line in self.lines]
        return hashlib.sha256(json.dumps(facts, ensure_ascii=False).encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        sections = list(dict.fromkeys(line.section for line in self.lines if line.section))
        return {
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "sentences": len(self.lines),
            "sections": sections,
        }


@dataclass(frozen=True, slots=True)
class VoiceComparison:
    """Results of a comparison of systems."""

    ranking: Ranking
    """Systems in order, with reasons."""
    measured: Mapping[str, Sequence[MeasuredSentence]]
    """Measurements of the common sentences by system."""
    recordings: Sequence[MeasuredSentence]
    """Measurements of the speaker's held-out recordings."""
    pairs: Sequence[PairResult]
    """Results of the minimal pairs for the best voice."""
    report: Path
    """Path of report.html, which comparison_report.py writes."""
    results: Path
    """Path of results.json."""
    remarks: Sequence[Message] = ()
    """Remarks on the comparison, such as a recogniser that was not trained on the speaker."""
    failures: Mapping[str, Mapping[str, Message]] = field(default_factory=dict)
    """Why a sentence was not spoken, by system and name of the sentence."""
    lines: Sequence[EvaluationSentence] = ()
    """Sentences that every system spoke."""
    spoken: Mapping[str, Mapping[str, SpokenSentence]] = field(default_factory=dict)
    """Spoken sentences by system and name of the sentence."""


@dataclass(frozen=True, slots=True)
class ComparisonInput:
    """Arguments of a comparison."""

    title: str
    """Heading of the report."""
    folder: Path
    """Folder to write to."""
    sentences: SentenceList
    systems: Mapping[str, TTSSystem]
    tools: MeasuringTools
    recordings: Sequence[tuple[EvaluationSentence, SpokenSentence]] = ()
    """Recordings of the speaker, which show the best attainable figures."""
    calibrated: bool = True
    """Whether the thresholds of faults are adapted to the recordings."""
    pairs: bool = True
    """Whether the best system, if it is a voice of dimts, is tested with minimal pairs."""
    voice_folders: Mapping[str, str] = field(default_factory=dict)
    """Folder of each voice whose likelihoods of the recordings are compared."""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """Description of each system by name, as the user wrote it."""
    one_speaker: bool = False
    """Whether the systems are voices of one speaker, whom a recogniser recognises equally well in all of
    them."""
    project: str = "PROJECT"
    """Project that a remedy names."""
    losses: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Loss curves of the run whose snapshots are compared."""


def compare(given: ComparisonInput, on_progress: ProgressCallback = ignore) -> VoiceComparison:
    """Let every system speak the list, measure and rank it, and write results.json.

    Raises ConfigError if there is no system, if one spoke nothing or cannot be used at all, or if there is no
    sentence that all of them spoke.
    """
    if not given.systems:
        raise ConfigError("evaluate.no_system")
    tools, lines = given.tools, list(given.sentences.lines)
    _ = tools.recogniser.aligner  # an older recogniser is refused before anything is spoken
    recordings = _measure_all(RECORDINGS, given.recordings, tools, on_progress, "clips")
    if given.calibrated:
        tools = replace(tools, faults=calibrate(tools.faults, [one.examined for one in recordings]))
        recordings = [
            replace(one, examined=with_thresholds(one.examined, tools.faults)) for one in recordings
        ]
    spoken: dict[str, dict[str, SpokenSentence]] = {}
    failures: dict[str, dict[str, Message]] = {}
    texts = {line.name: line.text for line in lines}
    write_text(
        given.folder / "spoken" / "sentences.json", json.dumps(texts, ensure_ascii=False, indent=1) + "\n"
    )  # fmt: skip
    for name, system in given.systems.items():
        target = given.folder / "spoken" / _file_name(name)
        spoken[name], failures[name] = _speak_all(name, system, lines, target, on_progress)
    common = [line for line in lines if all(line.name in found for found in spoken.values())]
    if not common:
        raise ConfigError("evaluate.no_sentence_spoken_by_all")
    measured = {
        name: _measure_all(name, [(line, found[line.name]) for line in common], tools, on_progress)
        for name, found in spoken.items()
    }
    measured, remark = _with_nll(given.voice_folders, common, measured, on_progress)
    effects = voice_effects(
        given.systems, trained=tools.recogniser.trained_on_recordings, one_speaker=given.one_speaker
    )  # fmt: skip
    remarks = [
        one for one in (remark, *_remarks(given, effects, bool(recordings), failures)) if one is not None
    ]
    ranking = rank(measured, effects)
    best = given.systems[ranking.best.name]
    pair_results: list[PairResult] = []
    if given.pairs and isinstance(best, VoiceSystem):
        pair_results = evaluate_pairs(phrase_speaker(best.speaker), tools.recogniser)
    found = VoiceComparison(
        ranking,
        measured,
        recordings,
        pair_results,
        given.folder / "report.html",
        given.folder / "results.json",
        remarks,
        {name: one for name, one in failures.items() if one},
        common,
        spoken,
    )
    content = json.dumps(results(given, found, tools), ensure_ascii=False, indent=1, allow_nan=False)
    write_text(found.results, content + "\n")
    return found


def voice_effects(
    systems: Mapping[str, TTSSystem], *, trained: bool, one_speaker: bool = False
) -> dict[str, VoiceEffect]:
    """Return the recogniser's errors by system; empty where it was trained on what it judges."""
    formant = {name: isinstance(system, VoiceSystem) and system.formant for name, system in systems.items()}
    if trained or all(formant.values()):
        return {}
    if one_speaker:
        same, known_voice = replace(UNTRAINED, spread=0.0), replace(SYNTHETIC_UNTRAINED, spread=0.0)
        return {name: known_voice if known else same for name, known in formant.items()}
    return {name: UNTRAINED if one.kind == "folder" else SYNTHETIC_UNTRAINED for name, one in systems.items()}


def _remarks(
    given: ComparisonInput,
    effects: Mapping[str, VoiceEffect],
    recorded: bool,
    failures: Mapping[str, Mapping[str, Message]],
) -> list[Message]:
    found = []
    if effects:
        found.append(Message("evaluate.scores_mean_nothing", project=given.project))
    elif recorded and not given.tools.recogniser.trained_on_recordings:
        found.append(Message("evaluate.recogniser_untrained", project=given.project))
    for name, failed in failures.items():
        if failed:
            first, reason = next(iter(failed.items()))
            found.append(
                Message(
                    "evaluate.sentences_not_spoken", name=name, count=len(failed), first=first, reason=reason
                )
            )
    return found


# ---------------------------------------------------------------- speaking and measuring
_MOST_FAILURES_IN_A_ROW = 10
"""Number of failures in a row after which a system is given up; each may take its whole time limit."""


def _speak_all(
    name: str,
    system: TTSSystem,
    lines: Sequence[EvaluationSentence],
    folder: Path,
    on_progress: ProgressCallback,
) -> tuple[dict[str, SpokenSentence], dict[str, Message]]:
    """Speak every sentence into a sound file; files of the same system and text are reused.

    Returns the spoken sentences and the reasons of those that were not. ConfigError if none was spoken, or
    if the system cannot be used at all.
    """
    out: dict[str, SpokenSentence] = {}
    failed: dict[str, Message] = {}
    in_a_row = 0
    for number, line in enumerate(lines, start=1):
        sound, note = folder / f"{_file_name(line.name)}.wav", folder / f"{_file_name(line.name)}.json"
        identity = f"{system.fingerprint}\n{line.text}"
        digest = hashlib.sha256(identity.encode()).hexdigest() if system.fingerprint else ""
        spoken = _spoken_before(sound, note, digest)
        if spoken is None:
            try:
                spoken = system.speak(line)
                spoken.wave.save(sound)
            except DimtsError as error:
                if is_system_fault(error):
                    raise ConfigError("evaluate.system_failed", name=name, reason=error) from error
                failed[line.name] = error.message
                in_a_row += 1
                if in_a_row == _MOST_FAILURES_IN_A_ROW:
                    raise ConfigError(
                        "evaluate.system_gave_up", name=name, count=in_a_row, reason=error
                    ) from error
                on_progress(
                    Progress(
                        "speak", number, len(lines), "sentences", _failed(name, line, error), subject=name
                    )
                )
                continue
            content = {
                "digest": digest,
                "words": spoken.words,
                "by": spoken.answered_by,
                "seconds": spoken.seconds if math.isfinite(spoken.seconds) else None,
            }
            write_text(note, json.dumps(content, ensure_ascii=False) + "\n")
        out[line.name], in_a_row = spoken, 0
        on_progress(Progress("speak", number, len(lines), "sentences", subject=name))
    if not out:
        raise ConfigError("evaluate.system_failed", name=name, reason=next(iter(failed.values())))
    return out, failed


def _failed(name: str, line: EvaluationSentence, error: DimtsError) -> Message:
    return Message("evaluate.sentence_not_spoken", name=name, sentence=line.name, reason=error)


def _spoken_before(sound: Path, note: Path, digest: str) -> SpokenSentence | None:
    if not digest or not sound.is_file() or not note.is_file():
        return None
    content = json.loads(note.read_text(encoding="utf-8"))
    if content.get("digest") != digest:
        return None
    words = tuple(tuple(word) for word in content["words"])
    seconds = content.get("seconds")
    return SpokenSentence(
        Wave.load(sound), words, tuple(content["by"]), math.nan if seconds is None else seconds
    )


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "voice"


def _measure_all(
    name: str,
    spoken: Sequence[tuple[EvaluationSentence, SpokenSentence]],
    tools: MeasuringTools,
    on_progress: ProgressCallback,
    unit: str = "sentences",
) -> list[MeasuredSentence]:
    out = []
    for number, (line, one) in enumerate(spoken, start=1):
        out.append(measure(line, one, tools))
        on_progress(Progress("measure", number, len(spoken), unit, subject=name))
    return out


def _with_nll(
    voice_folders: Mapping[str, str],
    lines: Sequence[EvaluationSentence],
    measured: Mapping[str, list[MeasuredSentence]],
    on_progress: ProgressCallback,
) -> tuple[dict[str, list[MeasuredSentence]], Message | None]:
    """Add the likelihoods of the recordings, if all voices have one codebook; else return the reason."""
    compared = [(place, line.reference) for place, line in enumerate(lines) if line.reference is not None]
    if not voice_folders or not compared:
        return dict(measured), None
    likelihoods: dict[str, HeldOutNLL] = {}
    for done, (name, where) in enumerate(voice_folders.items(), start=1):
        likelihoods[name] = held_out_nll(where, [(wave, lines[place].text) for place, wave in compared])
        on_progress(Progress("held_out_nll", done, len(voice_folders), "voices"))
    without = {name: one.reason for name, one in likelihoods.items() if one.reason}
    if without:
        name, reason = next(iter(without.items()))
        return dict(measured), Message("evaluate.nll_not_compared", name=name, reason=reason)
    if len({one.codebook for one in likelihoods.values()}) > 1:
        return dict(measured), Message("evaluate.nll_other_codebooks")
    out = {}
    for name, found in measured.items():
        known = {place: value for (place, _), value in zip(compared, likelihoods[name].nll, strict=True)}
        out[name] = [replace(one, nll=known.get(place, math.nan)) for place, one in enumerate(found)]
    return out, None


# ---------------------------------------------------------------- results
def results(given: ComparisonInput, found: VoiceComparison, tools: MeasuringTools) -> dict[str, Any]:
    """Return the JSON values of results.json."""
    thresholds: FaultSettings = tools.faults
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "dimts": __version__,
        "list": given.sentences.as_dict(),
        "systems": {
            name: {"kind": system.kind, "what": given.descriptions.get(name, name)}
            for name, system in given.systems.items()
        },
        "recogniser": tools.recogniser.notes,
        "recogniser_digest": recogniser_digest(tools.recogniser.notes),
        "ranking": found.ranking.as_dict(),
        "remarks": [one.as_dict() for one in found.remarks],
        "thresholds": {name: round(value, 3) for name, value in asdict(thresholds).items()},
        RECORDINGS: [one.as_dict() for one in found.recordings],
        "pairs": [_pair_dict(one) for one in found.pairs],
        "failures": {
            name: {
                sentence: reason.as_dict() | {"text": reason.line("en")}
                for sentence, reason in failed.items()
            }
            for name, failed in found.failures.items()
        },
        "confusions": {
            name: [[expected, recognised, count] for (expected, recognised), count in confusions(sentences)]
            for name, sentences in found.measured.items()
        },
        "sentences": {
            name: [one.as_dict() for one in sentences] for name, sentences in found.measured.items()
        },
    }


def recogniser_digest(notes: Mapping[str, Any]) -> str:
    """Hash what a recogniser was trained on and how well it does: figures of different ones do not
    compare."""
    return hashlib.sha256(json.dumps(notes, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


def confusions(sentences: Sequence[MeasuredSentence]) -> list[tuple[tuple[str, str], int]]:
    """Count the errors by expected and recognised phone, the commonest first; "" is none (deleted,
    inserted)."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in sentences:
        recognised, expected = one.examined.recognised, one.examined.expected
        for step in align(recognised, expected):
            if step.kind != "equal":
                reference = expected[step.reference] if step.reference is not None else ""
                hypothesis = recognised[step.hypothesis] if step.hypothesis is not None else ""
                counts[reference, hypothesis] += 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _pair_dict(result: PairResult) -> dict[str, Any]:
    return {
        "contrast": result.pair.contrast,
        "one": result.pair.one,
        "other": result.pair.other,
        "correct": list(result.correct),
        "distinguished": result.distinguished,
        "margins": [round(margin, 3) if math.isfinite(margin) else None for margin in result.margins],
    }
