"""People decide, the model answers in the dark: what an application learns, what is recorded, and what every other door says.

What the model must have recorded is scikit-learn's own answer; what a door must say is its protocol's error shape.
"""

import asyncio
import json
import shutil
import time

import httpx
import pytest

from fairlead.eventlog.tail import Tail
from fairlead.events import Feedback, Prediction
from running import cli, free_port, post, serving
from tables import change_endpoint, mirror_of, wait_for_revision

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(packed_home, tmp_path_factory):
    """`flights` decides nothing, people do; `open` answers."""
    home = shutil.copytree(packed_home, tmp_path_factory.mktemp("dark") / "home")
    cli(home, "deploy", "flights:1")
    cli(home, "deploy", "flights:1", "--endpoint", "open")
    revision = change_endpoint(home, "flights", dark=True)
    grpc = free_port()
    with serving(home, "--grpc-port", str(grpc)) as running:
        wait_for_revision(running, revision)
        running.grpc_port = grpc
        yield running


@pytest.fixture
def events(service):
    """Reads the events that have come since the last look."""
    tail = Tail(service.home / "events", time.time())
    list(tail.read())
    return lambda: list(tail.read())


def told(service, body, path="/cases/flights"):
    status, headers, content = post(service.port, path, json.dumps(body).encode())
    return status, json.loads(content), headers


def test_a_case_is_answered_with_its_id_and_the_model_answers_in_the_dark(
    service, events, april_rows, late_probabilities
):
    status, answer, _ = told(service, {"case": april_rows[0]})
    assert (status, set(answer)) == (202, {"id"})
    (prediction,) = events()[-1:]
    assert isinstance(prediction, Prediction)
    assert (prediction.id, prediction.exposure, prediction.status) == (answer["id"], "dark", "ok")
    assert max(prediction.probabilities) == pytest.approx(
        max(late_probabilities["flights:1"][0], 1 - late_probabilities["flights:1"][0]), abs=1e-9
    )


def test_a_decision_that_comes_with_its_case_stands_beside_the_models_answer(service, events, april_rows):
    cases = [
        {"case": april_rows[0], "decision": "late"},
        {"case": april_rows[1]},
        {"case": april_rows[2], "decision": None},
    ]
    status, answers, _ = told(service, cases)
    assert (status, len(answers)) == (202, 3)
    found = events()
    assert [one.id for one in found if isinstance(one, Prediction)] == [one["id"] for one in answers]
    assert [(one.id, one.label, one.source) for one in found if isinstance(one, Feedback)] == [
        (answers[0]["id"], "late", "decision")
    ]


def test_a_decision_may_come_later(service, events, april_rows):
    _, answer, _ = told(service, {"case": april_rows[3]})
    status, _, _ = told(service, {"id": answer["id"], "label": "late"}, "/feedback/flights")
    assert status == 200
    assert [(one.id, one.label) for one in events() if isinstance(one, Feedback)] == [(answer["id"], "late")]


def test_many_cases_of_one_body_are_read_apart(service, events, april_rows):
    status, answers, _ = told(service, [{"case": row, "decision": "late"} for row in april_rows[:800]])
    assert (status, len({one["id"] for one in answers})) == (202, 800)
    found = events()
    assert sum(isinstance(one, Feedback) for one in found) == sum(isinstance(one, Prediction) for one in found) == 800


