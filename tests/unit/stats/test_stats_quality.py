"""Model quality and its intervals: values against scikit-learn, errors against their definitions, coverage against simulation."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn import isotonic, metrics

from fairlead.stats.calibration import rising
from fairlead.stats.confusion import count_confusion, f1, f1_influence, precision_influence, recall_influence
from fairlead.stats.estimates import averaged, exactly, from_influence, mean_influence, proportion, wilson
from fairlead.stats.ranking import (
    average_precision,
    average_precision_influence,
    roc_auc,
    roc_auc_influence,
)
from fairlead.stats.residuals import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_error,
    r_squared,
    root_mean_square,
)

RUNS = 400
LEAST = 0.92
"""Of 400 intervals of exactly 95 %, fewer than 92 % hold the truth once in two hundred times; the seeds are fixed."""


def two_classes(seed, n=300, *, ties=True):
    """Labels, scores and what was said; the scores have ties."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < rng.uniform(0.2, 0.8)).astype(float)
    scores = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.5 * truth - 0.7)))
    scores = np.round(scores, 1) if ties else scores
    return truth, scores, (scores >= 0.5).astype(float), np.ones(n)


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_ranking_is_what_scikit_learn_says_with_ties_and_without(seed, ties):
    truth, scores, _, weights = two_classes(seed, ties=ties)
    assert roc_auc(truth, scores, weights).value == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
    expected = metrics.average_precision_score(truth, scores)
    assert average_precision(truth, scores, weights).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_shares_of_the_confusion_are_what_scikit_learn_says(seed):
    truth, _, said, weights = two_classes(seed)
    counts = count_confusion(truth, said, weights)
    assert counts.accuracy().value == pytest.approx(metrics.accuracy_score(truth, said))
    assert counts.precision().value == pytest.approx(metrics.precision_score(truth, said))
    assert counts.recall().value == pytest.approx(metrics.recall_score(truth, said))
    assert counts.specificity().value == pytest.approx(metrics.recall_score(truth, said, pos_label=0))
    assert counts.f1().value == pytest.approx(metrics.f1_score(truth, said))


@pytest.mark.parametrize("seed", range(5))
def test_distances_of_numbers_are_what_scikit_learn_says(seed):
    rng = np.random.default_rng(seed)
    truth = rng.normal(10, 3, 200)
    said = truth + rng.normal(0.3, 1, 200)
    assert mean_error(truth, said).value == pytest.approx((said - truth).mean())
    assert mean_absolute_error(truth, said).value == pytest.approx(metrics.mean_absolute_error(truth, said))
    root = root_mean_square(averaged((said - truth) ** 2))
    assert root.value == pytest.approx(metrics.root_mean_squared_error(truth, said))
    assert r_squared(truth, said).value == pytest.approx(metrics.r2_score(truth, said))
    share, zeros = mean_absolute_percentage_error(truth, said)
    assert share.value == pytest.approx(metrics.mean_absolute_percentage_error(truth, said))
    assert zeros == 0


def test_zeros_are_left_out_of_shares_of_the_truth_and_counted():
    share, zeros = mean_absolute_percentage_error(np.array([0.0, 2.0, 4.0]), np.array([1.0, 3.0, 4.0]))
    assert (share.value, zeros) == (0.25, 1)


def test_the_error_of_an_area_is_delongs_by_its_definition():
    """Structural components over all pairs, with the divisors m − 1 and n − 1 of the paper."""
    truth, scores, _, weights = two_classes(7, n=60)
    ours, others = scores[truth == 1], scores[truth == 0]
    kernel = (ours[:, None] > others).astype(float) + (ours[:, None] == others) / 2
    variance = kernel.mean(axis=1).var(ddof=1) / len(ours) + kernel.mean(axis=0).var(ddof=1) / len(others)
    assert roc_auc(truth, scores, weights).error == pytest.approx(variance**0.5)


