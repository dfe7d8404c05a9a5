"""A report in the words and charts of the page: plain data, decided here, so that the template only lays out.

How much is told in full is a `Detail`: three hundred columns get fewer pictures than ten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from fairlead.monitor import words
from fairlead.monitor.page import charts
from fairlead.monitor.report import AREAS, RANK, Area, Finding, Report, Verdict

__all__ = ["Card", "Detail", "Line", "Section", "View", "view"]

_WINDOWS = 24
"""Of earlier reports so many are drawn."""

_FEW = 6
"""So many stable findings of an area are shown unfolded."""

_FURTHER = 6


class Detail(msgspec.Struct, frozen=True):
    """How much of a report is told.

    Attributes:
        cards: So many findings stand out, with their charts.
        told: So many of an area's findings that are not stable are told in a sentence.
        stable: So many of an area's stable findings have a line.
        notes: So many notes.
        letters: The longest sentence.
    """

    cards: int
    told: int
    stable: int
    notes: int
    letters: int


class Card(msgspec.Struct, frozen=True):
    """A finding that stands out.

    Attributes:
        number: By which its line leads here.
        verdict: For its colour.
        area: What it belongs to, in words.
        subject: The column, or whatever it is about.
        segment: The part of the traffic; empty for all.
        sentence: What was found.
        facts: Names and values.
        bars: Two histograms of numbers, where there are any.
        levels: Two histograms of names, where there are any.
        measure: What the line through earlier reports shows.
        spark: That line, where there are earlier reports.
    """

    number: int
    verdict: Verdict
    area: str
    subject: str
    segment: str
    sentence: str
    facts: tuple[tuple[str, str], ...]
    bars: charts.Bars | None
    levels: charts.Levels | None
    measure: str
    spark: charts.Spark | None


class Line(msgspec.Struct, frozen=True):
    """A finding as a line of a table: words only; `card` is the number of its card, 0 where it has none."""

    verdict: Verdict
    subject: str
    segment: str
    measure: str
    sentence: str
    value: str
    reference: str
    effect: str
    p: str
    n: str
    card: int


class Section(msgspec.Struct, frozen=True):
    """An area.

    Attributes:
        area: Its name for machines, the anchor.
        name: Its name for people.
        counts: How many findings there are of each verdict, the worst first.
        told: Those that are not stable.
        more: How many more there are of these.
        stable: Those that are.
        more_stable: How many more there are of these.
        folded: Whether there are so many stable ones that they are folded.
    """

    area: Area
    name: str
    counts: tuple[tuple[Verdict, int], ...]
    told: tuple[Line, ...]
    more: int
    stable: tuple[Line, ...]
    more_stable: int
    folded: bool


class View(msgspec.Struct, frozen=True):
    """The page.

    Attributes:
        title: What it is about.
        thing: What was looked at, "window" or "table".
        headline: What it comes to.
        verdict: Of all together, for its colour.
        overall: The same in words.
        facts: Of the window: names and values.
        made: When the report was made, for machines.
        cards: What stands out, the worst first.
        more: How many more would.
        sections: In the order of `AREAS`.
        drifted: The share of inputs that drift in this and earlier windows.
        notes: What was odd about the data.
        more_notes: How many more there are.
        effects: The names of effects that occur.
    """

    title: str
    thing: str
    headline: str
    verdict: Verdict
    overall: str
    facts: tuple[tuple[str, str], ...]
    made: str
    cards: tuple[Card, ...]
    more: int
    sections: tuple[Section, ...]
    drifted: charts.Spark | None
    notes: tuple[str, ...]
    more_notes: int
    effects: frozenset[str]


def view(report: Report, trend: Sequence[Report], detail: Detail) -> View:
    """What the page tells.

    Args:
        report: The report.
        trend: Others of the same endpoint, in any order; those of later windows, and what was amended, are left out.
        detail: How much of it.
    """
    before = _earlier(report, trend)
    worst = words.worst_first(report)
    out = [one for one in worst if one.verdict in {"breach", "drift", "error"}]
    numbers = {id(one): number for number, one in enumerate(out[: detail.cards], 1)}
    past = [_keyed(one) for one in before]
    return View(
        title=words.title(report),
        thing="window" if report.window else "table",
        headline=words.headline(report),
        verdict=words.overall(report)[0],
        overall=words.overall(report)[1],
        facts=_facts(report),
        made=_machine_time(report.made),
        cards=tuple(_card(one, numbers[id(one)], before, past, report, detail) for one in out[: detail.cards]),
        more=max(0, len(out) - detail.cards),
        sections=tuple(found for area in AREAS if (found := _section(area, worst, numbers, detail))),
        drifted=_drifted(report, before),
        notes=tuple(words.clean(one, detail.letters) for one in report.notes[: detail.notes]),
        more_notes=max(0, len(report.notes) - detail.notes),
        effects=frozenset(one.effect_name for one in report.findings if one.effect is not None),
    )


def _facts(report: Report) -> tuple[tuple[str, str], ...]:
    against = words.clean(report.reference.text, 120) or "nothing"
    rows = f" ({words.plural(report.reference.rows, 'row')})" if report.reference.rows else ""
    models = ", ".join(words.clean(one, 80) for one in report.models[:5]) or "none"
    more = f" and {len(report.models) - 5} more" if len(report.models) > 5 else ""
    facts = [("Compared with", against + rows), ("Predictions" if report.endpoint else "Rows", f"{report.rows:,}")]
    facts += [("Models", models + more)] if report.endpoint else []
    if report.window:
        facts = [("Window", words.bounds(report.window)), *facts]
    facts += [("Labels", _labels(report))] if report.endpoint or report.labels.count else []
    if report.drifted is not None:
        facts.append(("Inputs that drift", f"{words.percent(report.drifted)} of those that could be judged"))
    amends = f", instead of {report.amends}" if report.amends else ""
    number = f"No. {report.number}{amends}, " if report.number else ""
    return (*facts, ("Report", f"{number}made {words.moment(report.made)}"))


def _labels(report: Report) -> str:
    odd = [
        f"{words.plural(count, 'label')} {text}"
        for count, text in (
            (report.labels.unknown, "of unknown predictions"),
            (report.labels.corrected, "given more than once"),
        )
        if count
    ]
    return "; ".join([words.labels(report), *odd])


def _machine_time(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return ""


# -- what stands out ---------------------------------------------------------------------------------------------------


def _card(  # noqa: PLR0913, PLR0917 - the finding, and what its past is looked up in
    finding: Finding,
    number: int,
    before: Sequence[Report],
    past: Sequence[Mapping[tuple[str, ...], Finding]],
    report: Report,
    detail: Detail,
) -> Card:
    picture = finding.picture
    return Card(
        number=number,
        verdict=finding.verdict,
        area=AREAS[finding.area],
        subject=words.clean(finding.subject),
        segment=words.clean(finding.segment),
        sentence=words.clean(finding.because, detail.letters),
        facts=_measures(finding),
        bars=charts.bars(picture) if picture and picture.kind == "numbers" else None,
        levels=charts.levels(picture) if picture and picture.kind == "names" else None,
        measure=words.clean(_trended(finding), 40),
        spark=_course(finding, before, past, report),
    )


def _measures(finding: Finding) -> tuple[tuple[str, str], ...]:
    """The numbers that decide, as far as there are any."""
    facts = []
    if finding.value is not None and not _is_effect(finding):
        facts.append((_measure(finding), words.measured(finding.value, finding.unit)))
    if finding.reference is not None:
        facts.append(("Reference or limit", words.measured(finding.reference, finding.unit)))
    if finding.effect is not None:
        facts.append(
            (
                f"Effect, {words.clean(finding.effect_name, 12)}" if finding.effect_name else "Effect",
                words.number(finding.effect),
            )
        )
    if finding.interval is not None:
        low, high = (words.measured(one, finding.unit) for one in finding.interval)
        facts.append(("95 % interval", f"{low} to {high}"))
    if finding.adjusted is not None or finding.p is not None:
        told = "p, adjusted" if finding.adjusted is not None else "p"
        facts.append((told, words.p_value(finding.p if finding.adjusted is None else finding.adjusted)))
    facts += [(name, f"{n:,}") for name, n in (("n", finding.n), ("n of the reference", finding.n_reference)) if n]
    further = list(finding.further.items())[:_FURTHER]
    return tuple(facts + [(words.clean(name, 40), words.number(value)) for name, value in further])


def _is_effect(finding: Finding) -> bool:
    """Whether the value says again what the effect says."""
    return bool(finding.effect_name) and finding.value == finding.effect


def _measure(finding: Finding) -> str:
    told = words.MEASURES.get(finding.measure, words.clean(finding.measure, 40))
    return told[:1].upper() + told[1:]


# -- areas -------------------------------------------------------------------------------------------------------------


def _section(area: Area, worst: Sequence[Finding], numbers: Mapping[int, int], detail: Detail) -> Section | None:
    found = [one for one in worst if one.area == area]
    if not found:
        return None
    told = [one for one in found if one.verdict != "stable"]
    stable = [one for one in found if one.verdict == "stable"]
    counts = [
        (verdict, sum(one.verdict == verdict for one in found)) for verdict in sorted(RANK, key=lambda v: RANK[v])
    ]
    return Section(
        area=area,
        name=AREAS[area],
        counts=tuple((verdict, count) for verdict, count in counts if count),
        told=tuple(_line(one, numbers.get(id(one), 0), detail) for one in told[: detail.told]),
        more=max(0, len(told) - detail.told),
        stable=tuple(_line(one, 0, detail) for one in stable[: detail.stable]),
        more_stable=max(0, len(stable) - detail.stable),
        folded=len(stable) > _FEW,
    )


def _line(finding: Finding, card: int, detail: Detail) -> Line:
    p = finding.p if finding.adjusted is None else finding.adjusted
    return Line(
        verdict=finding.verdict,
        subject=words.clean(finding.subject, 40),
        segment=words.clean(finding.segment, 40),
        measure=words.MEASURES.get(finding.measure, words.clean(finding.measure, 40)),
        sentence=words.clean(finding.because, detail.letters),
        value=words.measured(finding.value, finding.unit),
        reference=words.measured(finding.reference, finding.unit),
        effect=words.effect(finding),
        p=words.p_value(p),
        n=f"{finding.n:,}" if finding.n else "—",
        card=card,
    )


# -- earlier reports ---------------------------------------------------------------------------------------------------


def _earlier(report: Report, trend: Sequence[Report]) -> list[Report]:
    """Those of earlier windows, one a window: the last made, as it stands instead of the others."""
    if report.window is None:
        return []
    latest: dict[tuple[float, float], Report] = {}
    for one in sorted(trend, key=lambda one: (one.made, one.number)):
        if one.endpoint == report.endpoint and one.window and one.window.end < report.window.end:
            latest[one.window.start, one.window.end] = one
    return [latest[key] for key in sorted(latest)][-_WINDOWS:]


def _keyed(report: Report) -> dict[tuple[str, ...], Finding]:
    return {_key(one): one for one in report.findings}


def _key(finding: Finding) -> tuple[str, ...]:
    return (finding.area, finding.subject, finding.measure, finding.segment)


def _trended(finding: Finding) -> str:
    """What of a finding is followed over time: its value where it has one, else its effect."""
    if finding.value is not None and not _is_effect(finding):
        return _measure(finding)
    return finding.effect_name or "Effect"


def _course(
    finding: Finding,
    before: Sequence[Report],
    past: Sequence[Mapping[tuple[str, ...], Finding]],
    report: Report,
) -> charts.Spark | None:
    key = _key(finding)
    found = [(one, keyed[key]) for one, keyed in zip(before, past, strict=True) if key in keyed]
    points = []
    for of, one in [*found, (report, finding)]:
        value, unit = (one.value, one.unit) if finding.value is not None else (one.effect, "")
        if value is not None and math.isfinite(value) and of.window:
            points.append((words.span(of.window), value, words.measured(value, unit)))
    return charts.spark(points)


def _drifted(report: Report, before: Sequence[Report]) -> charts.Spark | None:
    points = [
        (words.span(one.window), one.drifted, words.percent(one.drifted))
        for one in [*before, report]
        if one.window and one.drifted is not None
    ]
    return charts.spark(points)
