"""What writers have appended to a segment since it was last read: whole frames in blocks, decoded many at a time.

A block is a megabyte, so that memory does not depend on how large a segment may grow. Of each frame the CRC is checked; one in the
middle that fails it, with a whole one behind it, is passed over and counted, and so is one that cannot be understood. Both stay in
the segment, which is then kept.

Most rows become columns straight from their bytes (`columnwise`). The others are the plain lists that MessagePack gives, because they are turned to
columns at once and never looked at one by one.
"""

from __future__ import annotations

import gc
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Final
from zlib import crc32

import msgspec
import numpy as np

from fairlead.archive.columnwise import PADDING, Alike, alike
from fairlead.archive.manifest import Followed, Kind
from fairlead.eventlog import segment
from fairlead.events import Columns

__all__ = ["Block", "Group", "Raw", "read_new", "uncollected"]

Raw = list[Any]
"""An event as MessagePack gives it: its tag, then its fields in order."""

_BLOCK: Final = 2**20
_LARGEST: Final = 2**30
_AT_ONCE: Final = 10_000
"""Frames read together as columns, as many as a block has."""
_OBJECTS: Final = 2000
"""Frames decoded in one call; more would leave the processor's cache before they are columns."""

_HEAD: Final = struct.Struct("<II")
_decode = msgspec.msgpack.Decoder(list[list[Any]]).decode
_decode_one = msgspec.msgpack.Decoder(list[Any]).decode


class Group(msgspec.Struct, frozen=True, gc=False):
    """Rows of one kind and endpoint, with equally many fields; predictions also of one version.

    Attributes:
        kind: What they are.
        endpoint: Whose.
        columns: What the positions of predictions mean; `None` for the others.
        rows: The events, at least one, in order.
        fields: The same by field, where that is known already.
    """

    kind: Kind
    endpoint: str
    columns: Columns | None
    rows: list[Raw]
    fields: list[tuple[Any, ...]] | None = None


class Block(msgspec.Struct, frozen=True, gc=False):
    """Some frames of a segment.

    Attributes:
        groups: The events, without the facts that introduce columns. Their order is kept within a group.
        followed: How far the segment was read with this block.
        bytes: How many bytes it stood for.
    """

    groups: list[Group | Alike]
    followed: Followed
    bytes: int


def read_new(path: Path, followed: Followed, *, closed: bool = False, block: int = _BLOCK) -> Iterator[Block]:
    """The frames of a segment that came after `followed`, in blocks; nothing where it is gone.

    Args:
        path: The segment.
        followed: How far it was read.
        closed: Nobody writes to it any more, so a frame that is not whole never will be, and one behind it may be looked for.
        block: About so many bytes are read at a time; more where one frame is larger.

    Raises:
        OSError: It cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        columns = _introduced(file, followed)
        offset = followed.offset
        if not offset:
            if file.read(len(segment.MAGIC)) != segment.MAGIC:
                return
            offset = len(segment.MAGIC)
        yield from _Reader(file, columns, followed, closed=closed).blocks(offset, block)


class _Reader:
    """One pass over a segment's new bytes."""

    def __init__(self, file: BinaryIO, columns: dict[str, Columns], followed: Followed, *, closed: bool) -> None:
        self._file = file
        self._columns = columns
        self._introduced = followed.introduced
        self._damaged = followed.damaged
        self._closed = closed

    def blocks(self, offset: int, size: int) -> Iterator[Block]:
        wanted = size
        while True:
            self._file.seek(offset)
            data = self._file.read(wanted)
            frames, end = _whole(data)
            if not frames:
                if len(data) == wanted and wanted < _LARGEST:
                    wanted *= 2  # one frame is larger than a block
                    continue
                skipped = _behind(data) if self._closed else 0
                if not skipped:
                    return
                self._damaged += 1
                offset += skipped
                yield Block([], self._followed(offset), skipped)
                continue
            wanted = size
            yield from self._decoded(data[:end] + bytes(PADDING), frames, offset)
            offset += end

    def _decoded(self, data: bytes, frames: list[int], offset: int) -> Iterator[Block]:
        """The frames in smaller blocks.

        Args:
            data: Their bytes, and `PADDING`.
            frames: Where each ends.
            offset: Where they begin in the segment.
        """
        begins = [0, *frames]
        for first in range(0, len(frames), _AT_ONCE):
            places = begins[first : first + _AT_ONCE + 1]
            start, end = places[0], places[-1]
            found, rest = alike(data, np.array(places[:-1]) + _HEAD.size, np.array(places[1:]), self._columns)
            payloads = [data[places[at] + _HEAD.size : places[at + 1]] for at in rest.tolist()]
            groups = self._grouped(payloads)
            if groups is None:
                every = [data[one + _HEAD.size : other] for one, other in pairwise(places)]
                yield from self._mixed(every, offset + start)
            else:
                yield Block([*found, *groups], self._followed(offset + end), end - start)

    def _grouped(self, payloads: list[bytes]) -> list[Group | Alike] | None:
        """Payloads decoded one by one; `None` where some must be looked at more closely."""
        found: list[Group | Alike] = []
        for first in range(0, len(payloads), _OBJECTS):
            groups = _plain(payloads[first : first + _OBJECTS], self._columns)
            if groups is None:
                return None
            found += groups
        return found

    def _mixed(self, payloads: list[bytes], offset: int) -> Iterator[Block]:
        """Payloads among which versions are introduced, or which nobody understands: those are counted and left out."""
        rows = [_understood(one) for one in payloads]
        self._damaged += sum(not row for row in rows)
        start = 0
        for place in [*(at for at, row in enumerate(rows) if row and row[0] == "c"), len(rows)]:
            size = _size(payloads[start:place])
            offset += size
            facts = [row for row in rows[start:place] if row and row[0] != "c"]
            yield Block(_grouped(facts, self._columns), self._followed(offset), size)
            if place < len(rows):
                self._introduce(rows[place], offset)
            start = place

    def _introduce(self, row: Raw, begin: int) -> None:
        columns = Columns(row[1], row[2], tuple(row[3]), tuple(row[4]))
        self._columns = self._columns | {columns.model: columns}
        self._introduced = (*self._introduced, begin)

    def _followed(self, offset: int) -> Followed:
        return Followed(offset, self._introduced, self._damaged)


