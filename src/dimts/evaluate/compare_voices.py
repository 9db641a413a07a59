"""A project → which of its voices is best: every voice says one list, is measured, ranked and written up.

    evaluation/  report.html results.json spoken/<voice>/*.wav spoken/sentences.json

The list is our own sentences and some of the project's held-out clips, for which there is a recording to compare
with; the recordings themselves are measured too and show what the figures can reach. Sentences that a voice has
spoken before, unchanged, are not spoken again: an interrupted run goes on where it was.
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
from dimts.evaluate.faults import FaultSettings, calibrated, judged
from dimts.evaluate.intervals import Interval
from dimts.evaluate.measure import (
    EvaluationSentence,
    MeasuredSentence,
    MeasuringTools,
    SentenceSpeaker,
    SpokenSentence,
    Transcriber,
    measure,
    sentence_speaker,
    speak_sentences,
)
from dimts.evaluate.minimal_pairs import Tried, try_pairs
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.rank import FIGURES, Ranking, rank, worth
from dimts.evaluate.report import Report, ReportSample, losses
from dimts.evaluate.sentences import SENTENCES
from dimts.speak import FORMANT, Speaker
from dimts.text.phones import WORD_MARK

RECORDINGS = "recordings"
"""The name under which the speaker's own clips stand beside the voices."""
RECOGNISER_FILE = "phone_recogniser.safetensors"
"""A project's own recogniser, made by `dimts evaluate train-recogniser PROJECT`."""
FOLDER = "evaluation"
_PROFILE_CLIPS = 10
_SHORTEST_CLIP, _LONGEST_CLIP = 1.5, 12.0
_WORST = 6
_COQUI = "-coqui"


@dataclass(frozen=True, slots=True)
class CompareVoicesSettings:
    """What to say and to measure."""

    most_sentences: int = 40
    """Of the list; half of them clips of the project, if there are so many."""
    quality: bool = True
    """Ask DNSMOS, which takes most of the time."""
    pairs: bool = True
    """Let the best voice say the minimal pairs."""
    calibrate: bool = True
    """Raise the thresholds of faults to what the speaker's own held-out recordings need."""
    seed: int = 1
    faults: FaultSettings = FaultSettings()  # noqa: RUF009 # frozen

    def __post_init__(self) -> None:
        if self.most_sentences < 1:
            raise ConfigError("evaluate.no_sentence")


@dataclass(frozen=True, slots=True)
class VoiceComparison:
    """What came of it."""

    ranking: Ranking
    measured: Mapping[str, Sequence[MeasuredSentence]]
    recordings: Sequence[MeasuredSentence]
    pairs: Sequence[Tried]
    report: Path
    results: Path
    remarks: Sequence[Message] = ()
    """What is to be known beside the figures."""


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
    """Speak, measure, rank and write up.

    `voices` are folders of voices or "formant"; none: all below voices/. `sentences` are said instead of ours.
    `recogniser` is a file of train-recogniser; none: the project's own, else the shipped one. `log` is the log.jsonl of
    the run whose snapshots the voices are, for its curves. Raises ConfigError if there is no voice, and what speaking
    raises.
    """
    settings = settings or CompareVoicesSettings()
    homes = candidates(project, voices)
    return compare_voices(
        project, {name: Speaker.load(where) for name, where in homes.items()}, settings,
        sentences=sentences, recogniser=recogniser, transcribe=transcribe, on_progress=on_progress,
        homes=homes, log=log,
        keys={name: _fingerprint(where) for name, where in homes.items()},
    )  # fmt: skip


