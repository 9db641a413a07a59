"""Packs the trained small model into the package, with its built-in voices. Prints one JSON line.

    python tools/pack_small.py PROJECT [--voices selam=4,hanna=9,dawit=7,yonas=2] [--out FOLDER]

PROJECT was trained with the recipe small-base and all its stages. A built-in voice is one of the speakers of
its synthetic corpus, by number, cloned from a few sentences that were not trained on. Matrices are stored as
8-bit integers in groups, the rest as bfloat16; the DVAE, needed only to train further, stays as it is, as the
codes that the GPT knows are its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dimts.base import builtin_voices
from dimts.base.files import write_text
from dimts.base.project import Project
from dimts.train.generated_clips import open_corpus
from dimts.train.settings import TrainSettings
from dimts.xtts.bundle_files import DVAE, MODEL
from dimts.xtts.checkpoint import load_bundle, save_bundle
from dimts.xtts.voice import clone

REFERENCES = 4
"""Sentences that a built-in voice is cloned from."""
FIRST_REFERENCE = -1000
"""Index of the first of them: those of training are positive, those of its dev set begin at -1."""
KEPT = ("made", "made_with", "stages", "codes_of_gpt", "language", "steps", "seconds_of_speech", "settings")
CARD = """# The small model of dimts

Amharic, {parameters:.1f} million parameters, the structure of XTTS v2. It began with random weights and was
trained by `dimts train --stages all` with the recipe `small-base` (seed {seed}) on a computer without a
graphics card. Its built-in voices ({voices}) are formant voices that were synthesised while it learnt: no
person's voice is among them.

Learnt from:

- synthetic speech of {speakers} formant speakers (eSpeak NG's synthesiser, pronunciation and lengths by
  dimts) that read news sentences;
- {minutes:.0f} minutes of read news of 11 speakers of the ALFFA Amharic corpus (OpenSLR 25, MIT; S. T. Abate,
  W. Menzel, B. Tafila, "An Amharic Speech Corpus for Large Vocabulary Continuous Speech Recognition",
  Interspeech 2005).

May be used, changed and sold under the Apache-2.0 licence of dimts; whoever passes it on names the corpus
above. How it was measured: docs/decisions/0080-the-small-size.md in the sources of dimts.
"""


def pack(project: Project, names: dict[str, int], out: Path) -> dict[str, Any]:
    """Write the model to `out`; returns what is printed."""
    settings = project.settings("train", TrainSettings)
    (trained,) = project.voices.glob("*/bundle.json")
    bundle = load_bundle(trained.parent, dvae=True)
    corpus = open_corpus(project, settings.synthetic, (), settings.seed)
    voices = {}
    for name, speaker in names.items():
        waves = [
            torch.from_numpy(
                corpus.clip(FIRST_REFERENCE - number, speaker)  # type: ignore[call-arg]
                .wave.resample(bundle.model.spec.input_rate)
                .samples.copy()
            )
            for number in range(REFERENCES)
        ]
        about = {"name": name, "licence": "Apache-2.0", "consent": "synthetic: no person's voice"}
        voices[name] = clone(bundle.model, waves, **about)
    meta = {key: bundle.meta[key] for key in KEPT if key in bundle.meta}
    meta |= {
        "name": builtin_voices.NAME,
        "rehearsal": False,
        "licence_of_recordings": "MIT",
        "licence_of_base": "Apache-2.0",
        "attribution": [
            "ALFFA Amharic read speech, OpenSLR 25 (MIT): S. T. Abate, W. Menzel, B. Tafila, Interspeech 2005"
        ],
    }
    save_bundle(replace(bundle, voices=voices, meta=meta), out, dvae=True, compact=True)
    named = bundle.model.named_parameters()
    card = CARD.format(
        parameters=sum(p.numel() for n, p in named if not n.startswith("dvae.")) / 1e6,
        seed=settings.seed,
        voices=", ".join(names),
        speakers=settings.synthetic.speakers,
        minutes=bundle.meta.get("seconds_of_speech", 0.0) / 60,
    )
    write_text(out / "README.md", card)
    return {name: (out / name).stat().st_size for name in (MODEL, DVAE)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", type=Path)
    parser.add_argument("--voices", default="selam=4,hanna=9,dawit=7,yonas=2")
    parser.add_argument("--out", type=Path, default=Path("src/dimts/voices/small"))
    given = parser.parse_args()
    names = {name: int(number) for name, number in (one.split("=") for one in given.voices.split(","))}
    shutil.rmtree(given.out, ignore_errors=True)
    print(json.dumps(pack(Project.open(given.project), names, given.out)))


if __name__ == "__main__":
    main()
