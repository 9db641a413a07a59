"""Adding: files are copied with their texts, links are fetched with their subtitles; here from a page on
loopback."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dimts.base.errors import SourceError
from dimts.base.project import Project
from dimts.data.add import add
from dimts.data.manifest import Manifest
from dimts.data.prepare import prepare
from dimts.data.sources import find_recordings


@pytest.fixture
def recording(tmp_path: Path, speech: Any) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    said = speech.said(speech.sentences[6])
    speech.room(said.wave).save(folder / "talk.wav")
    (folder / "talk.txt").write_text(said.text, encoding="utf-8")
    return folder / "talk.wav"


def test_a_file_comes_with_its_text(project: Project, recording: Path) -> None:
    added = add(project, [str(recording)])
    assert [path.name for path in added] == ["talk.wav", "talk.txt"]
    assert (project.recordings / "talk.wav").read_bytes() == recording.read_bytes()
    assert add(project, [str(recording)]) == []
    assert prepare(project).kept == 1


def test_a_folder_comes_whole(project: Project, recording: Path) -> None:
    assert len(add(project, [str(recording.parent)])) == 2
    assert (project.recordings / "mine" / "talk.wav").is_file()
    assert add(project, [str(project.recordings)]) == []


@pytest.mark.parametrize("form", ["zip", "gztar"])
def test_an_archive_is_unpacked_without_what_is_hidden(project: Project, tmp_path: Path, form: str) -> None:
    folder = tmp_path / "ሰላም corpus"
    for name in ("wavs/a.wav", "wavs/._a.wav", "__MACOSX/._b.wav", ".git/c.wav", "metadata.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, encoding="utf-8")
    archive = shutil.make_archive(str(tmp_path / "my corpus"), form, folder)
    added = add(project, [archive])
    target = project.recordings / "my corpus"
    assert sorted(added) == [target / "metadata.csv", target / "wavs" / "a.wav"]
    assert sorted(project.recordings.iterdir()) == [target]
    assert add(project, [archive]) == []
    Path(archive).write_bytes(Path(archive).read_bytes()[:100])
    with pytest.raises(SourceError) as caught:
        add(project, [archive])
    assert caught.value.code == "base.archive_broken"
    assert sorted(project.recordings.iterdir()) == [target]


def test_another_recording_of_the_same_name_overwrites_nothing(project: Project, recording: Path) -> None:
    add(project, [str(recording)])
    before = (project.recordings / "talk.wav").read_bytes()
    recording.write_bytes(recording.read_bytes() + b"\0\0")
    with pytest.raises(SourceError, match="already"):
        add(project, [str(recording)])
    assert (project.recordings / "talk.wav").read_bytes() == before


def test_what_is_not_there_is_named(project: Project) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.wav"):
        add(project, ["nowhere.wav"])


class Site(http.server.SimpleHTTPRequestHandler):
    """A folder over http, silently."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def site(tmp_path: Path, recording: Path) -> Iterator[str]:
    """A page with a recording and its subtitles, on loopback."""
    folder = recording.parent
    text = recording.with_suffix(".txt").read_text(encoding="utf-8")
    recording.with_suffix(".txt").unlink()
    (folder / "talk.vtt").write_text(f"WEBVTT\n\n00:00.300 --> 00:03.000\n{text}\n", encoding="utf-8")
    (folder / "page.html").write_text(
        "<html><head><title>A talk</title></head><body><video><source src='talk.wav' type='audio/wav'>"
        "<track kind='subtitles' src='talk.vtt' srclang='am'></video></body></html>",
        encoding="utf-8",
    )

    def handler(*arguments: Any) -> Site:
        return Site(*arguments, directory=str(folder))

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_link_is_fetched_with_its_subtitles_and_its_origin(project: Project, site: str) -> None:
    pytest.importorskip("yt_dlp")
    added = add(project, [f"{site}/page.html"])
    assert sorted(path.suffix for path in added) == [".json", ".vtt", ".wav"]
    (one,) = find_recordings([project.recordings])
    assert one.by == "subtitle"
    assert one.origin == f"{site}/page.html"
    assert prepare(project).kept == 1
    assert Manifest.read(project.manifest)[0].origin == f"{site}/page.html"
    assert add(project, [f"{site}/page.html"]) == []


