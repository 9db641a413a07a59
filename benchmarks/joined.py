"""How many lines of a script are kept with their own sound, in joined recordings of one reader: a JSON line
for each kind of script.

    python benchmarks/joined.py [--corpora alffa ased] [--variants whole half swapped missing extra]

Each reader of ../shared/speech with five texts or more is one recording, half a second between the lines. The
whole of `dimts data prepare` runs over all of them, once for each kind of script: the whole one, one of which
the second half was not read, one with two lines in each other's place, one of which every fourth line was not
read, one in which every fourth line is missing. A read line is right if a kept clip holds its text and nine
tenths of its speech and hardly any other; a kept clip is wrong if most of it is not what its text says.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from dimts.audio.wave import Wave, join
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.data.prepare import prepare
from dimts.data.vad import detect_speech

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "speech"
RATE = 16_000
PAUSE_SECONDS = 0.5
MOST_LINES = 14
EVERY = 4
TOML = '[text.g2p]\nbackends = ["rules"]\n[data]\nspeakers = "folder"\n'
Place = tuple[float, float]


def readers(corpus: str) -> dict[str, list[tuple[Path, str]]]:
    """Reader → recordings with their texts, each text once."""
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    with (SHARED / corpus / "metadata.tsv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            found[row["speaker"]].setdefault(row["text"], SHARED / corpus / row["path"])
    sets = {name: [(path, text) for text, path in rows.items()][:MOST_LINES] for name, rows in found.items()}
    return {name: rows for name, rows in sets.items() if len(rows) >= 5}


def script(rows: list[tuple[Path, str]], variant: str) -> tuple[list[tuple[Path, str]], list[str]]:
    """What is read, in order, and the lines of the script."""
    texts = [text for _, text in rows]
    if variant == "half":
        return rows[: (len(rows) + 1) // 2], texts
    if variant == "swapped":
        return rows, [texts[1], texts[0], *texts[2:]]
    if variant == "missing":
        return [row for number, row in enumerate(rows) if number % EVERY != EVERY - 1], texts
    if variant == "extra":
        return rows, [text for number, text in enumerate(texts) if number % EVERY != EVERY - 1]
    return rows, texts


def joined(rows: list[tuple[Path, str]], path: Path) -> dict[str, Place]:
    """The lines in one file; where each lies, in seconds."""
    parts, truth, at = [], {}, 0.0
    for sound, text in rows:
        wave = Wave.load(sound, RATE)
        centred = Wave((wave.samples - np.mean(wave.samples)).astype(np.float32), RATE)
        truth[text] = (at + PAUSE_SECONDS, at + PAUSE_SECONDS + wave.seconds)
        parts += [Wave.silence(PAUSE_SECONDS, RATE), centred]
        at += PAUSE_SECONDS + wave.seconds
    path.parent.mkdir(parents=True, exist_ok=True)
    join([*parts, Wave.silence(PAUSE_SECONDS, RATE)]).save(path)
    return truth


def judge(rows: list[Utterance], truth: dict[str, Place], path: Path, lines: list[str]) -> dict[str, Any]:
    """Counts of one recording, with what was missed and what is wrong."""
    activity = detect_speech(path)
    right: set[str] = set()
    wrong: list[str] = []
    for row in rows:
        if not row.kept:
            continue
        texts = [text for text in truth if text in row.text]
        span = (row.start_seconds, row.end_seconds)
        own = [(max(span[0], truth[text][0]), min(span[1], truth[text][1])) for text in texts]
        shared = sum(activity.spoken_seconds(a, b) for a, b in own if b > a)
        whole = sum(activity.spoken_seconds(*truth[text]) for text in texts)
        spoken = activity.spoken_seconds(*span)
        if shared < 0.5 * spoken:
            wrong.append(row.text)
        elif shared > 0.9 * whole and spoken < 1.1 * whole + 0.1:
            right.update(texts)
    read = [text for text in lines if text in truth]
    found = {
        text for text in read if any(row.start_seconds < row.end_seconds and text in row.text for row in rows)
    }
    reasons = [kind for row in rows if not row.kept and row.text in read for kind in row.rejected_for]
    return {
        "read": len(read), "right": len(right & set(read)), "wrong": wrong, "placed": len(found),
        "set_aside": reasons,
    }  # fmt: skip


def run(corpora: list[str], variant: str, folder: Path) -> dict[str, Any]:
    """One run of `prepare` over all readers."""
    project = Project.create(folder / variant, TOML)
    truths, paths, lines = {}, {}, {}
    for corpus in corpora:
        for name, rows in readers(corpus).items():
            read, texts = script(rows, variant)
            paths[name] = project.recordings / name / f"{name}.wav"
            truths[name] = joined(read, paths[name])
            lines[name] = texts
            paths[name].with_suffix(".txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    prepare(project)
    by_name: dict[str, list[Utterance]] = defaultdict(list)
    for row in Manifest.rows(project.manifest):
        by_name[row.name].append(row)
    found = {name: judge(by_name[name], truths[name], paths[name], lines[name]) for name in paths}
    reasons: dict[str, int] = defaultdict(int)
    for one in found.values():
        for kind in one["set_aside"]:
            reasons[kind] += 1
    return {
        "variant": variant,
        "sets": len(found),
        "read": sum(one["read"] for one in found.values()),
        "placed": sum(one["placed"] for one in found.values()),
        "right": sum(one["right"] for one in found.values()),
        "wrong": [[name, text] for name, one in found.items() for text in one["wrong"]],
        "set_aside": dict(reasons),
        "missed": {
            name: one["read"] - one["right"] for name, one in found.items() if one["read"] > one["right"]
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", nargs="+", default=["alffa", "ased"])
    parser.add_argument(
        "--variants", nargs="+", default=["whole", "half", "swapped", "missing", "extra"],
        choices=["whole", "half", "swapped", "missing", "extra"],
    )  # fmt: skip
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for variant in asked.variants:
            print(json.dumps(run(asked.corpora, variant, Path(folder)), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
