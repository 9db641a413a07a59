"""Compare two results.json files sentence by sentence, and read such files for others.

    found = compare_results(Results.load("a.json"), Results.load("b.json"))

Tests are paired by sentence: Wilcoxon's signed-rank test (1945, zeros split after Pratt 1959) and the sign
test, both two-sided, and a bootstrap interval of the mean difference. p values of several figures are
adjusted together (Benjamini and Hochberg 1995).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dimts.base.errors import DataError
from dimts.evaluate.comparison import SCHEMA, SCHEMA_VERSION
from dimts.evaluate.intervals import LEVEL, Interval, bootstrap, probability_better
from dimts.evaluate.rank import MOST_SNR_DB

COMPARED: dict[str, int] = {
    "per": -1,
    "per_without_length": -1,
    "faulty": -1,
    "contrast": 1,
    "length_ratio": 0,
    "likeness": 1,
    "quality": 1,
    "snr_db": 1,
    "mcd_db": -1,
    "phones_per_second": 0,
    "real_time_factor": -1,
}
"""Compared figures: 1 if higher is better, −1 if lower is, 0 if neither."""


@dataclass(frozen=True, slots=True)
class Results:
    """The content of a results.json."""

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path | str) -> Results:
        """Read a file. DataError if it is no results.json, or one of another version of the schema."""
        path = Path(path)
        if path.is_dir():
            path = path / "results.json"
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(
                "evaluate.results_unreadable", path=path, error=error.strerror or str(error)
            ) from error
        except ValueError as error:
            raise DataError("evaluate.not_results", path=path) from error
        if not isinstance(content, dict) or content.get("schema", None) != SCHEMA:
            raise DataError("evaluate.not_results", path=path)
        if content.get("schema_version") != SCHEMA_VERSION:
            raise DataError(
                "evaluate.results_of_other_version",
                path=path,
                found=str(content.get("schema_version")),
                expected=SCHEMA_VERSION,
            )
        one = cls(path, content)
        if not one._complete():
            raise DataError("evaluate.results_incomplete", path=path)
        return one

    def _complete(self) -> bool:
        """Return whether the parts that are read here are there."""
        try:
            names = [str(one["name"]) for one in self.content["ranking"]["order"]]
            lists = [[str(row["name"]) for row in self.content["sentences"][name]] for name in names]
            identity = (
                self.content["list"]["digest"],
                self.content["list"]["name"],
                self.content["recogniser_digest"],
            )
            return bool(names) and all(lists) and all(isinstance(one, str) for one in identity)
        except (KeyError, TypeError):
            return False

    @property
    def names(self) -> tuple[str, ...]:
        """Systems in their order, the best first."""
        return tuple(one["name"] for one in self.content["ranking"]["order"])

    @property
    def identity(self) -> tuple[str, str]:
        """Hashes of the list and of the recogniser: results with the same ones compare."""
        return self.content["list"]["digest"], self.content["recogniser_digest"]

    @property
    def list_name(self) -> str:
        """Name and version of the list."""
        return f"{self.content['list']['name']} {self.content['list'].get('version', '')}".strip()

    def values(self, system: str, figure: str) -> dict[str, float]:
        """Return a figure by name of the sentence; nan where it was not measured."""
        return {row["name"]: _value(row, figure) for row in self.content["sentences"][system]}


def _value(row: Mapping[str, Any], figure: str) -> float:
    if figure == "faulty":
        return float(bool(row.get("faults")))
    if figure == "contrast":
        margin = row.get("contrast_margin")
        return float(margin > 0) if isinstance(margin, int | float) else math.nan
    found = row.get(figure)
    if figure == "snr_db" and isinstance(found, int | float):
        return min(float(found), MOST_SNR_DB)
    return float(found) if isinstance(found, int | float) else math.nan


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Comparison of one figure between two systems."""

    figure: str
    first: float
    """Mean of the first system over the common sentences."""
    second: float
    """Mean of the second system."""
    difference: Interval
    """Second minus first: mean and 95 % bootstrap interval over the sentences."""
    wilcoxon: float
    """p of the signed-rank test; 1 if no sentence differs."""
    sign: float
    """p of the sign test; 1 if no sentence differs."""
    adjusted: float = math.nan
    """p of the signed-rank test adjusted for the number of figures."""

    @property
    def verdict(self) -> str:
        """ "better", "worse" or "different" if the second system differs, else "same"."""
        if not self.adjusted < 1 - LEVEL:
            return "same"
        direction = COMPARED[self.figure] * self.difference.mean
        return "different" if not direction else "better" if direction > 0 else "worse"

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "figure": self.figure,
            "first": round(self.first, 4),
            "second": round(self.second, 4),
            "difference": self.difference.as_dict(),
            "p_wilcoxon": self.wilcoxon,
            "p_sign": self.sign,
            "p_adjusted": self.adjusted,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class ResultsComparison:
    """Comparison of two systems of two files."""

    first: str
    second: str
    sentences: int
    """Number of sentences that both spoke."""
    tests: tuple[PairedTest, ...]
    probability: float
    """Share of bootstrap samples in which the second system has fewer phone errors."""

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "first": self.first,
            "second": self.second,
            "sentences": self.sentences,
            "probability_fewer_phone_errors": round(self.probability, 4),
            "figures": [one.as_dict() for one in self.tests],
        }


