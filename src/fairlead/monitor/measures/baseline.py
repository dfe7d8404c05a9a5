"""What model quality is held against: the author's figures, else those of the profile's calibrations, or a window of the past.

```
bundle.metadata.metrics ─▶ given ────────┐
profile.calibrations ────▶ of_profile ───┼─▶ first_of ─▶ Baseline ─▶ performance
Labelled of the past ────▶ of_labelled ──┘
```

Figures without a number of rows are taken as exact. A calibration knows each score to its bin only; within one, what is
measured of a profile takes the scores to lie as their mean says, and the truth to rise as the calibrated curve does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from fairlead.monitor.measures.labelled import Known, Labelled, known
from fairlead.monitor.measures.metric import Measured, Outcomes, canonical, measure_classes, measure_numbers, metric_of
from fairlead.profiles.profile import Calibration, NumberCounts, Profile
from fairlead.stats.calibration import Curve, fitted
from fairlead.stats.estimates import Estimate, Numbers, averaged, exactly, from_influence
from fairlead.stats.interval import Interval
from fairlead.stats.ranking import roc_auc
from fairlead.stats.residuals import root_mean_square

__all__ = ["NOTHING", "Baseline", "binned", "first_of", "given", "measured", "memorised", "of_labelled", "of_profile"]


class Baseline(msgspec.Struct, frozen=True):
    """Model quality as it was.

    Attributes:
        values: By the metric's name.
        texts: Where each comes from, for people: "the author's".
        trained: Those that were measured on the rows the model was trained on. They flatter it, the more the better it can learn by heart, so
            measured quality is told beside them and not judged by them.
    """

    values: Mapping[str, Estimate] = {}
    texts: Mapping[str, str] = {}
    trained: frozenset[str] = frozenset()


NOTHING = Baseline()
_FAULTLESS: Final = 0.9999
_FLATTERING: Final = 0.05
_PARTS: Final = 8
_NARROW: Final = 1e-6
"""A bin that is narrower holds one score."""


def given(metrics: Mapping[str, Any], *, binary: bool = True) -> Baseline:
    """The figures that stand in a bundle's metadata, as far as they are ours by name.

    Figures that packing measured on the training table are left aside: they flatter a model, and every later window would be worse.

    Args:
        metrics: By the author's names.
        binary: As for `canonical`.
    """
    values: dict[str, Estimate] = {}
    for name, value in metrics.items():
        ours = canonical(name, binary=binary)
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if ours is not None and number and not name.endswith("(training table)"):
            values.setdefault(ours, exactly(float(value)))
    return _named(values, "the author's figure")


def of_labelled(labelled: Labelled, text: str) -> Baseline:
    """The quality of a window of the past.

    Args:
        labelled: Its rows.
        text: For people: "the week before".
    """
    return _named(_known_values(measured(labelled)), text)


def measured(labelled: Labelled, rows: Known | None = None) -> Measured:
    """Every metric of rows with labels.

    Args:
        labelled: The rows.
        rows: The same, sorted out, where they are already.
    """
    rows = rows or known(labelled)
    if not labelled.classes:
        return measure_numbers(rows.truth, rows.said)
    return measure_classes(
        Outcomes(
            labelled.classes,
            rows.said,
            rows.scores,
            lambda place: (rows.truth == place).astype(np.float64),
            np.ones(len(rows.truth)),
        )
    )


def memorised(profile: Profile, classes: tuple[str, ...]) -> bool:
    """Whether the scores tell the truth of the reference's own rows without fault, as those of a forest do on the rows it has learnt by heart.

    Such calibrations promise of other rows what nobody can keep.
    """
    found = _told(profile, classes)
    area = found.get("roc_auc") or found.get("macro_roc_auc")
    return area is not None and area.value >= _FAULTLESS


def of_profile(profile: Profile, classes: tuple[str, ...], text: str, *, held_out: bool = False) -> Baseline:
    """The quality that the calibrations tell; nothing where they are `memorised`.

    Args:
        profile: Of the reference.
        classes: Of the model, the second of two is positive; empty for regression.
        text: For people: "its training data".
        held_out: Whether the profile is of rows that the model was not trained on: then they do not flatter it.
    """
    if held_out:
        return _named(_told(profile, classes), text)
    found = {} if memorised(profile, classes) else _told(profile, classes)
    return msgspec.structs.replace(_named(found, text), trained=frozenset(found))


def _told(profile: Profile, classes: tuple[str, ...]) -> dict[str, Estimate]:
    found = {one.of: one for one in profile.calibrations if sum(one.counts)}
    if not classes:
        return _of_numbers(found[""], profile) if "" in found else {}
    return _of_two(classes, found) if len(classes) == 2 else _of_many(classes, found)


def first_of(*baselines: Baseline) -> Baseline:
    """For each metric the first that knows it.

    One that is much better than an earlier one where both know a metric is left aside: an author's figures of fresh rows have shown that those of the
    training rows flatter the model.
    """
    values: dict[str, Estimate] = {}
    texts: dict[str, str] = {}
    trained: set[str] = set()
    for one in baselines:
        if _flatters(one, values):
            continue
        fresh = one.values.keys() - values.keys()
        trained |= fresh & one.trained
        values |= {name: one.values[name] for name in fresh}
        texts |= {name: one.texts[name] for name in fresh}
    return Baseline(values, texts, frozenset(trained))


def _flatters(one: Baseline, known: Mapping[str, Estimate]) -> bool:
    """Whether any metric is better than it is known to be, by as much as a loss that counts by default."""
    for name in known.keys() & one.values.keys():
        metric, former, value = metric_of(name), known[name].value, one.values[name].value
        better = former - value if metric.better == "low" else value - former
        if metric.better != "zero" and better > _FLATTERING * (abs(former) if metric.relative else 1.0):
            return True
    return False


def binned(calibration: Calibration) -> tuple[Numbers, Numbers, Numbers]:
    """Mean score, share of outcomes and rows of each bin that has rows, rising by score."""
    counts = np.array(calibration.counts, np.float64)
    kept = counts > 0
    weights = counts[kept]
    scores = np.array(calibration.scores, np.float64)[kept] / weights
    return scores, np.array(calibration.outcomes, np.float64)[kept] / weights, weights


def _refined(calibration: Calibration) -> tuple[Numbers, Numbers, Numbers]:
    """The bins in parts, so that few of them do: scores as their mean says within each, outcomes as the calibrated curve rises.

    One half is an end of parts, because on its sides the model says different things.
    """
    scores, truth, weights = binned(calibration)
    curve, ends = fitted(scores, truth, weights), calibration.grid.edges()
    places = np.flatnonzero(np.array(calibration.counts))
    found = [
        _parts(curve, (ends[place - 1], ends[place]), (score, share, rows))
        if 0 < place < len(ends) and ends[place] - ends[place - 1] > _NARROW
        else np.array([[score], [share], [rows]])
        for place, score, share, rows in zip(places, scores, truth, weights, strict=True)
    ]
    parts = np.concatenate(found, axis=1)
    at, shares, rows = parts[:, parts[2] > 0]  # where a bin's mean is near its end, its other end has no rows
    return at, shares, rows


def _parts(curve: Curve, ends: tuple[float, float], told: tuple[float, float, float]) -> NDArray[np.float64]:
    """Scores, shares of outcomes and rows of the parts of one bin; their rows and outcomes are those of the bin."""
    score, share, rows = told
    cuts = np.unique(np.clip([*np.linspace(*ends, _PARTS + 1), 0.5], *ends))
    middles, widths = (cuts[1:] + cuts[:-1]) / 2, np.diff(cuts) / (ends[1] - ends[0])
    centre = float(widths @ middles)
    spread = float(widths @ (middles - centre) ** 2)
    parts = np.clip(widths * (1 + (score - centre) / spread * (middles - centre)), 0.0, None)
    parts /= parts.sum()
    shares = curve(middles)
    return np.array([middles, np.clip(shares + share - parts @ shares, 0.0, 1.0), rows * parts])


def _named(values: Mapping[str, Estimate], text: str) -> Baseline:
    return Baseline(values, dict.fromkeys(values, text))


def _known_values(values: Measured) -> dict[str, Estimate]:
    return {name: one for name, one in values.items() if one is not None and math.isfinite(one.value)}


def _of_two(classes: tuple[str, ...], found: Mapping[str, Calibration]) -> dict[str, Estimate]:
    """Of two classes one score says all; the class with the higher one is what the model says."""
    name = next((one for one in classes[::-1] if one in found), None)
    if name is None:
        return {}
    scores, truth, weights = _refined(found[name])
    if name == classes[0]:
        scores, truth = 1 - scores, 1 - truth
    truths = (1 - truth, truth)
    said = (scores > 0.5).astype(np.int64)
    rows = Outcomes(classes, said, (1 - scores, scores), lambda place: truths[place], weights)
    return _known_values(measure_classes(rows))


def _of_many(classes: tuple[str, ...], found: Mapping[str, Calibration]) -> dict[str, Estimate]:
    """The area of each class and their mean; which class a row was called does not stand in the bins."""
    areas: dict[str, Estimate] = {}
    for one in classes:
        if one in found:
            scores, truth, weights = _refined(found[one])
            area = roc_auc(truth, scores, weights)
            if area is not None:
                areas[f"roc_auc of {one}"] = area
    if len(areas) < len(classes):
        return areas
    value, error = (
        sum(parts) / len(areas) for parts in zip(*((a.value, a.error) for a in areas.values()), strict=True)
    )
    # The classes' areas rest on the same rows; their errors may be one and the same, and cannot be more.
    rows = next(iter(areas.values())).n
    return {**areas, "macro_roc_auc": from_influence(value, error**2, rows, "logit")}


def _of_numbers(calibration: Calibration, profile: Profile) -> dict[str, Estimate]:
    """Mean absolute error, root mean square and, where the target's spread is known, R²."""
    counts = np.array(calibration.counts, np.float64)
    kept = counts > 0
    weights = counts[kept]
    first = np.array(calibration.outcomes, np.float64)[kept] / weights
    second = np.array(calibration.squares, np.float64)[kept] / weights
    found: Measured = {"mae": averaged(first, weights, second)}
    # The fourth power is not counted: for normal errors E e⁴ is 3 (E e²)² in each bin.
    found["rmse"] = root_mean_square(averaged(second, weights, 3 * second**2))
    target = next((one for one in profile.features if one.role == "target"), None)
    if isinstance(target, NumberCounts) and target.moments.deviation > 0:
        found["r2"] = _explained(float(weights @ second / weights.sum()), target.moments.deviation**2, weights.sum())
    return _known_values(found)


def _explained(squares: float, variance: float, n: float) -> Estimate:
    """R² of a mean square and a variance; for normal errors the ratio's relative error is about 2/√n, a cautious figure."""
    ratio = from_influence(squares / variance, (2 * squares / variance) ** 2 / n, n, "log")
    return Estimate(1 - ratio.value, ratio.error, Interval(1 - ratio.interval.high, 1 - ratio.interval.low), round(n))
