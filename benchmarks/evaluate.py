"""How long 100 sentences take to evaluate, DNSMOS and all, against the time they last. Prints one JSON line.

    python benchmarks/evaluate.py [--sentences 100]

The formant voice speaks, so that nearly all the time is the measuring; no network is needed.
`share_of_quality` is DNSMOS's part, by the same sentences measured without it in the same run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from pathlib import Path

from dimts.base.project import Project
from dimts.evaluate.compare_voices import CompareVoicesSettings, compare_voices
from dimts.evaluate.sentences import GREETINGS, SENTENCES
from dimts.speak import Speaker

LIMIT_SECONDS = 180.0


def run(folder: Path, sentences: list[str], *, quality: bool) -> tuple[float, float, float]:
    """Wall and CPU seconds of a whole evaluation, and the seconds of speech in it."""
    project = Project.create(folder, "[project]\n")
    settings = CompareVoicesSettings(most_sentences=len(sentences), quality=quality)
    begun, used = time.perf_counter(), time.process_time()
    found = compare_voices(project, {"formant": Speaker.load("formant")}, settings, sentences=sentences)
    taken, used = time.perf_counter() - begun, time.process_time() - used
    return taken, used, sum(one.examined.prosody.seconds for one in found.measured["formant"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=100)
    count = parser.parse_args().sentences
    sentences = list(itertools.islice(itertools.cycle(SENTENCES + GREETINGS), count))
    with tempfile.TemporaryDirectory() as folder:
        whole, used, speech = run(Path(folder) / "whole", sentences, quality=True)
        plain, _, _ = run(Path(folder) / "plain", sentences, quality=False)
    print(
        json.dumps(
            {
                "benchmark": "evaluate",
                "sentences": count,
                "seconds": round(whole, 1),
                "cpu_seconds": round(used, 1),
                "seconds_without_quality": round(plain, 1),
                "share_of_quality": round(1 - plain / whole, 2),
                "seconds_of_speech": round(speech, 1),
                "times_real_time": round(speech / whole, 1),
                "limit_seconds": round(LIMIT_SECONDS * count / 100, 1),
                "cores": os.cpu_count(),
                "load": round(os.getloadavg()[0], 1),
            }
        )
    )


if __name__ == "__main__":
    main()
