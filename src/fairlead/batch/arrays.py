"""Between pyarrow and numpy, by the memory that both understand.

pyarrow's own ways, `to_numpy` and `array`, import all of pandas when they are first called. That takes longer than answering fifty thousand
rows, and nothing here needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = ["arrow_of", "numpy_of", "texts_of"]

_Array = np.ndarray[Any, Any]


def numpy_of(entries: Any) -> tuple[_Array, _Array | None]:
    """A column of whole numbers, floats or booleans.

    Args:
        entries: A pyarrow array.

    Returns:
        Its values, 0 where one is missing, and which are missing; `None` where none is. Both are the column's own memory where that can be.
    """
    present, data = entries.buffers()
    start, end = entries.offset, entries.offset + len(entries)
    if pa.types.is_boolean(entries.type):
        values = _bits(data, start, end)
    else:
        values = np.frombuffer(data or b"", entries.type.to_pandas_dtype(), count=end)[start:]
    if not entries.null_count:
        return values, None
    if present is None:  # all are missing, and nothing was written of them
        return np.zeros(len(entries), values.dtype), np.ones(len(entries), np.bool_)
    missing = ~_bits(present, start, end)
    # What stands in the place of a missing entry is nobody's.
    return np.where(missing, values.dtype.type(0), values), missing


def arrow_of(values: _Array) -> Any:
    """Whole numbers or floats, none of them missing, as a pyarrow array over the same memory."""
    together = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(together.dtype), len(together), [None, pa.py_buffer(together)])


def texts_of(texts: Sequence[str]) -> Any:
    """Texts as a pyarrow array."""
    encoded = [one.encode() for one in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def _bits(data: Any, start: int, end: int) -> _Array:
    spread = np.unpackbits(np.frombuffer(data or b"", np.uint8), count=end, bitorder="little")
    return spread[start:end].view(np.bool_)
