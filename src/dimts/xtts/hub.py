"""Describe and fetch published files from the Hugging Face hub, a web server, or a local folder.

A supplier first describes a file (size, checksum, commit), then completes a partial copy of it. The pinned
list counts more than a server's answer.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote, urlsplit

from dimts.base.errors import DownloadError
from dimts.base.files import atomic_path, fingerprint
from dimts.base.messages import Message
from dimts.base.plugins import require

T = TypeVar("T")

LICENCE_FILE = "LICENSE.txt"
"""File name under which the licence is published."""
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
    summary: str | Message
    """Summary in our words; the licence's text is authoritative."""


@dataclass(frozen=True, slots=True)
class Published:
    """A set of files on the hub, or on a web server."""

    name: str
    """Name of its folder in the cache."""
    repository: str
    revision: str
    """The commit (40 hex digits); a branch or tag where nothing is pinned."""
    files: Mapping[str, tuple[int, str]]
    """Size in bytes and SHA-256 by file name; (0, "") where they are not known beforehand."""
    licence: Licence
    kind: Literal["model", "dataset", "url"] = "model"
    """Kind of the repository; with "url", `repository` is the address in front of each file's name."""

    @property
    def at_commit(self) -> bool:
        """Whether the revision is a commit, not a branch or tag."""
        return bool(_COMMIT.fullmatch(self.revision))

    @property
    def pinned(self) -> bool:
        """Whether the commit and all checksums are known beforehand."""
        return self.at_commit and all(digest for _, digest in self.files.values())

    def at(self, revision: str) -> Published:
        """Return the same files at another revision, whose checksums only the hub knows."""
        if revision == self.revision:
            return self
        return replace(self, revision=revision, files=dict.fromkeys(self.files, (0, "")))


@dataclass(frozen=True, slots=True)
class Item:
    """One file as its supplier describes it."""

    name: str
    bytes: int
    sha256: str
    """SHA-256 of the content; "" where only `blob` is known."""
    blob: str
    """Git's SHA-1 of the content, for files the hub keeps in git itself; else ""."""
    commit: str
    where: str


@dataclass(frozen=True, slots=True)
class Listing:
    """Contents of a data set of the hub at a commit."""

    commit: str
    files: Mapping[str, tuple[int, str]]
    """Size and SHA-256 by file name; "" for files that git itself keeps."""
    licences: tuple[str, ...]
    """Licences on its card, in the hub's lower-case names; empty: none."""


class Supplier(ABC):
    """Source of files."""

    def __init__(self, published: Published) -> None:
        self.published = published

    @abstractmethod
    def describe(self, name: str) -> Item:
        """Describe a file; DownloadError if it cannot be had."""

    @abstractmethod
    def fetch(self, item: Item, part: Path, on_bytes: Callable[[int], None]) -> None:
        """Complete the file `part`, which holds the first bytes already or none."""


class FolderSupplier(Supplier):
    """Source in a local folder, e.g. on a USB stick, or filled by another tool."""

    def __init__(self, published: Published, source: Path, unpinned: bool) -> None:
        super().__init__(published)
        self._source, self._unpinned = source, unpinned
        if not source.is_dir():
            raise DownloadError("xtts.no_such_folder", folder=source)

    def describe(self, name: str) -> Item:
        """Measure the file and compare it with the pinned checksum."""
        path = self._source / name
        if not path.is_file():
            wanted = ", ".join(self.published.files)
            raise DownloadError("xtts.source_incomplete", folder=self._source, name=name, names=wanted)
        size, sha256 = self.published.files.get(name, (0, ""))
        if sha256 and not self._unpinned:
            if path.stat().st_size != size or fingerprint(path) != sha256:
                raise DownloadError(
                    "xtts.source_file_differs", path=path, revision=self.published.revision[:12]
                )
        else:
            size, sha256 = path.stat().st_size, fingerprint(path)
        return Item(name, size, sha256, "", "", str(self._source))

    def fetch(self, item: Item, part: Path, on_bytes: Callable[[int], None]) -> None:
        """Copy the whole file."""
        with (
            (self._source / item.name).open("rb") as source,
            atomic_path(part) as temporary,
            temporary.open("wb") as target,
        ):
            done = 0
            while block := source.read(_BLOCK_BYTES):
                target.write(block)
                done += len(block)
                on_bytes(done)


