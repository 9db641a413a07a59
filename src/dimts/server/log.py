"""Write the log, one JSON object per line on standard error, without spoken text, keys or addresses."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

_LOG = logging.getLogger("dimts.server")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        row: dict[str, Any] = {"time": f"{at}.{int(record.msecs):03d}Z", "level": record.levelname.lower()}
        fields = getattr(record, "fields", None)
        row |= {"event": record.getMessage(), **(fields or {})}
        if record.exc_info:
            row["trace"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False, default=str)


_FAULTS_OF_CLIENTS = (
    "ASGI callable returned without completing handshake.",
    "Invalid UTF-8 sequence received from client.",
)
"""Errors in the log of uvicorn 0.54 that are none of the server's: a WebSocket that was refused, and one that
was closed because of what the client sent."""


class _WithoutFaultsOfClients(logging.Filter):
    """Drops `_FAULTS_OF_CLIENTS`."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.msg not in _FAULTS_OF_CLIENTS


def set_up() -> None:
    """Send the log of dimts and uvicorn to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json())
    handler.addFilter(_WithoutFaultsOfClients())
    for name, level in (("dimts.server", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)


def note(event: str, *, level: int = logging.INFO, error: BaseException | None = None, **fields: Any) -> None:
    """Write one line."""
    _LOG.log(level, event, exc_info=error, extra={"fields": fields})
