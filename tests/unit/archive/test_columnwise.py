"""Predictions read together from their bytes. What is expected is what decoding them one by one gives: MessagePack by msgspec, columns by `tables`."""

import random
from collections import Counter

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive_events import columns, exactly, feedback, prediction, predictions
from fairlead.archive.appended import Group
from fairlead.archive.columnwise import PADDING, alike
from fairlead.archive.restored import restored
from fairlead.archive.tables import record_batch
from fairlead.events import Columns

MANY = 40


def laid(payloads):
    """Bytes one behind the other, with something between them, as frames have."""
    data, starts, ends = b"", [], []
    for one in payloads:
        data += b"12345678"
        starts.append(len(data))
        data += one
        ends.append(len(data))
    return data + bytes(PADDING), np.array(starts, np.int64), np.array(ends, np.int64)


def read(events, *known):
    return alike(*laid(map(msgspec.msgpack.encode, events)), {one.model: one for one in known})


def given_back(found, rest, events):
    """Every event, from columns or as it was left."""
    back = [
        event for one in found for event in restored("prediction", one.endpoint, one.columns, pl.from_arrow(one.batch))
    ]
    return [*back, *(events[at] for at in rest.tolist())]


def same(found, rest, events):
    return Counter(map(exactly, given_back(found, rest, events))) == Counter(map(exactly, events))


@settings(max_examples=150)
@given(st.data())
def test_whatever_rows_hold_each_is_given_back_or_left(data):
    of = data.draw(columns())
    some = data.draw(st.lists(predictions(of), min_size=1, max_size=4))
    events = [msgspec.structs.replace(one, id=f"{one.id}{number}") for number in range(MANY) for one in some]
    random.Random(data.draw(st.integers(0, 99))).shuffle(events)
    found, rest = read(events, of)
    assert same(found, rest, events)


FLIGHTS = Columns("flights:1", "0" * 64, ("carrier", "temp", "hour", "weekend"), ("late", "on time"))


@pytest.mark.parametrize(
    ("of", "changes"),
    [
        (FLIGHTS, {}),
        (FLIGHTS, {"key": "a-key", "variant": "candidate", "exposure": "pinned", "revision": 70_000}),
        (FLIGHTS, {"prediction": None, "probabilities": None}),
        (Columns("flights:1", "0", ("carrier", "temp", "hour", "weekend"), (0, 1)), {"prediction": 1}),
        (Columns("flights:1", "0", ("carrier", "temp", "hour", "weekend"), (False, True)), {"prediction": True}),
        (Columns("flights:1", "0", ("carrier", "temp", "hour", "weekend"), ()), {"prediction": 2.5, "probabilities": None}),
        (Columns("flights:1", "0", tuple(f"x{number}" for number in range(20)), ()), {"inputs": (1.5, None, "ü", -7) * 5, "prediction": 3, "probabilities": None}),
    ],
)  # fmt: skip
def test_the_columns_are_those_that_rows_decoded_one_by_one_make(of, changes):
    events = [msgspec.structs.replace(prediction(number), **changes) for number in range(100)]
    (one,), rest = read(events, of)
    rows = [msgspec.msgpack.decode(exactly(event)) for event in events]
    slow = record_batch(Group("prediction", "flights", of, rows))
    assert not len(rest)
    assert (one.endpoint, one.columns) == ("flights", of)
    assert one.batch.schema.equals(slow.schema)
    assert one.batch.equals(slow)


INTEGERS = [
    *(2**power + step for power in (0, 5, 6, 7, 8, 15, 16, 31, 32, 62) for step in (-1, 0, 1)),
    *(-(2**power) + step for power in (0, 5, 6, 7, 8, 15, 16, 31, 32, 62) for step in (-1, 0, 1)),
    2**63 - 1,
    -(2**63),
]


def test_integers_of_every_width_are_read():
    """As the specification writes them: in as many bytes as each needs."""
    of = Columns("flights:1", "0", ("n",), ())
    events = [prediction(n, of=of, inputs=(n,), prediction=n, probabilities=None) for n in INTEGERS]
    (one,), rest = read(events, of)
    assert one.batch["input.n"].to_pylist() == one.batch["prediction"].to_pylist() == INTEGERS
    assert not len(rest)


@pytest.mark.parametrize("large", [2**63, 2**64 - 1])
def test_integers_that_no_column_holds_are_left(large):
    of = Columns("flights:1", "0", ("n",), ())
    events = [
        prediction(n, of=of, inputs=(large if n % 2 else n,), prediction=None, probabilities=None) for n in range(100)
    ]
    found, rest = read(events, of)
    assert rest.tolist() == list(range(1, 100, 2))
    assert same(found, rest, events)


def test_versions_are_told_apart_and_odd_rows_are_left():
    second = Columns("flights:2", "1" * 64, FLIGHTS.inputs, FLIGHTS.classes)
    events = [prediction(number, of=second if number % 3 == 0 else FLIGHTS) for number in range(300)]
    events[7] = msgspec.structs.replace(events[7], flags=("carrier",))
    events[8] = msgspec.structs.replace(
        events[8], inputs=None, prediction=None, probabilities=None, status="schema_mismatch"
    )
    events[10] = msgspec.structs.replace(events[10], inputs=("x" * 300, 1.0, 2, True))
    found, rest = read(events, FLIGHTS, second)
    assert {one.columns.model: len(one.batch) for one in found} == {"flights:1": 197, "flights:2": 100}
    assert rest.tolist() == [7, 8, 10]
    assert same(found, rest, events)


@given(st.lists(feedback, min_size=1, max_size=3))
def test_what_is_no_prediction_is_left(told):
    events = [prediction(number) if number % 2 else told[number % len(told)] for number in range(100)]
    found, rest = read(events, FLIGHTS)
    assert rest.tolist() == list(range(0, 100, 2))
    assert len(given_back(found, rest, events)) == 100


def test_of_a_version_that_nobody_has_introduced_nothing_is_read():
    found, rest = read([prediction(number) for number in range(100)])
    assert not found
    assert len(rest) == 100


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 400), st.integers(0, 255)), max_size=12))
def test_bytes_that_were_changed_are_read_as_decoding_them_reads_them_or_left(changed):
    payloads = [bytearray(msgspec.msgpack.encode(prediction(number))) for number in range(100)]
    for row, place, byte in changed:
        payloads[row][place % len(payloads[row])] = byte
    found, rest = alike(*laid(map(bytes, payloads)), {FLIGHTS.model: FLIGHTS})
    read_rows = sum(len(one.batch) for one in found)
    assert read_rows + len(rest) == 100
    kept = [row for row in range(100) if row not in set(rest.tolist())]
    wanted = Counter(exactly(list(msgspec.msgpack.decode(bytes(payloads[row])))) for row in kept)
    events = given_back(found, np.zeros(0, np.int64), [])
    assert Counter(exactly(msgspec.msgpack.decode(exactly(one))) for one in events) == wanted
