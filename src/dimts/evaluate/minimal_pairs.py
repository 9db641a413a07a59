"""Words that differ in one sound only, spoken both ways: does the voice tell them apart, and is the right one heard?

Length of consonants and ejectives tell Amharic words apart, and length is not written: a voice that loses it says
another word. Every pair is said in one frame, its phones given between strokes (/ɡənːa/), and the recogniser
compares how likely the two readings are.
Pairs after Leslau, Reference Grammar of Amharic (1995), and the FSI Amharic Basic Course (1964).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dimts.audio.wave import Wave
from dimts.base.errors import DataError
from dimts.evaluate.phone_labels import word_labels
from dimts.evaluate.phone_recogniser import PhoneRecogniser
from dimts.text.phones import from_ipa

Contrast = Literal["length", "ejection"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two words, one difference."""

    contrast: Contrast
    one: str
    """IPA, as it stands between the strokes."""
    other: str
    written: tuple[str, str]
    meant: tuple[str, str]


def _pairs() -> tuple[Pair, ...]:
    rows = """
        length|ʔalə|ʔalːə|አለ|አለ፟|he said|there is
        length|ɡəna|ɡənːa|ገና|ገና፟|still, yet|Christmas
        length|wana|wanːa|ዋና|ዋና፟|swimming|main
        length|səfi|səfːi|ሰፊ|ሰፊ፟|tailor|wide
        length|səba|səbːa|ሰባ|ሰባ፟|seventy|he grew fat
        length|ləɡa|ləɡːa|ለጋ|ለጋ፟|fresh|he hit a ball
        length|ʃɨfta|ʃɨfːɨta|ሽፍታ|ሽፍ፟ታ|bandit|rash
        length|jɨmətal|jɨmːətːal|ይመታል|ይመ፟ታ፟ል|he hits|he is hit
        length|jɨbəlal|jɨbːəlːal|ይበላል|ይበ፟ላ፟ል|he eats|it is eaten
        length|jɨsəmal|jɨsːəmːal|ይሰማል|ይሰ፟ማ፟ል|he hears|it is heard
        ejection|mətːa|mətʼːa|መታ|መጣ|he hit|he came
        ejection|təfːa|tʼəfːa|ተፋ|ጠፋ|he spat|he got lost
        ejection|nəkːa|nəkʼːa|ነካ|ነቃ|he touched|he woke up
        ejection|kəbːərə|kʼəbːərə|ከበረ|ቀበረ|he was honoured|he buried
        ejection|kɨr|kʼɨr|ክር|ቅር|thread|resentment
        ejection|təra|tʼərːa|ተራ|ጠራ|turn|he called
        ejection|tɨl|tʼɨl|ትል|ጥል|worm|quarrel
        ejection|nəkːəsə|nəkʼːəsə|ነከሰ|ነቀሰ|he bit|he tattooed
        ejection|kəsːəsə|kʼəsːəsə|ከሰሰ|ቀሰሰ|he accused|he became a priest
        ejection|tʃərːə|tʃʼərːə|ቸረ|ጨረ|he gave freely|he scraped
    """
    found = []
    for row in filter(None, map(str.strip, rows.splitlines())):
        contrast, one, other, first, second, meant, meant_too = row.split("|")
        kind: Contrast = "length" if contrast == "length" else "ejection"
        found.append(Pair(kind, one, other, (first, second), (meant, meant_too)))
    return tuple(found)


PAIRS = _pairs()
FRAME = "አሁን {} በል።"
"""What every word is said in: "now say …"."""

Perform = Callable[[str], Iterable[tuple[Wave, Sequence[Sequence[str]]]]]
"""Text → for each phrase its wave and the phones of its words; made of a Speaker by `report.performer`."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One pair as one voice says it."""

    pair: Pair
    margins: tuple[float, float]
    """For each of the two: the natural log by which the recogniser finds it likelier than the other; > 0 is right."""

    @property
    def right(self) -> tuple[bool, bool]:
        """Whether each of the two was recognised."""
        return self.margins[0] > 0, self.margins[1] > 0

    @property
    def told_apart(self) -> bool:
        """Whether the two sound different at all: the evidence moves the right way from the one to the other."""
        return self.margins[0] + self.margins[1] > 0


def try_pairs(
    perform: Perform, recogniser: PhoneRecogniser, pairs: Sequence[Pair] = PAIRS, frame: str = FRAME
) -> list[Tried]:
    """Say every pair both ways and listen. DataError for a frame without a place for the word."""
    if frame.count("{}") != 1:
        raise DataError("evaluate.frame_without_slot", frame=frame)
    return [Tried(pair, _margins(perform, recogniser, pair, frame)) for pair in pairs]


def _margins(perform: Perform, recogniser: PhoneRecogniser, pair: Pair, frame: str) -> tuple[float, float]:
    readings = (from_ipa(pair.one), from_ipa(pair.other))
    found = []
    for mine, others in (readings, readings[::-1]):
        written = "".join(mine)
        for wave, words in perform(frame.format(f"/{written}/")):
            if tuple(mine) not in [tuple(word) for word in words]:
                continue
            heard = recogniser.hear(wave)
            right = _flat(words)
            wrong = _flat([others if tuple(word) == mine else word for word in words])
            found.append(heard.cost(wrong) - heard.cost(right))
            break
        else:
            raise DataError("evaluate.inline_phones_refused", written=written)
    return found[0], found[1]


def _flat(words: Sequence[Sequence[str]]) -> list[str]:
    return [sign for word in word_labels(words) for sign in word]
