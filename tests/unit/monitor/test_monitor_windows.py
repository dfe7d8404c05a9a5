"""Windows by clock and by count. Expected moments are written out by hand, or come from Python's calendar."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import InvalidInput
from fairlead.monitor.report import Window
from fairlead.monitor.settings import Settings
from fairlead.monitor.windows import (
    CATCH_UP,
    SETTLE_SECONDS,
    clock_panes,
    count_panes,
    due,
    reference_windows,
    rhythm_of,
    skew,
    window_of,
)

HOUR, DAY, WEEK = 3600.0, 86_400.0, 604_800.0


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def told(windows):
    return [
        tuple(datetime.fromtimestamp(moment, UTC).strftime("%m-%d %H:%M") for moment in (one.start, one.end))
        for one in windows
    ]


def test_hours_begin_at_full_hours_days_at_midnight_and_weeks_on_monday():
    now = at("2026-11-25T10:20:00")  # a Wednesday
    assert told(due(window_of("1h"), at("2026-11-25T08:00"), 0.0, now)) == [
        ("11-25 08:00", "11-25 09:00"),
        ("11-25 09:00", "11-25 10:00"),
    ]
    assert told(due(window_of("1d"), None, at("2026-11-23T12:00"), now)) == [
        ("11-23 00:00", "11-24 00:00"),
        ("11-24 00:00", "11-25 00:00"),
    ]
    assert told(due(window_of("7d"), None, at("2026-11-12T12:00"), now)) == [
        ("11-09 00:00", "11-16 00:00"),
        ("11-16 00:00", "11-23 00:00"),
    ]
    assert datetime(2026, 11, 23, tzinfo=UTC).weekday() == 0


def test_a_window_is_due_only_when_it_is_over_and_only_once():
    hour, end = window_of("1h"), at("2026-11-25T10:00")
    assert due(hour, end - HOUR, 0.0, end + SETTLE_SECONDS - 0.01) == []
    assert due(hour, end - HOUR, 0.0, end + SETTLE_SECONDS) == [Window(end - HOUR, end)]
    assert due(hour, end, 0.0, end + SETTLE_SECONDS) == []


def test_a_long_window_slides_by_its_panes():
    rhythm = rhythm_of(Settings(window="7d", slide="1d"))
    windows = due(rhythm, at("2026-11-23T00:00"), 0.0, at("2026-11-25T03:00"))
    assert told(windows) == [("11-17 00:00", "11-24 00:00"), ("11-18 00:00", "11-25 00:00")]
    assert [told([one])[0][0] for one in clock_panes(rhythm, windows[0])] == [
        f"11-{day} 00:00" for day in range(17, 24)
    ]
    assert clock_panes(rhythm, windows[0])[1:] == clock_panes(rhythm, windows[1])[:-1]


def test_after_a_standstill_only_the_newest_windows_are_made_up_for():
    found = due(window_of("1h"), at("2025-01-01T00:00"), 0.0, at("2026-11-25T10:20"))
    assert len(found) == CATCH_UP
    assert told(found[-1:]) == [("11-25 09:00", "11-25 10:00")]


def test_a_clock_that_was_put_back_makes_nothing_due_and_is_told():
    assert due(window_of("1h"), at("2026-11-25T10:00"), 0.0, at("2026-11-25T07:30")) == []
    assert "2h before the end of the newest report" in skew(at("2026-11-25T10:00"), at("2026-11-25T08:00"))
    assert skew(at("2026-11-25T10:00"), at("2026-11-25T10:00")) == ""


@pytest.mark.parametrize("night", ["2026-03-08", "2026-11-01"])
def test_a_night_in_which_new_york_changes_its_clocks_has_no_gap_and_no_overlap(night):
    zone = ZoneInfo("America/New_York")
    noon = datetime.fromisoformat(f"{night}T12:00").replace(tzinfo=zone)
    assert noon.utcoffset() != (noon - timedelta(days=1)).utcoffset()  # it is such a night
    found = due(window_of("1d"), None, (noon - timedelta(days=2)).timestamp(), (noon + timedelta(days=2)).timestamp())
    assert all(one.seconds == DAY for one in found)
    assert all(one.end == other.start for one, other in itertools.pairwise(found))


@given(
    st.sampled_from([("1h", None), ("1d", "1h"), ("90s", None), ("7d", "1d"), ("2s", None)]),
    st.floats(1.6e9, 1.9e9),
    st.lists(st.floats(0.01, 40_000), min_size=1, max_size=30),
)
def test_whenever_one_looks_each_window_comes_once_and_in_order(lengths, first, pauses):
    rhythm = rhythm_of(Settings(window=lengths[0], slide=lengths[1]))
    now, last, made = first, None, []
    for pause in pauses:
        now += min(pause, rhythm.slide * 20)
        found = due(rhythm, last, first, now)
        made += found
        last = found[-1].end if found else last
    assert len(set(made)) == len(made)
    steps = [round((other.end - one.end) / rhythm.slide, 6) for one, other in itertools.pairwise(made)]
    assert set(steps) <= {1.0}


def test_windows_by_count_hold_that_many_rows_and_tear_no_request_apart():
    maker = random.Random(5)
    times, now = [], 0.0
    while len(times) < 5000:
        now += maker.random()
        times += [now] * maker.choice([1, 1, 1, 7, 300])
    panes = count_panes(times, window_of("1000 rows"))
    sizes = [sum(one.start <= moment < one.end for moment in times) for one in panes]
    assert len(panes) >= 3
    assert all(1000 <= size < 1300 for size in sizes)
    assert sum(sizes) == sum(moment < panes[-1].end for moment in times)  # no row is between two
    assert count_panes(times[:999], window_of("1000 rows")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training", []),
        ("past", [("11-24 00:00", "11-25 00:00")]),
        ("past 7d", [("11-18 00:00", "11-19 00:00")]),
        (
            "week",
            [
                ("10-28 00:00", "10-29 00:00"),
                ("11-04 00:00", "11-05 00:00"),
                ("11-11 00:00", "11-12 00:00"),
                ("11-18 00:00", "11-19 00:00"),
            ],
        ),
    ],
)
def test_a_reference_is_a_window_of_the_past_or_the_same_hours_of_four_weeks(text, expected):
    assert told(reference_windows(text, Window(at("2026-11-25T00:00"), at("2026-11-26T00:00")))) == expected


@pytest.mark.parametrize("text", ["past 1h", "yesterday", "past -1d", ""])
def test_a_reference_that_would_overlap_its_window_or_is_none_is_refused(text):
    with pytest.raises(InvalidInput):
        reference_windows(text, Window(0.0, DAY))


@pytest.mark.parametrize("text", ["", "0 rows", "rows", "1", "10ms", "-1h", "1000000d 1", "1h 30m", "5 Rows"])
def test_a_window_that_is_no_length_is_refused_with_what_it_could_be(text):
    with pytest.raises(InvalidInput, match="no length of a window"):
        window_of(text)


@pytest.mark.parametrize(
    ("window", "slide"), [("1h", "25m"), ("1h", "2h"), ("1h", "100 rows"), ("100 rows", "30 rows"), ("52w", "1h")]
)
def test_a_slide_that_does_not_divide_its_window_is_refused(window, slide):
    with pytest.raises(InvalidInput, match="does not divide"):
        rhythm_of(Settings(window=window, slide=slide))
