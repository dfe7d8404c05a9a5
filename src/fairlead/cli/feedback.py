"""`fairlead feedback`: tell a running service what became of its predictions, and read what was told.

`add` asks the service, as `predict` does: only there is it known which ids were given out. `list` reads the event log of this home,
whether a service runs or not.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click
import msgspec

from fairlead.answer import Receipt
from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import local_time, print_json, print_line, print_table, say
from fairlead.cli.predict import given_text
from fairlead.durations import parse_duration, tell_duration
from fairlead.errors import FairleadError, InvalidInput
from fairlead.routing.table import check_endpoint

if TYPE_CHECKING:
    from fairlead.client import Client
    from fairlead.eventlog.joined import Joined

__all__ = ["command"]

_PART: Final = 1_000
"""So many are sent in one request: little enough to be no burden, and all of them are recorded or none."""

_COMMENT: Final = 40


@click.group("feedback")
def command() -> None:
    """Tell what became of predictions, and see what was told."""


@command.command("add")
@click.argument("endpoint")
@click.argument("told", required=False)
@click.option("--id", "identity", help="Of the prediction, as the answer has it; instead of TOLD.")
@click.option("--label", help="What proved true.")
@click.option("--rating", help="1 (bad) to 5 (good).")
@click.option("--comment", help="In your words.")
@click.option("--value", "values", multiple=True, metavar="NAME=NUMBER", help="A number; may be repeated.")
@click.option("--about", type=click.Choice(["answer", "page"]), help="What rating and comment are about.")
@click.option("--url", help="Of the service; the configured host and port where it is not given.")
@click.option("--token", help="Shown to the service; the environment's FAIRLEAD_TOKEN without it.")
@json_option
@pass_invocation
def _add(  # noqa: PLR0913 - one parameter an option
    invocation: Invocation,
    endpoint: str,
    told: str | None,
    *,
    identity: str | None,
    label: str | None,
    rating: str | None,
    comment: str | None,
    values: tuple[str, ...],
    about: str | None,
    url: str | None,
    token: str | None,
    as_json: bool,
) -> None:
    """Tell the service what became of predictions of ENDPOINT.

    TOLD is a JSON object with an `id`, an array of them, or a file: .json, .jsonl or .csv with a header; `-` reads JSON from
    standard input. One feedback may be given by --id and the options after it instead.
    """
    check_endpoint(endpoint)
    fields = {"label": label, "rating": rating, "comment": comment, "about": about}
    text, is_csv = _text(told, identity, {name: text for name, text in fields.items() if text is not None}, values)
    from fairlead.client import Client
    from fairlead.service import url as address

    config = invocation.config()
    with Client(url or address(config.host, config.port), token=token) as client:
        receipt = _send(client, endpoint, text, is_csv=is_csv)
    if as_json:
        print_json(receipt)
    else:
        print_line(_sentence(receipt))


@command.command("list")
@click.argument("endpoint")
@click.option("--since", metavar="TIME", help="Only what came in this time, such as 12h or 7d.")
@click.option(
    "--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="At most so many, the latest."
)
@click.option("--late-after", metavar="TIME", default="7d", show_default=True, help="From when on it counts as late.")
@json_option
@pass_invocation
def _list(  # noqa: PLR0913 - one parameter an option
    invocation: Invocation, endpoint: str, *, since: str | None, limit: int, late_after: str, as_json: bool
) -> None:
    """Show what was told of ENDPOINT's predictions beside them, newest first, and how much was late or told twice."""
    from fairlead.archive.joined import join_log
    from fairlead.eventlog.joined import LIMIT

    check_endpoint(endpoint)
    late = parse_duration(late_after)
    begin = 0.0 if since is None else time.time() - parse_duration(since)
    joined = join_log(invocation.config().paths.events, endpoint, since=begin, limit=max(limit, LIMIT))
    counts = _counts(joined, late)
    shown = joined[::-1][:limit]
    if as_json:
        print_json({"endpoint": endpoint, "counts": counts, "feedback": [_facts(one) for one in shown]})
        return
    if not joined:
        say(f"No feedback for {endpoint} yet{'' if since is None else f' in the last {since}'}.")
        return
    print_table(_HEADS, [_line(one) for one in shown])
    say(_summary(counts, len(shown), late_after))


