"""Describe a sound in the fields of its file: who speaks, under which licence, and that it is synthetic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileTags:
    """What a file says about its sound; empty texts are left out."""

    artist: str = ""
    """Name of the voice."""
    licence: str = ""
    comment: str = ""
    """What the sound is, e.g. "synthetic speech (dimts 0.2.0)"."""
    software: str = ""

    def vorbis(self) -> dict[str, str]:
        """Return the fields by the names of Vorbis comments, which FFmpeg maps to those of other formats."""
        found = {"artist": self.artist, "license": self.licence, "copyright": self.licence,
                 "comment": self.comment}  # fmt: skip
        return {name: text for name, text in found.items() if text}

    def libsndfile(self, form: str) -> dict[str, str]:
        """Return the fields by libsndfile's names.

        Its mp3 has no field for a licence, which goes into the comment, and writes UTF-8 under the name of
        Latin-1 (LAME 3.100), so that texts in other letters than ASCII's are left out there.
        """
        if form == "mp3":
            comment = "; ".join(one for one in (self.comment, self.licence) if one and one.isascii())
            found = {"artist": self.artist if self.artist.isascii() else "", "comment": comment}
        else:
            found = self.vorbis() | {"software": self.software}
        if form == "wav":
            found.pop("license", None)
        return {name: text for name, text in found.items() if text}

    def riff(self) -> bytes:
        """Return a LIST chunk of RIFF's INFO fields (Microsoft and IBM, 1991), texts in UTF-8."""
        named = {b"IART": self.artist, b"ICMT": self.comment, b"ICOP": self.licence, b"ISFT": self.software}
        fields = b"INFO"
        for name, text in named.items():
            if text:
                data = text.encode() + b"\0"
                fields += name + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2)
        return b"LIST" + len(fields).to_bytes(4, "little") + fields
