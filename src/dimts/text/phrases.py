"""Cut text into breath groups: at stops, at clause borders, and under a limit of length.

Sentences end at ። ? ! and at line ends, but not inside a quotation; ፤ ፣ ፦ and brackets are borders of
clauses. A breath that would be too long is cut at its best border: a mark, then a word that opens or closes a
clause (Amharic clauses end in their verb), then any gap between words. No breath is empty, and none is a
single letter unless the whole text is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from dimts.base.errors import ConfigError
from dimts.text.ethiopic import fold_homophones, letter
from dimts.text.normalise import Normaliser
from dimts.text.reading import Span, table
from dimts.text.script import clean
from dimts.text.symbols import MARKS

SENTENCE_MARKS = "።?!"
CLAUSE_MARKS = "፤፦፥፣"


@dataclass(frozen=True, slots=True)
class Token:
    """One spoken word. Of several words from one written form, the first carries the written form."""

    written: str
    spoken: str
    phones: tuple[str, ...] = ()
    """Phones that the text itself gave; empty: to be determined."""
    lang: str = "am"
    """ "en" for a Latin word that is handed on."""
    english: str = ""
    """The English word that `spoken` writes in fidel; its phones may come from an English voice."""


@dataclass(frozen=True, slots=True)
class Breath:
    """Words spoken without a pause, the stop at their end, and the silence after it."""

    written: str
    spoken: str
    tokens: tuple[Token, ...]
    mark: str
    """ "።" "፣" "፤" "፦" "፥" "?" "!" or ""."""
    pause_seconds: float
    rate: float = 1.0


@dataclass(frozen=True)
class PhraseSettings:
    """[text.phrases]: where and how long speech pauses."""

    max_characters: int = 160
    """Longest breath in letters of the spoken form; XTTS becomes unreliable in much longer ones."""
    max_seconds: float = 12.0
    """Longest breath in seconds, estimated at `syllables_per_second`."""
    syllables_per_second: float = 5.5
    """Speed of a calm Amharic reader; each letter that is not of the sixth order is a syllable, others half
    of one."""
    min_words: int = 2
    """A clause of fewer words is joined to its neighbour."""
    sentence_pause_seconds: float = 0.55
    """Pause at the end of a sentence."""
    clause_pause_seconds: float = 0.25
    """Pause at ፤ ፣ ፦ and brackets, where the breath ends there."""
    cut_pause_seconds: float = 0.12
    """Pause where only the limit ended a breath."""
    paragraph_pause_seconds: float = 0.9
    """Pause at the end of a line."""
    split_clauses: bool = False
    """Whether every ፤ and ፦ ends a breath, even below the limits."""

    def __post_init__(self) -> None:
        if self.max_characters < 10:
            raise ConfigError("text.max_characters_too_few", max_characters=self.max_characters)
        if self.max_seconds < 1:
            raise ConfigError("text.max_seconds_too_short", max_seconds=self.max_seconds)
        if self.syllables_per_second <= 0:
            raise ConfigError("text.syllables_per_second_not_positive")
        if self.min_words < 1:
            raise ConfigError("text.min_words_too_few")
        for name in ("sentence", "clause", "cut", "paragraph"):
            if getattr(self, f"{name}_pause_seconds") < 0:
                raise ConfigError("text.pause_negative", name=name)


_PIECES = re.compile(rf"[{MARKS}]|\n|[^ \n{MARKS}]+")
_CLOSING = "»›”)]}"
_OPENING = "«‹“([{"
_LONGEST_QUOTE = 60
"""Words after which a quotation counts as never closed."""
_VERB_LETTERS = 4
"""A word of fewer letters is not taken for a verb by its beginning or end."""


@cache
def _clauses(kind: str) -> tuple[str, ...]:
    """Return the forms of one kind in tables/clauses.tsv, folded."""
    return tuple(fold_homophones(form) for row_kind, form in table("clauses") if row_kind == kind)


@dataclass(slots=True)
class _Piece:
    """One word, or a border after the last word."""

    token: Token | None
    mark: str = ""
    pause: float = 0.0
    rate: float = 1.0
    quoted: bool = False
    soft: bool = False
    """Whether a bracket or dash stood here: a border, but no mark."""
    line_end: bool = False


def breaths(text: str, normaliser: Normaliser, settings: PhraseSettings) -> Iterator[Breath]:
    """Yield the breaths of `text`, in order; none for a text without words or pauses.

    A pause before the first word is a breath without words; any other lengthens the silence of the breath
    before it.
    """
    held: list[Breath] = []  # parts of one breath, joined once it is complete
    asked = False  # whether the writer asked for the silence after `held`
    for breath, pause_asked in _all_breaths(text, normaliser, settings):
        if not held:
            held, asked = ([breath], pause_asked) if breath.tokens or pause_asked else ([], False)
        elif not breath.tokens and not pause_asked:  # the end of a line after the end of a sentence
            last = held[-1]
            silence = last.pause_seconds if asked else max(last.pause_seconds, breath.pause_seconds)
            held[-1] = replace(last, pause_seconds=silence)
        elif not breath.tokens:
            silence = breath.pause_seconds + (held[-1].pause_seconds if asked else 0.0)
            held[-1], asked = replace(held[-1], pause_seconds=silence), True
        elif held[0].tokens and not asked and (_is_only_scrap(held) or _is_scrap(breath.tokens)):
            held.append(breath)
            asked = pause_asked
        else:
            yield _joined(held)
            held, asked = [breath], pause_asked
    if held:
        yield _joined(held)


def _is_only_scrap(parts: Sequence[Breath]) -> bool:
    return len(parts) == 1 and _is_scrap(parts[0].tokens)


def _all_breaths(
    text: str, normaliser: Normaliser, settings: PhraseSettings
) -> Iterator[tuple[Breath, bool]]:
    sentence: list[_Piece] = []
    for piece in _pieces(normaliser(text).spans):
        sentence.append(piece)
        if _ends_sentence(piece) or len(sentence) > _LONGEST_SENTENCE:
            yield from _cut(sentence, settings)
            sentence = []
    yield from _cut(sentence, settings)


def _joined(parts: Sequence[Breath]) -> Breath:
    """Join several breaths, with the stop and the silence of the last and the rate of the longest."""
    if len(parts) == 1:
        return parts[0]
    return Breath(
        " ".join(filter(None, (part.written for part in parts))),
        " ".join(part.spoken for part in parts),
        tuple(token for part in parts for token in part.tokens),
        parts[-1].mark,
        parts[-1].pause_seconds,
        max(parts, key=lambda part: len(part.tokens)).rate,
    )


_LONGEST_SENTENCE = 400
"""Words and marks after which a sentence without an end is cut anyway; bounds memory."""


def _ends_sentence(piece: _Piece) -> bool:
    return (
        piece.line_end
        or piece.pause > 0
        or (piece.mark != "" and piece.mark in SENTENCE_MARKS and not piece.quoted)
    )


def _pieces(spans: Sequence[Span]) -> Iterator[_Piece]:
    rate = 1.0
    stack: list[float] = []
    depth = 0
    since_open = 0
    straight = False
    for span in spans:
        if span.kind == "rate":
            if span.value.startswith("/"):
                rate = stack.pop() if stack else 1.0
            else:
                stack.append(rate)
                rate = float(span.value)
        elif span.kind == "pause":
            yield _Piece(None, pause=float(span.value), rate=rate)
        elif span.kind == "phones":
            yield _Piece(
                Token(span.written, span.spoken, tuple(span.value.split())), rate=rate, quoted=depth > 0
            )
        elif span.kind in ("quote", "bracket", "dash"):
            sign = span.written.strip()
            if sign == '"':
                straight = not straight
                depth = depth + 1 if straight else max(depth - 1, 0)
            elif sign and sign in _OPENING:
                depth += 1
            elif sign and sign in _CLOSING:
                depth = max(depth - 1, 0)
            since_open = 0
            yield _Piece(None, soft=True, rate=rate, quoted=depth > 0)
        else:
            lang = "en" if span.kind == "english" else "am"
            english = span.value if span.kind == "latin" and " " not in span.spoken else ""
            for token, mark, line_end in _words(span, lang, english):
                since_open += 1  # noqa: SIM113  # counts across spans
                if depth and (since_open > _LONGEST_QUOTE or line_end):
                    depth, straight = 0, False
                yield _Piece(token, mark, rate=rate, quoted=depth > 0, line_end=line_end)


def _words(span: Span, lang: str, english: str = "") -> Iterator[tuple[Token | None, str, bool]]:
    if span.kind == "text":
        written = clean(span.written).text  # letter for letter as long as the spoken form
        for found in _PIECES.finditer(span.spoken):
            piece = found.group()
            if piece == "\n":
                yield None, "", True
            elif piece in MARKS:
                yield None, piece, False
            else:
                yield Token(written[found.start() : found.end()], piece, (), lang), "", False
        return
    carried = span.written
    for found in _PIECES.finditer(span.spoken):
        piece = found.group()
        if piece in MARKS:
            yield None, piece, False
        else:
            yield Token(carried, piece, (), lang, english), "", False
            carried = ""


def _cut(sentence: Sequence[_Piece], settings: PhraseSettings) -> Iterator[tuple[Breath, bool]]:
    """Cut one sentence into breaths, each under the limits; also whether the silence after it was
    requested."""
    words: list[Token] = []
    rates: list[float] = []
    borders: list[str] = []  # after each word: a mark, " " for a bracket or dash, "" for nothing
    end_mark, pause, line_end = "", 0.0, False
    for piece in sentence:
        if piece.token:
            words.append(piece.token)
            rates.append(piece.rate)
            borders.append("")
        elif piece.mark and words:
            borders[-1] = _stronger(borders[-1].strip(), piece.mark)
        elif piece.soft and words and not borders[-1]:
            borders[-1] = " "
        pause = max(pause, piece.pause)
        line_end = line_end or piece.line_end
    if not words:
        if pause or line_end:
            yield Breath("", "", (), "", pause or settings.paragraph_pause_seconds), pause > 0
        return
    end_mark = borders[-1].strip()
    groups = _groups(words, rates, borders, settings)
    for index, (first, last) in enumerate(groups):
        mark = borders[last - 1].strip()
        final = index == len(groups) - 1
        silence = _silence(mark, borders[last - 1], final, settings)
        if final:
            mark = end_mark
            silence = max(silence, settings.paragraph_pause_seconds) if line_end else silence
            silence = pause or silence
        yield (
            _breath(words[first:last], borders[first : last - 1], mark, silence, rates[first]),
            final and pause > 0,
        )


def _silence(mark: str, border: str, final: bool, settings: PhraseSettings) -> float:
    if mark and mark in SENTENCE_MARKS:
        return settings.sentence_pause_seconds
    if mark or border == " ":
        return settings.clause_pause_seconds
    return settings.sentence_pause_seconds if final else settings.cut_pause_seconds


def _breath(words: Sequence[Token], borders: Sequence[str], mark: str, silence: float, rate: float) -> Breath:
    parts = [word.spoken + border.strip() for word, border in zip(words, [*borders, ""], strict=True)]
    written = " ".join(filter(None, (word.written.strip() for word in words)))
    return Breath(written, " ".join(parts) + mark, tuple(words), mark, silence, rate)


def _stronger(one: str, other: str) -> str:
    order = "?!።፤፦፥፣"
    return min((mark for mark in (one, other) if mark), key=order.index)


def _groups(
    words: Sequence[Token], rates: Sequence[float], borders: Sequence[str], settings: PhraseSettings
) -> list[tuple[int, int]]:
    """Return the word ranges of the breaths of one sentence."""
    forced = [
        index
        for index in range(1, len(words))
        if rates[index] != rates[index - 1] or (settings.split_clauses and borders[index - 1] in ("፤", "፦"))
    ]
    groups: list[tuple[int, int]] = []
    for first, last in pairwise([0, *forced, len(words)]):
        groups += _fit(words, borders, first, last, settings)
    return _without_scraps(groups, words, rates)


def _fit(
    words: Sequence[Token], borders: Sequence[str], first: int, last: int, settings: PhraseSettings
) -> Iterator[tuple[int, int]]:
    """Cut words[first:last] into as few breaths as the limits need, at their best borders."""
    while first < last:
        characters, seconds, reach = 0, 0.0, first
        while reach < last:
            spoken = words[reach].spoken
            characters += len(spoken) + 1
            seconds += syllables(spoken) / settings.syllables_per_second
            if reach > first and (characters > settings.max_characters or seconds > settings.max_seconds):
                break
            reach += 1
        if reach < last:
            reach = _best_border(words, borders, first, reach, last, settings)
        yield first, reach
        first = reach


def _best_border(
    words: Sequence[Token],
    borders: Sequence[str],
    first: int,
    reach: int,
    last: int,
    settings: PhraseSettings,
) -> int:
    """Return where to cut between `first` and `reach`: the strongest border, later ones before earlier
    ones."""
    span = reach - first
    lowest = first + max(settings.min_words, span // 3)
    best, best_worth = reach, -1.0
    for cut in range(min(lowest, reach), reach + 1):
        if last - cut < settings.min_words and cut != reach:
            continue
        worth = _worth(words[cut - 1], words[cut : cut + 2], borders[cut - 1]) + (cut - first) / span
        if worth >= best_worth:
            best, best_worth = cut, worth
    return best


def _worth(left: Token, right: Sequence[Token], border: str) -> float:
    """Rate a pause between two words: 8 at a stop, 6 at ፣, 4 before እና, 3 after ነው, 0 inside a number."""
    mark = border.strip()
    if mark and mark in SENTENCE_MARKS + "፤":
        return 8.0
    if mark:
        return 6.0
    if border:
        return 5.0
    if not right[0].written:
        return 0.0  # inside one written form: a number, a date
    word, following = fold_homophones(left.spoken), fold_homophones(right[0].spoken)
    opens = _clauses("opens")
    if following in opens or fold_homophones(" ".join(token.spoken for token in right)) in opens:
        return 4.0
    if word in _clauses("closes"):
        return 3.0
    if len(word) >= _VERB_LETTERS and (
        word.endswith(_clauses("verb-end")) or word.startswith(_clauses("verb-start"))
    ):
        return 2.0
    return 1.0


def _without_scraps(
    groups: list[tuple[int, int]], words: Sequence[Token], rates: Sequence[float]
) -> list[tuple[int, int]]:
    """Join a breath of one letter to its neighbour."""
    joined: list[tuple[int, int]] = []
    for first, last in groups:
        if joined and (_is_scrap(words[first:last]) or _is_scrap(words[joined[-1][0] : joined[-1][1]])):
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _is_scrap(words: Sequence[Token]) -> bool:
    return sum(len(word.spoken) for word in words) <= 1


def syllables(spoken: str) -> float:
    """Estimate syllables: one for each letter with a full vowel, a half for a sixth order (spoken or not)."""
    count = 0.0
    for char in spoken:
        entry = letter(char)
        count += 0.4 if entry is None else 0.5 if entry.vowel == "ɨ" else 1.0
    return count
