"""Compressed bodies: requests that arrive as gzip or deflate, and answers to those who take them so.

What a body inflates to is counted while it inflates, so that a small request cannot become a large one. Inflating takes a
while: a door does it in a thread.
"""

from __future__ import annotations

import zlib
from typing import Final

from fairlead.errors import InvalidInput, TooLarge
from fairlead.serving.http.problems import UnsupportedMediaType

__all__ = ["accepted", "compress", "inflate"]

_WBITS: Final = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
"""HTTP's deflate is a zlib stream (RFC 9110, 8.4.1.2)."""

_SMALL: Final = 500
"""A shorter answer is sent as it is: packing it would cost more than it saves."""

_FAST: Final = 1


def inflate(body: bytes, encoding: bytes, *, limit: int) -> bytes:
    """The body without its compression.

    Args:
        body: As it arrived.
        encoding: The value of `Content-Encoding`.
        limit: How many bytes it may inflate to.

    Raises:
        UnsupportedMediaType: The encoding is neither gzip nor deflate.
        TooLarge: It inflates to more than `limit`.
        InvalidInput: It is not what it says it is, or it is cut off.
    """
    name = encoding.strip().lower()
    if name in {b"", b"identity"}:
        return body
    if name not in _WBITS:
        shown = name[:40].decode("ascii", "replace")
        raise UnsupportedMediaType(f"The encoding {shown!r} is not read here.", hint="Send gzip, deflate, or neither.")
    stream = zlib.decompressobj(_WBITS[name])
    try:
        found = stream.decompress(body, limit + 1)
    except zlib.error as err:
        raise InvalidInput(f"The body is not {name.decode()}.") from err
    if len(found) > limit:
        raise TooLarge(f"The body inflates to more than {limit} bytes.", hint="Send less at once.", limit=limit)
    if not stream.eof or stream.unused_data:
        raise InvalidInput(f"The body is not one whole {name.decode()} stream.")
    return found


def accepted(header: bytes | None) -> bytes:
    """The compression that the caller would like, of those we have; empty for none.

    Args:
        header: The value of `Accept-Encoding`.
    """
    if header is None:
        return b""
    wanted = [one.partition(b";") for one in header.lower().split(b",")[:16]]
    offered = [name.strip() for name, _, weight in wanted if not _refused(weight)]
    return next((name for name in (b"gzip", b"deflate") if name in offered), b"")


def compress(body: bytes, encoding: bytes) -> tuple[bytes, bytes]:
    """The body and the header lines that tell how it is compressed.

    Args:
        body: The answer.
        encoding: As `accepted` gave it.
    """
    if not encoding or len(body) < _SMALL:
        return body, b""
    stream = zlib.compressobj(_FAST, wbits=_WBITS[encoding])
    packed = stream.compress(body) + stream.flush()
    return packed, b"content-encoding: %b\r\nvary: accept-encoding\r\n" % encoding


def _refused(weight: bytes) -> bool:
    """Whether `q=0` stands there."""
    name, _, value = weight.replace(b" ", b"").partition(b"=")
    return name == b"q" and value.strip(b"0") in {b"", b"."}
