"""Times as the page's readers count them: on the Amharic page by the Ethiopian clock and calendar too.

The day's hours are counted from six in the morning and from six in the evening; the calendar is that of
`dimts.text.dates`. Times are of this machine's own zone.
"""

from __future__ import annotations

import time

from dimts.text.dates import MONTHS, Date, to_ethiopian
from dimts.web.strings import Strings

_ETHIOPIAN = frozenset({"am"})
"""Languages whose readers count so."""
_RUN_NAME = "%Y-%m-%d-%H%M%S"
"""How a run's folder is named (`train.runs`)."""


def clock(strings: Strings, seconds: float) -> str:
    """Format the time of day of `seconds` since 1970: "14:32", in Amharic "ከሰዓት 8:32 ሰዓት (14:32)"."""
    return _clock(strings, time.localtime(seconds))


def with_time(strings: Strings, title: str, run: str) -> str:
    """Add to a run's title when it began, by its folder's name: in Amharic "… · ኅዳር 21 ቀን 2019፣ ከሰዓት 8:32
    ሰዓት (14:32)". Nothing is added for a name that is no time, or where readers read the name itself."""
    if strings.language not in _ETHIOPIAN:
        return title
    try:
        when = time.strptime(run, _RUN_NAME)
    except ValueError:
        return title
    date = to_ethiopian(Date(when.tm_year, when.tm_mon, when.tm_mday))
    began = strings("clock.moment", month=MONTHS[date.month - 1], day=date.day, year=date.year,
                    time=_clock(strings, when))  # fmt: skip
    return f"{title} · {began}"


def _clock(strings: Strings, when: time.struct_time) -> str:
    plain = f"{when.tm_hour:02d}:{when.tm_min:02d}"
    if strings.language not in _ETHIOPIAN:
        return plain
    parts = (strings("clock.night"), strings("clock.morning"), strings("clock.afternoon"),
             strings("clock.evening"))  # fmt: skip
    hour = (when.tm_hour - 6) % 12 or 12
    return strings("clock.time", time=plain, hour=hour, minute=f"{when.tm_min:02d}",
                   part=parts[when.tm_hour // 6])  # fmt: skip
