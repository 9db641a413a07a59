"""Check the API keys of requests. Keys are stored as hashes only, and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dimts.base.errors import ConfigError
from dimts.base.http import read_secrets

MIN_KEY_LETTERS = 16


@dataclass(frozen=True)
class Keys:
    """SHA-256 of each key by name. Without any, no key is required."""

    hashes: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Keys:
        """Read a file with a `name:key` per line. Raises ConfigError for one that is wrong or readable by
        others."""
        found = read_secrets(path, MIN_KEY_LETTERS)
        for name, key in found.items():
            if not key.isascii():
                raise ConfigError("server.key_not_ascii", path=path, name=name)
        return cls({name: _hash(key) for name, key in found.items()})

    def __bool__(self) -> bool:
        """Whether a key is required."""
        return bool(self.hashes)

    def owner(self, authorization: str) -> str | None:
        """Return the name of the key in a header "Bearer KEY"; None for an unknown one. Constant time."""
        kind, _, key = authorization.partition(" ")
        given, found = _hash(key.strip()), None
        for name, known in self.hashes.items():
            if hmac.compare_digest(given, known):
                found = name
        return found if kind.lower() == "bearer" else None


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
