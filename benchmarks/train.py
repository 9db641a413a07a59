"""Fine-tuning beside coqui-tts on the same clips: loss, speed, memory. One JSON line out.

    python benchmarks/train.py --peer /path/to/venv/bin/python          official size, batch 8, 2 threads
    python benchmarks/train.py --peer ... --layers 10 --batch 4 --steps 2 --threads 1

The peer does what its trainer does at every step: mel and DVAE codes of the padded batch, conditioning mels
of clips padded to 6 s, forward, backward, AdamW. Ours reads codes from the cache and packs rows. Each side
runs in a process of its own, one after the other. Speed is real (unpadded) tokens per second, of the wall
clock and of the processor: on a machine with other work only the second is comparable. Memory is the peak
beside the weights.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

CLIP, MEAN, SPREAD, SHORTEST, LONGEST = 22_050, 5.0, 2.2, 1.5, 11.0
"""Rate, and lengths in seconds: as the recordings of ALFFA and most read corpora have them."""
IDS_PER_SECOND = 12
CONDITIONING_SAMPLES = 132_300
MODES: dict[str, dict[str, Any]] = {
    "full": {},
    "full, checkpointing": {"checkpointing": "on"},
    "frozen conditioning": {"freeze_conditioning": True},
    "frozen conditioning, latents kept": {"freeze_conditioning": True, "fixed": 1},
    "LoRA 16": {"trainable": "lora"},
    "LoRA 16, checkpointing": {"trainable": "lora", "checkpointing": "on"},
}

PEER = r"""
import json, sys, time
import torch
folder = sys.argv[1]
job = json.load(open(folder + "/job.json"))
torch.set_num_threads(job["threads"])
from TTS.tts.layers.xtts.gpt import GPT
from TTS.tts.layers.xtts.dvae import DiscreteVAE
from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram
torch.set_num_threads(job["threads"])
s = job["spec"]
gpt = GPT(layers=s["layers"], model_dim=s["width"], heads=s["heads"], code_stride_len=1024,
          max_text_tokens=s["max_text"], max_mel_tokens=s["max_audio"], max_prompt_tokens=70,
          number_text_tokens=s["text_ids"], start_text_token=s["start_text"], stop_text_token=s["stop_text"],
          num_audio_tokens=s["audio_ids"], start_audio_token=s["start_audio"],
          stop_audio_token=s["stop_audio"], use_perceiver_resampler=True)
weights = torch.load(folder + "/weights.pth", mmap=True)
print(gpt.load_state_dict(weights, strict=False), file=sys.stderr)
del weights
gpt.train()
decayed, plain, seen = [], [], set()
for name, module in gpt.named_modules():
    for own, p in module.named_parameters(recurse=False):
        kinds = (torch.nn.Embedding, torch.nn.LayerNorm, torch.nn.GroupNorm)
        norm = isinstance(module, kinds) or "Norm" in type(module).__name__ and own != "gamma"
        if id(p) not in seen:
            seen.add(id(p))
            (plain if own.endswith("bias") or norm else decayed).append(p)
