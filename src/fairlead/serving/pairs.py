"""What a shadow said, held against its schema and put beside what was given. Pure.

A shadow may say anything: too little, a number that is none, a class that does not exist. Nothing of that reaches the event log
as an answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Final

from fairlead.errors import PredictionFailed
from fairlead.events import Mirrored, Prediction
from fairlead.predictor.outcome import Outcome
from fairlead.routing.table import Mirror
from fairlead.schema import Output, Value

__all__ = ["OK", "Order", "Pairs", "order_of"]

OK: Final = "ok"
_SLACK: Final = 1e-6
"""By how much a probability may miss 0 and 1: models add in single precision, too."""

Order = tuple[int, ...]
"""Where each class of the endpoint stands among another version's."""

_Said = tuple[Value, tuple[float, ...] | None]


def order_of(served: Sequence[Value], other: Sequence[Value]) -> Order | None:
    """How another version's probabilities come into the endpoint's order; `None` where they stand in it."""
    return None if tuple(served) == tuple(other) else tuple(tuple(other).index(one) for one in served)


class Pairs:
    """Makes pairs of one shadow's answers and the given ones.

    Args:
        mirror: The shadow.
        served: What the endpoint gives.
        output: What the shadow gives; it fits.
        given_orders: By version, where one that gives answers has its classes in another order than the endpoint.
    """

    def __init__(self, mirror: Mirror, served: Output, output: Output, given_orders: Mapping[str, Order]) -> None:
        self._mirror = mirror
        self._output = output
        self._classes = frozenset(output.classes)
        self._order = order_of(served.classes, output.classes)
        self._given_orders = dict(given_orders)

    def answered(self, given: Sequence[Prediction], outcomes: Sequence[Outcome], seconds: float) -> list[Mirrored]:
        """The pairs of a batch; an answer that cannot be one is a failure of its row.

        Args:
            given: What was answered.
            outcomes: What the shadow said of the same rows.
            seconds: How long it took for all of them.

        Raises:
            PredictionFailed: There is not one answer for each row.
        """
        if len(given) != len(outcomes):
            raise PredictionFailed(f"The shadow gave {len(outcomes)} answers to {len(given)} rows.")
        now = time.time()
        return [
            self._pair(one, self._said(outcome), now, seconds) for one, outcome in zip(given, outcomes, strict=True)
        ]

    def failed(self, given: Sequence[Prediction], code: str, seconds: float) -> list[Mirrored]:
        """The pairs of rows that the shadow did not answer.

        Args:
            given: What was answered.
            code: Why the shadow did not.
            seconds: How long it was waited for.
        """
        now = time.time()
        return [self._pair(one, None, now, seconds, code) for one in given]

    def _pair(
        self, given: Prediction, said: _Said | None, now: float, seconds: float, code: str = PredictionFailed.code
    ) -> Mirrored:
        prediction, probabilities = said or (None, None)
        mirror, shown = self._mirror, given.probabilities
        if shown is not None and (order := self._given_orders.get(given.model)):
            shown = tuple(shown[place] for place in order)
        return Mirrored(
            given.id, now, given.endpoint, mirror.model, mirror.name, OK if said else code, seconds, prediction,
            probabilities, given.model, given.latency, given.prediction, shown, given.revision,
        )  # fmt: skip

    def _said(self, outcome: Outcome) -> _Said | None:
        """The answer in the endpoint's order; `None` where it is none."""
        output, shares = self._output, outcome.probabilities
        if output.task == "regression":
            return (outcome.prediction, None) if _is_number(outcome.prediction) else None
        if outcome.prediction not in self._classes:
            return None
        if not output.probabilities:
            return outcome.prediction, None
        if shares is None or len(shares) != len(output.classes) or not all(map(_is_share, shares)):
            return None
        return outcome.prediction, shares if self._order is None else tuple(shares[place] for place in self._order)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_share(share: float) -> bool:
    return -_SLACK <= share <= 1.0 + _SLACK  # NaN is neither
