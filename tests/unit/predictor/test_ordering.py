"""In which order rows are answered: what is tried, what is kept to. How long an order takes is told here, by a clock that the test turns."""

import numpy as np
import pytest

from fairlead.columns import Names, Numbers
from fairlead.predictor.ordering import Ordering

ROWS = 20_000


@pytest.fixture
def clock(monkeypatch):
    """Seconds of CPU time, as the test says."""
    now = [0.0]
    monkeypatch.setattr("fairlead.predictor.ordering.time.thread_time", lambda: now[0])
    return now


def columns(rows=ROWS, names=3):
    codes = np.random.default_rng(1).integers(-1, names, rows)
    return [Names(codes, [str(one) for one in range(names)]), Numbers(np.zeros(rows), None), Names(codes[::-1], ["x"])]


def answer(ordering, clock, cost, table=None):
    """Answer a chunk in the order that is chosen; tells which that was."""
    trial = ordering.begin(columns() if table is None else table)
    clock[0] += cost[trial.number]
    ordering.told(trial)
    return trial.number


def test_each_order_is_tried_twice_and_the_quickest_is_kept_to(clock):
    ordering, cost = Ordering([0, 2]), [3.0, 1.0, 2.0]
    tried = [answer(ordering, clock, cost) for _ in range(6)]
    assert sorted(tried) == [0, 0, 1, 1, 2, 2]
    assert [answer(ordering, clock, cost) for _ in range(4)] == [1, 1, 1, 1]


def test_a_chunk_that_was_slow_by_chance_does_not_decide(clock):
    ordering = Ordering([0])
    costs = [[9.0, 2.0], [9.0, 2.0], [1.0, 2.0], [1.0, 2.0]]
    tried = [answer(ordering, clock, cost) for cost in costs]
    assert tried == [0, 1, 0, 1]
    assert answer(ordering, clock, costs[-1]) == 0


def test_no_order_but_the_tables_own_is_tried_without_columns_of_names(clock):
    assert {answer(Ordering([]), clock, [1.0]) for _ in range(5)} == {0}


def test_a_small_chunk_stays_as_it_is_and_tells_nothing(clock):
    ordering = Ordering([0])
    assert [answer(ordering, clock, [1.0, 1.0], columns(1000)) for _ in range(5)] == [0] * 5
    assert [answer(ordering, clock, [2.0, 1.0]) for _ in range(5)] == [0, 1, 0, 1, 1]


def test_places_sort_a_part_and_leave_those_of_one_name_as_they_stand():
    table = columns()
    ordering = Ordering([0])
    ordering.begin(table)
    trial = ordering.begin(table)
    places = trial.places(5000, 6000)
    # Python's own sort is stable.
    part = table[0].codes[5000:6000].tolist()
    assert places.tolist() == sorted(range(1000), key=part.__getitem__)


@pytest.mark.parametrize("names", [256, 40_000])
def test_a_column_of_too_many_names_sorts_nothing(names):
    ordering = Ordering([0])
    table = columns(names=names)
    assert [ordering.begin(table).places(0, 100) for _ in range(2)] == [None, None]
    of_255 = columns(names=255)
    trial = Ordering([0])
    trial.begin(of_255)
    places = trial.begin(of_255).places(0, 1000)
    assert np.all(np.diff(of_255[0].codes[:1000][places]) >= 0)
