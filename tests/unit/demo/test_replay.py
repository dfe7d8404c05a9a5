"""The replay against a clock and a service made by hand."""

from __future__ import annotations

import pytest

from fairlead.demo.replay import Flight, Progress, line, replay
from fairlead.errors import StorageError


class Clock:
    """Time that passes only when somebody waits or works."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def flights(count, late=()):
    return [Flight({"number": number}, number in late, f"minute {number}") for number in range(count)]


def test_flights_are_asked_at_the_rate():
    clock = Clock()
    asked = []

    def ask(flight):
        asked.append(clock.now)
        clock.now += 0.01
        return 0.1

    list(replay(flights(5), ask, rate=20, clock=clock, sleep=clock.sleep))
    # One flight every 1/20 s, whatever the answer took.
    assert asked == pytest.approx([100.0, 100.05, 100.1, 100.15, 100.2])


def test_a_replay_that_falls_behind_does_not_hurry_afterwards():
    clock = Clock()
    asked = []

    def ask(flight):
        asked.append(clock.now)
        clock.now += 10 if flight.row["number"] == 0 else 0
        return 0.1

    list(replay(flights(3), ask, rate=1, clock=clock, sleep=clock.sleep))
    assert asked == pytest.approx([100, 110, 111])


def test_late_flights_are_counted_as_expected_and_as_they_were():
    clock = Clock()
    *_, last = replay(
        flights(4, late={0, 1, 2}),
        lambda flight: 0.75 if flight.row["number"] in {0, 3} else 0.25,
        rate=10,
        clock=clock,
        sleep=clock.sleep,
    )
    assert (last.asked, last.expected, last.were_late, last.failed) == (4, 2.0, 3, 0)


def test_a_failure_is_counted_and_the_next_flight_is_asked():
    clock = Clock()

    def ask(flight):
        if flight.row["number"] == 1:
            raise StorageError("Nothing listens there.")
        return 0.9

    first, second, third = replay(flights(3), ask, rate=10, clock=clock, sleep=clock.sleep)
    assert (first.failed, second.failed, third.failed) == (0, 1, 1)
    assert second.error == "Nothing listens there."
    assert third.error == ""
    assert third.asked == 2


def test_the_line_says_shares_and_latency():
    text = line(Progress(asked=1200, expected=120.0, were_late=300, latency=0.0012, departure="3 April 07:15"))
    assert text == "3 April 07:15 · 1,200 flights asked · 10.0% predicted late, 25.0% were · p50 1.2 ms"


def test_the_line_says_what_fails():
    assert line(Progress(failed=2, error="Nothing listens there.")).endswith("2 failed · Nothing listens there.")
