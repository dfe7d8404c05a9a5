"""What the tests of mounted endpoints share: homes, servers as processes, and how an answer is asked for."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent


def ask(url, body, content_type="application/json", method="POST"):
    """Status, headers and the body's JSON."""
    request = urllib.request.Request(url, body, {"Content-Type": content_type}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.headers, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.loads(error.read())


@contextlib.contextmanager
def server(command, url, folder, **environment):
    """A server as a process, from when it answers to when it has stopped."""
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(HERE), **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        end = time.monotonic() + 40
        while time.monotonic() < end:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=20):
                break
            time.sleep(0.1)
        else:
            raise AssertionError(log.read_text())
        yield process
    finally:
        process.terminate()
        process.wait(30)


def script(folder, text):
    """A module `application` in a folder of its own."""
    (folder / "application.py").write_text(text)
    return [sys.executable, "-W", "error::ResourceWarning"]


def late(told):
    return told["probabilities"]["late"]


def wait_for(what, seconds=10.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError(f"it did not happen in {seconds} s")
