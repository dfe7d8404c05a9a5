"""Model quality of a window: values against scikit-learn, verdicts against windows whose truth is known, oddities against words."""

import math

import numpy as np
import polars as pl
import pytest
from sklearn import metrics

from fairlead.monitor.gathered import gather
from fairlead.monitor.measures.baseline import Baseline, first_of, given, measured, of_labelled, of_profile
from fairlead.monitor.measures.labelled import Labelled, known
from fairlead.monitor.measures.metric import canonical
from fairlead.monitor.measures.performance import performance
from fairlead.monitor.report import Labels
from fairlead.monitor.settings import DEFAULTS, Settings, Thresholds
from fairlead.monitor.verdicts import verdicts
from fairlead.monitor.words import percent
from fairlead.profiles.profile import Calibration, Grid, Moments, NumberCounts, Profile
from fairlead.stats.estimates import exactly
from labelled_rows import classified, texts

CLASSES = ("no", "yes")


def window(seed, n=3000, shift=1.5, labelled=0.9):
    """Answers of a model whose area under the curve is Φ(shift/√2)."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    scores = 1 / (1 + np.exp(-(rng.normal(size=n) + shift * truth - 1)))
    labels = np.where(truth, "yes", "no").astype(object)
    labels[rng.random(n) >= labelled] = None
    return classified(labels, np.where(scores > 0.5, "yes", "no").astype(object), {"yes": scores}, CLASSES)


def numbers(seed, n=2000, error=1.0, bias=0.0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(20, 5, n)
    return Labelled(truth, truth + rng.normal(bias, error, n))


def judged(current, baseline, settings=DEFAULTS):
    """The findings by metric."""
    return {one.subject: one for one in verdicts(performance(current, baseline, settings), settings.thresholds.q)}


def test_two_classes_are_measured_as_scikit_learn_does():
    one = window(0)
    has = np.array([label is not None for label in texts(one.labels)])
    truth, said, scores = texts(one.labels)[has] == "yes", texts(one.predictions)[has] == "yes", one.scores["yes"][has]
    found = measured(one)
    expected = {
        "roc_auc": metrics.roc_auc_score(truth, scores),
        "average_precision": metrics.average_precision_score(truth, scores),
        "accuracy": metrics.accuracy_score(truth, said),
        "precision": metrics.precision_score(truth, said),
        "recall": metrics.recall_score(truth, said),
        "specificity": metrics.recall_score(truth, said, pos_label=False),
        "f1": metrics.f1_score(truth, said),
        "log_loss": metrics.log_loss(truth, scores),
        "brier": metrics.brier_score_loss(truth, scores),
    }
    assert {name: value.value for name, value in found.items()} == pytest.approx(expected)


def test_many_classes_are_measured_as_scikit_learn_does():
    rng = np.random.default_rng(1)
    names, n = ("a", "b", "c"), 900
    truth = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    raw = rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[truth]
    scores = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    labels, said = np.array(names, object)[truth], np.array(names, object)[scores.argmax(axis=1)]
    found = measured(classified(labels, said, dict(zip(names, scores.T, strict=True)), names))
    assert found["accuracy"].value == pytest.approx(metrics.accuracy_score(labels, said))
    assert found["macro_f1"].value == pytest.approx(metrics.f1_score(labels, said, average="macro"))
    assert found["macro_precision"].value == pytest.approx(metrics.precision_score(labels, said, average="macro"))
    assert found["macro_recall"].value == pytest.approx(metrics.recall_score(labels, said, average="macro"))
    area = metrics.roc_auc_score(labels.astype(str), scores, multi_class="ovr", labels=list(names))
    assert found["macro_roc_auc"].value == pytest.approx(area)
    assert found["log_loss"].value == pytest.approx(metrics.log_loss(labels.astype(str), scores))
    expected = metrics.brier_score_loss(labels.astype(str), scores, labels=list(names))
    assert found["brier"].value == pytest.approx(expected)
    each = metrics.f1_score(labels.astype(str), said.astype(str), average=None, labels=list(names))
    assert [found[f"f1 of {name}"].value for name in names] == pytest.approx(list(each))
    assert found["roc_auc of b"].value == pytest.approx(metrics.roc_auc_score(labels == "b", scores[:, 1]))


def test_numbers_are_measured_as_scikit_learn_does():
    one = numbers(2, bias=0.5)
    found = {name: value.value for name, value in measured(one).items()}
    assert found == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(one.labels, one.predictions),
            "rmse": metrics.root_mean_squared_error(one.labels, one.predictions),
            "mape": metrics.mean_absolute_percentage_error(one.labels, one.predictions),
            "r2": metrics.r2_score(one.labels, one.predictions),
            "mean_error": np.mean(one.predictions - one.labels),
        }
    )


def test_a_model_that_became_worse_drifts_and_the_finding_says_by_how_much():
    found = judged(window(1, shift=0.8), of_labelled(window(2), "the week before"))
    area = found["roc_auc"]
    assert area.verdict == "drift"
    assert area.effect == pytest.approx(area.reference - area.value)
    assert "the week before" in area.because
    assert area.interval[0] < area.value < area.interval[1]
    assert found["log_loss"].verdict == "drift"


def test_a_model_that_became_better_does_not_drift():
    found = judged(window(1, shift=2.5), of_labelled(window(2), "the week before"))
    assert "drift" not in {one.verdict for one in found.values()}
    assert "better" in found["roc_auc"].because


def test_runs_without_drift_hardly_ever_alarm():
    """500 pairs of windows of one model: at q = 5 % not more than one in twenty."""
    alarms = 0
    for seed in range(500):
        n = 1000 if seed % 2 else 300
        found = judged(window(1000 + seed, n), of_labelled(window(50_000 + seed, n), "before"))
        alarms += any(one.verdict == "drift" for one in found.values())
    assert alarms <= 25


def test_a_large_error_of_numbers_drifts_and_a_bias_too():
    before = of_labelled(numbers(3), "the week before")
    assert judged(numbers(4, error=1.2), before)["rmse"].verdict == "drift"
    moved = judged(numbers(4, bias=0.3), before)["mean_error"]
    assert (moved.verdict, round(moved.effect, 1)) == ("drift", 0.4)
    assert {one.verdict for one in judged(numbers(5, n=8000), of_labelled(numbers(3, n=8000), "before")).values()} == {
        "stable"
    }


def test_the_authors_figures_are_found_by_their_usual_names():
    found = given(
        {"Test ROC-AUC": 0.8, "F1-score": 0.6, "accuracy (training table)": 0.99, "profit": 3, "mae": math.nan}
    )
    assert {name: one.value for name, one in found.values.items()} == {"roc_auc": 0.8, "f1": 0.6}
    assert judged(window(1), found)["roc_auc"].reference == 0.8


def test_of_many_classes_a_figure_that_may_be_three_is_not_taken():
    assert canonical("f1", binary=False) is None
    assert canonical("f1_macro", binary=False) == "macro_f1"


def test_the_first_baseline_that_knows_a_metric_is_taken():
    both = first_of(given({"auc": 0.9}), of_labelled(window(2), "before"))
    assert (both.values["roc_auc"].value, both.texts["roc_auc"]) == (0.9, "the author's figure")
    assert both.texts["f1"] == "before"


def calibration_of(scores, outcomes, of="", squares=None, bins=200):
    """As packing counts it, in bins of equal width."""
    cuts = np.linspace(scores.min() - 1e-9, scores.max(), bins)
    grid = Grid(tuple(cuts))
    place = np.searchsorted(grid.edges(), scores)
    size = len(grid.edges()) + 1
    return Calibration(
        of,
        grid,
        tuple(np.bincount(place, minlength=size).tolist()),
        tuple(np.bincount(place, scores, size).tolist()),
        tuple(np.bincount(place, outcomes, size).tolist()),
        () if squares is None else tuple(np.bincount(place, squares, size).tolist()),
    )


def test_training_rows_that_flatter_are_no_measure_where_the_author_knows_better():
    training = of_labelled(window(2, shift=2.5), "its training data")
    both = first_of(given({"auc": 0.85}), training)
    assert set(both.values) == {"roc_auc"}
    assert judged(window(1), both)["f1"].reference is None
    honest = first_of(given({"auc": training.values["roc_auc"].value}), training)
    assert "f1" in honest.values


def test_quality_on_training_rows_is_told_and_not_judged_by():
    """Boosted trees lose a tenth of AUC from the rows they have learnt to fresh ones; that is no drift."""
    one = window(6, n=20_000, shift=2.0, labelled=1.0)
    profile = Profile(20_000, (), calibrations=(calibration_of(one.scores["yes"], texts(one.labels) == "yes", "yes"),))
    training = of_profile(profile, CLASSES, "its training data")
    found = judged(window(1, shift=1.5), training)
    assert {one.verdict for one in found.values()} == {"stable"}
    assert found["roc_auc"].reference == training.values["roc_auc"].value
    assert "on rows it has learnt from; not judged by them" in found["roc_auc"].because
    author = judged(window(1, shift=1.5), first_of(given({"auc": 0.92}), training))
    assert author["roc_auc"].verdict == "drift"
    assert author["f1"].verdict == "stable"
    fresh = judged(window(1, shift=1.5), of_profile(profile, CLASSES, "its held-out data", held_out=True))
    assert (fresh["roc_auc"].verdict, fresh["accuracy"].verdict) == ("drift", "drift")


def test_rows_that_were_learnt_by_heart_are_no_measure():
    one = window(6, n=2000, labelled=1.0)
    scores = np.where(texts(one.labels) == "yes", 0.9, 0.1)
    profile = Profile(2000, (), calibrations=(calibration_of(scores, texts(one.labels) == "yes", "yes"),))
    assert of_profile(profile, CLASSES, "its training data").values == {}


def test_a_profile_tells_quality_as_its_rows_would():
    one = window(6, n=20_000, labelled=1.0)
    profile = Profile(20_000, (), calibrations=(calibration_of(one.scores["yes"], texts(one.labels) == "yes", "yes"),))
    binned, exact = of_profile(profile, CLASSES, "training"), measured(one)
    assert set(binned.values) == set(exact)
    for name, value in binned.values.items():
        assert value.value == pytest.approx(exact[name].value, abs=0.005), name
        assert value.n == 20_000 or name in {"precision", "recall", "specificity"}


def test_a_profile_of_a_regression_tells_its_errors():
    one = numbers(7, n=20_000)
    errors = np.abs(one.predictions - one.labels)
    z = one.labels - 20
    moments = Moments(20.0, 1.0, 20_000, float(z.sum()), float((z**2).sum()))
    target = NumberCounts("delay", "target", Grid((0.0, 100.0)), (0, 20_000, 0), moments)
    profile = Profile(20_000, (target,), calibrations=(calibration_of(one.predictions, errors, "", errors**2),))
    binned, exact = of_profile(profile, (), "training"), measured(one)
    for name in ("mae", "rmse", "r2"):
        assert binned.values[name].value == pytest.approx(exact[name].value, rel=1e-3)
        assert binned.values[name].error == pytest.approx(exact[name].error, rel=0.2) or name == "r2"


def test_a_profile_of_many_classes_tells_their_areas():
    names = ("a", "b", "c")
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 5000)
    raw = rng.normal(size=(5000, 3)) + 1.5 * np.eye(3)[truth]
    scores = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    parts = tuple(calibration_of(scores[:, one], truth == one, name) for one, name in enumerate(names))
    found = of_profile(Profile(5000, (), calibrations=parts), names, "training").values
    assert found["macro_roc_auc"].value == pytest.approx(
        metrics.roc_auc_score(truth, scores, multi_class="ovr"), abs=1e-3
    )


# -- odd rows ----------------------------------------------------------------------------------------------------------


def test_few_labels_are_told_and_not_judged():
    found = judged(window(1, n=90, shift=0.1), of_labelled(window(2), "before"))
    assert {one.verdict for name, one in found.items() if name != "confusion"} == {"insufficient"}
    assert "100 labels are needed" in found["roc_auc"].because
    assert found["roc_auc"].value is not None


def test_a_small_share_with_labels_is_told_and_not_judged():
    found = judged(window(1, labelled=0.3), of_labelled(window(2), "before"))
    assert found["roc_auc"].verdict == "insufficient"
    assert f"{percent(0.5)} are needed" in found["roc_auc"].because


def test_a_difference_that_so_few_labels_cannot_show_is_insufficient():
    settings = Settings(thresholds=Thresholds(labels=10, quality=0.02))
    found = judged(window(1, n=100), of_labelled(window(2), "before"), settings)
    assert found["roc_auc"].verdict == "insufficient"


@pytest.mark.parametrize("only", ["yes", "no"])
def test_one_class_alone_is_told_in_words(only):
    one = window(1)
    labels = np.where(np.array([label is not None for label in texts(one.labels)]), only, None)
    found = judged(classified(labels, one.predictions, one.scores, CLASSES), of_labelled(window(2), "before"))
    assert found["roc_auc"].verdict == "insufficient"
    assert "labels of both classes" in found["roc_auc"].because
    assert found["accuracy"].verdict in {"stable", "drift"}


@pytest.mark.parametrize("n", [0, 1, 50])
def test_without_any_label_it_says_so(n):
    nothing = classified(np.full(n, None, object), np.full(n, "yes", object), {"yes": np.full(n, 0.7)}, CLASSES)
    found = judged(nothing, Baseline({"roc_auc": exactly(0.8)}, {"roc_auc": "the author's"}))
    assert set(found) == {"labels"}
    assert found["labels"].verdict == "insufficient"
    assert known(nothing).labels == 0
    without = judged(Labelled(np.full(n, np.nan), np.zeros(n)), Baseline())
    assert without["labels"].verdict == "insufficient"


def test_labels_of_no_class_are_named_and_left_out():
    one = window(1)
    labels = texts(one.labels)
    labels[:3] = "maybe"
    found = judged(classified(labels, one.predictions, one.scores, CLASSES), Baseline())
    assert found["labels"].verdict == "error"
    assert found["labels"].because == '3 labels are no class of the model ("maybe"): left out.'


def test_scores_and_numbers_that_are_none_are_left_out():
    one = window(1)
    scores = one.scores["yes"].copy()
    scores[0] = np.nan
    labels = texts(one.labels)
    labels[0] = "yes"
    found = judged(classified(labels, one.predictions, {"yes": scores}, CLASSES), Baseline())
    assert found["labels"].because == "1 labelled row is without a score: left out."
    other = numbers(1)
    predictions = other.predictions.copy()
    predictions[:2] = np.inf
    found = judged(Labelled(other.labels, predictions), Baseline())
    assert found["labels"].because.startswith("2 labelled rows are not finite")


def test_a_model_without_scores_is_judged_by_what_it_says():
    one = window(1)
    found = judged(classified(one.labels, one.predictions, {}, CLASSES), of_labelled(window(2), "before"))
    assert "roc_auc" not in found
    assert found["f1"].verdict == "stable"


def test_nothing_to_take_a_share_of_is_told_and_not_judged():
    perfect = Labelled(np.arange(200.0), np.arange(200.0))
    found = judged(numbers(1), of_labelled(perfect, "before"))
    assert (found["mae"].verdict, found["mae"].p) == ("stable", None)


def test_a_label_that_came_before_its_answer_came_at_once():
    answered = pl.DataFrame(
        {
            "id": ["a", "b", "c", "d"],
            "time": [10.0, 20.0, 30.0, 40.0],
            "status": "ok",
            "model": "m:1",
            "variant": "stable",
            "label": [1.0, 2.0, 3.0, None],
            "label_time": [5.0, 80.0, 90.0, None],
        }
    )
    # The waits are 0, 60 and 60 seconds.
    assert gather([answered]).labels == Labels(3, 0.75, 60.0)


def test_a_truth_of_zero_is_left_out_of_percentages_and_told():
    one = numbers(1, n=500)
    labels = one.labels.copy()
    labels[:40] = 0.0
    found = judged(Labelled(labels, one.predictions), Baseline())["mape"]
    assert "on 500 labels, of which 40 with a truth of 0 are left out" in found.because
    assert found.n == 460
    nothing = judged(Labelled(np.zeros(200), one.predictions[:200]), Baseline())["mape"]
    assert "needs labels that are not 0" in nothing.because


def test_the_most_frequent_mistake_is_named():
    found = judged(window(1), Baseline())["confusion"]
    assert 'most often "yes" for "no"' in found.because or 'most often "no" for "yes"' in found.because
    assert sum(found.further.values()) == found.n
