"""Quality without labels: against what proved true when only the rows changed, against NannyML, and in words where it cannot be."""

import numpy as np
import pytest

from fairlead.monitor.measures.baseline import measured, of_profile
from fairlead.monitor.measures.estimate import ASSUMES, calibrated, estimate, estimated
from fairlead.monitor.measures.labelled import Labelled
from fairlead.monitor.settings import DEFAULTS
from fairlead.monitor.verdicts import verdicts
from fairlead.profiles.profile import Calibration, Grid, Profile
from fairlead.profiles.truth import empty_calibration, met
from labelled_rows import classified, texts

CLASSES = ("0", "1")
LABELS = ("a", "b", "c")


def window(seed, n, mean, effect=1.5):
    """A model whose scores are too sure of themselves; only `mean` is a covariate shift, `effect` is a concept drift."""
    rng = np.random.default_rng(seed)
    x = rng.normal(mean, 1.0, n)
    truth = rng.random(n) < 1 / (1 + np.exp(-(effect * x - 0.5)))
    scores = 1 / (1 + np.exp(-1.2 * (1.5 * x - 0.5) - 0.3))
    return classified(
        np.where(truth, "1", "0").astype(object),
        np.where(scores > 0.5, "1", "0").astype(object),
        {"1": scores},
        CLASSES,
    )


def profiled(labelled):
    """The reference's profile, with the bins that packing makes."""
    parts = [
        met(empty_calibration(name, one), one, (texts(labelled.labels) == name).astype(float))
        for name, one in labelled.scores.items()
    ]
    return Profile(labelled.rows, (), calibrations=tuple(parts), labels=labelled.rows)


def numbers(seed, n, mean):
    """Errors grow with the predicted number: their deviation is a tenth of it."""
    rng = np.random.default_rng(seed)
    said = rng.normal(mean, 5.0, n)
    return Labelled(said + rng.normal(0, 1, n) * np.abs(said) / 10, said)


def profiled_numbers(labelled):
    empty = empty_calibration("", labelled.predictions)
    return Profile(
        labelled.rows, (), calibrations=(met(empty, labelled.predictions, labelled.labels),), labels=labelled.rows
    )


def judged(current, reference, settings=DEFAULTS):
    return {one.subject: one for one in verdicts(estimate(current, reference, settings), settings.thresholds.q)}


REFERENCE = profiled(window(1, 50_000, 0.0))


def test_what_nannyml_estimates_of_the_same_rows():
    """NannyML 0.13.1, CBPE fitted on `window(1, 50_000, 0.0)` and asked of `window(2, 20_000, 0.8)` as one chunk."""
    told = {
        "roc_auc": 0.8105270486375027,
        "accuracy": 0.7431367327600238,
        "f1": 0.8115475944140553,
        "precision": 0.7454850608246996,
        "recall": 0.8904570919155543,
        "specificity": 0.501632064475368,
        "average_precision": 0.8681185813832223,
    }
    found = estimated(window(2, 20_000, 0.8), REFERENCE)
    assert {name: found[name].value for name in told} == pytest.approx(told, abs=0.001)


