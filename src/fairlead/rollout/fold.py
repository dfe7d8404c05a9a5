"""From events to evidence: one pass over the log, bounded memory, the rules of honest counting in one place.

```
Prediction ─▶ whose is it? ─▶ count by unit ─────────────────────────▶ sums by step, arm, metric
     │            │ pinned, outside, unread, elsewhere: ignored, counted          ▲
     └──────▶ awaited ◀── Feedback (in time; late and duplicate: counted)         │
                 └── when `label_delay` is over ──────────────────────────────────┘
Mirrored ─▶ pairs, and what the candidate did in the shadow ──────────────────────┘
```

- *The unit of analysis is the unit of assignment.* A key that keeps to its version counts once: its first event, over both arms, and
  the mean of its values. Users whose requests fail are many events of one unit, and so is a request of many rows.
- *Feedback is looked at by cohort*: an answer's feedback counts when `label_delay` has passed since the answer, never when it arrives.
  Labels of bad news come later than those of good news.
- *Memory is bounded* by `limit`: so many keys, so many answers that wait for feedback, so much feedback that waits for its answer. When
  keys or answers are more, half of them are followed no longer, chosen by hash and so without regard to arm; what they have given
  stays. A key takes about 0.6 kB and 0.2 kB for each further metric, an awaited answer about 0.6 kB: with the default limit and a few
  metrics some 200 MB at most.

Events should come about in the order of time; the log's order, writer by writer, will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from fairlead.errors import FairleadError, InvalidInput, NotAllowed, NotFound, RateLimited
from fairlead.events import DARK, PINNED, Columns, Event, Mirrored, Prediction
from fairlead.rollout.cohorts import Awaited, Cohorts, is_wrong
from fairlead.rollout.counting import DUE, LABELLED, Kept, Key, StepCounts
from fairlead.rollout.evidence import Evidence, Ignored, Opening, Place, Two
from fairlead.rollout.plan import Metric, Plan, Source
from fairlead.rollout.rollout import CANDIDATE, STABLE

__all__ = ["LIMIT", "Fold"]

LIMIT: Final = 100_000
"""How many keys are followed at most; so many answers may wait for feedback, and so much feedback for its answer."""

_CLOSE: Final = 0.01
"""Two predicted numbers that are as close as this part of the larger one agree."""

_REQUESTS: Final = 1000
"""So many requests with several rows are followed at a time."""

_OK, _FAILED, _REFUSED, _NOBODYS = range(4)


class Fold:
    """Folds events into evidence.

    Args:
        plan: Complete; says what is measured.
        places: Where each revision of the routing table belongs; `enter` adds to them.
        stable: The stable variant's name.
        candidate: The candidate's name, also in the shadow.
        limit: Of memory; see the module.
    """

    def __init__(
        self,
        plan: Plan,
        places: Mapping[int, Place],
        *,
        stable: str = STABLE,
        candidate: str = CANDIDATE,
        limit: int = LIMIT,
    ) -> None:
        self._endpoint = plan.endpoint
        self._places = dict(places)
        self._arms = {stable: 0, candidate: 1}
        self._warm_up = plan.analysis.warm_up
        self._asked = [(number, metric, _of_answer(metric)) for number, metric in _numbered(plan, "requests")]
        self._paired = [(number, metric) for number, metric in _numbered(plan, "pairs")]
        self._told = [(number, metric) for number, metric in _numbered(plan, "feedback")]
        self._metrics = plan.metrics
        self._columns: dict[str, dict[str, int]] = {}
        self._steps: dict[Place, StepCounts] = {}
        self._keys = Kept[Key](limit)
        self._requests: dict[str, Key] = {}
        self._cohorts = Cohorts(self._told, limit)
        self._warmed = 0
        self._single = self._keyed = False
        self._answered, self._failed = [0, 0], [0, 0]
        self._ignored = {"pinned": 0, "outside": 0, "unread": 0, "elsewhere": 0, "thinned": 0}

    def enter(self, revision: int, place: Place) -> None:
        """From this revision of the routing table on, the traffic is divided as `place` says."""
        self._places[revision] = place

    def extend(self, events: Iterable[Event]) -> None:
        """Fold events; those of other endpoints are passed over."""
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Fold one event."""
        if isinstance(event, Columns):
            self._columns[event.model] = {name: place for place, name in enumerate(event.inputs)}
        elif event.endpoint != self._endpoint:
            return
        elif isinstance(event, Prediction):
            self._predicted(event)
        elif isinstance(event, Mirrored):
            self._mirrored(event)
        elif self._told:
            self._cohorts.tell(event)

    def evidence(self, now: float) -> Evidence:
        """What is known.

        Args:
            now: Up to when events were folded, in seconds since 1970 (UTC); feedback of older answers is due.
        """
        for awaited, numbers in self._cohorts.due(now):
            for number in numbers:
                self._settle(number, awaited)
        names = [metric.name for metric in self._metrics]
        return Evidence(
            unit="key or answer" if self._keyed and self._single else "key" if self._keyed else "answer",
            steps=tuple(step.frozen(names) for step in self._steps.values()),
            opening=Opening(Two(*self._answered), Two(*self._failed)),
            joined=self._cohorts.joined(),
            ignored=Ignored(**self._ignored),
            keys_kept=self._keys.part,
        )

    def _predicted(self, event: Prediction) -> None:
        place = self._places.get(event.revision)
        arm = self._arms.get(event.variant)
        reason = _not_compared(event, place, arm)
        if reason or place is None or arm is None:
            self._ignored[reason] += 1
            return
        step = self._step(place)
        status = _class_of(event.status)
        self._open(arm, status)
        step.answers[arm] += 1
        step.seconds[arm] += event.latency
        key = self._key(event.key)
        if key is None and event.key is not None:
            self._ignored["thinned"] += 1
            return
        if key is None:
            self._single = True
            step.assigned[arm] += 1
        elif key.is_new():
            step.assigned[arm] += 1
        if self._warming(arm):
            return
        if key is None or key.is_sample(place.step, arm):
            step.samples[arm] += 1
        for number, metric, value_of in self._asked:
            value = value_of(status, event.latency, event.flags)
            if value is not None and (not metric.segment or self._inside(metric, event)):
                step.count(number, arm, key, value)
        if self._told and status == _OK:
            self._await(event, step, arm)

    def _mirrored(self, event: Mirrored) -> None:
        place = self._places.get(event.revision)
        if place is None or event.variant not in self._arms:
            self._ignored["elsewhere"] += 1
            return
        step = self._step(place)
        if event.model == event.given_model:
            self._pair(event, step, 0)
            return
        status = _class_of(event.status)
        self._open(1, status)
        step.answers[1] += 1
        step.seconds[1] += event.latency
        if self._warming(1):
            return
        step.samples[1] += 1
        for number, metric, value_of in self._asked:
            value = value_of(status, event.latency, ())
            if value is not None and not metric.segment and metric.name != "unseen_rate":
                step.count(number, 1, None, value)
        if status == _OK:
            self._pair(event, step, 1)
            self._cohorts.shadow(event)

    def _pair(self, event: Mirrored, step: StepCounts, arm: int) -> None:
        for number, metric in self._paired:
            value = _disagrees(event) if metric.name == "disagreement" else _score_difference(event)
            if value is not None:
                step.count(number, arm, None, value)

    def _open(self, arm: int, status: int) -> None:
        if status == _OK:
            self._answered[arm] += 1
        elif status != _NOBODYS:
            self._failed[arm] += 1

    def _warming(self, arm: int) -> bool:
        """Whether nothing is measured yet, in neither arm: else the arms' shares would be other than they are."""
        if self._warmed >= self._warm_up:
            return False
        self._warmed += arm
        return True

    def _step(self, place: Place) -> StepCounts:
        step = self._steps.get(place)
        if step is None:
            step = self._steps[place] = StepCounts(place, len(self._metrics))
        return step

    def _key(self, name: str | None) -> Key | None:
        if name is None:
            return None
        if "-" in name:
            return self._request(name)
        self._keyed = True
        key = self._keys.found.get(name)
        return key if key is not None else self._keys.add(name, Key())

    def _request(self, name: str) -> Key:
        """The unit of one request's rows. They stand together in the log, so it is soon forgotten."""
        self._single = True
        key = self._requests.get(name)
        if key is None:
            if len(self._requests) >= _REQUESTS:
                del self._requests[next(iter(self._requests))]
            key = self._requests[name] = Key()
        return key

    def _inside(self, metric: Metric, event: Prediction) -> bool:
        """Whether a row belongs to the metric's segment."""
        places = self._columns.get(event.model, {})
        row = event.inputs or ()
        return all(name in places and row[places[name]] == value for name, value in metric.segment.items())

    def _covariate(self, metric: Metric, event: Prediction) -> float:
        """The metric's covariate in a row; 0 where there is none or no number."""
        place = self._columns.get(event.model, {}).get(metric.covariate or "")
        value = event.inputs[place] if place is not None and event.inputs else None
        return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0

    def _await(self, event: Prediction, step: StepCounts, arm: int) -> None:
        """Keep what is needed until the feedback is due."""
        measured = {
            number: self._covariate(metric, event) if metric.covariate else 0.0
            for number, metric in self._told
            if not metric.segment or self._inside(metric, event)
        }
        self._cohorts.wait(event.id, Awaited(event, step, arm, measured))

    def _settle(self, number: int, awaited: Awaited) -> None:
        """An answer's feedback is due: what came of it counts, and that nothing came, too."""
        if number not in awaited.measured:
            return
        step, arm, value = awaited.step, awaited.arm, awaited.values.get(number)
        if step.place.mirrored:
            self._settle_pair(number, awaited)
            return
        key = self._key(awaited.key)
        if key is None and awaited.key is not None:
            return
        if key is None or key.first(number, DUE):
            step.due[number][arm] += 1
        if value is None:
            return
        if key is None or key.first(number, LABELLED):
            step.labelled[number][arm] += 1
        step.count(number, arm, key, value, awaited.measured[number])

    def _settle_pair(self, number: int, awaited: Awaited) -> None:
        """A label proves both versions' answers to one row right or wrong."""
        if self._metrics[number].name != "accuracy" or awaited.shadow is None or number not in awaited.values:
            return
        stable, candidate = awaited.values[number], is_wrong(awaited.label, awaited.shadow[0])
        step = awaited.step
        step.count(number, 0, None, stable)
        step.count(number, 1, None, candidate)
        step.both[number] += int(stable and candidate)


