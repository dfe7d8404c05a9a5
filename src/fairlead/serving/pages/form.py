"""The form of an endpoint's page: one field for each column of the schema, and back.

A field's widget follows from its column alone; what a browser posts becomes one text for each column, which `RowReader` reads.

```
Schema ─▶ fields ─▶ template ─▶ browser ─▶ posted ─▶ entries ─▶ RowReader.from_form
             ▲ entries (a sample row, or what was posted), errors by column
```
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from fairlead.schema import Column, Row, Schema, Value
from fairlead.serving.pages import words

__all__ = ["CHOICES", "SUGGESTIONS", "Choice", "Field", "entries_of", "example_entries", "fields", "posted_entries"]

CHOICES = 60
"""A column with more categories is typed with suggestions; nobody scrolls further than this."""

SUGGESTIONS = 1_000
"""The most frequent categories that are suggested; a page must stay small whatever the model was trained on."""

_CHOICE = "choice."
_TYPED = "value."
_OTHER = "other"

Widget = Literal["choice", "suggest", "number", "text"]


class Choice(msgspec.Struct, frozen=True):
    """One entry of a list: what is posted, what is read, and whether it is chosen."""

    value: str
    label: str
    chosen: bool


class Field(msgspec.Struct, frozen=True):
    """One column as a field.

    Attributes:
        column: The column's name.
        key: The field's id on the page, which no column name can spoil.
        label: The name as people write it.
        widget: How the entry is given.
        choice_name: The name the list is posted under.
        typed_name: The name the typed entry is posted under.
        typed: The typed entry; for a choice, the one that is not in the list.
        choices: The list, for `choice` and `suggest`.
        open: Whether a value outside the list may be typed.
        numeric: Whether the typed entry is a number.
        whole: Whether that number has no fraction.
        required: Whether it may not be empty.
        about: What the column means.
        seen: The range in training, in words.
        error: What is wrong with the entry, empty where nothing is.
    """

    column: str
    key: str
    label: str
    widget: Widget
    choice_name: str
    typed_name: str
    typed: str
    choices: tuple[Choice, ...]
    open: bool
    numeric: bool
    whole: bool
    required: bool
    about: str
    seen: str
    error: str


def fields(schema: Schema, entries: Mapping[str, str], errors: Mapping[str, str]) -> tuple[Field, ...]:
    """The form's fields, filled.

    Args:
        schema: The columns.
        entries: Text by column; a column that is not there is empty.
        errors: What is wrong, by column.
    """
    labels = words.labels_of(schema.names)
    return tuple(
        _field(column, f"field-{index}", labels[column.name], entries.get(column.name, ""), errors.get(column.name, ""))
        for index, column in enumerate(schema.columns)
    )


def entries_of(schema: Schema, row: Row) -> dict[str, str]:
    """A row as text by column."""
    return {column.name: words.exact(value) for column, value in zip(schema.columns, row, strict=True)}


def example_entries(schema: Schema, row: Row) -> dict[str, str]:
    """A sample row as text by column, for people to start from; what they read is what is sent."""
    return {column.name: words.tidy(value) for column, value in zip(schema.columns, row, strict=True)}


def posted_entries(posted: Mapping[str, str]) -> dict[str, str]:
    """What a browser posted, as text by column.

    A list posts `=value` for a value of its own, `other` where the value is typed and nothing for a missing entry, so that no
    category can be mistaken for a word of ours.
    """
    entries = {name.removeprefix(_TYPED): text for name, text in posted.items() if name.startswith(_TYPED)}
    for name, text in posted.items():
        column = name.removeprefix(_CHOICE)
        if not name.startswith(_CHOICE):
            continue
        if text.startswith("="):
            entries[column] = text[1:]
        elif text != _OTHER:
            entries[column] = ""
    return entries


def _field(column: Column, key: str, label: str, entry: str, error: str) -> Field:
    widget = _widget(column)
    known = _listed(column)
    texts = [words.exact(value) for value in known]
    numeric = column.type in {"number", "integer"}
    return Field(
        column=column.name,
        key=key,
        label=label,
        widget=widget,
        choice_name=_CHOICE + column.name,
        typed_name=_TYPED + column.name,
        typed="" if widget == "choice" and entry in texts else entry,
        choices=_choices(column, known, entry) if widget == "choice" else _suggestions(texts),
        open=column.type != "boolean",
        numeric=numeric,
        whole=column.type == "integer",
        required=not column.nullable,
        about=column.description,
        seen=_seen(column),
        error=error,
    )


def _widget(column: Column) -> Widget:
    if column.type == "boolean":
        return "choice"
    if column.categories:
        return "choice" if len(column.categories) <= CHOICES else "suggest"
    return "number" if column.type in {"number", "integer"} else "text"


def _listed(column: Column) -> list[Value]:
    """The column's values in the order people look for them in."""
    if column.type == "boolean":
        return [True, False]
    known = column.categories[:SUGGESTIONS]
    numbers = [value for value in known if isinstance(value, int | float)]
    if len(numbers) == len(known):
        return [*sorted(numbers)]
    return sorted(known, key=lambda value: (words.exact(value).casefold(), words.exact(value)))


def _choices(column: Column, known: list[Value], entry: str) -> tuple[Choice, ...]:
    texts = [words.exact(value) for value in known]
    names = {"true": "Yes", "false": "No"} if column.type == "boolean" else {}
    listed = [Choice("=" + text, names.get(text, text), text == entry) for text in texts]
    empty = [Choice("", "Not known" if column.nullable else "Choose…", entry == "")]
    if column.type == "boolean":
        return (*empty, *listed) if column.nullable or entry not in texts else tuple(listed)
    other = [Choice(_OTHER, "Another value…", entry not in {"", *texts})]
    return (*(empty if column.nullable or entry == "" else []), *listed, *other)


def _suggestions(texts: list[str]) -> tuple[Choice, ...]:
    return tuple(Choice(text, text, chosen=False) for text in texts)


def _seen(column: Column) -> str:
    if column.minimum is None or column.maximum is None or column.categories or column.type == "boolean":
        return ""
    low, high = words.number(column.minimum), words.number(column.maximum)
    return f"always {low}" if low == high else f"{low} to {high}"
