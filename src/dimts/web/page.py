"""One language's page: project, the job at work, and the tabs. Every browser sees the same folder."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import gradio as gr

from dimts.base.progress import Progress
from dimts.web import compare_tab, events, prepare_tab, progress, speak_tab, system_tab, text_tab, train_tab
from dimts.web.components import TabContext, escaped, notice
from dimts.web.jobs import Job, Jobs
from dimts.web.speaking import Speakers, Streams
from dimts.web.strings import Strings
from dimts.web.style import head, theme
from dimts.web.workspace import Workspace

if TYPE_CHECKING:
    from dimts.web.app import WebSettings

TICK_SECONDS = 2.0
_LOG_LETTERS = 6000


def build(language: str, home: Workspace, streams: Streams, speakers: Speakers, served: WebSettings) -> gr.Blocks:
    """The page in one language. Nothing of a project is read before a browser opens it."""
    say = Strings(language)
    page = TabContext(say, home, streams, speakers, served.max_bytes, served.open_to_others)
    blocks: gr.Blocks
    with gr.Blocks(title=say("page.title"), analytics_enabled=False, fill_width=False) as blocks:
        gr.HTML(_header(say), elem_id="top")
        timer = gr.Timer(TICK_SECONDS)
        _project(page, blocks)
        _job(page, timer)
        tabs = (
            ("text", lambda: text_tab.build(page)),
            ("prepare", lambda: prepare_tab.build(page)),
            ("train", lambda: train_tab.build(page, timer)),
            ("speak", lambda: speak_tab.build(page)),
            ("compare", lambda: compare_tab.build(page)),
            ("system", lambda: system_tab.build(page)),
        )
        with gr.Tabs(elem_id="tabs"):
            for name, lay_out in tabs:
                with gr.Tab(say(f"tab.{name}"), id=name, elem_id=f"tab-{name}") as page.tab:
                    lay_out()  # type: ignore[no-untyped-call]
        page.bind()
    return blocks


def mounting(language: str) -> dict[str, Any]:
    """How the page of a language looks: arguments of `gradio.mount_gradio_app`."""
    return {"theme": theme(), "head": head(language)}


def _header(say: Strings) -> str:
    code, name = say.other
    return (
        f'<header class="top"><div><span class="mark" lang="am">ድምፅ</span> <strong>dimts</strong> '
        f'<span class="claim">{escaped(say("page.claim"))}</span></div>'
        f'<a href="../{code}/?chosen" lang="{code}" hreflang="{code}">{escaped(name)}</a></header>'
    )


def _project(page: TabContext, blocks: gr.Blocks) -> None:
    say, home = page.say, page.home
    none = gr.HTML(elem_id="project-none", render=False)
    with gr.Row(elem_id="project-row"):
        page.picker = gr.Dropdown(
            [], label=say("project.choose"), elem_id="project", interactive=True, min_width=220, scale=2
        )
        if not home.single:
            name = gr.Textbox(
                label=say("project.name"), placeholder=say("project.name.example"), elem_id="project-name",
                min_width=160, max_length=64,
            )  # fmt: skip
            make = gr.Button(say("project.make"), elem_id="project-make", min_width=120, scale=0)

            def on_make(wanted: str) -> Any:
                made = home.create(wanted)
                return gr.update(choices=home.names(), value=made), "", ""

            page.on(make.click, on_make, [name], [page.picker, name, none])
            page.on(name.submit, on_make, [name], [page.picker, name, none])

    none.render()  # type: ignore[no-untyped-call]

    def names() -> Any:
        found = home.names()
        busy = [name for name in found if Jobs(home.project(name)).waiting()]
        told = "" if found else notice(say("project.none"))
        return gr.update(choices=found, value=next(iter(busy or found), None)), told

    page.quietly(blocks.load, names, [], [page.picker, none])


def _job(page: TabContext, timer: Any) -> None:
    """The strip that every browser finds again: what is at work, how far, its log, and the way to end it."""
    say = page.say
    with gr.Group(elem_id="job"):
        status = gr.HTML(elem_id="job-status")
        with gr.Row(visible=False) as buttons:
            stop = gr.Button(say("jobs.stop"), variant="stop", elem_id="job-stop", size="sm", min_width=120)
            kill = gr.Button(say("jobs.kill"), elem_id="job-kill", size="sm", min_width=120)
        with gr.Accordion(say("jobs.log"), open=False):
            log = gr.Textbox(
                show_label=False, label=say("jobs.log"), lines=6, max_lines=14, interactive=False, elem_id="job-log",
                autoscroll=True,
            )  # fmt: skip
    # its value changes when a job begins or ends; tabs listen to it
    page.job = gr.Textbox(visible=False, label="job")
    seen = gr.State(())

    def look(name: str | None, before: tuple[object, ...]) -> Any:
        nothing = [gr.skip()] * 5
        if not name:
            return nothing
        jobs = Jobs(page.project(name))
        job = jobs.latest()
        waiting = jobs.waiting()
        text = "" if job is None else status_line(page, jobs, job)
        log_text = "" if job is None else log_of(page, jobs, job)
        queued = [one for one in waiting if job is None or one.id != job.id]
        stamp = (name, text, log_text, len(queued))
        if stamp == tuple(before):
            return nothing
        more = "".join(notice(say("jobs.next", kind=say(f"jobs.kind.{one.kind}"))) for one in queued)
        changed = "" if job is None else f"{name}:{job.id}:{job.state}"
        return [_framed(job, text) + more, gr.update(visible=bool(waiting)), log_text, changed, stamp]

    def on_stop(name: str | None, *, now: bool) -> Any:
        jobs = Jobs(page.project(name))
        waiting = jobs.waiting()
        if waiting:
            jobs.stop(waiting[0].id, now=now)
        return look(name, ())

    places = [status, buttons, log, page.job, seen]
    page.quietly(timer.tick, look, [page.picker, seen], places)
    page.quietly(page.picker.change, lambda name: look(name, ()), [page.picker], places)
    page.quietly(stop.click, lambda name: on_stop(name, now=False), [page.picker], places)
    page.quietly(kill.click, lambda name: on_stop(name, now=True), [page.picker], places)


def status_line(page: TabContext, jobs: Jobs, job: Job) -> str:
    """A job in a line: what, how far, since when, or how it ended."""
    say = page.say
    kind = say(f"jobs.kind.{job.kind}")
    line = say("page.told", what=kind, told=say(f"jobs.state.{job.state}"))
    if job.state == "running":
        found = events.last_progress(jobs.log(job))
        progress_now = _live(jobs, job) or (found.progress if found else None)
        if progress_now is not None:
            line += f" · {events.amount(progress_now, say.language)}"
        line += f" · {_clock(time.time() - job.started)}"
        if jobs.stop_file(job).exists():
            line += f" · {say('jobs.stopping')}"
    elif job.over:
        line += f" · {time.strftime('%H:%M', time.localtime(job.ended or job.created))}"
        if job.state == "failed":
            reason = jobs.reason(job)
            line += "".join(f" · {one}" for one in (page.text(reason), reason.remedy(say.language)) if one)
    return line


def log_of(page: TabContext, jobs: Jobs, job: Job) -> str:
    """The end of a job's log, each event in the page's language."""
    lines = (events.line(one, page.say.language) for one in jobs.log(job))
    return "\n".join(line for line in lines if line)[-_LOG_LETTERS:]


def _live(jobs: Jobs, job: Job) -> Progress | None:
    """The step of the run that a training job is at, by the run's own log, which is ahead of the job's."""
    names = progress.runs(jobs.project) if job.kind.startswith("train") else []
    if not names:
        return None
    found = progress.view(jobs.project, names[0])
    log = found.folder / "log.jsonl"
    if found.ended or not found.total or not log.is_file() or log.stat().st_mtime < job.started:
        return None
    return Progress("train", found.step, found.total, "steps")


def _framed(job: Job | None, text: str) -> str:
    if job is None:
        return ""
    kind = {"running": "busy", "done": "good", "failed": "bad", "lost": "bad"}.get(job.state, "info")
    return notice(text, kind)


def _clock(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
