"""When a worker that ends again and again is left alone. The clock is the test's own, and nothing is started."""

import asyncio

import pytest

from fairlead.errors import Overloaded
from fairlead.predictor import worker as module
from fairlead.predictor.worker import Worker


class FakeQueue:
    """Answers everything."""

    async def answer(self, rows):
        return list(rows)


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


@pytest.fixture
def worker(tmp_path, clock):
    async def made():
        return Worker(tmp_path / "socket", timeout=1.0)

    found = asyncio.run(made())
    found.queue = FakeQueue()
    return found


def crash(worker, pid):
    worker._channel.pid = pid
    worker._note_crash()


def ask(worker):
    return asyncio.run(worker.answer([(1.0,)]))


def test_a_process_that_ends_five_times_in_a_minute_is_left_alone_for_a_while_and_then_asked_again(worker, clock):
    for pid in range(1, 5):
        crash(worker, pid)
        assert ask(worker) == [(1.0,)]
        clock.now += 10
    crash(worker, 5)
    with pytest.raises(Overloaded, match="left alone") as caught:
        ask(worker)
    assert caught.value.values["retry_after"] == pytest.approx(10.0)
    clock.now += 9.9
    with pytest.raises(Overloaded):
        ask(worker)
    clock.now += 0.2
    assert ask(worker) == [(1.0,)]


def test_five_ends_in_more_than_a_minute_are_no_reason(worker, clock):
    for pid in range(1, 12):
        crash(worker, pid)
        clock.now += 16
    assert ask(worker) == [(1.0,)]


def test_one_end_that_several_notice_counts_once(worker):
    for _ in range(20):
        crash(worker, 7)
    assert ask(worker) == [(1.0,)]
