"""Convert every failure to the JSON of OpenAI's interface, {"error": {message, type, param, code}}, and a
status.

4xx is what the client can correct, with its remedy; 5xx is a fault of the server, or a server that is full or
stopping.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dimts.base.errors import DimtsError, MissingExtra
from dimts.base.http import Send
from dimts.base.messages import Message

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """An HTTP error: a status, a message, the field of the request, and headers."""

    def __init__(
        self, status: int, message: Message, *, param: str | None = None, code: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.param = status, message, param
        self.code = code or message.code.removeprefix("server.").removeprefix("base.")
        """The body's `code`: that of the message, without the prefix "server." or "base."."""
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return the JSON of the answer, in the language of the process."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        text = str(DimtsError(self.message))
        return {"error": {"message": text, "type": kind, "param": self.param, "code": self.code}}

    def encoded(self) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Return body and headers as ASGI sends them."""
        body = json.dumps(self.body(), ensure_ascii=False).encode("utf-8", "replace")
        headers = {"content-type": "application/json", "content-length": str(len(body)), **self.headers}
        return body, [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def error_response(error: DimtsError, param: str | None = None) -> ApiError:
    """Map an error of dimts to an HTTP error: 503 for a library that is not installed here, else 400."""
    return ApiError(503 if isinstance(error, MissingExtra) else 400, error.message, param=param)


async def send_error(send: Send, error: ApiError) -> None:
    """Send an HTTP error (ASGI 3)."""
    body, headers = error.encoded()
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
