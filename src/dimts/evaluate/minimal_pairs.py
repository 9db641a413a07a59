"""Test whether a voice distinguishes the words of minimal pairs, and whether each is recognised.
Consonant length and ejection distinguish Amharic words, and length is not written: a voice that loses it
speaks another word. Each word is spoken in one carrier sentence, its phones given between strokes (/ɡənːa/),
and the recogniser compares the likelihoods of the two readings. Pairs after Leslau, Reference Grammar of
Amharic (1995), and the FSI Amharic Basic Course (1964).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dimts.audio.wave import Wave
from dimts.base.errors import DataError
from dimts.evaluate.phone_labels import word_labels
from dimts.evaluate.phone_recogniser import PhoneRecogniser, Posteriors
from dimts.text.phones import from_ipa

Contrast = Literal["length", "ejection"]


@dataclass(frozen=True, slots=True)
class MinimalPair:
    """Two words that differ in one sound."""

    contrast: Contrast
    one: str
    """Phones of the first word in IPA, as between the strokes."""
    other: str
    """Phones of the second word in IPA."""
    written: tuple[str, str]
    """Both words in fidel."""
    meanings: tuple[str, str]
    """English glosses of both words."""


def _pairs() -> tuple[MinimalPair, ...]:
    rows = """
        length|ʔalə|ʔalːə|አለ|አለ፟|he said|there is
        length|ɡəna|ɡənːa|ገና|ገና፟|still, yet|Christmas
        length|wana|wanːa|ዋና|ዋና፟|swimming|main
        length|səfi|səfːi|ሰፊ|ሰፊ፟|tailor|wide
        length|səba|səbːa|ሰባ|ሰባ፟|seventy|he grew fat
        length|ləɡa|ləɡːa|ለጋ|ለጋ፟|fresh, tender|he hit a ball
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
        contrast, one, other, first, second, gloss, other_gloss = row.split("|")
        kind: Contrast = "length" if contrast == "length" else "ejection"
        found.append(MinimalPair(kind, one, other, (first, second), (gloss, other_gloss)))
    return tuple(found)


PAIRS = _pairs()
FRAME = "አሁን {} በል።"
"""Carrier sentence, "now say …"."""

SpeakPhrases = Callable[[str], Iterable[tuple[Wave, Sequence[Sequence[str]]]]]
"""Function from a text to the wave and the phones of the words of each phrase; see
`measure.phrase_speaker`."""


@dataclass(frozen=True, slots=True)
class PairResult:
    """Result of one minimal pair for one voice."""

    pair: MinimalPair
    margins: tuple[float, float]
    """Log-likelihood ratio of each word, when spoken, to the other; above 0 it is recognised correctly."""

    @property
    def correct(self) -> tuple[bool, bool]:
        """Whether each word is recognised correctly."""
        return self.margins[0] > 0, self.margins[1] > 0

    @property
    def distinguished(self) -> bool:
        """Whether the two words differ in the right direction: the sum of the ratios is above 0."""
        return self.margins[0] + self.margins[1] > 0


def evaluate_pairs(
    speak: SpeakPhrases, recogniser: PhoneRecogniser, pairs: Sequence[MinimalPair] = PAIRS, frame: str = FRAME
) -> list[PairResult]:
    """Speak and score both words of every pair. DataError for a carrier sentence without one {} for the
    word."""
    if frame.count("{}") != 1:
        raise DataError("evaluate.frame_without_slot", frame=frame)
    return [PairResult(pair, _margins(speak, recogniser, pair, frame)) for pair in pairs]


def _margins(
    speak: SpeakPhrases, recogniser: PhoneRecogniser, pair: MinimalPair, frame: str
) -> tuple[float, float]:
    readings = (from_ipa(pair.one), from_ipa(pair.other))
    found = []
    for mine, others in (readings, readings[::-1]):
        written = "".join(mine)
        for wave, words in speak(frame.format(f"/{written}/")):
            if tuple(mine) not in [tuple(word) for word in words]:
                continue
            found.append(likelihood_margin(recogniser.recognise(wave), words, mine, others))
            break
        else:
            raise DataError("evaluate.inline_phones_refused", written=written)
    return found[0], found[1]


def likelihood_margin(
    posteriors: Posteriors, words: Sequence[Sequence[str]], word: Sequence[str], other: Sequence[str]
) -> float:
    """Compute the log-likelihood ratio of `words` to the same with `other` in the place of `word`."""
    exchanged = [other if tuple(one) == tuple(word) else one for one in words]
    return posteriors.nll(_flat(exchanged)) - posteriors.nll(_flat(words))


def _flat(words: Sequence[Sequence[str]]) -> list[str]:
    return [label for word in word_labels(words) for label in word]
