"""Service levels: burn rates against the workbook's table, quantiles against numpy and simulation, counts against made traffic."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from fairlead.monitor.measures.service_levels import (
    PAIRS,
    Tally,
    Traffic,
    burn_rate,
    is_callers,
    joined,
    levels,
    objectives,
    tally,
)
from fairlead.monitor.report import Window
from fairlead.monitor.settings import Objectives
from fairlead.stats.ranks import quantile_ranks, quantile_with_interval
from labelled_rows import named, texts

NOW = 1_700_000_040.0  # a full minute
DAY = 86_400.0


def traffic(seconds, *, every=1.0, bad=(), statuses="overloaded", latency=0.01):
    """A request every so often until NOW; those whose age in seconds lies in a span of `bad` failed."""
    ages = np.arange(every / 2, seconds, every)
    failed = np.zeros(len(ages), bool)
    for low, high in bad:
        failed |= (ages >= low) & (ages < high)
    codes = np.where(failed, statuses, "ok").astype(object)
    return Traffic(NOW - ages, np.full(len(ages), latency), named(codes))


def told(counted, wanted):
    return {(one.subject, one.measure): one for one in objectives(counted, wanted, NOW)}


# -- burn rates --------------------------------------------------------------------------------------------------------


def test_the_pairs_are_those_of_the_workbook():
    """The Site Reliability Workbook, table 5-8, for a period of 30 days: (long, short, burn rate, share of the budget)."""
    hour, expected = 3600.0, [
        (1.0, 5 / 60, 14.4, 0.02),
        (6.0, 0.5, 6.0, 0.05),
        (24.0, 2.0, 3.0, 0.10),
        (72.0, 6.0, 1.0, 0.10),
    ]  # fmt: skip
    found = [(one.long / hour, one.short / hour, one.limit(30 * DAY), one.budget) for one in PAIRS]
    assert [value for row in found for value in row] == pytest.approx([value for row in expected for value in row])


@pytest.mark.parametrize(("rate", "share"), [(1, 0.001), (2, 0.002), (10, 0.01), (1000, 1.0)])
def test_burn_rates_are_those_of_the_workbook(rate, share):
    """Table 5-4: for an objective of 99.9 %, the error rate at each burn rate."""
    assert burn_rate(share * 1e6, 1e6, 0.999) == pytest.approx(rate)


def test_a_sharp_failure_that_goes_on_is_a_breach_within_the_hour():
    """All fail for ten minutes: 10/60 of the hour over 0.1 % is 167 times too fast, and the last five minutes 1,000 times."""
    found = told(tally(traffic(2 * 3600, bad=[(0, 600)]), 0.1), Objectives(availability=0.999))
    one = found["availability", "burn rate 1h"]
    assert one.verdict == "breach"
    assert one.value == pytest.approx(1000 / 6, rel=1e-3)
    assert one.further["burn rate 5m"] == pytest.approx(1000)
    assert one.reference == pytest.approx(14.4)


def test_a_failure_that_is_over_is_no_breach_of_the_fast_pair():
    found = told(tally(traffic(2 * 3600, bad=[(1200, 1800)]), 0.1), Objectives(availability=0.999))
    one = found["availability", "burn rate 1h"]
    assert (one.verdict, one.value > 14.4, one.further["burn rate 5m"]) == ("stable", True, 0.0)


def test_a_slow_leak_is_a_breach_of_the_three_days_alone():
    """0.2 % fail, all the time: burn rate 2, above the limit of 1 for three days and below all others."""
    rng = np.random.default_rng(0)
    rows = traffic(3 * DAY)
    rows = Traffic(rows.times, rows.latencies, named(np.where(rng.random(len(rows.times)) < 0.002, "overloaded", "ok")))
    found = told(tally(rows, 0.1), Objectives(availability=0.999))
    breaches = [measure for (_, measure), one in found.items() if one.verdict == "breach"]
    assert breaches == ["error budget", "burn rate 3d"]


def test_the_budget_that_is_left_is_what_may_still_fail():
    """100,000 requests at 99.9 % may have 100 bad ones; 25 leave three quarters."""
    counted = Tally(np.array([NOW - 60.0]), np.array([100_000]), np.array([25]), np.array([0]))
    one = told(counted, Objectives(availability=0.999))["availability", "error budget"]
    assert one.value == pytest.approx(0.75)
    assert one.verdict == "stable"
    assert one.because.startswith("25 requests of 100,000 in 30 days failed, 100 may: 75")
    assert one.interval[0] < 0.75 < one.interval[1]


def test_a_budget_that_is_overspent_is_a_breach():
    counted = Tally(np.array([NOW - 60.0]), np.array([100_000]), np.array([250]), np.array([0]))
    one = told(counted, Objectives(availability=0.999))["availability", "error budget"]
    assert (one.verdict, one.value) == ("breach", pytest.approx(-1.5))
    assert "spent 2.5 times" in one.because


def test_one_bad_request_of_a_quiet_night_is_no_breach():
    found = told(tally(traffic(240, every=60, bad=[(0, 60)]), 0.1), Objectives(availability=0.999))
    assert {one.verdict for one in found.values()} == {"stable"}


def test_slow_answers_spend_the_budget_of_latency():
    slow = traffic(600, latency=0.5)
    found = told(tally(slow, 0.1), Objectives(latency=0.99, latency_seconds=0.1))
    assert found["latency", "burn rate 1h"].verdict == "breach"
    assert "took longer than 100 ms" in found["latency", "burn rate 1h"].because
    fine = told(tally(slow, 1.0), Objectives(latency=0.99, latency_seconds=1.0))
    assert {one.verdict for one in fine.values()} == {"stable"}


def test_what_callers_do_wrong_spends_no_budget():
    found = told(tally(traffic(600, bad=[(0, 600)], statuses="schema_mismatch"), 0.1), Objectives(availability=0.999))
    assert {one.verdict for one in found.values()} == {"stable"}
    assert all(is_callers(code) for code in ("schema_mismatch", "rate_limited", "forbidden", "request_timeout"))
    assert not any(
        is_callers(code) for code in ("overloaded", "prediction_failed", "deadline_exceeded", "fairlead_error")
    )


def test_a_shorter_period_has_limits_of_its_own():
    """2 % of the budget of seven days in an hour: 0.02 · 168 = 3.36."""
    counted = tally(traffic(7200), 0.1)
    found = told(counted, Objectives(availability=0.999, period="7d"))
    assert found["availability", "burn rate 1h"].reference == pytest.approx(3.36)
    day = told(counted, Objectives(availability=0.999, period="12h"))
    assert ("availability", "burn rate 1d") not in day


def test_without_traffic_nothing_is_known():
    nothing = Traffic(np.zeros(0), np.zeros(0), named([]))
    assert levels(nothing, Window(0, 60)) == []
    found = told(tally(nothing, 0.1), Objectives(availability=0.999, latency=0.9))
    assert {one.verdict for one in found.values()} == {"insufficient"}
    assert joined([]).starts.size == 0


def test_tallies_add_up_however_they_are_cut():
    rows = traffic(7200, bad=[(100, 900)], latency=0.2)
    codes = texts(rows.statuses)
    parts = [Traffic(rows.times[i::2], rows.latencies[i::2], named(codes[i::2])) for i in range(2)]
    whole, both = tally(rows, 0.1), joined(tally(one, 0.1) for one in parts)
    for name in ("starts", "total", "failed", "slow"):
        assert (getattr(whole, name) == getattr(both, name)).all()


# -- levels ------------------------------------------------------------------------------------------------------------


def test_latency_traffic_and_errors_are_told():
    rng = np.random.default_rng(1)
    times = np.sort(rng.uniform(0, 3600, 2000))
    latencies = rng.exponential(0.02, 2000)
    codes = np.full(6000, "ok", object)
    codes[:30] = "overloaded"
    rows = Traffic(times.repeat(3), latencies.repeat(3), named(codes))
    found = {one.measure: one for one in levels(rows, Window(0, 3600))}
    assert found["p99 latency"].value == pytest.approx(np.quantile(latencies[10:], 0.99, method="inverted_cdf"))
    assert found["p50 latency"].interval[0] < found["p50 latency"].value < found["p50 latency"].interval[1]
    assert found["requests a second"].value == pytest.approx(2000 / 3600)
    assert found["rows a request"].value == 3.0
    assert found["error rate"].value == 10 / 2000
    assert found["error rate"].further == {"overloaded": 10.0}
    expected = scipy_stats.binomtest(10, 2000).proportion_ci(method="wilson")
    assert found["error rate"].interval == pytest.approx((expected.low, expected.high))


def test_one_request_is_told_without_bounds():
    found = {one.measure: one for one in levels(traffic(1), Window(0, 60))}
    assert found["p99 latency"].interval is None
    assert "too few requests to bound it: 1" in found["p99 latency"].because


def test_a_window_in_which_all_failed_has_no_latency():
    found = {one.measure: one for one in levels(traffic(100, bad=[(0, 100)]), Window(0, 100))}
    assert "p50 latency" not in found
    assert found["error rate"].value == 1.0


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("n", [1, 20, 500, 5000])
def test_ranks_are_the_binomial_laws_own(n, share):
    low, high = quantile_ranks(n, share)
    assert (low, high - 1) == (scipy_stats.binom.ppf(0.025, n, share), scipy_stats.binom.ppf(0.975, n, share))


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_the_interval_of_a_quantile_holds_it(share):
    """Of 400 windows of 1,000 exponential latencies; by its making it holds in 95 % of them at least."""
    rng = np.random.default_rng(7)
    truth, held = -np.log(1 - share), 0
    for _ in range(400):
        _, interval = quantile_with_interval(np.sort(rng.exponential(size=1000)), share)
        held += interval[0] <= truth <= interval[1]
    assert held >= 370