def candidates(project: Project, voices: Sequence[str] = ()) -> dict[str, str]:
    """Name → where it lies. ConfigError if there are none; voices of one name are told apart by their folders."""
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
    keys: Mapping[str, str] | None = None,
    homes: Mapping[str, str] | None = None,
    log: Path | None = None,
    on_progress: ProgressCallback = ignore,
) -> VoiceComparison:
    """The same for speakers at hand.

    `keys` (name → fingerprint) let sentences spoken before be used again; `homes` (name → folder) let the models be
    asked how far the recordings surprise them.
    """
    settings = settings or CompareVoicesSettings()
    own = project.root / RECOGNISER_FILE
    phone_recogniser = PhoneRecogniser.load(recogniser or (own if own.is_file() else None))
    _ = phone_recogniser.segmenter  # an older recogniser is refused before anything is spoken
    clips = _held_out(project)
    lines = _list(project, clips, sentences, settings)
    likeness_to = profile([_clip(project, row) for row in clips[:_PROFILE_CLIPS]]) if clips else None
    tools = MeasuringTools(phone_recogniser, likeness_to, settings.faults, settings.quality, transcribe)
    recordings = _measure_recordings(project, clips, lines, tools, on_progress)
    if settings.calibrate:
        tools = replace(tools, faults=calibrated(settings.faults, [one.examined for one in recordings]))
        recordings = [replace(one, examined=judged(one.examined, tools.faults)) for one in recordings]
    folder = project.root / FOLDER
    measured: dict[str, list[MeasuredSentence]] = {}
    spoken: dict[str, list[SpokenSentence]] = {}
    for name, speaker in speakers.items():
        key = (keys or {}).get(name, "")
        spoken[name] = _speak_all(speaker, lines, folder / "spoken" / _safe(name), name, key, on_progress)
        measured[name] = []
        for number, (line, performed) in enumerate(zip(lines, spoken[name], strict=True), start=1):
            measured[name].append(measure(line, performed, tools))
            on_progress(Progress("measure", number, len(lines), "sentences", subject=name))
    measured, remark = _foreseen(homes or {}, lines, measured, on_progress)
    remarks = [
        one for one in (remark, _untrained(project, phone_recogniser) if recordings else None) if one is not None
    ]
    texts = {line.name: line.text for line in lines}
    write_text(folder / "spoken" / "sentences.json", json.dumps(texts, ensure_ascii=False, indent=1) + "\n")
    ranking = rank(measured)
    best = ranking.best.name
    tried = try_pairs(sentence_speaker(speakers[best]), phone_recogniser) if settings.pairs else []
    results = {
        "dimts": __version__,
        "recogniser": phone_recogniser.notes,
        "ranking": ranking.as_dict(),
        "remarks": [one.as_dict() for one in remarks],
        "thresholds": {name: round(value, 3) for name, value in asdict(tools.faults).items()},
        RECORDINGS: [one.as_dict() for one in recordings],
        "pairs": [_pair_dict(one) for one in tried],
        "sentences": {name: [one.as_dict() for one in found] for name, found in measured.items()},
    }
    write_text(folder / "results.json", json.dumps(results, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
    page = _page(project, ranking, measured, spoken, recordings, tried, lines, on_progress)
    page = replace(page, notes=[*page.notes, *map(str, remarks)], losses=losses(log) if log else {})
    page.write(folder / "report.html")
    return VoiceComparison(
        ranking, measured, recordings, tried, folder / "report.html", folder / "results.json", remarks
    )


def _untrained(project: Project, recogniser: PhoneRecogniser) -> Message | None:
    """A remark for a recogniser that was trained on formant voices alone and judges a person's voice."""
    return None if recogniser.knows_people else Message("evaluate.recogniser_untrained", project=project.root.name)


# ---------------------------------------------------------------- what is said
def _held_out(project: Project) -> list[Utterance]:
    """Clips that the voices were not trained on; if there are none, any."""
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


def _list(
    project: Project, clips: Sequence[Utterance], sentences: Sequence[str], settings: CompareVoicesSettings
) -> list[EvaluationSentence]:
    own = [text for text in map(str.strip, sentences or SENTENCES) if text]
    if not own:
        raise DataError("evaluate.no_sentences")
    rng = random.Random(settings.seed)
    room = (
        settings.most_sentences - len(own) if len(own) < settings.most_sentences // 2 else settings.most_sentences // 2
    )
    with_clip = rng.sample(list(clips), min(room, len(clips)))
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
    key: str,
    on_progress: ProgressCallback,
) -> list[SpokenSentence]:
    """Every line spoken, kept as a sound file; with a key, what is there already is read back."""
    out = []
    for number, line in enumerate(lines, start=1):
        sound, note = folder / f"{line.name}.wav", folder / f"{line.name}.json"
        mark = hashlib.sha256(f"{key}\n{line.text}".encode()).hexdigest() if key else ""
        performed = _spoken_before(sound, note, mark)
        if performed is None:
            performed = speak_sentences(speaker, line.text)
            performed.wave.save(sound)
            content = {"made_of": mark, "words": performed.words, "by": performed.answered_by}
            write_text(note, json.dumps(content, ensure_ascii=False) + "\n")
        out.append(performed)
        on_progress(Progress("speak", number, len(lines), "sentences", subject=name))
    return out


def _foreseen(
    homes: Mapping[str, str],
    lines: Sequence[EvaluationSentence],
    measured: Mapping[str, list[MeasuredSentence]],
    on_progress: ProgressCallback,
) -> tuple[dict[str, list[MeasuredSentence]], Message | None]:
    """What was measured, with the models' surprise at the recordings, where all have one codebook; and why not."""
    compared = [(place, line.reference) for place, line in enumerate(lines) if line.reference is not None]
    if not homes or not compared:
        return dict(measured), None
    asked: dict[str, HeldOutNLL] = {}
    for done, (name, where) in enumerate(homes.items(), start=1):
        asked[name] = held_out_nll(where, [(wave, lines[place].text) for place, wave in compared])
        on_progress(Progress("held_out_nll", done, len(homes), "voices"))
    mute = {name: one.why_not for name, one in asked.items() if one.why_not}
    if mute:
        name, why = next(iter(mute.items()))
        return dict(measured), Message("evaluate.nll_not_compared", name=name, reason=why)
    if len({one.codebook for one in asked.values()}) > 1:
        return dict(measured), Message("evaluate.nll_other_codebooks")
    out = {}
    for name, found in measured.items():
        known = {place: value for (place, _), value in zip(compared, asked[name].surprise, strict=True)}
        out[name] = [replace(one, surprise=known.get(place, math.nan)) for place, one in enumerate(found)]
    return out, None


def _spoken_before(sound: Path, note: Path, mark: str) -> SpokenSentence | None:
    if not mark or not sound.is_file() or not note.is_file():
        return None
    content = json.loads(note.read_text(encoding="utf-8"))
    if content.get("made_of") != mark:
        return None
    words = tuple(tuple(word) for word in content["words"])
    return SpokenSentence(Wave.load(sound), words, tuple(content["by"]), math.nan)


def _fingerprint(where: str) -> str:
    """What a voice is made of: the names, sizes and times of its files, and the version that speaks."""
    if where == FORMANT:
        return f"{FORMANT} {__version__}"
    files = sorted(path for path in Path(where).rglob("*") if path.is_file())
    facts = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr((__version__, facts)).encode()).hexdigest()


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "voice"


