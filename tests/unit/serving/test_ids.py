"""The ids of predictions."""

from __future__ import annotations

from fairlead.serving.ids import Ids


def test_ids_are_unique_across_makers_and_known_to_all_of_the_installation():
    one, other = Ids(b"secret", "flights"), Ids(b"secret", "flights")
    made = [maker.make() for maker in (one, other) for _ in range(1000)]
    assert len(set(made)) == 2000
    assert all(maker.knows(found) for maker in (one, other) for found in made)


def test_an_id_that_was_never_given_is_not_known():
    ids = Ids(b"secret", "flights")
    given = ids.make()
    begun, _, seal = given.rpartition("-")
    invented = [
        "", "-", "abc", given + "0", given[:-1], given.upper() if given.upper() != given else given + "x",
        f"{begun[:-1]}f{begun[-1]}-{seal}", "é" * 20, "a" * 1000 + given, f"{begun}-{'0' * 10}",
    ]  # fmt: skip
    assert [found for found in invented if ids.knows(found)] == []


def test_another_endpoints_and_another_installations_ids_are_strange():
    given = Ids(b"secret", "flights").make()
    assert not Ids(b"secret", "houses").knows(given)
    assert not Ids(b"another", "flights").knows(given)
