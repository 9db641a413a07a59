"""Common parts of the tabs: the page's state, controls bound to dimts.toml, escaped messages.

Text of people and of files goes to a browser only through components that show text, or escaped here.
"""

from __future__ import annotations

import functools
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DimtsError, storage_error
from dimts.base.messages import Message
from dimts.base.project import Project
from dimts.web import project_settings
from dimts.web.controls import Control, default, of_tab, optional, shown, taken
from dimts.web.field_values import FieldValues
from dimts.web.markup import escaped
from dimts.web.strings import Strings
from dimts.web.synthesis import Speakers, Streams
from dimts.web.workspace import Workspace

Handler = Callable[..., Any]
_PRIVATE: dict[str, Any] = {"api_visibility": "private"}
_FULL_SCALE = 32767
_QUIET: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, **_PRIVATE}
LAST: dict[str, Any] = {"trigger_mode": "always_last"}
"""For events whose last value counts; gradio drops those that come while the one before is handled."""
_MANY = 3
"""Outputs of an event above which its progress is shown on one place, that of its errors."""
_OF_VALUES = ("input", "blur", "select")
WRONG = "wrong"
"""CSS class of a control whose value is refused."""


@dataclass
class TabContext:
    """Context of one language's page while it is built."""

    strings: Strings
    workspace: Workspace
    streams: Streams
    speakers: Speakers
    max_bytes: int
    """Largest file that may be uploaded."""
    open_to_others: bool = False
    """Whether users of other machines have access; they may not fetch links inside this machine's network."""
    picker: Any = None
    """The dropdown with the project's name; "" where there is none."""
    job: Any = None
    """The component of the running job; changes when one begins or ends."""
    tab: Any = None
    """The tab that is being built."""
    still: Any = None
    """The component on which gradio keeps the progress of events that show none; by default it is kept on,
    and written into, each of their outputs, which takes most of the time of an event."""
    filled: Any = None
    """Marks the page as usable once its fields have the values of dimts.toml."""
    problem: Any = None
    """Shows why dimts.toml cannot be read."""
    widgets: dict[str, Any] = field(default_factory=dict)
    """Component by key of dimts.toml."""
    choices: dict[str, Callable[[Project], list[tuple[str, str]]]] = field(default_factory=dict)
    """Choices by key of dimts.toml, where they depend on the project."""
    remembered: dict[str, Any] = field(default_factory=dict)
    """Components by name whose values a browser keeps over a reload."""
    fields: FieldValues = field(default_factory=FieldValues)
    _shown: list[tuple[Handler, list[Any]]] = field(default_factory=list)
    _refreshed: list[tuple[Handler, list[Any], list[Any]]] = field(default_factory=list)

    def project(self, name: str | None) -> Project:
        """Return the project that a browser has selected. ProjectError if there is none of that name."""
        return self.workspace.project(name)

    def shows(self, read: Handler, outputs: Sequence[Any]) -> None:
        """Fill `outputs` with `read(project)` when the page opens and when the project changes."""
        self._shown.append((read, list(outputs)))

    def bind(self, tick: Any) -> None:
        """Bind everything registered by `shows` to the picker, which is filled when the page opens."""
        widgets = [*self.widgets.values(), self.problem, self.filled]
        self.quietly(self.picker.change, self._fill, [self.picker], widgets)
        self.refreshed(self._refresh, [self.picker], widgets[:-1], self.problem)
        self._bind_refreshed(tick)
        for read, outputs in self._shown:
            handler = self.guarded(self._if_any(read, len(outputs)))
            self.picker.change(handler, [self.picker], outputs, **_QUIET, show_progress_on=self.still)

    def _if_any(self, read: Handler, count: int) -> Handler:
        def filled(name: str | None) -> Any:
            if not name:
                return [gr.skip()] * count if count > 1 else gr.skip()
            return read(self.project(name))

        return filled

    # ------------------------------------------------------------ errors
    def guarded(
        self, handler: Handler, place: int | None = None, count: int = 0, *, last: Any = None
    ) -> Handler:
        """Wrap a handler so that errors become messages in the page's language; bugs are logged in full.

        `place` is the output, of `count`, that shows errors; without one they are shown above the page.
        `last` is the value of that output when the handler, which does not include it, has ended well.
        """

        def failed(error: Exception) -> Any:
            if place is None or isinstance(error, gr.Error):
                raise self.failure(error) from error
            return [self.problem_notice(error) if at == place else gr.skip() for at in range(count)]

        def ended(values: Any) -> Any:
            if last is None:
                return values
            return [*(values if count > 2 else [values]), last]

        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def stepwise(*values: Any) -> Iterator[Any]:
                try:
                    for one in handler(*values):
                        yield ended(one)
                except Exception as error:  # noqa: BLE001 (shown, or raised again)
                    yield failed(error)

            return stepwise

        @functools.wraps(handler)
        def whole(*values: Any) -> Any:
            try:
                return ended(handler(*values))
            except Exception as error:  # noqa: BLE001 (shown, or raised again)
                return failed(error)

        return whole

    def failure(self, error: Exception) -> gr.Error:
        """Return an error for gradio to show above the page; a bug is explained in the log only."""
        if isinstance(error, gr.Error):
            return error
        title, text = self._explained(error)
        return gr.Error(text, title=title, print_exception=False)

    def problem_notice(self, error: Exception) -> str:
        """Format an error as a notice: HTML."""
        title, text = self._explained(error)
        return f'<p class="notice bad" role="alert"><strong>{escaped(title)}</strong><br>{text}</p>'

    def _explained(self, error: Exception) -> tuple[str, str]:
        """Return title, and HTML of the line and its remedy."""
        known = error if isinstance(error, DimtsError) else None
        if isinstance(error, OSError):
            known = storage_error(error)
        if known is None:
            traceback.print_exception(error, file=sys.stderr)
            return self.strings("error.title"), escaped(self.strings("error.bug"))
        remedy = known.message.remedy(self.strings.language)
        text = escaped(self.text(known.message)) + (f"<br>{escaped(remedy)}" if remedy else "")
        return self.title_of(known), text

    def title_of(self, error: DimtsError) -> str:
        """Return the kind of error in the page's language."""
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return self.strings(next(f"error.{kind}" for kind in kinds if self.strings.has(f"error.{kind}")))

    def text(self, message: Message | str) -> str:
        """Return a message of the library in the page's language."""
        return message.text(self.strings.language) if isinstance(message, Message) else message

    # ------------------------------------------------------------ events
    def on(
        self,
        event: Any,
        handler: Handler,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        errors: Any = None,
        clear: bool = True,
        **more: Any,
    ) -> Any:
        """Bind a handler to an event: guarded, and not part of a public API.

        `errors` is the component that shows why it failed until it succeeds; with `clear` false, for what no
        person has asked for, success leaves there what another handler says. What is written or chosen while
        the handler still runs is handled afterwards; a button pressed meanwhile is not.
        """
        places = list(outputs)
        if getattr(event, "event_name", "") in _OF_VALUES:
            more = {**LAST, **more}
        if errors is None:
            return event(self.guarded(handler), list(inputs), places, **{**_PRIVATE, **more})
        if len(places) > _MANY:
            more = {"show_progress_on": errors, **more}
        own = any(one is errors for one in places)
        places += [] if own else [errors]
        place = next(at for at, one in enumerate(places) if one is errors)
        guarded = self.guarded(handler, place, len(places), last=None if own else "" if clear else gr.skip())
        return event(guarded, list(inputs), places, **{**_PRIVATE, **more})

    def quietly(
        self, event: Any, handler: Handler, inputs: Sequence[Any], outputs: Sequence[Any], **more: Any
    ) -> Any:
        """Bind a handler without a progress indicator, concurrent with all others."""
        return self.on(event, handler, inputs, outputs, **{**_QUIET, "show_progress_on": self.still, **more})

    def refreshed(self, handler: Handler, inputs: Sequence[Any], outputs: Sequence[Any], errors: Any) -> None:
        """Call a handler when the project has changed; `errors`, one of its outputs, shows why it failed.

        All of them are one event of gradio (`_bind_refreshed`): each costs a browser many times what its
        handler takes.
        """
        places = list(outputs)
        place = next(at for at, one in enumerate(places) if one is errors)
        guarded = self.guarded(handler, place, len(places))
        self._refreshed.append((guarded, list(inputs), places))

    def _bind_refreshed(self, tick: Any) -> None:
        """Bind the handlers to the button that the browser presses when the project has changed; a press
        while they still run is carried out afterwards, not dropped."""
        parts = self._refreshed

        def refresh_all(request: gr.Request, *values: Any) -> list[Any]:
            out: list[Any] = []
            for handler, inputs, places in parts:
                given, values = values[: len(inputs)], values[len(inputs) :]
                own = (request,) if "request" in inspect.signature(handler).parameters else ()
                found = handler(*given, *own)
                out += found if len(places) > 1 else [found]
            return out

        inputs = [one for _, inputs, _ in parts for one in inputs]
        outputs = [one for _, _, places in parts for one in places]
        self.quietly(tick.click, refresh_all, inputs, outputs, **LAST)

    def remember(self, component: Any) -> None:
        """Store the text of a field in the user's browser, by its id, as it is written (see `style.py`)."""
        self.remembered[component.elem_id] = component
        component.elem_classes = [*component.elem_classes, "remembered"]

    # ------------------------------------------------------------ controls
    def controls(self, tab: str, per_row: int = 3) -> None:
        """Add the controls of a tab, in rows, bound to dimts.toml."""
        own = of_tab(tab)
        for first in range(0, len(own), per_row):
            with gr.Row(equal_height=False):
                for one in own[first : first + per_row]:
                    self.widgets[one.key] = self._widget(one)
        for one in own:
            self._bind(one)

    def save_changed(
        self, name: str | None, keys: Sequence[str], values: Sequence[Any], session: str | None
    ) -> None:
        """Write those values that differ from what this browser was shown, i.e. unsaved changes by the user.

        Raises ConfigError for an invalid value; nothing is written then.
        """
        project = self.project(name)
        folder = str(project.root)
        changed = self.fields.changed(session or "", folder, dict(zip(keys, values, strict=True)))
        for key, value in changed.items():
            if key in self.choices and value not in [option for _, option in self.choices[key](project)]:
                raise ConfigError("web.base_not_offered")
        if changed:
            project_settings.put(project, taken(list(changed), list(changed.values())))
            now = project_settings.get(project)
            self.fields.put(session or "", folder, {key: shown(key, now[key]) for key in changed})

    def _fill(self, name: str | None, request: gr.Request) -> list[Any]:
        """Fill every control from dimts.toml, with the choices that the project has."""
        if not name:
            return [*([gr.skip()] * len(self.widgets)), "", FILLED]
        project = self.project(name)
        stamp = project_settings.stamp(project)
        try:
            values = project_settings.get(project)
        except ConfigError as error:
            return [*([gr.skip()] * len(self.widgets)), self.problem_notice(error), FILLED]
        out = []
        for key in self.widgets:
            offered: dict[str, Any] = {"choices": self.choices[key](project)} if key in self.choices else {}
            out.append(
                gr.update(value=shown(key, values[key]), info=self._note(key), elem_classes=[], **offered)
            )
        self.fields.put(request.session_hash or "", str(project.root),
                        {key: shown(key, values[key]) for key in self.widgets}, stamp)  # fmt: skip
        return [*out, "", FILLED]

    def _refresh(self, name: str | None, request: gr.Request) -> Any:
        """Update what another browser, or an editor, has changed in dimts.toml since this browser was
        filled."""
        nothing = [gr.skip()] * (len(self.widgets) + 1)
        if not name or name not in self.workspace.names():
            return nothing
        project, session = self.project(name), request.session_hash or ""
        known = self.fields.get(session, str(project.root))
        stamp = project_settings.stamp(project)
        if known is None or known.stamp == stamp:
            return nothing
        try:
            values = project_settings.get(project)
        except ConfigError as error:
            self.fields.put(session, str(project.root), {}, stamp)
            return [*nothing[:-1], self.problem_notice(error)]
        now = {key: shown(key, values[key]) for key in self.widgets}
        self.fields.replace(session, str(project.root), now, stamp)
        note = self.strings("settings.changed_elsewhere")
        return [
            gr.update(value=value, info=note, elem_classes=[])
            if value != known.values.get(key)
            else gr.skip()
            for key, value in now.items()
        ] + [""]

    def _note(self, key: str) -> str | None:
        note = f"control.{key}.info"
        return self.strings(note) if self.strings.has(note) else None

    def _widget(self, one: Control) -> Any:
        common: dict[str, Any] = {
            "label": self.strings(f"control.{one.key}"),
            "info": self._note(one.key),
            "elem_id": "set-" + one.key.replace(".", "-").replace("_", "-"),
            "interactive": True,
            "min_width": 220,
        }
        value = default(one.key)
        if one.look == "switch":
            return gr.Checkbox(value=value, **common)
        if one.look in ("choice", "order"):
            choices = [(self.choice(one.key, option), option) for option in one.options]
            return gr.Dropdown(
                choices,
                value=value,
                multiselect=one.look == "order",
                allow_custom_value=one.key == "train.base",
                **common,
            )
        if one.look in ("whole", "number") and not optional(one.key):
            # its range is checked with a message of the page's language (`Control.taken`), not by gradio in
            # English
            return gr.Number(value, step=one.step, precision=0 if one.look == "whole" else None, **common)
        if one.look == "number":  # may be empty, which a number field shows as 0
            return gr.Textbox(value=shown(one.key, value), max_length=20, **common)
        return gr.Textbox(value=value, lines=3 if one.look == "lines" else 1, max_lines=6, **common)

    def choice(self, key: str, option: str) -> str:
        """Return the label of a choice; proper names are unchanged."""
        text = f"choice.{key}.{option}"
        return self.strings(text) if self.strings.has(text) else option

    def _bind(self, one: Control) -> None:
        widget = self.widgets[one.key]

        def change(name: str | None, value: Any, request: gr.Request) -> Any:
            try:
                self.save_changed(name, [one.key], [value], request.session_hash)
            except DimtsError as error:
                named = error.message
                if named.parameters.get("key") == one.key:  # as the page calls it
                    label = self.strings(f"control.{one.key}")
                    named = Message(named.code, **{**named.parameters, "key": label})
                parts = (self.text(named), named.remedy(self.strings.language))
                return gr.update(
                    info=" — ".join(("⚠ " + parts[0], *filter(None, parts[1:]))), elem_classes=[WRONG]
                )
            known = self.fields.get(request.session_hash or "", str(self.project(name).root))
            if known is None:  # not filled yet: nothing was written, and the file's value is on its way
                return gr.skip()
            return gr.update(value=known.values[one.key], info=self._note(one.key), elem_classes=[])

        typed = one.look in ("number", "whole", "text", "lines")
        for event in (widget.blur, widget.submit) if typed else (widget.input,):
            self.quietly(event, change, [self.picker, widget], [widget])


FILLED = '<span data-filled="yes"></span>'
"""Value of `TabContext.filled` once the fields are filled; the page's script waits for it."""


def sound(wave: Wave) -> tuple[int, Any]:
    """Convert a wave for gradio's players: rate and 16-bit samples, at its own level (gradio would normalise
    floats)."""
    import numpy as np

    return wave.rate, (np.clip(wave.samples, -1.0, 1.0) * _FULL_SCALE).astype(np.int16)
