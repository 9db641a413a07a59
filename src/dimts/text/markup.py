"""Read markup that controls pronunciation: pauses, phones, and a small part of SSML.

    [pause 300ms]  [pause 1.5s]  [pause]        silence here
    /səlam/                                     these phones, in the IPA of our inventory
    <break time="300ms"/>  <break strength="strong"/>
    <say-as interpret-as="digits">2016</say-as>   also characters, cardinal, ordinal, year, date, time,
    telephone <sub alias="የዓለም ጤና ድርጅት">WHO</sub>
    <phoneme ph="səlam">ሰላም</phoneme>
    <prosody rate="slow"> … </prosody>          also fast, x-slow, 90%, +10%, 1.2

After W3C Speech Synthesis Markup Language 1.1. Unknown tags are named and passed over, their text is read.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable

from dimts.base.errors import TextError
from dimts.base.messages import Message
from dimts.text import dates, numbers
from dimts.text.latin import spell_out
from dimts.text.phones import from_ipa, is_vowel, to_fidel
from dimts.text.reading import FIDEL, Found, Reading

LONGEST_PAUSE_SECONDS = 60.0
DEFAULT_PAUSE_SECONDS = 0.5
SLOWEST_RATE, FASTEST_RATE = 0.5, 2.0
_PAUSE = re.compile(r"\[ ?(?:pause|ቆይታ) ?(?:(\d{1,6}(?:\.\d{1,3})?) ?(ms|s)?)? ?\]", re.IGNORECASE)
_TAG = re.compile(
    r"<(/?)([a-zA-Z][\w:-]{0,30})"
    r"((?: {1,9}[\w:-]{1,30} ?= ?(?:\"[^\"<>\n]{0,300}\"|'[^'<>\n]{0,300}')){0,9}) {0,9}(/?)>",
    re.ASCII,
)
_COMMENT = re.compile(r"<!--.{0,2000}?-->|<\?xml[^<>\n]{0,300}\?>|<!DOCTYPE[^<>\n]{0,300}>")
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{1,6}|#x[0-9a-fA-F]{1,5});")
_ATTRIBUTE = re.compile(r"([\w:-]{1,30}) ?= ?(?:\"([^\"]*)\"|'([^']*)')", re.ASCII)
_PHONES = re.compile(r"/([^\s/\d<>][^/<>\n]{0,80})/(?!\w)")
_STRENGTHS = {"none": 0.0, "x-weak": 0.1, "weak": 0.2, "medium": 0.4, "strong": 0.8, "x-strong": 1.2}
_RATES = {"x-slow": 0.6, "slow": 0.8, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.5}
_LONGEST_ELEMENT = 2000
"""Characters within say-as, sub and phoneme; a longer element is read as if untagged."""
_QUIET_TAGS = (
    "speak",
    "p",
    "s",
    "w",
    "voice",
    "emphasis",
    "lang",
    "audio",
    "mark",
    "desc",
    "prosody",
    "break",
)


def pause(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read [pause 300ms]."""
    found = _PAUSE.match(text, at)
    if found is None:
        return None
    amount, unit = found.groups()
    seconds = (
        DEFAULT_PAUSE_SECONDS
        if amount is None
        else float(amount) / (1000 if unit and unit.lower() == "ms" else 1)
    )
    return _pause(at, found.end(), seconds, Message("text.why_pause_asked"))


def _pause(start: int, end: int, seconds: float, why: Message) -> Found:
    return Found(start, end, "pause", "", why, f"{min(seconds, LONGEST_PAUSE_SECONDS):g}")


