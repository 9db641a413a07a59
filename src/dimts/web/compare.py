"""Blind AB comparison of two voices on the same sentences. Choices are stored and counted.

    compare/<id>.json      the two voices, the sentences, for each which side is A, and the choice

Sides are drawn at random for every sentence and hidden until all are judged. The count gives a two-sided sign
test (ties left out): the probability of a split so uneven by chance.
"""

from __future__ import annotations

import json
import math
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from dimts.base.errors import DataError
from dimts.base.files import write_text
from dimts.base.project import Project

Verdict = Literal["a", "b", "tie"]
MAX_SENTENCES = 100
MAX_LETTERS = 500
_FOLDER = "compare"
_ONE_WRITER = threading.Lock()


@dataclass(frozen=True, slots=True)
class ComparisonTrial:
    """One sentence of a comparison."""

    text: str
    swapped: bool
    """Whether A is the second voice."""
    verdict: str = ""
    """Choice "a", "b" or "tie"; "" while not judged."""


@dataclass(frozen=True, slots=True)
class BlindComparison:
    """Two voices on some sentences."""

    id: str
    first: str
    second: str
    made: float
    trials: tuple[ComparisonTrial, ...]

    @property
    def at(self) -> int:
        """Number of the next sentence to judge; the number of sentences when all are judged."""
        return next(
            (number for number, trial in enumerate(self.trials) if not trial.verdict), len(self.trials)
        )

    @property
    def over(self) -> bool:
        """Whether all sentences are judged."""
        return self.at == len(self.trials)

    def voices(self, number: int) -> tuple[str, str]:
        """Return the voices A and B of a trial. Internal; users see `tally` alone."""
        names = (self.first, self.second)
        return (names[1], names[0]) if self.trials[number].swapped else names


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of the choices so far."""

    first: int
    second: int
    ties: int
    chance: float
    """Probability of a split at least as uneven if both were equally good (sign test)."""


def begin(project: Project, first: str, second: str, sentences: Sequence[str]) -> BlindComparison:
    """Start a comparison. DataError for equal voices or no sentences."""
    texts = list(dict.fromkeys(" ".join(text.split()) for text in sentences if text.strip()))
    if first == second:
        raise DataError("web.same_voice_twice")
    if not texts or len(texts) > MAX_SENTENCES or max(map(len, texts)) > MAX_LETTERS:
        raise DataError("web.sentences_wrong", max_sentences=MAX_SENTENCES, max_letters=MAX_LETTERS)
    identity = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    trials = tuple(ComparisonTrial(text, secrets.randbelow(2) == 1) for text in texts)
    made = BlindComparison(identity, first, second, time.time(), trials)
    _save(project, made)
    return made


def load(project: Project, identity: str) -> BlindComparison:
    """Load a comparison by its id. DataError for one that does not exist or cannot be read."""
    for path in (project.root / _FOLDER).glob("*.json"):
        if path.stem == identity:
            return _read(path)
    raise DataError("web.no_such_comparison", identity=str(identity)[:60])


def judge(project: Project, identity: str, number: int, verdict: str) -> BlindComparison:
    """Store a choice for sentence `number`. DataError for one that is judged already, or an unknown
    choice."""
    with _ONE_WRITER:
        found = load(project, identity)
        if verdict not in ("a", "b", "tie"):
            raise DataError("web.unknown_verdict", verdict=verdict[:20])
        if number != found.at or found.over:
            raise DataError("web.sentence_judged_already")
        trials = list(found.trials)
        trials[number] = replace(trials[number], verdict=verdict)
        found = replace(found, trials=tuple(trials))
        _save(project, found)
        return found


def tally(found: BlindComparison) -> Tally:
    """Count the choices by voice."""
    wins = {found.first: 0, found.second: 0}
    ties = 0
    for number, trial in enumerate(found.trials):
        if trial.verdict == "tie":
            ties += 1
        elif trial.verdict:
            wins[found.voices(number)["ab".index(trial.verdict)]] += 1
    return Tally(wins[found.first], wins[found.second], ties, chance(wins[found.first], wins[found.second]))


def chance(first: int, second: int) -> float:
    """Compute the two-sided sign test: P(a split of `first` + `second` fair coins at least as uneven as this
    one)."""
    total, most = first + second, max(first, second)
    tail = sum(math.comb(total, count) for count in range(most, total + 1))
    return min(1.0, 2.0 * tail / float(2**total))


def _save(project: Project, found: BlindComparison) -> None:
    content = {**asdict(found), "trials": [asdict(trial) for trial in found.trials]}
    write_text(
        project.root / _FOLDER / f"{found.id}.json", json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    )


def _read(path: Path) -> BlindComparison:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        trials = tuple(ComparisonTrial(**trial) for trial in content.pop("trials"))
        return BlindComparison(**content, trials=trials)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError("web.not_a_comparison", path=path.name, reason=error) from error