@pytest.mark.parametrize("mean", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_when_only_the_rows_change_the_estimate_is_what_proves_true(mean):
    """Ten windows each: within 0.01 on average, whatever the metric."""
    apart = {}
    for seed in range(10):
        one = window(100 + seed, 10_000, mean)
        true, found = measured(one), estimated(one, REFERENCE)
        for name, value in found.items():
            apart.setdefault(name, []).append(value.value - true[name].value)
    for name, differences in apart.items():
        assert abs(np.mean(differences)) < 0.01, name
        assert np.max(np.abs(differences)) < 0.03, name


def test_the_interval_holds_what_proves_true():
    """It speaks of the window's rows as drawn at random: the realised metric varies with the outcomes alone, so it is held more often."""
    held = []
    for seed in range(200):
        one = window(500 + seed, 1000, 0.5)
        found, true = estimated(one, REFERENCE), measured(one)
        held += [true[name].value in value.interval for name, value in found.items()]
    assert np.mean(held) >= 0.95


def test_harder_rows_are_drift_and_the_finding_says_what_it_assumes():
    found = judged(window(2, 20_000, 0.8), REFERENCE)["specificity"]
    assert found.verdict == "drift"
    assert found.area == "estimate"
    assert ASSUMES in found.because
    assert "estimated for the reference" in found.because


def test_the_same_traffic_is_stable():
    alarms = 0
    for seed in range(200):
        found = judged(window(900 + seed, 2000, 0.0), REFERENCE)
        alarms += any(one.verdict == "drift" for one in found.values())
    assert alarms <= 10


def test_concept_drift_is_not_seen_which_is_why_every_finding_says_so():
    one = window(3, 20_000, 0.0, effect=0.3)
    assert measured(one)["roc_auc"].value < 0.65
    found = judged(one, REFERENCE)["roc_auc"]
    assert found.verdict == "stable"
    assert "no concept drift" in found.because


def test_many_classes_are_estimated_as_they_prove_true():
    def many(seed, weights):
        rng = np.random.default_rng(seed)
        truth = rng.choice(3, 20_000, p=[0.4, 0.35, 0.25])
        raw = rng.normal(size=(20_000, 3)) + 1.5 * np.eye(3)[truth]
        log = 1.5 * raw + np.log([0.4, 0.35, 0.25])
        chances = np.exp(log) / np.exp(log).sum(axis=1, keepdims=True)
        truth = (chances.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
        kept = rng.random(20_000) < weights[chances.argmax(axis=1)]
        sharp = chances**1.3 / (chances**1.3).sum(axis=1, keepdims=True)
        said = np.array(LABELS, object)[sharp.argmax(axis=1)]
        scores = {name: sharp[kept, place] for place, name in enumerate(LABELS)}
        return classified(np.array(LABELS, object)[truth][kept], said[kept], scores, LABELS)

    reference = profiled(many(1, np.ones(3)))
    window = many(2, np.array([0.1, 1.0, 0.5]))
    found, true = estimated(window, reference), measured(window)
    for name in ("accuracy", "macro_f1", "macro_precision", "macro_recall", "macro_roc_auc", "brier"):
        assert found[name].value == pytest.approx(true[name].value, abs=0.02), name
    # One curve a class is not all there is to three scores; the loss feels it most.
    assert found["log_loss"].value == pytest.approx(true["log_loss"].value, rel=0.05)
    assert judged(window, reference)["macro_roc_auc"].reference is not None


@pytest.mark.parametrize("mean", [30.0, 40.0, 48.0])
def test_errors_of_numbers_are_estimated_as_they_prove_true(mean):
    reference = profiled_numbers(numbers(1, 50_000, 40.0))
    window = numbers(2, 10_000, mean)
    found, true = estimated(window, reference), measured(window)
    for name in ("mae", "rmse"):
        assert found[name].value == pytest.approx(true[name].value, rel=0.05)


def test_larger_errors_of_numbers_are_drift():
    reference = profiled_numbers(numbers(1, 50_000, 40.0))
    found = judged(numbers(2, 10_000, 46.0), reference)
    assert found["mae"].verdict == "drift"
    assert judged(numbers(3, 10_000, 40.0), reference)["mae"].verdict == "stable"


def test_numbers_beyond_the_reference_are_told():
    reference = profiled_numbers(numbers(1, 50_000, 40.0))
    assert "outside of what the reference had" in judged(numbers(2, 10_000, 70.0), reference)["mae"].because


def test_a_forest_that_gives_few_scores_is_calibrated_at_each():
    """Scores of 0, 0.1, … 1, each with a share of its own: the estimate of a score is that share, made to rise."""
    scores = np.repeat(np.arange(11) / 10, 1000)
    truth = (np.tile(np.arange(1000), 11) < np.repeat(np.arange(11) ** 2 * 10, 1000)).astype(float)
    one = met(empty_calibration("1", scores), scores, truth)
    assert calibrated(one, np.arange(11) / 10) == pytest.approx((np.arange(11) / 10) ** 2, abs=1e-9)


# -- what cannot be estimated ------------------------------------------------------------------------------------------


def reason(current, reference):
    found = judged(current, reference)
    assert set(found) == {"quality"}
    assert found["quality"].verdict == "insufficient"
    return found["quality"].because


def test_what_is_missing_is_said():
    one = window(2, 100, 0.0)
    assert "no answers" in reason(window(2, 0, 0.0), REFERENCE)
    assert "how its predictions met the truth" in reason(one, Profile(100, ()))
    assert "99 labels, and 100 are needed" in reason(one, profiled(window(1, 99, 0.0)))
    assert "no probabilities" in reason(classified(one.labels, one.predictions, {}, CLASSES), REFERENCE)
    unscored = {"1": np.full(100, np.nan)}
    assert "no answer has a score" in reason(classified(one.labels, one.predictions, unscored, CLASSES), REFERENCE)
    assert "no answer has a score" in reason(
        Labelled(np.zeros(5), np.full(5, np.nan)), profiled_numbers(numbers(1, 500, 9))
    )
    of_another = classified(one.labels, one.predictions, {"x": one.scores["1"]}, ("w", "x"))
    assert "no answer has a score" in reason(of_another, REFERENCE)


def test_a_model_that_knows_its_training_rows_by_heart_promises_nothing():
    one = window(1, 1000, 0.0)
    learnt = classified(one.labels, one.labels, {"1": np.where(texts(one.labels) == "1", 0.9, 0.05)}, CLASSES)
    assert "learnt by heart" in reason(window(2, 500, 0.0), profiled(learnt))


@pytest.mark.parametrize("outcomes", [0.0, 1.0], ids=["none", "all"])
def test_a_reference_of_one_class_stops_nothing(outcomes):
    grid = Grid((0.0, 0.5, 1.0))
    one = Calibration("1", grid, (0, 200, 200, 0), (0, 50, 150, 0), (0, 200 * outcomes, 200 * outcomes, 0))
    found = judged(window(2, 500, 0.0), Profile(400, (), calibrations=(one,)))
    assert found["roc_auc"].verdict == "insufficient"
    assert found["accuracy"].value is not None
    assert of_profile(Profile(400, (), calibrations=(one,)), CLASSES, "x").values["accuracy"].value is not None


@pytest.mark.parametrize("n", [1, 99])
def test_few_answers_are_estimated_and_not_judged(n):
    found = judged(window(2, n, 2.0), REFERENCE)
    assert {one.verdict for one in found.values()} == {"insufficient"}
    assert "100 answers are needed" in found["accuracy"].because
    assert judged(numbers(2, 1, 40.0), profiled_numbers(numbers(1, 500, 40.0)))["mae"].verdict == "insufficient"
