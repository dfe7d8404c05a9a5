"""Who gets which variant."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from fairlead.errors import NotFound
from fairlead.routing.choice import NOBODY, Choice, Chooser
from fairlead.routing.slots import SLOTS, Run, slots_of
from fairlead.routing.table import Assignment, Audience, Endpoint, Variant

COLUMNS = ("origin", "customer")


def endpoint(weight=10.0, **further):
    count = slots_of(weight)
    division = (Run("candidate", count), Run("stable", SLOTS - count)) if count else ()
    variants = (Variant("stable", "flights:1", "1" * 64), Variant("candidate", "flights:2", "2" * 64, count))
    return Endpoint("flights", variants, division, salt="ab" * 16, **further)


def headers(**values):
    found = {name.replace("_", "-").encode(): value.encode() for name, value in values.items()}
    return list(found.items())


def chosen(made, row=("JFK", "c1"), **values):
    return made.choose(made.caller(headers(**values)), row)


def test_without_a_key_each_request_stands_for_itself():
    made = Chooser(endpoint(), COLUMNS)
    found = Counter(chosen(made) for _ in range(20_000))
    assert {choice.unit for choice in found} == {None}
    # 10 % of 20,000, with a standard deviation of 42.
    assert abs(sum(count for choice, count in found.items() if choice.variant == 1) - 2000) < 300


@pytest.mark.parametrize(
    ("assignment", "say"),
    [
        (Assignment("header", "x-user-id"), lambda key: {"x_user_id": key}),
        (Assignment("cookie", "session"), lambda key: {"cookie": f"theme=dark; session={key}"}),
    ],
)
def test_a_key_always_comes_to_the_same_variant(assignment, say):
    made = Chooser(endpoint(assignment=assignment), COLUMNS)
    first = {number: chosen(made, **say(f"u{number}")) for number in range(2000)}
    assert all(chosen(made, **say(f"u{number}")) == choice for number, choice in first.items())
    assert 120 < sum(choice.variant for choice in first.values()) < 280
    assert all(choice.unit is not None and f"u{number}" not in choice.unit for number, choice in first.items())


def test_more_keys_than_are_remembered_and_longer_ones_come_to_where_their_hash_says():
    made, longest = Chooser(endpoint(assignment=Assignment("header", "x-user-id")), COLUMNS), "u" * 5000
    keys = [f"u{number}" for number in range(12_000)] * 2 + [longest, longest]
    # The expected place: BLAKE2b of the key by hashlib itself, under the endpoint's salt; the candidate has the first 1,000 slots.
    for key in keys:
        digest = hashlib.blake2b(key.encode(), digest_size=8, key=bytes.fromhex("ab" * 16)).digest()
        candidate = int.from_bytes(digest, "big") % 10_000 < 1000
        assert chosen(made, x_user_id=key) == Choice(int(candidate), digest.hex(), "")


def test_a_column_assigns_each_row_by_its_value():
    made = Chooser(endpoint(assignment=Assignment("column", "customer")), COLUMNS)
    assert made.by_row
    by_header = Chooser(endpoint(assignment=Assignment("header", "x")), COLUMNS)
    for number in range(50):
        # The same key falls alike, wherever it was read from.
        assert chosen(made, ("JFK", f"c{number}")) == chosen(by_header, x=f"c{number}")


def test_who_has_no_key_gets_the_stable_variant_where_the_plan_says_so():
    made = Chooser(endpoint(100.0, assignment=Assignment("header", "x", fallback="stable")), COLUMNS)
    assert chosen(made, x="somebody").variant == 1
    assert (chosen(made).variant, chosen(made).exposure) == (0, "outside")


@pytest.mark.parametrize(
    ("audience", "inside", "outside"),
    [
        (Audience("column", "origin", ("JFK",)), (("JFK", "c"), {}), (("EWR", "c"), {})),
        (
            Audience("header", "X-Team", ("beta",)),
            (("EWR", "c"), {"x_team": "beta"}),
            (("EWR", "c"), {"x_team": "old"}),
        ),
    ],
)
def test_an_audience_limits_the_candidate_to_some(audience, inside, outside):
    made = Chooser(endpoint(100.0, audience=audience), COLUMNS)
    assert chosen(made, inside[0], **inside[1]) == Choice(1, None, "")
    assert chosen(made, outside[0], **outside[1]) == Choice(0, None, "outside")


def test_a_pinned_request_is_answered_by_that_variant_and_stays_out_of_the_analysis():
    made = Chooser(endpoint(0.0), COLUMNS)
    assert chosen(made, fairlead_variant="candidate") == Choice(1, None, "pinned")
    assert chosen(made) == Choice(0, None, "")
    with pytest.raises(NotFound, match="'green'") as caught:
        chosen(made, fairlead_variant="green")
    assert "stable, candidate" in caught.value.hint


def test_what_is_no_cookie_header_has_no_cookie():
    made = Chooser(endpoint(100.0, assignment=Assignment("cookie", "session", fallback="stable")), COLUMNS)
    for header in ("", "session", "session=", "\x00;;;=", "=;session"):
        assert chosen(made, cookie=header).exposure == "outside"


def test_a_caller_who_says_nothing_costs_nothing():
    assert Chooser(endpoint(), COLUMNS).caller(headers()) is NOBODY
