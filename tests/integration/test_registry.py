"""Models, versions, aliases and the audit trail in a real database."""

import hashlib
import json
import multiprocessing
import time

import pytest
import sqlalchemy as sa
from bundle_samples import sealed

from fairlead.bundle.store import put_bundle
from fairlead.errors import BadReference, InvalidInput, NotFound, StorageError
from fairlead.registry import registry as under_test
from fairlead.registry.audit import Break, append_entry, audit_entries, verify_chain
from fairlead.registry.registry import (
    list_models,
    list_versions,
    plan_alias,
    publish,
    remove_alias,
    resolve,
    set_alias,
)
from fairlead.storage.blobs import open_blobs
from fairlead.storage.database import open_database


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/fairlead.db"


@pytest.fixture
def database(url):
    opened = open_database(url)
    yield opened
    opened.close()


def published(database, digest="a" * 64, model="flights", **facts):
    return publish(
        database, model=model, digest=digest, **{"road": "ir", "task": "classification", "actor": "ann"} | facts
    )


def told(database):
    return [(entry.sequence, entry.actor, entry.action, entry.subject) for entry in audit_entries(database)]


def test_versions_count_from_one_within_each_model(database):
    given = (("a", "flights"), ("b", "flights"), ("a", "ships"))
    assert [published(database, digit * 64, model).ref for digit, model in given] == [
        "flights:1",
        "flights:2",
        "ships:1",
    ]


def test_a_version_comes_back_with_all_that_was_given(database):
    given = published(
        database, description="first\n<b>", metrics={"auc": 0.79}, params={"depth": 3, "loss": "log", "x": None}
    )
    found = resolve(database, "flights:1")
    assert found == given
    assert (found.metrics, found.params) == ({"auc": 0.79}, {"depth": 3, "loss": "log", "x": None})


def test_the_same_bundle_keeps_its_number_and_is_told_once(database):
    first = published(database)
    assert published(database, actor="ben") == first
    assert told(database) == [(1, "ann", "published", "flights:1")]


def test_a_model_alone_means_its_newest_version(database):
    published(database)
    published(database, "b" * 64)
    assert resolve(database, "flights").number == 2


@pytest.mark.parametrize(
    ("ref", "hint"),
    [
        ("flihgts:1", "Did you mean 'flights'?"),
        ("zzz", "`fairlead models`"),
        ("flights:7", "newest is flights:1"),
        ("flights:champoin", "Did you mean 'flights:champion'?"),
        ("flights:zzz", "`fairlead models`"),
    ],
)
def test_what_is_not_there_names_the_nearest(ref, hint, database):
    published(database)
    set_alias(database, "flights", "champion", "flights:1", actor="ann")
    with pytest.raises(NotFound) as caught:
        resolve(database, ref)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("model", "digest"), [("../x", "a" * 64), ("Flights", "a" * 64), ("flights", "A" * 64), ("x", "")]
)
def test_a_name_or_digest_that_is_none_is_not_published(model, digest, database):
    with pytest.raises(BadReference):
        published(database, digest, model)
    assert list_models(database) == []


@pytest.mark.parametrize(
    "facts",
    [
        {"metrics": {"auc": float("nan")}},
        {"metrics": {"auc": float("inf")}},
        {"metrics": {"auc": "good"}},
        {"metrics": {"auc": None}},
        {"params": {"x": float("-inf")}},
        {"params": {"x": [1]}},
        {"params": {"x": object()}},
        {"description": "half a character: \ud800"},
    ],
)
def test_a_fact_that_would_not_read_back_is_not_published(facts, database):
    with pytest.raises(InvalidInput):
        published(database, **facts)
    assert list_models(database) == []


def test_an_alias_moves_and_each_move_is_told(database):
    published(database)
    published(database, "b" * 64)
    assert set_alias(database, "flights", "champion", "flights:1", actor="ann").former is None
    assert set_alias(database, "flights", "champion", "flights:2", actor="ben").former == 1
    assert resolve(database, "flights:champion").number == 2
    assert resolve(database, "flights:2").aliases == ("champion",)
    assert list_models(database)[0].aliases == {"champion": 2}
    assert told(database)[:2] == [(4, "ben", "aliased", "flights:champion"), (3, "ann", "aliased", "flights:champion")]


def test_an_alias_that_points_there_already_is_not_told_again(database):
    published(database)
    for _ in range(2):
        set_alias(database, "flights", "champion", "flights:1", actor="ann")
    assert len(told(database)) == 2


def test_an_alias_that_is_taken_away_is_gone_and_its_version_stays(database):
    published(database)
    set_alias(database, "flights", "champion", "flights:1", actor="ann")
    assert remove_alias(database, "flights", "champion", actor="ann").former == 1
    with pytest.raises(NotFound):
        resolve(database, "flights:champion")
    assert resolve(database, "flights:1")
    with pytest.raises(NotFound):
        remove_alias(database, "flights", "champion", actor="ann")


def test_a_planned_alias_changes_nothing(database):
    published(database)
    assert plan_alias(database, "flights", "champion", "flights:1").number == 1
    assert list_models(database)[0].aliases == {}
    assert len(told(database)) == 1


@pytest.mark.parametrize("alias", ["1", "007", "", "a b", "..", "A"])
def test_an_alias_that_reads_as_a_number_or_is_no_name_is_refused(alias, database):
    published(database)
    with pytest.raises(InvalidInput):
        set_alias(database, "flights", alias, "flights:1", actor="ann")


