"""Service levels: how quickly and how reliably was answered, and what is left of the error budget.

```
time, latency, status ─▶ Traffic ─┬─▶ levels: latency, requests, errors ─▶ findings
                                  └─▶ tally, by the minute ─▶ objectives: budget, burn rates ─▶ findings
```

An objective is a share of good requests over a period; what may be bad is the error budget, and the burn rate says how many times faster than
allowed it is spent. Alerts by pairs of windows after Google, "The Site Reliability Workbook" (2018), chapter 5, table 5-8: a long window, so
that it matters, and a short one, so that it still goes on. What a caller did wrong is no failure of the service.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from fairlead import errors
from fairlead.columns import Names
from fairlead.durations import parse_duration, tell_duration, write_duration
from fairlead.monitor.report import Finding, Window
from fairlead.monitor.settings import Objectives
from fairlead.monitor.words import measured, number, percent, plural
from fairlead.stats.estimates import wilson
from fairlead.stats.ranks import quantile_with_interval

__all__ = ["PAIRS", "Pair", "Tally", "Traffic", "burn_rate", "is_callers", "joined", "levels", "objectives", "tally"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_MINUTE: Final = 60.0
_DAY: Final = 86_400.0
_LEAST_BAD: Final = 2
"""One bad request of a quiet night crosses no limit: with little traffic it may be a thousand times the allowed share."""

_CALLERS: Final = (
    errors.InvalidInput,
    errors.NotFound,
    errors.NotAllowed,
    errors.Conflict,
    errors.RateLimited,
    errors.ConversionUnsupported,
)
_CALLERS_OF_HTTP: Final = frozenset(
    {"header_too_large", "method_not_allowed", "misdirected_request", "request_timeout", "unsupported_media_type"}
)


class Pair(msgspec.Struct, frozen=True):
    """Two windows that are looked at together.

    Attributes:
        long: In seconds.
        short: A twelfth of it, in seconds.
        budget: The share of the period's budget that is gone when the long window has burnt at the limit.
    """

    long: float
    short: float
    budget: float

    def limit(self, period: float) -> float:
        """From which burn rate on both windows are too fast: the share of the budget, times the period over the long window."""
        return self.budget * period / self.long


PAIRS: Final = (
    Pair(3600.0, 300.0, 0.02),
    Pair(6 * 3600.0, 1800.0, 0.05),
    Pair(_DAY, 7200.0, 0.10),
    Pair(3 * _DAY, 6 * 3600.0, 0.10),
)
"""For a period of thirty days the limits are 14.4, 6, 3 and 1, as in the workbook's table."""


