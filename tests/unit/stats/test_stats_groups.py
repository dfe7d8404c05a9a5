"""Boundaries, mismatch and plans against scipy's multivariate laws and against their own claims."""

import math

import numpy as np
import pytest
from scipy import stats

from fairlead.errors import InvalidInput
from fairlead.stats.groups import exit_probabilities, obrien_fleming, pocock, spending_bounds, spent
from fairlead.stats.mismatch import Division, chi_square_p, log_e
from fairlead.stats.planning import (
    PlannedStep,
    Rates,
    clean_answers_needed,
    counts_for_mean_difference,
    optimal_trials,
    requests_to_decide,
)
from fairlead.stats.sequences import asymptotic_radius, rate_sequence

STEPS = [PlannedStep(share, 1000) for share in (0.05, 0.1, 0.25, 0.5)]


def surviving(fractions, bounds):
    """The chance to stay inside at all looks: z_k are normal with correlation sqrt(t_i / t_j); scipy integrates."""
    root = np.sqrt(fractions)
    correlation = np.minimum.outer(root, root) / np.maximum.outer(root, root)
    law = stats.multivariate_normal(cov=correlation, seed=1, abseps=5e-6, releps=5e-6, maxpts=1_000_000)
    return law.cdf(bounds, lower_limit=-np.asarray(bounds))


@pytest.mark.parametrize("fractions", [(0.2, 0.4, 0.6, 0.8, 1.0), (0.1, 0.15, 0.9), (0.5, 1.0)])
def test_a_spending_boundary_spends_at_each_look_what_it_may(fractions):
    bounds = spending_bounds(fractions, 0.05)
    for looks in range(1, len(fractions) + 1):
        outside = 1 - surviving(fractions[:looks], bounds[:looks])
        assert outside == pytest.approx(0.05 * fractions[looks - 1] ** 2, abs=2e-5)


@pytest.mark.slow
def test_the_constants_spend_alpha_and_no_more():
    fractions = [look / 6 for look in range(1, 7)]
    even, late = pocock(6, 0.01), obrien_fleming(6, 0.01)
    assert 1 - surviving(fractions, [even] * 6) == pytest.approx(0.01, abs=2e-5)
    assert 1 - surviving(fractions, [late / math.sqrt(t) for t in fractions]) == pytest.approx(0.01, abs=2e-5)


def test_one_look_is_the_usual_test():
    usual = stats.norm.ppf(0.975)
    assert pocock(1, 0.05) == pytest.approx(usual)
    assert obrien_fleming(1, 0.05) == pytest.approx(usual)
    assert spending_bounds([1.0], 0.05)[0] == pytest.approx(usual, abs=1e-6)


def test_looks_that_are_close_together_and_a_first_look_at_nothing_are_borne():
    fractions = [1e-9, 0.5, 0.5002, 1.0]
    bounds = spending_bounds(fractions, 0.05)
    assert all(math.isfinite(bound) for bound in bounds)
    assert sum(exit_probabilities(fractions, bounds)) == pytest.approx(0.05, abs=1e-6)
    assert spent(0.5, 0.05) == 0.0125


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: spending_bounds([0.5, 0.5], 0.05), "The look at 0.5 comes after 0.5"),
        (lambda: spending_bounds([0.5, 1.5], 0.05), "The look at 1.5"),
        (lambda: exit_probabilities([0.5, 1.0], [2.0]), "2 looks and 1 bounds"),
        (lambda: pocock(0, 0.05), "looks is 0"),
        (lambda: spent(0.5, 1.0), "alpha is 1"),
        (lambda: Division((1.0,), (1, 2)), "1 weights and 2 counts"),
        (lambda: Division((0.0, 0.0), (1, 2)), "weights is 0"),
        (lambda: Division((1.0, -1.0), (1, 2)), "weight is -1"),
        (lambda: Division((1.0, 1.0), (1, -2)), "count is -2"),
        (lambda: log_e([], 0.0), "concentration is 0"),
        (lambda: requests_to_decide([], Rates(0.05, 0.01), 1.0, 0.05), "no step"),
        (lambda: Rates(1.05, 0.01), "candidate is 1.05"),
        (lambda: Rates(0.05, math.nan), "stable is nan"),
        (lambda: PlannedStep(0.5, 0), "requests is 0"),
        (lambda: optimal_trials(0), "limit is 0"),
        (lambda: counts_for_mean_difference(0.0, 1.0, 0.5, 0.05), "difference is 0"),
        (lambda: counts_for_mean_difference(1e-9, 1.0, 0.5, 0.05), "No amount of data"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, said):
    with pytest.raises(InvalidInput, match=said):
        wrong()


