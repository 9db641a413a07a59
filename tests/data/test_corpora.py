"""Public corpora, from look-alikes of their servers on loopback that cut the line, lie, refuse and are
down."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dimts.audio.wave import Wave
from dimts.base.errors import DataError, DimtsError
from dimts.base.project import Project
from dimts.cli.main import main as run_cli
from dimts.data import corpora as module
from dimts.data.check import CheckSettings
from dimts.data.corpora import CorpusOffer, PublicCorpus, attributions, corpora, fetch_corpus, offer
from dimts.data.dataset_checks import check_dataset
from dimts.data.export import export
from dimts.data.licences import is_free, spdx
from dimts.data.manifest import Manifest, Utterance
from dimts.data.sources import find_recordings
from dimts.data.split import SplitSettings
from dimts.xtts import hub
from dimts.xtts.download import Acceptance
from tests.file_server import send_from

COMMIT = "89abcdef0123456789abcdef0123456789abcdef"
TOKEN = "hf_of-the-test"
YES = Acceptance("test")
TEXTS = ("ሰላም ለዓለም", "ዛሬ ጥሩ ቀን ነው", "ልጆቹ ትምህርት ቤት ሄዱ")


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Wave.silence(0.2, 8000).save(tmp_path_factory.mktemp("sound") / "a.wav").read_bytes()


def tarred(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in members.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(data)
            tar.addfile(facts, io.BytesIO(data))
    return out.getvalue()


def parquet(rows: list[dict[str, object]]) -> bytes:
    arrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet

    out = io.BytesIO()
    pyarrow.parquet.write_table(arrow.Table.from_pylist(rows), out)
    return out.getvalue()


def fleurs(wav: bytes) -> dict[str, bytes]:
    """A row: id, file, text as written, text, its letters, samples, gender; texts come several times."""
    files: dict[str, bytes] = {}
    for split, numbers in (("train", (0, 1)), ("dev", (2,)), ("test", (1,))):
        lines = [
            f"{n}\t{split}{n}.wav\t{TEXTS[n]}።\t{TEXTS[n]}"
            f"\t{' '.join(TEXTS[n].replace(' ', '|'))}\t1600\tFEMALE"
            for n in numbers
        ]
        files[f"data/am_et/{split}.tsv"] = ("\n".join(lines) + "\n").encode()
        members = {f"{split}/{split}{n}.wav": wav + bytes([n, len(split)]) for n in numbers}
        files[f"data/am_et/audio/{split}.tar.gz"] = tarred(members)
    return {**files, "data/af_za/train.tsv": b"1\tx.wav\tx\tx\tx\t1\tMALE\n", "README.md": b"# FLEURS\n"}


def afrivoice(wav: bytes) -> dict[str, bytes]:
    rows = [
        {"audio_path": f"/root/{n}.wav", "transcription": text, "speaker_id": "s1"}
        for n, text in enumerate(TEXTS)
    ]
    table = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
    members = {f"{n}.wav": wav + bytes([n]) for n in range(3)}
    return {
        "am/scripted/manifest.jsonl": table,
        "am/scripted/audio.tar.xz": tarred({**members, "9.jpg": b"JPEG"}, "w:xz"),
        "om/scripted/manifest.jsonl": table,
    }


def waxal(wav: bytes) -> dict[str, bytes]:
    def rows(first: int, last: int) -> bytes:
        return parquet(
            [
                {
                    "id": f"w{n}",
                    "speaker_id": f"s{n}",
                    "transcription": TEXTS[n],
                    "language": "amh",
                    "gender": "f",
                    "audio": {"bytes": wav + bytes([n]), "path": f"w{n}.wav"},
                }
                for n in range(first, last)
            ]
        )

    return {
        "data/ASR/amh/amh-train-00000.parquet": rows(0, 2),
        "data/ASR/amh/amh-test-00000.parquet": rows(2, 3),
        "data/ASR/amh/amh-unlabeled-00000.parquet": rows(0, 1),
        "data/TTS/amh/amh-train-00000.parquet": rows(0, 1),
    }


def leyu(wav: bytes, number: int) -> dict[str, bytes]:
    audio = {"bytes": wav + bytes([100 + number]), "path": f"l{number}.wav"}
    return {
        "data/train-00000-of-00001.parquet": parquet(
            [
                {
                    "audio": audio,
                    "text": TEXTS[number % 3],
                    "dialect": "x",
                    "speaker_id": f"s{number}",
                    "gender": "f",
                }
            ]
        )
    }


def alffa(wav: bytes) -> bytes:
    members = {}
    for split, numbers in (("train", (0, 1)), ("test", (2,))):
        top = f"data_readspeech_am/data/{split}"
        names = {n: f"tr_{n}_tr0100{n}" for n in numbers}
        members[f"{top}/wav.scp"] = "".join(f"{one} /home/x/{one}.wav\n" for one in names.values()).encode()
        members[f"{top}/text"] = "".join(f"{one} {TEXTS[n]}\n" for n, one in names.items()).encode()
        members[f"{top}/utt2spk"] = "".join(f"{one} s{n}\n" for n, one in names.items()).encode()
        members |= {f"{top}/wav/{one}.wav": wav + bytes([n]) for n, one in names.items()}
        members |= {f"{top}/wav/._{one}.wav": b"x" for one in names.values()}
    return tarred(members, "w:bz2")


class Servers:
    """What the look-alike serves, and how it behaves."""

    def __init__(self) -> None:
        self.address = ""
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.web: dict[str, bytes] = {}
        self.licence: object = "cc-by-4.0"
        self.gated: set[str] = set()
        self.cut_after: dict[str, list[int]] = {}
        self.lies: set[str] = set()
        self.gets: list[tuple[str, str]] = []
        """(file, Range header) of every GET of content."""
        self.tokens: list[str] = []


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wav: bytes) -> Iterator[Servers]:
    state = Servers()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            path = self.path.partition("?")[0]
            if found := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/revision/[^/]+", path):
                return (
                    self.listing(found[1])
                    if found[1] in state.repositories
                    else self.plain(404, "RepoNotFound")
                )
            if found := re.fullmatch(rf"/datasets/([^/]+/[^/]+)/resolve/{COMMIT}/(.+)", path):
                state.tokens.append(self.headers.get("authorization", ""))
                if found[1] in state.gated and state.tokens[-1] != f"Bearer {TOKEN}":
                    return self.plain(401, "GatedRepo")
                files = state.repositories[found[1]]
                if found[2] not in files:
                    return self.plain(404, "EntryNotFound")
                return self.content(found[2], files[found[2]], body=body)
            if path.strip("/") in state.web:
                return self.content(path.strip("/"), state.web[path.strip("/")], body=body)
            return self.plain(404, "")

        def listing(self, repository: str) -> None:
            siblings = [
                {"rfilename": name, "size": len(data), "blobId": "0" * 40,
                 "lfs": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 1}}
                for name, data in state.repositories[repository].items()
            ]  # fmt: skip
            card = {"license": state.licence} if state.licence else {}
            info = {"id": repository, "sha": COMMIT, "siblings": siblings, "cardData": card, "tags": []}
            data = json.dumps(info).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def plain(self, status: int, code: str) -> None:
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def content(self, name: str, data: bytes, *, body: bool) -> None:
            digest = hashlib.sha256(data).hexdigest()
            if name in state.lies:
                data = data[:20] + bytes([data[20] ^ 255]) + data[21:]
            asked = self.headers.get("Range", "")
            first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest}"'}
            cuts = state.cut_after.get(name) if body else None
            if body:
                state.gets.append((name, asked))
            send_from(self, data, first, headers, body=body, most=cuts.pop(0) if cuts else None)

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    state.address = f"http://127.0.0.1:{httpd.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", state.address)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setenv("DIMTS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "WAIT_SECONDS", 0.0)
    state.repositories = {
        "google/fleurs": fleurs(wav),
        "DigitalUmuganda/Afrivoice_Ethiopia": afrivoice(wav),
        "google/WaxalNLP": waxal(wav),
        **{one: leyu(wav, number) for number, one in enumerate(corpora()["leyu"].repositories)},
    }
    state.gated = {"DigitalUmuganda/Afrivoice_Ethiopia"}
    state.web = {
        "25": b"<p><b>License:</b> Apache License 2.0 <br></p>",
        "files/data_readspeech_am.tar.bz2": alffa(wav),
    }
    here = corpora()["alffa"]
    facts = {name: getattr(here, name) for name in PublicCorpus.__dataclass_fields__}
    moved = PublicCorpus(
        **(facts | {"address": f"{state.address}/files", "licence_page": f"{state.address}/25/"})
    )
    monkeypatch.setattr(module, "corpora", lambda: {**corpora(), "alffa": moved})
    yield state
    httpd.shutdown()
    httpd.server_close()


def recordings(project: Project) -> list[tuple[str, str, str]]:
    rows = list(find_recordings([project.recordings]))
    assert [row.problem for row in rows if row.problem] == []
    return sorted((row.name, row.text, row.speaker) for row in rows)


def test_the_table_of_corpora_is_whole() -> None:
    assert set(corpora()) == {"fleurs", "afrivoice", "waxal", "alffa", "common-voice", "leyu"}
    for corpus in corpora().values():
        assert corpus.title
        assert corpus.hours > 0
        assert is_free(corpus.licence)
        assert corpus.homepage.startswith("https://")
        assert corpus.attribution
        assert corpus.files
        assert bool(corpus.repositories) + bool(corpus.address) + bool(corpus.by_hand) == 1


def test_fleurs_becomes_recordings_with_licence_and_origin(servers: Servers, project: Project) -> None:
    offered = offer("fleurs")
    assert offered.licence == "CC-BY-4.0"
    assert offered.bytes > 0
    assert set(offered.parts[0].files) == {
        name for name in servers.repositories["google/fleurs"] if "am_et" in name
    }
    folder, new = fetch_corpus(project, offered, YES)
    assert (folder, new) == (project.recordings / "fleurs", True)
    assert recordings(project) == sorted(
        (f"{split}{n}", f"{TEXTS[n]}።", "")
        for split, n in (("train", 0), ("train", 1), ("dev", 2), ("test", 1))
    )
    for row in find_recordings([project.recordings]):
        assert row.licence == "CC-BY-4.0"
        assert row.consent == corpora()["fleurs"].homepage
        assert row.origin.startswith(f"google/fleurs@{COMMIT} ")
    (one, *_) = find_recordings([folder / "train.tsv"])  # also when a part of it is named
    assert one.licence == "CC-BY-4.0"
    assert not [path for path in project.recordings.iterdir() if path.name.startswith(".")]
    assert fetch_corpus(project, offer("fleurs"), YES) == (folder, False)


def test_waxal_and_leyu_are_unpacked_from_parquet(servers: Servers, project: Project) -> None:
    servers.licence = ["cc-by-sa-4.0", "cc-by-4.0"]
    offered = offer("waxal")
    assert offered.licence == corpora()["waxal"].licence
    fetch_corpus(project, offered, YES)
    assert recordings(project) == [(f"w{n}", TEXTS[n], f"s{n}") for n in range(3)]
    servers.licence = "cc-by-4.0"
    fetch_corpus(project, offer("leyu"), YES)
    assert len(recordings(project)) == 3 + 4
    origins = {row.origin.split("@")[0] for row in find_recordings([project.recordings / "leyu"])}
    assert origins == {"leyu-amharic/leyu-amharic-gojjam-dialect"}


def test_afrivoice_wants_a_contact_and_the_token_goes_to_the_hub_alone(
    servers: Servers, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = offer("afrivoice")
    assert "data.corpus_gate" in [message.code for message in offered.messages()]
    with pytest.raises(DimtsError) as caught:
        fetch_corpus(project, offered, YES)
    assert caught.value.code == "data.corpus_gate_closed"
    assert not (project.recordings / "afrivoice").exists()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    fetch_corpus(project, offered, YES)
    assert recordings(project) == [(f"{n}", TEXTS[n], "s1") for n in range(3)]
    assert not list(project.recordings.rglob("*.jpg"))
    seen = len(servers.tokens)
    servers.web["files/data_readspeech_am.tar.bz2"] = b""
    assert f"Bearer {TOKEN}" in servers.tokens[:seen]


def test_alffa_comes_over_http_under_the_licence_its_page_states(servers: Servers, project: Project) -> None:
    offered = offer("alffa")
    assert offered.licence == "Apache License 2.0"
    assert "data.corpus_other_licence" in [message.code for message in offered.messages()]
    archive = "files/data_readspeech_am.tar.bz2"
    servers.cut_after = {archive: [100, 150, 7]}
    fetch_corpus(project, offered, YES)
    assert recordings(project) == [(f"tr_{n}_tr0100{n}", TEXTS[n], f"s{n}") for n in range(3)]
    assert [asked for name, asked in servers.gets if name == archive] == [
        "", "bytes=100-", "bytes=250-", "bytes=257-"]  # fmt: skip


def test_a_download_that_was_cut_goes_on_in_the_next_run(servers: Servers, project: Project) -> None:
    archive = "data/am_et/audio/train.tar.gz"
    servers.cut_after = {archive: [50, 0, 0, 0, 0, 0]}
    with pytest.raises(DimtsError) as caught:
        fetch_corpus(project, offer("fleurs"), YES)
    assert caught.value.code == "xtts.download_broke_off"
    assert not (project.recordings / "fleurs").exists()
    servers.cut_after, servers.gets = {}, []
    fetch_corpus(project, offer("fleurs"), YES)
    assert [asked for name, asked in servers.gets if name == archive] == ["bytes=50-"]
    assert len(recordings(project)) == 4


def test_a_wrong_checksum_is_refused_and_nothing_of_it_stays(servers: Servers, project: Project) -> None:
    servers.lies = {"data/am_et/audio/dev.tar.gz"}
    with pytest.raises(DimtsError) as caught:
        fetch_corpus(project, offer("fleurs"), YES)
    assert caught.value.code == "xtts.checksum_wrong"
    assert not (project.recordings / "fleurs").exists()
    servers.lies = set()
    fetch_corpus(project, offer("fleurs"), YES)
    assert len(recordings(project)) == 4


def test_without_network_and_in_offline_mode_it_is_one_line(
    servers: Servers, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DimtsError) as caught:
        offer("fleurs")
    assert caught.value.code == "xtts.unreachable"


def test_a_full_disk_is_named_and_what_has_come_stays(
    servers: Servers, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered = offer("fleurs")
    usage = type("Usage", (), {"free": 10, "total": 10, "used": 0})
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: usage)
        with pytest.raises(DimtsError) as caught:
            fetch_corpus(project, offered, YES)
    assert caught.value.code == "data.corpus_disk_full"
    fetch_corpus(project, offered, YES)
    servers.gets = []
    (project.recordings / "fleurs").rename(project.root / "elsewhere")
    with monkeypatch.context() as patch:  # fetched, but no room to unpack
        patch.setattr("shutil.disk_usage", lambda _: usage)
        with pytest.raises(DimtsError) as caught:
            fetch_corpus(project, offered, YES)
    assert caught.value.code == "data.corpus_disk_full"
    assert not (project.recordings / "fleurs").exists()
    fetch_corpus(project, offered, YES)
    assert servers.gets == []  # the cache holds it


@pytest.mark.parametrize(
    ("stated", "shown"), [("cc-by-nc-4.0", "CC-BY-NC-4.0"), (None, "unknown"), ("other", "other")]
)
def test_what_is_not_free_is_refused_for_a_voice_marked_free(
    servers: Servers, tmp_path: Path, stated: str | None, shown: str
) -> None:
    servers.licence = stated
    free = Project.create(tmp_path / "free", "[project]\nfree = true\n")
    offered = offer("fleurs")
    assert offered.licence == shown
    with pytest.raises(DataError) as caught:
        fetch_corpus(free, offered, YES)
    assert caught.value.code == "data.corpus_not_free"
    assert servers.gets == []
    other = Project.create(tmp_path / "other", "")
    fetch_corpus(other, offered, YES)
    assert {row.licence for row in find_recordings([other.recordings])} == {shown}


def test_common_voice_is_taken_from_an_archive_that_a_person_fetched(
    project: Project, tmp_path: Path, wav: bytes
) -> None:
    with pytest.raises(DataError) as caught:
        offer("common-voice")
    assert caught.value.code == "data.corpus_by_hand"
    head = "client_id\tpath\tsentence\tup_votes\n"
    rows = [f"c{n}\tcommon_voice_am_{n}.mp3\t{text}\t2\n" for n, text in enumerate(TEXTS)]
    top = "cv-corpus-23.0-2025-09-05/am"
    members = {f"{top}/clips/common_voice_am_{n}.mp3": wav + bytes([n]) for n in range(3)}
    tables = {"validated": rows[:2], "train": rows[:1], "test": rows[1:2], "invalidated": rows[2:]}
    members |= {f"{top}/{name}.tsv": (head + "".join(some)).encode() for name, some in tables.items()}
    archive = tmp_path / "cv-corpus-23.0-2025-09-05-am.tar.gz"
    archive.write_bytes(tarred(members))
    folder, _ = fetch_corpus(project, offer("common-voice", archive), YES)
    found = {row.name: row for row in find_recordings([folder]) if row.problem is None and row.text}
    assert {name: row.text for name, row in found.items()} == {
        f"common_voice_am_{n}": TEXTS[n] for n in range(2)
    }
    assert {row.licence for row in found.values()} == {"CC0-1.0"}


@pytest.mark.parametrize("kind", ["cut.tar.gz", "none.zip", "outside.tar", "outside.zip"])
def test_a_broken_or_hostile_archive_is_refused_whole(
    project: Project, tmp_path: Path, wav: bytes, kind: str
) -> None:
    archive = tmp_path / kind
    if kind == "cut.tar.gz":
        archive.write_bytes(tarred({"a.wav": wav * 50})[:200])
    elif kind == "none.zip":
        archive.write_bytes(b"PK but nothing else")
    elif kind == "outside.tar":
        archive.write_bytes(tarred({"a.wav": wav, "../../evil.wav": wav}, "w"))
    else:
        with zipfile.ZipFile(archive, "w") as made:
            made.writestr("../../evil.wav", wav)
    offered = offer("common-voice", archive)
    if kind == "outside.zip":  # zipfile itself keeps such names inside
        fetch_corpus(project, offered, YES)
    else:
        with pytest.raises(DataError) as caught:
            fetch_corpus(project, offered, YES)
        assert caught.value.code == "base.archive_broken"
        assert [path.name for path in project.recordings.iterdir()] == []
    assert not [path for path in tmp_path.rglob("evil.wav") if not path.is_relative_to(project.recordings)]


def test_who_made_a_corpus_is_named_in_exports_and_for_model_cards(
    servers: Servers, project: Project, tmp_path: Path
) -> None:
    fetch_corpus(project, offer("fleurs"), YES)
    assert attributions(project) == ()
    clip = Wave.silence(1.0, 22_050).save(project.clips / "c.wav")
    row = Utterance(
        id="c", path="clips/c.wav", text=TEXTS[0], spoken=TEXTS[0], seconds=1.0, split="train", kept=True,
        licence="CC-BY-4.0", source="recordings/fleurs/audio/train/train0.wav",
    )  # fmt: skip
    assert clip.is_file()
    Manifest.write(project.manifest, [row])
    (line,) = attributions(project)
    assert corpora()["fleurs"].attribution in line
    assert "CC-BY-4.0" in line
    export(project, tmp_path / "out", "ljspeech")
    assert line in (tmp_path / "out" / "LICENCE.txt").read_text(encoding="utf-8")


def test_clips_under_other_licences_are_set_aside_for_a_voice_marked_free() -> None:
    rows = [
        Utterance(
            id=name, path=f"{name}.wav", text=text, seconds=1.0, kept=True, split="train", licence=licence
        )
        for name, text, licence in zip("abc", TEXTS, ("CC-BY-4.0", "CC-BY-NC-4.0", ""), strict=True)
    ]
    check, split = CheckSettings(match=False, speaker=False), SplitSettings()
    found = check_dataset(rows, check, split, complete=True, free=True)
    assert [row.rejected_for for row in found] == [(), ("licence",), ("licence",)]
    back = check_dataset(found, check, split, complete=True)
    assert [row.kept for row in back] == [True, True, True]


@pytest.mark.parametrize(
    ("licence", "free"),
    [
        ("CC0-1.0", True), ("cc-by-4.0", True), ("CC BY 4.0", True), ("CC-BY-SA-4.0 AND CC-BY-4.0", True),
        ("MIT", True), ("Apache License 2.0", True), ("CC-BY-NC-4.0 OR MIT", True), ("ODC-By-1.0", True),
        ("CC-BY-NC-4.0", False), ("CC-BY-ND-4.0", False), ("CC-BY-4.0 AND CC-BY-NC-4.0", False), ("", False),
        ("unknown", False), ("other", False), ("research only", False), ("CC-BY-NC-SA-4.0", False),
        ("mit; ask us", False),
    ],
)  # fmt: skip
def test_licences_are_judged_by_name(licence: str, free: bool) -> None:
    assert is_free(licence) is free
    assert is_free(spdx(licence)) is free


def test_the_command_shows_asks_and_says_what_is_next(
    servers: Servers, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli(["data", "fetch"]) == 0
    assert "afrivoice" in capsys.readouterr().out
    for arguments, code in (
        (["data", "fetch", "fleurs"], 2),
        (["data", "fetch", "fluers", str(project.root)], 2),
        (["data", "fetch", "fleurs", str(project.root)], 2),  # nobody to ask
        (["data", "fetch", "large-v3", str(project.root)], 2),
        (["data", "fetch", "fleurs", str(project.root), "--yes"], 0),
        (["data", "fetch", "fleurs", str(project.root), "--yes"], 0),
    ):
        assert run_cli(arguments) == code, arguments
        shown = capsys.readouterr().err
        assert "Traceback" not in shown
    assert len(recordings(project)) == 4


def test_an_offer_of_nothing_known_is_an_error(servers: Servers) -> None:
    servers.repositories["google/fleurs"] = {"README.md": b"moved"}
    for name, code in (("fleurs", "data.corpus_moved"), ("nothing", "data.unknown_corpus")):
        with pytest.raises(DataError) as caught:
            offer(name)
        assert caught.value.code == code
    assert isinstance(offer("waxal"), CorpusOffer)
