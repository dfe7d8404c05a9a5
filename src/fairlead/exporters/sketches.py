"""Columns as whylogs counts them: its own metrics, fed by the column and not by the row.

whylogs sorts values by type before it counts them, and that part of it fails with NumPy 2 (1.6.4, its last release, asks NumPy for a name that
is gone). A column of the archive has one type already, so we sort, and whylogs counts: counters, sketches of quantiles (KLL), of distinct
values (HLL) and of frequent ones. A profile so made merges with those that whylogs makes elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from fairlead.errors import NotFound
from fairlead.exporters.spans import Span

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Sketches"]

_ALWAYS: Final = ("counts", "types", "cardinality", "distribution")
_QUIET: Final = "WHYLOGS_NO_ANALYTICS"


class Sketches:
    """The metrics of a table's columns, as far as it was seen.

    Raises:
        NotFound: whylogs is not installed.
    """

    def __init__(self) -> None:
        os.environ.setdefault(_QUIET, "1")  # else its import tells its makers of it
        try:
            from whylogs.core.metrics import StandardMetric
            from whylogs.core.preprocessing import PreprocessedColumn
        except ImportError as err:
            raise NotFound(f"{err.name} is not installed.", hint="pip install 'fairlead[whylogs]'") from err
        self._kinds: Any = StandardMetric
        self._prepared: Any = PreprocessedColumn
        self._columns: dict[str, dict[str, Any]] = {}

    def add(self, frame: pl.DataFrame) -> None:
        """Count the rows of a frame in."""
        for series in frame:
            metrics = self._columns.setdefault(series.name, {})
            for name in _metrics_of(series.dtype):
                if name not in metrics:
                    metrics[name] = self._kinds[name].zero()
            whole, finite = self._sorted(series)
            for name, metric in metrics.items():
                metric.columnar_update(finite if name == "distribution" else whole)

    def profile(self, names: Mapping[str, str], span: Span, tags: Mapping[str, str]) -> bytes:
        """The profile, as whylogs reads it.

        Args:
            names: Of the columns that were added, those that stand in the profile, with the names they have there.
            span: The window; the profile bears the time of its beginning.
            tags: What else it says of itself.
        """
        from whylogs.core.view.column_profile_view import ColumnProfileView
        from whylogs.core.view.dataset_profile_view import DatasetProfileView

        start, end = (datetime.fromtimestamp(one, UTC) for one in span)
        view = DatasetProfileView(
            columns={plain: ColumnProfileView(self._columns[name]) for name, plain in names.items()},
            dataset_timestamp=start,
            creation_timestamp=end,
            metadata=dict(tags),
        )
        return bytes(view.serialize())

    def _sorted(self, series: pl.Series) -> tuple[Any, Any]:
        """The values as whylogs wants them, all and those that moments can be taken of."""
        import polars as pl

        column, values = self._prepared(), series.drop_nulls()
        column.len, column.null_count = len(series), series.null_count()
        if series.dtype == pl.Boolean:
            column.bool_count, column.bool_count_where_true = len(values), int(values.sum())
        elif series.dtype.is_integer():
            column.numpy.ints = values.to_numpy()
        elif series.dtype.is_float():
            return self._floats(column, values.to_numpy())
        else:
            column.list.strings = values.cast(pl.String).to_list()
        return column, column

    def _floats(self, column: Any, values: Any) -> tuple[Any, Any]:
        """Numbers; one that is none is missing, and an infinite one has no part in mean, deviation and quantiles."""
        present = values[~np.isnan(values)]
        finite = self._prepared()
        finite.len, finite.numpy.floats = len(values), present[np.isfinite(present)]
        column.nan_count = len(values) - len(present)
        column.null_count += column.nan_count
        column.inf_count = len(present) - len(finite.numpy.floats)
        column.numpy.floats = present
        return column, finite


def _metrics_of(kind: pl.DataType) -> tuple[str, ...]:
    """What whylogs keeps of a column of this type: integers are counted as numbers and as names."""
    if kind.is_float():
        return _ALWAYS
    return (*_ALWAYS, "ints", "frequent_items") if kind.is_integer() else (*_ALWAYS, "frequent_items")
