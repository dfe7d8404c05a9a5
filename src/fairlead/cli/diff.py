"""`fairlead diff`: two versions side by side; or what answers at an endpoint, and what is about to."""

from __future__ import annotations

from typing import Any

import click

from fairlead.app import Stores
from fairlead.bundle.reader import Bundle, open_bundle
from fairlead.bundle.store import fetch_bundle
from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import local_time, print_json, print_line, print_table
from fairlead.config import Config
from fairlead.errors import NotFound
from fairlead.registry.comparison import Comparison, Difference, MetricPair, compare
from fairlead.registry.registry import Version, resolve
from fairlead.rollout.rollout import FORMER
from fairlead.rollout.store import active_of
from fairlead.rollout.summary import Seen, summarize
from fairlead.routing.store import read_table
from fairlead.routing.table import check_endpoint

__all__ = ["command"]

_SHOWN = 60


@click.command("diff")
@click.argument("first", metavar="A|ENDPOINT")
@click.argument("second", metavar="[B]", required=False)
@json_option
@pass_invocation
def command(invocation: Invocation, first: str, second: str | None, *, as_json: bool) -> None:
    """Compare two versions (flights:1 flights:2), or an endpoint's stable version with the one that comes."""
    config, stores = invocation.config(), invocation.stores()
    live: tuple[Seen, ...] = ()
    if second is None:
        first, second, live = _of_endpoint(stores, first)
    versions = resolve(stores.database, first), resolve(stores.database, second)
    opened = [_open(config, stores, version) for version in versions]
    found = compare(*versions, (opened[0], opened[1]))
    if as_json:
        print_json({"comparison": found, "live": live})
        return
    _print(found, live)


def _of_endpoint(stores: Stores, name: str) -> tuple[str, str, tuple[Seen, ...]]:
    """The stable version of an endpoint, the one that comes or was before, and what was seen of both so far."""
    check_endpoint(name)
    with stores.database.read() as connection:
        rollout = active_of(connection, name)
        if rollout is not None and rollout.stable:
            return rollout.stable, rollout.model, summarize(connection, rollout).verdicts
        live = read_table(connection).endpoint(name)
    if live is None or live.dark:
        raise NotFound(
            f"No version answers at {name!r}.", hint="`fairlead diff MODEL:1 MODEL:2` compares two versions."
        )
    former = live.variant(FORMER)
    if former is None:
        raise NotFound(
            f"At {name!r} only {live.stable.model} answers, and no other version comes.",
            hint=f"`fairlead diff MODEL:VERSION {live.stable.model}` compares it with any version.",
        )
    return former.model, live.stable.model, ()


def _open(config: Config, stores: Stores, version: Version) -> Bundle:
    return open_bundle(fetch_bundle(version.digest, stores.blobs, config.paths.bundles), version.digest)


def _print(found: Comparison, live: tuple[Seen, ...]) -> None:
    if found.identical:
        print_line(f"{found.before} and {found.after} are the same bundle.")
        return
    if found.fits:
        print_line(f"{found.after} fits where {found.before} answers: the same columns, the same answers.")
    else:
        print_line(f"{found.after} does not fit where {found.before} answers:")
        for sentence in found.schema:
            print_line(f"  {sentence}")
    if live:
        _section("live, as last seen")
        print_table(("metric", "role", "verdict", "because"), [_seen_row(one) for one in live])
    if found.metrics:
        _section("metrics")
        heads = ("metric", found.before, found.after, "change", "")
        print_table(heads, [_metric_row(one) for one in found.metrics])
    for title, differing in (
        ("params", found.params),
        ("data set", found.data),
        ("observed in training", found.observed),
        ("bundle", found.facts),
    ):
        if differing:
            _section(title)
            print_table(("", found.before, found.after), [_row(one) for one in differing])


def _section(title: str) -> None:
    print_line("")
    print_line(title)


def _seen_row(one: Seen) -> tuple[object, ...]:
    return one.metric, one.role, one.verdict, one.because


def _metric_row(one: MetricPair) -> tuple[object, ...]:
    return one.name, one.before, one.after, None if one.change is None else f"{one.change:+.4g}", one.standing


def _row(one: Difference) -> tuple[object, ...]:
    return one.name, _shown(one.name, one.before), _shown(one.name, one.after)


def _shown(name: str, value: Any) -> Any:
    """A value short enough for a table."""
    if name == "published" and isinstance(value, float):
        return local_time(value)
    if name == "bytes" and isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        value = " … ".join(f"{one:g}" for one in value) if _is_range(value) else ", ".join(map(str, value))
    text = str(value) if isinstance(value, str) else value
    return f"{text[: _SHOWN - 1]}…" if isinstance(text, str) and len(text) > _SHOWN else text


def _is_range(value: list[Any]) -> bool:
    return len(value) == 2 and all(isinstance(one, int | float) for one in value)
