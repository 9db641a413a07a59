"""The app before gradio: languages, passwords, foreign sites, sizes, streams; without gradio itself."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from dimts.base.errors import ConfigError, ProjectError
from dimts.web.access import PageAccessMiddleware
from dimts.web.app import open_workspace, prepare_environment
from dimts.web.settings import LOCAL, WebSettings, read_passwords
from dimts.web.strings import LANGUAGES
from dimts.web.workspace import Workspace

Answer = tuple[int, dict[str, str], bytes]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Stands for gradio: says how much it was sent."""
    taken = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        taken += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(taken).encode()})


def ask(
    app: PageAccessMiddleware,
    path: str,
    *,
    headers: dict[str, str] | None = None,
    body: tuple[bytes, ...] = (b"",),
    client: str = "127.0.0.1",
) -> Answer:
    """One request; status 0 when nothing was answered."""
    given = {"host": "127.0.0.1:7860", **(headers or {})}
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "path": path, "query_string": query.encode(), "method": "POST", "client": (client, 1),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
    }  # fmt: skip
    parts = list(body)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    if not sent:
        return 0, {}, b""
    fields = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], fields, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
def app(workspace: Workspace) -> PageAccessMiddleware:
    """A app with something behind it."""
    return PageAccessMiddleware(
        workspace,
        WebSettings(max_upload_megabytes=1),
        names=frozenset(LOCAL),
        inner=dict.fromkeys(LANGUAGES, echo),
    )


@pytest.mark.parametrize(
    ("headers", "place"),
    [
        ({"accept-language": "am-ET,am;q=0.9"}, "/am/"),
        ({"accept-language": "fr"}, "/en/"),
        ({}, "/en/"),
        ({"accept-language": "en", "cookie": "a=b; dimts-language=am"}, "/am/"),
        ({"cookie": "dimts-language=../evil"}, "/en/"),
    ],
)
def test_the_browser_gets_its_language(
    app: PageAccessMiddleware, headers: dict[str, str], place: str
) -> None:
    status, fields, _ = ask(app, "/", headers=headers)
    assert (status, fields["location"]) == (307, place)


def test_a_language_chosen_by_hand_is_remembered(app: PageAccessMiddleware) -> None:
    assert "set-cookie" not in ask(app, "/am/")[1]
    assert ask(app, "/am/?chosen")[1]["set-cookie"].startswith("dimts-language=am;")


def test_before_gradio_is_there_the_page_says_so(workspace: Workspace) -> None:
    waiting = PageAccessMiddleware(workspace, WebSettings(), names=frozenset(LOCAL))
    status, fields, body = ask(waiting, "/am/", headers={"accept-language": "am"})
    assert (status, fields["content-type"]) == (200, "text/html; charset=utf-8")
    assert "ትንሽ ይታገሡ" in body.decode()
    assert ask(waiting, "/ready")[0] == 503
    waiting.failed = "<b>broken</b>"
    # who waits is told at once that there is nothing to wait for, and gets no error for having asked
    assert ask(waiting, "/ready/am?wait")[::2] == (200, b"<b>broken</b>")
    assert b"&lt;b&gt;broken" in ask(waiting, "/en/")[2]


def test_a_language_is_there_before_the_other(workspace: Workspace) -> None:
    half = PageAccessMiddleware(workspace, WebSettings(), names=frozenset(LOCAL), inner={"am": echo})
    assert [ask(half, path)[0] for path in ("/ready", "/ready/am", "/ready/en", "/ready/xx")] == [
        200,
        200,
        503,
        503,
    ]
    assert ask(half, "/ready/am?wait")[::2] == (200, b"yes")
    assert ask(half, "/am/")[2] == b"0"
    assert b"One moment" in ask(half, "/en/")[2]
    assert half.asked == "en"


