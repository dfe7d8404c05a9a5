"""The form of a segment: frames of length, CRC and event, one after the other.

```
"FLEV0001"  then for each event:  length (u32)  crc32 of the payload (u32)  payload (MessagePack)
```

A segment has one writer and is only ever appended to. Whatever stops the writer (a kill, a full disk, a torn page), the
frames before are whole, and a reader recognises the first one that is not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from zlib import crc32

import msgspec

from fairlead.events import Event

__all__ = ["MAGIC", "SUFFIX", "TornTail", "decode", "encode", "frames", "read", "whole"]

MAGIC = b"FLEV0001"
SUFFIX = ".seg"

_HEAD = struct.Struct("<II")
_pack = _HEAD.pack
_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Event).decode
"""The event of a payload."""


class TornTail(msgspec.Struct, frozen=True):
    """Where a segment stops being whole.

    Attributes:
        offset: The first byte that belongs to no whole frame.
        lost: How many bytes follow from there.
    """

    offset: int
    lost: int


def encode(events: Iterable[Event]) -> list[bytes]:
    """The frames of events, as the parts of one write."""
    parts = []
    for event in events:
        payload = _encode(event)
        parts.append(_pack(len(payload), crc32(payload)))
        parts.append(payload)
    return parts


def frames(data: bytes) -> Iterator[bytes | TornTail]:
    """The payloads of whole frames; last a `TornTail` where the data does not end with one."""
    if data[: len(MAGIC)] != MAGIC:
        if data:
            yield TornTail(0, len(data))
        return
    offset = len(MAGIC)
    for payload, end in whole(data, offset):
        yield payload
        offset = end
    if offset < len(data):
        yield TornTail(offset, len(data) - offset)


def whole(data: bytes, start: int) -> Iterator[tuple[bytes, int]]:
    """The payloads of whole frames from `start` on, each with where its frame ends."""
    offset, end = start, len(data)
    while (begin := offset + _HEAD.size) <= end:
        length, crc = _HEAD.unpack_from(data, offset)
        payload = data[begin : begin + length]
        # A run of zeros (a torn page) has length 0, which no event has.
        if length == 0 or len(payload) < length or crc32(payload) != crc:
            return
        offset = begin + length
        yield payload, offset


def read(data: bytes) -> Iterator[Event | TornTail]:
    """The events of a segment; last a `TornTail` where it does not end with a whole one."""
    for frame in frames(data):
        yield frame if isinstance(frame, TornTail) else decode(frame)