def _measure_recordings(
    project: Project,
    clips: Sequence[Utterance],
    lines: Sequence[EvaluationSentence],
    tools: MeasuringTools,
    on_progress: ProgressCallback,
) -> list[MeasuredSentence]:
    """The speaker's own clips through the same recogniser: what the figures can reach."""
    chosen = clips[: max(1, len(lines) // 2)]
    out = []
    for number, row in enumerate(chosen, start=1):
        words = tuple(tuple(word.split()) for word in row.phones.split(f" {WORD_MARK} "))
        performed = SpokenSentence(_clip(project, row), words, (), math.nan)
        out.append(measure(EvaluationSentence(row.id, row.text), performed, tools))
        on_progress(Progress("measure", number, len(chosen), "clips", subject=RECORDINGS))
    return out


# ---------------------------------------------------------------- the page
def _pair_dict(tried: Tried) -> dict[str, Any]:
    return {
        "contrast": tried.pair.contrast,
        "one": tried.pair.one,
        "other": tried.pair.other,
        "right": list(tried.right),
        "told_apart": tried.told_apart,
        "margins": [round(margin, 3) if math.isfinite(margin) else None for margin in tried.margins],
    }


def _page(
    project: Project,
    ranking: Ranking,
    measured: Mapping[str, Sequence[MeasuredSentence]],
    spoken: Mapping[str, Sequence[SpokenSentence]],
    recordings: Sequence[MeasuredSentence],
    tried: Sequence[Tried],
    lines: Sequence[EvaluationSentence],
    on_progress: ProgressCallback,
) -> Report:
    standings = list(ranking.order)
    beside = rank({RECORDINGS: recordings}).order if recordings else ()
    shown = [key for key in FIGURES if any(key in one.figures for one in standings)]
    head = ["voice", "worth of 100", *(FIGURES[key][0] for key in shown), "faults"]
    rows = [head] + [
        [
            one.name if one not in beside else "(the recordings)",
            str(one.worth),
            *(str(one.figures[key]) if key in one.figures else "–" for key in shown),
            ", ".join(f"{kind} {count}" for kind, count in one.fault_counts.items()) or "–",
        ]
        for one in [*standings, *beside]
    ]
    best = ranking.best.name
    order = sorted(range(len(lines)), key=lambda place: worth(measured[best][place]))
    worst = []
    for done, place in enumerate(order[:_WORST], start=1):
        worst.append(_worst(lines[place], place, best, measured, spoken))
        on_progress(Progress("report", done, min(_WORST, len(order)), "sentences"))
    summary = {"Voices, best first (mean and 95 % interval over the sentences)": rows}
    if tried:
        summary["Minimal pairs, said by the best voice"] = _pair_rows(tried)
    figures = {"Worth of each voice": plots.ranges([_range(one.name, one.worth) for one in standings], "worth of 100")}
    if all("per" in one.figures for one in standings):
        drawn = [_range(one.name, one.figures["per"]) for one in standings]
        figures["Phone errors"] = plots.ranges(drawn, "phone error rate, by the recogniser")
    return Report(
        title=f"Voices of {project.settings('project', ProjectSettings).name or project.root.resolve().name}",
        notes=[str(one) for one in ranking.why],
        facts={
            "sentences": f"{len(lines)}, of which {sum(line.reference is not None for line in lines)} with a recording",
            "recordings measured": str(len(recordings)),
            **({"minimal pairs, by the best voice": pairs_line(tried)} if tried else {}),
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
    remarks = [Message("evaluate.sample_score", name=best, score=worth(mine), errors=rate)]
    remarks += [Message("evaluate.sample_fault", kind=issue.kind, reason=issue.message) for issue in mine.faults]
    remarks.append(Message("evaluate.sample_phones", phones=" ".join(mine.examined.heard)))
    waves = {best: spoken[best][place].wave}
    waves |= {name: said[place].wave for name, said in spoken.items() if name != best}
    if line.reference is not None:
        waves["the recording"] = line.reference
    phones = f" {WORD_MARK} ".join(" ".join(word) for word in spoken[best][place].words)
    by = Counter(spoken[best][place].answered_by)
    answered = ", ".join(f"{name} {count}" for name, count in by.most_common())
    return ReportSample(line.text, phones, answered, waves, [one.text() for one in remarks])


def pairs_line(tried: Sequence[Tried]) -> str:
    """How many pairs were told apart and how many words heard right, in words."""
    right, apart = sum(sum(one.right) for one in tried), sum(one.told_apart for one in tried)
    return f"{apart} of {len(tried)} told apart, {right} of {2 * len(tried)} heard right"


def _pair_rows(tried: Sequence[Tried]) -> list[list[str]]:
    rows = [["contrast", "words", "meaning", "told apart", "first heard right", "second heard right"]]
    words = {True: "yes", False: "no"}
    for one in tried:
        pair = one.pair
        rows.append(
            [
                pair.contrast,
                f"{pair.written[0]} /{pair.one}/ · {pair.written[1]} /{pair.other}/",
                " · ".join(pair.meant),
                words[one.told_apart],
                *(words[right] for right in one.right),
            ]
        )
    return rows
