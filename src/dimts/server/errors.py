"""Every failure → the shape OpenAI's clients know: {"error": {message, type, param, code}} and a status.

What a person can mend is 4xx with its remedy; 5xx is our bug, or a server that is full or going down.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dimts.base.errors import ConfigError, DimtsError, MissingExtra

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_CODES = {
    400: "bad_request", 401: "invalid_api_key", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    413: "too_large", 415: "unsupported_media_type", 421: "wrong_host", 429: "queue_full", 503: "unavailable",
}  # fmt: skip


class ApiError(Exception):
    """An answer other than what was asked for."""

    def __init__(
        self, status: int, message: str, hint: str = "", *, param: str | None = None, code: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint
        self.param, self.code = param, code or _CODES.get(status, "error")
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        kind = _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        shown = f"{self.message} ({self.hint})" if self.hint else self.message
        return {"error": {"message": shown, "type": kind, "param": self.param, "code": self.code}}


def error_response(error: DimtsError, param: str | None = None) -> ApiError:
    """What a person should read when dimts refuses."""
    if isinstance(error, MissingExtra):
        return ApiError(503, error.message, error.hint, code="missing_extra")
    code = "bad_setting" if isinstance(error, ConfigError) else type(error).__name__.removesuffix("Error").lower()
    return ApiError(400, error.message, error.hint, param=param, code=f"{code}_error")
