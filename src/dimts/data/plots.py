"""Draw statistics as one picture: lengths, noise, speaking rate, speakers, phones, and diphones.

Drawn by matplotlib, without a display. Its own font holds IPA but no fidel: speakers named in fidel are
numbered.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dimts.base.errors import DataError
from dimts.base.files import atomic_path
from dimts.base.plugins import require
from dimts.data.stats import LENGTH_STEP_SECONDS, LONG, RARE, RATE_STEP, SNR_STEP_DB, WORD_BORDER, Stats
from dimts.text.phones import CONSONANTS, VOWELS

FORMATS = (".png", ".svg", ".pdf")
_INK, _GREEN, _RED, _PALE = "#1f3a2e", "#14795c", "#c2552d", "#9fc5b5"
_MOST_SPEAKERS = 12


def draw(stats: Stats, path: Path) -> Path:
    """Draw the picture; its suffix chooses the format. DataError for another format or when nothing is
    kept."""
    if path.suffix.lower() not in FORMATS:
        raise DataError("data.unknown_plot_format", suffix=path.suffix or path.name, formats=tuple(FORMATS))
    if not stats.kept:
        raise DataError("data.nothing_to_draw")
    figure = require("matplotlib.figure", "evaluate").Figure(figsize=(12, 11), layout="constrained")
    axes = figure.subplot_mosaic(
        [["lengths", "snr", "rates"], ["phones", "phones", "speakers"], ["diphones", "diphones", "sums"]],
        height_ratios=[1, 1, 2.2],
    )
    for one in axes.values():
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(colors=_INK, labelsize=8)
    _bars(axes["lengths"], stats.lengths, LENGTH_STEP_SECONDS, "clip length [s]", "clips")
    _bars(axes["snr"], stats.snr, SNR_STEP_DB, "speech over noise [dB]", "clips")
    _bars(axes["rates"], stats.rates, RATE_STEP, "phones a second", "clips")
    _speakers(axes["speakers"], stats)
    _phones(axes["phones"], stats)
    _diphones(axes["diphones"], stats, figure)
    _sums(axes["sums"], stats)
    with atomic_path(path) as temporary:
        figure.savefig(
            temporary, format=path.suffix.lower().lstrip("."), dpi=110, metadata=_UNDATED[path.suffix.lower()]
        )
    return path


_UNDATED: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}, ".png": {}}


def _bars(axes: Any, counts: Mapping[int, int], step: float, x: str, y: str) -> None:
    if counts:
        axes.bar(
            [key * step for key in counts],
            list(counts.values()),
            width=0.9 * step,
            align="edge",
            color=_GREEN,
        )
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)


def _speakers(axes: Any, stats: Stats) -> None:
    most = [name for name, _ in stats.speaker_seconds.most_common(_MOST_SPEAKERS)]
    names = [name if name.isascii() and name else f"speaker {at}" for at, name in enumerate(most, start=1)]
    if len(stats.speakers) > len(most):
        names[-1] += f" (and {len(stats.speakers) - len(most)} more)"
    axes.barh(range(len(most)), [float(stats.speaker_seconds[name]) / 60 for name in most], color=_GREEN)
    axes.set_yticks(range(len(most)), names)
    axes.invert_yaxis()
    axes.set_xlabel("minutes", fontsize=9)


def _phones(axes: Any, stats: Stats) -> None:
    """Draw short and long phones together, the long ones darker; red where a phone is rare."""
    inventory = [*VOWELS, *CONSONANTS]
    short = [stats.phones[phone] for phone in inventory]
    long = [stats.phones[phone + LONG] for phone in inventory]
    at = np.arange(len(inventory))
    colours = [_RED if one + two < RARE else _PALE for one, two in zip(short, long, strict=True)]
    axes.bar(at, np.maximum(short, 0.5), color=colours)
    axes.bar(at, long, bottom=short, color=_GREEN, label="long")
    axes.axhline(RARE, color=_RED, linewidth=0.8, linestyle=":")
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.5)
    axes.set_xticks(at, inventory)
    axes.set_xlim(-0.6, len(inventory) - 0.4)
    axes.set_ylabel("occurrences", fontsize=9)
    axes.legend(fontsize=8, frameon=False)


def _diphones(axes: Any, stats: Stats, figure: Any) -> None:
    names = [*VOWELS, *CONSONANTS, WORD_BORDER]
    index = {name: at for at, name in enumerate(names)}
    seen = np.full((len(names), len(names)), np.nan)
    plain: Counter[tuple[str, str]] = Counter()
    for (first, second), count in stats.diphones.items():
        plain[first.rstrip(LONG), second.rstrip(LONG)] += count
    for (first, second), count in plain.items():
        if first in index and second in index:
            seen[index[first], index[second]] = math.log10(count)
    image = axes.imshow(seen, cmap="YlGn", aspect="auto", vmin=-0.3)
    axes.set_xticks(range(len(names)), names, fontsize=7)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_xlabel("the phone behind", fontsize=9)
    axes.set_ylabel("the phone before", fontsize=9)
    bar = figure.colorbar(image, ax=axes, shrink=0.6)
    bar.set_label("occurrences, log10", fontsize=8)


def _sums(axes: Any, stats: Stats) -> None:
    axes.axis("off")
    lines = [
        f"{stats.kept} clips kept, {stats.seconds / 60:.1f} minutes",
        *(f"   {name}: {stats.splits[name]}" for name in ("train", "dev", "test")),
        f"{stats.utterances - stats.kept} set aside",
        *(f"   {kind}: {count}" for kind, count in stats.rejected_for.most_common(10)),
        f"{len(stats.distinct)} different sentences, {stats.words} words",
        f"{len(stats.diphones)} different diphones",
        f"missing phones: {' '.join(stats.missing) or 'none'}",
    ]
    axes.text(0.0, 1.0, "\n".join(lines), va="top", fontsize=10, color=_INK, transform=axes.transAxes)
