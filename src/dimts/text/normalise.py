"""Turn written text into its spoken form: one pass that stops only at signs which need reading.

Words in plain fidel are never touched; every digit, stroke, point, Latin letter or other sign is
offered to the steps below, in order, and the first that matches reads it. The spans of the
result cover the whole text, so nothing is lost; normalising a spoken form changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import StringIO
from typing import Literal

from dimts.base.errors import ConfigError
from dimts.base.messages import Message
from dimts.base.plugins import nearest
from dimts.text import (
    abbreviations,
    clock,
    dates,
    groups,
    latin,
    latin_numerals,
    markup,
    money,
    quantities,
    relations,
    scripture,
    symbols,
    telephone,
)
from dimts.text.ethiopic import fold_homophones, is_ethiopic_letter
from dimts.text.reading import AMHARIC, FIDEL, Found, Reading, Span
from dimts.text.script import Clean, clean
from dimts.text.symbols import MARKS

__all__ = ["STEPS", "NormaliseSettings", "Normalised", "Normaliser", "Span", "StepInfo", "normalise"]


@dataclass(frozen=True, slots=True)
class StepInfo:
    """A step of the normalisation, for lists and for disabling it."""

    name: str
    written: str
    """An example of a written form."""
    spoken: str
    """Its spoken form."""

    @property
    def what(self) -> Message:
        """What the step reads."""
        return Message(f"text.step_{self.name}")


STEPS: tuple[StepInfo, ...] = (
    StepInfo("homophones", "ሠላም", "ሰላም"),
    StepInfo("replace", "", ""),
    StepInfo("pauses", "[pause 300ms]", ""),
    StepInfo("ssml", '<sub alias="ሰላም">ሰ</sub>', "ሰላም"),
    StepInfo("phones", "/səlam/", "ሰላም"),
    StepInfo("addresses", "www.ena.et", latin.read_address("www.ena.et")),
    StepInfo("hashtags", "#ኢትዮጵያ", "ኢትዮጵያ"),
    StepInfo("verses", "ማቴ. 5፥3", "ማቴዎስ ምዕራፍ አምስት ቁጥር ሦስት"),
    StepInfo("groups", "50/50", "ሃምሳ ሃምሳ"),
    StepInfo("telephone", "0911", "ዜሮ ዘጠኝ አንድ አንድ"),
    StepInfo("dates", "12/01/2016", "መስከረም አስራ ሁለት ሁለት ሺህ አስራ ስድስት"),
    StepInfo("times", "2:30", "ሁለት ሰዓት ተኩል"),
    StepInfo("money", "$5", "አምስት ዶላር"),
    StepInfo("scores", "2ለ0", "ሁለት ለዜሮ"),
    StepInfo("arithmetic", "5 + 3 = 8", "አምስት ሲደመር ሦስት እኩል ይሆናል ስምንት"),
    StepInfo("ranges", "10-15", "ከአስር እስከ አስራ አምስት"),
    StepInfo("fractions", "3/4", "ሦስት አራተኛ"),
    StepInfo("units", "5km", "አምስት ኪሎ ሜትር"),
    StepInfo("numbers", "በ10", "በአስር"),
    StepInfo("ethiopic", "፲፱፻፺፯", "አስራ ዘጠኝ መቶ ዘጠና ሰባት"),
    StepInfo("abbreviations", "ወ/ሮ", "ወይዘሮ"),
    StepInfo("latin", "AU", "ኤ ዩ"),
    StepInfo("signs", "ሰላም::", "ሰላም።"),
)
"""Every step, in order."""


@dataclass(frozen=True)
class NormaliseSettings:
    """[text.normalise]: how written forms are read."""

    off: tuple[str, ...] = ()
    """Steps to leave out, by the names that `dimts text --steps` lists; other steps read their text
    instead."""
    replace: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Your own readings: written word → what to read instead; precedes all steps."""
    calendar: Literal["ethiopian", "gregorian"] = "ethiopian"
    """Calendar of a date like 12/01/2016 without an era."""
    western_clock: Literal["written", "ethiopian"] = "written"
    """Times after 12 o'clock (14:30): read as written, or moved by six hours to the Ethiopian clock."""
    latin: Literal["read", "spell", "hand_on", "drop"] = "read"
    """Latin words that are no acronym and in no table: by rule, letter by letter, as [lang=en] words, or not
    at all."""
    emoji: Literal["drop", "read"] = "drop"
    """Whether emoji are skipped or named."""

    def __post_init__(self) -> None:
        names = [step.name for step in STEPS]
        for name in self.off:
            if name not in names:
                raise ConfigError("text.unknown_step", name=name, nearest=nearest(name, names))
        for key in self.replace:
            if not key.strip():
                raise ConfigError("text.replace_empty_word")


