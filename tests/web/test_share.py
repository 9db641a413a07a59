"""What is passed on: zips of a voice and of the data set, a sound for one telephone, samples of voices."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dimts.base.errors import DataError, DimtsError, ProjectError, SynthesisError
from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.web import archive, phone, samples
from dimts.web.strings import Strings
from dimts.web.synthesis import Speakers
from dimts.web.workspace import Workspace


def test_a_voice_goes_out_with_card_licence_and_the_line_that_serves_it(
    project: Project, tmp_path: Path
) -> None:
    folder = project.voices / "abebe"
    folder.mkdir(parents=True)
    meta = {"licence_of_recordings": "CC-BY-4.0", "consent": "signed form", "attribution": ["by Abebe"]}
    (folder / "bundle.json").write_text(json.dumps({"meta": meta}), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"w" * 10_000)
    seen = []
    made = archive.zip_voice(project, "abebe", tmp_path, seen.append)
    with zipfile.ZipFile(made) as found:
        assert found.testzip() is None
        assert set(found.namelist()) == {
            f"abebe/{name}"
            for name in ("bundle.json", "model.safetensors", "LICENCE", "README.md", "SERVE.txt")
        }
        licence = found.read("abebe/LICENCE").decode()
        assert "CC-BY-4.0" in licence
        assert "signed form" in licence
        assert "by Abebe" in licence
        assert "dimts serve ./abebe" in found.read("abebe/SERVE.txt").decode()
        assert found.read("abebe/model.safetensors") == b"w" * 10_000
    assert seen[-1].done == seen[-1].total
    # its own card and licence are not replaced
    for name in ("README.md", "LICENCE"):
        (folder / name).write_text("its own", encoding="utf-8")
    with zipfile.ZipFile(archive.zip_voice(project, "abebe", tmp_path)) as found:
        assert found.read("abebe/README.md") == found.read("abebe/LICENCE") == b"its own"
    with pytest.raises(ProjectError):
        archive.zip_voice(project, "../abebe", tmp_path)


def test_the_data_set_goes_out_in_a_layout_of_the_command(project: Project, tmp_path: Path) -> None:
    project.clips.mkdir()
    (project.clips / "one.wav").write_bytes(b"x" * 50)
    row = Utterance(id="one", name="one", source="recordings/one.wav", path="clips/one.wav", text="ሰላም",
                    spoken="ሰላም", kept=True, seconds=1.0, split="train", licence="CC0-1.0")  # fmt: skip
    Manifest.write(project.manifest, [row])
    made = archive.zip_data(project, "ljspeech", tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path != project.root.parent] == [made.name]
    with zipfile.ZipFile(made) as found:
        assert found.read("abebe-ljspeech/metadata.csv").decode() == "one|ሰላም|ሰላም\n"
        assert "abebe-ljspeech/wavs/one.wav" in found.namelist()
        assert "CC0-1.0" in found.read("abebe-ljspeech/LICENCE.txt").decode()
    with pytest.raises(DataError):
        archive.zip_data(project, "nonsense", tmp_path)


@pytest.fixture
def link(tmp_path: Path) -> Iterator[phone.PhoneLink]:
    """A link to a sound, on this machine's own address."""
    sound = tmp_path / "a.mp3"
    sound.write_bytes(bytes(range(256)) * 4)
    links = phone.PhoneLinks()
    yield links.open(sound, Strings("am"), host="127.0.0.1")
    links.close()


def ask(
    link: phone.PhoneLink, path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer; nothing is followed."""
    place = urlsplit(link.address)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=30)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def test_the_key_of_a_telephone_works_once(link: phone.PhoneLink) -> None:
    key = urlsplit(link.address).path
    assert ask(link, f"{key}/sound.mp3")[0] == 404  # not before the button is pressed
    for _ in range(2):  # who looks at the link beforehand spends nothing
        status, _, body = ask(link, key)
        assert status == 200
        assert Strings("am")("phone.listen") in body.decode()
    status, headers, _ = ask(link, key, "POST")
    assert status == 303
    cookie = headers["set-cookie"].partition(";")[0]
    assert "HttpOnly" in headers["set-cookie"]
    assert b"<audio" in ask(link, key, Cookie=cookie)[2]
    status, headers, body = ask(link, f"{key}/sound.mp3", Cookie=cookie)
    assert (status, body) == (200, bytes(range(256)) * 4)
    status, headers, body = ask(link, f"{key}/sound.mp3", Cookie=cookie, Range="bytes=0-1")
    assert (status, headers["content-range"], body) == (206, "bytes 0-1/1024", b"\0\1")
    # any other telephone
    assert ask(link, key)[0] == ask(link, key, "POST")[0] == ask(link, f"{key}/sound.mp3")[0] == 404
    assert ask(link, key, Cookie="dimts-phone=guess")[0] == 404
    assert ask(link, "/guess")[0] == ask(link, "/")[0] == 404


def test_the_next_link_closes_the_one_before(tmp_path: Path) -> None:
    sound = tmp_path / "a.mp3"
    sound.write_bytes(b"x")
    links = phone.PhoneLinks()
    first = links.open(sound, Strings("en"), host="127.0.0.1")
    second = links.open(sound, Strings("en"), host="127.0.0.1")
    assert first.key != second.key
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(first.address, timeout=10)
    assert ask(second, urlsplit(second.address).path)[0] == 200
    links.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(second.address, timeout=10)
    with pytest.raises(DimtsError):
        links.open(sound, Strings("en"), host="192.0.2.1")  # an address that is not ours
    assert phone.qr_code(first.address).startswith("<svg")


@example("bytes=²-", 10)
@given(st.text() | st.from_regex(r"bytes=\d*-\d*", fullmatch=True), st.integers(1, 10_000))
def test_any_range_is_within_the_sound(text: str, size: int) -> None:
    for first, last in phone._range(text, size):
        assert 0 <= first <= last < size


@given(st.integers(0, 99), st.integers(0, 200))
def test_a_range_is_what_was_asked_for(first: int, length: int) -> None:
    assert list(phone._range(f"bytes={first}-{first + length}", 100)) == [(first, min(first + length, 99))]
    assert list(phone._range(f"bytes={first}-", 100)) == [(first, 99)]


def test_a_sample_is_made_once_and_only_of_known_voices(workspace: Workspace) -> None:
    from dimts.audio.wave import Wave

    speakers = Speakers()
    made = samples.sample_file(workspace, speakers, "formant")
    assert Wave.load(made).seconds > 1
    stamp = made.stat().st_mtime_ns
    assert samples.sample_file(workspace, speakers, "formant") == made
    assert made.stat().st_mtime_ns == stamp
    (workspace.project("abebe").voices / "half").mkdir(parents=True)  # a voice whose making was cut off
    for path in ("nobody", "../formant", "abebe/nobody", "abebe/half", ""):
        with pytest.raises((ProjectError, SynthesisError)):
            samples.sample_file(workspace, speakers, path)
