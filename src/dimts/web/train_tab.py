"""The tab *Train*: settings, what they will cost, the run itself with its curves and samples, and what each did."""

from __future__ import annotations

from typing import Any

import gradio as gr

from dimts.base.errors import ConfigError
from dimts.base.plugins import require
from dimts.base.project import Project
from dimts.web import progress, settings
from dimts.web.components import TabContext, notice, sound
from dimts.web.controls import of_tab
from dimts.web.forecast import forecast
from dimts.web.jobs import Jobs
from dimts.web.workspace import voices

_COLOURS = {"train": "#14795c", "dev": "#c2552d"}
_HEAD_SIZE = 64  # of XTTS v2: width 1024 over 16 heads


def build(page: TabContext, timer: Any) -> None:
    """Lay the tab out and bind it."""
    say = page.say
    page.controls("train", per_row=4)
    usable = gr.Textbox(
        say("train.looking"), label=say("train.usable"), interactive=False, lines=2, max_lines=8, elem_id="train-usable"
    )
    with gr.Accordion(say("train.more"), open=False):
        page.controls("train_more")
    base = page.widgets["train.base"]
    own = of_tab("train") + of_tab("train_more")
    keys, widgets = [one.key for one in own], [page.widgets[one.key] for one in own]
    with gr.Row():
        start = gr.Button(say("train.start"), variant="primary", elem_id="train-start")
        fresh = gr.Button(say("train.new"), elem_id="train-new")
        pause = gr.Button(say("train.pause"), elem_id="train-pause")
        cost = gr.Button(say("train.forecast"), elem_id="train-forecast")
    said = gr.HTML(elem_id="train-said")
    with gr.Column(visible=False) as forecasts:
        here = gr.Dataframe(
            headers=[say(f"forecast.column.{name}") for name in ("what", "value")], datatype="str",
            interactive=False, label=say("train.forecast.label"), elem_id="train-cost", wrap=True,
            column_widths=["34%", "66%"],
        )  # fmt: skip
        cards = gr.Dataframe(
            headers=[say(f"forecast.column.{name}") for name in ("card", "fits", "peak", "batch", "epoch")],
            datatype="str", interactive=False, label=say("train.forecast.cards"), elem_id="train-cards", wrap=True,
        )  # fmt: skip
    gr.Markdown(f"### {say('train.run')}")
    none = gr.HTML(notice(say("train.run.none")), elem_id="train-none")
    with gr.Column(visible=False) as whole:
        with gr.Row():
            run = gr.Dropdown([], label=say("train.runs"), elem_id="train-runs", interactive=True, scale=2)
            state = gr.HTML(elem_id="train-state")
        curve = gr.LinePlot(
            x="step", y="loss", color="curve",
            color_map={say(f"train.curve.{name}"): colour for name, colour in _COLOURS.items()},
            x_title=say("train.step"), y_title=say("train.loss"),
            color_title=say("train.curve"), height=320, label=say("train.curves"), elem_id="train-curves",
            tooltip="axis",
        )  # fmt: skip
        with gr.Row(visible=False) as heard:
            sample = gr.Dropdown([], label=say("train.samples"), elem_id="train-samples", interactive=True)
            player = gr.Audio(label=say("train.sample"), interactive=False, elem_id="train-player", buttons=[])
        with gr.Accordion(say("train.truth"), open=False):
            gr.Markdown(say("train.truth.info"))
            truth = gr.Dataframe(
                headers=[say(f"train.truth.{name}") for name in ("option", "asked", "applied", "measured")],
                datatype="str", interactive=False, elem_id="train-truth", wrap=True, max_height=420,
                column_widths=["20%", "14%", "20%", "46%"],
            )  # fmt: skip
    drawn = gr.State(())

    def begin(kind: str) -> Any:
        def on_start(name: str | None, *values: Any) -> Any:
            project = page.project(name)
            _save(page, project, keys, values)
            Jobs(project).start(kind)
            return notice(say("jobs.asked"), "good")

        return on_start

    def on_cost(name: str | None, *values: Any) -> Any:
        project = page.project(name)
        _save(page, project, keys, values)
        return [gr.update(visible=True), *forecast(page, project)]

    def on_pause(name: str | None) -> Any:
        jobs = Jobs(page.project(name))
        running = next((job for job in jobs.waiting() if job.kind.startswith("train")), None)
        if running is None:
            return notice(say("train.pause.none"), "bad")
        jobs.stop(running.id)
        return notice(say("jobs.stopping"), "good")

    def on_open(project: Project) -> Any:
        return gr.update(choices=bases(page, project), value=settings.get(project)["train.base"])

    def on_tick(name: str | None, chosen: str | None, before: tuple[object, ...]) -> Any:
        nothing = [gr.skip()] * len(places)
        if not name:
            return nothing
        project = page.project(name)
        names = progress.runs(project)
        if not names:  # of another project something may be shown
            empty = (project.root.name,)
            told = [gr.update(visible=True), gr.update(visible=False), *nothing[2:-1], empty]
            return nothing if empty == tuple(before) else told
        chosen = chosen if chosen in names and before and before[-1] == names[0] else names[0]
        found = progress.view(project, chosen)
        stamp = (project.root.name, *found.stamp, names[0])
        if stamp == tuple(before):
            return nothing
        return [
            gr.update(visible=False),
            gr.update(visible=True),
            gr.update(choices=names, value=chosen),
            _state(page, found),
            _frame(page, found),
            gr.update(visible=bool(found.samples)),
            gr.update(choices=list(found.samples), value=found.samples[0] if found.samples else None),
            progress.truth(project, chosen) or [["", "", "", ""]],
            stamp,
        ]

    def on_run(name: str | None, chosen: str | None) -> Any:
        return on_tick(name, chosen, ("", progress.runs(page.project(name))[0]) if chosen else ())

    def on_sample(name: str | None, run: str | None, sample: str | None) -> Any:
        if not name or not run or not sample:
            return None
        from dimts.audio.wave import Wave

        wave = Wave.load(progress.sample(page.project(name), run, sample))
        return sound(wave)

    places = [none, whole, run, state, curve, heard, sample, truth, drawn]
    page.shows(on_open, [base])
    page.on(start.click, begin("train"), [page.picker, *widgets], [said])
    page.on(fresh.click, begin("train_new"), [page.picker, *widgets], [said])
    page.quietly(pause.click, on_pause, [page.picker], [said])
    page.on(cost.click, on_cost, [page.picker, *widgets], [forecasts, here, cards], concurrency_limit=1)
    page.quietly(timer.tick, on_tick, [page.picker, run, drawn], places)
    page.shows(lambda project: on_tick(project_name(page, project), None, ()), places)
    page.quietly(run.input, on_run, [page.picker, run], places)
    page.quietly(sample.change, on_sample, [page.picker, run, sample], [player])
    page.quietly(
        page.job.change, lambda name: on_open(page.project(name)) if name else gr.skip(), [page.picker], [base]
    )
    # not before the tab is opened: it loads torch
    page.quietly(page.tab.select, lambda: usable_here(page), [], [usable])


