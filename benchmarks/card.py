"""Prove on a CUDA card, in at most nine minutes, that training and speaking are right and how fast they are.

    python benchmarks/card.py                        all parts; a table, and one JSON line last
    python benchmarks/card.py --parts kernels codes --json card.json
    python benchmarks/card.py --device cpu --size tiny --parts kernels         the same code without a card

Parts: kernels (each attention kernel, packed and padded, forward and backward, beside eager), runs (full and
LoRA with each kernel: steps, sample, evaluation, export, speech), nan (a step that is not finite), memory
(peak beside the forecast), speed (tokens/s, waits of the host a step, idle share of the card), codes (card =
processor), resume (kill -9 and go on), decoding (milliseconds a code), peer (benchmarks/train.py beside
coqui-tts, with --peer). Random weights of the official size, clips of gliding tones, no network. Needs the
extras formant and train, and on the card flash-attn or xformers only to try those too. Without a card it
prints "not run: no CUDA" and exits 0. A part that is not begun when the minutes are over is listed as not
run.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dimts.audio.wave import Wave
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.speak import Speaker
from dimts.text.frontend import Frontend, FrontendSettings
from dimts.train.capabilities import KINDS, MachineInfo, obstacle, plan_precision
from dimts.train.estimate import forecast
from dimts.train.fine_tune import fine_tune
from dimts.train.runs import read_log
from dimts.train.settings import BatchSettings, TrainSettings
from dimts.train.stages.gpt import GptStage
from dimts.train.trainer import Trainer
from dimts.xtts.attention import SequenceLayout, attend, refusal
from dimts.xtts.generate import GenerateSettings, generate
from dimts.xtts.model import XTTS
from dimts.xtts.spec import LATENTS, SPECS

MINUTES = 9.0
RATE = 22_050
TEXTS = ("ሰላም ለዓለም።", "እንዴት ናችሁ? ዛሬ ጥሩ ቀን ነው።", "ልጆች ወደ ትምህርት ቤት ሄዱ።", "ቡና እንጠጣ፣ ዝናብ ይዘንባል።")
ROWS = (37, 5, 64, 18)
"""Tokens of the rows that kernels are compared on."""
TOLERANCE = {torch.bfloat16: 0.03, torch.float16: 0.006, torch.float32: 1e-4}
"""Largest difference from eager in float32, as a share of the largest value."""
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Bench:
    """What the parts run on."""

    device: str
    size: str
    folder: Path
    steps: int
    seconds: float
    """Of a clip."""
    clips: int
    codes: int
    """Codes decoded one by one."""
    peer: str

    @property
    def cuda(self) -> bool:
        return self.device == "cuda"

    def project(self, name: str, table: str = "") -> Project:
        """A prepared project of gliding tones with real texts."""
        project = Project.create(self.folder / name, f'[text.g2p]\nbackends = ["rules"]\n{table}')
        frontend = Frontend(project.settings("text", FrontendSettings))
        rows = []
        for number in range(self.clips + 2):
            wave = tones(self.seconds + 0.2 * (number % 4), number)
            path = project.clips / f"clip-{number:02d}.wav"
            wave.save(path)
            text = TEXTS[number % len(TEXTS)]
            rows.append(
                Utterance(
                    id=hashlib.sha256(str(number).encode()).hexdigest()[:10],
                    path=project.relative(path),
                    text=text,
                    spelling=" ".join(phrase.spelling for phrase in frontend(text)),
                    seconds=wave.seconds,
                    speaker="tones",
                    split="train" if number < self.clips else "dev",
                    kept=True,
                )
            )
        Manifest.write(project.manifest, rows)
        return project

    def settings(self, **changes: Any) -> TrainSettings:
        """A short run of this size."""
        batches = BatchSettings(seconds=4 * self.seconds)
        common = {
            "size": self.size,
            "steps": self.steps,
            "save_every": 10_000,
            "evaluate_every": 10_000,
            "keep": 1,
        }
        return TrainSettings(**{**common, "batches": batches, **changes})


def tones(seconds: float, seed: int) -> Wave:
    """A gliding pitch with harmonics and pauses."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * RATE)) / RATE
    pitch = 110 + 60 * rng.random() + 25 * np.sin(2 * np.pi * (1 + rng.random()) * at)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voiced = sum(np.sin(k * phase) / k for k in range(1, 12)) * (np.sin(6 * np.pi * at + rng.random()) > -0.5)
    return Wave((0.2 * voiced + 0.003 * rng.standard_normal(len(at))).astype(np.float32), RATE)


