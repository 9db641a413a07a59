"""Choose sentences to record from a corpus of text: few sentences with every phone in many contexts.

Greedy choice of the sentence that adds most for its length (van Santen and Buchsbaum 1997), by a lazy heap:
what a sentence adds only shrinks as others are chosen, so a stale best is weighed again before it is
believed.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dimts.base.errors import ConfigError, DataError, SourceError, TextError
from dimts.base.progress import Progress, ProgressCallback, ignore
from dimts.data.check import CheckSettings, check_text
from dimts.data.forced_alignment import sentences
from dimts.data.split import text_key
from dimts.text.frontend import Frontend

_WORD_BORDER = "#"
_LONG, _EJECTIVE = "ː", "ʼ"
_PHONE_WORTH = 60.0
_LONG_WORTH = 20.0
"""Value of a long consonant, which fidel does not write, or an ejective: Amharic voices often get them
wrong."""
_DIPHONE_WORTH = 1.0
_AGAIN = 0.5
"""Factor of a unit's value for each further occurrence."""
PHONES_PER_SECOND = 12.0
"""Rate of read speech, for estimating the length of a script."""


@dataclass(frozen=True, slots=True)
class ScriptSettings:
    """Choice of a recording script."""

    count: int = 100
    """Sentences to choose."""
    min_phones: int = 20
    """Phones of the shortest sentence: about two seconds."""
    max_phones: int = 110
    """Phones of the longest sentence: about nine seconds, a breath or two."""
    max_candidates: int = 20_000
    """Largest number of candidates; of a larger corpus, so many sentences are drawn at random."""
    seed: int = 0
    """Seed of the draw of candidates."""

    def __post_init__(self) -> None:
        if self.count < 1 or self.max_candidates < self.count or not 0 < self.min_phones < self.max_phones:
            raise ConfigError("data.script_limits_crossed")


@dataclass(frozen=True, slots=True)
class Script:
    """Sentences in the order of choice: the first ones matter most."""

    sentences: tuple[str, ...]
    phones: tuple[tuple[str, ...], ...]
    """Phones of each sentence, words by "#"."""
    covered: int
    """Number of different diphones in the script."""
    found: int
    """Number of different diphones in all candidates."""
    missing: tuple[str, ...]
    """Phones (with length) that candidates have and the script lacks."""

    @property
    def seconds(self) -> float:
        """Approximate length of reading it."""
        phones = sum(phone != _WORD_BORDER for one in self.phones for phone in one)
        return phones / PHONES_PER_SECOND


def choose(
    texts: Iterable[str],
    frontend: Frontend,
    settings: ScriptSettings | None = None,
    on_progress: ProgressCallback = ignore,
) -> Script:
    """Choose a script from running text. DataError if no sentence can be used."""
    settings = settings or ScriptSettings()
    candidates = _candidates(texts, frontend, settings, on_progress)
    if not candidates:
        raise DataError(
            "data.no_usable_sentence", min_phones=settings.min_phones, max_phones=settings.max_phones
        )
    units = [_units(phones) for _, phones in candidates]
    seen: Counter[str] = Counter()
    heap = [
        (-_worth(own, seen, phones), number)
        for number, (own, (_, phones)) in enumerate(zip(units, candidates, strict=True))
    ]
    heapq.heapify(heap)
    chosen: list[int] = []
    while heap and len(chosen) < settings.count:
        _, number = heapq.heappop(heap)
        now = -_worth(units[number], seen, candidates[number][1])
        if heap and now > heap[0][0]:  # another may be worth more by now
            heapq.heappush(heap, (now, number))
            continue
        chosen.append(number)
        seen.update(units[number])
        on_progress(Progress("choose", len(chosen), settings.count, "sentences"))
    every = set().union(*units)
    return Script(
        tuple(candidates[number][0] for number in chosen),
        tuple(candidates[number][1] for number in chosen),
        sum(" " in unit for unit in seen),
        sum(" " in unit for unit in every),
        tuple(sorted(unit for unit in every if " " not in unit and unit not in seen)),
    )


def read_texts(paths: Sequence[Path]) -> Iterator[str]:
    """Yield lines of text files. SourceError for a file that cannot be read as UTF-8."""
    for path in paths:
        try:
            with path.open(encoding="utf-8-sig") as file:
                yield from file
        except UnicodeDecodeError as error:
            raise SourceError("data.not_utf8_file", path=path, reason=error.reason) from error
        except OSError as error:
            raise SourceError("data.unreadable_file", path=path, reason=error.strerror) from error


def as_table(script: Script) -> str:
    """Format the script as a metadata.tsv: record each line as the file it names, and prepare the folder."""
    lines = ["id\tpath\ttext"]
    lines += [
        f"s{number:04d}\ts{number:04d}.wav\t{text}" for number, text in enumerate(script.sentences, start=1)
    ]
    return "\n".join(lines) + "\n"


def _candidates(
    texts: Iterable[str], frontend: Frontend, settings: ScriptSettings, on_progress: ProgressCallback
) -> list[tuple[str, tuple[str, ...]]]:
    """Return different sentences of the right length, with their phones; drawn at random where there are too
    many."""
    rng = random.Random(settings.seed)
    drawn: list[str] = []
    keys: set[str] = set()
    count = 0
    for text in texts:
        for sentence in sentences(" ".join(text.split())):
            key = text_key(sentence)
            # a letter is a phone to two and a half
            fits = settings.min_phones <= 2.5 * len(key) and len(key) <= settings.max_phones
            if key in keys or not fits or check_text(sentence, CheckSettings()):
                continue
            keys.add(key)
            count += 1
            if len(drawn) < settings.max_candidates:
                drawn.append(sentence)
            elif (at := rng.randrange(count)) < len(drawn):  # reservoir (Vitter 1985)
                drawn[at] = sentence
    out = []
    for number, sentence in enumerate(drawn, start=1):
        try:
            words = [word.phones for phrase in frontend(sentence) for word in phrase.words if word.phones]
        except TextError:
            continue
        if settings.min_phones <= sum(map(len, words)) <= settings.max_phones:
            phones = [phone for word in words for phone in (*word, _WORD_BORDER)]
            out.append((sentence, tuple(phones[:-1])))
        if number % 100 == 0:
            on_progress(Progress("read", number, len(drawn), "sentences"))
    return out


def _units(phones: Sequence[str]) -> set[str]:
    """Return the phones and the diphones of a sentence; a diphone is written with a space."""
    bounded = [_WORD_BORDER, *phones, _WORD_BORDER]
    return {phone for phone in phones if phone != _WORD_BORDER} | {
        f"{first} {second}" for first, second in itertools.pairwise(bounded)
    }


def _worth(units: set[str], seen: Counter[str], phones: Sequence[str]) -> float:
    """Return the value of a sentence for its length."""
    worth = 0.0
    for unit in units:
        base = (
            _DIPHONE_WORTH
            if " " in unit
            else _PHONE_WORTH + (_LONG_WORTH if _LONG in unit or _EJECTIVE in unit else 0.0)
        )
        worth += base * _AGAIN ** seen[unit]
    return worth / len(phones)
