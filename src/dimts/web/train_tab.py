"""The tab *Train*: settings, forecast, the run with its curves and samples, and its option report."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from dimts.base import builtin_voices
from dimts.base.plugins import require
from dimts.base.project import Project
from dimts.web import (
    backend_order,
    clips,
    downloads,
    forecast,
    presets,
    project_settings,
    run_view,
    storage,
)
from dimts.web.clock import with_time
from dimts.web.components import TabContext, sound
from dimts.web.controls import of_tab
from dimts.web.jobs import Jobs
from dimts.web.markup import notice
from dimts.web.workspace import voices

_COLOURS = {"train": "#14795c", "dev": "#c2552d"}


def build(page: TabContext) -> None:
    """Build the tab and bind its events."""
    strings = page.strings
    page.choices["train.base"] = lambda project: bases(page, project)
    _presets(page)
    with gr.Column(elem_classes=["expert"]):
        page.controls("train", per_row=4)
        usable = gr.Textbox(strings("train.looking"), label=strings("train.usable"), interactive=False,
                            lines=2, max_lines=8, elem_id="train-usable")  # fmt: skip
    with gr.Accordion(strings("train.more"), open=False, elem_classes=["expert"]):
        page.controls("train_more")
    with gr.Accordion(strings("fetch.base"), open=False):
        downloads.build(page, "fetch_base", downloads.base_weights)
    backend_order.build(page, "train")
    _actions(page)
    gr.Markdown(f"### {strings('train.run')}")
    _run(page)
    base = page.widgets["train.base"]

    def on_job(name: str | None) -> Any:
        return gr.update(choices=bases(page, page.project(name))) if name else gr.skip()

    page.quietly(page.job.change, on_job, [page.picker], [base])
    # not before the tab is opened: it loads torch
    page.quietly(page.tab.select, lambda: usable_here(page), [], [usable])


def _presets(page: TabContext) -> None:
    """The choice of settings for a kind of machine, and how long the run will take here."""
    strings = page.strings
    choice = gr.Radio(
        _offered_presets(page, None), label=strings("preset.choose"), info=strings("preset.info"),
        elem_id="train-preset", interactive=True,
    )  # fmt: skip
    time = gr.HTML(elem_id="train-time")
    seen = gr.State(())

    def on_preset(name: str | None, chosen: str) -> Any:
        project = page.project(name)
        presets.apply(project, chosen)
        jobs = Jobs(project)
        if any(row.kept for row in clips.rows(project)) and not jobs.waiting():
            jobs.start("cost")
        return _time(page, project)

    def refresh(name: str | None, before: tuple[object, ...]) -> Any:
        if not name or name not in page.workspace.names():
            return [gr.skip()] * 3
        project = page.project(name)
        job = Jobs(project).latest()
        stamp = (name, project_settings.stamp(project), job.id if job else "", job.state if job else "")
        if stamp == tuple(before):
            return [gr.skip()] * 3
        return [gr.update(value=presets.chosen(project)), _time(page, project), stamp]

    page.on(choice.input, on_preset, [page.picker, choice], [time], errors=time)
    page.refreshed(refresh, [page.picker, seen], [choice, time, seen], time)
    page.quietly(page.picker.change, lambda name: refresh(name, ()), [page.picker], [choice, time, seen],
                 errors=time)  # fmt: skip
    # this machine's own stands first; to know it loads torch, so not before the tab is opened
    own = partial(_offered_presets, page)
    page.quietly(page.tab.select, lambda: gr.update(choices=own(_own_preset())), [], [choice], errors=time)


def _own_preset() -> str:
    from dimts.train.capabilities import MachineInfo

    return presets.suits(MachineInfo.look())


def _offered_presets(page: TabContext, own: str | None) -> list[tuple[str, str]]:
    """(What it is called, name) of every preset, this machine's own first."""
    names = sorted(presets.NAMES, key=lambda name: name != own)
    labels = {name: page.strings(f"preset.{name}") for name in names}
    return [
        (page.strings("preset.here", name=labels[name]) if name == own else labels[name], name)
        for name in names
    ]


def _time(page: TabContext, project: Project) -> str:
    """How long a run with the present settings takes here, by the last forecast."""
    if not any(row.kept for row in clips.rows(project)):
        return notice(page.strings("preset.time.no_clips"))
    if any(job.kind == "cost" for job in Jobs(project).waiting()):
        return notice(page.strings("preset.time.counting"), "busy")
    found = forecast.duration(page, project)
    if found is None:
        return notice(page.strings("preset.time.unknown"))
    return notice(page.strings("preset.time", time=found), "good")


