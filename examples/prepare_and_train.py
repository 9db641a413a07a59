"""Recordings → training set → a trained model, in Python: a rehearsal with the formant voice and a tiny
model.

python examples/prepare_and_train.py [FOLDER] [STEPS]
"""

import sys
from dataclasses import replace
from pathlib import Path

import dimts
from dimts.cli.main import main
from dimts.evaluate.sentences import SENTENCES
from dimts.train.settings import TrainSettings

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "rehearsal")
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 60

main(["new", str(folder), "--recipe", "cpu-tiny"])
speaker = dimts.Speaker.load("formant")
for number, text in enumerate(SENTENCES[:16], start=1):
    speaker.say(text).save(folder / "recordings" / f"{number:02d}.wav")
    (folder / "recordings" / f"{number:02d}.txt").write_text(text, "utf-8")

dimts.prepare(folder)
settings = dimts.Project.open(folder).settings("train", TrainSettings)
run = dimts.fine_tune(folder, replace(settings, steps=steps))
print(f"{run.bundle}: {run.ended}, last loss {run.losses[-1]:.2f}")
dimts.Speaker.load(run.bundle).say("ሰላም ለዓለም።").save(folder / "selam.wav")
