"""Model quality while labels are missing, from what the model's scores meant when labels were there.

Classification, confidence-based: the profile says how often a score of 0.7 proved right. Each answer of the window then has a calibrated
probability of each class, and every metric its expected value (`stats/estimates.py`: a truth that is a probability). Regression, direct: the profile
says how large the error was around a predicted number.

```
profile.calibrations ─▶ curves ─┐
scores of the window ───────────┴─▶ Outcomes ─▶ measure ─▶ Test
```

Both see that harder rows come. Neither sees that the same rows now end otherwise: **they assume that there is no concept drift**, and each
finding says so. Source of the confidence-based estimate: Garg et al., "Leveraging unlabeled data to predict out-of-distribution performance",
ICLR 2022, and NannyML's documentation, which calls it CBPE.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from fairlead.monitor.measures.baseline import Baseline, binned, memorised, of_profile
from fairlead.monitor.measures.labelled import Floats, Labelled, class_positions, score_table
from fairlead.monitor.measures.metric import Measured, Outcomes, measure_classes
from fairlead.monitor.measures.performance import compared, withheld
from fairlead.monitor.report import Finding
from fairlead.monitor.settings import Settings
from fairlead.monitor.verdicts import Test
from fairlead.monitor.words import percent, plural
from fairlead.profiles.profile import Calibration, Profile
from fairlead.stats.calibration import fitted
from fairlead.stats.estimates import averaged, from_influence

__all__ = ["ASSUMES", "calibrated", "estimate", "estimated"]

ASSUMES: Final = "if scores still mean what they meant in the reference (no concept drift)"
_MOST_CLASSES: Final = 50


def estimate(
    labelled: Labelled, reference: Profile, settings: Settings, *, baseline: Baseline | None = None, segment: str = ""
) -> list[Test]:
    """Estimated quality of a window, whether or not its labels are there. Raises nothing for what the rows hold.

    Args:
        labelled: The window's answers; their labels are not looked at.
        reference: The profile whose calibrations are believed.
        settings: From when on a loss counts.
        baseline: How it was; what the same calibrations say of the reference itself where it is `None`.
        segment: The part of the traffic.
    """
    reason = _impossible(labelled, reference, settings)
    if reason:
        finding = Finding(
            area="estimate",
            subject="quality",
            measure="estimated",
            verdict="insufficient",
            because=f"Quality cannot be estimated: {reason}.",
            n=labelled.rows,
            segment=segment,
        )
        return [Test(finding)]
    former = baseline or of_profile(reference, labelled.classes, "estimated for the reference")
    about = f"by estimate on {plural(labelled.rows, 'answer')}, {_beyond(labelled, reference)}{ASSUMES}"
    found = estimated(labelled, reference)
    tests = [compared("estimate", name, value, former, settings=settings, about=about) for name, value in found.items()]
    if labelled.rows < settings.thresholds.labels:
        few = f"{settings.thresholds.labels:,} answers are needed"
        tests = [withheld(one, few) for one in tests]
    return [
        msgspec.structs.replace(one, finding=msgspec.structs.replace(one.finding, segment=segment)) for one in tests
    ]


def estimated(labelled: Labelled, reference: Profile) -> Measured:
    """Every metric that can be expected from scores alone; empty where the profile or the rows have none."""
    curves = {one.of: one for one in reference.calibrations if sum(one.counts)}
    if not labelled.classes:
        return _errors(labelled.numbers, curves[""]) if "" in curves else {}
    scores = score_table(labelled)
    if not scores or len(labelled.classes) > _MOST_CLASSES:
        return {}
    usable = np.all([np.isfinite(one) for one in scores], axis=0)
    scores = tuple(one[usable] for one in scores)
    truths = _truths(scores, labelled.classes, curves)
    if truths is None or not usable.any():
        return {}
    said = class_positions(labelled.predictions, labelled.classes)[usable]
    return measure_classes(Outcomes(labelled.classes, said, scores, lambda place: truths[place], np.ones(len(said))))


def calibrated(calibration: Calibration, scores: Floats) -> Floats:
    """What the scores have meant, as far as the bins tell (`stats/calibration.py`)."""
    return fitted(*binned(calibration))(scores)


def _truths(
    scores: tuple[Floats, ...], classes: tuple[str, ...], curves: dict[str, Calibration]
) -> tuple[Floats, ...] | None:
    """The calibrated probability of each class; of two, one curve is enough, of more they are made to add up to 1."""
    if len(classes) == 2:
        place = next((place for place in (1, 0) if classes[place] in curves), None)
        if place is None:
            return None
        one = calibrated(curves[classes[place]], scores[place])
        return (1 - one, one) if place == 1 else (one, 1 - one)
    if any(one not in curves for one in classes):
        return None
    found = np.array([calibrated(curves[name], one) for name, one in zip(classes, scores, strict=True)])
    total = found.sum(axis=0)
    return tuple(np.where(total > 0, found / np.where(total > 0, total, 1.0), np.array(scores)))


def _errors(said: Floats, calibration: Calibration) -> Measured:
    """Mean absolute error and root mean square, from the mean errors around each predicted number.

    Variance: of the window's rows between and within bins, plus what the reference did not know of each bin. The fourth power of errors is not
    counted; as for normal errors it is taken as three times the square of the second.
    """
    said = said[np.isfinite(said)]
    ends = calibration.grid.edges()
    counts = np.array(calibration.counts, np.float64)
    first, second = (_filled(np.array(one, np.float64), counts) for one in (calibration.outcomes, calibration.squares))
    rows = np.bincount(np.searchsorted(ends, said), minlength=len(counts)).astype(np.float64)
    if len(said) < 2:
        return {"mae": None, "rmse": None}
    known, shares = np.maximum(counts, 1.0), rows / len(said)
    found: Measured = {}
    for name, mean, square in (("mae", first, second), ("rmse", second, 3 * second**2)):
        window = averaged(mean, rows, square)
        assert window is not None  # there are two rows
        reference = float(np.sum(shares**2 * np.maximum(square - mean**2, 0.0) / known))
        value, variance = window.value, window.error**2 + reference
        if name == "rmse":
            value = float(np.sqrt(window.value))
            variance = variance / (4 * window.value) if window.value > 0 else 0.0
        found[name] = from_influence(value, variance, len(said), "log")
    return found


def _filled(sums: Floats, counts: Floats) -> Floats:
    """Means by bin; a bin without rows has that of its neighbours, in a line between them."""
    kept = np.flatnonzero(counts > 0)
    return np.interp(np.arange(len(counts)), kept, sums[kept] / counts[kept])


def _impossible(labelled: Labelled, reference: Profile, settings: Settings) -> str:
    """Why nothing can be estimated, as a clause; empty where it can."""
    if not labelled.rows:
        return "the window has no answers"
    if not reference.calibrations:
        return "the reference does not tell how its predictions met the truth"
    labels = max(sum(one.counts) for one in reference.calibrations)
    if labels < settings.thresholds.labels:
        return f"the reference has {plural(labels, 'label')}, and {settings.thresholds.labels:,} are needed"
    if labelled.classes and not score_table(labelled):
        return "the model gives no probabilities"
    if memorised(reference, labelled.classes):
        return (
            "the reference's scores are never wrong, as on rows that a model has learnt by heart, and promise too much"
        )
    if not estimated_at_all(labelled, reference):
        return "no answer has a score that was calibrated"
    return ""


def estimated_at_all(labelled: Labelled, reference: Profile) -> bool:
    """Whether the calibrations are those of this model, and any answer has a number that they speak of."""
    known = {one.of for one in reference.calibrations if sum(one.counts)}
    if not labelled.classes:
        return "" in known and bool(np.isfinite(labelled.numbers).any())
    needed = known & set(labelled.classes)
    enough = bool(needed) if len(labelled.classes) == 2 else len(needed) == len(labelled.classes) <= _MOST_CLASSES
    return enough and bool(np.all([np.isfinite(one) for one in score_table(labelled)], axis=0).any())


def _beyond(labelled: Labelled, reference: Profile) -> str:
    """For regression, how many predictions lie where nothing was calibrated."""
    if labelled.classes:
        return ""
    said = labelled.numbers
    said = said[np.isfinite(said)]
    ends = reference.calibrations[0].grid.edges()
    outside = float(((said <= ends[0]) | (said > ends[-1])).mean()) if len(said) else 0.0
    return f"{percent(outside)} of them outside of what the reference had, " if outside else ""
