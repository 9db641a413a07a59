"""Fetch public corpora of Amharic speech into a project's recordings, with licence and attribution.

A corpus is a row of `corpora.toml`. Its page is asked first for files, commit and licence. Files are cached
as published, checked and resumable (`dimts.xtts.download`); archives and Parquet files are unpacked into
recordings/NAME, which appears atomically. The note `corpus.json` in it gives every recording below its
licence and source (see `sources`).
"""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path, PurePosixPath
from typing import Any

from dimts.base.archives import unpack
from dimts.base.config import from_table
from dimts.base.errors import DataError, DownloadError, storage_error
from dimts.base.files import write_text
from dimts.base.messages import Message
from dimts.base.plugins import nearest
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.base.project import Project, ProjectSettings
from dimts.data.licences import UNKNOWN, is_free, spdx
from dimts.data.manifest import Manifest
from dimts.data.parquet import unpack as unpack_parquet
from dimts.data.sources import CORPUS_NOTE, corpus_note
from dimts.data.unread import ARCHIVES
from dimts.xtts.download import Acceptance, fetch
from dimts.xtts.hub import Licence, Published, WebSupplier, list_dataset

_NO_MEMBERS = ("._*", "*/._*", ".DS_Store", "*/.DS_Store", "__MACOSX/*")
"""Files that archives made on macOS contain besides their contents."""
_PAGE_LICENCE = re.compile(r"licen[cs]e\s*:\s*(?:</?[a-z][^>]*>|\s|&nbsp;)*([^<\n]+)", re.IGNORECASE)
"""`License: NAME` on a page, with markup between."""


@dataclass(frozen=True, slots=True)
class PublicCorpus:
    """A row of corpora.toml."""

    title: str = ""
    hours: float = 0.0
    licence: str = UNKNOWN
    homepage: str = ""
    attribution: str = ""
    repositories: tuple[str, ...] = ()
    address: str = ""
    by_hand: str = ""
    files: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    root: str = ""
    gated: bool = False
    licence_page: str = ""


@cache
def corpora() -> dict[str, PublicCorpus]:
    """Return the corpora of corpora.toml by name."""
    table = tomllib.loads(package_files("dimts.data").joinpath("corpora.toml").read_text(encoding="utf-8"))
    return {name: from_table(PublicCorpus, row, name) for name, row in table.items()}


@dataclass(frozen=True, slots=True)
class CorpusOffer:
    """A corpus as its page offers it now."""

    name: str
    corpus: PublicCorpus
    licence: str
    """Licence as the page states it; `unknown` where it states none."""
    parts: tuple[Published, ...]
    """Files to fetch; empty where `source` holds them."""
    source: Path | None = None
    """A file or folder that the user has fetched."""

    @property
    def bytes(self) -> int:
        """Size of the files to fetch as far as the page states it; 0 where it does not."""
        return sum(size for part in self.parts for size, _ in part.files.values())

    def messages(self) -> list[Message]:
        """Return what a user should know before agreeing."""
        out = [
            Message(
                "data.corpus_offer",
                title=self.corpus.title,
                hours=self.corpus.hours,
                licence=self.licence,
                homepage=self.corpus.homepage,
            )
        ]
        if self.bytes:
            out.append(Message("data.corpus_size", gigabytes=self.bytes / 1e9))
        if self.licence != self.corpus.licence:
            out.append(Message("data.corpus_other_licence", licence=self.licence, known=self.corpus.licence))
        if self.corpus.gated and self.source is None:
            out.append(Message("data.corpus_gate", homepage=self.corpus.homepage))
        return out


