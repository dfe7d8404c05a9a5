"""What is known of a rollout: its evidence, folded from the event log as it grows.

Nothing here is written down. A controller that starts anew follows the log from the day the oldest rollout began, and knows the same
again: the log is the memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from fairlead.archive.following import Following
from fairlead.errors import FairleadError
from fairlead.events import Columns
from fairlead.rollout.decide import Standing
from fairlead.rollout.evidence import Evidence, Place, carried
from fairlead.rollout.fold import Fold
from fairlead.rollout.rollout import Rollout

__all__ = ["Watch", "Watches"]

_GROWN: Final = 0.01
_LOOK_SECONDS: Final = 0.2
_IDLE_SECONDS: Final = 5.0


class Watch:
    """One rollout's evidence.

    Args:
        rollout: Whose.
        earlier: What an earlier attempt of the same version found; `None` where nothing is carried on.
    """

    def __init__(self, rollout: Rollout, earlier: Evidence | None) -> None:
        self.fold = Fold(rollout.plan, {})
        self.looked = 0.0
        """When it was last looked at, in seconds since 1970 (UTC)."""
        self.errors = 0
        """How many looks in a row could not measure something, a minute apart."""
        self.erred = 0.0
        """When the last of them was counted."""
        self._earlier = earlier
        self._entered = 0
        self._seen = 0
        self._counted = -1
        self._told: tuple[float, float] = (-1.0, -1.0)
        self.keep_up(rollout)

    def keep_up(self, rollout: Rollout) -> None:
        """Know the weights that the rollout has had meanwhile."""
        for stretch in rollout.stretches[self._entered :]:
            if not stretch.weight and not stretch.mirror:
                continue  # before its first step, the candidate only warms up
            # Behind people it answers everything, and nobody stands beside it.
            share = 1.0 if rollout.dark else stretch.weight / 100
            self.fold.enter(stretch.revision, Place(stretch.step, share or stretch.mirror / 100, mirrored=not share))
        self._entered = len(rollout.stretches)

    def note(self) -> None:
        """An event of its endpoint was folded."""
        self._seen += 1

    def due(self, now: float) -> bool:
        """Whether to look: something has happened, or enough time has passed for time itself to matter."""
        waited = now - self.looked
        return waited >= _IDLE_SECONDS or (self._seen != self._counted and waited >= _LOOK_SECONDS) or waited < 0

    def standing(self, rollout: Rollout, evidence: Evidence) -> Standing:
        """Where the rollout stands, as a decision needs it."""
        return Standing(
            step=rollout.step,
            started=rollout.opened,
            stepped=rollout.stepped,
            samples=evidence.samples(rollout.step),
            paused=rollout.state == "paused",
            approved=rollout.approved,
            errors=self.errors,
            erred=self.erred,
        )

    def evidence(self, now: float) -> Evidence:
        """What is known; this is a look."""
        self.looked, self._counted = now, self._seen
        found = self.fold.evidence(now)
        return found if self._earlier is None else carried(self._earlier, found)

    def grown(self, evidence: Evidence) -> bool:
        """Whether there is enough news since this was last true for the log: a failure, or one more unit in a hundred."""
        failed = evidence.opening.failed
        answered = evidence.opening.answered
        units = answered.stable + answered.candidate
        bad = failed.stable + failed.candidate
        if bad == self._told[0] and units <= self._told[1] * (1 + _GROWN):
            return False
        self._told = (bad, units)
        return True


class Watches:
    """Follows the event log for all rollouts that are under way.

    Args:
        events: The event log's folder; `None` where nothing is recorded.
    """

    def __init__(self, events: Path | None) -> None:
        self._events = events
        self._tail: Following | None = None
        self._watches: dict[int, Watch] = {}
        self._columns: dict[str, Columns] = {}  # they stand once in a segment, perhaps before a rollout began

    def keep_up(self, rollouts: Mapping[int, Rollout], earlier: Callable[[int], Evidence | None]) -> None:
        """Watch these rollouts and no others, and read what has happened.

        A rollout that is new here, though it began long ago, needs the log from its beginning: then all is read again.

        Args:
            rollouts: By number.
            earlier: What an earlier attempt found, by its number; asked once for each rollout that carries it on.

        Raises:
            NotFound: The log was compacted, and what reads it is not installed.
            OSError: The event log cannot be read.
            StorageError: The same.
        """
        if self._events is None or not rollouts:
            self._tail = None  # without a rollout nobody needs the log
            self._watches.clear()
            return
        unknown = [one for number, one in rollouts.items() if number not in self._watches]
        if self._tail is None or self._tail.overslept or any(one.stretches for one in unknown):
            self._watches.clear()
            self._tail = Following(self._events, min(one.started for one in rollouts.values()))
        for number in self._watches.keys() - rollouts.keys():
            del self._watches[number]
        for number, rollout in rollouts.items():
            if number not in self._watches:
                found = earlier(rollout.carried) if rollout.carried else None
                self._watches[number] = watch = Watch(rollout, found)
                watch.fold.extend(self._columns.values())
            self._watches[number].keep_up(rollout)
        try:
            self._read(self._tail, {one.endpoint: self._watches[number] for number, one in rollouts.items()})
        except FairleadError:
            self._tail = None  # what is missing in the middle is evidence that nobody would miss: all is read again
            raise

    def of(self, rollout: Rollout) -> Watch | None:
        """The watch of a rollout, `None` where nothing is recorded."""
        return self._watches.get(rollout.number)

    def _read(self, tail: Following, by_endpoint: Mapping[str, Watch]) -> None:
        for event in tail.read():
            if isinstance(event, Columns):
                self._columns[event.model] = event
                for watch in by_endpoint.values():
                    watch.fold.add(event)
            elif (found := by_endpoint.get(event.endpoint)) is not None:
                found.fold.add(event)
                found.note()
