"""Rates, means, covariates, quantiles and bets against scipy, which knows none of our formulas."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from fairlead.errors import InvalidInput
from fairlead.stats.betting import bounded_mean_sequence
from fairlead.stats.covariate import CovariateTotals, adjusted
from fairlead.stats.interval import EVERYTHING, Interval
from fairlead.stats.mixtures import (
    Increments,
    best_rho,
    beta_binomial_bound,
    beta_binomial_log_mixture,
    normal_bound,
    normal_log_mixture,
)
from fairlead.stats.quantiles import empirical_process_lil_bound, quantile_difference, quantile_sequence
from fairlead.stats.sequences import mean_difference, mean_sequence, rate_log_evidence, rate_sequence
from fairlead.stats.totals import Totals


def totals(values):
    return Totals(len(values), float(np.sum(values)), float(np.square(values).sum()))


def test_the_normal_mixture_is_the_average_it_claims_to_be():
    # Numerical integration over the normal law of lambda, with variance 1/rho.
    s, v, rho = 7.0, 40.0, 12.0

    def weighed(tilt):
        return math.exp(tilt * s - tilt * tilt * v / 2) * stats.norm.pdf(tilt, scale=rho**-0.5)

    two_sided = integrate.quad(weighed, -3, 3)[0]
    one_sided = 2 * integrate.quad(weighed, 0, 3)[0]
    assert normal_log_mixture(s, v, rho) == pytest.approx(math.log(two_sided), abs=1e-8)
    assert normal_log_mixture(s, v, rho, 1) == pytest.approx(math.log(one_sided), abs=1e-8)


@pytest.mark.parametrize("sides", [1, 2])
@pytest.mark.parametrize("variance", [0.0, 1e-6, 3.0, 1e9])
def test_a_bound_is_where_the_normal_mixture_suffices(variance, sides):
    bound = normal_bound(variance, 0.01, 5.0, sides)
    assert normal_log_mixture(bound, variance, 5.0, sides) == pytest.approx(math.log(100), abs=1e-6)


def test_a_one_sided_mixture_ignores_what_goes_the_other_way():
    assert beta_binomial_log_mixture(-100, 1000, Increments(0.2, 0.8), 12.0, 1) < -3
    assert beta_binomial_log_mixture(-5000, 1000, Increments(0.2, 0.8), 12.0, 1) == -math.inf


def test_a_bound_that_cannot_be_reached_is_the_largest_deviation():
    assert beta_binomial_bound(0.5, 0.01, Increments(0.2, 0.8), 12.0) == 2.5
    assert beta_binomial_bound(0.0, 0.01, Increments(0.2, 0.8), 12.0) == 0.0


@pytest.mark.parametrize(("successes", "trials", "rate"), [(0, 7, 0.3), (3, 10, 0.01), (50, 60, 0.5), (400, 400, 0.97)])
def test_the_evidence_against_a_rate_is_a_beta_binomial_over_a_binomial(successes, trials, rate):
    # scipy's two laws; and the general mixture of which it is the case g = p, h = 1 - p.
    kappa = best_rho(100, 0.05) - 1
    ratio = stats.betabinom.logpmf(successes, trials, kappa * rate, kappa * (1 - rate)) - stats.binom.logpmf(
        successes, trials, rate
    )
    found = rate_log_evidence(successes, trials, rate, 0.05, 100)
    assert found == pytest.approx(ratio, abs=1e-8)
    spread = rate * (1 - rate)
    general = beta_binomial_log_mixture(
        successes - rate * trials, spread * trials, Increments(rate, 1 - rate), best_rho(spread * 100, 0.05)
    )
    assert found == pytest.approx(general, abs=1e-8)


@pytest.mark.parametrize("trials", [1, 2, 5, 30, 1000])
@pytest.mark.parametrize("part", [0, 0.02, 0.5, 1])
@pytest.mark.parametrize("optimal", [1, 50, 5000])
def test_the_interval_of_a_rate_is_the_set_of_rates_without_evidence(trials, part, optimal):
    successes = round(part * trials)
    found = rate_sequence(successes, trials, 0.05, optimal)
    rates = np.concatenate([np.geomspace(1e-12, 0.5, 300), 1 - np.geomspace(1e-12, 0.5, 300)])
    for rate in rates:
        # Not at the very ends, where root finding and rounding meet.
        if all(abs(rate - end) > 1e-9 for end in (found.low, found.high)):
            evidence = rate_log_evidence(successes, trials, float(rate), 0.05, optimal)
            assert (evidence < math.log(20)) == (rate in found)


@pytest.mark.parametrize(("successes", "trials"), [(0, 30), (3, 400), (250, 500), (400, 400)])
def test_the_interval_of_a_rate_holds_the_exact_one_of_a_single_look(successes, trials):
    exact = stats.binomtest(successes, trials).proportion_ci(0.95, "exact")
    found = rate_sequence(successes, trials, 0.05, trials)
    assert found.low <= exact.low
    assert exact.high <= found.high
    assert successes / trials in found


@pytest.mark.parametrize("trials", [10**3, 10**6, 10**9, 10**12])
def test_no_failure_in_many_trials_still_gives_a_limit(trials):
    # By the rule of three a single look says about 3 / n; all looks together say a little more, and the mirror the same.
    found = rate_sequence(0, trials, 0.05, 400)
    assert found.low == 0
    assert -math.log(0.05) / trials * (1 - 1e-3) < found.high < 4 / trials
    assert rate_sequence(trials, trials, 0.05, 400).low == pytest.approx(1 - found.high, abs=1e-12)


def test_nothing_seen_is_nothing_known():
    assert rate_sequence(0, 0, 0.05, 400) == Interval(0.0, 1.0)
    assert mean_sequence(Totals(0), 0.05) == EVERYTHING
    assert quantile_sequence([], 0.99, 0.05, 400) == EVERYTHING
    assert bounded_mean_sequence([], 0.05, Interval(1.0, 5.0)) == Interval(1.0, 5.0)
    assert adjusted(CovariateTotals(0), CovariateTotals(0)) == (Totals(0), Totals(0))


def test_totals_give_numpys_mean_and_variance_and_add_up():
    values = np.random.default_rng(1).gamma(2.0, 30.0, 500)
    both = totals(values[:200]) + totals(values[200:])
    assert both.mean == pytest.approx(values.mean())
    assert both.variance == pytest.approx(values.var())


def test_the_interval_of_a_mean_holds_students_interval_and_is_at_its_optimum_less_than_twice_as_wide():
    values = np.random.default_rng(2).normal(10, 3, 5000)
    student = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = mean_sequence(totals(values), 0.05, 5000)
    assert found.low < student.low < student.high < found.high
    assert found.width < 2 * (student.high - student.low)


def test_the_difference_of_means_holds_welchs_interval():
    random = np.random.default_rng(3)
    ours, theirs = random.normal(10.5, 3, 900), random.normal(10, 1, 4000)
    welch = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    found = mean_difference(totals(ours), totals(theirs), 0.05)
    assert found.low < welch.low < welch.high < found.high


def test_few_numbers_or_no_spread_say_nothing_about_a_mean():
    assert mean_sequence(totals(np.arange(99)), 0.05) == EVERYTHING
    assert mean_sequence(totals(np.full(1000, 0.1)), 0.05) == EVERYTHING
    assert mean_difference(totals(np.ones(500)), totals(np.zeros(500)), 0.05) == EVERYTHING
    assert mean_difference(totals(np.arange(99)), totals(np.arange(500)), 0.05) == EVERYTHING


def arm(y, x):
    return CovariateTotals(len(y), y.sum(), (y * y).sum(), x.sum(), (x * x).sum(), (x * y).sum())


def test_a_covariate_takes_off_what_it_explains_and_leaves_the_difference():
    # Against the raw numbers: numpy's least squares with a constant for each arm.
    random = np.random.default_rng(4)
    x = random.gamma(2.0, 10.0, 6000)
    ours = np.arange(6000) < 2000
    y = 3 * x + random.normal(0, 15, 6000) + 1.5 * ours
    candidate, stable = adjusted(arm(y[ours], x[ours]), arm(y[~ours], x[~ours]))
    theta = np.linalg.lstsq(np.column_stack([x, ours, ~ours]), y, rcond=None)[0][0]
    flat = y - theta * (x - x.mean())
    assert candidate.mean == pytest.approx(flat[ours].mean())
    assert stable.mean == pytest.approx(flat[~ours].mean())
    assert candidate.variance == pytest.approx(flat[ours].var())
    assert stable.variance == pytest.approx(flat[~ours].var())
    # What it is for: the share of the spread that is left is 1 - r^2.
    assert stable.variance / y[~ours].var() == pytest.approx(1 - np.corrcoef(x[~ours], y[~ours])[0, 1] ** 2, abs=0.01)
    assert 1.5 in mean_difference(candidate, stable, 0.05)


def test_a_covariate_without_spread_and_an_arm_without_pairs_change_nothing():
    y = np.arange(10.0)
    candidate, stable = adjusted(arm(y, np.full(10, 7.0)), CovariateTotals(0))
    assert candidate == totals(y)
    assert stable == Totals(0)


@pytest.mark.parametrize("values", [[0.2], [0.0] * 40, [1.0] * 40, list(np.random.default_rng(5).beta(10, 30, 80))])
def test_the_bets_agree_with_every_gambler_followed_step_by_step(values):
    # A plain loop over a grid of means, as the paper states it: means against which neither capital ever reached 2 / alpha.
    grid = np.linspace(0.0005, 0.9995, 1000)
    for_more, for_less = np.ones(1000), np.ones(1000)
    kept = np.ones(1000, dtype=bool)
    total, spread = 0.5, 0.25
    for t, x in enumerate(values, start=1):
        stake = math.sqrt(2 * math.log(2 / 0.05) / (spread / t * t * math.log(1 + t)))
        for_more *= 1 + np.minimum(stake, 0.5 / grid) * (x - grid)
        for_less *= 1 - np.minimum(stake, 0.5 / (1 - grid)) * (x - grid)
        kept &= np.maximum(for_more, for_less) < 2 / 0.05
        total += x
        spread += (x - total / (t + 1)) ** 2
    found = bounded_mean_sequence(values, 0.05)
    assert found.low == pytest.approx(grid[kept].min(), abs=0.0011)
    assert found.high == pytest.approx(grid[kept].max(), abs=0.0011)


def test_bets_on_ratings_are_given_in_stars():
    stars = np.random.default_rng(6).integers(3, 6, 60)
    found = bounded_mean_sequence(stars, 0.05, Interval(1.0, 5.0))
    assert 1 < found.low < 4 < found.high < 5


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99])
def test_the_interval_of_a_quantile_holds_the_exact_one_of_a_single_look(quantile):
    values = np.random.default_rng(7).lognormal(3, 1, 3000)
    exact = stats.quantile_test(values, q=np.quantile(values, quantile), p=quantile).confidence_interval(0.95)
    found = quantile_sequence(values, quantile, 0.05, 3000)
    assert found.low <= exact.low < exact.high <= found.high
    assert found.width < 2.5 * (exact.high - exact.low)


def test_a_quantile_that_the_values_do_not_reach_yet_has_no_end():
    found = quantile_sequence(range(30), 0.99, 0.05, 400)
    assert found.high == math.inf
    assert math.isfinite(found.low)
    assert quantile_sequence(range(3), 0.5, 0.05, 400) == EVERYTHING


def test_values_that_are_all_equal_are_their_quantile():
    assert quantile_sequence([4.0] * 500, 0.5, 0.05, 400) == Interval(4.0, 4.0)


def test_a_difference_of_quantiles_is_seen_and_has_the_sign_of_the_candidate():
    random = np.random.default_rng(8)
    slow, quick = random.lognormal(3.5, 0.5, 4000), random.lognormal(3, 0.5, 4000)
    truth = math.exp(3.5) - math.exp(3)
    found = quantile_difference(slow, quick, 0.5, 0.05, 4000)
    assert 0 < found.low < truth < found.high
    assert quantile_difference([], quick, 0.5, 0.05, 4000) == EVERYTHING


@pytest.mark.parametrize("alpha", [0.5, 0.05, 1e-6])
def test_the_bound_of_the_distribution_is_above_that_of_a_single_look_and_ends_before_its_beginning(alpha):
    # Massart's constant in the inequality of Dvoretzky, Kiefer and Wolfowitz.
    single = math.sqrt(math.log(2 / alpha) / 2 / 1000)
    assert single < empirical_process_lil_bound(1000, alpha, 100) < 3 * single
    assert empirical_process_lil_bound(99, alpha, 100) == math.inf


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: rate_sequence(3, 2, 0.05, 10), "successes is 3 of 2 trials"),
        (lambda: rate_sequence(-1, 2, 0.05, 10), "successes is -1"),
        (lambda: rate_sequence(1, 2, 0.0, 10), "alpha is 0"),
        (lambda: rate_sequence(1, 2, 0.05, 0), "optimal_trials is 0"),
        (lambda: rate_log_evidence(1, 2, 1.0, 0.05, 10), "rate is 1"),
        (lambda: Totals(2, 10.0, 1.0), "cannot have the sum 10"),
        (lambda: Totals(-1), "count is -1"),
        (lambda: Totals(1, 1.0, math.inf), "squares is inf"),
        (lambda: Totals(1, math.nan, 1.0), "cannot have the sum nan"),
        (lambda: CovariateTotals(2, 1, 1, 1, 1, 5), "sum of products 5"),
        (lambda: bounded_mean_sequence([0.5, 1.5], 0.05), "Value 1 is 1.5"),
        (lambda: bounded_mean_sequence([math.nan], 0.05), "Value 0 is nan"),
        (lambda: bounded_mean_sequence([1.0], 0.05, Interval(2.0, 2.0)), "width is 0"),
        (lambda: quantile_sequence([1.0, math.nan], 0.5, 0.05, 10), "not a number"),
        (lambda: quantile_sequence([1.0], 1.0, 0.05, 10), "quantile is 1"),
        (lambda: empirical_process_lil_bound(10, 0.05, 1, 0.5), "amplitude is 0.5"),
    ],
)
def test_numbers_that_make_no_sense_are_refused_with_name_and_value(wrong, said):
    with pytest.raises(InvalidInput, match=said) as refused:
        wrong()
    assert refused.value.hint
