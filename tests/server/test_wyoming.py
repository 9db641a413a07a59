"""The Wyoming protocol, asked by the client of its own package."""

from __future__ import annotations

import asyncio
import socket
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from dimts.base.errors import ConfigError
from dimts.base.http import bind

from .conftest import serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # it imports audioop, as long as Python has it
    pytest.importorskip("wyoming.audio")

from wyoming.client import AsyncTcpClient
from wyoming.event import Event
from wyoming.info import Describe, Info
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeVoice,
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[int, Any]]:
    """The port of the protocol, and the server."""
    with bind("127.0.0.1", 0) as sock:
        free: int = sock.getsockname()[1]
    with serving("--wyoming", str(free), "--set", "serve.idle_seconds=20") as server:
        yield free, server


@pytest.fixture(scope="module")
def port(served: tuple[int, Any]) -> int:
    return served[0]


def talk(port: int, talking: Callable[[Any], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with asyncio.timeout(60), AsyncTcpClient("127.0.0.1", port) as client:
            return await talking(client)

    return asyncio.run(main())


async def events(client: Any, last: str) -> list[Event]:
    """The events up to one of this type."""
    found: list[Event] = []
    while not found or found[-1].type != last:
        event = await client.read_event()
        assert event is not None
        found.append(event)
    return found


def test_it_says_what_speaks(port: int) -> None:
    async def talking(client: Any) -> Info:
        await client.write_event(Describe().event())
        return Info.from_event(await client.read_event())

    program = talk(port, talking).tts[0]
    assert program.supports_synthesize_streaming
    assert program.voices[0].name == "formant/default"
    assert {language for voice in program.voices for language in voice.languages} == {"am"}


def test_a_text_is_spoken_with_a_voice(port: int) -> None:
    async def talking(client: Any) -> tuple[list[Event], list[Event]]:
        spoken = []
        for voice in (None, SynthesizeVoice(name="formant/f2")):
            await client.write_event(Synthesize("ሰላም ለዓለም።", voice).event())
            spoken.append(await events(client, "audio-stop"))
        return spoken[0], spoken[1]

    first, second = talk(port, talking)
    assert (first[0].type, first[0].data) == ("audio-start", {"rate": 24_000, "width": 2, "channels": 1})
    sounds = [b"".join(event.payload or b"" for event in found) for found in (first, second)]
    assert min(map(len, sounds)) > 24_000
    assert sounds[0] != sounds[1]


def test_text_in_pieces_is_spoken_by_sentence(port: int) -> None:
    async def talking(client: Any) -> list[Event]:
        await client.write_event(SynthesizeStart().event())
        for piece in ("ሰላ", "ም። እን", "ዴት?"):
            await client.write_event(SynthesizeChunk(piece).event())
        await client.write_event(Synthesize("ሰላም። እንዴት?").event())  # for servers that take no pieces
        await client.write_event(SynthesizeStop().event())
        return await events(client, "synthesize-stopped")

    kinds = [event.type for event in talk(port, talking)]
    assert kinds[0] == "audio-start"
    assert kinds[-2:] == ["audio-stop", "synthesize-stopped"]
    assert kinds.count("audio-start") == 1


def test_what_cannot_be_spoken_is_an_error_and_the_connection_goes_on(port: int) -> None:
    async def talking(client: Any) -> list[Event]:
        await client.write_event(Synthesize("ሰላም", SynthesizeVoice(name="formant/nobody")).event())
        found = await events(client, "audio-stop")
        await client.write_event(Synthesize("ሰላም").event())
        assert any(event.payload for event in await events(client, "audio-stop"))
        return found

    error = talk(port, talking)[0]
    assert (error.type, error.data["code"]) == ("error", "server.voice_not_found")


@pytest.mark.parametrize(
    "sent",
    [
        b"\n",
        b"{}\n",
        b"[]\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b'{"type": "synthesize"}\n',
        b'{"type": "synthesize", "data": []}\n',
        b'{"type": "synthesize", "data": {"text": 5}}\n',
        b'{"type": "synthesize", "data": {"text": "x", "voice": "f2"}}\n',
        b'{"type": "synthesize-start", "data": {"voice": {"name": []}}}\n',
        b'{"type": "synthesize", "data": {"text": "\\ud800"}}\n',
        b'{"type": "describe", "data_length": 100}\n{}',
        b'{"type": "describe", "data_length": "x"}\n',
        b'{"type": "describe", "payload_length": 5}\n1',
        b"x" * 2_000_000,
    ],
)
def test_a_client_that_sends_something_else_is_closed(served: tuple[int, Any], sent: bytes) -> None:
    port, server = served
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client, suppress(ConnectionError):
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b""
    assert server.health()["requests"] == 0
    assert not [line for line in server.lines if "Traceback" in line]


@pytest.mark.parametrize("field", ["data_length", "payload_length"])
def test_an_event_without_end_is_not_kept(port: int, field: str) -> None:
    head = f'{{"type": "describe", "{field}": 1000000000000}}\n'.encode()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(head)
        with pytest.raises(ConnectionError):
            client.sendall(bytes(64 << 20))


def test_ray_does_not_serve_it() -> None:
    from dimts.server.cluster import serve
    from dimts.server.settings import ServeSettings

    with pytest.raises(ConfigError) as raised:
        serve([], ServeSettings(wyoming_port=10_200), lambda _: None)
    assert raised.value.code == "server.wyoming_on_ray"
