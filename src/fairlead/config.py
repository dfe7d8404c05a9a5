"""Every setting: its type, its default, what it is for.

`load_config` gathers them, each from the strongest place that names it: a flag, the environment (`FAIRLEAD_PORT`), the
nearest `fairlead.toml` upward, the default. Only `app` and `cli` read the result; every other part receives values.
"""

from __future__ import annotations

import difflib
import inspect
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from fairlead.errors import InvalidInput, StorageError
from fairlead.monitor.overlay import PARTS, Tables, tables_of
from fairlead.monitor.settings import Expectation
from fairlead.monitor.settings import Settings as MonitorSettings

__all__ = ["FILE", "Config", "Paths", "load_config", "reference_page"]

FILE = "fairlead.toml"

# Read where they are needed, because they must work before, or without, a configuration.
_NOT_SETTINGS = frozenset({"FAIRLEAD_DEBUG", "FAIRLEAD_TOKEN"})

_DAY = 86_400.0


class Paths(msgspec.Struct, frozen=True):
    """Where things lie on this machine.

    Attributes:
        home: The folder of everything below.
        database: The SQLite file, where the database is not elsewhere.
        blobs: The folder of blobs, where they are not elsewhere.
        bundles: Bundles by digest, unpacked for serving; may be deleted.
        table: The last routing table that was served, for a start without the database.
        tokens: The tokens that hold, hashed, for the same.
        rates: Where the gateways count the requests of each token.
        events: The event log's segments.
        run: Sockets and locks of running processes.
    """

    home: Path
    database: Path
    blobs: Path
    bundles: Path
    table: Path
    tokens: Path
    rates: Path
    events: Path
    run: Path


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting. The descriptions are the reference page."""

    home: Annotated[
        Path,
        Meta(
            description="The folder that holds the state: database, blobs, caches, events.",
            extra={"default": f"`.fairlead` beside the nearest `{FILE}`, else in the current folder"},
        ),
    ]
    host: Annotated[str, Meta(min_length=1, description="The address the service listens on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="The service's port; 0 takes a free one.")] = 8080
    grpc_port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None,
        Meta(
            description="The port of gRPC; needs `fairlead[grpc]`.",
            extra={"default": "none: gRPC is off"},
        ),
    ] = None
    allowed_hosts: Annotated[
        str,
        Meta(
            max_length=4096,
            description="What the service may be called in a request's `Host` beside its address, separated by commas: "
            "`models.example.org,models.example.org:8443`.",
        ),
    ] = ""
    trusted_proxies: Annotated[
        str,
        Meta(
            max_length=4096,
            description="The proxies whose `X-Forwarded-For` is believed, addresses or networks separated by commas: "
            "`127.0.0.1,10.0.0.0/24`.",
            extra={"default": "none: nobody's is"},
        ),
    ] = ""
    invocations: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")] | None,
        Meta(
            description="The endpoint that `/invocations` asks where a request names none.",
            extra={"default": "the only endpoint"},
        ),
    ] = None
    console_host: Annotated[
        str,
        Meta(
            min_length=1,
            description="The address on which the operator's API listens; one that others reach needs a token before the start.",
        ),
    ] = "127.0.0.1"
    console_port: Annotated[
        int,
        Meta(ge=0, le=65535, description="The port of the operator's API, on `console_host`; 0 opens none."),
    ] = 8081
    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="How many gateway processes share the port.",
            extra={"default": "the number of cores this process may use"},
        ),
    ] = msgspec.field(default_factory=lambda: len(os.sched_getaffinity(0)))
    database: Annotated[
        str | None,
        Meta(
            description="SQLAlchemy URL of the database, `postgresql+psycopg://…` for many machines.",
            extra={"default": "the SQLite file `fairlead.db` in `home`"},
        ),
    ] = None
    blobs: Annotated[
        str | None,
        Meta(
            description="Where blobs rest: a folder, or an object store's URL (`s3://bucket/prefix`).",
            extra={"default": "the folder `blobs` in `home`"},
        ),
    ] = None
    max_body: Annotated[int, Meta(ge=1024, le=2**31, description="The largest request body, in bytes.")] = 16 * 2**20
    max_rows: Annotated[int, Meta(ge=1, le=10_000_000, description="The most rows of one request.")] = 10_000
    header_timeout: Annotated[
        float, Meta(gt=0, le=_DAY, description="How long a client may take to send a request's header, in seconds.")
    ] = 10.0
    body_timeout: Annotated[
        float, Meta(gt=0, le=_DAY, description="How long a client may take to send a request's body, in seconds.")
    ] = 30.0
    idle_timeout: Annotated[
        float, Meta(gt=0, le=_DAY, description="How long a kept-alive connection may be silent, in seconds.")
    ] = 75.0
    write_timeout: Annotated[
        float, Meta(gt=0, le=_DAY, description="How long a client may take to read an answer, in seconds.")
    ] = 30.0
    request_deadline: Annotated[
        float,
        Meta(gt=0, le=_DAY, description="How long one request may take to be answered, in seconds; then it gets 503."),
    ] = 10.0
    max_connections: Annotated[
        int,
        Meta(ge=1, le=10**6, description="The most connections of one gateway process; further ones get 503."),
    ] = 10_000
    max_buffered: Annotated[
        int,
        Meta(
            ge=2**20,
            le=2**40,
            description="How much all large bodies together may hold in one gateway process, in bytes; others get 503.",
        ),
    ] = 256 * 2**20
    max_in_flight: Annotated[
        int,
        Meta(
            ge=1,
            le=10**8,
            description="How many rows one gateway process answers at a time; requests beyond get 503 at once.",
        ),
    ] = 20_000
    access_log: Annotated[
        str,
        Meta(
            min_length=1,
            description="Where one JSON line a request is written: a file (a relative one lies in `home`), `-` for stdout, or `off`.",
        ),
    ] = "off"
    log_format: Annotated[
        Literal["text", "json"],
        Meta(description="How the service's processes tell what they do: `text` for people, `json` for programs."),
    ] = "text"
    drain: Annotated[
        float,
        Meta(ge=0, le=_DAY, description="How long requests in flight may finish when the service stops, in seconds."),
    ] = 30.0
    event_log: Annotated[bool, Meta(description="Whether every answer is recorded before it is sent.")] = True
    event_segment_bytes: Annotated[
        int, Meta(ge=4096, le=2**40, description="The size at which the event log begins a new segment, in bytes.")
    ] = 64 * 2**20
    event_days: Annotated[
        int,
        Meta(
            ge=1,
            le=36_500,
            description="For how many days events are kept; whole days are pruned when the log is compacted.",
        ),
    ] = 90
    event_bytes: Annotated[
        Annotated[int, Meta(ge=2**20, le=2**60)] | None,
        Meta(
            description="How large the archive of events may be, in bytes; the oldest days are pruned, never the last.",
            extra={"default": "none: any size"},
        ),
    ] = None
    worker_memory: Annotated[
        int,
        Meta(ge=64 * 2**20, le=2**50, description="The most address space a worker process may have, in bytes."),
    ] = 4 * 2**30
    worker_timeout: Annotated[
        float,
        Meta(gt=0, le=_DAY, description="How long a worker may take for one call, in seconds; then it is replaced."),
    ] = 10.0
    alert_webhook: Annotated[
        str | None,
        Meta(
            description="The address to which alerts are posted as signed JSON; needs `alert_secret`.",
            extra={"default": "none", "private": True},
        ),
    ] = None
    alert_secret: Annotated[
        Annotated[str, Meta(min_length=16, max_length=1024)] | None,
        Meta(
            description="What alerts to `alert_webhook` are signed with, at least 16 characters; taken from the environment only.",
            extra={"default": "none", "private": True, "environment": True},
        ),
    ] = None
    alert_urls: Annotated[
        str,
        Meta(
            max_length=16_384,
            description="Further addresses for alerts, separated by blanks, as Apprise writes them: "
            "`mailto://… slack://…`; needs `fairlead[apprise]`.",
            extra={"private": True},
        ),
    ] = ""

    monitor: Tables = Tables()
    """How endpoints are watched: the tables `[monitor]` and `[monitor.ENDPOINT]` of the file, which no flag and no variable can hold."""

    def __repr__(self) -> str:
        """The settings' names and values, without what is private."""
        shown = (
            f"{name}={'…' if _is_private(field) else repr(getattr(self, name))}" for name, field in _FIELDS.items()
        )
        return f"Config({', '.join(shown)})"

    @property
    def paths(self) -> Paths:
        """Where things lie below `home`. Nothing is created."""
        home = self.home
        cache = home / "cache"
        return Paths(
            home=home,
            database=home / "fairlead.db",
            blobs=home / "blobs",
            bundles=cache / "bundles",
            table=cache / "table.json",
            tokens=cache / "tokens.json",
            rates=home / "run" / "rates",
            events=home / "events",
            run=home / "run",
        )

    @property
    def hosts(self) -> tuple[str, ...]:
        """`allowed_hosts`, one by one."""
        return _listed(self.allowed_hosts)

    @property
    def proxies(self) -> tuple[str, ...]:
        """`trusted_proxies`, one by one."""
        return _listed(self.trusted_proxies)

    @property
    def database_url(self) -> str:
        """The database's SQLAlchemy URL."""
        return self.database or f"sqlite:///{self.paths.database}"

    @property
    def blobs_url(self) -> str:
        """The folder or URL where blobs rest."""
        return self.blobs or str(self.paths.blobs)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(found for one in text.split(",") if (found := one.strip()))


