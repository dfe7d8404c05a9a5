"""The command line: one verb, one file, loaded when it is asked for.

`fairlead --help` knows the verbs from the table below and imports none of them. Whatever a verb raises becomes a message on
stderr and an exit code here, from one table.
"""

from __future__ import annotations

import difflib
import os
import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from fairlead.cli.invocation import Invocation
from fairlead.cli.output import clean
from fairlead.errors import (
    BundleError,
    Conflict,
    FairleadError,
    InvalidInput,
    NotAllowed,
    NotFound,
    Overloaded,
    StorageError,
)

__all__ = ["EXIT_CODES", "INTERRUPTED", "VERBS", "command", "exit_code", "main", "run"]

VERBS = {
    "demo": "See it all at once, on a year of real flights.",
    "pack": "Seal a trained model as a version and prove what it compiles to.",
    "models": "List the models and their versions.",
    "show": "Show what is known about a model or a version.",
    "alias": "Point a name such as flights:champion at a version.",
    "verify": "Check a version's digests and let it answer its samples again.",
    "serve": "Serve everything on this machine.",
    "control": "Bring what is deployed to this machine; `serve` runs it.",
    "deploy": "Let an endpoint answer with a version, at once or step by step.",
    "status": "Show what is served, and how it is doing.",
    "promote": "Let a rollout's version answer alone, now.",
    "abort": "Take a rollout's version out of the traffic.",
    "pause": "Keep a rollout's weights as they are.",
    "resume": "Go on with a rollout that was paused.",
    "approve": "Say that a rollout goes on.",
    "rollback": "Return to the version before.",
    "diff": "Compare two versions.",
    "predict": "Ask a running service.",
    "feedback": "Tell what became of predictions, and see what was told.",
    "events": "Ask the event log, take predictions out of it, and compact it.",
    "monitor": "Say what has drifted, and how well an endpoint does.",
    "batch": "Score a table with a version: Parquet, CSV, JSON lines or a database.",
    "token": "Create, list and revoke the tokens that callers show.",
    "export": "Make files that others run: systemd, Supervisor, nginx.",
    "doctor": "Say what is wrong with this machine.",
    "history": "Show what an endpoint has served.",
    "audit": "Show who changed what, and check that no entry was altered.",
}
"""The verbs in the order of a model's life; each is `fairlead.cli.<verb>.command`."""

EXIT_CODES: dict[type[FairleadError], int] = {
    FairleadError: 1,
    InvalidInput: 2,
    NotFound: 3,
    Conflict: 4,
    NotAllowed: 5,
    BundleError: 5,
    Overloaded: 6,
    StorageError: 6,
}
"""What a process ends with, by error; a class that is not here has its nearest ancestor's."""

INTERRUPTED = 130


def exit_code(kind: type[FairleadError]) -> int:
    """The exit code of an error, looked up along its ancestry."""
    return next(EXIT_CODES[ancestor] for ancestor in kind.__mro__ if ancestor in EXIT_CODES)


class _BrokenPipe(Exception):
    """A pipe is broken: stdout's, or one that a verb has opened. click would end in silence either way."""


@contextmanager
def _telling_broken_pipes() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _BrokenPipe("a pipe is broken") from error


class _Verbs(click.Group):
    """A group that imports a verb's module when the verb is run."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with _telling_broken_pipes():  # `--help` prints while it is parsed
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _telling_broken_pipes():
            found = super().invoke(ctx)
            sys.stdout.flush()
        return found

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in VERBS:
            return None
        found = import_module(f"fairlead.cli.{cmd_name}").command
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in VERBS and not name.startswith("-"):
            close = difflib.get_close_matches(name, VERBS, n=1)
            raise InvalidInput(
                f"There is no verb {name!r}.",
                hint=f"Did you mean `fairlead {close[0]}`?" if close else "`fairlead --help` lists them.",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fairlead", message="fairlead %(version)s")
@click.option("--home", metavar="FOLDER", help="The folder that holds the state, instead of FAIRLEAD_HOME.")
@click.pass_context
def command(context: click.Context, home: str | None) -> None:
    """Takes a trained model to production and keeps it healthy there."""
    context.obj = Invocation(home=home)
    if "NO_COLOR" in os.environ:
        context.color = False


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; messages are on stderr.

    Args:
        arguments: Without the program's name; the process's own where it is `None`.
    """
    try:
        ended = command.main(args=arguments, prog_name="fairlead", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return EXIT_CODES[InvalidInput]
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "fairlead"
        _report(error.format_message(), f"`{path} --help` tells how it is used.")
        return EXIT_CODES[InvalidInput]
    except click.ClickException as error:
        _report(error.format_message(), "")
        return EXIT_CODES[FairleadError]
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except _BrokenPipe as error:
        return _ended_by(error)
    except FairleadError as error:
        _debug()
        _report(error.detail, error.hint)
        return exit_code(type(error))
    except Exception as error:  # noqa: BLE001 - a fault of ours gets a sentence, too; FAIRLEAD_DEBUG=1 shows where
        return _fault(error)
    return ended if isinstance(ended, int) else 0


def _ended_by(error: _BrokenPipe) -> int:
    """The exit code after a broken pipe: none of our business where the reader of stdout has left (`| head`)."""
    poll = select.poll()
    poll.register(sys.__stdout__ or 1, 0)  # errors are reported without being asked for
    if not poll.poll(0):
        return _fault(error)
    # Python would complain once more when it flushes stdout at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _fault(error: Exception) -> int:
    _debug()
    _report(
        f"Fairlead failed in a way it does not know: {type(error).__name__}: {error}",
        "Set FAIRLEAD_DEBUG=1 to see where; please report it.",
    )
    return EXIT_CODES[FairleadError]


def _debug() -> None:
    if os.environ.get("FAIRLEAD_DEBUG", "") not in {"", "0"}:
        sys.excepthook(*sys.exc_info())


def _report(detail: str, hint: str) -> None:
    color = False if "NO_COLOR" in os.environ else None
    click.echo(f"{click.style('error:', fg='red', bold=True)} {clean(detail)}", err=True, color=color)
    if hint:
        click.echo(f"  {click.style('hint:', bold=True)} {clean(hint)}", err=True, color=color)


def main() -> None:
    """The `fairlead` program."""
    sys.exit(run())


if __name__ == "__main__":
    main()
