"""The tab *Record and prepare*: add recordings by upload, link or microphone; prepare clips (`clips_tab`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from dimts.base.project import Project
from dimts.web import backend_order, clips_tab, downloads, recording_session, set_pictures, share, uploads
from dimts.web.clips_tab import issue_line
from dimts.web.components import TabContext
from dimts.web.jobs import Jobs
from dimts.web.links import links_of
from dimts.web.markup import notice

MAX_RECORDINGS = 500


def build(page: TabContext) -> None:
    """Build the tab and bind its events."""
    strings = page.strings
    with gr.Column(elem_classes=["of-record"]):
        with gr.Accordion(strings("prepare.voice"), open=False):
            page.controls("voice")
        gr.Markdown(f"### {strings('prepare.add')}")
        listed = _recordings(page)
        with gr.Accordion(strings("prepare.links"), open=False):
            _links(page)
        with gr.Accordion(strings("prepare.microphone"), open=False):
            recording_session.build(page, listed, lambda project: listing_of(page, project))
    with gr.Column(elem_classes=["of-check"]):
        gr.Markdown(f"### {strings('prepare.cut')}")
        _prepare(page)
        gr.Markdown(f"### {strings('prepare.clips')}")
        clips_tab.build(page)
        with gr.Accordion(strings("pictures.title"), open=False):
            set_pictures.build(page)
        with gr.Accordion(strings("share.data"), open=False):
            share.data(page)


def _prepare(page: TabContext) -> None:
    """Settings of preparation, the recogniser's weights, and the button that starts it."""
    strings = page.strings
    with gr.Accordion(strings("prepare.settings"), open=False, elem_classes=["expert"]):
        page.controls("prepare")
    with gr.Accordion(strings("fetch.recogniser"), open=False):
        downloads.build(page, "fetch_recogniser", downloads.recogniser_weights)
    backend_order.build(page, "prepare")
    start = gr.Button(strings("prepare.start"), variant="primary", elem_id="prepare-start")
    status = gr.HTML(elem_id="prepare-job")

    def on_start(name: str | None) -> Any:
        project = page.project(name)
        Jobs(project).start("prepare")
        return notice(strings("jobs.asked"), "good")

    page.on(start.click, on_start, [page.picker], [status], errors=status)


# ---------------------------------------------------------------- adding recordings
def _recordings(page: TabContext) -> Any:
    strings = page.strings
    gr.Markdown(strings("prepare.add.info", megabytes=page.max_bytes // 1_000_000))
    with gr.Row(equal_height=True):
        files = gr.File(
            label=strings("prepare.files"),
            file_count="multiple",
            elem_id="prepare-files",
            height=150,
            min_width=240,
        )
        folder = gr.File(
            label=strings("prepare.folder"),
            file_count="directory",
            elem_id="prepare-folder",
            height=150,
            min_width=240,
        )
    status = gr.HTML(elem_id="prepare-status")
    refused = gr.Dataframe(
        headers=[strings("prepare.column.file"), strings("prepare.column.why")],
        datatype="str",
        interactive=False,
        label=strings("prepare.refused"),
        elem_id="prepare-refused",
        visible=False,
        wrap=True,
    )
    listed = gr.Dataframe(
        headers=[strings("prepare.column.recording"), strings("prepare.column.text")],
        datatype="str",
        interactive=False,
        label=strings("prepare.recordings"),
        elem_id="prepare-recordings",
        max_height=240,
        wrap=True,
    )

    def on_files(name: str | None, paths: list[str] | None) -> Any:
        project = page.project(name)
        given = [uploads.Upload(Path(path).name, Path(path)) for path in paths or []]
        stored = uploads.receive(project, given, page.workspace.cache, page.max_bytes)
        text = strings("prepare.stored", sounds=len(stored.sounds), texts=len(stored.texts))
        if stored.refused:
            text += " " + strings("prepare.stored.refused", count=len(stored.refused))
        rows = [[file, issue_line(page, issue)] for file, issue in stored.refused]
        uploads.discard((one.path for one in given), page.workspace.cache)
        table = gr.update(value=rows or [["", ""]], visible=bool(rows))
        return notice(text, "bad" if rows else "good"), table, found(project), None

    def found(project: Project) -> list[list[str]]:
        return listing_of(page, project)

    for source in (files, folder):
        page.on(
            source.upload, on_files, [page.picker, source], [status, refused, listed, source], errors=status
        )
    page.shows(found, [listed])
    # what a job has fetched
    page.quietly(page.job.change, lambda name: found(page.project(name)) if name else gr.skip(),
                 [page.picker], [listed])  # fmt: skip
    return listed


def listing_of(page: TabContext, project: Project) -> list[list[str]]:
    """Return the recordings of a project and their texts as rows."""
    rows = uploads.recordings(project)
    out = [
        [project.relative(path), text or page.strings("prepare.no_text")]
        for path, text in rows[:MAX_RECORDINGS]
    ]
    if len(rows) > MAX_RECORDINGS:
        out.append([page.strings("prepare.more", count=len(rows) - MAX_RECORDINGS), ""])
    return out or [["", ""]]


def _links(page: TabContext) -> None:
    """Build the field for links, which a job fetches as `dimts data add` does."""
    strings = page.strings
    gr.Markdown(strings("prepare.links.info"))
    links = gr.Textbox(
        label=strings("prepare.links.label"),
        lines=2,
        max_lines=8,
        elem_id="prepare-links-text",
        placeholder="https://…",
        max_length=50_000,
    )
    fetch = gr.Button(strings("prepare.links.fetch"), elem_id="prepare-links-fetch")
    status = gr.HTML(elem_id="prepare-links-status")

    def on_fetch(name: str | None, text: str) -> Any:
        project = page.project(name)
        Jobs(project).start("add", links_of(text, open_to_others=page.open_to_others))
        return notice(strings("jobs.asked"), "good"), ""

    page.on(fetch.click, on_fetch, [page.picker, links], [status, links], errors=status)
