"""What the year came to, in words: made of the reports' findings alone, and of what anybody knows about a year.

No report can tell that a spring is warmer than a winter and that this is no news. Which drift is banal is a person's word, and stands here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from fairlead.monitor import words
from fairlead.monitor.report import Area, Finding, Report
from fairlead.monitor.settings import DEFAULTS

__all__ = ["Month", "Said", "chronicle", "due", "finding", "late_share", "line"]

_LATE: Final = "late"
_METRIC: Final = "roc_auc"
_BANAL: Final = {
    "month": "it is April, and the model has seen January to March",
    "temp": "spring is warmer",
    "dewp": "and moister",
}
"""Inputs that must drift in April, and why."""

_BY_MONTH: Final = (
    "month",
    "flights",
    "inputs that drifted",
    "late",
    "said to be late",
    "AUC, estimated",
    "AUC, measured",
)


_WIDTH: Final = 118


class Month(msgspec.Struct, frozen=True):
    """One month's reports.

    Attributes:
        first: When the month was over and no outcome was known.
        amended: When all were.
    """

    first: Report
    amended: Report

    @property
    def name(self) -> str:
        """For people: "April"."""
        window = self.amended.window
        return words.span(window).partition(" ")[0] if window is not None else ""


class Said(msgspec.Struct, frozen=True):
    """What a person would have been told, by the rule of alerts.

    Attributes:
        time: When, in seconds since 1970 (UTC).
        kind: As `monitor.notices` has it.
        new: What it was about, as far as it was new: "model: roc_auc".
    """

    time: float
    kind: str
    new: tuple[str, ...]


def finding(report: Report, area: Area, subject: str, measure: str | None = None) -> Finding | None:
    """One finding about all rows; `None` where there is none."""
    found = (one for one in report.of(area) if one.subject == subject and not one.segment)
    return next((one for one in found if measure in (None, one.measure)), None)


def late_share(found: Finding | None) -> tuple[float, float] | None:
    """How many were late, of the reference and of the window; `None` where that was not looked at."""
    picture = found.picture if found is not None else None
    if picture is None or _LATE not in picture.labels:
        return None
    place = picture.labels.index(_LATE)
    return picture.reference[place], picture.current[place]


def due(months: Sequence[Month]) -> Month | None:
    """The first month in which the model did surely, and by enough, worse than in the reference; `None` before."""
    return next((one for one in months if _drifts(finding(one.amended, "model", _METRIC))), None)


def line(month: Month) -> str:
    """A month in one line."""
    rows = words.plural(month.amended.rows, "flight")
    estimated = _valued(finding(month.first, "estimate", _METRIC))
    measured = _valued(finding(month.amended, "model", _METRIC))
    return f"{month.name}: {rows}; AUC by estimate {estimated}; when the outcomes were known {measured}"


def chronicle(months: Sequence[Month], said: Sequence[Said]) -> str:
    """The whole year: a table, and what it means.

    Args:
        months: In order, at least one.
        said: What a person would have been told, in order.
    """
    told = [_april(months[0]), _target(months), _estimates(months), _retraining(months, said)]
    return "\n\n".join(["", _by_month(months), *map(_wrapped, told)])


def _wrapped(text: str) -> str:
    """A paragraph in lines that a terminal holds; what is indented stays so."""
    lines = text.splitlines()
    return "\n".join(textwrap.fill(one, _WIDTH, subsequent_indent="    " if one[:1] == " " else "") for one in lines)


# -- the table ---------------------------------------------------------------------------------------------------------


def _by_month(months: Sequence[Month]) -> str:
    cells = [_BY_MONTH, *(_cells(one) for one in months)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(_BY_MONTH))]
    return "\n".join(
        "  ".join(one.ljust(width) for one, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _cells(month: Month) -> tuple[str, ...]:
    measured = finding(month.amended, "model", _METRIC)
    sign = f"  {words.SIGNS['drift']}" if _drifts(measured) else ""
    return (
        month.name,
        f"{month.amended.rows:,}",
        _drifted(month.amended),
        _share(finding(month.amended, "target", _LATE)),
        _share(finding(month.amended, "prediction", _LATE)),
        _valued(finding(month.first, "estimate", _METRIC)),
        _valued(measured) + sign,
    )


def _drifted(report: Report) -> str:
    judged = [one for one in report.of("predictor") if one.verdict in {"drift", "stable"} and not one.segment]
    return f"{sum(map(_drifts, judged))} of {len(judged)}"


def _share(found: Finding | None) -> str:
    shares = late_share(found)
    if shares is None:
        return "—"
    return words.percent(shares[1]) + (f" {words.SIGNS['drift']}" if _drifts(found) else "")


def _valued(found: Finding | None) -> str:
    if found is None or found.value is None:
        return "—"
    if found.interval is None:
        return f"{found.value:.3f}"
    return f"{found.value:.3f} ({found.interval[0]:.3f} to {found.interval[1]:.3f})"


# -- what it means -----------------------------------------------------------------------------------------------------


def _april(month: Month) -> str:
    """What drifted first, with what a person adds to it."""
    inputs = [one for one in month.first.of("predictor") if _drifts(one)]
    lines = [f"What drifted in {month.name}, against the flights of the winter that the model was not trained on:"]
    lines += [
        f"  {one.because}" + (f" Banal: {_BANAL[one.subject]}." if one.subject in _BANAL else "") for one in inputs
    ]
    lines += [f"  {one.because}" for one in month.first.of("prediction") if one.measure == "chi2" and _drifts(one)]
    return "\n".join([*lines, *_against_truth(month)])


def _against_truth(month: Month) -> Iterator[str]:
    """What was said and what proved true, where they went apart."""
    said = late_share(finding(month.first, "prediction", _LATE))
    true = late_share(finding(month.amended, "target", _LATE))
    if said is not None and true is not None and (said[1] - said[0]) * (true[1] - true[0]) < 0:
        fewer, more = ("fewer", "more") if said[1] < said[0] else ("more", "fewer")
        yield (
            f"That is not banal: the model expects {fewer} late flights than in winter, and there were {more}: "
            f"{words.percent(true[1])}, where it was {words.percent(true[0])}."
        )


def _target(months: Sequence[Month]) -> str:
    """What the share of late flights did."""
    by_month = [(one, finding(one.amended, "target", _LATE)) for one in months]
    known = [(one, found, shares) for one, found in by_month if (shares := late_share(found)) is not None]
    if not known:
        return "Nothing is known of the late flights."
    most, fewest = (pick(known, key=lambda one: one[2][1]) for pick in (max, min))
    drifted = [one.name for one, found, _ in known if _drifts(found)]
    told = f"Target drift, by a change that counts: {', '.join(drifted) or 'in no month'}."
    return (
        f"Late were {words.percent(known[0][2][0])} of the winter's flights, {words.percent(most[2][1])} in {most[0].name} and "
        f"{words.percent(fewest[2][1])} in {fewest[0].name}. {told}"
    )


def _estimates(months: Sequence[Month]) -> str:
    """How near the estimates without labels came."""
    gaps = [(gap, one) for one in months if (gap := _gap(one)) is not None]
    if not gaps:
        return "Model quality was not estimated, or not measured."
    within = sum(_meets(one) for _, one in gaps)
    most, month = max(gaps, key=lambda one: one[0])
    return (
        f"The estimates can be had before any outcome is known, and assume that scores still mean what they meant. Here the measured AUC "
        f"lies below the estimate in {sum(gap > 0 for gap, _ in gaps)} of {len(gaps)} months, in {month.name} by {most:.3f}; their intervals meet in "
        f"{within or 'none'}. An estimate that falls is a warning; one that stays is no all-clear."
    )


def _gap(month: Month) -> float | None:
    estimated, measured = finding(month.first, "estimate", _METRIC), finding(month.amended, "model", _METRIC)
    if estimated is None or measured is None or estimated.value is None or measured.value is None:
        return None
    return estimated.value - measured.value


def _meets(month: Month) -> bool:
    estimated, measured = finding(month.first, "estimate", _METRIC), finding(month.amended, "model", _METRIC)
    ends = [one.interval for one in (estimated, measured) if one is not None and one.interval is not None]
    return len(ends) == 2 and ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]


def _retraining(months: Sequence[Month], said: Sequence[Said]) -> str:
    month = due(months)
    if month is None:
        return "Retraining was due in no month: the AUC was nowhere surely, and by enough, worse than in the reference."
    found = finding(month.amended, "model", _METRIC)
    assert found is not None  # `due` has found it
    again = [one.name for one in months if _drifts(finding(one.amended, "model", _METRIC))]
    lines = [
        f"Retraining was due in {month.name}, the first month in which the AUC was surely, and by {DEFAULTS.thresholds.quality:g} or more, worse than in the reference:",
        f"  {found.because}",
        f"It was so in {len(again)} of {len(months)} months: {', '.join(again)}.",
        *_alerts(said),
    ]
    return "\n".join(lines)


def _alerts(said: Sequence[Said]) -> Iterator[str]:
    """When a person would have heard of it."""
    told = [one for one in said if one.kind == "model_quality" and one.new]
    if told:
        rule = DEFAULTS.alerting
        yield f"A person hears of what shows in {rule.need} of {rule.of} months, as an alert that names what is new:"
    for one in told:
        yield f"  {words.moment(one.time).partition(',')[0]}  {', '.join(map(_subject, one.new))}"


def _subject(name: str) -> str:
    """What an alert is about, for people: "roc_auc", where notices have "model: roc_auc"."""
    area, _, subject = name.partition(": ")
    return f"estimated {subject}" if area == "estimate" else subject


def _drifts(found: Finding | None) -> bool:
    return found is not None and found.verdict == "drift"
