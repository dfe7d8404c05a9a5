"""What the log says of which rows were assigned together: an analysis of a rollout counts them as one."""

import asyncio

import pytest

from fairlead.bundle.manifest import Samples
from fairlead.predictor.outcome import Outcome
from fairlead.routing.choice import Caller
from fairlead.routing.slots import SLOTS, Run
from fairlead.routing.table import Assignment, Endpoint, Variant
from fairlead.schema import Column, Output, Schema
from fairlead.serving.gateway import Gateway
from fairlead.serving.live import LiveEndpoint, LiveVariant

SCHEMA = Schema((Column("x", "number"),), Output("regression"))
HALVES = (Run("stable", SLOTS // 2), Run("candidate", SLOTS // 2))


class Echo:
    """Answers each row with its number."""

    queue = None
    healthy = True

    async def answer(self, rows):
        return [Outcome(row[0]) for row in rows]


class Log:
    """Keeps what was recorded."""

    def __init__(self):
        self.predictions = []

    def append(self, columns, predictions):
        self.predictions += predictions


def recorded(rows, *, division=HALVES, assignment=Assignment(), caller=Caller()):  # noqa: B008 - frozen
    """The predictions of one request at an endpoint of two variants."""
    variants = [
        LiveVariant(
            endpoint="x", name=name, model=f"x:{number}", digest=str(number) * 64, road="worker", schema=SCHEMA,
            samples=Samples((), ()), predictor=Echo(), seconds_per_row=1.0,
        )
        for number, name in enumerate(("stable", "candidate"), 1)
    ]  # fmt: skip
    table = Endpoint("x", tuple(Variant(one.name, one.model, one.digest) for one in variants), division=division, salt="00" * 16,
                     assignment=assignment)  # fmt: skip
    live, log = LiveEndpoint(table, variants, max_rows=10), Log()

    async def ask():
        gateway, answered = Gateway(log), asyncio.Event()
        gateway.submit(live, rows, lambda _: answered.set(), 0.0, caller)
        await asyncio.wait_for(answered.wait(), 30)
        await gateway.close()

    asyncio.run(ask())
    return log.predictions


def test_the_rows_of_one_request_have_one_unit():
    found = recorded([(1.0,), (2.0,), (3.0,)])
    assert len(found) == 3
    (unit,) = {one.key for one in found}
    assert "-" in unit
    assert len({one.variant for one in found}) == 1


def test_each_request_has_a_unit_of_its_own():
    assert recorded([(1.0,), (2.0,)])[0].key != recorded([(1.0,), (2.0,)])[0].key


@pytest.mark.parametrize(
    "fields",
    [{"division": (Run("stable", SLOTS),)}, {"caller": Caller(pinned="stable")}],
    ids=["nothing is divided", "the caller chose"],
)
def test_where_nothing_was_assigned_there_is_no_unit(fields):
    assert {one.key for one in recorded([(1.0,), (2.0,)], **fields)} == {None}


def test_a_single_row_stands_for_itself():
    assert [one.key for one in recorded([(1.0,)])] == [None]


def test_a_callers_key_is_the_unit_of_all_their_rows():
    found = recorded([(1.0,), (2.0,)], assignment=Assignment("header", "x-user-id"), caller=Caller(b"ann"))
    (unit,) = {one.key for one in found}
    assert "-" not in unit