groups = [{"params": decayed, "weight_decay": 1e-2}, {"params": plain, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups, lr=job["rate"], betas=(0.9, 0.96), eps=1e-8)
batches = torch.load(folder + "/batches.pth")
if job["what"] == "losses":
    for module in gpt.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    losses = []
    for b in batches:
        given = (b["text"], b["text_lengths"], b["codes"], b["wav_lengths"])
        text, mel, _ = gpt(*given, cond_mels=b["mel"][:, None])
        total = 0.01 * text + mel
        losses.append(float(total.detach()))
        total.backward(); optimizer.step(); optimizer.zero_grad()
    print(json.dumps({"losses": losses}))
    sys.exit()
dvae = DiscreteVAE(channels=80, normalization=None, positional_dims=1, num_tokens=s["audio_ids"] - 2,
                   codebook_dim=512, hidden_dim=512, num_resnet_blocks=3, kernel_size=3, num_layers=2,
                   use_transposed_convs=False).eval()
norms = torch.ones(80)
torch.save(norms, folder + "/norms.pth")
style = TorchMelSpectrogram(filter_length=2048, hop_length=256, win_length=1024, normalize=False,
                            sampling_rate=22050, mel_fmin=0, mel_fmax=8000, n_mel_channels=80,
                            mel_norm_file=folder + "/norms.pth")
coder = TorchMelSpectrogram(mel_norm_file=folder + "/norms.pth", sampling_rate=22050)
wall, cpu, tokens = [], [], []
for b in batches:
    began, busy = time.perf_counter(), time.process_time()
    with torch.no_grad():
        mel = style(b["conditioning"])[:, None]
        codes = dvae.get_codebook_indices(coder(b["wav"]))
    text, audio, _ = gpt(b["text"], b["text_lengths"], codes, b["wav_lengths"], cond_mels=mel)
    (0.01 * text + audio).backward()
    optimizer.step(); optimizer.zero_grad()
    wall.append(time.perf_counter() - began); cpu.append(time.process_time() - busy)
    tokens.append(b["tokens"])
    print(wall[-1], cpu[-1], tokens[-1], file=sys.stderr, flush=True)
size = sum(p.numel() * 4 for p in gpt.parameters())
peak = next(int(x.split()[1]) * 1024 for x in open("/proc/self/status") if x.startswith("VmHWM"))
print(json.dumps({"wall": wall, "cpu": cpu, "tokens": tokens,
                  "peak": peak, "weights": size}))
"""


def lengths(count: int, rng: random.Random) -> list[float]:
    """Clip lengths in seconds."""
    return [min(max(rng.gauss(MEAN, SPREAD), SHORTEST), LONGEST) for _ in range(count)]


def make_batches(spec: Any, batch: int, steps: int, mels: bool) -> list[dict[str, Any]]:
    """Random clips of realistic lengths; with `mels` what the model reads, without it the sound too."""
    rng, noise = random.Random(0), torch.Generator().manual_seed(0)
    out = []
    for _ in range(steps):
        seconds = lengths(batch, rng)
        samples = [int(s * CLIP) for s in seconds]
        codes = [-(-n // 1024) for n in samples]
        texts = [int(s * IDS_PER_SECOND) for s in seconds]
        one: dict[str, Any] = {
            "text": torch.randint(4, spec.text_ids - 1, (batch, max(texts)), generator=noise),
            "text_lengths": torch.tensor(texts),
            "codes": torch.randint(0, spec.audio_ids - 2, (batch, max(codes)), generator=noise),
            "wav_lengths": torch.tensor(samples),
            "tokens": sum(32 + a + 1 + b + 4 for a, b in zip(texts, codes, strict=True)),
        }
        for row, length in enumerate(texts):
            one["text"][row, length:] = 0
        if mels:
            one["mel"] = torch.randn(batch, 80, 200, generator=noise)
        else:
            one["wav"] = 0.1 * torch.randn(batch, 1, max(samples), generator=noise)
            one["conditioning"] = 0.1 * torch.randn(batch, 1, CONDITIONING_SAMPLES, generator=noise)
        out.append(one)
    return out


def peak_bytes() -> int:
    """Most that this process held; ru_maxrss would begin at what its parent had when it started it."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def worker(folder: Path) -> None:
    """Our side, in a process of its own."""
    from dimts.train.base_model import configure
    from dimts.train.optim import adamw, groups
    from dimts.train.settings import ReferenceSettings, TrainSettings
    from dimts.xtts.loss import LossSettings
    from dimts.xtts.model import XTTS, Examples
    from dimts.xtts.spec import Spec

    job = json.loads((folder / "job.json").read_text())
    torch.set_num_threads(job["threads"])
    spec = Spec.from_dict(job["spec"])
    model = XTTS.build(spec, 0, dvae=False)
    exact = job["what"] == "losses"
    fixed = job["mode"].pop("fixed", 0)
    settings = TrainSettings(
        **job["mode"], reference=ReferenceSettings(fixed=fixed), **({"dropout": 0.0} if exact else {})
    )
    configure(model, settings, "sdpa")
    model.train()
    optimizer = adamw(groups(model, 0.01), job["rate"], "fused")
    batches = torch.load(folder / "batches.pth", weights_only=True)
    wall, cpu, tokens, losses = [], [], [], []
    rng = random.Random(1)

    def listen(batch: dict[str, Any]) -> tuple[torch.Tensor, list[int], torch.Tensor | None]:
        """Mels of one crop a clip, their frames, and its latents where the conditioning is frozen."""
        cuts = []
        for row, samples in enumerate(batch["wav_lengths"].tolist()):
            length = rng.randint(CONDITIONING_SAMPLES // 2, CONDITIONING_SAMPLES)
            length = length if length <= samples else samples // 2
            grid = CLIP // 2
            cuts.append(batch["conditioning"][row, 0, : max(length // grid, 1) * grid])
        mels = [model.conditioning_mel(cut[None])[0] for cut in cuts]
        frames = [one.shape[-1] for one in mels]
        mel = torch.nn.utils.rnn.pad_sequence([one.t() for one in mels], batch_first=True).transpose(1, 2)
        if not settings.frozen_conditioning:
            return mel, frames, None
        with torch.no_grad():
            return mel, frames, model.conditioning(mel, frames)

    kept = (
        [listen(batch) for batch in batches] if fixed else None
    )  # as after the first round through the clips
    for number, batch in enumerate(batches):
        began, busy = time.perf_counter(), time.process_time()
        codes = [-(-int(n) // 1024) for n in batch["wav_lengths"]]
        frames = latents = None
        if exact:
            mel = batch["mel"]
        else:
            mel, frames, latents = kept[number] if kept else listen(batch)
        examples = Examples(
            batch["text"],
            batch["text_lengths"].tolist(),
            batch["codes"],
            codes,
            mel=None if latents is not None else mel,
            mel_lengths=frames,
            latents=latents,
        )
        total = model(examples, LossSettings()).total
        losses.append(float(total.detach()))
        total.backward()
        optimizer.step()
        optimizer.zero_grad()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - busy)
        tokens.append(batch["tokens"])
        print(wall[-1], cpu[-1], tokens[-1], file=sys.stderr, flush=True)
    size = sum(parameter.numel() * 4 for parameter in model.parameters())
    found = {
        "losses": losses,
        "wall": wall,
        "cpu": cpu,
        "tokens": tokens,
        "peak": peak_bytes(),
        "weights": size,
    }
    print(json.dumps(found))


def _call(command: list[str], folder: Path) -> dict[str, Any]:
    done = subprocess.run([*command, str(folder)], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _per_second(found: dict[str, Any], clock: str) -> float:
    """Tokens per second, the first step (warming up) left out where there are others."""
    first = 1 if len(found[clock]) > 1 else 0
    return float(sum(found["tokens"][first:]) / sum(found[clock][first:]))


def main() -> None:
    """Compare, and print one JSON line."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--peer", required=True, help="python of a venv with coqui-tts 0.28")
    ask.add_argument("--layers", type=int, default=30)
    ask.add_argument("--width", type=int, default=1024)
    ask.add_argument("--batch", type=int, default=8)
    ask.add_argument("--steps", type=int, default=3, help="timed steps; the first warms up; 0: none")
    ask.add_argument(
        "--losses", type=int, default=20, help="optimizer steps whose losses are compared; 0: none"
    )
    ask.add_argument("--loss-layers", type=int, default=4, help="layers of the engine for that comparison")
    ask.add_argument("--threads", type=int, default=2)
    ask.add_argument("--modes", nargs="*", default=list(MODES))
    chosen = ask.parse_args()

    from dimts.xtts.model import XTTS
    from dimts.xtts.spec import SPECS
    from dimts.xtts.weights import coquis

    ours = [sys.executable, __file__, "--worker"]
    report: dict[str, Any] = {"benchmark": "train", **vars(chosen)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "peer.py").write_text(PEER)
        peer = [chosen.peer, str(folder / "peer.py")]

        def prepare(what: str, layers: int, batch: int, steps: int, rate: float) -> None:
            heads = max(1, chosen.width // 64)
            spec = dataclasses.replace(SPECS["v2"], layers=layers, width=chosen.width, heads=heads)
            job = {"what": what, "spec": spec.as_dict(), "threads": chosen.threads, "rate": rate, "mode": {}}
            (folder / "job.json").write_text(json.dumps(job))
            model = XTTS.build(spec, 0, dvae=False)
            state = {coquis(key).removeprefix("gpt."): value.detach() for key, value in model.trained()}
            torch.save(state, folder / "weights.pth")
            torch.save(make_batches(spec, batch, steps, what == "losses"), folder / "batches.pth")

        if chosen.losses:
            prepare("losses", chosen.loss_layers, 2, chosen.losses, 1e-4)
            theirs, own = _call(peer, folder)["losses"], _call(ours, folder)["losses"]
            report["largest_loss_difference"] = max(abs(a - b) for a, b in zip(theirs, own, strict=True))
            report["first_and_last_loss"] = [theirs[0], theirs[-1]]
            print(json.dumps(report), file=sys.stderr, flush=True)
        if not chosen.steps:
            print(json.dumps(report))
            return
        prepare("speed", chosen.layers, chosen.batch, chosen.steps, 1e-5)
        job = json.loads((folder / "job.json").read_text())
        base = _call(peer, folder)
        report["peer"] = {
            "tokens_per_second": _per_second(base, "wall"),
            "tokens_per_cpu_second": _per_second(base, "cpu"),
            "memory_beside_weights": base["peak"] - base["weights"],
        }
        for mode in chosen.modes:
            (folder / "job.json").write_text(json.dumps({**job, "mode": MODES[mode]}))
            found = _call(ours, folder)
            beside = found["peak"] - found["weights"]
            report[mode] = {
                "tokens_per_second": _per_second(found, "wall"),
                "tokens_per_cpu_second": _per_second(found, "cpu"),
                "memory_beside_weights": beside,
                "times_the_peer": _per_second(found, "wall") / _per_second(base, "wall"),
                "times_the_peer_cpu": _per_second(found, "cpu") / _per_second(base, "cpu"),
                "memory_of_the_peer": beside / report["peer"]["memory_beside_weights"],
            }
            print(json.dumps({mode: report[mode]}), file=sys.stderr, flush=True)
    print(json.dumps(report))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(Path(sys.argv[2]))
    else:
        main()
