"""What people say of a window. The seconds of the days are those that `date --utc +%s` tells."""

from __future__ import annotations

import pytest

from fairlead.errors import InvalidInput
from fairlead.exporters.spans import Span, past_of, span_of

NOW = 1_700_000_000.0
FIRST = 1_698_796_800.0
"""`date --utc --date 2023-11-01 +%s`"""


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2023-11-01..2023-11-08", FIRST, FIRST + 7 * 86_400),
        ("2023-11-01T06:00..2023-11-01T06:30:15", FIRST + 21_600, FIRST + 23_415),
        ("2023-11-01T00:00+01:00 .. 2023-11-01T00:00Z", FIRST - 3600, FIRST),
        ("2023-11-01T00:00:00.5..2023-11-01T00:00:01", FIRST + 0.5, FIRST + 1),
        ("1d", NOW - 86_400, NOW),
        ("90s", NOW - 90, NOW),
        ("999999w", 0.0, NOW),
    ],
)
def test_a_window_is_from_to_or_up_to_now(text, start, end):
    assert span_of(text, NOW) == Span(start, end)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "..",
            "1",
            "yesterday",
            "2023-11-01",
            "2023-11-01..",
            "2023-13-01..2023-14-01",
            "2023-11-01..now",
            "10000 rows",
        ),
        *("20231101..20231102", "2023-W44..2023-W45", "2023-11-01T00\n:00..2023-11-02", "2023-11-02..2023-11-01"),
        *("2023-11-01..2023-11-01", "0001-01-01T00:00+23:00..1969-12-31", "2023-11-01..2023-11-02..2023-11-03"),
    ],
)
def test_what_is_no_window_is_refused(text):
    with pytest.raises(InvalidInput):
        span_of(text, NOW)


@pytest.mark.parametrize(
    ("text", "start"),
    [("past", FIRST - 86_400), ("past 7d", FIRST - 7 * 86_400), ("2023-10-01..2023-10-02", FIRST - 31 * 86_400)],
)
def test_the_past_of_a_window_is_as_long_as_it(text, start):
    assert past_of(text, Span(FIRST, FIRST + 86_400), NOW) == Span(start, start + 86_400)


@pytest.mark.parametrize("text", ["past week", "past -1d", "past 999999w", "before", "training"])
def test_what_is_no_past_is_refused(text):
    with pytest.raises(InvalidInput):
        past_of(text, Span(FIRST, FIRST + 86_400), NOW)


def test_a_window_is_told_in_utc():
    assert str(Span(FIRST, FIRST + 21_600.5)) == "2023-11-01 00:00:00 to 2023-11-01 06:00:00 (UTC)"
