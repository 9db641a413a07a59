"""How well the listener hears real speakers, before and after it was taught some, and which planted errors it finds.

    PYTHONPATH=. python benchmarks/listener.py [--speech FOLDER] [--strangers te] [--steps 300] [--keep FILE]

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
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.evaluate.listener import Listener, words_signs
from dimts.evaluate.segmenter import Segmenter
from dimts.evaluate.teach import TeachSettings, held_out, teach
from tests.evaluate.planted import Clip, Speaker, real_clips, spelt, try_real

RATES = ("as heard", "without length", "of classes")


def rates(listener: Listener, clips: list[Clip]) -> dict[str, float]:
    recorded = [(lambda wave=wave: wave, [s for word in words_signs(words) for s in word]) for wave, words in clips]
    return dict(zip(RATES, held_out(listener, recorded).values(), strict=True))


def project_of(folder: Path, taught: dict[str, list[Clip]]) -> Project:
    home = Project.create(folder, "[project]\n")
    rows = []
    for speaker, clips in taught.items():
        for number, (wave, words) in enumerate(clips):
            name = f"{speaker}-{number}"
            wave.save(home.clips / f"{name}.wav")
            phones = " # ".join(" ".join(word) for word in words)
            rows.append(
                Utterance(id=name, path=f"clips/{name}.wav", text=phones, phones=phones, spelling=phones,
                          seconds=wave.seconds, speaker=speaker, split="train", kept=True)
            )  # fmt: skip
    Manifest.write(home.manifest, rows)
    return home


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
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="where the taught listener is kept; taught no more if it is there")
    chosen = parser.parse_args()
    every = real_clips(chosen.speech)
    foreign = [
        Speaker(name, clips[1::2], clips[::2])
        for name, clips in every.items()
        if name.startswith(chosen.strangers) and len(clips) >= LEAST_CLIPS
    ]
    strangers = [clip for name, clips in every.items() if name.startswith(chosen.strangers) for clip in clips]
    own: list[Speaker] = []
    taught: dict[str, list[Clip]] = {}
    for name, clips in every.items():
        if name.startswith(chosen.strangers):
            continue
        taught[name] = clips
        if len(clips) >= LEAST_CLIPS:
            taught[name] = [clip for number, clip in enumerate(clips) if number % 3]
            own.append(Speaker(name, taught[name], clips[::3]))
    out: dict[str, object] = {"benchmark": "listener"}
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:

        def tell(progress: Progress) -> None:
            if progress.done % 50 == 0:
                print(progress.stage, progress.done, progress.values, round(time.process_time() - begun), flush=True)

        where = chosen.keep or Path(folder) / "own.safetensors"
        if not where.is_file():
            home = project_of(Path(folder) / "p", taught)
            teach(where, home, TeachSettings(steps=chosen.steps, from_scratch=False), tell)
            out["cpu_seconds_to_teach"] = round(time.process_time() - begun)
    out["minutes_taught"] = round(sum(wave.seconds for clips in taught.values() for wave, _ in clips) / 60, 1)
    planter = Segmenter.fit([(wave, spelt(words)) for clips in every.values() for wave, words in clips])
    apart = [clip for speaker in own for clip in speaker.apart]
    for name, listener in (("shipped", Listener.load()), ("taught", Listener.load(where))):
        out[name] = {
            "speakers never taught": rates(listener, strangers),
            "clips kept apart": rates(listener, apart),
            "formant": listener.notes.get("per_formant_held_out_voices"),
            "planted, speakers taught": errors(listener, own, planter),
            "planted, speakers never taught": errors(listener, foreign, planter),
        }
    print(json.dumps(out, ensure_ascii=False))


LEAST_CLIPS = 12


if __name__ == "__main__":
    main()
