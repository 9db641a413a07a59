"""Systems of any kind: what each speaks, what it refuses, and that a failure concerns its sentence alone."""

from __future__ import annotations

import json
import shlex
import socket
import sys
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from dimts.audio.formant import Formant
from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DataError, DimtsError, SynthesisError
from dimts.evaluate import systems
from dimts.evaluate.compare_voices import CompareVoicesSettings, compare_systems
from dimts.evaluate.comparison import SentenceList, voice_effects
from dimts.evaluate.measure import EvaluationSentence
from dimts.evaluate.rank import mean_scores
from dimts.evaluate.systems import (
    RecordingFolder,
    VoiceSystem,
    WaveSystem,
    named_keys,
    named_systems,
    open_system,
)
from tests.server.conftest import Server, serving

QUICK = CompareVoicesSettings(quality=False, pairs=False)
SALAM = EvaluationSentence("s1", "ሰላም ለዓለም።")
ESPEAK = f"command:{shlex.quote(sys.executable)} {shlex.quote(str(Path(__file__).parent / 'espeak_am.py'))}"
COPY = """
import shutil, sys, wave
wav, text = sys.argv[1:]
with wave.open(wav, "wb") as file:
    file.setnchannels(1); file.setsampwidth(2); file.setframerate(16000)
    file.writeframes(bytes(2 * 16000))
open(wav + ".txt", "w", encoding="utf-8").write(text)
shutil.copy(wav + ".txt", "TARGET")
if "ውድቀት" in text:
    sys.exit("the text is refused\\nbad luck")
if "ዝም" in text:
    import os; os.remove(wav)
if "ዘግይ" in text:
    import time; time.sleep(600)
"""


def command(tmp_path: Path, arguments: str = "{wav} {text}") -> str:
    """A program that writes a second of silence, and its text to seen.txt."""
    script = tmp_path / "say it.py"
    script.write_text(COPY.replace("TARGET", str(tmp_path / "seen.txt")), encoding="utf-8")
    return f"command:{shlex.quote(sys.executable)} {shlex.quote(str(script))} {arguments}"


def line(text: str) -> EvaluationSentence:
    return EvaluationSentence("s", text)


@pytest.mark.parametrize(
    "text",
    ["ሰላም; touch owned", "$(touch owned) `id`", "{wav} {text}", "--help ሰላም", "«ሰላም» 'አለ' \"ነገ\"", "*"],
)
def test_nothing_in_a_text_is_interpreted(tmp_path: Path, text: str) -> None:
    open_system("a", command(tmp_path)).speak(EvaluationSentence("s", text, words=(("s", "a"),)))
    assert (tmp_path / "seen.txt").read_text(encoding="utf-8").strip() == text
    assert not Path("owned").exists()


def test_a_program_that_fails_is_named_with_its_last_line(tmp_path: Path) -> None:
    system = open_system("a", command(tmp_path))
    with pytest.raises(SynthesisError) as failed:
        system.speak(line("ውድቀት"))
    assert failed.value.code == "evaluate.command_failed"
    assert "bad luck" in str(failed.value)
    with pytest.raises(SynthesisError) as silent:
        system.speak(line("ዝም"))
    assert silent.value.code == "evaluate.command_wrote_nothing"
    with pytest.raises(SynthesisError) as slow:
        open_system("a", command(tmp_path), time_limit=2.0).speak(line("ዘግይ"))
    assert slow.value.code == "evaluate.command_timed_out"


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("command:no-such-program-at-all {wav} {text}", "evaluate.command_missing"),
        (f"command:{sys.executable} {{text}}", "evaluate.command_malformed"),
        ("command:'open quote {wav}", "evaluate.command_malformed"),
        ("folder:nowhere", "evaluate.no_such_folder"),
        ("voices/misspelt", "evaluate.unknown_system"),
        ("http://", "evaluate.server_address_malformed"),
        ("https://user:secret@example.org/v1", "evaluate.server_address_malformed"),
    ],
)
def test_what_cannot_be_a_system_is_refused(what: str, code: str) -> None:
    with pytest.raises(DimtsError) as refused:
        open_system("a", what)
    assert refused.value.code == code
    assert refused.value.message.remedy()
    assert "secret" not in str(refused.value)