def offer(name: str, source: Path | None = None) -> CorpusOffer:
    """Ask a corpus' page for its files, or read `source`.

    Raises DataError for an unknown corpus, one that a person has to fetch, or one whose files are not
    where they were; DownloadError without network.
    """
    if name not in corpora():
        raise DataError("data.unknown_corpus", name=name, nearest=nearest(name, corpora()))
    corpus = corpora()[name]
    if source is not None:
        if not source.exists():
            raise DataError("data.no_such_source", path=source)
        return CorpusOffer(name, corpus, corpus.licence, (), source)
    if corpus.by_hand:
        raise DataError("data.corpus_by_hand", name=name, where=corpus.by_hand)
    if corpus.address:
        licence = _page_licence(corpus) or corpus.licence
        wanted = dict.fromkeys(corpus.files, (0, ""))
        return CorpusOffer(
            name, corpus, licence, (_published(name, corpus, corpus.address, "", wanted, licence),)
        )
    parts: list[Published] = []
    licences: dict[str, None] = {}
    for repository in corpus.repositories:
        listing = list_dataset(repository)
        wanted = {one: facts for one, facts in sorted(listing.files.items()) if _wanted(one, corpus)}
        if not wanted:
            raise DataError("data.corpus_moved", name=name, repository=repository, patterns=corpus.files)
        licence = " AND ".join(map(spdx, listing.licences)) or UNKNOWN
        licences[licence] = None
        parts.append(_published(name, corpus, repository, listing.commit, wanted, licence))
    return CorpusOffer(name, corpus, " AND ".join(licences), tuple(parts))


def _published(
    name: str,
    corpus: PublicCorpus,
    repository: str,
    commit: str,
    wanted: dict[str, tuple[int, str]],
    licence: str,
) -> Published:
    folder = (
        f"corpora/{name}" if len(corpus.repositories) < 2 else f"corpora/{name}/{repository.split('/')[-1]}"
    )
    terms = Licence(licence, corpus.homepage, corpus.attribution)
    return Published(folder, repository, commit or "web", wanted, terms, "dataset" if commit else "url")


def _wanted(name: str, corpus: PublicCorpus) -> bool:
    return _matches(name, corpus.files) and not _matches(name, corpus.skip)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _page_licence(corpus: PublicCorpus) -> str:
    """Return the licence that a corpus' page states; "" where it states none."""
    if not corpus.licence_page:
        return ""
    base, _, page = corpus.licence_page.rstrip("/").rpartition("/")
    supplier = WebSupplier(_published("page", corpus, base, "", {}, ""))
    found = _PAGE_LICENCE.search(supplier.read_page(page).decode("utf-8", "replace"))
    return " ".join(found[1].split()).rstrip(".") if found else ""


# --- into the project -----------------------------------------------------------------------------


def fetch_corpus(
    project: Project, offered: CorpusOffer, acceptance: Acceptance, on_progress: ProgressCallback = ignore
) -> tuple[Path, bool]:
    """Fetch a corpus and unpack it into the project's recordings; returns its folder, and whether it is new.

    Raises DataError for a voice marked free whose corpus is not, another corpus in its place or a broken
    archive; DownloadError as `dimts.xtts.download.fetch`; DimtsError for a full disk. What has come so far
    stays in the cache.
    """
    settings = project.settings("project", ProjectSettings)
    if settings.free and not is_free(offered.licence):
        raise DataError("data.corpus_not_free", name=offered.name, licence=offered.licence)
    target = project.recordings / offered.name
    revisions = [f"{part.repository}@{part.revision}" for part in offered.parts]
    if target.exists():
        note = corpus_note(target)
        if note is None or (offered.parts and note.get("revisions") != revisions):
            raise DataError("data.corpus_there", path=target)
        return target, False
    places = [
        (_fetched(part, offered, acceptance, on_progress), part.repository.split("/")[-1])
        for part in offered.parts
    ]
    staging = project.recordings / f".{offered.name}.unpacking"
    try:
        project.recordings.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        if offered.source is not None:
            _unpack_all(_of_source(offered.source, offered.corpus), staging, offered.corpus, on_progress)
        for (folder, name), part in zip(places, offered.parts, strict=True):
            inside = staging / name if len(places) > 1 else staging
            _unpack_all([(folder / one, one) for one in part.files], inside, offered.corpus, on_progress)
        write_text(
            staging / CORPUS_NOTE, json.dumps(_note(offered, revisions), ensure_ascii=False, indent=1) + "\n"
        )
        staging.rename(target)
    except OSError as error:
        raise storage_error(error, staging) or error from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target, True


