"""Three versions, told while flights are asked: the second takes over because it is better, the third is taken out because it is worse.

Everything goes through the doors that a user has: the commands are run as programs of their own, the decisions are the controller's, and
they rest on nothing but what the replay asked and, some seconds later, told. The plan lies in the home folder, to be read and to be used again.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from fairlead.demo.screen import Screen
from fairlead.demo.versions import NAME
from fairlead.errors import StorageError
from fairlead.rollout.summary import Summary, stands

__all__ = ["MONTH", "RATE", "plan_text", "tell"]

RATE: Final = 200.0
"""Flights a second. What is to be shown of two versions takes some thousands of answers, and whoever watches has a minute or two."""

MONTH: Final = 7
"""Whose flights are asked: no version was trained on July."""

_PLAN: Final = """\
# How {candidate} takes over. `fairlead deploy --plan FILE --dry-run` says what it needs.
endpoint: {endpoint}
candidate: {candidate}
strategy: canary

# First a tenth of the flights, so that a bad version does little harm, and for longer than outcomes take; then half, which tells most.
# Seconds, because this is a demonstration with {rate:g} flights a second; elsewhere, hours or days.
steps:
  - {{weight: 10, bake: {{time: 15s, samples: 100}}}}
  - {{weight: 50, bake: {{time: 15s, samples: 500}}}}

metrics:
  - {{name: error_rate}}
  # Must not be harmed: at most a quarter more wrong answers than the live version gives (`margin: 1.25`, unless the plan says otherwise).
  # Outcomes are told three seconds after the answer; what was told of an answer is counted when it is ten seconds old.
  - {{name: accuracy, label_delay: 10s}}

# What is still open after half an hour waits for a person.
analysis: {{max_duration: 30m, on_inconclusive: pause}}
"""


def plan_text(candidate: str) -> str:
    """The plan of a version, as a file."""
    return _PLAN.format(endpoint=NAME, candidate=candidate, rate=RATE)


def tell(home: Path, versions: tuple[str, str, str], screen: Screen) -> None:
    """Let the second and the third version try to take over from the first; flights must be passing meanwhile.

    Args:
        home: Where a service runs.
        versions: The first, the second, the third.
        screen: How to speak.

    Raises:
        StorageError: A command failed that does not fail in a healthy home.
    """
    first, second, third = versions
    terminal = _Terminal(home, screen.talk)
    _from_the_beginning(terminal, first)
    screen.talk(f"{second} was trained on six months in place of three. It goes out as a canary:")
    _roll_out(terminal, second)
    screen.talk(
        f"{third} looks as good on its own training table, but there `hour` was the quarter of the day, 0 to 3:"
    )
    _roll_out(terminal, third)
    screen.show(terminal.run("history", NAME))
    screen.talk(f"`fairlead history {NAME} --rollout NUMBER --looks` tells all that was seen and decided")
    screen.talk(f"`fairlead diff {second} {third}` tells what is different: the hours that each was trained on")


class _Terminal:
    """Runs `fairlead` as a user would, and shows what is typed.

    Args:
        home: The state's folder.
        talk: Says a line.
    """

    def __init__(self, home: Path, talk: Callable[[str], None]) -> None:
        self._command = [sys.executable, "-m", "fairlead.cli.main", "--home", str(home)]
        self.home = home
        self.talk = talk

    def run(self, *words: str) -> str:
        """What a command prints; it is shown first.

        Raises:
            StorageError: It failed.
        """
        done = self.tried(*words)
        if done.returncode:
            raise StorageError(f"`fairlead {' '.join(words)}` failed: {done.stderr.strip()}", hint="See serve.log.")
        return done.stdout

    def tried(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command, which may be refused; it is shown first."""
        self.talk(f"  $ fairlead {shlex.join(words)}")
        return subprocess.run(  # noqa: S603  our own program with our own arguments
            [*self._command, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # Ctrl-C ends the demo, which then ends what it has started
        )

    @contextlib.contextmanager
    def lines(self, *words: str) -> Iterator[Iterator[str]]:
        """What a command prints, line by line; it is ended with the block."""
        process = subprocess.Popen(  # noqa: S603  as above
            [*self._command, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None  # it is a pipe
        try:
            yield iter(process.stdout)
        finally:
            process.terminate()
            process.wait()
            process.stdout.close()


def _from_the_beginning(terminal: _Terminal, first: str) -> None:
    """Let the endpoint answer with the first version, whatever an earlier evening has left."""
    status = msgspec.json.decode(terminal.run("status", "--json"))
    for rollout in status["rollouts"]:
        if rollout["endpoint"] == NAME:
            terminal.run("abort", NAME, "--because", "The demo begins anew.")
            _follow(terminal, rollout["number"])
    answering = [one["model"] for one in status["endpoints"] if one["name"] == NAME and one["variant"] == "stable"]
    if answering != [first]:
        terminal.run("deploy", first)


def _roll_out(terminal: _Terminal, version: str) -> None:
    """Let a version try to take over, and tell how it goes."""
    plan = terminal.home / "demo" / f"{version.replace(':', '-')}.yaml"
    plan.write_text(plan_text(version))
    begun = terminal.tried("deploy", "--plan", str(plan), "--json")
    if begun.returncode:
        # On a second evening the third version is not taken again: that it failed is remembered.
        terminal.talk(f"  {begun.stderr.strip().replace(chr(10), ' ')}")
        return
    _follow(terminal, msgspec.json.decode(begun.stdout)["rollout"]["number"])


def _follow(terminal: _Terminal, number: int) -> None:
    """Tell each move of a rollout and each verdict that turns, until it is over or waits for a person."""
    told: set[tuple[str, ...]] = set()
    with terminal.lines("status", "--watch", "--until", "ended", "--json") as lines:
        for line in lines:
            summary = msgspec.json.decode(line, type=Summary)
            if summary.number != number:
                continue
            for key, text in news(summary):
                if key not in told:
                    told.add(key)
                    terminal.talk(text)
            if not summary.active or summary.state == "paused":
                return


def news(summary: Summary) -> Iterator[tuple[tuple[str, ...], str]]:
    """What can be told of a rollout now, each with a key: what was told under the same key is not told again."""
    for seen in summary.verdicts:
        # A verdict may turn and turn back while little is known; each is told once, with the numbers of then.
        subject = "" if seen.because.startswith(seen.metric) else f"{seen.metric}, "
        yield (seen.metric, seen.verdict), f"    {subject}{seen.verdict}: {seen.because}"
    yield (summary.state, str(summary.step)), f"  {summary.model} {stands(summary)}: {summary.because}"
