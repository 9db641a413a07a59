"""Read times of day and durations, on the Ethiopian twelve-hour clock as written.

Hours are read as written, whatever ከጠዋቱ or ከምሽቱ is beside them; only a.m./p.m. marks a western
clock, which is moved by six hours. Half past is ተኩል, a quarter past ከሩብ, a quarter to ሩብ ጉዳይ.
"""

from __future__ import annotations

import re

from dimts.base.messages import Message
from dimts.text import numbers
from dimts.text.quantities import prefix_of
from dimts.text.reading import FIDEL, Found, Reading, behind

_HOUR = "ሰዓት"
_CLOCK = re.compile(r"(\d{1,2})[:፡](\d{2})(?:[:፡](\d{2}))?(?![\d:])")
_RACE = re.compile(r"(\d{1,2})[:፡]([0-5]\d)\.(\d{1,3})(?!\d)")
_DOTTED = re.compile(rf"(\d{{1,2}})\.(\d{{2}})(?= ?(?:ሰዓት|ሰአት)(?![{FIDEL}]))")
_HOUR_AFTER = re.compile(rf" ?(?:ሰዓት|ሰአት)(?![{FIDEL}])")
_RUN_AFTER = re.compile(rf" በሆነ (?:ሰዓት|ሰአት|ጊዜ)(?![{FIDEL}])")
"""Words behind the time of a run: በ58:30 በሆነ ሰዓት."""
_AM_PM = re.compile(r" ?(?:([aA])|[pP])\.?[mM]\b\.?")
_PLAIN_HOUR = re.compile(r"(\d{1,2}) ?(?:[aA]|[pP])\.?[mM]\b")
_DASH = re.compile(r" ?[-–—] ?(?=\d{1,2}[:፡]\d)")
_DAY_PART = re.compile(r"(?:ከ?(?:ጠዋቱ?|ምሽቱ?|ሌሊቱ?|ቀኑ?|ማታው?|ማለዳው?|ንጋቱ?|ረፋዱ?)|በኋላ|ሰዓት|ሰአት) ?$")
_DAY_PART_DOTTED = re.compile(r"(\d{1,2})\.(\d{2})(?![\d.])")
HOURS_OF_DAY = 24
_SHIFT = 6
"""Hours by which the Ethiopian clock differs from the western one: its day begins at dawn."""
_PARTS_OF_DAY = ((6, "ከሌሊቱ"), (12, "ከጠዋቱ"), (18, "ከቀኑ"), (24, "ከምሽቱ"))
"""End of each part of the day as a western hour, and its name."""


def time_of_day(text: str, at: int, floor: int, reading: Reading) -> Found | None:
    """Read a time: 2:30 → ሁለት ሰዓት ተኩል, 4:45 → ለአምስት ሰዓት ሩብ ጉዳይ; also with seconds, and ranges (2:30-4:00)."""
    start, prefix = prefix_of(text, at, floor)
    one = _one_time(text, at, prefix, reading)
    if one is None:
        return None
    end, words, why = one
    dash = _DASH.match(text, end)
    if dash and (other := _one_time(text, dash.end(), "ከ", reading)):
        first = _one_time(text, at, "ከ", reading) or one
        opening = prefix if prefix else "" if behind(text, start).rstrip().endswith(("ከ", "ቱ", "ሊቱ")) else "ከ"
        return Found(
            start, other[0], "time", f"{opening}{first[1]} እስከ {other[1]}", Message("text.why_time_span")
        )
    return Found(start, end, "time", prefix + words, why)


def _one_time(text: str, at: int, prefix: str, reading: Reading) -> tuple[int, str, Message] | None:
    if race := _RACE.match(text, at):
        minutes, seconds, parts = race.groups()
        words = f"{numbers.cardinal(int(minutes))} ደቂቃ ከ{numbers.decimal(f'{int(seconds)}.{parts}')} ሰከንድ"
        return race.end(), words, Message("text.why_race_time")
    found = _CLOCK.match(text, at) or _DOTTED.match(text, at)
    if found is None and _DAY_PART.search(behind(text, at)):
        found = _DAY_PART_DOTTED.match(text, at)
    if found is None:
        plain = _PLAIN_HOUR.match(text, at)
        if plain is None or not 1 <= int(plain.group(1)) <= 12:
            return None
        hour, minute, second, end = int(plain.group(1)), 0, None, plain.end(1)
    else:
        hour, minute, end = int(found.group(1)), int(found.group(2)), found.end()
        second = found.group(3) if found.re is _CLOCK else None
    if hour > HOURS_OF_DAY and minute <= 59 and not second and _RUN_AFTER.match(text, end):
        words = f"{numbers.cardinal(hour)} ደቂቃ ከ{numbers.cardinal(minute)} ሰከንድ"
        return end, words, Message("text.why_race_time")
    if hour > HOURS_OF_DAY or minute > 59 or (second and int(second) > 59):
        return None
    if second:
        parts = ((hour, _HOUR), (minute, "ደቂቃ"), (int(second), "ሰከንድ"))
        spelt = [f"{numbers.cardinal(count)} {unit}" for count, unit in parts if count] or [
            f"{numbers.ZERO} ሰከንድ"
        ]
        end = after.end() if (after := _HOUR_AFTER.match(text, end)) else end
        return end, " ከ".join(spelt), Message("text.why_hours_minutes_seconds")
    why, part = Message("text.why_time_as_written"), ""
    if western := _AM_PM.match(text, end):
        end, hour24 = western.end(), hour % 12 + (0 if western.group(1) else 12)
        hour, part = shift(hour24)
        why = Message("text.why_time_am_pm")
    elif reading.western_clock == "ethiopian" and hour > 12:
        hour, part = shift(hour)
        why = Message("text.why_time_of_24_hours")
    end = after.end() if (after := _HOUR_AFTER.match(text, end)) else end
    wording = spoken_time(hour, minute, to_next=not prefix)
    if part and not prefix and not _DAY_PART.search(behind(text, at)):
        wording = f"{part} {wording}"
    return end, wording, why


def shift(hour: int) -> tuple[int, str]:
    """Convert a western hour (0 to 24) to the Ethiopian clock (1 to 12), with its part of the day."""
    hour %= HOURS_OF_DAY
    part = next(name for limit, name in _PARTS_OF_DAY if hour < limit)
    return (hour - _SHIFT - 1) % 12 + 1, part


def spoken_time(hour: int, minute: int, *, to_next: bool = True) -> str:
    """Word a time: 4, 45 → ለአምስት ሰዓት ሩብ ጉዳይ, or አራት ሰዓት ከአርባ አምስት ደቂቃ where a prefix forbids ለ."""
    wording = f"{numbers.cardinal(hour)} {_HOUR}"
    if minute == 0:
        return wording
    if minute == 15:
        return f"{wording} ከሩብ"
    if minute == 30:
        return f"{wording} ተኩል"
    if minute == 45 and to_next:
        following = hour % 12 + 1 if hour <= 12 else (hour + 1) % HOURS_OF_DAY
        return f"ለ{numbers.cardinal(following)} {_HOUR} ሩብ ጉዳይ"
    return f"{wording} ከ{numbers.cardinal(minute)} ደቂቃ"
