"""How fast each token may ask, counted over all gateway processes of this machine.

The generic cell rate algorithm needs one number a token: the time at which its next request would arrive if it kept to its
rate. A request that comes earlier than that by more than the burst is refused. The numbers lie in a file that every gateway
maps into its memory, so the rate is the token's and not one for each process. Two processes that look at the same instant may
both let a request pass; a rate may be exceeded by that one, and needs no lock.

The clock is the machine's monotonic one, which all its processes share.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from fairlead.errors import StorageError

__all__ = ["Rates", "next_arrival"]

_ENTRY = 8
_PAGE = 4096


def next_arrival(expected: float, now: float, rate: float, burst: int) -> tuple[float, float]:
    """What one request does to a token's number. Pure.

    Args:
        expected: When the next request would arrive at the rate; 0 before the first.
        now: When it has arrived.
        rate: Requests a second.
        burst: How many may come at once.

    Returns:
        The new number, and how long to wait, in seconds: 0 lets the request pass.
    """
    interval = 1.0 / rate
    tolerance = (burst - 1) * interval
    if expected > now + tolerance + 2 * interval:
        expected = now  # from before the machine's last start, or from a former, slower rate
    wait = expected - tolerance - now
    # Adding intervals up rounds; a request that is on time must not be refused for the last bit.
    if wait > interval * 1e-6:
        return expected, wait
    return max(expected, now) + interval, 0.0


class Rates:
    """The numbers of all tokens.

    Args:
        path: The file that the gateways share.

    Raises:
        StorageError: It cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._numbers = memoryview(b"").cast("d")

    def make_room(self, highest: int) -> None:
        """See that there is a number for every token up to this one's.

        Raises:
            StorageError: The file cannot be made or enlarged.
        """
        if highest < len(self._numbers):
            return
        size = -(-(highest + 1) * _ENTRY // _PAGE) * _PAGE
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(handle).st_size < size:
                    os.posix_fallocate(
                        handle, 0, size
                    )  # a page that a full disk has no room for would kill the process
                self._numbers = memoryview(mmap.mmap(handle, size)).cast("d")
            finally:
                os.close(handle)
        except OSError as err:
            raise StorageError(f"{self._path} cannot be used: {err.strerror}.") from err

    def take(self, number: int, now: float, rate: float, burst: int) -> float:
        """Count one request of a token; return how long it must wait, in seconds: 0 lets it pass."""
        self._numbers[number], wait = next_arrival(self._numbers[number], now, rate, burst)
        return wait