def _actions(page: TabContext) -> None:
    """Build the buttons, and the forecast."""
    strings = page.strings
    own = of_tab("train") + of_tab("train_more")
    keys, widgets = [one.key for one in own], [page.widgets[one.key] for one in own]
    with gr.Row():
        start = gr.Button(strings("train.start"), variant="primary", elem_id="train-start")
        fresh = gr.Button(strings("train.new"), elem_id="train-new")
        pause = gr.Button(strings("train.pause"), elem_id="train-pause")
        cost = gr.Button(strings("train.forecast"), elem_id="train-forecast")
    status = gr.HTML(elem_id="train-status")
    with gr.Column(visible=False) as forecasts:
        here = gr.Dataframe(
            headers=[strings(f"forecast.column.{name}") for name in ("what", "value")], datatype="str",
            interactive=False, label=strings("train.forecast.label"), elem_id="train-cost", wrap=True,
            column_widths=["34%", "66%"],
        )  # fmt: skip
        cards = gr.Dataframe(
            headers=[
                strings(f"forecast.column.{name}") for name in ("card", "fits", "peak", "batch", "epoch")
            ],
            datatype="str",
            interactive=False,
            label=strings("train.forecast.cards"),
            elem_id="train-cards",
            wrap=True,
        )

    def begin(kind: str) -> Any:
        def on_start(request: gr.Request, name: str | None, *values: Any) -> Any:
            page.save_changed(name, keys, values, request.session_hash)
            Jobs(page.project(name)).start(kind)
            return notice(strings("jobs.asked"), "good")

        return on_start

    def on_pause(name: str | None) -> Any:
        if Jobs(page.project(name)).pause() is None:
            return notice(strings("train.pause.none"), "bad")
        return notice(strings("jobs.stopping"), "good")

    def on_job(name: str | None) -> Any:
        """Show the tables of the last forecast."""
        found = forecast.latest(page, page.project(name)) if name else None
        return [gr.skip()] * 3 if found is None else [gr.update(visible=True), *found]

    for button, kind in ((start, "train"), (fresh, "train_new"), (cost, "cost")):
        page.on(button.click, begin(kind), [page.picker, *widgets], [status], errors=status)
    page.quietly(pause.click, on_pause, [page.picker], [status], errors=status)
    page.quietly(page.job.change, on_job, [page.picker], [forecasts, here, cards], errors=status,
                 clear=False)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _RunPlaces:
    """Components that show a run."""

    none: Any
    whole: Any
    run: Any
    state: Any
    curve: Any
    samples: Any
    sample: Any
    player: Any
    options: Any
    drawn: Any

    @property
    def outputs(self) -> list[Any]:
        """Outputs of `_drawn`, in its order."""
        return [
            self.none,
            self.whole,
            self.run,
            self.state,
            self.curve,
            self.samples,
            self.sample,
            self.options,
            self.drawn,
        ]


def _run_places(page: TabContext) -> _RunPlaces:
    """Build the components that show a run."""
    strings = page.strings
    none = gr.HTML(notice(strings("train.run.none")), elem_id="train-none")
    with gr.Column(visible=False) as whole:
        with gr.Row():
            run = gr.Dropdown(
                [], label=strings("train.runs"), elem_id="train-runs", interactive=True, scale=2
            )
            state = gr.HTML(elem_id="train-state")
        curve = gr.LinePlot(
            x="step",
            y="loss",
            color="curve",
            color_map={strings(f"train.curve.{name}"): colour for name, colour in _COLOURS.items()},
            x_title=strings("train.step"),
            y_title=strings("train.loss"),
            color_title=strings("train.curve"),
            height=320,
            label=strings("train.curves"),
            elem_id="train-curves",
            tooltip="axis",
        )
        with gr.Row(visible=False) as samples:
            sample = gr.Dropdown(
                [], label=strings("train.samples"), elem_id="train-samples", interactive=True
            )
            player = gr.Audio(
                label=strings("train.sample"), interactive=False, elem_id="train-player", buttons=[]
            )
        with gr.Accordion(strings("train.options"), open=False):
            gr.Markdown(strings("train.options.info"))
            options = gr.Dataframe(
                headers=[
                    strings(f"train.options.{name}") for name in ("option", "asked", "applied", "measured")
                ],
                datatype="str",
                interactive=False,
                elem_id="train-options",
                wrap=True,
                max_height=420,
                column_widths=["20%", "14%", "20%", "46%"],
            )
    return _RunPlaces(none, whole, run, state, curve, samples, sample, player, options, gr.State(()))


