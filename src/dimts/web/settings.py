"""Options of `dimts web`, and the file of its users."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from dimts.base.errors import ConfigError

LOCAL = ("127.0.0.1", "localhost", "::1")
MEGABYTE = 1_000_000
_PREFIX = re.compile(r"(/[\w.~-]+)*")
_MIN_PASSWORD_LETTERS = 8


@dataclass(frozen=True, slots=True)
class WebSettings:
    """Options of `dimts web`."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 7860
    """TCP port; 0: any that is free."""
    auth: Path | None = None
    """File of `user:password` lines; others have no access."""
    max_upload_megabytes: int = 200
    """Largest file that may be uploaded."""
    share: bool = False
    """Also open a public address through gradio's tunnel."""
    root_path: str = ""
    """Path below which a proxy shows the page, e.g. "/tts"; the proxy removes it from its requests."""
    names: tuple[str, ...] = ()
    """Host names of the page besides this machine's own, e.g. "voice.example.org"."""
    proxies: tuple[str, ...] = ()
    """Addresses of proxies whose X-Forwarded-Prefix and X-Forwarded-Proto are trusted."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ConfigError("web.not_a_port", port=self.port)
        if self.max_upload_megabytes < 1:
            raise ConfigError("web.upload_limit_too_small")
        if not is_prefix(self.root_path):
            raise ConfigError("web.root_path_wrong", root_path=self.root_path)
        if self.auth is None and self.open_to_others:
            option = "--share" if self.share else f"--host {self.host}"
            option = option if self.share or self.host not in LOCAL else "--name"
            raise ConfigError("web.password_file_needed", option=option)

    @property
    def open_to_others(self) -> bool:
        """Whether users of other machines have access."""
        return self.share or self.host not in LOCAL or bool(self.names)

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Host names that requests may use; empty: any."""
        if self.names:
            return frozenset((*self.names, *LOCAL))
        return frozenset() if self.share or self.host not in LOCAL else frozenset(LOCAL)

    @property
    def max_bytes(self) -> int:
        """Largest upload in bytes."""
        return self.max_upload_megabytes * MEGABYTE


def is_prefix(path: str) -> bool:
    """Whether a path can be a prefix: empty, or "/a/b" of plain letters."""
    return _PREFIX.fullmatch(path) is not None


def read_passwords(path: Path) -> dict[str, str]:
    """Read a file with a `user:password` per line. ConfigError for one that is wrong or readable by
    others."""
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("web.password_file_unreadable", path=path, reason=error) from error
    if os.name == "posix" and mode & 0o077:
        raise ConfigError("web.password_file_readable_by_others", path=path)
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        user, sign, password = line.strip().partition(":")
        if not sign or not user or len(password) < _MIN_PASSWORD_LETTERS:
            raise ConfigError("web.password_line_wrong", path=path, number=number)
        found[user] = password
    if not found:
        raise ConfigError("web.password_file_empty", path=path)
    return found
