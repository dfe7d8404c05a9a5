"""A profile as bytes, for the bundle and for stored windows: JSON that people can read, compressed.

What is read may have been made by anybody: its size is bounded before it is unpacked, its types are checked, and so is what types do
not say and counting relies on: rising cuts, as many counts as bins.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from fairlead.errors import InvalidInput
from fairlead.profiles.counting import MOST_LEVELS, MOST_NEW
from fairlead.profiles.levels import LONGEST
from fairlead.profiles.profile import Calibration, Feature, Grid, Moments, NumberCounts, Profile, Relation

__all__ = ["LARGEST", "check", "from_bytes", "to_bytes"]

LARGEST: Final = 256 * 2**20
"""The most bytes of a profile, unpacked; ten thousand columns need some thirty million."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_MOST_EDGES: Final = 4_096
_MOST_COUNT: Final = 2**60
_MOST_SUM: Final = 1e150
_VERSION: Final = 1


class _Written(msgspec.Struct, frozen=True):
    version: int
    profile: Profile


class _Header(msgspec.Struct):
    version: int


def to_bytes(profile: Profile) -> bytes:
    """As gzip'd JSON; the same profile gives the same bytes."""
    packer = zlib.compressobj(9, wbits=_GZIP)  # writes no time
    plain = msgspec.json.encode(_Written(_VERSION, _plain(profile)))
    return packer.compress(plain) + packer.flush()


def from_bytes(content: bytes) -> Profile:
    """Read what `to_bytes` wrote.

    Raises:
        InvalidInput: It is none, or of a newer Fairlead.
    """
    try:
        unpacker = zlib.decompressobj(_GZIP)
        plain = unpacker.decompress(content, LARGEST)
        if not unpacker.eof or unpacker.unused_data:
            raise _none("it is cut off, or goes on after its end")
        if (version := msgspec.json.decode(plain, type=_Header).version) != _VERSION:
            raise InvalidInput(f"The profile has version {version}; this Fairlead reads {_VERSION}.", version=version)
        profile = msgspec.json.decode(plain, type=_Written).profile
    except (zlib.error, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as err:
        raise _none(str(err)[:200]) from err
    return check(profile)


def check(profile: Profile) -> Profile:
    """Return `profile` where its parts fit together; types alone do not say so.

    Raises:
        InvalidInput: They do not; the message names the column.
    """
    keys = [(one.role, one.name) for one in profile.features]
    _require(len(set(keys)) == len(keys), "a column stands in it twice")
    _require(_are_counts((profile.rows, profile.labels)), "its number of rows is none")
    for feature in profile.features:
        _require(_holds(feature), f"the counts of {feature.name[:LONGEST]!r} are not in order")
    for relation in profile.relations:
        _require(_relates(relation), f"the sums of {relation.name[:LONGEST]!r} are not in order")
    for calibration in profile.calibrations:
        _require(_calibrates(calibration), f"the knots of {calibration.of[:LONGEST]!r} are not in order")
    return profile


def _plain(profile: Profile) -> Profile:
    """Without infinities, which JSON has not: the extremes of a column without values are left to their defaults."""
    features = tuple(
        msgspec.structs.replace(one, moments=Moments(one.moments.centre, one.moments.scale))
        if isinstance(one, NumberCounts) and not one.moments.count
        else one
        for one in profile.features
    )
    return msgspec.structs.replace(profile, features=features)


def _none(why: str) -> InvalidInput:
    return InvalidInput(f"This is no profile: {why}.", hint="Pack the model again.")


def _require(holds: bool, why: str) -> None:  # noqa: FBT001 - a claim, and what is wrong where it fails
    if not holds:
        raise _none(why)


def _holds(one: Feature) -> bool:
    if isinstance(one, NumberCounts):
        further = (one.missing, one.negative_infinite, one.positive_infinite)
        empty = not (one.grid.cuts or one.grid.points or one.moments.count)
        return (
            _fits(one.grid, one.counts) and _are_counts(further) and _sums(one.moments) and (empty or not one.withheld)
        )
    levels = (*one.counts, *one.new)
    return (
        not (one.withheld and levels)
        and len(one.counts) <= MOST_LEVELS
        and len(one.new) <= MOST_NEW
        and all(len(level) <= LONGEST for level in levels)
        and _are_counts((*one.counts.values(), *one.new.values(), one.other, one.unnamed, one.missing))
    )


def _fits(grid: Grid, counts: Sequence[int]) -> bool:
    """Whether the bins rise, and there are as many counts as bins."""
    return (
        len(grid.cuts) + 2 * len(grid.points) <= _MOST_EDGES
        and _rise(grid.cuts)
        and _rise(grid.points)
        and len(counts) == len(grid.edges()) + 1
        and _are_counts(counts)
    )


def _sums(one: Moments) -> bool:
    return (
        one.scale > 0
        and 0 <= one.count <= _MOST_COUNT
        and abs(one.first) <= _MOST_SUM
        and 0 <= one.second <= _MOST_SUM**2
        and (one.count == 0 or one.minimum <= one.maximum)
    )


def _relates(one: Relation) -> bool:
    return (
        min(one.scales) > 0
        and _are_counts((one.count,))
        and len(one.levels) <= MOST_LEVELS
        and all(abs(one) <= _MOST_SUM**2 for one in one.sums)
    )


def _calibrates(one: Calibration) -> bool:
    bins, squares = len(one.counts), 0 if one.of else len(one.counts)
    return (
        _fits(one.grid, one.counts)
        and len(one.scores) == len(one.outcomes) == bins
        and len(one.squares) == squares
        and all(abs(entry) <= _MOST_SUM**2 for entry in (*one.scores, *one.outcomes, *one.squares))
    )


def _are_counts(numbers: Iterable[int]) -> bool:
    return all(0 <= one <= _MOST_COUNT for one in numbers)


def _rise(numbers: Sequence[float]) -> bool:
    return all(map(math.isfinite, numbers)) and all(low < high for low, high in itertools.pairwise(numbers))
