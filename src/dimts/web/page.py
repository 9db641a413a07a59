"""Build one language's page: project, running job, and tabs. All browsers show the same folder."""

from __future__ import annotations

import time
from typing import Any

import gradio as gr

from dimts.base.progress import Progress
from dimts.web import (
    compare_tab,
    events,
    prepare_tab,
    run_view,
    speak_tab,
    steps_panel,
    storage_tab,
    system_tab,
    text_tab,
    train_tab,
)
from dimts.web.clock import clock
from dimts.web.components import LAST, TabContext
from dimts.web.jobs import Job, Jobs
from dimts.web.markup import escaped, header, notice
from dimts.web.settings import WebSettings
from dimts.web.strings import Strings
from dimts.web.style import head
from dimts.web.synthesis import Speakers, Streams
from dimts.web.theme import theme
from dimts.web.workspace import Workspace

_LOG_LETTERS = 6000


def build(
    language: str, workspace: Workspace, streams: Streams, speakers: Speakers, served: WebSettings
) -> gr.Blocks:
    """Build the page in one language. Nothing of a project is read before a browser opens it."""
    strings = Strings(language)
    page = TabContext(strings, workspace, streams, speakers, served.max_bytes, served.open_to_others)
    blocks: gr.Blocks
    with gr.Blocks(title=strings("page.title"), analytics_enabled=False, fill_width=False) as blocks:
        page.still = gr.HTML(header(strings), elem_id="top")
        # pressed by the browser when the project has changed (`pulse.py`); never seen
        tick = gr.Button("↻", elem_id="tick")
        none = _project(page)
        _job(page)
        buttons = steps_panel.build(page, none)
        page.problem = gr.HTML(elem_id="settings-problem")
        steps_panel.above(page)
        page.filled = gr.HTML(elem_id="filled")
        tabs = (
            ("text", lambda: text_tab.build(page)),
            ("prepare", lambda: prepare_tab.build(page)),
            ("train", lambda: train_tab.build(page)),
            ("speak", lambda: speak_tab.build(page)),
            ("compare", lambda: compare_tab.build(page)),
            ("storage", lambda: storage_tab.build(page)),
            ("system", lambda: system_tab.build(page)),
        )
        with gr.Tabs(elem_id="tabs") as shown:
            for name, lay_out in tabs:
                with gr.Tab(strings(f"tab.{name}"), id=name, elem_id=f"tab-{name}") as page.tab:
                    lay_out()  # type: ignore[no-untyped-call]
                page.tab.select(None, [], [], js=f"() => dimts.tab('{name}')", **LAST)
        steps_panel.bind(buttons, shown)
        steps_panel.below(page)
        page.bind(tick)
        _open(page, blocks, none, shown, [name for name, _ in tabs])
    return blocks


def mounting(language: str) -> dict[str, Any]:
    """Return the arguments of `gradio.mount_gradio_app` for the look of a page."""
    return {"theme": theme(), "head": head(language)}


def _project(page: TabContext) -> Any:
    """Build the choice and creation of a project; returns the component that reports that there is none."""
    strings, workspace = page.strings, page.workspace
    none = gr.HTML(elem_id="project-none", render=False)
    with gr.Row(elem_id="project-row"):
        page.picker = gr.Dropdown(
            [], label=strings("project.choose"), elem_id="project", interactive=True, min_width=220, scale=2
        )
        if not workspace.single:
            name = gr.Textbox(
                label=strings("project.name"),
                placeholder=strings("project.name.example"),
                elem_id="project-name",
                min_width=160,
                max_length=64,
            )
            make = gr.Button(strings("project.make"), elem_id="project-make", min_width=120, scale=0)

            def on_make(wanted: str) -> Any:
                made = workspace.create(wanted)
                return gr.update(choices=workspace.names(), value=made), "", ""

            page.on(make.click, on_make, [name], [page.picker, name, none], errors=none)
            page.on(name.submit, on_make, [name], [page.picker, name, none], errors=none)
    none.render()  # type: ignore[no-untyped-call]
    return none


def _open(page: TabContext, blocks: gr.Blocks, none: Any, tabs: Any, names: list[str]) -> None:
    """Fill the page when it is opened: project and tab from the address, texts from this browser's
    storage."""
    strings, workspace = page.strings, page.workspace
    wanted, wanted_tab = gr.Textbox(visible=False, label="project"), gr.Textbox(visible=False, label="tab")

    def on_open(project: str | None, tab: str | None) -> Any:
        found = workspace.names()
        first = project if project in found else workspace.first()
        text = "" if found else notice(strings("project.none"))
        chosen = gr.Tabs(selected=tab) if tab in names else gr.skip()
        # without a project there is nothing to wait for
        return (
            gr.update(choices=found, value=first),
            text,
            chosen,
            gr.skip() if first else '<span data-filled="no"></span>',
        )

    opened = page.quietly(
        blocks.load, on_open, [wanted, wanted_tab], [page.picker, none, tabs, page.filled],
        js="() => [dimts.place().project || '', dimts.tabOf()]",
    )  # fmt: skip
    opened.then(None, [page.picker], [], js="(name) => { dimts.restored(); dimts.go({project: name}); }")
    page.picker.change(None, [page.picker], [], js="(name) => dimts.go({project: name})")
    if page.remembered:
        kept = list(page.remembered.values())
        values = ", ".join(f"v{at}" for at in range(len(kept)))
        stored = ", ".join(f"dimts.kept('{name}', v{at})" for at, name in enumerate(page.remembered))
        blocks.load(None, kept, kept, js=f"({values}) => [{stored}]")


