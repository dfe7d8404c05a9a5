"""Makes the report of one window: reads, asks each measure, lets all be judged together, and says what was odd.

```
Order ─▶ gather (who answered, how, with which labels)
         version ─▶ shape ─▶ panes ─▶ current Profile ─┐
         settings ─▶ reference ─▶ reference Profile ───┴▶ measures ─▶ tests ─▶ verdicts ─▶ Report
```

A measure that fails becomes a finding that says so; it never stops the report. In a window in which several versions answered, as in a rollout, the
stable one's data are the reference, and all rows are judged: what comes in does not depend on who answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec
from loguru import logger

from fairlead.errors import FairleadError
from fairlead.monitor.batches import answered, batch_of, joined_frames
from fairlead.monitor.gathered import Gathered, gather
from fairlead.monitor.measures import case as measures
from fairlead.monitor.measures.case import Case
from fairlead.monitor.panes import ALL, Counted, Segment, count_panes_of, levels_of, merged, pane_of, recalled
from fairlead.monitor.records import Records, Rows, Version
from fairlead.monitor.report import AREAS, Area, Finding, Reference, Report, Window
from fairlead.monitor.settings import Settings
from fairlead.monitor.store import Pane
from fairlead.monitor.verdicts import Test, overall, ranked, verdicts
from fairlead.monitor.windows import reference_windows
from fairlead.profiles.counting import Batch, shape
from fairlead.profiles.profile import Profile
from fairlead.schema import Schema

__all__ = ["Made", "Order", "make_report"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What report is wanted.

    Attributes:
        endpoint: Whose.
        window: Which.
        panes: Its pieces, which are counted once; the window itself where there is one.
        settings: How it is judged.
        now: When, in seconds since 1970 (UTC).
        amends: The number of the report that it shall stand instead of; its panes are counted anew, with the labels that came.
        before: The window before, where windows go by count; a clock's follows from its length.
        segments: Only these parts; those of the settings where it is `None`.
        notes: What is odd already.
        service: Findings about service levels and processes, which are not made of a window's rows.
    """

    endpoint: str
    window: Window
    panes: tuple[Window, ...]
    settings: Settings
    now: float
    amends: int = 0
    before: Window | None = None
    segments: tuple[Segment, ...] | None = None
    notes: tuple[str, ...] = ()
    service: tuple[Finding, ...] = ()


class Made(msgspec.Struct, frozen=True):
    """A report, and what is worth keeping of the work.

    Attributes:
        report: The report.
        shape: Under which the panes are kept; empty where they are not.
        panes: Those that were counted.
    """

    report: Report
    shape: str = ""
    panes: tuple[Pane, ...] = ()


def make_report(records: Records, order: Order) -> Made:
    """Make a report.

    Raises:
        StorageError: The events or the database cannot be read.
        InvalidInput: The settings name no reference that there can be.
    """
    return _Making(records, order).made()