def test_names_and_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    known = named_systems(["a=formant", "b=http://127.0.0.1:1/v1?voice=x"])
    assert known == {"a": "formant", "b": "http://127.0.0.1:1/v1?voice=x"}
    for given in (["formant"], ["=formant"], ["a="], ["a=formant", "a=formant"]):
        with pytest.raises(ConfigError):
            named_systems(given)
    monkeypatch.setenv("MY_KEY", "secret")
    assert named_keys(["b=MY_KEY"], known) == {"b": "secret"}
    for given, code in ((["a=MY_KEY"], "evaluate.key_of_no_server"), (["b=NOT_SET"], "evaluate.key_not_set")):
        with pytest.raises(ConfigError) as refused:
            named_keys(given, known)
        assert refused.value.code == code
    with pytest.raises(ConfigError) as refused:
        open_system("b", "http://example.org/v1", key="secret")
    assert refused.value.code == "evaluate.key_without_tls", "no key goes over the network unencrypted"


def recordings(folder: Path, texts: list[str]) -> Path:
    rows = ["path\ttext"]
    for number, text in enumerate(texts):
        Formant().speak(systems.reference_words(text)).save(folder / f"r{number}.wav")
        rows.append(f"r{number}.wav\t{text}")
    (folder / "metadata.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def test_a_folder_of_recordings_gives_the_list(tmp_path: Path) -> None:
    folder = recordings(tmp_path / "real", ["ሰላም ለዓለም።", "ቡና ጠጣሁ።"])
    found = RecordingFolder.read(folder)
    assert [one.text for one in found.sentences()] == ["ሰላም ለዓለም።", "ቡና ጠጣሁ።"]
    other = EvaluationSentence("s001", "ቡና ጠጣሁ።")
    assert found.speak(other).wave.seconds == pytest.approx(Wave.load(folder / "r1.wav").seconds)
    with pytest.raises(DataError) as absent:
        found.check([other, EvaluationSentence("s002", "ሌላ።")])
    assert absent.value.message.parameters["first"] == "s002"
    (folder / "r1.wav").unlink()
    with pytest.raises(DataError) as lost:
        RecordingFolder.read(folder)
    assert lost.value.code == "evaluate.recordings_missing"
    assert "r1.wav" in str(lost.value)


def test_systems_of_three_kinds_say_one_list_and_a_failure_concerns_its_sentence_alone(
    tmp_path: Path,
) -> None:
    texts = ["ቡና ጠጣሁ።", "ውድቀት መጣ።"]
    folder = recordings(tmp_path / "real", texts)
    what = {"real": f"folder:{folder}", "formant": "formant", "silent": command(tmp_path)}
    found = compare_systems(what, tmp_path / "out", QUICK)
    assert list(found.failures) == ["silent"]
    assert [reason.code for reason in found.failures["silent"].values()] == ["evaluate.command_failed"]
    assert [one.name for one in found.measured["formant"]] == [one.name for one in found.measured["silent"]]
    assert len(found.measured["real"]) == 1, "figures are those of the sentences that all spoke"
    assert found.ranking.order[-1].name == "silent"
    assert not found.ranking.scored
    assert any(one.code == "evaluate.sentences_not_spoken" for one in found.remarks)
    page = found.report.read_text(encoding="utf-8")
    assert "score of 100" not in page
    assert "bad luck" in page
    assert page.count("<audio") == 3
    results = json.loads(found.results.read_text(encoding="utf-8"))
    assert results["sentences"]["formant"][0]["real_time_factor"] > 0
    assert results["sentences"]["real"][0]["real_time_factor"] is None
    schema = json.loads(
        (resources.files("dimts.evaluate") / "schemas" / "results.json").read_text(encoding="utf-8")
    )
    jsonschema.validate(results, schema, jsonschema.Draft202012Validator)
    assert results["failures"]["silent"].keys() == {"r1"}
    assert {"formant", "silent"} <= {path.name for path in (tmp_path / "out" / "spoken").iterdir()}
    seen = (tmp_path / "seen.txt").stat().st_mtime_ns
    again = compare_systems(what, tmp_path / "out", QUICK, sentences=SentenceList("x", "", found.lines))
    assert (tmp_path / "seen.txt").stat().st_mtime_ns == seen, "what an unchanged program spoke is reused"
    assert again.measured["formant"][0].synthesis_seconds == found.measured["formant"][0].synthesis_seconds


def test_a_plug_in_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "hum"

        @staticmethod
        def load() -> Any:
            return lambda argument: lambda text: Wave(np.full(1600, float(argument), np.float32), 16_000)

    class Points(list[Any]):
        names = ("hum",)

    monkeypatch.setattr(
        metadata, "entry_points", lambda group: Points([Point] if group == systems.GROUP else [])
    )
    system = open_system("a", "hum:0.25")
    assert system.kind == "plugin"
    assert system.speak(SALAM).wave.seconds == pytest.approx(0.1)


@pytest.mark.slow
def test_the_am_voice_of_espeak_ng_has_less_length_contrast_than_the_formant_voice(tmp_path: Path) -> None:
    what = {"formant": "formant", "espeak": f"{ESPEAK} -v am -w {{wav}} {{text}}"}
    lines = SentenceList("x", "", [EvaluationSentence(f"s{n}", text) for n, text in enumerate(TEXTS)])
    found = compare_systems(what, tmp_path / "out", QUICK, sentences=lines)
    figures = {one.name: one.figures for one in found.ranking.order}
    assert figures["formant"]["length_ratio"].low > figures["espeak"]["length_ratio"].high


TEXTS = ("መጽሐፉ በጠረጴዛው ላይ ነው።", "ገበሬው በሬዎቹን ጠምዶ እርሻውን አረሰ።", "ተማሪዎቹ ጥያቄውን በትክክል መለሱ።", "ፀሐይ በምሥራቅ ትወጣለች።")


@pytest.fixture(scope="module")
def keyed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text("me:0123456789abcdef0123\n", encoding="utf-8")
    keys.chmod(0o600)
    with serving("formant", "--api-key-file", keys) as one:
        yield one


@pytest.mark.slow
def test_a_server_with_openais_interface_speaks_with_the_right_key(keyed_server: Server) -> None:
    url = f"{keyed_server.address}/v1?model=formant"
    system = open_system("a", url, key="0123456789abcdef0123")
    assert system.speak(SALAM).wave.seconds > 0.5
    for key in ("", "wrong-wrong-wrong-wrong"):
        with pytest.raises(ConfigError) as refused:
            open_system("a", url, key=key)
        assert refused.value.code == "evaluate.server_unusable"
        assert "--key" in str(refused.value)
        assert "wrong-wrong" not in str(refused.value)
    with pytest.raises(ConfigError) as unknown:
        open_system("a", f"{keyed_server.address}/v1?model=nobody", key="0123456789abcdef0123")
    assert unknown.value.code == "evaluate.server_unusable"


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(ConfigError) as absent:
            open_system("a", f"http://127.0.0.1:{port}/v1")
    assert absent.value.code == "evaluate.server_unusable"
    assert "cannot be reached" in str(absent.value)


def test_an_untrained_recogniser_is_not_sure_that_recordings_are_worse_than_what_it_was_trained_on() -> None:
    """Figures as the shipped recogniser gives them to good recordings and to the formant voice."""
    good = {"recordings": WaveSystem(None, "folder", ""), "formant": VoiceSystem(None, formant=True)}  # type: ignore[arg-type]
    effects = voice_effects(good, trained=False)
    means = mean_scores([np.full(40, 90.0), np.full(40, 22.0)], [effects["formant"], effects["recordings"]])
    assert 0.8 < (means[:, 0] > means[:, 1]).mean() < 0.975
    assert voice_effects(good, trained=True) == {}
    assert voice_effects({"formant": good["formant"]}, trained=False) == {}
    same = voice_effects(good, trained=False, one_speaker=True)
    assert (same["recordings"].spread, same["recordings"].advantage) == (0.0, 0.0)
    assert same["formant"].advantage > 0
