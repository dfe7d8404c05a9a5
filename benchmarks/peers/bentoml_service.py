"""BentoML: a service with one batchable API, so that its adaptive batching gathers what arrives together.

`bentoml serve peers.bentoml_service:Flights`. The body is validated by pydantic, as type annotations make BentoML do.
"""

from __future__ import annotations

from typing import Any

import bentoml

from peers.flight import Flight
from peers.joblib_model import Pipeline


@bentoml.service(workers=1)
class Flights:
    """One worker: there is one core."""

    def __init__(self) -> None:
        self._pipeline = Pipeline()

    @bentoml.api(batchable=True, max_batch_size=64)
    def predict(self, flights: list[Flight]) -> list[dict[str, Any]]:
        """Answer a batch."""
        return self._pipeline.answers([flight.model_dump() for flight in flights])