class Traffic(msgspec.Struct, frozen=True):
    """Rows as they were answered, a place each in all three.

    Attributes:
        times: When, in seconds since 1970.
        latencies: In seconds.
        statuses: "ok", or the code of an error.
    """

    times: Floats
    latencies: Floats
    statuses: Names

    def requests(self) -> Traffic:
        """The same by request: rows that were asked together have one time and one latency."""
        order = np.lexsort((self.latencies, self.times))
        times, latencies = self.times[order], self.latencies[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (np.diff(times) != 0) | (np.diff(latencies) != 0)
        statuses = Names(self.statuses.codes[order][first], self.statuses.values)
        return Traffic(times[first], latencies[first], statuses)

    def fine(self) -> NDArray[np.bool_]:
        """Which were answered."""
        return self._whose(lambda code: code == "ok")

    def failed(self) -> NDArray[np.bool_]:
        """Which failed by the service."""
        return self._whose(lambda code: code != "ok" and not is_callers(code))

    def counts(self) -> list[tuple[str, int]]:
        """How often each status is, by its code; one that is missing is none."""
        there = self.statuses.codes[self.statuses.codes >= 0]
        often = np.bincount(there, minlength=len(self.statuses.values)).tolist()
        return sorted((str(code), count) for code, count in zip(self.statuses.values, often, strict=True) if count)

    def _whose(self, status: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Which have such a status; one that is missing is none. Few are looked at, many have them."""
        by_code = np.array([*(status(str(one)) for one in self.statuses.values), False], np.bool_)
        found: NDArray[np.bool_] = by_code[self.statuses.codes]
        return found


class Tally(msgspec.Struct, frozen=True):
    """Requests by the minute, as objectives need them; small enough to keep for a period.

    Attributes:
        starts: Of each minute that had any, rising, in seconds since 1970.
        total: Requests in it.
        failed: Of these, failed by the service.
        slow: Answered, and later than the objective allows.
    """

    starts: Floats
    total: Counts
    failed: Counts
    slow: Counts


def is_callers(code: str) -> bool:
    """Whether a status is the caller's doing: bad input, no permission, too many requests."""
    return code in _CALLERS_OF_HTTP or issubclass(errors.FairleadError.of_code(code), _CALLERS)


def levels(rows: Traffic, window: Window) -> list[Finding]:
    """Latency, traffic and errors of a window; nothing where there was no traffic.

    Args:
        rows: The window's, answered or not.
        window: Which.
    """
    if not len(rows.times):
        return []
    requests = rows.requests()
    return [
        *_latencies(requests),
        *_traffic(len(rows.times), len(requests.times), window),
        _errors(requests),
    ]


def tally(rows: Traffic, latency_seconds: float) -> Tally:
    """Count requests by the minute.

    Args:
        rows: In any order.
        latency_seconds: What is later counts as slow.
    """
    requests = rows.requests()
    starts, minute = np.unique(np.floor(requests.times / _MINUTE) * _MINUTE, return_inverse=True)

    def counted(which: NDArray[np.bool_]) -> Counts:
        return np.bincount(minute[which], minlength=len(starts)).astype(np.int64)

    return Tally(
        starts,
        counted(np.ones(len(minute), np.bool_)),
        counted(requests.failed()),
        counted(requests.fine() & (requests.latencies > latency_seconds)),
    )


def joined(tallies: Iterable[Tally]) -> Tally:
    """Several as one; a minute that several have is added up."""
    parts = list(tallies)
    every = np.concatenate([one.starts for one in parts]) if parts else np.zeros(0)
    starts, place = np.unique(every, return_inverse=True)

    def added(name: str) -> Counts:
        values = np.concatenate([getattr(one, name) for one in parts]) if parts else np.zeros(0)
        return np.bincount(place, values, len(starts)).astype(np.int64)

    return Tally(starts, added("total"), added("failed"), added("slow"))


def objectives(counted: Tally, wanted: Objectives, now: float) -> list[Finding]:
    """Budget and burn rates of each objective that is set.

    Args:
        counted: Requests of the period, as far as they are known.
        wanted: The objectives.
        now: The end of all windows, in seconds since 1970.

    Raises:
        InvalidInput: The period is no length of time.
    """
    period = parse_duration(wanted.period)
    found: list[Finding] = []
    if wanted.availability is not None:
        share = ("availability", wanted.availability, "failed")
        found += _objective(counted.starts, counted.total, counted.failed, share, (period, now))
    if wanted.latency is not None:
        answered = counted.total - counted.failed
        words = f"took longer than {measured(wanted.latency_seconds, 'seconds')}"
        found += _objective(counted.starts, answered, counted.slow, ("latency", wanted.latency, words), (period, now))
    return found


def burn_rate(bad: float, total: float, target: float) -> float:
    """How many times faster than allowed the budget is spent: the share of bad requests over 1 − target; 0 without traffic."""
    return bad / total / (1 - target) if total else 0.0


def _objective(
    starts: Floats, total: Counts, bad: Counts, told: tuple[str, float, str], when: tuple[float, float]
) -> list[Finding]:
    (name, target, words), (period, now) = told, when

    def within(seconds: float) -> tuple[int, int]:
        inside = (starts >= math.floor((now - seconds) / _MINUTE) * _MINUTE) & (starts < now)
        return int(bad[inside].sum()), int(total[inside].sum())

    spent, every = within(period)
    if not every:
        because = (
            f"No requests in {tell_duration(period)}: nothing is known of the {name} objective of {percent(target)}."
        )
        return [Finding(area="service", subject=name, measure="error budget", verdict="insufficient", because=because)]
    found = [_budget(name, target, words, (spent, every), period)]
    told_of = (name, target, words)
    return found + [
        _burnt(told_of, pair, (within(pair.long), within(pair.short)), period) for pair in PAIRS if pair.long <= period
    ]


def _budget(name: str, target: float, words: str, counts: tuple[int, int], period: float) -> Finding:
    bad, total = counts
    left = 1 - burn_rate(bad, total, target)
    allowed = total * (1 - target)
    because = f"{plural(bad, 'request')} of {total:,} in {tell_duration(period)} {words}, {number(allowed)} may: " + (
        f"{percent(left)} of the error budget is left."
        if left >= 0
        else f"the error budget is spent {number(1 - left)} times."
    )
    share = wilson(bad, total)
    return Finding(
        area="service",
        subject=name,
        measure="error budget",
        verdict="breach" if left < 0 and bad >= _LEAST_BAD else "stable",
        because=because,
        value=left,
        unit="share",
        reference=0.0,
        interval=(1 - share.high / (1 - target), 1 - share.low / (1 - target)),
        n=total,
        further={"bad": float(bad), "objective": target},
    )


def _burnt(
    told: tuple[str, float, str], pair: Pair, counts: tuple[tuple[int, int], tuple[int, int]], period: float
) -> Finding:
    name, target, words = told
    (bad, total), short = counts
    limit, long_rate, short_rate = pair.limit(period), burn_rate(bad, total, target), burn_rate(*short, target)
    crossed = long_rate >= limit and short_rate >= limit and bad >= _LEAST_BAD
    long_text, short_text = write_duration(pair.long), write_duration(pair.short)
    because = (
        f"{plural(bad, 'request')} of {total:,} in {tell_duration(pair.long)} {words}: {number(long_rate)} times as many as "
        f"the budget allows, {number(short_rate)} times in the last {tell_duration(pair.short)}; {number(limit)} is too fast."
    )
    return Finding(
        area="service",
        subject=name,
        measure=f"burn rate {long_text}",
        verdict="breach" if crossed else "stable",
        because=because,
        value=long_rate,
        reference=limit,
        n=total,
        further={f"burn rate {short_text}": short_rate},
    )


def _latencies(requests: Traffic) -> list[Finding]:
    """Of what was answered; a refusal is quick."""
    rising = np.sort(requests.latencies[requests.fine() & np.isfinite(requests.latencies)])
    found = []
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)) if len(rising) else ():
        value, interval = quantile_with_interval(rising, share)
        said = (
            f" ({measured(interval[0], 'seconds')} to {measured(interval[1], 'seconds')})"
            if interval
            else f" (too few requests to bound it: {len(rising):,})"
        )
        because = f"{round(100 * share)} % of the answers took {measured(value, 'seconds')} or less{said}."
        found.append(
            Finding(
                area="service",
                subject="latency",
                measure=f"{name} latency",
                verdict="stable",
                because=because,
                value=value,
                unit="seconds",
                interval=interval,
                n=len(rising),
            )
        )
    return found


