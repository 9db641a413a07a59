"""How fast recordings become a manifest on one core, and whether memory stays flat: one JSON line.

    python benchmarks/prepare.py [--minutes 30]

Audio seconds per CPU second of `dimts.data.prepare` (short recordings with transcripts, then one long
recording with its script), with and without comparing text and sound; the peer is the loop of the silero-vad
package, voice detection alone, over the same files in the same run. Memory is the peak of the process after a
quarter of the recordings and after all.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from dimts.audio.formant import Formant, FormantSettings
from dimts.audio.wave import Wave, join
from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.data.check import CheckSettings
from dimts.data.context import PrepareSettings
from dimts.data.manifest import Manifest
from dimts.data.prepare import prepare
from dimts.text.g2p.rules import Rules

TEXT = (
    "ሰላም ለዓለም ዛሬ ጥሩ ቀን ነው ነገ ጠዋት ወደ ገበያ እንሄዳለን መጽሐፉን ጠረጴዛው ላይ አስቀምጠው ልጆቹ በግቢው ውስጥ ኳስ ይጫወታሉ "
    "የአዲስ አበባ ከተማ በጣም ትልቅ ናት ቡና ከቁርስ በኋላ መጠጣት እወዳለሁ ክረምቱ ካለፈ አበቦች ይፈካሉ ገበሬው ማሳውን በበሬ ያርሳል"
)
TOML = '[text.g2p]\nbackends = ["rules"]\n'


def sentence(rng: np.random.Generator) -> str:
    return " ".join(rng.choice(TEXT.split(), 8))


def recordings(folder: Path, minutes: float, rng: np.random.Generator) -> float:
    """A corpus of sentences, each a 44.1 kHz file; its length in seconds."""
    rules, voices = Rules(), [Formant(FormantSettings(variant=name)) for name in ("", "f2", "m3")]
    (folder / "audio").mkdir(parents=True)
    lines, seconds = ["id\tpath\tspeaker\ttext"], 0.0
    while seconds < minutes * 60:
        number, text = len(lines), sentence(rng)
        wave = voices[number % 3].speak(rules.phones(text.split()), "።").resample(44_100)
        samples = np.pad(wave.samples, 20_000) + rng.standard_normal(len(wave.samples) + 40_000) * 1e-3
        Wave(samples.astype(np.float32), 44_100).save(folder / "audio" / f"s{number}.wav")
        lines.append(f"s{number}\taudio/s{number}.wav\ta\t{text}")
        seconds += len(samples) / 44_100
    (folder / "metadata.tsv").write_text("\n".join(lines), encoding="utf-8")
    return seconds


def book(folder: Path, minutes: float, rng: np.random.Generator) -> float:
    """One long recording and its script; its length in seconds."""
    rules, voice, parts, lines, seconds = Rules(), Formant(FormantSettings(variant="f2")), [], [], 0.0
    while seconds < minutes * 60:
        text = sentence(rng)
        parts += [
            Wave.silence(float(rng.uniform(0.4, 1.2)), 24_000),
            voice.speak(rules.phones(text.split()), "።"),
        ]
        lines.append(text)
        seconds += parts[-1].seconds + parts[-2].seconds
    folder.mkdir()
    wave = join(parts)
    Wave((wave.samples + rng.standard_normal(len(wave.samples)) * 1e-3).astype(np.float32), 24_000).save(
        folder / "book.flac"
    )
    (folder / "book.txt").write_text("\n".join(lines), encoding="utf-8")
    return wave.seconds


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(root: Path, folder: Path, settings: PrepareSettings) -> tuple[float, float, float, int]:
    """CPU seconds, peak memory after a quarter and after all, clips kept."""
    project = Project.create(root, TOML)
    quarter: list[float] = []

    def on_progress(progress: Progress) -> None:
        if progress.total and progress.done >= progress.total / 4 and not quarter:
            quarter.append(peak_megabytes())

    start = time.process_time()
    result = prepare(project, [folder], settings, on_progress)
    return time.process_time() - start, quarter[0], peak_megabytes(), result.kept


def peer(folder: Path) -> float:
    """CPU seconds of the silero-vad package's own loop over the same files."""
    import torch
    from silero_vad import get_speech_timestamps, load_silero_vad

    torch.set_num_threads(1)
    model = load_silero_vad(onnx=True)
    start = time.process_time()
    for path in sorted(folder.glob("audio/*.wav")):
        samples = Wave.load(path, 16_000).samples
        get_speech_timestamps(torch.from_numpy(samples), model, sampling_rate=16_000)
    return time.process_time() - start


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=30.0)
    minutes = options.parse_args().minutes
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        seconds = recordings(home / "corpus", minutes, rng)
        long_seconds = book(home / "long", minutes / 3, rng)
        plain = PrepareSettings(check=CheckSettings(match=False))
        run(home / "warm", home / "corpus", plain) if minutes < 1 else None
        cpu, quarter, whole, kept = run(home / "a", home / "corpus", PrepareSettings())
        cpu_plain, *_ = run(home / "b", home / "corpus", plain)
        cpu_long, _, _, kept_long = run(home / "c", home / "long", PrepareSettings())
        rows = len(Manifest.read(home / "a" / "manifest.jsonl"))
        cpu_peer = peer(home / "corpus")
    print(
        json.dumps(
            {
                "benchmark": "prepare",
                "audio_minutes": round(seconds / 60, 1),
                "clips": rows,
                "kept": kept,
                "real_time_per_core": round(seconds / cpu, 1),
                "real_time_per_core_without_match": round(seconds / cpu_plain, 1),
                "script_minutes": round(long_seconds / 60, 1),
                "script_kept": kept_long,
                "script_real_time_per_core": round(long_seconds / cpu_long, 1),
                "peer_vad_alone_real_time": round(seconds / cpu_peer, 1),
                "ratio_to_peer_vad_alone": round(cpu_peer / cpu, 2),
                "peak_megabytes_at_quarter": round(quarter),
                "peak_megabytes": round(whole),
            }
        )
    )


if __name__ == "__main__":
    main()
