"""`fairlead predict`: ask a running service, or a version right here."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fairlead.cli.invocation import Invocation, pass_invocation
from fairlead.cli.output import print_json
from fairlead.errors import InvalidInput, StorageError

__all__ = ["command", "given_text"]


@click.command("predict")
@click.argument("target")
@click.argument("rows", required=False)
@click.option("--url", help="Of the service; the configured host and port where it is not given.")
@click.option("--token", help="Shown to the service; the environment's FAIRLEAD_TOKEN without it.")
@click.option("--local", is_flag=True, help="Open the version in this process instead of asking a service.")
@pass_invocation
def command(  # noqa: PLR0913 - one parameter an option
    invocation: Invocation, target: str, rows: str | None, url: str | None, token: str | None, *, local: bool
) -> None:
    """Ask TARGET about ROWS and print the answers as JSON.

    TARGET is an endpoint of a running service (flights), or with --local a version (flights:champion). ROWS is one JSON
    object, an array of objects, or a file: .json, .jsonl or .csv; `-`, or nothing, reads JSON from standard input.
    """
    text, suffix = given_text(rows)
    if local:
        print_json(_answer_here(invocation, target, text, suffix))
        return
    from fairlead.client import Client
    from fairlead.service import url as address

    config = invocation.config()
    with Client(url or address(config.host, config.port), token=token) as client:
        print_json(client.predict_text(target, text, csv=suffix == ".csv"))


def _answer_here(invocation: Invocation, ref: str, text: str, suffix: str) -> object:
    from fairlead.app import load

    model = load(ref, home=invocation.config().home)
    outcomes, single = model.answer_text(text, csv=suffix == ".csv")
    labels = model.labels
    shown = [
        {
            "prediction": one.prediction,
            "model": model.ref,
            **({"probabilities": dict(zip(labels, one.probabilities, strict=True))} if one.probabilities else {}),
            **({"unseen": one.flags} if one.flags else {}),
        }
        for one in outcomes
    ]
    return shown[0] if single else shown


def given_text(rows: str | None) -> tuple[str, str]:
    """What was given as JSON, as a file or on standard input: as text, and how it is read: ".json" or ".csv".

    Raises:
        InvalidInput: The file is not UTF-8.
        StorageError: The file cannot be read.
    """
    if rows is None or rows == "-":
        return sys.stdin.read(), ".json"
    if rows.lstrip()[:1] in {"{", "["}:
        return rows, ".json"
    path = Path(rows)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as err:
        raise InvalidInput(f"{path} is not UTF-8: byte {err.start} cannot be read.") from err
    except OSError as err:
        raise StorageError(f"{path} cannot be read: {err.strerror}.", hint="Give JSON, or the path of a file.") from err
    if path.suffix == ".jsonl":
        return f"[{','.join(line for line in text.splitlines() if line.strip())}]", ".json"
    return text, ".csv" if path.suffix == ".csv" else ".json"
