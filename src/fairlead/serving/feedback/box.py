"""Where feedback goes in: it is compared with what was told lately, and recorded before anybody is thanked.

What a gateway can know at once, and what only the reader of the event log can:

| | known here | known to the reader (`eventlog.joined`, and a rollout's evidence) |
|---|---|---|
| an id that was never given out | yes: ids are sealed | |
| a prediction whose record is gone, or was never written | | yes |
| told before | as far as this process remembers | yes |
| contradicts what was told before | as far as this process remembers | yes |
| late | | yes: it depends on the question |

So nothing is left out of the log for being a duplicate. A label that was corrected at another gateway and is now told anew looks
like a repetition here, and is none; the reader, who has all of them with their times, decides.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Final, Literal

import msgspec

from fairlead.answer import Receipt
from fairlead.errors import NotFound, Overloaded, StorageError
from fairlead.eventlog.joined import added
from fairlead.eventlog.writer import EventLog
from fairlead.events import Feedback
from fairlead.rows import MAX_PROBLEMS
from fairlead.serving.feedback.said import Said
from fairlead.serving.live import LiveEndpoint

__all__ = ["REMEMBERED", "Counted", "FeedbackBox", "events_of", "receipt_of"]

REMEMBERED: Final = 20_000
"""How many predictions' feedback a process remembers: about 550 bytes each with a label, a rating, a comment and a number."""

Counted = Literal["answer", "page", "duplicate", "correction", "refused"]
"""As what feedback is counted, each once: new about an answer, new about the page, told before, contradicting, refused."""

_Key = tuple[str, str, str]
_RETRY_SECONDS = 5
_SHOWN = 80
_SLICE = 200
"""So many are judged before others have their turn: about a millisecond."""


class FeedbackBox:
    """Takes the feedback of one gateway process.

    Args:
        log: Where it is recorded; `None` where nothing is recorded, and so nothing is taken.
        clock: Seconds since 1970; a test has its own.
    """

    def __init__(self, log: EventLog | None, *, clock: Callable[[], float] = time.time) -> None:
        self.counts: dict[str, dict[Counted, int]] = {}
        """How many of each kind, by endpoint."""
        self._log = log
        self._clock = clock
        self._known: dict[_Key, Feedback] = {}

    @property
    def open(self) -> bool:
        """Whether feedback is taken at all."""
        return self._log is not None

    def take(self, live: LiveEndpoint, told: Sequence[Said], source: str) -> Receipt:
        """Record feedback: all of it, or nothing. Call it from the event loop, where the log is written.

        Args:
            live: The endpoint that gave the predictions.
            told: At least one.
            source: Who says so: the token's name, or how it came.

        Raises:
            NotFound: An id was never given out at this endpoint.
            StorageError: There is no event log.
            Overloaded: It cannot be written now.
        """
        events = events_of(live, told, source, self._clock())
        self.record(events)
        return receipt_of([self.judge(event) for event in events])

    async def take_many(self, live: LiveEndpoint, told: Sequence[Said], source: str) -> Receipt:
        """As `take`, for so many that those who ask must be let in between."""
        events = await asyncio.to_thread(events_of, live, told, source, self._clock())
        self.record(events)
        kinds = []
        for place, event in enumerate(events, 1):
            kinds.append(self.judge(event))
            if place % _SLICE == 0:
                await asyncio.sleep(0)
        return receipt_of(kinds)

    def record(self, events: Sequence[Feedback]) -> None:
        """Write to the event log: all of them, or none.

        Raises:
            StorageError: There is no event log.
            Overloaded: It cannot be written now.
        """
        if self._log is None:
            raise StorageError(hint="This service keeps no event log (`event_log`), so it takes no feedback.")
        if not self._log.note(events):
            raise Overloaded(
                "The feedback cannot be recorded now; none of it was.",
                hint="Send all of it again later.",
                retry_after=_RETRY_SECONDS,
            )

    def judge(self, event: Feedback) -> Counted:
        """As what a recorded feedback counts; from now on it is remembered."""
        key = (event.endpoint, event.id, event.about)
        # Put in anew: what was told last is forgotten last.
        kind, self._known[key] = added(self._known.pop(key, None), _short(event))
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        counted: Counted = event.about if kind == "new" else kind
        self._count(event.endpoint, counted, 1)
        return counted

    def refuse(self, live: LiveEndpoint, count: int = 1) -> None:
        """Count feedback that was refused."""
        self._count(live.name, "refused", count)

    def _count(self, endpoint: str, kind: Counted, count: int) -> None:
        counts = self.counts.setdefault(endpoint, {})
        counts[kind] = counts.get(kind, 0) + count


def _short(event: Feedback) -> Feedback:
    """The feedback with a digest for its comment: enough to know it again."""
    if event.comment is None:
        return event
    return msgspec.structs.replace(event, comment=blake2b(event.comment.encode(), digest_size=8).hexdigest())


def events_of(live: LiveEndpoint, told: Sequence[Said], source: str, now: float) -> list[Feedback]:
    """Feedback as it is recorded. Pure, for any thread.

    Raises:
        NotFound: An id was never given out at this endpoint.
    """
    if unknown := _unknown(live, told):
        raise _never_given(live.name, unknown)
    return [
        Feedback(one.id, now, live.name, one.label, one.rating, one.comment, one.values or None, one.about, source)
        for one in told
    ]


def receipt_of(kinds: Sequence[Counted]) -> Receipt:
    """What the caller is told."""
    return Receipt(len(kinds), kinds.count("duplicate"), kinds.count("correction"))


def _unknown(live: LiveEndpoint, told: Sequence[Said]) -> list[tuple[int, str]]:
    """Where ids stand that were never given out here."""
    return [(row, one.id) for row, one in enumerate(told) if not live.ids.knows(one.id)]


def _never_given(endpoint: str, unknown: Sequence[tuple[int, str]]) -> NotFound:
    row, name = unknown[0]
    more = f" ({len(unknown) - 1} more)" if len(unknown) > 1 else ""
    return NotFound(
        f"Row {row}: the id {name[:_SHOWN]!r} was never given out at {endpoint!r}{more}; nothing was recorded.",
        hint="Send the `id` of the answer to the endpoint that gave it.",
        row=row,
        field="id",
        got=name[:_SHOWN],
        errors=[{"row": at, "field": "id", "got": one[:_SHOWN]} for at, one in unknown[:MAX_PROBLEMS]],
    )
