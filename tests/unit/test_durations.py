"""Lengths of time and moments, as they are typed, written back and told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.durations import parse_between, parse_duration, parse_moment, parse_since, tell_duration, write_duration
from fairlead.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("200ms", 0.2), ("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000), ("4w", 2_419_200)],
)
def test_a_length_of_time_is_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "1.5h", "30 d", "30D", "1e9d", "9999999d", "٣d"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(InvalidInput, match="is no length of time"):
        parse_duration(text)


@given(st.integers(1, 999_999), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))
def test_what_is_written_is_read_as_the_same(count, unit):
    seconds = parse_duration(f"{count}{unit}")
    assert parse_duration(write_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 seconds"),
        (0.25, "0.2 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (90, "1.5 minutes"),
        (720, "12 minutes"),
        (3600, "1 hour"),
        (86400, "1 day"),
        (1000000, "12 days"),
    ],
)
def test_a_length_of_time_is_told_as_people_say_it(seconds, told):
    assert tell_duration(seconds) == told


NOW = 1795357800.0


def test_a_moment_is_a_length_of_time_ago_or_a_date():
    # The dates' seconds are those of `date --utc --date=… +%s`.
    assert parse_since("2h", NOW) == NOW - 7200
    assert parse_since("2026-11-22", NOW) == 1795305600
    assert parse_since("2026-11-22T14:30", NOW) == 1795357800
    assert parse_since("2026-11-22T14:30+01:00", NOW) == 1795354200
    assert parse_moment("2026-11-22 14:30:00.5Z") == 1795357800.5


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2h", "2026", "20261122", "2026-W47-7", "2026-13-01", "2026-11-22T25:00", "2026-11-22T"]
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(InvalidInput, match="is no moment"):
        parse_moment(text)


def test_between_two_moments_is_the_earlier_one_first():
    assert parse_between("2026-11-22 .. 2026-11-22T14:30") == (1795305600, 1795357800)
    with pytest.raises(InvalidInput, match="ends before it begins"):
        parse_between("2026-11-22..2026-11-22")
    with pytest.raises(InvalidInput, match="'soon' is no moment"):
        parse_between("2026-11-22..soon")
