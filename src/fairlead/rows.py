"""Reading rows: JSON, CSV, a form's fields or Python mappings become tuples in the order of the schema.

Every door reads rows here, so that the same mistake gets the same words everywhere. JSON has two paths. The fast one is a
msgspec decoder typed from the schema; it takes a quarter of a microsecond and says yes or no. Only when it says no, the slow
one reads the text again to find out what is wrong and where, or that nothing is (`3.0` is a fine integer).

```
bytes ──▶ typed decoder ──ok, no duplicate key──▶ rows
                │ no
                ▼
          pairs with their row ──▶ problems? ──▶ SchemaMismatch (row, field, expected, got, errors)
                                   └ none ─────▶ rows
```
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Annotated, Any, NamedTuple, cast

import msgspec

from fairlead.errors import InvalidInput, SchemaMismatch, TooLarge
from fairlead.schema import Column, Row, Schema, Value

__all__ = ["MAX_PROBLEMS", "RowReader", "boolean_of", "kind_of"]

MAX_PROBLEMS = 20
"""How many problems one error names; the rest is counted by nobody."""

_SAFE_INTEGER = 2**53
_TRUE = frozenset({"true", "t", "yes", "1", "on"})
_FALSE = frozenset({"false", "f", "no", "0", "off"})
_SHOWN = 80


class _Problem(NamedTuple):
    field: str
    expected: str
    got: str
    hint: str = ""


class _NotFinite(NamedTuple):
    """Stands for NaN, Infinity or -Infinity in parsed JSON."""

    text: str


class _Pairs(list[tuple[str, Any]]):
    """One row as it was written: names with values, duplicate keys and all."""


class RowReader:
    """Reads rows of one schema.

    Args:
        schema: What the rows must look like.
        max_rows: How many rows one call may hold.
    """

    def __init__(self, schema: Schema, *, max_rows: int = 10_000) -> None:
        self.schema = schema
        self.max_rows = max_rows
        self._columns = schema.columns
        self._position = {column.name: index for index, column in enumerate(schema.columns)}
        self._decode_one, self._decode_many = _typed_decoders(schema)
        # Each member of an object holds one colon. A body with exactly as many colons as its rows have members (and as
        # stand in their names) cannot hold a duplicate key; any other is read slowly to be sure.
        self._colons = sum(1 + column.name.count(":") for column in schema.columns)

    def from_json(self, body: bytes) -> tuple[list[Row], bool]:
        """Read one object, or an array of objects.

        Returns:
            The rows, and whether the body was a single object.

        Raises:
            InvalidInput: The body is empty, no UTF-8 or no JSON.
            SchemaMismatch: A row does not fit.
            TooLarge: There are more than `max_rows` rows.
        """
        try:
            if body[:1] == b"{":
                row = self._decode_one(body)
                if body.count(b":") == self._colons:
                    return [msgspec.structs.astuple(row)], True
            elif body[:1] == b"[":
                rows = self._decode_many(body)
                if body.count(b":") == self._colons * len(rows) and 0 < len(rows) <= self.max_rows:
                    return [msgspec.structs.astuple(row) for row in rows], False
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        return self._read_slowly(body)

    def from_csv(self, text: str) -> list[Row]:
        """Read a table with a header line; an empty cell is a missing entry.

        The columns may stand in any order. Rows are counted from 0, after the header.

        Raises:
            InvalidInput: There is no header or no row.
            SchemaMismatch: The header or a row does not fit.
            TooLarge: There are more than `max_rows` rows.
        """
        records = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        try:
            header = next(records, None)
            if not header:
                raise InvalidInput("The table is empty.", hint=f"The first line names the columns: {self._header()}.")
            self._check_header(header)
            lines = [record for record in records if record]
        except csv.Error as err:
            raise InvalidInput(f"The table is not CSV: {err}, near line {records.line_num}.") from err
        self.check_count(len(lines))
        return self._collect(_row_of_cells(header, record) for record in lines)

    def from_form(self, fields: Mapping[str, str]) -> Row:
        """Read one row from a form's fields; an empty field is a missing entry, other fields are ignored.

        Raises:
            SchemaMismatch: A field is missing or cannot be read as its column's type.
        """
        known = _Pairs((name, _Text(value)) for name, value in fields.items() if name in self._position)
        return self._collect([known])[0]

    def from_mappings(self, rows: Iterable[Mapping[str, Any]]) -> list[Row]:
        """Read Python mappings; NaN and `None` are missing entries, numpy scalars are taken as their Python values.

        Raises:
            InvalidInput: There is no row.
            SchemaMismatch: A row does not fit.
        """
        found = self._collect(_Pairs((name, _plain(value)) for name, value in row.items()) for row in rows)
        if not found:
            raise InvalidInput("There is no row.", hint="Give at least one.")
        return found

    def from_columns(self, columns: Mapping[str, Sequence[Any]]) -> list[Row]:
        """Read a table given by column; NaN and `None` are missing entries.

        A column whose entries are all of its type is taken as it is; only a column that is not is looked at entry by entry.

        Raises:
            InvalidInput: There is no row.
            SchemaMismatch: A column is missing or unknown, or an entry does not fit.
        """
        if columns.keys() != self._position.keys():
            self._check_header(list(columns))
        lengths = {len(columns[column.name]) for column in self._columns}
        if len(lengths) > 1:
            raise InvalidInput(f"The columns have different lengths: {sorted(lengths)}.")
        if lengths == {0}:
            raise InvalidInput("There is no row.", hint="Give at least one.")
        read = [_read_column(column, columns[column.name]) for column in self._columns]
        if all(values is not None for values in read):
            return list(zip(*cast("list[list[Value]]", read), strict=True))
        names = list(columns)
        return self.from_mappings(dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True))

    def _read_slowly(self, body: bytes) -> tuple[list[Row], bool]:
        parsed = _parse(body)
        if not isinstance(parsed, list):
            raise SchemaMismatch(
                f"The body is {kind_of(parsed)}; expected an object (one row) or an array of objects (many).",
                expected="object or array of objects",
                got=kind_of(parsed),
            )
        single = isinstance(parsed, _Pairs)
        rows = [parsed] if single else parsed
        self.check_count(len(rows))
        return self._collect(rows), single

    def check_count(self, count: int) -> None:
        """Check how many rows there are, before they are read.

        Raises:
            InvalidInput: There is none.
            TooLarge: There are more than `max_rows`.
        """
        if count == 0:
            raise InvalidInput("There is no row.", hint="Give at least one.")
        if count > self.max_rows:
            raise TooLarge(
                f"{count} rows are more than the {self.max_rows} that one request may hold.",
                hint="Send them in parts, or score the table with `fairlead batch`.",
                rows=count,
                limit=self.max_rows,
            )

    def _check_header(self, header: Sequence[str]) -> None:
        counts = Counter(header)
        found = chain(
            (_unknown(name, self._nearest) for name in counts if name not in self._position),
            (_Problem(name[:_SHOWN], "once", f"{count} times") for name, count in counts.items() if count > 1),
            (_Problem(name, "a column", "nothing") for name in self._position if name not in counts),
        )
        problems = list(islice(found, MAX_PROBLEMS))
        if problems:
            raise _mismatch([(None, problem) for problem in problems], f"The model takes the columns {self._header()}.")

    def _header(self) -> str:
        return ", ".join(self._position)[:1000]

    def _collect(self, rows: Iterable[object]) -> list[Row]:
        """Check every row; raise once, naming up to `MAX_PROBLEMS` problems with their rows."""
        good: list[Row] = []
        problems: list[tuple[int | None, _Problem]] = []
        for number, pairs in enumerate(rows):
            row, found = self._check_row(pairs)
            good.append(row)
            problems.extend((number, problem) for problem in found)
            if len(problems) >= MAX_PROBLEMS:
                break
        if problems:
            raise _mismatch(problems[:MAX_PROBLEMS], "")
        return good

    def _check_row(self, pairs: object) -> tuple[Row, list[_Problem]]:
        if isinstance(pairs, _WrongWidth):
            return (), [_Problem("", f"{pairs.expected} cells", str(pairs.got))]
        if not isinstance(pairs, _Pairs):
            return (), [_Problem("", "an object with the model's columns", kind_of(pairs))]
        values: dict[str, object] = {}
        problems: list[_Problem] = []
        for name, value in pairs:
            if name not in self._position:
                problems.append(_unknown(name, self._nearest))
            elif name in values:
                problems.append(_Problem(name, "one value", "the same key twice"))
            if len(problems) == MAX_PROBLEMS:
                return (), problems
            values[name] = value
        row = []
        for column in self._columns:
            if column.name not in values:
                hint = "Give null where it is not known." if column.nullable else ""
                problems.append(_Problem(column.name, _expected(column), "nothing", hint))
                continue
            entry = _read_entry(column, values[column.name])
            if isinstance(entry, _Problem):
                problems.append(entry)
            else:
                row.append(entry)
        return tuple(row), problems

    def _nearest(self, name: object) -> str:
        import difflib

        near = difflib.get_close_matches(str(name)[:200], list(self._position), 1)
        return f"Did you mean {near[0]!r}?" if near else ""


class _WrongWidth(NamedTuple):
    """A line of a table with more or fewer cells than its header."""

    expected: int
    got: int


class _Text(str):
    """An entry that arrived as text (CSV, a form) and is read according to its column."""

    __slots__ = ()


def _typed_decoders(schema: Schema) -> tuple[Callable[[bytes], Any], Callable[[bytes], list[Any]]]:
    """Decoders of one row and of many; where msgspec cannot take a column's name, all rows are read slowly."""
    try:
        row = _row_struct(schema)
    except ValueError:  # a quote, a backslash or a control character in a name
        return _refuse, _refuse
    many = list[row]  # type: ignore[valid-type]
    return msgspec.json.Decoder(row).decode, msgspec.json.Decoder(many).decode


