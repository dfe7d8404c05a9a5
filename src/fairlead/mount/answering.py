"""One request to a mounted endpoint, from when a server hands it over to its answer: admitted, read, answered, told of.

```
 ASGI ─┐                      ┌─ admission (tokens)
       ├─▶ Request ─▶ answer ─┼─ the body, within the limits
 WSGI ─┘                      ├─ the room's gateway
                              └─ onlookers (counters, access log, traces)
```
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from loguru import logger

from fairlead.errors import FairleadError
from fairlead.mount import exchange
from fairlead.mount.exchange import Reply
from fairlead.mount.room import Room
from fairlead.serving.doors.rest import read_rows
from fairlead.serving.http import problems
from fairlead.serving.http.request import DEADLINE_HEADER, Peer, Request, allowed_seconds

__all__ = ["Body", "answer"]

Body = Callable[[], Awaitable[bytes]]
"""Brings the body, whole. Raises a `FairleadError` where it cannot be had, and `Gone` where nobody waits any more."""

_LEFT: Final = 499
"""What the log says of a caller that did not wait."""


async def answer(room: Room, peer: Peer, request: Request, path: str, body: Body) -> Reply:
    """Answer a request; whatever happens becomes an answer.

    Args:
        room: Of the endpoint; its event loop runs this.
        peer: Who asks.
        request: The request, without its body.
        path: What is left of its path after the mount.
        body: Brings the body, where it is wanted.

    Raises:
        Gone: The client has left.
    """
    told = room.onlookers.identify(request)
    try:
        reply = await _reply(room, request, path, body)
    except FairleadError as error:
        reply = exchange.refused(error)
    except Exception as error:
        if isinstance(error, exchange.Gone):
            _tell(room, peer, request, _LEFT)
            raise
        logger.exception("Answering at {endpoint} failed.", endpoint=room.endpoint)
        reply = exchange.refused(problems.unexpected())
    except BaseException:
        _tell(room, peer, request, _LEFT)
        raise
    finally:
        room.intake.release(request.held)
    request.size = len(reply.body)
    _tell(room, peer, request, reply.status)
    return reply._replace(headers=(*reply.headers, *told)) if told else reply


def _tell(room: Room, peer: Peer, request: Request, status: int) -> None:
    request.status = status
    room.onlookers.answered(peer, request)


async def _reply(room: Room, request: Request, path: str, body: Body) -> Reply:
    wanted = exchange.asked(request.method.decode("latin-1"), path)
    if wanted == "metrics":
        room.admission.check(request, wanted)
        return await room.onlookers.counted()
    request.live = live = room.live()  # before anybody is known: that nothing is deployed is no secret
    room.admission.check(request, wanted)
    if wanted == "schema":
        return exchange.described(live)
    said = request.header(DEADLINE_HEADER)
    allowed = allowed_seconds(said) if said is not None else None
    request.body = await body()
    request.received = received = time.perf_counter()
    if allowed is not None:
        request.expires = received + allowed
    content_type, large = request.header(b"content-type"), len(request.body) > exchange.LARGE
    try:
        if large:
            rows, single = await asyncio.to_thread(read_rows, live.reader, content_type, request.body)
        else:
            rows, single = read_rows(live.reader, content_type, request.body)
    except FairleadError as error:
        room.gateway.refuse(live, error, received)
        raise
    request.rows = len(rows)
    found = await room.gateway.predict(
        live.name, rows, caller=live.caller(request.headers), live=live, received=received, expires=request.expires
    )
    request.answered_by = found[0].model
    if large:
        return await asyncio.to_thread(exchange.answered, found, single=single)
    return exchange.answered(found, single=single)
