"""Which measures a report asks, and with what: a table, so that a further one is a line.

Each takes the case as a whole and hands what its own function wants; what a case lacks, such as labels, is for that function to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

import msgspec

from fairlead.monitor.batches import traffic_of
from fairlead.monitor.gathered import Gathered
from fairlead.monitor.measures.baseline import Baseline, first_of, given, of_labelled, of_profile
from fairlead.monitor.measures.concept import concept
from fairlead.monitor.measures.drift import drift_tests, exact_tests
from fairlead.monitor.measures.estimate import estimate
from fairlead.monitor.measures.evidently import evidently_counted, evidently_tests
from fairlead.monitor.measures.labelled import Labelled
from fairlead.monitor.measures.performance import performance
from fairlead.monitor.measures.quality import quality, refused, repeated
from fairlead.monitor.measures.service_levels import levels
from fairlead.monitor.records import Version
from fairlead.monitor.report import Area, Window
from fairlead.monitor.settings import Settings
from fairlead.monitor.verdicts import Test
from fairlead.profiles.counting import Batch
from fairlead.profiles.profile import Profile
from fairlead.schema import label_text

__all__ = ["ALL", "Case", "drifted", "exactly"]


class Case(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A window beside what it is held against.

    Attributes:
        window: Which.
        settings: How it is judged.
        version: Whose profile and schema are the measure.
        gathered: The window's rows in sum.
        current: The window, counted; of one segment, that part.
        reference: What it is held against; `None` where there is nothing.
        text: The reference, for people.
        past: The reference's rows in sum, where it is a window; of several the nearest.
        segment: The part of the traffic; empty for all.
    """

    window: Window
    settings: Settings
    version: Version
    gathered: Gathered
    current: Profile
    reference: Profile | None
    text: str
    past: Gathered | None = None
    segment: str = ""

    @cached_property
    def labelled(self) -> Labelled:
        """The window's answers as arrays, with and without label."""
        return self.gathered.labelled(self.version.schema)


def drifted(case: Case) -> Sequence[Test]:
    """Drift by the bins."""
    if case.reference is None:
        return []
    if case.settings.preset == "evidently":
        return evidently_counted(case.reference, case.current, _whole(case), case.segment)
    return drift_tests(case.reference, case.current, case.settings, case.segment)


def exactly(reference: Batch, current: Batch, case: Case) -> Sequence[Test]:
    """Drift by the values."""
    if case.settings.preset == "evidently":
        return evidently_tests(reference, current, _whole(case))
    return exact_tests(reference, current, case.settings, case.version.schema.output.target)


def _whole(case: Case) -> frozenset[str]:
    return frozenset(one.name for one in case.version.schema.columns if one.type == "integer")


def performed(case: Case) -> Sequence[Test]:
    """Model quality on labels."""
    return performance(case.labelled, _baseline(case), case.settings)


def _baseline(case: Case) -> Baseline:
    """The window of the past where that is the reference; else the author's figures, else those of the profile."""
    if case.past is not None:
        return of_labelled(case.past.labelled(case.version.schema), case.text)
    classes = tuple(label_text(one) for one in case.version.schema.output.classes)
    author = given(case.version.metrics, binary=len(classes) <= 2)
    profile, held_out = case.version.profile, case.version.held_out
    if profile is None:
        return author
    text = "its held-out data" if held_out else "its training data"
    return first_of(author, of_profile(profile, classes, text, held_out=held_out))


def estimated(case: Case) -> Sequence[Test]:
    """Model quality without labels, by what scores have meant in training."""
    believed = case.version.profile or case.reference
    if believed is None:
        return []
    return estimate(case.labelled, believed, case.settings)


def related(case: Case) -> Sequence[Test]:
    """How the inputs go with the target."""
    return [] if case.reference is None else concept(case.reference, case.current, case.settings)


def sound(case: Case) -> Sequence[Test]:
    """The quality of the data, column by column."""
    return quality(case.reference, case.current, case.settings, columns=case.gathered.columns)


def taken(case: Case) -> Sequence[Test]:
    """Rows that were refused."""
    former = case.past.statuses if case.past is not None else None
    return refused(case.gathered.statuses, former, case.settings)


def again(case: Case) -> Sequence[Test]:
    """Rows that repeat others."""
    now, past = case.gathered, case.past
    if now.distinct is None:
        return []
    former = (past.answered, past.distinct) if past is not None and past.distinct is not None else None
    return repeated(now.answered, now.distinct, former, case.settings)


def served(case: Case) -> Sequence[Test]:
    """How quickly and how reliably was answered."""
    outcomes = case.gathered.outcomes
    found = levels(traffic_of(outcomes), case.window)
    # Of a sample of rows nothing is said about how many there were.
    told = found if case.gathered.stride == 1 else [one for one in found if one.subject != "traffic"]
    return [Test(one) for one in told]


ALL: Final[tuple[tuple[Area, Callable[[Case], Sequence[Test]]], ...]] = (
    ("service", served),
    ("quality", sound),
    ("quality", taken),
    ("quality", again),
    ("model", performed),
    ("estimate", estimated),
    ("concept", related),
)
"""What is asked of every window, and of what area it is where it fails; drift is asked apart, because it may be exact."""
