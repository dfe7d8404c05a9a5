"""Joins the answers of one request whose rows went to different variants.

The caller sees one request: all answers in the order of the rows, or the first error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fairlead.answer import Answer
from fairlead.errors import FairleadError

__all__ = ["Parts"]

_Done = Callable[[list[Answer] | FairleadError], None]


class Parts:
    """The parts of one request.

    Args:
        count: How many rows it has.
        places: For each part, where its rows stand among them.
        done: Is told once, when all parts are there.
    """

    def __init__(self, count: int, places: Sequence[Sequence[int]], done: _Done) -> None:
        self._places = places
        self._done = done
        self._missing = len(places)
        self._answers: list[Answer | None] = [None] * count
        self._error: FairleadError | None = None

    def receiver(self, number: int) -> _Done:
        """Who is told what became of one part."""

        def receive(found: list[Answer] | FairleadError) -> None:
            self._missing -= 1
            if isinstance(found, FairleadError):
                self._error = self._error or found
            else:
                for place, answer in zip(self._places[number], found, strict=True):
                    self._answers[place] = answer
            if self._missing == 0:
                self._done(self._error or [one for one in self._answers if one is not None])

        return receive
