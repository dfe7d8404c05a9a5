"""What users have on their disks must open: each folder here is a home as some released format wrote it."""

import json
import shutil
from pathlib import Path

import pytest

from fairlead.app import load, open_stores, open_version, verify
from fairlead.config import load_config
from fairlead.registry.audit import audit_entries, verify_chain
from fairlead.registry.registry import list_versions, resolve
from fairlead.routing.store import read_table

HOMES = sorted(path for path in Path(__file__).parent.glob("v*") if path.is_dir())


@pytest.fixture(params=HOMES, ids=lambda path: path.name)
def old(request, tmp_path):
    return Path(shutil.copytree(request.param, tmp_path / "home"))


def test_there_is_a_home_of_every_format():
    from fairlead.bundle.manifest import FORMAT_VERSION

    assert [path.name for path in HOMES] == [f"v{number}" for number in range(1, FORMAT_VERSION + 1)]


def test_the_database_opens_and_holds_what_it_held(old):
    stores = open_stores(load_config({"home": str(old)}))
    (version,) = list_versions(stores.database, "kept")
    assert (version.ref, version.road, version.metrics) == ("kept:1", "ir", {"accuracy": 0.9})
    assert resolve(stores.database, "kept:champion").ref == resolve(stores.database, "kept:first").ref == "kept:1"
    with stores.database.read() as connection:
        assert read_table(connection).endpoint("kept").variants[0].model == "kept:1"
    assert verify_chain(stores.database)[1] is None
    assert [one.action for one in audit_entries(stores.database)]


def test_the_version_answers_its_samples_as_it_did(old):
    ref, report = verify(load_config({"home": str(old)}), "kept:1")
    assert (ref, report.holds) == ("kept:1", True)


def test_a_version_of_before_there_were_profiles_has_none(old):
    assert open_version(load_config({"home": str(old)}), "kept:1")[1].profile is None


def test_the_version_answers_new_rows(old):
    # What scikit-learn 1.9.1 answered when the home was made is in the samples; this row is the first of them.
    model = load("kept:1", home=old)
    samples = next(path for path in (old / "blobs").rglob("*") if path.is_file() and b'"expected"' in path.read_bytes())
    told = json.loads(samples.read_bytes())
    row = dict(zip(model.schema.names, told["rows"][0], strict=True))
    assert model.predict(row).tolist() == [told["expected"][0]["prediction"]]
