"""Predictions as columns straight from their bytes, all rows of a block at a time: no value becomes an object of Python.

Predictions of one version are alike: a text here, a double there, and the same number of each. So a cursor stands in every row, and all of
them step over one field together.

```
…9f a1 70  b8 id…  cb time  a7 flights …  9a a2 UA  11 …
…9f a1 70  b8 id…  cb time  a7 flights …  9a a2 DL  cc 97 …
          ▲ ──────▶ ▲ ─────▶ ▲
```

Rows that are not like the first (another version, a refused one, a flag, an integer among doubles) are told apart and tried by themselves; the few that
are left are decoded one by one (`appended`, `tables`), which knows every case. What comes of either way is the same.

MessagePack: github.com/msgpack/msgpack, spec.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fairlead.archive.column_names import column_names
from fairlead.archive.manifest import Kind
from fairlead.events import Columns
from fairlead.schema import label_text

__all__ = ["PADDING", "Alike", "alike"]

PADDING: Final = 300
"""A field may claim to be so long, so the bytes must go on for so many after the last row."""

_FEW: Final = 32
"""So few rows are sooner decoded one by one."""
_ATTEMPTS: Final = 32
"""Two for each version and endpoint, and for each way in which rows can differ."""
_HEAD: Final = b"\x9f\xa1p"
"""A prediction: an array of fifteen, the first of which is its tag."""
_NIL: Final = 0xC0
_FALSE: Final = 0xC2
_TRUE: Final = 0xC3
_REAL: Final = 0xCB
_EMPTY: Final = 0x90
_LONG: Final = 0xD9

_text = msgspec.msgpack.Decoder(str | None).decode

_Bytes = NDArray[np.uint8]
_Places = NDArray[np.int64]
_Which = NDArray[np.bool_]


class Alike(NamedTuple):
    """Predictions of one version at one endpoint.

    Attributes:
        endpoint: Whose.
        columns: What the positions mean.
        batch: As `tables.record_batch` makes it; no row is odd.
        kind: What they are.
    """

    endpoint: str
    columns: Columns
    batch: pa.RecordBatch
    kind: Kind = "prediction"


class _Unlike(Exception):
    """Some rows are not like the first."""

    def __init__(self, rows: _Which) -> None:
        self.rows = rows


def alike(data: bytes, starts: _Places, ends: _Places, known: Mapping[str, Columns]) -> tuple[list[Alike], _Places]:
    """The rows that can be read together, and which cannot.

    Args:
        data: The bytes, `PADDING` more than the rows have.
        starts: Where each row begins.
        ends: Where it ends.
        known: What the positions mean, by version.

    Returns:
        Groups of rows, and the places in `starts` of the rest, rising.
    """
    found: list[Alike] = []
    rest: list[_Places] = []
    groups = [np.arange(len(starts))]
    attempts = 0
    while groups:
        rows = groups.pop()
        attempts += 1
        if len(rows) < _FEW or attempts > _ATTEMPTS:
            rest.append(rows)
            continue
        try:
            found.append(_Reading(data, starts[rows], ends[rows]).alike(known))
        except _Unlike as err:
            if err.rows.all():
                rest.append(rows)
            else:
                groups += [rows[err.rows], rows[~err.rows]]
    return found, np.sort(np.concatenate(rest)) if rest else np.zeros(0, np.int64)


class _Reading:
    """A cursor in every row."""

    def __init__(self, data: bytes, starts: _Places, ends: _Places) -> None:
        self._data = data
        self._end = len(data) - PADDING
        self._bytes: _Bytes = np.frombuffer(data, np.uint8)
        self._at = starts
        self._ends = ends
        self._rows = len(starts)

    def alike(self, known: Mapping[str, Columns]) -> Alike:
        """All rows.

        Raises:
            _Unlike: Not all are alike.
        """
        self._expect(_HEAD)
        ids, times = self._texts(), self._reals()
        endpoint, model = self._same(), self._same()
        columns = known.get(model or "")
        if columns is None or endpoint is None:
            raise self._all()
        variant, key, status = self._mostly_same(), self._mostly_same(), self._mostly_same()
        latency = self._reals()
        inputs, scores = column_names(columns)
        values = list(self._inputs(len(inputs)))
        said = self._classes(columns) if columns.classes else self._values()
        chances = list(self._chances(len(scores)))
        self._expect(bytes([_EMPTY]))
        revision, exposure = self._whole(self._bytes[self._at]), self._mostly_same()
        self._stop(self._at != self._ends)
        n = self._rows
        flags = pa.ListArray.from_arrays(np.zeros(n + 1, np.int32), pa.array([], pa.string()))
        model_column = pa.repeat(pa.scalar(model, pa.string()), n)
        named = {
            "id": ids, "time": times, "model": model_column, "variant": variant, "key": key, "status": status, "latency": latency,
            "revision": revision, "exposure": exposure, "flags": flags, **dict(zip(inputs, values, strict=True)), "prediction": said,
            **dict(zip(scores, chances, strict=True)), "exact": pa.nulls(n, pa.binary()),
        }  # fmt: skip
        return Alike(endpoint, columns, pa.RecordBatch.from_arrays([*named.values()], [*named]))

    # -- fields --------------------------------------------------------------------------------------------------------

    def _inputs(self, width: int) -> Iterator[pa.Array]:
        self._expect(_array(width))
        empty = np.ones(self._rows, np.bool_)
        for _ in range(width):
            empty &= self._bytes[self._at] == _NIL
            yield self._values()
        self._stop(empty)  # it reads like a row that could not be read

    def _chances(self, width: int) -> Iterator[pa.Array]:
        if (self._bytes[self._at] == _NIL).all():
            self._step(1)
            yield from (pa.nulls(self._rows, pa.float64()) for _ in range(width))
            return
        if not width:
            raise self._all()
        self._expect(_array(width))
        for _ in range(width):
            yield self._values_of(self._bytes[self._at], _REAL)

    def _classes(self, columns: Columns) -> pa.Array:
        """Labels as texts; one that is no class by its type may not be given back by its text."""
        said = self._values()
        if pa.types.is_string(said.type):
            plain = all(type(one) is str for one in columns.classes)
        else:
            plain = pa.types.is_null(said.type)
        if plain:
            return said if pa.types.is_string(said.type) else pa.nulls(self._rows, pa.string())
        back = {(type(one), one) for one in columns.classes}
        coded = said.dictionary_encode()
        labels = coded.dictionary.to_pylist()
        if any((type(one), one) not in back for one in labels) or len({label_text(one) for _, one in back}) < len(back):
            raise self._all()
        return pa.DictionaryArray.from_arrays(coded.indices, pa.array(map(label_text, labels), pa.string())).cast(
            pa.string()
        )

    def _values(self) -> pa.Array:
        """A column of whatever the first value is that is there."""
        kinds = self._bytes[self._at]
        there = kinds[kinds != _NIL]
        if not len(there):
            self._step(1)
            return pa.nulls(self._rows)
        first = int(there[0])
        if first == _REAL:
            return self._values_of(kinds, _REAL)
        if first in {_FALSE, _TRUE}:
            return self._truths(kinds)
        return self._texts() if _is_text(first) else self._whole(kinds)

    def _values_of(self, kinds: _Bytes, kind: int) -> pa.Array:
        """Doubles, some of which may be missing."""
        if (kinds == kind).all():
            return self._reals()
        missing = kinds == _NIL
        self._stop((kinds != kind) & ~missing)
        values = self._read(">f8", self._at + 1)
        self._step(np.where(missing, 1, 9))
        return pa.array(values, pa.float64(), mask=missing)

    def _reals(self) -> pa.Array:
        self._stop(self._bytes[self._at] != _REAL)
        values = self._read(">f8", self._at + 1)
        self._step(9)
        return pa.array(values, pa.float64())

    def _truths(self, kinds: _Bytes) -> pa.Array:
        missing = kinds == _NIL
        self._stop((kinds != _FALSE) & (kinds != _TRUE) & ~missing)
        self._step(1)
        return pa.array(kinds == _TRUE, pa.bool_(), mask=missing if missing.any() else None)

    def _whole(self, kinds: _Bytes) -> pa.Array:
        """Integers, each of which is written as short as it can be."""
        if (kinds < 0x80).all():
            self._step(1)
            return pa.array(kinds.astype(np.int64))
        missing = kinds == _NIL
        values = np.where(kinds < 0x80, kinds, kinds.astype(np.int64) - 0x100)  # what fits into its first byte
        widths = np.ones(self._rows, np.int64)
        short = (kinds < 0x80) | (kinds >= 0xE0) | missing
        for kind, form in _INTEGERS.items():
            if (these := kinds == kind).any():
                read = self._read(form, self._at[these] + 1)
                values[these], widths[these] = read, 1 + int(form[2])
                short |= these
                if form == ">u8":
                    short[these] = read < _BEYOND
        self._stop(~short)
        self._step(widths)
        return pa.array(values, pa.int64(), mask=missing if missing.any() else None)

    def _texts(self) -> pa.Array:
        """Texts below 256 bytes, some of which may be missing."""
        kinds = self._bytes[self._at]
        missing, long = kinds == _NIL, kinds == _LONG
        self._stop(((kinds & 0xE0) != 0xA0) & ~missing & ~long)
        lengths = np.where(missing, 0, kinds & 0x1F).astype(np.int64)
        begins = self._at + 1
        if long.any():
            lengths[long] = self._bytes[begins[long]]
            begins = begins + long
        offsets = np.zeros(self._rows + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        places = np.repeat(begins - offsets[:-1], lengths) + np.arange(offsets[-1])
        self._at = begins
        self._step(lengths)  # and only then are the places known to be ours
        text = self._bytes[places]
        if text.size and text.max() >= 0x80:
            self._stop_garbled(text, offsets)
        nothing = pa.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
        return pa.StringArray.from_buffers(self._rows, pa.py_buffer(offsets), pa.py_buffer(text), nothing)

    def _mostly_same(self) -> pa.Array:
        """Texts, which are mostly one and the same."""
        told = self._first()
        if self._unlike(told).any():
            return self._texts()
        self._step(len(told))
        return pa.repeat(pa.scalar(self._text_of(told), pa.string()), self._rows)

    def _same(self) -> str | None:
        """A text that all rows have alike."""
        told = self._first()
        self._expect(told)
        return self._text_of(told)

    def _text_of(self, told: bytes) -> str | None:
        try:
            text: str | None = _text(told)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._all() from None
        return text

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _first(self) -> bytes:
        """What the first row has: a text, nothing, or only the first byte of something else."""
        first = int(self._at[0])
        head, length = self._data[first], self._data[first + 1]
        size = 2 + length if head == _LONG else 1 + (head & 0x1F if _is_text(head) else 0)
        return self._data[first : first + size]

    def _expect(self, told: bytes) -> None:
        """Step over bytes that all rows must have."""
        self._stop(self._unlike(told))
        self._step(len(told))

    def _unlike(self, told: bytes) -> _Which:
        """Which rows have other bytes."""
        unlike = np.zeros(self._rows, np.bool_)
        for start in range(0, len(told), 8):
            part = told[start : start + 8]
            empty = 64 - 8 * len(part)
            words = self._read(">u8", self._at + start) >> np.uint64(empty)
            unlike |= words != np.uint64(int.from_bytes(part, "big"))
        return unlike

    def _read(self, form: str, at: _Places) -> NDArray[Any]:
        """What stands there, in this machine's order."""
        size = int(form[2])
        every = np.ndarray((len(self._data) - size + 1,), form, self._data, 0, (1,))
        found = every[at]
        return found.astype(np.int64 if form[1] == "i" or size < 8 else found.dtype.newbyteorder("="))

    def _step(self, widths: int | _Places) -> None:
        self._at = self._at + widths
        self._stop(self._at > self._end)

    def _stop(self, unlike: _Which) -> None:
        if unlike.any():
            raise _Unlike(unlike)

    def _stop_garbled(self, text: _Bytes, offsets: NDArray[np.int32]) -> None:
        """Tell apart the rows whose text is no UTF-8."""
        whole = text.tobytes()
        ends = offsets.tolist()
        garbled = np.zeros(self._rows, np.bool_)
        for row in np.unique(np.searchsorted(offsets[1:], np.flatnonzero(text >= 0x80), "right")).tolist():
            try:
                whole[ends[row] : ends[row + 1]].decode()
            except UnicodeDecodeError:
                garbled[row] = True
        self._stop(garbled)

    def _all(self) -> _Unlike:
        return _Unlike(np.ones(self._rows, np.bool_))


_INTEGERS: Final = {
    0xCC: ">u1", 0xCD: ">u2", 0xCE: ">u4", 0xCF: ">u8", 0xD0: ">i1", 0xD1: ">i2", 0xD2: ">i4", 0xD3: ">i8",
}  # fmt: skip
"""By the byte before them."""


_BEYOND: Final = np.uint64(2**63)
"""An integer that no column of ours holds."""


def _is_text(head: int) -> bool:
    return 0xA0 <= head < 0xC0 or head == _LONG


def _array(width: int) -> bytes:
    """How an array of so many begins."""
    return bytes([0x90 + width]) if width < 16 else b"\xdc" + width.to_bytes(2, "big")
