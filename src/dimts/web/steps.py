"""The way to a voice in four steps, with which the page opens: what is done, what is next, one button each.

Record or upload → check → train → speak and share. A step is done when the project holds what it makes. Both
the opening page and gradio's page show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from dimts.base.project import Project
from dimts.web import clips, samples, uploads
from dimts.web.jobs import TRAINING, Jobs
from dimts.web.markup import escaped
from dimts.web.strings import Strings
from dimts.web.style import TABS
from dimts.web.voice_names import voice_label
from dimts.web.workspace import Workspace, voices

_MOST_OWN_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Step:
    """State of one step."""

    name: str
    done: bool
    text: str
    """What is done, in the page's language."""
    following: str
    """What is to be done next."""
    button: str
    minutes: float | None = None
    """Minutes recorded, where the step is about them."""


def steps(strings: Strings, project: Project | None) -> list[Step]:
    """Return the four steps of a project; without one, those that need none."""
    from dimts.data.check import GOOD_MINUTES

    recorded = len(uploads.recordings(project)) if project else 0
    rows = clips.rows(project) if project else []
    kept = [row for row in rows if row.kept]
    found = voices(project) if project else []
    waiting = Jobs(project).waiting() if project else []
    training = any(job.kind in TRAINING for job in waiting)
    minutes = f"{sum(row.seconds for row in kept) / 60:.1f}"
    checked = strings(
        "steps.check.some", kept=len(kept), all=len(rows), minutes=minutes, wanted=f"{GOOD_MINUTES:.0f}"
    )
    states = {
        "record": "some" if recorded else "none",
        "check": "some" if rows else "ready" if recorded else "none",
        "train": "running" if training else "some" if found else "ready" if kept else "none",
        "speak": "own" if found else "built_in",
    }
    texts = {
        "record": strings("steps.record.some", count=recorded) if recorded else strings("steps.record.none"),
        "check": checked if rows else strings("clips.none"),
        "train": strings("steps.train.running") if training
        else strings("steps.train.some", count=len(found)) if found else strings("steps.train.none"),
        "speak": strings("steps.speak.own", name=found[0]) if found else strings("steps.speak.built_in"),
    }  # fmt: skip
    done = {"record": recorded > 0, "check": bool(kept), "train": bool(found), "speak": False}
    measured = {"record": uploads.minutes_of(project) if project else 0.0}
    return [
        Step(name, done[name], texts[name], strings(f"steps.{name}.{states[name]}.next"),
             strings(f"steps.{name}.{states[name]}.go"), measured.get(name))
        for name in TABS
    ]  # fmt: skip


def following_of(found: Sequence[Step]) -> str:
    """Return the name of the first step that is not done; "" where all are."""
    return next((step.name for step in found if not step.done), "")


def step_html(strings: Strings, step: Step, following: str) -> str:
    """Format the state of a step; `following` is the name of the one to be done next."""
    state = "done" if step.done else "next" if step.name == following else "later"
    mark = {"done": "✓", "next": "●", "later": "○"}[state]
    title = strings(f"steps.{step.name}")
    spoken = strings(f"steps.state.{state}")
    ring = "" if step.minutes is None else _ring(strings, step.minutes)
    css = f"{state} next-step" if state == "next" else state
    return (
        f'<div class="step-state {css}"><h2><span aria-hidden="true">{mark}</span> {escaped(title)}'
        f'<span class="hidden-text"> ({escaped(spoken)})</span></h2>'
        f'<div class="step-done">{ring}<p>{escaped(step.text)}</p></div>'
        f'<p class="step-next">{escaped(step.following)}</p></div>'
    )


def samples_html(strings: Strings, workspace: Workspace, project: Project | None) -> str:
    """A player for a sentence of each voice; nothing is made or sent before one is started."""
    own = voices(project)[:_MOST_OWN_SAMPLES] if project else []
    folder = "" if project is None else f"{quote(workspace.name_of(project))}/"
    addresses = [(name, f"{folder}{quote(name)}") for name in own]
    addresses += [(name, quote(name)) for name in samples.built_in() if name not in own]
    players = "".join(
        f'<li><span>{escaped(voice_label(strings, name))}</span><audio controls preload="none" '
        f'aria-label="{escaped(strings("steps.sample", name=voice_label(strings, name)))}" '
        f'src="../sample/{address}"></audio></li>'
        for name, address in addresses
    )
    return f"<h2>{escaped(strings('steps.samples'))}</h2><ul>{players}</ul>"


def _ring(strings: Strings, minutes: float) -> str:
    """Minutes recorded, of those that a good voice wants, as a ring with its number inside: SVG."""
    from dimts.data.check import GOOD_MINUTES

    name = strings("steps.record.minutes", minutes=f"{minutes:.1f}", wanted=f"{GOOD_MINUTES:.0f}")
    length = 100 * min(minutes / GOOD_MINUTES, 1.0)  # the circle's radius makes its length 100
    shown = f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.1f}"
    return (
        f'<svg class="ring" viewBox="0 0 36 36" role="img" aria-label="{escaped(name)}">'
        '<circle cx="18" cy="18" r="15.915" class="ring-all"/>'
        f'<circle cx="18" cy="18" r="15.915" class="ring-part" stroke-dasharray="{length:.1f} 100"/>'
        f'<text x="18" y="19">{shown}</text>'
        f'<text x="18" y="26" class="ring-of">/ {GOOD_MINUTES:.0f}</text></svg>'
    )
