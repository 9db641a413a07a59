"""dimts data …: prepare recordings as clips and a manifest, and manage them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dimts.base.messages import Message
from dimts.cli.help import CommandLine

if TYPE_CHECKING:
    from dimts.base.project import Project
    from dimts.data.check import DatasetVerdict
    from dimts.data.context import PrepareSettings
    from dimts.data.manifest import Utterance
    from dimts.data.stats import Stats

_BAR_WIDTH = 40
_SHOWN = 20

PROJECT = typer.Argument(
    ..., metavar="PROJECT", help="The project folder (see 'dimts new').", show_default=False
)
SET = typer.Option(
    None,
    "--set",
    metavar="TABLE.KEY=VALUE",
    help="Another value for a setting of dimts.toml, for this run; may be repeated.",
    show_default=False,
)


def register(app: typer.Typer) -> None:
    """Add the group `data`."""
    data = CommandLine(
        no_args_is_help=True,
        help="Recordings to clips and a manifest, and what is in them.",
    )
    data.command("prepare")(prepare)
    data.command("stats")(stats)
    data.command("check")(check)
    data.command("add")(add)
    data.command("script")(script)
    data.command("export")(export)
    data.command("restore")(restore)
    data.command("fetch")(fetch)
    data.command("set")(set_clip)
    data.command("remove")(remove)
    app.add_typer(data, name="data")


def prepare(
    project: Path = PROJECT,
    sources: list[Path] = typer.Argument(
        None,
        metavar="[SOURCES]...",
        help="Folders, sound or video files, tables (metadata.tsv, metadata.csv, *.list, wav.scp). "
        "Default: the project's recordings/ folder. Earlier sources stay in the manifest.",
        show_default=False,
    ),
    jobs: int = typer.Option(
        0, "--jobs", "-j", help="Recordings worked on at the same time; 0: as dimts.toml says."
    ),
    speaker: str = typer.Option(
        "", help="Speaker of the recordings that do not name theirs.", show_default=False
    ),
    ray: bool = typer.Option(
        False,
        "--ray",
        help="Spread the recordings over a Ray cluster: at data.ray.address, or at the address that follows "
        "(HOST:PORT or auto); without one on the cores of this machine.",
    ),
    dry_run: bool = typer.Option(
        False, "--dry-run", help="Say how many hours there are, and what time and disk they take."
    ),
    settings: list[str] = SET,
) -> None:
    """Cut, clean, level and check recordings with their texts; write clips and manifest.jsonl.

    A recording's text is found in a table beside it, in a .txt or .lab file, or in subtitles (.srt, .vtt,
    .ass) of the same name. Each clip is kept or set aside with its reasons. Originals are never touched.
    Ctrl-C loses nothing: the next run goes on, and does only what is new or changed. With --ray all machines
    see the project under the same path; results are the same as on one machine.
    """
    from dataclasses import replace

    from dimts.base.project import Project
    from dimts.cli.output import progress_bar, write
    from dimts.data.check import kind_title
    from dimts.data.context import PrepareSettings
    from dimts.data.prepare import prepare as run

    opened = Project.open(project)
    chosen = opened.settings("data", PrepareSettings, tuple(settings or ()))
    if jobs:
        chosen = replace(chosen, jobs=jobs)
    if speaker:
        chosen = replace(chosen, speaker=speaker)
    given = list(sources or ())
    if ray and given and is_address(given[0]):
        chosen = replace(chosen, ray=replace(chosen.ray, address=str(given.pop(0))))
    if dry_run:
        _show_prepare_forecast(opened, given, chosen, ray=ray)
        return
    with progress_bar() as on_progress:
        result = run(opened, given, chosen, on_progress, on_ray=ray)
    write(Message("cli.prepared", kept=result.kept, minutes=result.seconds / 60, new=result.new))
    if result.set_aside:
        write(Message("cli.prepared_aside", count=result.set_aside))
        for kind, count in result.reasons.items():
            print(f"  {count:6d}  {kind_title(kind)}")
        write(Message("cli.check_lists_them", project=project))
    print(result.manifest)


def is_address(source: Path) -> bool:
    """Whether what stands behind --ray is an address of a cluster and no source."""
    import re

    return not source.exists() and bool(
        re.fullmatch(r"auto|[\w.\-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", str(source))
    )


def _show_prepare_forecast(
    opened: Project, sources: list[Path], chosen: PrepareSettings, *, ray: bool
) -> None:
    from dimts.cli.output import progress_bar, write
    from dimts.data.cluster import cluster_cores
    from dimts.data.estimate import forecast_prepare

    with progress_bar() as on_progress:
        cores = cluster_cores(chosen.ray, on_progress) if ray else 0
        found = forecast_prepare(opened, sources, chosen, on_progress, cores=cores)
    write(*found.messages())


def stats(
    project: Path = PROJECT,
    as_json: bool = typer.Option(False, "--json", help="One JSON object instead of a table."),
    plot: Path = typer.Option(
        None, "--plot", metavar="FILE", help="Draw them too, into a .png, .svg or .pdf.", show_default=False
    ),
) -> None:
    """Show hours, clip lengths, speakers, phones and diphones covered."""
    import json

    from dimts.base.project import Project
    from dimts.cli.output import show
    from dimts.data.manifest import Manifest
    from dimts.data.stats import Stats

    found = Stats.of(Manifest.rows(Project.open(project).manifest))
    if plot:
        from dimts.data.plots import draw

        show(Message("cli.drawn", path=draw(found, plot)))
    if as_json:
        print(json.dumps(found.as_dict(), ensure_ascii=False, indent=2))
    else:
        _show_stats(found)


def check(
    project: Path = PROJECT,
    as_json: bool = typer.Option(False, "--json", help="One JSON object instead of lists."),
    every: bool = typer.Option(
        False, "--all", help="Every issue, also of clips that are kept; default: the first."
    ),
) -> None:
    """List every issue with its reason, and a verdict on the set: fit, fix or unfit. Exit code 1 if unfit."""
    import json

    from dimts.base.project import Project
    from dimts.data.check import verdict
    from dimts.data.manifest import Manifest

    rows = Manifest.read(Project.open(project).manifest)
    found = verdict(rows)
    if as_json:
        print(json.dumps(_verdict_dict(rows, found), ensure_ascii=False, indent=2))
    else:
        _show_verdict(rows, found, every=every)
    if found.fit == "unfit":
        raise typer.Exit(1)


def add(
    project: Path = PROJECT,
    sources: list[str] = typer.Argument(
        ...,
        metavar="SOURCES...",
        help="Sound or video files, folders, or links (https://…).",
        show_default=False,
    ),
) -> None:
    """Add recordings to the project: files and folders are copied, links fetched with their manual subtitles.

    A text or subtitle file of the same name is copied too. The link, and the licence its site states, are
    recorded and written into every clip. Only take what you may use. Existing files are not copied again.
    """
    from dimts.base.project import Project
    from dimts.cli.output import progress_bar, write
    from dimts.data.add import add as add_sources

    with progress_bar() as on_progress:
        added = add_sources(Project.open(project), sources, on_progress)
    for path in added:
        print(path)
    write(Message("cli.files_added", count=len(added), project=project))


def script(
    texts: list[Path] = typer.Argument(
        ..., metavar="TEXTS...", help="Text files (UTF-8) to choose sentences from.", show_default=False
    ),
    count: int = typer.Option(100, "--count", "-n", help="Sentences to choose."),
    output: Path = typer.Option(
        None, "--output", "-o", help="Write the table here instead of to the screen.", show_default=False
    ),
    seed: int = typer.Option(0, "--seed", help="Another seed draws other candidates from a large corpus."),
) -> None:
    """Choose sentences to record: few that hold every phone, long consonant, ejective and most diphones of
    the texts.

    The table (id, path, text) is a metadata.tsv: record each line under the name it gives, and prepare the
    folder. The first sentences matter most, so one may stop early.
    """
    from dimts.base.files import write_text
    from dimts.cli.output import progress_bar, show
    from dimts.data.script import ScriptSettings, as_table, choose, read_texts
    from dimts.text.frontend import Frontend

    settings = ScriptSettings(
        count=count, seed=seed, max_candidates=max(ScriptSettings().max_candidates, count)
    )
    with progress_bar() as on_progress:
        found = choose(read_texts(texts), Frontend(), settings, on_progress)
    if output:
        write_text(output, as_table(found))
    else:
        print(as_table(found), end="")
    show(
        Message(
            "cli.script_chosen",
            sentences=len(found.sentences),
            minutes=found.seconds / 60,
            covered=found.covered,
            found=found.found,
            left_out=" ".join(found.missing) or Message("cli.none"),
        )
    )


def export(
    project: Path = PROJECT,
    output: Path = typer.Option(
        ...,
        "--output",
        "-o",
        metavar="PATH",
        help="The .parquet file; with --as a new folder.",
        show_default=False,
    ),
    layout: str = typer.Option(
        "",
        "--as",
        metavar="LAYOUT",
        help=(
            "For another program: ljspeech, piper, f5, xtts-coqui, gpt-sovits, "
            "nemo, omnivoice, hf or textgrid; kept clips only."
        ),
        show_default=False,
    ),
    audio: bool = typer.Option(
        False, "--audio", help="The clips too, so that the Parquet file stands alone."
    ),
    kept: bool = typer.Option(False, "--kept", help="Only what is kept."),
) -> None:
    """Write the manifest as a typed Parquet file ('dimts data restore' reads it), or a folder for another
    program."""
    from dimts.base.project import Project
    from dimts.cli.output import progress_bar, write
    from dimts.data.export import export as write_folder
    from dimts.data.manifest import Manifest
    from dimts.data.parquet import write as write_parquet

    opened = Project.open(project)
    if layout:
        with progress_bar() as on_progress:
            count, tables = write_folder(opened, output, layout, on_progress)
        write(Message("cli.clips_written", count=count, path=tables[0] if len(tables) == 1 else output))
        return
    rows = (row for row in Manifest.rows(opened.manifest) if row.kept or not kept)
    with progress_bar() as on_progress:
        count = write_parquet(output, rows, opened.root if audio else None, on_progress)
    write(Message("cli.rows_and_clips" if audio else "cli.rows_written", count=count, path=output))


def restore(
    project: Path = PROJECT,
    source: Path = typer.Argument(
        ..., metavar="FILE", help="A .parquet of 'dimts data export'.", show_default=False
    ),
) -> None:
    """Restore clips and manifest of an export (made with --audio) in a project without a manifest.

    Parquet corpora of others are added as recordings: dimts data add PROJECT FILE.
    """
    from dimts.base.project import Project
    from dimts.cli.output import write
    from dimts.data.parquet import restore as restore_export

    opened = Project.open(project)
    count = restore_export(source, opened.manifest, opened.root)
    write(Message("cli.rows_written", count=count, path=opened.manifest))


def fetch(
    name: str = typer.Argument(
        "",
        metavar="[NAME]",
        help="A public corpus (fleurs, afrivoice, waxal, alffa, common-voice, "
        "leyu), or weights of a recogniser: omnilingual, large-v3 (Whisper). "
        "Without a name: what there is.",
        show_default=False,
    ),
    project: Path | None = typer.Argument(
        None,
        metavar="[PROJECT]",
        help="The project whose recordings/ the corpus goes into.",
        show_default=False,
    ),
    source: Path = typer.Option(
        None,
        "--from",
        metavar="PATH",
        help="Take the files from a local folder or archive.",
        show_default=False,
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask (for scripts)."),
) -> None:
    """Fetch a public corpus with its licence into a project, or the weights of a recogniser.

    Hours, licence and whether a contact has to be given are shown first. What breaks off goes on where it
    stopped when the command is run again; files are checked against the hub's checksums. HF_TOKEN (for
    gated corpora), HF_ENDPOINT, HF_HUB_OFFLINE and proxies are honoured.
    """
    from dimts.base.errors import DataError
    from dimts.cli.output import progress_bar, show
    from dimts.data.corpora import corpora
    from dimts.data.recogniser_weights import WEIGHTS, described, fetch_weights

    if not name:
        for known, corpus in corpora().items():
            print(f"{known:14s} {corpus.hours:6.0f} h  {corpus.licence:26s} {corpus.title}")
        for known in WEIGHTS:
            print(f"{known:14s} {described(known)}")
        return
    if name not in WEIGHTS:
        _fetch_corpus(name, project, source, yes=yes)
        return
    if project is not None or yes:
        raise DataError("data.weights_need_no_project", name=name)
    show(described(name))
    with progress_bar() as on_progress:
        print(fetch_weights(name, source, on_progress))


def _fetch_corpus(name: str, project: Path | None, source: Path | None, *, yes: bool) -> None:
    import sys

    from dimts.base.errors import DataError
    from dimts.base.project import Project
    from dimts.cli.output import progress_bar, show
    from dimts.data.corpora import fetch_corpus, offer
    from dimts.xtts.download import Acceptance

    opened = Project.open(project) if project is not None else None
    offered = offer(name, source)
    for message in offered.messages():
        show(message)
    if opened is None:
        raise DataError("data.corpus_needs_project", name=name)
    if not yes:
        if not sys.stdin.isatty():
            raise DataError("data.corpus_needs_yes", name=name)
        print(f"{Message('data.corpus_question').text()} [y/N]: ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes", "አዎ"):
            raise DataError("data.corpus_declined", name=name)
    with progress_bar() as on_progress:
        folder, new = fetch_corpus(opened, offered, Acceptance("flag" if yes else "asked"), on_progress)
    show(Message("data.corpus_fetched" if new else "data.corpus_there_already", project=str(project)))
    print(folder)


def set_clip(
    project: Path = PROJECT,
    identity: str = typer.Argument(..., metavar="ID", help="The clip, as 'dimts data check' names it."),
    text: str = typer.Option("", "--text", help="What is spoken in it.", show_default=False),
    keep: bool = typer.Option(False, "--keep", help="Use it, whatever the checks find."),
    drop: bool = typer.Option(False, "--drop", help="Do not use it."),
) -> None:
    """Decide about one clip: another text, keep it, or drop it. The decision holds when the set is prepared
    again."""
    from dimts.base.errors import DataError
    from dimts.base.project import Project
    from dimts.data import edit
    from dimts.data.check import kind_title

    opened = Project.open(project)
    if sum((bool(text), keep, drop)) != 1:
        raise DataError("data.one_decision")
    row = (
        edit.correct(opened, identity, text) if text else (edit.keep if keep else edit.drop)(opened, identity)
    )
    state = ", ".join(map(kind_title, row.rejected_for)) or Message("cli.kept").text()
    print(f"{row.id}\t{row.split or '-'}\t{state}\t{row.text}")


def remove(
    project: Path = PROJECT,
    names: list[str] = typer.Argument(
        None, metavar="[NAMES]...", help="Clips by id, recordings by name or file.", show_default=False
    ),
    speaker: str = typer.Option(None, "--speaker", help="Everything of this speaker.", show_default=False),
    delete: bool = typer.Option(
        False, "--delete", help="Delete the sound files too; they cannot be brought back."
    ),
) -> None:
    """Remove clips, recordings or a speaker from the training set, and list what is removed.

    The audio files stay unless --delete is given; 'dimts data set ID --keep' takes a clip back in.
    """
    from dimts.base.errors import DataError
    from dimts.base.project import Project
    from dimts.cli.output import write
    from dimts.data import edit

    if not names and speaker is None:
        raise DataError("data.nothing_named")
    found = edit.remove(Project.open(project), names or (), speaker, delete=delete)
    write(Message("cli.removed", count=len(found.rows), kept=found.kept, minutes=found.kept_seconds / 60))
    write(*(Message("cli.deleted", path=path) for path in (found.recordings if delete else ())))


def _show_stats(found: Stats) -> None:
    from dimts.cli.output import heading, write

    counted = (("cli.column_clips", ">8s"), ("cli.column_minutes", ">9s"))
    print(heading(("", "8s"), *counted))
    for name in ("train", "dev", "test"):
        print(f"{name:8s} {found.splits[name]:8d} {float(found.split_seconds[name]) / 60:9.1f}")
    kept, aside = Message("cli.kept").text(), Message("cli.aside").text()
    print(f"{kept:8s} {found.kept:8d} {found.seconds / 60:9.1f}")
    print(f"{aside:8s} {found.utterances - found.kept:8d} {found.set_aside_seconds / 60:9.1f}")
    print()
    print(heading(("cli.column_speaker", "16s"), *counted))
    unnamed = Message("cli.unnamed").text()
    for name, count in found.speakers.most_common(_SHOWN):
        print(f"{name or unnamed:16s} {count:8d} {float(found.speaker_seconds[name]) / 60:9.1f}")
    if len(found.speakers) > _SHOWN:
        write(Message("cli.and_more", count=len(found.speakers) - _SHOWN))
    print()
    _show_lengths(found)
    print()
    _show_phones(found)


def _show_lengths(found: Stats) -> None:
    from dimts.cli.output import write
    from dimts.data.stats import LENGTH_STEP_SECONDS

    write(Message("cli.clip_lengths"))
    most = max(found.lengths.values(), default=1)
    for step in range(min(found.lengths, default=0), max(found.lengths, default=-1) + 1):
        low = step * LENGTH_STEP_SECONDS
        drawn = "█" * round(_BAR_WIDTH * found.lengths[step] / most)
        span = Message("cli.seconds_span", low=low, high=low + LENGTH_STEP_SECONDS).text()
        print(f"{span} {found.lengths[step]:6d} {drawn}")


def _show_phones(found: Stats) -> None:
    from dimts.cli.output import write

    write(
        Message("cli.stats_sentences", different=len(found.distinct), words=found.words),
        Message("cli.stats_phones", different=len(found.phones), total=sum(found.phones.values())),
        Message("cli.stats_missing", phones=" ".join(found.missing) or "–"),
        Message("cli.stats_rare", phones=" ".join(found.rare) or "–"),
        Message("cli.stats_long", phones=" ".join(found.long_phones) or "–"),
        Message(
            "cli.stats_diphones",
            different=len(found.diphones),
            once=sum(count == 1 for count in found.diphones.values()),
        ),
    )


def _show_verdict(rows: list[Utterance], found: DatasetVerdict, *, every: bool) -> None:
    from dimts.cli.output import write
    from dimts.data.check import KINDS, kind_title

    kept = sum(row.kept for row in rows)
    write(Message("cli.verdict", kept=kept, total=len(rows), verdict=Message(f"cli.fitness_{found.fit}")))
    for finding in found.findings:
        severity = Message(f"cli.severity_{finding.severity}").text()
        write(Message("cli.verdict_finding", severity=f"{severity:5s}", finding=finding.message))
    for kind, count, against in found.issues:
        print()
        remedy = KINDS[kind].remedy if kind in KINDS else ""
        code = "cli.issue_group_aside" if against else "cli.issue_group"
        print(Message(code, kind=kind_title(kind), count=count, aside=against, remedy=remedy).text().rstrip())
        shown = 0
        for row in rows:
            for issue in row.issues:
                if issue.kind == kind and (every or shown < _SHOWN):
                    print(f"  {'–' if kind in row.rejected_for else ' '} {row.id}  {issue.message}")
                    shown += 1
        if shown < count:
            write(Message("cli.and_more_all", count=count - shown))


def _verdict_dict(rows: list[Utterance], found: DatasetVerdict) -> dict[str, object]:
    return {
        "verdict": found.fit,
        "utterances": len(rows),
        "kept": sum(row.kept for row in rows),
        "findings": [
            {
                "severity": one.severity,
                **one.message.as_dict(),
                "message": one.message.line("en"),
                "remedy": one.message.remedy("en"),
            }
            for one in found.findings
        ],
        "issues": {
            kind: {"utterances": count, "set_aside": against} for kind, count, against in found.issues
        },
        "rows": [
            {
                "id": row.id,
                "kept": row.kept,
                "rejected_for": list(row.rejected_for),
                "issues": [one.as_dict() for one in row.issues],
            }
            for row in rows
            if row.issues or not row.kept
        ],
    }
