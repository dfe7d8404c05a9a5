"""Model quality on rows with a label, held against how it was.

A metric drifts when it is *worse* than the baseline by as much as the setting says, and surely. Being better is no drift. Under so many labels, or
such a share of answers with a label, as the settings want, nothing is said: whose label comes first is seldom a fair sample.

```
Labelled ─▶ measured ─┐
Baseline ─────────────┴─▶ compared ─▶ Test, a metric each ─▶ verdicts
```
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
from scipy.special import ndtr, ndtri

from fairlead.monitor.measures.baseline import Baseline, measured
from fairlead.monitor.measures.labelled import Known, Labelled, known
from fairlead.monitor.measures.metric import Metric, metric_of
from fairlead.monitor.report import Area, Finding
from fairlead.monitor.settings import Settings
from fairlead.monitor.verdicts import Test
from fairlead.monitor.words import clean, number, percent, plural
from fairlead.stats.estimates import Estimate

__all__ = ["compared", "confusion", "performance", "too_few_labels", "withheld"]

_CLASSES_IN_CONFUSION = 20
_UNJUDGED = "not judged by them, but by figures of fresh rows where the bundle has any, or by a past window"


def performance(labelled: Labelled, baseline: Baseline, settings: Settings, segment: str = "") -> list[Test]:
    """Every metric of a window. Raises nothing for what the rows hold.

    Args:
        labelled: The window's answers.
        baseline: How it was; a metric that it does not know is told and not judged.
        settings: From when on a loss counts.
        segment: The part of the traffic.
    """
    rows = known(labelled)
    found = _odd(rows)
    few = too_few_labels(rows.labels, rows.rows, settings)
    if not len(rows.truth):
        reason = few or "no label can be used"
        return [Test(one) for one in _in_segment([*found, _open("labels", "labels", reason, rows)], segment)]
    tests = [Test(one) for one in _in_segment(found, segment)]
    about = f"on {plural(len(rows.truth), 'label')}"
    for name, value in measured(labelled, rows).items():
        zeros = int((rows.truth == 0).sum()) if name == "mape" else 0
        told = f"{about}, of which {zeros:,} with a truth of 0 are left out" if zeros else about
        test = compared("model", name, value, baseline, settings=settings, about=told)
        tests.append(withheld(test, few) if few else test)
    if labelled.classes:
        tests.append(Test(confusion(rows, labelled.classes)))
    return [_segmented(one, segment) for one in tests]


def compared(  # noqa: PLR0913 - a metric, what it is held against, and how it is told
    area: Area, name: str, value: Estimate | None, baseline: Baseline, *, settings: Settings, about: str
) -> Test:
    """One metric against how it was: z = loss/√(error² + error²), one-sided.

    Args:
        area: "model" where it was measured, "estimate" where not.
        name: The metric's.
        value: As it is; `None` where the rows do not allow it.
        baseline: How it was.
        settings: From when on a loss counts, and the false discovery rate.
        about: On what it rests, for people: "on 812 labels".
    """
    metric = metric_of(name)
    measure = "estimated" if area == "estimate" else "measured"
    if value is None or not math.isfinite(value.value):
        because = f"{metric.text} cannot be told {about}: it needs {metric.needs}."
        return Test(Finding(area=area, subject=name, measure=measure, verdict="insufficient", because=because))
    finding = Finding(
        area=area,
        subject=name,
        measure=measure,
        verdict="stable",
        because=f"{_said(metric, value)} {about}",
        value=value.value,
        interval=(value.interval.low, value.interval.high),
        n=value.n,
    )
    former = baseline.values.get(name)
    return Test(finding) if former is None else _judged(finding, value, former, baseline, settings)


def too_few_labels(labels: int, rows: int, settings: Settings) -> str:
    """Why a window's labels do not suffice, as a clause; empty where they do."""
    limits = settings.thresholds
    if labels < limits.labels:
        return f"{labels:,} of {rows:,} answers have a label, and {limits.labels:,} labels are needed"
    if labels < limits.coverage * rows:
        return f"{percent(labels / rows)} of {rows:,} answers have a label, and {percent(limits.coverage)} are needed"
    return ""