class WebSupplier(Supplier):
    """Source on a web server with its files below one address; it gives sizes, and no checksums."""

    def __init__(self, published: Published) -> None:
        super().__init__(published)
        self._hub = require("huggingface_hub", "fetch")
        self._errors = require("huggingface_hub.errors", "fetch")
        self._endpoint: str | None = None
        self._session = self._hub.get_session()
        # the client library differs between major versions of the hub's library (httpx, httpx2)
        self._http = require(type(self._session).__module__.partition(".")[0], "fetch")

    def describe(self, name: str) -> Item:
        """Ask the server (HEAD) and compare with the pinned values; retried on connection errors."""
        size, sha256 = self.published.files.get(name, (0, ""))
        url = f"{self.published.repository.rstrip('/')}/{quote(name)}"

        def ask() -> int:
            answer = self._session.head(url, follow_redirects=True, timeout=_METADATA_SECONDS)
            answer.raise_for_status()
            return int(answer.headers.get("content-length") or 0)

        found = self._tried(ask, name)
        if not found:
            raise DownloadError("xtts.no_size_given", url=url)
        if sha256 and found != size:
            raise DownloadError("xtts.hub_file_differs", name=name, url=url, size=found, checksum="")
        return Item(name, found, sha256, "", "", url)

    def read(self, item: Item) -> bytes:
        """Read a small file, unchecked."""
        try:
            answer = self._session.get(
                item.where,
                headers=self._headers(item.where),
                follow_redirects=True,
                timeout=_METADATA_SECONDS,
            )
            answer.raise_for_status()
        except (self._http.HTTPError, self._errors.OfflineModeIsEnabled) as error:
            raise DownloadError("xtts.download_failed", where=item.where, reason=error) from error
        return bytes(answer.content)

    def read_page(self, name: str) -> bytes:
        """Read a page of the server, unchecked; retried on connection errors."""
        url = f"{self.published.repository.rstrip('/')}/{quote(name)}"

        def ask() -> bytes:
            answer = self._session.get(url, follow_redirects=True, timeout=_METADATA_SECONDS)
            answer.raise_for_status()
            return bytes(answer.content)

        return self._tried(ask, url)

    def _tried(self, ask: Callable[[], T], name: str) -> T:
        """Call `ask`, and again while the connection fails."""
        for attempt in range(TRIES_WITHOUT_PROGRESS):
            try:
                return ask()
            except (
                self._http.TransportError,
                self._http.HTTPStatusError,
                self._errors.HfHubHTTPError,
            ) as error:
                refusal = self._refusal(error, name, attempt + 1 == TRIES_WITHOUT_PROGRESS)
                if refusal is not None:
                    raise refusal from error
                time.sleep(WAIT_SECONDS * 2**attempt)
            except self._errors.OfflineModeIsEnabled as error:
                raise self._offline(name) from error
        raise AssertionError("the last attempt returns or raises")

    def _headers(self, where: str) -> dict[str, str]:
        """Return the headers of a request to an address."""
        return {}

    def fetch(self, item: Item, part: Path, on_bytes: Callable[[int], None]) -> None:
        """Stream the rest after what `part` holds; retried as long as bytes arrive."""
        if not item.where.startswith(("http://", "https://")):
            shutil.copyfile(item.where, part)
            return
        stalled = 0
        while True:
            done_bytes = part.stat().st_size if part.is_file() else 0
            if done_bytes >= item.bytes:
                return
            try:
                self._stream(item, part, done_bytes, on_bytes)
                problem: Exception | None = None
            except (self._http.TransportError, self._http.HTTPStatusError) as error:
                problem = error
                refusal = self._refusal(error, item.name, False)
                if refusal is not None:
                    raise refusal from error
            except self._errors.OfflineModeIsEnabled as error:
                raise self._offline(item.name) from error
            now = part.stat().st_size if part.is_file() else 0
            if now >= item.bytes:
                return
            stalled = 0 if now > done_bytes else stalled + 1
            if stalled >= TRIES_WITHOUT_PROGRESS:
                raise DownloadError(
                    "xtts.download_broke_off",
                    name=item.name,
                    done_mb=now / 1000000.0,
                    total_mb=item.bytes / 1000000.0,
                    reason=problem or "it ended",
                ) from problem
            time.sleep(WAIT_SECONDS * 2**stalled if stalled else WAIT_SECONDS)

    def _stream(self, item: Item, part: Path, done_bytes: int, on_bytes: Callable[[int], None]) -> None:
        headers = {"Accept-Encoding": "identity", **self._headers(item.where)}
        headers |= {"Range": f"bytes={done_bytes}-"} if done_bytes else {}
        with self._session.stream("GET", item.where, headers=headers, follow_redirects=True) as answer:
            answer.raise_for_status()
            whole = answer.status_code == 200  # the server does not support ranges
            with part.open("wb" if whole else "ab") as file:
                done = 0 if whole else done_bytes
                for block in answer.iter_bytes():  # written at once: a broken connection loses nothing
                    if done + len(block) > item.bytes:
                        raise DownloadError("xtts.too_many_bytes", where=item.where)
                    file.write(block)
                    done += len(block)
                    on_bytes(done)

    def _refusal(self, error: Exception, name: str, final: bool) -> DownloadError | None:
        """Return the user's error for an exception; None if another try makes sense."""
        where = urlsplit(self.published.repository).netloc or self._endpoint or "huggingface.co"
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, self._errors.RevisionNotFoundError):
            return DownloadError(
                "xtts.no_such_revision",
                repository=self.published.repository,
                revision=self.published.revision,
            )
        if isinstance(error, self._errors.RemoteEntryNotFoundError):
            return DownloadError("xtts.not_in_revision", repository=self.published.repository, name=name)
        if status in (401, 403, 404):
            return DownloadError(
                "xtts.hub_refuses", where=where, repository=self.published.repository, status=status
            )
        if not final:
            return None
        return DownloadError("xtts.unreachable", where=where, name=name, reason=error)

    @staticmethod
    def _offline(name: str) -> DownloadError:
        return DownloadError("xtts.offline", name=name)