@pytest.mark.parametrize("measure", [roc_auc_influence, average_precision_influence], ids=["roc_auc", "ap"])
def test_an_influence_is_the_change_by_one_more_row(measure):
    """Von Mises: n times the change of the number when a row is added, for many rows."""
    truth, scores, _, weights = two_classes(3, n=4000)
    found = measure(truth, scores, weights)
    for row in (0, 1, 2, 3, 4):
        for outcome, told in ((1.0, found.one[row]), (0.0, found.zero[row])):
            more = measure(np.append(truth, outcome), np.append(scores, scores[row]), np.append(weights, 1.0))
            assert 4001 * (more.value - found.value) == pytest.approx(told, abs=0.03 + 0.03 * abs(told))


@pytest.mark.parametrize("measure", [precision_influence, recall_influence, f1_influence], ids=["p", "r", "f1"])
def test_an_influence_of_a_share_is_the_change_by_one_more_row(measure):
    truth, _, said, weights = two_classes(3, n=4000)
    found = measure(truth, said, weights)
    for row in range(6):
        for outcome, told in ((1.0, found.one[row]), (0.0, found.zero[row])):
            more = measure(np.append(truth, outcome), np.append(said, said[row]), np.append(weights, 1.0))
            assert 4001 * (more.value - found.value) == pytest.approx(told, abs=0.01)


def test_wilsons_interval_is_scipys():
    for successes, trials in ((0, 10), (3, 17), (100, 100), (250, 1000)):
        expected = scipy_stats.binomtest(successes, trials).proportion_ci(method="wilson")
        found = wilson(successes, trials)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_rising_steps_are_scikit_learns():
    rng = np.random.default_rng(0)
    values, weights = rng.random(200) + np.linspace(0, 1, 200), rng.uniform(0.5, 5, 200)
    expected = isotonic.isotonic_regression(values, sample_weight=weights)
    assert rising(values, weights) == pytest.approx(expected)


def test_counts_stand_for_rows():
    """Rows that are counted in bins give what the same rows give one by one."""
    truth, scores, _, weights = two_classes(11)
    values, place = np.unique(scores, return_inverse=True)
    counts = np.bincount(place).astype(float)
    shares = np.bincount(place, truth) / counts
    for measure in (roc_auc, average_precision):
        whole, binned = measure(truth, scores, weights), measure(shares, values, counts)
        assert (binned.value, binned.error) == pytest.approx((whole.value, whole.error))


def test_a_mean_over_classes_is_scikit_learns_and_moves_like_it():
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 600)
    said = np.where(rng.random(600) < 0.7, labels, rng.integers(0, 3, 600))
    truths = [(labels == one).astype(float) for one in range(3)]
    parts = [
        f1_influence(truth, (said == one).astype(float), np.ones(600))
        for one, truth in zip(range(3), truths, strict=True)
    ]
    value, variance = mean_influence(parts, truths, np.ones(600))
    assert value == pytest.approx(metrics.f1_score(labels, said, average="macro"))
    again = [rng.integers(0, 600, 600) for _ in range(RUNS)]
    spread = np.std([metrics.f1_score(labels[one], said[one], average="macro") for one in again[:200]])
    assert variance**0.5 == pytest.approx(spread, rel=0.2)


def test_what_cannot_be_measured_is_none():
    ones, scores = np.ones(5), np.linspace(0, 1, 5)
    assert roc_auc(ones, scores, ones) is None
    assert average_precision(0 * ones, scores, ones) is None
    assert averaged(ones[:1]) is None
    assert averaged(ones[:0]) is None
    assert proportion(0, 0) is None
    assert f1(count_confusion(0 * ones, 0 * ones, ones)) is None
    assert r_squared(ones, scores) is None
    assert root_mean_square(None) is None


def test_what_is_perfect_is_not_known_exactly():
    """An area of 1 on ten rows has no variance; ten rows do not show an area of 1."""
    truth = np.array([0.0] * 10 + [1.0] * 10)
    for found in (
        roc_auc(truth, np.arange(20.0), np.ones(20)),
        average_precision(truth, np.arange(20.0), np.ones(20)),
        count_confusion(truth, truth, np.ones(20)).f1(),
        proportion(10, 10),
    ):
        assert found.value == 1
        assert found.interval.low < 0.9
        assert found.error > 0.01


def test_a_given_number_is_exact():
    assert exactly(0.8).interval.width == 0