def row(what: str, value: Any, unit: str = "", *, passed: bool | None = None) -> Row:
    """One line of the table; `passed` is None for what is only measured."""
    return {"what": what, "value": value, "unit": unit, "passed": passed}


# Parts


def kernels(bench: Bench) -> Iterator[Row]:
    """Each kernel in each number type, packed and padded, forward and backward, beside eager in float32."""
    device, types = torch.device(bench.device), list(TOLERANCE)
    for kind, dtype, packed in itertools.product(KINDS, types, (True, False)):
        why = refusal(kind, device, dtype, 64)
        name = f"{kind} {str(dtype).removeprefix('torch.')} {'packed' if packed else 'padded'}"
        if why is not None:
            yield row(name, why.text("en"))
            continue
        layout = SequenceLayout(ROWS, packed=packed)
        shape = (1, layout.total) if packed else (len(ROWS), layout.max_length)
        torch.manual_seed(0)
        plain = [torch.randn(*shape, 16, 64).to(device, dtype) for _ in range(3)]
        got = _passes(kind, plain, layout)
        wanted = _passes("eager", [tensor.float() for tensor in plain], layout)
        apart = max(
            float((a.float() - b).abs().max()) / float(b.abs().max())
            for a, b in zip(got, wanted, strict=True)
        )
        yield row(name, apart, "of the largest value", passed=apart < TOLERANCE[dtype])


def _passes(kind: Any, tensors: list[torch.Tensor], layout: SequenceLayout) -> list[torch.Tensor]:
    q, k, v = (tensor.detach().clone().requires_grad_() for tensor in tensors)
    out = attend(kind, q, k, v, layout)
    real = [layout.pack(out)] if not layout.packed else [out]  # what stands at padding means nothing
    torch.autograd.backward(
        sum((one.float().pow(2).sum() for one in real), torch.zeros((), device=out.device))
    )
    return [real[0].detach(), *(tensor.grad for tensor in (q, k, v) if tensor.grad is not None)]


def usable_kinds(bench: Bench) -> list[str]:
    """Kernels that a run here can ask for."""
    machine = MachineInfo.look()
    precision = plan_precision("auto", machine).name
    return [kind for kind in KINDS if obstacle(kind, machine, precision, 64) is None]  # type: ignore[arg-type]


def runs(bench: Bench) -> Iterator[Row]:
    """Full and LoRA with each kernel: steps, a sample, an evaluation, the export, a spoken sentence."""
    for trainable, kind in itertools.product(("all", "lora"), usable_kinds(bench)):
        project = bench.project(f"run-{trainable}-{kind}")
        settings = bench.settings(trainable=trainable, attention=kind, sample_every=bench.steps)
        began = time.monotonic()
        run = fine_tune(project, settings)
        wave = Speaker.load(run.bundle).say(TEXTS[0]) if run.bundle else Wave(np.zeros(1, np.float32), RATE)
        fine = all(map(math.isfinite, (*run.losses, *run.dev_losses))) and len(run.losses) == bench.steps
        heard = wave.seconds > 0.1 and bool(np.isfinite(wave.samples).all())
        sampled = bool(list((run.folder / "samples").glob("*.wav")))
        yield row(f"{trainable}, {kind}", time.monotonic() - began, "s", passed=fine and heard and sampled)


def nan(bench: Bench) -> Iterator[Row]:
    """A loss that is no number in the second step, in fp16 on a card: the step is left out, the next is
    taken."""
    losses = GptStage.losses

    def poisoned(stage: GptStage, *args: Any) -> Any:
        terms = losses(stage, *args)
        if stage.stats.steps == 1:
            terms["mel"] = dataclasses.replace(terms["mel"], mean=terms["mel"].mean * math.nan)
        return terms

    precisions = ("fp16", "bf16") if bench.cuda else ("float32",)
    for precision in precisions:
        GptStage.losses = poisoned  # type: ignore[method-assign]
        try:
            run = fine_tune(bench.project(f"nan-{precision}"), bench.settings(precision=precision))
        finally:
            GptStage.losses = losses  # type: ignore[method-assign]
        lines = [line for line in read_log(run.folder / "log.jsonl") if line["kind"] == "step"]
        finite = [line["loss"] is not None and math.isfinite(line["loss"]) for line in lines]
        passed = finite == [True, False, *[True] * (bench.steps - 2)] and lines[-1]["skipped"] == 1
        yield row(f"{precision}: steps left out", lines[-1]["skipped"], passed=passed)


