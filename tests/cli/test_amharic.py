"""With DIMTS_LANG=am everything that a person reads is Amharic but names of settings, files, programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import typer

from dimts.audio.wave import Wave
from dimts.base.extras import EXTRAS
from dimts.base.issue import Issue
from dimts.base.messages import LANGUAGE_VARIABLE, Message
from dimts.base.project import Project
from dimts.cli.main import build, main
from dimts.data.check import KINDS
from dimts.data.corpora import corpora
from dimts.data.manifest import Manifest, Utterance
from dimts.text.g2p.chain import backend_names
from dimts.text.normalise import STEPS
from dimts.text.phones import CONSONANTS, VOWELS

NAMES = set((Path(__file__).parent / "names_in_amharic_output.txt").read_text(encoding="utf-8").split())
"""Names of programs, measures, number types, settings' values and licences: the same in every language."""
NAMES_OF_HELP = set((Path(__file__).parent / "names_in_amharic_help.txt").read_text(encoding="utf-8").split())
"""Names of arguments, programs, protocols and values in help pages."""
_SKIPPED = re.compile(
    r"https?://\S*|~?(/[\w.-]+){2,}/?|\w+(/\w+)+/"  # addresses, paths
    r"|\b\w+=(?:[-\d.]+|nan)"  # figures of progress lines, by their names in the log
    r"|pip install \S+|dimts( [a-z-]+)+|--[a-z-]+"  # addresses, commands
    r"|\[?\b[a-z][a-z0-9_]*(\.[a-z0-9_]+)+\]?"  # settings
    r"|[\w./-]*[/.](wav|txt|tsv|srt|toml|json|jsonl|parquet|csv|md|safetensors|pth)\b"
)


def english(shown: str, *names: str) -> set[str]:
    """Words of Latin letters that are neither names nor commands nor phones nor paths."""
    from dimts.data.recogniser_weights import WEIGHTS

    libraries = {library for extra in EXTRAS.values() for library in extra.libraries}
    known = {*NAMES, *KINDS, *libraries, *backend_names(), *(step.name for step in STEPS), *names}
    titles = {word for one in corpora().values() for word in f"{one.title} {one.licence}".split()}
    titles |= {
        *corpora(),
        *WEIGHTS,
        *(part for one in WEIGHTS.values() for part in one.repository.split("/")),
    }
    phones, found = {*VOWELS, *CONSONANTS}, set()
    for word in re.findall(r"[^\s\u1200-\u137f፣፤።፦()\[\]{}«»“”‘’'\",;:=|<>/]+", _SKIPPED.sub(" ", shown)):
        plain = word.strip(".-–…→!?")
        if not re.search(r"[A-Za-z]{2}", plain) or plain in known or plain in phones:
            continue
        if re.search(r"[^\x00-\x7f]", plain) or re.fullmatch(r"v?[\d.,+-]+\w*", plain):
            continue  # phones in IPA; versions and amounts
        if plain not in {title.strip(",:()") for title in titles}:
            found.add(plain)
    return found


