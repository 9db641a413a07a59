"""README and documentation: every code block is run or parsed, every link leads somewhere, the site
builds."""

from __future__ import annotations

import ast
import configparser
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]
    if path.name not in {"CHANGELOG.md"}
)
RUN = {
    "README.md", "docs/tutorials/first-voice.md", "docs/api/index.md", "docs/text.md",
    "docs/pronunciation.md", "docs/formant.md", "docs/messages.md",
}  # fmt: skip
"""Pages whose Python is run; that of the others needs a server or a trained voice: parsed, its imports
made."""
SHELLS = {"sh", "bash", "console", "powershell", ""}


@dataclass(frozen=True)
class Block:
    """A code block of a page: its language, its text, and the line it starts at."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}:{self.language or 'indented'}"


def blocks() -> Iterator[Block]:
    """All fenced blocks, and the indented ones that hold dimts commands."""
    for path in PAGES:
        page, lines = path.relative_to(ROOT).as_posix(), path.read_text("utf-8").splitlines()
        number = 0
        while number < len(lines):
            fence = re.match(r"( *)```(\w*)", lines[number])
            start = number
            if fence:
                number += 1
                while not lines[number].strip().startswith("```"):
                    number += 1
                yield Block(page, start + 1, fence[2], textwrap.dedent("\n".join(lines[start + 1 : number])))
            elif lines[number].startswith("    "):
                while number < len(lines) and (lines[number].startswith("    ") or not lines[number]):
                    number += 1
                yield Block(page, start + 1, "", textwrap.dedent("\n".join(lines[start:number])))
                continue
            number += 1


BLOCKS = list(blocks())


def of(*languages: str) -> Any:
    """The blocks of these languages, as parameters."""
    return pytest.mark.parametrize(
        "block", [block for block in BLOCKS if block.language in languages], ids=str
    )


def test_every_language_of_a_block_has_its_test() -> None:
    assert {block.language for block in BLOCKS} <= {"python", "toml", "ini", "yaml", "json", "text", *SHELLS}


@of("python")
def test_python_runs(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = ast.parse(block.text)
    if block.page in RUN:
        monkeypatch.chdir(tmp_path)
        exec(compile(tree, str(block), "exec"), {"__name__": "__main__"})
        return
    if any(
        isinstance(node, ast.ImportFrom) and (node.module or "").startswith("TTS.") for node in ast.walk(tree)
    ):
        return  # coqui-tts lives in an environment of its own; tests/parity runs these lines there
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = import_module(node.module or "")
            assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []
        elif isinstance(node, ast.Import):
            for alias in node.names:
                import_module(alias.name)
        elif (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "dimts"
        ):
            assert hasattr(import_module("dimts"), node.attr), node.attr


@of("toml")
def test_toml_is_a_valid_setting(block: Block) -> None:
    from dimts.base.config import from_table
    from dimts.data.context import PrepareSettings
    from dimts.server.settings import ServeSettings
    from dimts.speak import SpeakSettings
    from dimts.text.frontend import FrontendSettings
    from dimts.train.settings import TrainSettings

    kinds = {
        "text": FrontendSettings, "data": PrepareSettings, "train": TrainSettings, "speak": SpeakSettings,
        "serve": ServeSettings,
    }  # fmt: skip
    for table, values in tomllib.loads(block.text).items():
        from_table(kinds[table], values, table)


@of("ini")
def test_ini_parses(block: Block) -> None:
    configparser.ConfigParser(strict=False, interpolation=None).read_string(block.text)


@of("yaml")
def test_yaml_parses(block: Block) -> None:
    yaml.safe_load(block.text)


@of("json")
def test_json_parses(block: Block) -> None:
    json.loads(block.text)


def commands(text: str) -> Iterator[list[str]]:
    """The dimts commands of a block, without comments, pipes and redirections."""
    for line in text.replace("\\\n", " ").splitlines():
        line = re.split(r"\s{3,}(?=\S)|\s+#\s", re.sub(r"^\s*\$ ", "", line).strip())[0]
        line = re.split(r" (?:\|\|?|&&|<<<|\d?[<>&]) ?|; ", line.removeprefix("make "))[0]
        match = re.match(r"(?:.* -m )?dimts (.*)$", line)
        if match and not match[1].startswith(("(", "→", "·")):
            words = shlex.split(re.sub(r"[\[\]]", "", match[1]))
            yield [word for word in words if word not in {"…", "...", "&"}]


@of(*SHELLS, "text")
def test_commands_are_those_of_the_program(block: Block) -> None:
    if block.page in {"docs/cli.md"} or (block.language == "text" and "dimts " not in block.text):
        return
    import typer

    from dimts.cli.main import build

    for words in commands(block.text):
        command: Any = typer.main.get_command(build())
        path = ["dimts"]
        while hasattr(command, "commands"):
            if not words or words[0].startswith("-"):
                break
            default = {"evaluate": "project", "train": "run"}.get(path[-1])  # evaluate PROJECT, train PROJECT
            if default and words[0] not in command.commands:
                words.insert(0, default)
            assert words[0] in command.commands, f"{' '.join(path)} has no command {words[0]!r}"
            path.append(words[0])
            command = command.commands[words.pop(0)]
        if hasattr(command, "commands"):
            continue
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {
            "--help",
            "-h",
        }
        options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert options <= known, f"{' '.join(path)} does not know {sorted(options - known)}"


@of("sh", "bash")
def test_shell_parses(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def slug(title: str) -> str:
    """The anchor of a heading, as GitHub and the site make it of plain words."""
    return re.sub(r"[^\w\s-]", "", title.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize(
    "path", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_links_lead_to_files_and_headings(path: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        place = path.parent / file if file else path
        assert place.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", place.read_text("utf-8"), flags=re.MULTILINE)
            assert anchor in {slug(title) for title in headings}, target


def test_the_readme_is_short_and_names_what_a_reader_looks_for() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert len(readme.splitlines()) <= 120
    for needed in ("pip install", "make demo", "make test", "docs/images/", "docs/audio/", "## Licence"):
        assert needed in readme


def test_every_sample_and_every_picture_is_there_and_used() -> None:
    text = "".join(path.read_text("utf-8") for path in PAGES)
    for folder in ("images", "audio"):
        files = {path.name for path in (ROOT / "docs" / folder).iterdir()}
        assert files == set(re.findall(rf"{folder}/([\w.-]+\.(?:png|mp3))", text))


def test_the_samples_are_labelled_with_a_command_that_exists() -> None:
    import runpy

    samples = runpy.run_path(str(ROOT / "tools" / "samples.py"))["samples"]
    for page in ("README.md", "README.am.md"):
        found = samples((ROOT / page).read_text("utf-8"))
        assert set(found) == {path.name for path in (ROOT / "docs" / "audio").iterdir()}
        assert found == samples((ROOT / "README.md").read_text("utf-8"))


def test_the_container_files_hold_together() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    for service in compose["services"].values():
        test_commands_are_those_of_the_program(
            Block("compose.yaml", 1, "sh", shlex.join(["dimts", *map(str, service["command"])]))
        )
        assert set(service["secrets"]) <= set(compose["secrets"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    docker = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", docker, flags=re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split())
    command = json.loads(re.findall(r"^CMD (\[.*\])$", docker, flags=re.MULTILINE)[0])
    test_commands_are_those_of_the_program(Block("Dockerfile", 1, "sh", shlex.join(["dimts", *command])))


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_workflows_and_forms_parse_and_call_what_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    assert yaml.safe_load(text)
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for targets in re.findall(r"run: make ([\w ]+)", text):
        assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets.split())
    for command in re.findall(r"run: (dimts .*)", text):
        test_commands_are_those_of_the_program(Block(path.name, 1, "sh", command))
    for file in re.findall(r"python (tools/\S+)", text):
        assert (ROOT / file).exists()


def test_the_citation_names_this_version() -> None:
    import dimts

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == dimts.__version__
    assert f"## {dimts.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_site_builds_without_network_and_loads_nothing_from_it(tmp_path: Path) -> None:
    site = tmp_path / "site"
    environment = {
        **os.environ, "NO_MKDOCS_2_WARNING": "1", "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        assert (
            re.findall(r'<(?:script|link|img|audio|iframe)[^>]*(?:src|href)="https?://[^"]*"', text) == []
        ), page
    assert (
        "dimts.Speaker" in (site / "api" / "index.html").read_text("utf-8")
        or (site / "api" / "speak.html").exists()
    )


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    import dimts

    monkeypatch.setenv("PYTHONPATH", str(Path(dimts.__file__).parent.parent))
    notebook = nbformat.read(ROOT / "docs" / "notebooks" / "first_voice.ipynb", as_version=4)
    NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "trained.wav").stat().st_size > 1000
