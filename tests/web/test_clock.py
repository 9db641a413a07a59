"""Times on the page: the Ethiopian clock and calendar beside the other."""

from __future__ import annotations

import time

import pytest

from dimts.web.clock import clock, with_time
from dimts.web.strings import Strings

AMHARIC, ENGLISH = Strings("am"), Strings("en")


@pytest.mark.parametrize(
    ("hour", "minute", "shown"),
    [
        (0, 5, "ሌሊት 6:05 ሰዓት (00:05)"),
        (5, 59, "ሌሊት 11:59 ሰዓት (05:59)"),
        (6, 0, "ጠዋት 12:00 ሰዓት (06:00)"),
        (7, 30, "ጠዋት 1:30 ሰዓት (07:30)"),
        (12, 0, "ከሰዓት 6:00 ሰዓት (12:00)"),
        (14, 32, "ከሰዓት 8:32 ሰዓት (14:32)"),
        (18, 0, "ምሽት 12:00 ሰዓት (18:00)"),
        (23, 1, "ምሽት 5:01 ሰዓት (23:01)"),
    ],
)
def test_the_day_begins_at_six(hour: int, minute: int, shown: str) -> None:
    seconds = time.mktime((2026, 11, 30, hour, minute, 0, 0, 0, -1))
    assert clock(AMHARIC, seconds) == shown
    assert clock(ENGLISH, seconds) == f"{hour:02d}:{minute:02d}"


def test_when_a_run_began() -> None:
    began = with_time(AMHARIC, "ሙከራ", "2026-11-30-143257")
    assert began == "ሙከራ · ኅዳር 21 ቀን 2019፣ ከሰዓት 8:32 ሰዓት (14:32)"
    began = with_time(AMHARIC, "ሙከራ", "2024-09-11-060000")
    assert began == "ሙከራ · መስከረም 1 ቀን 2017፣ ጠዋት 12:00 ሰዓት (06:00)"
    assert with_time(ENGLISH, "ሙከራ", "2026-11-30-143257") == "ሙከራ"
    for name in ("abebe", "2026-13-40-999999", "", "2026-11-30-143257-1"):
        assert with_time(AMHARIC, "ሙከራ", name) == "ሙከራ"
