"""Which values of a row were not among the categories of the training data. They are answered and flagged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairlead.schema import Row, Schema, Value

__all__ = ["Known", "known_categories", "unseen"]

Known = list[tuple[int, frozenset[Value], str]]
"""For each column that has categories: its position, the values that are not flagged, its name."""


def known_categories(schema: Schema, further: Mapping[int, Sequence[Value]] | None = None) -> Known:
    """What is not flagged: the observed categories, a missing entry, and what else the model knows.

    Args:
        schema: The columns.
        further: Values that the model knows though they were not observed, by position.
    """
    more = further or {}
    return [
        (position, frozenset([*column.categories, *more.get(position, ()), None]), column.name)
        for position, column in enumerate(schema.columns)
        if column.categories
    ]


def unseen(known: Known, rows: Sequence[Row]) -> list[tuple[str, ...]] | None:
    """The names of the columns with an unseen value, for each row; `None` where no row has one."""
    for column, values, _ in known:
        for row in rows:
            if row[column] not in values:
                return [tuple(name for at, values, name in known if row[at] not in values) for row in rows]
    return None
