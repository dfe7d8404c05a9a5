"""From where an endpoint's settings come: the defaults, `[monitor]`, `[monitor.ENDPOINT]`, and what the operator has set.

```toml
[monitor]                       # every endpoint
window = "1d"

[monitor.flights]               # this one
segments = ["carrier"]

[monitor.flights.thresholds]
ks = 0.15
```

Each overlays the one before, value by value. They are kept as plain tables until they are joined, because only a table knows what was said
and what was left to the defaults. `config` reads the file, `store` keeps what the operator has set.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from fairlead.durations import parse_duration
from fairlead.errors import FairleadError, InvalidInput
from fairlead.monitor.report import Window
from fairlead.monitor.settings import Alerting, Expectation, Objectives, Settings, Thresholds
from fairlead.monitor.windows import reference_windows, rhythm_of

__all__ = ["PARTS", "Tables", "assigned", "overlaid", "plain", "settings_of", "tables_of"]

PARTS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "thresholds": Thresholds,
    "objectives": Objectives,
    "alerting": Alerting,
}
"""The settings that are tables of their own."""


class Tables(msgspec.Struct, frozen=True):
    """What was said, before it is joined.

    Attributes:
        everywhere: For all endpoints.
        endpoints: For one, by its name.
    """

    everywhere: dict[str, Any] = {}
    endpoints: dict[str, dict[str, Any]] = {}

    def of(self, endpoint: str, *further: Mapping[str, Any]) -> Settings:
        """The settings of an endpoint.

        Args:
            endpoint: Its name.
            *further: What overlays the tables: what the operator has set, what a command line says.

        Raises:
            InvalidInput: A setting is unknown, or its value is not allowed.
        """
        found = overlaid(self.everywhere, self.endpoints.get(endpoint, {}))
        for one in further:
            found = overlaid(found, one)
        return settings_of(found, f"the settings of {endpoint!r}")


def tables_of(found: Mapping[str, Any], source: str) -> Tables:
    """The table `[monitor]` of a file, checked.

    A table in it that is named like a setting is that setting; any other is an endpoint's.

    Raises:
        InvalidInput: A setting is unknown, or its value is not allowed; the message names the table.
    """
    known = Settings.__struct_fields__
    endpoints = {name: value for name, value in found.items() if name not in known and isinstance(value, dict)}
    everywhere = {name: value for name, value in found.items() if name not in endpoints}
    settings_of(everywhere, f"[monitor] of {source}")
    for name, table in endpoints.items():
        settings_of(overlaid(everywhere, table), f"[monitor.{name}] of {source}")
    return Tables(everywhere, endpoints)


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """One table upon another: what stands above counts; tables within are overlaid likewise. `None` takes a value back."""
    found = dict(below)
    for name, value in above.items():
        if value is None:
            found.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(found.get(name), Mapping):
            found[name] = overlaid(found[name], value)
        else:
            found[name] = value
    return found


def settings_of(values: Mapping[str, Any], source: str) -> Settings:
    """A table as settings.

    Args:
        values: By setting.
        source: Whose they are, for a message.

    Raises:
        InvalidInput: A setting is unknown, or its value is not allowed.
    """
    _check_names(values, Settings, "", source)
    for part, kind in PARTS.items():
        if isinstance(values.get(part), Mapping):
            _check_names(values[part], kind, f"{part}.", source)
    expectations = values.get("expectations")
    if isinstance(expectations, Mapping):
        for column, one in expectations.items():
            if isinstance(one, Mapping):
                _check_names(one, Expectation, f"expectations.{column}.", source)
    try:
        settings = msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise _refused(error, source) from error
    _check_together(settings, source)
    return settings


def plain(settings: Settings) -> dict[str, Any]:
    """Every setting with its value, for people and programs who want to see all."""
    found = msgspec.structs.asdict(settings)
    found |= {part: msgspec.structs.asdict(found[part]) for part in PARTS}
    return {**found, "expectations": {name: msgspec.to_builtins(one) for name, one in settings.expectations.items()}}


def assigned(pairs: Iterable[str]) -> dict[str, Any]:
    """Assignments of a command line, `window=1h` or `thresholds.ks=0.2`, as a table; an empty value takes a setting back.

    Raises:
        InvalidInput: One has no name or no `=`.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidInput(f"{pair[:80]!r} sets nothing.", hint="Write NAME=VALUE, such as window=1h.")
        *above, last = name.strip().split(".")
        table = found
        for part in above:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise InvalidInput(f"{name[:80]!r} is set twice.", hint="Set each part once.")
        table[last] = _value(text.strip(), last)
    return found


def _value(text: str, name: str) -> Any:
    """A text as JSON where it is that, else as it is; lists of names may be written with commas."""
    if not text:
        return None
    if name in {"segments", "columns"} and not text.startswith("["):
        return [one.strip() for one in text.split(",") if one.strip()]
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text


def _check_names(values: Mapping[str, Any], kind: type[msgspec.Struct], prefix: str, source: str) -> None:
    for name in values:
        if name not in kind.__struct_fields__:
            close = difflib.get_close_matches(str(name), kind.__struct_fields__, n=1)
            hint = (
                f"Did you mean {prefix + close[0]!r}?" if close else f"There are: {', '.join(kind.__struct_fields__)}."
            )
            raise InvalidInput(f"There is no setting {prefix + str(name)[:80]!r} ({source}).", hint=hint, setting=name)


def _refused(error: msgspec.ValidationError, source: str) -> InvalidInput:
    reason, _, place = str(error).partition(" - at `$.")
    name = place.rstrip("`")
    told = f"{name} in {source}" if name else source
    return InvalidInput(f"{told} cannot be used: {reason[0].lower()}{reason[1:]}.", setting=name)


def _check_together(settings: Settings, source: str) -> None:
    """What single values cannot tell.

    Raises:
        InvalidInput: They do not go together.
    """
    try:
        rhythm = rhythm_of(settings)
        length = rhythm.length if rhythm.by == "clock" else 1.0
        reference_windows(settings.reference, Window(0.0, length))
        if rhythm.by == "count" and settings.reference == "week":
            raise InvalidInput("Windows by count have no hour of the week.", hint='Use "training", "past" or a clock.')
        parse_duration(settings.labels_within)
        parse_duration(settings.objectives.period)
        if settings.alerting.need > settings.alerting.of:
            raise InvalidInput(
                f"alerting: {settings.alerting.need} of {settings.alerting.of} windows cannot be.", setting="alerting"
            )
    except FairleadError as error:
        raise InvalidInput(f"{error.detail} ({source})", hint=error.hint, **error.values) from error
