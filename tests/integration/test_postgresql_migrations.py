"""Every migration on a real PostgreSQL: from nothing, and from each earlier schema with rows in it.

The rows are those of `tests/compat/v1`, which the Fairlead of schema 0001 wrote to a SQLite file and nobody has touched since.
"""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from postgresql_server import postgresql_server

import fairlead.storage.database as module
from fairlead.errors import StorageError
from fairlead.monitor import tables as _monitor  # noqa: F401 - declares its tables
from fairlead.registry.audit import verify_chain
from fairlead.registry.registry import list_versions, publish, resolve
from fairlead.registry.tokens import create_token, list_tokens
from fairlead.rollout import tables as _rollouts  # noqa: F401 - declares its tables
from fairlead.routing.store import read_table
from fairlead.storage.database import SCHEMA, metadata, open_database

KEPT = Path(__file__).parents[1] / "compat" / "v1" / "fairlead.db"
FOLDER = Path(module.__file__).with_name("migrations")


def settings():
    found = Config()
    found.set_main_option("script_location", str(FOLDER))
    found.set_main_option("path_separator", "os")
    return found


REVISIONS = [one.revision for one in ScriptDirectory.from_config(settings()).walk_revisions()][::-1]
EARLIER = REVISIONS[:-1]


@pytest.fixture(scope="module")
def server():
    with postgresql_server() as url:
        yield sa.make_url(url)


@pytest.fixture
def empty(server, number=count()):  # noqa: B008 - a name for each database of this module
    """The URL of a database with nothing in it."""
    name = f"migrated{next(number)}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)


def kept_rows():
    """Every row of the kept file, by table."""
    with sqlite3.connect(KEPT) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}
    connection.close()
    assert found.pop("alembic_version") == [{"version_num": "0001"}]
    return found


def rows_of(connection, table):
    found = sa.Table(table, sa.MetaData(), autoload_with=connection)
    return [dict(row._mapping) for row in connection.execute(sa.select(found))]


def sorted_rows(rows):
    return sorted(rows, key=lambda row: repr(sorted(row.items(), key=str)))


def at_revision(url, revision):
    """A database as the Fairlead of this schema would have left it, with the kept rows."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        asked = settings()
        asked.attributes["connection"] = connection
        command.upgrade(asked, revision)
    kept = kept_rows()
    with engine.begin() as connection:
        found = sa.MetaData()
        found.reflect(connection)
        for table in found.sorted_tables:  # a referred row before those that refer to it
            if kept.get(table.name):
                connection.execute(table.insert(), kept[table.name])
    engine.dispose()


def test_the_schema_of_the_code_is_the_last_migration():
    assert REVISIONS[-1] == SCHEMA


def test_an_empty_database_gets_exactly_the_tables_that_the_code_declares(empty):
    database = open_database(empty)
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


@pytest.mark.parametrize("revision", EARLIER)
def test_a_database_with_rows_comes_up_from_each_schema_and_keeps_every_row(empty, revision):
    at_revision(empty, revision)
    database = open_database(empty)
    with database.read() as connection:
        for table, rows in kept_rows().items():
            assert sorted_rows(rows_of(connection, table)) == sorted_rows(rows), table
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == SCHEMA
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert read_table(connection).endpoint("kept").variants[0].model == "kept:1"
    assert resolve(database, "kept:champion").metrics == {"accuracy": 0.9}
    # The history goes on behind what was there, in the same chain.
    publish(database, model="kept", digest="b" * 64, road="ir", task="regression", actor="ann")
    create_token(database, "app", scopes=("predict",), actor="ann")
    assert [one.number for one in list_versions(database, "kept")][-1] in {1, 2}
    assert [one.name for one in list_tokens(database)] == ["app"]
    assert verify_chain(database)[1] is None
    database.close()


def test_eight_that_open_an_old_database_at_once_migrate_it_once(empty):
    at_revision(empty, EARLIER[0])
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: open_database(empty), range(8)))
    assert {resolve(one, "kept:champion").ref for one in opened} == {"kept:1"}
    for one in opened:
        one.close()


def test_a_database_of_a_newer_fairlead_is_refused_and_left_alone(empty):
    open_database(empty).close()
    engine = sa.create_engine(empty)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageError, match="9999"):
        open_database(empty)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    engine.dispose()
