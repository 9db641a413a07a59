"""`dimts say`, run as people run it."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pysubs2
import pytest

from dimts.audio.formant import variants
from dimts.audio.level import frame_levels
from dimts.audio.wave import Wave
from dimts.cli.main import main

TEXT = "ሰላም ለዓለም። እንዴት ናችሁ?"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test in a folder of its own."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def give(monkeypatch: pytest.MonkeyPatch, text: str | bytes) -> None:
    """Text on standard input."""
    data = text.encode() if isinstance(text, str) else text
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))


def refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str], what: str, remedy: str, here: Path
) -> None:
    """Exit code 2, one line, a remedy, and nothing written."""
    before = sorted(here.rglob("*"))
    assert main(["say", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    lines = shown.err.strip().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: ")
    assert what in lines[0]
    assert lines[1].startswith("hint: ")
    assert remedy in lines[1]
    assert sorted(here.rglob("*")) == before


def test_a_sentence_into_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say", TEXT, "-o", "s.wav"]) == 0
    wave = Wave.load("s.wav")
    assert wave.rate == 24_000
    assert 2.0 <= wave.seconds <= 5.0
    assert (frame_levels(wave) > -45).mean() > 0.5
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"wrote s.wav ({wave.seconds:.1f} s, the formant voice)\n"


@pytest.mark.parametrize("form", ["flac", "mp3", "ogg", "opus"])
def test_the_suffix_is_the_format(form: str) -> None:
    assert main(["say", TEXT, "-o", f"s.{form}"]) == 0
    wave = Wave.load(f"s.{form}")
    assert wave.rate == 24_000
    assert 2.0 <= wave.seconds <= 5.0


def test_without_a_name_the_file_is_named_after_the_text(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["say", "ሰላም/ለዓለም። ../x"]) == 0
    assert main(["say", "ሰላም/ለዓለም። ../x"]) == 0
    assert sorted(path.name for path in here.iterdir()) == ["ሰላም-ለዓለም-x-2.wav", "ሰላም-ለዓለም-x.wav"]
    assert "wrote ሰላም-ለዓለም-x-2.wav" in capsys.readouterr().err


def test_speaking_needs_no_network_and_no_model() -> None:
    """Every socket is refused before dimts is imported; run as a process of its own."""
    program = (
        "import socket, sys\n"
        "def refuse(*a, **k): raise OSError('no network')\n"
        "socket.socket.connect = refuse; socket.create_connection = refuse; socket.getaddrinfo = refuse\n"
        "from dimts.cli.main import main\n"
        f"code = main(['say', {TEXT!r}, '-o', 's.wav'])\n"
        "assert 'torch' not in sys.modules, 'torch was loaded'\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 2.0 <= Wave.load("s.wav").seconds <= 5.0


def test_in_a_namespace_without_a_network() -> None:
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("unshare needs root")
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("network namespaces are not allowed here")
    command = [sys.executable, "-m", "dimts", "say", TEXT, "-o", "s.wav"]
    done = subprocess.run(["unshare", "--net", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 2.0 <= Wave.load("s.wav").seconds <= 5.0


def test_rate_pitch_and_variant_are_heard() -> None:
    for name, arguments in {
        "plain": [],
        "fast": ["--rate", "1.5"],
        "high": ["--pitch", "1.5"],
        "other": ["--variant", "f2"],
        "set": ["--set", "speak.formant.variant=f2"],
    }.items():
        assert main(["say", TEXT, "-o", f"{name}.wav", *arguments]) == 0
    waves = {path.stem: Wave.load(path) for path in Path().glob("*.wav")}
    assert waves["plain"].seconds / waves["fast"].seconds == pytest.approx(1.5, rel=0.12)
    assert waves["high"].seconds == pytest.approx(waves["plain"].seconds, rel=0.05)
    assert not np.array_equal(waves["high"].samples[:20_000], waves["plain"].samples[:20_000])
    np.testing.assert_array_equal(waves["other"].samples, waves["set"].samples)
    assert len({wave.samples.tobytes() for wave in waves.values()}) == 4


def test_variants_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say", "--variants"]) == 0
    assert capsys.readouterr().out.splitlines() == list(variants())


def test_a_text_file_in_any_unicode(here: Path) -> None:
    (here / "a.txt").write_text(TEXT, encoding="utf-8")
    (here / "b.txt").write_text(TEXT, encoding="utf-8-sig")
    (here / "c.txt").write_text(TEXT, encoding="utf-16")
    for name in "abc":
        assert main(["say", "--input", f"{name}.txt", "-o", f"{name}.wav"]) == 0
    assert len({Wave.load(f"{name}.wav").samples.tobytes() for name in "abc"}) == 1


def test_standard_input_into_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, TEXT)
    assert main(["say", "--stdin", "-o", "s.wav"]) == 0
    assert 2.0 <= Wave.load("s.wav").seconds <= 5.0


def stream(arguments: list[str], text: str) -> tuple[bytes, str, int]:
    done = subprocess.run(
        [sys.executable, "-m", "dimts", "say", "-o", "-", *arguments],
        input=text.encode(),
        capture_output=True,
    )
    return done.stdout, done.stderr.decode(), done.returncode


def test_a_stream_on_standard_output_is_a_wav_that_players_take() -> None:
    data, _, code = stream(["--stdin"], "ሰላም ለዓለም።\nhello\n\nእንዴት ናችሁ?\n")
    assert code == 0
    assert data[:4] == b"RIFF"
    assert struct.unpack("<I", data[24:28]) == (24_000,)
    Path("s.wav").write_bytes(data)
    assert 1.5 < Wave.load("s.wav").seconds < 5.0


def test_a_line_without_amharic_in_a_stream_is_told_and_passed_over() -> None:
    raw, told, code = stream(["--stdin", "--format", "raw"], "ሰላም\nhello\nሰላም\n")
    once, _, _ = stream(["--format", "raw", "ሰላም"], "")
    assert code == 0
    assert raw == once + once
    assert "passed over: there is no Amharic to read in 'hello'" in told
    _, told, code = stream(["--stdin"], "hello\n")
    assert code == 2
    assert "error: there is no Amharic" in told


def test_a_stream_answers_line_by_line() -> None:
    """The first line is heard before the second is written."""
    command = [sys.executable, "-m", "dimts", "say", "--stdin", "-o", "-", "--format", "raw"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("ሰላም\n".encode())
    process.stdin.flush()
    first = process.stdout.read(4_800)
    assert len(first) == 4_800
    rest, _ = process.communicate("ናችሁ\n".encode(), timeout=60)
    assert process.returncode == 0
    assert len(rest) > 20_000


def a_player(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A stand-in for `aplay`, as there is no sound card here; nothing else is on the path."""
    places = folder / "bin"
    places.mkdir()
    player = places / "aplay"
    player.write_text(f"#!{sys.executable}\n{script}", encoding="utf-8")
    player.chmod(0o755)
    monkeypatch.setenv("PATH", str(places))


