"""The way to a voice in four steps above the tabs, each with its state and a button.

Record or upload → check → train → speak. A step is done when the project holds what it makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from dimts.base.project import Project
from dimts.web import clips, uploads
from dimts.web.components import TabContext, escaped
from dimts.web.jobs import TRAINING, Jobs
from dimts.web.workspace import voices

TABS = {"record": "prepare", "check": "prepare", "train": "train", "speak": "speak"}
"""Tab of each step."""
_SCROLL = {"check": "#clips-summary"}


@dataclass(frozen=True, slots=True)
class Step:
    """State of one step."""

    name: str
    done: bool
    text: str
    """Description of the state, in the page's language."""


def steps(page: TabContext, project: Project | None) -> list[Step]:
    """Return the four steps of a project; without one, those that need none."""
    from dimts.data.check import GOOD_MINUTES

    strings = page.strings
    if project is None:
        texts = ("steps.project", "clips.none", "steps.train.none", "steps.speak.built_in")
        return [Step(name, False, strings(text)) for name, text in zip(TABS, texts, strict=True)]
    recorded = len(uploads.recordings(project))
    rows = clips.rows(project)
    kept = [row for row in rows if row.kept]
    minutes = f"{sum(row.seconds for row in kept) / 60:.1f}"
    found = voices(project)
    training = any(job.kind in TRAINING for job in Jobs(project).waiting())
    checked = strings(
        "steps.check.some", kept=len(kept), all=len(rows), minutes=minutes, wanted=f"{GOOD_MINUTES:.0f}"
    )
    trained = strings("steps.train.some", count=len(found)) if found else strings("steps.train.none")
    spoken = strings("steps.speak.own", name=found[0]) if found else strings("steps.speak.built_in")
    return [
        Step("record", recorded > 0, strings("steps.record.some", count=recorded) if recorded else
             strings("steps.record.none")),
        Step("check", bool(kept), checked if rows else strings("clips.none")),
        Step("train", bool(found), strings("steps.train.running") if training else trained),
        Step("speak", False, spoken),
    ]  # fmt: skip


def build(page: TabContext, timer: Any) -> dict[str, Any]:
    """Build the steps; returns each step's button, to be bound to its tab."""
    strings = page.strings
    shown, buttons = [], {}
    with gr.Row(elem_id="steps"):
        for name in TABS:
            with gr.Column(min_width=150, elem_classes=["step"]):
                shown.append(gr.HTML(elem_id=f"step-{name}"))
                buttons[name] = gr.Button(strings(f"steps.{name}.go"), elem_id=f"step-{name}-go", size="sm")
    seen = gr.State(())

    def refresh(name: str | None, before: tuple[object, ...]) -> Any:
        project = page.project(name) if name and name in page.workspace.names() else None
        stamp = (name, _stamp(project))
        if stamp == tuple(before):
            return [gr.skip()] * (len(shown) + 1)
        found = steps(page, project)
        following = next((step.name for step in found if not step.done), "")
        return [*(_html(page, step, following) for step in found), stamp]

    page.quietly(timer.tick, refresh, [page.picker, seen], [*shown, seen])
    page.quietly(page.picker.change, lambda name: refresh(name, ()), [page.picker], [*shown, seen])
    return buttons


def bind(buttons: dict[str, Any], tabs: Any) -> None:
    """Bind each button to the tab of its step."""
    for name, button in buttons.items():
        place = _SCROLL.get(name, f"#tab-{TABS[name]}")
        scroll = f"() => setTimeout(() => document.querySelector('{place}')?.scrollIntoView(), 300)"
        opened = button.click(
            lambda tab=TABS[name]: gr.Tabs(selected=tab),
            [],
            [tabs],
            show_progress="hidden",
            api_visibility="private",
        )
        opened.then(None, [], [], js=scroll)


def _html(page: TabContext, step: Step, following: str) -> str:
    state = "done" if step.done else "next" if step.name == following else "later"
    mark = {"done": "✓", "next": "●", "later": "○"}[state]
    title = page.strings(f"steps.{step.name}")
    spoken = page.strings(f"steps.state.{state}")
    return (
        f'<div class="step-state {state}"><h2><span aria-hidden="true">{mark}</span> {escaped(title)}'
        f'<span class="hidden-text"> ({escaped(spoken)})</span></h2><p>{escaped(step.text)}</p></div>'
    )


def _stamp(project: Project | None) -> tuple[object, ...]:
    """Return a value that changes when a step may have."""
    if project is None:
        return ()
    times = []
    for path in (project.recordings, project.manifest, project.voices, project.root / "jobs"):
        try:
            times.append(path.stat().st_mtime_ns)
        except OSError:
            times.append(0)
    return tuple(times)
