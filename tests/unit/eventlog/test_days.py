"""Days and their names. The truth is the standard library's `datetime`."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.eventlog.days import DAY, day_begins, day_of


@given(st.floats(0, 253_402_300_799))
def test_a_day_is_the_utc_one_and_begins_at_midnight(seconds):
    moment = datetime.fromtimestamp(seconds // 1, UTC)
    assert day_of(seconds) == moment.date().isoformat()
    assert (
        day_begins(moment.date().isoformat()) == datetime.combine(moment.date(), datetime.min.time(), UTC).timestamp()
    )


def test_a_day_is_over_when_the_next_begins():
    assert day_begins("2024-02-28") + DAY == day_begins("2024-02-29")
    assert day_of(day_begins("2024-03-01") - 0.001) == "2024-02-29"


@pytest.mark.parametrize("name", ["archive", "2026-13-01", "2026-11-22T00:00", ""])
def test_what_is_no_day_is_refused(name):
    with pytest.raises(ValueError, match=r"does not match|unconverted|time data"):
        day_begins(name)
