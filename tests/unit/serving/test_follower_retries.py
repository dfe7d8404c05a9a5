"""When a routing table that could not be loaded is tried again. The clock is the test's own."""

import asyncio

import pytest

from fairlead.errors import BundleError
from fairlead.routing.cache import write_cached
from fairlead.routing.slots import Run
from fairlead.routing.table import Endpoint, RoutingTable, Variant
from fairlead.serving.follower import Follower


class FakeGateway:
    """Knows what it serves."""

    def __init__(self):
        self.endpoints, self.revision = {}, -1

    def swap(self, revision, endpoints):
        self.revision, self.endpoints = revision, endpoints


class FakeLoader:
    """Fails as long as it is told to, and counts."""

    def __init__(self):
        self.error, self.asked = BundleError("The bundle is not here yet."), 0

    def load(self, table, live):
        self.asked += 1
        if self.error is not None:
            raise self.error
        return {}


class Followed:
    """A follower with everything around it."""

    def __init__(self, folder):
        self.now, self.told, self.path = 1000.0, [], folder / "table.json"
        self.loader, self.gateway = FakeLoader(), FakeGateway()
        self.follower = Follower(self.path, self.loader, self.gateway, clock=lambda: self.now)
        self.follower.tell = lambda state, detail: self.told.append((state, detail))

    def look(self, at=None):
        """How often the loader was asked after a look at this time."""
        self.now = self.now if at is None else 1000.0 + at
        asyncio.run(self.follower.look())
        return self.loader.asked


@pytest.fixture
def followed(tmp_path):
    found = Followed(tmp_path)
    write_cached(found.path, RoutingTable(1))
    return found


def test_a_table_that_failed_is_tried_again_ever_more_seldom(followed):
    tries = []
    for second in range(200):
        before = followed.loader.asked
        if followed.look(second) > before:
            tries.append(second)
    assert tries == [0, 1, 3, 8, 18, 48, 108, 168]


def test_what_is_mended_is_served_without_a_new_table(followed):
    followed.look(0)
    assert followed.told[-1] == ("failed", "The bundle is not here yet.")
    followed.loader.error = None
    assert followed.look(0.5) == 1, "not before its time"
    assert followed.look(1.0) == 2
    assert (followed.gateway.revision, followed.told[-1]) == (1, ("ready", ""))
    assert followed.look(500.0) == 2, "what is served is not loaded again"


def test_a_new_table_is_tried_at_once_and_its_patience_begins_anew(followed):
    for second in (0, 1, 3, 8):
        followed.look(second)
    assert followed.loader.asked == 4
    write_cached(followed.path, RoutingTable(2))
    assert followed.look(8.1) == 5
    assert followed.look(9.2) == 6
    followed.loader.error = None
    write_cached(followed.path, RoutingTable(3))
    followed.look(9.3)
    assert followed.gateway.revision == 3


def test_a_fault_of_ours_is_tried_again_as_well_and_shown_to_nobody(followed):
    followed.loader.error = ZeroDivisionError("secret")
    followed.look(0)
    assert "secret" not in followed.told[-1][1]
    followed.loader.error = None
    followed.look(1.0)
    assert followed.gateway.revision == 1


class PickyLoader(FakeLoader):
    """Loads a table of stable versions, and nothing with a candidate in it."""

    def load(self, table, live):
        self.asked += 1
        if any(one.name == "candidate" for one in table.variants()):
            raise self.error
        return {one.name: one for one in table.endpoints}


def test_a_process_that_starts_during_a_rollout_answers_by_the_stable_version_if_the_candidate_cannot_be_loaded(
    tmp_path,
):
    followed = Followed(tmp_path)
    followed.loader = followed.follower._loader = PickyLoader()
    variants = (Variant("stable", "m:1", "1" * 64, 9000), Variant("candidate", "m:2", "2" * 64, 1000))
    division = (Run("candidate", 1000), Run("stable", 9000))
    write_cached(followed.path, RoutingTable(7, (Endpoint("m", variants, division, since=7),)))
    followed.look(0)
    assert followed.told[-1] == ("failed", "The bundle is not here yet.")
    assert followed.gateway.revision == 6, "what is wanted is not served yet, and nobody shall take it for that"
    assert followed.gateway.endpoints["m"].variants == (Variant("stable", "m:1", "1" * 64, 10_000),)