def test_an_alias_never_points_into_another_model(database):
    published(database)
    published(database, model="ships")
    with pytest.raises(InvalidInput, match="cannot point at ships:1"):
        set_alias(database, "flights", "champion", "ships:1", actor="ann")


def test_hostile_text_is_kept_as_text(database):
    text = "'); DROP TABLE versions; -- \x1b[31m \u202e"
    published(database, description=text, actor=text)
    assert resolve(database, "flights").description == text
    assert audit_entries(database, subject="%") == []


def _publish_many(url, barrier, result, first):
    database = open_database(url)
    barrier.wait(60)
    result.put([published(database, f"{first + i:064x}").number for i in range(20)])


def test_publishers_at_once_get_numbers_without_gaps(database, url):
    context = multiprocessing.get_context("spawn")
    barrier, result = context.Barrier(2), context.Queue()
    processes = [context.Process(target=_publish_many, args=(url, barrier, result, first)) for first in (0, 1000)]
    for process in processes:
        process.start()
    numbers = [*result.get(timeout=60), *result.get(timeout=60)]
    for process in processes:
        process.join(30)
    assert sorted(numbers) == list(range(1, 41))
    assert verify_chain(database) == (40, None)


def _publish_forever(url, going):
    database = open_database(url)
    for i in range(100_000):
        published(database, f"{i:064x}")
        set_alias(database, "flights", "champion", f"flights:{i + 1}", actor="ann")
        going.set()


def test_a_publisher_that_is_killed_leaves_a_whole_registry(tmp_path):
    """Killed at three different moments; every version has its number and its entry, and the chain holds."""
    context = multiprocessing.get_context("spawn")
    for attempt, moment in enumerate((0.0, 0.013, 0.05)):
        url = f"sqlite:///{tmp_path}/{attempt}.db"
        going = context.Event()
        process = context.Process(target=_publish_forever, args=(url, going))
        process.start()
        assert going.wait(60)
        time.sleep(moment)
        process.kill()
        process.join(30)
        database = open_database(url)
        numbers = [version.number for version in list_versions(database, "flights")]
        told_of = [entry.subject for entry in audit_entries(database, action="published")]
        with database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert numbers == list(range(len(numbers), 0, -1))
        assert told_of == [f"flights:{number}" for number in numbers]
        assert verify_chain(database)[1] is None
        database.close()


def test_a_crash_between_the_blobs_and_the_row_leaves_nothing_registered(database, tmp_path, monkeypatch):
    blobs = open_blobs(str(tmp_path / "blobs"))
    digest = put_bundle(sealed(tmp_path / "bundle"), blobs)

    def crash(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(under_test, "append_entry", crash)  # the last statement of the transaction
    with pytest.raises(KeyboardInterrupt):
        published(database, digest)
    monkeypatch.undo()
    assert (list_models(database), audit_entries(database)) == ([], [])
    assert published(database, digest).ref == "flights:1"


def test_a_change_that_cannot_be_told_does_not_happen(database):
    published(database)
    with database.write() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
        )
    with pytest.raises((StorageError, sa.exc.IntegrityError)):
        set_alias(database, "flights", "champion", "flights:1", actor="ann")
    assert list_models(database)[0].aliases == {}


def some_entries(database, count=5):
    for i in range(count):
        with database.write() as connection:
            append_entry(
                connection, "ann", "deployed", f"e{i}", {"version": f"flights:{i}", "share": 0.1, "forced": False}
            )


def test_the_chain_is_what_it_says_it_is(database):
    """Recomputed here from the description alone: SHA-256 over the digest before and the entry's sorted JSON."""
    some_entries(database)
    previous = ""
    for entry in reversed(audit_entries(database)):
        fields = {name: getattr(entry, name) for name in entry.__struct_fields__} | {"digest": ""}
        text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        assert entry.digest == hashlib.sha256((previous + text).encode()).hexdigest()
        previous = entry.digest


@pytest.mark.parametrize(
    ("edit", "broken"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE sequence = 3", 3),
        ("UPDATE audit SET time = time + 1 WHERE sequence = 1", 1),
        ("""UPDATE audit SET detail = '{"version":"flights:9"}' WHERE sequence = 2""", 2),
        ("UPDATE audit SET detail = 'nonsense' WHERE sequence = 2", 2),
        ("UPDATE audit SET digest = printf('%064d', 0) WHERE sequence = 5", 5),
        ("DELETE FROM audit WHERE sequence = 2", 2),
        ("DELETE FROM audit WHERE sequence = 1", 1),
    ],
)
def test_an_edited_entry_is_found(edit, broken, database):
    some_entries(database)
    assert verify_chain(database) == (5, None)
    with database.write() as connection:
        connection.exec_driver_sql(edit)
    held, found = verify_chain(database)
    assert held == broken - 1
    assert isinstance(found, Break)
    assert found.sequence == broken


def test_entries_are_found_by_what_they_are_about(database):
    published(database)
    published(database, "b" * 64, "flights2")
    set_alias(database, "flights", "champion", "flights:1", actor="ann")
    assert [entry.subject for entry in audit_entries(database, subject="flights")] == ["flights:champion", "flights:1"]
    assert [entry.subject for entry in audit_entries(database, action="published", limit=1)] == ["flights2:1"]


def test_a_model_that_is_not_there_has_no_versions(database):
    with pytest.raises(NotFound):
        list_versions(database, "flights")
    published(database)
    published(database, "b" * 64)
    assert [version.number for version in list_versions(database, "flights")] == [2, 1]
