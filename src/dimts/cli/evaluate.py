"""dimts evaluate …: comparison of voices, listening tests, pronunciation, training of the recogniser."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dimts.base.messages import Message
from dimts.cli.help import CommandLine, Group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dimts.audio.wave import Wave
    from dimts.base.project import Project
    from dimts.evaluate.compare_voices import CompareVoicesSettings
    from dimts.evaluate.comparison import SentenceList, VoiceComparison
    from dimts.evaluate.listening_test import Kind
    from dimts.evaluate.sound_analysis import SoundAnalysis

_DEFAULT = "project"


class _Group(Group):
    """A group whose first word may also be a project folder, or an option: `dimts evaluate --system …`."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the group `evaluate`."""
    group = CommandLine(
        cls=_Group,
        no_args_is_help=True,
        help="Measure voices and find the best checkpoint: 'dimts evaluate "
        "PROJECT'; the commands below are for "
        "single waves, pronunciation and listening tests.",
    )
    group.command(_DEFAULT)(project)
    group.command("compare")(compare)
    group.command("leaderboard")(leaderboard_command)
    group.command("sound")(sound)
    group.command("watermark")(watermark)
    group.command("pronunciation")(pronunciation)
    group.command("train-recogniser")(train_recogniser_command)
    group.command("listen")(listen)
    group.command("opinions")(opinions)
    app.add_typer(group, name="evaluate")


RECOGNISER = typer.Option(
    None,
    "--recogniser",
    help=(
        "A recogniser made by train-recogniser. Default: the project's "
        "own, else the one that comes with dimts."
    ),
    show_default=False,
)
JSON = typer.Option(False, "--json", help="One JSON object instead of text.")


_PROJECT = typer.Argument(None, metavar="[PROJECT]", help="The project folder.", show_default=False)
_SYSTEM = typer.Option(
    None,
    "--system",
    metavar="NAME=WHAT",
    help="Without a project: a system to compare; may be repeated. WHAT "
    "is 'formant', a voice's folder, folder:DIR "
    "(recordings and their list), an address of OpenAI's interface (https://HOST/v1?model=…&voice=…), "
    "'command:PROGRAM {wav} {text}', or a plug-in of the group dimts.system.",
    show_default=False,
)
_KEY = typer.Option(
    None,
    "--key",
    metavar="NAME=VARIABLE",
    help="The environment variable that holds the key of the server NAME; may be repeated.",
    show_default=False,
)
_SECTION = typer.Option(
    None,
    "--section",
    metavar="NAME",
    help="With --system: a section of the benchmark amharic-tts-bench: "
    "news, numbers, pairs, heteronyms, latin, "
    "paragraphs or twisters; may be repeated.",
    show_default=False,
)
_OUT = typer.Option(Path("evaluation"), "--out", "-o", help="With --system: the folder to write to.")
_VOICE = typer.Option(
    None,
    "--voice",
    metavar="FOLDER",
    help="A voice to evaluate, a folder or 'formant'; may be repeated. Default: all below PROJECT/voices.",
    show_default=False,
)
_RUN = typer.Option(
    "",
    "--run",
    metavar="RUN",
    help="Evaluate the snapshots of a training run instead: a folder below PROJECT/runs, or 'last'. "
    "How many there are is train.keep.",
    show_default=False,
)
_SENTENCES = typer.Option(
    None,
    "--sentences",
    help="A text file to speak, a sentence a line. Default: for a "
    "project the list that comes with dimts; for "
    "--system the list of a folder of recordings, else the benchmark amharic-tts-bench.",
    show_default=False,
)
_LIMIT = typer.Option(
    None,
    "--limit",
    min=1,
    help=(
        "Most sentences, held-out clips among them. Default: 40 for a project, all of the list for --system."
    ),
    show_default=False,
)
_NO_QUALITY = typer.Option(False, "--no-quality", help="Leave DNSMOS out; four times as fast.")
_TRANSCRIBER = typer.Option(
    "",
    "--transcriber",
    help="Also count character errors, raw and Amharic-aware, with this "
    "speech recogniser: 'whisper', or a plug-in "
    "of the group dimts.transcriber.",
    show_default=False,
)
_TRANSCRIBER_MODEL = typer.Option(
    "",
    "--transcriber-model",
    metavar="FOLDER",
    help="Its weights: a folder, or a name that 'dimts data fetch' knows. Default: the project's.",
    show_default=False,
)


