"""Whether a database may have changed. The truth is what the test itself commits, in this process and in another."""

import sqlite3
import subprocess
import sys

import pytest
import sqlalchemy as sa

from fairlead.storage.changes import Changes
from fairlead.storage.database import open_database


@pytest.fixture
def file(tmp_path):
    return tmp_path / "fairlead.db"


@pytest.fixture
def database(file):
    opened = open_database(f"sqlite:///{file}")
    with opened.write() as connection:
        connection.execute(sa.text("CREATE TABLE noted (text TEXT)"))
    yield opened
    opened.close()


@pytest.fixture
def changes(database):
    made = Changes(database)
    assert made.since(), "at first everything is new"
    assert not made.since()
    yield made
    made.close()


def note(database, text):
    with database.write() as connection:
        connection.execute(sa.text("INSERT INTO noted VALUES (:text)"), {"text": text})


def test_what_this_process_writes_is_seen_once(database, changes):
    note(database, "one")
    assert [changes.since() for _ in range(3)] == [True, False, False]
    note(database, "two")
    note(database, "three")
    assert [changes.since() for _ in range(2)] == [True, False]


def test_what_another_process_writes_is_seen(file, changes):
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('INSERT INTO noted VALUES (1)'); c.commit()"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=True, timeout=60)
    assert [changes.since() for _ in range(2)] == [True, False]


def test_what_is_read_or_taken_back_is_no_change(database, changes):
    with database.read() as connection:
        connection.execute(sa.text("SELECT * FROM noted")).all()
    with database.write() as connection:
        connection.execute(sa.text("INSERT INTO noted VALUES ('never')"))
        connection.rollback()
    assert not changes.since()


def test_a_change_is_seen_only_when_it_is_committed(file, changes):
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO noted VALUES ('soon')")
    assert not changes.since()
    writer.execute("COMMIT")
    writer.close()
    assert changes.since()


def test_two_who_ask_each_see_it(database, changes):
    other = Changes(database)
    other.since()
    note(database, "for both")
    assert changes.since()
    assert other.since()
    other.close()


def test_a_file_that_was_put_back_is_another_one(file, database, changes, tmp_path):
    database.close()
    copy = tmp_path / "backup.db"
    with sqlite3.connect(file) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    note(database, "lost")
    assert changes.since()
    database.close()
    copy.replace(file)
    assert [changes.since() for _ in range(2)] == [True, False]
    with sqlite3.connect(file) as restored:
        restored.execute("INSERT INTO noted VALUES ('after')")
    assert changes.since()


def test_where_it_is_gone_it_is_not_made(file, database, changes):
    database.close()
    for one in file.parent.glob("fairlead.db*"):
        one.unlink()
    assert [changes.since() for _ in range(2)] == [True, True]
    assert not file.exists()


def test_where_it_cannot_be_told_something_may_have_changed(file, database):
    database.engine.dispose()
    changes = Changes(database)
    for one in file.parent.glob("fairlead.db*"):
        one.unlink()
    file.write_bytes(b"no database at all, but long enough to be looked at as one" * 100)
    assert [changes.since() for _ in range(2)] == [True, True]
