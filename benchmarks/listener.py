"""How well the listener hears real speakers, before and after it was taught some, and which planted errors it finds.

    PYTHONPATH=. python benchmarks/listener.py [--speech FOLDER] [--strangers te] [--first 0] [--keep FILE]

A project is made of the speakers whose names do not begin with `--strangers`, but each third clip of those who have
twelve or more. Errors are planted in these clips, and in half of those of the strangers, where a segmenter taught by
all recordings finds the phones: the best borders that can be had without a hand. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from dimts.base.progress import Progress
from dimts.evaluate.listener import Listener, words_signs
from dimts.evaluate.segmenter import Segmenter
from dimts.evaluate.teach import TeachSettings, held_out, teach
from tests.evaluate.planted import Clip, Speaker, corpus, project_of, try_real

RATES = ("as heard", "without length", "of classes")


def rates(listener: Listener, clips: list[Clip]) -> dict[str, float]:
    recorded = [(lambda wave=wave: wave, [s for word in words_signs(words) for s in word]) for wave, words in clips]
    return dict(zip(RATES, held_out(listener, recorded).values(), strict=True))


def errors(listener: Listener, speakers: list[Speaker], planter: Segmenter) -> dict[str, object]:
    tally = try_real(listener, speakers, planter)
    found = {error: f"{tally.found[error]} of {tally.planted[error]}" for error in sorted(tally.planted)}
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
    parser.add_argument("--first", type=int, default=0, help="0, 1 or 2: which third of the clips is kept apart")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="where the taught listener is kept; taught no more if it is there")
    chosen = parser.parse_args()
    speech = corpus(chosen.speech, chosen.strangers, chosen.first)
    out: dict[str, object] = {"benchmark": "listener"}
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:

        def tell(progress: Progress) -> None:
            if progress.done % 50 == 0:
                print(progress.stage, progress.done, progress.values, round(time.process_time() - begun), flush=True)

        where = chosen.keep or Path(folder) / "own.safetensors"
        if not where.is_file():
            home = project_of(Path(folder) / "p", speech.taught)
            teach(where, home, TeachSettings(steps=chosen.steps, from_scratch=False), tell)
            out["cpu_seconds_to_teach"] = round(time.process_time() - begun)
    out["minutes_taught"] = round(sum(wave.seconds for clips in speech.taught.values() for wave, _ in clips) / 60, 1)
    apart = [clip for speaker in speech.own for clip in speaker.apart]
    for name, listener in (("shipped", Listener.load()), ("taught", Listener.load(where))):
        out[name] = {
            "speakers never taught": rates(listener, speech.strangers),
            "clips kept apart": rates(listener, apart),
            "formant": listener.notes.get("per_formant_held_out_voices"),
            "planted, speakers taught": errors(listener, speech.own, speech.planter),
            "planted, speakers never taught": errors(listener, speech.foreign, speech.planter),
        }
    print(json.dumps(out, ensure_ascii=False))


if __name__ == "__main__":
    main()
