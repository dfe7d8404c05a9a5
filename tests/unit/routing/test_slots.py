"""Slots: what a change of weights moves. The expected numbers are counted over 100,000 keys, not taken from the code."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import InvalidInput
from fairlead.routing.slots import SLOTS, Divider, Run, counts_of, expand, rebalance, runs_of, slots_of

KEYS = [f"user-{number}".encode() for number in range(100_000)]
PLACES = [Divider(b"salt").place(key)[1] for key in KEYS]
ALL_STABLE = (Run("stable", SLOTS),)


def divided(runs, **weights):
    slots = {name: slots_of(weight) for name, weight in weights.items()}
    return rebalance(runs, {**slots, "stable": SLOTS - sum(slots.values())}, "stable")


def moved(before, after):
    """Which keys moved, and from whom to whom."""
    one, other = expand(before), expand(after)
    return Counter((one[slot], other[slot]) for slot in PLACES if one[slot] != other[slot])


def keys_in(before, after):
    """How many keys live in the slots that changed."""
    one, other = expand(before), expand(after)
    changed = {slot for slot in range(SLOTS) if one[slot] != other[slot]}
    return sum(slot in changed for slot in PLACES)


def test_two_arms_move_exactly_what_the_weight_moved():
    ten = divided(ALL_STABLE, candidate=10)
    quarter = divided(ten, candidate=25)
    assert counts_of(quarter) == {"candidate": 2500, "stable": 7500}
    assert set(moved(ten, quarter)) == {("stable", "candidate")}
    assert sum(moved(ten, quarter).values()) == keys_in(ten, quarter)
    # 15 % of the keys, as far as 100,000 keys fall evenly on 10,000 slots.
    assert moved(ten, quarter).total() == pytest.approx(15_000, rel=0.05)


def test_three_arms_never_exchange_keys_between_those_that_grow():
    begun = divided(ALL_STABLE, one=20, two=20)
    grown = divided(begun, one=30, two=30)
    assert set(moved(begun, grown)) == {("stable", "one"), ("stable", "two")}
    shifted = divided(grown, one=40, two=20)
    assert set(moved(grown, shifted)) == {("two", "one")}


def test_the_same_keys_come_back_with_the_weight():
    ten = divided(ALL_STABLE, candidate=10)
    back = divided(divided(ten, candidate=50), candidate=10)
    assert back == ten
    gone = divided(ten)
    assert gone == ALL_STABLE
    assert divided(gone, candidate=10) == ten


def test_another_salt_divides_the_same_keys_anew():
    again = [Divider(b"other").place(key)[1] for key in KEYS]
    both = sum(one < 1000 and other < 1000 for one, other in zip(PLACES, again, strict=True))
    # Independent divisions share a tenth of a tenth: 1,000 of 100,000, with a standard deviation of 31.
    assert abs(both - 1000) < 200


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 3333), max_size=3), max_size=6))
def test_slots_only_move_from_those_that_shrink_to_those_that_grow(changes):
    runs = ALL_STABLE
    for change in changes:
        wanted = {**change, "stable": SLOTS - sum(change.values())}
        after = rebalance(runs, wanted, "stable")
        old, new = counts_of(runs), counts_of(after)
        assert {name: count for name, count in wanted.items() if count} == new
        for one, other in zip(expand(runs), expand(after), strict=True):
            if one != other:
                assert new.get(one, 0) < old[one]
                assert new[other] > old.get(other, 0)
        assert runs_of(expand(after)) == after
        runs = after


def test_weights_have_two_decimals_and_end_at_a_hundred():
    assert slots_of(0.01) == 1
    for weight in (0.001, -1, 100.01):
        with pytest.raises(InvalidInput, match="percentage"):
            slots_of(weight)
    with pytest.raises(InvalidInput, match="add up to 110 %"):
        rebalance(ALL_STABLE, {"stable": 10_000, "candidate": 1000}, "stable")