def inline_phones(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a pronunciation between strokes (/səlam/), where a word could occur and all of it is phones."""
    if at and text[at - 1] not in " \n(«\"'“፣።፤":
        return None
    found = _PHONES.match(text, at)
    if found is None or re.search(f"[{FIDEL}]", found.group(1)):
        return None
    phones = read_phones(found.group(1))
    if phones is None or not any(map(is_vowel, phones)):
        return None
    return Found(
        at, found.end(), "phones", to_fidel(phones), Message("text.why_phones_given"), " ".join(phones)
    )


def read_phones(written: str) -> tuple[str, ...] | None:
    """Parse IPA phones; None when the text holds any other sign."""
    try:
        return from_ipa(written) or None
    except TextError:
        return None


def ssml(text: str, at: int, floor: int, reading: Reading, read: Callable[[str], str]) -> Found | None:
    """Read one tag, or one whole element of say-as, sub, phoneme; `read` reads the text inside."""
    if comment := _COMMENT.match(text, at):
        return Found(at, comment.end(), "markup", "", Message("text.why_comment"))
    found = _TAG.match(text, at)
    if found is None:
        return None
    closing, name, attributes, _ = found.groups()
    name = name.lower()
    values = {key.lower(): html.unescape(one or two) for key, one, two in _ATTRIBUTE.findall(attributes)}
    end = found.end()
    if name == "prosody":
        rate = 1.0 if closing else read_rate(values.get("rate", ""))
        if rate is None:
            return Found(at, end, "markup", "", Message("text.why_prosody_without_rate"))
        return Found(
            at, end, "rate", "", Message("text.why_speech_rate"), f"{'/' if closing else ''}{rate:g}"
        )
    if closing:
        return Found(at, end, "markup", "", Message("text.why_tag_end", tag=name))
    if name == "break":
        return _pause(at, end, _break_seconds(values), Message("text.why_break_tag"))
    if name in ("say-as", "sub", "phoneme") and not found.group(4):
        whole = _element(text, end, name)
        if whole is None:
            return Found(at, end, "markup", "", Message("text.why_tag_unclosed", tag=name))
        inside, stop = whole
        return _whole_element(name, values, inside, at, stop, read)
    known = (
        Message("text.why_structure_tag")
        if name in _QUIET_TAGS
        else Message("text.why_tag_unknown", tag=name)
    )
    return Found(at, end, "markup", "", known)


def _element(text: str, start: int, name: str) -> tuple[str, int] | None:
    """Return the text up to the end tag, and where that ends."""
    line_end = text.find("\n", start, start + _LONGEST_ELEMENT)
    limit = start + _LONGEST_ELEMENT if line_end < 0 else line_end
    closing = re.compile(rf"</{name} ?>", re.IGNORECASE).search(text, start, limit)
    return (text[start : closing.start()], closing.end()) if closing else None


def _whole_element(
    name: str, values: dict[str, str], inside: str, start: int, end: int, read: Callable[[str], str]
) -> Found:
    plain = html.unescape(re.sub("<[^<>]*>", " ", inside))
    if name == "sub":
        return Found(start, end, "sub", read(values.get("alias", plain)), Message("text.why_sub_tag"))
    if name == "phoneme":
        phones = read_phones(values.get("ph", ""))
        if phones is None:
            return Found(
                start,
                end,
                "sub",
                read(plain),
                Message("text.why_phoneme_unreadable"),
            )
        wording = read(plain)
        spoken = wording if wording and " " not in wording else to_fidel(phones)
        return Found(start, end, "phones", spoken, Message("text.why_phoneme_tag"), " ".join(phones))
    how = values.get("interpret-as", "").lower()
    spoken, why = say_as(how, plain.strip(), values.get("format", ""), read)
    return Found(start, end, "say-as", spoken, why)


def say_as(how: str, written: str, form: str, read: Callable[[str], str]) -> tuple[str, Message]:
    """Read the content of a say-as element; returns it and the reason."""
    why = Message("text.why_say_as", how=how)
    compact = re.sub(r"[\s,]", "", written)
    if how in ("digits", "telephone", "number-digits"):
        plus = "ፕላስ " if compact.startswith("+") else ""
        wording = numbers.digits(_ascii(compact))
        return (
            (plus + wording, why)
            if wording
            else (
                read(written),
                Message("text.why_say_as_without_digits", how=how),
            )
        )
    if how in ("characters", "spell-out", "verbatim"):
        return " ".join(filter(None, (_character(char) for char in compact))), why
    if re.fullmatch(r"\d{1,18}", compact, re.ASCII):
        value = int(compact)
        if how in ("cardinal", "number"):
            return numbers.cardinal(value), why
        if how == "ordinal":
            return numbers.ordinal(value), why
        if how == "year" or (how == "date" and form == "y"):
            return numbers.year(value), why
    if how == "date" and form in ("ymd", "dmy", "mdy") and (wording := _date(written, form)):
        return wording, Message("text.why_say_as_date", how=how, form=form)
    return read(written), why if how in _PLAIN_KINDS else Message("text.why_say_as_unknown", how=how)


_PLAIN_KINDS = (
    "cardinal",
    "number",
    "ordinal",
    "date",
    "time",
    "currency",
    "unit",
    "fraction",
    "year",
    "address",
)


def _date(written: str, form: str) -> str:
    parts = re.findall(r"\d+", written, re.ASCII)
    if len(parts) != len(form):
        return ""
    values = {key: int(part) for key, part in zip(form, parts, strict=True) if len(part) <= 4}
    if len(values) != len(form) or not 1 <= values["m"] <= len(dates.MONTHS):
        return ""
    return f"{dates.MONTHS[values['m'] - 1]} {numbers.cardinal(values['d'])} {numbers.year(values['y'])}"


def _ascii(written: str) -> str:
    return "".join(char for char in written if "0" <= char <= "9")


def _character(char: str) -> str:
    if "0" <= char <= "9":
        return numbers.digits(char)
    if char in numbers.ETHIOPIC_NUMERALS:
        return numbers.ethiopic(char)
    return spell_out(char) or (char if re.match(f"[{FIDEL}]", char) else "")


def _break_seconds(values: dict[str, str]) -> float:
    found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,3})?)\s*(ms|s)\s*", values.get("time", ""))
    if found:
        return float(found.group(1)) / (1000 if found.group(2) == "ms" else 1)
    return _STRENGTHS.get(values.get("strength", "medium"), DEFAULT_PAUSE_SECONDS)


def read_rate(written: str) -> float | None:
    """Parse a rate: "slow" → 0.8, "90%" → 0.9, "+10%" → 1.1, "1.2" → 1.2; clamped to half and double
    speed."""
    if written in _RATES:
        return _RATES[written]
    found = re.fullmatch(r"\s*([+-]?)(\d{1,4}(?:\.\d{1,3})?)(%?)\s*", written)
    if found is None:
        return None
    sign, amount, percent = found.groups()
    rate = float(amount) / (100 if percent else 1)
    rate = 1 + rate if sign == "+" else 1 - rate if sign == "-" else rate
    return min(max(rate, SLOWEST_RATE), FASTEST_RATE)


def entity(text: str, at: int, floor: int, reading: Reading, read: Callable[[str], str]) -> Found | None:
    """Read an entity: &amp; → እና."""
    found = _ENTITY.match(text, at)
    if found is None:
        return None
    char = html.unescape(found.group())
    wording = "" if char.isspace() or char in "<>&\"'" else read(char)
    return Found(at, found.end(), "markup", "እና" if char == "&" else wording, Message("text.why_entity"))
