"""Every option is flipped in a real run: if its measurement does not move, it does nothing, and that is a
defect."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from dimts.audio.wave import Wave
from dimts.base.config import from_table
from dimts.base.project import Project
from dimts.data.manifest import Manifest
from dimts.train.fine_tune import FineTuneResult, fine_tune
from dimts.train.metrics import EvaluatedSentence
from dimts.train.option_report import _flat
from dimts.train.option_table import table
from dimts.train.settings import TrainSettings
from dimts.train.trainer import Trainer
from dimts.xtts.spec import SPECS

SMALL = dataclasses.replace(SPECS["tiny"], layers=2, width=64, vocoder_channels=16, dvae_hidden=16)
BASE = {"steps": 2, "batches.seconds": 6.0, "reference.min_seconds": 1.0, "reference.max_seconds": 2.0}
RISING = {"steps": 5, "evaluate_every": 1, "stop.patience": 0, "stop.divergence_rises": 0}
"""With dev losses that rise from evaluation to evaluation."""

SPEAKER = {"stage": "speaker"}
DVAE = {"stage": "dvae", "steps": 3, "dvae.autoencoder_steps": 1}
DECODER = {
    "stage": "decoder",
    "decoder.discriminators": "spectrogram",
    "decoder.speaker_weight": 1.0,
    "decoder.crop_frames": 16,
}
SYNTHETIC = {"synthetic.share": 1.0, "synthetic.dev_clips": 4, "synthetic.clips": 2, "synthetic.speakers": 1}

FLIPS: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    # option: (in which setting, changed to)
    "base": ({}, {"base": "GOLDEN"}),
    "size": ({}, {"size": "v2"}),
    "steps": ({}, {"steps": 3}),
    "epochs": ({}, {"epochs": 2}),
    "seed": ({}, {"seed": 1}),
    "learning_rate": ({}, {"learning_rate": 5e-4}),
    "weight_decay": ({}, {"weight_decay": 0.1}),
    "clip_norm": ({}, {"clip_norm": 0.0}),
    "optimizer": ({}, {"optimizer": "loop"}),
    "text_weight": ({}, {"text_weight": 0.5}),
    "guided_attention": (SYNTHETIC, {"guided_attention": 0.5}),
    "guided_conditioning": ({}, {"guided_conditioning": 0.5}),
    "label_smoothing": ({}, {"label_smoothing": 0.1}),
    "dropout": ({}, {"dropout": 0.3}),
    "attention_dropout": ({}, {"attention_dropout": 0.2}),
    "trainable": ({}, {"trainable": "lora"}),
    "last_layers": ({"trainable": "last_layers", "last_layers": 2}, {"last_layers": 1}),
    "freeze_conditioning": ({}, {"freeze_conditioning": True}),
    "new_rows_lr_scale": ({"base": "GOLDEN"}, {"new_rows_lr_scale": 3.0}),
    "old_rows_lr_scale": ({"base": "GOLDEN"}, {"old_rows_lr_scale": 0.0}),
    "ema": ({}, {"ema": 0.9}),
    "precision": ({}, {"precision": "bf16"}),
    "attention": ({}, {"attention": "eager"}),
    "attention_fallback": ({}, {"attention": "flash", "attention_fallback": True}),
    "checkpointing": ({}, {"checkpointing": "on"}),
    "loss_chunk": ({}, {"loss_chunk": 20}),
    "compile": ({}, {"compile": True}),
    "evaluate_every": ({}, {"evaluate_every": 1}),
    "save_every": ({}, {"save_every": 1}),
    "keep": ({"save_every": 1, "steps": 4}, {"keep": 3}),
    "sample_every": ({}, {"sample_every": 2}),
    "sample_text": ({"sample_every": 2}, {"sample_text": "ሰላም። እንዴት ናችሁ።"}),
    "best_by": ({"steps": 3, "evaluate_every": 2}, {"best_by": "first"}),
    "best_clips": ({"best_by": "first"}, {"best_clips": 1}),
    "coqui_folder": ({}, {"coqui_folder": True}),
    "adapter_folder": ({"trainable": "lora", "base": "GOLDEN"}, {"adapter_folder": True}),
    "tracker": ({}, {"tracker": "tensorboard"}),
    "batches.seconds": ({}, {"batches.seconds": 12.0}),
    "batches.clips": ({}, {"batches.clips": 1}),
    "batches.packing": ({}, {"batches.packing": "off"}),
    "batches.accumulate": ({}, {"batches.accumulate": 2}),
    "batches.unusable": ({}, {"batches.unusable": "skip", "project": "SPOILT"}),
    "batches.weights": ({}, {"batches.weights": {"s0": 2.0}}),
    "batches.replay": ({}, {"batches.replay": "OTHER"}),
    "batches.replay_share": ({"batches.replay": "OTHER"}, {"batches.replay_share": 1.0}),
    "reference.min_seconds": ({}, {"reference.min_seconds": 2.0}),
    "reference.max_seconds": ({}, {"reference.max_seconds": 1.0}),
    "reference.pad": ({}, {"reference.pad": True}),
    "reference.fixed": ({}, {"reference.fixed": 1}),
    "reference.mask": ({}, {"reference.mask": "own"}),
    "schedule.shape": ({"steps": 6, "schedule.warmup_steps": 0}, {"schedule.shape": "linear"}),
    "schedule.warmup_steps": ({"steps": 4}, {"schedule.warmup_steps": 2}),
    "schedule.final_share": ({"steps": 4, "schedule.warmup_steps": 0}, {"schedule.final_share": 0.5}),
    "lora.rank": ({"trainable": "lora"}, {"lora.rank": 4}),
    "lora.alpha": ({"trainable": "lora"}, {"lora.alpha": 64.0}),
    "lora.dropout": ({"trainable": "lora"}, {"lora.dropout": 0.2}),
    "lora.targets": ({"trainable": "lora"}, {"lora.targets": ["mlp.c_fc"]}),
    "stop.patience": (RISING, {"stop.patience": 2}),
    "stop.minimum_gain": ({**RISING, "falling": True}, {"stop.minimum_gain": 0.5}),
    "stop.divergence_rises": (RISING, {"stop.divergence_rises": 2}),
    "stop.divergence_rise": ({**RISING, "stop.divergence_rises": 2}, {"stop.divergence_rise": 9.0}),
    "stop.bad_steps": ({}, {"stop.bad_steps": 1}),
    "stage": ({}, SPEAKER),
    "synthetic.share": ({}, {"synthetic.share": 0.5}),
    "synthetic.texts": (SYNTHETIC, {"synthetic.texts": "texts.txt"}),
    "synthetic.clips": (SYNTHETIC, {"synthetic.clips": 3}),
    "synthetic.dev_clips": (SYNTHETIC, {"synthetic.dev_clips": 5}),
    "synthetic.speakers": (SYNTHETIC, {"synthetic.speakers": 99}),
    "synthetic.min_words": (
        {**SYNTHETIC, "synthetic.max_words": 4, "synthetic.min_words": 1},
        {"synthetic.min_words": 4},
    ),
    "synthetic.max_words": (SYNTHETIC, {"synthetic.max_words": 2}),
    "speaker.steps": (SPEAKER, {"speaker.steps": 3}),
    "speaker.seconds": (SPEAKER, {"speaker.seconds": 12.0}),
    "speaker.learning_rate": (SPEAKER, {"speaker.learning_rate": 5e-4}),
    "speaker.crop_seconds": (SPEAKER, {"speaker.crop_seconds": 1.0}),
    "speaker.similarity_weight": (SPEAKER, {"speaker.similarity_weight": 2.0}),
    "dvae.steps": (DVAE, {"dvae.steps": 4}),
    "dvae.seconds": (DVAE, {"dvae.seconds": 12.0}),
    "dvae.learning_rate": (DVAE, {"dvae.learning_rate": 1e-3}),
    "dvae.autoencoder_steps": (DVAE, {"dvae.autoencoder_steps": 2}),
    "dvae.crop_seconds": (DVAE, {"dvae.crop_seconds": 1.0}),
    "dvae.decay": (DVAE, {"dvae.decay": 0.9}),
    "dvae.commitment": (DVAE, {"dvae.commitment": 0.25}),
    "dvae.restart_below": (DVAE, {"dvae.restart_below": 0.9}),
    "decoder.steps": (DECODER, {"decoder.steps": 3}),
    "decoder.seconds": (DECODER, {"decoder.seconds": 12.0}),
    "decoder.learning_rate": (DECODER, {"decoder.learning_rate": 5e-4}),
    "decoder.crop_frames": (DECODER, {"decoder.crop_frames": 32}),
    "decoder.discriminators": (DECODER, {"decoder.discriminators": "none"}),
    "decoder.discriminator_after": (DECODER, {"decoder.discriminator_after": 1}),
    "decoder.mel_weight": (DECODER, {"decoder.mel_weight": 15.0}),
    "decoder.feature_weight": (DECODER, {"decoder.feature_weight": 4.0}),
    "decoder.speaker_weight": (DECODER, {"decoder.speaker_weight": 9.0}),
    "decoder.speaker_every": (DECODER, {"decoder.speaker_every": 1}),
    "decoder.speaker_seconds": (DECODER, {"decoder.speaker_seconds": 0.6}),
}
_FAST = {
    "dvae.autoencoder_steps", "dvae.commitment", "speaker.steps", "synthetic.share", "stop.patience",
    "decoder.discriminators",
}  # fmt: skip
_GROUPS = ("decoder.", "dvae.", "speaker.", "synthetic.", "stop.")
_SLOW = {"compile"} | {option for option in FLIPS if option.startswith(_GROUPS)} - _FAST
"""Minutes together; one or two options of each group stay among the fast tests."""
ELSEWHERE = {
    "sharding": "test_distributed.py::test_two_processes_do_what_one_does",
    "ray.workers": "test_cluster.py::test_ray_workers_do_what_one_process_does",
    "ray.address": "test_cluster.py::test_ray_workers_do_what_one_process_does",
    "ray.cores": "test_cluster.py::test_ray_workers_do_what_one_process_does",
    "ray.retries": "test_cluster.py::test_a_worker_that_is_killed_is_replaced",
    "dvae.min_perplexity": "test_stages.py::test_a_collapsed_codebook_stops_the_run_with_a_remedy",
}
"""Options that need several processes or a longer run → the test that runs them and looks at their line."""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Iterator[SimpleNamespace]:
    """Projects, a base, small engines, and the runs that were made."""
    prepared = _prepared()
    root = tmp_path_factory.mktemp("truth")
    patch = pytest.MonkeyPatch()
    patch.setitem(SPECS, "tiny", SMALL)
    patch.setitem(SPECS, "v2", dataclasses.replace(SMALL, layers=3))
    projects = {name: prepared(root / name, clips=6, seconds=2.2) for name in ("PLAIN", "OTHER", "SPOILT")}
    spoilt = projects["SPOILT"]
    text = "\n".join(row.text for row in Manifest.read(projects["PLAIN"].manifest)[:2])
    (projects["PLAIN"].root / "texts.txt").write_text(text, encoding="utf-8")
    Wave(np.zeros(4000, np.float32), 22_050).save(spoilt.root / Manifest.read(spoilt.manifest)[0].path)
    yield SimpleNamespace(projects=projects, golden=shared / "golden", runs={}, patch=patch)
    patch.undo()


def _prepared() -> Any:
    spec = importlib.util.spec_from_file_location("train_fixtures", Path(__file__).parent / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.prepared


def _run(workshop: SimpleNamespace, changes: Mapping[str, Any]) -> FineTuneResult:
    key = json.dumps(dict(changes), sort_keys=True)
    if key in workshop.runs:
        return workshop.runs[key]  # type: ignore[no-any-return]
    values: dict[str, Any] = {}
    changed = dict(changes)
    project: Project = workshop.projects[changed.pop("project", "PLAIN")]
    falling = changed.pop("falling", False)
    for name, value in changed.items():
        *tables, last = name.split(".")
        place = values
        for part in tables:
            place = place.setdefault(part, {})
        place[last] = {"GOLDEN": str(workshop.golden), "OTHER": str(workshop.projects["OTHER"].root)}.get(
            value if isinstance(value, str) else "", value
        )
    with pytest.MonkeyPatch.context() as patch:
        if changed.get("evaluate_every") == 1:
            scripted = iter(3.0 - 0.1 * n if falling else 3.0 + 0.1 * n for n in range(99))
            patch.setattr(Trainer, "_dev_losses", lambda self: {"text": 0.0, "mel": next(scripted)})
        run = fine_tune(
            project, from_table(TrainSettings, values, "train"), new=True, scorers={"first": _First}
        )
    shutil.rmtree(run.folder / "checkpoints")
    workshop.runs[key] = run
    return run


class _First:
    """Likes the first evaluation best."""

    lower_is_better = True

    def __init__(self, project: Project) -> None:
        self.asked = 0

    def __call__(self, spoken: Sequence[EvaluatedSentence]) -> float:
        self.asked += 1
        return float(self.asked)


def _effect(run: FineTuneResult, option: str) -> str:
    return next(fact.effect.text("en") for fact in run.options if fact.option == option)


def test_every_option_is_flipped_here() -> None:
    assert set(FLIPS) | set(ELSEWHERE) == set(_flat(TrainSettings()))
    for option, test in ELSEWHERE.items():
        file, _, name = test.partition("::")
        source = (
            (Path(__file__).parent / file)
            .read_text(encoding="utf-8")
            .split(f"def {name}(")[1]
            .split("\ndef ")[0]
        )
        assert f'"{option}"' in source, option


def test_equal_runs_have_equal_tables(workshop: SimpleNamespace) -> None:
    first = _run(workshop, BASE)
    workshop.runs.clear()
    second = _run(workshop, BASE)
    timeless = [[fact for fact in run.options if fact.option != "(speed)"] for run in (first, second)]
    assert timeless[0] == timeless[1]
    assert len(timeless[0]) == len(FLIPS) + len(ELSEWHERE) + 1
    assert all(fact.option in table(timeless[0]) for fact in timeless[0])


@pytest.mark.parametrize(
    "option",
    [pytest.param(option, marks=pytest.mark.slow) if option in _SLOW else option for option in FLIPS],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # torch.compile warns of its own insides
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_flipping_an_option_moves_its_measurement(workshop: SimpleNamespace, option: str) -> None:
    torch.set_num_threads(1)
    context, change = FLIPS[option]
    before = _effect(_run(workshop, {**BASE, **context}), option)
    after = _effect(_run(workshop, {**BASE, **context, **change}), option)
    assert before != after, f"{option} does nothing: {before}"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.timeout(900)
def test_what_is_compiled_is_what_learns(workshop: SimpleNamespace) -> None:
    compiled, plain = (_run(workshop, {**BASE, "dropout": 0.0, "compile": on}) for on in (True, False))
    assert not _effect(compiled, "compile").startswith("0 graphs")
    assert _effect(plain, "compile") == "0 graphs made for 0 modules"
    assert compiled.losses == pytest.approx(plain.losses, abs=1e-5)


def test_options_that_others_rule_out_say_so(workshop: SimpleNamespace) -> None:
    facts = {fact.option: fact for fact in _run(workshop, BASE).options}
    for option in ("last_layers", "lora.rank", "batches.replay_share", "sample_text", "new_rows_lr_scale"):
        assert facts[option].applied.code == "train.option_ignored", option
    assert facts["checkpointing"].applied.code == "train.option_off"


def test_memory_and_padding_move_the_right_way(workshop: SimpleNamespace) -> None:
    def kept(run: FineTuneResult) -> float:
        return float(_effect(run, "checkpointing").split(": ")[1].split(" MiB")[0])

    plain = kept(_run(workshop, BASE))
    every = kept(_run(workshop, {**BASE, "checkpointing": "on"}))
    second = kept(_run(workshop, {**BASE, "checkpointing": "every 2"}))
    assert every < second < plain
    assert _effect(_run(workshop, BASE), "batches.packing").startswith("0.0%")
    assert not _effect(_run(workshop, {**BASE, "batches.packing": "off"}), "batches.packing").startswith(
        "0.0%"
    )
