"""The four steps on gradio's page.

A step's button opens that part of the page alone; all tabs and every setting are behind *Expert* (see
`style.py`, which shows and hides).
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from dimts.base.project import Project
from dimts.web import clips, uploads
from dimts.web.components import TabContext
from dimts.web.jobs import Jobs
from dimts.web.markup import escaped
from dimts.web.steps import following_of, samples_html, step_html, steps
from dimts.web.style import TABS

FOLLOWING = {"record": "check", "check": "train", "train": "speak"}
"""Step → the one after it."""


def build(page: TabContext, none: Any) -> dict[str, Any]:
    """Lay the steps out and bind them; `none` is the place that says that there is no project.
    Returns each step's button, to be bound to its tab."""
    shown, buttons = [], {}
    with gr.Column(elem_id="home"):
        with gr.Row(elem_id="steps"):
            for name in TABS:
                with gr.Column(min_width=150, elem_classes=["step"]):
                    shown.append(gr.HTML(elem_id=f"step-{name}"))
                    button = gr.Button(
                        page.strings(f"steps.{name}"), elem_id=f"step-{name}-go", variant="primary"
                    )
                    buttons[name] = button
        status = gr.HTML(elem_id="step-status")
        problem = gr.HTML(elem_id="step-problem")
        heard = gr.HTML(elem_id="samples")
    seen = gr.State(())
    places = [*shown, *buttons.values(), heard, problem, seen]

    def refresh(name: str | None, before: tuple[object, ...]) -> Any:
        project = page.project(name) if name and name in page.workspace.names() else None
        stamp = (name, _stamp(project))
        if stamp == tuple(before):
            return [gr.skip()] * len(places)
        found = steps(page.strings, project)
        following = following_of(found)
        return [
            *(step_html(page.strings, step, following) for step in found),
            *(gr.update(value=step.button, variant="primary" if step.name == following else "secondary")
              for step in found),
            samples_html(page.strings, page.workspace, project),
            "",
            stamp,
        ]  # fmt: skip

    page.refreshed(refresh, [page.picker, seen], places, problem)
    page.quietly(page.picker.change, lambda name: refresh(name, ()), [page.picker], places, errors=problem)
    for name, button in buttons.items():
        _bind(page, name, button, status, none)
    return buttons


def _bind(page: TabContext, name: str, button: Any, status: Any, none: Any) -> None:
    """Let a button open its step: the first one makes a project where there is none, the second prepares
    what was recorded, the last one speaks."""

    def on_record(project: str | None) -> Any:
        found = page.workspace.names()
        if project in found:
            return gr.skip(), gr.skip()
        made = page.workspace.create(_free(page.strings("steps.first_project"), found))
        return gr.update(choices=page.workspace.names(), value=made), ""

    def on_check(project: str | None) -> Any:
        found = page.project(project)
        jobs = Jobs(found)
        if uploads.recordings(found) and not clips.rows(found) and not jobs.waiting():
            jobs.start("prepare")
        return ""

    button.click(None, [], [], js=f"() => dimts.step('{name}')")
    if name == "record":
        page.on(button.click, on_record, [page.picker], [page.picker, none], errors=status)
    elif name == "check":
        page.on(button.click, on_check, [page.picker], [status], errors=status)


def bind(buttons: dict[str, Any], tabs: Any) -> None:
    """Let each button open the tab of its step, also one that has no room in a narrow strip."""
    for name, button in buttons.items():
        button.click(lambda tab=TABS[name]: gr.Tabs(selected=tab), [], [tabs], show_progress="hidden",
                     api_visibility="private")  # fmt: skip


def above(page: TabContext) -> None:
    """The line above an opened step: back to all four, and which step it is."""
    strings = page.strings
    titles = "".join(
        f'<h2 class="of-step" data-step="{name}">{escaped(strings(f"steps.{name}"))}</h2>' for name in TABS
    )
    gr.HTML(
        f'<nav class="way" aria-label="{escaped(strings("steps.way"))}"><button type="button" id="back" '
        f'onclick="dimts.home()">← {escaped(strings("steps.back"))}</button>{titles}</nav>',
        elem_id="way",
    )


def below(page: TabContext) -> None:
    """The button below an opened step that goes on to the next one: as if that one's own were pressed."""
    strings = page.strings
    buttons = "".join(
        f'<button type="button" class="of-step next" data-step="{name}" id="next-{after}" '
        f"onclick=\"document.querySelector('#step-{after}-go').click()\">"
        f"{escaped(strings('steps.go_on', step=strings(f'steps.{after}')))} →</button>"
        for name, after in FOLLOWING.items()
    )
    gr.HTML(f'<nav class="way" aria-label="{escaped(strings("steps.onward"))}">{buttons}</nav>',
            elem_id="onward")  # fmt: skip


def _free(name: str, taken: list[str]) -> str:
    """A name like `name` that no project has."""
    numbers = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(one for one in numbers if one not in taken)


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