class _Making:
    """The work on one report."""

    def __init__(self, records: Records, order: Order) -> None:
        self._records = records
        self._order = order
        self._settings = order.settings
        self._notes = list(order.notes)
        self._new: dict[tuple[Segment, Window], Profile] = {}
        self._rows = records.rows(order.endpoint, order.window)
        self._gathered = _with_joining(gather(self._rows), self._rows)
        self._notes += self._rows.notes

    def made(self) -> Made:
        gathered = self._gathered
        version = self._version(gathered)
        if version is None:
            return Made(self._report([], Reference("none", "nothing", 0)))
        if len(gathered.models) > 1:
            told = ", ".join(f"{name} ({count:,} rows)" for name, count in gathered.models.items())
            self._notes.append(f"Several versions answered: {told}. The reference is that of {version.ref}.")
        if gathered.stride > 1:
            self._notes.append(f"Model quality rests on every {gathered.stride}th row.")
        reference, tests = self._tests(version)
        if version.profile is None:
            return Made(self._report(tests, reference))
        kept = [pane_of(segment, window, one) for (segment, window), one in self._new.items()]
        return Made(self._report(tests, reference), version.digest, tuple(one for one in kept if one is not None))

    # -- what is compared ----------------------------------------------------------------------------------------------

    def _version(self, gathered: Gathered) -> Version | None:
        """The version whose data are the measure: the stable one that answered most."""
        if not gathered.answered:
            self._notes.append(
                "No prediction was answered in this window." if gathered.rows else "There were no predictions."
            )
            return None
        for name in gathered.models:
            version, why = self._records.known(name)
            if version is not None:
                return version
            self._notes.append(f"{name} answered, and cannot be looked at: {why}")
        return None

    def _tests(self, version: Version) -> tuple[Reference, list[Test]]:
        windows, kind = self._past()
        past = [self._records.rows(self._order.endpoint, one) for one in windows]
        form, schema = version.profile, version.schema
        if form is None:
            self._notes.append(
                f"{version.ref} carries no profile of its training data; pack it again to compare with it."
            )
            form = self._shape_of(past or [self._rows], schema)
        segments = self._segments(form)
        current = self._counted(form, version, list(self._order.panes), (ALL, *segments), [self._rows])
        before = self._counted(form, version, windows, (ALL, *segments), past) if windows else {}
        reference, normal = self._reference(version, windows, kind, before)
        case = Case(
            window=self._order.window,
            settings=self._settings,
            version=version,
            gathered=self._gathered,
            current=merged(current, self._order.panes, ALL),
            reference=normal,
            text=reference.text,
            past=_summed(past) if kind != "training" else None,
        )
        tests = [one for area, measure in measures.ALL for one in _guarded(area, measure, case)]
        tests += self._drift(case, past, schema)
        if segments and not windows:
            windows, before = self._before(form, version, segments)
        for segment in segments:
            tests += self._of_segment(segment, case, current, before, windows)
        return reference, tests

    def _past(self) -> tuple[Sequence[Window], Literal["training", "past", "week"]]:
        settings, window = self._settings, self._order.window
        if settings.reference == "training":
            return [], "training"
        if self._order.before is not None:
            return [self._order.before], "past"
        kind: Literal["past", "week"] = "week" if settings.reference == "week" else "past"
        return reference_windows(settings.reference, window), kind

    def _shape_of(self, rows: Sequence[Rows], schema: Schema) -> Profile:
        """Bins for a version that brings none: by the rows of the reference.

        Columns of names are related with the target by what their levels meant there, which fits the same rows too well to be
        held against others; such relations are left out.
        """
        frames = [answered(frame) for some in rows for frame in some]
        found = shape(batch_of(joined_frames(frames), schema) if frames else Batch(0, {}), schema)
        return msgspec.structs.replace(found, relations=tuple(one for one in found.relations if not one.levels))

    def _counted(
        self,
        form: Profile,
        version: Version,
        windows: Sequence[Window],
        segments: Sequence[Segment],
        rows: Sequence[Rows],
    ) -> Counted:
        """Windows counted, by pane and segment; what was counted before is taken from there."""
        found: Counted = {}
        fresh = self._order.amends and list(windows) == list(self._order.panes)
        if version.profile is not None and not fresh:
            kept = self._records.panes(self._order.endpoint, version.digest, windows)
            found = recalled(kept, windows, segments)
        for place, some in enumerate(rows):
            own = windows if len(rows) == 1 else [windows[place]]
            missing = [one for one in own if any((segment, one) not in found for segment in segments)]
            if missing:
                new = count_panes_of(some, missing, segments, form, version.schema)
                found |= new
                self._new |= new
        return found

    def _reference(
        self, version: Version, windows: Sequence[Window], kind: Literal["training", "past", "week"], before: Counted
    ) -> tuple[Reference, Profile | None]:
        if kind == "training":
            if version.profile is None:
                return Reference("none", "nothing", 0), None
            return Reference("training", version.normal, version.profile.rows), version.profile
        there = [one for one in windows if before[ALL, one].rows]
        if not there:
            self._notes.append("There are no predictions in the past to compare with yet.")
            return Reference("none", "nothing", 0), None
        if len(there) < len(windows):
            self._notes.append(f"{len(windows) - len(there)} of {len(windows)} windows of the past are empty.")
        found = merged(before, there, ALL)
        text = f"the same hours of {len(there)} weeks before" if kind == "week" else "the window before"
        if kind == "past" and self._settings.reference != "past":
            text = f"the window {self._settings.reference.removeprefix('past ')} before"
        return Reference(kind, text, found.rows, Window(there[0].start, there[-1].end)), found

    # -- drift ---------------------------------------------------------------------------------------------------------

    def _drift(self, case: Case, past: Sequence[Rows], schema: Schema) -> list[Test]:
        """Against the past exactly, by the values themselves, where both are few; else by the bins."""
        if case.reference is None:
            return []
        ours, theirs = _held(past), _held([self._rows])
        if ours is not None and theirs is not None:
            batches = batch_of(ours, schema), batch_of(theirs, schema)
            return _guarded("predictor", lambda one: measures.exactly(*batches, one), case)
        return _guarded("predictor", measures.drifted, case)

    def _segments(self, form: Profile) -> tuple[Segment, ...]:
        if self._order.segments is not None:
            return self._order.segments
        found: list[Segment] = []
        for column in self._settings.segments:
            levels = levels_of(form, column, self._settings.segment_levels)
            if not levels:
                self._notes.append(f"Segments of {column!r} cannot be made: it is no column of names with levels.")
            found += levels
        return tuple(found)

    def _of_segment(
        self, segment: Segment, case: Case, current: Counted, before: Counted, windows: Sequence[Window]
    ) -> list[Test]:
        """The drift within a part of the traffic."""
        there = [one for one in windows if before[segment, one].rows]
        if not there:
            self._notes.append(f"{segment.text} has no predictions in the past to compare with yet.")
            return []
        part = msgspec.structs.replace(
            case,
            current=merged(current, self._order.panes, segment),
            reference=merged(before, there, segment),
            segment=segment.text,
        )
        return _guarded("predictor", measures.drifted, part)

    def _before(self, form: Profile, version: Version, segments: Sequence[Segment]) -> tuple[Sequence[Window], Counted]:
        """The parts of the window before: a training profile has no parts to compare with."""
        window = self._order.window
        past = [self._order.before] if self._order.before is not None else reference_windows("past", window)
        rows = [self._records.rows(self._order.endpoint, one) for one in past]
        self._notes.append("Segments are held against the window before; the training data's profile has no parts.")
        return past, self._counted(form, version, past, segments, rows)

    # -- the report ----------------------------------------------------------------------------------------------------

    def _report(self, tests: Sequence[Test], reference: Reference) -> Report:
        order, gathered = self._order, self._gathered
        decided = [*verdicts(tests, self._settings.thresholds.q), *order.service]
        findings = ranked(_plain(one) for one in decided)
        verdict, drifted = overall(findings, self._settings.thresholds.dataset)
        return Report(
            endpoint=order.endpoint,
            window=order.window,
            models=tuple(gathered.models),
            rows=gathered.rows,
            reference=reference,
            labels=gathered.labels,
            findings=findings,
            verdict=verdict,
            drifted=drifted,
            made=order.now,
            amends=order.amends,
            notes=tuple(dict.fromkeys(self._notes)),
        )