WRONG = {
    "no case": ({"decision": "late"}, 422, "case"),
    "an unknown field": ({"case": {}, "decison": "late"}, 422, "decison"),
    "a decision of another type": ({"case": "ROW", "decision": 1}, 422, "decision is 1"),
    "a class that is none": ({"case": "ROW", "decision": "perhaps"}, 422, '"perhaps"'),
    "a decision that is no value": ({"case": "ROW", "decision": ["late"]}, 422, "decision"),
    "no list": ([], 400, "no row"),
    "a row that is none": ({"case": 3}, 422, "Row 0"),
    "a row that lacks columns": ([{"case": "ROW"}, {"case": {}}], 422, "Row 1"),
    "a number": (3, 422, "list of cases"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_told_with_its_place_and_nothing_is_recorded(service, events, april_rows, kind):
    body, expected, words = WRONG[kind]
    text = json.dumps(body).replace('"ROW"', json.dumps(april_rows[0]))
    status, _, content = post(service.port, "/cases/flights", text.encode())
    answer = json.loads(content)
    assert (status, answer["status"]) == (expected, expected)
    assert words in answer["detail"]
    assert not [one for one in events() if isinstance(one, Feedback) or getattr(one, "status", "") == "ok"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff", "JSON"),
        (b'{"case": {}, "case": {}}', "twice"),
        (b'{"case": {}}, {"case": {}}', "more than one"),
        (b'{"case": {"x": NaN}}', "JSON"),
        (b'{"case": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested"),
    ],
    ids=["nothing", "half", "no text", "twice", "two values", "NaN", "deep"],
)
def test_a_body_that_is_no_json_is_refused(service, body, words):
    status, _, content = post(service.port, "/cases/flights", body)
    assert status == 400
    assert words in json.loads(content)["detail"]


def test_a_table_another_method_and_an_unknown_endpoint_are_refused(service):
    assert post(service.port, "/cases/flights", b"a,b\n1,2\n", "text/csv")[0] == 415
    status, headers, _ = post(service.port, "/cases/flights", b"", None, "GET")
    assert (status, headers["allow"]) == (405, "post")
    assert post(service.port, "/cases/nowhere", b"{}")[0] == 404


def test_where_the_model_answers_cases_are_not_taken(service, april_rows):
    status, answer, _ = told(service, {"case": april_rows[0]}, "/cases/open")
    assert (status, answer["code"]) == (409, "conflict")
    assert "/predict/open" in answer["hint"]


def test_who_asks_the_model_is_sent_to_the_cases_in_the_shape_of_the_protocol(service, april_rows):
    row = whole(april_rows[0])
    v2 = {"inputs": [{"name": k, "shape": [1, 1], "datatype": kind(v), "data": [v]} for k, v in row.items()]}
    asked = {
        "/predict/flights": (row, "detail"),
        "/v1/models/flights:predict": ({"instances": [row]}, "error"),
        "/v2/models/flights/infer": (v2, "error"),
    }
    for path, (body, where) in asked.items():
        status, answer, _ = told(service, body, path)
        assert status == 409, (path, answer)
        assert "People decide" in answer[where], path
        assert "prediction" not in answer
    assert "/cases/flights" in told(service, row, "/predict/flights")[1]["hint"]


def whole(row):
    """The row without gaps: a tensor has none."""
    return {name: 1015.0 if value is None else value for name, value in row.items()}


def kind(value):
    return {float: "FP64", int: "INT64", bool: "BOOL", str: "BYTES"}[type(value)]


def test_grpc_refuses_as_well(service, april_rows):
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

    client = triton.InferenceServerClient(f"127.0.0.1:{service.grpc_port}")
    try:
        assert client.is_model_ready("flights")
        inputs = []
        import numpy as np

        for name, value in whole(april_rows[0]).items():
            text = isinstance(value, str)
            one = triton.InferInput(name, [1, 1], "BYTES" if text else kind(value))
            one.set_data_from_numpy(np.array([[value]], dtype=object if text else None))
            inputs.append(one)
        with pytest.raises(InferenceServerException, match="People decide"):
            client.infer("flights", inputs)
    finally:
        client.close()


def test_health_and_metadata_still_tell_the_truth(service):
    ready = json.loads(post(service.port, "/readyz", b"", None, "GET")[2])
    assert ready["endpoints"] == ["flights", "open"]
    assert post(service.port, "/v2/models/flights/ready", b"", None, "GET")[0] == 200
    assert json.loads(post(service.port, "/v2/models/flights", b"", None, "GET")[2])["name"] == "flights"


def test_the_page_refuses_and_the_others_stay(service):
    status, _, content = post(service.port, "/flights", b"", None, "GET")
    assert status == 409
    assert b"People decide" in content
    assert all(post(service.port, path, b"", None, "GET")[0] == 200 for path in ("/", "/docs", "/open"))


def test_the_description_tells_of_cases_and_not_of_answers(service):
    from openapi_spec_validator import OpenAPIV31SpecValidator

    document = json.loads(post(service.port, "/openapi.json", b"", None, "GET")[2])
    assert not list(OpenAPIV31SpecValidator(document).iter_errors())
    assert {"/cases/flights", "/predict/open"} <= document["paths"].keys()
    assert "/predict/flights" not in document["paths"]
    assert document["components"]["schemas"]["flights.Case"]["properties"]["decision"]["enum"][-1] is None


def test_a_token_for_feedback_alone_tells_no_case_and_mlflows_door_refuses(packed_home, tmp_path, april_rows):
    home = shutil.copytree(packed_home, tmp_path / "home")
    cli(home, "deploy", "flights:1")
    revision = change_endpoint(home, "flights", dark=True)
    secrets = {
        scope: json.loads(cli(home, "token", "create", scope, "--scope", scope, "--json").stdout)["token"]
        for scope in ("feedback", "predict")
    }
    with serving(home) as service:
        wait_for_revision(service, revision)
        # MLflow's door, too: it has one endpoint here.
        headers = {"authorization": f"Bearer {secrets['predict']}"}
        records = {"dataframe_records": [april_rows[0]]}
        refused = httpx.post(f"{service.url}/invocations", json=records, headers=headers, timeout=30)
        assert (refused.status_code, refused.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
        assert ask_with(service, secrets["feedback"], april_rows[0]) == 403
        assert ask_with(service, secrets["predict"], april_rows[0]) == 202


def ask_with(service, secret, row):
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.post(f"{service.url}/cases/flights", json={"case": row}, headers=headers, timeout=30).status_code


def test_an_endpoint_may_go_dark_and_live_again_under_load_and_may_have_a_shadow_in_the_dark(
    service, april_rows, events
):
    async def all_at_once(count):
        async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
            return await asyncio.gather(
                *(client.post("/cases/flights", json={"case": april_rows[n]}) for n in range(count))
            )

    change_endpoint(service.home, "flights", mirrors=(mirror_of(service.home, "flights:2"),))
    service.wait_for(lambda: "flights:2" in (service.home / "run" / "gateways" / "gateway-0.json").read_text())
    replies = asyncio.run(all_at_once(50))
    assert {one.status_code for one in replies} == {202}
    change_endpoint(service.home, "flights", dark=False, mirrors=())
    service.wait_for(lambda: told(service, april_rows[0], "/predict/flights")[0] == 200)
    change_endpoint(service.home, "flights", dark=True)
    service.wait_for(lambda: told(service, {"case": april_rows[0]})[0] == 202)
