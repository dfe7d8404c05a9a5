"""How findings are said to people: one wording for the page, the terminal and whoever tells of a report.

Numbers come at the precision that matters, shares as percentages, times in UTC. What a caller controls, such as the names of
categories, goes through `clean` before it is shown anywhere: it may be long, invisible, or written to steer a terminal.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from fairlead.monitor.report import RANK, Area, Finding, Report, Verdict, Window

__all__ = [
    "MEASURES",
    "SIGNS",
    "VERDICTS",
    "bounds",
    "clean",
    "compact",
    "effect",
    "headline",
    "labels",
    "measured",
    "moment",
    "number",
    "overall",
    "p_value",
    "percent",
    "plural",
    "span",
    "title",
    "worst_first",
]

VERDICTS: Final[dict[Verdict, str]] = {
    "breach": "Limit crossed",
    "drift": "Drift",
    "error": "Not measured",
    "insufficient": "Too few data",
    "stable": "Stable",
}
SIGNS: Final[dict[Verdict, str]] = {"breach": "■", "drift": "▲", "error": "!", "insufficient": "?", "stable": "✓"}
"""Beside the word, for who sees no colour."""

MEASURES: Final[dict[str, str]] = {"ks": "Kolmogorov-Smirnov", "chi2": "χ²"}
"""What tests are called where their short name is no word; all others are shown as they are."""

_UNSEEN: Final = frozenset("\u061c\u200b\u200e\u200f\u2028\u2029\ufeff") | {
    chr(one) for one in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_DRIFTS: Final[dict[Area, str]] = {
    "prediction": "the predictions drifted",
    "target": "the labels drifted",
    "concept": "the relation to the target changed for {subjects}",
    "missing": "missing values changed in {subjects}",
    "quality": "data quality changed in {subjects}",
    "estimate": "estimated model quality changed in {subjects}",
    "service": "service levels changed in {subjects}",
    "process": "processes changed in {subjects}",
}
"""What a headline says of areas other than the inputs'."""

_WORSE: Final = "model quality is worse by {subjects}"
"""What it says first, unless a limit is crossed: nothing matters more."""


def clean(text: str, limit: int = 60) -> str:
    """A text that is safe to show: characters that cannot be seen or steer are spelled out, what is too long is cut.

    Args:
        text: Anything.
        limit: The most characters, the ellipsis among them.
    """
    head = text[: limit + 1]  # no more than is shown is looked at: a name may be a book
    seen = "".join(f"\\u{ord(one):04x}" if _steers(one) else one for one in head)
    return seen if len(seen) <= limit and len(text) <= limit else f"{seen[: limit - 1]}…"


def _steers(character: str) -> bool:
    return character in _UNSEEN or unicodedata.category(character) in {"Cc", "Cs", "Co"}


def number(value: float | None) -> str:
    """A number to read: whole ones whole, others with three significant digits; an em dash for none."""
    if value is None or math.isnan(value):
        return "—"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if float(value).is_integer() and abs(value) < 1e12:
        told = f"{int(value):,}"
    elif 1000 <= abs(value) < 1e12:
        told = f"{value:,.0f}"
    else:
        told = f"{value:.3g}"
    return told.replace("-", "−")


def compact(value: float) -> str:
    """A number for an axis: large ones in thousands (k), millions (M), thousands of millions (G)."""
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size <= abs(value) < 1e15:
            factor = 1e3 if sign == "k" else size
            return f"{value / factor:.4g} {sign}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def percent(share: float | None) -> str:
    """A share as a percentage; one that is not nil never reads as nil, and one that is not whole never as whole."""
    if share is None or not math.isfinite(share):
        return number(share)
    if 0 < share < 0.0005:
        return "< 0.1 %"
    if 0.9995 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %".replace("-", "−")


def p_value(p: float | None) -> str:
    """A probability: two significant digits, and below a ten-thousandth no more than that."""
    if p is None or math.isnan(p):
        return "—"
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def measured(value: float | None, unit: str = "") -> str:
    """A value with its unit: a share as a percentage, seconds and bytes in the size that fits."""
    if value is None or not math.isfinite(value):
        return number(value)
    if unit == "share":
        return percent(value)
    if unit == "seconds":
        return _seconds(value)
    if unit == "bytes":
        return _bytes(value)
    return f"{number(value)} {clean(unit, 20)}".rstrip()


def _seconds(value: float) -> str:
    steps = ((1e-3, 1e-6, "µs"), (1.0, 1e-3, "ms"), (120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172800.0, 3600.0, "h"))
    size, unit = next(((size, unit) for below, size, unit in steps if abs(value) < below), (86400.0, "days"))
    return f"{number(float(f'{value / size:.3g}'))} {unit}"


def _bytes(value: float) -> str:
    steps = ((2.0**30, "GB"), (2.0**20, "MB"), (2.0**10, "KB"))
    size, unit = next(((size, unit) for size, unit in steps if abs(value) >= size), (1.0, "B"))
    return f"{number(float(f'{value / size:.3g}'))} {unit}"


def effect(finding: Finding) -> str:
    """How large a difference is, by the name of its measure: "D 0.41"."""
    if finding.effect is None:
        return "—"
    return f"{clean(finding.effect_name, 12)} {number(finding.effect)}".strip()


