"""How verbs print. stdout is data, stderr is talk.

Names and descriptions come from other people: control characters (escape sequences, line breaks, text direction) are taken
out of everything that a person reads. JSON needs no such care: its own escapes hold them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

__all__ = ["clean", "local_time", "print_facts", "print_json", "print_line", "print_table", "say"]


def clean(text: str) -> str:
    """The text without control characters; a line break or tab becomes a space."""
    spaced = "".join(" " if character in "\n\r\t" else character for character in text)
    return "".join(character for character in spaced if not _hidden(character))


def _hidden(character: str) -> bool:
    # Cc: control; Cf: format, such as bidirectional overrides; Cs: lone surrogates; Zl, Zp: line and paragraph separators.
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def say(text: str) -> None:
    """Tell the person something; it goes to stderr and is never data."""
    click.echo(clean(text), err=True)


def print_line(text: str) -> None:
    """Print one line of data."""
    click.echo(clean(text))


def print_json(value: Any) -> None:
    """Print a value (a Struct, dict, list, …) as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def print_table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under heads, in columns as wide as their widest entry; numbers stand right-aligned, `None` is empty."""
    cells = [[_cell(entry) for entry in row] for row in rows]
    widths = [max(len(head), *(len(row[i]) for row in cells), 0) for i, head in enumerate(heads)]
    right = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(heads))]
    click.echo(_line([clean(head) for head in heads], widths, right))
    for row in cells:
        click.echo(_line(row, widths, right))


def print_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Print pairs of a name and a value, one a line, the values below each other; pairs without a value are left out."""
    known = [(name, _cell(value)) for name, value in facts if value is not None and value != ""]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        click.echo(f"{name.ljust(width)}  {value}")


def local_time(seconds: float) -> str:
    """Seconds since 1970 as the reader's clock and zone show them: `2026-11-22 14:05:09 +0000`."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def _is_number(entry: object) -> bool:
    return entry is None or (isinstance(entry, int | float) and not isinstance(entry, bool))


def _cell(entry: object) -> str:
    if entry is None:
        return ""
    if isinstance(entry, bool):
        return "yes" if entry else "no"
    if isinstance(entry, float):
        return f"{entry:.6g}"
    return clean(str(entry))


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        cell.rjust(width) if flush else cell.ljust(width)
        for cell, width, flush in zip(cells, widths, right, strict=True)
    )
    return "  ".join(padded).rstrip()