@dataclass(frozen=True, slots=True)
class Normalised:
    """A text and its spoken form, with every span between them."""

    written: str
    """The text as given."""
    spoken: str
    spans: tuple[Span, ...]


def normalise(text: str, settings: NormaliseSettings | None = None) -> str:
    """Return the spoken form of `text`: fidel (and Latin words with latin = "hand_on"), spaces, and the marks
    ። ፣ ፤ ፥ ፦ ? !."""
    return _shared(settings).spoken(text)


_PLAIN_SIGNS = f" \n{FIDEL}{MARKS}"
_DASHES = "-–—−‐~"
_CURRENCY = "$€£¥₹₽₦₩₪₺฿¢₿"

_ABBREVIATED = "|".join(abbreviations.WORDS)
Bound = Callable[[str, int, int, Reading], Found | None]


_DIGITS = frozenset("0123456789")
_ALONE = re.compile(
    rf"[1-9]\d{{0,8}}(?:(?![ለኛ])[{AMHARIC}]+(?: (?!ለ)[{AMHARIC}]|[።፣፤!?]? ?(?:$|\n))|"
    rf" (?!ለ)[{AMHARIC}]{{2}}(?![./])|[።!?] ?(?:$|\n|[{AMHARIC}])|[፣፤] [{AMHARIC}]|$|\n)"
)
"""A number between words: no sign joins it to anything, so that most steps need not be called."""
_STEPS_ALONE: tuple[tuple[str, Bound], ...] = (
    ("verses", scripture.verse),
    ("telephone", telephone.keyed),
    ("money", money.money),
    ("numbers", quantities.numeral),
    ("fractions", symbols.odd_number),
)


