"""Merging is addition: held against counting all rows at once."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.columns import Names, Numbers
from fairlead.errors import InvalidInput
from fairlead.profiles.counting import Batch, count, profile_of, shape
from fairlead.profiles.merging import merge
from fairlead.schema import Column, Output, Schema

SCHEMA = Schema(
    (
        Column("n", "number", nullable=True),
        Column("s", "string", nullable=True, categories=("a", "b")),
        Column("f", "string"),
    ),
    Output("classification", "late", ("no", "yes"), probabilities=True),
)
WORDS = ("a", "b", "new", "newer", "é")
ROW = st.tuples(
    st.floats(), st.integers(-1, 4), st.integers(0, 4), st.integers(0, 1), st.floats(0, 1), st.integers(-1, 1)
)
ROWS = st.lists(ROW, max_size=25)


def batch(rows):
    n, s, f, said, score, label = (np.array([row[at] for row in rows]) for at in range(6))
    return Batch(
        len(rows),
        {
            "n": Numbers(n.astype(np.float64), None),
            "s": Names(s.astype(np.int64), WORDS),
            "f": Names(f.astype(np.int64), WORDS),
        },
        Names(said.astype(np.int64), ("no", "yes")),
        {"yes": score.astype(np.float64)},
        Names(label.astype(np.int64), ("no", "yes")),
    )


def whole_numbers(profile):
    """All that is counted and nothing that is summed."""
    features = []
    for one in profile.features:
        found = msgspec.structs.asdict(one)
        moments = found.pop("moments", None)
        features.append((found, moments and (moments.count, moments.minimum, moments.maximum)))
    return (
        profile.rows,
        profile.labels,
        features,
        [(one.name, one.count) for one in profile.relations],
        [one.counts for one in profile.calibrations],
    )


def sums(profile):
    moments = [one.moments for one in profile.features if hasattr(one, "moments")]
    return [
        *(part for one in moments for part in (one.first, one.second)),
        *(part for one in profile.relations for part in one.sums),
        *(part for one in profile.calibrations for part in (*one.scores, *one.outcomes)),
    ]


@settings(max_examples=80, deadline=None)
@given(ROWS, ROWS, ROWS)
def test_parts_add_up_to_the_whole_in_any_order(reference, one, other):
    empty = shape(batch(reference), SCHEMA)
    a, b, c = (count(empty, batch(rows)) for rows in (one, other, reference))
    whole = count(empty, batch([*one, *other]))
    assert whole_numbers(merge(a, b)) == whole_numbers(whole) == whole_numbers(merge(b, a))
    assert whole_numbers(merge(merge(a, b), c)) == whole_numbers(merge(a, merge(b, c)))


def test_sums_of_parts_are_those_of_the_whole_but_for_the_last_digits():
    random = np.random.default_rng(3)
    rows = [
        (random.normal(20, 5), *map(int, random.integers(0, (4, 4, 2))), random.random(), int(random.integers(-1, 2)))
        for _ in range(300)
    ]
    empty = shape(batch(rows), SCHEMA)
    parts = merge(count(empty, batch(rows[:120])), count(empty, batch(rows[120:])))
    assert sums(parts) == pytest.approx(sums(count(empty, batch(rows))), rel=1e-9, abs=1e-9)


def test_of_thousands_of_new_levels_the_parts_name_those_that_the_whole_names():
    schema = Schema((Column("s", "string", categories=("a",)),), Output("regression"))

    def named(first, last):
        found = [f"new {number:04}" for number in range(first, last)]
        return Batch(len(found), {"s": Names(np.arange(len(found)), found)})

    empty = shape(Batch(1, {"s": Names(np.zeros(1, np.int64), ["a"])}), schema)
    parts = [count(empty, named(first, first + 900)) for first in (600, 0, 300)]
    forward, backward = merge(merge(*parts[:2]), parts[2]), merge(parts[2], merge(parts[1], parts[0]))
    assert forward == backward
    found = forward.features[0]
    assert len(found.new) == 1_000
    assert found.new["new 0000"] == 1
    assert found.new["new 0700"] == 3
    assert found.rows == 2_700


def test_profiles_of_other_bins_are_refused_by_the_columns_name():
    random = np.random.default_rng(1)
    schema = Schema((Column("temp", "number"),), Output("regression"))
    one, other = (profile_of(Batch(300, {"temp": Numbers(random.normal(size=300), None)}), schema) for _ in range(2))
    with pytest.raises(InvalidInput, match="'temp' was counted in other bins"):
        merge(one, other)


def test_profiles_of_other_columns_are_refused():
    one, other = (
        profile_of(Batch(1, {}), Schema((Column(name, "number"),), Output("regression"))) for name in ("temp", "wind")
    )
    with pytest.raises(InvalidInput, match="not of the same columns"):
        merge(one, other)
