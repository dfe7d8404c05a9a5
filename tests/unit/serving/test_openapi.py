import json
import shlex

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from fairlead import errors
from fairlead.answer import Answer
from fairlead.bundle.manifest import Expected, Samples
from fairlead.rows import RowReader
from fairlead.schema import Column, Output, Schema
from fairlead.serving.http import problems
from fairlead.serving.pages import docs_page, openapi
from live_endpoints import live_endpoint

ROW = ('O\'Hare "x"', 3, None, True)
SCHEMA = Schema(
    (
        Column("origin", "string", categories=("EWR", "JFK")),
        Column("hour", "integer", minimum=5, maximum=23, description="Scheduled hour"),
        Column("temp", "number", nullable=True, minimum=10.5, maximum=75),
        Column("holiday", "boolean"),
    ),
    Output("classification", "late", (False, True), probabilities=True),
)


EXPECTED = Expected(True, (0.25, 0.75))


class Unasked:
    """A predictor that a document never asks."""

    healthy = True
    queue = None

    async def answer(self, rows):
        raise AssertionError(rows)


def live(name="flights", schema=SCHEMA, rows=(ROW,), expected=(EXPECTED,)):
    return live_endpoint(
        name, model=f"{name}:3", schema=schema, samples=Samples(rows, expected), predictor=Unasked(), max_rows=10_000
    )


def made(*endpoints):
    document = openapi.document({one.name: one for one in endpoints}, max_body=16 * 2**20)
    return json.loads(msgspec.json.encode(document))  # as a client reads it


def nodes(tree):
    yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from nodes(child)


def schemas_of(document):
    return [
        node
        for node in nodes(document["components"])
        if isinstance(node, dict) and isinstance(node.get("type"), str | list)
    ]


@pytest.mark.parametrize(
    "endpoints",
    [
        [],
        [live()],
        [live(), live("houses-2.x", Schema(SCHEMA.columns, Output("regression")), (ROW,), (Expected(1.5),))],
        [live("bare", rows=(), expected=())],
        [
            live(
                "odd",
                Schema((Column("a/b ~<x>", "string"),), Output("classification", "y", ("p", "q"))),
                (("v",),),
                (Expected("p"),),
            )
        ],
    ],
)
def test_the_document_is_valid_openapi(endpoints):
    OpenAPIV31SpecValidator(made(*endpoints)).validate()


