"""Where published files come from: the Hugging Face hub, or a folder of the user's; described, then brought.

A supplier first says what a file is (size, checksum, commit), then completes a part of it. It trusts
nobody: what the pinned list says counts more than what a server says.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dimts.base.errors import DownloadError
from dimts.base.files import atomic_path, fingerprint
from dimts.base.plugins import require

LICENCE_FILE = "LICENSE.txt"
"""The licence under the name it is published with."""
TRIES_WITHOUT_PROGRESS = 4
WAIT_SECONDS = 1.0
_METADATA_SECONDS = 15.0
_BLOCK_BYTES = 1 << 20
_COMMIT = _GIT_BLOB = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Licence:
    """Terms under which weights are published."""

    name: str
    url: str
    summary: str
    """In our words; the text itself decides."""


@dataclass(frozen=True, slots=True)
class Published:
    """A set of files on the hub."""

    name: str
    """Name of its folder in the cache."""
    repository: str
    revision: str
    """The commit (40 hex digits) that is meant; a branch or tag where nothing is pinned."""
    files: Mapping[str, tuple[int, str]]
    """File name → size in bytes and SHA-256; (0, "") where it is not known beforehand."""
    licence: Licence

    @property
    def at_commit(self) -> bool:
        """Whether the revision is a commit, which never changes, and no branch or tag."""
        return bool(_COMMIT.fullmatch(self.revision))

    @property
    def pinned(self) -> bool:
        """Whether the commit and all checksums are known beforehand."""
        return self.at_commit and all(digest for _, digest in self.files.values())

    def at(self, revision: str) -> Published:
        """The same files of another revision, whose checksums only the hub can tell."""
        if revision == self.revision:
            return self
        return Published(self.name, self.repository, revision, dict.fromkeys(self.files, (0, "")), self.licence)


@dataclass(frozen=True, slots=True)
class Item:
    """One file as its supplier describes it."""

    name: str
    bytes: int
    sha256: str
    """"" where only `blob` is known."""
    blob: str
    """Git's SHA-1 of the content, for files the hub keeps in git itself; else ""."""
    commit: str
    where: str


class Supplier(ABC):
    """Where files come from."""

    def __init__(self, published: Published) -> None:
        self.published = published

    @abstractmethod
    def describe(self, name: str) -> Item:
        """What a file is; DownloadError if it cannot be had."""

    @abstractmethod
    def bring(self, item: Item, part: Path, told: Callable[[int], None]) -> None:
        """Complete the file `part`, which holds the first bytes already or none."""


class FolderSupplier(Supplier):
    """A folder of the user's, e.g. on a stick, or filled by another tool."""

    def __init__(self, published: Published, source: Path, unpinned: bool) -> None:
        super().__init__(published)
        self._source, self._unpinned = source, unpinned
        if not source.is_dir():
            raise DownloadError("xtts.no_such_folder", folder=source)

    def describe(self, name: str) -> Item:
        """Measured, and held against the pinned checksum."""
        path = self._source / name
        if not path.is_file():
            wanted = ", ".join(self.published.files)
            raise DownloadError("xtts.source_incomplete", folder=self._source, name=name, names=wanted)
        size, sha256 = self.published.files.get(name, (0, ""))
        if sha256 and not self._unpinned:
            if path.stat().st_size != size or fingerprint(path) != sha256:
                raise DownloadError("xtts.source_file_differs", path=path, revision=self.published.revision[:12])
        else:
            size, sha256 = path.stat().st_size, fingerprint(path)
        return Item(name, size, sha256, "", "", str(self._source))

    def bring(self, item: Item, part: Path, told: Callable[[int], None]) -> None:
        """Copied whole."""
        with (
            (self._source / item.name).open("rb") as source,
            atomic_path(part) as temporary,
            temporary.open("wb") as target,
        ):
            done = 0
            while block := source.read(_BLOCK_BYTES):
                target.write(block)
                done += len(block)
                told(done)


