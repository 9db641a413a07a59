"""A library that is not installed is one line with the command that installs it, for every name and every
command."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import dimts
from dimts.base.errors import MissingExtra
from dimts.base.extras import EXTRAS, includes_library, missing_extra

COMMANDS: dict[str, tuple[str, ...]] = {
    "setup": ("--dry-run",),
    "new": ("another",),
    "fetch": ("--accept-licence",),
    "text": ("በ2017 ዓ.ም",),
    "normalise": ("line.txt",),
    "phones": ("line.txt",),
    "train run": ("project",),
    "train export": ("project",),
    "train clean": ("project",),
    "say": ("ሰላም", "-o", "out.wav"),
    "export onnx": ("project", "-o", "graphs"),
    "web": ("project",),
    "serve": ("formant",),
    "demo": ("demo",),
    "doctor": (),
    "consent list": (),
    "consent withdraw": ("0123456789ab",),
    "lexicon add": ("--project", "project", "አበበ", "ʔ a b ə b ə"),
    "lexicon show": ("--file", "project/lexicon.tsv"),
    "lexicon check": ("--file", "project/lexicon.tsv"),
    "data prepare": ("project",),
    "data stats": ("project",),
    "data check": ("project",),
    "data add": ("project", "line.wav"),
    "data script": ("line.txt",),
    "data export": ("project", "-o", "out.parquet"),
    "data restore": ("fresh", "file.parquet"),
    "data fetch": ("whisper",),
    "data set": ("project", "clip", "--keep"),
    "data remove": ("project", "clip"),
    "evaluate project": ("project",),
    "evaluate sound": ("line.wav", "--text", "ሰላም"),
    "evaluate watermark": ("line.wav",),
    "evaluate pronunciation": ("gold.tsv",),
    "evaluate train-recogniser": ("project",),
    "evaluate listen": ("a=clips", "b=clips"),
    "evaluate opinions": ("key.json", "answers.json"),
    "evaluate compare": ("key.json", "answers.json"),
    "evaluate leaderboard": ("clips",),
}
"""Command → arguments with which it gets to its work (in a folder that has these files)."""
FREE = {
    "text", "normalise", "phones", "doctor", "lexicon add", "lexicon show", "lexicon check", "data stats",
    "data add",
}  # fmt: skip
"""Commands that need no library beside typer."""
UNKNOWN = {"data set", "data remove", "train export", "train clean", "setup", "consent withdraw"}
"""Commands that may refuse the clip or the run of COMMANDS, which is not there, or a Python without pip,
before they need a library."""
WALK = """
import contextlib, io, json, sys
from dimts.cli.main import main
results = {}
for name, arguments in json.loads(sys.argv[1]).items():
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([*name.split(), *arguments])
        except BaseException as error:
            code = repr(error)
    results[name] = (code, err.getvalue())
print(json.dumps(results))
"""
NAMES = """
import json, sys
import dimts
results = {}
for name in json.loads(sys.argv[1]):
    try:
        getattr(dimts, name)
        results[name] = "there"
    except dimts.DimtsError as error:
        results[name] = f"{type(error).__name__}: {error}"
print(json.dumps(results))
"""


def distributions(*wanted: str) -> set[str]:
    """Distributions that dimts needs with these extras, and all that those need."""
    found: set[str] = set()
    waiting = [("dimts", extra) for extra in wanted]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found.add(name)
        for text in metadata.distribution(name).requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(needed.name), part) for part in ("", *needed.extras)]
    return found - {"dimts"}


def environment(folder: Path, *extras: str) -> list[str]:
    """Search path of a Python that has the standard library, dimts and the libraries of `extras`, and no
    other."""
    libraries = folder / "libraries"
    libraries.mkdir()
    for name in distributions(*extras) if extras else ():
        for file in metadata.distribution(name).files or ():
            first = file.parts[0]
            place = (
                Path(str(file.locate())).parents[len(file.parts) - 2]
                if len(file.parts) > 1
                else file.locate()
            )
            if first not in {"..", "bin", "__pycache__"} and not (libraries / first).exists():
                (libraries / first).symlink_to(Path(str(place)))
    source = Path(dimts.__file__).parent.parent
    return [str(source), str(libraries)]


def run(code: str, argument: object, path: list[str], folder: Path) -> dict[str, object]:
    """`code` in an isolated interpreter with only `path` before the standard library; its JSON answer."""
    start = f"import sys; sys.path[:0] = {path!r}\n{code}"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start, json.dumps(argument)],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder with the files that COMMANDS name."""
    work = tmp_path / "work"
    (work / "project" / "recordings").mkdir(parents=True)
    (work / "project" / "dimts.toml").write_text("", "utf-8")
    (work / "project" / "manifest.jsonl").write_text("", "utf-8")
    (work / "clips").mkdir()
    (work / "fresh").mkdir()
    (work / "fresh" / "dimts.toml").write_text("", "utf-8")
    (work / "line.txt").write_text("ሰላም ለዓለም\n", "utf-8")
    (work / "gold.tsv").write_text("ሰላም\ts ə l a m\n", "utf-8")
    for name in ("line.wav", "file.parquet", "key.json", "answers.json"):
        (work / name).write_bytes(b"")
    return work