def _refuse(_: bytes) -> Any:
    raise msgspec.DecodeError


def _row_struct(schema: Schema) -> type[msgspec.Struct]:
    """A struct with one required field for each column, in order; its fields are named by position."""
    types: dict[str, Any] = {
        "number": float,
        "integer": Annotated[int, msgspec.Meta(ge=-_SAFE_INTEGER, le=_SAFE_INTEGER)],
        "boolean": bool,
        "string": str,
    }
    fields = [
        (f"c{index}", types[column.type] | None if column.nullable else types[column.type])
        for index, column in enumerate(schema.columns)
    ]
    names = {f"c{index}": column.name for index, column in enumerate(schema.columns)}
    return msgspec.defstruct("Row", fields, rename=names, forbid_unknown_fields=True, gc=False)


def _parse(body: bytes) -> object:
    """Parse JSON, keeping duplicate keys and non-finite numbers visible."""
    if not body.strip():
        raise InvalidInput("The body is empty.", hint="Send one row as a JSON object, or many as an array of objects.")
    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=_Pairs, parse_constant=_NotFinite)
    except UnicodeDecodeError as err:
        raise InvalidInput(f"The body is not UTF-8: byte {err.start} is {body[err.start : err.start + 1]!r}.") from err
    except json.JSONDecodeError as err:
        raise InvalidInput(f"The body is not JSON: {err.msg} at line {err.lineno}, column {err.colno}.") from err
    except RecursionError as err:
        raise InvalidInput("The body is nested too deeply.", hint="A row holds plain values only.") from err
    except ValueError as err:  # an integer of more digits than Python reads
        raise InvalidInput("The body holds a number with too many digits.") from err


