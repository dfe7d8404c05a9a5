"""Which way a metric is better, by the names that scikit-learn and its users give them.

The directions are those of scikit-learn's scorers (`greater_is_better` of each, "neg_" where a loss is turned round).
"""

import pytest

from fairlead.registry.comparison import _metrics, higher_is_better


@pytest.mark.parametrize(
    ("name", "higher"),
    [
        ("accuracy (training table)", True),
        ("roc_auc", True),
        ("test-AUC", True),
        ("average_precision", True),
        ("balanced_accuracy", True),
        ("f1", True),
        ("F1 macro", True),
        ("r2", True),
        ("ndcg@10", True),
        ("neg_log_loss", True),
        ("neg_mean_squared_error", True),
        ("log_loss", False),
        ("mean_absolute_error", False),
        ("max_error", False),
        ("rmse", False),
        ("Brier", False),
        ("error_rate", False),
        ("brier_score", False),
        ("loss (training table)", False),
        ("bias", None),
        ("trees", None),
        ("revenue", None),
        ("", None),
    ],
)
def test_the_name_of_a_metric_tells_which_way_is_better_or_nothing(name, higher):
    assert higher_is_better(name) is higher


def test_a_change_is_better_worse_the_same_or_not_judged():
    before = {"auc": 0.8, "log_loss": 0.4, "mae": 2.0, "bias": 0.1, "gone": 1.0}
    after = {"auc": 0.9, "log_loss": 0.5, "mae": 2.0, "bias": 0.3, "new": 1.0}
    found = {one.name: (one.standing, one.change) for one in _metrics(before, after)}
    assert found["auc"] == ("better", pytest.approx(0.1))
    assert found["log_loss"] == ("worse", pytest.approx(0.1))
    assert found["mae"] == ("same", 0.0)
    assert found["bias"] == ("", pytest.approx(0.2))
    assert found["gone"] == found["new"] == ("", None)
