"""Cohorts: answers that wait for their feedback until it is due.

An answer of Monday is looked at on the Monday after, with what was said of it by then, whichever arm it belongs to. What arrives
later is counted as late and changes nothing, else early answers would have had more time to be proved wrong than late ones.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence

import msgspec

from fairlead.events import Feedback, Mirrored, Prediction
from fairlead.rollout.counting import Kept, StepCounts
from fairlead.rollout.evidence import Joined
from fairlead.rollout.plan import Metric
from fairlead.schema import Value, label_text

__all__ = ["Awaited", "Cohorts", "is_wrong"]

_MOST_EARLY = 8
"""So much feedback on one answer may wait for it."""


class Awaited:
    """An answer whose feedback is not due yet.

    Attributes:
        step: Where it counts.
        arm: 0 stable, 1 the candidate.
        key: Its unit.
        time: When it was given.
        prediction: What was answered.
        measured: The metrics it counts for, each with its covariate.
        values: What feedback in time has said, by metric.
        label: The label that was told last.
        told: When the feedback that counts was given.
        shadow: What the candidate answered in the shadow, by itself; `None` where it was not asked or failed.
        open: How many delays are not over yet.
    """

    __slots__ = ("arm", "key", "label", "measured", "open", "prediction", "shadow", "step", "time", "told", "values")

    def __init__(self, event: Prediction, step: StepCounts, arm: int, measured: dict[int, float]) -> None:
        self.step = step
        self.arm = arm
        self.key = event.key
        self.time = event.time
        self.prediction = event.prediction
        self.measured = measured
        self.values: dict[int, float] = {}
        self.label: Value = None
        self.told = 0.0
        self.shadow: tuple[Value] | None = None
        self.open = 0


class Cohorts:
    """Joins feedback to answers by id, and gives out the answers when their feedback is due.

    Args:
        metrics: Those from feedback, each with its place in the plan.
        limit: How many answers may wait, and how much feedback may wait for its answer.
    """

    def __init__(self, metrics: Sequence[tuple[int, Metric]], limit: int) -> None:
        self._metrics = metrics
        self._limit = limit
        self._delays: dict[float, list[int]] = {}
        for number, metric in metrics:
            self._delays.setdefault(metric.label_delay or 0.0, []).append(number)
        self._waiting = Kept[Awaited](limit)
        self._due: list[tuple[float, str, float]] = []
        self._early: dict[str, list[Feedback]] = {}
        self._past: dict[str, None] = {}
        self._matched = self._late = self._duplicate = self._corrected = self._lost = 0

    def wait(self, name: str, awaited: Awaited) -> None:
        """Keep an answer until its feedback is due."""
        if self._waiting.add(name, awaited) is None:
            return
        awaited.open = len(self._delays)
        for delay in self._delays:
            heapq.heappush(self._due, (awaited.time + delay, name, delay))
        for event in self._early.pop(name, ()):
            self._join(awaited, event)

    def shadow(self, event: Mirrored) -> None:
        """Keep what the candidate answered in the shadow beside the answer that was given."""
        awaited = self._waiting.found.get(event.id)
        if awaited is not None:
            awaited.shadow = (event.prediction,)

    def tell(self, event: Feedback) -> None:
        """Join one feedback. One whose answer is not known waits for it: another gateway's log may be read later."""
        awaited = self._waiting.found.get(event.id)
        if awaited is not None:
            self._join(awaited, event)
        elif event.id in self._past:
            self._late += 1
        else:
            self._keep(event)

    def due(self, now: float) -> Iterator[tuple[Awaited, list[int]]]:
        """The answers whose feedback is due, each once for every delay, with the metrics of that delay."""
        while self._due and self._due[0][0] <= now:
            _, name, delay = heapq.heappop(self._due)
            awaited = self._waiting.found.get(name)
            if awaited is None:
                continue  # followed no longer
            awaited.open -= 1
            if not awaited.open:
                del self._waiting.found[name]
                self._remember(name)
            yield awaited, self._delays[delay]

    def joined(self) -> Joined:
        """What became of the feedback so far."""
        waiting = sum(len(events) for events in self._early.values())
        return Joined(self._matched, self._late, self._duplicate, self._lost + waiting, self._corrected)

    def _keep(self, event: Feedback) -> None:
        """Let feedback wait for its answer, without the words that nobody measures."""
        waiting = self._early.get(event.id)
        if waiting is None:
            if len(self._early) >= self._limit:
                self._lost += len(self._early.pop(next(iter(self._early))))
            waiting = self._early[event.id] = []
        if len(waiting) < _MOST_EARLY:
            waiting.append(msgspec.structs.replace(event, comment=None))
        else:
            self._lost += 1

    def _join(self, awaited: Awaited, event: Feedback) -> None:
        matched = late = duplicate = corrected = False
        for number, metric in self._metrics:
            value = _value(metric, event, awaited.prediction)
            if value is None:
                continue
            if event.time > awaited.time + (metric.label_delay or 0.0):
                late = True
            elif awaited.values.get(number) == value or event.time < awaited.told:
                duplicate = True
            else:
                corrected = corrected or number in awaited.values
                matched = matched or number not in awaited.values
                awaited.values[number] = value
        if (matched or corrected) and event.label is not None:
            awaited.label = event.label
        if matched or corrected:
            awaited.told = event.time
        self._matched += matched
        self._corrected += corrected and not matched
        self._late += late and not matched and not corrected
        self._duplicate += duplicate and not matched and not corrected and not late

    def _remember(self, name: str) -> None:
        if len(self._past) >= self._limit:
            del self._past[next(iter(self._past))]
        self._past[name] = None


def is_wrong(label: Value, prediction: Value) -> float:
    """1.0 where a label proves a prediction wrong; a class told as text is the class."""
    return float(label != prediction and label_text(label) != label_text(prediction))


def _value(metric: Metric, event: Feedback, prediction: Value) -> float | None:
    """What a feedback says by a metric; for accuracy, whether the answer was wrong."""
    if metric.name == "rating":
        return float(event.rating) if event.rating is not None and event.about == "answer" else None
    if metric.name == "accuracy":
        return None if event.label is None else is_wrong(event.label, prediction)
    if metric.label is not None:
        return None if event.label is None else 1.0 - is_wrong(event.label, metric.label)
    value = (event.values or {}).get(metric.field or metric.name)
    return value if value is not None and math.isfinite(value) else None
