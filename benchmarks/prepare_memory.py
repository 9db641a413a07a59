"""Whether preparing needs more memory for more audio: peak of a process of its own, a JSON line for each
size.

    python benchmarks/prepare_memory.py [--hours 0.17 1 10] [--kinds files subtitles script] [--plain]

`files`: sentences in a file each, with a table; `subtitles`, `script`: one long recording with its text.
Speech of formant voices in some noise; made in blocks, so that making it needs no memory either. Says CPU
seconds as well.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile

from dimts.audio.formant import Formant, FormantSettings
from dimts.base.project import Project
from dimts.data.check import CheckSettings
from dimts.data.context import PrepareSettings
from dimts.data.prepare import prepare
from dimts.text.g2p.rules import Rules

TEXT = (
    "ሰላም ለዓለም ዛሬ ጥሩ ቀን ነው ነገ ጠዋት ወደ ገበያ እንሄዳለን መጽሐፉን ጠረጴዛው ላይ አስቀምጠው ልጆቹ በግቢው ውስጥ ኳስ ይጫወታሉ "
    "የአዲስ አበባ ከተማ በጣም ትልቅ ናት ቡና ከቁርስ በኋላ መጠጣት እወዳለሁ ክረምቱ ካለፈ አበቦች ይፈካሉ ገበሬው ማሳውን በበሬ ያርሳል"
)
RATE = 24_000
DISTINCT = 600
"""Sentences; more come again in other noise, and are set aside as copies when all the work on them is
done."""


def sentences(seconds: float):
    """(text, samples with silence around) until there are so many seconds."""
    rng, rules, voice, done = np.random.default_rng(0), Rules(), Formant(FormantSettings(variant="f2")), 0.0
    spoken: list[tuple[str, np.ndarray]] = []
    for number in itertools.count():
        if done >= seconds:
            return
        if number < DISTINCT:
            text = " ".join(rng.choice(TEXT.split(), 8))
            spoken.append((text, voice.speak(rules.phones(text.split()), "።").samples))
        text, speech = spoken[number % DISTINCT]
        samples = np.pad(speech, (round(rng.uniform(0.3, 0.7) * RATE), round(0.3 * RATE)))
        samples = samples + rng.standard_normal(len(samples)).astype(np.float32) * 1e-3
        done += len(samples) / RATE
        yield text, samples.astype(np.float32)


def stamp(seconds: float) -> str:
    return f"{int(seconds // 3600):02d}:{int(seconds // 60) % 60:02d}:{seconds % 60:06.3f}"


def make(folder: Path, seconds: float, kind: str) -> None:
    folder.mkdir()
    if kind == "files":
        with (folder / "metadata.tsv").open("w", encoding="utf-8") as table:
            table.write("id\tpath\tspeaker\ttext\n")
            for number, (text, samples) in enumerate(sentences(seconds)):
                soundfile.write(folder / f"s{number:06d}.wav", samples, RATE)
                table.write(f"s{number:06d}\ts{number:06d}.wav\ta\t{text}\n")
        return
    at, suffix = 0.0, "vtt" if kind == "subtitles" else "txt"
    with (
        soundfile.SoundFile(folder / "book.wav", "w", RATE, 1) as sound,
        (folder / f"book.{suffix}").open("w", encoding="utf-8") as file,
    ):
        file.write("WEBVTT\n\n" if suffix == "vtt" else "")
        for text, samples in sentences(seconds):
            sound.write(samples)
            end = at + len(samples) / RATE
            file.write(f"{stamp(at)} --> {stamp(end)}\n{text}\n\n" if suffix == "vtt" else f"{text}\n")
            at = end


def work(root: str, folder: str, match: bool) -> None:
    """In a process of its own."""
    settings = PrepareSettings(check=CheckSettings(match=match))
    result = prepare(root, [folder], settings)
    used = resource.getrusage(resource.RUSAGE_SELF)
    # not ru_maxrss: that begins at what the parent had when it started this process
    (peak,) = (
        line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line
    )
    facts = {
        "kept": result.kept,
        "set_aside": result.set_aside,
        "kept_minutes": round(result.seconds / 60, 1),
    }
    facts |= {"cpu_seconds": round(used.ru_utime + used.ru_stime), "peak_megabytes": round(int(peak) / 1024)}
    print(json.dumps(facts))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--hours", type=float, nargs="+", default=[1 / 6, 1.0, 10.0])
    options.add_argument("--kinds", nargs="+", default=["files", "subtitles", "script"])
    options.add_argument(
        "--plain", action="store_true", help="without comparing text and sound: half the time"
    )
    options.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.work:
        work(*given.work, not given.plain)
        return
    for hours in given.hours:
        for kind in given.kinds:
            with tempfile.TemporaryDirectory() as name:
                home = Path(name)
                make(home / "given", hours * 3600, kind)
                Project.create(home / "voice", '[text.g2p]\nbackends = ["rules"]\n')
                command = [sys.executable, __file__, "--work", str(home / "voice"), str(home / "given")]
                command += ["--plain"] if given.plain else []
                done = subprocess.run(command, check=True, capture_output=True, text=True)
            facts = {
                "benchmark": "prepare_memory",
                "kind": kind,
                "hours": round(hours, 2),
                "match": not given.plain,
            } | json.loads(done.stdout)
            facts["real_time_per_core"] = round(hours * 3600 / facts["cpu_seconds"], 1)
            print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
