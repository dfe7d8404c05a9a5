"""An endpoint at which people decide: the model answers in the dark, and whoever asks for its answer is refused.

Every door asks the gateway, and the gateway asks who shall answer; here nobody may. Cases come in by a door of their own, which
tells their ids and nothing else (`doors.cases`).
"""

from __future__ import annotations

from typing import NoReturn

from fairlead.errors import Conflict
from fairlead.routing.choice import NOBODY, Caller, Headers
from fairlead.schema import Row

__all__ = ["PeopleDecide", "people_decide"]


class PeopleDecide:
    """Stands where variants are chosen (`routing.choice.Chooser`), and lets none answer.

    Args:
        endpoint: The endpoint's name.
    """

    by_row = False
    divided = False

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def caller(self, headers: Headers) -> Caller:  # noqa: ARG002 - as a chooser is asked
        """Nobody is told apart where nobody is answered."""
        return NOBODY

    def choose(self, caller: Caller, row: Row) -> NoReturn:  # noqa: ARG002 - as a chooser is asked
        """Refuse.

        Raises:
            Conflict: Always.
        """
        raise people_decide(self._endpoint)


def people_decide(endpoint: str) -> Conflict:
    """What to tell who asks for an answer where people decide."""
    return Conflict(
        f"People decide at {endpoint!r}: its model answers in the dark, and nobody is told.",
        hint=f"POST cases, with what was decided, to /cases/{endpoint}.",
    )
