"""The profile: counts of each column in fixed bins, with what ties the columns to the target and the model's scores to the truth.

```
training table ─▶ shape (bins, levels) ─▶ count ─▶ Profile, in the bundle
                        │
events of a window ─────┴───────────────▶ count ─▶ Profile ─┐
events of the next ─────────────────────▶ count ─▶ Profile ─┴─ merge (addition) ─▶ Profile
```

Everything here is data; `binning` chooses bins, `counting` fills them, `merging` adds.
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NOTHING",
    "Calibration",
    "Feature",
    "Grid",
    "Moments",
    "NameCounts",
    "NumberCounts",
    "Profile",
    "Relation",
]

Role = Literal["input", "prediction", "score", "target"]
"""A column of the model; the label or number that it says; the probability of one class; what proved true."""


class Grid(msgspec.Struct, frozen=True, omit_defaults=True):
    """The bins of numbers: all values up to a cut and above the one before; a point mass has a bin of its own.

    Attributes:
        cuts: Rising; the first is below the least value seen and the last is the greatest, so that the first bin of all is
            "under" and the last "over".
        points: Rising; values so frequent that each has a bin of its own.
    """

    cuts: tuple[float, ...]
    points: tuple[float, ...] = ()

    def edges(self) -> NDArray[np.float64]:
        """The upper ends of all bins but the last, rising: bin i holds edges[i-1] < x ≤ edges[i]."""
        below = (math.nextafter(point, -math.inf) for point in self.points)
        return np.unique(np.array([*self.cuts, *self.points, *filter(math.isfinite, below)], np.float64))


class Moments(msgspec.Struct, frozen=True, omit_defaults=True):
    """Sums of (x − centre)/scale over finite values, so that they add up and lose no digits.

    Attributes:
        centre: Fixed with the bins.
        scale: Fixed with the bins; above 0.
        count: How many finite values.
        first: Σ z.
        second: Σ z².
        minimum: The least finite value; +inf where there is none.
        maximum: The greatest; −inf where there is none.
    """

    centre: float
    scale: float
    count: int = 0
    first: float = 0.0
    second: float = 0.0
    minimum: float = float("inf")
    maximum: float = float("-inf")

    @property
    def mean(self) -> float:
        """In the column's unit; NaN without values."""
        return self.centre + self.scale * self.first / self.count if self.count else float("nan")

    @property
    def deviation(self) -> float:
        """The standard deviation (divisor n − 1), in the column's unit; NaN below two values."""
        if self.count < 2:
            return float("nan")
        spread = max(self.second - self.first**2 / self.count, 0.0)
        return self.scale * math.sqrt(spread / (self.count - 1))


class NumberCounts(msgspec.Struct, frozen=True, omit_defaults=True, tag="numbers"):
    """A column of numbers.

    Attributes:
        name: The column's, or the target's, or the class whose score it is.
        role: What it is to the model.
        grid: Its bins.
        counts: Finite values in each bin, one more than there are edges.
        missing: How many entries are missing (NaN among them); of the target none, for a label that has not come is not missing.
        negative_infinite: How many are −inf.
        positive_infinite: How many are +inf.
        moments: Of the finite values.
        withheld: The column is sensitive: nothing but what is missing is counted of it; it has no bins, and no moments.
    """

    name: str
    role: Role
    grid: Grid
    counts: tuple[int, ...]
    moments: Moments
    missing: int = 0
    negative_infinite: int = 0
    positive_infinite: int = 0
    withheld: bool = False

    @property
    def finite(self) -> int:
        """How many entries are finite numbers."""
        return sum(self.counts)

    @property
    def rows(self) -> int:
        """How many entries there are in all."""
        return self.finite + self.missing + self.negative_infinite + self.positive_infinite


