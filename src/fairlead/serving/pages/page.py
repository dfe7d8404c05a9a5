"""The end user's page of an endpoint: a form, an answer in words, a table of answers.

The page is made on the server and whole without JavaScript; the script only spares the reload by taking the parts it needs
from the same page. What is shown is decided in pure functions (`answer_view`, `table_view`, `complaint_of`); the handlers
fetch what those need.

```
GET  /{endpoint}               the form, filled with a sample row (?sample=2)
POST /{endpoint}               the form's answer, or a table's answers where a file was sent
POST /{endpoint}/feedback      what a person says of the answer, or of the page
POST /{endpoint}/answers.csv   all answers of a table as a file
GET  /{endpoint}/template.csv  the header and sample rows
```
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.responses import HTMLResponse, Response

from fairlead.answer import Answer
from fairlead.errors import FairleadError, InvalidInput, NotFound, Overloaded, SchemaMismatch
from fairlead.schema import Column, Row, Schema, Value
from fairlead.serving.dark import people_decide
from fairlead.serving.feedback.box import FeedbackBox
from fairlead.serving.feedback.said import FeedbackReader, Said
from fairlead.serving.gateway import Gateway
from fairlead.serving.http import problems
from fairlead.serving.live import LiveEndpoint
from fairlead.serving.pages import answer_table, feedback_form, form, look, words
from fairlead.serving.pages.feedback_form import Asked, PageForm

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = [
    "SHOWN_ROWS",
    "AnswerView",
    "Complaint",
    "TableView",
    "answer_view",
    "answers_file",
    "complaint_of",
    "reply",
    "show",
    "show_or_reply",
    "table_view",
    "take_feedback",
    "template_file",
]

SHOWN_ROWS = 100
"""Rows of a table that the page shows; the file has all."""

_LARGEST_PACKED = 32 * 2**20
_CLASSES_SHOWN = 8
_MISTAKES_SHOWN = 20


class Share(msgspec.Struct, frozen=True):
    """One class with its probability: in words, as a percentage, and as the length of its bar (0 to 100)."""

    label: str
    percent: str
    length: str
    chosen: bool


class AnswerView(msgspec.Struct, frozen=True):
    """One answer, as the page says it."""

    target: str
    headline: str
    sentence: str
    shares: tuple[Share, ...]
    more_shares: tuple[Share, ...]
    notes: tuple[str, ...]
    model: str
    id: str
    iso: str
    time: str


class Line(msgspec.Struct, frozen=True):
    """One row of a table: its number from 1, the answer, what is remarkable, and the entries."""

    number: int
    prediction: str
    chance: str
    note: str
    cells: tuple[str, ...]


class TableView(msgspec.Struct, frozen=True):
    """The answers to a table: the first lines, a summary of all, and all of them packed for the file."""

    target: str
    columns: tuple[tuple[str, bool], ...]
    lines: tuple[Line, ...]
    total: int
    summary: str
    has_chance: bool
    model: str
    packed: str


class Complaint(msgspec.Struct, frozen=True):
    """Why there is no answer.

    Attributes:
        status: The HTTP status.
        title: What is wrong, in one sentence.
        hint: What to do next.
        items: The mistakes one by one, where there are several.
        by_column: What is wrong with each column's entry.
    """

    status: int
    title: str
    hint: str = ""
    items: tuple[str, ...] = ()
    by_column: dict[str, str] = {}


async def show_or_reply(request: Request) -> Response:
    """The page of an endpoint: asked for, or posted to."""
    return await (reply(request) if request.method == "POST" else show(request))


async def show(request: Request) -> Response:
    """The form, filled with one of the sample rows."""
    endpoint = _endpoint(request)
    index = _sample_index(request, len(endpoint.samples.rows))
    rows = endpoint.samples.rows
    entries = form.example_entries(endpoint.schema, rows[index]) if rows else {}
    return _page(request, endpoint, entries, sample=index)


async def reply(request: Request) -> Response:
    """The answer to a posted form, or to an uploaded table."""
    received = time.perf_counter()
    endpoint = _endpoint(request)
    index = _sample_index(request, len(endpoint.samples.rows))
    async with request.form(max_files=1, max_fields=2 * len(endpoint.schema.columns) + 8) as posted:
        upload = posted.get("table")
        if isinstance(upload, UploadFile):
            return await _reply_to_table(request, endpoint, upload, index, received)
        entries = form.posted_entries(_texts(posted))
    try:
        with _recording(request, endpoint, received):
            row = endpoint.reader.from_form(entries)
        answers = await _gateway(request).predict(endpoint.name, [row], caller=endpoint.caller(request.headers.raw))
    except FairleadError as err:
        return _page(request, endpoint, entries, sample=index, complaint=complaint_of(err), error=err)
    view = answer_view(endpoint.schema, row, answers[0], datetime.now(UTC))
    asked = Asked(feedback_form.answer_form(endpoint.schema.output, answers[0]))
    entries = form.entries_of(endpoint.schema, row)
    return _page(request, endpoint, entries, sample=index, answer=view, feedback=asked)


async def take_feedback(request: Request) -> Response:
    """What a person says of an answer, or of the page; thanks, with what they had entered still in the form."""
    endpoint = _endpoint(request)
    box = cast("FeedbackBox | None", request.app.state.feedback)
    if box is None:
        raise NotFound("Feedback is not taken here.", hint="The operator has turned the event log off.")
    index = _sample_index(request, len(endpoint.samples.rows))
    async with request.form(max_files=0, max_fields=len(endpoint.schema.columns) + 16) as form_data:
        posted = _texts(form_data)
    output, entered = endpoint.schema.output, feedback_form.entered_of(posted)
    identity, said = posted.get("prediction", ""), posted.get("said", "")
    about_page = posted.get("about") == "page"
    shown = PageForm(identity, entered) if about_page else feedback_form.asked_again(output, identity, said, entered)
    error: FairleadError | None = None
    try:
        told = _recorded(box, endpoint, posted)
    except FairleadError as err:
        place, error = Asked(shown, complaint=feedback_form.what_is_missing(err)), err
    else:
        place = Asked(shown, thanks=feedback_form.sentence_of(output, told))
    entries = form.posted_entries(posted)
    if about_page:
        return _page(request, endpoint, entries, sample=index, page_feedback=place, error=error)
    return _page(request, endpoint, entries, sample=index, feedback=place, error=error)


def _recorded(box: FeedbackBox, endpoint: LiveEndpoint, posted: Mapping[str, str]) -> Said:
    """Read what was posted, and record it."""
    output = endpoint.schema.output
    try:
        said = FeedbackReader(output).from_form(feedback_form.fields_of(output, posted))
        box.take(endpoint, [said], "page")
    except FairleadError:
        box.refuse(endpoint)
        raise
    return said


async def answers_file(request: Request) -> Response:
    """The answers that the page carried, as a CSV file."""
    endpoint = _endpoint(request)
    async with request.form(max_files=0, max_fields=4, max_part_size=_LARGEST_PACKED) as posted:
        packed = _texts(posted).get("answers", "")
    text = await run_in_threadpool(answer_table.unpack_csv, packed)
    return _file(text, f"{endpoint.name}-answers.csv")


async def template_file(request: Request) -> Response:
    """A table to fill in: the header that the model takes, and sample rows."""
    endpoint = _endpoint(request)
    return _file(answer_table.template_csv(endpoint.schema, endpoint.samples.rows[:5]), f"{endpoint.name}-template.csv")


def answer_view(schema: Schema, row: Row, answer: Answer, moment: datetime) -> AnswerView:
    """One answer in words.

    Args:
        schema: What the model takes and gives.
        row: What was asked, in the order of the schema.
        answer: What was answered.
        moment: When.
    """
    output = schema.output
    target = words.target_of(output)
    headline = words.word(answer.prediction, output.classes)
    shares = _shares(answer, output.classes)
    chance = next((f", with a probability of {share.percent}" for share in shares if share.chosen), "")
    return AnswerView(
        target=target,
        headline=headline,
        sentence=f"{target}: {headline}{chance}.",
        shares=tuple(shares[:_CLASSES_SHOWN]),
        more_shares=tuple(shares[_CLASSES_SHOWN:]),
        notes=tuple(_notes(schema, row, answer)),
        model=answer.model,
        id=answer.id,
        iso=moment.astimezone(UTC).isoformat(timespec="seconds"),
        time=words.clock(moment),
    )


def table_view(schema: Schema, rows: Sequence[Row], answers: Sequence[Answer]) -> TableView:
    """The answers to many rows: the first `SHOWN_ROWS` to read, all of them packed."""
    labels = words.labels_of(schema.names)
    numeric = ("number", "integer")
    said = Counter(words.word(answer.prediction, schema.output.classes) for answer in answers)
    most = said.most_common(4) if schema.output.task == "classification" else []
    parts = [f"{label}: {amount:,}" for label, amount in most]
    return TableView(
        target=words.target_of(schema.output),
        columns=tuple((labels[column.name], column.type in numeric) for column in schema.columns),
        lines=tuple(
            _line(schema, number, row, answer)
            for number, (row, answer) in enumerate(zip(rows[:SHOWN_ROWS], answers[:SHOWN_ROWS], strict=True), 1)
        ),
        total=len(rows),
        summary=" · ".join(parts) + (" · …" if len(said) > len(most) > 0 else ""),
        has_chance=bool(answers and answers[0].probabilities),
        model=", ".join(dict.fromkeys(answer.model for answer in answers)),
        packed=answer_table.pack_csv(answer_table.answers_csv(schema, rows, answers)),
    )


def complaint_of(error: FairleadError, *, table: bool = False) -> Complaint:
    """Why there is no answer, in words for the person at the page."""
    status = problems.status_of(error)
    mistakes = cast("list[dict[str, Any]]", error.values.get("errors") or [])[:_MISTAKES_SHOWN]
    if isinstance(error, SchemaMismatch) and mistakes:
        if table:
            items = tuple(_told_of_cell(mistake) for mistake in mistakes)
            return Complaint(status, "The table was not read: some of it does not fit.", error.hint, items)
        by_column = {str(mistake.get("field", "")): _told(mistake) for mistake in reversed(mistakes)}
        title = f"{words.count(len(by_column), 'field')} to correct"
        return Complaint(status, title, by_column=by_column)
    if isinstance(error, Overloaded):
        return Complaint(status, "The service is busy.", "Your entries are kept: send them again in a moment.")
    told = problems.problem(error)
    return Complaint(status, str(told["detail"]), error.hint)


async def _reply_to_table(
    request: Request, endpoint: LiveEndpoint, upload: UploadFile, sample: int, received: float
) -> Response:
    rows = endpoint.samples.rows
    entries = form.example_entries(endpoint.schema, rows[sample]) if rows else {}
    try:
        with _recording(request, endpoint, received):
            if not upload.filename:
                raise InvalidInput("No file was chosen.", hint="Choose a CSV file; the template shows its header.")
            text = _decoded(await upload.read())
            asked = await run_in_threadpool(endpoint.reader.from_csv, text)
        answers = await _gateway(request).predict(endpoint.name, asked, caller=endpoint.caller(request.headers.raw))
    except FairleadError as err:
        complaint = complaint_of(err, table=True)
        return _page(request, endpoint, entries, sample=sample, table_complaint=complaint, error=err)
    view = await run_in_threadpool(table_view, endpoint.schema, asked, answers)
    return _page(request, endpoint, entries, sample=sample, table=view)


def _page(  # noqa: PLR0913 - the states of one page, each by its name
    request: Request,
    endpoint: LiveEndpoint,
    entries: Mapping[str, str],
    *,
    sample: int,
    answer: AnswerView | None = None,
    table: TableView | None = None,
    complaint: Complaint | None = None,
    table_complaint: Complaint | None = None,
    feedback: Asked | None = None,
    page_feedback: Asked | None = None,
    error: FairleadError | None = None,
) -> Response:
    told = complaint or table_complaint
    open_to_feedback = request.app.state.feedback is not None
    beside = answer.id if answer else endpoint.ids.make()
    html = look.render(
        "endpoint.html",
        name=endpoint.name,
        model=endpoint.model,
        target=words.target_of(endpoint.schema.output),
        output=endpoint.schema.output,
        fields=form.fields(endpoint.schema, entries, complaint.by_column if complaint else {}),
        all_optional=all(column.nullable for column in endpoint.schema.columns),
        samples=len(endpoint.samples.rows),
        sample=sample,
        answer=answer,
        table=table,
        complaint=complaint,
        table_complaint=table_complaint,
        feedback=feedback if open_to_feedback else None,
        page_feedback=(page_feedback or Asked(PageForm(beside))) if open_to_feedback else None,
        carried=tuple(entries.items()),
        shown_rows=SHOWN_ROWS,
        max_rows=endpoint.reader.max_rows,
        max_size=words.size(request.app.state.max_body),
    )
    status = told.status if told else 200 if error is None else problems.status_of(error)
    response = HTMLResponse(html, status_code=status)
    response.headers["Cache-Control"] = "no-store"
    if isinstance(error, Overloaded):
        response.headers["Retry-After"] = str(error.values.get("retry_after", 1))
    return response


@contextlib.contextmanager
def _recording(request: Request, endpoint: LiveEndpoint, received: float) -> Iterator[None]:
    """Record what is refused before it reaches the model, as every door does."""
    try:
        yield
    except FairleadError as err:
        _gateway(request).refuse(endpoint, err, received)
        raise


def _endpoint(request: Request) -> LiveEndpoint:
    name = request.path_params["endpoint"]
    found = _gateway(request).endpoints.get(name)
    if found is None:
        raise NotFound(f"There is no page {name[:80]!r}.", hint="The start page lists what is served here.")
    if found.endpoint.dark:
        raise people_decide(name)
    return found


def _gateway(request: Request) -> Gateway:
    return cast("Gateway", request.app.state.gateway)


def _sample_index(request: Request, samples: int) -> int:
    asked = request.query_params.get("sample", "0")
    return int(asked) % samples if asked.isascii() and asked.isdigit() and len(asked) < 7 and samples else 0


def _texts(posted: FormData) -> dict[str, str]:
    return {name: text for name, text in posted.items() if isinstance(text, str)}


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        raise InvalidInput(
            f"The file is not UTF-8 text (line {line}).", hint="Save it as “CSV UTF-8” and upload it again."
        ) from err


def _file(text: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def _shares(answer: Answer, classes: tuple[Value, ...]) -> list[Share]:
    """Each class with its probability, most likely first; which one was answered is said by the prediction, not by us."""
    chances = answer.probabilities or {}
    answered = {words.exact(answer.prediction).casefold(), str(answer.prediction).casefold()}
    ordered = sorted(chances.items(), key=lambda item: -item[1])
    return [
        Share(
            words.word(name, classes), words.percent(chance), f"{max(0.0, min(100 * chance, 100.0)):.2f}",
            name.casefold() in answered,
        )
        for name, chance in ordered
    ]  # fmt: skip


def _notes(schema: Schema, row: Row, answer: Answer) -> list[str]:
    """What the reader should know before trusting the answer: entries unlike anything in training."""
    labels = words.labels_of(schema.names)
    notes = []
    for column, value in zip(schema.columns, row, strict=True):
        label = labels[column.name]
        if column.name in answer.unseen:
            notes.append(
                f"{label} “{words.exact(value)[:80]}” never occurred in training; the model knows nothing about it."
            )
        elif _outside(column, value):
            low, high = words.number(cast("float", column.minimum)), words.number(cast("float", column.maximum))
            notes.append(f"{label} {words.exact(value)} is outside the range in training ({low} to {high}).")
    return notes


def _outside(column: Column, value: Value) -> bool:
    if column.minimum is None or column.maximum is None or column.categories or not isinstance(value, int | float):
        return False
    return not column.minimum <= value <= column.maximum


def _line(schema: Schema, number: int, row: Row, answer: Answer) -> Line:
    best = next((share.percent for share in _shares(answer, schema.output.classes) if share.chosen), "")
    labels = words.labels_of(schema.names)
    note = f"unseen: {', '.join(labels.get(name, name) for name in answer.unseen)}" if answer.unseen else ""
    prediction = words.word(answer.prediction, schema.output.classes)
    return Line(number, prediction, best, note, tuple(words.exact(value) for value in row))


def _told(mistake: Mapping[str, Any]) -> str:
    expected, got = mistake.get("expected", "another value"), mistake.get("got", "")
    wanted = str(expected).removesuffix(" or null").replace("an integer", "a whole number")
    if str(got).startswith("nothing"):
        return f"Enter {wanted}."
    return f"Enter {wanted} instead of {got}. {mistake.get('hint', '')}".strip()


def _told_of_cell(mistake: Mapping[str, Any]) -> str:
    row, column = mistake.get("row"), str(mistake.get("field", ""))
    where = f"Row {row + 1}" if isinstance(row, int) else "Header"
    name = f", {column}" if column else ""
    what = f"expected {mistake.get('expected')}, got {mistake.get('got')}."
    return f"{where}{name}: {what} {mistake.get('hint', '')}".strip()
