"""What an exporter is: options in, files out. `fairlead export NAME -o FOLDER` finds it by its name.

```toml
[project.entry-points."fairlead.exporters"]
mine = "my_package.exporter:EXPORTER"
```
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, get_args, get_type_hints, runtime_checkable

import msgspec

from fairlead.errors import InvalidInput, StorageError

__all__ = ["Exporter", "asked_fields", "make_options", "write_files"]


@runtime_checkable
class Exporter(Protocol):
    """Makes one kind of deliverable.

    Attributes:
        summary: What it makes, in a sentence.
        options: A frozen struct. A field with a description (`msgspec.Meta`) is an option of the command line. Every other is a
            fact about this installation, by its name: any setting (`port`), or `folder`, `command`, `assets`, `headers`,
            `events`, `now`, `schema_of`, as the command line knows them.
    """

    summary: str
    options: type[msgspec.Struct]

    def export(self, options: Any, to: Path) -> list[Path]:
        """Write the files.

        The same options give the same bytes. It reaches no network, runs nothing, and writes below `to` only.

        Args:
            options: Of the type `options`.
            to: A folder; it is made where it is missing.

        Returns:
            The files, in the order in which a person reads them.

        Raises:
            InvalidInput: A value cannot stand in such a file; nothing is written.
            StorageError: The disk refuses.
        """
        ...


def asked_fields(exporter: Exporter) -> dict[str, str]:
    """The options of the command line, with what each is for."""
    hints = get_type_hints(exporter.options, include_extras=True)
    metas = [(name, one) for name, hint in hints.items() for one in get_args(hint)[1:] if isinstance(one, msgspec.Meta)]
    return {name: meta.description for name, meta in metas if meta.description}


def make_options(exporter: Exporter, asked: Mapping[str, object], facts: Mapping[str, object]) -> msgspec.Struct:
    """The options, from what the user said and from what is known.

    Raises:
        InvalidInput: An option is missing or not allowed.
    """
    fields = {field.name for field in msgspec.structs.fields(exporter.options)}
    given = {name: value for name, value in facts.items() if name in fields - asked_fields(exporter).keys()}
    try:
        return msgspec.convert({**given, **asked}, exporter.options, strict=False)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$.")
        option = f"--{place.rstrip('`').replace('_', '-')}" if place else "An option"
        raise InvalidInput(f"{option} cannot be used: {reason[0].lower()}{reason[1:]}.") from error


def write_files(to: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files below a folder.

    Raises:
        StorageError: The disk refuses.
    """
    written = []
    try:
        for name, content in files.items():
            path = to / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            written.append(path)
    except OSError as error:
        raise StorageError(f"{to} cannot be written: {error.strerror}.") from error
    return written
