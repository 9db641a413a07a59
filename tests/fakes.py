"""Backends that do what backends do wrong. Each keeps the words it was asked for."""

from __future__ import annotations

import threading
from collections.abc import Sequence

RIGHT = {
    "ሰላም": ("s", "ə", "l", "a", "m"),
    "ቤት": ("b", "e", "t"),
    "ሰው": ("s", "ə", "w"),
    "አሁን": ("ʔ", "a", "h", "u", "n"),
    "ነገ": ("n", "ə", "ɡ", "ə"),
}
"""Words without long consonants, and how they sound."""


class Fake:
    """Right answers for the words of RIGHT, () for others."""

    name = "fake"
    marks_length = True

    def __init__(self) -> None:
        self.asked: list[str] = []

    def phones(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        self.asked += words
        return [self.say(word) for word in words]

    def say(self, word: str) -> tuple[str, ...]:
        return RIGHT.get(word, ())


class Raises(Fake):
    """Raises for every word."""

    def say(self, word: str) -> tuple[str, ...]:
        raise ZeroDivisionError(f"cannot say {word}")


class RaisesForOne(Fake):
    """Raises for ቤት and is right about the others."""

    def say(self, word: str) -> tuple[str, ...]:
        if word == "ቤት":
            raise KeyError(word)
        return RIGHT.get(word, ())


class Unstartable(Fake):
    """Cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no licence")


class Hangs(Fake):
    """Never comes back, until the test is over."""

    over = threading.Event()

    def say(self, word: str) -> tuple[str, ...]:
        self.over.wait()
        return RIGHT.get(word, ())


class HangsAtStart(Fake):
    """Never comes to be."""

    over = threading.Event()

    def __init__(self) -> None:
        super().__init__()
        self.over.wait()


class Empty(Fake):
    """Has nothing to say."""

    def say(self, word: str) -> tuple[str, ...]:
        return ()


class LeaksFidel(Fake):
    """Leaves the last letter as it is."""

    def say(self, word: str) -> tuple[str, ...]:
        return (*RIGHT.get(word, ())[:-1], word[-1])


class Glues(Fake):
    """Runs words together."""

    def say(self, word: str) -> tuple[str, ...]:
        return RIGHT.get(word, ()) * 3


class OneString(Fake):
    """One phone that is the whole word."""

    def say(self, word: str) -> tuple[str, ...]:
        return ("".join(RIGHT.get(word, ("x",))),)


class WrongLanguage(Fake):
    """Says something English, whatever it is asked."""

    def say(self, word: str) -> tuple[str, ...]:
        return ("h", "ə", "l", "o", "w")


class UnknownPhones(Fake):
    """Uses sounds that Amharic does not have."""

    def say(self, word: str) -> tuple[str, ...]:
        return (*RIGHT.get(word, ())[:-1], "θ")


class TooFew(Fake):
    """Loses an answer."""

    def phones(self, words: Sequence[str]) -> list[tuple[str, ...]]:
        return super().phones(words)[:-1]


class NotPhones(Fake):
    """Answers with numbers."""

    def say(self, word: str) -> tuple[str, ...]:
        return (1, 2, 3)  # type: ignore[return-value]


class NoLength(Fake):
    """Right but for length, which it never marks."""

    marks_length = False

    def say(self, word: str) -> tuple[str, ...]:
        return {"እናት": ("ʔ", "ɨ", "n", "a", "t"), **RIGHT}.get(word, ())


FAULTY = (
    Raises, Unstartable, Hangs, HangsAtStart, Empty, LeaksFidel, Glues, OneString, WrongLanguage,
    UnknownPhones, TooFew, NotPhones,
)  # fmt: skip
"""Every backend that must never be believed."""
