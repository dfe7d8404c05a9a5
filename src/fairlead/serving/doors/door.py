"""Which door a request came to. A door is a protocol's entry: it translates, and the gateway answers.

The lane knows the exact targets of the fast routes; every other request is offered to the doors in turn, and what no door
takes belongs to the pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import unquote_to_bytes

import msgspec

from fairlead.serving.http.lane import Connection, Handler, Request
from fairlead.serving.http.problems import method_not_allowed

__all__ = ["Door", "Doors", "segments", "tell"]

_encode = msgspec.json.Encoder().encode


class Door(Protocol):
    """A protocol's entry."""

    def handler(self, request: Request, path: bytes) -> Handler | None:
        """Who answers this request; `None` where it is another door's.

        Pure and quick: it may look at the target and the method, and raises nothing.

        Args:
            request: The request.
            path: Its target without the query.
        """
        ...


class Doors:
    """The doors of one gateway process, in the order in which they are asked.

    Args:
        doors: Each takes what is its own.
        pages: Takes the rest.
    """

    def __init__(self, doors: Sequence[Door], pages: Handler) -> None:
        self._doors = tuple(doors)
        self._pages = pages

    def handle(self, connection: Connection, request: Request) -> None:
        """Let the right door answer (a `lane.Handler`)."""
        path = request.url.partition(b"?")[0]
        for door in self._doors:
            if (handler := door.handler(request, path)) is not None:
                handler(connection, request)
                return
        self._pages(connection, request)


def segments(path: bytes) -> list[str]:
    """The segments of a path, each decoded once."""
    return [unquote_to_bytes(one).decode("utf-8", "replace") for one in path.strip(b"/").split(b"/")]


def tell(connection: Connection, request: Request, answer: Callable[[], object]) -> None:
    """Answer a question that changes nothing, as JSON that is not to be kept.

    Raises:
        MethodNotAllowed: It was not asked with GET or HEAD.
    """
    if request.method not in {b"GET", b"HEAD"}:
        raise method_not_allowed(request.method, "GET, HEAD", "Ask with GET.")
    connection.respond(request, 200, _encode(answer()), headers=b"cache-control: no-store\r\n")