def test_the_licence_a_site_states_goes_into_every_recording(project: Project, site: str) -> None:
    pytest.importorskip("yt_dlp")
    note = next(path for path in add(project, [f"{site}/page.html"]) if path.suffix == ".json")
    facts = json.loads(note.read_text(encoding="utf-8"))
    assert set(facts) == {"link", "title", "channel", "licence"}
    note.write_text(json.dumps({**facts, "licence": "CC-BY-4.0"}), encoding="utf-8")  # this page states none
    (one,) = find_recordings([project.recordings])
    assert one.licence == "CC-BY-4.0"


def test_a_link_to_the_sound_itself_will_do(project: Project, site: str) -> None:
    pytest.importorskip("yt_dlp")
    added = add(project, [f"{site}/talk.wav"])
    note = next(path for path in added if path.suffix == ".json")
    assert json.loads(note.read_text(encoding="utf-8"))["link"] == f"{site}/talk.wav"


def test_a_file_of_links_is_fetched_link_by_link(project: Project, site: str, tmp_path: Path) -> None:
    pytest.importorskip("yt_dlp")
    links = tmp_path / "links.txt"
    links.write_text(f"# my talks\n\n{site}/talk.wav\n", encoding="utf-8")
    (sound, note) = add(project, [str(links)])
    assert (sound.suffix, note.name) == (".wav", f"{sound.stem}.source.json")


def test_a_link_to_nothing_is_an_error_and_leaves_nothing(project: Project, site: str) -> None:
    pytest.importorskip("yt_dlp")
    with pytest.raises(SourceError, match="nothing could be fetched"):
        add(project, [f"{site}/none.html"])
    assert list(project.recordings.iterdir()) == []


@pytest.fixture
def channel(site: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same site as one whose own extractor yt-dlp has: a licence, manual subtitles, captions of a
    recogniser.

    No site that states these can be had on loopback, so the extractor is the test's; all else is yt-dlp's
    own.
    """
    yt_dlp = pytest.importorskip("yt_dlp")
    from yt_dlp.extractor.common import InfoExtractor

    class TestTubeIE(InfoExtractor):  # type: ignore[misc]
        _VALID_URL = r"http://127\.0\.0\.1:\d+/watch/(?P<id>\w+)"

        def _real_extract(self, url: str) -> dict[str, Any]:
            facts = self._download_json(f"{site}/watch.json", self._match_id(url))
            return {**facts, "id": self._match_id(url), "url": f"{site}/talk.wav"}

    known = yt_dlp.YoutubeDL.add_default_info_extractors

    def with_ours(self: Any) -> None:
        self.add_info_extractor(TestTubeIE())
        known(self)

    monkeypatch.setattr(yt_dlp.YoutubeDL, "add_default_info_extractors", with_ours)
    return site


def captions(site: str, *names: str) -> dict[str, list[dict[str, str]]]:
    return {name.rpartition(".")[2]: [{"url": f"{site}/{name}.vtt", "ext": "vtt"}] for name in names}


def test_manual_subtitles_are_preferred_and_the_stated_licence_is_kept(
    project: Project, channel: str, recording: Path
) -> None:
    """Manual `am` goes before `am-ET` and before another language; a recogniser's captions are never
    taken."""
    folder = recording.parent
    manual = (folder / "talk.vtt").read_text(encoding="utf-8")
    for name in ("manual.am", "manual.am-ET", "manual.en", "guess.am"):
        (folder / f"{name}.vtt").write_text(
            manual.replace("\n\n", f"\n\nNOTE {name}\n\n", 1), encoding="utf-8"
        )
    facts = {
        "title": "A talk",
        "channel": "Abebe",
        "license": "Creative Commons Attribution licence (reuse allowed)",
        "subtitles": captions(channel, "manual.am-ET", "manual.am", "manual.en"),
        "automatic_captions": captions(channel, "guess.am"),
    }
    (folder / "watch.json").write_text(json.dumps(facts), encoding="utf-8")
    added = add(project, [f"{channel}/watch/one"])
    (taken,) = [path for path in added if path.suffix == ".vtt"]
    assert "NOTE manual.am\n" in taken.read_text(encoding="utf-8")
    assert prepare(project).kept == 1
    (row,) = Manifest.read(project.manifest)
    assert row.by == "subtitle"
    assert row.origin == f"{channel}/watch/one"
    assert row.licence == facts["license"]

    (folder / "watch.json").write_text(
        json.dumps({**facts, "title": "Other", "subtitles": {}}), encoding="utf-8"
    )
    added = add(project, [f"{channel}/watch/two"])
    assert sorted(path.suffix for path in added) == [".json", ".wav"]
