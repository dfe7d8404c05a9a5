"""The plan of a `fairlead deploy`: from a file, or from flags. Reading and checking it is `rollout.reading`'s; here text becomes its input.

```
--plan FILE ──────────────────────────────────────▶ Plan
--strategy --steps --bake … --audience --metric ──▶ Plan
```
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import click

from fairlead.app import Stores
from fairlead.bundle.store import stored_schema
from fairlead.errors import InvalidInput, NotFound
from fairlead.refs import ModelRef
from fairlead.registry.registry import resolve
from fairlead.rollout.plan import Plan, Strategy
from fairlead.rollout.reading import Kind, plan_from_flags, read_plan
from fairlead.schema import ColumnType, Value

__all__ = ["STRATEGIES", "plan_from_file", "plan_from_options", "plan_options", "read_audience", "read_metric"]

STRATEGIES: Final[tuple[str, ...]] = get_args(Strategy)

_Command = TypeVar("_Command", bound=Callable[..., Any])

_SUFFIXES: Final[Mapping[str, Kind]] = {".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json"}
_LARGEST: Final = 1 << 20
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")

_OPTIONS: Final = (
    click.option("--steps", metavar="LIST", help="Weights in percent, `mirror` and `approve`: mirror,1,10,approve,50."),
    click.option("--bake", metavar="TIME", help="How long each step lasts at least, such as 10m."),
    click.option("--samples", type=int, help="How many answers the candidate must have given in each step."),
    click.option("--key", help="Who stays with one version: header:NAME, cookie:NAME, column:NAME, or request."),
    click.option("--audience", metavar="WHO", help="Whom it is for: origin=JFK,LGA or header:x-team=beta."),
    click.option("--metric", "metrics", multiple=True, metavar="METRIC", help="error_rate:margin=1.5 (repeatable)."),
    click.option("--goal", metavar="METRIC", help="The metric from feedback that decides an A/B."),
    click.option("--label-delay", metavar="TIME", help="How long after the answer the goal's feedback counts."),
    click.option("--alpha", type=float, help="The chance that a harmless candidate is aborted; 0.05 without it."),
    click.option("--max-duration", metavar="TIME", help="How long a step may wait for its verdicts."),
    click.option("--on-inconclusive", type=click.Choice(["pause", "abort", "proceed"]), help="What happens then."),
    click.option("--keep-warm", metavar="TIME", help="How long the former version stays loaded."),
    click.option("--no-promote", is_flag=True, help="Wait for somebody to promote it."),
)


def plan_options(command: _Command) -> _Command:
    """Give a command the flags of a plan; they arrive under the names that `plan_from_options` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def plan_from_options(
    stores: Stores, ref: str, endpoint: str | None, strategy: str, options: Mapping[str, Any]
) -> Plan:
    """The plan of the flags.

    Args:
        stores: Where the version is; the audience's values are read by its columns' types.
        ref: The version that comes.
        endpoint: The endpoint; the model's name where it is `None`.
        strategy: The pattern.
        options: Those of `plan_options`.

    Raises:
        InvalidInput: A flag cannot be understood, or the flags make no plan.
        NotFound: There is no such version.
    """
    audience, no_promote = options["audience"], options["no_promote"]
    told = {name: value for name, value in options.items() if name not in {"audience", "metrics", "no_promote"}}
    return plan_from_flags(
        ModelRef.parse(ref).model if endpoint is None else endpoint,
        ref,
        strategy,
        **told,
        promote=False if no_promote else None,
        audience=None if audience is None else _typed(read_audience(audience), stores, ref),
        metrics=[read_metric(text) for text in options["metrics"]],
    )


def plan_from_file(file: str, ref: str | None, endpoint: str | None) -> Plan:
    """The plan of a file; `-` reads YAML from standard input.

    Raises:
        InvalidInput: It is no plan, or the command line says something else.
        NotFound: There is no such file.
    """
    plan = _read(file)
    for name, told, found in (("version", ref, plan.candidate), ("endpoint", endpoint, plan.endpoint)):
        if told is not None and told != found:
            raise InvalidInput(
                f"The plan is about the {name} {found}, and the command names {told}.", hint="Correct one of them."
            )
    return plan


def _read(file: str) -> Plan:
    kind = "yaml" if file == "-" else _SUFFIXES.get(Path(file).suffix.lower())
    if kind is None:
        raise InvalidInput(f"{file!r} is no kind of plan.", hint="Use .yaml, .toml or .json; `-` reads YAML.")
    try:
        if file == "-":
            text = sys.stdin.buffer.read(_LARGEST).decode()
        else:
            with Path(file).open("rb") as opened:
                text = opened.read(_LARGEST).decode()
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {file!r}.", hint="`--dry-run` prints a plan to begin with.") from error
    except OSError as error:
        raise InvalidInput(f"{file!r} cannot be read: {error.strerror}.", hint="Check the file.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file!r} is no text in UTF-8.", hint="Correct the file.") from error
    return read_plan(text, kind)


def read_audience(text: str) -> dict[str, Any]:
    """`origin=JFK,LGA` or `header:x-team=beta`, as a plan has it; the values are text.

    Raises:
        InvalidInput: It is neither.
    """
    name, equals, values = text.partition("=")
    where, colon, header = name.partition(":")
    if not (equals and name and values) or (colon and (where not in {"header", "column"} or not header)):
        raise InvalidInput(
            f"--audience is {text[:80]!r}.", hint="Write a column, `origin=JFK,LGA`, or a header, `header:x-team=beta`."
        )
    kind, named = (where, header) if colon else ("column", name)
    return {kind: named, "is": values.split(",")}


def _typed(audience: dict[str, Any], stores: Stores, ref: str) -> dict[str, Any]:
    """The audience with values of its column's type; a column that there is not is refused where the rollout begins."""
    schema = stored_schema(resolve(stores.database, ref).digest, stores.blobs)
    column = next((one for one in schema.columns if one.name == audience.get("column")), None)
    if column is None:
        return audience
    return {**audience, "is": [_value(text, column.type, column.name) for text in audience["is"]]}


def _value(text: str, kind: ColumnType, column: str) -> Value:
    if kind == "string":
        return text
    if kind == "boolean" and text in {"true", "false"}:
        return text == "true"
    if kind in {"number", "integer"} and _NUMBER.fullmatch(text):
        return int(text) if kind == "integer" and "." not in text else float(text)
    article = "an" if kind == "integer" else "a"
    raise InvalidInput(f"--audience: {text[:40]!r} is not {article} {kind}, and {column!r} is.", hint="Correct it.")


def read_metric(text: str) -> dict[str, Any]:
    """`slow_rate:over=200ms,max=1`, as a plan has it.

    Raises:
        InvalidInput: It is written otherwise.
    """
    name, colon, rest = text.partition(":")
    made: dict[str, Any] = {"name": name}
    for part in rest.split(",") if colon else ():
        field, equals, value = part.partition("=")
        if not (field and equals and value) or field in made:
            raise InvalidInput(
                f"--metric is {text[:80]!r}: {part[:40]!r} is no field, or stands twice.",
                hint="Write `slow_rate:over=200ms,max=1`; a segment needs a plan: `--plan FILE`.",
            )
        made[field] = _number(value)
    return made


def _number(text: str) -> str | int | float:
    if not _NUMBER.fullmatch(text):
        return text
    return float(text) if "." in text else int(text)
