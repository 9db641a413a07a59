"""How well the recogniser hears real speakers, before and after it was taught some, and which injected errors it finds.

    PYTHONPATH=. python benchmarks/phone_recogniser.py [--speech FOLDER] [--strangers te] [--thirds 0 1 2] \
        [--keep FOLDER]

A project is made of the speakers whose names do not begin with `--strangers`, but each third clip of those who have
twelve or more. Errors are injected in these clips, and in half of those of the strangers, where a aligner taught by
all recordings finds the phones: the best borders that can be had without a hand. For each of the thirds a recogniser is
taught anew, so that each clip is pair_results once by one that never heard it. Prints one JSON line; counts are of all thirds
together.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from dimts.base.progress import Progress
from dimts.evaluate.phone_labels import word_labels
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.train_recogniser import TrainRecogniserSettings, held_out_per, train_recogniser
from tests.evaluate.injected import Clip, Tally, corpus, detect_in_recordings, project_of

RATES = ("as heard", "without length", "of classes")


def rates(recogniser: PhoneRecogniser, clips: list[Clip]) -> dict[str, float]:
    recorded = [(lambda wave=wave: wave, [s for word in word_labels(words) for s in word]) for wave, words in clips]
    return dict(zip(RATES, held_out_per(recogniser, recorded).values(), strict=True))


def figures(tally: Tally) -> dict[str, object]:
    found = {error: f"{tally.found[error]} of {tally.injected[error]}" for error in sorted(tally.injected)}
    return {
        "sentences": tally.clean,
        **found,
        "false alarms": f"{tally.false_alarms} of {tally.clean}",
        "alarms": tally.alarms,
        "missed": tally.missed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech/alffa"))
    parser.add_argument("--strangers", default="te")
    parser.add_argument("--thirds", type=int, nargs="+", default=[0, 1, 2], help="which are kept apart in turn")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument(
        "--keep", type=Path, help="folder of the taught recognisers; one that is there is not taught again"
    )
    chosen = parser.parse_args()
    seconds: list[int] = []
    minutes: list[float] = []
    heard: dict[str, list[dict[str, float]]] = {}
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as folder:
        for first in chosen.thirds:
            speech = corpus(chosen.speech, chosen.strangers, first)
            where = (chosen.keep or Path(folder)) / f"taught-{first}.safetensors"
            begun = time.process_time()

            def on_progress(progress: Progress, begun: float = begun) -> None:
                if progress.done % 50 == 0:
                    spent = round(time.process_time() - begun)
                    print(progress.stage, progress.done, progress.values, spent, "s", flush=True)

            if not where.is_file():
                home = project_of(Path(folder) / str(first), speech.taught)
                train_recogniser(
                    where, home, TrainRecogniserSettings(steps=chosen.steps, from_scratch=False), on_progress
                )
                seconds.append(round(time.process_time() - begun))
            minutes.append(round(sum(wave.seconds for clips in speech.taught.values() for wave, _ in clips) / 60, 1))
            apart = [clip for speaker in speech.own for clip in speaker.apart]
            for name, recogniser in (("shipped", PhoneRecogniser.load()), ("taught", PhoneRecogniser.load(where))):
                heard.setdefault(f"{name}, speakers never taught", []).append(rates(recogniser, speech.strangers))
                heard.setdefault(f"{name}, clips kept apart", []).append(rates(recogniser, apart))
                for who, speakers in (("taught", speech.own), ("never taught", speech.foreign)):
                    tally = tallies.setdefault(f"{name}, speakers {who}", Tally())
                    detect_in_recordings(recogniser, speakers, speech.boundaries, tally)
            print({name: figures(tally) for name, tally in tallies.items()}, flush=True)
    out = {
        "benchmark": "recogniser",
        "minutes_taught": minutes,
        "cpu_seconds_to_teach": seconds,
        "phone_errors": heard,
        "injected": {name: figures(tally) for name, tally in tallies.items()},
    }
    print(json.dumps(out, ensure_ascii=False))


if __name__ == "__main__":
    main()