def test_a_root_of_nothing_is_nothing():
    assert root_mean_square(averaged(np.zeros(5))).value == 0


def test_a_logit_interval_stays_within_its_ends():
    found = from_influence(0.999, 0.00001, 100, "logit").interval
    assert 0 < found.low < 0.999 < found.high < 1


# -- how often the interval holds the truth ----------------------------------------------------------------------------


def covered(measure, draw, truth):
    """The share of intervals that hold the truth."""
    rng = np.random.default_rng(2026)
    found = [measure(*draw(rng)) for _ in range(RUNS)]
    return np.mean([truth in one.interval for one in found if one is not None])


def normal_scores(n, shift):
    def draw(rng):
        truth = (rng.random(n) < 0.3).astype(float)
        return truth, rng.normal(size=n) + shift * truth, np.ones(n)

    return draw


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("shift", [0.3, 1.0, 2.5])
def test_the_interval_of_an_area_holds_it(n, shift):
    """Of two normal laws of equal spread it is Φ(d/√2)."""
    assert covered(roc_auc, normal_scores(n, shift), scipy_stats.norm.cdf(shift / 2**0.5)) >= LEAST


@pytest.mark.parametrize("n", [200, 1000])
def test_the_interval_of_average_precision_holds_it(n):
    """The truth by integration of precision over recall: ∫ π(1−F₁)/(π(1−F₁) + (1−π)(1−F₀)) dF₁."""
    grid = np.linspace(-8, 10, 200_001)
    above_one, above_zero = scipy_stats.norm.sf(grid - 1), scipy_stats.norm.sf(grid)
    precision = 0.3 * above_one / (0.3 * above_one + 0.7 * above_zero)
    truth = float(np.sum(precision * scipy_stats.norm.pdf(grid - 1)) * (grid[1] - grid[0]))
    assert covered(average_precision, normal_scores(n, 1.0), truth) >= LEAST


@pytest.mark.parametrize("n", [100, 1000])
@pytest.mark.parametrize("name", ["accuracy", "precision", "recall", "specificity", "f1"])
def test_the_interval_of_a_share_holds_it(n, name):
    """Called positive above 0.5: recall Φ(0.5), specificity Φ(0.5), the rest of both and the base rate 0.3."""
    rate = scipy_stats.norm.cdf(0.5)
    precision = 0.3 * rate / (0.3 * rate + 0.7 * (1 - rate))
    truths = {
        "accuracy": rate,
        "precision": precision,
        "recall": rate,
        "specificity": rate,
        "f1": 2 * precision * rate / (precision + rate),
    }

    def measure(truth, scores, weights):
        return getattr(count_confusion(truth, (scores > 0.5).astype(float), weights), name)()

    assert covered(measure, normal_scores(n, 1.0), truths[name]) >= LEAST


@pytest.mark.parametrize("n", [100, 1000])
def test_the_intervals_of_losses_hold_them(n):
    """Of a calibrated score that is uniform: log loss 1/2, Brier ∫p(1−p) = 1/6."""

    def draw(rng):
        scores = rng.random(n)
        return (rng.random(n) < scores).astype(float), scores

    def log_loss(truth, scores):
        return averaged(-np.log(np.where(truth == 1, scores, 1 - scores)))

    assert covered(log_loss, draw, 0.5) >= LEAST
    assert covered(lambda truth, scores: averaged((scores - truth) ** 2), draw, 1 / 6) >= LEAST


@pytest.mark.parametrize("n", [100, 1000])
def test_the_intervals_of_distances_hold_them(n):
    """Errors normal with mean 0.2 and deviation 1, around a truth of deviation 2."""

    def draw(rng):
        truth = rng.normal(5, 2, n)
        return truth, truth + rng.normal(0.2, 1, n)

    folded = scipy_stats.foldnorm.mean(0.2)
    assert covered(mean_error, draw, 0.2) >= LEAST
    assert covered(mean_absolute_error, draw, folded) >= LEAST
    assert covered(lambda truth, said: root_mean_square(averaged((said - truth) ** 2)), draw, 1.04**0.5) >= LEAST
    assert covered(r_squared, draw, 1 - 1.04 / 4) >= LEAST