def project(
    project: Path | None = _PROJECT,
    voice: list[str] = _VOICE,
    run: str = _RUN,
    system: list[str] = _SYSTEM,
    key: list[str] = _KEY,
    out: Path = _OUT,
    sentences: Path = _SENTENCES,
    section: list[str] = _SECTION,
    limit: int | None = _LIMIT,
    recogniser: Path = RECOGNISER,
    no_quality: bool = _NO_QUALITY,
    transcriber: str = _TRANSCRIBER,
    transcriber_model: str = _TRANSCRIBER_MODEL,
    as_json: bool = JSON,
) -> None:
    """Speak the same sentences with every voice of a project, or with systems of any kind; measure and rank
    them.

    Measured are phone errors (by the phone recogniser), faults (cut, repeated, invented, noise), length of
    consonants, likeness to the speaker, DNSMOS, speed, and, for held-out clips, distortion and pitch
    correlation with the recording. The report is evaluation/report.html, with results.json beside it.
    Sentences spoken before by an unchanged voice are reused.
    """
    import json

    from dimts.base.errors import ConfigError
    from dimts.cli.output import show, write
    from dimts.evaluate.compare_voices import CompareVoicesSettings
    from dimts.evaluate.comparison_report import pairs_line

    if (project is None) == (not system):
        raise ConfigError("cli.evaluate_project_or_systems")
    if system and (voice or run):
        raise ConfigError("cli.evaluate_voice_without_project")
    if not system and (key or section):
        raise ConfigError("cli.evaluate_option_without_system", option="--key" if key else "--section")
    if section and sentences is not None:
        raise ConfigError("cli.evaluate_section_and_sentences")
    quality = CompareVoicesSettings(
        most_sentences=limit or (40 if project else _NO_LIMIT), quality=not no_quality
    )
    if project is not None:
        found = _compare_voices(
            project, voice, run, sentences, recogniser, (transcriber, transcriber_model), quality
        )
    else:
        listed = _listed(sentences, section)
        found = _compare_systems(
            system, key, out, listed, recogniser, (transcriber, transcriber_model), quality
        )
    for remark in found.remarks:
        show(remark, "warning")
    if as_json:
        print(json.dumps(found.ranking.as_dict(), ensure_ascii=False, indent=1))
        return
    write(*found.ranking.reasons)
    if found.pairs:
        write(Message("cli.minimal_pairs", result=pairs_line(found.pairs)))
    print(found.report)


_NO_LIMIT = 1_000_000


def _compare_voices(
    folder: Path,
    voice: list[str] | None,
    run: str,
    sentences: Path | None,
    recogniser: Path | None,
    transcriber: tuple[str, str],
    settings: CompareVoicesSettings,
) -> VoiceComparison:
    """Compare the voices of a project, or the snapshots of a run."""
    from dimts.base.project import Project
    from dimts.cli.output import progress_bar
    from dimts.evaluate.compare_voices import evaluate

    opened = Project.open(folder)
    lines = _lines_of(sentences) if sentences is not None else []
    transcribe = _transcribe(opened, *transcriber) if transcriber[0] else None
    voices, log = list(voice or ()), None
    with progress_bar() as on_progress:
        if run:
            from dimts.train.export_snapshots import export_snapshots, find_run

            one = find_run(opened, run)
            voices += [str(path) for path in export_snapshots(opened, one, on_progress).values()]
            log = one.log
        return evaluate(
            opened,
            voices,
            settings,
            sentences=lines,
            recogniser=recogniser,
            transcribe=transcribe,
            log=log,
            on_progress=on_progress,
        )


