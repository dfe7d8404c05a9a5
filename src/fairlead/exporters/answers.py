"""The answers of an endpoint in a window, for tools that know nothing of us: plain names, one table.

```
archive ─▶ frames (input.temp, prediction, probability.late, label, …) ─┬─▶ answers ─▶ one table ─▶ evidently
                                                                        └─▶ sketches ──────────▶ whylogs
```

An input keeps its name. The model's word is `prediction`, what proved true is `target`, a score is `probability.<class>`; where an input
has such a name already, the other gets an underscore. Rows that were refused are left out: no model has seen them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from fairlead.archive.needs import needing_monitor
from fairlead.errors import NotFound
from fairlead.exporters.spans import Span
from fairlead.refs import check_name
from fairlead.schema import Column, Schema, Task, label_text

if TYPE_CHECKING:
    import polars as pl

__all__ = ["INPUT", "PROBABILITY", "Layout", "WindowOptions", "answered_frames", "layout_of", "plain_names", "together"]

INPUT: Final = "input."
PROBABILITY: Final = "probability."
_WHOLE: Final = ("id", "time", "model", "prediction", "label")
_WORDS: Final = {"label": "target"}


class WindowOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Which answers. `events` is the event log's folder, `now` is in seconds since 1970, and `schema_of` knows the versions of models."""

    endpoint: Annotated[str, Meta(description="The endpoint whose answers are written.")]
    window: Annotated[
        str,
        Meta(
            description="Which answers: START..END in UTC, 2026-11-01..2026-11-08, or how long up to now, such as 1d."
        ),
    ]

    events: Path
    now: float
    schema_of: Callable[[str], Schema | None] | None = None


class Layout(msgspec.Struct, frozen=True):
    """What the columns of a table of answers are, by their plain names.

    Attributes:
        task: What the model does.
        numbers: Inputs that are numbers.
        names: Inputs that are names of groups.
        texts: Inputs that are free text.
        empty: Inputs without any value.
        prediction: The model's word; empty where it never said any.
        target: What proved true; empty where nothing is known.
        scores: Of each class, by the class's text, in the model's order.
        classes: The two or more that the model chooses among, as far as they are known; the second of two is the positive one.
    """

    task: Task
    numbers: tuple[str, ...]
    names: tuple[str, ...]
    texts: tuple[str, ...]
    empty: tuple[str, ...]
    prediction: str
    target: str
    scores: dict[str, str]
    classes: tuple[str, ...]


def answered_frames(options: WindowOptions, span: Span) -> Iterator[pl.DataFrame]:
    """The answered rows of a window, frame by frame, with the names of the archive.

    Raises:
        BadReference: The endpoint's name is none.
        NotFound: polars is not installed; or, at the end, there were none.
        StorageError: The event log cannot be read.
    """
    check_name(options.endpoint, "endpoint")
    with needing_monitor("Writing answers for other tools"):
        from fairlead.archive.frames import frames
    return _answered(frames(options.events, options.endpoint, *span), options.endpoint, span)


def _answered(frames: Iterable[pl.DataFrame], endpoint: str, span: Span) -> Iterator[pl.DataFrame]:
    seen = False
    for frame in frames:
        answered = frame.filter(frame["status"] == "ok")
        if len(answered):
            seen = True
            yield answered
    if not seen:
        raise NotFound(
            f"{endpoint} gave no answers from {span}.",
            hint="Say another --window; `fairlead status` lists the endpoints.",
        )


def plain_names(columns: Iterable[str]) -> dict[str, str]:
    """The columns of the archive's frames that other tools are given, with the names they are given."""
    wanted = list(columns)
    named = {one: one.removeprefix(INPUT) for one in wanted if one.startswith(INPUT)}
    taken = set(named.values())
    for one in wanted:
        if one not in named and (one in _WHOLE or one.startswith(PROBABILITY)):
            plain = _WORDS.get(one, one)
            while plain in taken:
                plain += "_"
            named[one] = plain
            taken.add(plain)
    return named


def together(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Frames as one, in the archive's names; a column whose type changed between versions is text.

    A column without a value has no type of its own: it takes the one of the others.
    """
    import polars as pl

    some = [frame.select(list(plain_names(frame.columns))) for frame in frames]
    every = list(dict.fromkeys(name for frame in some for name in frame.columns))
    valued = [frame.select([one.name for one in frame if one.null_count() < len(one)]) for frame in some]
    kinds: dict[str, set[pl.DataType]] = {}
    for frame in valued:
        for name, kind in frame.schema.items():
            kinds.setdefault(name, set()).add(kind)
    torn = {name for name, found in kinds.items() if len(found) > 1 and not all(one.is_numeric() for one in found)}
    alike = [frame.with_columns(pl.col(sorted(torn & set(frame.columns))).cast(pl.String)) for frame in valued]
    joined = pl.concat(alike, how="diagonal_relaxed")
    blank = [pl.lit(None, pl.Float64).alias(name) for name in every if name not in joined.columns]
    return joined.with_columns(blank).select(every)


def layout_of(frame: pl.DataFrame, schema: Schema | None) -> Layout:
    """What the columns of a table are.

    Args:
        frame: In the archive's names.
        schema: Of the version that answered; where it is `None`, the columns' types tell.
    """
    named = plain_names(frame.columns)
    known = {} if schema is None else {column.name: column for column in schema.columns}
    filled = {one.name for one in frame if one.null_count() < len(one)}
    kinds = {
        plain: _kind(frame[name], known.get(plain)) if name in filled else "empty"
        for name, plain in named.items()
        if name.startswith(INPUT)
    }
    scores = {
        name.removeprefix(PROBABILITY): plain
        for name, plain in named.items()
        if name.startswith(PROBABILITY) and name in filled
    }
    return Layout(
        task=_task(frame, scores) if schema is None else schema.output.task,
        **{group: tuple(one for one, kind in kinds.items() if kind == group) for group in _GROUPS},
        prediction=named["prediction"] if "prediction" in filled else "",
        target=named["label"] if "label" in filled else "",
        scores=scores,
        classes=tuple(scores) if schema is None else tuple(map(label_text, schema.output.classes)),
    )


_GROUPS: Final = ("numbers", "names", "texts", "empty")


def _kind(series: pl.Series, column: Column | None) -> str:
    """Of which group a column is that has values."""
    is_text = not series.dtype.is_numeric()
    if column is None:
        return "names" if is_text else "numbers"
    if column.type == "string" and not column.categories:
        return "texts"
    return "names" if is_text or column.type == "boolean" or column.categories else "numbers"


def _task(frame: pl.DataFrame, scores: dict[str, Any]) -> Task:
    return "classification" if scores or not frame["prediction"].dtype.is_numeric() else "regression"
