"""A service whose models are arithmetic: everything between the socket and the model is the real thing.

`python page_double.py PORT [ENDPOINT …]` serves it on 127.0.0.1 until it is killed.
"""

from __future__ import annotations

import asyncio
import sys

import httpx

from fairlead.bundle.manifest import Expected, Samples
from fairlead.errors import PredictionFailed, QueueFull
from fairlead.predictor.outcome import Outcome
from fairlead.schema import Column, Output, Schema
from fairlead.serving.doors.door import Doors
from fairlead.serving.doors.health import Health
from fairlead.serving.doors.rest import Rest
from fairlead.serving.feedback.box import FeedbackBox
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.asgi import Bridge
from fairlead.serving.http.lane import Lane
from fairlead.serving.http.request import Limits
from fairlead.serving.pages.web import build_app
from live_endpoints import live_endpoint

AIRPORTS = tuple(f"{a}{b}{c}" for a in "ABCD" for b in "LOST" for c in "AXYZN")

FLIGHTS = Schema(
    (
        Column(
            "carrier", "string", categories=("UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN", "VX", "FL", "AS")
        ),
        Column("origin", "string", categories=("EWR", "JFK", "LGA")),
        Column("dest", "string", categories=AIRPORTS),
        Column("distance", "integer", minimum=80, maximum=4983),
        Column("hour", "integer", minimum=5, maximum=23),
        Column("month", "integer", minimum=1, maximum=3),
        Column("weekday", "integer", minimum=0, maximum=6),
        Column("temp", "number", nullable=True, minimum=10.94, maximum=75.02),
        Column("dewp", "number", nullable=True, minimum=-9.94, maximum=62.06),
        Column("humid", "number", nullable=True, minimum=16.43, maximum=100),
        Column("wind_speed", "number", nullable=True, minimum=0, maximum=42.57886),
        Column("precip", "number", nullable=True, minimum=0, maximum=0.54),
        Column("pressure", "number", nullable=True, minimum=983.8, maximum=1042.1),
        Column("visib", "number", nullable=True, minimum=0, maximum=10, description="Visibility in miles"),
    ),
    Output("classification", "late", (False, True), probabilities=True),
)
ROWS = (
    ("UA", "EWR", "ALA", 1400, 5, 1, 1, 39.02, 28.04, 64.43, 12.65858, 0.0, 1011.9, 10.0),
    ("B6", "JFK", "BOX", 1089, 18, 2, 4, 36.5, 33.8, 89.92, 20.7, 0.03, 1003.4, 1.5),
    ("DL", "LGA", "CSZ", 762, 9, 3, 6, 44.96, 21.02, 38.3, 8.05546, 0.0, None, 10.0),
)

PAYLOADS = (
    "<script>window.__xss=1</script>",
    "\"'><img src=x onerror=window.__xss=1>",
    "{{7*7}}${7*7}",
    "</textarea></select></title><svg onload=window.__xss=1>",
    "javascript:window.__xss=1",
    "' autofocus onfocus=window.__xss=1 '",
)
# The decoder of rows takes no double quote in a column's name.
NAMES = tuple(payload.replace('"', "'") for payload in PAYLOADS)
HOSTILE = Schema(
    (
        *(Column(name, "string", nullable=True, categories=PAYLOADS, description=name) for name in NAMES[:3]),
        *(Column(name, "number", nullable=True, minimum=0, maximum=1) for name in NAMES[3:]),
    ),
    Output("classification", PAYLOADS[1], PAYLOADS[:2], probabilities=True),
)
HOUSES = Schema(
    (
        Column("area", "number", minimum=20, maximum=800),
        Column("garden", "boolean"),
        Column("note", "string", nullable=True),
    ),
    Output("regression", "price"),
)


def flight(row):
    """The later the hour, the likelier late: 2 % and a thirtieth for each hour."""
    chance = round(min(0.95, 0.02 + row[4] / 30), 4)
    return chance > 0.5, (1 - chance, chance)


def house(row):
    """3,000 for each square metre; two areas stand for what can go wrong."""
    if row[0] == 666:
        raise PredictionFailed("secret cause")
    if row[0] == 503:
        raise QueueFull("full", retry_after=7)
    return 3000.0 * row[0], None


def hostile(_row):
    return PAYLOADS[0], (0.6, 0.4)


class Arithmetic:
    """Answers by a function of the row, and flags unseen categories as a predictor does."""

    def __init__(self, schema, function):
        self.schema = schema
        self.function = function

    healthy = True
    queue = None

    async def answer(self, rows):
        return [Outcome(*self.function(row), self._unseen(row)) for row in rows]

    def _unseen(self, row):
        return tuple(
            column.name
            for column, value in zip(self.schema.columns, row, strict=True)
            if column.categories and value is not None and value not in column.categories
        )


def live(name, model, schema, rows, function):
    expected = tuple(Expected(*function(row)) for row in rows)
    return live_endpoint(
        name, model=model, schema=schema, samples=Samples(rows, expected), predictor=Arithmetic(schema, function),
        seconds_per_row=1e-5, max_rows=10_000,
    )  # fmt: skip


def endpoints():
    nasty = ((*PAYLOADS[:3], 0.5, 0.5, 0.5),)
    found = (
        live("flights", "flights:3", FLIGHTS, ROWS, flight),
        live("houses", "houses:1", HOUSES, ((100.0, True, None),), house),
        live("hostile", PAYLOADS[0], HOSTILE, nasty, hostile),
    )
    return {one.name: one for one in found}


def gateway(names=("flights", "houses", "hostile")):
    """A gateway that records nothing and serves the named endpoints."""
    made = Gateway(None)
    made.swap(1, {name: one for name, one in endpoints().items() if name in names})
    return made


class Noted:
    """An event log that keeps what it is told in `events`; a full one, once `full` is set."""

    def __init__(self):
        self.events = []
        self.full = False

    def note(self, events):
        if not self.full:
            self.events += events
        return not self.full


class Pages:
    """A client of the app itself, without a socket."""

    def __init__(self, app):
        self._app = app

    def request(self, method, path, **more):
        async def ask():
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())

    def get(self, path, **more):
        return self.request("GET", path, **more)

    def post(self, path, **more):
        return self.request("POST", path, **more)


async def serve(port, names):
    room = gateway(names)
    lane = Lane(Limits())
    lane.tick()
    rest = Rest(room)
    box = FeedbackBox(Noted())
    lane.fallback = Doors([Health(room), rest], Bridge(lambda: build_app(room, feedback=box)).handle).handle
    lane.routes = rest.routes(room.endpoints)
    server = await asyncio.get_running_loop().create_server(lane.connection, "127.0.0.1", port)
    async with server:
        await lane.sweep()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2:]))
