"""`dimts demo`: the whole pipeline once, from recordings to a spoken sentence and a report, on any
machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from dimts.base.messages import Message
    from dimts.base.project import Project
    from dimts.data.manifest import Utterance
    from dimts.evaluate.report import ReportSample
    from dimts.text.frontend import Phrase
    from dimts.train.fine_tune import FineTuneResult

LEARNT = (
    "The new voice began from the small model in the package (14 million parameters) and learnt this speaker "
    "in minutes on this computer. For a better one record more, train longer, or begin from the weights of "
    "XTTS v2 (dimts fetch), then: dimts train PROJECT --base xtts-v2"
)
REHEARSAL = (
    "The fine-tuned voice is a rehearsal of the pipeline: a tiny engine "
    "with random weights, trained for a few "
    "minutes, learns rhythm and noise, not speech. For a real voice "
    "fetch the XTTS v2 weights (dimts fetch), then: "
    "dimts train PROJECT --base xtts-v2"
)
SPEECH = Path("../shared/speech/alffa")
_SPEAKER = "tr097"
_VARIANTS = ("", "m3", "f2")
_METADATA = "metadata.tsv"
_BREATH_SECONDS = 0.3
_SHOWN_RECORDINGS = 3
"""Recordings that were not trained on, beside the voices in the report."""
FORMANT_VOICE, BASE_VOICE, NEW_VOICE, RECORDINGS = "formant voice", "small model", "new voice", "recordings"


def register(app: typer.Typer) -> None:
    """Add the command `demo`."""
    app.command("demo")(demo)


def demo(
    folder: Path = typer.Argument(Path("demo"), help="Project folder to make, or to go on with."),
    steps: int = typer.Option(300, "--steps", min=1, help="Training steps of the new voice."),
    clips: int = typer.Option(60, "--clips", min=4, help="Most recordings to take."),
    speech: Path = typer.Option(
        SPEECH,
        "--speech",
        help="Folder of real recordings with a metadata.tsv; where absent, the formant voice speaks.",
    ),
) -> None:
    """Prepare recordings, fine-tune a voice on them, speak with it, write report.html (about 5 minutes)."""
    from dimts.base import builtin_voices
    from dimts.base.errors import TrainingError
    from dimts.base.messages import Message
    from dimts.base.project import Project, ProjectSettings
    from dimts.cli.new import template
    from dimts.cli.output import progress_bar, show
    from dimts.data.context import PrepareSettings
    from dimts.data.manifest import Manifest
    from dimts.data.prepare import prepare
    from dimts.train.fine_tune import fine_tune
    from dimts.train.settings import TrainSettings

    if (folder / "dimts.toml").exists():
        project = Project.open(folder)
    else:
        project = Project.create(folder, template(ProjectSettings(name="demo")))
    taken = _take(project, speech, clips)
    show(taken)
    with progress_bar() as on_progress:
        prepared = prepare(project, (), project.settings("data", PrepareSettings), on_progress)
        counts = {"kept": prepared.kept, "set_aside": prepared.set_aside, "minutes": prepared.seconds / 60}
        show(Message("cli.demo_prepared", **counts))
        base = builtin_voices.base()
        origin = (f"train.base={builtin_voices.NAME}",) if base else ("train.base=", "train.size=tiny")
        settings = project.settings("train", TrainSettings, (f"train.steps={steps}", *origin))
        run = fine_tune(project, settings, on_progress)
    if run.bundle is None:
        raise TrainingError("cli.training_paused", ended=run.ended)
    if base is None:
        show(Message("cli.demo_rehearsal"))
    rows = Manifest.read(project.manifest)
    spoken = speak(project, run.bundle, base)
    samples = [*spoken, *recorded(project, rows)]
    path = write(project, run, rows, samples, taken, rehearsal=base is None)
    show(Message("cli.demo_written", path=path, count=len(spoken), folder=project.root / "spoken"))


def _take(project: Project, speech: Path, clips: int) -> Message:
    """Fill the project's recordings, once; returns a description of them."""
    import json

    from dimts.base.files import write_text
    from dimts.base.messages import Message

    note = project.recordings / "source.json"
    if note.exists():
        return Message.from_dict(json.loads(note.read_text(encoding="utf-8")))

    real = (speech / _METADATA).is_file()
    source = _copy(project, speech, clips) if real else _synthesise(project, clips)
    write_text(note, json.dumps(source.as_dict(), ensure_ascii=False) + "\n")
    return source


