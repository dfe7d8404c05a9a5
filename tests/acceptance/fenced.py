"""Runs what a page shows: the fenced blocks of a Markdown file, in order, as a reader would type them.

- A `console` block holds commands after `$ ` and below them what they print. Where output is shown it is compared; `…` stands for
  anything. Where none is shown, the command must succeed.
- `console background` starts a service, which runs until the page is over.
- `console elsewhere` is not run: it needs another machine, a network or a browser. Say so beside the block.
- A `python` block is a script of its own.
- Port 8080 becomes a free one, in commands and in output; so does 8090, where the service speaks gRPC.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from sharing import free_port

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120


class Block(NamedTuple):
    language: str
    mode: str
    text: str
    line: int


class Step(NamedTuple):
    command: str
    expected: str


def blocks(page):
    """The fenced blocks of a page."""
    text = page.read_text()
    for found in re.finditer(r"^```(\w+)[ ]?(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(found[1], found[2], found[3], text.count("\n", 0, found.start()) + 1)


def steps(block):
    """The commands of a console block, each with the output that is shown for it."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, ended, rest = "", False, []
        for line in part.splitlines():
            if ended:
                rest.append(line)
            else:
                command += line + "\n"
                # A command goes on after a backslash, and inside of quotes.
                ended = not line.endswith("\\") and command.count("'") % 2 == 0
        yield Step(command.strip(), "\n".join(rest).strip())


def matches(expected, got):
    """Whether output is as shown; blanks and line ends are not compared, `…` is anything."""
    first, *rest = ("".join(part.split()) for part in expected.split("…"))
    told = "".join(got.split())
    if not rest:
        return told == first
    if not told.startswith(first):
        return False
    # Each part at its first place after the one before: if the parts fit at all, they fit so. A pattern would try every way.
    place = len(first)
    for part in rest[:-1]:
        found = told.find(part, place)
        if found < 0:
            return False
        place = found + len(part)
    return told.endswith(rest[-1]) and len(told) - len(rest[-1]) >= place


class Reader:
    """Somebody who follows a page in a folder of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.grpc_port = free_port()
        self.services = []
        binaries = Path(sys.executable).parent
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")},
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "FAIRLEAD_PORT": str(self.port),
            "FAIRLEAD_GRPC_PORT": str(self.grpc_port),
            "NO_COLOR": "1",
            "COLUMNS": "120",
        }

    def follow(self, page):
        """Do all that the page shows; an AssertionError names the line."""
        for block in blocks(page):
            where = f"{page.name}:{block.line}"
            if block.language == "python":
                self.run([sys.executable, "-W", "error", "-c", self.here(block.text)], where)
            elif block.language == "console" and block.mode == "background":
                (step,) = steps(block)
                self.start(self.here(step.command), where)
            elif block.language == "console" and not block.mode:
                for step in steps(block):
                    got = self.run(["bash", "-c", self.here(step.command)], f"{where}: {step.command}")
                    assert not step.expected or matches(self.here(step.expected), got), (
                        f"{where}: {step.command}\n--- printed\n{got}"
                    )

    def here(self, text):
        return text.replace("8080", str(self.port)).replace("8090", str(self.grpc_port))

    def run(self, command, where):
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{where} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def start(self, command, where):
        log = self.folder / f"service-{len(self.services)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {command}"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.services.append(process)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2).close()
                return
            time.sleep(0.1)
        raise AssertionError(f"{where}: the service did not become ready:\n{log.read_text()}")

    def leave(self):
        """Stop what the page started."""
        for process in self.services:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)