def _row_of_cells(header: Sequence[str], record: Sequence[str]) -> object:
    if len(record) != len(header):
        return _WrongWidth(len(header), len(record))
    return _Pairs((name, _Text(cell)) for name, cell in zip(header, record, strict=True))


def _plain(value: object) -> object:
    """A numpy scalar as its Python value; NaN and pandas' NA as a missing entry."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        value = item()
    if isinstance(value, float) and math.isnan(value):
        return None
    return None if type(value).__name__ in {"NAType", "NaTType"} else value


def _read_entry(column: Column, value: object) -> Value | _Problem:
    """One entry as its column's type, or what is wrong with it."""
    if isinstance(value, _Text):
        value = _from_text(column, value.strip())
    if value is None:
        if column.nullable:
            return None
        return _Problem(column.name, _expected(column), "nothing (null)", "This column may not be missing.")
    if isinstance(value, _NotFinite):
        return _Problem(column.name, _expected(column), value.text, "Give null where it is not known.")
    reader = _READERS[column.type]
    return reader(column, value)


_TAKEN = {
    "number": frozenset({float, int}),
    "integer": frozenset({int}),
    "boolean": frozenset({bool}),
    "string": frozenset({str}),
}


def _read_column(column: Column, entries: Sequence[Any]) -> list[Value] | None:
    """A column's entries if all are of its type, finite and allowed; `None` where some need a closer look."""
    values: list[Value] = [None if entry != entry else entry for entry in entries]  # noqa: PLR0124 - NaN is not itself
    kinds = set(map(type, values))
    if type(None) in kinds:
        if not column.nullable:
            return None
        kinds.discard(type(None))
    if not kinds <= _TAKEN[column.type]:
        return None
    if column.type == "number" and (math.inf in values or -math.inf in values):
        return None
    if column.type == "number" and int in kinds and any(_is_wide(value) for value in values):
        return None
    if column.type == "integer" and any(
        value is not None and abs(cast("int", value)) > _SAFE_INTEGER for value in values
    ):
        return None
    return values


