"""What the columns of predictions are called in frames and in Parquet."""

from __future__ import annotations

from collections.abc import Sequence

from fairlead.events import Columns
from fairlead.schema import label_text

__all__ = ["column_names"]


def column_names(columns: Columns) -> tuple[list[str], list[str]]:
    """The names of the columns of inputs, and of probabilities."""
    return (
        [f"input.{name}" for name in _named(columns.inputs)],
        [f"probability.{name}" for name in _named([label_text(one) for one in columns.classes])],
    )


def _named(texts: Sequence[str]) -> list[str]:
    """What columns may be called after these: two that read alike are told apart by a number, and no name ends at a zero byte."""
    shown = [text.replace("\0", "␀") for text in texts]
    if len(set(shown)) == len(shown):
        return shown
    return [text if shown.index(text) == at else f"{text}#{at}" for at, text in enumerate(shown)]
