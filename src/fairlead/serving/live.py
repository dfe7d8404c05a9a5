"""What is loaded: the variants of an endpoint, warmed up and ready to answer, and the endpoint that joins them.

A variant is loaded once and taken over from one routing table to the next; the endpoint around it is made anew with each table,
because weights, audience and shadows may have changed.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from fairlead.bundle.manifest import Road, Samples
from fairlead.events import Columns, Prediction
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.predictor import AsyncPredictor, Predictor
from fairlead.predictor.queue import BatchQueue
from fairlead.routing.choice import NOBODY, Caller, Chooser, Headers
from fairlead.routing.table import Endpoint
from fairlead.rows import RowReader
from fairlead.schema import Row, Schema, label_text
from fairlead.serving.concealing import Conceal, concealing
from fairlead.serving.dark import PeopleDecide
from fairlead.serving.ids import Ids

__all__ = ["LiveEndpoint", "LiveVariant"]

_INLINE_SECONDS: Final = 0.001
"""A run that takes longer than this leaves the event loop to a thread."""


class LiveVariant:
    """A version that is loaded at an endpoint.

    Args:
        endpoint: The endpoint's name.
        name: The variant's name.
        model: The version, "flights:3".
        digest: Of its bundle.
        road: How it answers.
        schema: What it takes and gives.
        samples: Its sample rows with the expected answers.
        predictor: Answers rows.
        seconds_per_row: What one row costs.
    """

    def __init__(  # noqa: PLR0913 - what a loaded version consists of, put together in one place
        self,
        *,
        endpoint: str,
        name: str,
        model: str,
        digest: str,
        road: Road,
        schema: Schema,
        samples: Samples,
        predictor: Predictor | AsyncPredictor,
        seconds_per_row: float,
    ) -> None:
        self.endpoint = endpoint
        self.name = name
        self.model = model
        self.digest = digest
        self.road = road
        self.schema = schema
        self.samples = samples
        self.predictor = predictor
        self.columns = Columns(model, digest, schema.names, schema.output.classes)
        self.labels = tuple(label_text(one) for one in schema.output.classes)
        self.inline_rows = 0
        """How many rows it answers on the event loop; more go elsewhere."""
        self.queue: BatchQueue
        """What waits for a model that is too slow for the event loop, or is asked in another process."""
        self.answer: Callable[[Sequence[Row]], Awaitable[list[Outcome]]]
        """Answers rows that way."""
        self.conceal: Conceal | None = None
        """Makes its predictions fit to be kept, where its endpoint has sensitive columns."""
        if isinstance(predictor, Predictor):
            self.inline_rows = int(_INLINE_SECONDS / max(seconds_per_row, 1e-9))
            self.queue = BatchQueue(lambda rows, _: asyncio.to_thread(predictor.answer, rows))
            self.answer = self.queue.answer
        else:
            self.queue = predictor.queue
            self.answer = predictor.answer

    @property
    def healthy(self) -> bool:
        """Whether it answers; a compiled version always does, a worker may be gone."""
        return isinstance(self.predictor, Predictor) or self.predictor.healthy

    def renamed(self, name: str) -> LiveVariant:
        """The same loaded version as another variant: a promotion re-points and loads nothing."""
        made = copy.copy(self)
        made.name = name
        return made


class LiveEndpoint:
    """An endpoint that is ready to answer.

    What callers see of it (schema, samples, version) is the stable variant's: a candidate's schema fits that one, or it was never
    let in.

    Args:
        endpoint: As the routing table has it.
        variants: Loaded, in the same order.
        max_rows: How many rows one request may hold.
        secret: Of the installation; it seals the ids of predictions.
    """

    def __init__(
        self, endpoint: Endpoint, variants: Sequence[LiveVariant], *, max_rows: int, secret: bytes = b""
    ) -> None:
        self.stable = stable = variants[0]
        self.endpoint = endpoint
        self.name = endpoint.name
        self.variants = tuple(variants)
        schemas = [one.schema for one in variants]
        for one in variants:
            one.conceal = concealing([one.schema, *schemas], secret)
        self.revision = endpoint.since
        self.model = stable.model
        self.digest = stable.digest
        self.road = stable.road
        self.schema = stable.schema
        self.samples = stable.samples
        self.secret = secret
        self.reader = RowReader(stable.schema, max_rows=max_rows)
        self.ids = Ids(secret, endpoint.name)
        self.chooser: Chooser | PeopleDecide | None = None
        """Chooses among the variants, where there is a choice; lets none answer, where people decide."""
        if endpoint.dark:
            self.chooser = PeopleDecide(endpoint.name)
        elif len(variants) > 1:
            self.chooser = Chooser(endpoint, stable.schema.names)
        self.mirror: Callable[[Sequence[Prediction]], None] | None = None
        """Told what was answered, after it was answered: the shadows listen here. Must return at once."""

    @property
    def healthy(self) -> bool:
        """Whether the stable variant answers."""
        return self.stable.healthy

    def caller(self, headers: Headers) -> Caller:
        """What a request's header says of who asks."""
        return NOBODY if self.chooser is None else self.chooser.caller(headers)
