"""Names, classes and what proved true in a profile, held against Python's `Counter`, numpy's `corrcoef` and sums row by row."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.columns import Names, Numbers
from fairlead.profiles.counting import Batch, count, profile_of, shape
from fairlead.schema import Column, Output, Schema, label_text

REGRESSION = Output("regression", "delay")
CLASSES = Output("classification", "late", (False, True), probabilities=True)


def names(entries):
    values = list(dict.fromkeys(one for one in entries if one is not None))
    codes = {value: code for code, value in enumerate(values)} | {None: -1}
    return Names(np.array([codes[one] for one in entries], np.int64), values)


def of_column(column, reference, values):
    schema = Schema((column,), REGRESSION)
    return count(
        shape(Batch(len(reference), {column.name: names(reference)}), schema),
        Batch(len(values), {column.name: names(values)}),
    ).features[0]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "ç", ""]) | st.none(), max_size=30),
    st.lists(st.sampled_from(["a", "b", "ç", "", "d", "e"]) | st.none(), max_size=30),
)
def test_levels_are_counted_as_counter_does_and_new_ones_by_name(reference, values):
    column = Column("x", "string", nullable=True, categories=("a", "b"))
    one, expected = of_column(column, reference, values), Counter(values)
    assert one.complete
    assert set(one.counts) == {"a", "b", *reference} - {None}
    assert one.counts == {level: expected[level] for level in one.counts}
    assert one.new == {level: often for level, often in expected.items() if level not in {*one.counts, None}}
    assert (one.missing, one.rows) == (expected[None], len(values))


def test_levels_stand_most_frequent_first():
    one = of_column(Column("x", "string"), ["b", "a", "b", "c", "c", "c"], [])
    assert list(one.counts) == ["c", "b", "a"]


def test_of_more_than_a_thousand_levels_the_most_frequent_are_named_and_the_rest_is_other():
    reference = [f"often {number:04}" for number in range(1_200) for _ in range(6 + (number < 1_000))]
    one = of_column(Column("x", "string"), reference, ["often 0001", "often 1199", "never seen"])
    assert len(one.counts) == 1_000
    assert not one.complete
    assert (one.counts["often 0001"], one.other, one.new) == (1, 2, {})


def test_free_text_leaves_no_entry_of_anybody_in_the_profile():
    reference = [f"a letter of {number}" for number in range(400)] + ["no comment"] * 100
    one = of_column(Column("x", "string"), reference, ["no comment", "a letter of 7", "a new letter"])
    assert list(one.counts) == ["no comment"]
    assert (one.counts["no comment"], one.other, one.new) == (1, 2, {})


def test_a_new_text_that_is_very_long_is_counted_without_its_name():
    one = of_column(Column("x", "string", categories=("a",)), ["a"], ["b" * 10_000, "\ud800", "c"])
    assert (one.new, one.unnamed) == ({"c": 1}, 2)


@pytest.mark.parametrize(
    ("column", "reference", "values", "counts", "new"),
    [
        (Column("x", "boolean"), [0, 1, 1], [1, 1, 0, np.nan], {"false": 1, "true": 2}, {}),
        (Column("x", "integer", categories=(3, 1)), [3, 1, 3], [1, 7, 3, 3], {"3": 2, "1": 1}, {"7": 1}),
        (
            Column("x", "number", categories=(1.5, 2.0)),
            [1.5],
            [2, 2.25, 1e300],
            {"1.5": 0, "2.0": 1},
            {"2.25": 1, "1e+300": 1},
        ),
    ],
    ids=["booleans", "whole numbers", "numbers"],
)
def test_numbers_that_are_names_find_their_levels(column, reference, values, counts, new):
    schema = Schema((column,), REGRESSION)
    made = shape(Batch(3, {"x": Numbers(np.array(reference, np.float64), None)}), schema)
    one = count(made, Batch(4, {"x": Numbers(np.array(values, np.float64), None)})).features[0]
    assert one.counts == counts
    assert one.new == new
    assert one.rows == len(values)


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.bool_, np.uint8], ids=["int64", "float32", "bool", "uint8"])
def test_arrays_of_any_numbers_are_counted_with_their_mask(kind):
    schema = Schema((Column("n", "number"), Column("b", "boolean")), REGRESSION)
    values, gone = np.array([1, 0, 0, 1, 1, 1], kind), np.arange(6) == 5
    truth = Numbers(np.arange(6.0), None)
    batch = Batch(6, {name: Numbers(values, gone) for name in "nb"}, target=truth)
    made = profile_of(batch, schema)
    assert (made.find("n").finite, made.find("n").missing, made.find("n").moments.mean) == (5, 1, pytest.approx(0.6))
    assert (made.find("b").counts, made.find("b").missing) == ({"true": 3, "false": 2}, 1)
    assert [(one.name, one.count) for one in made.relations] == [("n", 5), ("b", 2)]  # of names, every second row


def test_an_entry_of_another_kind_is_counted_where_it_fits():
    schema = Schema((Column("n", "number"), Column("s", "string", categories=("a", "b"))), REGRESSION)
    columns = {"n": Numbers(np.array([1.0, 2.0]), None), "s": names(["a", "b"])}
    swapped = count(shape(Batch(2, columns), schema), Batch(2, {"n": columns["s"], "s": columns["n"]}))
    assert swapped.find("n").missing == 2
    assert swapped.find("s").new == {"1": 1, "2": 1}


def test_a_column_that_a_batch_lacks_is_counted_as_no_entries():
    schema = Schema((Column("n", "number"), Column("s", "string")), REGRESSION)
    columns = {"n": Numbers(np.array([1.0, 2.0]), None), "s": names(["a", "b"])}
    found = count(shape(Batch(2, columns), schema), Batch(5, {}))
    assert (found.rows, found.find("n").rows, found.find("s").rows) == (5, 0, 0)


@pytest.mark.parametrize("how", ["hash", "drop"])
def test_of_a_sensitive_column_only_missing_entries_are_counted(how):
    schema = Schema(
        (
            Column("n", "number", sensitive=how, minimum=1.0),
            Column("s", "string", sensitive=how, categories=("a@b.example",)),
        ),
        REGRESSION,
    )
    columns = {"n": Numbers(np.array([1.5, np.nan, 3.5]), None), "s": names(["a@b.example", None, None])}
    made = profile_of(Batch(3, columns, target=Numbers(np.arange(3.0), None)), schema)
    number, name = made.features[:2]
    assert (number.withheld, number.counts, number.missing, number.moments.count) == (True, (2,), 1, 0)
    assert (name.withheld, name.counts, name.other, name.new, name.missing) == (True, {}, 1, {}, 2)
    assert not made.relations
    assert "b.example" not in repr(made)


def answered(rows, seed):
    """Rows of a model whose scores are true: x and the level tell the probability."""
    random = np.random.default_rng(seed)
    x, level = random.normal(size=rows), random.integers(0, 3, rows)
    score = 1 / (1 + np.exp(-(x + level - 1)))
    late = random.random(rows) < score
    return x, level, score, late


def as_batch(x, level, score, late):
    return Batch(
        len(x),
        {"x": Numbers(x, None), "level": Names(level, ["p", "q", "r"])},
        Names((score > 0.5).astype(np.int64), [False, True]),
        {"false": 1 - score, "true": score},
        Names(late.astype(np.int64), [False, True]),
    )


SCHEMA = Schema((Column("x", "number"), Column("level", "string")), CLASSES)


def test_a_profile_of_two_classes_has_one_score_and_tells_the_correlations():
    x, level, score, late = answered(4_000, 1)
    made = profile_of(as_batch(x, level, score, late), SCHEMA)
    assert [(one.role, one.name) for one in made.features] == [
        ("input", "x"),
        ("input", "level"),
        ("prediction", "late"),
        ("score", "true"),
        ("target", "late"),
    ]
    assert made.find("late", "target").counts == {"false": int((~late).sum()), "true": int(late.sum())}
    by_x, by_level = made.relations
    assert by_x.against == "true"
    assert by_x.correlation == pytest.approx(np.corrcoef(x, late)[0, 1], abs=1e-10)
    means = np.array([float(f"{late[::2][level[::2] == one].mean():.6g}") for one in range(3)])
    assert by_level.levels == dict(zip("pqr", means, strict=True))
    assert by_level.count == 2_000
    assert by_level.correlation == pytest.approx(np.corrcoef(means[level[1::2]], late[1::2])[0, 1], abs=1e-10)
    assert made.labels == 4_000


def test_levels_that_mean_nothing_are_not_related_by_their_own_chance():
    random = np.random.default_rng(8)
    rows, level = 4_000, random.integers(0, 500, 4_000)
    batch = Batch(
        rows, {"level": Names(level, [str(one) for one in range(500)])}, target=Numbers(random.normal(size=rows), None)
    )
    schema = Schema((Column("level", "string"),), REGRESSION)
    flattering = count(shape(batch, schema), batch).relations[0].correlation
    assert flattering > 0.2
    assert abs(profile_of(batch, schema).relations[0].correlation) < 0.1


def test_knots_tell_how_scores_met_the_truth():
    x, level, score, late = answered(3_000, 2)
    knots = profile_of(as_batch(x, level, score, late), SCHEMA).calibrations[0]
    ends = [-np.inf, *knots.grid.edges(), np.inf]
    for at, (low, high) in enumerate(itertools.pairwise(ends)):
        inside = (score > low) & (score <= high)
        assert knots.counts[at] == inside.sum()
        assert knots.scores[at] == pytest.approx(score[inside].sum())
        assert knots.outcomes[at] == late[inside].sum()


def test_knots_of_a_regression_tell_its_errors():
    random = np.random.default_rng(3)
    truth = random.normal(size=1_000)
    said = truth + random.normal(size=1_000)
    truth[::7] = np.nan
    schema = Schema((Column("x", "number"),), REGRESSION)
    batch = Batch(1_000, {"x": Numbers(truth * 2, None)}, Numbers(said, None), target=Numbers(truth, None))
    made = profile_of(batch, schema)
    errors = (said - truth)[np.isfinite(truth)]
    knots = made.calibrations[0]
    assert made.labels == sum(knots.counts) == len(errors)
    assert sum(knots.outcomes) == pytest.approx(np.abs(errors).sum())
    assert sum(knots.squares) == pytest.approx((errors**2).sum())
    assert made.find("delay", "target").missing == 0


def test_of_many_classes_each_has_a_score_and_correlations_of_its_own():
    random = np.random.default_rng(4)
    scores = random.dirichlet((1, 1, 1), 900)
    late = (scores.cumsum(axis=1) < random.random((900, 1))).sum(axis=1)
    classes = ("no", 2, True)
    schema = Schema((Column("x", "number"),), Output("classification", "", classes, probabilities=True))
    batch = Batch(
        900,
        {"x": Numbers(scores[:, 0], None)},
        Names(scores.argmax(axis=1), classes),
        {label_text(one): scores[:, at] for at, one in enumerate(classes)},
        Names(late, classes),
    )
    made = profile_of(batch, schema)
    assert [one.name for one in made.features if one.role == "score"] == ["no", "2", "true"]
    assert [one.against for one in made.relations] == ["no", "2", "true"]
    for at, one in enumerate(made.relations):
        assert one.correlation == pytest.approx(np.corrcoef(scores[:, 0], late == at)[0, 1], abs=1e-10)
    assert [sum(one.outcomes) for one in made.calibrations] == [sum(late == at) for at in range(3)]


def test_labels_that_have_not_come_are_no_missing_entries():
    x, level, score, late = answered(100, 5)
    batch = as_batch(x, level, score, late)
    target = Names(np.where(np.arange(100) < 30, batch.target.codes, -1), batch.target.values)
    found = count(shape(batch, SCHEMA), batch._replace(target=target))
    assert (found.labels, found.find("late", "target").rows, found.relations[0].count) == (30, 30, 30)


def test_huge_and_tiny_numbers_are_related_without_overflow():
    random = np.random.default_rng(9)
    truth = random.normal(size=500)
    for factor in (1e300, 1e-300):
        batch = Batch(500, {"x": Numbers(truth * factor, None)}, target=Numbers(truth, None))
        one = profile_of(batch, Schema((Column("x", "number"),), REGRESSION)).relations[0]
        assert one.correlation == pytest.approx(1.0)