def memory(bench: Bench) -> Iterator[Row]:
    """Peak of a run beside its forecast."""
    for trainable in ("all", "lora"):
        project, settings = bench.project(f"memory-{trainable}"), bench.settings(trainable=trainable)
        expected = forecast(project, settings).process_bytes
        if bench.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        fine_tune(project, settings)
        yield row(f"{trainable}: forecast", expected / 1e9, "GB")
        if bench.cuda:
            peak = torch.cuda.max_memory_allocated()
            yield row(f"{trainable}: peak", peak / 1e9, "GB", passed=0.5 < peak / expected < 1.15)


def speed(bench: Bench) -> Iterator[Row]:
    """Tokens a second, waits of the host in a step, and the share of a step in which the card does
    nothing."""
    for trainable in ("all", "lora"):
        with _profiled(bench) as profiles:
            run = fine_tune(bench.project(f"speed-{trainable}"), bench.settings(trainable=trainable))
        steps = [line for line in read_log(run.folder / "log.jsonl") if line["kind"] == "step"][2:]
        tokens = sum(line["tokens"] for line in steps) / sum(line["seconds"] for line in steps)
        yield row(f"{trainable}: tokens", tokens, "1/s")
        waits, idle = zip(*profiles, strict=True)
        yield row(f"{trainable}: waits of the host", statistics.median(waits), "a step")
        yield row(f"{trainable}: idle share", statistics.median(idle) if bench.cuda else "no card", "")


_WAITS = (
    "cudaStreamSynchronize",
    "cudaDeviceSynchronize",
    "cudaEventSynchronize",
    "aten::_local_scalar_dense",
)


@contextmanager
def _profiled(bench: Bench) -> Iterator[list[tuple[int, float]]]:
    """(waits, idle share) of each step after the second, by torch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    found: list[tuple[int, float]] = []
    step = Trainer.step
    wanted = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.cuda else [])]

    def profiled(trainer: Trainer, *args: Any, **options: Any) -> Any:
        if trainer.stats.steps < 2:
            return step(trainer, *args, **options)
        with profile(activities=wanted) as profiler:
            began = time.perf_counter()
            values = step(trainer, *args, **options)
            if bench.cuda:
                torch.cuda.synchronize()
            seconds = time.perf_counter() - began
        events = profiler.key_averages()
        waits = sum(event.count for event in events if event.key in _WAITS) - bench.cuda
        busy = sum(getattr(event, "self_device_time_total", 0.0) for event in events) / 1e6
        found.append((waits, max(0.0, 1 - busy / seconds)))
        return values

    Trainer.step = profiled  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Trainer.step = step  # type: ignore[method-assign]


def codes(bench: Bench) -> Iterator[Row]:
    """The DVAE's codes of ten seconds, on the card and on the processor."""
    model = XTTS.build(SPECS[bench.size], seed=1)
    wave = torch.from_numpy(tones(10.0, 0).samples)[None]
    here = model.codes(wave)
    there = model.to(bench.device).codes(wave.to(bench.device)).cpu()
    share = float((here == there).float().mean())
    yield row("codes that are equal", share, "of all", passed=share > 0.995)


