"""Record which settings each browser was shown, so that only the user's changes are written.

A control whose value is the one that was shown was not touched: a default, or another tab's older value, is
never written over the file.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_MAX_BROWSERS = 500


@dataclass
class ShownFields:
    """Values of one project in one browser."""

    values: dict[str, Any] = field(default_factory=dict)
    """Value in the control by dotted key."""
    stamp: tuple[int, int] = (0, 0)
    """Stamp of the file when it was last read."""


class FieldValues:
    """Shown values by (browser session, project folder). Thread-safe."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], ShownFields] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, session: str, folder: str) -> ShownFields | None:
        """Return the values in a browser; None while its fields have not been filled."""
        with self._lock:
            found = self._known.get((session, folder))
            return None if found is None else ShownFields(dict(found.values), found.stamp)

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

    def changed(self, session: str, folder: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of `values`, as the controls hold them, that the user has changed; none before they
        were filled."""
        found = self.get(session, folder)
        if found is None:
            return {}
        return {
            key: value for key, value in values.items() if key in found.values and value != found.values[key]
        }
