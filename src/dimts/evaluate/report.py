"""Write an evaluation as one self-contained HTML file with players, plots and tables.

It is independent of how its parts were made; all text from outside is escaped.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dimts.audio.wave import Wave
from dimts.base.files import write_text
from dimts.base.plugins import require
from dimts.evaluate import plots
from dimts.text.ethiopic import is_ethiopic_letter

_STYLE = """
:root { color-scheme: light dark;
  --ink: #1f2a26; --quiet: #5d6b66; --line: #d9e0dc; --leaf: #14795c; --paper: #fbfcfa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eeea; --quiet: #9fb0a8; --line: #33413b; --leaf: #5fc9a4; --paper: #151b18; } }
body { font: 16px/1.55 "Noto Sans Ethiopic", "Abyssinica SIL", Nyala, Kefa, system-ui, sans-serif;
  color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; }
h2 { font-size: 1.2rem; margin-top: 2.4rem; color: var(--leaf); }
.note { border-left: 4px solid var(--leaf); padding: .4rem 1rem;
  background: color-mix(in srgb, var(--leaf) 8%, transparent); }
.note p { margin: .3rem 0; } .note p:first-child { font-weight: 600; } td .quiet { white-space: nowrap; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
tbody th { font-weight: 600; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
.scroll { overflow-x: auto; } audio { width: 100%; } figure { margin: 1rem 0; }
figure img, figure svg { width: 100%; height: auto; background: white; border-radius: 6px; }
figcaption, .quiet { color: var(--quiet); font-size: .88rem; }
.phones { font-family: "Charis SIL", "DejaVu Sans", serif; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1.2rem; }
"""


@dataclass(frozen=True, slots=True)
class ReportSample:
    """One sentence and its waves by voice."""

    written: str
    """Text in fidel."""
    phones: str
    """IPA, words separated by " # "."""
    answered_by: str
    """G2P backends of the words, e.g. "rules 5, lexicon 1"."""
    waves: Mapping[str, Wave]
    """Wave by name of the voice."""
    remarks: Sequence[str] = ()
    """Lines below the sentence, e.g. its faults."""


@dataclass(frozen=True, slots=True)
class Report:
    """Content of a report; empty parts are left out."""

    title: str
    """Title of the page."""
    notes: Sequence[str] = ()
    """Lines at the top."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Values by name, in a table below the notes."""
    summary: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    """Tables before the sentences: rows by heading, the first of which is the head."""
    figures: Mapping[str, str] = field(default_factory=dict)
    """SVG by heading, after the summary."""
    remarks_heading: str = ""
    """Heading of the remarks."""
    remarks: Sequence[str] = ()
    """Paragraphs after the summary."""
    spoken_heading: str = "Spoken"
    """Heading of the sentences."""
    spoken: Sequence[ReportSample] = ()
    """Sentences with their waves."""
    losses: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    """Points (step, loss) by name of the curve."""
    clip_seconds: Sequence[float] = ()
    """Durations of the clips in seconds."""
    tables: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    """Tables at the end: rows by heading, the first of which is the head."""

    def write(self, path: Path | str) -> None:
        """Write the page atomically."""
        write_text(path, self.html())

    def html(self) -> str:
        """Render the page as HTML."""
        parts = [f"<h1>{_escape(self.title)}</h1>"]
        if self.notes:
            parts.append(
                f'<div class="note">{"".join(f"<p>{_escape(note)}</p>" for note in self.notes)}</div>'
            )
        if self.facts:
            parts.append(
                _table([["", ""], *([name, value] for name, value in self.facts.items())], head=False)
            )
        for heading, rows in self.summary.items():
            parts.append(f"<h2>{_escape(heading)}</h2>{_table(rows, name=heading)}")
        if self.remarks:
            parts.append(f"<h2>{_escape(self.remarks_heading)}</h2>")
            parts += [f"<p>{_escape(remark)}</p>" for remark in self.remarks]
        for heading, figure in self.figures.items():
            parts.append(f"<h2>{_escape(heading)}</h2><figure>{figure}</figure>")
        if self.spoken:
            parts.append(f"<h2>{_escape(self.spoken_heading)}</h2>")
            parts += [_spoken(item) for item in self.spoken]
        if any(self.losses.values()):
            parts.append(f"<h2>Loss</h2><figure>{plots.curves(self.losses, 'step', 'loss')}</figure>")
        if self.clip_seconds:
            figure = plots.histogram(self.clip_seconds, "seconds", "clips")
            parts.append(f"<h2>Clip lengths</h2><figure>{figure}</figure>")
        for heading, rows in self.tables.items():
            parts.append(f"<h2>{_escape(heading)}</h2>{_table(rows, name=heading)}")
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{_escape(self.title)}</title><style>{_STYLE}</style></head><body><main>{''.join(parts)}</main></body></html>\n"
        )


def _escape(text: object) -> str:
    return html.escape(str(text))


def _table(rows: Sequence[Sequence[str]], *, head: bool = True, name: str = "") -> str:
    """Render a table; the first cell of a row is its header. Wide ones scroll, also by keyboard."""
    first = ""
    if head:
        cells = "".join(f'<th scope="col">{_escape(cell)}</th>' for cell in rows[0])
        first = f"<thead><tr>{cells}</tr></thead>"
    rest = "".join(
        "<tr>" + "".join(_cell(cell, header=not place) for place, cell in enumerate(row)) + "</tr>"
        for row in rows[1:]
    )
    label = f' aria-label="{_escape(name)}"' if name else ""
    region = f' role="region" tabindex="0"{label}' if name else ""
    return f'<div class="scroll"{region}><table>{first}<tbody>{rest}</tbody></table></div>'


_INTERVAL = re.compile(r"(\S+) (\[.+\])")


def _cell(text: str, *, header: bool = False) -> str:
    """Render a cell; an interval goes below its mean, and Amharic is marked as such."""
    found = _INTERVAL.fullmatch(text)
    shown = _escape(text)
    if found:
        shown = f'{_escape(found[1])}<br><span class="quiet">{_escape(found[2])}</span>'
    language = ' lang="am"' if any(is_ethiopic_letter(char) for char in text) else ""
    return f'<th scope="row"{language}>{shown}</th>' if header else f"<td{language}>{shown}</td>"


def _spoken(item: ReportSample) -> str:
    voices = "".join(
        f"<figure><figcaption>{_escape(voice)}, {wave.seconds:.1f} s</figcaption>"
        f'<audio controls preload="metadata" src="{_audio(wave)}" '
        f'aria-label="{_escape(voice)}: {_escape(item.written)}"></audio>'
        f'<img alt="spectrogram of {_escape(voice)}" '
        f'src="{plots.spectrogram(wave.samples, wave.rate)}"></figure>'
        for voice, wave in item.waves.items()
    )
    answered = f'<p class="quiet">answered by {_escape(item.answered_by)}</p>' if item.answered_by else ""
    remarks = "".join(f"<p>{_escape(line)}</p>" for line in item.remarks)
    return (
        f'<h3 lang="am">{_escape(item.written)}</h3><p class="phones">{_escape(item.phones)}</p>'
        f"{answered}{remarks}"
        f'<div class="pair">{voices}</div>'
    )


def _audio(wave: Wave) -> str:
    soundfile = require("soundfile", extra="audio")
    out = io.BytesIO()
    soundfile.write(out, wave.samples, wave.rate, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(out.getvalue()).decode("ascii")


def losses(log: Path | str) -> dict[str, list[tuple[float, float]]]:
    """Read the loss curves of a run's log.jsonl: points (step, loss) by name."""
    found: dict[str, list[tuple[float, float]]] = {"training": [], "dev": []}
    for line in Path(log).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for name, key in (("training", "loss"), ("dev", "dev_loss")):
            if key in row and "step" in row:
                found[name].append((float(row["step"]), float(row[key])))
    return found
