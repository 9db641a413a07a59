"""Draws plots as SVG or PNG text for HTML pages, with matplotlib and without a display.

Matplotlib would need a font with Ethiopic letters; the page has one, so names are text in the SVG.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dimts.base.plugins import require

_INK = "#1f3a2e"
_SERIES = ("#14795c", "#c2552d", "#5b5fc7", "#a3812c")
_SPECTROGRAM_HZ = 8000
_FLOOR_DECIBELS = -70.0


def _figure(width_inches: float, height_inches: float) -> tuple[Any, Any]:
    figure_module = require("matplotlib.figure", extra="evaluate")
    figure = figure_module.Figure(figsize=(width_inches, height_inches), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_INK, labelsize=8)
    return figure, axes


def _svg(figure: Any) -> str:
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _png(figure: Any) -> str:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def curves(series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str) -> str:
    """Draw named lines of (x, y) points as SVG."""
    figure, axes = _figure(6.4, 2.8)
    for colour, (name, points) in zip(_SERIES * len(series), series.items(), strict=False):
        if points:
            marker = "o" if len(points) < 30 else None
            axes.plot(*zip(*points, strict=True), label=name, color=colour, linewidth=1.4, marker=marker, markersize=3)
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.grid(alpha=0.25)
    if len(series) > 1:
        axes.legend(fontsize=8, frameon=False)
    return _svg(figure)


def histogram(values: Sequence[float], x_label: str, y_label: str) -> str:
    """Draw a histogram of at most 24 bars as SVG."""
    figure, axes = _figure(6.4, 2.4)
    axes.hist(values, bins=min(24, max(4, len(values) // 3)), color=_SERIES[0], edgecolor="white")
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    return _svg(figure)


def ranges(rows: Sequence[tuple[str, float, float, float]], x_label: str) -> str:
    """Draw each (name, value, low, high) as a dot with its interval, the first on top, as SVG; nan limits
    draw no line.

    Labels are laid out with stand-ins that the drawing font has, then replaced by the names.
    """
    figure, axes = _figure(6.4, 0.7 + 0.35 * len(rows))
    for place, (_, value, low, high) in enumerate(reversed(rows)):
        colour = _SERIES[0] if place == len(rows) - 1 else _SERIES[1]
        axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot([value], [place], "o", color=colour, markersize=5)
    stand_ins = {f"name{number:03d}".ljust(len(name), "n"): name for number, (name, *_) in enumerate(rows)}
    axes.set_yticks(range(len(rows)), list(stand_ins)[::-1])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel(x_label, fontsize=9)
    axes.grid(axis="x", alpha=0.25)
    with require("matplotlib", extra="evaluate").rc_context({"svg.fonttype": "none"}):
        text = _svg(figure)
    for stand_in, name in stand_ins.items():
        text = text.replace(f">{stand_in}<", f">{html.escape(name)}<")
    return text


def spectrogram(samples: npt.NDArray[np.float32], rate: int) -> str:
    """Draw samples [T] at `rate` Hz as a spectrogram of 0–8 kHz and 70 dB, a PNG data URI.

    Windows are 23 ms Hann, the hop is 5.8 ms.
    """
    window = int(0.0232 * rate)
    hop = max(1, window // 4)
    padded = np.pad(samples.astype(np.float64), (0, max(0, window - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]  # [F, window]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)).T ** 2  # [bins, F]
    decibels = 10 * np.log10(power / max(power.max(), 1e-12) + 1e-12)
    figure, axes = _figure(6.4, 1.9)
    axes.imshow(
        np.maximum(decibels, _FLOOR_DECIBELS),
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0.0, len(samples) / rate, 0.0, rate / 2000),
    )
    axes.set_ylim(0, min(_SPECTROGRAM_HZ, rate / 2) / 1000)
    axes.set_xlabel("s", fontsize=8)
    axes.set_ylabel("kHz", fontsize=8)
    return _png(figure)
