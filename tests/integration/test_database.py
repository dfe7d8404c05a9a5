"""The database: migrated once by whoever comes first, serial in its writes, clear when it cannot be used."""

import multiprocessing
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import fairlead.monitor.tables
import fairlead.registry.tables
import fairlead.rollout.tables
import fairlead.routing.tables
from fairlead.errors import InvalidInput, StorageError
from fairlead.storage import database as under_test
from fairlead.storage.database import SCHEMA, metadata, open_database

assert fairlead.monitor.tables
assert fairlead.registry.tables
assert fairlead.rollout.tables
assert fairlead.routing.tables


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/deep/fairlead.db"


@pytest.fixture
def database(url):
    opened = open_database(url)
    yield opened
    opened.close()


def test_the_migrations_make_exactly_the_tables_that_the_code_declares(database):
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_schema_in_the_code_is_the_newest_migration():
    settings = AlembicConfig()
    settings.set_main_option("script_location", under_test.__file__.replace("database.py", "migrations"))
    settings.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(settings).get_heads() == [SCHEMA]


def _open(url, barrier, result):
    barrier.wait(60)
    try:
        database = open_database(url)
        with database.read() as connection:
            result.put(connection.execute(sa.text("SELECT count(*) FROM alembic_version")).scalar())
    except BaseException as error:  # noqa: BLE001 - the parent tells what the child met
        result.put(repr(error))


def test_eight_processes_that_start_at_once_migrate_once(url):
    context = multiprocessing.get_context("spawn")
    barrier, result = context.Barrier(8), context.Queue()
    processes = [context.Process(target=_open, args=(url, barrier, result)) for _ in range(8)]
    for process in processes:
        process.start()
    assert [result.get(timeout=90) for _ in processes] == [1] * 8
    for process in processes:
        process.join(30)


def test_a_current_database_is_opened_without_alembic(database, url):
    probe = f"import sys; from fairlead.storage.database import open_database; open_database({url!r}); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False\n"


def test_sqlite_is_set_up_for_many_processes_and_for_power_cuts(database):
    with database.read() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "synchronous")
        }
    assert found == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}


def test_a_newer_database_is_refused_and_left_alone(database, url):
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match="has schema 9999; this Fairlead knows schemas up to") as caught:
        open_database(url)
    assert "newer" in caught.value.hint
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "9999"


def test_a_migration_that_dies_half_way_leaves_an_empty_database(url, monkeypatch):
    from alembic import op

    make, calls = op.create_table, []

    def die_at_the_third(*args, **kwargs):
        calls.append(args[0])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return make(*args, **kwargs)

    monkeypatch.setattr(op, "create_table", die_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        open_database(url)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as plain:
        assert plain.execute("SELECT name FROM sqlite_master").fetchall() == []
    plain.close()
    monkeypatch.undo()
    open_database(url).close()


def test_a_write_that_fails_changes_nothing(database):
    def half():
        with database.write() as connection:
            connection.execute(sa.text("INSERT INTO models VALUES ('x', 1.0)"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM models")).scalar() == 0


def test_writes_wait_for_each_other_instead_of_failing(database):
    """Each thread reads a counter and writes it back increased; one lost update would show in the sum."""
    with database.write() as connection:
        connection.execute(sa.text("INSERT INTO models VALUES ('x', 0)"))

    def increase():
        for _ in range(10):
            with database.write() as connection:
                seen = connection.execute(sa.text("SELECT created FROM models")).scalar()
                time.sleep(0.001)
                connection.execute(sa.text("UPDATE models SET created = :value"), {"value": seen + 1})

    threads = [threading.Thread(target=increase) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT created FROM models")).scalar() == 40


def test_readers_go_on_while_somebody_writes(database):
    with database.write() as writer:
        writer.execute(sa.text("INSERT INTO models VALUES ('x', 1.0)"))
        with database.read() as reader:
            assert reader.execute(sa.text("SELECT count(*) FROM models")).scalar() == 0


def test_a_lock_that_is_held_for_long_is_a_storage_error(url, monkeypatch):
    monkeypatch.setattr(under_test, "BUSY_SECONDS", 0.2)
    database = open_database(url)
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StorageError, match="locked") as caught, database.write():
            pass
        assert "try again" in caught.value.hint
        with database.read() as connection:
            assert connection.execute(sa.text("SELECT count(*) FROM models")).scalar() == 0
    finally:
        other.close()
        database.close()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path):
    file = tmp_path / "x.db"
    file.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StorageError, match="not a database"):
        open_database(f"sqlite:///{file}")
    assert file.read_bytes() == b"this is not a database" * 100


def test_a_missing_database_is_not_made_where_that_was_not_asked(tmp_path):
    with pytest.raises(StorageError, match="There is no database"):
        open_database(f"sqlite:///{tmp_path}/x.db", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["nonsense", "oracle9://x", "sqlite+nothing:///x"])
def test_a_url_that_is_none_is_refused(url):
    with pytest.raises(InvalidInput):
        open_database(url)


def test_a_password_is_never_shown():
    with pytest.raises((InvalidInput, StorageError)) as caught:
        open_database("postgresql+psycopg://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(caught.value)
