"""Exports for other programs: what is written is read back as the same clips."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dimts.audio.wave import Wave
from dimts.base.errors import DataError
from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.data.check import CheckSettings
from dimts.data.export import LAYOUTS, export
from dimts.data.manifest import Manifest, Utterance
from dimts.data.piper import PHONEME_IDS, phoneme_ids, symbols
from dimts.data.process import describe_text
from dimts.data.sources import find_recordings
from dimts.text.frontend import Frontend, FrontendSettings
from dimts.text.g2p.chain import ChainSettings
from dimts.text.phones import inventory

COUNT = 20
TEXTS = [
    f"ሰላም ለዓለም፣ ቁጥር {'ሀለሐመሠረሰሸቀበ'[number % 10]} ጨው {'አዎ' * (1 + number // 10)}{'።?'[number % 2]}"
    for number in range(COUNT)
]


@cache
def rows() -> tuple[Utterance, ...]:
    """Twenty kept rows with their phones."""
    frontend = Frontend(FrontendSettings(g2p=ChainSettings(backends=("rules",))))
    found = []
    for number, text in enumerate(TEXTS):
        row = Utterance(
            id=f"c{number:02d}-0123456789",
            path=f"clips/c{number}.wav",
            text=text,
            seconds=0.635,
            speaker="አበበ" if number % 2 else "kebede",
            split="dev" if number % 10 == 3 else "train",
            kept=True,
            licence="CC0-1.0",
        )
        found.append(describe_text(row, frontend, CheckSettings())[0])
    return tuple(found)


@pytest.fixture
def prepared(project: Project) -> Project:
    """Twenty clips, short noises, and one that is set aside."""
    project.clips.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for row in rows():
        Wave(0.1 * rng.standard_normal(14_000).astype(np.float32), 22_050).save(project.root / row.path)
    Manifest.write(project.manifest, [*rows(), Utterance(id="x", text="ተጥሏል", rejected_for=("clipped",))])
    return project


SPOKEN = ("piper", "f5", "xtts-coqui", "gpt-sovits", "omnivoice")
"""Layouts whose text is normalised."""


def without_speaker(layout: str) -> bool:
    return layout in ("ljspeech", "f5", "textgrid")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_export_is_read_back(prepared: Project, tmp_path: Path, layout: str) -> None:
    count, tables = export(prepared, tmp_path / "out", layout)
    assert count == COUNT
    assert all(table.is_file() for table in tables)
    found = list(find_recordings([tmp_path / "out"]))
    assert [row.problem for row in found if row.problem] == []
    expected = {row.id: row for row in rows()}
    texts = {row.id: row.spoken if layout in SPOKEN else row.text for row in rows()}
    assert {row.path.stem: row.text for row in found} == texts
    speakers = {row.id: "" if without_speaker(layout) else row.speaker for row in rows()}
    assert {row.path.stem: row.speaker for row in found} == speakers
    for row in found:
        assert row.path.read_bytes() == (prepared.root / expected[row.path.stem].path).read_bytes()


def test_what_cannot_be_exported_is_refused_and_nothing_is_overwritten(
    prepared: Project, tmp_path: Path, corpus: Callable[..., Path]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x", encoding="utf-8")
    for folder, layout, code in (
        (tmp_path / "full", "hf", "data.folder_not_empty"),
        (tmp_path / "new", "ljspech", "data.unknown_layout"),
    ):
        with pytest.raises(DataError) as caught:
            export(prepared, folder, layout)
        assert caught.value.code == code
    assert not (tmp_path / "new").exists()


def test_every_phone_is_symbols_of_piper() -> None:
    for phone in inventory():
        line = symbols(f"{phone} a # {phone}", "x, y?")
        first, second = line.split(" ")
        assert (first[-2:], second[-1]) == ("a,", "?")
        ids = phoneme_ids(line)
        assert ids[:2] == [1, 0]
        assert ids[-1] == 2
        assert ids[3:-1:2] == [0] * len(line)
        signs = {number: sign for sign, (number,) in PHONEME_IDS.items() if sign != "'"}
        assert "".join(signs[number] for number in ids[2:-1:2]) == line
    assert len({symbols(phone) for phone in inventory()}) == len(inventory())


def test_stops_stay_away_where_words_are_unlike() -> None:
    assert symbols("s ə # l a", "ሰ፣ ላ ላ።") == "sə la"
    assert phoneme_ids("") == [1, 0, 2]


def test_a_voice_of_phones_leaves_out_what_has_none(prepared: Project, tmp_path: Path) -> None:
    without = replace(rows()[0], phones="", spelling="")
    Manifest.write(prepared.manifest, [without, *rows()[1:]])
    seen: list[Progress] = []
    assert export(prepared, tmp_path / "out", "piper", seen.append)[0] == COUNT - 1
    assert [(one.message.code, one.message.parameters["id"]) for one in seen if one.message] == [
        ("data.no_phones", without.id)
    ]
    assert not (tmp_path / "out" / "wavs" / f"{without.id}.wav").exists()


def of_other_python(variable: str, code: str, *arguments: object) -> object:
    """What a program of another environment, whose Python a variable names, prints as JSON."""
    python = os.environ.get(variable, "")
    if not python:
        pytest.skip(f"{variable} names no Python with the readers: see docs/data.md")
    done = subprocess.run(
        [python, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=1200, check=False,
        env={**os.environ, "PYTHONPATH": "", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
             "HF_HOME": str(arguments[0]) + "/.hf"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


PEER = "DIMTS_PEER_PYTHON"
READERS = "DIMTS_READERS_PYTHON"
COQUI = """
import json, sys
from TTS.tts.datasets.formatters import coqui
items = [one for name in sys.argv[2:] for one in coqui(sys.argv[1], name)]
print(json.dumps([[one["audio_file"], one["text"], one["speaker_name"]] for one in items]))
"""
LJSPEECH = """
import json, sys
from TTS.tts.datasets.formatters import ljspeech
items = ljspeech(sys.argv[1], "metadata.csv")
print(json.dumps([[one["audio_file"], one["text"].strip()] for one in items]))
"""
PIPER = """
import json, sys
from pathlib import Path
import torch
from piper.config import PiperConfig
from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP, phonemes_to_ids
from piper.train.vits.dataset import UtteranceCollate, VitsDataset, VitsDataModule
root = Path(sys.argv[1])
ours = json.loads((root / "config.json").read_text(encoding="utf-8"))
config = PiperConfig.from_dict(ours)
module = VitsDataModule(
    csv_path=root / "metadata.csv", cache_dir=root / "cache", espeak_voice="am", voice_name="am",
    config_path=root / "written.json", num_speakers=config.num_speakers, phoneme_type="text",
    dataset_type="phoneme_ids", phonemes_path=root / "phonemes.json", validation_split=0.2, batch_size=4,
    num_test_examples=0, num_workers=0)
