"""What the newest reports say, as gauges: written to `run/monitor.json` when a report is made, and told by every gateway's `/metrics`.

```
newest reports ─▶ gauges ─▶ run/monitor.json ─▶ gateways' /metrics
```

A scrape reads the file and computes nothing. A verdict is a number that grows with what it means, so that `> 2` is a rule for an alert:
0 stable, 1 insufficient, 2 error, 3 drift, 4 breach. A label's value is an endpoint, a column of its model or a metric, never what a
caller has sent; findings of segments, which are named by callers' values, stand in reports alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from fairlead.monitor.report import RANK, Finding, Report, Verdict

__all__ = ["FILE", "Gauge", "code_of", "gauges", "write_gauges"]

FILE: Final = "monitor.json"
"""Below the folder of what runs."""

_TEXTS: Final[Mapping[str, str]] = {
    "fairlead_drift_score": "How far a column is from its reference, in the unit of its test.",
    "fairlead_drift_adjusted_p": "The chance of such a difference without drift, adjusted for the number of questions.",
    "fairlead_drift_verdict": "0 stable, 1 too few data, 2 not measured, 3 drift, 4 a limit is crossed.",
    "fairlead_monitor_verdict": "Of the newest report: as fairlead_drift_verdict.",
    "fairlead_monitor_rows": "Predictions in the newest report's window.",
    "fairlead_label_coverage": "The share of the newest report's predictions whose label is known.",
    "fairlead_model_quality": "Metrics of model quality, by the newest report with enough labels.",
    "fairlead_slo_error_budget_remaining": "What is left of the error budget; below 0 it is overspent.",
    "fairlead_slo_target": "The share of requests that must be good.",
    "fairlead_slo_burn_rate": "How many times faster than allowed the error budget is spent.",
    "fairlead_report_timestamp_seconds": "When the newest report was made.",
}
_DRIFTING: Final = frozenset({"predictor", "prediction", "target", "concept", "missing"})
_BURN: Final = "burn rate "
_TESTS: Final = {"missing": "missing", "concept": "concept"}
"""What the label `test` says where a finding's measure is a phrase."""


_NOTHING: Final[Mapping[str, Iterable[Finding]]] = {}


class Gauge(msgspec.Struct, frozen=True):
    """One family.

    Attributes:
        name: Of the metric.
        text: What it is, for people.
        samples: Labels with values.
    """

    name: str
    text: str
    samples: tuple[tuple[dict[str, str], float], ...]


def code_of(verdict: Verdict) -> float:
    """A verdict as a number: the worse, the greater."""
    return float(RANK["stable"] - RANK[verdict])


def gauges(reports: Iterable[Report], burning: Mapping[str, Iterable[Finding]] = _NOTHING) -> list[Gauge]:
    """The gauges of the newest report of each endpoint. Pure.

    Args:
        reports: One for an endpoint; where an older one is the newest with enough labels, it stands before the newest, and its model
            quality is told.
        burning: The objectives as they are now, by endpoint; those of the reports where none are.
    """
    samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {name: {} for name in _TEXTS}
    for report in reports:
        for name, labels, value in _of_report(report):
            samples[name][tuple(labels.items())] = value
    for endpoint, findings in burning.items():
        for one in findings:
            for name, labels, value in _of_objective(one, {"endpoint": endpoint, "objective": one.subject}):
                samples[name][tuple(labels.items())] = value
    return [
        Gauge(name, text, tuple((dict(labels), value) for labels, value in samples[name].items()))
        for name, text in _TEXTS.items()
        if samples[name]
    ]


_Sample = tuple[str, dict[str, str], float]


def _of_report(report: Report) -> list[_Sample]:
    mine = {"endpoint": report.endpoint}
    found: list[_Sample] = [
        ("fairlead_monitor_verdict", mine, code_of(report.verdict)),
        ("fairlead_monitor_rows", mine, float(report.rows)),
        ("fairlead_label_coverage", mine, report.labels.coverage),
        ("fairlead_report_timestamp_seconds", mine, report.made),
    ]
    for one in report.findings:
        if not one.segment:
            found += _of_finding(one, mine)
    return found


def _of_finding(finding: Finding, mine: Mapping[str, str]) -> Sequence[_Sample]:
    if finding.area in _DRIFTING:
        return _of_drift(finding, {**mine, "feature": finding.subject})
    if finding.area == "model" and finding.value is not None and finding.verdict not in {"insufficient", "error"}:
        return [("fairlead_model_quality", {**mine, "metric": finding.subject}, finding.value)]
    if finding.area == "service":
        return _of_objective(finding, {**mine, "objective": finding.subject})
    return []


def _of_drift(finding: Finding, mine: Mapping[str, str]) -> list[_Sample]:
    labels = {**mine, "test": _TESTS.get(finding.area, finding.measure)}
    found = [("fairlead_drift_verdict", labels, code_of(finding.verdict))]
    if finding.effect is not None:
        found.append(("fairlead_drift_score", labels, finding.effect))
    if finding.adjusted is not None:
        found.append(("fairlead_drift_adjusted_p", labels, finding.adjusted))
    return found


def _of_objective(finding: Finding, mine: Mapping[str, str]) -> list[_Sample]:
    if finding.value is None:
        return []
    if finding.measure == "error budget":
        target = [
            ("fairlead_slo_target", {**mine}, one) for name, one in finding.further.items() if name == "objective"
        ]
        return [("fairlead_slo_error_budget_remaining", {**mine}, finding.value), *target]
    # A burn rate is told of a long window, with that of a short one beside it.
    rates = {finding.measure: finding.value, **finding.further}
    return [
        ("fairlead_slo_burn_rate", {**mine, "window": name.removeprefix(_BURN)}, rate)
        for name, rate in rates.items()
        if name.startswith(_BURN)
    ]


def write_gauges(run: Path, found: Sequence[Gauge]) -> None:
    """Replace the file; a full disk leaves the old one, whose timestamps then tell that it is old."""
    path = run / FILE
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        run.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh.write_bytes(msgspec.json.encode(list(found)))
        fresh.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
