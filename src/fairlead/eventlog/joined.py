"""Feedback beside the prediction that it is about: the event log, joined by id.

The log holds both, in any order and from any gateway: a label may come weeks after its answer, and at another process. So the log is
read twice. The first pass keeps the latest feedback of an endpoint; the second keeps only the predictions that it names.

```
event log ─1▶ the latest `limit` feedbacks ─▶ their ids ─2▶ their predictions ─▶ Joined
```

Memory is bounded by `limit` (about 2 kB each, with long comments and wide rows more) and one segment, however long the log is.
Who reads the log for this is `archive.joined`, since it may be compacted; the rules stand here, where gateways can use them, too.
What is counted here is what a reader of the log can know (`serving.feedback.box` says what a gateway can): a label that was told
before, one that contradicts an earlier one, and one whose prediction is not in the log.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

from fairlead.events import Feedback, Prediction

__all__ = ["LIMIT", "Joined", "Kind", "added", "join", "latest_feedback"]

Kind = Literal["new", "duplicate", "correction"]
"""Whether feedback says something new, what was said before, or something else than before; the last one counts."""

LIMIT: Final = 10_000
"""How much feedback is joined at once, if nothing else is said."""


class Joined(msgspec.Struct, frozen=True):
    """One feedback with its prediction.

    Attributes:
        feedback: As it was told.
        prediction: That it is about; `None` where it is not in the log, or where the feedback is about a page without an answer.
        kind: What it adds to what was told of the same prediction before.
    """

    feedback: Feedback
    prediction: Prediction | None
    kind: Kind

    @property
    def after(self) -> float | None:
        """How long after the answer it came, in seconds."""
        return None if self.prediction is None else self.feedback.time - self.prediction.time

    @property
    def unknown(self) -> bool:
        """Whether the answer that it is about is not in the log."""
        return self.prediction is None and self.feedback.about == "answer"


def latest_feedback(events: Iterable[object], endpoint: str, *, since: float, limit: int) -> list[Feedback]:
    """The latest feedback of an endpoint among events, oldest first; of the same moment, in the order of the events."""
    found = (one for one in events if isinstance(one, Feedback) and one.endpoint == endpoint and one.time >= since)
    numbered = ((one.time, place, one) for place, one in enumerate(found))
    return [one for _, _, one in sorted(heapq.nlargest(limit, numbered))]


def join(told: Iterable[Feedback], predictions: Mapping[str, Prediction]) -> Iterator[Joined]:
    """Feedback, oldest first, with the predictions by their ids. Pure."""
    known: dict[tuple[str, str], Feedback] = {}
    for one in told:
        key = (one.id, one.about)
        kind, known[key] = added(known.get(key), one)
        yield Joined(one, predictions.get(one.id), kind)


def added(known: Feedback | None, told: Feedback) -> tuple[Kind, Feedback]:
    """What feedback adds to what was told of the same prediction before, and what is known then. Pure.

    A later word stands over an earlier one; where it says nothing, the earlier one stands. A second comment contradicts no first.

    Args:
        known: All that was told before, as one feedback.
        told: What is told now.
    """
    if known is None:
        return "new", told
    numbers = known.values or {}
    after = msgspec.structs.replace(
        told,
        label=known.label if told.label is None else told.label,
        rating=known.rating if told.rating is None else told.rating,
        comment=known.comment if told.comment is None else told.comment,
        values={**numbers, **(told.values or {})} or None,
    )
    if msgspec.structs.replace(after, time=known.time) == known:
        return "duplicate", after
    differs = (
        (known.label is not None and after.label != known.label)
        or (known.rating is not None and after.rating != known.rating)
        or any(numbers.get(name, number) != number for name, number in (told.values or {}).items())
    )
    return "correction" if differs else "new", after