module.prepare_data()
written = json.loads((root / "written.json").read_text(encoding="utf-8"))
module.setup("fit")
dataset = [*module.train_dataset, *module.val_dataset]
batch = UtteranceCollate(is_multispeaker=True, segment_size=8192)(dataset[:4])
print(json.dumps({
    "utterances": [
        [one.text, one.phoneme_ids.tolist(), int(one.speaker_id), one.audio_norm.shape[-1]] for one in dataset
    ],
    "batch": list(batch.phoneme_ids.shape)[0],
    "config": all(written[name] == ours[name] for name in (
        "num_symbols", "num_speakers", "phoneme_type", "phoneme_id_map", "speaker_id_map", "audio")),
    "map": all(ours["phoneme_id_map"].get(sign) == ids for sign, ids in DEFAULT_PHONEME_ID_MAP.items()
               if len(sign) == 1),
    "ids": [phonemes_to_ids(list(line), config.phoneme_id_map) for line in sys.argv[2:]],
}))
"""
OMNIVOICE = """
import importlib.util, json, sys, types
root = types.ModuleType("omnivoice")  # its reader without its model
root.__path__ = importlib.util.find_spec("omnivoice").submodule_search_locations
sys.modules.update(omnivoice=root, torchaudio=types.ModuleType("torchaudio"))
from omnivoice.data.dataset import JsonlDatasetReader
paths = [f"{sys.argv[1]}/{name}.jsonl" for name in ("train", "dev")]
found = [one for path in paths for one in JsonlDatasetReader(path, sample_rate=22050, shuffle=False)]
names = ("id", "text", "language_id")
print(json.dumps([[*(one["label"][name] for name in names), one["audio"].shape[1]] for one in found]))
"""
DATASETS = """
import json, sys
from datasets import Audio, load_dataset
found = load_dataset("audiofolder", data_dir=sys.argv[1], split="train")
found = found.cast_column("audio", Audio(decode=False))
print(json.dumps([[one["audio"]["path"], one["text"], one["speaker"], one["split"]] for one in found]))
"""
TEXTGRID = """
import json, sys
from pathlib import Path
from praatio import textgrid
import tgt
found = []
for path in sorted(Path(sys.argv[1], "wavs").glob("*.TextGrid")):
    tier = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    other = tgt.io.read_textgrid(str(path))
    texts = [entry.label for entry in tier.getTier(tier.tierNames[0]).entries]
    assert texts == [one.text for one in other.tiers[0].annotations if one.text]
    found.append([path.stem, texts])
print(json.dumps(found))
"""
F5 = """
import json, sys, types
for name in ("torchaudio", "f5_tts.model", "f5_tts.model.utils"):  # the reader of tables needs none of them
    sys.modules[name] = types.ModuleType(name)
