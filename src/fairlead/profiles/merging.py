"""Adds profiles of the same bins: windows, gateways, days.

All counts are integers, so any order of adding gives the same; sums of moments agree to the last digits.
"""

from __future__ import annotations

from operator import add

import msgspec

from fairlead.errors import InvalidInput
from fairlead.profiles.counting import MOST_NEW
from fairlead.profiles.profile import Calibration, Feature, Moments, NameCounts, NumberCounts, Profile, Relation

__all__ = ["merge"]


def merge(one: Profile, other: Profile) -> Profile:
    """What both stand for together.

    Raises:
        InvalidInput: They were counted in other bins, so that their counts cannot be added; the message names the column.
    """
    _check_same([(two.role, two.name) for two in one.features], [(two.role, two.name) for two in other.features])
    _check_same(
        [(two.name, two.against) for two in one.relations], [(two.name, two.against) for two in other.relations]
    )
    _check_same([two.of for two in one.calibrations], [two.of for two in other.calibrations])
    return Profile(
        one.rows + other.rows,
        tuple(map(_feature, one.features, other.features)),
        tuple(map(_relation, one.relations, other.relations)),
        tuple(map(_calibration, one.calibrations, other.calibrations)),
        one.labels + other.labels,
    )


def _check_same(ours: list[object], theirs: list[object]) -> None:
    if ours != theirs:
        raise InvalidInput(
            "The profiles cannot be added: they are not of the same columns and classes.",
            hint="Count both in one shape.",
        )


def _other_bins(name: str) -> InvalidInput:
    return InvalidInput(
        f"The profiles cannot be added: {name!r} was counted in other bins.",
        hint="Count both in one shape.",
        field=name,
    )


def _feature(one: Feature, other: Feature) -> Feature:
    if isinstance(one, NumberCounts) and isinstance(other, NumberCounts):
        return _numbers(one, other)
    if isinstance(one, NameCounts) and isinstance(other, NameCounts):
        return _names(one, other)
    raise _other_bins(one.name)


def _numbers(one: NumberCounts, other: NumberCounts) -> NumberCounts:
    if one.grid != other.grid or one.withheld != other.withheld:
        raise _other_bins(one.name)
    return NumberCounts(
        one.name,
        one.role,
        one.grid,
        tuple(map(add, one.counts, other.counts)),
        _moments(one.moments, other.moments, one.name),
        one.missing + other.missing,
        one.negative_infinite + other.negative_infinite,
        one.positive_infinite + other.positive_infinite,
        one.withheld,
    )


def _moments(one: Moments, other: Moments, name: str) -> Moments:
    if (one.centre, one.scale) != (other.centre, other.scale):
        raise _other_bins(name)
    return Moments(
        one.centre,
        one.scale,
        one.count + other.count,
        one.first + other.first,
        one.second + other.second,
        min(one.minimum, other.minimum),
        max(one.maximum, other.maximum),
    )


def _names(one: NameCounts, other: NameCounts) -> NameCounts:
    if list(one.counts) != list(other.counts) or (one.complete, one.withheld) != (other.complete, other.withheld):
        raise _other_bins(one.name)
    together = {
        name: one.new.get(name, 0) + other.new.get(name, 0) for name in sorted(one.new.keys() | other.new.keys())
    }
    # What is among the first thousand of all was among the first thousand of each part: its count is whole.
    new = {name: together[name] for name in list(together)[:MOST_NEW]}
    return NameCounts(
        one.name,
        one.role,
        {name: count + other.counts[name] for name, count in one.counts.items()},
        one.other + other.other,
        new,
        one.unnamed + other.unnamed + sum(together.values()) - sum(new.values()),
        one.missing + other.missing,
        one.complete,
        one.withheld,
    )


def _relation(one: Relation, other: Relation) -> Relation:
    if (one.levels, one.centres, one.scales) != (other.levels, other.centres, other.scales):
        raise _other_bins(one.name)
    x, y, xx, yy, xy = map(add, one.sums, other.sums)
    return msgspec.structs.replace(one, count=one.count + other.count, sums=(x, y, xx, yy, xy))


def _calibration(one: Calibration, other: Calibration) -> Calibration:
    if one.grid != other.grid:
        raise _other_bins(one.of or "the score")
    return Calibration(
        one.of,
        one.grid,
        tuple(map(add, one.counts, other.counts)),
        tuple(map(add, one.scores, other.scores)),
        tuple(map(add, one.outcomes, other.outcomes)),
        tuple(map(add, one.squares, other.squares)),
    )
