"""Tells alerts to every channel, beside whatever finds them: it never waits, and no channel's failure reaches who tells.

```
tell ─┬─▶ queue ─▶ thread ─▶ webhook      each channel by itself: one that hangs holds up no other
      └─▶ queue ─▶ thread ─▶ apprise
```
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from typing import Final

import msgspec
from loguru import logger

from fairlead.alerts.alert import Alert
from fairlead.alerts.channel import Send
from fairlead.errors import Overloaded

__all__ = ["Alerts", "Counts"]

_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""How long to wait before each further attempt, in seconds: a receiver may be away for a minute."""

_WAITING: Final = 100
"""So many alerts may wait for a channel; further ones are dropped and counted."""


class Counts(msgspec.Struct, frozen=True):
    """What has become of the alerts, over all channels.

    Attributes:
        sent: Told.
        failed: Given up, after all attempts or because the receiver refuses.
        dropped: Never tried, because too many waited.
        waiting: Not told yet.
    """

    sent: int = 0
    failed: int = 0
    dropped: int = 0
    waiting: int = 0


class Alerts:
    """Tells alerts to every channel.

    Args:
        sends: By the channel's name, for the log.
        pauses: Before each further attempt, in seconds.
        waiting: How many alerts may wait for a channel.
    """

    def __init__(
        self, sends: Sequence[tuple[str, Send]], *, pauses: Sequence[float] = _PAUSES, waiting: int = _WAITING
    ) -> None:
        self._lines = [_Line(name, send, pauses, waiting) for name, send in sends]

    def tell(self, alert: Alert) -> None:
        """Tell every channel; returns at once and raises nothing."""
        for line in self._lines:
            line.put(alert)

    @property
    def counts(self) -> Counts:
        """What has become of the alerts so far."""
        return Counts(
            sent=sum(line.sent for line in self._lines),
            failed=sum(line.failed for line in self._lines),
            dropped=sum(line.dropped for line in self._lines),
            waiting=sum(line.waiting for line in self._lines),
        )

    def close(self, seconds: float = 5.0) -> None:
        """Try once more what waits, and leave behind what takes longer than `seconds`."""
        end = time.monotonic() + seconds
        for line in self._lines:
            line.hurry()
        for line in self._lines:
            line.join(max(0.0, end - time.monotonic()))


class _Line:
    """One channel with its queue and its thread, which starts with the first alert."""

    def __init__(self, name: str, send: Send, pauses: Sequence[float], waiting: int) -> None:
        self.sent = self.failed = self.dropped = 0
        self._name = name
        self._send = send
        self._pauses = tuple(pauses)
        self._queue: queue.Queue[Alert | None] = queue.Queue(waiting + 1)
        self._most = waiting
        self._taken = self._done = 0
        self._hurry = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many alerts were taken and are neither sent nor given up."""
        return self._taken - self._done

    def put(self, alert: Alert) -> None:
        with self._lock:
            if self._hurry.is_set() or self._queue.qsize() >= self._most:
                self.dropped += 1
                if self.dropped == 1:
                    logger.error("Alerts to {channel} are dropped: too many wait.", channel=self._name)
                return
            self._taken += 1
            self._queue.put_nowait(alert)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"alerts-{self._name}", daemon=True)
                self._thread.start()

    def hurry(self) -> None:
        with self._lock:
            if not self._hurry.is_set():
                self._hurry.set()
                self._queue.put_nowait(None)  # the queue has a place more than alerts may take

    def join(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        while (alert := self._queue.get()) is not None:
            reason = self._attempts(alert)
            if reason:
                self.failed += 1
                logger.error(
                    "The alert {title!r} was not told to {channel}: {reason}",
                    title=alert.title,
                    channel=self._name,
                    reason=reason,
                )
            else:
                self.sent += 1
            self._done += 1

    def _attempts(self, alert: Alert) -> str:
        """Try until it is told; why it was given up, or nothing."""
        for pause in (*self._pauses, None):
            try:
                self._send(alert)
            except (Overloaded, OSError) as error:
                reason = error.detail if isinstance(error, Overloaded) else type(error).__name__
            except Exception as error:  # noqa: BLE001 - a channel may be anybody's; its fault ends this alert only
                return f"{type(error).__name__}: {getattr(error, 'detail', '')}".rstrip(": ")
            else:
                return ""
            if pause is None or self._hurry.wait(pause):
                return reason
        raise AssertionError
