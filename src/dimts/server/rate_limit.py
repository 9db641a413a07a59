"""Limit the requests per minute of each key by a sliding window."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 60.0


class RateLimit:
    """The times of each key's latest requests. `per_minute` 0: no limit."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._times: dict[str, deque[float]] = {}

    def wait_seconds(self, key: str, now: float) -> float:
        """Count a request at `now` (seconds of a monotonic clock) and return 0, or return the seconds until
        it fits."""
        if not self.per_minute:
            return 0.0
        times = self._times.setdefault(key, deque())
        while times and times[0] <= now - WINDOW_SECONDS:
            times.popleft()
        if len(times) >= self.per_minute:
            return times[0] + WINDOW_SECONDS - now
        times.append(now)
        return 0.0
