"""The process: keys, a full queue, a log without text, and how it ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from dimts.base.errors import ConfigError
from dimts.server.keys import Keys
from dimts.server.settings import ServeSettings
from tests.server.conftest import serving

TEXT = "ሰላም ለዓለም። እንዴት ናችሁ?"
LONG = "ኢትዮጵያ በአፍሪካ ቀንድ የምትገኝ አገር ናት። " * 300
SENTENCES = "ዛሬ ጠዋት ዝናብ ዘነበ። መንገዱ ጭቃ ሆኗል። እንዴት ናችሁ? ሁላችንም ደህና ነን! " * 3


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("# who\nabebe:0123456789abcdef\n\nsara:fedcba9876543210\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def stream(stack: ExitStack, client: Any, **body: Any) -> Iterator[bytes]:
    """A request whose answer is read piece by piece."""
    answer = stack.enter_context(
        client.stream("POST", "/v1/audio/speech", json={"input": TEXT, "response_format": "pcm", **body})
    )
    assert answer.status_code == 200
    pieces: Iterator[bytes] = answer.iter_raw(4000)
    return pieces


def test_a_full_queue_says_when_to_come_back() -> None:
    """Two places, both held by clients that do not read on: their texts are far too long for any buffer."""
    with serving("--slots", "1", "--queue", "1") as server, ExitStack() as stack:
        client = stack.enter_context(server.client())
        held = [stream(stack, client, input=LONG) for _ in range(2)]
        for pieces in held:
            next(pieces)
        answer = client.post("/v1/audio/speech", json={"input": TEXT})
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["type"] == "rate_limit_error"
        openai = pytest.importorskip("openai")
        with pytest.raises(openai.RateLimitError):
            server.openai().audio.speech.create(model="formant", voice="default", input=TEXT)
        stack.close()
        server.until(lambda health: health["requests"] == 0)
        assert server.openai().audio.speech.create(model="formant", voice="default", input=TEXT).content
        assert server.end() == 0


def test_keys_are_asked_for(keys: Path, tmp_path: Path) -> None:
    with serving(
        "--host", "0.0.0.0", "--api-key-file", keys, "--voices-folder", tmp_path / "voices"
    ) as server:
        server.address = server.address.replace("localhost", "127.0.0.1")
        openai = pytest.importorskip("openai")
        ask = {"model": "formant", "voice": "default", "input": TEXT}
        for key in ("wrong", "0123456789abcdeg", "0123456789abcdef0", "ቁልፍ"):
            with server.client() as client:
                answer = client.post(
                    "/v1/audio/speech",
                    json={"input": TEXT},
                    headers={"authorization": b"Bearer " + key.encode()},
                )
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        with pytest.raises(openai.AuthenticationError):
            server.openai("wrong").audio.speech.create(**ask)
        assert server.openai("0123456789abcdef").audio.speech.create(**ask).content
        with server.client() as client:
            assert client.get("/health").status_code == 200
            assert client.get("/metrics").status_code == 401
            assert client.get("/v1/voices").status_code == 401
        assert server.end() == 0
    assert [line["key"] for line in server.log() if line.get("ended") == "done"] == ["abebe"]
    assert "0123456789abcdef" not in "".join(server.lines)


def test_at_the_end_running_requests_are_said_whole(bundle: Path) -> None:
    with serving(bundle, "--slots", "2") as server, ExitStack() as stack:
        client = stack.enter_context(server.client())
        alone = client.post(
            "/v1/audio/speech", json={"input": SENTENCES, "response_format": "pcm", "seed": 3}
        ).content
        pieces = stream(stack, client, input=SENTENCES, seed=3)
        first = next(pieces)
        server.process.send_signal(signal.SIGTERM)
        assert b"".join([first, *pieces]) == alone
        stack.close()
        assert server.end() == 0
    assert [line["event"] for line in server.log()][-1] == "stopped"


def test_without_grace_the_running_sentence_is_said_and_the_rest_is_not(bundle: Path) -> None:
    import httpx

    with serving(bundle, "--slots", "2", "--set", "serve.grace_seconds=0") as server, ExitStack() as stack:
        client = stack.enter_context(server.client())
        pieces = stream(stack, client, input=LONG)
        heard = [next(pieces)]
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(httpx.RemoteProtocolError):  # broken off: nobody takes it for the whole text
            heard.extend(pieces)
        assert len(b"".join(heard)) > 48_000 * 0.5
        assert server.end() == 0
    ended = next(line for line in server.log() if line.get("letters") == len(LONG))
    assert (ended["ended"], ended["whole"]) == ("shutdown", False)


def test_the_log_has_the_text_only_if_it_is_asked_for() -> None:
    with serving("--log-text") as server:
        server.openai().audio.speech.create(model="formant", voice="default", input=TEXT)
        assert server.end(signal.SIGINT) == 0
    assert [line["text"] for line in server.log() if line["event"] == "request"] == [TEXT]


@pytest.mark.parametrize(
    "text",
    ["", "# only\n", "abebe\n", "abebe:short\n", ":0123456789abcdef\n", "a b:0123456789abcdef\n",
     "abebe:ቁልፍቁልፍቁልፍቁልፍቁልፍ\n", "a:0123456789abcdef\na:0123456789abcdeg\n"],
)  # fmt: skip
def test_a_wrong_key_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        Keys.read(path)


@pytest.mark.skipif(os.name != "posix", reason="file modes are of POSIX")
def test_a_key_file_that_others_can_read(keys: Path) -> None:
    assert Keys.read(keys).owner("Bearer fedcba9876543210") == "sara"
    assert Keys.read(keys).owner("Basic fedcba9876543210") is None
    assert Keys.read(keys).owner("") is None
    keys.chmod(0o640)
    with pytest.raises(ConfigError, match="others can read"):
        Keys.read(keys)


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "0.0.0.0"},
        {"port": 70_000},
        {"slots": 0},
        {"queue": -1},
        {"max_letters": 0},
        {"request_seconds": 0.0},
    ],
)
def test_settings_that_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ServeSettings(**wrong)