def resume(bench: Bench) -> Iterator[Row]:
    """Kill a run with signal 9 in its fourth step; the losses after going on are those of a run left
    alone."""
    table = (
        f'\n[train]\nsize = "{bench.size}"\nsteps = 6\nsave_every = 2\nevaluate_every = 1000\nkeep = 1\n'
        f"[train.batches]\nseconds = {4 * bench.seconds}\n"
    )
    whole, broken = bench.project("whole", table), bench.project("broken", table)
    command = [sys.executable, "-m", "dimts", "train", "run"]
    subprocess.run(
        [*command, str(whole.root)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    process = subprocess.Popen(
        [*command, str(broken.root)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None and len(_losses(broken)) < 3:
        time.sleep(0.02)
    if process.poll() is None:
        os.kill(process.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()
    subprocess.run(
        [*command, str(broken.root)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    one, other = _losses(whole), _losses(broken)
    apart = max(abs(one[step] - other[step]) / abs(one[step]) for step in one)
    allowed = 0.02 if bench.cuda else 0.0  # kernels of a card add up in another order each time
    yield row(
        "largest difference of a loss",
        apart,
        "relative",
        passed=one.keys() == other.keys() and apart <= allowed,
    )


def _losses(project: Project) -> dict[int, float]:
    """Loss of each step of a project's only run."""
    found: dict[int, float] = {}
    for log in project.runs.glob("*/log.jsonl"):
        found = {line["step"]: line["loss"] for line in read_log(log) if line["kind"] == "step"}
    return found


def decoding(bench: Bench) -> Iterator[Row]:
    """Milliseconds a code for one sentence, STOP made impossible."""
    model = XTTS.build(SPECS[bench.size], seed=1, dvae=False).to(bench.device)
    with torch.no_grad():
        model.gpt.mel_head.bias[model.spec.stop_audio] = -1e4
    latents = torch.randn(1, LATENTS, model.spec.width, device=bench.device)
    with torch.inference_mode():
        for name, count in (("warm-up", 4), ("timed", bench.codes)):
            began = time.perf_counter()
            taken = sum(
                1
                for _ in generate(
                    model.gpt, latents, list(range(3, 23)), GenerateSettings(max_codes=count, seed=0)
                )
            )
            if name == "timed":
                milliseconds = 1000 * (time.perf_counter() - began) / taken
                yield row("a code", milliseconds, "ms", passed=taken == bench.codes)


def peer(bench: Bench) -> Iterator[Row]:
    """benchmarks/train.py beside coqui-tts, which compares the two on a processor."""
    if not bench.peer:
        yield row("coqui-tts", "not run: no --peer")
        return
    script = Path(__file__).with_name("train.py")
    done = subprocess.run(
        [
            sys.executable,
            str(script),
            "--peer",
            bench.peer,
            "--layers",
            "2",
            "--batch",
            "2",
            "--steps",
            "2",
            "--losses",
            "0",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    yield row("coqui-tts", json.loads(done.stdout.splitlines()[-1]))


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "kernels": kernels, "codes": codes, "decoding": decoding, "nan": nan, "runs": runs, "speed": speed,
    "memory": memory, "resume": resume, "peer": peer,
}  # fmt: skip


def prove(bench: Bench, parts: list[str], minutes: float = MINUTES) -> list[Row]:
    """Run the parts one after another; a part that raises is a row that has not passed."""
    found: list[Row] = []
    began = time.monotonic()
    for name in parts:
        if time.monotonic() - began > 60 * minutes:
            found.append({"part": name, **row("all", "not run: the time is over")})
            continue
        try:
            for one in PARTS[name](bench):
                found.append({"part": name, **one})
                print(line(found[-1]), flush=True)
        except Exception as error:  # noqa: BLE001 (whatever it is belongs into the table)
            found.append({"part": name, **row("all", f"{type(error).__name__}: {error}", passed=False)})
            print(line(found[-1]), flush=True)
    return found


def line(one: Row) -> str:
    """A row of the table."""
    value = f"{one['value']:.4g}" if isinstance(one["value"], float) else str(one["value"])
    state = {True: "passed", False: "FAILED", None: ""}[one["passed"]]
    return f"{one['part']:<9} {one['what']:<28} {value:>12} {one['unit']:<20} {state}".rstrip()


def bench_for(device: str, size: str, folder: Path, peer_python: str = "") -> Bench:
    """Enough work for a card; little for a processor."""
    small = size == "tiny"
    return Bench(
        device, size, folder, 5, 1.2 if small else 5.0, 6 if small else 16, 12 if small else 200, peer_python
    )


def main(arguments: list[str] | None = None) -> int:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    ask.add_argument("--size", default="v2", choices=list(SPECS))
    ask.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    ask.add_argument("--minutes", type=float, default=MINUTES, help="no part begins later")
    ask.add_argument("--json", type=Path, help="write the JSON here too")
    ask.add_argument("--peer", default="", help="python of a venv with coqui-tts 0.28")
    chosen = ask.parse_args(arguments)
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("not run: no CUDA")
        return 0
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        bench = bench_for(chosen.device, chosen.size, Path(folder), chosen.peer)
        found = prove(bench, chosen.parts, chosen.minutes)
    machine = MachineInfo.look()
    report = {"device": machine.name, "torch": torch.__version__, "size": chosen.size, "rows": found}
    text = json.dumps(report, ensure_ascii=False)
    if chosen.json:
        chosen.json.write_text(text, "utf-8")
    print(text)
    return 1 if any(one["passed"] is False for one in found) else 0


if __name__ == "__main__":
    sys.exit(main())
