"""A voice becomes graphs that say what PyTorch says; what cannot become graphs, or is damaged, is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dimts.base.errors import CheckpointError, DimtsError, SynthesisError
from dimts.cli.main import main
from dimts.onnx.export import Agreement, export_voice
from dimts.onnx.voice_folder import is_onnx_voice, load_voice
from dimts.xtts.checkpoint import Bundle
from tests.onnx.conftest import make_bundle

Exported = Callable[[Any], tuple[Path, Agreement]]


def test_float32_graphs_agree_with_torch(exported: Exported) -> None:
    folder, found = exported("float32")
    assert found.codes >= 100
    assert found.logits_error < 1e-4
    assert found.equal_codes == 1.0
    assert found.wave_error < 1e-3
    card = (folder / "README.md").read_text("utf-8")
    assert f"{found.logits_error:.2g}" in card
    assert "# The card of the voice" in card
    assert (folder / "LICENCE.txt").read_text("utf-8") == "CC0"
    note = json.loads((folder / "voice.json").read_text("utf-8"))
    assert note["measured"]["codes"] == found.codes
    assert note["meta"]["licence"] == "CC0"


@pytest.mark.slow
def test_smaller_weights_are_smaller_and_near(exported: Exported) -> None:
    sizes = {}
    for weights, error in (("float32", 1e-4), ("float16", 2e-3), ("int8", 0.05)):
        folder, found = exported(weights)
        sizes[weights] = (folder / "weights.bin").stat().st_size
        assert found.logits_error < error, weights
        assert found.equal_codes >= 0.9, weights
        assert found.wave_snr_db > 25, weights
    assert sizes["float16"] < 0.52 * sizes["float32"]
    assert (
        sizes["int8"] < 0.37 * sizes["float32"]
    )  # tables, heads and vocoder are a large part of so small a voice


def test_one_of_several_voices_is_named(tmp_path: Path) -> None:
    two = make_bundle("tiny", ("abebe", "sara"))
    with pytest.raises(SynthesisError) as refused:
        export_voice(two, tmp_path / "out", [])
    assert refused.value.code == "onnx.name_a_voice"
    with pytest.raises(SynthesisError) as refused:
        export_voice(two, tmp_path / "out", [], voice="sera")
    assert refused.value.code == "onnx.unknown_voice"
    assert "sara" in str(refused.value)
    with pytest.raises(CheckpointError) as absent:
        export_voice(replace(two, voices={}), tmp_path / "out", [])
    assert absent.value.code == "onnx.no_voice"
    assert not list(tmp_path.iterdir())


def test_a_folder_with_other_files_is_left_alone(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(CheckpointError) as refused:
        export_voice(bundle, tmp_path, [])
    assert refused.value.code == "onnx.folder_taken"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def _no_such_version(folder: Path) -> None:
    note = json.loads((folder / "voice.json").read_text("utf-8"))
    (folder / "voice.json").write_text(json.dumps({**note, "version": 99}), encoding="utf-8")


def _another_format(folder: Path) -> None:
    (folder / "voice.json").write_text("{}", encoding="utf-8")


def _no_note(folder: Path) -> None:
    (folder / "voice.json").unlink()


def _no_graph(folder: Path) -> None:
    (folder / "step.onnx").unlink()


def _cut(folder: Path) -> None:
    data = (folder / "weights.bin").read_bytes()
    (folder / "weights.bin").write_bytes(data[: len(data) // 2])


def _garbage(folder: Path) -> None:
    size = (folder / "vocoder.onnx").stat().st_size
    (folder / "vocoder.onnx").write_bytes(b"\xff" * size)


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_no_such_version, "onnx.version_unknown"),
        (_another_format, "onnx.not_a_voice"),
        (_no_note, "xtts.file_absent"),
        (_no_graph, "onnx.file_absent"),
        (_cut, "onnx.file_cut_short"),
        (_garbage, "onnx.graph_unusable"),
    ],
)
def test_a_damaged_voice_is_one_line_with_a_remedy(
    onnx_folder: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    code: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "voice"
    shutil.copytree(onnx_folder, folder)
    damage(folder)
    assert is_onnx_voice(folder)
    with pytest.raises(DimtsError) as refused:
        load_voice(folder)
    assert refused.value.code == code
    assert refused.value.message.remedy("en")
    assert refused.value.message.remedy("am")
    assert main(["say", "ሰላም", "--voice", str(folder), "-o", str(tmp_path / "out.wav")]) == 2
    assert str(refused.value.message.line()) in capfd.readouterr().err
    assert not (tmp_path / "out.wav").exists()


def test_the_command_exports_and_says(
    bundle_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "graphs"
    assert main(["export", "onnx", str(bundle_folder), "-o", str(out), "--type", "int8"]) == 0
    assert "equal codes" in capsys.readouterr().err
    assert main(["say", "ሰላም", "--voice", str(out), "-o", str(tmp_path / "out.wav")]) == 0
    assert (tmp_path / "out.wav").stat().st_size > 10_000
    for arguments, reason in (
        ([str(out), "-o", str(tmp_path / "again")], "already"),
        ([str(bundle_folder), "-o", str(out), "--type", "int4"], "int4"),
        ([str(tmp_path / "nothing"), "-o", str(out)], "nothing"),
    ):
        assert main(["export", "onnx", *arguments]) == 2
        assert reason in capsys.readouterr().err