def _whole(data: bytes) -> tuple[list[int], int]:
    """Where each whole frame ends, and where the last of them does. As `segment.whole`, without its generator's cost."""
    unpack, size, end = _HEAD.unpack_from, _HEAD.size, len(data)
    found: list[int] = []
    add = found.append
    offset = 0
    while (begin := offset + size) <= end:
        length, crc = unpack(data, offset)
        stop = begin + length
        if not length or stop > end or crc32(data[begin:stop]) != crc:
            break
        add(stop)
        offset = stop
    return found, offset


def _behind(data: bytes) -> int:
    """Where the frame after a damaged one begins, if a whole one stands there; else 0."""
    if len(data) < _HEAD.size:
        return 0
    after = _HEAD.size + int(_HEAD.unpack_from(data, 0)[0])
    return after if _whole(data[after:])[0] else 0


def _size(payloads: list[bytes]) -> int:
    return sum(map(len, payloads)) + _HEAD.size * len(payloads)


_KINDS: Final[dict[str, Kind]] = {"p": "prediction", "m": "mirrored", "f": "feedback"}
_LEAST: Final = {"p": 13, "m": 14, "f": 4}
"""The least length of a row, by its tag: what has a default came later."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile. Rows are thousands of lists that all live, and looking at them costs more than decoding them."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _plain(payloads: list[bytes], columns: dict[str, Columns]) -> list[Group | Alike] | None:
    """Payloads by kind, endpoint and version; `None` where they must be looked at one by one."""
    try:
        with uncollected():
            rows = _decode(b"\xdd" + len(payloads).to_bytes(4, "big") + b"".join(payloads))
        return _grouped(rows, columns) if len(rows) == len(payloads) else None
    except (msgspec.DecodeError, UnicodeDecodeError, LookupError, TypeError):
        return None


def _grouped(rows: list[Raw], columns: dict[str, Columns]) -> list[Group | Alike]:
    """Rows by kind, endpoint and version.

    Raises:
        LookupError: One is none of our facts.
        TypeError: The same; or it introduces columns, whose names are a list.
    """
    if (one := _one_group(rows, columns)) is not None:
        return [one]
    found: dict[tuple[str, int, str, str], list[Raw]] = {}
    for row in rows:
        tag = row[0]
        key = (tag, len(row), row[3], "" if tag == "f" else row[4])
        some = found.get(key)
        if some is None:
            if len(row) < _LEAST[tag]:
                raise LookupError
            found[key] = some = []
        some.append(row)
    return [
        Group(_KINDS[tag], endpoint, _columns_of(tag, model, columns), some)
        for (tag, _, endpoint, model), some in found.items()
    ]


def _one_group(rows: list[Raw], columns: dict[str, Columns]) -> Group | None:
    """Rows that are all predictions of one version at one endpoint, as they mostly are: seen by field, where it costs little."""
    try:
        fields = list(zip(*rows, strict=True))
    except ValueError:
        return None
    if len(fields) < _LEAST["p"] or fields[0][0] != "p":
        return None
    if any(values.count(values[0]) != len(rows) for values in (fields[0], fields[3], fields[4])):
        return None
    return Group("prediction", fields[3][0], _columns_of("p", fields[4][0], columns), rows, fields)


def _columns_of(tag: str, model: str, columns: dict[str, Columns]) -> Columns | None:
    return columns.get(model, Columns(model, "", (), ())) if tag == "p" else None


def _understood(payload: bytes) -> Raw:
    """One payload as a row; empty where it is no event."""
    try:
        segment.decode(payload)
        return _decode_one(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []


def _introduced(file: BinaryIO, followed: Followed) -> dict[str, Columns]:
    """What earlier frames said of columns."""
    found: dict[str, Columns] = {}
    for offset in followed.introduced:
        file.seek(offset)
        length, _ = _HEAD.unpack(file.read(_HEAD.size))
        columns = segment.decode(file.read(length))
        assert isinstance(columns, Columns)
        found[columns.model] = columns
    return found