def leaves(command: object, path: tuple[str, ...] = ()) -> list[str]:
    """Names of all commands that do something."""
    inner = getattr(command, "commands", None)
    if inner is None:
        return [" ".join(path)]
    return [leaf for name, one in inner.items() for leaf in leaves(one, (*path, name))]


def test_the_table_below_walks_every_command() -> None:
    import typer

    from dimts.cli.main import build

    assert set(leaves(typer.main.get_command(build()))) == set(COMMANDS)


def test_every_public_name_is_there_or_names_its_extra(folder: Path) -> None:
    answer = run(NAMES, dimts.__all__, environment(folder.parent), folder)
    missing = {name: text for name, text in answer.items() if text != "there"}
    assert set(missing) == set(dimts._EXTRAS)
    for name, text in missing.items():
        assert str(text).startswith("MissingExtra: "), text
        assert f"pip install 'dimts[{dimts._EXTRAS[name]}]'" in str(text)
        assert "\n" not in str(text)


def test_every_command_without_any_library_names_its_extra(folder: Path) -> None:
    answer = run(WALK, COMMANDS, environment(folder.parent, "cli"), folder)
    for name, result in answer.items():
        code, err = result  # type: ignore[misc]
        assert code == (0 if name in FREE else 2), (name, code, err)
        if name not in FREE:
            error, hint = ["", *(line for line in err.splitlines() if line)][-2:]
            assert error.startswith("error: ") or name in UNKNOWN, (name, err)
            assert name in UNKNOWN or "pip install 'dimts[" in hint, (name, err)


@pytest.mark.parametrize(
    "extras", [("formant",), pytest.param(("data",), marks=pytest.mark.slow), ("speak",)], ids="+".join
)
def test_commands_with_some_libraries_name_the_extra_of_the_rest(
    extras: tuple[str, ...], folder: Path
) -> None:
    commands = {
        name: value for name, value in COMMANDS.items() if name not in {"web", "serve", "data fetch", "fetch"}
    }
    answer = run(WALK, commands, environment(folder.parent, "cli", *extras), folder)
    for name, result in answer.items():
        code, err = result  # type: ignore[misc]
        assert code == 0 if name in FREE else code in (0, 1, 2), (name, code, err)
        if name in {"demo", "train run"}:
            assert f"pip install 'dimts[{'all' if name == 'demo' else 'train'}]'" in err, (name, err)


def test_without_typer_the_command_names_the_extra(folder: Path) -> None:
    start = (
        f"import sys; sys.path[:0] = {environment(folder.parent)!r}; "
        f"from dimts.cli import run; sys.exit(run())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "pip install 'dimts[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def import_names() -> dict[str, str]:
    """Distribution → a name under which it is imported, where the two differ."""
    return {
        "espeakng-loader": "espeakng_loader", "silero-vad": "silero_vad", "yt-dlp": "yt_dlp",
        "huggingface-hub": "huggingface_hub", "python-multipart": "python_multipart",
        "prometheus-client": "prometheus_client", "onnx-ir": "onnx_ir", "resemble-perth": "perth",
        "faster-whisper": "faster_whisper", "flash-attn": "flash_attn", "sherpa-onnx": "sherpa_onnx",
    }  # fmt: skip


def test_the_table_of_extras_is_that_of_the_package(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text("utf-8"))["project"]
    declared = project["optional-dependencies"]
    assert set(EXTRAS) == set(declared) - {"dev"}
    for extra, lines in declared.items():
        if extra == "dev":
            continue
        libraries, includes = set(), set()
        for needed in map(Requirement, lines):
            if needed.name == "dimts":
                includes |= needed.extras
            else:
                name = canonicalize_name(needed.name)
                libraries.add(import_names().get(name, name))
        assert (set(EXTRAS[extra].libraries), set(EXTRAS[extra].includes)) == (libraries, includes), extra


def test_the_preferred_extra_is_named_where_it_brings_the_library() -> None:
    def extra(library: str, preferred: str = "") -> str:
        missing = missing_extra(ModuleNotFoundError(f"No module named {library!r}", name=library), preferred)
        assert isinstance(missing, MissingExtra)
        return missing.extra

    assert extra("torch") == "speak"
    assert extra("torch.nn", "train") == "train"
    assert extra("numba", "train") == "fast"
    assert extra("numpy") == "audio"
    assert missing_extra(ModuleNotFoundError("x", name="nothing_of_ours"), "all") is None
    assert includes_library("all", "gradio")
    assert not includes_library("formant", "torch")
