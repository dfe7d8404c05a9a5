"""Frames of the archive as the columns that profiles count, and as the arrays that model quality is measured on.

```
frame (polars: id, time, input.temp, prediction, probability.late, label, …) ─┬─▶ Batch ─▶ profiles.count
                                                                              └─▶ Labelled ─▶ performance, estimate
```

Only answered rows are looked at here: what was refused has no inputs that a model has seen. Whatever a column holds, it becomes numbers
or names; what does not fit its column is found, and told, by those who count. polars is an extra, so it is imported where a frame is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from fairlead.columns import Names, Numbers
from fairlead.monitor.measures.labelled import Labelled
from fairlead.monitor.measures.service_levels import Traffic
from fairlead.profiles.counting import Batch
from fairlead.schema import Schema, label_text

if TYPE_CHECKING:
    import polars as pl

__all__ = ["INPUT", "answered", "batch_of", "column_of", "joined_frames", "labelled_of", "of_level", "traffic_of"]

INPUT: Final = "input."
PROBABILITY: Final = "probability."


def answered(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows that a model has answered."""
    fine = frame["status"] == "ok"
    return frame if fine.all(ignore_nulls=False) else frame.filter(fine)


def of_level(frame: pl.DataFrame, column: str, level: str) -> pl.DataFrame:
    """The rows whose input has this level, as `schema.label_text` writes it; none where the column is not there."""
    import polars as pl

    name = f"{INPUT}{column}"
    if name not in frame.columns:
        return frame.clear()
    return frame.filter(pl.col(name).cast(pl.String) == level)


def batch_of(frame: pl.DataFrame, schema: Schema) -> Batch:
    """The rows as columns.

    Args:
        frame: Of the archive; all its rows count.
        schema: Of the version whose profile they are counted by.
    """
    there = [name for name in schema.names if f"{INPUT}{name}" in frame.columns]
    return Batch(
        rows=frame.height,
        inputs={name: column_of(frame[f"{INPUT}{name}"]) for name in there},
        prediction=_said(frame, "prediction", schema),
        scores={name: _numbers(frame[f"{PROBABILITY}{name}"]) for name in _scored(frame, schema)},
        target=_said(frame, "label", schema),
    )


def column_of(series: pl.Series) -> Numbers | Names:
    """A column as numbers where it holds numbers or booleans, else as names."""
    import polars as pl

    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        missing = series.is_null().to_numpy()
        return Numbers(_numbers(series), missing if missing.any() else None)
    return _names(series)


def labelled_of(frame: pl.DataFrame, schema: Schema) -> Labelled:
    """The rows as arrays of labels, predictions and scores."""
    classes = tuple(label_text(one) for one in schema.output.classes)
    take = _names_of if classes else _doubles
    return Labelled(
        labels=take(frame, "label"),
        predictions=take(frame, "prediction"),
        scores={name: _numbers(frame[f"{PROBABILITY}{name}"]) for name in _scored(frame, schema)},
        classes=classes,
    )


def traffic_of(frame: pl.DataFrame) -> Traffic:
    """The rows as they were answered, or were not."""
    return Traffic(frame["time"].to_numpy(), frame["latency"].to_numpy(), _names(frame["status"]))


def joined_frames(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Frames one below the other; a column that one of them lacks is missing there, and one that changed its type becomes text."""
    import polars as pl

    kinds: dict[str, set[pl.DataType]] = {}
    for frame in frames:
        for name, kind in frame.schema.items():
            kinds.setdefault(name, set()).add(kind)
    torn = [name for name, found in kinds.items() if len(found - {pl.Null()}) > 1]
    texts = [name for name in torn if any(not one.is_numeric() for one in kinds[name])]
    alike = [
        frame.with_columns(pl.col([one for one in texts if one in frame.columns]).cast(pl.String)) for frame in frames
    ]
    return pl.concat(alike, how="diagonal_relaxed") if alike else pl.DataFrame()


def _scored(frame: pl.DataFrame, schema: Schema) -> list[str]:
    names = [label_text(one) for one in schema.output.classes]
    return [name for name in names if f"{PROBABILITY}{name}" in frame.columns]


def _said(frame: pl.DataFrame, name: str, schema: Schema) -> Numbers | Names | None:
    """Predictions or labels: names for classes, else numbers."""
    if name not in frame.columns:
        return None
    series = frame[name]
    return _names(series) if schema.output.task == "classification" else Numbers(_numbers(series), None)


def _numbers(series: pl.Series) -> NDArray[np.float64]:
    """As doubles; NaN for what is missing, or no number."""
    import polars as pl

    if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        series = series.cast(pl.String, strict=False).cast(pl.Float64, strict=False)
    return series.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()


def _names(series: pl.Series) -> Names:
    """As places among the distinct texts, -1 for what is missing."""
    import polars as pl

    texts = series.cast(pl.String, strict=False)
    first = texts[0] if len(texts) else None
    if first is not None and (texts == first).all(ignore_nulls=False):  # as a status mostly is
        return Names(np.zeros(len(texts), np.int64), (first,))
    distinct = texts.drop_nulls().unique(maintain_order=True)
    if not len(distinct):
        return Names(np.full(len(series), -1, np.int64), ())
    codes = texts.cast(pl.Enum(distinct)).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    return Names(codes, tuple(distinct.to_list()))


def _doubles(frame: pl.DataFrame, name: str) -> NDArray[np.float64]:
    return _numbers(frame[name]) if name in frame.columns else np.full(frame.height, np.nan)


def _names_of(frame: pl.DataFrame, name: str) -> Names:
    return _names(frame[name]) if name in frame.columns else Names(np.full(frame.height, -1, np.int64), ())
