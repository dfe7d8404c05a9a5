"""Metrics, with scikit-learn's as the independent truth."""

import numpy as np
import pytest
from sklearn import metrics as truth

from fairlead.errors import InvalidInput, SchemaMismatch
from fairlead.packing.metrics import check_metrics, classification_metrics, regression_metrics, roc_auc

RNG = np.random.default_rng(3)


def test_two_classes_agree_with_scikit_learn():
    positive = np.round(RNG.random(300), 2)  # rounded, so that scores tie
    target = np.where(RNG.random(300) < positive, "late", "on time")
    probabilities = np.column_stack([positive, 1 - positive])
    labels = np.where(positive > 0.5, "late", "on time")
    found = classification_metrics(target, labels, probabilities, ("late", "on time"))
    assert found["accuracy"] == pytest.approx(truth.accuracy_score(target, labels))
    assert found["log_loss"] == pytest.approx(truth.log_loss(target, probabilities, labels=["late", "on time"]))
    assert found["roc_auc"] == pytest.approx(truth.roc_auc_score(target == "on time", 1 - positive))


def test_three_classes_have_no_roc_curve():
    probabilities = RNG.dirichlet(np.ones(3), 100)
    target = RNG.integers(0, 3, 100)
    found = classification_metrics(target, probabilities.argmax(axis=1), probabilities, (0, 1, 2))
    assert found["log_loss"] == pytest.approx(truth.log_loss(target, probabilities, labels=[0, 1, 2]))
    assert "roc_auc" not in found


def test_labels_alone_give_the_accuracy_alone():
    assert classification_metrics(["a", "b"], ["a", "a"], None, ("a", "b")) == {"accuracy": 0.5}


def test_a_target_that_is_no_class_is_named_with_its_row():
    with pytest.raises(SchemaMismatch, match="'c' in row 1"):
        classification_metrics(["a", "c"], ["a", "a"], None, ("a", "b"))


def test_a_regression_agrees_with_scikit_learn():
    target, values = RNG.normal(size=50), RNG.normal(size=50)
    found = regression_metrics(target, values)
    assert found["mae"] == pytest.approx(truth.mean_absolute_error(target, values))
    assert found["rmse"] == pytest.approx(truth.root_mean_squared_error(target, values))
    assert found["r2"] == pytest.approx(truth.r2_score(target, values))


def test_a_target_that_never_varies_has_no_r2():
    assert "r2" not in regression_metrics([1.0, 1.0], [1.0, 2.0])


def test_a_target_of_text_is_refused_for_a_regression():
    with pytest.raises(InvalidInput, match="numbers"):
        regression_metrics(["a"], [1.0])


def test_an_order_that_is_all_ties_is_worth_a_half():
    assert roc_auc(np.array([True, False, True]), np.ones(3)) == 0.5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.79", None, True, [1]])
def test_a_metric_that_is_no_finite_number_is_refused_by_its_name(value):
    with pytest.raises(InvalidInput, match="'auc'"):
        check_metrics({"auc": value})


def test_numpy_numbers_are_numbers():
    assert check_metrics({"auc": np.float32(0.5), "n": np.int64(3)}) == {"auc": 0.5, "n": 3.0}
