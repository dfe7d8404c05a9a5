"""The batching queue, asked by a double that records its batches."""

import asyncio

import pytest

from fairlead.errors import DeadlineExceeded, Overloaded, PredictionFailed, QueueFull
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.queue import BatchQueue


class Model:
    """Answers x with 2x; x = 13 fails its batch; holds each call until told."""

    def __init__(self, error=PredictionFailed):
        self.batches = []
        self.go = asyncio.Event()
        self.error = error

    async def ask(self, rows, alone):
        self.batches.append(([row[0] for row in rows], alone))
        await self.go.wait()
        if any(row[0] == 13 for row in rows):
            raise self.error("thirteen")
        return [Outcome(2 * row[0]) for row in rows]


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario(), 10))


def asked(queue, *values):
    return asyncio.create_task(queue.answer([(value,) for value in values]))


async def turns(number):
    for _ in range(number):
        await asyncio.sleep(0)


def test_what_gathers_while_the_model_is_busy_is_asked_about_together():
    async def scenario():
        model = Model()
        queue = BatchQueue(model.ask)
        tasks = [asked(queue, 1)]
        await turns(3)
        tasks += [asked(queue, 2, 3), asked(queue, 4)]
        await turns(1)
        assert queue.queued == 3
        model.go.set()
        answers = await asyncio.gather(*tasks)
        assert [[one.prediction for one in answer] for answer in answers] == [[2], [4, 6], [8]]
        assert model.batches == [([1], True), ([2, 3, 4], False)]
        assert queue.queued == 0

    run(scenario)


def test_only_the_guilty_member_of_a_batch_fails():
    async def scenario():
        model = Model()
        model.go.set()
        queue = BatchQueue(model.ask)
        answers = await asyncio.gather(*(asked(queue, value) for value in (1, 13, 2)), return_exceptions=True)
        assert isinstance(answers[1], PredictionFailed)
        assert [answers[0][0].prediction, answers[2][0].prediction] == [2, 4]
        assert model.batches == [([1, 13, 2], False), ([1], True), ([13], True), ([2], True)]

    run(scenario)


def test_who_has_given_up_is_not_asked_about_and_hurts_nobody():
    async def scenario():
        model = Model()
        queue = BatchQueue(model.ask)
        first = asked(queue, 1)
        await turns(3)
        gone, last = asked(queue, 2), asked(queue, 3)
        await turns(1)
        gone.cancel()
        await turns(1)
        model.go.set()
        assert (await first)[0].prediction == 2
        assert (await last)[0].prediction == 6
        assert model.batches == [([1], True), ([3], True)]

    run(scenario)


def test_a_batch_is_bounded_by_rows_but_a_large_caller_is_asked_about_alone():
    async def scenario():
        model = Model()
        model.go.set()
        queue = BatchQueue(model.ask, max_batch=4)
        await asyncio.gather(asked(queue, 1, 2, 3), asked(queue, 4, 5), asked(queue, *range(20, 30)), asked(queue, 6))
        assert [len(values) for values, _ in model.batches] == [3, 2, 10, 1]

    run(scenario)


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back():
    async def scenario():
        model = Model()
        queue = BatchQueue(model.ask, max_queued=3)
        tasks = [asked(queue, 1)]
        await turns(3)
        tasks.append(asked(queue, 2, 3, 4))
        await turns(1)
        with pytest.raises(QueueFull) as full:
            await queue.answer([(5,)])
        assert full.value.values["retry_after"] == 1
        model.go.set()
        await asyncio.gather(*tasks)

    run(scenario)


def test_members_of_a_batch_that_ran_out_of_time_are_not_asked_again():
    async def scenario():
        model = Model(DeadlineExceeded)
        model.go.set()
        queue = BatchQueue(model.ask)
        answers = await asyncio.gather(asked(queue, 1), asked(queue, 13), return_exceptions=True)
        assert all(isinstance(answer, DeadlineExceeded) for answer in answers)
        assert len(model.batches) == 1

    run(scenario)


def test_who_waits_or_is_being_answered_when_the_queue_is_closed_is_told():
    async def scenario():
        model = Model()
        queue = BatchQueue(model.ask, max_batch=1)
        first, second = asked(queue, 1), asked(queue, 2)
        await turns(3)
        await queue.close()
        for one in (first, second):
            with pytest.raises(Overloaded):
                await one

    run(scenario)