def test_a_text_is_played(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys; open('heard', 'wb').write(sys.stdin.buffer.read()); "
        "open('asked', 'w').write(str(sys.argv))"
    )
    a_player(here, monkeypatch, script)
    assert main(["say", TEXT, "--play"]) == 0
    assert main(["say", TEXT, "-o", "s.wav"]) == 0
    heard = np.frombuffer((here / "heard").read_bytes(), "<i2")
    np.testing.assert_allclose(heard / 32768, Wave.load("s.wav").samples, atol=1e-3)
    assert "'-r', '24000'" in (here / "asked").read_text(encoding="utf-8")


def test_a_player_that_fails_or_is_not_there_is_told(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_player(here, monkeypatch, "import sys; sys.stdin.buffer.read(); sys.exit('no sound card')")
    assert main(["say", TEXT, "--play"]) == 2
    assert "aplay cannot play: no sound card" in capsys.readouterr().err
    (here / "bin" / "aplay").unlink()
    refused([TEXT, "--play"], capsys, "no player is there", "-o -", here)
    refused([TEXT, "--play", "-o", "s.wav"], capsys, "--play writes no file", "-o", here)


def test_sigterm_ends_a_stream_at_once() -> None:
    command = [sys.executable, "-m", "dimts", "say", "--stdin", "-o", "-", "--format", "raw"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(("ሰላም ለዓለም። " * 500 + "\n").encode())
    process.stdin.flush()
    assert len(process.stdout.read(4_800)) == 4_800
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert process.returncode not in (0, 1)
    assert b"Traceback" not in told


def test_a_folder_as_target_takes_a_file_for_each_paragraph(here: Path) -> None:
    (here / "book.txt").write_text("ሰላም ለዓለም።\n\nእንዴት ናችሁ?\n", encoding="utf-8")
    assert main(["say", "--input", "book.txt", "--out", "book/"]) == 0
    assert sorted(path.name for path in (here / "book").iterdir()) == ["0001.wav", "0002.wav", "index.jsonl"]


def test_a_player_that_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "dimts", "say", "-o", "-", "ሰላም ለዓለም። " * 200]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1000)
    process.stdout.close()
    told = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert "Traceback" not in told


