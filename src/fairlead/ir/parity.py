"""Two lots of answers to the same rows, compared. Pure: who made them and what is done about it stand elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from fairlead.errors import ParityFailed

__all__ = ["Comparison", "compare"]


class Comparison(msgspec.Struct, frozen=True):
    """How far two lots of answers are apart.

    Attributes:
        rows: How many were compared.
        largest_difference: Of any probability or value; infinite where one is NaN or infinite and the other is not.
        label_agreement: Share of equal labels, 0 to 1; `None` where there are no labels.
        worst: Positions of the rows that differ, worst first: those with other labels, then by difference.
        differing: How many rows have another label or differ by more than the tolerance.
    """

    rows: int
    largest_difference: float
    label_agreement: float | None
    worst: tuple[int, ...]
    differing: int

    @property
    def proven(self) -> bool:
        """Whether no row differs and at least one was compared."""
        return self.rows > 0 and self.differing == 0


def compare(  # noqa: PLR0913 -- two lots of answers with their labels, and what is asked of them, all by name
    expected: ArrayLike,
    got: ArrayLike,
    *,
    tolerance: float,
    expected_labels: Sequence[object] | None = None,
    got_labels: Sequence[object] | None = None,
    limit: int = 5,
) -> Comparison:
    """Compare answers row by row.

    Args:
        expected: The original's probabilities `[rows, classes]` or values `[rows]`.
        got: The other's, in the same shape.
        tolerance: The largest allowed difference. For probabilities it is absolute; a value, which has a unit, is
            measured relative to its own size where that is beyond 1.
        expected_labels: The original's labels; `None` for a regression.
        got_labels: The other's.
        limit: How many rows `worst` names.

    Raises:
        ParityFailed: The shapes differ.
    """
    first, second = np.asarray(expected, dtype=np.float64), np.asarray(got, dtype=np.float64)
    if first.shape != second.shape or first.ndim not in {1, 2}:
        raise ParityFailed(
            f"The original answers in the shape {first.shape}, the other in {second.shape}.", expected=first.shape
        )
    rows = len(first)
    relative = first.ndim == 1
    if relative:
        first, second = first[:, None], second[:, None]
    difference = _differences(first, second, relative=relative)
    unequal = _unequal(expected_labels, got_labels, rows)
    order = np.lexsort((np.arange(rows), -difference, ~unequal))
    bad = unequal | (difference > tolerance)
    return Comparison(
        rows=rows,
        largest_difference=float(difference.max(initial=0.0)),
        label_agreement=None if expected_labels is None else float(1 - unequal.mean()) if rows else 1.0,
        worst=tuple(int(k) for k in order[:limit] if difference[k] > 0 or unequal[k]),
        differing=int(bad.sum()),
    )


def _differences(first: np.ndarray, second: np.ndarray, *, relative: bool) -> np.ndarray:
    """The largest difference of each row; equal infinities and two NaN are no difference."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(first - second)
        if relative:
            apart /= np.maximum(1.0, np.abs(first))
    apart[(first == second) | (np.isnan(first) & np.isnan(second))] = 0.0
    apart[np.isnan(apart)] = np.inf
    return np.asarray(apart.max(axis=1, initial=0.0))


def _unequal(expected: Sequence[object] | None, got: Sequence[object] | None, rows: int) -> np.ndarray:
    if expected is None and got is None:
        return np.zeros(rows, dtype=bool)
    if expected is None or got is None or not len(expected) == len(got) == rows:
        raise ParityFailed("There is not one label a row on both sides.", rows=rows)
    return np.array([not _same(one, other) for one, other in zip(expected, got, strict=True)], dtype=bool)


def _same(one: object, other: object) -> bool:
    """Equal, and not by the accident that `True == 1`."""
    return bool(one == other) and (isinstance(one, bool) == isinstance(other, bool))