class Normaliser:
    """Normaliser under fixed settings. Made once, used for any number of texts; holds no state between
    them."""

    def __init__(self, settings: NormaliseSettings | None = None) -> None:
        self.settings = settings or NormaliseSettings()
        chosen = self.settings
        self._reading = Reading(
            chosen.calendar, chosen.western_clock, chosen.latin, chosen.emoji, frozenset(chosen.off)
        )
        self._replaced = (
            {}
            if "replace" in chosen.off
            else {clean(key).text.strip(): value for key, value in chosen.replace.items()}
        )
        self._odd = re.compile(self._pattern())
        self._odd_and_words = re.compile(
            rf"(?<![{AMHARIC}])[በከየለ]?(?:{_ABBREVIATED})(?![{AMHARIC}])|{self._pattern()}"
        )
        self._fold = "homophones" not in chosen.off
        self._steps = self._dispatch()
        self._number_alone = tuple(step for name, step in _STEPS_ALONE if name not in self._reading.off)
        self._by_char: dict[str, tuple[Bound, ...]] = {}

    def __call__(self, text: str) -> Normalised:
        """Return the spoken form of `text` with its spans, which cover all of the text."""
        source = clean(text)
        spans: list[Span] = []
        pieces: list[str] = []
        position = 0
        for found in self._scan(source.text):
            if found.start > position:
                spans.append(self._plain_span(source, position, found.start, pieces))
            spans.append(self._span(source, found))
            pieces.append(f" {found.spoken} ")
            position = found.end
        if position < len(source.text):
            spans.append(self._plain_span(source, position, len(source.text), pieces))
        elif not spans and source.written:
            spans.append(
                Span(0, len(source.written), source.written, "text", "", Message("text.why_hidden_signs"))
            )
        return Normalised(source.written, self._finish("".join(pieces)), tuple(spans))

    def spoken(self, text: str) -> str:
        """Return the spoken form alone; the same as `self(text).spoken`, faster."""
        source = clean(text).text
        spoken = StringIO()  # not a list of pieces: a line of ten million signs would make as many objects
        position = 0
        for found in self._scan(source):
            if found.start > position:
                spoken.write(source[position : found.start])
            spoken.write(f" {found.spoken} ")
            position = found.end
        spoken.write(source[position:])
        return self._finish(spoken.getvalue())

    def _scan(self, text: str) -> Iterator[Found]:
        bare_words = "abbreviations" not in self._reading.off and any(
            word in text for word in abbreviations.WORDS
        )
        search = (self._odd_and_words if bare_words else self._odd).search
        reading, by_char = self._reading, self._by_char
        position = 0
        while hit := search(text, position):
            at = hit.start()
            if self._replaced and (key := hit.group()) in self._replaced:
                found = Found(
                    at,
                    hit.end(),
                    "replace",
                    self._inner.spoken(self._replaced[key]),
                    Message("text.why_own_table", key=key),
                )
                yield found
                position = found.end
                continue
            char = text[at]
            steps = (
                self._number_alone
                if char in _DIGITS and _ALONE.match(text, at)
                else by_char.get(char) or self._learn(char)
            )
            for step in steps:
                answer = step(text, at, position, reading)
                if answer is not None:
                    break
            else:
                answer = symbols.sign(text, at, position, reading)
            if bare_words and answer.spoken:
                answer = answer._replace(spoken=abbreviations.expand_bare(answer.spoken))
            yield answer
            position = answer.end

    def _learn(self, char: str) -> tuple[Bound, ...]:
        """Return the steps for one character, cached (a text has few kinds of sign)."""
        steps = self._steps(char)
        if len(self._by_char) < _KNOWN_CHARACTERS:
            self._by_char[char] = steps
        return steps

    def _pattern(self) -> str:
        odd = f"[^{re.escape(_PLAIN_SIGNS).replace(re.escape(FIDEL), FIDEL)}]"
        if not self._replaced:
            return odd
        inside = f"{FIDEL}{latin.LATIN}0-9"
        keys = "|".join(re.escape(key) for key in sorted(self._replaced, key=len, reverse=True))
        return f"(?<![{inside}])(?:{keys})(?![{inside}])|{odd}"

    @property
    def _inner(self) -> Normaliser:
        """Return the normaliser for text inside markup and the user's table, without both."""
        chosen = self.settings
        off = tuple(sorted({*chosen.off, "ssml", "pauses", "phones"}))
        return _shared(
            NormaliseSettings(off, {}, chosen.calendar, chosen.western_clock, chosen.latin, chosen.emoji)
        )

    def _dispatch(self) -> Callable[[str], tuple[Bound, ...]]:
        def ssml(text: str, at: int, floor: int, reading: Reading) -> Found | None:
            return markup.ssml(text, at, floor, reading, self._inner.spoken)

        def entity(text: str, at: int, floor: int, reading: Reading) -> Found | None:
            return markup.entity(text, at, floor, reading, self._inner.spoken)

        digit: Sequence[tuple[str, Bound]] = (
            ("addresses", latin.address), ("groups", groups.chain), ("verses", scripture.verse),
            ("groups", groups.group), ("telephone", telephone.telephone),
            ("dates", dates.date),
            ("dates", dates.english_date), ("ranges", relations.ratio),
            ("times", clock.time_of_day), ("money", money.money), ("scores", relations.score),
            ("arithmetic", relations.arithmetic), ("ranges", relations.number_range),
            ("fractions", symbols.number_and_fraction),
            ("fractions", relations.fraction), ("numbers", latin_numerals.english_ordinal),
            ("numbers", quantities.numeral),
        )  # fmt: skip
        word: Sequence[tuple[str, Bound]] = (
            ("addresses", latin.address), ("money", money.money), ("dates", dates.english_date),
            ("dates", latin_numerals.era), ("numbers", latin_numerals.roman), ("latin", latin.word),
        )  # fmt: skip
        signs: Sequence[tuple[str, Sequence[tuple[str, Bound]]]] = (
            ("0123456789", digit),
            ("<", (("ssml", ssml), ("arithmetic", relations.limit))),
            (">≤≥", (("arithmetic", relations.limit),)),
            ("%٪", (("units", symbols.percent_before),)),
            ("&", (("ssml", entity),)),
            ("[", (("pauses", markup.pause),)),
            ("(", (("telephone", telephone.telephone),)),
            ("/", (("phones", markup.inline_phones), ("abbreviations", abbreviations.abbreviation))),
            (".", (("verses", scripture.pointed), ("abbreviations", abbreviations.abbreviation),)),
            ("#@", (("hashtags", latin.hashtag), ("hashtags", latin.mention))),
            ("+", (("telephone", telephone.telephone),)),
            (_DASHES, (("ranges", relations.named_range), ("arithmetic", relations.arithmetic),
                       ("numbers", quantities.negative))),
            (_CURRENCY, (("money", money.money),)),
            ("፩፪፫፬፭፮፯፰፱፲፳፴፵፶፷፸፹፺፻፼", (("verses", scripture.verse), ("dates", dates.date),
                               ("ethiopic", symbols.numeral))),
            ("*", (("telephone", telephone.service_code),)),
        )  # fmt: skip
        always: Sequence[tuple[str, Bound]] = (
            ("fractions", symbols.odd_number), ("signs", symbols.stop), ("signs", symbols.quote),
            ("signs", symbols.dash),
            ("signs", symbols.slash), ("signs", symbols.emoji),
        )  # fmt: skip
        is_latin = re.compile(f"[{latin.LATIN}]").match
        off = self._reading.off

        def steps(char: str) -> tuple[Bound, ...]:
            if is_latin(char):
                chosen = word
            elif is_ethiopic_letter(char):
                chosen = (("abbreviations", abbreviations.bare_word),)
            else:
                own = next((own for chars, own in signs if char in chars), ())
                chosen = (*own, *always)
            return tuple(step for name, step in chosen if name not in off)

        return steps

    def _plain_span(self, source: Clean, start: int, end: int, pieces: list[str]) -> Span:
        piece = source.text[start:end]
        pieces.append(piece)
        first, last = source.place(start) if start else 0, source.place(end)
        return Span(
            first,
            last,
            source.written[first:last],
            "text",
            self._folded(piece),
            Message("text.why_as_they_are"),
        )

    def _span(self, source: Clean, found: Found) -> Span:
        first, last = source.place(found.start) if found.start else 0, source.place(found.end)
        spoken = self._folded(" ".join(found.spoken.split()))
        return Span(first, last, source.written[first:last], found.kind, spoken, found.why, found.value)

    def _folded(self, text: str) -> str:
        return fold_homophones(text) if self._fold else text

    def _finish(self, spoken: str) -> str:
        return tidy(self._folded(spoken))


