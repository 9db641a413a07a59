"""Text in pieces over a WebSocket: sentences are spoken as they are complete, and can be interrupted."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimts.server.sentences import SentenceBuffer

websockets = pytest.importorskip("websockets")

LONG = "ኢትዮጵያ በአፍሪካ ቀንድ የምትገኝ አገር ናት። " * 40


def talk(
    server: Any, talking: Callable[[Any], Awaitable[Any]], path: str = "/v1/audio/speech/ws", **more: Any
) -> Any:
    """What `talking(socket)` returns, over a connection to the server."""

    async def main() -> Any:
        address = server.address.replace("http", "ws") + path
        async with asyncio.timeout(120), websockets.connect(address, **more) as socket:
            return await talking(socket)

    return asyncio.run(main())


async def send(socket: Any, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def until(socket: Any, kind: str) -> tuple[bytes, list[dict[str, Any]]]:
    """The sound and the events up to an event of this kind."""
    sound, events = b"", []
    async for message in socket:
        if isinstance(message, bytes):
            sound += message
        else:
            events.append(json.loads(message))
            if events[-1]["type"] == kind:
                return sound, events
    raise AssertionError(f"closed before {kind}: {events}")


@pytest.mark.parametrize("model", ["formant", "tiny"])
def test_sentences_are_spoken_as_they_come(server: Any, model: str) -> None:
    async def talking(socket: Any) -> tuple[bytes, list[dict[str, Any]]]:
        await send(socket, "session.update", model=model, seed=4)
        await until(socket, "session.updated")
        for piece in ("ሰላ", "ም ለዓለም። እን", "ዴት ናችሁ?"):
            await send(socket, "input.append", text=piece)
        await send(socket, "input.done")
        return await until(socket, "done")

    sound, events = talk(server, talking)
    assert [event.get("text", event) for event in events[:-1]] == ["ሰላም ለዓለም።", "እንዴት ናችሁ?"]
    with server.client() as client:
        alone = [
            client.post(
                "/v1/audio/speech", json={"input": text, "model": model, "seed": 4, "response_format": "pcm"}
            ).content
            for text in ("ሰላም ለዓለም።", "እንዴት ናችሁ?")
        ]
    assert sound == b"".join(alone)
    assert server.health()["requests"] == 0


def test_an_interrupted_speech_stops_and_the_next_begins(server: Any) -> None:
    async def talking(socket: Any) -> list[dict[str, Any]]:
        await send(socket, "input.append", text=LONG)
        while not isinstance(await socket.recv(), bytes):
            pass
        await send(socket, "cancel")
        _, stopped = await until(socket, "cancelled")
        await send(socket, "input.append", text="ሰላም።")
        await send(socket, "input.done")
        _, after = await until(socket, "done")
        assert [event["type"] for event in after] == ["sentence", "done"]
        return stopped

    assert talk(server, talking)[-1] == {"type": "cancelled"}
    server.until(lambda health: health["requests"] == 0)


@pytest.mark.parametrize(
    "message",
    ["", "{", "[]", "null", "5", '{"type": 5}', '{"text": "ሰላም"}', '{"type": "input.append"}', b"\x00",
     '{"type": "input.append", "text": 5}', '{"type": "session.update", "voice": "nobody"}',
     '{"type": "session.update", "speed": "fast"}', "[" * 100_000,
     '{"type": "input.append", "text": "\\ud800"}', '{"type": "session.update", "speeed\\ud800": 1}',
     '{"type": "session.update", "\\ud800": 1}'],
)  # fmt: skip
def test_wrong_events_are_answered_and_the_connection_goes_on(server: Any, message: Any) -> None:
    async def talking(socket: Any) -> dict[str, Any]:
        await socket.send(message)
        _, events = await until(socket, "error")
        await send(socket, "input.append", text="ሰላም።")
        await send(socket, "input.done")
        sound, _ = await until(socket, "done")
        assert sound
        return events[-1]

    error = talk(server, talking)["error"]
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ('{"type": "session.update", "user": "\\ud800"}', "user"),
        ('{"type": "session.update", "x": ' + "[" * 900 + "]" * 900 + "}", "x"),
        ('{"type": "session.update", "x": NaN}', "x"),
        ('{"type": "session.update", "voice": "alloy"}', "alloy"),
    ],
)
def test_what_has_no_effect_is_named_and_not_kept(server: Any, sent: str, named: str) -> None:
    async def talking(socket: Any) -> list[dict[str, Any]]:
        await socket.send(sent)
        _, first = await until(socket, "session.updated")
        await send(socket, "session.update", seed=3)
        _, second = await until(socket, "session.updated")
        return [first[-1], second[-1]]

    first, second = talk(server, talking)
    assert named in first["note"]
    assert set(second) <= {"type", "note", "response_format", "stream", "stream_format", "voice", "seed"}


def test_mp3_goes_on_over_sentences(server: Any) -> None:
    async def talking(socket: Any) -> bytes:
        await send(socket, "session.update", response_format="mp3", model="formant")
        await send(socket, "input.append", text="ሰላም። እንዴት ናችሁ?")
        await send(socket, "input.done")
        sound, _ = await until(socket, "done")
        return sound

    av, io = pytest.importorskip("av"), __import__("io")
    with av.open(io.BytesIO(talk(server, talking))) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) > 24_000


@pytest.mark.parametrize("path", ["/v1/realtime", "/", "/v1/audio/speech"])
def test_other_paths_are_not_found(server: Any, path: str) -> None:
    with pytest.raises(websockets.InvalidStatus) as raised:
        talk(server, lambda socket: socket.recv(), path)
    assert raised.value.response.status_code == 404
    assert json.loads(raised.value.response.body)["error"]["code"] == "path_not_found"


def test_a_foreign_page_is_refused(server: Any) -> None:
    with pytest.raises(websockets.InvalidStatus) as raised:
        talk(server, lambda socket: socket.recv(), origin="https://evil.example")
    assert raised.value.response.status_code == 403


def test_a_client_that_leaves_frees_its_place(server: Any) -> None:
    async def talking(socket: Any) -> None:
        await send(socket, "input.append", text=LONG)
        while not isinstance(await socket.recv(), bytes):
            pass
        socket.transport.abort()

    talk(server, talking)
    server.until(lambda health: health["requests"] == 0 and health["speaking"]["tiny"] == 0)


def test_the_example(server: Any) -> None:
    script = Path(__file__).parents[2] / "examples/speak_while_writing.py"
    address = server.address.replace("http", "ws")
    done = subprocess.run([sys.executable, script, address], capture_output=True, timeout=120, check=True)
    assert len(done.stdout) > 48_000


SIGNS = st.text(st.sampled_from('ሰላም ።፧?!\n"”. a'), max_size=30)


@given(st.lists(SIGNS, max_size=8))
def test_nothing_is_lost_or_changed_by_how_a_text_is_cut(pieces: list[str]) -> None:
    def spoken(parts: list[str]) -> list[str]:
        buffer = SentenceBuffer()
        return [sentence for part in parts for sentence in buffer.push(part)] + buffer.flush()

    whole = "".join(pieces)
    assert spoken(pieces) == spoken([whole]) == spoken(list(whole))
    assert "".join("".join(spoken(pieces)).split()) == "".join(whole.split())
