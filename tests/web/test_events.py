"""Events of commands: read back whole, shown in the page's language; anything else stays text."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from dimts.base.errors import DataError
from dimts.base.messages import Message
from dimts.base.progress import Progress
from dimts.web import events

HOSTILE = "{broken} ሀ\n<img src=x> 'a' \\ \u2028"


def test_an_error_is_read_back_whole_whatever_its_parameters_hold() -> None:
    message = DataError("web.too_many_links", count=3, max_links=HOSTILE).message
    line = json.dumps({"event": "error", **message.as_dict(), "text": "never read", "remedy": "never read"})
    (found,) = events.read([line])
    assert found == events.Event("error", message)
    assert events.last_error([found]) == message
    assert HOSTILE.split()[0] in events.line(found, "am")
    assert "never read" not in events.line(found, "am")


def test_a_line_that_is_no_event_stays_text() -> None:
    lines = [
        "",
        "Traceback",
        "{",
        "[1]",
        '{"event": 3}',
        '{"a": 1}',
        '{"event": "progress"}',
        '{"event": "note", "code": 1}',
    ]
    assert events.read(lines) == lines[1:]
    assert events.last_error(events.read(lines)) is None


def test_progress_is_shown_in_the_language_of_the_page_with_its_unit() -> None:
    event = Progress("prepare", 3, 20, "recordings", subject="አበበ")
    (found,) = events.read([json.dumps(event.as_dict(12.5))])
    assert isinstance(found, events.Event)
    assert (found.progress, found.seconds_left) == (event, 12.5)
    assert events.line(found, "en") == "prepare አበበ 3 / 20 recordings"
    assert events.line(found, "am") == "ማዘጋጀት አበበ 3 / 20 ቀረጻዎች"


def test_bytes_are_shown_as_megabytes() -> None:
    assert events.amount(Progress("fetch", 1.5e6, 3e9, "bytes"), "en") == "fetch 1.5 / 3000 MB"


@given(st.text(), st.one_of(st.none(), st.floats(0, 1e9)), st.one_of(st.none(), st.floats(0, 1e9)))
def test_any_progress_event_is_read_back(subject: str, total: float | None, left: float | None) -> None:
    event = Progress(
        "train", 1.0, total, "steps", Message("web.value_empty", key=subject), {"loss": 2.0}, subject
    )
    line = json.dumps(event.as_dict(left))
    assert events.read([line]) == [events.Event("progress", event.message, event, left)]
