"""What the pages ask of the gateway, answered from the samples: a double with a real schema's shape and no model."""

from __future__ import annotations

import os
from types import SimpleNamespace

from fairlead.bundle.manifest import Expected, Samples
from fairlead.errors import NotFound, PredictionFailed, QueueFull
from fairlead.rows import RowReader
from fairlead.schema import Column, Output, Schema
from fairlead.serving.gateway import Answer
from fairlead.serving.web import build_app

AIRPORTS = tuple(f"{a}{b}{c}" for a in "ABCD" for b in "LOST" for c in "AXYZN")

FLIGHTS = Schema(
    (
        Column("carrier", "string", categories=("UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN", "VX", "FL", "AS")),
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


def endpoint(name: str, model: str, schema: Schema, rows: tuple, *expected: Expected) -> SimpleNamespace:
    return SimpleNamespace(
        name=name, model=model, schema=schema, samples=Samples(rows, expected), reader=RowReader(schema)
    )


class Double:
    """Answers by arithmetic on the row, so that a test can say what must come."""

    def __init__(self) -> None:
        late = (Expected(False, (0.8766, 0.1234)), Expected(True, (0.25, 0.75)), Expected(False, (0.9, 0.1)))
        houses = ((100.0, True, None),)
        hostile = ((*PAYLOADS[:3], 0.5, 0.5, 0.5),)
        self.endpoints = {
            "flights": endpoint("flights", "flights:3", FLIGHTS, ROWS, *late),
            "houses": endpoint("houses", "houses:1", HOUSES, houses, Expected(300_000.0)),
            "hostile": endpoint("hostile", PAYLOADS[0], HOSTILE, hostile, Expected(PAYLOADS[0], (0.6, 0.4))),
        }
        self.asked = 0

    async def predict(self, name, rows, *, key=None):  # noqa: ARG002 - the gateway's signature
        if name not in self.endpoints:
            raise NotFound(f"There is no endpoint {name!r}.")
        return [self._answer(name, row) for row in rows]

    def _answer(self, name, row):
        self.asked += 1
        one = self.endpoints[name]
        unseen = tuple(
            column.name
            for column, value in zip(one.schema.columns, row, strict=True)
            if column.categories and value is not None and value not in column.categories
        )
        identity = f"0198c0de{self.asked:016x}"
        if name == "houses":
            if row[0] == 666:
                raise PredictionFailed("secret cause")
            if row[0] == 503:
                raise QueueFull("full", retry_after=7)
            return Answer(3000.0 * row[0], identity, one.model)
        if name == "hostile":
            return Answer(PAYLOADS[0], identity, PAYLOADS[0], dict(zip(PAYLOADS[:2], (0.6, 0.4), strict=True)), unseen)
        chance = round(min(0.95, 0.02 + row[4] / 30), 4)  # the later the hour, the likelier late
        return Answer(chance > 0.5, identity, one.model, {"false": 1 - chance, "true": chance}, unseen)


def make():
    """The pages over the double, or over nothing, or over one endpoint, as the environment says."""
    double = Double()
    wanted = os.environ.get("PAGE_DOUBLE_ENDPOINTS")
    if wanted is not None:
        double.endpoints = {name: double.endpoints[name] for name in wanted.split(",") if name}
    return build_app(double)