class HubSupplier(WebSupplier):
    """Source on the Hugging Face hub, or the server in HF_ENDPOINT."""

    def __init__(self, published: Published) -> None:
        super().__init__(published)
        self._endpoint = os.environ.get("HF_ENDPOINT") or None
        self._kind = {"repo_type": "dataset"} if published.kind == "dataset" else {}
        # a data set may require a contact: the user's own token (HF_TOKEN) shows that it was given
        self._token = None if published.kind == "dataset" else False

    def describe(self, name: str) -> Item:
        """Ask the hub (HEAD) and compare with the pinned values; retried on connection errors."""
        revision = self.published.revision
        size, sha256 = self.published.files.get(name, (0, ""))
        if sha256 and (cached := self._cached(name, revision, sha256)):
            return Item(name, size, sha256, "", revision, str(cached))
        url = self._hub.hf_hub_url(
            self.published.repository, name, revision=revision, endpoint=self._endpoint, **self._kind
        )
        facts = self._tried(
            lambda: self._hub.get_hf_file_metadata(url, token=self._token, timeout=_METADATA_SECONDS), name
        )
        etag = facts.etag or ""
        found = etag if _SHA256.fullmatch(etag) else ""
        blob = etag if _GIT_BLOB.fullmatch(etag) else ""
        if facts.size is None or not (found or blob):
            raise DownloadError("xtts.no_checksum_given", url=url)
        if sha256 and (facts.size != size or (found and found != sha256)):
            raise DownloadError(
                "xtts.hub_file_differs", name=name, url=url, size=facts.size, checksum=etag[:12]
            )
        return Item(name, facts.size, sha256 or found, blob, facts.commit_hash or "", facts.location)

    def listing(self) -> Listing:
        """List all files of the data set at the revision, and its licence."""
        api = self._hub.HfApi(endpoint=self._endpoint)
        name, revision = self.published.repository, self.published.revision
        info = self._tried(
            lambda: api.dataset_info(name, revision=revision, files_metadata=True, timeout=_METADATA_SECONDS),
            name,
        )
        files = {
            one.rfilename: (one.size or 0, one.lfs.sha256 if one.lfs is not None else "")
            for one in info.siblings or ()
        }
        stated = (info.card_data or {}).get("license") or ()
        licences = (stated,) if isinstance(stated, str) else tuple(map(str, stated))
        return Listing(info.sha or revision, files, licences)

    def _headers(self, where: str) -> dict[str, str]:
        """Return the token, for the hub itself and no other server."""
        hub = self._endpoint or "https://huggingface.co"
        if self._token is False or urlsplit(where)[:2] != urlsplit(hub)[:2]:
            return {}
        headers = self._hub.utils.build_hf_headers(token=None)
        return {"authorization": headers["authorization"]} if "authorization" in headers else {}

    def _cached(self, name: str, revision: str, sha256: str) -> Path | None:
        """Return the file in the hub's own cache, if it is the right one."""
        found = self._hub.try_to_load_from_cache(
            self.published.repository, name, revision=revision, **self._kind
        )
        if isinstance(found, str) and fingerprint(found) == sha256:
            return Path(found)
        return None


def list_dataset(repository: str, revision: str = "main") -> Listing:
    """List what a data set of the hub holds now. DownloadError if the hub cannot be asked, or has none."""
    return HubSupplier(
        Published(repository, repository, revision, {}, Licence("", "", ""), "dataset")
    ).listing()
