"""Record which settings each browser was shown, so that only the user's changes are written.

A control whose value is the one that was shown was not touched: a default, or another tab's older value, is
never written over the file.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_MAX_BROWSERS = 500
ON_THE_WAY_SECONDS = 10.0
"""How long a browser may still send a value that another's change has replaced; the new one is on its way."""


@dataclass
class ShownFields:
    """Values of one project in one browser."""

    values: dict[str, Any] = field(default_factory=dict)
    """Value in the control by dotted key."""
    stamp: tuple[int, int] = (0, 0)
    """Stamp of the file when it was last read."""
    before: dict[str, Any] = field(default_factory=dict)
    """Values that the last change from elsewhere has replaced, by dotted key."""
    until: float = 0.0
    """Time by the clock until which they may still stand in the browser."""


class FieldValues:
    """Shown values by (browser session, project folder). Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], ShownFields] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, session: str, folder: str) -> ShownFields | None:
        """Return the values in a browser; None while its fields have not been filled."""
        with self._lock:
            found = self._known.get((session, folder))
            if found is None:
                return None
            return ShownFields(dict(found.values), found.stamp, dict(found.before), found.until)

    def put(
        self, session: str, folder: str, values: Mapping[str, Any], stamp: tuple[int, int] | None = None
    ) -> None:
        """Record the values that a browser now shows; other keys are unchanged."""
        with self._lock:
            found = self._known.setdefault((session, folder), ShownFields())
            found.values.update(values)
            found.stamp = stamp or found.stamp
            self._known.move_to_end((session, folder))
            while len(self._known) > _MAX_BROWSERS:
                self._known.popitem(last=False)

    def replace(self, session: str, folder: str, values: Mapping[str, Any], stamp: tuple[int, int]) -> None:
        """Record the values that the file has now, which are on their way to a browser."""
        with self._lock:
            found = self._known.setdefault((session, folder), ShownFields())
            found.before = {
                key: found.values[key]
                for key, value in values.items()
                if found.values.get(key, value) != value
            }
            found.until = self._clock() + ON_THE_WAY_SECONDS
        self.put(session, folder, values, stamp)

    def changed(self, session: str, folder: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of `values`, as the controls hold them, that the user has changed; none before they
        were filled."""
        found = self.get(session, folder)
        if found is None:
            return {}
        old = found.before if self._clock() < found.until else {}
        return {
            key: value
            for key, value in values.items()
            if key in found.values and value != found.values[key] and not (key in old and value == old[key])
        }
