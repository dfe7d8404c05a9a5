"""Compaction: from segments to parts, one step after the other, each of which may be the last before the power fails.

```
take ── new bytes of segments become parts ─▶ manifest names the parts and the bytes
merge ─ small parts of a day that is over become one ─▶ manifest names the one instead
retire  a segment that is wholly in parts, and that no writer holds ─▶ manifest: it is leaving
prune ─ days too old or too many ─▶ manifest: they are leaving
remove  what has been leaving for longer than the grace is removed ─▶ manifest forgets it
```

Each step ends with the manifest, which is replaced as a whole: after a crash a step was done or was not. What a crash leaves
behind is a part that no manifest names, and the next compaction removes it. What cannot be read is never removed: it is kept under a name
that ends with `.broken`, and said in the notes.
"""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path
from typing import Final

import msgspec
from loguru import logger

from fairlead.archive import disk
from fairlead.archive.appended import read_new, uncollected
from fairlead.archive.manifest import FOLDER, GRACE, Followed, Leaving, Ledger, Part, name_of
from fairlead.archive.merging import merge, to_merge
from fairlead.archive.retention import Pruned, expired
from fairlead.archive.sheets import Sheets
from fairlead.eventlog import segment
from fairlead.eventlog.days import DAY, day_of
from fairlead.eventlog.reader import segments

__all__ = ["Compacted", "compact", "told"]

LEAST: Final = 4 * 2**20
"""A segment that still grows is taken up when it has so many new bytes: readers read the rest where it is."""

_MEMORY: Final = 64 * 2**20
"""So many bytes of segments are in memory before they become parts; as columns they are about as large."""

_YOUNG: Final = 60.0
"""A segment without events is left alone for so long: its writer may be about to take its lock."""


class Compacted(msgspec.Struct, frozen=True):
    """What a compaction did.

    Attributes:
        rows: Events that went from segments to parts.
        parts: Files written for them.
        merged: Files that became others.
        removed: Files removed: segments, merged parts, pruned parts.
        pruned: The days that are kept no longer.
        kept_rows: Events in the archive now.
        kept_bytes: Its size now.
        notes: What was odd and stopped nothing, a sentence each.
    """

    rows: int = 0
    parts: int = 0
    merged: int = 0
    removed: int = 0
    pruned: tuple[Pruned, ...] = ()
    kept_rows: int = 0
    kept_bytes: int = 0
    notes: tuple[str, ...] = ()


def compact(  # noqa: PLR0913 - what is kept, and what tests turn down
    events: Path,
    *,
    days: float | None = None,
    most_bytes: int | None = None,
    now: float | None = None,
    grace: float = GRACE,
    least: int = LEAST,
    memory: int = _MEMORY,
    patience: float = 0.0,
) -> Compacted:
    """Take up what was appended, and let go what is too old or too much. Whatever stops it, the next call goes on.

    Args:
        events: The event log's folder.
        days: Events are kept for so many days; for ever where it is `None`.
        most_bytes: The archive is kept below so many bytes; any size where it is `None`.
        now: In seconds since 1970 (UTC); the clock's where it is `None`.
        grace: How long files are left to those who may be reading them, in seconds.
        least: A segment that still grows is taken up when it has so many new bytes.
        memory: So many bytes of segments are held at a time.
        patience: How long to wait for another process that compacts this log, in seconds.

    Raises:
        Conflict: Another process compacts this log.
        StorageError: The manifest cannot be read.
        OSError: The disk refuses; nothing is lost.
    """
    if not events.is_dir():
        return Compacted()
    with disk.holding(events / FOLDER / "lock", patience=patience):
        work = _Work(Ledger(events), time.time() if now is None else now)
        work.sweep()
        work.take(least, memory)
        work.merge()
        work.retire()
        work.prune(days, most_bytes)
        work.remove(grace)
        return work.done()


