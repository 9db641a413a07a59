"""Preparing: what comes out can be trained on, what cannot is named, and nothing is ever lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from dimts.audio.level import loudness_lufs
from dimts.audio.wave import Wave
from dimts.base.errors import ConfigError, DataError, DimtsError
from dimts.base.files import write_bytes
from dimts.base.progress import Progress
from dimts.base.project import Project
from dimts.data.check import CheckSettings
from dimts.data.context import PrepareSettings
from dimts.data.manifest import Manifest, Utterance
from dimts.data.prepare import prepare
from dimts.data.segment import SegmentSettings
from dimts.data.vad import detect_speech

Corpus = Callable[..., Path]


def rows_of(project: Project) -> dict[str, Utterance]:
    return {row.name: row for row in Manifest.read(project.manifest)}


def test_recordings_become_clips_to_train_on(project: Project, corpus: Corpus) -> None:
    result = prepare(project, [corpus(6)])
    assert (result.kept, result.set_aside, result.new) == (6, 0, 6)
    rows = Manifest.read(project.manifest)
    assert sum(row.seconds for row in rows) == pytest.approx(result.seconds)
    for row in rows:
        info = soundfile.info(project.inside(row.path))
        assert (info.samplerate, info.channels, info.subtype) == (22_050, 1, "PCM_16")
        wave = Wave.load(project.inside(row.path))
        assert row.seconds == pytest.approx(wave.seconds, abs=1e-3)
        assert loudness_lufs(wave) == pytest.approx(-23.0, abs=0.3)
        assert row.kept
        assert row.split in ("train", "dev", "test")
        assert row.by == "transcript"
        assert row.speaker == "abebe"
        assert row.licence == "CC0-1.0"
        assert row.consent == "synthetic"
        assert row.source.endswith(f"audio/{row.name}.wav")
        assert row.phones
        assert row.spelling
        assert row.measures["snr_db"] > 20
        activity = detect_speech(project.inside(row.path))
        assert 0.03 < activity.speech[0][0] < 0.3  # silence before, and not too much
        assert 0.05 < wave.seconds - activity.speech[-1][1] < 0.45


def test_the_originals_are_not_touched(project: Project, corpus: Corpus) -> None:
    folder = corpus(2)
    before = {path: path.read_bytes() for path in folder.rglob("*.wav")}
    prepare(project, [folder])
    assert {path: path.read_bytes() for path in folder.rglob("*.wav")} == before


def test_without_sources_the_projects_own_recordings_are_taken(project: Project, speech: Any) -> None:
    said = speech.said(speech.sentences[5])
    speech.room(said.wave).save(project.recordings / "a.flac")
    (project.recordings / "a.txt").write_text(said.text, encoding="utf-8")
    assert prepare(project).kept == 1
    assert rows_of(project)["a"].source == "recordings/a.flac"


def broken(folder: Path) -> dict[str, str]:
    """Files that are wrong in every way we know → the kind of issue each must get."""
    audio = folder / "audio"
    whole = (audio / "s000.wav").read_bytes()
    rate, tone = 16_000, np.sin(np.arange(32_000) / 20)
    made = {
        "missing": ("no_audio", None),
        "empty": ("unreadable", b""),
        "garbage": ("unreadable", os.urandom(5000)),
        "truncated": ("unreadable", whole[: len(whole) // 2]),
        "header": ("unreadable", whole[:30]),
    }
    waves = {
        "zero": ("unreadable", np.zeros(0)),
        "silent": ("no_speech", np.zeros(rate * 2)),
        "nan": ("unreadable", np.where(np.arange(rate) == 100, np.nan, 0.1)),
        "noise": ("no_speech", np.random.default_rng(0).standard_normal(2 * rate) * 0.1),
        "tone": ("no_speech", 0.3 * tone),
    }
    kinds = {}
    with (folder / "metadata.tsv").open("a", encoding="utf-8") as table:
        for name, (kind, content) in made.items():
            if content is not None:
                (audio / f"{name}.wav").write_bytes(content)
            table.write(f"{name}\taudio/{name}.wav\tabebe\tሰላም ለዓለም\n")
            kinds[name] = kind
        for name, (kind, samples) in waves.items():
            soundfile.write(audio / f"{name}.wav", samples, rate, "FLOAT")
            table.write(f"{name}\taudio/{name}.wav\tabebe\tሰላም ለዓለም\n")
            kinds[name] = kind
        table.write("untold\taudio/s000.wav\tabebe\t\n")
        table.write("english\taudio/s001.wav\tabebe\tgood morning everyone\n")
        table.write("short\n")
        kinds |= {"untold": "no_text", "english": "not_amharic"}
    return kinds


def test_what_is_wrong_is_set_aside_with_its_reason_and_the_rest_goes_on(
    project: Project, corpus: Corpus
) -> None:
    folder = corpus(4)
    kinds = broken(folder)
    told: list[str] = []
    result = prepare(project, [folder], on_progress=lambda progress: told.append(str(progress.message)))
    rows = rows_of(project)
    assert [rows[f"s{index:03d}"].kept for index in range(4)] == [True] * 4
    assert {name: rows[name].rejected_for[0] for name in kinds} == kinds
    assert all(issue.message for name in kinds for issue in rows[name].rejections)
    assert result.kept == 4
    assert result.set_aside == len(rows) - 4
    assert sum(result.reasons.values()) >= result.set_aside
    for name in kinds:
        assert any(name in line for line in told), name
    assert rows["metadata-18"].rejected_for == ("transcript_row",)  # its row number


def test_a_set_of_nothing_usable_is_an_error_that_says_why(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"")
    (folder / "a.txt").write_text("ሰላም", encoding="utf-8")
    with pytest.raises(DataError, match="1 × unreadable") as caught:
        prepare(project, [folder])
    assert "dimts data check" in caught.value.message.remedy()
    assert Manifest.read(project.manifest)[0].rejected_for == ("unreadable",)


def test_an_empty_folder_is_an_error_that_says_what_to_put_there(project: Project) -> None:
    with pytest.raises(DataError, match="no recordings") as caught:
        prepare(project)
    assert "metadata.tsv" in caught.value.message.remedy()
    assert not project.manifest.exists()


def test_a_second_run_does_nothing_again(
    project: Project, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = corpus(3)
    prepare(project, [folder])
    before = project.manifest.read_bytes()
    monkeypatch.setattr("dimts.data.process.detect_speech", None)  # nothing may be read again
    result = prepare(project, [folder])
    assert (result.kept, result.new) == (3, 0)
    assert project.manifest.read_bytes() == before


def test_a_changed_text_is_prepared_again_in_its_place(project: Project, corpus: Corpus) -> None:
    folder = corpus(3)
    prepare(project, [folder])
    table = folder / "metadata.tsv"
    table.write_text(table.read_text(encoding="utf-8").replace("ናችሁ", "ናቸው"), encoding="utf-8")
    result = prepare(project, [folder])
    rows = Manifest.read(project.manifest)
    assert (result.new, [row.name for row in rows]) == (0, ["s000", "s001", "s002"])
    assert rows[1].text == "እንዴት ናቸው"


def test_changed_settings_give_new_clips_and_take_the_old_ones_away(project: Project, corpus: Corpus) -> None:
    folder = corpus(2)
    prepare(project, [folder])
    old = {row.id: row.path for row in Manifest.read(project.manifest)}
    prepare(project, [folder], PrepareSettings(segment=SegmentSettings(lead_seconds=0.25)))
    new = {row.id: row.path for row in Manifest.read(project.manifest)}
    assert set(old.values()).isdisjoint(new.values())
    assert {f"clips/{path.name}" for path in project.clips.glob("*.wav")} == set(new.values())


def test_a_clip_that_was_deleted_is_made_again(project: Project, corpus: Corpus) -> None:
    folder = corpus(2)
    prepare(project, [folder])
    row = Manifest.read(project.manifest)[0]
    project.inside(row.path).unlink()
    prepare(project, [folder])
    assert project.inside(row.path).is_file()


def test_a_row_a_person_corrected_stays(project: Project, corpus: Corpus) -> None:
    folder = corpus(2)
    prepare(project, [folder])
    rows = Manifest.read(project.manifest)
    Manifest.append(project.manifest, [replace(rows[0], text="ጤና ይስጥልኝ", by="person")])
    prepare(project, [folder], PrepareSettings(segment=SegmentSettings(lead_seconds=0.2)))
    assert Manifest.read(project.manifest)[0].text == "ጤና ይስጥልኝ"


def test_recordings_added_later_move_and_lose_nothing(project: Project, corpus: Corpus) -> None:
    before: dict[str, Utterance] = {}
    for round_ in range(4):
        prepare(project, [corpus(20, first=20 * round_, name=f"part{round_}")])
        rows = {row.id: row for row in Manifest.read(project.manifest)}
        assert list(rows)[: len(before)] == list(before)
        assert all(
            rows[name].split == row.split and rows[name].path == row.path for name, row in before.items()
        )
        before = rows
    assert len(before) == 80
    assert sum(row.kept for row in before.values()) == 80
    assert all(project.inside(row.path).is_file() for row in before.values())
    assert {row.split for row in before.values()} >= {"train", "dev"}


def test_the_same_sound_twice_is_kept_once(project: Project, corpus: Corpus, speech: Any) -> None:
    folder = corpus(3)
    copy = Wave.load(folder / "audio" / "s001.wav").gain(-7).resample(16_000)
    copy.save(folder / "audio" / "again.ogg")
    with (folder / "metadata.tsv").open("a", encoding="utf-8") as table:
        table.write(f"again\taudio/again.ogg\tabebe\t{speech.sentences[1]}\n")
    prepare(project, [folder])
    rows = rows_of(project)
    assert rows["again"].rejected_for == ("duplicate_audio",)
    assert rows["s001"].kept


def test_the_same_file_in_two_folders_is_no_reason_to_stop(project: Project, corpus: Corpus) -> None:
    first, second = corpus(2, name="one"), corpus(2, name="two")
    result = prepare(project, [first, second])
    assert (result.kept, result.set_aside) == (2, 2)
    assert result.reasons == {"duplicate_audio": 2}
    assert prepare(project, [first, second]).kept == 2


def test_a_telephone_recording_is_found(project: Project, corpus: Corpus) -> None:
    folder = corpus(3)
    path = folder / "audio" / "s002.wav"
    Wave.load(path).resample(8000).resample(44_100).save(path)
    prepare(project, [folder])
    rows = rows_of(project)
    assert rows["s002"].rejected_for == ("narrow_band",)
    assert rows["s002"].measures["bandwidth_hz"] == pytest.approx(4000, abs=200)
    assert rows["s000"].measures["bandwidth_hz"] > 7000


@pytest.mark.parametrize(("text", "kind"), [("ሰላም", "speaking_rate"), ("ሰላም " * 40, "speaking_rate")])
def test_a_text_much_longer_or_shorter_than_its_sound_is_with_issues(
    project: Project, corpus: Corpus, text: str, kind: str
) -> None:
    folder = corpus(12)
    table = folder / "metadata.tsv"
    lines = table.read_text(encoding="utf-8").splitlines()
    lines[11] = "\t".join([*lines[11].split("\t")[:3], text])
    table.write_text("\n".join(lines), encoding="utf-8")
    prepare(project, [folder])
    assert kind in rows_of(project)["s010"].rejected_for


def test_limits_are_settings_and_kinds_can_be_tolerated(project: Project, corpus: Corpus) -> None:
    folder = corpus(2)
    strict = PrepareSettings(check=CheckSettings(min_snr_db=90.0))
    with pytest.raises(DataError, match="low_snr"):
        prepare(project, [folder], strict)
    tolerant = PrepareSettings(check=CheckSettings(min_snr_db=90.0, tolerate=("low_snr",)))
    assert prepare(project, [folder], tolerant).kept == 2
    assert "low_snr" in {issue.kind for row in Manifest.read(project.manifest) for issue in row.issues}


def test_two_runs_at_once_are_refused(project: Project, corpus: Corpus) -> None:
    folder = corpus(2)
    refused: list[str] = []

    def meddle(progress: Progress) -> None:
        if not refused:
            with pytest.raises(DataError, match="another run") as caught:
                prepare(project, [folder])
            refused.append(caught.value.message)

    assert prepare(project, [folder], on_progress=meddle).kept == 2
    assert refused


def test_workers_give_the_same_manifest(project: Project, corpus: Corpus, tmp_path: Path) -> None:
    folder = corpus(5)
    broken(folder)
    prepare(project, [folder])
    other = Project.create(tmp_path / "other", (project.root / "dimts.toml").read_text(encoding="utf-8"))
    prepare(other, [folder], PrepareSettings(jobs=2))
    assert other.manifest.read_bytes() == project.manifest.read_bytes()


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on(
    project: Project, corpus: Corpus, tmp_path: Path
) -> None:
    folder = corpus(6)

    def impatient(progress: Progress) -> None:
        if progress.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(project, [folder], on_progress=impatient)
    assert 2 <= len(Manifest.read(project.manifest)) <= 3
    heard: list[float] = []
    prepare(project, [folder], on_progress=lambda progress: heard.append(progress.done))
    whole = Project.create(tmp_path / "whole", (project.root / "dimts.toml").read_text(encoding="utf-8"))
    prepare(whole, [folder])
    assert project.manifest.read_bytes() == whole.manifest.read_bytes()


def test_a_full_disk_stops_the_run_and_keeps_what_is_done(
    project: Project, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = corpus(4)
    saved: list[Path] = []

    def full(path: Path, data: bytes) -> None:
        if len(saved) == 2:
            raise DimtsError("base.disk_full")
        saved.append(path)
        write_bytes(path, data)

    monkeypatch.setattr("dimts.data.process.write_bytes", full)
    with pytest.raises(DimtsError, match="full"):
        prepare(project, [folder])
    assert len(Manifest.read(project.manifest)) == 2
    monkeypatch.undo()
    assert prepare(project, [folder]).kept == 4


KILLED = """
import sys
from dimts.data.prepare import prepare
prepare(sys.argv[1], [sys.argv[2]], on_progress=lambda progress: print(progress.done, flush=True))
"""


def kill_9(project: Project, folder: Path, moments: int, seed: int) -> int:
    """Kill a run at random moments until one gets through; how many were killed."""
    rng, killed = random.Random(seed), 0
    for _ in range(moments):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(project.root), str(folder)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        for _ in range(rng.randint(1, 4)):
            if not process.stdout.readline():
                break
        time.sleep(rng.uniform(0.0, 0.03))  # somewhere inside the work on the next one
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
    return killed


@pytest.mark.parametrize(
    "moments", [4, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_kill_9_at_any_moment_loses_and_doubles_nothing(
    project: Project, corpus: Corpus, tmp_path: Path, moments: int
) -> None:
    folder = corpus(4 * moments)
    assert kill_9(project, folder, moments, seed=moments) >= moments // 2
    lines = (project.clips / ".journal.jsonl").read_bytes().split(b"\n")[:-1]
    noted = [json.loads(line)["work"] for line in lines]
    assert len(noted) > 1
    assert len(set(noted)) == len(noted)  # nothing that was done is done again
    prepare(project, [folder])
    whole = Project.create(tmp_path / "whole", (project.root / "dimts.toml").read_text(encoding="utf-8"))
    prepare(whole, [folder])
    assert project.manifest.read_bytes() == whole.manifest.read_bytes()
    assert sorted(path.name for path in project.clips.iterdir()) == sorted(
        path.name for path in whole.clips.iterdir()
    )


def test_a_torn_line_of_the_journal_is_done_again(project: Project, corpus: Corpus) -> None:
    folder = corpus(3)
    prepare(project, [folder])
    rows = Manifest.read(project.manifest)
    project.manifest.unlink()
    lines = [json.dumps({"work": row.work, "rows": [row.as_dict()]}) for row in rows]
    (project.clips / ".journal.jsonl").write_text(lines[0] + "\n" + lines[1][:80], encoding="utf-8")
    assert prepare(project, [folder]).kept == 3
    assert not (project.clips / ".journal.jsonl").exists()


def test_a_recording_that_was_deleted_takes_its_clips_along(project: Project, corpus: Corpus) -> None:
    corpus(3).rename(project.recordings / "set")
    prepare(project)
    first, *rest = Manifest.read(project.manifest)
    (project.root / first.source).unlink()
    table = project.recordings / "set" / "metadata.tsv"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(line for line in lines if first.name not in line), encoding="utf-8")
    prepare(project)
    assert [row.id for row in Manifest.read(project.manifest)] == [row.id for row in rest]
    assert not (project.root / first.path).exists()


@pytest.mark.parametrize(
    "wrong", ["jobs = 0", "job = 1", "check.tolerate = ['low_snrr']", "clean.denoise = 3.0"]
)
def test_a_wrong_setting_is_refused_before_anything_is_done(
    project: Project, corpus: Corpus, wrong: str
) -> None:
    toml = project.root / "dimts.toml"
    toml.write_text(toml.read_text(encoding="utf-8") + f"[data]\n{wrong}\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        prepare(project, [corpus(1)])
    assert not project.clips.exists()


def test_real_speech_is_prepared_end_to_end(project: Project, shared: Path) -> None:
    """ALFFA: read news with a strong offset; every clip is levelled, trimmed and begins and ends in
    silence."""
    lines = (shared / "speech" / "alffa" / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    folder = project.root / "some"
    folder.mkdir()
    rows = [line.split("\t") for line in lines[1::6]]
    table = ["id\tpath\tspeaker\ttext"]
    table += ["\t".join([row[0], str(shared / "speech" / "alffa" / row[1]), row[2], row[4]]) for row in rows]
    (folder / "metadata.tsv").write_text("\n".join(table), encoding="utf-8")
    result = prepare(project, [folder])
    assert result.kept >= 0.85 * len(rows)
    for row in Manifest.read(project.manifest):
        if not row.kept:
            continue
        activity = detect_speech(project.inside(row.path))
        assert activity.speech
        assert activity.speech[0][0] > 0.02
        assert activity.seconds - activity.speech[-1][1] > 0.02
        assert activity.spoken_seconds(0, activity.seconds) > 0.6 * activity.seconds
        assert abs(activity.dc_offset) < 1e-3
        assert 5 < row.measures["phones_per_second"] < 22