def test_timings_in_every_format(here: Path) -> None:
    names = ["s.srt", "s.vtt", "s.TextGrid", "s.json"]
    options = [part for name in names for part in ("--timings", name)]
    assert main(["say", TEXT, "-o", "s.wav", *options]) == 0
    seconds = Wave.load("s.wav").seconds
    for name in ("s.srt", "s.vtt"):
        read = pysubs2.load(name, encoding="utf-8")
        assert [event.text for event in read] == ["ሰላም ለዓለም።", "እንዴት ናችሁ?"]
        assert read[-1].end / 1000 == pytest.approx(seconds, abs=0.01)
    marks = json.loads((here / "s.json").read_text(encoding="utf-8"))["marks"]
    assert [mark["text"] for mark in marks if mark["kind"] == "word"] == ["ሰላም", "ለዓለም", "እንዴት", "ናችሁ"]
    assert [mark["text"] for mark in marks if mark["kind"] == "phone"][:5] == ["s", "ə", "l", "a", "m"]
    assert 'name = "phones"' in (here / "s.TextGrid").read_text(encoding="utf-8")


def test_a_batch_goes_on_where_it_stopped(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "book.txt").write_text("ሰላም ለዓለም።\n\nhello\nእንዴት ናችሁ?\nበጣም ጥሩ።\n", encoding="utf-8")
    command = ["say", "--input", "book.txt", "--out-dir", "book", "--format", "ogg"]
    assert main(command) == 0
    told = capsys.readouterr().err
    assert "paragraph 2 passed over: there is no Amharic" in told
    assert "3 spoken, 0 there already, 1 passed over" in told
    files = sorted(path.name for path in (here / "book").iterdir())
    assert files == ["0001.ogg", "0003.ogg", "0004.ogg", "index.jsonl"]
    rows = [
        json.loads(line) for line in (here / "book" / "index.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [(row["file"], row["text"]) for row in rows][1] == ("0003.ogg", "እንዴት ናችሁ?")
    assert rows[0]["seconds"] == pytest.approx(Wave.load(here / "book" / "0001.ogg").seconds, abs=0.05)
    (here / "book" / "0003.ogg").unlink()
    times = {path: path.stat().st_mtime_ns for path in (here / "book").glob("*.ogg")}
    assert main(command) == 0
    assert "1 spoken, 2 there already, 1 passed over" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert main([*command, "--rate", "1.3"]) == 0
    assert "3 spoken, 0 there already" in capsys.readouterr().err


def test_a_broken_line_in_the_index_is_said_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "book.txt").write_text("ሰላም ለዓለም።\nእንዴት ናችሁ?\n", encoding="utf-8")
    command = ["say", "--input", "book.txt", "--out-dir", "book"]
    assert main(command) == 0
    index = here / "book" / "index.jsonl"
    index.write_text(index.read_text(encoding="utf-8")[:-30], encoding="utf-8")
    assert main(command) == 0
    assert "1 spoken, 1 there already" in capsys.readouterr().err


def test_ctrl_c_in_a_batch_keeps_what_is_done(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dimts.speak import Speaker

    (here / "book.txt").write_text("ሰላም ለዓለም።\nእንዴት ናችሁ?\nበጣም ጥሩ።\n", encoding="utf-8")
    command = ["say", "--input", "book.txt", "--out-dir", "book"]
    real = Speaker.phrases

    def interrupted(self: Speaker, text: str, voice: object = None) -> object:
        if text.startswith("በጣም"):
            raise KeyboardInterrupt
        return real(self, text, voice)  # type: ignore[arg-type]

    monkeypatch.setattr(Speaker, "phrases", interrupted)
    assert main(command) == 130
    assert sorted(path.name for path in (here / "book").iterdir()) == ["0001.wav", "0002.wav", "index.jsonl"]
    monkeypatch.undo()
    monkeypatch.chdir(here)
    capsys.readouterr()
    assert main(command) == 0
    assert "1 spoken, 2 there already" in capsys.readouterr().err


def test_a_projects_settings_and_lexicon_are_used(here: Path) -> None:
    project = here / "abebe"
    project.mkdir()
    (project / "dimts.toml").write_text(
        '[speak]\nrate = 1.5\n[text.g2p]\nbackends = ["rules"]\n', encoding="utf-8"
    )
    (project / "lexicon.tsv").write_text("ሰላም\tʃ ə lː a m\n", encoding="utf-8")
    assert main(["say", "ሰላም", "--project", "abebe", "-o", "a.wav", "--timings", "a.json"]) == 0
    marks = json.loads((here / "a.json").read_text(encoding="utf-8"))["marks"]
    assert [mark["text"] for mark in marks if mark["kind"] == "phone"] == ["ʃ", "ə", "lː", "a", "m"]
    assert main(["say", "ሰላም", "--lexicon", "abebe/lexicon.tsv", "-o", "b.wav"]) == 0
    assert Wave.load("b.wav").seconds > 1.3 * Wave.load("a.wav").seconds


# Refusals


@pytest.mark.parametrize(
    ("arguments", "what", "remedy"),
    [
        ([""], "the text is empty", "Amharic text"),
        (["  \n "], "the text is empty", "Amharic text"),
        (["hello world"], "no Amharic to read in 'hello world'", "fidel"),
        (["..."], "no Amharic", "fidel"),
        ([], "give one text", "dimts say"),
        (["ሰላም", "--stdin"], "give one text", "dimts say"),
        (["ሰላም", "-o", "x.wave"], "cannot write sound as 'wave'", "'wav'"),
        (["ሰላም", "-o", "x.wav", "--out-dir", "y"], "exclude each other", "choose one"),
        (["ሰላም", "-o", "-", "--timings", "x.srt"], "needs a sound file", "-o FILE"),
        (["ሰላም", "-o", "x.wav", "--timings", "x.str"], "cannot write timings as '.str'", ".srt"),
        (["ሰላም", "-o", "-", "--format", "mp3"], "cannot be streamed", "wav or raw"),
        (["ሰላም", "--out-dir", "y", "--format", "raw"], "cannot write sound as 'raw'", "wav"),
        (["--input", "nowhere.txt"], "no such text file: nowhere.txt", "check the name"),
        (["--input", "."], "is a folder", "text file"),
        (["ሰላም", "--rate", "9"], "speak.rate = 9.0", "0.5 to 2.0"),
        (["ሰላም", "--pitch", "9"], "pitch = 9.0", "0.64"),
        (["ሰላም", "--variant", "f9"], "unknown voice variant 'f9'", "f5"),
        (["ሰላም", "--set", "speak.rat=1"], "unknown setting speak.rat", "'rate'"),
        (["ሰላም", "--set", "rate"], "cannot read setting", "table.key=value"),
        (["ሰላም", "--voice", "nobody.wav"], "no such voice: nobody.wav", "formant"),
        (["ሰላም", "--voice", "a.wav=much"], "cannot read the share", "NAME=0.7"),
        (["ሰላም", "--voice", "."], "config.json", "whole model"),
        (["ሰላም", "--model", "nowhere", "--voice", "a"], "no such model folder: nowhere", "dimts fetch"),
        (["ሰላም", "--project", "nowhere"], "no such project folder", "dimts new"),
        (["ሰላም", "--lexicon", "nowhere.tsv"], "no such lexicon", "dimts lexicon"),
    ],
)
def test_wrong_input_gets_one_line_and_a_remedy(
    arguments: list[str], what: str, remedy: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(arguments, capsys, what, remedy, here)


def test_a_recording_without_a_model_says_how_to_get_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Wave.silence(3.0, 24_000).save(here / "abebe.wav")
    refused(["ሰላም", "--voice", "abebe.wav"], capsys, "weights are not here", "dimts fetch", here)


def test_a_text_file_that_is_not_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "x.txt").write_bytes(b"\xe1\x88\xff\x00")
    refused(["--input", "x.txt"], capsys, "not UTF-8", "save it as UTF-8", here)


def test_a_read_only_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    locked = here / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    if os.access(locked, os.W_OK):
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(locked)], capture_output=True
        )
        if mounted.returncode:
            pytest.skip("root may write anywhere, and mounting is not allowed here")
        try:
            refused(["ሰላም", "-o", "locked/x.wav"], capsys, "read-only", "choose a folder", here)
        finally:
            subprocess.run(["umount", str(locked)], check=True)
    else:
        refused(["ሰላም", "-o", "locked/x.wav"], capsys, "permission denied", "choose a folder", here)


