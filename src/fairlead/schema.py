"""What a model takes and gives: columns in the user's own names and units.

The schema is inferred once, at packing, from the training table. Every door is typed from it: the JSON decoder, the OpenAPI
document, the form on the end user's page. It is plain data (`schema.json` in a bundle).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from fairlead.errors import InvalidInput, SchemaMismatch

__all__ = [
    "Column",
    "ColumnType",
    "Output",
    "Row",
    "Schema",
    "Sensitivity",
    "Task",
    "Value",
    "check_label",
    "check_sensitive",
    "differences",
    "label_text",
]

Value = str | int | float | bool | None
"""One entry of a table; `None` is a missing entry, never NaN."""

Row = tuple[Value, ...]
"""One row, in the order of `Schema.columns`."""

Sensitivity = Literal["", "hash", "drop"]
"""What the archive of events keeps of a column: its entries, a keyed digest of each, nothing. Profiles count only what is missing of the latter two."""

ColumnType = Literal["number", "integer", "boolean", "string"]
Task = Literal["classification", "regression"]


class Column(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input of a model.

    Attributes:
        name: The name in the training table; any text.
        type: What an entry is.
        nullable: Whether a missing entry (JSON `null`, an empty CSV cell) is allowed.
        minimum: The smallest observed number, `None` for text.
        maximum: The largest observed number.
        categories: The observed values, most frequent first, where the model treats the column as a set of names; a value
            outside is answered and flagged. Empty where the model takes the column as a number or as free text.
        description: What the column means, for people.
        sensitive: What becomes of its entries where traffic is kept and counted.
    """

    name: str
    type: ColumnType
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str | int | float | bool, ...] = ()
    description: str = ""
    sensitive: Sensitivity = ""


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a model gives.

    Attributes:
        task: Classification gives one of `classes`; regression gives a number.
        target: The name of what is predicted ("late"), empty where it has none.
        classes: The labels in the order of the probabilities; empty for regression.
        probabilities: Whether the model gives a probability for each class.
        description: What is predicted, for people: "Will this flight arrive at least 15 minutes late?"
    """

    task: Task
    target: str = ""
    classes: tuple[str | int | float | bool, ...] = ()
    probabilities: bool = False
    description: str = ""


class Schema(msgspec.Struct, frozen=True):
    """What a model takes and gives."""

    columns: tuple[Column, ...]
    output: Output

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in order."""
        return tuple(column.name for column in self.columns)

    def described(self, descriptions: Mapping[str, str]) -> Schema:
        """The schema with words for people.

        Args:
            descriptions: By column; under the target's name, what is predicted.

        Raises:
            InvalidInput: A name is neither a column's nor the target's.
        """
        unknown = [name for name in descriptions if name not in {*self.names, self.output.target}]
        if unknown:
            names = ", ".join([*self.names, self.output.target])[:1000]
            raise InvalidInput(f"There is no column {unknown[0]!r} to describe.", hint=f"The columns are {names}.")
        columns = tuple(
            msgspec.structs.replace(one, description=descriptions.get(one.name, one.description))
            for one in self.columns
        )
        told = descriptions.get(self.output.target, self.output.description)
        return Schema(columns, msgspec.structs.replace(self.output, description=told))

    def marked(self, sensitive: Mapping[str, Sensitivity]) -> Schema:
        """The schema with columns marked as sensitive.

        Args:
            sensitive: By column.

        Raises:
            InvalidInput: A name is no column's.
        """
        for name in sensitive:
            if name not in self.names:
                hint = f"The columns are {', '.join(self.names)[:1000]}."
                raise InvalidInput(f"There is no column {name!r} to be sensitive.", hint=hint, field=name)
        columns = tuple(
            msgspec.structs.replace(one, sensitive=sensitive.get(one.name, one.sensitive)) for one in self.columns
        )
        return Schema(columns, self.output)


