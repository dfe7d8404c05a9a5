"""Counting units: what grows while `fold` reads events, and becomes the frozen sums of `evidence`.

A single answer adds its value and is forgotten. A key adds the mean of its values, so each further answer takes its old mean away and
adds the new one, in the step and arm where the key was first counted; its first event is counted once, wherever it happens.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, Generic, TypeVar

from fairlead.rollout.evidence import Arms, Place, StepEvidence, Tally, Two

__all__ = ["DUE", "LABELLED", "Kept", "Key", "StepCounts"]

DUE: Final = 0
"""That a key's feedback is due."""
LABELLED: Final = 1
"""That a key's feedback came."""
_EVENT: Final = 2

_Member = TypeVar("_Member")


class Kept(Generic[_Member]):
    """Members by name, at most `limit`: where there are more, half of the names are followed no longer, chosen by hash.

    The hash is another one than that of the slots, so the choice has nothing to do with the arm.
    """

    def __init__(self, limit: int) -> None:
        self.found: dict[str, _Member] = {}
        self.part = 1.0
        self._limit = limit

    def add(self, name: str, member: _Member) -> _Member | None:
        """Follow a new name; `None` where it is not followed."""
        if not self._follows(name):
            return None
        while len(self.found) >= self._limit:
            self.part /= 2
            self.found = {name: one for name, one in self.found.items() if self._follows(name)}
        if not self._follows(name):
            return None
        self.found[name] = member
        return member

    def _follows(self, name: str) -> bool:
        if self.part == 1:
            return True
        digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, person=b"fold").digest()
        return int.from_bytes(digest, "big") < self.part * 2**64


class _Sums:
    """A `Tally` that grows."""

    __slots__ = ("events", "squares", "total", "units", "x", "xx", "xy")

    def __init__(self) -> None:
        self.units = self.events = 0
        self.total = self.squares = self.x = self.xx = self.xy = 0.0

    def add(self, y: float, x: float, sign: int = 1) -> None:
        """Add one unit's values, or take them away."""
        self.total += sign * y
        self.squares += sign * y * y
        if x:
            self.x += sign * x
            self.xx += sign * x * x
            self.xy += sign * x * y

    def frozen(self) -> Tally:
        # Taking away leaves rounding behind; sums of squares are never below nothing.
        squares, xx = max(self.squares, 0.0), max(self.xx, 0.0)
        return Tally(self.units, self.events, self.total, squares, self.x, xx, self.xy)


class _Mean:
    """The mean of one key's values, and the sums that it is part of."""

    __slots__ = ("count", "home", "x", "y")

    def __init__(self, home: _Sums) -> None:
        self.count = 0
        self.x = self.y = 0.0
        self.home = home
        home.units += 1

    def add(self, y: float, x: float) -> None:
        if self.count:
            self.home.add(self.y / self.count, self.x / self.count, -1)
        self.count += 1
        self.y += y
        self.x += x
        self.home.add(self.y / self.count, self.x / self.count)


class Key:
    """A unit that keeps to its version: what of it was counted already."""

    __slots__ = ("_known", "_last", "_means", "_seen")

    def __init__(self) -> None:
        self._known = False
        self._last: tuple[int, int] | None = None
        self._seen = 0  # a bit for each kind of each metric: there may be very many keys
        self._means: dict[tuple[int, int], _Mean] = {}

    def is_new(self) -> bool:
        """Whether it is seen for the first time; asks once."""
        known, self._known = self._known, True
        return not known

    def is_sample(self, step: int, arm: int) -> bool:
        """Whether it was last seen in another step or arm; asks once."""
        last, self._last = self._last, (step, arm)
        return last != self._last

    def first(self, metric: int, what: int) -> bool:
        """Whether this is the first of its kind; asks once."""
        mark = 1 << (3 * metric + what)
        known, self._seen = self._seen & mark, self._seen | mark
        return not known

    def add(self, metric: int, arm: int, home: _Sums, y: float, x: float) -> None:
        """Add a value to its mean; `home` counts it if it is new to the arm."""
        mean = self._means.get((metric, arm))
        if mean is None:
            mean = self._means[metric, arm] = _Mean(home)
        mean.add(y, x)
        if y > 0 and self.first(metric, _EVENT):
            home.events += 1


class StepCounts:
    """A `StepEvidence` that grows. Arms are 0, stable, and 1, the candidate; metrics go by their place in the plan."""

    __slots__ = ("answers", "assigned", "both", "due", "labelled", "place", "samples", "seconds", "sums")

    def __init__(self, place: Place, metrics: int) -> None:
        self.place = place
        self.answers, self.samples, self.assigned = [0, 0], [0, 0], [0, 0]
        self.seconds = [0.0, 0.0]
        self.sums = [(_Sums(), _Sums()) for _ in range(metrics)]
        self.due = [[0, 0] for _ in range(metrics)]
        self.labelled = [[0, 0] for _ in range(metrics)]
        self.both = [0] * metrics

    def count(self, metric: int, arm: int, key: Key | None, y: float, x: float = 0.0) -> None:
        """Count one value: of a single answer as it is, of a key through its mean."""
        sums = self.sums[metric][arm]
        if key is not None:
            key.add(metric, arm, sums, y, x)
            return
        sums.units += 1
        sums.events += y > 0
        sums.add(y, x)

    def frozen(self, names: list[str]) -> StepEvidence:
        """What was counted so far."""
        place = self.place
        return StepEvidence(
            step=place.step,
            share=place.share,
            mirrored=place.mirrored,
            answers=Two(*self.answers),
            seconds=Two(*self.seconds),
            samples=Two(*self.samples),
            assigned=Two(*self.assigned),
            metrics={name: self._arms(number) for number, name in enumerate(names)},
        )

    def _arms(self, metric: int) -> Arms:
        stable, candidate = self.sums[metric]
        due, labelled = Two(*self.due[metric]), Two(*self.labelled[metric])
        return Arms(stable.frozen(), candidate.frozen(), self.both[metric], due, labelled)
