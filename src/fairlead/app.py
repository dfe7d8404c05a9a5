"""Builds a running Fairlead out of its parts; the only module that knows them all.

Everything else receives what it needs as arguments.
"""

from __future__ import annotations

import os
import pwd
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fairlead.config import Config, Paths, load_config
from fairlead.errors import BadReference, InvalidInput
from fairlead.refs import ModelRef, check_name
from fairlead.storage.blobs import Blobs, open_blobs
from fairlead.storage.database import Database, open_database

if TYPE_CHECKING:
    from fairlead.alerts.alerts import Alerts
    from fairlead.alerts.channel import Send
    from fairlead.bundle.reader import Bundle
    from fairlead.monitor.comparison import Trained
    from fairlead.monitor.notices import Notice
    from fairlead.monitor.records import Records
    from fairlead.monitor.report import Finding, Report, Window
    from fairlead.monitor.settings import Settings
    from fairlead.monitor.watching import Watcher
    from fairlead.packing.packed import Packed
    from fairlead.packing.verify import VerifyReport
    from fairlead.predictor.local import LocalModel

__all__ = [
    "Stores",
    "current_actor",
    "drift",
    "load",
    "monitor_of",
    "open_alerts",
    "open_stores",
    "open_version",
    "pack",
    "publish_bundle",
    "records_of",
    "verify",
]


class Stores(msgspec.Struct, frozen=True):
    """Where rows and bytes rest."""

    database: Database
    blobs: Blobs


def open_stores(config: Config) -> Stores:
    """Open the database, brought to this code's schema, and the blobs; both are created where they are missing.

    Raises:
        StorageError: One of them cannot be opened, or the database was written by a newer Fairlead.
    """
    return Stores(open_database(config.database_url), open_blobs(config.blobs_url))


def open_alerts(config: Config) -> Alerts:
    """The channels that the settings name; without any, alerts are told to nobody. Reaches no network.

    Raises:
        InvalidInput: An address cannot be used, or what it needs is not installed.
        PluginError: A channel cannot be used.
    """
    from fairlead.alerts.alerts import Alerts

    wanted = [("webhook", config.alert_webhook)] if config.alert_webhook else []
    wanted += [(_channel_of(url), url) for url in config.alert_urls.split()]
    return Alerts([(name, _open_channel(name, url, config.alert_secret or "")) for name, url in wanted])


def records_of(config: Config, stores: Stores) -> Records:
    """What reports are made of: the events and bundles of this machine, and the stores."""
    from fairlead.monitor.records import Records

    return Records(stores.database, stores.blobs, config.paths.events, config.paths.bundles)


def monitor_of(config: Config, stores: Stores, *, tell: Callable[[Notice], None]) -> Watcher:
    """Whoever watches over this machine's endpoints.

    Args:
        config: With the tables of how endpoints are watched.
        stores: Where reports rest.
        tell: Told what people want to hear of.
    """
    from fairlead.monitor.watching import Watcher

    paths = config.paths

    def compact() -> None:
        from fairlead.archive.compaction import compact, told  # polars, which the first event needs

        told(compact(paths.events, days=config.event_days, most_bytes=config.event_bytes))

    return Watcher(
        records_of(config, stores),
        config.monitor,
        run=paths.run,
        holder=f"{socket.gethostname()}:{paths.home}",
        tell=tell,
        compact=compact,
        processes=_process_facts(paths),
    )


def _process_facts(paths: Paths) -> Callable[[Window], list[Finding]]:
    """What is to be said of this machine's processes, since it was said last."""
    from fairlead.monitor.measures.processes import Machine, look, process_findings

    former: list[Machine] = []

    def told(window: Window) -> list[Finding]:
        machine = look(paths.home, paths.run, time.time())
        found = process_findings(machine, window, former[-1] if former else None)
        former[:] = [machine]
        return found

    return told


def _channel_of(url: str) -> str:
    """The channel for an address: the one that is named like its scheme, else Apprise."""
    from fairlead.plugins import plugin_names

    scheme = url.partition("://")[0]
    return scheme if scheme in plugin_names("alerts") else "apprise"


def _open_channel(name: str, url: str, secret: str) -> Send:
    from fairlead.alerts.channel import Channel
    from fairlead.plugins import plugin

    channel = plugin("alerts", name, Channel)
    assert isinstance(channel, Channel)  # `plugin` has looked
    return channel.open(url, secret)


