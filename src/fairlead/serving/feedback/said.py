"""Reading feedback: JSON, CSV or a form's fields become `Said`, checked against what the endpoint's model gives.

The typed decoder says yes or no. Only when it says no, the body is read again entry by entry to find out what is wrong and
where: a mistake is told with its row, its field, what was expected and what came. The page and the CSV speak in texts, which
become values here and are then checked by the same rules.

```
JSON ──▶ typed decoder ──ok──▶ Said ──▶ fits the schema? ──▶ list of Said
             │ no                ▲             └ no ─┐
             ▼                   │                   ▼
        entry by entry ──────────┴─ no ──▶ SchemaMismatch (row, field, expected, got, errors)
             ▲
CSV, form ───┘ texts
```

Whether an id was ever given out is not asked here: that is the endpoint's to know (`feedback.box`).
"""

from __future__ import annotations

import csv
import difflib
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from fairlead.errors import InvalidInput, SchemaMismatch, TooLarge
from fairlead.rows import MAX_PROBLEMS, boolean_of, kind_of
from fairlead.schema import Output, Value, label_text

__all__ = ["LONGEST_COMMENT", "MOST_VALUES", "VALUE_NAME", "VALUE_PREFIX", "FeedbackReader", "Said"]

LONGEST_COMMENT: Final = 2_000
"""Characters of a comment."""

MOST_VALUES: Final = 20
"""How many numbers one feedback may carry."""

VALUE_NAME: Final = "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$"
"""What a number of feedback may be called."""

VALUE_PREFIX: Final = "values."
"""Before the name of a number in a table's header: `values.revenue`."""

_SHOWN_CLASSES = 20
_SHOWN = 80

