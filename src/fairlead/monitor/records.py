"""What a report is made of, from where it rests: rows from the archive, versions from registry and blobs, panes from the database.

The rows of a window are read as often as they are needed; where they are few they are held after the first time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fairlead.archive.needs import needing_monitor
from fairlead.bundle.reader import open_bundle
from fairlead.bundle.store import fetch_bundle
from fairlead.errors import FairleadError
from fairlead.monitor.report import Labels, Window
from fairlead.monitor.store import Pane, read_panes
from fairlead.profiles.profile import Profile
from fairlead.registry.registry import resolve
from fairlead.schema import Schema
from fairlead.storage.blobs import Blobs
from fairlead.storage.database import Database

if TYPE_CHECKING:
    import polars as pl

    from fairlead.archive.frames import Frames
    from fairlead.archive.labels import Joining
    from fairlead.archive.snapshot import Snapshot
    from fairlead.monitor.measures.service_levels import Tally

__all__ = ["Records", "Rows", "Version"]

_HELD: Final = 500_000
"""So many rows are held; a window with more is read again."""

_CLOCKS: Final = 86_400.0


class Version(msgspec.Struct, frozen=True):
    """What is known of a version that answered.

    Attributes:
        ref: "flights:3".
        digest: Of its bundle.
        schema: What it takes and gives.
        profile: Of its training data, or of a held-out table; `None` where its bundle carries none.
        metrics: As its author gave them.
        held_out: Whether the profile is of rows that it was not trained on.
    """

    ref: str
    digest: str
    schema: Schema
    profile: Profile | None
    metrics: Mapping[str, Any] = {}
    held_out: bool = False

    @property
    def normal(self) -> str:
        """What its profile is of, for people."""
        return f"the {'held-out' if self.held_out else 'training'} data of {self.ref}"


class Rows:
    """The predictions of an endpoint in a window, joined with their labels.

    Args:
        read: Reads them, in pieces.
        held: So many are held.
    """

    def __init__(self, read: Callable[[], Frames], held: int = _HELD) -> None:
        self._read = read
        self._held = held
        self._kept: list[pl.DataFrame] | None = None
        self._frames: Frames | None = None

    def __iter__(self) -> Iterator[pl.DataFrame]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[pl.DataFrame] | None = []
        count = 0
        frames = self._read()
        for frame in frames:
            count += frame.height
            if count > self._held:
                kept = None
            elif kept is not None:
                kept.append(frame)
            yield frame
        self._kept, self._frames = kept, frames

    @property
    def few(self) -> list[pl.DataFrame] | None:
        """All of them, where they are few and were read to their end."""
        return self._kept

    @property
    def notes(self) -> list[str]:
        """What could not be read, after they were read to their end."""
        return list(self._frames.notes) if self._frames is not None else []

    def joining(self) -> Joining | None:
        """What became of the labels, likewise."""
        return self._frames.joining() if self._frames is not None else None


class Records:
    """Where everything rests.

    Args:
        database: Versions and panes.
        blobs: Bundles.
        events: The event log's folder, with the archive below it.
        bundles: Bundles unpacked on this machine.
    """

    def __init__(self, database: Database, blobs: Blobs, events: Path, bundles: Path) -> None:
        self.database = database
        self.events = events
        self._blobs = blobs
        self._bundles = bundles
        self._versions: dict[str, Version] = {}

    def version(self, ref: str) -> Version:
        """A version by its name; its bundle is fetched where it is not on this machine.

        Raises:
            NotFound: There is no such version.
            BundleError: Its bundle is missing or corrupt.
            StorageError: A store cannot be read.
        """
        if ref not in self._versions:
            found = resolve(self.database, ref)
            bundle = open_bundle(fetch_bundle(found.digest, self._blobs, self._bundles), found.digest)
            self._versions[ref] = Version(
                found.ref, found.digest, bundle.schema, bundle.profile, found.metrics, bundle.held_out
            )
        return self._versions[ref]

    def known(self, ref: str) -> tuple[Version | None, str]:
        """The same for who goes on without: the version, or why there is none."""
        try:
            return self.version(ref), ""
        except FairleadError as error:
            return None, error.detail

    def rows(self, endpoint: str, window: Window) -> Rows:
        """The predictions of an endpoint in a window, joined with their labels."""
        with needing_monitor("Monitoring"):
            from fairlead.archive.frames import frames

        return Rows(lambda: frames(self.events, endpoint, window.start, window.end))

    def times(self, endpoint: str, since: float) -> list[float]:
        """When predictions were made, rising, from a moment on."""
        found = self._snapshot().pieces("prediction", endpoint, since, columns=["time"])
        return sorted(moment for piece in found for moment in piece.frame["time"].to_list())

    def tallies(self, endpoint: str, start: float, end: float, latency_seconds: float) -> list[Tally]:
        """Requests by the minute; one tally for each piece that is read, so that rows are not held.

        Args:
            endpoint: Whose.
            start: In seconds since 1970 (UTC).
            end: Likewise.
            latency_seconds: What is later counts as slow.
        """
        from fairlead.monitor.batches import traffic_of
        from fairlead.monitor.measures.service_levels import tally

        pieces = self._snapshot().pieces("prediction", endpoint, start, end, columns=["time", "latency", "status"])
        return [tally(traffic_of(piece.frame), latency_seconds) for piece in pieces]

    def labels(self, endpoint: str, windows: Sequence[Window]) -> dict[Window, Labels]:
        """How many answers of each window have a label by now; only ids and times are read for it.

        Args:
            endpoint: Whose.
            windows: At least one.
        """
        snapshot = self._snapshot()
        start, end = min(one.start for one in windows), max(one.end for one in windows)
        told = _labelled(snapshot, endpoint, start)
        counts = {one: [0, 0] for one in windows}
        for piece in snapshot.pieces("prediction", endpoint, start, end, columns=["id", "time", "status"]):
            frame = piece.frame.filter(piece.frame["status"] == "ok")
            has, times = frame["id"].is_in(told.implode()), frame["time"]
            for window, count in counts.items():
                here = (times >= window.start) & (times < window.end)
                count[0] += int((has & here).sum())
                count[1] += int(here.sum())
        return {one: Labels(count[0], count[0] / count[1] if count[1] else 0.0) for one, count in counts.items()}

    def _snapshot(self) -> Snapshot:
        with needing_monitor("Monitoring"):
            from fairlead.archive.snapshot import Snapshot
        return Snapshot(self.events)

    def panes(self, endpoint: str, shape: str, windows: Sequence[Window]) -> dict[tuple[str, Window], Pane]:
        """The panes that were counted before."""
        with self.database.read() as connection:
            return read_panes(connection, endpoint, shape, windows)


def _labelled(snapshot: Snapshot, endpoint: str, since: float) -> pl.Series:
    """The ids that were given a label since a moment; clocks of two machines may differ by a day."""
    import polars as pl

    columns = ["id", "label", "about"]
    pieces = snapshot.pieces("feedback", endpoint, since - _CLOCKS, columns=columns)
    found = [
        piece.frame.filter(pl.col("label").is_not_null() & (pl.col("about") == "answer"))["id"] for piece in pieces
    ]
    return pl.concat(found).unique() if found else pl.Series("id", [], pl.String)
