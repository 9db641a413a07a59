"""Split text that arrives in pieces, as from a language model, into sentences as soon as each is complete."""

from __future__ import annotations

import re

_END = re.compile(r"[።፧፨?!]+[\"'»”’)\]]*(?=[^።፧፨?!\"'»”’)\]])|\n")
"""A sentence's end is certain once another character follows. A full stop of Latin script may end an
abbreviation."""


class SentenceBuffer:
    """Buffer of text that is not yet returned as sentences."""

    def __init__(self) -> None:
        self._text = ""

    def __len__(self) -> int:
        """Number of characters in the buffer."""
        return len(self._text)

    def push(self, piece: str) -> list[str]:
        """Return the sentences that `piece` completes, stripped, none empty."""
        self._text += piece
        start, found = 0, []
        for end in _END.finditer(self._text):
            found.append(self._text[start : end.end()])
            start = end.end()
        self._text = self._text[start:]
        return [sentence.strip() for sentence in found if sentence.strip()]

    def flush(self) -> list[str]:
        """Return the rest, if there is any."""
        rest, self._text = self._text.strip(), ""
        return [rest] if rest else []
