"""Tables as people have them, as columns: a frame, an array, dicts, a file; whole where they fit, else in pieces.

```
pandas, polars, numpy, dicts ─▶ Table (columns in memory) ─┐
Parquet, CSV ─ small ─────────▶ Table ─────────────────────┴▶ comparison: exact
             └ large ─────────▶ pieces, again and again ────▶ comparison: by profiles
```

Text is looked up once for each distinct value, by the library that holds it. Columns of times, lists and bytes are left out, and said to
be. polars reads files; it is an extra.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairlead.columns import Names, Numbers
from fairlead.errors import InvalidInput, NotFound
from fairlead.schema import label_text

if TYPE_CHECKING:
    import polars as pl

__all__ = ["FITS", "Given", "Table", "given"]

FITS: Final = 20_000_000
"""Entries of a file that are held in memory and compared exactly; beyond, two tables would need more than half a gigabyte."""

_FITS_TEXT: Final = 200_000_000
"""Bytes of a CSV file, likewise."""

_PIECE: Final = 2**17
"""Rows of a piece."""

_EXTRA: Final = "Install it with `pip install 'fairlead[monitor]'`."
_ENDINGS: Final = (".parquet", ".csv", ".csv.gz")

_Column = Numbers | Names


class Table(NamedTuple):
    """Columns in memory.

    Attributes:
        rows: How many rows.
        columns: By name.
        whole: Columns that came as whole numbers.
        odd: What could not be taken, a sentence each.
    """

    rows: int
    columns: dict[str, _Column]
    whole: frozenset[str] = frozenset()
    odd: tuple[str, ...] = ()


class Given(NamedTuple):
    """A table that was given.

    Attributes:
        text: What it is, for people.
        rows: How many rows; -1 where nobody has counted them yet.
        large: Whether it must be read in pieces.
        pieces: Reads it from the beginning; a table that is not large is one piece.
    """

    text: str
    rows: int
    large: bool
    pieces: Callable[[], Iterator[Table]]

    def whole(self) -> Table:
        """The table, which is not large."""
        return next(self.pieces(), Table(0, {}))


def given(data: Any, what: str) -> Given:
    """Take what the user calls a table.

    Args:
        data: pandas or polars DataFrame, numpy array, list of dicts, mapping of columns, or the path of a Parquet or CSV file.
        what: Which of the two it is, for messages: "reference" or "current".

    Raises:
        InvalidInput: It is none of these, has two columns of one name, or is a file that cannot be read.
        NotFound: There is no such file.
    """
    if isinstance(data, str | Path):
        return _file(Path(data), what)
    table = _in_memory(data, what)
    return Given(f"the {what} table", table.rows, large=False, pieces=lambda: iter((table,)))


def _in_memory(data: Any, what: str) -> Table:
    library = type(data).__module__.partition(".")[0]
    if library == "pandas" and hasattr(data, "columns"):
        return _pandas(data, what)
    if library == "polars" and hasattr(data, "columns"):
        return polars_table(data)
    if isinstance(data, np.ndarray):
        return _array(data, what)
    if isinstance(data, Mapping):
        return _lists({str(name): _plain(one) for name, one in data.items()}, what)
    if isinstance(data, Sequence) and not isinstance(data, bytes) and all(isinstance(one, Mapping) for one in data):
        names = dict.fromkeys(str(name) for row in data for name in row)
        return _lists({name: [row.get(name) for row in data] for name in names}, what)
    raise InvalidInput(
        f"The {what} is a {type(data).__name__}.",
        hint="Give a pandas or polars DataFrame, a numpy array, a list of dicts, or the path of a Parquet or CSV file.",
        field=what,
    )


def _plain(entries: Any) -> Any:
    return entries if isinstance(entries, np.ndarray) else list(entries)


# Frames


def polars_table(frame: pl.DataFrame) -> Table:
    """A polars frame as columns."""
    columns: dict[str, _Column] = {}
    odd: list[str] = []
    for name in frame.columns:
        found = _series(frame[name])
        if found is None:
            odd.append(_left_out(name, str(frame.schema[name])))
        else:
            columns[name] = found
    whole = frozenset(name for name in columns if frame.schema[name].is_integer())
    return Table(frame.height, columns, whole, tuple(odd))


def _left_out(name: str, kind: str) -> str:
    return f"The column {name} is left out: it holds neither numbers nor text ({kind})."


def _series(series: pl.Series) -> _Column | None:
    import polars as pl

    kind = series.dtype
    if kind == pl.Boolean:
        codes = series.cast(pl.Int64).fill_null(-1).to_numpy()
        return Names(codes, ("false", "true"))
    if kind.is_numeric():
        return Numbers(series.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy(), None)
    if kind == pl.Null:
        return Numbers(np.full(len(series), np.nan), None)
    if kind == pl.String or isinstance(kind, pl.Categorical | pl.Enum):
        return _texts(series)
    return None


def _texts(series: pl.Series) -> Names:
    """As places among the distinct texts, -1 for what is missing."""
    import polars as pl

    texts = series.cast(pl.String)
    distinct = texts.drop_nulls().unique(maintain_order=True)
    if not len(distinct):
        return Names(np.full(len(series), -1, np.int64), ())
    codes = texts.cast(pl.Enum(distinct)).to_physical().cast(pl.Int64).fill_null(-1)
    return Names(codes.to_numpy(), distinct.to_list())


def _pandas(frame: Any, what: str) -> Table:
    names = [str(name) for name in frame.columns]
    _check_names(names, what)
    columns: dict[str, _Column] = {}
    odd: list[str] = []
    for place, name in enumerate(names):
        series = frame.iloc[:, place]
        found = _pandas_column(series)
        if found is None:
            odd.append(_left_out(name, str(series.dtype)))
        else:
            columns[name] = found
    kinds = zip(names, frame.dtypes, strict=True)
    whole = frozenset(name for name, kind in kinds if name in columns and str(kind).lower().startswith(("int", "uint")))
    return Table(len(frame), columns, whole, tuple(odd))


def _pandas_column(series: Any) -> _Column | None:
    import pandas as pd

    kind = series.dtype
    if pd.api.types.is_bool_dtype(kind):
        return _factorised(series)
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind):
        return Numbers(series.to_numpy(np.float64, na_value=np.nan), None)
    if isinstance(kind, pd.CategoricalDtype):
        return Names(series.cat.codes.to_numpy(np.int64), [_said(one) for one in kind.categories.tolist()])
    if pd.api.types.is_object_dtype(kind) or pd.api.types.is_string_dtype(kind):
        return _factorised(series)
    return None


def _factorised(series: Any) -> _Column:
    import pandas as pd

    codes, distinct = pd.factorize(series)
    return _coded(codes.astype(np.int64), list(distinct))


def _coded(codes: NDArray[np.int64], distinct: Sequence[Any]) -> _Column:
    """Entries by their places among the distinct ones: numbers where all of these are, else names."""
    if distinct and all(isinstance(one, int | float | np.number) and not isinstance(one, bool) for one in distinct):
        return Numbers(np.append(_doubles(distinct), np.nan)[codes], None)
    return Names(codes, [_said(one) for one in distinct])


def _doubles(entries: Sequence[Any]) -> NDArray[np.float64]:
    return np.array([_double(one) for one in entries], np.float64)


def _double(entry: Any) -> float:
    try:
        return float(entry)
    except OverflowError:  # an integer beyond every double
        return math.inf if entry > 0 else -math.inf


def _said(entry: Any) -> str:
    plain = entry.item() if isinstance(entry, np.generic) else entry
    return label_text(plain) if isinstance(plain, str | bool | int | float) else str(plain)


# Arrays, dicts


def _array(data: NDArray[Any], what: str) -> Table:
    if data.ndim not in {1, 2}:
        raise InvalidInput(f"The {what} has {data.ndim} dimensions.", hint="Give rows and columns.", field=what)
    flat = data.reshape(len(data), -1)
    return _lists({f"x{place}": flat[:, place] for place in range(flat.shape[1])}, what)


def _lists(columns: Mapping[str, Any], what: str) -> Table:
    """Columns of arrays or lists."""
    lengths = {len(one) for one in columns.values()}
    if len(lengths) > 1:
        told = ", ".join(f"{name} {len(one):,}" for name, one in columns.items())[:500]
        raise InvalidInput(
            f"The columns of the {what} differ in length: {told}.", hint="Give each as many entries.", field=what
        )
    found = {name: _entries(one) for name, one in columns.items()}
    odd = tuple(
        _left_out(name, str(getattr(columns[name], "dtype", "mixed"))) for name, one in found.items() if one is None
    )
    kept = {name: one for name, one in found.items() if one is not None}
    whole = frozenset(name for name in kept if getattr(getattr(columns[name], "dtype", None), "kind", "") in {"i", "u"})
    return Table(next(iter(lengths), 0), kept, whole, odd)


def _entries(entries: Any) -> _Column | None:
    kind = entries.dtype.kind if isinstance(entries, np.ndarray) else "O"
    if kind in {"i", "u", "f"}:
        return Numbers(entries.astype(np.float64), None)
    if kind in {"M", "m", "c", "V"}:
        return None
    places: dict[Any, int] = {}
    codes = np.empty(len(entries), np.int64)
    for at, one in enumerate(entries):
        if one is None or one != one:  # noqa: PLR0124 - NaN is no entry
            codes[at] = -1
        elif isinstance(one, str | bool | int | float | np.generic):
            # True is 1 to a dict, and no number to us.
            codes[at] = places.setdefault((isinstance(one, bool | np.bool_), one), len(places))
        else:
            return None
    return _coded(codes, [one for _, one in places])


def _check_names(names: Sequence[str], what: str) -> None:
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise InvalidInput(
            f"The {what} has two columns called {twice[0]!r}.", hint="Give each a name of its own.", field=what
        )


# Files


def _file(path: Path, what: str) -> Given:
    if not path.name.lower().endswith(_ENDINGS):
        raise InvalidInput(
            f"The {what} is the text {str(path)!r}, which is neither a version nor a table's file.",
            hint="Give a version such as flights:3, or a file that ends in .parquet, .csv or .csv.gz.",
            field=what,
        )
    if not path.is_file():
        raise NotFound(f"There is no file {str(path)!r}.", hint="Check the path.", field=what)
    try:
        import polars  # noqa: F401, ICN001 - asked for here, so that its absence is said once
        import pyarrow.parquet  # noqa: F401 - as polars
    except ImportError as err:
        raise InvalidInput(f"{err.name}, which reads files, is not installed.", hint=_EXTRA, field=what) from err
    return _parquet(path, what) if path.name.lower().endswith(".parquet") else _csv(path, what)


def _parquet(path: Path, what: str) -> Given:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            rows, columns = file.metadata.num_rows, len(file.schema_arrow.names)
    except (OSError, ValueError) as err:
        raise _unreadable(path, what) from err
    large = rows * columns > FITS
    return Given(path.name, rows, large, partial(_parquet_pieces if large else _parquet_whole, path, what))


def _unreadable(path: Path, what: str) -> InvalidInput:
    return InvalidInput(
        f"{path.name} cannot be read as a table.", hint="Check that it is whole, and what its name says.", field=what
    )


def _parquet_whole(path: Path, what: str) -> Iterator[Table]:
    import polars as pl

    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as err:
        raise _unreadable(path, what) from err
    yield polars_table(frame)


def _parquet_pieces(path: Path, what: str) -> Iterator[Table]:
    import polars as pl
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=2**20) as file:
            # Group by group: one reader over all of them holds on to what it has read.
            for group in range(file.num_row_groups):
                for batch in file.iter_batches(_PIECE, row_groups=[group], use_threads=False):
                    frame = pl.from_arrow(batch)
                    assert isinstance(frame, pl.DataFrame)  # a batch has columns
                    yield polars_table(frame)
    except (OSError, ValueError) as err:
        raise _unreadable(path, what) from err


def _csv(path: Path, what: str) -> Given:
    if path.stat().st_size > _FITS_TEXT:
        raise InvalidInput(
            f"{path.name} is larger than {_FITS_TEXT // 10**6:,} MB of text.",
            hint="Write it as Parquet, which is read in pieces: polars.scan_csv(…).sink_parquet(…).",
            field=what,
        )
    return Given(path.name, -1, large=False, pieces=partial(_csv_whole, path, what))


def _csv_whole(path: Path, what: str) -> Iterator[Table]:
    import polars as pl

    try:
        frame = pl.read_csv(path, infer_schema_length=None)
    except pl.exceptions.NoDataError:
        frame = pl.DataFrame()
    except (OSError, pl.exceptions.PolarsError) as err:
        raise _unreadable(path, what) from err
    yield polars_table(frame)
