"""Phone error rates and detection of injected errors on real speakers, before and after training on some of
them.

    PYTHONPATH=. python benchmarks/phone_recogniser.py [--speech FOLDER] [--unseen te] [--thirds 0 1 2] \
        [--keep FOLDER]

The training data are the speakers whose names do not begin with `--unseen`, without each third clip of those
who have twelve or more. Errors are injected into these held-out clips, and into half of those of the unseen
speakers, at phone boundaries of an aligner trained on all recordings, as there is no manual alignment. For
each of the thirds a recogniser is trained, so that each clip is tested once by a recogniser that was not
trained on it. Prints one JSON line; counts are sums over the thirds.
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

RATES = ("labels", "without length", "of classes")


def rates(recogniser: PhoneRecogniser, clips: list[Clip]) -> dict[str, float]:
    recorded = [
        (lambda wave=wave: wave, [label for word in word_labels(words) for label in word])
        for wave, words in clips
    ]
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
    parser.add_argument("--unseen", default="te")
    parser.add_argument("--thirds", type=int, nargs="+", default=[0, 1, 2], help="which are held out in turn")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument(
        "--keep", type=Path, help="folder of the trained recognisers; one that exists is not trained again"
    )
    chosen = parser.parse_args()
    seconds: list[int] = []
    minutes: list[float] = []
    error_rates: dict[str, list[dict[str, float]]] = {}
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as folder:
        for first in chosen.thirds:
            speech = corpus(chosen.speech, chosen.unseen, first)
            where = (chosen.keep or Path(folder)) / f"trained-{first}.safetensors"
            begun = time.process_time()

            def on_progress(progress: Progress, begun: float = begun) -> None:
                if progress.done % 50 == 0:
                    spent = round(time.process_time() - begun)
                    print(progress.stage, progress.done, progress.values, spent, "s", flush=True)

            if not where.is_file():
                home = project_of(Path(folder) / str(first), speech.training)
                train_recogniser(
                    where, home, TrainRecogniserSettings(steps=chosen.steps, from_scratch=False), on_progress
                )
                seconds.append(round(time.process_time() - begun))
            minutes.append(
                round(sum(wave.seconds for clips in speech.training.values() for wave, _ in clips) / 60, 1)
            )
            held_out = [clip for speaker in speech.seen for clip in speaker.held_out]
            for name, recogniser in (
                ("shipped", PhoneRecogniser.load()),
                ("trained", PhoneRecogniser.load(where)),
            ):
                error_rates.setdefault(f"{name}, unseen speakers", []).append(
                    rates(recogniser, speech.unseen_clips)
                )
                error_rates.setdefault(f"{name}, held-out clips", []).append(rates(recogniser, held_out))
                for who, speakers in (("seen", speech.seen), ("unseen", speech.unseen)):
                    tally = tallies.setdefault(f"{name}, speakers {who}", Tally())
                    detect_in_recordings(recogniser, speakers, speech.aligner, tally)
            print({name: figures(tally) for name, tally in tallies.items()}, flush=True)
    out = {
        "benchmark": "recogniser",
        "minutes_of_training_data": minutes,
        "cpu_seconds_of_training": seconds,
        "phone_errors": error_rates,
        "injected": {name: figures(tally) for name, tally in tallies.items()},
    }
    print(json.dumps(out, ensure_ascii=False))


if __name__ == "__main__":
    main()
