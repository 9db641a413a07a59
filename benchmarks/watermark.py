"""Count the files in which the watermark is found: after coders and other changes, and where there is none.

    python benchmarks/watermark.py RECORDINGS... [--every 8] [--sentences 60]

RECORDINGS are folders of speech. Every one is examined unmarked (false alarms); every eighth is marked,
changed and examined. The formant voice speaks sentences of amharic-tts-bench. Needs the extra `watermark`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from dimts.audio.encode import AudioEncoder
from dimts.audio.watermark import confidence, mark
from dimts.audio.wave import Wave
from dimts.evaluate.benchmark import benchmark
from dimts.evaluate.watermark import FOUND_FROM
from dimts.speak import Speaker

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus")


def encoded(wave: Wave, form: str) -> Wave:
    """Encode by FFmpeg at the bit rate of `dimts serve`, and decode."""
    encoder = AudioEncoder(form, wave.rate)
    return read(encoder.push(wave) + encoder.finish(), form)


def written(wave: Wave, form: str) -> Wave:
    """Encode by libsndfile as `dimts say` does, and decode."""
    return read(wave.encode(form), form)


def read(data: bytes, form: str) -> Wave:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sound.{form}"
        path.write_bytes(data)
        return Wave.load(path)


def tempo(wave: Wave, factor: float) -> Wave:
    """Change the tempo, not the pitch, by FFmpeg's atempo."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=wave.rate, format="flt", layout="mono")
    stretch, sink = graph.add("atempo", str(factor)), graph.add("abuffersink")
    source.link_to(stretch)
    stretch.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(wave.samples[None], format="flt", layout="mono")
    frame.sample_rate = wave.rate
    source.push(frame)
    source.push(None)
    pieces = []
    while True:
        try:
            pieces.append(sink.pull().to_ndarray()[0])
        except (av.error.EOFError, av.error.BlockingIOError):
            return Wave(np.concatenate(pieces), wave.rate)


CHANGES: dict[str, Callable[[Wave], Wave]] = {
    "none": lambda wave: wave,
    "wav, 16 bit": lambda wave: written(wave, "wav"),
    "mp3, 64 kbit/s": lambda wave: encoded(wave, "mp3"),
    "opus, 32 kbit/s": lambda wave: encoded(wave, "opus"),
    "ogg (Vorbis)": lambda wave: written(wave, "ogg"),
    "16 kHz and back": lambda wave: wave.resample(16_000).resample(wave.rate),
    "8 kHz and back": lambda wave: wave.resample(8_000).resample(wave.rate),
    "half as loud": lambda wave: wave.gain(-6.0),
    "noise at 20 dB": lambda wave: noisy(wave, 20.0),
    "tempo 0.9": lambda wave: tempo(wave, 0.9),
    "tempo 1.1": lambda wave: tempo(wave, 1.1),
    "speed 0.95 (pitch too)": lambda wave: Wave(wave.samples, round(wave.rate * 0.95)).resample(wave.rate),
    "its first 2 s": lambda wave: wave.cut(0.0, 2.0),
    "its first 1 s": lambda wave: wave.cut(0.0, 1.0),
}


def noisy(wave: Wave, decibels: float) -> Wave:
    noise = np.random.default_rng(1).standard_normal(len(wave.samples)).astype(np.float32)
    level = float(np.sqrt(np.mean(wave.samples**2))) * 10 ** (-decibels / 20)
    return Wave(wave.samples + noise * level, wave.rate)


def row(name: str, found: list[float]) -> None:
    low, high = min(found), max(found)
    hits = sum(one >= FOUND_FROM for one in found)
    print(
        f"| {name} | {hits} of {len(found)} | {np.median(found):.2f} | {low:.2f} to {high:.2f} |", flush=True
    )


def distortion(waves: list[Wave], marked: list[Wave]) -> None:
    ratios = [
        10 * np.log10(np.sum(a.samples**2) / np.sum((a.samples - b.samples) ** 2))
        for a, b in zip(waves, marked, strict=True)
    ]
    low, high = min(ratios), max(ratios)
    print(f"speech above what the mark changes: {np.median(ratios):.1f} dB ({low:.1f} to {high:.1f})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--every", type=int, default=8)
    parser.add_argument("--sentences", type=int, default=60)
    given = parser.parse_args()
    paths = sorted(path for one in given.recordings for path in one.rglob("*") if path.suffix in SUFFIXES)
    waves = [Wave.load(path).resample(24_000) for path in paths[:: given.every]]
    marked = [mark(wave) for wave in waves]
    speaker = Speaker.load("formant")
    lines = benchmark().lines
    spoken = [speaker.say(line.text) for line in lines[: given.sentences]]
    lengths = [wave.seconds for wave in waves]
    print(f"{len(waves)} recordings of {min(lengths):.1f} to {max(lengths):.1f} s")
    distortion(waves, marked)
    print("| change | found | median confidence | range |\n|---|---|---|---|")
    for name, change in CHANGES.items():
        row(name, [confidence(change(wave)) for wave in marked])
    row("formant voice, marked", [confidence(mark(wave)) for wave in spoken])
    row("formant voice, not marked", [confidence(wave) for wave in spoken])
    row("recordings, not marked", [confidence(Wave.load(path)) for path in paths])


if __name__ == "__main__":
    main()