sys.modules["f5_tts.model.utils"].convert_char_to_pinyin = None
from f5_tts.train.datasets.prepare_csv_wavs import read_audio_text_pairs
print(json.dumps(read_audio_text_pairs(sys.argv[1] + "/metadata.csv")))
"""
NEMO = """
import json, logging, sys, types
store = {
    "DataStoreObject": lambda path: types.SimpleNamespace(get=lambda: path),
    "get_datastore_object": lambda path, *_: path,
    "is_datastore_path": lambda path: False,
}
kinds = {
    "nemo.utils": {"logging": logging},
    "nemo.utils.nemo_logging": {"LogMode": None},
    "nemo.utils.data_utils": store,
}
for name, members in kinds.items():  # what the reader of manifests asks of the rest of NeMo
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(members)
import importlib.util
root = importlib.util.find_spec("nemo").submodule_search_locations[0]
place = root + "/collections/common/parts/preprocessing/manifest.py"
spec = importlib.util.spec_from_file_location("manifest", place)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
found = [one for name in ("train", "dev") for one in module.item_iter(f"{sys.argv[1]}/{name}.jsonl")]
print(json.dumps([[one["audio_file"], one["duration"], one["text"], one["speaker"]] for one in found]))
"""


def exported(project: Project, folder: Path, layout: str) -> list[Utterance]:
    """The rows of an export into `folder`, one of them with quotes."""
    quoted = [*rows()]
    quoted[1] = replace(quoted[1], text='"ሰላም" አለ', spoken='"ሰላም" አለ')
    Manifest.write(project.manifest, quoted)
    export(project, folder, layout)
    return quoted


def sound(folder: Path, row: Utterance) -> str:
    return str(folder / "wavs" / f"{row.id}.wav")


@pytest.mark.slow
def test_coqui_tts_reads_its_layout(prepared: Project, tmp_path: Path) -> None:
    clips = exported(prepared, tmp_path / "out", "xtts-coqui")
    found = of_other_python(PEER, COQUI, tmp_path / "out", "metadata_train.csv", "metadata_eval.csv")
    assert sorted(found) == [
        [sound(tmp_path / "out", row), row.spoken.replace('"', "”"), row.speaker] for row in clips
    ]


@pytest.mark.slow
def test_coqui_tts_reads_ljspeech(prepared: Project, tmp_path: Path) -> None:
    clips = exported(prepared, tmp_path / "out", "ljspeech")
    found = of_other_python(PEER, LJSPEECH, tmp_path / "out")
    assert sorted(found) == [[sound(tmp_path / "out", row), row.spoken] for row in clips]


@pytest.mark.slow
def test_piper_reads_its_layout(prepared: Project, tmp_path: Path) -> None:
    """Its own preparation and its own data set: the ids, the speakers, the configuration."""
    clips = exported(prepared, tmp_path / "out", "piper")
    lines = [symbols(row.phones, row.spelling) for row in clips]
    found = of_other_python(READERS, PIPER, tmp_path / "out", *lines)
    assert isinstance(found, dict)
    names = list(dict.fromkeys(row.speaker for row in clips))
    assert sorted([text, ids, speaker] for text, ids, speaker, _ in found["utterances"]) == sorted(
        [row.spoken.replace('"', "”"), phoneme_ids(line), names.index(row.speaker)]
        for row, line in zip(clips, lines, strict=True)
    )
    assert all(samples > 1000 for *_, samples in found["utterances"])
    assert found["batch"] == 4
    assert found["config"]
    assert found["map"]
    assert found["ids"] == [phoneme_ids(line) for line in lines]


@pytest.mark.slow
def test_omnivoice_reads_its_layout(prepared: Project, tmp_path: Path) -> None:
    clips = exported(prepared, tmp_path / "out", "omnivoice")
    found = of_other_python(READERS, OMNIVOICE, tmp_path / "out")
    assert sorted(found) == [[row.id, row.spoken, "am", 14_000] for row in clips]


@pytest.mark.slow
def test_datasets_reads_an_audio_folder(prepared: Project, tmp_path: Path) -> None:
    clips = exported(prepared, tmp_path / "out", "hf")
    found = of_other_python(READERS, DATASETS, tmp_path / "out")
    assert sorted(found) == [
        [sound(tmp_path / "out", row), row.text, row.speaker, row.split] for row in clips
    ]


@pytest.mark.slow
def test_praatio_and_tgt_read_textgrids(prepared: Project, tmp_path: Path) -> None:
    clips = exported(prepared, tmp_path / "out", "textgrid")
    found = of_other_python(READERS, TEXTGRID, tmp_path / "out")
    assert found == [[row.id, [row.text]] for row in clips]


@pytest.mark.slow
def test_f5_tts_reads_its_layout(prepared: Project, tmp_path: Path) -> None:
    clips = exported(prepared, tmp_path / "out", "f5")
    found = of_other_python(READERS, F5, tmp_path / "out")
    assert sorted(found) == [[sound(tmp_path / "out", row), row.spoken.replace('"', "”")] for row in clips]


@pytest.mark.slow
def test_nemo_reads_its_manifests(prepared: Project, tmp_path: Path) -> None:
    clips = exported(prepared, tmp_path / "out", "nemo")
    found = of_other_python(READERS, NEMO, tmp_path / "out")
    assert sorted(found) == [[sound(tmp_path / "out", row), 0.635, row.text, row.speaker] for row in clips]
