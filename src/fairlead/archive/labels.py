"""Labels beside the predictions that they are about, whenever they came.

All feedback since the window's beginning is read once and kept as one table, the latest word for each id; then each batch of predictions
looks its ids up there. Memory is that of the labels (some 100 bytes each), however many predictions there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
import polars as pl

from fairlead.schema import label_text

__all__ = ["Joining", "Labels", "maker_begun"]

_SCHEMA: Final = {"id": pl.String, "time": pl.Float64, "label": pl.String, "rating": pl.Int64, "about": pl.String}


class Joining(msgspec.Struct, frozen=True):
    """What became of labels when they were joined.

    Attributes:
        labelled: Predictions with a label.
        corrected: Predictions that were given more than one label, one other than the other; the latest stands.
        unknown: Ids that were given a label in the window's time, and whose prediction is not in the log.
    """

    labelled: int = 0
    corrected: int = 0
    unknown: int = 0


class Labels:
    """The latest label and rating of each id.

    Args:
        told: Feedback, in frames with the columns id, time, label (as JSON), rating and about.
    """

    def __init__(self, told: Iterable[pl.DataFrame]) -> None:
        frames = [frame.select(*_SCHEMA) for frame in told]
        answers = pl.concat(frames) if frames else pl.DataFrame(schema=_SCHEMA)
        answers = answers.filter(pl.col("about") == "answer").sort("time", maintain_order=True)
        self._told = answers.filter(pl.col("label").is_not_null()).select("id", "time")
        self._table, self._alike = _hashed(answers)
        if self._alike:  # of an id more was told than once; or, once in a lifetime, two ids have one hash
            self._table, self._alike = _hashed(_latest(answers))
        self._hashes = self._table["hash"].to_numpy()
        self._seen = np.zeros(len(self._table), bool)
        self._labelled = self._corrected = 0

    def beside(self, frame: pl.DataFrame) -> pl.DataFrame:
        """A frame of predictions with the columns label (as `prediction` is written), label_time and rating; all empty where none came."""
        places, found = self._places(frame["id"])
        kind = frame.schema["prediction"]
        rows = self._table[np.where(found, places, 0)] if len(self._table) else self._table
        known = pl.Series(found)
        self._labelled += int((known & rows["label"].is_not_null()).sum()) if len(self._table) else 0
        self._corrected += int((known & rows["corrected"]).sum()) if len(self._table) else 0
        self._seen[places[found]] = True
        if not len(self._table):
            blanks = [pl.lit(None, kind), pl.lit(None, pl.Float64), pl.lit(None, pl.Int64)]
            return frame.with_columns(
                one.alias(name) for one, name in zip(blanks, ("label", "label_time", "rating"), strict=True)
            )
        blank = pl.when(known)
        return frame.with_columns(
            blank.then(_written(rows["label"], kind)).alias("label"),
            blank.then(rows["label_time"]).alias("label_time"),
            blank.then(rows["rating"]).alias("rating"),
        )

    def joining(self) -> Joining:
        """What was joined up to now; what is unknown is not known here."""
        return Joining(self._labelled, self._corrected)

    def lost(self, start: float, end: float) -> pl.Series:
        """The ids that were given a label in this time, and that no frame had."""
        unseen = self._table["id"].filter(pl.Series(~self._seen, dtype=pl.Boolean))
        if not len(unseen):
            return unseen
        told = self._told.filter(pl.col("time").is_between(start, end, closed="left"))["id"]
        return told.filter(told.is_in(unseen.implode())).unique()

    def _places(self, ids: pl.Series) -> tuple[np.ndarray, np.ndarray]:
        """Where each id stands in the table, and whether it does."""
        if not len(self._table):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), bool)
        if self._alike:  # two ids with one hash of 64 bits: looked up by name
            numbered = self._table.select("id", pl.int_range(pl.len()).alias("place"))
            joined = ids.to_frame("id").join(numbered, on="id", how="left", maintain_order="left")["place"]
            return joined.fill_null(0).to_numpy(), joined.is_not_null().to_numpy()
        hashes = ids.hash().to_numpy()
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        found = self._hashes[places] == hashes
        rows = np.flatnonzero(found)  # an id that was never told of may have the hash of one that was
        found[rows] = (self._table["id"][places[rows]] == ids[rows]).to_numpy()
        return places, found


def _hashed(answers: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
    """The latest of each id in the order of hashes, if all are told once; and whether any two hashes are equal."""
    if "label_time" not in answers.columns:
        told = pl.when(pl.col("label").is_not_null()).then(pl.col("time"))
        answers = answers.select("id", "label", told.alias("label_time"), "rating", pl.lit(False).alias("corrected"))  # noqa: FBT003 - a value
    table = answers.with_columns(answers["id"].hash().alias("hash")).sort("hash")
    hashes = table["hash"].to_numpy()
    return table, bool(np.any(hashes[1:] == hashes[:-1]))


def _latest(answers: pl.DataFrame) -> pl.DataFrame:
    """Of each id, the latest label with its time, the latest rating, and whether labels contradict each other."""
    label = pl.col("label").drop_nulls()
    has_label = pl.col("label").is_not_null()
    return answers.group_by("id").agg(
        label.last().alias("label"),
        pl.col("time").filter(has_label).last().alias("label_time"),
        pl.col("rating").drop_nulls().last().alias("rating"),
        (label.n_unique() > 1).alias("corrected"),
    )


def _written(labels: pl.Series, kind: pl.DataType) -> pl.Series:
    """Labels that were JSON, as a column of this type."""
    if kind != pl.String:
        return labels.cast(pl.Float64, strict=False).cast(kind, strict=False)
    unique = labels.drop_nulls().unique()
    texts = [label_text(msgspec.json.decode(one)) for one in unique.to_list()]
    return labels.replace_strict(unique, pl.Series(texts, dtype=pl.String), default=None, return_dtype=pl.String)


def maker_begun(identity: str) -> float:
    """From when on a prediction of this id can be, in seconds since 1970; −inf where the id does not tell.

    An id begins with when its maker did, in milliseconds and hex (`serving.ids`).
    """
    try:
        return int(identity.partition("-")[0], 16) / 1000
    except ValueError:
        return float("-inf")
