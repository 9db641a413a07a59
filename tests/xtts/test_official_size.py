"""The official size with random weights: every key and shape of the published files, and the same bytes
again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dimts.base.files import fingerprint
from dimts.xtts import weights
from dimts.xtts.model import XTTS
from dimts.xtts.spec import SPECS

PEAK_SHARE = 1.15
"""Peak memory while loading, over the file's size."""


def test_keys_and_shapes_are_the_published_ones(shared: Path) -> None:
    listed = json.loads((shared / "xtts_v2_state_dict.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        model = XTTS(SPECS["v2"])
    ours = {weights.coquis(key): value for key, value in model.state_dict().items()}
    speaking = {key: value for key, value in ours.items() if not key.startswith("dvae.")}
    coding = {key.removeprefix("dvae."): value for key, value in ours.items() if key.startswith("dvae.")}
    for state, name in ((speaking, "Xtts.state_dict()"), (coding, "DVAE.state_dict()")):
        found = {key: [list(v.shape), str(v.dtype).removeprefix("torch.")] for key, v in state.items()}
        assert found == listed[name]
    counts = listed["parameter counts"]
    total = sum(p.numel() for _, p in model.trained())
    assert total == counts["gpt (all trainable)"]
    assert sum(p.numel() for p in model.gpt.trunk.parameters()) == counts["gpt.gpt (transformer)"]
    assert sum(p.numel() for p in model.vocoder.parameters()) == counts["waveform_decoder"]
    assert all(weights.ours(weights.coquis(key)) == key for key in model.state_dict())


def test_trainer_keys_are_read(shared: Path) -> None:
    listed = json.loads((shared / "xtts_v2_state_dict.json").read_text(encoding="utf-8"))
    aliases = listed["extra keys after Xtts.eval()/init_gpt_for_inference (aliases, drop them)"]
    trainer = dict.fromkeys(
        [*listed["GPTTrainer.state_dict()"], *(f"xtts.{key}" for key in aliases)], torch.zeros(1)
    )
    with torch.device("meta"):
        model = XTTS(SPECS["v2"])
    found = {weights.ours(key) for key in weights.tidy(trainer)}
    assert found == set(model.state_dict())


LOADER = """
import sys
from pathlib import Path
import torch
from dimts.xtts import weights
from dimts.xtts.spec import SPECS
from dimts.xtts.model import XTTS
torch.set_num_threads(1)
def most():  # not ru_maxrss: that begins at what the parent had
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
path, out = Path(sys.argv[1]), sys.argv[2]
torch.zeros(8).isfinite().all()
before = most()
state = {weights.ours(key): value for key, value in weights.read(path).items()}
model = weights.build_from(SPECS["v2"], state, str(path))
del state
peak = most() - before
print(peak / path.stat().st_size)
if out.endswith(".safetensors"):
    weights.write_safetensors(out, model.state_dict(), {"format": "dimts"})
else:
    speaking = {weights.coquis(key): weights.owned(value) for key, value in model.state_dict().items()}
    weights.write_pickle(out, {"model": speaking})
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_save_load_save_gives_the_same_bytes_within_memory(suffix: str, tmp_path: Path) -> None:
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    state = XTTS.build(SPECS["v2"], seed=1, dvae=False).state_dict()
    if suffix == ".pth":
        weights.write_pickle(first, {"model": {weights.coquis(key): value for key, value in state.items()}})
    else:
        weights.write_safetensors(first, state, {"format": "dimts"})
    del state
    done = subprocess.run(
        [sys.executable, "-c", LOADER, str(first), str(second)], check=True, capture_output=True, text=True
    )
    assert float(done.stdout) <= PEAK_SHARE
    assert fingerprint(first) == fingerprint(second)