def compare_results(
    one: Results, other: Results, systems: tuple[str, str] | None = None
) -> list[ResultsComparison]:
    """Compare systems of two files: those named, else those of the same names, else the best of each.

    DataError if the lists or the recognisers differ, or for an unknown system.
    """
    if one.identity[0] != other.identity[0]:
        raise DataError(
            "evaluate.results_of_other_lists", first=one.list_name, second=other.list_name, path=other.path
        )  # fmt: skip
    if one.identity[1] != other.identity[1]:
        raise DataError("evaluate.results_of_other_recognisers", first=one.path, second=other.path)
    if systems:
        for name, results in zip(systems, (one, other), strict=True):
            if name not in results.names:
                raise DataError("evaluate.no_such_system", name=name, path=results.path, names=results.names)
        return [_compared(one, other, *systems)]
    common = [name for name in one.names if name in other.names]
    chosen = [(name, name) for name in common] or [(one.names[0], other.names[0])]
    return [_compared(one, other, *names) for names in chosen]


def _compared(one: Results, other: Results, first: str, second: str) -> ResultsComparison:
    tests = []
    errors = (one.values(first, "per"), other.values(second, "per"))
    common = [name for name in errors[0] if name in errors[1]]
    if not common:
        raise DataError("evaluate.no_common_sentences")
    for figure in COMPARED:
        values = one.values(first, figure), other.values(second, figure)
        rows = [(values[0][name], values[1][name]) for name in common]
        rows = [row for row in rows if all(map(math.isfinite, row))]
        if rows:
            tests.append(paired_test(figure, [row[0] for row in rows], [row[1] for row in rows]))
    probability = probability_better(
        [errors[1][name] for name in common], [errors[0][name] for name in common]
    )
    return ResultsComparison(first, second, len(common), tuple(_adjusted(tests)), probability)


def paired_test(figure: str, first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Compare paired values of one figure."""
    from scipy import stats

    difference = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    difference[np.abs(difference) < _EQUAL] = 0.0  # files hold four decimals
    differing = difference[difference != 0]
    wilcoxon = sign = 1.0
    if len(differing):
        # exact where it is quick: ties and zeros would need all permutations
        distinct = len(np.unique(np.abs(difference))) == len(difference) == len(differing)
        method = "auto" if distinct else "asymptotic"
        wilcoxon = float(stats.wilcoxon(difference, zero_method="pratt", method=method).pvalue)
        sign = float(stats.binomtest(int((differing > 0).sum()), len(differing)).pvalue)
    return PairedTest(
        figure, float(np.mean(first)), float(np.mean(second)), bootstrap(difference.tolist()), wilcoxon, sign
    )  # fmt: skip


_EQUAL = 5e-5


def _adjusted(tests: Sequence[PairedTest]) -> list[PairedTest]:
    from scipy import stats

    adjusted = stats.false_discovery_control([one.wilcoxon for one in tests]) if tests else ()
    return [replace(one, adjusted=float(p)) for one, p in zip(tests, adjusted, strict=True)]
