"""What a window's rows come to beside their profile: how many, by whom, how they were answered, and what became of them.

One pass over the rows. Outcomes are held as columns; of millions only every second, fourth, … row, so that memory is bounded and what is
held stays an even sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from fairlead.monitor.batches import INPUT, answered, joined_frames, labelled_of
from fairlead.monitor.measures.labelled import Labelled
from fairlead.monitor.report import Labels
from fairlead.schema import Schema

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Gathered", "gather"]

_MOST: Final = 2_000_000
_OUTCOMES: Final = ("id", "time", "latency", "status", "model", "prediction", "label", "label_time")
_STABLE: Final = "stable"


class Gathered(msgspec.Struct, frozen=True):
    """A window's rows in sum.

    Attributes:
        rows: Predictions that were asked for.
        answered: Those that were answered.
        models: Answered rows by version, the stable variant's first.
        statuses: Rows by what they were answered with: "ok", or the code of an error.
        labels: How many answers have a label, and after how long they came.
        columns: The inputs that its rows have.
        distinct: How many different rows were answered; `None` where they are too many to be counted.
        outcomes: One line a row, or every `stride`-th.
        stride: As said.
    """

    rows: int
    answered: int
    models: Mapping[str, int]
    statuses: Mapping[str, int]
    labels: Labels
    columns: tuple[str, ...]
    distinct: int | None
    outcomes: pl.DataFrame
    stride: int

    def labelled(self, schema: Schema) -> Labelled:
        """The answers as arrays, with and without label."""
        return labelled_of(answered(self.outcomes) if self.rows else self.outcomes, schema)


def gather(frames: Iterable[pl.DataFrame]) -> Gathered:
    """Sum up the rows of a window."""
    collected = _Collected()
    for frame in frames:
        if frame.height:
            collected.add(frame)
    return collected.done()


class _Collected:
    """The sums while frames come in."""

    def __init__(self) -> None:
        self._rows = self._answered = self._held = 0
        self._labels = 0
        self._stride = 1
        self._models: Counter[tuple[bool, str]] = Counter()
        self._statuses: Counter[str] = Counter()
        self._outcomes: list[pl.DataFrame] = []
        self._columns: dict[str, None] = {}
        self._hashes: list[pl.Series] | None = []

    def add(self, frame: pl.DataFrame) -> None:
        fine = answered(frame)
        self._rows += frame.height
        self._answered += fine.height
        self._statuses.update(_counts(frame["status"]))
        for model, variant, count in fine.group_by("model", "variant").len().iter_rows():
            self._models[variant != _STABLE, str(model)] += count
        if "label" in fine.columns:
            self._labels += fine.height - fine["label"].null_count()
        inputs = sorted(name for name in fine.columns if name.startswith(INPUT))
        self._columns |= dict.fromkeys(name.removeprefix(INPUT) for name in inputs)
        self._hash(fine.select(inputs))
        names = [name for name in frame.columns if name in _OUTCOMES or name.startswith("probability.")]
        some = frame.select(names)
        self._outcomes.append(some if self._stride == 1 else some.gather_every(self._stride))
        self._held += self._outcomes[-1].height
        while self._held > _MOST:
            self._stride *= 2
            self._outcomes = [joined_frames(self._outcomes).gather_every(2)]
            self._held = self._outcomes[0].height

    def _hash(self, inputs: pl.DataFrame) -> None:
        """Keep what stands for each row: 64 bits, of which two rows hardly ever share all."""
        if self._answered > _MOST:
            self._hashes = None
        elif self._hashes is not None and inputs.width and inputs.height:
            self._hashes.append(inputs.hash_rows())

    def _distinct(self) -> int | None:
        import polars as pl

        if self._hashes is None:
            return None
        return pl.concat(self._hashes).n_unique() if self._hashes else 0

    def done(self) -> Gathered:
        outcomes = joined_frames(self._outcomes)
        ordered = sorted(self._models.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
        models: dict[str, int] = {}
        for (_, model), count in ordered:
            models[model] = models.get(model, 0) + count
        coverage = self._labels / self._answered if self._answered else 0.0
        labels = Labels(self._labels, coverage, _lag(outcomes))
        return Gathered(
            rows=self._rows,
            answered=self._answered,
            models=models,
            statuses=dict(self._statuses),
            labels=labels,
            columns=tuple(self._columns),
            distinct=self._distinct(),
            outcomes=outcomes,
            stride=self._stride,
        )


def _counts(series: pl.Series) -> dict[str, int]:
    table = series.value_counts()
    return {str(name): int(count) for name, count in zip(table[:, 0].to_list(), table[:, 1].to_list(), strict=True)}


def _lag(outcomes: pl.DataFrame) -> float | None:
    """The median time from answer to label, in seconds; a clock that went back makes no label early."""
    if "label_time" not in outcomes.columns:
        return None
    waited = (outcomes["label_time"] - outcomes["time"]).drop_nulls().to_numpy()
    return float(np.median(np.maximum(waited, 0.0))) if len(waited) else None
