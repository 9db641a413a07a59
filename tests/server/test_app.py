"""The other routes: models, voices that are uploaded and deleted, the front end, health, figures, the
page."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from dimts.audio.wave import Wave

TEXT = "ሰላም ለዓለም። እንዴት ናችሁ?"
CONSENT = "signed form of 2026-03-01, Abebe Kebede"


def recording(seconds: float = 4.0) -> bytes:
    from dimts.speak import Speaker

    wave = Speaker.load("formant").say("ገበሬው ማሳውን በበሬ ያርሳል። እናቴ ጣፋጭ እንጀራ ትጋግራለች።")
    return wave.cut(0, seconds).encode("flac")


def upload(server: Any, data: bytes, **fields: str) -> Any:
    with server.client() as client:
        return client.post("/v1/voices", files={"file": ("abebe.flac", data)}, data=fields)


def test_models(server: Any) -> None:
    assert [model.id for model in server.openai().models.list()] == ["tiny", "formant"]
    assert server.openai().models.retrieve("formant").owned_by == "dimts"
    with server.client() as client:
        assert client.get("/v1/models/nobody").status_code == 404


def test_voices(server: Any) -> None:
    with server.client() as client:
        rows = client.get("/v1/voices").json()["data"]
    assert [row["name"] for row in rows if row["model"] == "tiny"] == ["abebe", "sara"]
    assert {"default", "f2"} <= {row["name"] for row in rows if row["model"] == "formant"}


def test_a_voice_is_uploaded_spoken_with_and_deleted(server: Any) -> None:
    made = upload(server, recording(), name="አበበ", consent=CONSENT, model="tiny")
    assert made.status_code == 201, made.text
    voice = made.json()
    assert (voice["name"], voice["consent"], voice["kind"], voice["model"]) == (
        "አበበ",
        CONSENT,
        "uploaded",
        "tiny",
    )
    client = server.openai()
    ask = {"model": "tiny", "input": TEXT, "response_format": "pcm"}
    by_name = client.audio.speech.create(voice="አበበ", **ask).content
    assert client.audio.speech.create(voice={"id": voice["id"]}, **ask).content == by_name
    assert client.audio.speech.create(voice="abebe", **ask).content != by_name
    with server.client() as plain:
        assert voice["id"] in [row["id"] for row in plain.get("/v1/voices").json()["data"]]
        again = upload(server, recording(), name="አበበ", consent=CONSENT)
        assert (again.status_code, again.json()["error"]["code"]) == (400, "voice_exists")
        assert plain.delete(f"/v1/voices/{voice['id']}").json()["deleted"] is True
        assert plain.delete(f"/v1/voices/{voice['id']}").status_code == 404
        assert plain.post("/v1/audio/speech", json={"input": TEXT, "voice": voice["id"]}).status_code == 404


def test_the_consent_is_kept_with_the_voice_and_the_recording_is_not(tmp_path: Path, bundle: Path) -> None:
    from dimts.server.voice_store import UploadedVoice, VoiceStore
    from dimts.speak import Speaker
    from dimts.xtts.voice import Voice

    path = tmp_path / "upload"
    path.write_bytes(recording())
    shelf = VoiceStore(tmp_path / "voices")
    made = shelf.add(
        Speaker.load(bundle), path, UploadedVoice("", "abebe2", "tiny", "me", CONSENT, 0, "00"), 60
    )
    assert sorted(file.suffix for file in shelf.folder.iterdir()) == [".json", ".voice"]
    assert Voice.load(shelf.folder / f"{made.id}.voice").meta["consent"] == CONSENT
    assert [one.id for one in VoiceStore(shelf.folder).all("me")] == [made.id]
    assert list(shelf.all("somebody")) == []
    assert shelf.find("abebe2", "tiny", "somebody") is None
    assert not shelf.delete(made.id, "somebody")
    assert shelf.delete(made.id, "me")
    assert list(shelf.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": "x"}, "consent"),
        ({"name": "x", "consent": "yes"}, "consent"),
        ({"name": "x", "consent": " " * 20}, "consent"),
        ({"consent": CONSENT}, "name"),
        ({"name": "\x00\x01", "consent": CONSENT}, "name"),
        ({"name": "abebe", "consent": CONSENT}, "name"),
        ({"name": "x", "consent": CONSENT, "model": "nobody"}, "model"),
    ],
)
def test_a_voice_without_name_or_consent_is_refused(server: Any, fields: dict[str, str], param: str) -> None:
    answer = upload(server, b"whatever", **fields)
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"", "empty"), (b"no sound at all", "not a sound"),
     (Wave.silence(0.2, 8000).encode("wav"), "too short"),
     (Wave.silence(300, 8000).encode("flac"), "longer than")],
)  # fmt: skip
def test_recordings_that_are_none(server: Any, data: bytes, said: str) -> None:
    answer = upload(server, data, name="x", consent=CONSENT)
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["error"]["message"]
    assert "/tmp" not in answer.text


def test_too_large_an_upload_and_a_model_that_cannot_listen(server: Any) -> None:
    assert upload(server, b"0" * 26_000_000, name="x", consent=CONSENT).status_code == 413
    answer = upload(server, recording(), name="x", consent=CONSENT, model="formant")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "speak.formant_cannot_clone")
    with server.client() as client:
        assert client.delete("/v1/voices/abebe").status_code == 403
        assert client.delete("/v1/voices/..%2f..%2fetc").status_code == 404


def test_the_front_end_as_a_service(server: Any) -> None:
    import dimts

    with server.client() as client:
        text = "በ2017 ዓ.ም 10 ብር"
        assert client.post("/v1/normalise", json={"input": text}).json()["text"] == dimts.normalise(text)
        found = client.post("/v1/phones", json={"input": "ሰላም ለዓለም\nሰላም", "model": "formant"}).json()
        assert found["phones"].split("\n") == ["s ə l a m # l ə ʔ a l ə m", "s ə l a m"]
        assert [word["written"] for word in found["phrases"][0]["words"]][:2] == ["ሰላም", "ለዓለም"]
        assert (
            client.post("/v1/phones", json={"input": "ሰ" * 2001}).json()["error"]["code"] == "text_too_long"
        )


def test_health_and_figures(server: Any) -> None:
    health = server.health()
    assert (health["status"], health["models"], health["slots"]) == ("ok", ["tiny", "formant"], 4)
    with server.client() as client:
        before = figure(client.get("/metrics").text, 'dimts_speeches_total{how="done",model="formant"}')
        client.post("/v1/audio/speech", json={"input": TEXT, "model": "formant"})
        # A speech is counted once its answer has been sent, which the client may see first.
        done = 'dimts_speeches_total{how="done",model="formant"}'
        server.until(lambda _: figure(client.get("/metrics").text, done) > before)
        text = client.get("/metrics").text
    assert figure(text, done) == before + 1
    assert figure(text, 'dimts_first_sound_seconds_count{model="formant"}') >= 1
    assert figure(text, "dimts_places") == 36


def figure(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_every_request_has_an_id_and_a_line_in_the_log(server: Any) -> None:
    with server.client() as client:
        mine = client.post("/v1/audio/speech", json={"input": TEXT}, headers={"x-request-id": "mine-1"})
        odd = client.get("/v1/models", headers={"x-request-id": "a b\tc"})
    assert mine.headers["x-request-id"] == "mine-1"
    assert re.fullmatch(r"[0-9a-f]{16}", odd.headers["x-request-id"])
    server.until(lambda _: any(line.get("request") == "mine-1" for line in server.log()))
    line = next(line for line in server.log() if line.get("request") == "mine-1")
    assert (line["status"], line["letters"], line["voice"], line["ended"]) == (
        200,
        len(TEXT),
        "abebe",
        "done",
    )
    assert line["speech_seconds"] > 0.5
    assert "ሰላም" not in "".join(server.lines), "no text in the log"


def test_the_page_needs_no_other_host(server: Any) -> None:
    with server.client() as client:
        page = client.get("/docs")
        schema = client.get("/openapi.json").json()
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert re.findall(r'(?:src|href)=(?!"openapi\.json")', page.text) == []
    for path in schema["paths"]:
        assert f"<code>{path}</code>" in page.text
    assert "422" not in str({status for item in schema["paths"].values() for one in item.values()
                             for status in one["responses"]})  # fmt: skip


def test_another_site_gets_nothing(server: Any) -> None:
    with server.client() as client:
        assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 421
        assert client.get("/v1/models", headers={"host": "[::1"}).status_code == 421
        assert client.get("/v1/models", headers={"origin": "https://evil.example"}).status_code == 403
        assert client.get("/v1/models", headers={"origin": server.address}).status_code == 200


def test_other_paths_and_methods(server: Any) -> None:
    with server.client() as client:
        for answer, status in ((client.get("/nothing"), 404), (client.put("/v1/models"), 405),
                               (client.get("/v1/audio/speech"), 405)):  # fmt: skip
            assert answer.status_code == status
            assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "sent",
    [b"no HTTP\r\n\r\n", b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"],
)
def test_what_is_no_request_gets_openais_shape(server: Any, sent: bytes) -> None:
    port = int(server.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(sent)
        answer = b""
        while piece := client.recv(1000):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "unreadable_request"