def _compare_systems(
    system: list[str],
    key: list[str] | None,
    out: Path,
    listed: SentenceList | None,
    recogniser: Path | None,
    transcriber: tuple[str, str],
    settings: CompareVoicesSettings,
) -> VoiceComparison:
    """Compare systems of any kind."""
    from dimts.cli.output import progress_bar
    from dimts.evaluate.compare_voices import compare_systems
    from dimts.evaluate.systems import named_keys, named_systems

    systems = named_systems(system)
    keys = named_keys(key or (), systems)
    transcribe = _transcribe(None, *transcriber) if transcriber[0] else None
    with progress_bar() as on_progress:
        return compare_systems(
            systems,
            out,
            settings,
            sentences=listed,
            keys=keys,
            recogniser=recogniser,
            transcribe=transcribe,
            on_progress=on_progress,
        )


def _listed(sentences: Path | None, sections: list[str] | None) -> SentenceList | None:
    """Read a file of sentences, or the sections of the benchmark; None for neither."""
    from dimts.evaluate.benchmark import benchmark
    from dimts.evaluate.comparison import SentenceList
    from dimts.evaluate.measure import EvaluationSentence

    if sections:
        return benchmark(sections)
    if sentences is None:
        return None
    texts = [text for text in map(str.strip, _lines_of(sentences)) if text]
    lines = [EvaluationSentence(f"s{number:03d}", text) for number, text in enumerate(texts, start=1)]
    return SentenceList(sentences.stem, "", lines)


def _lines_of(sentences: Path) -> list[str]:
    from dimts.base.errors import DataError

    if not sentences.is_file():
        raise DataError("cli.no_sentence_file", path=sentences)
    return sentences.read_text(encoding="utf-8").splitlines()


def _transcribe(opened: Project | None, name: str, model: str) -> Callable[[Wave], str]:
    """Load a transcriber by name. Raises ConfigError, MissingExtra and DataError as it does."""
    from dataclasses import replace

    from dimts.data.context import PrepareSettings
    from dimts.data.transcribe import transcriber

    prepared = opened.settings("data", PrepareSettings) if opened else PrepareSettings()
    settings = replace(prepared.transcribe, by=name)
    made = transcriber(replace(settings, model=model) if model else settings)
    return lambda wave: made.transcribe(wave).text


def compare(
    first: Path = typer.Argument(..., help="A results.json, or its folder.", show_default=False),
    second: Path = typer.Argument(..., help="Another of the same list and recogniser.", show_default=False),
    systems: str = typer.Option(
        "",
        "--systems",
        metavar="FIRST,SECOND",
        help="A system of each file. Default: those of the same names, else the best of each.",
        show_default=False,
    ),
    as_json: bool = JSON,
) -> None:
    """Compare two evaluations sentence by sentence: paired tests and intervals of the differences."""
    import json

    from dimts.base.errors import ConfigError
    from dimts.cli.output import heading, write
    from dimts.evaluate.compare_results import Results, compare_results
    from dimts.evaluate.rank import figure_title

    names = tuple(filter(None, map(str.strip, systems.split(","))))
    if systems and len(names) != 2:
        raise ConfigError("cli.evaluate_two_systems", given=systems)
    chosen = (names[0], names[1]) if names else None
    found = compare_results(Results.load(first), Results.load(second), chosen)
    if as_json:
        print(json.dumps([one.as_dict() for one in found], ensure_ascii=False, indent=1))
        return
    for one in found:
        write(Message("cli.compared", first=one.first, second=one.second, sentences=one.sentences))
        columns = (("figure", "18s"), ("first", ">8s"), ("second", ">8s"), ("difference", "27s"))
        tests = (("wilcoxon", ">9s"), ("sign", ">8s"))
        print(" ", heading(*((f"cli.column_{name}", form) for name, form in (*columns, *tests))))
        for test in one.tests:
            title, verdict = figure_title(test.figure).text(), Message(f"cli.compared_{test.verdict}").text()
            row = f"{title:18s} {test.first:8.3g} {test.second:8.3g} {test.difference!s:27s}"
            print(f"  {row} {test.adjusted:9.3g} {test.sign:8.3g}  {verdict}")
    write(Message("cli.compared_note"))