@pytest.mark.parametrize(("weights", "counts"), [((0.5, 0.5), (600, 400)), ((90, 9, 1), (880, 105, 15))])
def test_a_mismatch_is_a_dirichlet_multinomial_over_a_multinomial_and_pearsons_test(weights, counts):
    shares = np.array(weights) / sum(weights)
    division = Division(tuple(map(float, weights)), counts)
    expected = stats.dirichlet_multinomial.logpmf(counts, 100 * shares, sum(counts)) - stats.multinomial.logpmf(
        counts, sum(counts), shares
    )
    assert log_e([division]) == pytest.approx(expected, abs=1e-8)
    assert chi_square_p([division]) == pytest.approx(stats.chisquare(counts, shares * sum(counts)).pvalue)


def test_steps_add_up_and_empty_ones_say_nothing():
    first, second = Division((0.9, 0.1), (880, 120)), Division((0.5, 0.5), (510, 490))
    assert log_e([first, second, Division((0.5, 0.5), (0, 0))]) == pytest.approx(log_e([first]) + log_e([second]))
    assert chi_square_p([first, second]) < chi_square_p([second])
    assert chi_square_p([]) == 1.0
    assert chi_square_p([Division((1.0, 0.0), (10, 0)), Division((0.5, 0.5), (0, 0))]) == 1.0
    assert log_e([Division((1.0, 0.0), (10, 0))]) == pytest.approx(0.0, abs=1e-9)


def test_an_arm_that_should_get_nothing_and_does_is_certain():
    wrong = Division((1.0, 0.0), (10**6, 1))
    assert log_e([wrong]) == math.inf
    assert chi_square_p([wrong]) == 0.0


def test_huge_counts_stay_finite():
    assert math.isfinite(log_e([Division((0.5, 0.5), (10**12, 10**12))]))
    assert log_e([Division((0.5, 0.5), (10**12, 2 * 10**12))]) > 1e9


@pytest.mark.parametrize("limit", [0.9, 0.013, 1e-7])
@pytest.mark.parametrize("alpha", [0.2, 0.0125])
def test_the_planned_answers_are_the_first_that_suffice(limit, alpha):
    needed = clean_answers_needed(limit, alpha)
    assert rate_sequence(0, needed, alpha, optimal_trials(limit)).high < limit
    assert rate_sequence(0, needed - 1, alpha, optimal_trials(limit)).high >= limit


def test_a_rise_that_the_margin_bears_is_never_found():
    assert requests_to_decide(STEPS, Rates(0.01, 0.01), 1.25, 0.05) is None
    assert requests_to_decide(STEPS, Rates(0.0, 0.0), 1.25, 0.05) is None
    assert requests_to_decide(STEPS, Rates(0.02, 0.01), 1.25, 0.05, "safety") is None


def test_a_larger_rise_and_a_larger_alpha_need_fewer_requests():
    needed = [requests_to_decide(STEPS, Rates(rate, 0.01), 1.25, 0.05) for rate in (0.014, 0.02, 0.05, 1.0)]
    assert needed == sorted(needed, reverse=True)
    assert requests_to_decide(STEPS, Rates(0.05, 0.01), 1.25, 0.0125) > needed[2]
    # Everything fails at 5 %: about three failures, at one of twenty requests.
    assert 30 < needed[3] < 100


def test_the_planned_counts_are_the_first_that_tell_the_difference():
    needed = counts_for_mean_difference(2.0, 30.0, 0.1, 0.05)

    def radius(count):
        return asymptotic_radius(30.0 / math.sqrt(count * 0.09), count, 0.05, 5000)

    assert radius(needed) <= 2.0 < radius(needed - 1)
    # However large the difference, each arm needs its hundred.
    assert counts_for_mean_difference(1e9, 30.0, 0.1, 0.05) == 1000