def _run(page: TabContext) -> None:
    """Bind the run's curves, samples and option report, redrawn as it proceeds."""
    places = _run_places(page)

    def on_tick(name: str | None, chosen: str | None, before: tuple[object, ...]) -> Any:
        return _drawn(page, name, chosen, before)

    def on_run(name: str | None, chosen: str | None) -> Any:
        return _drawn(page, name, chosen, ("", run_view.runs(page.project(name))[0]) if chosen else ())

    def on_sample(name: str | None, run: str | None, sample: str | None) -> Any:
        if not name or not run or not sample:
            return None
        from dimts.audio.wave import Wave

        return sound(Wave.load(run_view.sample(page.project(name), run, sample)))

    picker, outputs, errors = page.picker, places.outputs, places.state
    page.refreshed(on_tick, [picker, places.run, places.drawn], outputs, errors)
    page.shows(lambda project: _drawn(page, page.workspace.name_of(project), None, ()), outputs)
    page.quietly(places.run.input, on_run, [picker, places.run], outputs, errors=errors)
    page.quietly(
        places.sample.change, on_sample, [picker, places.run, places.sample], [places.player], errors=errors
    )


def _drawn(page: TabContext, name: str | None, chosen: str | None, before: tuple[object, ...]) -> Any:
    """Return the values of `_RunPlaces.outputs` for the selected run; nothing new where it is as `before`."""
    nothing = [gr.skip()] * 9
    if not name:
        return nothing
    project = page.project(name)
    names = run_view.runs(project)
    if not names:  # of another project something may be shown
        empty = (project.root.name,)
        hidden = [gr.update(visible=True), gr.update(visible=False), *nothing[2:-1], empty]
        return nothing if empty == tuple(before) else hidden
    chosen = chosen if chosen in names and before and before[-1] == names[0] else names[0]
    found = run_view.view(project, chosen)
    stamp = (project.root.name, *found.stamp, names[0])
    if stamp == tuple(before):
        return nothing
    return [
        gr.update(visible=False),
        gr.update(visible=True),
        gr.update(
            choices=[
                (with_time(page.strings, storage.run_title(project.runs / one), one), one) for one in names
            ],
            value=chosen,
        ),
        _state(page, found),
        _frame(page, found),
        gr.update(visible=bool(found.samples)),
        gr.update(choices=list(found.samples), value=found.samples[0] if found.samples else None),
        run_view.options(project, chosen, page.strings.language) or [["", "", "", ""]],
        stamp,
    ]


def bases(page: TabContext, project: Project) -> list[tuple[str, str]]:
    """Return the bases of training: (label, value of train.base)."""
    from dimts.base.errors import DownloadError
    from dimts.xtts.download import XTTS_V2, find_base

    offered = [(page.strings("train.base.none"), "")]
    if builtin_voices.base() is not None:
        offered.insert(0, (page.strings("train.base.small"), builtin_voices.NAME))
    try:
        find_base()
        offered.append((page.strings("train.base.fetched"), XTTS_V2.name))
    except DownloadError:
        offered.append((page.strings("train.base.missing"), XTTS_V2.name))
    offered += [
        (page.strings("train.base.voice", name=name), str((project.voices / name).resolve()))
        for name in voices(project)
    ]
    now = str(project_settings.get(project)["train.base"])
    if now not in [value for _, value in offered]:
        offered.append((page.strings("train.base.file"), now))
    return offered


def usable_here(page: TabContext) -> str:
    """List each kind of attention: usable on this machine, or why not."""
    from dimts.train.capabilities import MachineInfo, capability_table

    machine = MachineInfo.look()
    lines = [
        page.strings(
            "page.pair", name=page.strings("train.machine"), value=f"{machine.device}, {machine.name}"
        )
    ]
    for row in capability_table(machine):
        if row.group == "attention":
            why = page.text(row.why)
            here = page.strings("train.here") if row.runs else page.strings("train.not_here", why=why)
            lines.append(page.strings("page.pair", name=row.name, value=here))
    return "\n".join(lines)


def _state(page: TabContext, found: run_view.RunView) -> str:
    step = page.strings("train.at", step=found.step, total=found.total or "?")
    last = next((point for point in reversed(found.points) if point[2] == "train"), None)
    loss = f" · {page.strings('train.loss')} {last[1]:.3f}" if last else ""
    ended = f" · {page.strings('train.ended', why=page.text(found.ended))}" if found.ended else ""
    return notice(f"{step}{loss}{ended}", "good" if found.ended else "info")


def _frame(page: TabContext, found: run_view.RunView) -> Any:
    pandas = require("pandas", "ui")
    points = [(step, loss, page.strings(f"train.curve.{curve}")) for step, loss, curve in found.points]
    columns = list(zip(*points, strict=True)) or [(), (), ()]
    return pandas.DataFrame(dict(zip(("step", "loss", "curve"), columns, strict=True)))
