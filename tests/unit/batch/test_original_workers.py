"""The processes of an original, with doubles that answer in this one. What they do is written in each test."""

import threading

import pytest

from fairlead.batch.workers import Workers
from fairlead.errors import PredictionFailed
from fairlead.predictor.outcome import Outcome


class Double:
    """A worker that dies of a row, and of the first question where it is `frail`."""

    def __init__(self, *, frail=False, meet=None):
        self.alive, self.closed, self._frail, self._meet = True, False, frail, meet

    def answer(self, rows):
        if self._meet is not None:
            self._meet.wait(100)
        if self._frail or (13,) in rows:
            self.alive = False
            raise PredictionFailed("The model's process ended.")
        if (14,) in rows:
            raise PredictionFailed("The model raised Fourteen.")
        return [Outcome(float(row[0])) for row in rows]

    def close(self):
        self.closed = True


def starting(*doubles):
    started = []

    def start():
        started.append(doubles[len(started)] if len(started) < len(doubles) else Double())
        return started[-1]

    return start, started


def test_so_many_questions_are_answered_at_once_as_there_are_workers():
    # A worker of these answers only when another is asked at the same time; one alone would wait for ever.
    meet = threading.Barrier(2)
    start, started = starting(Double(meet=meet), Double(meet=meet))
    workers = Workers(start, 2)
    found = []
    asking = [threading.Thread(target=lambda n=n: found.append(workers.answer([(n,)]))) for n in (1, 2)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(100)
    assert sorted(one.prediction for (one,) in found) == [1.0, 2.0]
    assert len(started) == 2


def test_no_more_are_started_than_are_asked_at_once():
    start, started = starting()
    workers = Workers(start, 8)
    for number in range(20):
        workers.answer([(number,)] if number not in {13, 14} else [(0,)])
    assert len(started) == 1


def test_a_worker_that_has_ended_is_closed_and_replaced():
    start, started = starting(Double(frail=True))
    workers = Workers(start, 1)
    with pytest.raises(PredictionFailed):
        workers.answer([(1,), (2,)])
    assert [one.prediction for one in workers.answer([(1,), (2,)])] == [1.0, 2.0]
    assert [one.closed for one in started] == [True, False]


def test_a_single_row_is_asked_again_where_its_process_ended_and_only_once():
    start, started = starting(Double(frail=True))
    assert Workers(start, 1).answer([(1,)])[0].prediction == 1.0
    assert len(started) == 2
    start, started = starting()
    with pytest.raises(PredictionFailed, match="process ended"):
        Workers(start, 1).answer([(13,)])
    assert len(started) == 2


def test_a_row_at_which_the_model_raises_is_not_asked_again():
    start, started = starting()
    with pytest.raises(PredictionFailed, match="Fourteen"):
        Workers(start, 1).answer([(14,)])
    assert len(started) == 1


def test_a_place_is_not_lost_where_a_worker_cannot_be_started():
    first, broken = Double(frail=True), [True]

    def start():
        if first in started and broken:
            broken.pop()
            raise PredictionFailed("The model's process ended before it was ready.")
        started.append(first if not started else Double())
        return started[-1]

    started = []
    workers = Workers(start, 1)
    for _ in range(2):  # the frail one; the one that does not start
        with pytest.raises(PredictionFailed):
            workers.answer([(1,), (2,)])
    assert len(workers.answer([(1,), (2,)])) == 2
    workers.close()
    assert [one.closed for one in started] == [True, True]
