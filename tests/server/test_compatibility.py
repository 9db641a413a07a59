"""What clients of OpenAI and of xtts-api-server send by themselves is understood, and what has no effect is
named."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from dimts.server.models import OPENAI_VOICES

from .conftest import serving

TEXT = "ሰላም ለዓለም።"
SITE = "https://app.example"


@pytest.fixture(scope="module")
def formant() -> Iterator[Any]:
    """A server of the formant voice that pages of one site may use, with the paths of xtts-api-server."""
    with serving(
        "--set=serve.xtts_api=true",
        f'--set=serve.origins=["{SITE}"]',
        '--set=serve.model_aliases={news="formant"}',
    ) as found:
        yield found


def speech(server: Any, **body: Any) -> Any:
    with server.client() as client:
        return client.post("/v1/audio/speech", json={"input": TEXT, "response_format": "pcm", **body})


@pytest.mark.parametrize("voice", sorted(OPENAI_VOICES))
def test_voices_of_openai_are_the_default_with_a_note(formant: Any, voice: str) -> None:
    answer = speech(formant, voice=voice)
    assert answer.status_code == 200
    assert voice in answer.headers["x-dimts-note"]
    assert answer.headers["x-dimts-voice"] == "default"


@pytest.mark.parametrize(
    "model",
    [
        "tts-1",
        "tts-1-hd",
        "tts-1-1106",
        "tts-1-hd-1106",
        "gpt-4o-mini-tts",
        "gpt-4o-mini-tts-2025-12-15",
        "news",
        "",
    ],
)
def test_models_of_openai_are_the_first(formant: Any, model: str) -> None:
    assert speech(formant, model=model).headers["x-dimts-model"] == "formant"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"user": "abc"}, "user"),
        ({"instructions": "cheerful"}, "instructions"),
        ({"language": "en"}, "language"),
        ({"lang_code": "en-us"}, "lang_code"),
        ({"return_timestamps": True}, "return_timestamps"),
        ({"speed": 4}, "speed"),
        ({"speed": 0.25}, "speed"),
    ],
)
def test_what_has_no_effect_is_accepted_and_named(formant: Any, fields: dict[str, Any], named: str) -> None:
    answer = speech(formant, **fields)
    assert answer.status_code == 200
    assert named in answer.headers["x-dimts-note"]


def test_nulls_and_the_right_language_need_no_note(formant: Any) -> None:
    empty = dict.fromkeys(
        ("voice", "model", "speed", "seed", "instructions", "user", "stream", "response_format")
    )
    answer = speech(formant, **empty, language="am", lang_code="am-ET")
    assert answer.status_code == 200
    assert "x-dimts-note" not in answer.headers
    assert answer.headers["x-accel-buffering"] == "no"


@pytest.mark.parametrize("name", ["\b", "a\r\nSet-Cookie: b=c", "ስም", "é\0", "%", "x" * 20_000])
def test_a_field_of_any_name_is_named(formant: Any, name: str) -> None:
    answer = speech(formant, **{name: False})
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    note = answer.headers["x-dimts-note"]
    assert " ".join(name.split())[:900] in unquote(note)
    assert len(note) <= 1000
    assert len(answer.content) > 10_000


def test_a_misspelt_field_names_the_right_one(formant: Any) -> None:
    error = speech(formant, speeed=2).json()["error"]
    assert (error["param"], error["code"]) == ("speeed", "unknown_field")
    assert "speed" in error["message"]


def test_a_misspelt_field_may_have_any_letters(formant: Any) -> None:
    with formant.client() as client:
        body = b'{"input": "x", "speeed\\ud800": 1}'
        answer = client.post("/v1/audio/speech", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unknown_field")


@pytest.mark.parametrize("form", ["wav", "flac"])
@pytest.mark.parametrize("stream", [True, False])
def test_files_of_short_texts_say_how_long_they_are(formant: Any, form: str, stream: bool) -> None:
    import soundfile

    plain = len(speech(formant).content) // 2
    answer = speech(formant, response_format=form, stream=stream)
    assert int(answer.headers["content-length"]) == len(answer.content)
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert (len(samples), rate) == (plain, 24_000)


def test_a_whole_mp3_has_a_xing_header(formant: Any) -> None:
    data = speech(formant, response_format="mp3", stream=False).content
    assert b"Xing" in data[:200] or b"Info" in data[:200]


@pytest.mark.parametrize(
    "path", ["/health", "/v1/models", "/v1/voices", "/metrics", "/docs", "/openapi.json"]
)
def test_head_is_get_without_its_body(formant: Any, path: str) -> None:
    with formant.client() as client:
        head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content, get.status_code) == (200, b"", 200)
    assert head.headers["content-type"] == get.headers["content-type"]


def test_lists_under_audio(formant: Any) -> None:
    with formant.client() as client:
        assert client.get("/v1/audio/voices").json() == client.get("/v1/voices").json()
        assert client.get("/v1/audio/models").json() == client.get("/v1/models").json()


def test_a_page_of_the_named_site_may_ask(formant: Any) -> None:
    asked = {"origin": SITE, "access-control-request-method": "POST"}
    with formant.client() as client:
        allowed = client.options("/v1/audio/speech", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == SITE
        answer = client.post("/v1/audio/speech", json={"input": TEXT}, headers={"origin": SITE})
        assert answer.headers["access-control-allow-origin"] == SITE
        assert "x-dimts-seed" in answer.headers["access-control-expose-headers"]
        foreign = client.post(
            "/v1/audio/speech", json={"input": TEXT}, headers={"origin": "https://evil.example"}
        )
        assert foreign.status_code == 403
        assert "access-control-allow-origin" not in foreign.headers
        refused = client.options("/v1/audio/speech", headers={**asked, "origin": "https://evil.example"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "foreign_origin")
        assert "access-control-allow-origin" not in refused.headers


def test_no_page_may_ask_by_default(server: Any) -> None:
    with server.client() as client:
        answer = client.get("/v1/models", headers={"origin": SITE})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_paths_of_xtts_api_server(formant: Any) -> None:
    with formant.client() as client:
        names = [speaker["voice_id"] for speaker in client.get("/speakers").json()]
        assert names == client.get("/speakers_list").json()
        assert client.get("/languages").json() == {"languages": {"Amharic": "am"}}
        assert (
            client.post("/set_tts_settings", json={"temperature": 0.7, "stream_chunk_size": 100}).status_code
            == 200
        )
        body = {"text": TEXT, "speaker_wav": f"{names[1]}.wav", "language": "am"}
        whole = client.post("/tts_to_audio/", json=body)
        streamed = client.get("/tts_stream", params=body)
    assert whole.headers["content-type"] == streamed.headers["content-type"] == "audio/wav"
    assert whole.content[44:] == streamed.content[44:]
    assert whole.headers["x-dimts-voice"] == names[1]


def test_those_paths_are_off_by_default(server: Any) -> None:
    with server.client() as client:
        assert client.get("/speakers").status_code == 404
