"""A PostgreSQL of a test's own, on 127.0.0.1; where there is none, the test is skipped."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from running import free_port


@contextlib.contextmanager
def postgresql_server():
    """Its SQLAlchemy URL."""
    pytest.importorskip("psycopg", reason="the PostgreSQL driver is not installed")
    initdb, postgres = _program("initdb"), _program("postgres")
    folder = tempfile.mkdtemp(prefix="fairlead-pg-")
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **_unprivileged(folder)}
    data, port = f"{folder}/data", free_port()
    subprocess.run([initdb, "-D", data, "-U", "me", "-A", "trust", "--no-sync"], check=True, timeout=60, **quiet)
    options = ["-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    with subprocess.Popen([postgres, "-D", data, *options], **quiet) as process:
        try:
            _wait_for(port, process)
            yield f"postgresql+psycopg://me@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)  # SIGTERM would wait for a connection that a failed test has left open
            process.wait(30)
    shutil.rmtree(folder, ignore_errors=True)


def _program(name):
    found = shutil.which(name) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
    return found or pytest.skip(f"{name} is not installed")


def _unprivileged(folder):
    """PostgreSQL refuses to run as root: root lends it to another user."""
    if os.getuid() != 0:
        return {}
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("root needs a user postgres to run it")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _wait_for(port, process):
    import psycopg

    for _ in range(600):
        assert process.poll() is None
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="me", dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("PostgreSQL did not start")
