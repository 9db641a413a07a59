"""Code of a word → how probable it is that each consonant is long. A small log-linear model."""

from __future__ import annotations


class Model:
    """The sequence model."""

    def chances(self, code: str) -> tuple[float, ...]:
        """For each consonant of `code`, the probability that it is long."""
        return ()
