"""The module for Speech Dispatcher, in a real dispatcher of its own: what a screen reader says is spoken by
dimts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dimts.audio.wave import Wave

CONFIG = Path(__file__).resolve().parents[2] / "docs" / "speech-dispatcher" / "dimts-generic.conf"
DEADLINE_SECONDS = 60
TEXT = "ሰላም ለዓለም። እንዴት ናችሁ?"


@pytest.mark.slow
def test_a_real_dispatcher_speaks_amharic(tmp_path: Path) -> None:
    if not all(map(shutil.which, ("speech-dispatcher", "spd-say"))):
        pytest.skip("Speech Dispatcher is not installed (apt install speech-dispatcher)")
    config, programs, socket = tmp_path / "conf", tmp_path / "bin", tmp_path / "socket"
    shutil.copytree("/etc/speech-dispatcher", config)
    # No sound card here: the dispatcher's own output is libao's null driver, and what would go to the player
    # is kept.
    (tmp_path / ".libao").write_text("default_driver=null\n", encoding="utf-8")
    module = CONFIG.read_text(encoding="utf-8").replace("| $PLAY_COMMAND", f"> {tmp_path}/heard-$$.wav")
    (config / "modules" / "dimts-generic.conf").write_text(module, encoding="utf-8")
    with (config / "speechd.conf").open("a", encoding="utf-8") as file:
        file.write('AudioOutputMethod "libao"\nAddModule "dimts" "sd_generic" "dimts-generic.conf"\n')
    programs.mkdir()
    (programs / "dimts").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m dimts "$@"\n', encoding="utf-8")
    (programs / "dimts").chmod(0o755)
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "SPEECHD_ADDRESS": f"unix_socket:{socket}",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = ["speech-dispatcher", "-s", "-c", "unix_socket", "-S", str(socket), "-C", str(config)]
    command += ["-L", str(tmp_path), "-P", str(tmp_path / "pid")]
    dispatcher = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + DEADLINE_SECONDS
        while not socket.exists():
            assert dispatcher.poll() is None, "the dispatcher did not start"
            assert time.monotonic() < until
            time.sleep(0.05)
        for options in ([], ["-r", "100", "-t", "female1"]):
            said = ["spd-say", "--wait", "-o", "dimts", "-l", "am", *options, TEXT]
            subprocess.run(said, env=environment, check=True, timeout=DEADLINE_SECONDS)
    finally:
        dispatcher.terminate()
        dispatcher.wait(timeout=DEADLINE_SECONDS)
    heard = sorted(tmp_path.glob("heard-*.wav"), key=lambda path: path.stat().st_mtime_ns)
    plain, fast = (Wave.load(path) for path in heard)
    assert 1.8 < plain.seconds < 4.0
    assert plain.seconds / fast.seconds == pytest.approx(1.5, rel=0.15)
    told = (tmp_path / "dimts.log").read_text(encoding="utf-8") if (tmp_path / "dimts.log").exists() else ""
    assert "rror" not in told, told
