"""Guard one backend of a chain: started at its first call, called with a time limit, left out once it hangs.

Whatever a backend raises, `SystemExit` included, becomes a reason to ask the next one. A call that does not
return in time is abandoned in its thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from dimts.base.errors import DimtsError
from dimts.base.issue import Issue
from dimts.base.messages import Message
from dimts.text.g2p.backend import Backend
from dimts.text.phones import VOWELS


class GuardedBackend:
    """A backend that can neither end nor block the process."""

    def __init__(self, name: str, maker: Callable[[], Backend], max_seconds: float | None) -> None:
        """`max_seconds` None: a backend of our own, called directly."""
        self.name = name
        self.reasons: dict[str, Issue] = {}
        """Why the last call has no answer for a word."""
        self._maker = maker
        self._max_seconds = max_seconds
        self._absent: Issue | None = None
        self._lock = threading.Lock()

    @property
    def marks_length(self) -> bool:
        """Whether the backend marks long consonants; False for one that does not declare it."""
        return bool(getattr(self._made, "marks_length", False)) if self._absent is None else False

    @cached_property
    def _made(self) -> Backend | None:
        try:
            made: Backend = self._limited(self._maker)
            return made
        except _Hangs:
            self._absent = Issue(
                "hangs", self._message("text.backend_start_timeout", max_seconds=self._max_seconds)
            )
        except DimtsError as error:
            self._absent = Issue("absent", error.message)
        except Exception as error:  # noqa: BLE001  # a plug-in's constructor may raise anything
            self._absent = Issue(
                "raises", self._message("text.backend_not_started", kind=_kind(error), error=error)
            )
        return None

    def ask(self, words: Sequence[str]) -> tuple[Mapping[str, tuple[str, ...]], Issue | None]:
        """Return answers by word, and why there are none at all, if so."""
        with self._lock:
            backend = self._made if self._absent is None else None
            if backend is None:
                return {}, self._absent
            self.reasons = {}
            answers = self._try(backend, words)
            if (
                answers is None and len(words) > 1 and not self._left_out()
            ):  # one word may have failed all of them
                answers = {}
                for word in words:
                    answers |= self._try(backend, [word]) or {}
                    if self._left_out():
                        break
            return answers or {}, self._absent if not answers else None

    def _left_out(self) -> bool:
        return self._absent is not None

    def _try(self, backend: Backend, words: Sequence[str]) -> dict[str, tuple[str, ...]] | None:
        try:
            answers: Any = self._limited(lambda: backend.phones(list(words)))
            if not isinstance(answers, list | tuple) or len(answers) != len(words):
                raise TypeError(f"{len(words)} words asked, not as many answers")
            return {
                word: with_glottal_stop(tuple(answer)) for word, answer in zip(words, answers, strict=True)
            }
        except _Hangs:
            self._absent = Issue(
                "hangs", self._message("text.backend_timeout", max_seconds=self._max_seconds)
            )
        except Exception as error:  # noqa: BLE001  # to ask the next backend, keeping the reason
            reason = Issue("raises", Message("text.backend_raised", kind=_kind(error), error=error))
            self.reasons |= dict.fromkeys(words, reason)
        return None

    def _message(self, code: str, **parameters: object) -> Message:
        return Message(code, name=self.name, **parameters)

    def _limited(self, work: Callable[[], Any]) -> Any:
        """Return the result of `work`, done in a thread that is abandoned if it takes too long."""
        if self._max_seconds is None:
            return work()
        outcome: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

        def run() -> None:
            try:
                outcome.put((True, work()))
            except BaseException as error:  # noqa: BLE001  # handed to the asking thread, which raises it
                outcome.put((False, error))

        threading.Thread(target=run, name=f"dimts-{self.name}", daemon=True).start()
        try:
            returned, value = outcome.get(timeout=self._max_seconds)
        except queue.Empty:
            raise _Hangs from None
        if returned:
            return value
        if isinstance(value, Exception):
            raise value
        raise _Ended(value) from value  # SystemExit of a plug-in: a failure like any other


def with_glottal_stop(phones: tuple[str, ...]) -> tuple[str, ...]:
    """Normalise an answer: a word that begins with a vowel gets an initial ʔ."""
    return ("ʔ", *phones) if phones and phones[0] in VOWELS else phones


def _kind(error: Exception) -> str:
    return type(error.__cause__ if isinstance(error, _Ended) else error).__name__


class _Hangs(Exception):
    """A call that did not return in time."""


class _Ended(Exception):
    """A call that tried to end the process."""