def test_ready(app: PageAccessMiddleware) -> None:
    assert ask(app, "/ready")[0] == 200
    assert ask(app, "/en/")[2] == b"0"


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "/../en", "/audio/", "/audio/../../etc/passwd", "/docs", "/gradio_api/file=x"]
)
def test_nothing_else_is_there(app: PageAccessMiddleware, path: str) -> None:
    assert ask(app, path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:7860", "", "10.0.0.3", "[::2]"])
def test_another_name_is_not_answered(app: PageAccessMiddleware, host: str) -> None:
    assert ask(app, "/en/", headers={"host": host})[0] == 421


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860"])
def test_names_of_this_machine_are(app: PageAccessMiddleware, host: str) -> None:
    assert ask(app, "/en/", headers={"host": host, "origin": f"http://{host}"})[0] == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:9", "null"])
def test_a_foreign_site_is_not_answered(app: PageAccessMiddleware, origin: str) -> None:
    assert ask(app, "/en/gradio_api/upload", headers={"origin": origin})[0] == 403


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_password_guards_everything(workspace: Workspace) -> None:
    guarded = PageAccessMiddleware(
        workspace, WebSettings(), {"አበበ": "ሚስጥር ነው ይህ"}, frozenset(), dict.fromkeys(LANGUAGES, echo)
    )
    for path in ("/", "/en/", "/ready", "/audio/x", "/am/gradio_api/upload"):
        status, fields, _ = ask(guarded, path)
        assert (status, fields["www-authenticate"][:5]) == (401, "Basic")
    for wrong in (
        basic("አበበ", "x"),
        basic("nobody", "ሚስጥር ነው ይህ"),
        basic("", ""),
        {"authorization": "Basic ?"},
        {"authorization": "Bearer x"},
    ):
        assert ask(guarded, "/en/", headers=wrong)[0] == 401
    assert ask(guarded, "/en/", headers=basic("አበበ", "ሚስጥር ነው ይህ"))[0] == 200


@pytest.mark.parametrize("length", ["3000001", "200000000000", "-1", "many"])
def test_what_is_too_large_is_refused_before_it_is_read(app: PageAccessMiddleware, length: str) -> None:
    status, _, body = ask(app, "/en/gradio_api/upload", headers={"content-length": length})
    assert status == 413
    assert "1 MB" in body.decode()


def test_what_is_too_large_and_hides_it_is_cut_off(app: PageAccessMiddleware) -> None:
    block = b"x" * 1_000_000
    assert ask(app, "/en/", body=(block,) * 3)[2] == b"3000000"
    assert ask(app, "/en/", body=(block,) * 4)[0] == 0


def test_every_answer_forbids_what_comes_from_elsewhere(app: PageAccessMiddleware) -> None:
    for path in ("/en/", "/", "/nothing"):
        fields = ask(app, path)[1]
        assert "default-src 'self'" in fields["content-security-policy"]
        assert fields["x-content-type-options"] == "nosniff"


def test_a_stream_is_heard_while_it_grows(app: PageAccessMiddleware, tmp_path: Path) -> None:
    token, stream = app.streams.open(tmp_path)
    stream.path.write_bytes(b"first")

    def later() -> None:
        with stream.path.open("ab") as file:
            file.write(b" second")
        stream.over.set()

    timer = threading.Timer(0.2, later)
    timer.start()
    status, fields, body = ask(app, f"/audio/{token}")
    timer.join()
    assert (status, fields["content-type"], body) == (200, "audio/mpeg", b"first second")


@pytest.mark.parametrize(
    "given",
    [
        {"host": "0.0.0.0"},
        {"share": True},
        {"host": "192.168.1.5"},
        {"port": 70000},
        {"max_upload_megabytes": 0},
    ],
)
def test_others_are_let_in_only_with_a_password(given: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        WebSettings(**given)
    if "host" in given or "share" in given:
        assert WebSettings(**given, auth=tmp_path / "users").auth


def test_the_password_file(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("# who\nabebe:a long one:with colon\n\nsara:eight888\n", encoding="utf-8")
    path.chmod(0o600)
    assert read_passwords(path) == {"abebe": "a long one:with colon", "sara": "eight888"}


@pytest.mark.parametrize("text", ["", "abebe", "abebe:short", ":password1", "# only\n"])
def test_a_wrong_password_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "users"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        read_passwords(path)


@pytest.mark.skipif(os.name != "posix", reason="file modes are of POSIX")
def test_a_password_file_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("abebe:password1\n", encoding="utf-8")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others can read"):
        read_passwords(path)
    with pytest.raises(ConfigError, match="cannot read"):
        read_passwords(tmp_path / "nothing")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no such folder"):
        open_workspace(tmp_path / "nothing")


def test_what_gradio_keeps_stays_in_the_folder(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEMP_DIR", "ANALYTICS_ENABLED", "ANALYTICS_CACHE_FREQUENCY"):
        monkeypatch.delenv(f"GRADIO_{name}", raising=False)
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    prepare_environment(workspace)
    assert Path(os.environ["GRADIO_TEMP_DIR"]).is_relative_to(workspace.root.resolve())
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert workspace.cache.stat().st_mode & 0o077 == 0


async def place(scope: Any, receive: Any, send: Any) -> None:
    """Answers with what the application behind the middleware is told of the request's place."""
    del receive
    headers = sorted(name.decode() for name, _ in scope["headers"] if name.startswith(b"x-forwarded"))
    body = json.dumps([scope["path"], scope["root_path"], scope["scheme"], headers]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


FORWARDED = {"x-forwarded-prefix": "/tts", "x-forwarded-proto": "https", "x-forwarded-host": "evil.example"}


@pytest.mark.parametrize(
    ("settings", "client", "headers", "seen"),
    [
        (WebSettings(root_path="/tts"), "127.0.0.1", {}, ["/tts/am/", "/tts", "http", []]),
        (WebSettings(), "127.0.0.1", FORWARDED, ["/am/", "", "http", []]),
        (
            WebSettings(proxies=("127.0.0.1",)),
            "127.0.0.1",
            FORWARDED,
            ["/tts/am/", "/tts", "https", ["x-forwarded-proto"]],
        ),
        (WebSettings(proxies=("10.0.0.1",)), "127.0.0.1", FORWARDED, ["/am/", "", "http", []]),
        (
            WebSettings(proxies=("127.0.0.1",)),
            "127.0.0.1",
            {**FORWARDED, "x-forwarded-prefix": '/"><script>'},
            ["/am/", "", "https", ["x-forwarded-proto"]],
        ),
    ],
)
def test_a_prefix_is_believed_from_the_settings_or_a_named_proxy_alone(
    workspace: Workspace, settings: WebSettings, client: str, headers: dict[str, str], seen: list[Any]
) -> None:
    app = PageAccessMiddleware(
        workspace, settings, names=frozenset(LOCAL), inner=dict.fromkeys(LANGUAGES, place)
    )
    status, _, body = ask(app, "/am/", headers=headers, client=client)
    assert status == 200
    assert json.loads(body) == seen


def test_a_redirect_stays_below_the_prefix(workspace: Workspace) -> None:
    app = PageAccessMiddleware(workspace, WebSettings(root_path="/tts"), inner=dict.fromkeys(LANGUAGES, echo))
    assert ask(app, "/", headers={"accept-language": "am"})[1]["location"] == "/tts/am/"
    assert ask(app, "/tts/am")[1]["location"] == "/tts/am/"  # of a proxy that leaves the prefix there


def test_a_named_host_is_answered_and_needs_passwords(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(ConfigError) as caught:
        WebSettings(names=("voice.example.org",))
    assert caught.value.code == "web.password_file_needed"
    settings = WebSettings(names=("voice.example.org",), auth=tmp_path / "users")
    app = PageAccessMiddleware(
        workspace, settings, {}, settings.allowed_hosts, dict.fromkeys(LANGUAGES, echo)
    )
    assert ask(app, "/am/", headers={"host": "voice.example.org"})[0] == 200
    assert ask(app, "/am/", headers={"host": "evil.example"})[0] == 421
    assert (
        ask(app, "/am/", headers={"host": "voice.example.org", "origin": "https://voice.example.org"})[0]
        == 200
    )


@pytest.mark.parametrize("root_path", ["tts", "/tts/", "/a b", "/<x>"])
def test_a_wrong_root_path_is_refused(root_path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        WebSettings(root_path=root_path)
    assert caught.value.code == "web.root_path_wrong"