class HubSupplier(Supplier):
    """The Hugging Face hub, or whatever HF_ENDPOINT names."""

    def __init__(self, published: Published) -> None:
        super().__init__(published)
        self._hub = require("huggingface_hub", "fetch")
        self._errors = require("huggingface_hub.errors", "fetch")
        self._endpoint = os.environ.get("HF_ENDPOINT") or None
        self._session = self._hub.get_session()
        # the client library differs between major versions of the hub's library (httpx, httpx2)
        self._http = require(type(self._session).__module__.partition(".")[0], "fetch")

    def describe(self, name: str) -> Item:
        """As the hub describes it (HEAD), held against what is pinned; tried again when the line is bad."""
        revision = self.published.revision
        size, sha256 = self.published.files.get(name, (0, ""))
        if sha256 and (cached := self._cached(name, revision, sha256)):
            return Item(name, size, sha256, "", revision, str(cached))
        url = self._hub.hf_hub_url(self.published.repository, name, revision=revision, endpoint=self._endpoint)
        for attempt in range(TRIES_WITHOUT_PROGRESS):
            try:
                facts = self._hub.get_hf_file_metadata(url, token=False, timeout=_METADATA_SECONDS)
                break
            except (self._http.TransportError, self._errors.HfHubHTTPError) as error:
                final = attempt + 1 == TRIES_WITHOUT_PROGRESS
                refusal = self._refusal(error, name, final)
                if refusal is not None:
                    raise refusal from error
                time.sleep(WAIT_SECONDS * 2**attempt)
            except self._errors.OfflineModeIsEnabled as error:
                raise self._offline(name) from error
        etag = facts.etag or ""
        found = etag if _SHA256.fullmatch(etag) else ""
        blob = etag if _GIT_BLOB.fullmatch(etag) else ""
        if facts.size is None or not (found or blob):
            raise DownloadError("xtts.no_checksum_given", url=url)
        if sha256 and (facts.size != size or (found and found != sha256)):
            raise DownloadError("xtts.hub_file_differs", name=name, url=url, size=facts.size, checksum=etag[:12])
        return Item(name, facts.size, sha256 or found, blob, facts.commit_hash or "", facts.location)

    def read(self, item: Item) -> bytes:
        """A small file, unchecked."""
        try:
            answer = self._session.get(item.where, follow_redirects=True, timeout=_METADATA_SECONDS)
            answer.raise_for_status()
        except (self._http.HTTPError, self._errors.OfflineModeIsEnabled) as error:
            raise DownloadError("xtts.download_failed", where=item.where, reason=error) from error
        return bytes(answer.content)

    def bring(self, item: Item, part: Path, told: Callable[[int], None]) -> None:
        """Streamed, going on after what `part` holds; tried again as long as something comes."""
        if not item.where.startswith(("http://", "https://")):
            shutil.copyfile(item.where, part)
            return
        stalled = 0
        while True:
            come = part.stat().st_size if part.is_file() else 0
            if come >= item.bytes:
                return
            try:
                self._stream(item, part, come, told)
                problem: Exception | None = None
            except (self._http.TransportError, self._http.HTTPStatusError) as error:
                problem = error
            except self._errors.OfflineModeIsEnabled as error:
                raise self._offline(item.name) from error
            now = part.stat().st_size if part.is_file() else 0
            if now >= item.bytes:
                return
            stalled = 0 if now > come else stalled + 1
            if stalled >= TRIES_WITHOUT_PROGRESS:
                raise DownloadError(
                    "xtts.download_broke_off",
                    name=item.name,
                    done_mb=now / 1000000.0,
                    total_mb=item.bytes / 1000000.0,
                    reason=problem or "it ended",
                ) from problem
            time.sleep(WAIT_SECONDS * 2**stalled if stalled else WAIT_SECONDS)

    def _stream(self, item: Item, part: Path, come: int, told: Callable[[int], None]) -> None:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={come}-"} if come else {})
        with self._session.stream("GET", item.where, headers=headers, follow_redirects=True) as answer:
            answer.raise_for_status()
            whole = answer.status_code == 200  # the server cannot go on in the middle
            with part.open("wb" if whole else "ab") as file:
                done = 0 if whole else come
                for block in answer.iter_bytes(_BLOCK_BYTES):
                    if done + len(block) > item.bytes:
                        raise DownloadError("xtts.too_many_bytes", where=item.where)
                    file.write(block)
                    done += len(block)
                    told(done)

    def _cached(self, name: str, revision: str, sha256: str) -> Path | None:
        """The file in the hub's own cache, if it is the right one."""
        found = self._hub.try_to_load_from_cache(self.published.repository, name, revision=revision)
        if isinstance(found, str) and fingerprint(found) == sha256:
            return Path(found)
        return None

    def _refusal(self, error: Exception, name: str, final: bool) -> DownloadError | None:
        """What an error means for a person; None if it is worth another try."""
        where = self._endpoint or "huggingface.co"
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, self._errors.RevisionNotFoundError):
            return DownloadError(
                "xtts.no_such_revision", repository=self.published.repository, revision=self.published.revision
            )
        if isinstance(error, self._errors.RemoteEntryNotFoundError):
            return DownloadError("xtts.not_in_revision", repository=self.published.repository, name=name)
        if status in (401, 403, 404):
            return DownloadError("xtts.hub_refuses", where=where, repository=self.published.repository, status=status)
        if not final:
            return None
        return DownloadError("xtts.unreachable", where=where, name=name, reason=error)

    @staticmethod
    def _offline(name: str) -> DownloadError:
        return DownloadError("xtts.offline", name=name)
