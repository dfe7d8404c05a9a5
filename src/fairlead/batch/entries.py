"""Python values of unknown types become a pyarrow table: what JSON lines and a database's rows have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa

__all__ = ["table_of"]


def table_of(columns: Mapping[str, Sequence[Any]]) -> tuple[Any, frozenset[str]]:
    """A pyarrow table, and which of its columns have entries of several types: each entry is JSON there."""
    arrays, mixed = {}, set()
    for name, entries in columns.items():
        try:
            arrays[name] = pa.array(entries)
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            mixed.add(name)
            told = [None if one is None else json.dumps(_plain(one), default=str) for one in entries]
            arrays[name] = pa.array(told, pa.string())
    return pa.table(arrays), frozenset(mixed)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value.isoformat() if isinstance(value, date | datetime | time) else value
