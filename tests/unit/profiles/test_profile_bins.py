"""The bins of a profile, held against numpy and scipy on the raw values.

What is counted is read off Python's own comparison of every value with every edge; the exact Kolmogorov-Smirnov distance is scipy's,
or, for a handful of values, its definition.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from fairlead.columns import Numbers
from fairlead.profiles.binning import MOST_BINS, grid, moments
from fairlead.profiles.counting import Batch, count, shape
from fairlead.schema import Column, Output, Schema

SCHEMA = Schema((Column("x", "number", nullable=True),), Output("regression"))
ANY = st.floats(width=64)
LISTS = st.lists(ANY, max_size=60)


def batch(values):
    return Batch(len(values), {"x": Numbers(np.asarray(values, np.float64), None)})


def counted(reference, values):
    return count(shape(batch(reference), SCHEMA), batch(values)).features[0]


def distance(one, other):
    """The Kolmogorov-Smirnov distance as far as bins tell it."""
    shares = [np.cumsum(counts.counts) / counts.finite for counts in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


@settings(max_examples=200, deadline=None)
@given(LISTS, LISTS)
def test_every_finite_value_is_in_the_bin_whose_ends_enclose_it(reference, values):
    one = counted(reference, values)
    ends = [-np.inf, *one.grid.edges(), np.inf]
    finite = [value for value in values if np.isfinite(value)]
    expected = [sum(low < value <= high for value in finite) for low, high in itertools.pairwise(ends[:-1])]
    assert list(one.counts) == [*expected, len(finite) - sum(expected)]


@settings(max_examples=100, deadline=None)
@given(LISTS, LISTS)
def test_what_is_not_finite_is_counted_by_its_kind(reference, values):
    one = counted(reference, values)
    assert one.missing == int(np.isnan(values).sum())
    assert one.positive_infinite == values.count(np.inf)
    assert one.negative_infinite == values.count(-np.inf)
    assert one.rows == len(values)


@settings(max_examples=200, deadline=None)
@given(st.lists(ANY, min_size=1, max_size=400))
def test_edges_rise_and_are_finite_but_for_the_end_of_all_numbers(values):
    edges = grid(np.array(values)).edges()
    assert np.all(np.diff(edges) > 0)
    assert np.isfinite(edges[1:]).all()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-100, 100).map(lambda tenths: tenths / 10), min_size=1, max_size=300), LISTS)
def test_few_distinct_values_tell_the_exact_distance_whatever_comes(reference, values):
    values = [value for value in values if np.isfinite(value)] or [0.05]
    one, other = np.array(reference), np.array(values)
    exact = max(abs(np.mean(one <= at) - np.mean(other <= at)) for at in (*reference, *values))
    assert distance(counted(reference, reference), counted(reference, values)) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize(
    "kind", ["normal", "lognormal", "cauchy", "zero_inflated", "rounded", "uniform_tiny", "many_digits"]
)
def test_bins_tell_the_distance_from_below_and_to_within_a_bin(kind):
    random = np.random.default_rng(7)
    draw = {
        "normal": lambda size, by: random.normal(by, 1, size),
        "lognormal": lambda size, by: random.lognormal(by, 2, size),
        "cauchy": lambda size, by: random.standard_cauchy(size) + by,
        "zero_inflated": lambda size, by: random.exponential(1, size) * (random.random(size) > 0.6 - by),
        "rounded": lambda size, by: np.round(random.normal(by, 1, size), 2),
        "uniform_tiny": lambda size, by: random.uniform(by * 1e-310, 5e-310, size),
        "many_digits": lambda size, by: random.choice(np.random.default_rng(1).normal(size=250), size) + by * 0,
    }[kind]
    reference, values = draw(20_000, 0.0), draw(3_000, 0.2)
    exact = ks_2samp(reference, values, method="asymp").statistic
    found = distance(counted(reference, reference), counted(reference, values))
    assert found <= exact + 1e-12
    assert found >= exact - 1.5 / MOST_BINS


def test_long_decimals_get_a_bin_for_each_value_too():
    values = np.random.default_rng(3).normal(size=200)
    one = counted(values, np.repeat(values, 2))
    assert sorted(count for count in one.counts if count) == [2] * 200


def test_bins_hold_about_equal_shares_and_their_cuts_are_near_numpys_quantiles():
    values = np.random.default_rng(5).normal(size=100_000)
    one = counted(values, values)
    shares = np.array(one.counts[1:-1]) / len(values)
    assert len(shares) == MOST_BINS
    assert shares.max() < 1.5 / MOST_BINS
    assert shares.min() > 0.5 / MOST_BINS
    ranks = np.arange(1, MOST_BINS) / MOST_BINS
    low, high = np.quantile(values, ranks - 0.15 / MOST_BINS), np.quantile(values, ranks + 0.15 / MOST_BINS)
    cuts = np.array(one.grid.cuts[1:-1])
    assert np.all((low <= cuts) & (cuts <= high))


def test_cuts_are_written_in_few_digits():
    cuts = grid(np.random.default_rng(5).normal(size=100_000)).cuts[1:-1]
    assert np.mean([len(repr(abs(cut))) for cut in cuts]) < 6.5


def test_a_frequent_value_is_told_apart_from_its_neighbours():
    random = np.random.default_rng(2)
    values = np.concatenate([np.zeros(5_000), random.exponential(1, 5_000)])
    one = counted(values, np.concatenate([np.zeros(70), np.full(30, 1e-9)]))
    at = int(np.searchsorted(one.grid.edges(), 0.0))
    assert one.counts[at : at + 2] == (70, 30)


def test_what_lies_beyond_the_reference_is_counted_as_under_or_over():
    reference = np.random.default_rng(4).uniform(10, 20, 5_000)
    one = counted(reference, [reference.min(), reference.max(), 9.0, 9.5, 20.5])
    assert (one.counts[0], one.counts[-1]) == (2, 1)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [np.nan] * 3,
        [np.inf, -np.inf],
        [3.0],
        [5e-324, 1e-310, -5e-324],
        [1e308, -1.7976931348623157e308, 1.7976931348623157e308],
        [2.0**53, 2.0**53 + 2, 2.0**60],
        [0.0, -0.0],
    ],
    ids=["empty", "missing", "infinite", "one", "subnormal", "greatest", "wide integers", "zeros"],
)
def test_odd_columns_are_counted_whole(values):
    one = counted(values, [*values, 1.0])
    assert one.rows == len(values) + 1
    assert sum(one.counts) == sum(map(np.isfinite, values)) + 1


@pytest.mark.parametrize("offset", [0.0, 1e9, -1e12])
def test_mean_and_deviation_are_numpys_far_from_zero(offset):
    values = np.random.default_rng(6).normal(offset, 1.0, 50_000)
    found = counted(values, values).moments
    assert found.mean == pytest.approx(values.mean(), abs=1e-9 + 1e-15 * abs(offset))
    assert found.deviation == pytest.approx((values - offset).std(ddof=1), rel=1e-4 if offset else 1e-12)
    assert found.deviation == pytest.approx((values - values[0]).std(ddof=1), rel=1e-10)
    assert (found.minimum, found.maximum, found.count) == (values.min(), values.max(), 50_000)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=40), LISTS)
def test_moments_never_fail_and_their_sums_are_numbers(reference, values):
    empty = moments(np.array(reference, np.float64))
    assert empty.scale > 0
    assert np.isfinite([empty.centre, empty.scale]).all()
    found = counted(reference, values).moments
    assert np.isfinite([found.first, found.second]).all()
    assert isinstance(found.mean, float)
    assert isinstance(found.deviation, float)