def _fetched(
    part: Published, offered: CorpusOffer, acceptance: Acceptance, on_progress: ProgressCallback
) -> Path:
    try:
        return fetch(part, acceptance=acceptance, on_progress=on_progress)
    except DownloadError as error:
        refused = error.message.parameters.get("status") in (401, 403)
        if error.code == "xtts.hub_refuses" and refused and part.kind == "dataset":
            homepage = offered.corpus.homepage
            raise DownloadError("data.corpus_gate_closed", name=offered.name, homepage=homepage) from error
        if error.code == "xtts.disk_too_full":
            raise DownloadError("data.corpus_disk_full", **error.message.parameters) from error
        raise


def _note(offered: CorpusOffer, revisions: Sequence[str]) -> dict[str, Any]:
    return {
        "name": offered.name,
        "title": offered.corpus.title,
        "homepage": offered.corpus.homepage,
        "licence": offered.licence,
        "attribution": offered.corpus.attribution,
        "revisions": list(revisions),
        "fetched": datetime.now(UTC).date().isoformat(),
    }


def _of_source(source: Path, corpus: PublicCorpus) -> list[tuple[Path, str]]:
    """Return the files of a corpus that the user has fetched, with their names in it."""
    if source.is_file():
        return [(source, source.name)]
    found = [
        (path, path.relative_to(source).as_posix()) for path in sorted(source.rglob("*")) if path.is_file()
    ]
    wanted = [
        (path, name)
        for path, name in found
        if _wanted(name, corpus) or _wanted(f"{corpus.root}/{name}", corpus)
    ]
    if not wanted:
        raise DataError("data.corpus_not_in_folder", folder=source, patterns=corpus.files)
    return wanted


def _unpack_all(
    files: Sequence[tuple[Path, str]], target: Path, corpus: PublicCorpus, on_progress: ProgressCallback
) -> None:
    """Unpack archives and Parquet files, copy the others, each to its place below `target`."""
    needed = sum(path.stat().st_size for path, _ in files)
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise DownloadError(
            "data.corpus_disk_full", folder=target.parent, needed_mb=needed / 1e6, free_mb=free / 1e6
        )

    def wanted(member: str) -> bool:
        return not _matches(member, (*_NO_MEMBERS, *corpus.skip))

    for number, (path, name) in enumerate(files):
        on_progress(Progress("unpack", number, len(files), "files", subject=name))
        inside = PurePosixPath(name)
        if corpus.root and inside.is_relative_to(corpus.root):
            inside = inside.relative_to(corpus.root)
        place = target / inside
        place.parent.mkdir(parents=True, exist_ok=True)
        if name.lower().endswith(".parquet"):
            unpack_parquet(path, place.with_suffix(""))
        elif name.lower().endswith(ARCHIVES):
            unpack(path, place.parent, wanted, DataError)
        else:
            shutil.copyfile(path, place)
    on_progress(Progress("unpack", len(files), len(files), "files"))


# --- who is to be named ---------------------------------------------------------------------------


def attributions(project: Project) -> tuple[str, ...]:
    """Return the attributions of the kept clips, a line for each corpus, as in model cards and exports."""
    notes = {
        folder: note for folder in _folders(project.recordings) if (note := corpus_note(folder)) is not None
    }
    if not notes or not project.manifest.exists():
        return ()
    inside = {f"{project.relative(folder)}/": note for folder, note in notes.items()}
    used: dict[str, None] = {}
    for row in Manifest.rows(project.manifest):
        if row.kept:
            used.update((prefix, None) for prefix in inside if row.source.startswith(prefix))
    return tuple(
        f"{note.get('attribution') or note.get('title', '')}; {note.get('licence') or UNKNOWN}; "
        f"{note.get('homepage', '')}; changed: cut into clips, cleaned, levelled, some left out"
        for prefix, note in inside.items()
        if prefix in used
    )


def _folders(recordings: Path) -> Iterator[Path]:
    if recordings.is_dir():
        yield from (folder for folder in sorted(recordings.iterdir()) if folder.is_dir())
