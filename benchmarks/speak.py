"""Speaking at the official size beside coqui-tts: text to wave, and as a stream. One JSON line out.

    python benchmarks/speak.py --peer /path/to/venv/bin/python            10 s whole, 5, 10 and 20 s streamed
    python benchmarks/speak.py --peer ... --seconds 10 --stream           whole only
    python benchmarks/speak.py                                            ours alone

Random weights, the same on both sides (one file), STOP made impossible and the number of codes fixed, so that
both do the same work. Each side runs in a process of its own, one after the other. What is timed begins with
text ids and a voice that is known, as a server has it. `parts` are the seconds of each stage; with + decoding
and vocoder work at the same time and their seconds overlap. `cpu` are seconds of the processor: on a machine
with other work only they tell something, and only with --threads 1 (threads that wait for each other also
count).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from dimts.xtts.spec import Spec

CODES_PER_SECOND = 22_050 / 1024
IDS_PER_SECOND = 12
NEVER = -1e4
"""Bias of STOP."""
PENALTY = 5.0

PEER = r"""
import json, sys, time
import torch
folder = sys.argv[1]
job = json.load(open(folder + "/job.json"))
torch.set_num_threads(job["threads"])
from TTS.tts.configs.xtts_config import XttsConfig
from TTS.tts.models.xtts import Xtts
torch.set_num_threads(job["threads"])
config = XttsConfig()
for key, value in job["arguments"].items():
    setattr(config.model_args, key, value)
model = Xtts(config)
class Ids:
    tokenizer = None
    def encode(self, text, lang):
        return job["ids"][: int(text)]
    def get_number_tokens(self):
        return job["arguments"]["gpt_number_text_tokens"]
model.tokenizer = Ids()
model.init_models()
state = torch.load(folder + "/weights.pth", mmap=True)
missing = model.load_state_dict(state, strict=False, assign=True)
print(len(missing.missing_keys), len(missing.unexpected_keys), file=sys.stderr)
assert not [key for key in missing.missing_keys if "torch_spec" not in key], missing.missing_keys[:5]
model.hifigan_decoder.eval()
model.gpt.init_gpt_for_inference(kv_cache=True)
model.gpt.eval()
voice = torch.load(folder + "/voice.pth")
parts, cpu = {}, {}
def timed(name, do):
    def run(*a, **k):
        began, busy = time.perf_counter(), time.process_time()
        out = do(*a, **k)
        parts[name] = parts.get(name, 0.0) + time.perf_counter() - began
        cpu[name] = cpu.get(name, 0.0) + time.process_time() - busy
        return out
    return run
model.gpt.generate = timed("decode", model.gpt.generate)
model.gpt.forward = timed("second pass", model.gpt.forward)
model.hifigan_decoder.forward = timed("vocoder", model.hifigan_decoder.forward)
choose = dict(do_sample=True, temperature=0.75, top_k=50, top_p=0.85, repetition_penalty=job["penalty"])
def whole(codes, ids):
    model.gpt.max_gen_mel_tokens = codes
    parts.clear(); cpu.clear()
    began, busy = time.perf_counter(), time.process_time()
    wave = model.inference(str(ids), "en", voice["latents"], voice["timbre"], **choose)["wav"]
    return {"total": time.perf_counter() - began, "cpu": time.process_time() - busy, "samples": len(wave),
            "parts": dict(parts), "cpu_parts": dict(cpu)}
def stream(codes, ids):
    model.gpt.max_gen_mel_tokens = codes
    parts.clear(); cpu.clear()
    began, busy, first, samples = time.perf_counter(), time.process_time(), None, 0
    for chunk in model.inference_stream(str(ids), "en", voice["latents"], voice["timbre"], **choose):
        samples += len(chunk)
        if first is None:
            first, first_cpu = time.perf_counter() - began, time.process_time() - busy
    return {"total": time.perf_counter() - began, "cpu": time.process_time() - busy, "first": first,
            "first_cpu": first_cpu, "samples": samples, "parts": dict(parts), "cpu_parts": dict(cpu)}