class NameCounts(msgspec.Struct, frozen=True, omit_defaults=True, tag="names"):
    """A column of names: categories, texts, booleans, classes.

    Attributes:
        name: As in `NumberCounts`.
        role: What it is to the model.
        counts: By level: as texts are, and as JSON writes the rest. The levels are those of the reference, at most 1,000, in its order.
        other: Entries of levels that the reference had too, beyond its thousand.
        new: Entries of levels that the reference had not; at most 1,000 of them by name.
        unnamed: Entries of further new levels.
        missing: How many entries are missing.
        complete: Whether `counts` has every level of the reference, so that what is not in it is new; else it is counted as `other`.
        withheld: The column is sensitive: nothing but what is missing is counted of it; all that is there is `other`.
    """

    name: str
    role: Role
    counts: dict[str, int]
    other: int = 0
    new: dict[str, int] = {}
    unnamed: int = 0
    missing: int = 0
    complete: bool = True
    withheld: bool = False

    @property
    def present(self) -> int:
        """How many entries are there at all."""
        return sum(self.counts.values()) + self.other + sum(self.new.values()) + self.unnamed

    @property
    def rows(self) -> int:
        """How many entries there are in all."""
        return self.present + self.missing


Feature = NumberCounts | NameCounts


class Relation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Sums for Pearson's correlation of a column with the target, over rows that have both.

    A column of names enters by the mean of the target at each level in the reference; a target of classes enters as 1 for the
    class named and 0 for the others.

    Attributes:
        name: The column's.
        against: The class that counts as 1; empty where the target is a number.
        levels: What stands for each level of a column of names; empty for numbers.
        centres: Subtracted from x and y before summing; fixed with the reference.
        scales: Then x and y are divided by them; fixed with the reference, above 0.
        count: How many rows have both.
        sums: Σx, Σy, Σxx, Σyy, Σxy of the values so centred and scaled.
    """

    name: str
    against: str = ""
    levels: dict[str, float] = {}
    centres: tuple[float, float] = (0.0, 0.0)
    scales: tuple[float, float] = (1.0, 1.0)
    count: int = 0
    sums: tuple[float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0)

    @property
    def correlation(self) -> float:
        """Pearson's r; NaN where one of both does not vary."""
        x, y, xx, yy, xy = self.sums
        if self.count < 2:
            return float("nan")
        spread_x, spread_y = xx - x * x / self.count, yy - y * y / self.count
        if spread_x <= 0 or spread_y <= 0:
            return float("nan")
        together = math.sqrt(spread_x) * math.sqrt(spread_y)
        return min(max((xy - x * y / self.count) / together, -1.0), 1.0)


class Calibration(msgspec.Struct, frozen=True, omit_defaults=True):
    """How the model's own scores met the truth, by bins of the score: what quality is estimated from while labels are missing.

    Attributes:
        of: The class whose score it is; empty for regression, where the score is the predicted number.
        grid: Bins of the score.
        counts: Rows with label in each bin.
        scores: Σ score in each bin.
        outcomes: Σ of what proved true in each bin: 1 for the class and 0 for the others; for regression Σ |error|.
        squares: For regression Σ error²; empty otherwise.
    """

    of: str
    grid: Grid
    counts: tuple[int, ...]
    scores: tuple[float, ...]
    outcomes: tuple[float, ...]
    squares: tuple[float, ...] = ()


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A table in counts.

    Attributes:
        rows: How many rows it stands for.
        features: The inputs in the schema's order, then the prediction, the scores and the target, as far as there are any.
        relations: Of inputs with the target.
        calibrations: One for each class that has a score, or one for regression; empty without labels.
        labels: How many of the rows have a label.
    """

    rows: int
    features: tuple[Feature, ...]
    relations: tuple[Relation, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    labels: int = 0

    def find(self, name: str, role: Role = "input") -> Feature | None:
        """A feature by its name; `None` where there is none."""
        return next((one for one in self.features if one.name == name and one.role == role), None)

    def __rich_repr__(self) -> Any:
        yield "rows", self.rows
        yield "features", [one.name for one in self.features]


NOTHING: Final = Profile(0, ())
"""Of no table."""
