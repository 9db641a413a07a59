"""Draw plots as SVG or PNG text for HTML pages, with matplotlib and without a display.

Matplotlib would need a font with Ethiopic letters; the page has one, so names are text in the SVG.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dimts.base.errors import DataError
from dimts.base.files import atomic_path
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
            axes.plot(
                *zip(*points, strict=True),
                label=name,
                color=colour,
                linewidth=1.4,
                marker=marker,
                markersize=3,
            )
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
    decibels = _spectrum_decibels(samples, rate)
    figure, axes = _figure(6.4, 1.9)
    _show_spectrogram(axes, decibels, len(samples) / rate, rate)
    axes.set_xlabel("s", fontsize=8)
    axes.set_ylabel("kHz", fontsize=8)
    return _png(figure)


def _spectrum_decibels(samples: npt.NDArray[np.float32], rate: int) -> npt.NDArray[np.float64]:
    """Compute [bins, F] levels in dB under the loudest bin."""
    window = int(0.0232 * rate)
    hop = max(1, window // 4)
    padded = np.pad(samples.astype(np.float64), (0, max(0, window - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]  # [F, window]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)).T ** 2  # [bins, F]
    decibels: npt.NDArray[np.float64] = 10 * np.log10(power / max(power.max(), 1e-12) + 1e-12)
    return decibels


def _show_spectrogram(
    axes: Any, decibels: npt.NDArray[np.float64], seconds: float, rate: int, cmap: str = "magma"
) -> None:
    axes.imshow(
        np.maximum(decibels, _FLOOR_DECIBELS),
        origin="lower",
        aspect="auto",
        cmap=cmap,
        extent=(0.0, seconds, 0.0, rate / 2000),
    )
    axes.set_ylim(0, min(_SPECTROGRAM_HZ, rate / 2) / 1000)


def check_format(path: Path) -> None:
    """Raise DataError for a suffix that is none of FORMATS."""
    if path.suffix.lower() not in FORMATS:
        raise DataError("evaluate.unknown_plot_format", suffix=path.suffix or path.name, formats=FORMATS)


FORMATS = (".png", ".svg", ".pdf")
"""Suffixes of the formats of `draw_sound`."""
_ETHIOPIC_FONTS = ("Noto Sans Ethiopic", "Noto Serif Ethiopic", "Abyssinica SIL", "Nyala", "Kefa")
Borders = Sequence[tuple[str, float, float]]
"""Labels with start and end in seconds."""


def draw_sound(
    path: Path,
    samples: npt.NDArray[np.float32],
    rate: int,
    pitch_hz: npt.NDArray[np.float64],
    rows: Sequence[tuple[str, Borders]],
) -> Path:
    """Draw waveform, spectrogram with F0, and rows of labels with their borders; the suffix chooses the
    format.

    `pitch_hz` [F] is at 100 frames a second, nan where unvoiced. Fidel is drawn where a font for it is
    installed. DataError for another format.
    """
    check_format(path)
    seconds = len(samples) / rate
    matplotlib = require("matplotlib", extra="evaluate")
    figure_module = require("matplotlib.figure", extra="evaluate")
    known = {font.name for font in require("matplotlib.font_manager", extra="evaluate").fontManager.ttflist}
    family = ["DejaVu Sans", *(name for name in _ETHIOPIC_FONTS if name in known)]
    with matplotlib.rc_context({"font.family": family, "svg.fonttype": "path"}):
        width = float(np.clip(3.2 * seconds, 8.0, 40.0))
        figure = figure_module.Figure(figsize=(width, 4.2 + 0.45 * len(rows)), layout="constrained")
        wave, spectrum, *strips = figure.subplots(
            2 + len(rows), 1, sharex=True, height_ratios=[1.0, 3.0, *[0.6] * len(rows)]
        )
        wave.plot(np.arange(len(samples)) / rate, samples, color=_INK, linewidth=0.4)
        wave.set_yticks([])
        _show_spectrogram(spectrum, _spectrum_decibels(samples, rate), seconds, rate, cmap="Greys")
        spectrum.set_ylabel("kHz", fontsize=9)
        pitch_axes = spectrum.twinx()
        pitch_axes.plot(np.arange(len(pitch_hz)) / 100, pitch_hz, ".", color=_SERIES[1], markersize=3)
        pitch_axes.set_ylim(50, 500)
        pitch_axes.set_ylabel("F0 Hz", fontsize=9, color=_SERIES[1])
        for axes, (name, borders) in zip(strips, rows, strict=True):
            _draw_borders(axes, name, borders, drawable=len(family) > 1)
        if rows:
            for _, start, end in rows[0][1]:
                for at in (start, end):
                    spectrum.axvline(at, color=_SERIES[0], linewidth=0.6, alpha=0.7)
        (strips or [spectrum])[-1].set_xlabel("s", fontsize=9)
        (strips or [spectrum])[-1].set_xlim(0.0, seconds)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=path.suffix.lower()[1:], dpi=110)
    return path


def _draw_borders(axes: Any, name: str, borders: Borders, *, drawable: bool) -> None:
    axes.set_yticks([])
    axes.set_ylim(0, 1)
    axes.set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center")
    axes.spines[["top", "right", "left"]].set_visible(False)
    for number, (label, start, end) in enumerate(borders):
        shown = label if drawable or not any("\u1200" <= char <= "\u139f" for char in label) else ""
        axes.axvline(start, color=_INK, linewidth=0.6)
        axes.axvline(end, color=_INK, linewidth=0.6)
        height = (0.75, 0.3)[number % 2]  # close labels do not overlap
        axes.text((start + end) / 2, height, shown, ha="center", va="center", fontsize=8)
