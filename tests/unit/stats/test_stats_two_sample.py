"""The tests of drift against what their authors and textbooks publish, and against scipy on data that hypothesis makes."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fairlead.stats.correlation import (
    cohens_q,
    correlation_change,
    correlation_interval,
    correlation_p,
    correlation_reach,
    pearson,
)
from fairlead.stats.effects import (
    cramers_v,
    cramers_v_interval,
    jensen_shannon,
    population_stability,
    total_variation,
    wasserstein_from_edges,
    wasserstein_from_sorted,
)
from fairlead.stats.multiple import benjamini_hochberg
from fairlead.stats.two_sample import (
    chi_square,
    chi_square_reach,
    dvoretzky_interval,
    fisher_p,
    ks_from_counts,
    ks_from_sorted,
    ks_p,
    ks_reach,
    share_difference_interval,
    share_p,
    shares_differ,
)

NUMBERS = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=60)
FEW = st.lists(st.integers(0, 9), min_size=1, max_size=60)
QUICK = settings(max_examples=60, deadline=None, derandomize=True)


def rising(values):
    return np.sort(np.asarray(values, np.float64))


# Kolmogorov and Smirnov


@pytest.mark.parametrize(
    ("place", "spread", "statistic", "p"),
    [
        (0.5, 1.5, 0.20833333333333334, 5.129279597781977e-05),
        (0.01, 1.0, 0.10333333333333333, 0.14691437867433876),
    ],
)
def test_ks_equals_the_published_examples(place, spread, statistic, p):
    # scipy's reference page of `ks_2samp` up to version 1.6, with its seed and its samples of 200 and 300. (The third example of
    # that page is older than the exact p and no longer what scipy computes.)
    np.random.seed(12345678)  # noqa: NPY002 - the generator of the published example
    first = scipy.stats.norm.rvs(size=200, loc=0.0, scale=1)
    second = scipy.stats.norm.rvs(size=300, loc=0.5, scale=1.5)
    if place != 0.5:
        second = scipy.stats.norm.rvs(size=300, loc=0.01, scale=1.0)
    found = ks_from_sorted(rising(first), rising(second))
    assert found.statistic == pytest.approx(statistic, rel=1e-12)
    assert found.p == pytest.approx(p, rel=1e-9)


@QUICK
@given(NUMBERS, NUMBERS)
def test_ks_equals_scipys_exact_test(first, second):
    with warnings.catch_warnings(record=True) as given_up:
        warnings.simplefilter("always")
        truth = scipy.stats.ks_2samp(first, second, method="exact")
    assume(not given_up)  # scipy's falls back to the asymptotic p where its own counting fails, near p = 1
    found = ks_from_sorted(rising(first), rising(second))
    assert found.statistic == pytest.approx(truth.statistic, abs=1e-12)
    assert found.p == pytest.approx(truth.pvalue, rel=1e-9, abs=1e-300)


@QUICK
@given(FEW, FEW)
def test_ks_of_counts_equals_that_of_the_values_where_each_bin_is_a_value(first, second):
    counts = [np.bincount(one, minlength=10) for one in (first, second)]
    assert ks_from_counts(*counts) == pytest.approx(ks_from_sorted(rising(first), rising(second)))


@QUICK
@given(NUMBERS, NUMBERS)
def test_ks_of_bins_promises_less_and_never_more(first, second):
    edges = [-1e7, -1e3, 0.0, 1e3, 1e7]
    binned = ks_from_counts(*(np.histogram(one, edges)[0] for one in (first, second)))
    exact = ks_from_sorted(rising(first), rising(second))
    assert binned.statistic <= exact.statistic + 1e-12
    assert binned.p >= exact.p - 1e-12


@pytest.mark.parametrize(("n", "m"), [(1001, 1001), (50, 5000), (20_000, 3000), (100_000, 80_000)])
@pytest.mark.parametrize("scaled", [0.4, 0.8, 1.36, 2.5])
def test_ks_of_large_samples_equals_scipys_asymptotic_p(n, m, scaled):
    distance = min(0.999, scaled * math.sqrt((n + m) / (n * m)))
    truth = scipy.stats.kstwo.sf(distance, round(n * m / (n + m)))
    assert ks_p(distance, n, m) == pytest.approx(truth, rel=5e-3)


@pytest.mark.parametrize(("n", "m"), [(999, 1000), (500, 1000), (1000, 1000)])
def test_the_exact_and_the_asymptotic_p_meet_where_one_takes_over(n, m):
    # At two ends of a formula's range the same question has the same answer, to the precision that is promised.
    distance = 1.5 * math.sqrt((n + m) / (n * m))
    assert ks_p(distance, n, m) == pytest.approx(ks_p(distance, n, m + 1001 - m), rel=0.12)


def test_ks_is_one_where_nothing_overlaps_and_none_where_all_is_equal():
    apart = ks_from_sorted(np.arange(8.0), np.arange(8.0) + 100)
    assert apart.statistic == 1.0
    assert apart.p == pytest.approx(2 / math.comb(16, 8))  # of all orders of 16 values, two separate the samples
    assert ks_from_sorted(np.ones(5), np.ones(7)) == (0.0, 1.0)


def test_the_least_d_that_can_be_sure_is_that_of_smirnovs_table():
    # 1.36 sqrt((n+m)/nm) at 5 % and 1.63 at 1 %: Massey, J. American Statistical Association 46 (1951), table 1.
    assert ks_reach(0.05, 100, 100) == pytest.approx(1.36 * math.sqrt(0.02), rel=2e-3)
    assert ks_reach(0.01, 100, 100) == pytest.approx(1.63 * math.sqrt(0.02), rel=2e-3)


def test_the_interval_of_d_holds_d_and_stays_within_its_range():
    found = dvoretzky_interval(0.9, 50, 50)
    assert 0.9 in found
    assert found.high == 1.0
    assert dvoretzky_interval(0.01, 50, 50).low == 0.0


# χ²


def test_chi_square_equals_the_published_table():
    # scipy's reference page of `chi2_contingency`; [[10, 10, 20], [20, 20, 20]].
    found = chi_square([10, 10, 20], [20, 20, 20])
    assert found.statistic == pytest.approx(2.7777777777777777, rel=1e-12)
    assert found.p == pytest.approx(0.24935220877729622, rel=1e-12)
    assert found.degrees == 2


def test_a_window_against_a_reference_is_two_samples_and_not_one():
    # The counts of scipy's page of `chisquare`, as the table they are; 0.67309 would be the answer if the second row were known truth.
    found = chi_square([16, 18, 16, 14, 12, 12], [16, 16, 16, 16, 16, 8])
    assert found.statistic == pytest.approx(1.62241, abs=5e-6)
    assert found.p == pytest.approx(0.898526, abs=5e-7)
    assert found.degrees == 5


@QUICK
@given(st.lists(st.tuples(st.integers(20, 500), st.integers(20, 500)), min_size=2, max_size=12))
def test_chi_square_equals_scipys(table):
    first, second = zip(*table, strict=True)
    truth = scipy.stats.chi2_contingency([first, second], correction=False)
    found = chi_square(first, second)
    if (truth.expected_freq >= 5).all():
        assert found.statistic == pytest.approx(truth.statistic, rel=1e-9, abs=1e-9)
        assert found.p == pytest.approx(truth.pvalue, rel=1e-9)


def test_rare_levels_are_pooled_and_the_pooled_table_is_tested():
    found = chi_square([100, 50, 2, 3, 4], [90, 55, 4, 3, 2])
    truth = scipy.stats.chi2_contingency([[100, 50, 9], [90, 55, 9]], correction=False)
    assert found.first.tolist() == [100, 50, 9]
    assert found.statistic == pytest.approx(truth.statistic)
    assert found.p == pytest.approx(truth.pvalue / 0.9)
    assert found.rare is None


def test_a_new_level_is_found_however_large_the_reference_is():
    found = chi_square([6000, 4000, 0], [96, 64, 40])
    assert found.rare == 2
    truth = scipy.stats.fisher_exact([[0, 40], [10_000, 160]])
    assert found.p <= truth.pvalue * 60


@QUICK
@given(st.integers(0, 30), st.integers(0, 30), st.integers(30, 200), st.integers(30, 200))
def test_the_exact_test_of_a_level_is_fishers(one, other, n, m):
    # Fisher's p as twice the smaller tail; scipy gives each tail.
    table = [[one, other], [n - one, m - other]]
    tails = [scipy.stats.fisher_exact(table, alternative=side).pvalue for side in ("less", "greater")]
    assert fisher_p([one], [other], n, m)[0] == pytest.approx(min(1.0, 2 * min(tails)), rel=1e-7)


@pytest.mark.parametrize(("first", "second"), [([5], [9]), ([0, 7], [0, 7]), ([1, 0], [0, 1]), ([3, 0], [2, 0])])
def test_a_table_that_can_show_nothing_is_no_error(first, second):
    assert chi_square(first, second).p == 1.0


def test_each_difference_as_large_as_the_reach_is_sure():
    random = np.random.default_rng(5)
    for _ in range(200):
        p, q = random.dirichlet(np.ones(6), 2)
        n, m = 3000, 9000
        first, second = n * p, m * q
        truth = scipy.stats.chi2_contingency([first, second], correction=False)
        if total_variation(first, second) >= chi_square_reach(0.05, 5, n, m):
            assert truth.pvalue <= 0.05


# Shares


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        ((48, 80), (56, 70), 0.0524, 0.3339),
        ((3, 10), (9, 10), 0.1705, 0.8090),
        ((2, 7), (6, 7), 0.0582, 0.8062),
        ((0, 29), (5, 56), -0.0381, 0.1926),
        ((0, 20), (0, 10), -0.1611, 0.2775),
        ((0, 20), (10, 10), 0.6791, 1.0),
    ],
)
def test_the_interval_of_a_difference_of_shares_is_newcombes(first, second, low, high):
    # Newcombe 1998, table II, method 10, contrasts (a) to (g).
    found = share_difference_interval(*first, *second)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


def test_two_shares_are_compared_as_a_table_is():
    # z² is χ² of the table of two by two (without Yates).
    found = shares_differ(30, 400, 80, 500)
    truth = scipy.stats.chi2_contingency([[30, 370], [80, 420]], correction=False)
    assert found.statistic**2 == pytest.approx(truth.statistic)
    assert found.p == pytest.approx(truth.pvalue)
    assert not found.exact
    assert found.statistic > 0


def test_few_are_compared_exactly_and_none_not_at_all():
    assert share_p(0, 10_000, 2, 50) == (pytest.approx(2 * scipy.stats.fisher_exact([[0, 10_000], [2, 48]])[1]), True)
    assert shares_differ(0, 10, 0, 20).p == 1.0
    assert shares_differ(10, 10, 20, 20).p == 1.0


# Effects


@QUICK
@given(NUMBERS, NUMBERS)
def test_wasserstein_equals_scipys(first, second):
    truth = scipy.stats.wasserstein_distance(first, second)
    assert wasserstein_from_sorted(rising(first), rising(second)) == pytest.approx(truth, rel=1e-7, abs=1e-6)


def test_wasserstein_of_fine_bins_is_near_the_exact_one():
    random = np.random.default_rng(3)
    first, second = random.normal(size=5000), random.normal(0.3, 1.4, size=3000)
    edges = np.linspace(-8, 8, 257)
    binned = wasserstein_from_edges(edges, *(np.histogram(one, edges)[0] for one in (first, second)))
    assert binned == pytest.approx(scipy.stats.wasserstein_distance(first, second), rel=0.02)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=2, max_size=8))
def test_jensen_shannon_equals_scipys_and_total_variation_its_definition(table):
    from scipy.spatial.distance import jensenshannon

    first, second = (np.array([*one, 1], float) for one in zip(*table, strict=True))
    assert jensen_shannon(first, second) == pytest.approx(jensenshannon(first, second), abs=1e-7)
    assert total_variation(first, second) == pytest.approx(
        max(0.0, sum(max(0.0, a / first.sum() - b / second.sum()) for a, b in zip(first, second, strict=True)))
    )


def test_population_stability_is_its_definition():
    first, second = np.array([10.5, 20.5, 30.5]), np.array([20.5, 20.5, 20.5])
    p, q = first / first.sum(), second / second.sum()
    assert population_stability(first - 0.5, second - 0.5) == pytest.approx(
        scipy.stats.entropy(p, q) + scipy.stats.entropy(q, p)
    )
    assert math.isfinite(population_stability([0, 10], [10, 0]))


def test_cramers_v_loses_its_bias():
    # Bergsma 2013, definition; without correction V of independent columns is sqrt(df/n) on average, with it about 0.
    assert cramers_v(9.0, 9, 1000) == 0.0
    assert cramers_v(1000.0, 1, 1000) == pytest.approx(1.0)
    phi = 50 / 400 - 4 / 399
    assert cramers_v(50.0, 4, 400) == pytest.approx(math.sqrt(phi / (1 - 1 / 399)))
    assert cramers_v(3.0, 0, 10) == 0.0


def test_the_interval_of_v_is_where_the_noncentral_distribution_puts_it():
    found = cramers_v_interval(30.0, 3, 500)
    low, high = (500 * end**2 for end in (found.low, found.high))
    assert scipy.stats.ncx2.cdf(30.0, 3, low) == pytest.approx(0.975, abs=1e-4)
    assert scipy.stats.ncx2.cdf(30.0, 3, high) == pytest.approx(0.025, abs=1e-4)
    assert cramers_v_interval(0.1, 3, 500).low == 0.0


# Correlations


def test_pearson_equals_the_published_example():
    # scipy's reference page of `pearsonr`.
    r = pearson(range(1, 8), [10, 9, 2.5, 6, 4, 3, 2])
    assert r == pytest.approx(-0.8285038835884277, rel=1e-12)
    assert correlation_p(r, 7) == pytest.approx(0.021280260007523342, rel=1e-10)


def test_two_correlations_differ_as_cohen_tables_it():
    # Cohen 1988, table 4.2.1: q of r = 0.50 and 0.40 is 0.549 − 0.424; Fisher's z to three digits.
    assert cohens_q(0.5, 0.4) == pytest.approx(0.549 - 0.424, abs=1e-3)
    found = correlation_change(0.5, 103, 0.4, 53)
    spread = math.sqrt(1 / 100 + 1 / 50)
    assert found.statistic == pytest.approx((math.atanh(0.5) - math.atanh(0.4)) / spread)
    assert found.p == pytest.approx(2 * scipy.stats.norm.sf(found.statistic))
    assert found.effect in found.interval


def test_the_least_change_of_a_correlation_that_can_be_sure_has_that_p():
    least = correlation_reach(0.05, 200, 500)
    assert correlation_change(math.tanh(least), 200, 0.0, 500).p == pytest.approx(0.05)


def test_the_interval_of_a_correlation_equals_scipys():
    truth = scipy.stats.pearsonr(range(1, 8), [10, 9, 2.5, 6, 4, 3, 2]).confidence_interval()
    found = correlation_interval(-0.8285038835884277, 7)
    assert (found.low, found.high) == pytest.approx(tuple(truth))


def test_what_does_not_vary_has_no_correlation_and_one_is_not_infinite():
    assert math.isnan(pearson([1, 1, 1], [1, 2, 3]))
    assert math.isnan(pearson([1], [1]))
    assert correlation_p(0.9, 2) == 1.0
    assert math.isfinite(cohens_q(1.0, -1.0))


# Many tests


@QUICK
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_adjusted_p_values_equal_scipys(p):
    assert benjamini_hochberg(p) == pytest.approx(scipy.stats.false_discovery_control(p), abs=1e-12)


def test_no_p_values_stay_none():
    assert len(benjamini_hochberg([])) == 0