def _is_wide(value: Value) -> bool:
    """Whether an integer may have no float of its own."""
    return type(value) is int and abs(value) > _SAFE_INTEGER


def _read_number(column: Column, value: object) -> Value | _Problem:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _wrong(column, value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        return _Problem(column.name, _expected(column), "a number out of range", "The largest is about 1.8e308.")
    return number


def _read_integer(column: Column, value: object) -> Value | _Problem:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _wrong(column, value)
    if isinstance(value, float) and not value.is_integer():
        return _Problem(column.name, _expected(column), kind_of(value))
    if abs(value) > _SAFE_INTEGER:
        return _Problem(column.name, _expected(column), "an integer out of range", "It may lie between -2^53 and 2^53.")
    return int(value)


def _read_boolean(column: Column, value: object) -> Value | _Problem:
    return value if isinstance(value, bool) else _wrong(column, value)


def _read_string(column: Column, value: object) -> Value | _Problem:
    if not isinstance(value, str):
        return _wrong(column, value)
    try:
        value.encode()
    except UnicodeEncodeError:
        return _Problem(column.name, _expected(column), "text with half of a surrogate pair")
    return str(value)


_READERS: dict[str, Callable[[Column, object], Value | _Problem]] = {
    "number": _read_number,
    "integer": _read_integer,
    "boolean": _read_boolean,
    "string": _read_string,
}


def boolean_of(text: str) -> bool | str | None:
    """Text without blanks around it as a boolean, empty text as a missing entry; what is neither stays text."""
    low = text.lower()
    return None if not low else True if low in _TRUE else False if low in _FALSE else text


def _from_text(column: Column, text: str) -> object:
    """Text as the nearest Python value; what cannot be read stays text and is refused as such."""
    if text == "":
        return None
    if column.type == "string":
        return text
    if column.type == "boolean":
        return boolean_of(text)
    try:
        if column.type == "integer" and text.lstrip("+-").isdigit() and len(text) <= len(str(_SAFE_INTEGER)) + 1:
            return int(text)
        number = float(text) if "_" not in text else None
    except ValueError:
        return text
    if number is None:
        return text
    return number if math.isfinite(number) else _NotFinite(text)


def _unknown(name: object, nearest: Callable[[object], str]) -> _Problem:
    return _Problem(str(name)[:_SHOWN], "a column of the model", "an unknown column", nearest(name))


def _wrong(column: Column, value: object) -> _Problem:
    quoted = isinstance(value, str) and column.type in {"number", "integer"} and not isinstance(value, _Text)
    hint = "Numbers stand without quotes." if quoted and _looks_numeric(cast("str", value)) else ""
    return _Problem(column.name, _expected(column), kind_of(value), hint)


def _looks_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _expected(column: Column) -> str:
    article = "an" if column.type == "integer" else "a"
    return f"{article} {column.type}{' or null' if column.nullable else ''}"


def kind_of(value: object) -> str:
    """What a value is, for people; long text is cut."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, str):
        return f"the text {value[:_SHOWN]!r}" + ("…" if len(value) > _SHOWN else "")
    if isinstance(value, int | float):
        return f"the number {str(value)[:_SHOWN]}"
    if isinstance(value, _NotFinite):
        return value.text
    if isinstance(value, _Pairs | Mapping):
        return "an object"
    return "an array" if isinstance(value, list | tuple) else f"a {type(value).__name__}"


def _mismatch(problems: Sequence[tuple[int | None, _Problem]], hint: str) -> SchemaMismatch:
    """One error that tells the first problem in words and lists all of them as data."""
    number, first = problems[0]
    where = "" if number is None else f"Row {number}: "
    subject = f"column {first.field!r}: " if first.field else ""
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    told = f"{where}{subject}expected {first.expected}, got {first.got}{more}."
    return SchemaMismatch(
        told[:1].upper() + told[1:],
        hint=first.hint or hint,
        row=number,
        field=first.field or None,
        expected=first.expected,
        got=first.got,
        errors=[dict(_described(row, problem)) for row, problem in problems],
    )


def _described(row: int | None, problem: _Problem) -> Iterator[tuple[str, Value]]:
    if row is not None:
        yield "row", row
    if problem.field:
        yield "field", problem.field
    yield "expected", problem.expected
    yield "got", problem.got
    if problem.hint:
        yield "hint", problem.hint
