"""The page that is there before gradio: its steps, its speech, what it refuses; without a browser."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dimts.base.errors import SynthesisError, TextError
from dimts.base.project import Project
from dimts.web import opening
from dimts.web.access import PageAccessMiddleware
from dimts.web.settings import LOCAL, WebSettings
from dimts.web.strings import LANGUAGES, Strings
from dimts.web.synthesis import Speakers, Streams
from dimts.web.workspace import Workspace


def ask(app: PageAccessMiddleware, path: str, body: bytes | None = None) -> tuple[int, str]:
    """One request; POST with a body."""
    path, _, query = path.partition("?")
    scope = {"type": "http", "path": path, "query_string": query.encode(), "client": ("127.0.0.1", 1),
             "method": "GET" if body is None else "POST", "headers": [(b"host", b"127.0.0.1")]}  # fmt: skip
    parts, sent = [body or b""], []

    async def receive() -> Any:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]).decode()


@pytest.fixture
def app(workspace: Workspace) -> PageAccessMiddleware:
    """The server before gradio is there."""
    return PageAccessMiddleware(workspace, WebSettings(), names=frozenset(LOCAL))


def test_it_needs_no_gradio(workspace: Workspace) -> None:
    code = (
        "import sys; from pathlib import Path; from dimts.web import opening; "
        "from dimts.web.strings import Strings; from dimts.web.workspace import Workspace; "
        "assert 'step-record' in opening.opening_page(Strings('am'), Workspace(Path(sys.argv[1]))); "
        "assert 'gradio' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(workspace.root)], check=True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_steps_of_a_project_and_of_none(
    app: PageAccessMiddleware, language: str, project: Project,
    recordings: Callable[[Path, int], list[Path]],
) -> None:  # fmt: skip
    strings = Strings(language)
    recordings(project.recordings, 2)
    status, page = ask(app, f"/{language}/")
    assert status == 200
    assert f'<html lang="{language}"' in page
    assert 'data-project="abebe"' in page
    assert strings("steps.record.some", count=2) in page
    assert strings("steps.check.ready.go") in page
    status, part = ask(app, f"/opening/{language}?project=nobody")
    assert (status, 'data-project=""' in part) == (200, True)
    assert strings("steps.record.none") in part


def test_what_cannot_be_read_is_named_in_its_place(app: PageAccessMiddleware, project: Project) -> None:
    project.manifest.write_text("{broken\n", encoding="utf-8")
    status, page = ask(app, "/en/")
    assert status == 200
    assert "manifest" in page
    assert 'class="notice bad"' in page
    assert 'id="opening-go"' in page


def test_names_of_people_are_escaped(app: PageAccessMiddleware, workspace: Workspace) -> None:
    # a name that only another program can have given
    folder = workspace.root / "<img src=x onerror=alert(1)>"
    Project.create(folder, "")
    for path in ("/en/", "/opening/en?project=%3Cimg%20src=x%20onerror=alert(1)%3E"):
        status, page = ask(app, path)
        assert status == 200
        assert "<img" not in page
        assert "&lt;img src=x" in page


def test_a_text_is_spoken(app: PageAccessMiddleware) -> None:
    asked = {"project": "abebe", "voice": "formant", "text": "ሰላም"}
    status, token = ask(app, "/speak/am", json.dumps(asked).encode())
    assert status == 200
    stream = app.streams.get(token)
    assert stream is not None
    assert stream.over.wait(60)
    assert stream.path.stat().st_size > 2000


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"project": "nobody", "voice": "formant", "text": "ሰላም"}, 422),
        ({"project": "", "voice": "../../etc", "text": "ሰላም"}, 422),
        ({"project": "abebe", "voice": "nobody", "text": "ሰላም"}, 422),
        ({"project": "", "voice": "formant", "text": ""}, 422),
        ({"project": "", "voice": "formant", "text": "ሰ" * 20_001}, 422),
        ({"project": "", "voice": "formant"}, 400),
        ([], 400),
        ("ሰላም", 400),
    ],
)
def test_what_is_not_spoken(app: PageAccessMiddleware, asked: Any, status: int) -> None:
    found, text = ask(app, "/speak/am", json.dumps(asked).encode())
    assert found == status
    assert text
    if status == 422:
        for name in ("nobody", "../../etc", "dimts say --input"):
            text = text.replace(name, "")
        assert not any("a" <= letter <= "z" for letter in text)
    assert ask(app, "/speak/am", b"\xff\xfe{")[0] == 400
    assert ask(app, "/speak/am", b"[" * 100_000)[0] == 400
    for name in ("project", "voice", "text"):
        half = {"project": "", "voice": "formant", "text": "ሰላም"} | {name: "\ud800"}
        assert ask(app, "/speak/am", json.dumps(half).encode())[0] == 400
    assert ask(app, "/speak/am")[0] == 400
    assert ask(app, "/speak/fr", b"{}")[0] == 404


def test_a_body_without_end_is_not_taken(app: PageAccessMiddleware) -> None:
    assert ask(app, "/speak/en", b" " * (3 << 20))[0] == 413


def test_faults_are_raised_to_who_asked(workspace: Workspace) -> None:
    streams, speakers = Streams(), Speakers()
    with pytest.raises(SynthesisError):
        opening.speak(workspace, streams, speakers, "", "nobody", "ሰላም")
    with pytest.raises(TextError):
        opening.speak(workspace, streams, speakers, "", "formant", "   ")
    assert speakers.turn.acquire(timeout=10)
