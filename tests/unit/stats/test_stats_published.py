"""The methods against the values that their authors, or the textbooks, publish.

Mixtures, bounds and Bernoulli intervals: confseq's `test/uniform_boundaries_unittest.cpp` ("all target values are from a reference
implementation in R") and the intervals that its `bernoulli_confidence_interval` gives. Pocock and O'Brien-Fleming: Jennison, Turnbull,
"Group Sequential Methods", tables 2.1 and 2.3.
"""

import math

import pytest

from fairlead.stats.groups import obrien_fleming, pocock
from fairlead.stats.mismatch import Division, chi_square_p
from fairlead.stats.mixtures import (
    Increments,
    best_rho,
    beta_binomial_bound,
    beta_binomial_log_mixture,
    normal_bound,
    normal_log_mixture,
    tuned_rho,
)
from fairlead.stats.planning import clean_answers_needed
from fairlead.stats.quantiles import empirical_process_lil_bound
from fairlead.stats.sequences import rate_sequence

BERNOULLI = Increments(below=0.2, above=0.8)


def near(value):
    return pytest.approx(value, abs=1e-5)


def test_the_best_precision_at_an_intrinsic_time():
    assert best_rho(100, 0.05) == near(12.60056)


@pytest.mark.parametrize(("sides", "evidence", "bound"), [(2, -0.6510052, 30.35209), (1, -0.06502391, 27.66071)])
def test_the_normal_mixture_and_its_bound(sides, evidence, bound):
    rho = tuned_rho(100, 0.05, sides)
    assert normal_log_mixture(10, 100, rho, sides) == near(evidence)
    assert normal_bound(100, 0.05, rho, sides) == near(bound)


@pytest.mark.parametrize(("sides", "evidence", "bound"), [(2, -0.6941012, 31.4308), (1, -0.07134019, 28.41238)])
def test_the_beta_binomial_mixture_and_its_bound(sides, evidence, bound):
    rho = tuned_rho(100, 0.05, sides)
    assert beta_binomial_log_mixture(10, 100, BERNOULLI, rho, sides) == near(evidence)
    assert beta_binomial_bound(100, 0.05, BERNOULLI, rho, sides) == near(bound)


def test_the_bound_of_the_whole_empirical_distribution():
    assert empirical_process_lil_bound(1000, 0.05, 100, 0.85) == near(0.08204769)


@pytest.mark.parametrize(
    ("successes", "trials", "optimal", "low", "high"),
    [
        (700, 1000, 100, 0.651629, 0.745949),
        (15, 50, 50, 0.129556, 0.511896),
        (5, 50, 50, 0.013021, 0.269264),
        (1, 50, 50, 0.0, 0.13489),
        (100, 200, 1, 0.328923, 0.671076),
        (0, 1, 50, 0.0, 1.0),
        (1, 1, 50, 0.0, 1.0),
    ],
)
def test_the_interval_of_a_rate(successes, trials, optimal, low, high):
    found = rate_sequence(successes, trials, 0.05, optimal)
    assert found.low == near(low)
    assert found.high == near(high)


@pytest.mark.parametrize(("looks", "evenly", "late"), [(2, 2.178, 1.977), (5, 2.413, 2.040), (10, 2.555, 2.087)])
def test_the_constants_of_pocock_and_of_obrien_and_fleming(looks, evenly, late):
    assert round(pocock(looks, 0.05), 3) == evenly
    # The tables cut the fourth digit of one of them.
    assert obrien_fleming(looks, 0.05) == pytest.approx(late, abs=6e-4)


def test_the_p_value_of_a_sample_ratio_mismatch():
    assert chi_square_p([Division((0.5, 0.5), (600, 400))]) == pytest.approx(2.54e-10, rel=1e-3)


@pytest.mark.parametrize(("limit", "answers"), [(0.05, 76), (0.02, 193), (0.01, 389), (0.005, 780), (0.001, 3912)])
def test_how_many_answers_without_a_failure_a_limit_needs(limit, answers):
    # From the reference implementation, with the interval tuned for 3 / limit trials; never fewer than a single look needs.
    assert clean_answers_needed(limit, 0.05) == answers
    assert answers > math.log(0.05) / math.log1p(-limit)
