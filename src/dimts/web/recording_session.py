"""The recording session of *Record and prepare*: read the script line by line, play, keep, continue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from dimts.base.errors import DataError
from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.web import script, speaker_list, uploads
from dimts.web.components import TabContext
from dimts.web.markup import notice

_SENTENCES = 50
_MOST_SENTENCES = 1000
_MOST_TEXTS = 20


def build(page: TabContext, listed: Any, listing: Callable[[Project], list[list[str]]]) -> None:
    """Build the session and bind its events; `listed` is the table of the project's recordings, `listing` its
    rows."""
    strings = page.strings
    gr.Markdown(strings("prepare.microphone.info"))
    who = speaker_list.build(page)
    done = gr.HTML(elem_id="mic-done")
    at = gr.Number(
        1, label=strings("prepare.line_number"), precision=0, minimum=1, elem_id="mic-number", min_width=120
    )
    line = gr.Textbox(label=strings("prepare.line"), interactive=False, elem_id="mic-line", lines=2)
    take = gr.Audio(
        sources=["microphone"],
        type="filepath",
        format="wav",
        label=strings("prepare.take"),
        elem_id="mic-take",
    )
    with gr.Row():
        keep = gr.Button(strings("prepare.take.keep"), variant="primary", elem_id="mic-keep")
        again = gr.Button(strings("prepare.take.again"), elem_id="mic-again")
        back = gr.Button(strings("prepare.take.back"), elem_id="mic-back")
        skip = gr.Button(strings("prepare.take.skip"), elem_id="mic-skip")
    status = gr.HTML(elem_id="mic-status")
    text = gr.Textbox(
        label=strings("prepare.script"),
        info=strings("prepare.script.info"),
        lines=4,
        max_lines=8,
        elem_id="mic-script",
        max_length=200_000,
    )
    places = [done, at, line]
    with gr.Accordion(strings("prepare.choose"), open=False):
        _choosing(page, text, places)

    def on_step(name: str | None, number: float | None, reader: str, step: int) -> Any:
        found = script.reading(page.project(name), reader)
        return [*at_line(page, found, int(number or 1) + step), None]

    def on_keep(name: str | None, number: float | None, spoken: str | None, reader: str) -> Any:
        project = page.project(name)
        if not spoken:
            raise DataError("web.nothing_recorded_yet")
        line = script.reading(project, reader).line(int(number or 1))
        uploads.keep_take(project, Path(spoken), line, page.workspace.cache, page.max_bytes, reader)
        uploads.discard([Path(spoken)], page.workspace.cache)
        shown = at_line(page, script.reading(project, reader), int(number or 1) + 1)
        return *shown, None, notice(strings("prepare.take.kept"), "good"), listing(project)

    def on_script(name: str | None, text: str, reader: str) -> Any:
        project = page.project(name)
        before, now = script.reading(project), script.lines_of(text)
        if now != before.lines:
            script.save(project, text)
        found = script.reading(project, reader)
        return at_line(page, found, found.next)

    def on_reader(name: str | None, reader: str) -> Any:
        found = script.reading(page.project(name), reader)
        return [*at_line(page, found, found.next), None]

    def on_open(project: Project) -> Any:
        found = script.reading(project)
        return [*at_line(page, found, found.next), "\n".join(found.lines)]

    def stepping(step: int) -> Callable[..., Any]:
        return lambda name, number, reader: on_step(name, number, reader, step)

    page.on(keep.click, on_keep, [page.picker, at, take, who], [*places, take, status, listed], errors=status)
    page.quietly(again.click, lambda: None, [], [take])
    for event, step in ((back.click, -1), (skip.click, 1), (at.blur, 0), (at.submit, 0)):
        page.quietly(event, stepping(step), [page.picker, at, who], [*places, take], errors=status)
    page.quietly(who.change, on_reader, [page.picker, who], [*places, take], errors=status)
    page.quietly(text.blur, on_script, [page.picker, text, who], places, errors=status)
    page.shows(on_open, [*places, text])


def at_line(page: TabContext, found: script.ScriptReading, number: int) -> list[Any]:
    """Return how much is recorded, the number of a line, and the line."""
    number = min(max(number, 1), max(1, len(found.lines)))
    line = page.strings("prepare.recorded", done=len(found.recorded), all=len(found.lines))
    if number in found.recorded:
        line += " " + page.strings("prepare.recorded.this")
    whole = bool(found.lines) and len(found.recorded) == len(found.lines)
    return [notice(line, "good" if whole else "info"), number, found.line(number)]


def _choosing(page: TabContext, text: Any, places: list[Any]) -> None:
    """Build the choice of sentences from texts, as `dimts data script` makes it."""
    strings = page.strings
    gr.Markdown(strings("prepare.choose.info"))
    with gr.Row():
        files = gr.File(label=strings("prepare.choose.files"), file_count="multiple", elem_id="script-files",
                        height=120, min_width=240)  # fmt: skip
        count = gr.Number(_SENTENCES, label=strings("prepare.choose.count"), precision=0, minimum=1,
                          maximum=_MOST_SENTENCES, elem_id="script-count", min_width=160)  # fmt: skip
    go = gr.Button(strings("prepare.choose.go"), elem_id="script-go")
    status = gr.HTML(elem_id="script-status")

    def on_go(
        name: str | None,
        paths: list[str] | None,
        count: float | None,
        bar: Any = gr.Progress(),  # noqa: B008
    ) -> Any:
        project = page.project(name)
        given = [uploads.text_of(Path(path), page.workspace.cache) for path in (paths or [])[:_MOST_TEXTS]]
        if not given:
            raise DataError("web.no_text_to_choose_from")
        wanted = min(max(int(count or 1), 1), _MOST_SENTENCES)

        def on_progress(progress: Progress) -> None:
            bar((int(progress.done), int(progress.total or 1)), desc=progress.stage_text(strings.language))

        found = script.choose_from(project, given, wanted, on_progress=on_progress)
        now = script.reading(project)
        missing = " ".join(found.missing)
        line = strings("prepare.chosen", count=len(found.sentences), minutes=f"{found.seconds / 60:.1f}",
                   covered=found.covered, found=found.found)  # fmt: skip
        line += " " + (
            strings("prepare.chosen.missing", phones=missing) if missing else strings("prepare.chosen.whole")
        )
        return [notice(line, "good"), "\n".join(now.lines), *at_line(page, now, now.next), None]

    page.on(
        go.click,
        on_go,
        [page.picker, files, count],
        [status, text, *places, files],
        errors=status,
        concurrency_limit=1,
    )