def _text(told: str | None, identity: str | None, fields: dict[str, str], values: tuple[str, ...]) -> tuple[str, bool]:
    """What is told, and whether it is CSV. Options become a table of one row, so that the service reads the label by its schema."""
    if identity is None:
        if fields or values:
            raise InvalidInput("Of which prediction is this?", hint="Give its id with --id.")
        text, suffix = given_text(told)
        return text, suffix == ".csv"
    if told is not None:
        raise InvalidInput("Both a file and --id were given.", hint="Give one of them.")
    row = {"id": identity, **fields}
    for pair in values:
        name, equals, number = pair.partition("=")
        if not equals:
            raise InvalidInput(f"--value {pair!r} is no pair.", hint="Write --value NAME=NUMBER.")
        row[f"values.{name}"] = number
    return _table([list(row), list(row.values())]), True


def _send(client: Client, endpoint: str, text: str, *, is_csv: bool) -> Receipt:
    """Send it in parts; each is recorded whole or not at all, and may be sent again."""
    total = Receipt(0)
    for start, part in _parts(text, is_csv=is_csv):
        try:
            told = client.feedback_text(endpoint, part, csv=is_csv)
        except FairleadError as err:
            if start == 0:
                raise
            hint = f"{err.hint} {total.received:,} before it are recorded; the same file may be sent again."
            raise type(err)(f"After row {start - 1}: {err.detail}", hint=hint.strip(), **err.values) from err
        total = Receipt(
            total.received + told.received,
            total.duplicates + told.duplicates,
            total.corrections + told.corrections,
        )
    return total


def _parts(text: str, *, is_csv: bool) -> Iterator[tuple[int, str]]:
    """The parts with the number of their first row. What cannot be divided is sent whole: the service says what is wrong."""
    try:
        if is_csv:
            header, *lines = [line for line in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")) if line]
            parts = [_table([header, *lines[at : at + _PART]]) for at in range(0, len(lines), _PART)]
        else:
            rows = msgspec.json.decode(text, type=list[msgspec.Raw])
            joined = (b",".join(map(bytes, rows[at : at + _PART])) for at in range(0, len(rows), _PART))
            parts = [f"[{part.decode()}]" for part in joined]
    except (csv.Error, ValueError, RecursionError):
        parts = []
    yield from ((number * _PART, part) for number, part in enumerate(parts if len(parts) > 1 else [text]))


def _table(lines: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    return text.getvalue()


def _sentence(receipt: Receipt) -> str:
    parts = [f"{receipt.received:,} recorded"]
    if receipt.duplicates:
        parts.append(f"{receipt.duplicates:,} told before")
    if receipt.corrections:
        parts.append(f"{receipt.corrections:,} corrected")
    return ", ".join(parts) + "."


def _counts(joined: list[Joined], late: float) -> dict[str, int]:
    return {
        "feedback": len(joined),
        "labels": sum(one.feedback.label is not None for one in joined),
        "duplicate": sum(one.kind == "duplicate" for one in joined),
        "correction": sum(one.kind == "correction" for one in joined),
        "late": sum(one.after is not None and one.after > late for one in joined),
        "unknown": sum(one.unknown for one in joined),
    }


def _summary(counts: dict[str, int], shown: int, late_after: str) -> str:
    of = f"the latest {shown:,} of " if shown < counts["feedback"] else ""
    return (
        f"{of}{counts['feedback']:,} told, {counts['labels']:,} with a label: {counts['duplicate']:,} told before, "
        f"{counts['correction']:,} corrected, {counts['late']:,} later than {late_after}, "
        f"{counts['unknown']:,} without their prediction in the log."
    )


_HEADS: Final = (
    "time", "after", "model", "variant", "prediction", "label", "rating", "values", "comment", "source", "told",
)  # fmt: skip


def _line(one: Joined) -> tuple[object, ...]:
    told, asked = one.feedback, one.prediction
    comment = told.comment or ""
    return (
        local_time(told.time),
        "" if one.after is None else tell_duration(max(0.0, one.after)),
        asked.model if asked else "",
        asked.variant if asked else "",
        "" if asked is None else asked.prediction,
        told.label,
        told.rating,
        ", ".join(f"{name} {value:.6g}" for name, value in (told.values or {}).items()),
        comment if len(comment) <= _COMMENT else comment[: _COMMENT - 1] + "…",
        told.source,
        ("page, " if told.about == "page" else "") + ("not in the log" if one.unknown else one.kind),
    )


def _facts(one: Joined) -> dict[str, object]:
    told, asked = one.feedback, one.prediction
    return {
        **msgspec.structs.asdict(told),
        "told": one.kind,
        "prediction": asked.prediction if asked else None,
        "model": asked.model if asked else None,
        "variant": asked.variant if asked else None,
        "answered": asked.time if asked else None,
    }
