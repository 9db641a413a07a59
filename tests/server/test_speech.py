"""Speech over HTTP from a real process, asked by OpenAI's own client: formats, streams, seeds, and who
leaves."""

from __future__ import annotations

import base64
import io
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from dimts.audio.encode import STREAMED
from dimts.audio.wave import Wave

TEXT = "ሰላም ለዓለም። እንዴት ናችሁ?"
LONG = "ኢትዮጵያ በአፍሪካ ቀንድ የምትገኝ አገር ናት። " * 50


def spoken(server: Any, **body: Any) -> bytes:
    """The bytes of a request, asked plainly."""
    with server.client() as client:
        answer = client.post("/v1/audio/speech", json={"input": TEXT, "response_format": "pcm", **body})
        assert answer.status_code == 200, answer.text
        return bytes(answer.content)


def heard(data: bytes) -> Wave:
    """A sound file as a wave."""
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(data)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=24_000)
        frames = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    return Wave(np.concatenate([frame.to_ndarray()[0] for frame in frames]), 24_000)


@pytest.mark.parametrize("model", ["tiny", "formant"])
def test_openai_gets_every_format(server: Any, model: str) -> None:
    client = server.openai()
    plain = client.audio.speech.create(model=model, voice="default", input=TEXT, response_format="pcm")
    seconds = len(plain.content) / 48_000
    assert seconds > 1.5
    for form in STREAMED:
        if form == "pcm":
            continue
        answer = client.audio.speech.create(model=model, voice="default", input=TEXT, response_format=form)
        assert answer.response.headers["content-type"] == STREAMED[form]
        assert heard(answer.content).seconds == pytest.approx(seconds, abs=0.15)


def test_openai_streams(server: Any) -> None:
    client = server.openai()
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="sara", input=TEXT, response_format="pcm", extra_body={"seed": 5}
    ) as answer:
        pieces = list(answer.iter_bytes())
        assert answer.headers["transfer-encoding"] == "chunked"
        assert answer.headers["x-dimts-voice"] == "sara"
        assert answer.headers["x-dimts-seed"] == "5"
    assert len(pieces) > 3
    assert b"".join(pieces) == spoken(server, model="tiny", voice={"id": "sara"}, seed=5)


def test_events_carry_the_same_sound(server: Any) -> None:
    with server.client() as client:
        body = {"input": TEXT, "response_format": "pcm", "stream_format": "sse"}
        answer = client.post("/v1/audio/speech", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in answer.text.split("\n\n") if line]
    assert {event["type"] for event in events[:-1]} == {"speech.audio.delta"}
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["input_tokens"] == len(TEXT)
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == spoken(server)


def test_the_whole_has_its_length_and_a_true_header(server: Any) -> None:
    with server.client() as client:
        answer = client.post(
            "/v1/audio/speech", json={"input": TEXT, "response_format": "wav", "stream": False}
        )
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert int.from_bytes(answer.content[4:8], "little") + 8 == len(answer.content)
    assert heard(answer.content).seconds > 1


def test_seed_speed_and_voice_take_effect(server: Any) -> None:
    first = spoken(server, seed=1)
    assert spoken(server, seed=1) == first
    assert spoken(server, seed=2) != first
    assert spoken(server, seed=1, voice="sara") != first
    plain, fast = (len(spoken(server, model="formant", speed=speed)) for speed in (1.0, 1.6))
    assert plain / fast == pytest.approx(1.6, rel=0.12)
    assert spoken(server, model="formant", voice="f2") != spoken(server, model="formant")


def test_instructions_are_taken_with_a_note(server: Any) -> None:
    client = server.openai()
    answer = client.audio.speech.with_raw_response.create(
        model="formant", voice="default", input=TEXT, instructions="like a newsreader"
    )
    assert "instructions" in answer.headers["x-dimts-note"]


def test_many_at_once_sound_as_if_alone(server: Any) -> None:
    if not server.health()["repeatable"]["tiny"]:
        pytest.skip("this machine's matrix products depend on how many rows they have")
    jobs = [
        {
            "input": " ".join([TEXT] * (1 + n % 3)),
            "voice": ("abebe", "sara")[n % 2],
            "seed": n,
            "stream": n % 5 != 0,
        }
        for n in range(10)
    ]
    alone = [spoken(server, **job) for job in jobs]
    with ThreadPoolExecutor(10) as pool:
        together = list(pool.map(lambda job: spoken(server, **job), jobs))
    assert together == alone
    assert len(set(alone)) == len(alone)


