"""Events for tests of the archive: random ones of every kind, and a log that the real writer has written."""

from __future__ import annotations

import random
import time
from pathlib import Path

import msgspec
from hypothesis import strategies as st

from fairlead.eventlog.writer import EventLog
from fairlead.events import Columns, Feedback, Mirrored, Prediction

DAY = 86_400.0
MORNING = 1_800_000_000.0 // DAY * DAY
"""The first second of a day in 2027."""

FLIGHTS = Columns("flights:1", "0" * 64, ("carrier", "temp", "hour", "weekend"), ("late", "on time"))

numbers = st.floats(allow_nan=False) | st.integers(-(2**63), 2**64 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.none() | st.booleans() | numbers | texts
times = st.floats(MORNING - 2 * DAY, MORNING + 2 * DAY)


@st.composite
def columns(draw):
    inputs = tuple(draw(st.lists(texts, max_size=4, unique=True)))
    classes = draw(
        st.sampled_from([(), ("late", "on time"), (0, 1), (False, True), (1.0, 2.0), (1, "1"), ("a", 2, 3.0, True)])
    )
    return Columns(draw(st.sampled_from(["m:1", "m:2"])), "d" * 8, inputs, classes)


@st.composite
def predictions(draw, of):
    width = draw(st.sampled_from([len(of.inputs)] * 4 + [0, 2]))
    row = st.none() | st.tuples(*[values] * width)
    scores = st.none() | st.tuples(*[st.floats()] * len(of.classes))
    label = (st.sampled_from(of.classes) | values) if of.classes else values
    return Prediction(
        draw(texts), draw(times), "m", of.model, draw(texts), draw(st.none() | texts), draw(texts), draw(st.floats(0, 9)),
        draw(row), draw(label), draw(scores), tuple(draw(st.lists(texts, max_size=2))), draw(st.integers(0, 99)),
        draw(st.sampled_from(["", "pinned", "dark"])),
    )  # fmt: skip


scores = st.none() | st.lists(st.floats(), max_size=3).map(tuple)
mirrored = st.builds(
    Mirrored, texts, times, st.just("m"), texts, texts, texts, st.floats(0, 9), values, scores, texts, st.floats(0, 9), values,
    scores, st.integers(0, 99),
)  # fmt: skip
feedback = st.builds(
    Feedback, texts, times, st.just("m"), values | st.floats(), st.none() | st.integers(1, 5), st.none() | texts,
    st.none() | st.dictionaries(texts, st.floats(), max_size=2), st.sampled_from(["answer", "page"]), texts,
)  # fmt: skip


def exactly(event) -> bytes:
    """What tells 1 from 1.0 and NaN from None, and NaN from nothing else."""
    return msgspec.msgpack.encode(event)


def prediction(number, when=MORNING, *, endpoint="flights", of=FLIGHTS, **changed):
    chosen = random.Random(number)
    row = (
        chosen.choice(["UA", "DL", None]),
        round(chosen.gauss(10, 5), 1),
        chosen.randrange(24),
        chosen.random() < 0.3,
    )
    chance = round(chosen.random(), 3)
    made = Prediction(
        f"{endpoint}-{number}", when, endpoint, of.model, "stable", None, "ok", 0.001, row, "late" if chance > 0.5 else "on time",
        (chance, 1 - chance), (), 1, "",
    )  # fmt: skip
    return msgspec.structs.replace(made, **changed)


def told(number, when, *, endpoint="flights", **more):
    return Feedback(f"{endpoint}-{number}", when, endpoint, **({"label": "late"} | more))


class Clock:
    """The time that writers see."""

    def __init__(self, monkeypatch, now: float) -> None:
        self.now = now
        monkeypatch.setattr(time, "time", lambda: self.now)


def written(folder: Path, events, *, writer="gateway-0", segment_bytes=2000, of=FLIGHTS) -> None:
    """A log of these events, as a gateway would have written it."""
    log = EventLog(folder, writer, segment_bytes=segment_bytes)
    for event in events:
        if isinstance(event, Prediction):
            assert log.append(of, [event])
        else:
            assert log.note([event])
    log.close()
