"""Clips of the tab *Record and prepare*: play, correct, keep or drop each.

A corrected text is saved when its field loses the focus; the last ten changes can be undone. While an answer
that will replace the text is on its way, the field is read-only: what is typed then would be lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from dimts.base.issue import Issue
from dimts.base.project import Project
from dimts.data.check import KINDS
from dimts.data.manifest import Utterance
from dimts.web import clips
from dimts.web.components import TabContext, sound
from dimts.web.markup import escaped, notice

MAX_ROWS = 2000
"""Most clips in the table; the filter narrows them."""
MAX_UNDO = 10
_REPLACING = "(...values) => { dimts.replacing(1); return values; }"
_REPLACED = "() => dimts.replacing(-1)"
_COLUMNS = ("number", "kept", "seconds", "text", "doubts")


Shown = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Places:
    """Components of the clips."""

    which: Any
    table: Any
    ids: Any
    summary: Any
    at: Any
    """Id of the selected clip."""
    head: Any
    player: Any
    text: Any
    shown: Any
    """Id of a clip and its text as it was shown, to detect a change by the user."""
    issues: Any
    undo: Any
    """Rows as they were before the last changes, newest last."""
    status: Any

    @property
    def listing(self) -> list[Any]:
        """Outputs of the list of clips."""
        return [self.table, self.ids, self.summary]

    @property
    def detail(self) -> list[Any]:
        """Outputs of one clip."""
        return [self.at, self.head, self.player, self.text, self.shown, self.issues]


def build(page: TabContext) -> None:
    """Build the list of clips and bind its events."""
    strings = page.strings
    summary = gr.HTML(elem_id="clips-summary")
    with gr.Row():
        which = gr.Radio(
            [(strings(f"clips.{name}"), name) for name in ("all", "kept", "aside", "doubted")], value="all",
            label=strings("clips.which"), elem_id="clips-which",
        )  # fmt: skip
        reload = gr.Button(strings("clips.reload"), elem_id="clips-reload", scale=0, min_width=160)
    table = gr.Dataframe(
        headers=[strings(f"clips.column.{name}") for name in _COLUMNS],
        datatype=["number", "str", "str", "str", "str"],
        interactive=False,
        label=strings("clips.table"),
        elem_id="clips-table",
        wrap=True,
        max_height=380,
        column_widths=["10%", "14%", "14%", "36%", "26%"],
    )
    with gr.Group(elem_id="clip"):
        with gr.Row():
            before = gr.Button(strings("clips.before"), elem_id="clip-before", min_width=120)
            after = gr.Button(strings("clips.after"), elem_id="clip-after", min_width=120)
        head = gr.HTML(elem_id="clip-head")
        player = gr.Audio(label=strings("clips.player"), interactive=False, elem_id="clip-player", buttons=[])
        text = gr.Textbox(
            label=strings("clips.text"),
            info=strings("clips.text.info"),
            lines=2,
            elem_id="clip-text",
            max_length=clips.MAX_LETTERS,
        )
        status = gr.HTML(elem_id="clip-status")
        issues = gr.Textbox(label=strings("clips.doubts"), interactive=False, lines=1, max_lines=6,
                            elem_id="clip-doubts")  # fmt: skip
        with gr.Row():
            save = gr.Button(strings("clips.save"), variant="primary", elem_id="clip-save", min_width=120)
            keep = gr.Button(strings("clips.keep"), elem_id="clip-keep", min_width=120)
            drop = gr.Button(strings("clips.drop"), variant="stop", elem_id="clip-drop", min_width=120)
            undo = gr.Button(strings("clips.undo"), elem_id="clip-undo", min_width=120)
    at = gr.Textbox(visible=False, label="clip")
    places = _Places(
        which,
        table,
        gr.State([]),
        summary,
        at,
        head,
        player,
        text,
        gr.State(("", "")),
        issues,
        gr.State([]),
        status,
    )
    _bind_list(page, places, reload)
    _bind_moves(page, places, before, after)
    _bind_changes(page, places, {save: clips.correct, keep: _keep, drop: _drop}, undo)


def _bind_list(page: TabContext, places: _Places, reload: Any) -> None:
    def on_list(name: str | None, which: str) -> Any:
        return _listing(page, page.project(name), which)

    for event in (reload.click, places.which.input):
        page.on(event, on_list, [page.picker, places.which], places.listing, errors=places.status)
    page.shows(lambda project: _listing(page, project), places.listing)
    # when a job begins or ends, its results are shown
    page.quietly(page.job.change, lambda name, which: on_list(name, which) if name else [gr.skip()] * 3,
                 [page.picker, places.which], places.listing, errors=places.status, clear=False)  # fmt: skip

    def on_open(name: str | None, identity: str | None) -> Any:
        """Show the clip that this browser showed last, if it still exists."""
        project = page.project(name) if name else None
        if project is None or identity not in [row.id for row in clips.rows(project)]:
            return ["", "", gr.update(value=None), "", ("", ""), ""]
        return _detail(page, project, clips.row_of(project, identity))

    page.quietly(page.picker.change, on_open, [page.picker, places.at], places.detail, errors=places.status,
                 js="(name, at) => [name, dimts.kept(`clip-${name}`, '')]")  # fmt: skip
    places.at.change(
        None, [page.picker, places.at], [], js="(name, at) => { if (at) dimts.keep(`clip-${name}`, at); }"
    )


def _bind_moves(page: TabContext, places: _Places, before: Any, after: Any) -> None:
    """Save the text of the current clip before another is selected; if that fails, this one stays."""

    def moved(
        name: str | None, which: str, at: str, text: str, shown: Shown, undo: list[Utterance], to: str
    ) -> Any:
        project = page.project(name)
        changed = _saved(project, at, text, shown, undo)
        listing = _listing(page, project, which) if changed else [gr.skip()] * 3
        return [*listing, *_detail(page, project, clips.row_of(project, to)), undo]

    def on_select(
        name: str | None, which: str, ids: list[str], at: str, text: str, shown: Shown, undo: list[Utterance],
        event: gr.SelectData,
    ) -> Any:  # fmt: skip
        number = _number_of(event)
        if number is None or not 1 <= number <= len(ids):
            return [gr.skip()] * len(outputs)
        return moved(name, which, at, text, shown, undo, ids[number - 1])

    def stepping(step: int) -> Callable[..., Any]:
        def on_step(
            name: str | None,
            which: str,
            ids: list[str],
            at: str,
            text: str,
            shown: Shown,
            undo: list[Utterance],
        ) -> Any:
            if not ids:
                return [gr.skip()] * len(outputs)
            place = ids.index(at) + step if at in ids else 0
            return moved(name, which, at, text, shown, undo, ids[min(max(place, 0), len(ids) - 1)])

        return on_step

    inputs = [page.picker, places.which, places.ids, places.at, places.text, places.shown, places.undo]
    outputs = [*places.listing, *places.detail, places.undo]
    for event, handler in (
        (places.table.select, on_select),
        (before.click, stepping(-1)),
        (after.click, stepping(1)),
    ):
        done = page.quietly(event, handler, inputs, outputs, errors=places.status, js=_REPLACING)
        done.then(None, None, None, js=_REPLACED)


def _bind_changes(
    page: TabContext, places: _Places, buttons: dict[Any, Callable[..., Utterance]], undo: Any
) -> None:
    def changing(change: Callable[..., Utterance]) -> Callable[..., Any]:
        def on_change(
            name: str | None, which: str, at: str, text: str, shown: Shown, undo: list[Utterance]
        ) -> Any:
            project = page.project(name)
            with clips.EDITING:
                _saved(project, at, text, shown, undo)
                before = clips.row_of(project, at)
                row = change(project, at, text)
                _remember(undo, before, row)
            return [*_listing(page, project, which), *_detail(page, project, row), undo]

        return on_change

    def on_leave(
        name: str | None, which: str, at: str, text: str, shown: Shown, undo: list[Utterance]
    ) -> Any:
        project = page.project(name)
        changed = _saved(project, at, text, shown, undo)
        if not changed:
            return [gr.skip()] * len(leaving)
        return [*_listing(page, project, which), (at, text), undo]

    def on_undo(name: str | None, which: str, undo: list[Utterance]) -> Any:
        project = page.project(name)
        with clips.EDITING:
            if not undo:
                return [*([gr.skip()] * (len(outputs))), notice(page.strings("clips.undo.none"))]
            row = clips.restore(project, undo[-1])
            undo.pop()
        done = notice(page.strings("clips.undo.done", name=row.name), "good")
        return [*_listing(page, project, which), *_detail(page, project, row), undo, done]

    inputs = [page.picker, places.which, places.at, places.text, places.shown, places.undo]
    outputs = [*places.listing, *places.detail, places.undo]
    leaving = [*places.listing, places.shown, places.undo]
    for button, change in buttons.items():
        done = page.on(button.click, changing(change), inputs, outputs, errors=places.status, js=_REPLACING)
        done.then(None, None, None, js=_REPLACED)
    page.quietly(places.text.blur, on_leave, inputs, leaving, errors=places.status)
    done = page.on(undo.click, on_undo, [page.picker, places.which, places.undo], [*outputs, places.status],
                   errors=places.status, js=_REPLACING)  # fmt: skip
    done.then(None, None, None, js=_REPLACED)


def _saved(project: Project, at: str, text: str, shown: Shown, undo: list[Utterance]) -> bool:
    """Save the text of a clip if the user has changed it; returns whether anything was written.

    Leaving the field and the button that was pressed come at the same time: the second finds the text saved.
    """
    if not at or (at, text) == tuple(shown):
        return False
    with clips.EDITING:
        before = clips.row_of(project, at)
        return _remember(undo, before, clips.correct(project, at, text))


def _remember(undo: list[Utterance], before: Utterance, row: Utterance) -> bool:
    """Add the row before a change to the undo list, in place: events that run at the same time share it."""
    if row == before:
        return False
    undo.append(before)
    del undo[:-MAX_UNDO]
    return True


def _keep(project: Project, at: str, text: str) -> Utterance:
    del text
    return clips.keep(project, at)


def _drop(project: Project, at: str, text: str) -> Utterance:
    del text
    return clips.drop(project, at)


def _listing(page: TabContext, project: Project, which: str = "all") -> list[Any]:
    rows = clips.rows(project)
    chosen = [row for row in rows if _wanted(row, which)]
    shown = [
        [number, "✓" if row.kept else "–", f"{row.seconds:.1f}", row.text or "", _kinds(page, row)]
        for number, row in enumerate(chosen[:MAX_ROWS], start=1)
    ]
    return [shown or [["", "", "", "", ""]], [row.id for row in chosen[:MAX_ROWS]], _summary(page, rows)]


def _detail(page: TabContext, project: Project, row: Utterance) -> list[Any]:
    strings = page.strings
    path = clips.sound_of(project, row)
    played = None
    if path is not None:
        from dimts.audio.wave import Wave

        played = sound(Wave.load(path))
    split = strings(f"split.{row.split or 'none'}")
    state = strings("clips.is_kept", split=split) if row.kept else strings("clips.is_aside")
    seconds = strings("forecast.seconds", seconds=f"{row.seconds:.1f}")
    lines = [
        issue_line(page, issue) + (f" → {page.text(KINDS[issue.kind].remedy)}" if issue.kind in KINDS else "")
        for issue in row.issues
    ]
    return [
        row.id,
        notice(f"{row.name} · {seconds} · {state}", "good" if row.kept else "bad"),
        gr.update(value=played),
        row.text,
        (row.id, row.text),
        "\n".join(lines) or strings("clips.no_doubts"),
    ]


def issue_line(page: TabContext, issue: Issue) -> str:
    """Format an issue as "kind: message" in the page's language."""
    return page.strings("page.pair", name=_kind(page, issue.kind), value=page.text(issue.message))