def _copy(project: Project, speech: Path, clips: int) -> Message:
    """Copy one speaker's recordings, and their rows, into the project."""
    import csv
    import shutil

    from dimts.base.files import write_text
    from dimts.base.messages import Message

    with (speech / _METADATA).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    chosen = ([row for row in rows if row["speaker"] == _SPEAKER] or rows)[:clips]
    lines = ["id\tpath\tspeaker\ttext"]
    for row in chosen:
        source = speech / row["path"]
        shutil.copyfile(source, project.recordings / source.name)
        lines.append("\t".join((row["id"], source.name, row["speaker"], row["text"])))
    write_text(project.recordings / _METADATA, "\n".join(lines) + "\n")
    speakers = sorted({row["speaker"] for row in chosen})
    return Message("cli.demo_real_recordings", count=len(chosen), speakers=speakers, folder=speech)


def _synthesise(project: Project, clips: int) -> Message:
    """Synthesise our own sentences with several variants of the formant voice, with a breath before and
    after."""
    from dimts.audio.wave import Wave, join
    from dimts.base.files import write_text
    from dimts.base.messages import Message
    from dimts.evaluate.sentences import SENTENCES
    from dimts.speak import RATE, Speaker

    breath = Wave.silence(_BREATH_SECONDS, RATE)
    each = min(len(SENTENCES), max(2, clips // len(_VARIANTS)))
    lines = ["id\tpath\tspeaker\ttext"]
    for variant in _VARIANTS:
        speaker = Speaker.load("formant", variant=variant)
        for number, sentence in enumerate(SENTENCES[:each]):
            name = f"{variant or 'plain'}-{number:02d}"
            join((breath, speaker.say(sentence), breath)).save(project.recordings / f"{name}.wav")
            lines.append("\t".join((name, f"{name}.wav", variant or "plain", sentence)))
    write_text(project.recordings / _METADATA, "\n".join(lines) + "\n")
    return Message("cli.demo_formant_recordings", count=len(lines) - 1, variants=len(_VARIANTS))


def speak(project: Project, bundle: Path, base: Path | None) -> list[ReportSample]:
    """Synthesise the greetings with the formant voice, the small model and the new voice; wav files go to
    spoken/."""
    from dimts.evaluate.report import ReportSample
    from dimts.evaluate.sentences import GREETINGS
    from dimts.speak import Speaker
    from dimts.text.frontend import phonemise

    speakers = {FORMANT_VOICE: Speaker.load("formant")}
    if base is not None:
        speakers[BASE_VOICE] = Speaker.load(base)
    speakers[NEW_VOICE] = Speaker.load(bundle)
    spoken = []
    for number, sentence in enumerate(GREETINGS, start=1):
        waves = {}
        for name, speaker in speakers.items():
            waves[name] = speaker.say(sentence)
            waves[name].save(project.root / "spoken" / f"{number}-{name.split()[0]}.wav")
        phrases = phonemise(sentence)
        spoken.append(
            ReportSample(sentence, " # ".join(phrase.phones for phrase in phrases), _answered(phrases), waves)
        )
    return spoken


def recorded(project: Project, rows: Sequence[Utterance]) -> list[ReportSample]:
    """Return some recordings that were not trained on, as samples."""
    from dimts.audio.level import high_pass
    from dimts.audio.wave import Wave
    from dimts.evaluate.report import ReportSample

    held_out = [row for row in rows if row.kept and row.split in ("test", "dev")][:_SHOWN_RECORDINGS]
    return [
        ReportSample(row.text, row.phones, "", {RECORDINGS: high_pass(Wave.load(project.inside(row.path)))})
        for row in held_out
    ]


def heard(samples: Sequence[ReportSample]) -> list[list[str]]:
    """Measure what the phone recogniser hears in each voice, and how much it sounds like the recordings:
    rows of a table, the first of which is its head."""
    from dimts.audio import likeness
    from dimts.base.errors import AudioError
    from dimts.evaluate.metrics import Edits, per
    from dimts.evaluate.phone_recogniser import PhoneRecogniser
    from dimts.text.phones import WORD_MARK

    recogniser = PhoneRecogniser.load()
    found: dict[str, tuple[list[Edits], list[likeness.Embedding]]] = {}
    for sample in samples:
        phones = [phone for phone in sample.phones.split() if phone != WORD_MARK]
        for name, wave in sample.waves.items():
            edits, sounds = found.setdefault(name, ([], []))
            edits.append(per(recogniser.recognise(wave).phones, phones, length=False))
            try:
                sounds.append(likeness.embed(wave))
            except AudioError:  # nothing is spoken in it
                continue
    of_recordings = found.get(RECORDINGS, ([], []))[1]
    rows = [["voice", "sentences", "phones heard wrong", "likeness to the recordings, 1 is the same"]]
    for name, (edits, sounds) in found.items():
        wrong = sum(one.count for one in edits) / max(1, sum(one.reference_length for one in edits))
        alike = [
            likeness.likeness(one, other) for one in sounds for other in of_recordings if one is not other
        ]
        mean = f"{sum(alike) / len(alike):.2f}" if alike else ""
        rows.append([name, str(len(edits)), f"{wrong:.0%}", mean])
    return rows


def _answered(phrases: Sequence[Phrase]) -> str:
    counts = Counter(word.by for phrase in phrases for word in phrase.words)
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def write(
    project: Project,
    run: FineTuneResult,
    rows: list[Utterance],
    spoken: Sequence[ReportSample],
    taken: Message,
    *,
    rehearsal: bool,
) -> Path:
    """Write report.html in the project folder."""
    from dimts.data.stats import Stats
    from dimts.evaluate.report import Report, losses

    kept = [row for row in rows if row.kept]
    left_out = [
        [row.name, f"{row.seconds:.1f} s", "; ".join(f"{issue.kind}: {issue}" for issue in row.rejections)]
        for row in rows
        if not row.kept
    ]
    tables = {"Clips left out": [["recording", "length", "why"], *left_out]} if left_out else {}
    truth = [list(row.cells("en")) for row in run.options]
    if truth:
        tables["What each training option did"] = [["option", "asked", "applied", "measured"], *truth]
    stats = Stats.of(rows)
    facts = {
        "recordings": taken.text(),
        "clips kept": f"{len(kept)} of {len(rows)}, {sum(row.seconds for row in kept) / 60:.1f} minutes",
        "speakers": ", ".join(sorted(stats.speakers)),
        "splits": ", ".join(f"{split} {count}" for split, count in sorted(stats.splits.items())),
        "phones": f"{sum(stats.phones.values())}, {len(stats.phones)} kinds ({len(stats.long_phones)} long), "
        f"{len(stats.diphones)} kinds of pairs; never: {' '.join(stats.missing) or 'none'}",
        "training": f"{run.steps} steps in {run.seconds:.0f} s, ended: {run.ended}",
        "run folder": str(run.folder),
    }
    path = project.root / "report.html"
    Report(
        title="dimts demo: from recordings to a spoken sentence",
        notes=[REHEARSAL if rehearsal else LEARNT],
        facts=facts,
        summary={"What the phone recogniser hears": heard(spoken)},
        spoken=spoken,
        losses=losses(run.log),
        clip_seconds=[row.seconds for row in kept],
        tables=tables,
    ).write(path)
    return path
