"""Play audio by the first program of this machine that takes raw samples on its standard input."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from dimts.base.errors import ConfigError

PLAYERS: dict[str, tuple[str, ...]] = {
    "paplay": ("--raw", "--format=s16le", "--channels=1", "--rate={rate}"),
    "aplay": ("-q", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", "{rate}", "-"),
    "ffplay": ("-nodisp", "-autoexit", "-loglevel", "error", "-f", "s16le", "-ar", "{rate}", "-i", "-"),
    "play": ("-q", "-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", "{rate}", "-"),
}
"""Arguments for 16-bit mono samples by program: PulseAudio or PipeWire, ALSA, FFmpeg, SoX."""


def find() -> str | None:
    """Return the first player that is installed."""
    return next((name for name in PLAYERS if shutil.which(name)), None)


class Loudspeaker:
    """A player process: samples written to it are played."""

    def __init__(self, name: str, rate: int) -> None:
        self._name = name
        arguments = [part.format(rate=rate) for part in PLAYERS[name]]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self._process = subprocess.Popen(  # noqa: S603 (one of PLAYERS, no text of the user's)
            [name, *arguments], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=self._stderr
        )
        self._pipe = cast(BinaryIO, self._process.stdin)

    def write(self, data: bytes) -> int:
        """Write as to a file; BrokenPipeError when the player has ended."""
        return self._pipe.write(data)

    def flush(self) -> None:
        """Flush as a file does."""
        self._pipe.flush()

    def finish(self) -> None:
        """Wait for the end of the playback. ConfigError if the player failed."""
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        if self._process.wait():
            self._stderr.seek(0)
            reason = " ".join(self._stderr.read().decode(errors="replace").split())
            raise ConfigError(
                "cli.player_failed", name=self._name, reason=reason[-200:] or self._process.returncode
            )

    def stop(self) -> None:
        """Stop the playback at once."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        self._stderr.close()


@contextlib.contextmanager
def playing(rate: int) -> Iterator[Loudspeaker]:
    """Open a file whose samples are played; the end waits for the playback, an error or Ctrl-C stops it.

    Raises ConfigError if there is no player, or it fails.
    """
    name = find()
    if name is None:
        raise ConfigError("cli.no_player", players=tuple(PLAYERS))
    loudspeaker = Loudspeaker(name, rate)
    try:
        yield loudspeaker
        loudspeaker.finish()
    finally:
        loudspeaker.stop()
