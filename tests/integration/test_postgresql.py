"""The same rows in a real PostgreSQL: for many machines, with the same promises. It is skipped where there is none."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from postgresql_server import postgresql_server

from fairlead.errors import Conflict, StorageError
from fairlead.monitor import tables as _monitor  # noqa: F401 - declares its tables
from fairlead.monitor.report import Labels, Reference, Report, Window
from fairlead.monitor.store import (
    Pane,
    Told,
    find_report,
    insert_report,
    lead,
    list_reports,
    read_panes,
    read_settings,
    read_told,
    recent_reports,
    write_panes,
    write_settings,
    write_told,
)
from fairlead.registry.audit import verify_chain
from fairlead.registry.registry import list_models, publish, resolve, set_alias
from fairlead.rollout import tables as _rollouts  # noqa: F401 - as above
from fairlead.routing.store import GatewayReport, live_gateways, read_table, report_gateway, write_table
from fairlead.routing.table import RoutingTable
from fairlead.storage.changes import Changes
from fairlead.storage.database import metadata, open_database
from running import free_port


@pytest.fixture(scope="module")
def server():
    with postgresql_server() as url:
        yield url


@pytest.fixture(scope="module")
def database(server):
    """Eight open it at once while it is empty."""
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: open_database(server), range(8)))
    for one in opened[1:]:
        one.close()
    yield opened[0]
    opened[0].close()


def test_the_migrations_make_exactly_the_tables_that_the_code_declares(database):
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_publishers_at_once_get_numbers_without_gaps(database):
    def one(i):
        facts = {"road": "ir", "task": "regression", "actor": "ann", "metrics": {"mae": 1.5}}
        return publish(database, model="many", digest=f"{i:064x}", **facts).number

    with ThreadPoolExecutor(5) as pool:
        assert sorted(pool.map(one, range(20))) == list(range(1, 21))
    assert verify_chain(database)[1] is None


def test_an_alias_and_a_version_come_back(database):
    given = publish(
        database, model="flights", digest="a" * 64, road="ir", task="regression", actor="ann", params={"x": None}
    )
    set_alias(database, "flights", "champion", "flights:1", actor="ann")
    found = resolve(database, "flights:champion")
    assert (found.digest, found.created, found.params, found.aliases) == (
        given.digest,
        given.created,
        {"x": None},
        ("champion",),
    )
    assert "flights" in [model.name for model in list_models(database)]
    assert verify_chain(database)[1] is None


def test_the_routing_table_is_compared_and_swapped(database):
    with database.write() as connection:
        write_table(connection, RoutingTable(1), 0)
    with pytest.raises(Conflict), database.write() as connection:
        write_table(connection, RoutingTable(5), 4)
    report = GatewayReport("a", "host", 1, 1, "ready", "", 1_795_000_000.123456)
    with database.write() as connection:
        report_gateway(connection, report)
    with database.read() as connection:
        assert read_table(connection).revision == 1
        assert live_gateways(connection, report.time) == [report]


def test_a_server_that_is_gone_is_a_storage_error():
    with pytest.raises(StorageError):
        open_database(f"postgresql+psycopg://me@127.0.0.1:{free_port()}/postgres")


def test_reports_panes_settings_and_leads_rest_there_as_they_do_in_sqlite(database):
    def report(start, **more):
        nothing = Reference("none", "nothing", 0)
        facts = {"models": (), "rows": 5, "labels": Labels(), "findings": (), "verdict": "stable", "drifted": None}
        window = Window(start, start + 10)
        return Report(endpoint="e", window=window, reference=nothing, made=start, **{**facts, **more})

    window, odd = Window(0.0, 10.0), 'carrier = "a\\b\'c%\u2028"'
    with database.write() as connection:
        first = insert_report(connection, report(0.0, notes=("a \x00 in it",)), "schedule")
        assert insert_report(connection, report(0.0), "schedule") is None
        second = insert_report(connection, report(10.0), "schedule")
        again = insert_report(connection, report(0.0, amends=first.number), "schedule")
        write_panes(connection, "e", "d" * 64, [Pane("", window, 3, b"\x00\xff"), Pane(odd, window, 0, b"x")], 20.0)
        write_panes(connection, "e", "d" * 64, [Pane("", window, 4, b"y")], 20.0)
        write_settings(connection, "e", {"window": "1h"}, "ann")
        assert lead(connection, "e", "one", 100.0, 60.0)
        assert not lead(connection, "e", "other", 120.0, 60.0)
        assert lead(connection, "e", "other", 161.0, 60.0)
        write_told(connection, "e", Told("drift", ("a", "b"), 5.0))
    with database.read() as connection:
        assert recent_reports(connection, "e", 10) == [again, second]
        assert [one.number for one in list_reports(connection, "e")] == [3, 2, 1]
        assert find_report(connection, 1) == first
        panes = read_panes(connection, "e", "d" * 64, [window])
        assert {name: (one.labels, one.content) for (name, _), one in panes.items()} == {"": (4, b"y"), odd: (0, b"x")}
        assert read_settings(connection, "e") == {"window": "1h"}
        assert read_told(connection, "e")["drift"].subjects == ("a", "b")


def test_whether_it_has_changed_is_not_known_without_asking(database):
    changes = Changes(database)
    assert [changes.since() for _ in range(3)] == [True, True, True]
