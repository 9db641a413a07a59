"""How well the listener hears real speakers, before and after it was taught some, and which planted errors it finds.

    python benchmarks/listener.py [--speech ../shared/speech/alffa] [--speaker tr097] [--steps 300] [--keep FILE]

A project is made of the speakers that are not kept apart: all of `--speaker` but each third clip, and the others whose
names begin alike; speakers with other names are never taught. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from dimts.audio.wave import Wave
from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.evaluate.listener import Listener, words_signs
from dimts.evaluate.teach import TeachSettings, held_out, teach
from tests.evaluate.planted import Clip, real_clips, try_real

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


def errors(listener: Listener, own: list[Clip], calibration: list[Clip], others: list[Wave]) -> dict[str, object]:
    tally = try_real(listener, own, calibration, others)
    found = {error: f"{tally.found[error]} of {tally.planted[error]}" for error in tally.planted}
    return {**found, "false alarms": f"{tally.false_alarms} of {tally.clean}", "alarms": tally.alarms}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, default=Path("../shared/speech/alffa"))
    parser.add_argument("--speaker", default="tr097")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    every = real_clips(chosen.speech)
    own, prefix = every[chosen.speaker], chosen.speaker[:2]
    apart, mine = own[::3], [clip for number, clip in enumerate(own) if number % 3]
    strangers = [clip for speaker, clips in every.items() if not speaker.startswith(prefix) for clip in clips]
    taught = {speaker: clips for speaker, clips in every.items() if speaker.startswith(prefix)} | {chosen.speaker: mine}
    others = [wave for speaker, clips in every.items() if speaker != chosen.speaker for wave, _ in clips[:6]]
    out: dict[str, object] = {"benchmark": "listener"}
    shipped = Listener.load()
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        home = project_of(Path(folder) / "p", taught)

        def tell(progress: Progress) -> None:
            if progress.done % 50 == 0:
                print(progress.done, progress.values, round(time.process_time() - begun), flush=True)

        where = chosen.keep or Path(folder) / "own.safetensors"
        own_listener = teach(where, home, TeachSettings(steps=chosen.steps, from_scratch=False), tell)
    out["cpu_seconds_to_teach"] = round(time.process_time() - begun)
    out["minutes_taught"] = round(sum(wave.seconds for clips in taught.values() for wave, _ in clips) / 60, 1)
    for name, listener in (("shipped", shipped), ("taught", own_listener)):
        out[name] = {
            "speakers never taught": rates(listener, strangers),
            "clips kept apart": rates(listener, apart),
            "formant": listener.notes.get("per_formant_held_out_voices"),
            "planted": errors(listener, apart[1::2], apart[::2], others),
        }
    print(json.dumps(out, ensure_ascii=False))


if __name__ == "__main__":
    main()
