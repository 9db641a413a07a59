"""Say of speech that it is synthetic: mark its waves, and fill the fields of its files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dimts.audio.tags import FileTags
from dimts.audio.watermark import WatermarkEncoder, has_watermark, mark, require_watermark
from dimts.audio.wave import Wave
from dimts.base.messages import Message
from dimts.base.version import __version__

if TYPE_CHECKING:
    from dimts.speak.settings import Watermark

_LONGEST = 200
"""Most letters of a field."""


class Provenance:
    """What is done to the waves of one engine's speech: nothing is changed but the mark and the tags.

    Raises MissingExtra where the mark is demanded and cannot be made.
    """

    def __init__(self, watermark: Watermark, *, formant: bool) -> None:
        if watermark == "on":
            require_watermark()
        wanted = watermark == "on" or (watermark == "auto" and not formant)
        self.marks = wanted and has_watermark()
        """Whether waves are marked."""
        self.remark = Message("speak.not_watermarked") if wanted and not self.marks else None
        """Why they are not although `auto` would; None if there is nothing to say."""

    def whole(self, wave: Wave, tags: FileTags) -> Wave:
        """Return a finished phrase with mark and tags."""
        return replace(mark(wave) if self.marks and len(wave.samples) else wave, tags=tags)

    def streamed(self, waves: Iterable[Wave], tags: FileTags) -> Iterator[Wave]:
        """Yield a phrase that is still being made, marked as the whole would be, 0.22 s later; none empty."""
        if not self.marks:
            for wave in waves:
                yield replace(wave, tags=tags)
            return
        encoder = WatermarkEncoder()
        for wave in waves:
            if len((done := encoder.push(wave)).samples):
                yield replace(done, tags=tags)
        if len((rest := encoder.finish()).samples):
            yield replace(rest, tags=tags)


def file_tags(
    engine: str | Message, model: Mapping[str, Any], name: str, voice: Mapping[str, Any]
) -> FileTags:
    """Return the fields for a voice: `model` and `voice` are what their files say of themselves.

    Nothing of the spoken text is in them. They are in English, as whoever finds the file may be anywhere.
    """
    engine_name = engine.text("en") if isinstance(engine, Message) else engine
    licences = dict.fromkeys(
        str(meta[key])
        for meta in (voice, *voice.get("blend_of", ()), model)
        for key in ("licence", "licence_of_recordings", "licence_of_base")
        if meta.get(key)
    )
    return FileTags(
        artist=_line(name or str(voice.get("name") or engine_name)),
        licence=_line("; ".join(licences)),
        comment=Message("speak.synthetic_speech", version=__version__).text("en"),
        software=f"dimts {__version__}",
    )


def _line(text: str) -> str:
    """Return a text without line breaks and control characters, cut to the length of a field."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:_LONGEST]