_Id = Annotated[str, Meta(min_length=1)]
_Rating = Annotated[int, Meta(ge=1, le=5)]
_Comment = Annotated[str, Meta(max_length=LONGEST_COMMENT)]
_Numbers = Annotated[dict[Annotated[str, Meta(pattern=VALUE_NAME)], float], Meta(max_length=MOST_VALUES)]
_About = Literal["answer", "page"]


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One feedback as it was told.

    Attributes:
        id: Of the prediction.
        label: What proved true, or what a person decided; a class exactly as the schema has it, or a number.
        rating: 1 (bad) to 5 (good).
        comment: In a person's words.
        values: Numbers by name, such as what it earned.
        about: Whether it is about the answer, or about the page and the way of working.
    """

    id: _Id
    label: Value = None
    rating: _Rating | None = None
    comment: _Comment | None = None
    values: _Numbers | None = None
    about: _About = "answer"


class _Problem(NamedTuple):
    field: str
    expected: str
    got: str
    hint: str = ""


_FIELDS: Final[Mapping[str, tuple[Any, str]]] = {
    "id": (_Id, "the id of a prediction"),
    "label": (Value, "a label"),
    "rating": (_Rating | None, "a whole number from 1 to 5"),
    "comment": (_Comment | None, f"text of up to {LONGEST_COMMENT:,} characters"),
    "values": (_Numbers | None, f"an object of up to {MOST_VALUES} numbers by name"),
    "about": (_About, "'answer' or 'page'"),
}
"""The type of each field, and what it is in words."""

_NAMES: Final = ", ".join(_FIELDS)
_decode = msgspec.json.Decoder(Said | list[Said]).decode
_decode_any = msgspec.json.Decoder().decode


class FeedbackReader:
    """Reads feedback for one endpoint.

    Args:
        output: What its model gives.
        most: How many one request may hold.
    """

    def __init__(self, output: Output, *, most: int = 10_000) -> None:
        self._output = output
        self._most = most
        # True is 1 to Python, and a class of its own to a model.
        self._classes = {(isinstance(one, bool), one): one for one in output.classes}
        self._texts = {label_text(one): one for one in output.classes}

    def from_json(self, body: bytes) -> list[Said]:
        """Read one object, or an array of objects.

        Raises:
            InvalidInput: The body is empty, no UTF-8 or no JSON.
            SchemaMismatch: An entry does not fit.
            TooLarge: There are more than may come at once.
        """
        if not body.strip():
            raise InvalidInput("The body is empty.", hint="Send one object, or an array of objects.")
        try:
            try:
                found: object = _decode(body)
            except msgspec.ValidationError:
                found = _decode_any(body)
            json.loads(body, object_pairs_hook=_each_key_once)
        except (msgspec.DecodeError, UnicodeDecodeError) as err:
            raise InvalidInput(f"The body is not JSON that can be read: {err}.") from err
        except RecursionError as err:
            raise InvalidInput("The body is nested too deeply.", hint="Feedback holds plain values only.") from err
        entries = found if isinstance(found, list) else [found]
        return self._collect(entries, len(entries))

    def from_csv(self, text: str) -> list[Said]:
        """Read a table with a header line; an empty cell says nothing.

        Its columns are those of `Said`, in any order, and `values.NAME` for a number. Rows are counted from 0, after the header.

        Raises:
            InvalidInput: There is no header or no row.
            SchemaMismatch: The header or a row does not fit.
            TooLarge: There are more rows than may come at once.
        """
        records = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
        try:
            header = next(records, None)
            if not header:
                raise InvalidInput("The table is empty.", hint=f"The first line names the columns: {_NAMES}.")
            _check_header(header)
            lines = [record for record in records if record]
        except csv.Error as err:
            raise InvalidInput(f"The table is not CSV: {err}, near line {records.line_num}.") from err
        return self._collect((self._of_cells(header, line) for line in lines), len(lines))

    def from_form(self, fields: Mapping[str, str]) -> Said:
        """Read one feedback from texts by field; an empty text says nothing.

        Raises:
            SchemaMismatch: A field does not fit.
        """
        return self._collect([self._of_texts(fields.items())], 1)[0]

    def _collect(self, entries: Iterable[object], count: int) -> list[Said]:
        """Check every entry; raise once, naming up to `MAX_PROBLEMS` problems with their rows."""
        if count == 0:
            raise InvalidInput("There is no feedback.", hint="Send at least one.")
        if count > self._most:
            detail = f"{count} feedbacks are more than the {self._most} that one request may hold."
            raise TooLarge(detail, hint="Send them in parts.", rows=count, limit=self._most)
        good: list[Said] = []
        problems: list[tuple[int | None, _Problem]] = []
        for number, entry in enumerate(entries):
            said = entry if isinstance(entry, Said) else _typed(entry)
            found = self._fitted(said) if isinstance(said, Said) else said
            if isinstance(found, Said):
                good.append(found)
                continue
            problems += [(number, problem) for problem in found]
            if len(problems) >= MAX_PROBLEMS:
                break
        if problems:
            raise _mismatch(problems[:MAX_PROBLEMS])
        return good

    def _fitted(self, said: Said) -> Said | list[_Problem]:
        """With the label as the schema has it and the comment without blanks around it; or what is wrong."""
        comment = (said.comment or "").strip() or None
        label = None if said.label is None else self._label(said.label)
        if isinstance(label, _Problem):
            return [label]
        if label is not None and said.about == "page":
            hint = "A label is about the answer: leave `about` out."
            return [_Problem("label", "none, since this is about the page", kind_of(label), hint)]
        if label is None and said.rating is None and comment is None and not said.values:
            return [_Problem("", "a label, a rating, a comment or values", "none of them")]
        if label is said.label and comment == said.comment:
            return said
        return msgspec.structs.replace(said, label=label, comment=comment)

    def _label(self, value: str | float) -> str | float | _Problem:
        """The class, or the number, that a label is."""
        if self._output.task == "classification":
            found = self._classes.get((isinstance(value, bool), value))
            return self._no_class(value) if found is None else found
        if isinstance(value, bool | str):
            return _Problem("label", "a number", kind_of(value), _unquoted(value))
        try:
            return float(value)
        except OverflowError:
            return _Problem("label", "a number", "a number out of range", "The largest is about 1.8e308.")

    def _no_class(self, value: str | float) -> _Problem:
        shown = [json.dumps(one, ensure_ascii=False) for one in self._output.classes[:_SHOWN_CLASSES]]
        more = len(self._output.classes) - len(shown)
        expected = ("one of " if len(shown) > 1 else "") + ", ".join(shown) + (f" and {more} more" if more > 0 else "")
        if label_text(value) in self._texts:
            hint = "Numbers and booleans stand without quotes." if isinstance(value, str) else "Text stands in quotes."
        else:
            near = difflib.get_close_matches(label_text(value)[:200], list(self._texts), 1)
            hint = f"Did you mean {json.dumps(self._texts[near[0]], ensure_ascii=False)}?" if near else ""
        return _Problem("label", expected, kind_of(value), hint)

    def _of_cells(self, header: Sequence[str], record: Sequence[str]) -> object:
        if len(record) != len(header):
            return _WrongWidth(len(header), len(record))
        return self._of_texts(zip(header, record, strict=True))

    def _of_texts(self, texts: Iterable[tuple[str, str]]) -> dict[str, object]:
        """What was told in texts, as JSON would have told it; what cannot be read stays text and is refused as such."""
        found: dict[str, object] = {}
        values: dict[str, object] = {}
        for name, text in texts:
            if not (bare := text.strip()):
                continue
            if name.startswith(VALUE_PREFIX):
                values[name.removeprefix(VALUE_PREFIX)] = _number(bare)
            elif name == "label":
                found[name] = self._label_of(text)
            elif name == "rating":
                found[name] = int(bare) if bare.isascii() and bare.isdigit() and len(bare) < 10 else bare
            else:
                found[name] = text if name == "comment" else bare
        return {**found, "values": values} if values else found

    def _label_of(self, text: str) -> Value:
        """The label that a text means: a class as JSON writes it, a number, or yes and no in other words."""
        for spelled in (text, text.strip()):
            if spelled in self._texts:
                return self._texts[spelled]
        bare = text.strip()
        if any(isinstance(one, bool) for one in self._output.classes):
            return boolean_of(bare)
        return bare if any(isinstance(one, str) for one in self._output.classes) else _number(bare)


class _WrongWidth(NamedTuple):
    """A line of a table with more or fewer cells than its header."""

    expected: int
    got: int


def _each_key_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise SchemaMismatch(f"The key {twice[:_SHOWN]!r} stands twice in one object.", field=twice[:_SHOWN])
    return found


def _typed(entry: object) -> Said | list[_Problem]:
    """An entry that the decoder did not take: what is wrong with it, or that nothing is."""
    if isinstance(entry, _WrongWidth):
        return [_Problem("", f"{entry.expected} cells", str(entry.got))]
    if not isinstance(entry, dict):
        return [_Problem("", f"an object with {_NAMES}", kind_of(entry))]
    if isinstance(rating := entry.get("rating"), float) and rating.is_integer():
        entry = {**entry, "rating": int(rating)}  # JSON does not tell 4.0 from 4
    problems = [_unknown(name) for name in entry if name not in _FIELDS]
    if "id" not in entry:
        hint = "The answer to a prediction has it."
        problems.append(_Problem("id", _FIELDS["id"][1], "nothing", hint))
    for name, value in entry.items():
        if name in _FIELDS and not _fits(value, _FIELDS[name][0]):
            problems += _misfits(name, value)
    return problems or msgspec.convert(entry, Said)


def _misfits(name: str, value: object) -> Iterator[_Problem]:
    """What is wrong with one field; for values, which of them."""
    if name != "values" or not isinstance(value, dict) or len(value) > MOST_VALUES:
        got = f"{len(value):,} of them" if isinstance(value, dict) else kind_of(value)
        if name == "comment" and isinstance(value, str):
            got = f"{len(value):,} characters"
        yield _Problem(name, _FIELDS[name][1], got, _unquoted(value) if name == "rating" else "")
        return
    for key, number in value.items():
        field = f"{VALUE_PREFIX}{key[:_SHOWN]}"
        if not _fits({key: 0.0}, _Numbers):
            rule = "Use 1 to 64 of A-Z, a-z, 0-9, '_', '.' and '-', beginning with a letter or '_'."
            yield _Problem(field, "a name", kind_of(key), rule)
        elif not _fits(number, float):
            yield _Problem(field, "a finite number", kind_of(number), _unquoted(number))


def _fits(value: object, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _unknown(name: str) -> _Problem:
    near = difflib.get_close_matches(name[:200], list(_FIELDS), 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Feedback has {_NAMES}."
    return _Problem(name[:_SHOWN], "a field of feedback", "an unknown field", hint)


def _check_header(header: Sequence[str]) -> None:
    hint = f"The columns are {_NAMES.replace('values', VALUE_PREFIX + 'NAME')}."
    problems = [
        _Problem(name[:_SHOWN], "a column of feedback", "an unknown column", hint)
        for name in header
        if not (name in _FIELDS and name != "values") and not name.startswith(VALUE_PREFIX)
    ]
    problems += [
        _Problem(name[:_SHOWN], "once", f"{header.count(name)} times", hint)
        for name in dict.fromkeys(header)
        if header.count(name) > 1
    ]
    if "id" not in header:
        problems.append(_Problem("id", "a column", "nothing", hint))
    if problems:
        raise _mismatch([(None, problem) for problem in problems[:MAX_PROBLEMS]])


def _number(text: str) -> float | str:
    try:
        number = float(text) if "_" not in text else math.nan
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _unquoted(value: object) -> str:
    quoted = isinstance(value, str) and not isinstance(_number(value.strip()), str)
    return "Numbers stand without quotes." if quoted else ""


def _mismatch(problems: Sequence[tuple[int | None, _Problem]]) -> SchemaMismatch:
    """One error that tells the first problem in words and lists all of them as data."""
    row, first = problems[0]
    where = "The header: " if row is None else f"Row {row}: "
    field = f"field {first.field!r}: " if first.field else ""
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    listed = [{"row": number, **problem._asdict()} for number, problem in problems]
    return SchemaMismatch(
        f"{where}{field}expected {first.expected}, got {first.got}{more}.",
        hint=first.hint,
        row=row,
        field=first.field or None,
        expected=first.expected,
        got=first.got,
        errors=[{name: told for name, told in one.items() if told not in {None, ""}} for one in listed],
    )
