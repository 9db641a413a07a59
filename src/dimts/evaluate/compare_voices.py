"""Compares the voices of a project: each speaks the same sentences, is measured, ranked and reported.

    evaluation/  report.html results.json spoken/<voice>/*.wav spoken/sentences.json

The sentences are the package's own and some of the project's held-out clips, for which there is a reference
recording; the recordings themselves are measured too and show the best attainable figures. Sentences that an
unchanged voice has spoken before are not synthesised again, so an interrupted evaluation resumes.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dimts.audio.level import high_pass
from dimts.audio.likeness import profile
from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DataError
from dimts.base.files import write_text
from dimts.base.messages import Message
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project, ProjectSettings
from dimts.base.version import __version__
from dimts.data.manifest import Manifest, Utterance
from dimts.evaluate import plots
from dimts.evaluate.code_likelihood import HeldOutNLL, held_out_nll
from dimts.evaluate.faults import FaultSettings, calibrate, with_thresholds
from dimts.evaluate.intervals import Interval
from dimts.evaluate.measure import (
    EvaluationSentence,
    MeasuredSentence,
    MeasuringTools,
    SentenceSpeaker,
    SpokenSentence,
    Transcriber,
    measure,
    phrase_speaker,
    speak_sentence,
)
from dimts.evaluate.minimal_pairs import PairResult, evaluate_pairs
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.rank import FIGURES, Ranking, rank, sentence_score
from dimts.evaluate.report import Report, ReportSample, losses
from dimts.evaluate.sentences import SENTENCES
from dimts.speak import FORMANT, Speaker
from dimts.text.phones import WORD_MARK

RECORDINGS = "recordings"
"""Name of the speaker's recordings in results and report."""
RECOGNISER_FILE = "phone_recogniser.safetensors"
"""File name of a project's recogniser, written by `dimts evaluate train-recogniser PROJECT`."""
FOLDER = "evaluation"
_PROFILE_CLIPS = 10
_SHORTEST_CLIP, _LONGEST_CLIP = 1.5, 12.0
_WORST = 6
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