def _wanted(row: Utterance, which: str) -> bool:
    return {"kept": row.kept, "aside": not row.kept, "doubted": bool(row.issues)}.get(which, True)


def _kind(page: TabContext, kind: str) -> str:
    key = f"doubt.{kind}"
    return page.strings(key) if page.strings.has(key) else kind


def _kinds(page: TabContext, row: Utterance) -> str:
    return ", ".join(dict.fromkeys(_kind(page, issue.kind) for issue in row.issues))


def _summary(page: TabContext, rows: Sequence[Utterance]) -> str:
    from dimts.data.check import verdict

    if not rows:
        return notice(page.strings("clips.none"))
    kept = [row for row in rows if row.kept]
    minutes = sum(row.seconds for row in kept) / 60
    found = verdict(rows)
    text = page.strings("clips.summary", kept=len(kept), all=len(rows), minutes=f"{minutes:.1f}")
    line = notice(f"{text} {page.strings(f'verdict.{found.fit}')}", "good" if found.fit == "fit" else "info")
    language = page.strings.language
    why = [
        page.strings("page.pair", name=one.message.text(language), value=one.message.remedy(language))
        for one in found.findings
    ]
    return line + (
        f'<ul class="why">{"".join(f"<li>{escaped(one)}</li>" for one in why)}</ul>' if why else ""
    )


def _number_of(event: gr.SelectData) -> int | None:
    """Return the number in the first column of the selected row, which sorting in the browser does not
    change."""
    row = getattr(event, "row_value", None)
    try:
        return int(row[0]) if row else None
    except (TypeError, ValueError):
        return None
