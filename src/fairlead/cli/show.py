"""`fairlead show`: a model's versions, or all that is known about one version."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from fairlead.app import Stores
from fairlead.bundle.manifest import Attempt, Manifest, ParityReport
from fairlead.bundle.reader import Bundle, Metadata, open_bundle
from fairlead.bundle.store import fetch_bundle
from fairlead.cli.invocation import Invocation, json_option, pass_invocation
from fairlead.cli.output import local_time, print_facts, print_json, print_line, print_table
from fairlead.refs import ModelRef
from fairlead.registry.registry import Version, list_versions, resolve
from fairlead.schema import Column, Schema

__all__ = ["command"]

_CATEGORIES_SHOWN = 6


class _Shown(msgspec.Struct, frozen=True):
    """What `--json` prints of a version."""

    ref: str
    version: Version
    manifest: Manifest
    schema: Schema
    parity: ParityReport
    environment: dict[str, Any]
    metadata: Metadata
    profile: _Profiled | None


class _Profiled(msgspec.Struct, frozen=True):
    """What `--json` prints of a profile.

    Attributes:
        of: "training table" or "held-out table".
        rows: How many rows it stands for.
        labels: How many of them have a label.
        columns: What is counted: inputs, prediction, scores, target.
    """

    of: str
    rows: int
    labels: int
    columns: tuple[str, ...]


@click.command("show")
@click.argument("ref")
@json_option
@pass_invocation
def command(invocation: Invocation, ref: str, *, as_json: bool) -> None:
    """Show a model's versions (flights), or all about one (flights:3, flights:champion)."""
    config = invocation.config()
    stores = invocation.stores()
    wanted = ModelRef.parse(ref)
    if wanted.number is None and wanted.alias is None:
        _show_model(stores, wanted.model, as_json=as_json)
        return
    version = resolve(stores.database, wanted)
    bundle = open_bundle(fetch_bundle(version.digest, stores.blobs, config.paths.bundles), version.digest)
    if as_json:
        print_json(
            _Shown(
                version.ref,
                version,
                bundle.manifest,
                bundle.schema,
                bundle.parity,
                bundle.environment,
                bundle.metadata,
                _profiled(bundle),
            )
        )
        return
    _show_version(version, bundle)


def _show_model(stores: Stores, model: str, *, as_json: bool) -> None:
    versions = list_versions(stores.database, model)
    if as_json:
        print_json(versions)
        return
    rows = [
        (v.ref, v.road, v.task, ", ".join(v.aliases), _numbers(v.metrics), local_time(v.created), v.actor)
        for v in versions
    ]
    print_table(("version", "road", "task", "aliases", "metrics", "published", "by"), rows)


def _show_version(version: Version, bundle: Bundle) -> None:
    manifest, schema = bundle.manifest, bundle.schema
    print_facts(
        [
            ("version", version.ref),
            ("aliases", ", ".join(version.aliases)),
            ("description", version.description),
            ("published", f"{local_time(version.created)} by {version.actor}"),
            ("bundle", version.digest),
            ("original", f"{manifest.model_class} ({manifest.format})"),
            ("sealed", f"{local_time(manifest.created)} with Fairlead {manifest.created_with}"),
            ("git commit", manifest.git_commit),
            ("gives", _gives(schema)),
            ("road", manifest.road),
            ("profile", _told(_profiled(bundle))),
        ]
    )
    _section("parity")
    _show_parity(bundle.parity)
    _section("takes")
    print_table(("column", "type", "missing", "observed"), [_column_row(column) for column in schema.columns])
    for title, facts in (("metrics", version.metrics), ("params", version.params)):
        if facts:
            _section(title)
            print_facts(list(facts.items()))
    _section("files")
    print_table(("file", "bytes", "sha256"), [(file.path, file.size, file.sha256) for file in manifest.files])


def _profiled(bundle: Bundle) -> _Profiled | None:
    profile = bundle.profile
    if profile is None:
        return None
    of = bundle.metadata.data.get("profile", "table")
    return _Profiled(str(of), profile.rows, profile.labels, tuple(one.name for one in profile.features))


def _told(profile: _Profiled | None) -> str:
    if profile is None:
        return "none; packed again, it gets one"
    return f"of {profile.rows:,} rows of the {profile.of}" + ("" if profile.labels else ", without labels")


def _section(title: str) -> None:
    print_line("")
    print_line(title)


def _show_parity(parity: ParityReport) -> None:
    rows = [_attempt_row(attempt) for attempt in parity.attempts]
    heads = ("road", "verdict", "real rows", "hard rows", "largest difference", "equal labels", "why")
    print_table(heads, rows)
    for attempt in parity.attempts:
        for row in attempt.worst_rows:
            print_line(f"  {attempt.road}: {row}")


def _attempt_row(attempt: Attempt) -> tuple[object, ...]:
    agreement = None if attempt.label_agreement is None else f"{attempt.label_agreement:.4%}"
    verdict = "proven" if attempt.proven else "refused"
    difference = None if attempt.largest_difference is None else f"{attempt.largest_difference:.2g}"
    return attempt.road, verdict, attempt.real_rows, attempt.hard_rows, difference, agreement, attempt.reason


def _column_row(column: Column) -> tuple[object, ...]:
    if column.categories:
        shown = ", ".join(str(value) for value in column.categories[:_CATEGORIES_SHOWN])
        rest = len(column.categories) - _CATEGORIES_SHOWN
        observed = f"{shown}, … {rest} more" if rest > 0 else shown
    elif column.minimum is not None and column.maximum is not None:
        observed = f"{column.minimum:g} … {column.maximum:g}"
    else:
        observed = ""
    kind = f"{column.type} ({column.sensitive})" if column.sensitive else column.type
    return column.name, kind, "allowed" if column.nullable else "", observed


def _gives(schema: Schema) -> str:
    output = schema.output
    classes = ", ".join(str(value) for value in output.classes)
    target = f" of {output.target}" if output.target else ""
    return f"{output.task}{target}" + (f": {classes}" if classes else "")


def _numbers(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
