"""The log as polars frames, for who counts columns and looks at no event by itself.

Frames come a batch at a time, from parts and from what is not in parts yet, alike; labels stand beside their predictions whenever they
came. A frame holds predictions of one set of columns: versions with others have frames of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import polars as pl

from fairlead.archive.labels import Joining, Labels, maker_begun
from fairlead.archive.parts import ROWS
from fairlead.archive.snapshot import Piece, Snapshot
from fairlead.schema import label_text

__all__ = ["Frames", "feedback_frame", "frames", "mirrored_frames"]

_EARLIER: Final = 86_400.0
"""Feedback may bear a time before its prediction's, where the clocks of two machines differ; by less than this, in seconds."""

_TELLING: Final = ["id", "time", "label", "rating", "about"]


class Frames(Iterator[pl.DataFrame]):
    """Predictions in frames, at most 200,000 rows each.

    Columns: id, time, model, variant, key, status, latency, revision, exposure, flags, input.<name>, prediction, probability.<label>, label,
    label_time, rating. Times are in seconds since 1970 (UTC), latency in seconds. A column without any value in a frame is Float64.

    Attributes:
        notes: What could not be read, a sentence each; complete after the last frame.
    """

    def __init__(self, folder: Path, endpoint: str, start: float, end: float, labels_until: float) -> None:
        self._snapshot = Snapshot(folder)
        self._endpoint, self._start, self._end = endpoint, start, end
        self._labels_until = labels_until
        self._labels: Labels | None = None
        self._frames = self._read()
        self.notes = self._snapshot.notes

    def __next__(self) -> pl.DataFrame:
        return next(self._frames)

    def joining(self) -> Joining:
        """What became of the labels of the frames up to now, and of those told within the window whose prediction is nowhere in the log."""
        if self._labels is None:
            return Joining()
        found = self._labels.joining()
        lost = self._labels.lost(self._start, self._end)
        return Joining(found.labelled, found.corrected, self._nowhere(lost) if len(lost) else 0)

    def _read(self) -> Iterator[pl.DataFrame]:
        told = self._snapshot.pieces(
            "feedback", self._endpoint, self._start - _EARLIER, self._labels_until, columns=_TELLING
        )  # fmt: skip
        self._labels = Labels(piece.frame for piece in told)
        for frame in _gathered(self._snapshot.pieces("prediction", self._endpoint, self._start, self._end)):
            yield self._labels.beside(frame)

    def _nowhere(self, lost: pl.Series) -> int:
        """How many of these ids have no prediction in the log: looked for from the window backwards."""
        begun = min(map(maker_begun, lost.to_list())) - _EARLIER
        pieces = self._snapshot.pieces("prediction", self._endpoint, begun, columns=["id", "time"])
        for piece in pieces:
            lost = lost.filter(~lost.is_in(piece.frame["id"].implode()))
            if not len(lost):
                return 0
        return len(lost)


def frames(
    folder: Path, endpoint: str, start: float, end: float, *, labels_until: float = float("inf")
) -> Frames:  # fmt: skip
    """The predictions of an endpoint with start ≤ time < end, labels beside them.

    Args:
        folder: Of the event log.
        endpoint: Its name.
        start: In seconds since 1970 (UTC).
        end: In seconds since 1970 (UTC).
        labels_until: Feedback that came at this time or later is not looked at, in seconds since 1970 (UTC).

    Raises:
        StorageError: The archive's manifest, or a segment, cannot be read.
    """
    return Frames(folder, endpoint, start, end, labels_until)


def feedback_frame(folder: Path, endpoint: str, start: float, end: float) -> pl.DataFrame:
    """The feedback of an endpoint with start ≤ time < end, by time: id, time, label (as text), rating, comment, values (JSON), about, source.

    Raises:
        StorageError: The archive's manifest, or a segment, cannot be read.
    """
    found = [piece.frame.drop("exact") for piece in Snapshot(folder).pieces("feedback", endpoint, start, end)]
    if not found:
        return pl.DataFrame(schema=_FEEDBACK)
    frame = pl.concat(found).sort("time", maintain_order=True)
    return frame.with_columns(_as_text(frame["label"]))


def mirrored_frames(folder: Path, endpoint: str, start: float, end: float) -> Iterator[pl.DataFrame]:
    """What shadows of an endpoint answered, start ≤ time < end, beside what was given.

    Columns: id, time, model, variant, status, latency, revision, prediction, probabilities, given_model, given_latency, given_prediction,
    given_probabilities. Predictions are texts, as `schema.label_text` writes them; probabilities stand in the order of the schema.

    Raises:
        StorageError: The archive's manifest, or a segment, cannot be read.
    """
    for piece in Snapshot(folder).pieces("mirrored", endpoint, start, end):
        frame = piece.frame.drop("exact")
        yield frame.with_columns(_as_text(frame["prediction"]), _as_text(frame["given_prediction"]))


_FEEDBACK: Final = {
    "id": pl.String,
    "time": pl.Float64,
    "label": pl.String,
    "rating": pl.Int64,
    "comment": pl.String,
    "values": pl.String,
    "about": pl.String,
    "source": pl.String,
}


def _as_text(values: pl.Series) -> pl.Series:
    """JSON as `schema.label_text` would write the value."""
    unique = values.drop_nulls().unique()
    texts = [label_text(msgspec.json.decode(one)) for one in unique.to_list()]
    return values.replace_strict(unique, pl.Series(texts, dtype=pl.String), default=None, return_dtype=pl.String)


class _Gathering:
    """Frames with the same columns that follow each other, until they are worth one frame."""

    def __init__(self, layout: str) -> None:
        self.rows = 0
        self._layout = layout
        self._frames: list[pl.DataFrame] = []
        self._types: dict[str, pl.DataType] = {}

    def takes(self, piece: Piece) -> bool:
        """Take a piece in, if it fits: it has the same columns, and of the same types; a column without any value has each."""
        frame = piece.frame.drop("exact")
        if self.rows + len(frame) > 2 * ROWS or (piece.layout != self._layout):
            return False
        types = {name: kind for name, kind in frame.schema.items() if kind != pl.Null}
        if any(self._types.get(name, kind) != kind for name, kind in types.items()):
            return False
        self._types |= types
        self._frames.append(frame)
        self.rows += len(frame)
        return True

    def frame(self) -> pl.DataFrame:
        """All in one."""
        joined = self._frames[0] if len(self._frames) == 1 else pl.concat(self._frames, how="vertical_relaxed")
        empty = [name for name, kind in joined.schema.items() if kind == pl.Null]
        return joined.with_columns(pl.col(empty).cast(pl.Float64)) if empty else joined


def _gathered(pieces: Iterator[Piece]) -> Iterator[pl.DataFrame]:
    """The rows of pieces in frames that are not small."""
    some: _Gathering | None = None
    for piece in pieces:
        if some is not None and some.takes(piece):
            continue
        if some is not None:
            yield some.frame()
        some = _Gathering(piece.layout)
        taken = some.takes(piece)
        assert taken
    if some is not None:
        yield some.frame()