def test_a_full_disk(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = here / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(small)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tiny disk is not allowed here")
    try:
        refused([TEXT, "-o", "small/x.wav"], capsys, "the disk is full", "free some space", here)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_an_existing_file_stays_when_the_text_is_refused(here: Path) -> None:
    (here / "x.wav").write_bytes(b"precious")
    assert main(["say", "hello", "-o", "x.wav"]) == 2
    assert (here / "x.wav").read_bytes() == b"precious"


# Models


def test_a_bundle_a_recording_and_a_blend(
    bundle: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Wave(np.random.default_rng(0).standard_normal(48_000) * 0.1, 24_000).save(here / "abebe.wav")
    base = ["say", "ሰላም", "--set", "speak.retries=0"]
    assert main([*base, "--voice", str(bundle), "-o", "own.wav"]) == 0
    assert "(1." in capsys.readouterr().err or Wave.load("own.wav").seconds > 0.3
    assert main([*base, "--model", str(bundle), "--voice", "sara", "-o", "sara.wav"]) == 0
    consent = ["--consent", "noise that nobody spoke"]
    assert main([*base, "--model", str(bundle), "--voice", "abebe.wav", *consent, "-o", "like.wav"]) == 0
    blend = ["--voice", "abebe.wav=0.5", "--voice", "sara=0.5"]
    assert main([*base, "--model", str(bundle), *blend, "-o", "blend.wav"]) == 0
    assert main([*base, "--model", str(bundle), *blend, "-o", "again.wav"]) == 0
    assert main([*base, "--model", str(bundle), *blend, "--seed", "5", "-o", "other.wav"]) == 0
    waves = {path.stem: Wave.load(path).samples.tobytes() for path in here.glob("*.wav")}
    assert waves["blend"] == waves["again"]
    assert len(set(waves.values())) == len(waves) - 1


def test_a_voice_of_a_speakers_file_and_eight_bit_weights(
    bundle: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dimts.xtts import weights
    from dimts.xtts.checkpoint import load_bundle

    voices = load_bundle(bundle).voices
    speakers = {
        name: {"gpt_cond_latent": weights.owned(one.latents), "speaker_embedding": weights.owned(one.timbre)}
        for name, one in voices.items()
    }
    weights.write_pickle(here / "speakers_xtts.pth", speakers)
    base = ["say", "ሰላም", "--set", "speak.retries=0", "--model", str(bundle)]
    assert main([*base, "--voice", "sara", "-o", "named.wav"]) == 0
    assert main([*base, "--voice", "speakers_xtts.pth:sara", "-o", "filed.wav"]) == 0
    assert main([*base, "--voice", "sara", "--weights", "int8", "-o", "light.wav"]) == 0
    waves = {path.stem: Wave.load(path).samples.tobytes() for path in here.glob("*.wav")}
    assert waves["named"] == waves["filed"] != waves["light"]
    assert main([*base, "--voice", "speakers_xtts.pth:sar", "-o", "x.wav"]) == 2
    assert "has no voice 'sar'" in capsys.readouterr().err


def test_voices_of_a_model_are_listed(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["say", "--voices", "--voice", str(bundle)]) == 0
    assert capsys.readouterr().out.splitlines() == ["abebe", "sara"]
    assert main(["say", "--voices"]) == 0
    assert "has one voice" in capsys.readouterr().out


def test_a_voice_of_the_project_by_its_name(
    bundle: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "p" / "voices").mkdir(parents=True)
    (here / "p" / "dimts.toml").write_text("[speak]\nretries = 0\n", encoding="utf-8")
    shutil.copytree(bundle, here / "p" / "voices" / "abebe")
    assert main(["say", "ሰላም", "--project", "p", "--voice", "abebe", "-o", "x.wav"]) == 0
    assert "tiny)" in capsys.readouterr().err


def test_wrong_voices_of_a_model(bundle: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["ሰላም", "--model", str(bundle), "--set", "speak.watermark=off"]
    refused([*model, "--voice", "abeb"], capsys, "has no voice 'abeb'", "abebe", here)
    refused([*model, "--voice", "formant"], capsys, "cannot be blended", "--model", here)
    (here / "x.voice").write_bytes(b"no voice")
    refused([*model, "--voice", "x.voice"], capsys, "cannot read the voice", "make it again", here)
    (here / "empty.wav").touch()
    refused([*model, "--voice", "empty.wav"], capsys, "the file is empty", "copy", here)
    refused([*model, "--device", "abacus"], capsys, "device 'abacus'", "cpu", here)