def test_every_text_list_and_number_is_bounded():
    for schema in schemas_of(made(live())):
        kinds = {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
        if "string" in kinds:
            assert "maxLength" in schema
        if "array" in kinds:
            assert "maxItems" in schema
        if kinds & {"number", "integer"}:
            assert {"minimum", "maximum"} <= set(schema)


def test_the_row_is_typed_from_the_schema():
    row = made(live())["components"]["schemas"]["flights.Row"]
    assert row["required"] == ["origin", "hour", "temp", "holiday"]
    assert row["additionalProperties"] is False
    assert row["properties"]["temp"]["type"] == ["number", "null"]
    assert row["properties"]["hour"]["type"] == "integer"
    assert row["properties"]["hour"]["description"] == "Scheduled hour. In training: 5 to 23."


def test_the_range_in_training_is_no_bound_because_it_is_not_enforced():
    # The reader answers a row far outside; a generated client must not refuse it.
    hour = made(live())["components"]["schemas"]["flights.Row"]["properties"]["hour"]
    assert (hour["minimum"], hour["maximum"]) == (-(2**53), 2**53)
    assert RowReader(SCHEMA).from_json(b'{"origin":"XX","hour":99,"temp":null,"holiday":false}')[0]


def test_the_example_is_a_row_that_the_reader_takes_and_an_answer_of_the_original():
    operation = made(live())["paths"]["/predict/flights"]["post"]
    content = operation["requestBody"]["content"]
    row = content["application/json"]["examples"]["one"]["value"]
    assert RowReader(SCHEMA).from_json(json.dumps(row).encode()) == ([ROW], True)
    assert RowReader(SCHEMA).from_csv(content["text/csv"]["example"]) == [ROW]
    answer = operation["responses"]["200"]["content"]["application/json"]["examples"]["one"]["value"]
    assert msgspec.convert(answer, Answer).probabilities == {"false": 0.25, "true": 0.75}


def test_every_refusal_has_its_status_and_the_codes_that_the_door_gives_it():
    told = made(live())
    for kind in (errors.NotFound, errors.TooLarge, errors.SchemaMismatch, errors.QueueFull, errors.PredictionFailed,
                 errors.DeadlineExceeded, problems.MethodNotAllowed, problems.RequestTimeout, problems.UnsupportedMediaType):  # fmt: skip
        status = problems.status_of(kind())
        assert str(status) in told["paths"]["/predict/flights"]["post"]["responses"]
        schema = told["components"]["responses"][f"Refused{status}"]["content"][problems.CONTENT_TYPE]["schema"]
        assert kind.code in schema["allOf"][1]["properties"]["code"]["enum"]


def test_every_refusal_but_the_healths_own_is_problem_details():
    told = made(live())
    assert {"401", "403", "421", "429"} <= set(told["paths"]["/predict/flights"]["post"]["responses"])
    for path, methods in told["paths"].items():
        for operation in methods.values():
            for status, found in operation["responses"].items():
                named = found.get("$ref", "").rpartition("/")[2]
                response = told["components"]["responses"].get(named, found)
                if status >= "400":
                    # Not ready is an answer as well as a refusal: it says which endpoints do not answer.
                    own = {"application/json"} if (path, status) == ("/readyz", "503") else set()
                    assert set(response["content"]) == {problems.CONTENT_TYPE} | own


@pytest.mark.parametrize("needed", [True, False])
def test_a_bearer_token_is_demanded_where_nobody_may_ask_without_one_and_never_for_health(needed):
    told = openapi.document({"flights": live()}, max_body=1000, token_needed=needed)
    OpenAPIV31SpecValidator(json.loads(msgspec.json.encode(told))).validate()
    ((name, scheme),) = told["components"]["securitySchemes"].items()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert told["security"] == ([{name: []}] if needed else [{}, {name: []}])
    assert "security" not in told["paths"]["/predict/flights"]["post"]
    assert told["paths"]["/livez"]["get"]["security"] == told["paths"]["/readyz"]["get"]["security"] == []


def test_who_must_wait_is_told_how_long_and_who_lacks_a_token_how_to_show_one():
    responses = made(live())["components"]["responses"]
    assert [name for name in responses if "Retry-After" in responses[name].get("headers", {})] == [
        "Refused429",
        "Refused503",
    ]
    assert "WWW-Authenticate" in responses["Refused401"]["headers"]


def test_each_endpoint_is_an_operation():
    told = made(live(), live("other"))
    asked = [f"/predict/{name}" for name in ("flights", "other")]
    told_of = [f"/feedback/{name}" for name in ("flights", "other")]
    assert [path for path in told["paths"] if "post" in told["paths"][path]] == asked + told_of
    assert {"/livez", "/readyz"} <= set(told["paths"])


def section(endpoint):
    return docs_page.docs_values(made(endpoint), "http://127.0.0.1:8080")["sections"][0]


def test_the_samples_on_the_page_hold_the_real_row():
    samples = {sample.key: sample.code for sample in section(live()).samples}
    row = dict(zip(SCHEMA.names, ROW, strict=True))
    words = shlex.split(samples["curl"])
    assert words[1] == "http://127.0.0.1:8080/predict/flights"
    assert json.loads(words[-1]) == row
    for key in ("python", "requests"):
        compile(samples[key], key, "exec")
        assert repr(row["origin"]) in samples[key]
    assert "fairlead.Client('http://127.0.0.1:8080')" in samples["python"]


def test_the_page_lists_what_the_document_says():
    found = section(live())
    assert [(line.name, line.type, line.nullable) for line in found.takes] == [
        ("origin", "string", False), ("hour", "integer", False), ("temp", "number", True), ("holiday", "boolean", False),
    ]  # fmt: skip
    assert {"prediction", "id", "model", "unseen", "probabilities"} == {line.name for line in found.gives}
    assert found.max_rows == 10_000


def test_an_endpoint_without_samples_has_a_page_without_examples():
    found = section(live("bare", rows=(), expected=()))
    assert (found.samples, found.row, found.answer) == ((), "", "")


def test_where_people_decide_cases_are_told_and_no_answer_is_described():
    dark = live()
    dark.endpoint = msgspec.structs.replace(dark.endpoint, dark=True)
    document = made(dark, live("open"))
    assert not list(OpenAPIV31SpecValidator(document).iter_errors())
    assert {"/cases/flights", "/predict/open"} <= document["paths"].keys()
    assert not {"/predict/flights", "/cases/open"} & document["paths"].keys()
    schemas = document["components"]["schemas"]
    assert schemas["flights.Case"]["properties"]["decision"]["enum"] == [False, True, None]
    assert "flights.Answer" not in schemas
    told = document["paths"]["/cases/flights"]["post"]["responses"]["202"]
    assert "prediction" not in json.dumps(told)
    assert [one.name for one in docs_page.docs_values(document, "http://x")["sections"]] == ["open"]