def differences(served: Schema, candidate: Schema) -> list[str]:
    """Why a candidate cannot answer the rows of an endpoint, a sentence for each difference; empty where it can.

    Rows are read by the served schema and handed to the candidate as they are, so names, order and types of the columns must be
    the same, and what the served one lets be missing, the candidate must, too. Observed ranges and categories may differ.
    """
    found = []
    ours, theirs = {one.name: one for one in served.columns}, {one.name: one for one in candidate.columns}
    found += [f"The column {name!r} is missing in the candidate." for name in ours if name not in theirs]
    found += [
        f"The candidate wants the column {name!r}, which the endpoint has not." for name in theirs if name not in ours
    ]
    if not found and served.names != candidate.names:
        place = next(place for place, name in enumerate(served.names) if candidate.names[place] != name)
        found.append(
            f"The columns stand in another order: number {place + 1} is {served.names[place]!r} at the endpoint "
            f"and {candidate.names[place]!r} in the candidate."
        )
    for name in ours.keys() & theirs.keys():
        one, other = ours[name], theirs[name]
        if one.type != other.type:
            found.append(f"The column {name!r} is {one.type} at the endpoint and {other.type} in the candidate.")
        elif one.nullable and not other.nullable:
            found.append(f"The column {name!r} may be missing at the endpoint and not in the candidate.")
    return [*sorted(found), *_output_differences(served.output, candidate.output)]


def _output_differences(served: Output, candidate: Output) -> list[str]:
    if served.task != candidate.task:
        return [f"The endpoint answers {served.task}, the candidate {candidate.task}."]
    if set(served.classes) != set(candidate.classes):
        shown = [", ".join(sorted(label_text(one) for one in output.classes)) for output in (served, candidate)]
        return [f"The classes are {shown[0]} at the endpoint and {shown[1]} in the candidate."]
    if served.probabilities and not candidate.probabilities:
        return ["The endpoint gives probabilities, the candidate gives none."]
    return []


def check_sensitive(sensitive: Mapping[str, Any]) -> dict[str, Sensitivity]:
    """What people say of sensitive columns, by name.

    Raises:
        InvalidInput: A column is to become neither "hash" nor "drop".
    """
    for name, mark in sensitive.items():
        if mark not in ("hash", "drop"):
            hint = "Say 'hash' to keep a keyed digest of each entry, or 'drop' to keep none."
            raise InvalidInput(f"The column {name!r} cannot be {str(mark)[:60]!r}.", hint=hint, field=str(name))
    return {str(name): mark for name, mark in sensitive.items()}


_CLASSES_NAMED = 20


def check_label(schema: Schema, value: object) -> Value:
    """What proved true, or what a person decided, as the model would have said it.

    Args:
        schema: Of the model.
        value: As it was given: one of the classes, or for regression a number.

    Returns:
        The class itself (`1.0` for the class `1` is the class), or the number.

    Raises:
        SchemaMismatch: It is no class, or no finite number.
    """
    output = schema.output
    if output.task == "regression":
        if isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value):
            return value
        raise _no_label(value, "a number")
    for one in output.classes:
        # True == 1 in Python, but a yes is no one.
        if value == one and isinstance(value, bool) == isinstance(one, bool):
            return one
    more = len(output.classes) - _CLASSES_NAMED
    named = ", ".join(map(_json, output.classes[:_CLASSES_NAMED])) + (f" and {more} more" if more > 0 else "")
    raise _no_label(value, f"one of {named[:1000]}")


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an integer beyond every double
        return False


def _no_label(value: object, expected: str) -> SchemaMismatch:
    got = _json(value)[:80] if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return SchemaMismatch(f"The label is {got}; expected {expected}.", field="label", expected=expected, got=got)


def _json(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, OverflowError):  # half a character, or an integer that is too long
        return repr(value)


def label_text(label: Value) -> str:
    """A class as a key of `probabilities`: text as it is, the rest as JSON writes it."""
    return label if isinstance(label, str) else msgspec.json.encode(label).decode()
