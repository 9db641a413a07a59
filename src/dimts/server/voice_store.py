"""Store uploaded voices, each made from a recording and the speaker's consent, for use by its uploader.

    <folder>/voice_<hex>.voice   latents and timbre of the speaker, with the consent inside
    <folder>/voice_<hex>.json    name, model, owner, consent, time, hash of the recording

The recording itself is not kept. A voice exists when its JSON does, so it is written last and removed first;
every look-up reads the folder, so that several processes may share it.
"""

from __future__ import annotations

import json
import re
import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dimts.audio.media import Medium
from dimts.audio.wave import Wave
from dimts.base.errors import AudioError
from dimts.base.files import atomic_path, write_text

if TYPE_CHECKING:
    from dimts.speak import Speaker
    from dimts.xtts.voice import Voice

_ID = re.compile(r"voice_[0-9a-f]{16}")
MIN_SECONDS = 1.0
"""Shortest recording for a voice, in seconds."""


@dataclass(frozen=True, slots=True)
class UploadedVoice:
    """Metadata of an uploaded voice."""

    id: str
    name: str
    model: str
    owner: str
    """Name of the API key it was uploaded with; "" where none is required."""
    consent: str
    created: int
    """Time of upload in seconds since 1970."""
    sha256: str
    """SHA-256 of the recording, which is not kept."""


class VoiceStore:
    """A folder of uploaded voices."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: dict[str, Voice] = {}

    def all(self, owner: str) -> Iterator[UploadedVoice]:
        """Yield the voices of an owner, by name."""
        found = (
            (self._read(path) for path in self.folder.glob("voice_*.json")) if self.folder.is_dir() else ()
        )
        yield from sorted(
            (one for one in found if one and one.owner == owner), key=lambda one: (one.name, one.id)
        )

    def find(self, name: str, model: str, owner: str) -> UploadedVoice | None:
        """Return a voice of an owner and a model, by id or name."""
        return next(
            (one for one in self.all(owner) if one.model == model and name in (one.id, one.name)), None
        )

    def voice(self, uploaded: UploadedVoice) -> Voice:
        """Load the voice itself. Raises CheckpointError if its file is damaged."""
        from dimts.xtts.voice import Voice

        if uploaded.id not in self._loaded:
            self._loaded[uploaded.id] = Voice.load(self.folder / f"{uploaded.id}.voice")
        return self._loaded[uploaded.id]

    def add(
        self, speaker: Speaker, recording: Path, uploaded: UploadedVoice, max_seconds: float
    ) -> UploadedVoice:
        """Make a voice from a recording and store it. Raises AudioError, and SynthesisError for the formant
        voice."""
        with tempfile.TemporaryDirectory() as folder:
            plain = _limited(recording, max_seconds).save(Path(folder) / "reference.wav")
            voice = speaker.clone(plain, consent=uploaded.consent)
        made = replace(uploaded, id=f"voice_{secrets.token_hex(8)}", created=int(time.time()))
        about = asdict(made)
        with atomic_path(self.folder / f"{made.id}.voice") as temporary:
            replace(voice, meta={**about, "source": "upload"}).save(temporary)
        write_text(self.folder / f"{made.id}.json", json.dumps(about, ensure_ascii=False))
        return made

    def delete(self, id_: str, owner: str) -> bool:
        """Remove a voice of an owner; False if there is none."""
        found = next((one for one in self.all(owner) if one.id == id_), None)
        if found is None:
            return False
        (self.folder / f"{found.id}.json").unlink(missing_ok=True)
        (self.folder / f"{found.id}.voice").unlink(missing_ok=True)
        self._loaded.pop(found.id, None)
        return True

    def _read(self, path: Path) -> UploadedVoice | None:
        """Read a voice's metadata; None for another kind of file, or one that was just deleted."""
        if not _ID.fullmatch(path.stem):
            return None
        try:
            found = UploadedVoice(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.id == path.stem else None


def _limited(recording: Path, max_seconds: float) -> Wave:
    """Load a recording as a wave; one that is too long is refused before it fills the memory."""
    pieces, count = [], 0
    try:
        with Medium.open(recording) as medium:
            for block in medium.blocks():
                pieces.append(block)
                count += len(block)
                if count > max_seconds * medium.rate:
                    raise AudioError("server.recording_too_long", max_seconds=max_seconds)
            rate = medium.rate
    except AudioError as error:  # the temporary file's name means nothing to the client
        parameters = {name: "file" if value == str(recording) else value
                      for name, value in error.message.parameters.items()}  # fmt: skip
        raise AudioError(error.code, **parameters) from error
    if count < MIN_SECONDS * rate:
        raise AudioError("server.recording_too_short", seconds=count / rate)
    return Wave(np.concatenate(pieces), rate)
