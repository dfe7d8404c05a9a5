"""The pure parts of an examination."""

import numpy as np
import pytest

from fairlead.errors import InvalidInput
from fairlead.packing.examine import _check_answers, _in_words, choose_samples
from fairlead.packing.original import Answers
from fairlead.packing.table import spread
from fairlead.schema import Column, Output, Schema


def test_rows_are_spread_evenly_from_first_to_last():
    assert spread(3, 5) == [0, 1, 2]
    assert spread(10, 5) == [0, 2, 4, 6, 8]
    assert len(set(spread(1_000_003, 10_000))) == 10_000


def test_the_first_sample_is_complete_and_labels_take_turns():
    rows = [(None, 1), (2, 2), (3, 3), (4, 4), (5, 5)]
    answers = Answers(["a", "a", "a", "b", "a"], None)
    samples = choose_samples(rows, answers)
    assert samples.rows[:2] == ((2, 2), (4, 4))
    assert [one.prediction for one in samples.expected[:2]] == ["a", "b"]
    assert samples.rows[-1] == (None, 1), "a row with a missing entry is among them, but last"


def test_there_are_never_more_than_a_hundred_samples():
    rows = [(position, None if position % 2 else 1) for position in range(1000)]
    samples = choose_samples(rows, Answers([position / 7 for position in range(1000)], None))
    assert len(samples.rows) == len(samples.expected) == 100
    assert sum(None in row for row in samples.rows) == 10


def test_a_table_without_one_complete_row_still_gives_samples():
    samples = choose_samples([(None,)] * 300, Answers(["a", "b"] * 150, None))
    assert len(samples.rows) == 100


def test_a_label_that_is_rare_is_among_the_samples():
    labels = ["often"] * 500 + ["rare"]
    samples = choose_samples([(position,) for position in range(501)], Answers(labels, None))
    assert "rare" in {one.prediction for one in samples.expected}


@pytest.mark.parametrize("wrong", [None, float("nan"), float("inf")])
def test_an_answer_that_is_no_finite_value_is_refused_with_its_row(wrong):
    with pytest.raises(InvalidInput, match="row 1"):
        _check_answers(Answers([1.0, wrong], None))


def test_a_probability_of_nan_is_refused_with_its_row():
    with pytest.raises(InvalidInput, match="row 1"):
        _check_answers(Answers(["a", "a"], np.array([[0.5, 0.5], [np.nan, 1.0]])))


def test_a_row_that_differs_is_told_in_the_users_words():
    schema = Schema((Column("hour", "integer"), Column("carrier", "string", nullable=True)), Output("classification"))
    expected = Answers(["late"], np.array([[0.75, 0.25]]))
    said = Answers(["on time"], np.array([[0.25, 0.75]]))
    assert _in_words(schema, (6, None), expected, said, 0) == (
        "hour = 6, carrier = missing: the original said 'late' (0.75, 0.25), compiled said 'on time' (0.25, 0.75)"
    )
