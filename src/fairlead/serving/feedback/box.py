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

import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from fairlead.answer import Receipt
from fairlead.errors import NotFound, Overloaded, StorageError
from fairlead.eventlog.writer import EventLog
from fairlead.events import Feedback
from fairlead.rows import MAX_PROBLEMS
from fairlead.schema import Value
from fairlead.serving.feedback.said import Said
from fairlead.serving.live import LiveEndpoint

__all__ = ["REMEMBERED", "FeedbackBox", "Kind"]

REMEMBERED: Final = 20_000
"""How many predictions' feedback a process remembers: at most about 20 MB, with long comments not kept."""

Kind = Literal["answer", "page", "duplicate", "correction", "refused"]
"""As what feedback is counted, each once: new about an answer, new about the page, told before, contradicting, refused."""

_Key = tuple[str, str, str]
_RETRY_SECONDS = 5
_SHOWN = 80


class _Known(NamedTuple):
    """What was told of a prediction, or of the page beside it; a later word stands over an earlier one."""

    label: Value = None
    rating: int | None = None
    comment: int | None = None
    values: tuple[tuple[str, float], ...] = ()
    source: str = ""


class FeedbackBox:
    """Takes the feedback of one gateway process.

    Args:
        log: Where it is recorded; `None` where nothing is recorded, and so nothing is taken.
        clock: Seconds since 1970; a test has its own.
    """

    def __init__(self, log: EventLog | None, *, clock: Callable[[], float] = time.time) -> None:
        self.counts: dict[str, dict[Kind, int]] = {}
        """How many of each kind, by endpoint."""
        self._log = log
        self._clock = clock
        self._known: dict[_Key, _Known] = {}

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
        if self._log is None:
            raise StorageError(hint="This service keeps no event log (`event_log`), so it takes no feedback.")
        if unknown := _unknown(live, told):
            self._count(live.name, "refused", len(told))
            raise _never_given(live.name, unknown)
        fresh: dict[_Key, _Known] = {}
        kinds = [self._judge(fresh, live.name, one, source) for one in told]
        now = self._clock()
        if not self._log.note([_event(live.name, one, source, now) for one in told]):
            self._count(live.name, "refused", len(told))
            raise Overloaded(
                "The feedback cannot be recorded now; none of it was.",
                hint="Send all of it again later.",
                retry_after=_RETRY_SECONDS,
            )
        self._remember(fresh)
        for kind in kinds:
            self._count(live.name, kind, 1)
        return Receipt(len(told), kinds.count("duplicate"), kinds.count("correction"))

    def refuse(self, live: LiveEndpoint) -> None:
        """Count feedback that could not be read."""
        self._count(live.name, "refused", 1)

    def _judge(self, fresh: dict[_Key, _Known], endpoint: str, said: Said, source: str) -> Kind:
        """As what one feedback counts; what is known then is put into `fresh`."""
        key = (endpoint, said.id, said.about)
        before = fresh.get(key) or self._known.get(key)
        told = _known(said, source)
        if before is None:
            fresh[key] = told
            return said.about
        after = _over(before, told)
        fresh[key] = after
        if after == before:
            return "duplicate"
        return "correction" if _contradicts(before, told) else said.about

    def _remember(self, fresh: dict[_Key, _Known]) -> None:
        for key, known in fresh.items():
            self._known.pop(key, None)  # what was told last is forgotten last
            self._known[key] = known
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    def _count(self, endpoint: str, kind: Kind, count: int) -> None:
        counts = self.counts.setdefault(endpoint, {})
        counts[kind] = counts.get(kind, 0) + count


def _known(said: Said, source: str) -> _Known:
    comment = None if said.comment is None else hash(said.comment)
    return _Known(said.label, said.rating, comment, tuple(sorted((said.values or {}).items())), source)


def _over(before: _Known, told: _Known) -> _Known:
    """What is known after a later word; where it says nothing, the earlier one stands."""
    return _Known(
        before.label if told.label is None else told.label,
        before.rating if told.rating is None else told.rating,
        before.comment if told.comment is None else told.comment,
        tuple(sorted({**dict(before.values), **dict(told.values)}.items())),
        told.source,
    )


def _contradicts(before: _Known, told: _Known) -> bool:
    """Whether a later word replaces an earlier one; a second comment does not."""
    label = told.label is not None and before.label is not None and told.label != before.label
    rating = told.rating is not None and before.rating is not None and told.rating != before.rating
    numbers = dict(before.values)
    return label or rating or any(numbers.get(name, value) != value for name, value in told.values)


def _event(endpoint: str, said: Said, source: str, now: float) -> Feedback:
    return Feedback(
        said.id, now, endpoint, said.label, said.rating, said.comment, said.values or None, said.about, source
    )


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
