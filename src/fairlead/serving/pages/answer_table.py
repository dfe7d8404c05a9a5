"""Many answers at once: the table behind a CSV upload, as a view for the page and as a CSV file.

The page must offer all answers as a file without asking the model twice and without keeping them: the next request may reach
another process. So the page carries them, packed, in a hidden field, and gets them back when the file is wanted. What comes
back is input like any other: its size is bounded before it is unpacked, and every cell is made safe again.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import re
import zlib
from collections.abc import Iterable, Sequence

from fairlead.answer import Answer
from fairlead.errors import InvalidInput, TooLarge
from fairlead.schema import Row, Schema, Value
from fairlead.serving.pages import words

__all__ = ["MAX_UNPACKED", "answers_csv", "pack_csv", "safe_cell", "template_csv", "unpack_csv"]

MAX_UNPACKED = 64 * 2**20
"""Bytes of CSV that are unpacked at most: the largest upload, with the answers beside it."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula; numbers stay as they are.

    Source: the rule of the OWASP page "CSV Injection".
    """
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return "'" + text
    return text


def template_csv(schema: Schema, rows: Iterable[Row]) -> str:
    """The header that the model takes, with rows to replace."""
    return _written(schema.names, ([words.exact(value) for value in row] for row in rows))


def answers_csv(schema: Schema, rows: Sequence[Row], answers: Sequence[Answer]) -> str:
    """The rows with what was answered beside them: prediction, a probability for each class, version, id, unseen columns."""
    classes = tuple(answers[0].probabilities or ()) if answers else ()
    added = ("prediction", *(f"probability_{name}" for name in classes), "model", "id", "unseen")
    header = (*schema.names, *_free(added, set(schema.names)))
    return _written(header, (_line(row, answer, classes) for row, answer in zip(rows, answers, strict=True)))


def pack_csv(text: str) -> str:
    """CSV as text that stands in a hidden field."""
    return base64.b64encode(zlib.compress(text.encode(), level=1)).decode()


def unpack_csv(packed: str) -> str:
    """The CSV of `pack_csv`, with every cell made safe again.

    Raises:
        InvalidInput: It is not what a page of ours carries.
        TooLarge: It unpacks to more than `MAX_UNPACKED` bytes.
    """
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(base64.b64decode(packed, validate=True), MAX_UNPACKED)
        if inflater.unconsumed_tail:
            raise TooLarge("The answers are larger than a page can hold.", hint="Use the API for tables of this size.")
        if not inflater.eof:
            raise ValueError("The packed answers end too early.")  # noqa: TRY301 - joins the other damages below
        records = list(csv.reader(io.StringIO(plain.decode(), newline=""), strict=True))
    except (binascii.Error, zlib.error, UnicodeDecodeError, csv.Error, ValueError) as err:
        raise InvalidInput("The answers did not come back whole.", hint="Upload the table again.") from err
    return _written(records[0] if records else (), records[1:])


def _line(row: Row, answer: Answer, classes: Sequence[str]) -> list[str]:
    chances = answer.probabilities or {}
    cells: list[Value] = [*row, answer.prediction, *(chances.get(name) for name in classes), answer.model, answer.id]
    return [*(words.exact(value) for value in cells), " ".join(answer.unseen)]


def _free(names: Sequence[str], taken: set[str]) -> list[str]:
    """Names that no column of the model has already."""
    free = []
    for name in names:
        while name in taken:
            name = f"answer_{name}"  # noqa: PLW2901 - the name grows until it is free
        taken.add(name)
        free.append(name)
    return free


def _written(header: Sequence[str], records: Iterable[Sequence[str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([safe_cell(name) for name in header])
    writer.writerows([safe_cell(cell) for cell in record] for record in records)
    return text.getvalue()