@pytest.fixture
def shows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """What a command prints, on both streams, with the folder of the test taken out."""

    def run(*arguments: object, code: int = 0, language: str = "am") -> str:
        monkeypatch.setenv(LANGUAGE_VARIABLE, language)
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == code
        shown = capsys.readouterr()
        return (shown.out + shown.err).replace(str(tmp_path), "/")

    return run


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with three clips, one of them set aside, without the work of preparing them."""
    made = Project.create(tmp_path / "abebe", '[text.g2p]\nbackends = ["rules"]\n')
    mend = {"short": Issue("too_short", Message("data.too_short", seconds=0.3), 0.3, 1.0)}
    rows = []
    for name, text, split in (("a", "ሰላም ለዓለም", "train"), ("b", "እንዴት ናችሁ", "dev"), ("c", "ሰላም", "")):
        issues = () if split else (mend["short"],)
        path = made.root / "clips" / f"{name}.wav"
        Wave(np.full(22050, 0.1, np.float32), 22050).save(path)
        rows.append(
            Utterance(
                name, f"clips/{name}.wav", text, text, "s ə l a m", "s ə l a m", 1.0, "almaz",
                split=split, kept=bool(split), issues=issues,  # type: ignore[arg-type]
                rejected_for=tuple(issue.kind for issue in issues), recording=name, name=name,
            )
        )  # fmt: skip
    Manifest.write(made.manifest, rows)
    return made


def test_the_words_that_are_found_are_those_of_sentences() -> None:
    assert english("ድምፅ (formant)፣ s ə l a m 'dimts data check a' a.wav train.keep tʼ LoRA --all") == set()
    assert english("ስሕተት፦ wrong, 3 clips kept") == {"wrong", "clips", "kept"}


def test_commands_of_text(shows: Any, tmp_path: Path) -> None:
    rules = ("--set", 'text.g2p.backends=["rules"]')
    shown = shows(
        "text", "ዶ/ር ሊያ 2:30 5km, 12/01/2016 <b>ሰ</b> (0911) [pause 1s] ☃ ½", "--why", "--compare", *rules
    )
    assert "ምሕጻረ ቃል" in shown
    assert english(shown.replace("snowman", "")) == set()
    assert (
        english(
            shows("text", "--steps"), "AU", "alias", "sub", "break", "phoneme", "say-as", "prosody", "rate"
        )
        == set()
    )
    lexicon = tmp_path / "lexicon.tsv"
    lexicon.write_text("ሰላም\ts ə l a m\nሰላም\ts a l a m\nabc\tzz\n", encoding="utf-8")
    assert english(shows("lexicon", "check", "-f", lexicon, code=2), "abc", "zz") == set()
    assert english(shows("lexicon", "add", "ሰላም", "s ə l a m", "-f", lexicon), "zz") == set()
    assert "1 rows, 0 faults" in _checked(shows, tmp_path)


def test_a_command_line_that_cannot_be_read(shows: Any) -> None:
    assert english(shows("text", "--nonsense", code=2), "COMMAND") == set()
    assert english(shows("data", "stats", code=2), "COMMAND") == set()
    assert "there is no option --nonsense" in shows("text", "--nonsense", code=2, language="en")


def _checked(shows: Any, tmp_path: Path) -> str:
    good = tmp_path / "good.tsv"
    good.write_text("ሰላም\ts ə l a m\n", encoding="utf-8")
    shown: str = shows("lexicon", "check", "-f", good, language="en")
    return shown


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """The words that call each command, after the program."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *path, name)


def test_help_pages(shows: Any) -> None:
    root = typer.main.get_command(build())
    called = {word for path in commands(root) for word in path}
    for path in commands(root):
        shown = shows(*path, "--help")
        assert english(shown, *NAMES_OF_HELP, *called) == set(), path
        assert "አጠቃቀም፦ dimts" in shown
        assert "ይህን ማብራሪያ አሳይቶ ይወጣል።" in shown
    assert "ለዚህ ማሽን የሚስማሙትን ላይብረሪዎች" in shows(code=2), "a call without arguments shows the page"
    assert "Show this message and exit." in shows("train", "--help", language="en")


def test_commands_of_data(shows: Any, project: Project, tmp_path: Path) -> None:
    root = project.root
    for arguments, code in (
        (("data", "stats", root), 0),
        (("data", "check", root, "--all"), 1),
        (("data", "export", root, "-o", tmp_path / "set.parquet"), 0),
        (("data", "export", root, "-o", tmp_path / "out", "--as", "ljspeech"), 0),
        (("data", "set", root, "a", "--drop"), 0),
        (("data", "set", root, "a", "--keep"), 0),
        (("data", "fetch"), 0),
        (("data", "add", root, tmp_path / "none.wav"), 2),
        (("data", "remove", root, "b", "--delete"), 0),
        (("new", tmp_path / "other"), 0),
        (("data", "restore", tmp_path / "other", tmp_path / "set.parquet"), 2),
    ):
        shown = shows(*arguments, code=code)
        assert english(shown, "other", "out", "ljspeech") == set(), arguments
        assert re.search(r"[\u1200-\u137f]", shown) or arguments[1] == "restore", arguments


def test_a_verdict_says_the_same_in_both_languages(shows: Any, project: Project) -> None:
    shown = shows("data", "check", project.root, code=1, language="en")
    assert "2 of 3 utterances kept: unfit" in shown
    assert "too_short: 1, 1 set aside." in shown
    amharic = shows("data", "check", project.root, code=1)
    assert "ከ3 ንግግሮች 2 ተመርጠዋል፦ ለሥልጠና አይበቃም" in amharic
    assert "በጣም አጭር (too_short)፦ 1፤ 1 ተገልለዋል" in amharic
    found = [
        json.loads(shows("data", "check", project.root, "--json", code=1, language=one))
        for one in ("en", "am")
    ]
    assert found[0] == found[1], "what programs read is the same in every language"


