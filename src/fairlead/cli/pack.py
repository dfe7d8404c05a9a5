"""`fairlead pack`: a trained model in a file becomes a version.

The file is opened in a process of its own, never in this one.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import print_facts, print_json, say
from fairlead.errors import InvalidInput
from fairlead.refs import check_name

if TYPE_CHECKING:
    from fairlead.packing.packed import Packed

__all__ = ["command"]

_EXAMPLES = {
    "--metric": "auc=0.79",
    "--param": "trees=100",
    "--describe": "hour='Hour of departure'",
    "--sensitive": "email=hash",
}


@click.command("pack")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The model's name.")
@click.option(
    "--data", required=True, metavar="TABLE", help="The training table: .parquet, .csv, .csv.gz or .jsonl.", type=Path
)
@click.option("--target", metavar="COLUMN", help="The table's column that the model predicts.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME=NUMBER", help="How good the model is.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="What it was trained with.")
@click.option("--plot", "plots", multiple=True, metavar="FILE", type=Path, help="A PNG or SVG picture to keep.")
@click.option("--description", default="", help="For people.")
@click.option(
    "--describe", "descriptions", multiple=True, metavar="COLUMN=TEXT", help="What a column, or the target, means."
)
@click.option(
    "--reference", metavar="TABLE", type=Path, help="A held-out table for the profile; the training table without it."
)
@click.option(
    "--sensitive",
    multiple=True,
    metavar="COLUMN=hash|drop",
    help="Of this column the archive of events keeps a keyed digest, or nothing.",
)
@click.option("--alias", metavar="ALIAS", help="Point this alias at the new version.")
@click.option("--time-limit", type=click.FloatRange(1, 86_400), default=600.0, show_default=True, help="Seconds.")
@click.option(
    "--memory", type=click.FloatRange(0.5, 4096), default=8.0, show_default=True, help="GiB, to open the file."
)
@click.option("--dry-run", is_flag=True, help="Do everything but publish.")
@json_option
@pass_invocation
def command(  # noqa: PLR0913 - one argument an option
    invocation: Invocation,
    model: Path,
    *,
    name: str,
    data: Path,
    target: str | None,
    metrics: tuple[str, ...],
    params: tuple[str, ...],
    plots: tuple[Path, ...],
    description: str,
    descriptions: tuple[str, ...],
    reference: Path | None,
    sensitive: tuple[str, ...],
    alias: str | None,
    time_limit: float,
    memory: float,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Seal a trained model as a version and prove what it compiles to."""
    from fairlead.app import publish_bundle  # what packing needs is not for `--help`
    from fairlead.packing.pack import Limits, pack

    if alias is not None:
        check_name(alias, "alias")
    config = invocation.config()
    with tempfile.TemporaryDirectory(prefix="fairlead-pack-") as folder:
        bundle = pack(
            model,
            name=name,
            data=data,
            target=target,
            to=Path(folder, "bundle"),
            metrics={key: _number(key, text) for key, text in _pairs(metrics, "--metric")} if metrics else None,
            params={key: _value(text) for key, text in _pairs(params, "--param")} if params else None,
            plots=plots,
            description=description,
            descriptions=dict(_pairs(descriptions, "--describe")),
            reference=reference,
            sensitive=dict(_pairs(sensitive, "--sensitive")),
            limits=Limits(int(memory * 2**30), time_limit),
            say=say,
        )
        packed = publish_bundle(config, bundle, alias=alias, description=description, dry_run=dry_run)
    _print(packed, as_json=as_json)


def _print(packed: Packed, *, as_json: bool) -> None:
    if as_json:
        print_json(packed)
        return
    print_facts(packed.facts())
    if packed.number is not None and sys.stderr.isatty():
        say(f"Next: fairlead deploy {packed.ref}")


def _pairs(texts: tuple[str, ...], option: str) -> list[tuple[str, str]]:
    """`name=value` texts, taken apart at the first equals sign."""
    pairs = [text.partition("=") for text in texts]
    for name, equals, _ in pairs:
        if not equals or not name.strip():
            hint = f"For example: {option} {_EXAMPLES[option]}"
            raise InvalidInput(f"{option} {name!r} is not NAME=VALUE.", hint=hint)
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as err:
        raise InvalidInput(
            f"Metric {name!r} is {text[:60]!r}, which is no number.", hint="For example: --metric auc=0.79"
        ) from err


def _value(text: str) -> str | int | float | bool:
    """A parameter as the number or truth value it reads as, else as text."""
    if text in ("true", "false"):
        return text == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text
