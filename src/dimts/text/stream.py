"""Normalise files of any size, line for line, in bounded memory and on several cores.

A block is as many whole lines as fit; a line longer than a block is cut after a full stop or between two
plain words, where no written form can extend across, and its parts are joined again in the output.
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

from dimts.base.errors import TextError
from dimts.text.normalise import Normaliser, NormaliseSettings
from dimts.text.reading import FIDEL

BLOCK_CHARACTERS = 1 << 18
"""Characters of text read at once; a longer line is cut."""
_AHEAD = 3
"""Blocks queued per process; more would only cost memory."""
_SAFE = re.compile(rf"[።?!] +(?=[{FIDEL}])|(?<=[{FIDEL}]) +(?=[{FIDEL}])")
_NEAR_END = 4096
"""Characters at the end of a block in which a cut is searched."""


class TextBlock(NamedTuple):
    """Whole lines, or a part of one long line."""

    text: str
    ends_line: bool


def blocks(chunks: Iterable[bytes], name: str = "the text") -> Iterator[TextBlock]:
    """Decode UTF-8 bytes in any portions into blocks. TextError with the line for bytes that are not
    UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    held = ""
    lines = 0
    try:
        for chunk in chunks:
            held += decoder.decode(chunk)
            end = held.rfind("\n")
            if end >= 0:
                lines += held.count("\n", 0, end + 1)
                yield from _split(held[: end + 1], ends_line=True)
                held = held[end + 1 :]
            while len(held) > BLOCK_CHARACTERS:
                cut = _cut_at(held)
                yield TextBlock(held[:cut], False)
                held = held[cut:]
        held += decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise TextError(
            "text.not_utf8_after_line", name=name, lines=lines + 1, reason=error.reason
        ) from error
    if held:
        yield from _split(held, ends_line=True)


def _split(text: str, *, ends_line: bool) -> Iterator[TextBlock]:
    """Yield lines that arrived together, in blocks of a bounded size."""
    while len(text) > 2 * BLOCK_CHARACTERS:
        end = text.rfind("\n", 0, BLOCK_CHARACTERS)
        if end >= 0:
            yield TextBlock(text[: end + 1], True)
            text = text[end + 1 :]
        else:
            cut = _cut_at(text)
            yield TextBlock(text[:cut], False)
            text = text[cut:]
    if text:
        yield TextBlock(text, ends_line)


def _cut_at(text: str) -> int:
    """Return where a long line may be cut without cutting a written form."""
    ends = [found.end() for found in _SAFE.finditer(text, BLOCK_CHARACTERS - _NEAR_END, BLOCK_CHARACTERS)]
    return ends[-1] if ends else BLOCK_CHARACTERS


def normalise_stream(
    source: Iterable[TextBlock], settings: NormaliseSettings | None = None, jobs: int = 1
) -> Iterator[str]:
    """Yield the spoken form of blocks, in order, one line for each line, by `jobs` processes."""
    spoken = _one_by_one(source, settings) if jobs <= 1 else _side_by_side(source, settings, jobs)
    open_line = False  # whether the last part of a long line still waits for more
    for block, wording in spoken:
        if not block.ends_line:
            wording = wording.strip(" ")
            yield f" {wording}" if open_line and wording else wording
            open_line = open_line or bool(wording)
            continue
        joint = " " if open_line and wording and not wording.startswith("\n") else ""
        open_line = False
        yield joint + wording


def _one_by_one(
    source: Iterable[TextBlock], settings: NormaliseSettings | None
) -> Iterator[tuple[TextBlock, str]]:
    normaliser = Normaliser(settings)
    for block in source:
        yield block, _spoken_lines(normaliser, block)


def _spoken_lines(normaliser: Normaliser, block: TextBlock) -> str:
    if not block.ends_line:
        return normaliser.spoken(block.text)
    return normaliser.spoken(block.text.removesuffix("\n")) + "\n"


_worker: Normaliser | None = None


def _start(settings: NormaliseSettings | None) -> None:
    global _worker  # one normaliser per process, made when the process starts
    _worker = Normaliser(settings)


def _work(block: TextBlock) -> str:
    if _worker is None:
        raise RuntimeError("the process was not started with settings")
    return _spoken_lines(_worker, block)


def _side_by_side(
    source: Iterable[TextBlock], settings: NormaliseSettings | None, jobs: int
) -> Iterator[tuple[TextBlock, str]]:
    waiting: deque[tuple[TextBlock, Future[str]]] = deque()
    with ProcessPoolExecutor(jobs, get_context("spawn"), _start, (settings,)) as pool:
        for block in source:
            waiting.append((block, pool.submit(_work, block)))
            while len(waiting) > _AHEAD * jobs:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