def test_commands_of_evaluation(shows: Any, tmp_path: Path) -> None:
    gold = tmp_path / "gold.tsv"
    gold.write_text("ሰላም\ts ə l a m\nቡና\tb u nː a\nwrong\n", encoding="utf-8")
    assert (
        english(shows("evaluate", "pronunciation", gold, "--backend", "rules", "--mistakes", "2"), "TAB")
        == set()
    )
    for name in ("old", "new"):
        Wave(np.full(4800, 0.1, np.float32), 24000).save(tmp_path / "spoken" / name / "s1.wav")
    assert english(shows("evaluate", "listen", tmp_path / "spoken", "-o", tmp_path / "kit"), "kit") == set()
    key = json.loads((tmp_path / "kit-key.json").read_text(encoding="utf-8"))
    marks = [{"sounds": [sound], "score": 3} for sound in key["sounds"]]
    for rater in ("a", "b"):
        content = {"kind": key["kind"], "test": key["test"], "rater": rater, "answers": marks}
        (tmp_path / f"{rater}.json").write_text(json.dumps(content), encoding="utf-8")
    shown = shows("evaluate", "opinions", tmp_path / "kit-key.json", tmp_path / "a.json", tmp_path / "b.json")
    assert "2 ዳኞች" in shown
    assert english(shown, "old", "new") == set()


def test_the_licence_of_weights(shows: Any, tmp_path: Path) -> None:
    (tmp_path / "LICENSE.txt").write_text("the terms\n", encoding="utf-8")
    shown = shows("fetch", "--licence", "--from", tmp_path)
    assert english(shown, "the", "terms") == set()
    assert "non-commercial purposes only" in shows("fetch", "--licence", "--from", tmp_path, language="en")


def test_the_option_report_keeps_codes_and_reads_older_files(tmp_path: Path) -> None:
    from dimts.train.option_table import OptionRow, as_json, read_options, table

    rows = [
        OptionRow("steps", 4, Message("train.option_applied"), Message("train.effect_steps", steps=4)),
        OptionRow(
            "lora.rank",
            8,
            Message(
                "train.option_ignored",
                reason=Message("train.reason_is", option="train.trainable", value="full"),
            ),
            Message("train.effect_adapters", parameters=0),
        ),
        OptionRow("(speed)", "", None, Message("train.effect_speed", seconds=1.0, tokens=2.0, audio=3.0)),
    ]
    path = tmp_path / "options.json"
    path.write_text(json.dumps(as_json(rows)), encoding="utf-8")
    assert read_options(path) == rows
    assert english(table(rows, "am"), "full", "lora.rank", "steps") == set()
    fact = json.loads(path.read_text(encoding="utf-8"))["facts"][1]
    assert fact["applied"] == "ignored: train.trainable is full"
    assert fact["messages"]["applied"]["parameters"]["reason"]["code"] == "train.reason_is"
    older = {"facts": [{"option": "steps", "asked": 50, "applied": "yes", "effect": "50 steps taken"}]}
    path.write_text(json.dumps(older), encoding="utf-8")
    assert read_options(path)[0].cells("am") == ("steps", "50", "yes", "50 steps taken")
    for broken in ("", "[]", '{"facts": 3}', '{"facts": [{"messages": {"effect": 3}}]}'):
        path.write_text(broken, encoding="utf-8")
        assert read_options(path) == []


@pytest.mark.slow
def test_training_and_its_forecast(shows: Any, tmp_path: Path, helpers: ModuleType) -> None:
    prepared = helpers.prepared(tmp_path / "abebe", clips=6)
    options = (prepared.root, "--set", "train.batches.seconds=4")
    assert english(shows("train", *options, "--dry-run")) == set()
    shown = shows("train", *options, "--steps", 2)
    rows = [line[41:] if re.match(r"[a-z_.0-9]+ {2,}", line) else line for line in shown.splitlines()]
    values = ("auto", "full", "loss", "bool", "int64", "coqui-tts")
    modules = ("conditioning", "gpt", "step-000001", "step-000002")
    kernels = re.findall(r"\b_?\w*(?:attention|adamw)\w*", shown)
    assert english("\n".join(rows), *modules, *kernels, *values) == set()
    assert "ተፈጽሟል" in shown
    assert english(shows("train", "clean", prepared.root, "--keep", 0, "--yes")) == set()


@pytest.mark.slow
def test_preparing_speaking_and_measuring(shows: Any, project: Project, tmp_path: Path) -> None:
    wave = tmp_path / "one.wav"
    assert english(shows("say", "ሰላም ለዓለም", "-o", wave)) == set()
    shown = shows("evaluate", "sound", wave, "--text", "ሰላም ለዓለም")
    figures = {line.split()[0] for line in shown.splitlines() if re.match(r"[a-z_]+ ", line)}
    assert english(shown, *figures) == set()
    (project.recordings / "bad.wav").write_bytes(b"")
    (project.recordings / "bad.txt").write_text("ሰላም", encoding="utf-8")
    assert english(shows("data", "prepare", project.root, "--dry-run"), "bad") == set()
    shown = shows("data", "prepare", project.root)
    assert "ተገልለዋል" in shown
    assert english(shown, "bad") == set()
