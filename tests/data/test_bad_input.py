"""Bad input: each item is set aside with its reason, and the rest goes on; a disk that is really full."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dimts.base.project import Project
from dimts.data.manifest import Manifest, Utterance
from dimts.data.prepare import prepare

Corpus = Callable[..., Path]
TEXT = "ሰላም ለዓለም"


def wav(channels: int = 1, rate: int = 16_000, promised: int | None = None, samples: int = 16_000) -> bytes:
    """A 16-bit wav whose header says what it is told to."""
    data = (np.sin(np.arange(samples) / 9) * 9000).astype("<i2").tobytes()
    size = len(data) if promised is None else promised
    head = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * 2 % 2**32, channels * 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", (36 + size) % 2**32)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + head
        + (b"data" + struct.pack("<I", size % 2**32) + data)
    )


def rf64(promised: int) -> bytes:
    """The same with 64-bit sizes (EBU Tech 3306), for lengths beyond 4 GB."""
    plain = wav(promised=0xFFFFFFFF)
    sizes = struct.pack("<QQQI", promised + 72, promised, promised // 2, 0)
    return b"RF64\xff\xff\xff\xffWAVEds64" + struct.pack("<I", 28) + sizes + plain[12:]


BAD: dict[str, tuple[bytes, str]] = {
    "no-channel.wav": (wav(channels=0), "unreadable"),
    "ten-gigabytes.wav": (rf64(10_000_000_000), "unreadable"),
    "four-gigabytes.wav": (wav(promised=4_000_000_000), "unreadable"),
    "text.wav": (TEXT.encode(), "unreadable"),
    "picture.mp3": (b"\x89PNG\r\n\x1a\n" + bytes(2000), "unreadable"),
    "half.flac": (b"fLaC" + bytes(60), "unreadable"),
    "rate.wav": (wav(rate=4_000_000_000), "unreadable"),
}


def rows_of(project: Project) -> dict[str, Utterance]:
    return {row.name: row for row in Manifest.read(project.manifest)}


@pytest.mark.parametrize("table", [True, False])
def test_each_is_set_aside_and_the_rest_goes_on(project: Project, corpus: Corpus, table: bool) -> None:
    folder = corpus(3)
    for name, (content, _) in BAD.items():
        (folder / "audio" / name).write_bytes(content)
        (folder / "audio" / name).with_suffix(".txt").write_text(TEXT, encoding="utf-8")
    (folder / "audio" / "dangling.wav").symlink_to(folder / "nowhere.wav")
    (folder / "audio" / "folder.wav").mkdir()
    if table:
        with (folder / "metadata.tsv").open("a", encoding="utf-8") as file:
            file.writelines(f"{Path(name).stem}\taudio/{name}\tabebe\t{TEXT}\n" for name in BAD)
            file.write(
                f"dangling\taudio/dangling.wav\tabebe\t{TEXT}\nfolder\taudio/folder.wav\tabebe\t{TEXT}\n"
            )
    else:
        (folder / "metadata.tsv").rename(folder / "notes.tsv")
        for index in range(3):
            row = (folder / "notes.tsv").read_text(encoding="utf-8").splitlines()[index + 1]
            (folder / "audio" / f"s{index:03d}.txt").write_text(row.split("\t")[3], encoding="utf-8")
    assert prepare(project, [folder]).kept == 3
    rows = rows_of(project)
    for name, (_, kind) in BAD.items():
        row = rows[Path(name).stem]
        assert row.rejected_for == (kind,), name
        assert all(issue.message for issue in row.rejections)
    if table:
        assert rows["dangling"].rejected_for == rows["folder"].rejected_for == ("no_audio",)


def test_a_wrong_suffix_does_not_matter(project: Project, corpus: Corpus) -> None:
    folder = corpus(2)
    os.replace(folder / "audio" / "s001.wav", folder / "audio" / "s001.mp3")
    table = folder / "metadata.tsv"
    table.write_text(table.read_text(encoding="utf-8").replace("s001.wav", "s001.mp3"), encoding="utf-8")
    assert prepare(project, [folder]).kept == 2


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_nobody_may_read_is_set_aside(project: Project, corpus: Corpus) -> None:
    folder = corpus(2)
    (folder / "audio" / "s001.wav").chmod(0)
    assert prepare(project, [folder]).kept == 1
    assert rows_of(project)["s001"].rejected_for == ("unreadable",)


def test_a_file_that_vanishes_is_set_aside(
    project: Project, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found in the folder, gone when its turn comes."""
    folder = corpus(3)

    def gone(progress: Any) -> None:
        if progress.done == 1:
            (folder / "audio" / "s002.wav").unlink(missing_ok=True)

    assert prepare(project, [folder], on_progress=gone).kept == 2
    assert rows_of(project)["s002"].rejected_for == ("unreadable",)