def leaderboard_command(
    folder: Path = typer.Argument(
        ..., help="A folder of results.json files; folders within count.", show_default=False
    ),
    out: Path | None = typer.Option(
        None, "--out", "-o", help="The page to write. Default: FOLDER/leaderboard.html.", show_default=False
    ),
) -> None:
    """Make a static page of many evaluations: a table for each list and recogniser. It works offline."""
    from dimts.cli.output import show
    from dimts.evaluate.leaderboard import FILE, leaderboard

    found = leaderboard(folder)
    for path, reason in found.refused.items():
        show(Message("cli.evaluate_left_out", path=path, reason=reason), "warning")
    print(found.write(out or folder / FILE))


def sound(
    wave: Path = typer.Argument(..., help="A sound file of one sentence.", show_default=False),
    text: str = typer.Option(
        "",
        "--text",
        help="Its text in fidel (phones between strokes: /səlam/). Without "
        "it, the phones are recognised, and only "
        "noise, pauses and another voice are faults.",
        show_default=False,
    ),
    reference: list[Path] = typer.Option(
        None, "--reference", help="A recording of the speaker; may be repeated.", show_default=False
    ),
    same: Path = typer.Option(
        None,
        "--same",
        help="A recording of the same sentence, for distortion and pitch correlation.",
        show_default=False,
    ),
    plot: Path = typer.Option(
        None,
        "--plot",
        help="Draw spectrogram, F0 and the borders of the phones: a .png, .svg or .pdf file.",
        show_default=False,
    ),
    recogniser: Path = RECOGNISER,
    as_json: bool = JSON,
) -> None:
    """Measure one sound: recognised phones under its text with times, faults, quality, likeness to the
    speaker.

    Exit code 1 if a fault was found.
    """
    import json

    from dimts.audio.likeness import profile
    from dimts.audio.wave import Wave
    from dimts.cli.output import show
    from dimts.evaluate.measure import MeasuringTools
    from dimts.evaluate.phone_recogniser import PhoneRecogniser
    from dimts.evaluate.plots import check_format
    from dimts.evaluate.sound_analysis import analyse_sound, draw_analysis

    if plot is not None:
        check_format(plot)  # before anything is measured
    sample = Wave.load(wave)
    voice = profile([Wave.load(path) for path in reference]) if reference else None
    model = PhoneRecogniser.load(recogniser)
    if not model.trained_on_recordings:
        show(Message("evaluate.recogniser_untrained", project="PROJECT"), "warning")
    found = analyse_sound(
        wave.stem, sample, text, MeasuringTools(model, voice), Wave.load(same) if same else None
    )
    if plot is not None:
        draw_analysis(found, plot)
    if as_json:
        print(json.dumps(found.as_dict(), ensure_ascii=False, indent=1))
    else:
        print("\n".join(_sound_lines(found)))
    if found.issues:
        raise typer.Exit(1)


def _sound_lines(found: SoundAnalysis) -> Iterator[str]:
    """Lines for a person: words with their phones and times, or the phones alone; then figures and faults."""
    from dimts.cli.output import heading
    from dimts.evaluate.rank import FIGURES, fault_title, figure_title

    if found.words:
        columns = (("start", ">7s"), ("end", ">7s"), ("expected", "25s"), ("recognised", "24s"), ("word", ""))
        yield heading(*((f"cli.column_{name}", form) for name, form in columns))
        for word in found.words:
            times = " ".join("      –" if math.isnan(at) else f"{at:7.2f}" for at in (word.start, word.end))
            expected, recognised = " ".join(word.expected), " ".join(word.recognised) or "–"
            mark = " " if word.recognised == word.expected else "≠"
            yield f"{times} {mark}{expected:24s} {recognised:24s} {word.text}"
    else:
        plain = (("start", ">7s"), ("end", ">7s"), ("recognised", ""))
        yield heading(*((f"cli.column_{name}", form) for name, form in plain))
        for phone in found.recognised:
            yield f"{phone.start:7.2f} {phone.end:7.2f}  {phone.label}"
    for name, value in found.figures.items():
        if value is not None and name not in ("faults", "name", "text", "expected"):
            title = f"  ({figure_title(name).text()})" if name in FIGURES else ""
            yield f"{name:20s} {value}{title}"
    for issue in found.issues:
        yield Message("cli.fault", kind=fault_title(issue.kind), fault=issue.message).text()