_Measure = Callable[[int, float, tuple[str, ...]], float | None]
"""What an answer's status, latency and flags say by a metric; `None` where they say nothing."""


def _numbered(plan: Plan, source: Source) -> list[tuple[int, Metric]]:
    return [(number, metric) for number, metric in enumerate(plan.metrics) if metric.source == source]


def _not_compared(event: Prediction, place: Place | None, arm: int | None) -> str:
    """Why an answer does not count; empty where it does. Behind people, the candidate's unseen answers are all there is."""
    if place is None or (arm is None and event.variant):
        return "elsewhere"
    if event.inputs is None or arm is None:
        return "unread"
    if not event.exposure or (event.exposure == DARK and arm == 1):
        return ""
    return "pinned" if event.exposure == PINNED else "outside"


_CLASSES: dict[str, int] = {"ok": _OK}


def _class_of(status: str) -> int:
    """Whether the version answered, failed, refused the row, or was not asked at all."""
    found = _CLASSES.get(status)
    if found is None:
        kind = FairleadError.of_code(status)
        if issubclass(kind, InvalidInput):
            found = _REFUSED
        else:
            found = _NOBODYS if issubclass(kind, NotAllowed | NotFound | RateLimited) else _FAILED
        if len(_CLASSES) < 1000:
            _CLASSES[status] = found
    return found


def _of_answer(metric: Metric) -> _Measure:
    """How a metric reads an answer."""
    if metric.name == "slow_rate":
        over = metric.over or 0.0
        return lambda status, latency, _: float(latency > over) if status in {_OK, _FAILED} else None
    if metric.name == "refusal_rate":
        return lambda status, *_: float(status == _REFUSED) if status != _NOBODYS else None
    if metric.name == "unseen_rate":
        return lambda status, _, flags: float(bool(flags)) if status == _OK else None
    return lambda status, *_: float(status == _FAILED) if status in {_OK, _FAILED} else None


def _disagrees(event: Mirrored) -> float:
    """1.0 where both versions answer one row otherwise; numbers may differ a little."""
    ours, theirs = event.prediction, event.given_prediction
    if isinstance(ours, float) and isinstance(theirs, float | int):
        return float(not math.isclose(ours, theirs, rel_tol=_CLOSE))
    return float(ours != theirs)


def _score_difference(event: Mirrored) -> float | None:
    """The largest difference of a probability; `None` where there are none to compare."""
    ours, theirs = event.probabilities, event.given_probabilities
    if not ours or not theirs or len(ours) != len(theirs):
        return None
    return max(abs(one - other) for one, other in zip(ours, theirs, strict=True))