@dataclass(frozen=True, slots=True)
class VoiceComparison:
    """Results of a comparison of voices."""

    ranking: Ranking
    """Voices in order, with reasons."""
    measured: Mapping[str, Sequence[MeasuredSentence]]
    """Measurements of the sentences by voice."""
    recordings: Sequence[MeasuredSentence]
    """Measurements of the speaker's held-out recordings."""
    pairs: Sequence[PairResult]
    """Results of the minimal pairs for the best voice."""
    report: Path
    """Path of report.html."""
    results: Path
    """Path of results.json."""
    remarks: Sequence[Message] = ()
    """Remarks on the comparison, such as a recogniser that was not trained on the speaker."""


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
        project, {name: Speaker.load(where) for name, where in voice_folders.items()}, settings,
        sentences=sentences, recogniser=recogniser, transcribe=transcribe, on_progress=on_progress,
        voice_folders=voice_folders, log=log,
        fingerprints={name: _fingerprint(where) for name, where in voice_folders.items()},
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
    speakers: Mapping[str, SentenceSpeaker],
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
    """Compare loaded speakers, as `evaluate` does.

    With `fingerprints` by name, sentences spoken before by an unchanged voice are reused; with
    `voice_folders` by name, the likelihoods of the recordings are compared.
    """
    settings = settings or CompareVoicesSettings()
    own = project.root / RECOGNISER_FILE
    phone_recogniser = PhoneRecogniser.load(recogniser or (own if own.is_file() else None))
    _ = phone_recogniser.aligner  # an older recogniser is refused before anything is spoken
    clips = _held_out(project)
    lines = _sentences_to_speak(project, clips, sentences, settings)
    likeness_to = profile([_clip(project, row) for row in clips[:_PROFILE_CLIPS]]) if clips else None
    tools = MeasuringTools(phone_recogniser, likeness_to, settings.faults, settings.quality, transcribe)
    recordings = _measure_recordings(project, clips, lines, tools, on_progress)
    if settings.calibrate:
        tools = replace(tools, faults=calibrate(settings.faults, [one.examined for one in recordings]))
        recordings = [replace(one, examined=with_thresholds(one.examined, tools.faults)) for one in recordings]
    folder = project.root / FOLDER
    measured: dict[str, list[MeasuredSentence]] = {}
    spoken: dict[str, list[SpokenSentence]] = {}
    for name, speaker in speakers.items():
        fingerprint = (fingerprints or {}).get(name, "")
        target = folder / "spoken" / _file_name(name)
        spoken[name] = _speak_all(speaker, lines, target, name, fingerprint, on_progress)
        measured[name] = []
        for number, (line, one) in enumerate(zip(lines, spoken[name], strict=True), start=1):
            measured[name].append(measure(line, one, tools))
            on_progress(Progress("measure", number, len(lines), "sentences", subject=name))
    measured, remark = _with_nll(voice_folders or {}, lines, measured, on_progress)
    untrained = _untrained(project, phone_recogniser) if recordings else None
    remarks = [one for one in (remark, untrained) if one is not None]
    texts = {line.name: line.text for line in lines}
    write_text(folder / "spoken" / "sentences.json", json.dumps(texts, ensure_ascii=False, indent=1) + "\n")
    ranking = rank(measured)
    best = ranking.best.name
    pair_results = evaluate_pairs(phrase_speaker(speakers[best]), phone_recogniser) if settings.pairs else []
    results = {
        "dimts": __version__,
        "recogniser": phone_recogniser.notes,
        "ranking": ranking.as_dict(),
        "remarks": [one.as_dict() for one in remarks],
        "thresholds": {name: round(value, 3) for name, value in asdict(tools.faults).items()},
        RECORDINGS: [one.as_dict() for one in recordings],
        "pairs": [_pair_dict(one) for one in pair_results],
        "sentences": {name: [one.as_dict() for one in found] for name, found in measured.items()},
    }
    write_text(folder / "results.json", json.dumps(results, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    page = _page(project, ranking, measured, spoken, recordings, pair_results, lines, on_progress)
    notes = [*page.notes, *(f"{one.line()} ({one.remedy()})" if one.remedy() else one.line() for one in remarks)]
    page = replace(page, notes=notes, losses=losses(log) if log else {})
    page.write(folder / "report.html")
    return VoiceComparison(
        ranking, measured, recordings, pair_results, folder / "report.html", folder / "results.json", remarks
    )


def _untrained(project: Project, recogniser: PhoneRecogniser) -> Message | None:
    """Return a remark if the recogniser was trained on formant voices alone."""
    return (
        None
        if recogniser.trained_on_recordings
        else Message("evaluate.recogniser_untrained", project=project.root.name)
    )


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
        settings.most_sentences - len(own) if len(own) < settings.most_sentences // 2 else settings.most_sentences // 2
    )
    with_clip = rng.sample(list(clips), min(most_clips, len(clips)))
    plain = own[: settings.most_sentences - len(with_clip)]
    lines = [EvaluationSentence(f"s{number:03d}", text) for number, text in enumerate(plain, start=1)]
    return lines + [
        EvaluationSentence(f"c{number:03d}", row.text, _clip(project, row))
        for number, row in enumerate(with_clip, start=1)
    ]


def _speak_all(
    speaker: SentenceSpeaker,
    lines: Sequence[EvaluationSentence],
    folder: Path,
    name: str,
    fingerprint: str,
    on_progress: ProgressCallback,
) -> list[SpokenSentence]:
    """Speak every sentence into a sound file; with a fingerprint, reuse files of the same voice and text."""
    out = []
    for number, line in enumerate(lines, start=1):
        sound, note = folder / f"{line.name}.wav", folder / f"{line.name}.json"
        digest = hashlib.sha256(f"{fingerprint}\n{line.text}".encode()).hexdigest() if fingerprint else ""
        spoken = _spoken_before(sound, note, digest)
        if spoken is None:
            spoken = speak_sentence(speaker, line.text)
            spoken.wave.save(sound)
            content = {"digest": digest, "words": spoken.words, "by": spoken.answered_by}
            write_text(note, json.dumps(content, ensure_ascii=False) + "\n")
        out.append(spoken)
        on_progress(Progress("speak", number, len(lines), "sentences", subject=name))
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


def _spoken_before(sound: Path, note: Path, digest: str) -> SpokenSentence | None:
    if not digest or not sound.is_file() or not note.is_file():
        return None
    content = json.loads(note.read_text(encoding="utf-8"))
    if content.get("digest") != digest:
        return None
    words = tuple(tuple(word) for word in content["words"])
    return SpokenSentence(Wave.load(sound), words, tuple(content["by"]), math.nan)


def _fingerprint(where: str) -> str:
    """Hash the names, sizes and times of a voice's files, and the version of dimts."""
    if where == FORMANT:
        return f"{FORMANT} {__version__}"
    files = sorted(path for path in Path(where).rglob("*") if path.is_file())
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr((__version__, facts)).encode()).hexdigest()


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "voice"