def confusion(rows: Known, classes: tuple[str, ...]) -> Finding:
    """How often each class was said of each class; shares of what was true in `further`."""
    pairs = rows.truth * len(classes) + rows.said
    counts = np.bincount(pairs[rows.said >= 0].astype(np.int64), minlength=len(classes) ** 2)
    table = counts.reshape(len(classes), len(classes))
    wrong = int(table.sum() - np.trace(table)) + int((rows.said < 0).sum())
    shown = range(min(len(classes), _CLASSES_IN_CONFUSION))
    further = {f"{classes[a]} → {classes[b]}": float(table[a, b]) for a in shown for b in shown if table[a, b]}
    because = f"{wrong:,} of {len(rows.truth):,} labelled answers were wrong"
    if wrong and (table - np.diag(np.diag(table))).any():
        off = table - np.diag(np.diag(table))
        was, said = np.unravel_index(int(off.argmax()), off.shape)
        named = f'"{clean(classes[said])}" for "{clean(classes[was])}"'
        because += f", most often {named} ({int(off.max()):,})"
    return Finding(
        area="model",
        subject="confusion",
        measure="true → said",
        verdict="stable",
        because=f"{because}.",
        value=float(wrong),
        n=len(rows.truth),
        further=further,
    )


def _judged(finding: Finding, value: Estimate, former: Estimate, baseline: Baseline, settings: Settings) -> Test:
    metric, text = metric_of(finding.subject), baseline.texts[finding.subject]
    because = f"{finding.because}; {text}: {number(former.value)}"
    changed = msgspec.structs.replace(
        finding, because=because, reference=former.value, n_reference=former.n, effect_name="Δ"
    )
    if finding.area == "model" and finding.subject in baseline.trained:
        return Test(msgspec.structs.replace(changed, because=f"{because}, on rows it has learnt from; {_UNJUDGED}"))
    loss = _loss(metric, value, former, baseline.values)
    if loss is None:
        return Test(changed)
    size, error = loss
    statistic = size / error if error > 0 else math.copysign(math.inf, size)
    p = float(ndtr(-statistic)) if size else 0.5
    if metric.better == "zero":
        p = min(2 * p, 1.0)
    limit = settings.thresholds.quality
    reach = error * float(ndtri(1 - settings.thresholds.q)) < limit
    told = msgspec.structs.replace(
        changed,
        statistic=statistic if math.isfinite(statistic) else None,
        p=p,
        effect=size,
        because=_told(changed, metric, size),
    )
    return Test(told, limit, reach)


def _loss(
    metric: Metric, value: Estimate, former: Estimate, values: Mapping[str, Estimate]
) -> tuple[float, float] | None:
    """How much worse it is, and the error of that; `None` where a share of nothing would have to be taken.

    The error of a ratio by the delta method. A mean error has moved by so much of the mean absolute error.
    """
    error = math.hypot(value.error, former.error)
    if metric.better == "zero":
        scale = values.get("mae")
        if scale is None or scale.value <= 0:
            return None
        return abs(value.value - former.value) / scale.value, error / scale.value
    worse = value.value - former.value if metric.better == "low" else former.value - value.value
    if not metric.relative:
        return worse, error
    if former.value <= 0:
        return None
    return worse / former.value, math.hypot(value.error, value.value / former.value * former.error) / former.value


def _told(finding: Finding, metric: Metric, size: float) -> str:
    if metric.better == "zero":
        return f"{finding.because}, moved by {percent(abs(size))} of the mean absolute error"
    how = "worse" if size > 0 else "better"
    amount = percent(abs(size)) if metric.relative else number(abs(size))
    return f"{finding.because}, so it is {amount} {how}" if size else f"{finding.because}, the same"


def _said(metric: Metric, value: Estimate) -> str:
    low, high = number(value.interval.low), number(value.interval.high)
    return f"{metric.text} is {number(value.value)} ({low} to {high})"


def withheld(test: Test, few: str) -> Test:
    """What is measured on too few rows is told and not judged.

    Args:
        test: As it would be judged.
        few: Why it is not, as a clause.
    """
    found = test.finding
    if found.verdict != "stable":
        return test
    told = msgspec.structs.replace(found, verdict="insufficient", because=f"{found.because}; {few}.", p=None)
    return Test(told, test.limit, reachable=False)


def _odd(rows: Known) -> list[Finding]:
    return [
        Finding(
            area="model",
            subject="labels",
            measure="left out",
            verdict="error",
            because=f"{one}: left out.",
            n=rows.labels,
        )
        for one in rows.odd
    ]


def _open(subject: str, measure: str, reason: str, rows: Known) -> Finding:
    return Finding(
        area="model",
        subject=subject,
        measure=measure,
        verdict="insufficient",
        because=f"Model quality cannot be measured: {reason}.",
        n=rows.labels,
    )


def _in_segment(findings: list[Finding], segment: str) -> list[Finding]:
    return [msgspec.structs.replace(one, segment=segment) for one in findings]


def _segmented(test: Test, segment: str) -> Test:
    return msgspec.structs.replace(test, finding=msgspec.structs.replace(test.finding, segment=segment))
