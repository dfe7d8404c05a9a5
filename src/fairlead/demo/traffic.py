"""The replay beside something else: flights are asked in a thread of its own while the story goes on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from fairlead.client import Client
from fairlead.demo.caller import Caller
from fairlead.demo.replay import Flight, Progress, line, replay

__all__ = ["follow", "passing"]


def follow(
    url: str, flights: Iterable[Flight], *, rate: float, live: Callable[[str], None], ended: Callable[[], bool]
) -> Progress:
    """Ask about flights and tell their outcomes, until there are no more or somebody says that it has ended.

    Args:
        url: Where the service is.
        flights: In the order in which they are asked.
        rate: Flights a second.
        live: Is told how the replay stands, after each flight.
        ended: Whether to stop; asked after each flight.
    """
    progress = Progress()
    with Client(url) as client:
        caller = Caller(client, time.monotonic)
        for progress in replay(flights, caller.ask, rate=rate, clock=time.monotonic, sleep=time.sleep):
            caller.tell()
            live(line(progress))
            if ended():
                break
    return progress


@contextlib.contextmanager
def passing(
    url: str, flights: Iterable[Flight], *, rate: float, live: Callable[[str], None]
) -> Iterator[Future[Progress]]:
    """`follow` while the block runs.

    Yields:
        What it came to; known when the block is over.
    """
    over = threading.Event()
    with ThreadPoolExecutor(1, "replay") as pool:
        try:
            yield pool.submit(follow, url, flights, rate=rate, live=live, ended=over.is_set)
        finally:
            over.set()