torch.manual_seed(0)
whole(6, 12)
found = {"whole": [], "stream": []}
for kind, do in (("whole", whole), ("stream", stream)):
    for seconds, codes, ids in job[kind]:
        found[kind].append({"seconds": seconds, **do(codes, ids)})
        print(kind, found[kind][-1], file=sys.stderr, flush=True)
print(json.dumps(found))
"""


def worker(folder: Path) -> None:
    """Our side of the comparison."""
    from dimts.speak.pipeline import run_in_background, split_threads, with_threads
    from dimts.speak.xtts import prepare_for_inference
    from dimts.xtts.generate import generate
    from dimts.xtts.pace import StreamSettings
    from dimts.xtts.sampling import DecodingStep, GenerateSettings
    from dimts.xtts.spec import SPECS
    from dimts.xtts.stream import stream
    from dimts.xtts.weights import build_from, ours

    job = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    state = torch.load(folder / "weights.pth", mmap=True)
    spec = replace(SPECS["v2"], layers=job["arguments"]["gpt_layers"])
    model = build_from(spec, {ours(key): value for key, value in state.items()}, "the benchmark")
    model = prepare_for_inference(model, job["weights"])
    voice = torch.load(folder / "voice.pth")
    cores = split_threads(job["threads"]) if job["overlapped"] else None
    parts: dict[str, float] = {}
    cpu: dict[str, float] = {}

    def timed(name: str, items: Iterator[Any]) -> Iterator[Any]:
        while True:
            began, busy = time.perf_counter(), time.thread_time()
            item = next(items, None)
            where = "prefill" if name == "decode" and name not in parts and "prefill" not in parts else name
            parts[where] = parts.get(where, 0.0) + time.perf_counter() - began
            cpu[where] = cpu.get(where, 0.0) + time.thread_time() - busy
            if item is None:
                return
            yield item

    def speak(codes: int, ids: int, settings: StreamSettings) -> dict[str, Any]:
        parts.clear()
        cpu.clear()
        chosen = GenerateSettings(max_codes=codes, seed=0, repetition_penalty=PENALTY)
        began, busy, first, first_cpu, samples = time.perf_counter(), time.process_time(), None, 0.0, 0
        steps: Iterator[DecodingStep] = timed(
            "decode", generate(model.gpt, voice["latents"], job["ids"][:ids], chosen, record_attention=True)
        )
        latents: Iterator[Any] = (step.latent for step in steps)
        if cores:
            latents = run_in_background(latents, cores[0])
        latents = timed("waiting for codes", latents)
        waves = stream(model.vocoder, latents, voice["timbre"], settings)
        for wave in timed("both", with_threads(waves, cores[1]) if cores else waves):
            samples += len(wave)
            if first is None:
                first, first_cpu = time.perf_counter() - began, time.process_time() - busy
        found = {"total": time.perf_counter() - began, "cpu": time.process_time() - busy, "first": first}
        for seconds in (parts, cpu):
            seconds["vocoder"] = seconds.pop("both") - seconds.pop("waiting for codes")
        return {
            **found,
            "first_cpu": first_cpu,
            "samples": samples,
            "parts": dict(parts),
            "cpu_parts": dict(cpu),
        }

    speak(6, 12, StreamSettings())
    found: dict[str, list[Any]] = {"whole": [], "stream": []}
    whole = StreamSettings(first_latents=24, chunk_latents=24)
    for kind, settings in (("whole", whole), ("stream", StreamSettings())):
        for seconds, codes, ids in job[kind]:
            found[kind].append({"seconds": seconds, **speak(codes, ids, settings)})
            print(kind, found[kind][-1], file=sys.stderr, flush=True)
    print(json.dumps(found))


def _call(command: list[str], folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    (folder / "job.json").write_text(json.dumps(job))
    environment = {**os.environ, "OMP_NUM_THREADS": str(job["threads"]), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*command, str(folder)], stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _prepare(folder: Path, spec: Spec) -> None:
    """Weights and a voice, made once."""
    from dimts.xtts.model import XTTS
    from dimts.xtts.weights import coquis

    if (folder / "voice.pth").is_file():
        return
    model = XTTS.build(spec, 0, dvae=False)
    with torch.no_grad():
        model.gpt.mel_head.bias[model.spec.stop_audio] = NEVER
    torch.save(
        {coquis(key): value.detach() for key, value in model.state_dict().items()}, folder / "weights.pth"
    )
    noise = torch.Generator().manual_seed(0)
    voice = {
        "latents": torch.randn(1, 32, model.spec.width, generator=noise),
        "timbre": torch.nn.functional.normalize(
            torch.randn(1, model.spec.timbre_width, 1, generator=noise), dim=1
        ),
    }
    torch.save(voice, folder / "voice.pth")


def main() -> None:
    """Compare, and print one JSON line."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--peer", help="python of a venv with coqui-tts 0.28")
    ask.add_argument("--seconds", nargs="*", type=float, default=[10.0], help="of audio, spoken whole")
    ask.add_argument("--stream", nargs="*", type=float, default=[5.0, 10.0, 20.0], help="of audio, streamed")
    ask.add_argument("--layers", type=int, default=30, help="fewer for a machine that is busy or small")
    ask.add_argument("--threads", type=int, default=2)
    ask.add_argument(
        "--modes", nargs="*", default=["float32", "float32+", "int8", "int8+"], help="+ is overlapped"
    )
    ask.add_argument("--folder", type=Path, help="keep the weights here for the next run (2 GB)")
    chosen = ask.parse_args()
    from dimts.xtts.spec import SPECS

    with tempfile.TemporaryDirectory() as made:
        folder = chosen.folder or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        spec = replace(SPECS["v2"], layers=chosen.layers)
        _prepare(folder, spec)
        (folder / "peer.py").write_text(PEER)
        generator = torch.Generator().manual_seed(1)
        arguments = {k: v for k, v in spec.to_coqui()["model_args"].items() if v is not None}

        def sizes(many: list[float]) -> list[tuple[float, int, int]]:
            return [(s, round(s * CODES_PER_SECOND), round(s * IDS_PER_SECOND)) for s in many]

        job = {
            "threads": chosen.threads,
            "penalty": PENALTY,
            "arguments": arguments,
            "ids": torch.randint(300, 6000, (400,), generator=generator).tolist(),
            "whole": sizes(chosen.seconds),
            "stream": sizes(chosen.stream),
        }
        found: dict[str, Any] = {}
        if chosen.peer:
            found["coqui-tts"] = _call([chosen.peer, str(folder / "peer.py")], folder, job)
        for mode in chosen.modes:
            own = {**job, "weights": mode.rstrip("+"), "overlapped": mode.endswith("+")}
            found[mode] = _call([sys.executable, __file__, "--worker"], folder, own)
    for entry in found.values():
        for kind in ("whole", "stream"):
            for place, one in enumerate(entry[kind]):
                one["real_time_factor"] = one["total"] / one["seconds"]
                if chosen.peer:
                    peer = found["coqui-tts"][kind][place]
                    one["times_the_peer"] = peer["total"] / one["total"]
                    one["times_the_peer_cpu"] = peer["cpu"] / one["cpu"]
                    if one.get("first") and peer.get("first"):
                        one["first_of_the_peers"] = one["first"] / peer["first"]
                        one["first_of_the_peers_cpu"] = one["first_cpu"] / peer["first_cpu"]
    print(json.dumps({"threads": chosen.threads, "layers": chosen.layers, **found}, default=float))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(Path(sys.argv[2]))
    else:
        main()
