"""The form of a segment. CRC-32 is checked against its published check value; the rest by cutting and flipping bytes."""

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.eventlog.segment import MAGIC, TornTail, encode, frames, read
from fairlead.events import Columns, Prediction

COLUMNS = Columns("flights:1", "0" * 64, ("temp",), ("late", "on time"))


def prediction(number):
    return Prediction(
        f"id-{number}", 1.5, "flights", "flights:1", "stable", None, "ok", 0.001, (4.5,), "late", (0.75, 0.25), ()
    )


EVENTS = [COLUMNS, *map(prediction, range(5))]
SEGMENT = MAGIC + b"".join(encode(EVENTS))


def test_the_checksum_is_the_standard_crc_32():
    assert crc32(b"123456789") == 0xCBF43926  # the check value of the CRC catalogue
    payload = next(frames(SEGMENT))
    assert struct.unpack_from("<II", SEGMENT, len(MAGIC)) == (len(payload), crc32(payload))


def test_what_was_written_is_read():
    assert list(read(SEGMENT)) == EVENTS


@given(st.integers(len(MAGIC), len(SEGMENT) - 1))
def test_cut_anywhere_the_whole_frames_before_are_read_and_the_rest_is_told(cut):
    found = list(read(SEGMENT[:cut]))
    whole = [one for one in found if not isinstance(one, TornTail)]
    assert whole == EVENTS[: len(whole)]
    rest = [one for one in found if isinstance(one, TornTail)]
    lengths = [len(MAGIC)]
    for event in EVENTS:
        lengths.append(lengths[-1] + len(b"".join(encode([event]))))
    assert rest == ([] if cut in lengths else [TornTail(lengths[len(whole)], cut - lengths[len(whole)])])


@given(st.integers(len(MAGIC), len(SEGMENT) - 1), st.integers(0, 7))
def test_a_flipped_bit_is_never_read_as_an_event(position, bit):
    broken = bytearray(SEGMENT)
    broken[position] ^= 1 << bit
    found = list(read(bytes(broken)))
    assert isinstance(found[-1], TornTail)
    assert found[:-1] == EVENTS[: len(found) - 1]


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff" * 20, b"\x05"])
def test_a_torn_page_ends_the_segment(tail):
    assert list(read(SEGMENT + tail)) == [*EVENTS, TornTail(len(SEGMENT), len(tail))]


def test_a_file_that_is_no_segment_is_all_tail():
    assert list(read(b"PAR1....")) == [TornTail(0, 8)]
    assert list(read(b"")) == []
