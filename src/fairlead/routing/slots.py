"""Slots: how an endpoint's traffic is divided, and how a change of weights moves the fewest keys.

A key falls on one of 10,000 slots by its hash, and a slot belongs to a variant by a table that is kept. Cumulative ranges or a
weighted hash would move users between arms that did not change; a kept table moves exactly the slots that the weights moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from fairlead.errors import InvalidInput

__all__ = ["SLOTS", "Divider", "Run", "counts_of", "expand", "rebalance", "runs_of", "slots_of"]

SLOTS: Final = 10_000
"""An endpoint's traffic is divided in slots; a variant's weight of 1 % is 100 slots."""


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Neighbouring slots of one variant.

    Attributes:
        variant: Its name.
        count: How many.
    """

    variant: str
    count: int


class Divider:
    """Divides keys by a salt.

    What stands for a key is BLAKE2b of it with the salt as the hash's own key: 64 bits that say nothing about it. Another salt
    divides the same keys anew, without any relation to the old division.

    Args:
        salt: At most 64 bytes.
    """

    __slots__ = ("_salted",)

    def __init__(self, salt: bytes) -> None:
        self._salted = blake2b(digest_size=8, key=salt)

    def place(self, key: bytes) -> tuple[str, int]:
        """What stands for a key, in hex, and its slot: the remainder by `SLOTS`."""
        hashed = self._salted.copy()
        hashed.update(key)
        digest = hashed.digest()
        return digest.hex(), int.from_bytes(digest, "big") % SLOTS


def slots_of(weight: float) -> int:
    """The slots of a weight in percent.

    Raises:
        InvalidInput: It is not between 0 and 100, or has more than two decimals.
    """
    slots = round(weight * SLOTS / 100)
    if not 0 <= weight <= 100 or abs(slots * 100 / SLOTS - weight) > 1e-9:
        raise InvalidInput(
            f"The weight {weight!r} is no percentage.", hint="Give 0 to 100, with two decimals at most.", weight=weight
        )
    return slots


def counts_of(runs: Sequence[Run]) -> dict[str, int]:
    """How many slots each variant has."""
    found: dict[str, int] = {}
    for run in runs:
        found[run.variant] = found.get(run.variant, 0) + run.count
    return found


def expand(runs: Sequence[Run]) -> list[str]:
    """The variant of each slot."""
    return [run.variant for run in runs for _ in range(run.count)]


def runs_of(slots: Sequence[str]) -> tuple[Run, ...]:
    """The runs of a table of slots."""
    found: list[Run] = []
    for variant in slots:
        if found and found[-1].variant == variant:
            found[-1] = Run(variant, found[-1].count + 1)
        else:
            found.append(Run(variant, 1))
    return tuple(found)


def rebalance(runs: Sequence[Run], slots: Mapping[str, int], stable: str) -> tuple[Run, ...]:
    """The table of slots after a change of weights. Pure.

    Only variants that shrink give slots, and only variants that grow take them. The stable variant gives its lowest slots
    first; another gives back first what it took last: so a weight that comes back brings the same keys back.

    Args:
        runs: The table before.
        slots: How many slots each variant shall have; who is missing has none.
        stable: The name of the stable variant.

    Raises:
        InvalidInput: The slots do not add up to `SLOTS`.
    """
    if sum(slots.values()) != SLOTS or min(slots.values()) < 0:
        raise InvalidInput(
            f"The weights add up to {sum(slots.values()) * 100 / SLOTS:g} %, not to 100 %.",
            hint="What the candidates do not have, the stable variant has.",
        )
    table = expand(runs)
    held: dict[str, list[int]] = {}
    for slot, variant in enumerate(table):
        held.setdefault(variant, []).append(slot)
    free: list[int] = []
    for variant, numbers in held.items():
        surplus = len(numbers) - slots.get(variant, 0)
        if surplus > 0:
            free += numbers[:surplus] if variant == stable else numbers[-surplus:]
    rest = iter(sorted(free))
    for variant, count in sorted(slots.items()):
        for _ in range(count - len(held.get(variant, ()))):
            table[next(rest)] = variant
    return runs_of(table)