def pronunciation(
    gold: Path = typer.Argument(..., help="The gold list: word TAB phones on each line.", show_default=False),
    backend: list[str] = typer.Option(
        None,
        "--backend",
        help="A backend by name, or 'chain' for all in turn; may be repeated. Default: chain and rules.",
        show_default=False,
    ),
    lexicon: Path = typer.Option(
        None, "--lexicon", help="A lexicon for the chain (word TAB phones).", show_default=False
    ),
    mistakes: int = typer.Option(0, "--mistakes", min=0, help="Also show so many wrong words of each."),
    as_json: bool = JSON,
) -> None:
    """Score G2P backends against a gold list: word and phone error rates, and F1 of long consonants and of ɨ.

    Several rows of a word are alternatives; the nearest counts. An initial ʔ is not scored.
    """
    import json

    from dimts.cli.output import heading, show, write
    from dimts.evaluate import pronounce

    known = pronounce.Gold.load(gold)
    for row in known.unreadable:
        show(Message("cli.gold_row_skipped", path=gold, row=row), "warning")
    found = [
        pronounce.score(name, pronounce.backend(name, lexicon=lexicon), known)
        for name in backend or ("chain", "rules")
    ]
    if as_json:
        content = [
            {
                **one.as_dict(),
                "mistakes": [
                    [word, " ".join(answer), " ".join(expected)] for word, answer, expected in one.mistakes
                ],
            }
            for one in found
        ]
        print(json.dumps(content, ensure_ascii=False, indent=1))
        return
    write(Message("cli.pronunciation_words", words=len(known.words)))
    rates_of = " ".join(f"{name:>6s}" for name in ("WER", "PER", "WER-l", "PER-l", "F1 ː", "F1 ɨ"))
    backends, unanswered = heading(("cli.column_backend", "14s")), heading(("cli.column_unanswered", ">6s"))
    print(backends, rates_of, unanswered)
    for one in found:
        rates = (one.wer, one.phones.rate, one.wer_without_length, one.phones_without_length.rate)
        scores = " ".join(f"{100 * rate:6.2f}" for rate in (*rates, one.gemination.f1, one.epenthesis.f1))
        print(f"{one.name:14s} {scores} {one.unanswered:6d}")
    write(Message("cli.pronunciation_note"))
    for one in found:
        for word, answer, expected in one.mistakes[:mistakes]:
            print(f"{one.name}\t{word}\t{' '.join(answer) or '–'}\t{' '.join(expected)}")


def train_recogniser_command(
    project: Path | None = typer.Argument(
        None,
        metavar="[PROJECT]",
        help="A project whose clips are the training data; without one, formant voices alone are.",
        show_default=False,
    ),
    out: Path | None = typer.Option(
        None,
        "--out",
        "-o",
        help=(
            "Where to write it. Default: PROJECT/phone_recogniser.safetensors, "
            "which 'dimts evaluate PROJECT' reads."
        ),
        show_default=False,
    ),
    steps: int = typer.Option(
        800, "--steps", min=1, help="Training steps; about a second each on one old core."
    ),
    from_scratch: bool = typer.Option(
        False,
        "--from-scratch",
        help="Begin with random weights, but for the front end of the recogniser that comes with dimts.",
    ),
) -> None:
    """Train the phone recogniser on a speaker. Ctrl-C loses nothing: the same command resumes.

    Half of the training data are the project's training clips, the rest random words by formant voices. The
    phone error rate on clips of the splits dev and test, and on unseen formant voices, is measured at the end
    and kept in the file.
    """
    from dimts.base.errors import ConfigError
    from dimts.base.project import Project
    from dimts.cli.output import progress_bar, write
    from dimts.evaluate.compare_voices import RECOGNISER_FILE
    from dimts.evaluate.train_recogniser import TrainRecogniserSettings, train_recogniser

    opened = Project.open(project) if project else None
    where = out or (opened.root / RECOGNISER_FILE if opened else None)
    if where is None:
        raise ConfigError("cli.no_place_for_recogniser")
    with progress_bar() as on_progress:
        made = train_recogniser(
            where,
            opened,
            TrainRecogniserSettings(steps=steps, from_scratch=from_scratch or opened is None),
            on_progress,
        )
    for name, value in made.notes.items():
        if name.startswith("per_"):
            what = name.removeprefix("per_")
            write(Message(f"cli.errors_of_{what}", percent=100 * value))
    write(Message("cli.aligner", trained_on=Message.from_dict(made.notes["aligner_message"])))
    print(where)