def _job(page: TabContext) -> None:
    """Build the status of the running job: its kind, progress, log, and the buttons to end it."""
    strings = page.strings
    with gr.Group(elem_id="job"):
        status = gr.HTML(elem_id="job-status")
        with gr.Row(visible=False) as buttons:
            stop = gr.Button(
                strings("jobs.stop"), variant="stop", elem_id="job-stop", size="sm", min_width=120
            )
            kill = gr.Button(strings("jobs.kill"), elem_id="job-kill", size="sm", min_width=120)
            remove = gr.Button(visible=False, elem_id="job-remove", size="sm", min_width=120)
        with gr.Accordion(strings("jobs.log"), open=False):
            log = gr.Textbox(
                show_label=False, label=strings("jobs.log"), lines=6, max_lines=14, interactive=False,
                elem_id="job-log", autoscroll=True,
            )  # fmt: skip
    # its value changes when a job begins or ends; tabs are bound to that
    page.job = gr.Textbox(visible=False, label="job")
    seen = gr.State(())

    def refresh(name: str | None, before: tuple[object, ...]) -> Any:
        nothing = [gr.skip()] * 6
        if not name:
            return nothing
        jobs = Jobs(page.project(name))
        job = jobs.latest()
        waiting = jobs.waiting()
        text = "" if job is None else job_html(page, jobs, job)
        log_text = "" if job is None else log_of(page, jobs, job)
        queued = [one for one in waiting if one.state == "queued"]
        stamp = (name, text, log_text, [one.id for one in queued], jobs.paused)
        if stamp == tuple(before):
            return nothing
        more = "".join(notice(strings("jobs.next", kind=strings(f"jobs.kind.{one.kind}")))
                       for one in queued if job is None or one.id != job.id)  # fmt: skip
        if queued and jobs.paused:
            more += notice(strings("jobs.paused"))
        changed = "" if job is None else f"{name}:{job.id}:{job.state}"
        label = strings("jobs.remove", kind=strings(f"jobs.kind.{queued[0].kind}")) if queued else ""
        removal = gr.update(value=label, visible=bool(queued))
        return [text + more, gr.update(visible=bool(waiting)), log_text, changed, stamp, removal]

    def on_stop(name: str | None, *, now: bool) -> Any:
        jobs = Jobs(page.project(name))
        if waiting := jobs.waiting():
            jobs.stop(waiting[0].id, now=now)
        return refresh(name, ())

    def on_remove(name: str | None) -> Any:
        jobs = Jobs(page.project(name))
        if queued := [one for one in jobs.waiting() if one.state == "queued"]:
            jobs.stop(queued[0].id)
        return refresh(name, ())

    places = [status, buttons, log, page.job, seen, remove]
    page.refreshed(refresh, [page.picker, seen], places, status)
    page.quietly(page.picker.change, lambda name: refresh(name, ()), [page.picker], places, errors=status)
    page.quietly(stop.click, lambda name: on_stop(name, now=False), [page.picker], places, errors=status)
    page.quietly(kill.click, lambda name: on_stop(name, now=True), [page.picker], places, errors=status)
    page.quietly(remove.click, on_remove, [page.picker], places, errors=status)


def job_html(page: TabContext, jobs: Jobs, job: Job) -> str:
    """Format a job as a notice with a bar: kind, progress, time left, or how it ended."""
    kind = {"running": "busy", "done": "good", "failed": "bad", "lost": "bad"}.get(job.state, "info")
    line = notice(status_line(page, jobs, job), kind)
    event = events.last_progress(jobs.log(job)) if job.state == "running" else None
    now = (_live(jobs, job) or (event.progress if event else None)) if job.state == "running" else None
    if now is None or not now.total:
        return line
    label = escaped(events.amount(now, page.strings.language))
    return line + f'<progress max="{now.total:g}" value="{now.done:g}" aria-label="{label}"></progress>'


def status_line(page: TabContext, jobs: Jobs, job: Job) -> str:
    """Format a job in a line: kind, progress, start, or how it ended."""
    strings = page.strings
    kind = strings(f"jobs.kind.{job.kind}")
    line = strings("page.pair", name=kind, value=strings(f"jobs.state.{job.state}"))
    if job.state == "running":
        found = events.last_progress(jobs.log(job))
        progress_now = _live(jobs, job) or (found.progress if found else None)
        if progress_now is not None:
            line += f" · {events.amount(progress_now, strings.language)}"
        line += f" · {_clock(time.time() - job.started)}"
        if found is not None and found.seconds_left is not None:
            line += f" · {strings('jobs.left', time=_clock(found.seconds_left))}"
        if jobs.stop_file(job).exists():
            line += f" · {strings('jobs.stopping')}"
    elif job.over:
        line += f" · {clock(strings, job.ended or job.created)}"
        if job.state == "failed":
            reason = jobs.reason(job)
            line += "".join(
                f" · {one}" for one in (page.text(reason), reason.remedy(strings.language)) if one
            )
    return line


def log_of(page: TabContext, jobs: Jobs, job: Job) -> str:
    """Format the end of a job's log, each event in the page's language."""
    lines = (events.line(one, page.strings.language) for one in jobs.log(job))
    return "\n".join(line for line in lines if line)[-_LOG_LETTERS:]


def _live(jobs: Jobs, job: Job) -> Progress | None:
    """Return the current step of a training job by the run's own log, which is ahead of the job's."""
    names = run_view.runs(jobs.project) if job.kind.startswith("train") else []
    if not names:
        return None
    found = run_view.view(jobs.project, names[0])
    log = found.folder / "log.jsonl"
    if found.ended or not found.total or not log.is_file() or log.stat().st_mtime < job.started:
        return None
    return Progress("train", found.step, found.total, "steps")


def _clock(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
