"""Compressed bodies against Python's gzip and zlib."""

import gzip
import zlib

import pytest

from fairlead.errors import InvalidInput, TooLarge
from fairlead.serving.http.compression import accepted, compress, inflate
from fairlead.serving.http.problems import UnsupportedMediaType

BODY = b'{"inputs": []}' * 100


def test_gzip_and_zlib_are_inflated_and_other_names_are_refused():
    assert inflate(gzip.compress(BODY, mtime=0), b"GZip", limit=10_000) == BODY
    assert inflate(zlib.compress(BODY), b"deflate", limit=10_000) == BODY
    assert inflate(BODY, b"identity", limit=10) == BODY
    for name in (b"br", b"zstd", b"gzip, gzip", b"\xff"):
        with pytest.raises(UnsupportedMediaType):
            inflate(BODY, name, limit=10_000)


def test_what_inflates_beyond_the_limit_is_refused_before_it_is_there():
    import tracemalloc

    bomb = gzip.compress(bytes(200 * 2**20), compresslevel=9)
    tracemalloc.start()
    with pytest.raises(TooLarge, match="more than 1000 bytes"):
        inflate(bomb, b"gzip", limit=1000)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_exactly_the_limit_is_read():
    assert inflate(gzip.compress(bytes(1000)), b"gzip", limit=1000) == bytes(1000)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"plain",
        gzip.compress(BODY, mtime=0)[:-1],
        gzip.compress(BODY, mtime=0)[:20],
        gzip.compress(BODY, mtime=0) + b"x",
        zlib.compress(BODY),
    ],
)
def test_what_is_not_whole_or_not_gzip_is_refused(body):
    with pytest.raises(InvalidInput):
        inflate(body, b"gzip", limit=10_000)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, b""),
        (b"", b""),
        (b"br", b""),
        (b"gzip", b"gzip"),
        (b"deflate", b"deflate"),
        (b"br, deflate;q=0.5, GZIP", b"gzip"),
        (b"gzip;q=0, deflate; q=0.1", b"deflate"),
        (b"gzip; q=0.0", b""),
    ],
)
def test_the_caller_is_given_what_it_takes(header, expected):
    assert accepted(header) == expected


def test_long_answers_are_packed_and_short_ones_are_not():
    for name, unpack in ((b"gzip", gzip.decompress), (b"deflate", zlib.decompress)):
        packed, headers = compress(BODY, name)
        assert unpack(packed) == BODY
        assert b"content-encoding: " + name in headers
    assert compress(b"short", b"gzip") == (b"short", b"")
    assert compress(BODY, b"") == (BODY, b"")
