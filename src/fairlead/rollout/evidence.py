"""Evidence: all that a rollout's metrics need, as sums.

What was answered and what was said of it becomes a few numbers for each step, arm and metric: how many units, how many with the
event, the sum of the values and of their squares. Sums of one attempt stand beside those of another, they fit into the decision log,
and no row and no key rests in them. `fold` makes them of events; `measures` judges them.

The unit is the unit of assignment: a key where keys keep to their version, else the single request, whose rows are answered together.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "Arms",
    "Evidence",
    "Ignored",
    "Joined",
    "Opening",
    "Place",
    "StepEvidence",
    "Tally",
    "Two",
    "carried",
]


class Two(msgspec.Struct, frozen=True, gc=False):
    """A number of each arm."""

    stable: float = 0
    candidate: float = 0

    def __add__(self, other: Two) -> Two:
        return Two(self.stable + other.stable, self.candidate + other.candidate)


class Tally(msgspec.Struct, frozen=True, gc=False):
    """The units of one arm, by one metric.

    Each unit has one value, the mean of its answers: for a rate between 0 and 1, for a single answer 0 or 1.

    Attributes:
        units: How many units are new to the arm in this step.
        events: How many units, of either arm, had their first event in this step and in this arm.
        total: Σ y over the units.
        squares: Σ y².
        x: Σ x of the covariate.
        xx: Σ x².
        xy: Σ x·y.
    """

    units: int = 0
    events: int = 0
    total: float = 0.0
    squares: float = 0.0
    x: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.units + other.units,
            self.events + other.events,
            self.total + other.total,
            self.squares + other.squares,
            self.x + other.x,
            self.xx + other.xx,
            self.xy + other.xy,
        )


class Arms(msgspec.Struct, frozen=True):
    """One metric in one step.

    Attributes:
        stable: The stable version's units; for pairs, of the stable version against itself: the noise floor.
        candidate: The candidate's.
        both: Labelled rows that both versions got wrong, in mirrored steps.
        due: Units whose feedback is due, by arm.
        labelled: Those of them that got it.
    """

    stable: Tally = Tally()
    candidate: Tally = Tally()
    both: int = 0
    due: Two = Two()
    labelled: Two = Two()

    def __add__(self, other: Arms) -> Arms:
        return Arms(
            self.stable + other.stable,
            self.candidate + other.candidate,
            self.both + other.both,
            self.due + other.due,
            self.labelled + other.labelled,
        )


class Place(msgspec.Struct, frozen=True):
    """Where a revision of the routing table belongs in a rollout.

    Attributes:
        step: The number of the step; an approval counts as the step before it or as its own, as the controller likes.
        share: The candidate's part of the traffic that it and the stable version get together, 0 to 1; where it is mirrored, the
            part of the traffic that it is asked. 1 where there is no stable version beside it.
        mirrored: Whether the candidate was asked in the shadow only.
    """

    step: int
    share: float
    mirrored: bool = False


class StepEvidence(msgspec.Struct, frozen=True):
    """What happened while the traffic was divided in one way.

    Attributes:
        step: The number of the step; -1 for an attempt before this one.
        share: As in `Place`.
        mirrored: Whether the candidate stood in the shadow.
        answers: How many answers.
        seconds: The sum of their latencies.
        samples: How many units the arm answered in this step, measured ones only.
        assigned: How many units were new to the rollout; the sample-ratio check asks whether they fell as planned.
        metrics: By name.
    """

    step: int
    share: float
    mirrored: bool
    answers: Two
    seconds: Two
    samples: Two
    assigned: Two
    metrics: dict[str, Arms]


class Opening(msgspec.Struct, frozen=True):
    """All answers from the first on, warm-up and shadow too: whether a candidate is broken wholly shows here first.

    Attributes:
        answered: How many were answered well.
        failed: How many were not.
    """

    answered: Two = Two()
    failed: Two = Two()


class Joined(msgspec.Struct, frozen=True):
    """What became of the feedback.

    Attributes:
        matched: Belonged to an answer of the rollout and came in time.
        late: Came after `label_delay`.
        duplicate: Said again what was said already, or something older.
        unmatched: Belongs to no answer of the rollout that is known (any more).
        corrected: Came in time and said something else than before: what was said last counts.
    """

    matched: int = 0
    late: int = 0
    duplicate: int = 0
    unmatched: int = 0
    corrected: int = 0


class Ignored(msgspec.Struct, frozen=True):
    """Answers that are in no comparison.

    Attributes:
        pinned: The caller had chosen the version.
        outside: Not of the audience, without a key, or recorded only.
        unread: The row could not be read, so no version was asked.
        elsewhere: Of a variant or a revision that is not the rollout's.
        thinned: Of units that memory has no room for.
    """

    pinned: int = 0
    outside: int = 0
    unread: int = 0
    elsewhere: int = 0
    thinned: int = 0


class Evidence(msgspec.Struct, frozen=True):
    """What is known at one moment.

    Attributes:
        unit: What counts once: "key" or "answer"; "key or answer" where only some requests have a key.
        steps: One entry for each way of dividing the traffic, in the order of time.
        opening: Whether the candidate works at all.
        joined: What became of the feedback.
        ignored: What stays out, and why.
        keys_kept: Which part of the keys is followed; 1 until memory is full.
    """

    unit: str
    steps: tuple[StepEvidence, ...]
    opening: Opening = Opening()
    joined: Joined = Joined()
    ignored: Ignored = Ignored()
    keys_kept: float = 1.0

    def total(self, metric: str) -> Arms:
        """A metric over all steps."""
        found = Arms()
        for step in self.steps:
            found += step.metrics.get(metric, Arms())
        return found

    def samples(self, step: int) -> float:
        """How many units the candidate answered in a step."""
        return sum(one.samples.candidate for one in self.steps if one.step == step)


def carried(earlier: Evidence, evidence: Evidence) -> Evidence:
    """The evidence of a retry: what an earlier attempt with the same version found stands before it.

    It counts for every verdict and for no step's samples. Whether the candidate works at all is asked anew.
    """
    before = tuple(msgspec.structs.replace(step, step=-1) for step in earlier.steps)
    return msgspec.structs.replace(evidence, steps=(*before, *evidence.steps))
