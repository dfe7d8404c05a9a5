"""Windows counted pane by pane, so that a long one that slides, or a reference of four weeks, is not read anew for each report.

```
rows ─▶ split by pane and segment ─▶ count ─▶ Profile of each ─┐
panes that were counted before ────────────────────────────────┴▶ merge ─▶ Profile of the window
```

A pane is counted in the bins of one version's profile, and kept under its digest: after a promotion the past is counted again, in the new bins. Of a pane
that was counted while labels were missing the later count stands instead, as soon as the window's report is amended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Final

import msgspec

from fairlead.errors import InvalidInput
from fairlead.monitor.batches import answered, batch_of, of_level
from fairlead.monitor.records import Rows
from fairlead.monitor.report import Window
from fairlead.monitor.store import Pane
from fairlead.profiles.codec import from_bytes, to_bytes
from fairlead.profiles.counting import Batch, count
from fairlead.profiles.merging import merge
from fairlead.profiles.profile import NameCounts, Profile
from fairlead.schema import Schema

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ALL", "Counted", "Segment", "count_panes_of", "levels_of", "merged", "pane_of", "recalled"]


class Segment(msgspec.Struct, frozen=True):
    """A part of the traffic: the rows whose column has this level.

    Attributes:
        column: Of names; empty for all rows.
        level: As `schema.label_text` writes it.
    """

    column: str = ""
    level: str = ""

    @property
    def text(self) -> str:
        """For people, and for a finding: 'carrier = "UA"'; empty for all rows."""
        return f'{self.column} = "{self.level}"' if self.column else ""


ALL: Final = Segment()
_LONGEST: Final = 300
"""A segment's name is a key of the database; one that is longer is counted anew each time."""

Counted = dict[tuple[Segment, Window], Profile]


def count_panes_of(
    rows: Rows, panes: Sequence[Window], segments: Sequence[Segment], shape: Profile, schema: Schema
) -> Counted:
    """Count rows in the bins of a profile, by pane and segment; a pane without rows has a profile of zeros.

    Args:
        rows: Of a window that the panes lie in.
        panes: Which.
        segments: Which; `ALL` among them counts every row.
        shape: Whose bins.
        schema: Of the version whose bins they are.
    """
    empty = count(shape, Batch(0, {}))
    found: Counted = {(segment, pane): empty for segment in segments for pane in panes}
    for frame in rows:
        fine = answered(frame)
        for pane in panes:
            piece = fine if len(panes) == 1 else _within(fine, pane)
            for segment in segments if piece.height else ():
                part = of_level(piece, segment.column, segment.level) if segment.column else piece
                if part.height:
                    made = count(shape, batch_of(part, schema))
                    found[segment, pane] = merge(found[segment, pane], made)
    return found


def recalled(
    panes: Mapping[tuple[str, Window], Pane], wanted: Sequence[Window], segments: Iterable[Segment]
) -> Counted:
    """The panes that were kept, read; one that cannot be read is counted again."""
    found: Counted = {}
    for segment in segments:
        for window in wanted:
            kept = panes.get((segment.text, window))
            if kept is not None:
                try:
                    found[segment, window] = from_bytes(kept.content)
                except InvalidInput:
                    continue  # written by another Fairlead
    return found


def pane_of(segment: Segment, window: Window, profile: Profile) -> Pane | None:
    """A pane to keep; `None` where its key is too long, or a name in it cannot be stored."""
    if len(segment.text) > _LONGEST or "\x00" in segment.text:
        return None
    return Pane(segment.text, window, profile.labels, to_bytes(profile))


def merged(counted: Counted, windows: Sequence[Window], segment: Segment) -> Profile:
    """The profile of windows together."""
    return reduce(merge, (counted[segment, window] for window in windows))


def levels_of(profile: Profile, column: str, most: int) -> list[Segment]:
    """The most frequent levels of a column, as segments; none where it is no column of names."""
    found = profile.find(column)
    if not isinstance(found, NameCounts) or found.withheld:
        return []
    frequent = sorted(found.counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    return [Segment(column, level) for level, number in frequent if number]


def _within(frame: pl.DataFrame, pane: Window) -> pl.DataFrame:
    return frame.filter((frame["time"] >= pane.start) & (frame["time"] < pane.end))