_FIELDS = {field.name: field for field in msgspec.structs.fields(Config) if field.name != "monitor"}


def load_config(
    flags: Mapping[str, Any] | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Config:
    """Gather the settings.

    Args:
        flags: By setting; `None` stands for a flag that was not given.
        environment: Instead of the process's own.
        folder: Where the search for `fairlead.toml` begins, instead of the current folder.

    Raises:
        InvalidInput: A setting is unknown or its value is not allowed; the message names the place.
        StorageError: `fairlead.toml` cannot be read.
    """
    folder = (folder or Path.cwd()).absolute()
    file = _find_file(folder)
    values: dict[str, Any] = {"home": (file.parent if file else folder) / ".fairlead"}
    if file is not None:
        values |= _from_file(file)
    values |= _from_environment(os.environ if environment is None else environment, folder)
    values |= _from_flags(flags or {}, folder)
    return Config(**values)


def _find_file(folder: Path) -> Path | None:
    return next((path for parent in (folder, *folder.parents) if (path := parent / FILE).is_file()), None)


def _from_file(file: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise StorageError(f"{file} cannot be read: {error.strerror}.", hint="Check the file's permissions.") from error
    except ValueError as error:  # both TOMLDecodeError and UnicodeDecodeError
        raise InvalidInput(f"{file} is not TOML: {error}.", hint="Correct the file or remove it.") from error
    watched = found.pop("monitor", {})
    if not isinstance(watched, dict):
        raise InvalidInput(f"monitor in {file} is no table.", hint="Write [monitor] and its settings below.")
    values = {key: _value(key, value, file.parent, str(file), strict=True) for key, value in found.items()}
    return {**values, "monitor": tables_of(watched, str(file))}


def _from_environment(environment: Mapping[str, str], folder: Path) -> dict[str, Any]:
    prefix = "FAIRLEAD_"
    return {
        key: _value(key, value, folder, "the environment", shown=name)
        for name, value in environment.items()
        if name.startswith(prefix) and name not in _NOT_SETTINGS
        for key in (name.removeprefix(prefix).lower(),)
    }


def _from_flags(flags: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    return {
        key: _value(key, value, folder, "the command line", shown="--" + key.replace("_", "-"))
        for key, value in flags.items()
        if value is not None
    }


def _value(  # noqa: PLR0913 - one setting, and all that a message about it says
    key: str, value: Any, folder: Path, source: str, *, shown: str = "", strict: bool = False
) -> Any:
    """The setting's value, checked; relative paths begin at `folder`."""
    shown = shown or key
    field = _FIELDS.get(key)
    if field is None:
        raise InvalidInput(f"There is no setting {shown!r} (in {source}).", hint=_nearest(key, _FIELDS), setting=key)
    if key == "home":
        if not isinstance(value, str | Path) or not str(value):
            raise InvalidInput(f"{shown} in {source} is {value!r}: it must be a folder.", setting=key)
        return folder / Path(value).expanduser()
    if (_meta(field.type).extra or {}).get("environment") and source != "the environment":
        raise InvalidInput(
            f"{shown} stands in {source}, where others may read it.",
            hint=f"Give FAIRLEAD_{key.upper()} in the environment.",
            setting=key,
        )
    try:
        return msgspec.convert(value, field.type, strict=strict)
    except msgspec.ValidationError as error:
        reason = str(error)
        told = "wrong" if _is_private(field) else repr(value)
        raise InvalidInput(
            f"{shown} in {source} is {told}: {reason[0].lower()}{reason[1:]}.",
            hint=f"{_meta(field.type).description}",
            setting=key,
        ) from error


def _nearest(key: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else "The settings are listed in docs/reference/configuration.md."


def _meta(annotated: Any) -> Meta:
    meta = get_args(annotated)[1]
    assert isinstance(meta, Meta)
    return meta


def _is_private(field: msgspec.structs.FieldInfo) -> bool:
    """Whether its value is shown to nobody."""
    return bool((_meta(field.type).extra or {}).get("private"))


def reference_page() -> str:
    """The reference page of all settings, as Markdown; `docs/reference/configuration.md` holds it."""
    head = (
        "# Configuration\n\n"
        f"Each setting is taken from the strongest place that names it: a flag, the environment, the nearest `{FILE}` upward,\n"
        "the default. An unknown setting is an error. This page is made from `src/fairlead/config.py`.\n\n"
        "| setting | environment | default | what it is for |\n|---|---|---|---|\n"
    )
    return head + "".join(_reference_row(field) for field in _FIELDS.values()) + _monitor_reference()


def _reference_row(field: msgspec.structs.FieldInfo) -> str:
    meta = _meta(field.type)
    default = (meta.extra or {}).get("default") or f"`{msgspec.json.encode(field.default).decode()}`"
    return f"| `{field.name}` | `FAIRLEAD_{field.name.upper()}` | {default} | {meta.description} |\n"


def _monitor_reference() -> str:
    """How endpoints are watched, from the descriptions in `monitor.settings`."""
    head = (
        "\n## How endpoints are watched\n\n"
        f"These stand in the table `[monitor]` of `{FILE}` for all endpoints, and in `[monitor.ENDPOINT]` for one; what the operator sets with\n"
        "`fairlead monitor settings` or the API overlays both, value by value. A table within `[monitor]` that is named like a setting is that\n"
        "setting. `fairlead monitor settings ENDPOINT` shows what holds.\n"
    )
    kinds: dict[str, type[msgspec.Struct]] = {"": MonitorSettings}
    kinds |= {f"{name}.": kind for name, kind in PARTS.items()}
    kinds["expectations.COLUMN."] = Expectation
    return head + "".join(_monitor_table(prefix, kind) for prefix, kind in kinds.items())


def _monitor_table(prefix: str, kind: type[msgspec.Struct]) -> str:
    fields = [field for field in msgspec.structs.fields(kind) if field.name not in {*PARTS, "expectations"}]
    texts = _described(kind)
    rows = "".join(
        f"| `{prefix}{field.name}` | {_shown_default(field.default)} | {texts.get(field.name, '')} |\n"
        for field in fields
    )
    return f"\n{_purpose(kind)}\n\n| setting | default | what it is for |\n|---|---|---|\n{rows}"


def _purpose(kind: type[msgspec.Struct]) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _shown_default(value: object) -> str:
    return "none" if value is None or value == () else f"`{msgspec.json.encode(value).decode()}`"


def _described(kind: type[msgspec.Struct]) -> dict[str, str]:
    """What each attribute is for, by the class's docstring."""
    lines = inspect.getdoc(kind) or ""
    found: dict[str, str] = {}
    name = ""
    for line in lines.partition("Attributes:\n")[2].splitlines():
        start = re.match(r"    (\w+): (.*)", line)
        name = start[1] if start else name
        found[name] = start[2] if start else f"{found[name]} {line.strip()}"
    return {name: text.strip().replace("|", "\\|") for name, text in found.items()}