def told(done: Compacted) -> Compacted:
    """The same, after what people should know of it was logged; for who compacts while nobody looks."""
    for one in done.pruned:
        logger.info(
            "{rows:,} events of {day} were pruned by {because}.", rows=one.rows, day=one.day, because=one.because
        )
    for note in done.notes:
        logger.warning("{note}", note=note)
    return done


class _Work:
    """One compaction under way."""

    def __init__(self, ledger: Ledger, now: float) -> None:
        self._ledger = ledger
        self._now = now
        self._today = day_of(now)
        self._notes: list[str] = []
        self._rows = self._parts = self._merged = self._removed = 0
        self._pruned: tuple[Pruned, ...] = ()

    def done(self) -> Compacted:
        """What was done."""
        parts = self._ledger.manifest.parts
        return Compacted(
            rows=self._rows,
            parts=self._parts,
            merged=self._merged,
            removed=self._removed,
            pruned=self._pruned,
            kept_rows=sum(one.rows for one in parts),
            kept_bytes=sum(one.bytes for one in parts),
            notes=tuple(self._notes),
        )

    def sweep(self) -> None:
        """Remove what a crash left, and set aside parts that are not as they were written."""
        archive, manifest = self._ledger.archive, self._ledger.manifest
        known = {part.path for part in manifest.parts}
        leaving = {one.path for one in manifest.leaving}
        for path in sorted(archive.glob("*/*/*.parquet")):
            name = path.relative_to(archive).as_posix()
            if name in known or f"{FOLDER}/{name}" in leaving:
                continue
            number = re.search(r"-(\d{8})\.parquet\Z", name)
            if number and int(number[1]) >= manifest.next:
                disk.remove(path)
            else:
                self._note(f"{name} lies in the archive and is no part of it; it is left alone.")
        broken = [(part, why) for part in manifest.parts if (why := _changed(archive / part.path, part))]
        self._set_aside(broken)

    def take(self, least: int, memory: int) -> None:
        """Make parts of what was appended."""
        with uncollected():
            self._take(least, memory)

    def _take(self, least: int, memory: int) -> None:
        sheets, taken, size = Sheets(), dict(self._ledger.manifest.segments), 0
        for path in segments(self._ledger.events):
            followed = taken.get(name_of(path), Followed())
            grown = _size(path) - followed.offset
            held = grown > 0 and disk.is_held(path)
            if grown <= 0 or (held and grown < least and path.parent.name >= self._today):
                continue
            damaged = 0
            for block in read_new(path, followed, closed=not held):
                damaged += sum(map(sheets.add, block.groups))
                read = block.followed
                taken[name_of(path)] = msgspec.structs.replace(read, damaged=read.damaged + damaged)
                size += block.bytes
                if size >= memory:
                    self._write(sheets, taken)
                    size = 0
        self._write(sheets, taken)

    def _write(self, sheets: Sheets, taken: dict[str, Followed]) -> None:
        """The sheets become parts; only now is what they hold taken."""
        manifest = self._ledger.manifest
        if taken == manifest.segments:
            return
        rows = sheets.rows
        written = sheets.write(self._ledger.archive, manifest.next)
        self._ledger.commit(
            parts=(*manifest.parts, *written), segments=dict(taken), next=manifest.next + len(written)
        )  # fmt: skip
        self._rows += rows
        self._parts += len(written)

    def merge(self) -> None:
        """Make one of the small parts of a day that is over."""
        for group in to_merge(self._ledger.manifest.parts, self._today):
            manifest = self._ledger.manifest
            merged = merge(self._ledger.archive, group, manifest.next)
            if merged.new is not None:
                gone = {part.path for part in merged.old}
                self._ledger.commit(
                    parts=(*(part for part in manifest.parts if part.path not in gone), merged.new),
                    leaving=(*manifest.leaving, *(Leaving(f"{FOLDER}/{path}", self._now) for path in sorted(gone))),
                    next=manifest.next + 1,
                )
                self._merged += len(gone)
            self._set_aside(merged.broken)

    def retire(self) -> None:
        """Let segments go that are wholly in parts and that nobody writes to."""
        manifest = self._ledger.manifest
        leaving = {one.path for one in manifest.leaving}
        found = []
        for path in segments(self._ledger.events):
            name, followed = name_of(path), manifest.followed(path)
            left = _size(path) - max(followed.offset, len(segment.MAGIC))
            if name in leaving or (followed.offset == 0 and left <= 0 and self._is_young(path)) or disk.is_held(path):
                continue
            if left > 0 and _may_be_read(path, followed):
                continue  # it has grown since it was taken, and was closed then
            if left > 0:
                self._note(
                    f"The segment {name} ends with {left} bytes that are no whole event; it is kept as {disk.BROKEN}."
                )
            if followed.damaged:
                self._note(
                    f"The segment {name} holds {followed.damaged} events that cannot be understood; it is kept as {disk.BROKEN}."
                )
            found.append(Leaving(name, self._now, broken=left > 0 or followed.damaged > 0))
        if found:
            self._ledger.commit(leaving=(*manifest.leaving, *found))

    def prune(self, days: float | None, most_bytes: int | None) -> None:
        """Let days go that are too old, or too many."""
        manifest = self._ledger.manifest
        pruned = expired(manifest.parts, self._now, days=days, most_bytes=most_bytes)
        gone = {one.day for one in pruned}
        old = [part for part in manifest.parts if part.day in gone]
        if old:
            self._ledger.commit(
                parts=tuple(part for part in manifest.parts if part.day not in gone),
                leaving=(*manifest.leaving, *(Leaving(f"{FOLDER}/{part.path}", self._now) for part in old)),
            )
        self._pruned = tuple(pruned)

    def remove(self, grace: float) -> None:
        """Remove what has been leaving for long enough, then forget it."""
        manifest = self._ledger.manifest
        due = [one for one in manifest.leaving if not self._now - grace < one.since <= self._now + grace]
        if not due:
            return
        for one in due:
            path = self._ledger.events / one.path
            if one.broken:
                disk.aside(path)
            else:
                disk.remove(path)
            self._drop_folder(path.parent)
        gone = {one.path for one in due}
        self._ledger.commit(
            leaving=tuple(one for one in manifest.leaving if one.path not in gone),
            segments={name: followed for name, followed in manifest.segments.items() if name not in gone},
        )
        self._removed += len(due)

    def _drop_folder(self, folder: Path) -> None:
        """Remove the folder of a day that is empty; never today's, in which a writer may be about to begin."""
        if folder.name < day_of(self._now - DAY):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _set_aside(self, broken: list[tuple[Part, str]] | tuple[tuple[Part, str], ...]) -> None:
        """Keep parts that cannot be read where nobody reads them."""
        if not broken:
            return
        for part, why in broken:
            path = self._ledger.archive / part.path
            disk.aside(path)
            kept = f" It is kept as {disk.BROKEN}." if path.with_name(path.name + disk.BROKEN).exists() else ""
            self._note(f"{part.path} with {part.rows:,} events cannot be read: {why}.{kept}")
        gone = {part.path for part, _ in broken}
        self._ledger.commit(parts=tuple(part for part in self._ledger.manifest.parts if part.path not in gone))

    def _is_young(self, path: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return abs(time.time() - path.stat().st_mtime) < _YOUNG
        return True

    def _note(self, text: str) -> None:
        self._notes.append(text)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _changed(path: Path, part: Part) -> str:
    """Why a part is not as it was written, as far as its size tells, which costs next to nothing; empty where it is."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return "it is gone"
    except OSError as err:
        return str(err.strerror)
    return "" if size == part.bytes else f"it has {size} bytes and not {part.bytes}"


def _may_be_read(path: Path, followed: Followed) -> bool:
    """Whether more of a segment can be read than was."""
    return any(block.groups or block.followed != followed for block in read_new(path, followed, closed=True))
