"""How the service stands from report to report: what is read, what is held, and that both come to the same."""

import numpy as np

from fairlead.errors import StorageError
from fairlead.monitor import standing
from fairlead.monitor.report import Window
from fairlead.monitor.service_levels import Traffic, objectives, tally
from fairlead.monitor.settings import Objectives, Settings
from fairlead.monitor.standing import Standing

DAY = 86_400.0
SETTINGS = Settings(objectives=Objectives(availability=0.99, latency=0.9, latency_seconds=0.05, period="3d"))


class Log:
    """Five days of requests, one a minute, each with two rows; every tenth failed. Remembers what was read."""

    def __init__(self):
        rng = np.random.default_rng(1)
        self.times = np.arange(0, 5 * DAY, 60.0) + 7
        self.latencies = rng.exponential(0.02, len(self.times))
        self.statuses = np.where(np.arange(len(self.times)) % 10 == 0, "overloaded", "ok").astype(object)
        self.read = []

    def within(self, window):
        kept = (self.times >= window.start) & (self.times < window.end)
        return Traffic(self.times[kept].repeat(2), self.latencies[kept].repeat(2), self.statuses[kept].repeat(2))

    def __call__(self, endpoint, window):
        self.read.append(window)
        yield self.within(window)


def day(number):
    return Window((number - 1) * DAY, number * DAY)


def standing_of(log, tmp_path, now=5 * DAY):
    return Standing(log, tmp_path, tmp_path, clock=lambda: now)


def by_name(found):
    return {(one.subject, one.measure): one for one in found}


def test_objectives_grown_from_report_to_report_are_those_of_the_whole_period(tmp_path):
    log = Log()
    make = standing_of(log, tmp_path)
    for number in (1, 2, 3, 4, 5):
        found = by_name(make("flights", SETTINGS, day(number)))
        whole = tally(log.within(Window((number - 3) * DAY, number * DAY)), 0.05)
        for one in objectives(whole, SETTINGS.objectives, number * DAY):
            assert found[one.subject, one.measure] == one
    # Each report has read its window twice, for the levels and for what the tally did not have; the first the whole period.
    assert log.read[:2] == [day(1), Window(-2 * DAY, DAY)]
    assert log.read[2:] == [day(number) for number in (2, 2, 3, 3, 4, 4, 5, 5)]


def test_a_report_that_is_amended_is_made_of_the_past_and_without_todays_processes(tmp_path):
    log = Log()
    make = standing_of(log, tmp_path)
    first = make("flights", SETTINGS, day(3))
    make("flights", SETTINGS, day(5))
    again = make("flights", SETTINGS, day(3))
    assert [one for one in again if one.area == "service"] == [one for one in first if one.area == "service"]
    assert not [one for one in again if one.area == "process"]
    assert ("disk", "free space") in by_name(make("flights", SETTINGS, day(5)))


def test_without_objectives_the_period_is_not_read(tmp_path):
    log = Log()
    found = by_name(standing_of(log, tmp_path)("flights", Settings(), day(2)))
    assert log.read == [day(2)]
    assert found["errors", "error rate"].value == 0.1
    assert found["traffic", "rows a request"].value == 2.0


def test_a_log_that_cannot_be_read_is_a_finding(tmp_path):
    def broken(endpoint, window):
        raise StorageError("The disk is gone.")
        yield

    found = by_name(Standing(broken, tmp_path, tmp_path, clock=lambda: DAY)("flights", SETTINGS, day(1)))
    assert found["service", "all"].verdict == "error"
    assert "The disk is gone." in found["service", "all"].because
    assert ("disk", "free space") in found


def test_of_very_many_rows_an_even_part_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(standing, "_MOST", 1000)
    found = by_name(standing_of(Log(), tmp_path)("flights", Settings(), Window(0, 5 * DAY)))
    assert found["traffic", "rows a request"].value == 2.0
    assert abs(found["traffic", "requests a second"].value - 1 / 60) < 1 / 600
    assert found["latency", "p50 latency"].n < 1000