def test_a_script_of_more_lines_than_are_spoken(project: Project, tmp_path: Path, speech: Any) -> None:
    from dimts.audio.wave import Wave, join

    folder = tmp_path / "long"
    folder.mkdir()
    texts = [speech.sentence(index + 2) for index in range(8)]
    parts = [one for text in texts for one in (Wave.silence(0.7, 24_000), speech.said(text, "f2").wave)]
    speech.room(join(parts), 0.0, 0.7, -60.0).save(folder / "book.flac")
    extra = [speech.sentence(index + 60) for index in range(3)]
    (folder / "book.txt").write_text("\n".join([*texts, *extra]), encoding="utf-8")
    prepare(project, [folder])
    rows = Manifest.read(project.manifest)
    assert {row.text for row in rows if row.kept} >= set(texts[:-1])
    lost = [row for row in rows if any(one in row.text for one in extra)]
    assert lost
    assert not any(row.kept for row in lost)


def test_subtitles_out_of_order_and_overlapping_are_mended_and_said(
    project: Project, tmp_path: Path, speech: Any
) -> None:
    from dimts.audio.wave import Wave, join

    folder, at, cues, parts = tmp_path / "talk", 0.0, [], []
    folder.mkdir()
    for index in range(5):
        one = speech.said(speech.sentence(index + 2), "m3")
        parts += [Wave.silence(0.8, 24_000), one.wave]
        at += 0.8
        cues.append((at - 0.2, at + one.wave.seconds + 0.4, one.text))
        at += one.wave.seconds
    speech.room(join(parts), 0.0, 0.8, -60.0).save(folder / "talk.wav")

    def stamp(seconds: float) -> str:
        return f"{int(seconds // 3600):02d}:{int(seconds // 60) % 60:02d}:{seconds % 60:06.3f}".replace(
            ".", ","
        )

    shuffled = [cues[index] for index in (3, 0, 4, 1, 2)]
    blocks = [f"{n}\n{stamp(a)} --> {stamp(b)}\n{text}\n" for n, (a, b, text) in enumerate(shuffled, start=1)]
    blocks.append(f"6\n{stamp(2.0)} --> {stamp(1.0)}\nወደ ኋላ\n")
    (folder / "talk.srt").write_text("\n".join(blocks), encoding="utf-8")
    assert prepare(project, [folder]).kept == 5
    rows = Manifest.read(project.manifest)
    assert [row.text for row in rows] == [text for _, _, text in cues]
    kinds = {issue.kind for row in rows for issue in row.issues}
    assert {"subtitles_out_of_order", "subtitles_backwards"} <= kinds


FULL = """
import subprocess, sys
from pathlib import Path
from dimts.cli.main import main
project, folder = sys.argv[1:]
clips = Path(project) / "clips"
clips.mkdir()
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(clips)], check=True)
sys.exit(main(["data", "prepare", project, folder]))
"""


def test_a_disk_that_is_full_stops_with_one_line_and_keeps_what_is_done(
    project: Project, corpus: Corpus
) -> None:
    """The clips go to a file system of 400 kB, in a mount namespace of its own."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    folder = corpus(6)
    command = [unshare, "-rm", sys.executable, "-c", FULL, str(project.root), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    kept = [row for row in Manifest.read(project.manifest) if row.kept]
    assert 1 <= len(kept) < 6
    assert prepare(project, [folder]).kept == 6  # the small file system is gone, and its clips with it