def test_what_left_makes_room(server: Any) -> None:
    """A client whose connection is gone in the middle of its stream holds no slot and no place."""
    body = json.dumps({"input": LONG, "response_format": "pcm", "model": "tiny"}).encode()
    at = urlsplit(server.address)
    head = f"POST /v1/audio/speech HTTP/1.1\r\nhost: {at.netloc}\r\ncontent-type: application/json\r\n"
    connections = []
    for _ in range(6):  # more than the slots: some still wait
        connection = socket.create_connection((at.hostname, at.port))
        connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        connections.append(connection)
    connections[0].recv(1000)
    server.until(lambda health: health["requests"] == 6 and health["speaking"]["tiny"] > 0)
    for connection in connections:
        connection.close()
    found = server.until(lambda health: health["requests"] == 0)
    assert found["waiting"]["tiny"] == 0
    server.until(lambda health: health["speaking"]["tiny"] == 0)
    assert len(spoken(server)) > 48_000
    assert {line["ended"] for line in server.log() if line.get("letters") == len(LONG)} == {"left"}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 400, "input"),
        ({"input": ""}, 400, "input"),
        ({"input": "   "}, 400, "input"),
        ({"input": "hello world"}, 400, "input"),
        ({"input": "\x00\x01\x1b[m"}, 400, "input"),
        ({"input": "ሰ" * 2001}, 400, "input"),
        ({"input": 5}, 400, "input"),
        ({"input": TEXT, "speeed": 1}, 400, "speeed"),
        ({"input": TEXT, "speed": 5}, 400, "speed"),
        ({"input": TEXT, "speed": "fast"}, 400, "speed"),
        ({"input": TEXT, "seed": -1}, 400, "seed"),
        ({"input": TEXT, "seed": 2**70}, 400, "seed"),
        ({"input": TEXT, "response_format": "mp4"}, 400, "response_format"),
        ({"input": TEXT, "stream_format": "audio "}, 400, "stream_format"),
        ({"input": TEXT, "model": "gpt-9"}, 404, "model"),
        ({"input": TEXT, "voice": "nobody"}, 404, "voice"),
        ({"input": TEXT, "voice": {"id": "voice_0000000000000000"}}, 404, "voice"),
        ({"input": TEXT, "voice": "../../etc/passwd"}, 404, "voice"),
        ({"input": TEXT, "voice": {"name": "abebe"}}, 400, None),
        ({"input": '<speak><prosody rate="slow">'}, 400, "input"),
        ([1, 2], 400, None),
        ("text", 400, None),
    ],
)
def test_what_cannot_be_said_is_told_clearly(server: Any, body: Any, status: int, param: str | None) -> None:
    with server.client() as client:
        answer = client.post("/v1/audio/speech", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    assert error["message"]
    assert error["type"] in ("invalid_request_error", "not_found_error")
    assert set(error) == {"message", "type", "param", "code"}
    if param:
        assert error["param"] == param


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe\x00", "application/json", 400),
        (b'{"input": "\\ud800\\ud800"}', "application/json", 400),
        (b'{"input": NaN}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"input": "\xe1\x88\xb0"}', "text/plain", 400),
        (b"", "application/json", 400),
        (b"a" * 10_000_000, "application/json", 413),
        (b'{"input": "' + "ሰላም ".encode() * 900_000 + b'"}', "application/json", 413),
    ],
)
def test_bodies_that_are_none(server: Any, content: bytes, kind: str, status: int) -> None:
    with server.client() as client:
        answer = client.post("/v1/audio/speech", content=content, headers={"content-type": kind})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["message"]


def test_a_body_that_does_not_say_how_long_it_is(server: Any) -> None:
    with server.client() as client:
        answer = client.post(
            "/v1/audio/speech",
            content=(b"a" * 100_000 for _ in range(100)),
            headers={"content-type": "application/json"},
        )
    assert answer.status_code == 413