def plural(amount: int, noun: str) -> str:
    """An amount with its noun: "1 row", "10,000 rows"."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def bounds(window: Window) -> str:
    """From when to when exactly: "1 April 2013, 00:00 to 1 May 2013, 00:00 UTC"."""
    return f"{moment(window.start).removesuffix(' UTC')} to {moment(window.end)}"


def _date(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def moment(seconds: float) -> str:
    """A time: "1 May 2013, 00:05 UTC"."""
    when = _date(seconds)
    return f"{_day(when)}, {_clock(when)} UTC" if when else "at an unknown time"


def span(window: Window) -> str:
    """A window: "April 2013", "3 April 2013", "1 to 7 April 2013", "3 April 2013, 14:00 to 15:00 UTC"."""
    start, end = _date(window.start), _date(window.end)
    if start is None or end is None or end <= start:
        return f"{moment(window.start)} to {moment(window.end)}"
    if _midnight(start) and _midnight(end):
        return _days(start, end - timedelta(days=1), end)
    if start.date() == end.date():
        return f"{_day(start)}, {_clock(start)} to {_clock(end)} UTC"
    return f"{_day(start)}, {_clock(start)} to {_day(end)}, {_clock(end)} UTC"


def _days(start: datetime, last: datetime, end: datetime) -> str:
    if start == last:
        return _day(start)
    if start.day == end.day == 1 and (start.year, start.month) == (last.year, last.month):
        return f"{start:%B %Y}"
    if (start.month, start.day, last.month, last.day, start.year) == (1, 1, 12, 31, last.year):
        return f"{start.year}"
    if (start.year, start.month) == (last.year, last.month):
        return f"{start.day} to {_day(last)}"
    first = f"{start.day} {start:%B}" if start.year == last.year else _day(start)
    return f"{first} to {_day(last)}"


def _midnight(when: datetime) -> bool:
    return (when.hour, when.minute, when.second, when.microsecond) == (0, 0, 0, 0)


def _day(when: datetime) -> str:
    return f"{when.day} {when:%B} {when.year}"


def _clock(when: datetime) -> str:
    return f"{when:%H:%M:%S}" if when.second else f"{when:%H:%M}"


def worst_first(report: Report) -> list[Finding]:
    """The findings, the worst first; those of one verdict in the report's order."""
    return sorted(report.findings, key=lambda one: RANK[one.verdict])


def title(report: Report) -> str:
    """What the report is about: "flights, April 2013"."""
    parts = [clean(report.endpoint)] if report.endpoint else []
    parts += [span(report.window)] if report.window else []
    return ", ".join(parts) or "Two tables compared"


def overall(report: Report) -> tuple[Verdict, str]:
    """What the report as a whole comes to; what drifts alone is not hidden by it."""
    if report.verdict == "stable" and any(one.verdict == "drift" for one in report.findings):
        return "drift", "Some drift, stable as a whole"
    return report.verdict, VERDICTS[report.verdict]


def headline(report: Report) -> str:
    """What it comes to: "3 of 14 inputs drifted; temp first"."""
    worst = worst_first(report)
    said = [
        *_crossed(worst),
        *_others(worst, {"model": _WORSE}),
        *_inputs(worst),
        *_others(worst, _DRIFTS),
        *_parted(worst),
    ]
    if not said and report.verdict == "error":
        said = [f"{plural(sum(one.verdict == 'error' for one in worst), 'thing')} could not be measured"]
    if not said and report.verdict == "insufficient":
        said = ["too few data to tell"]
    text = "; ".join(said[:3]) or _calm(worst)
    return text[:1].upper() + text[1:]


def _crossed(worst: Sequence[Finding]) -> list[str]:
    crossed = [one for one in worst if one.verdict == "breach"]
    if not crossed:
        return []
    first = f"{clean(crossed[0].subject, 40)} first" if len(crossed) > 1 else clean(crossed[0].subject, 40)
    return [f"{plural(len(crossed), 'limit')} crossed, {first}"]


def _inputs(worst: Sequence[Finding]) -> list[str]:
    judged = [
        one for one in worst if one.area == "predictor" and not one.segment and one.verdict in {"drift", "stable"}
    ]
    drifted = list(dict.fromkeys(one.subject for one in judged if one.verdict == "drift"))
    if not drifted:
        return []
    count = len({one.subject for one in judged})
    return [f"{len(drifted):,} of {plural(count, 'input')} drifted", f"{clean(drifted[0], 40)} first"]


def _others(worst: Sequence[Finding], texts: Mapping[Area, str]) -> list[str]:
    said = []
    for area, text in texts.items():
        subjects = list(dict.fromkeys(one.subject for one in worst if one.area == area and one.verdict == "drift"))
        if subjects:
            named = clean(subjects[0], 40) + (f" and {plural(len(subjects) - 1, 'other')}" if len(subjects) > 1 else "")
            said.append(text.format(subjects=named))
    return said


def _parted(worst: Sequence[Finding]) -> list[str]:
    parted = {one.subject for one in worst if one.area == "predictor" and one.segment and one.verdict == "drift"}
    return [f"{plural(len(parted), 'input')} drifted within a part of the traffic"] if parted else []


def _calm(worst: Sequence[Finding]) -> str:
    judged = {one.subject for one in worst if one.area == "predictor" and one.verdict == "stable"}
    unsure = {one.subject for one in worst if one.area == "predictor" and one.verdict == "insufficient"} - judged
    if judged:
        too_few = f"; too few data to judge {len(unsure):,} more" if unsure else ""
        return f"nothing drifted in {plural(len(judged), 'input')}{too_few}"
    return "too few data to tell" if unsure else "nothing stands out"


def labels(report: Report) -> str:
    """How far the truth is known: "27,662 (97.7 % of the answers), 2 h after them"."""
    known = report.labels
    if not known.count:
        return "none yet"
    late = f", {_seconds(known.lag)} after the answer (median)" if known.lag is not None else ""
    return f"{known.count:,} ({percent(known.coverage)} of the answers){late}"
