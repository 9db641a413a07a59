"""Text in pieces, as a language model writes it → sentences, each as soon as its end is certain."""

from __future__ import annotations

import re

_END = re.compile(r"[።፧፨?!]+[\"'»”’)\]]*(?=[^።፧፨?!\"'»”’)\]])|\n")
"""A sentence's end is certain once another character follows. A full stop of Latin script may end an
abbreviation."""


class SentenceBuffer:
    """Text that has come and was not handed out yet."""

    def __init__(self) -> None:
        self._text = ""

    def __len__(self) -> int:
        """Characters that wait."""
        return len(self._text)

    def push(self, piece: str) -> list[str]:
        """The sentences that `piece` completes, without white space around them, none empty."""
        self._text += piece
        start, found = 0, []
        for end in _END.finditer(self._text):
            found.append(self._text[start : end.end()])
            start = end.end()
        self._text = self._text[start:]
        return [sentence.strip() for sentence in found if sentence.strip()]

    def flush(self) -> list[str]:
        """The rest, if there is any."""
        rest, self._text = self._text.strip(), ""
        return [rest] if rest else []
