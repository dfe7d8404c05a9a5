"""Somebody who asks about flights, and tells some seconds later which of them were late: through the public API, as any application would."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from fairlead.answer import Answer
from fairlead.demo.replay import Flight
from fairlead.demo.versions import NAME
from fairlead.errors import FairleadError, Overloaded, StorageError

__all__ = ["LANDED_SECONDS", "Caller"]

LANDED_SECONDS: Final = 3.0
"""How long after the answer a flight's outcome is known. A flight takes three hours; whoever watches the demo has not that long."""

_TELL_SECONDS: Final = 0.5
_MOST_WAITING: Final = 10_000
"""As many as one request of feedback may hold."""


class _Service(Protocol):
    def predict(self, endpoint: str, row: Mapping[str, Any]) -> Answer:
        """Ask about one row."""
        ...

    def feedback_many(self, endpoint: str, told: Sequence[Mapping[str, Any]]) -> object:
        """Tell what became of answers."""
        ...


class Caller:
    """Asks, and remembers what is to be told.

    Args:
        service: A client of the running service.
        clock: Seconds, from any beginning.
    """

    def __init__(self, service: _Service, clock: Callable[[], float]) -> None:
        self._service = service
        self._clock = clock
        self._flying: deque[tuple[float, dict[str, object]]] = deque(maxlen=_MOST_WAITING)
        self._told = clock()

    def ask(self, flight: Flight) -> float:
        """The chance that the flight will be late.

        Raises:
            FairleadError: There is no answer.
        """
        answer = self._service.predict(NAME, flight.row)
        outcome: dict[str, object] = {"id": answer.id, "label": "late" if flight.late else "on time"}
        self._flying.append((self._clock() + LANDED_SECONDS, outcome))
        return (answer.probabilities or {}).get("late", 0.0)

    def tell(self) -> None:
        """Tell how the flights ended that have landed, twice a second at most; what cannot be told now is told the next time."""
        now = self._clock()
        if now < self._told + _TELL_SECONDS:
            return
        self._told = now
        landed = [outcome for due, outcome in self._flying if due <= now]
        try:
            if landed:
                self._service.feedback_many(NAME, landed)
        except (Overloaded, StorageError):
            return  # a service may be restarted under the replay, as in `replay`
        except FairleadError:
            pass  # what was refused would be refused again
        for _ in landed:
            self._flying.popleft()