def project_name(page: TabContext, project: Project) -> str:
    """The name by which the page knows a project."""
    return project.root.resolve().name if page.home.single else project.root.name


def bases(page: TabContext, project: Project) -> list[tuple[str, str]]:
    """What training may start from: (what it is called, value of train.base)."""
    from dimts.base.errors import DownloadError
    from dimts.xtts.download import XTTS_V2, find_base

    offered = [(page.say("train.base.none"), "")]
    try:
        find_base()
        offered.append((page.say("train.base.fetched"), XTTS_V2.name))
    except DownloadError:
        offered.append((page.say("train.base.missing"), XTTS_V2.name))
    offered += [
        (page.say("train.base.voice", name=name), str((project.voices / name).resolve())) for name in voices(project)
    ]
    now = str(settings.get(project)["train.base"])
    if now not in [value for _, value in offered]:
        offered.append((page.say("train.base.file"), now))
    return offered


def usable_here(page: TabContext) -> str:
    """Each kind of attention: usable on this machine, or why not."""
    from dimts.train.capabilities import KINDS, MachineInfo, obstacle, plan_precision

    machine = MachineInfo.look()
    precision = plan_precision("auto", machine).name
    lines = [page.say("page.told", what=page.say("train.machine"), told=f"{machine.device}, {machine.name}")]
    for kind in KINDS:
        why = obstacle(kind, machine, precision, _HEAD_SIZE)  # type: ignore[arg-type]
        here = page.say("train.not_here", why=page.text(why)) if why else page.say("train.here")
        lines.append(page.say("page.told", what=kind, told=here))
    return "\n".join(lines)


def _save(page: TabContext, project: Project, keys: list[str], values: tuple[Any, ...]) -> None:
    """Write what the controls show; the base must be one of those offered."""
    shown = dict(zip(keys, values, strict=True))
    if shown["train.base"] not in [value for _, value in bases(page, project)]:
        raise ConfigError("web.base_not_offered")
    page.save(project, list(shown), list(shown.values()))


def _state(page: TabContext, found: progress.RunView) -> str:
    step = page.say("train.at", step=found.step, total=found.total or "?")
    last = next((point for point in reversed(found.points) if point[2] == "train"), None)
    loss = f" · {page.say('train.loss')} {last[1]:.3f}" if last else ""
    why = f"ended.{found.ended}"
    why = page.say(why) if page.say.has(why) else found.ended
    ended = f" · {page.say('train.ended', why=why)}" if why else ""
    return notice(f"{step}{loss}{ended}", "good" if found.ended else "info")


def _frame(page: TabContext, found: progress.RunView) -> Any:
    pandas = require("pandas", "ui")
    points = [(step, loss, page.say(f"train.curve.{curve}")) for step, loss, curve in found.points]
    columns = list(zip(*points, strict=True)) or [(), (), ()]
    return pandas.DataFrame(dict(zip(("step", "loss", "curve"), columns, strict=True)))
