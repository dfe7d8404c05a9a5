"""Concept drift: correlations against scipy's, Fisher's z against its formula, and data whose relation is known to change or not."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from fairlead.columns import Names, Numbers
from fairlead.monitor.measures.concept import concept
from fairlead.monitor.settings import DEFAULTS, Settings
from fairlead.monitor.verdicts import verdicts
from fairlead.profiles.counting import Batch, count, profile_of
from fairlead.profiles.profile import Profile, Relation
from fairlead.schema import Column, Output, Schema

NUMBERS = Schema((Column("x", "number"), Column("z", "number")), Output("regression", "y"))
CLASSES = Schema((Column("x", "number"), Column("z", "number")), Output("classification", "y", ("no", "yes")))


def rows(seed, n, slope, labelled=1.0):
    """`x` has correlation slope/√(slope² + 1) with the target, `z` none."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.exponential(size=n)
    y = slope * x + rng.normal(size=n)
    y[rng.random(n) >= labelled] = np.nan
    return Batch(n, {"x": Numbers(x, None), "z": Numbers(z, None)}, None, {}, Numbers(y, None))


def judged(reference, current, settings=DEFAULTS):
    found = concept(reference, current, settings)
    return {one.subject: one for one in verdicts(found, settings.thresholds.q)}


def compared(before, now, schema=NUMBERS, settings=DEFAULTS):
    reference = profile_of(before, schema)
    return judged(reference, count(reference, now), settings)


def related(correlation, n, name="x"):
    """A relation with this correlation, in sums of standardised values."""
    return Relation(name, "", count=n, sums=(0.0, 0.0, float(n), float(n), correlation * n))


def profiles(first, second, n=1000, m=1000):
    return tuple(Profile(one.count, (), (one,), labels=one.count) for one in (related(first, n), related(second, m)))


def test_a_correlation_is_scipys():
    one = rows(1, 500, 0.8)
    found = compared(one, one)["x"]
    assert found.value == pytest.approx(scipy_stats.pearsonr(one.inputs["x"].values, one.target.values).statistic)


def test_z_is_fishers():
    """r = 0.5 and 0.3, 103 rows each: (0.549306 − 0.309520)/√(2/100) = 1.695546, two-sided p 0.0900."""
    found = judged(*profiles(0.3, 0.5, 103, 103))["x"]
    assert found.statistic == pytest.approx(1.695546, abs=1e-6)
    assert found.p == pytest.approx(0.0900, abs=1e-4)
    assert found.effect == pytest.approx(0.239787, abs=1e-6)
    assert found.verdict == "insufficient"  # a q of 0.1 would be no surprise in 103 rows


def test_a_relation_that_changed_is_found_and_the_others_are_stable():
    found = compared(rows(1, 5000, 0.8), rows(2, 3000, 0.3))
    assert {name: one.verdict for name, one in found.items()} == {"x": "drift", "z": "stable"}
    assert "correlation with the label is r = 0.286 (was 0.626)" in found["x"].because


def test_a_change_that_is_sure_and_small_does_not_count():
    found = judged(*profiles(0.50, 0.53, 100_000, 100_000))["x"]
    assert (found.verdict, found.p < 0.001) == ("stable", True)


def test_without_change_hardly_any_run_alarms():
    reference = profile_of(rows(1, 20_000, 0.8), NUMBERS)
    alarms = 0
    for seed in range(300):
        found = judged(reference, count(reference, rows(1000 + seed, 1000, 0.8)))
        alarms += any(one.verdict == "drift" for one in found.values())
    assert alarms <= 15


def test_names_and_classes_are_related_too():
    def table(seed, strength):
        rng = np.random.default_rng(seed)
        codes = rng.integers(0, 3, 4000)
        late = rng.random(4000) < np.array([0.5 - strength, 0.5, 0.5 + strength])[codes]
        return Batch(
            4000,
            {"carrier": Names(codes, ("AA", "B6", "UA"))},
            None,
            {},
            Names(late.astype(int), ("no", "yes")),
        )

    schema = Schema((Column("carrier", "string", categories=("AA", "B6", "UA")),), CLASSES.output)
    assert compared(table(1, 0.3), table(2, 0.3), schema)["carrier"].verdict == "stable"
    assert compared(table(1, 0.3), table(2, 0.0), schema)["carrier"].verdict == "drift"


# -- odd data ----------------------------------------------------------------------------------------------------------


def test_few_labels_are_insufficient():
    found = compared(rows(1, 1000, 0.8), rows(2, 99, 0.0))
    assert {one.verdict for one in found.values()} == {"insufficient"}
    assert "100 labels are needed" in found["x"].because


def test_labels_of_few_answers_are_insufficient():
    found = compared(rows(1, 1000, 0.8), rows(2, 1000, 0.0, labelled=0.3))["x"]
    assert found.verdict == "insufficient"
    assert "of 1,000 answers have a label" in found.because


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_rows_are_insufficient(n):
    assert {one.verdict for one in compared(rows(1, 1000, 0.8), rows(2, n, 0.8)).values()} == {"insufficient"}


def test_what_never_varies_is_named():
    flat = rows(2, 500, 0.8)
    column = compared(rows(1, 500, 0.8), flat._replace(inputs={**flat.inputs, "x": Numbers(np.full(500, 3.0), None)}))
    assert "in the window it never varies" in column["x"].because
    label = compared(rows(1, 500, 0.8), flat._replace(target=Numbers(np.ones(500), None)))
    assert "the label never varies" in label["x"].because
    assert {one.verdict for one in label.values()} == {"insufficient"}


def test_a_column_that_is_all_missing_is_insufficient():
    gone = rows(2, 500, 0.8)
    found = compared(rows(1, 500, 0.8), gone._replace(inputs={"x": Numbers(np.full(500, np.nan), None)}))
    assert {one.verdict for one in found.values()} == {"insufficient"}
    assert "0 rows with both" in found["x"].because


def test_exact_correlations_are_told_in_words():
    found = judged(*profiles(0.5, 1.0))["x"]
    assert (found.verdict, "as if it told the label itself" in found.because) == ("drift", True)
    assert np.isfinite(found.effect)
    same = judged(*profiles(-1.0, -1.0))["x"]
    assert (same.verdict, "is exact" in same.because) == ("stable", True)


def test_columns_that_are_not_watched_are_left_out():
    found = compared(rows(1, 500, 0.8), rows(2, 500, 0.8), settings=Settings(columns=("z",)))
    assert set(found) == {"z"}


def test_a_reference_without_labels_relates_nothing():
    assert concept(Profile(100, ()), Profile(100, (), labels=100), DEFAULTS) == []