def _with_joining(gathered: Gathered, rows: Rows) -> Gathered:
    """With what became of labels that are not simply there."""
    found = rows.joining()
    if found is None:
        return gathered
    labels = msgspec.structs.replace(gathered.labels, unknown=found.unknown, corrected=found.corrected)
    return msgspec.structs.replace(gathered, labels=labels)


def _summed(past: Sequence[Rows]) -> Gathered | None:
    """The past in sum; of four weeks the nearest does."""
    found = gather(past[-1]) if past else None
    return found if found is not None and found.answered else None


def _held(rows: Sequence[Rows]) -> Any:
    """The answered rows as one frame, where all were read and are few; else `None`."""
    parts = [some.few for some in rows]
    if not parts or any(one is None for one in parts):
        return None
    frames = [answered(frame) for part in parts for frame in part or ()]
    return joined_frames(frames) if frames else None


def _guarded(area: Area, measure: Callable[[Case], Sequence[Test]], case: Case) -> list[Test]:
    """What a measure finds; one that fails is a finding that says so, and the report goes on."""
    try:
        return list(measure(case))
    except Exception as error:  # noqa: BLE001 - whatever is odd about one measure stops no report
        why = error.detail if isinstance(error, FairleadError) else type(error).__name__
        logger.opt(exception=error).warning("A measure failed: {area}", area=AREAS[area])
        because = f"{AREAS[area]} could not be measured: {why}"
        return [
            Test(
                Finding(area=area, subject=area, measure="all", verdict="error", because=because, segment=case.segment)
            )
        ]


_WHOLE: Final = ("value", "reference", "statistic", "p", "adjusted", "effect")


def _plain(finding: Finding) -> Finding:
    """Without what JSON has no word for: infinities, and what is no number."""
    changed: dict[str, Any] = {name: None for name in _WHOLE if not _finite(getattr(finding, name))}
    if finding.interval is not None and not all(map(_finite, finding.interval)):
        changed["interval"] = None
    further = {name: value for name, value in finding.further.items() if _finite(value)}
    if len(further) < len(finding.further):
        changed["further"] = further
    picture = finding.picture
    if picture is not None and not all(map(_finite, (*picture.labels, *picture.reference, *picture.current))):
        changed["picture"] = None
    return msgspec.structs.replace(finding, **changed) if changed else finding


def _finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
