"""What a direct deployment would change, decided without a database."""

from fairlead.registry.registry import Version
from fairlead.rollout.direct import _planned
from fairlead.routing.table import Endpoint, RoutingTable, Variant


def version(number):
    return Version("flights", number, str(number) * 64, "ir", "classification", 0.0, "me")


def test_a_new_endpoint_stands_beside_the_others():
    other = Endpoint("other", (Variant("stable", "other:1", "f" * 64),))
    planned = _planned(RoutingTable(4, (other,)), "flights", version(1))
    assert (planned.former, planned.model, planned.changed) == ((), "flights:1", True)
    assert planned.table.revision == 5
    assert planned.table.endpoint("other") == other
    alone = (Variant("stable", "flights:1", "1" * 64, 10_000),)
    assert planned.table.endpoint("flights") == Endpoint("flights", alone, since=5)


def test_all_variants_give_way_to_the_version():
    split = Endpoint(
        "flights", (Variant("stable", "flights:1", "1" * 64, 9000), Variant("candidate", "flights:2", "2" * 64, 1000))
    )
    planned = _planned(RoutingTable(7, (split,)), "flights", version(2))
    assert planned.former == ("flights:1", "flights:2")
    assert [variant.model for variant in planned.table.variants()] == ["flights:2"]


def test_what_is_live_already_changes_nothing():
    table = _planned(RoutingTable(), "flights", version(1)).table
    planned = _planned(table, "flights", version(1))
    assert (planned.changed, planned.table) == (False, table)
