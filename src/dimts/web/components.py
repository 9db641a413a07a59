"""What every tab is made of: the page's state, controls bound to dimts.toml, messages without HTML of others.

Text of people and of files goes to a browser only through components that show text, or escaped here.
"""

from __future__ import annotations

import functools
import html
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from dimts.audio.wave import Wave
from dimts.base.errors import DimtsError, storage_error
from dimts.base.messages import Message
from dimts.base.project import Project
from dimts.web import settings
from dimts.web.controls import Control, default, of_tab, optional, shown, taken
from dimts.web.speaking import Speakers, Streams
from dimts.web.strings import Strings
from dimts.web.workspace import Workspace

Handler = Callable[..., Any]
_PRIVATE: dict[str, Any] = {"api_visibility": "private"}
_FULL_SCALE = 32767
_QUIET: dict[str, Any] = {"show_progress": "hidden", "concurrency_limit": None, **_PRIVATE}


@dataclass
class TabContext:
    """One language's page while it is built."""

    say: Strings
    home: Workspace
    streams: Streams
    speakers: Speakers
    max_bytes: int
    """Largest file that may be uploaded."""
    open_to_others: bool = False
    """Whether people of other machines come in, who may not send this one after links inside of its network."""
    picker: Any = None
    """The dropdown that holds the project's name; "" where there is none."""
    job: Any = None
    """The component that shows the job at work; changes when one begins or ends."""
    tab: Any = None
    """The tab that is being built."""
    widgets: dict[str, Any] = field(default_factory=dict)
    """Key of dimts.toml → its component."""
    _shown: list[tuple[Handler, list[Any]]] = field(default_factory=list)

    def project(self, name: str | None) -> Project:
        """The project that a browser means. ProjectError if there is none of that name."""
        return self.home.project(name)

    def shows(self, read: Handler, outputs: Sequence[Any]) -> None:
        """Fill `outputs` with what `read(project)` gives, when the page opens and when the project changes."""
        self._shown.append((read, list(outputs)))

    def bind(self) -> None:
        """Tie all that was announced by `shows` to the picker, which is filled when the page opens."""
        keys = [key for key in self.widgets if key not in _FILLED_ELSEWHERE]
        self.shows(lambda project: _values(project, keys), [self.widgets[key] for key in keys])
        for read, outputs in self._shown:
            handler = self.guarded(self._if_any(read, len(outputs)))
            self.picker.change(handler, [self.picker], outputs, **_QUIET)

    def _if_any(self, read: Handler, count: int) -> Handler:
        def filled(name: str | None) -> Any:
            if not name:
                return [gr.skip()] * count if count > 1 else gr.skip()
            return read(self.project(name))

        return filled

    def guarded(self, handler: Handler) -> Handler:
        """A handler whose failures become messages in the page's language; bugs are written to the log in full."""
        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def stepwise(*values: Any) -> Iterator[Any]:
                try:
                    yield from handler(*values)
                except Exception as error:
                    raise self.failure(error) from error

            return stepwise

        @functools.wraps(handler)
        def whole(*values: Any) -> Any:
            try:
                return handler(*values)
            except Exception as error:
                raise self.failure(error) from error

        return whole

    def failure(self, error: Exception) -> gr.Error:
        """What a person is told of an error; a bug is not explained to a browser, but to the log."""
        if isinstance(error, gr.Error):
            return error
        known = error if isinstance(error, DimtsError) else None
        if isinstance(error, OSError):
            known = storage_error(error)
        if known is None:
            traceback.print_exception(error, file=sys.stderr)
            return gr.Error(self.say("error.bug"), title=self.say("error.title"), print_exception=False)
        return gr.Error(self.explained(known), title=self.title_of(known), print_exception=False)

    def title_of(self, error: DimtsError) -> str:
        """The kind of error in the page's language."""
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return self.say(next(f"error.{kind}" for kind in kinds if self.say.has(f"error.{kind}")))

    def explained(self, error: DimtsError) -> str:
        """Its line and its remedy, escaped."""
        remedy = error.message.remedy(self.say.language)
        return escaped(self.text(error.message)) + (f"<br>{escaped(remedy)}" if remedy else "")

    def text(self, message: Message | str) -> str:
        """A message of the library in the page's language."""
        return message.text(self.say.language) if isinstance(message, Message) else message

    def on(self, event: Any, handler: Handler, inputs: Sequence[Any], outputs: Sequence[Any], **more: Any) -> Any:
        """Bind a handler to an event: guarded, and not part of any public interface."""
        return event(self.guarded(handler), list(inputs), list(outputs), **{**_PRIVATE, **more})

    def quietly(self, event: Any, handler: Handler, inputs: Sequence[Any], outputs: Sequence[Any], **more: Any) -> Any:
        """The same without a sign of progress, and beside whatever else runs."""
        return event(self.guarded(handler), list(inputs), list(outputs), **{**_QUIET, **more})

    # ------------------------------------------------------------ controls
    def controls(self, tab: str, per_row: int = 3) -> None:
        """The controls of a place, in rows, bound to dimts.toml."""
        own = of_tab(tab)
        for first in range(0, len(own), per_row):
            with gr.Row(equal_height=False):
                for one in own[first : first + per_row]:
                    self.widgets[one.key] = self._widget(one)
        for one in own:
            self._bind(one)

    def save(self, project: Project, keys: Sequence[str], values: Sequence[Any]) -> None:
        """Write what some controls show. ConfigError for a value that cannot be; nothing is written then."""
        settings.put(project, taken(keys, values))

    def _widget(self, one: Control) -> Any:
        note = f"control.{one.key}.info"
        common: dict[str, Any] = {
            "label": self.say(f"control.{one.key}"),
            "info": self.say(note) if self.say.has(note) else None,
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
            return gr.Number(
                value,
                minimum=one.low,
                maximum=one.high,
                step=one.step,
                precision=0 if one.look == "whole" else None,
                **common,
            )
        if one.look == "number":  # may be empty, which a number field shows as 0
            return gr.Textbox(value=shown(one.key, value), max_length=20, **common)
        return gr.Textbox(value=value, lines=3 if one.look == "lines" else 1, max_lines=6, **common)

    def choice(self, key: str, option: str) -> str:
        """How a choice is called; those that are names of their own stay as they are."""
        text = f"choice.{key}.{option}"
        return self.say(text) if self.say.has(text) else option

    def _bind(self, one: Control) -> None:
        widget = self.widgets[one.key]

        def change(name: str | None, value: Any) -> Any:
            project = self.project(name)
            try:
                self.save(project, [one.key], [value])
            except DimtsError as error:
                gr.Warning(self.explained(error), title=self.title_of(error))
            return gr.update(value=shown(one.key, settings.get(project)[one.key]))

        typed = one.look in ("number", "whole", "text", "lines")
        for event in (widget.blur, widget.submit) if typed else (widget.input,):
            self.quietly(event, change, [self.picker, widget], [widget])


_FILLED_ELSEWHERE = frozenset({"train.base"})
"""Controls whose choices depend on the project; their tab fills them."""


def _values(project: Project, keys: Sequence[str]) -> list[Any]:
    """What the controls of some keys show."""
    values = settings.get(project)
    return [gr.update(value=shown(key, values[key])) for key in keys]


def sound(wave: Wave) -> tuple[int, Any]:
    """A wave as gradio's players take it: rate and 16-bit samples, as loud as it is (floats it would level)."""
    import numpy as np

    return wave.rate, (np.clip(wave.samples, -1.0, 1.0) * _FULL_SCALE).astype(np.int16)


def escaped(text: object) -> str:
    """Text that HTML shows as it is."""
    return html.escape(str(text), quote=True)


def notice(text: str, kind: str = "info") -> str:
    """A line that a screen reader speaks when it changes; `text` is escaped here."""
    return f'<p class="notice {escaped(kind)}" role="status" aria-live="polite">{escaped(text)}</p>' if text else ""