def current_actor() -> str:
    """Who acts, as the operating system knows them; not what the environment claims."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


def pack(  # noqa: PLR0913 - a version's facts, each optional but two
    model: Any,
    *,
    name: str,
    data: Any,
    target: Any = None,
    metrics: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    plots: Mapping[str, Any] | Iterable[Any] | None = None,
    description: str = "",
    descriptions: Mapping[str, str] | None = None,
    reference: Any = None,
    sensitive: Mapping[str, str] | None = None,
    alias: str | None = None,
    home: Path | str | None = None,
) -> Packed:
    """Seal a trained model as a version and prove what it compiles to.

    Args:
        model: A fitted estimator or pipeline, an object with `predict`, or the path of a file that holds one; a file is
            opened in a process of its own.
        name: The model's name, "flights".
        data: The table it was trained on: pandas or polars DataFrame, numpy array, list of dicts, or a file's path.
        target: The column of `data` that the model predicts, by name, or its entries.
        metrics: How good the model is; measured on `data`, and labelled so, where it is `None`.
        params: What it was trained with; its own parameters where it is `None`.
        plots: matplotlib figures or PNG and SVG files, in a row or by name.
        description: For people.
        descriptions: What each column means, by name, and under the target's name what is predicted; for the end user's page.
        reference: A held-out table, as `data` with its target's column (or a pair of table and target), whose profile later traffic is held
            against; the training table where it is `None`, which flatters the model's scores.
        sensitive: Columns of which the archive of events keeps a keyed digest ("hash") or nothing ("drop"), and a profile counts missing
            entries alone; by name. Their categories and the sample rows stay in the bundle, which cannot answer without.
        alias: An alias to point at the new version.
        home: The folder that holds the state; as configured where it is `None`.

    Raises:
        BundleError: The model's file crashed, hung or ate its process, or is no model's.
        InvalidInput: The table, a metric, a plot or a name cannot be taken, or does not fit the model.
        PredictionFailed: The model cannot answer its own table.
        StorageError: The version cannot be written; nothing is published.
    """
    from fairlead.packing import pack as packing  # numpy and ONNX Runtime, which reading the registry does not need

    if alias is not None:
        check_name(alias, "alias")
    config = load_config({"home": None if home is None else str(home)})
    with tempfile.TemporaryDirectory(prefix="fairlead-pack-") as folder:
        bundle = packing.pack(
            model,
            name=name,
            data=data,
            target=target,
            to=Path(folder, "bundle"),
            metrics=metrics,
            params=params,
            plots=plots,
            description=description,
            descriptions=descriptions,
            reference=reference,
            sensitive=sensitive,
            say=_say,
        )
        return publish_bundle(config, bundle, alias=alias, description=description)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def publish_bundle(
    config: Config, bundle: Bundle, *, alias: str | None = None, description: str = "", dry_run: bool = False
) -> Packed:
    """Put a sealed bundle into the blobs, give it the model's next number and, where asked, an alias.

    Args:
        config: Where to.
        bundle: What; its name is the model's.
        alias: To point at the version.
        description: For people.
        dry_run: Write nothing and say what would be published.

    Raises:
        StorageError: The blobs or the database cannot be written; nothing is published.
    """
    from fairlead.bundle.store import put_bundle
    from fairlead.packing.packed import Packed
    from fairlead.registry.registry import publish, set_alias

    metadata, manifest = bundle.metadata, bundle.manifest
    number = None
    if not dry_run:
        stores = open_stores(config)
        put_bundle(bundle, stores.blobs)
        version = publish(
            stores.database,
            model=manifest.name,
            digest=bundle.digest,
            road=manifest.road,
            task=bundle.schema.output.task,
            actor=current_actor(),
            description=description,
            metrics=metadata.metrics,
            params=metadata.params,
        )
        number = version.number
        if alias is not None:
            set_alias(stores.database, version.model, alias, version.ref, actor=current_actor())
    return Packed(
        model=manifest.name,
        number=number,
        digest=bundle.digest,
        road=manifest.road,
        parity=bundle.parity,
        metrics=metadata.metrics,
        alias=alias or "",
    )


def verify(config: Config, ref: str) -> tuple[str, VerifyReport]:
    """Read every blob of a version, then let it answer its samples again.

    Returns:
        The version's name and what became of it; what is wrong stands in the report.

    Raises:
        NotFound: There is no such version.
        StorageError: The stores cannot be read.
    """
    from fairlead.bundle.reader import open_bundle
    from fairlead.bundle.store import check_bundle, fetch_bundle
    from fairlead.packing.verify import corrupt, verify_bundle
    from fairlead.registry.registry import resolve

    stores = open_stores(config)
    version = resolve(stores.database, ref)
    wrong = check_bundle(version.digest, stores.blobs)
    if wrong:
        return version.ref, corrupt(version.digest, version.road, wrong)
    folder = fetch_bundle(version.digest, stores.blobs, config.paths.bundles)
    return version.ref, verify_bundle(open_bundle(folder, version.digest))


def open_version(config: Config, ref: str) -> tuple[str, Bundle]:
    """Fetch a version's bundle, and open it.

    Returns:
        The version's name ("flights:3" for "flights:champion"), and its bundle, verified.

    Raises:
        BadReference: `ref` is none.
        NotFound: There is no such version.
        BundleError: Its bundle is missing or corrupt.
    """
    from fairlead.bundle.reader import open_bundle
    from fairlead.bundle.store import fetch_bundle
    from fairlead.registry.registry import resolve

    stores = open_stores(config)
    version = resolve(stores.database, ref)
    folder = fetch_bundle(version.digest, stores.blobs, config.paths.bundles)
    return version.ref, open_bundle(folder, version.digest)


def load(ref: str, *, home: Path | str | None = None, threads: int = 1) -> LocalModel:
    """Open a version in this process: `fairlead.load("flights:champion").predict(frame)`.

    A compiled version answers here; one whose original answers gets a worker process of its own.

    Args:
        ref: "flights:3" or "flights:champion".
        home: The folder that holds the state; as configured where it is `None`.
        threads: For one call of a compiled version.

    Raises:
        BadReference: `ref` is none.
        NotFound: There is no such version.
        BundleError: Its bundle is missing or corrupt.
    """
    from fairlead.predictor.local import open_local  # ONNX Runtime

    config = load_config({"home": None if home is None else str(home)})
    name, bundle = open_version(config, ref)
    return open_local(name, bundle, threads=threads, memory=config.worker_memory, seconds=config.worker_timeout)


def drift(  # noqa: PLR0913 - what the columns are, and how they are judged; each optional
    reference: Any,
    current: Any,
    *,
    columns: Sequence[str] | None = None,
    target: str | None = None,
    prediction: str | None = None,
    scores: str | Sequence[str] | Mapping[Any, str] | None = None,
    settings: Settings | None = None,
    preset: str = "",
    home: Path | str | None = None,
) -> Report:
    """Say what has changed between two tables: `fairlead.drift(january, april)`, `fairlead.drift("flights:3", april)`.

    Tables in memory and files that fit are compared by their values; larger Parquet files in pieces, by profiles.

    Args:
        reference: What is normal: a pandas or polars DataFrame, a numpy array, a list of dicts, a mapping of columns, the path of a Parquet or
            CSV file, or a version ("flights:3"), whose profile of its training data is taken.
        current: What is held against it; the same, but for a version.
        columns: The inputs to compare; all columns that are nothing else where it is `None`.
        target: The column of what proved true.
        prediction: The column of what the model said.
        scores: The columns of its probabilities: one, some, or by class.
        settings: When a difference counts; as `fairlead.monitor.settings.Settings` has it where it is `None`.
        preset: "evidently" judges as Evidently's default does.
        home: The folder that holds the state, for a version; as configured where it is `None`.

    Returns:
        The report: shown as a page in a notebook, printed as a table, written by `to_json()`.

    Raises:
        InvalidInput: A table cannot be taken, a column that was named is not there, or the version has no profile.
        NotFound: There is no such file or version.
    """
    from fairlead.monitor.comparison import against_profile, compare, parts_of  # numpy, scipy

    judged = _judging(settings, preset)
    parts = parts_of(columns, target, prediction, scores)
    if isinstance(reference, str) and _names_version(reference):
        return against_profile(_trained(reference, home), current, parts, judged)
    return compare(reference, current, parts, judged)


def _judging(settings: Settings | None, preset: str) -> Settings:
    from fairlead.monitor.settings import DEFAULTS

    chosen = {**msgspec.to_builtins(settings or DEFAULTS), **({"preset": preset} if preset else {})}
    try:
        return msgspec.convert(chosen, type(DEFAULTS))
    except msgspec.ValidationError as err:
        raise InvalidInput(
            f"These settings cannot be used: {err}.", hint="See docs/howto/monitor.md.", field="preset"
        ) from err


def _names_version(text: str) -> bool:
    """Whether a text names a version rather than a file."""
    try:
        ModelRef.parse(text)
    except BadReference:
        return False
    return ":" in text or not Path(text).suffix


def _trained(ref: str, home: Path | str | None) -> Trained:
    """What a version was trained on, in counts."""
    from fairlead.monitor.comparison import Trained

    name, bundle = open_version(load_config({"home": None if home is None else str(home)}), ref)
    if bundle.profile is None:
        raise InvalidInput(
            f"{name} was packed before there were profiles.",
            hint="Pack it again, or give its table.",
            field="reference",
        )
    return Trained(bundle.profile, bundle.schema, f"the {'held-out' if bundle.held_out else 'training'} data of {name}")
