"""What is in the archive, and up to which byte of each segment: the one file by which a part counts.

```
segments ──new bytes──▶ parts, on the disk ──▶ manifest replaced ──▶ after a while: segments removed
                          │                        │
   a crash here: the parts are in no manifest,     └ a crash here: what was to be removed is in `leaving`,
   and are removed by the next compaction            and is removed by the next compaction
```

A reader takes the manifest as it finds it, reads the parts it names and each segment from the byte it names. Nothing that it names is
removed within the grace (an hour), so the reader needs no lock, and sees each event once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from fairlead.archive import disk
from fairlead.errors import StorageError

__all__ = ["FOLDER", "GRACE", "NAME", "Followed", "Kind", "Leaving", "Ledger", "Manifest", "Part", "load", "name_of"]

FOLDER: Final = "archive"
"""Below the event log's folder."""

NAME: Final = "manifest.json"

GRACE: Final = 3600.0
"""How long what is needed no longer is left to those who may be reading it, in seconds."""

Kind = Literal["prediction", "mirrored", "feedback"]


class Part(msgspec.Struct, frozen=True):
    """One Parquet file: events of one kind, endpoint and day; predictions also of the same columns.

    Attributes:
        path: Below the archive's folder.
        endpoint: Whose.
        day: Of the events' times (UTC), "2026-11-22".
        kind: What they are.
        rows: How many.
        bytes: How large the file is.
        first: The earliest time, in seconds since 1970.
        last: The latest.
        layout: The same for predictions with the same inputs and classes.
        types: A letter for each column whose type the data decide: f, i, b, s; "-" where no row has a value.
    """

    path: str
    endpoint: str
    day: str
    kind: Kind
    rows: int
    bytes: int
    first: float
    last: float
    layout: str = ""
    types: str = ""


class Followed(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a segment is in the archive.

    Attributes:
        offset: All before this byte is.
        introduced: Where the frames before it begin that say what the positions of predictions mean.
        damaged: How many frames before it could not be understood; they stand in the segment alone.
    """

    offset: int = 0
    introduced: tuple[int, ...] = ()
    damaged: int = 0


class Leaving(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file that is needed no longer, and is left for a while to those who are reading it.

    Attributes:
        path: Below the event log's folder.
        since: When it was decided, in seconds since 1970.
        broken: It holds what could not be read, so it is kept under another name.
    """

    path: str
    since: float
    broken: bool = False


class Manifest(msgspec.Struct, frozen=True):
    """What is in the archive.

    Attributes:
        version: Of this form.
        next: The number of the next part; a part with this number or a later one is what a crash left.
        parts: All that count.
        segments: By their path below the event log's folder.
        leaving: What will be removed.
    """

    version: Literal[1] = 1
    next: int = 1
    parts: tuple[Part, ...] = ()
    segments: dict[str, Followed] = {}
    leaving: tuple[Leaving, ...] = ()

    def followed(self, path: Path) -> Followed:
        """How far this segment is in the archive."""
        return self.segments.get(name_of(path), Followed())


def name_of(segment: Path) -> str:
    """A segment's path below the event log's folder."""
    return f"{segment.parent.name}/{segment.name}"


def load(events: Path) -> Manifest:
    """The manifest of an event log; an empty one where nothing was ever compacted.

    Args:
        events: The event log's folder.

    Raises:
        StorageError: It cannot be read, or it is gone though its parts are there: without it nobody knows what counts.
    """
    path = events / FOLDER / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        if any((events / FOLDER).glob("*/*/*.parquet")):
            raise StorageError(
                "The archive of the event log has parts, and no manifest that says which of them count.",
                hint=f"Restore {FOLDER}/{NAME} in the folder of events, or move {FOLDER} elsewhere to begin anew.",
            ) from None
        return Manifest()
    except (OSError, msgspec.DecodeError) as err:
        raise StorageError(
            f"The manifest of the event log's archive cannot be read: {err}.",
            hint=f"Restore {FOLDER}/{NAME} in the folder of events from a backup.",
        ) from err


class Ledger:
    """The manifest in the hand of the one who may change it. It is written before the first part is, so that parts without it tell of a loss.

    Args:
        events: The event log's folder.

    Raises:
        StorageError: As `load`.
        OSError: The disk refuses.
    """

    def __init__(self, events: Path) -> None:
        self.events = events
        self.archive = events / FOLDER
        self.manifest = load(events)
        if not (self.archive / NAME).exists():
            self.commit()

    def commit(
        self,
        *,
        parts: tuple[Part, ...] | None = None,
        segments: dict[str, Followed] | None = None,
        leaving: tuple[Leaving, ...] | None = None,
        next: int | None = None,  # noqa: A002 - the field's name
    ) -> None:
        """Replace the manifest; what is not given stays.

        Raises:
            OSError: The disk refuses; the old manifest stays.
        """
        old = self.manifest
        fresh = Manifest(
            next=old.next if next is None else next,
            parts=old.parts if parts is None else parts,
            segments=old.segments if segments is None else segments,
            leaving=old.leaving if leaving is None else leaving,
        )
        disk.replace(self.archive / NAME, msgspec.json.encode(fresh))
        self.manifest = fresh
