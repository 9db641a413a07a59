"""API keys: who a request comes from. Keys are kept as hashes only, and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dimts.base.errors import ConfigError

LEAST_LETTERS = 16
_NAME = re.compile(r"[\w.-]{1,64}")


@dataclass(frozen=True)
class Keys:
    """Name → SHA-256 of the key. Without any, everybody may come in."""

    hashes: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Keys:
        """The keys of a file with a `name:key` a line. ConfigError for one that is wrong or open to others."""
        try:
            text, mode = path.read_text(encoding="utf-8"), path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("server.key_file_unreadable", path=path, error=error) from error
        if os.name == "posix" and mode & 0o077:
            raise ConfigError("server.key_file_open_to_others", path=path)
        found: dict[str, bytes] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            name, sign, key = line.strip().partition(":")
            if not sign or not _NAME.fullmatch(name) or name in found or len(key) < LEAST_LETTERS or not key.isascii():
                raise ConfigError("server.key_file_line", path=path, number=number, letters=LEAST_LETTERS)
            found[name] = _hash(key)
        if not found:
            raise ConfigError("server.key_file_empty", path=path)
        return cls(found)

    def __bool__(self) -> bool:
        """Whether a key is needed."""
        return bool(self.hashes)

    def owner(self, authorization: str) -> str | None:
        """Whose key stands in a header "Bearer KEY"; None for nobody's. Takes as long for each."""
        kind, _, key = authorization.partition(" ")
        given, found = _hash(key.strip()), None
        for name, known in self.hashes.items():
            if hmac.compare_digest(given, known):
                found = name
        return found if kind.lower() == "bearer" else None


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
