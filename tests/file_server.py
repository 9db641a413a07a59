"""What the stand-ins for hubs and web servers share: a file sent from some byte on, and perhaps broken
off."""

from __future__ import annotations

from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler


def send_from(
    handler: BaseHTTPRequestHandler,
    data: bytes,
    first: int,
    headers: Mapping[str, str],
    *,
    body: bool,
    most: int | None = None,
) -> None:
    """Answer with `data` from byte `first` on; `most`: the connection breaks after so many bytes."""
    handler.send_response(206 if first else 200)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(data) - first))
    handler.end_headers()
    if not body:
        return
    end = len(data) if most is None else first + most
    handler.wfile.write(data[first:end])
    if end < len(data):
        handler.wfile.flush()
        handler.connection.shutdown(2)
        handler.close_connection = True
