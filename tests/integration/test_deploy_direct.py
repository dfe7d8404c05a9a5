"""A direct deployment against real stores: all of it happens, or nothing."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bundle_samples import sealed

from fairlead.bundle.store import put_bundle
from fairlead.errors import BadReference, BundleError, DigestMismatch, NotFound
from fairlead.registry.audit import audit_entries, verify_chain
from fairlead.registry.registry import publish, resolve
from fairlead.rollout import store
from fairlead.rollout.direct import deploy, retire
from fairlead.routing.store import read_table
from fairlead.storage.blobs import open_blobs
from fairlead.storage.database import open_database


@pytest.fixture
def blobs(tmp_path):
    return open_blobs(str(tmp_path / "blobs"))


@pytest.fixture
def database(tmp_path, blobs):
    """Two versions of a model: flights:1 and flights:2."""
    opened = open_database(f"sqlite:///{tmp_path}/fairlead.db")
    for number in (1, 2):
        digest = put_bundle(sealed(tmp_path / str(number), b"original %d" % number), blobs)
        publish(opened, model="flights", digest=digest, road="worker", task="classification", actor="ann")
    yield opened
    opened.close()


def table(database):
    with database.read() as connection:
        return read_table(connection)


def live(database):
    return [(endpoint.name, variant.model) for endpoint in table(database).endpoints for variant in endpoint.variants]


def test_a_deployed_version_is_served_and_is_the_champion(database, blobs):
    done = deploy(database, blobs, "flights:1", actor="ann")
    assert (done.endpoint, done.model, done.former, done.changed) == ("flights", "flights:1", (), True)
    assert done.table == table(database)
    (variant,) = done.table.variants()
    assert (variant.digest, variant.slots) == (resolve(database, "flights:1").digest, 10_000)
    assert resolve(database, "flights:champion").number == 1
    assert [(entry.action, entry.subject) for entry in audit_entries(database)[:2]] == [
        ("aliased", "flights:champion"),
        ("deployed", "flights"),
    ]


def test_the_next_version_takes_the_place_of_the_one_before(database, blobs):
    deploy(database, blobs, "flights:1", actor="ann")
    done = deploy(database, blobs, "flights:2", actor="ann")
    assert (done.former, done.table.revision) == (("flights:1",), 2)
    assert live(database) == [("flights", "flights:2")]
    assert resolve(database, "flights:champion").number == 2


def test_what_is_live_already_changes_nothing_and_is_not_told(database, blobs):
    deploy(database, blobs, "flights:1", actor="ann")
    before = audit_entries(database)
    done = deploy(database, blobs, "flights:champion", actor="ann")
    assert (done.changed, done.table.revision) == (False, 1)
    assert audit_entries(database) == before


def test_a_dry_run_says_what_would_change_and_changes_nothing(database, blobs):
    before = audit_entries(database)
    done = deploy(database, blobs, "flights:2", "fast", actor="ann", dry_run=True)
    assert (done.endpoint, done.changed, done.table.revision) == ("fast", True, 1)
    assert (live(database), audit_entries(database)) == ([], before)


@pytest.mark.parametrize("endpoint", ["predict", "docs", "openapi.json", "../x", "", "A"])
def test_a_name_that_no_endpoint_may_have_is_refused(endpoint, database, blobs):
    with pytest.raises(BadReference):
        deploy(database, blobs, "flights:1", endpoint, actor="ann")
    assert live(database) == []


def spoil(database, blobs, ref, path, content):
    from fairlead.bundle.store import stored_manifest

    manifest = stored_manifest(resolve(database, ref).digest, blobs)
    digest = next(entry.sha256 for entry in manifest.files if entry.path == path)
    blob = Path(blobs.place(digest))
    blob.unlink() if content is None else blob.write_bytes(content)
    return str(blob)


def test_a_corrupt_bundle_is_refused_and_what_is_live_goes_on(database, blobs):
    deploy(database, blobs, "flights:1", actor="ann")
    place = spoil(database, blobs, "flights:2", "model/model.pkl", b"original 3")
    with pytest.raises(DigestMismatch) as caught:
        deploy(database, blobs, "flights:2", actor="ann")
    assert place in caught.value.detail
    assert live(database) == [("flights", "flights:1")]
    assert resolve(database, "flights:champion").number == 1


def test_a_bundle_with_a_hole_is_refused(database, blobs):
    spoil(database, blobs, "flights:2", "model/model.pkl", None)
    with pytest.raises(BundleError, match="There is no blob"):
        deploy(database, blobs, "flights:2", actor="ann")
    assert live(database) == []


def test_a_crash_before_the_commit_leaves_all_as_it_was(database, blobs, monkeypatch):
    deploy(database, blobs, "flights:1", actor="ann")

    def crash(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "move_alias", crash)
    with pytest.raises(KeyboardInterrupt):
        deploy(database, blobs, "flights:2", actor="ann")
    monkeypatch.undo()
    assert (table(database).revision, live(database)) == (1, [("flights", "flights:1")])
    assert resolve(database, "flights:champion").number == 1
    assert verify_chain(database) == (4, None)


def test_deployments_at_once_happen_one_after_the_other(database, blobs):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: deploy(database, blobs, f"flights:{1 + i % 2}", f"e{i}", actor="ann"), range(8)))
    assert table(database).revision == 8
    assert len(live(database)) == 8
    assert verify_chain(database)[1] is None


def test_a_retired_endpoint_is_gone_and_its_version_stays(database, blobs):
    deploy(database, blobs, "flights:1", actor="ann")
    assert retire(database, "flights", actor="ann", dry_run=True).former == ("flights:1",)
    assert live(database) == [("flights", "flights:1")]
    done = retire(database, "flights", actor="ann")
    assert (done.model, done.former, done.table.revision) == (None, ("flights:1",), 2)
    assert live(database) == []
    assert resolve(database, "flights:1")
    with pytest.raises(NotFound):
        retire(database, "flights", actor="ann")