def _measure_recordings(
    project: Project,
    clips: Sequence[Utterance],
    lines: Sequence[EvaluationSentence],
    tools: MeasuringTools,
    on_progress: ProgressCallback,
) -> list[MeasuredSentence]:
    """Measure the speaker's own clips, which show the best attainable figures."""
    chosen = clips[: max(1, len(lines) // 2)]
    out = []
    for number, row in enumerate(chosen, start=1):
        words = tuple(tuple(word.split()) for word in row.phones.split(f" {WORD_MARK} "))
        spoken = SpokenSentence(_clip(project, row), words, (), math.nan)
        out.append(measure(EvaluationSentence(row.id, row.text), spoken, tools))
        on_progress(Progress("measure", number, len(chosen), "clips", subject=RECORDINGS))
    return out


# ---------------------------------------------------------------- report
def _pair_dict(result: PairResult) -> dict[str, Any]:
    return {
        "contrast": result.pair.contrast,
        "one": result.pair.one,
        "other": result.pair.other,
        "correct": list(result.correct),
        "distinguished": result.distinguished,
        "margins": [round(margin, 3) if math.isfinite(margin) else None for margin in result.margins],
    }


def _page(
    project: Project,
    ranking: Ranking,
    measured: Mapping[str, Sequence[MeasuredSentence]],
    spoken: Mapping[str, Sequence[SpokenSentence]],
    recordings: Sequence[MeasuredSentence],
    pair_results: Sequence[PairResult],
    lines: Sequence[EvaluationSentence],
    on_progress: ProgressCallback,
) -> Report:
    ranked = list(ranking.order)
    recorded = rank({RECORDINGS: recordings}).order if recordings else ()
    shown = [key for key in FIGURES if any(key in one.figures for one in ranked)]
    head = ["voice", "score of 100", *(FIGURES[key][0] for key in shown), "faults"]
    rows = [head] + [
        [
            one.name if one not in recorded else "(the recordings)",
            str(one.score),
            *(str(one.figures[key]) if key in one.figures else "–" for key in shown),
            ", ".join(f"{kind} {count}" for kind, count in one.fault_counts.items()) or "–",
        ]
        for one in [*ranked, *recorded]
    ]
    best = ranking.best.name
    order = sorted(range(len(lines)), key=lambda place: sentence_score(measured[best][place]))
    worst = []
    for done, place in enumerate(order[:_WORST], start=1):
        worst.append(_worst(lines[place], place, best, measured, spoken))
        on_progress(Progress("report", done, min(_WORST, len(order)), "sentences"))
    summary = {"Voices, best first (mean and 95 % interval over the sentences)": rows}
    if pair_results:
        summary["Minimal pairs, spoken by the best voice"] = _pair_rows(pair_results)
    figures = {"Score of each voice": plots.ranges([_range(one.name, one.score) for one in ranked], "score of 100")}
    if all("per" in one.figures for one in ranked):
        drawn = [_range(one.name, one.figures["per"]) for one in ranked]
        figures["Phone errors"] = plots.ranges(drawn, "phone error rate, by the recogniser")
    return Report(
        title=f"Voices of {project.settings('project', ProjectSettings).name or project.root.resolve().name}",
        notes=[one.text() for one in ranking.reasons],
        facts={
            "sentences": f"{len(lines)}, of which {sum(line.reference is not None for line in lines)} with a recording",
            "recordings measured": str(len(recordings)),
            **({"minimal pairs, by the best voice": pairs_line(pair_results)} if pair_results else {}),
            "dimts": __version__,
        },
        summary=summary,
        figures=figures,
        spoken=worst,
        spoken_heading=f"The worst sentences of {best} first",
        clip_seconds=[one.examined.prosody.seconds for one in measured[best]],
    )


def _range(name: str, interval: Interval) -> tuple[str, float, float, float]:
    return name, interval.mean, interval.low, interval.high


def _worst(
    line: EvaluationSentence,
    place: int,
    best: str,
    measured: Mapping[str, Sequence[MeasuredSentence]],
    spoken: Mapping[str, Sequence[SpokenSentence]],
) -> ReportSample:
    mine = measured[best][place]
    rate = mine.examined.errors.rate
    remarks = [Message("evaluate.sample_score", name=best, score=sentence_score(mine), errors=rate)]
    remarks += [Message("evaluate.sample_fault", kind=issue.kind, reason=issue.message) for issue in mine.faults]
    remarks.append(Message("evaluate.sample_phones", phones=" ".join(mine.examined.recognised)))
    waves = {best: spoken[best][place].wave}
    waves |= {name: sentences[place].wave for name, sentences in spoken.items() if name != best}
    if line.reference is not None:
        waves["the recording"] = line.reference
    phones = f" {WORD_MARK} ".join(" ".join(word) for word in spoken[best][place].words)
    by = Counter(spoken[best][place].answered_by)
    answered = ", ".join(f"{name} {count}" for name, count in by.most_common())
    return ReportSample(line.text, phones, answered, waves, [one.text() for one in remarks])


def pairs_line(pair_results: Sequence[PairResult]) -> str:
    """Summarise minimal pairs: distinguished pairs and correctly recognised words."""
    correct, distinguished = (
        sum(sum(one.correct) for one in pair_results),
        sum(one.distinguished for one in pair_results),
    )
    message = Message(
        "evaluate.pairs_summary",
        distinguished_count=distinguished,
        pair_count=len(pair_results),
        correct_count=correct,
        word_count=2 * len(pair_results),
    )
    return message.text()


def _pair_rows(pair_results: Sequence[PairResult]) -> list[list[str]]:
    rows = [["contrast", "words", "meaning", "distinguished", "first recognised", "second recognised"]]
    words = {True: "yes", False: "no"}
    for one in pair_results:
        pair = one.pair
        rows.append(
            [
                pair.contrast,
                f"{pair.written[0]} /{pair.one}/ · {pair.written[1]} /{pair.other}/",
                " · ".join(pair.meanings),
                words[one.distinguished],
                *(words[correct] for correct in one.correct),
            ]
        )
    return rows