def _traffic(rows: int, requests: int, window: Window) -> list[Finding]:
    facts = [
        (
            "rows a request",
            rows / requests,
            f"{plural(rows, 'row')} in {plural(requests, 'request')}: {number(rows / requests)} each.",
            "",
        )
    ]
    if window.seconds > 0:
        rate = requests / window.seconds
        facts.insert(
            0,
            (
                "requests a second",
                rate,
                f"{plural(requests, 'request')} in {tell_duration(window.seconds)}: {number(rate)} a second.",
                "",
            ),
        )
    return [
        Finding(
            area="service",
            subject="traffic",
            measure=name,
            verdict="stable",
            because=because,
            value=value,
            unit=unit,
            n=requests,
        )
        for name, value, because, unit in facts
    ]


def _errors(requests: Traffic) -> Finding:
    total, bad = len(requests.times), int(requests.failed().sum())
    callers = total - bad - int(requests.fine().sum())
    share = wilson(bad, total)
    because = f"{plural(bad, 'request')} of {total:,} failed by the service ({percent(bad / total)})"
    because += f"; {plural(callers, 'request')} refused for what the caller sent" if callers else ""
    return Finding(
        area="service",
        subject="errors",
        measure="error rate",
        verdict="stable",
        because=f"{because}.",
        value=bad / total,
        unit="share",
        interval=(share.low, share.high),
        n=total,
        further={code: float(count) for code, count in requests.counts() if code != "ok"},
    )
