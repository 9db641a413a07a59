"""The tab *Record and prepare*: recordings in, clips out, each heard, read, corrected, kept or dropped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from dimts.base.messages import Message
from dimts.base.project import Project
from dimts.data.check import KINDS
from dimts.data.manifest import Utterance
from dimts.web import clips, microphone, uploads
from dimts.web.components import TabContext, escaped, notice, sound
from dimts.web.jobs import Jobs
from dimts.web.links import links_of

MAX_ROWS = 2000
"""Clips that the table shows at once; the filter narrows them."""
MAX_RECORDINGS = 500
_SHORT = 60


def build(page: TabContext) -> None:
    """Lay the tab out and bind it."""
    say = page.say
    with gr.Accordion(say("prepare.voice"), open=False):
        page.controls("voice")
    gr.Markdown(f"### {say('prepare.bring')}")
    listed = _bring(page)
    with gr.Accordion(say("prepare.links"), open=False):
        _links(page)
    with gr.Accordion(say("prepare.microphone"), open=False):
        microphone.build(page, listed, lambda project: listing_of(page, project))
    gr.Markdown(f"### {say('prepare.cut')}")
    with gr.Accordion(say("prepare.settings"), open=False):
        page.controls("prepare")
    start = gr.Button(say("prepare.start"), variant="primary", elem_id="prepare-start")
    said = gr.HTML(elem_id="prepare-said")

    def on_start(name: str | None) -> Any:
        project = page.project(name)
        Jobs(project).start("prepare")
        return notice(say("jobs.asked"), "good")

    page.on(start.click, on_start, [page.picker], [said])
    gr.Markdown(f"### {say('prepare.clips')}")
    _clips(page)


# ---------------------------------------------------------------- recordings in
def _bring(page: TabContext) -> Any:
    say = page.say
    gr.Markdown(say("prepare.bring.info", megabytes=page.max_bytes // 1_000_000))
    with gr.Row(equal_height=True):
        files = gr.File(
            label=say("prepare.files"), file_count="multiple", elem_id="prepare-files", height=150, min_width=240
        )
        folder = gr.File(
            label=say("prepare.folder"), file_count="directory", elem_id="prepare-folder", height=150, min_width=240
        )
    told = gr.HTML(elem_id="prepare-told")
    refused = gr.Dataframe(
        headers=[say("prepare.column.file"), say("prepare.column.why")],
        datatype="str",
        interactive=False,
        label=say("prepare.refused"),
        elem_id="prepare-refused",
        visible=False,
        wrap=True,
    )
    listed = gr.Dataframe(
        headers=[say("prepare.column.recording"), say("prepare.column.text")],
        datatype="str",
        interactive=False,
        label=say("prepare.recordings"),
        elem_id="prepare-recordings",
        max_height=240,
        wrap=True,
    )

    def on_files(name: str | None, paths: list[str] | None) -> Any:
        project = page.project(name)
        given = [uploads.Upload(Path(path).name, Path(path)) for path in paths or []]
        stored = uploads.receive(project, given, page.home.cache, page.max_bytes)
        text = say("prepare.stored", sounds=len(stored.sounds), texts=len(stored.texts))
        if stored.refused:
            text += " " + say("prepare.stored.refused", count=len(stored.refused))
        rows = [[file, _told(page, _kind(page, doubt.kind), doubt.message)] for file, doubt in stored.refused]
        table = gr.update(value=rows or [["", ""]], visible=bool(rows))
        return notice(text, "bad" if rows else "good"), table, found(project), None

    def found(project: Project) -> list[list[str]]:
        return listing_of(page, project)

    for source in (files, folder):
        page.on(source.upload, on_files, [page.picker, source], [told, refused, listed, source])
    page.shows(found, [listed])
    # what a job has fetched
    page.quietly(page.job.change, lambda name: found(page.project(name)) if name else gr.skip(),
                 [page.picker], [listed])  # fmt: skip
    return listed


def listing_of(page: TabContext, project: Project) -> list[list[str]]:
    """The recordings of a project and the texts beside them, as rows."""
    rows = uploads.recordings(project)
    out = [[project.relative(path), text or page.say("prepare.no_text")] for path, text in rows[:MAX_RECORDINGS]]
    if len(rows) > MAX_RECORDINGS:
        out.append([page.say("prepare.more", count=len(rows) - MAX_RECORDINGS), ""])
    return out or [["", ""]]


def _links(page: TabContext) -> None:
    """Links → a job that fetches them, as `dimts data add` does."""
    say = page.say
    gr.Markdown(say("prepare.links.info"))
    links = gr.Textbox(label=say("prepare.links.label"), lines=2, max_lines=8, elem_id="prepare-links-text",
                       placeholder="https://…", max_length=50_000)  # fmt: skip
    fetch = gr.Button(say("prepare.links.fetch"), elem_id="prepare-links-fetch")
    told = gr.HTML(elem_id="prepare-links-told")

    def on_fetch(name: str | None, text: str) -> Any:
        project = page.project(name)
        Jobs(project).start("add", links_of(text, open_to_others=page.open_to_others))
        return notice(say("jobs.asked"), "good"), ""

    page.on(fetch.click, on_fetch, [page.picker, links], [told, links])


# ---------------------------------------------------------------- clips out
def _clips(page: TabContext) -> None:
    say = page.say
    summary = gr.HTML(elem_id="clips-summary")
    with gr.Row():
        which = gr.Radio(
            [(say(f"clips.{name}"), name) for name in ("all", "kept", "aside", "doubted")],
            value="all",
            label=say("clips.which"),
            elem_id="clips-which",
        )
        reload = gr.Button(say("clips.reload"), elem_id="clips-reload", scale=0, min_width=160)
    table = gr.Dataframe(
        headers=[say(f"clips.column.{name}") for name in ("number", "kept", "seconds", "text", "doubts")],
        datatype=["number", "str", "str", "str", "str"],
        interactive=False,
        label=say("clips.table"),
        elem_id="clips-table",
        wrap=True,
        max_height=380,
        column_widths=["10%", "14%", "14%", "36%", "26%"],
    )
    ids = gr.State([])
    at = gr.State("")
    with gr.Group(elem_id="clip"):
        with gr.Row():
            before = gr.Button(say("clips.before"), elem_id="clip-before", min_width=120)
            after = gr.Button(say("clips.after"), elem_id="clip-after", min_width=120)
        head = gr.HTML(elem_id="clip-head")
        player = gr.Audio(label=say("clips.player"), interactive=False, elem_id="clip-player", buttons=[])
        text = gr.Textbox(label=say("clips.text"), lines=2, elem_id="clip-text", max_length=clips.MAX_LETTERS)
        doubts = gr.Textbox(label=say("clips.doubts"), interactive=False, lines=1, max_lines=6, elem_id="clip-doubts")
        with gr.Row():
            save = gr.Button(say("clips.save"), variant="primary", elem_id="clip-save", min_width=120)
            keep = gr.Button(say("clips.keep"), elem_id="clip-keep", min_width=120)
            drop = gr.Button(say("clips.drop"), variant="stop", elem_id="clip-drop", min_width=120)
    one = [at, head, player, text, doubts]

    def listing(project: Project, which: str = "all") -> list[Any]:
        rows = clips.rows(project)
        chosen = [row for row in rows if _wanted(row, which)]
        shown = [
            [number, "✓" if row.kept else "–", f"{row.seconds:.1f}", row.text or "", _kinds(page, row)]
            for number, row in enumerate(chosen[:MAX_ROWS], start=1)
        ]
        return [shown or [["", "", "", "", ""]], [row.id for row in chosen[:MAX_ROWS]], _summary(page, rows)]

    def detail(project: Project, identity: str) -> list[Any]:
        row = clips.row_of(project, identity)
        path = clips.sound_of(project, row)
        played = None
        if path is not None:
            from dimts.audio.wave import Wave

            wave = Wave.load(path)
            played = sound(wave)
        state = say("clips.is_kept", split=say(f"split.{row.split or 'none'}")) if row.kept else say("clips.is_aside")
        lines = [
            _told(page, _kind(page, doubt.kind), doubt.message)
            + (f" → {page.text(KINDS[doubt.kind].remedy)}" if doubt.kind in KINDS else "")
            for doubt in row.doubts
        ]
        return [
            row.id,
            notice(
                f"{row.name} · {say('forecast.seconds', seconds=f'{row.seconds:.1f}')} · {state}",
                "good" if row.kept else "bad",
            ),
            gr.update(value=played),
            row.text,
            "\n".join(lines) or say("clips.no_doubts"),
        ]

    def on_select(name: str | None, ids: list[str], event: gr.SelectData) -> Any:
        number = _number_of(event)
        if number is None or not 1 <= number <= len(ids):
            return [gr.skip()] * len(one)
        return detail(page.project(name), ids[number - 1])

    def on_step(name: str | None, ids: list[str], at: str, step: int) -> Any:
        if not ids:
            return [gr.skip()] * len(one)
        place = ids.index(at) + step if at in ids else 0
        return detail(page.project(name), ids[min(max(place, 0), len(ids) - 1)])

    def changing(change: Any) -> Any:
        def on_change(name: str | None, which: str, at: str, text: str) -> Any:
            project = page.project(name)
            change(project, at, text)
            return [*listing(project, which), *detail(project, at)]

        return on_change

    places = [table, ids, summary]
    page.shows(listing, places)
    page.on(reload.click, lambda name, which: listing(page.project(name), which), [page.picker, which], places)
    page.on(which.input, lambda name, which: listing(page.project(name), which), [page.picker, which], places)
    page.quietly(table.select, on_select, [page.picker, ids], one)
    page.quietly(before.click, lambda name, ids, at: on_step(name, ids, at, -1), [page.picker, ids, at], one)
    page.quietly(after.click, lambda name, ids, at: on_step(name, ids, at, 1), [page.picker, ids, at], one)
    for button, change in (
        (save, clips.correct),
        (keep, lambda project, at, text: clips.keep(project, at)),
        (drop, lambda project, at, text: clips.drop(project, at)),
    ):
        page.on(button.click, changing(change), [page.picker, which, at, text], [*places, *one])
    # when a job begins or ends, what it made is shown
    page.quietly(page.job.change, lambda name: listing(page.project(name)) if name else [gr.skip()] * 3,
                 [page.picker], places)  # fmt: skip


def _wanted(row: Utterance, which: str) -> bool:
    return {"kept": row.kept, "aside": not row.kept, "doubted": bool(row.doubts)}.get(which, True)


def _kind(page: TabContext, kind: str) -> str:
    key = f"doubt.{kind}"
    return page.say(key) if page.say.has(key) else kind


def _told(page: TabContext, what: str, message: Message | str) -> str:
    return page.say("page.told", what=what, told=page.text(message))


def _kinds(page: TabContext, row: Utterance) -> str:
    return ", ".join(dict.fromkeys(_kind(page, doubt.kind) for doubt in row.doubts))


def _summary(page: TabContext, rows: Sequence[Utterance]) -> str:
    from dimts.data.check import verdict

    if not rows:
        return notice(page.say("clips.none"))
    kept = [row for row in rows if row.kept]
    minutes = sum(row.seconds for row in kept) / 60
    found = verdict(rows)
    text = page.say("clips.summary", kept=len(kept), all=len(rows), minutes=f"{minutes:.1f}")
    line = notice(f"{text} {page.say(f'verdict.{found.fit}')}", "good" if found.fit == "fit" else "info")
    why = [_told(page, page.text(one.message), one.remedy) for one in found.findings]
    return line + (f'<ul class="why">{"".join(f"<li>{escaped(one)}</li>" for one in why)}</ul>' if why else "")


def _number_of(event: gr.SelectData) -> int | None:
    """The number in the first column of the chosen row; sorting in the browser does not change it."""
    row = getattr(event, "row_value", None)
    try:
        return int(row[0]) if row else None
    except (TypeError, ValueError):
        return None