_KNOWN_CHARACTERS = 2048
_SPACES = re.compile("  +")
_MARK_RUN = re.compile(f"[{MARKS}][ {MARKS}]*")
_LEADING = re.compile(f"\n[ {MARKS}]+")
_STRONGEST = "?!።፤፦፥፣"
"""Marks by strength: of several in a row the first of these remains."""


def tidy(spoken: str) -> str:
    """Tidy spaces and marks: one space between words, marks after the word before, one mark of several, none
    at the start of a line."""
    spoken = _SPACES.sub(" ", spoken)
    for mark in MARKS:
        spoken = spoken.replace(f" {mark}", mark)
    spoken = _MARK_RUN.sub(_one_mark, spoken)
    return _LEADING.sub("\n", spoken).replace(" \n", "\n").lstrip(f" {MARKS}").rstrip(" ")


def _one_mark(found: re.Match[str]) -> str:
    run = found.group()
    if len(run) > 1 and run.rstrip() != run[0]:
        return next(mark for mark in _STRONGEST if mark in run) + " "
    return run[0] + " "


@lru_cache(maxsize=8)
def _shared_of(settings: NormaliseSettings | None) -> Normaliser:
    return Normaliser(settings)


def _shared(settings: NormaliseSettings | None) -> Normaliser:
    # the user's table is no part of the hash, but it is of equality, so the cache tells tables apart
    return _shared_of(settings)
