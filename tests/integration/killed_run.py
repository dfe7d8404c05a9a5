"""Runs a batch into a database's table, killed by SIGKILL at each of its moments in turn, and then once more to its end.

`python killed_run.py URL` prints for each moment a JSON line: which rows the table holds, which are told as bad, and what else is there.
A moment is after each statement that changes something, before and after each commit, and the middle of a COPY. The process is forked for each run, so it must
have no threads of its own: the model is Python.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import event

from fairlead.batch.chunk import Chunk
from fairlead.batch.database_output import DatabaseOutput
from fairlead.batch.score import Plan, run
from fairlead.errors import PredictionFailed
from fairlead.predictor.columnar import answers_of, rows_of
from fairlead.predictor.outcome import Outcome
from fairlead.schema import Column, Output, Schema

ROWS, CHUNK = 22, 11


class Doubling:
    """Refuses every row with 13."""

    schema = Schema((Column("n", "integer"),), Output("regression"))
    chunk = CHUNK

    def columns(self, columns):
        return answers_of(self.rows(rows_of(columns, self.schema)), self.schema)

    def rows(self, rows):
        if (13,) in rows:
            raise PredictionFailed("The model raised Thirteen.")
        return [Outcome(2.0 * row[0]) for row in rows]

    def unseen(self, columns):
        return {}

    def close(self):
        pass


class Numbers:
    """The numbers from 0 as a source."""

    names, rows = ("n", "name"), ROWS

    def identity(self):
        return {"input": "numbers"}

    def chunks(self, start, size):
        for at in range(start, ROWS, size):
            numbers = list(range(at, min(at + size, ROWS)))
            yield Chunk(at, len(numbers), pa.table({"n": numbers, "name": [f"N{n}" for n in numbers]}))


def arm(moment):
    """Kill this process at its so manieth moment."""
    passed = 0

    def tick(*told, **_):
        nonlocal passed
        if len(told) > 2 and isinstance(told[2], str) and told[2].lstrip().startswith(("SELECT", "PRAGMA")):
            return  # nothing has changed since the moment before
        passed += 1
        if passed == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("after_cursor_execute", "commit"):
        event.listen(sa.Engine, name, tick)
    event.listen(sa.pool.Pool, "checkin", tick)  # after a commit
    if "psycopg" in sys.modules:
        import psycopg

        whole = psycopg.Copy.write

        def write(copy, data):
            whole(copy, data[: len(data) // 2])
            tick()
            whole(copy, data[len(data) // 2 :])

        psycopg.Copy.write = write


def attempt(url, table, moment=0):
    """Whether the run came to its end."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if moment:
                arm(moment)
            output = DatabaseOutput(url, table)
            run(Numbers(), Doubling(), output, Plan("toy:1", "d" * 64, threads=2), lambda *_: None)
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(url):
    """Every moment, until there is none any more."""
    for moment in range(1, 1000):
        table = f"t{moment}"
        first = attempt(url, table, moment)
        if first == 0:
            break
        second = attempt(url, table)
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            names = [name for name in sa.inspect(connection).get_table_names() if name.startswith(f"{table}_")]
            found = {"names": names, "exits": [first, second]}
            if sa.inspect(connection).has_table(table):
                found["rows"] = sorted(map(list, connection.execute(sa.text(f"SELECT n, prediction FROM {table}"))))
            if f"{table}_bad" in names:
                bad = connection.execute(sa.text(f'SELECT "row" FROM {table}_bad'))
                found["bad"] = sorted(one for (one,) in bad)
            for name in (table, *names):
                connection.execute(sa.text(f"DROP TABLE IF EXISTS {name}"))
        engine.dispose()
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