def watermark(
    files: list[Path] = typer.Argument(..., metavar="FILE...", help="Sound files.", show_default=False),
    as_json: bool = JSON,
) -> None:
    """Look for the watermark of synthetic speech in files; needs the extra 'watermark'.

    A file is examined in stretches of ten seconds; the confidence, 0 to 1, is that of the surest one. A mark
    that is not found proves nothing: it may have been removed, or never made.
    """
    import json

    from dimts.cli.output import show, write
    from dimts.evaluate.watermark import examine

    found = []
    for one in examine(files):
        found.append(one)
        if one.fault is not None:
            show(one.message(), "warning")
        elif not as_json:
            write(one.message())
    if as_json:
        print(json.dumps([one.as_dict() for one in found], ensure_ascii=False, indent=1))
    if any(one.fault is not None for one in found):
        raise typer.Exit(2)


def listen(
    voices: list[str] = typer.Argument(
        ...,
        metavar="NAME=FOLDER...",
        help="The voices: a name and a folder of sounds each, or one folder "
        "that holds a folder for each voice, "
        "e.g. PROJECT/evaluation/spoken.",
        show_default=False,
    ),
    out: Path = typer.Option(Path("listening-test"), "--out", "-o", help="Folder to write."),
    kind: str = typer.Option("mos", "--kind", help="mos: each sound is given 1 to 5; ab: two are compared."),
    limit: int = typer.Option(20, "--limit", min=1, help="Most sentences."),
    title: str = typer.Option("", "--title", help="Heading of the page.", show_default=False),
    seed: int = typer.Option(1, "--seed", help="Another seed chooses and orders other sentences."),
) -> None:
    """Make a blind listening test: a folder with a page that runs from a USB stick, without a server.

    Raters open index.html, listen, answer and save a JSON file, which 'dimts evaluate opinions' reads. The
    key, OUT-key.json beside the folder, maps sounds to voices: raters must not have it.
    """
    from dimts.cli.output import write
    from dimts.evaluate.listening_test import make

    title = title or Message("cli.listening_title").text()
    made = make(
        _folders(voices),
        out,
        _kind(kind),
        title=title,
        most_sentences=limit,
        seed=seed,
    )
    write(
        Message("cli.listening_page", path=made.page, trials=made.trials),
        Message("cli.listening_key", path=made.key),
    )


def opinions(
    key: Path = typer.Argument(..., help="The key that was written beside the test.", show_default=False),
    answers: list[Path] = typer.Argument(..., help="The JSON files that raters saved.", show_default=False),
    as_json: bool = JSON,
) -> None:
    """Analyse a listening test: means and 95 % intervals over raters and sentences, and clear leads."""
    import json

    from dimts.cli.output import write
    from dimts.evaluate.listening_test import analyse

    found = analyse(key, answers)
    if as_json:
        print(json.dumps(found.as_dict(), ensure_ascii=False, indent=1))
    else:
        write(*found.messages())


def _folders(voices: list[str]) -> dict[str, Path]:
    from dimts.base.errors import ConfigError

    if len(voices) == 1 and "=" not in voices[0]:
        root = Path(voices[0])
        if not root.is_dir():
            raise ConfigError("cli.no_spoken_folder", path=root)
        return {path.name: path for path in sorted(root.iterdir()) if path.is_dir()}
    pairs = [voice.partition("=") for voice in voices]
    for name, equals, folder in pairs:
        if not equals or not name or not folder:
            raise ConfigError("cli.not_name_and_folder", text=name)
    return {name: Path(folder) for name, _, folder in pairs}


def _kind(kind: str) -> Kind:
    from dimts.base.errors import ConfigError
    from dimts.base.plugins import nearest

    if kind == "mos":
        return "mos"
    if kind == "ab":
        return "ab"
    raise ConfigError("cli.unknown_test_kind", kind=kind, nearest=nearest(kind, ("mos", "ab")))
