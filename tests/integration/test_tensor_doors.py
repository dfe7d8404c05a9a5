"""The Open Inference Protocol and V1 over REST on a real service.

What the protocol is, is Triton's own client's word (and the specification's printed examples); what the models say, scikit-learn's.
"""

import asyncio
import gzip
import json
import os
import shutil
import struct

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensor_models import floats, iris, pack_all
from tritonclient.utils import InferenceServerException

from fairlead.client import Client
from fairlead.eventlog.reader import read_log
from running import cli, exchange, post, serving

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    home = tmp_path_factory.mktemp("tensors") / "home"
    return home, pack_all(home)


@pytest.fixture(scope="module")
def service(packed):
    home, models = packed
    for name in models:
        cli(home, "deploy", f"{name}:1")
    with serving(home, env={**os.environ, "FAIRLEAD_MAX_BODY": "400000"}) as running:
        yield running


@pytest.fixture(scope="module")
def models(packed):
    return packed[1]


@pytest.fixture
def client(service):
    with triton.InferenceServerClient(service.url.removeprefix("http://")) as found:
        yield found


def matrix(frame, *, binary=True, datatype="FP64"):
    tensor = triton.InferInput("input", list(frame.shape), datatype)
    kind = {"FP64": "f8", "FP32": "f4"}[datatype]
    tensor.set_data_from_numpy(floats(frame).astype(kind), binary_data=binary)
    return [tensor]


def columns(frame, *, binary=True):
    """One tensor a column; text as Triton's client takes it, as objects."""
    found = []
    for position, name in enumerate(frame):
        kind = frame[name].dtype
        datatype = {"f": "FP64", "i": "INT64", "b": "BOOL"}.get(kind.kind, "BYTES")
        values = frame[name].to_numpy(dtype=object if datatype == "BYTES" else kind).reshape(-1, 1)
        tensor = triton.InferInput(name, list(values.shape), datatype)
        # Mixed, as the binary extension allows: every second tensor travels as bytes.
        tensor.set_data_from_numpy(values, binary_data=binary if binary is not None else position % 2 == 0)
        found.append(tensor)
    return found


def ask(service, path, told, headers=""):
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{service.port}\r\nconnection: close\r\n{headers}content-length: {len(body)}\r\n\r\n"
    top, _, content = exchange(service.port, head.encode() + body).partition(b"\r\n\r\n")
    return int(top.split()[1]), top.decode().lower(), content


# -- Triton's client: health, metadata, statistics -------------------------------------------------------------------


def test_tritons_client_finds_a_server_that_is_live_and_ready(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("iris")
    assert client.is_model_ready("iris", "1")
    assert not client.is_model_ready("iris", "2")
    assert not client.is_model_ready("nothing")


def test_tritons_client_is_told_inputs_and_outputs(client, models):
    assert client.get_server_metadata()["name"] == "fairlead"
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    names = list(models["iris"][1])
    told = client.get_model_metadata("iris", "1")
    assert told["versions"] == ["1"]
    assert told["inputs"] == [
        *({"name": name, "datatype": "FP64", "shape": [-1, 1]} for name in names),
        {"name": "input", "datatype": "FP64", "shape": [-1, 4]},
    ]
    assert told["outputs"] == [
        {"name": "prediction", "datatype": "INT64", "shape": [-1, 1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, 3]},
        {"name": "id", "datatype": "BYTES", "shape": [-1, 1]},
    ]
    config = client.get_model_config("iris")
    assert config["max_batch_size"] == 10_000
    assert [one["dims"] for one in config["input"]] == [[1]] * 4 + [[4]]
    assert [one["data_type"] for one in config["output"]] == ["TYPE_INT64", "TYPE_FP64", "TYPE_STRING"]
    mixed = client.get_model_metadata("customers")["inputs"]
    assert [one["datatype"] for one in mixed] == ["BYTES", "FP64", "INT64", "BOOL"]


def test_tritons_client_lists_the_repository_and_may_not_change_it(client):
    assert [(one["name"], one["version"], one["state"]) for one in client.get_model_repository_index()] == [
        ("customers", "1", "READY"),
        ("diabetes", "1", "READY"),
        ("iris", "1", "READY"),
    ]
    for change in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="the scope 'deploy'") as refused:
            change("iris")
        assert refused.value.status() == "403"
    assert client.is_model_ready("iris")


def test_statistics_count_requests_and_rows_and_failures(client, models):
    def figures():
        (told,) = client.get_inference_statistics("diabetes")["model_stats"]
        stats = told["inference_stats"]
        return told["inference_count"], stats["success"]["count"], stats["fail"]["count"], stats["success"]["ns"]

    before = figures()
    client.infer("diabetes", matrix(models["diabetes"][1].iloc[:7]))
    with pytest.raises(InferenceServerException):
        client.infer("diabetes", matrix(models["iris"][1].iloc[:2]))
    after = figures()
    assert tuple(new - old for new, old in zip(after, before, strict=True))[:3] == (7, 1, 1)
    assert after[3] > before[3]
    names = {one["name"] for one in client.get_inference_statistics()["model_stats"]}
    assert names == {"customers", "diabetes", "iris"}


# -- Triton's client: infer ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("datatype", ["FP64", "FP32"])
@pytest.mark.parametrize("binary", [True, False], ids=["bytes", "JSON"])
def test_a_matrix_is_answered_as_scikit_learn_answers_it(client, models, binary, datatype):
    model, frame = models["iris"]
    found = client.infer("iris", matrix(frame, binary=binary, datatype=datatype), request_id="mine")
    assert found.get_response()["id"] == "mine"
    assert found.get_response()["model_version"] == "1"
    rounded = frame.astype("float32").astype("float64") if datatype == "FP32" else frame
    assert found.as_numpy("prediction").ravel().tolist() == model.predict(rounded).tolist()
    # A client that writes FP32 as JSON writes the digits of the double next to it.
    assert np.abs(found.as_numpy("probabilities") - model.predict_proba(rounded)).max() < 1e-6


@pytest.mark.parametrize("binary", [True, False, None], ids=["bytes", "JSON", "mixed"])
def test_columns_of_numbers_are_answered_as_the_matrix_is(client, models, binary):
    model, frame = models["diabetes"]
    found = client.infer("diabetes", columns(frame.iloc[:50], binary=binary)).as_numpy("prediction")
    assert found.dtype == np.float64
    assert found.ravel() == pytest.approx(model.predict(frame.iloc[:50]), rel=1e-6)


@pytest.mark.parametrize("binary", [True, None], ids=["bytes", "mixed"])
def test_text_and_missing_numbers_are_answered_as_scikit_learn_answers_them(client, models, binary):
    model, frame = models["customers"]
    tensors = columns(frame, binary=True)
    if binary is None:
        tensors[0] = columns(frame[["city"]], binary=False)[0]  # Triton's client cannot write NaN as JSON
    found = client.infer("customers", tensors)
    assert [one.decode() for one in found.as_numpy("prediction").ravel()] == model.predict(frame).tolist()
    assert np.abs(found.as_numpy("probabilities") - model.predict_proba(frame)).max() < 1e-6


def test_outputs_are_given_as_asked_in_that_order(client, models):
    frame = models["iris"][1].iloc[:3]
    wanted = [
        triton.InferRequestedOutput("id", binary_data=False),
        triton.InferRequestedOutput("probabilities", binary_data=True),
    ]
    told = client.infer("iris", matrix(frame), outputs=wanted).get_response()
    assert [(one["name"], "data" in one) for one in told["outputs"]] == [("id", True), ("probabilities", False)]
    with pytest.raises(InferenceServerException, match="There is no output 'nothing'"):
        client.infer("iris", matrix(frame), outputs=[triton.InferRequestedOutput("nothing")])


@pytest.mark.parametrize("there", ["gzip", "deflate", None])
@pytest.mark.parametrize("back", ["gzip", "deflate", None])
def test_compression_changes_nothing(client, models, there, back):
    model, frame = models["iris"]
    options = {"request_compression_algorithm": there, "response_compression_algorithm": back}
    found = client.infer("iris", matrix(frame), **options)
    assert found.as_numpy("prediction").ravel().tolist() == model.predict(frame).tolist()


def test_many_requests_at_once_each_get_their_own_answer(service, models):
    model, frame = models["diabetes"]
    expected = model.predict(frame)
    with triton.InferenceServerClient(service.url.removeprefix("http://"), concurrency=8) as client:
        pending = [client.async_infer("diabetes", matrix(frame.iloc[i : i + 1 + i % 5])) for i in range(0, 200, 5)]
        for start, one in zip(range(0, 200, 5), pending, strict=True):
            found = one.get_result(timeout=20).as_numpy("prediction").ravel()
            assert found == pytest.approx(expected[start : start + len(found)], rel=1e-6)


def test_the_request_and_response_helpers_of_the_client_agree_with_the_service(service, models):
    model, frame = models["iris"]
    body, length = triton.InferenceServerClient.generate_request_body(matrix(frame.iloc[:4]))
    status, head, content = ask(
        service, "/v2/models/iris/infer", body, f"inference-header-content-length: {length}\r\n"
    )
    assert status == 200
    told = int(head.split("inference-header-content-length: ")[1].split("\r\n")[0])
    found = triton.InferenceServerClient.parse_response_body(content, header_length=told)
    assert found.as_numpy("prediction").ravel().tolist() == model.predict(frame.iloc[:4]).tolist()


def test_errors_of_every_kind_reach_tritons_client_as_text(client, models):
    frame = models["iris"][1].iloc[:1]
    cases = [
        (lambda: client.infer("nothing", matrix(frame)), "404", "no endpoint 'nothing'"),
        (lambda: client.infer("iris", matrix(frame), model_version="9"), "404", "Version '9' of 'iris' is not live"),
        (lambda: client.infer("iris", matrix(frame.iloc[:, :3])), "400", r"the shape \[rows, 4\]"),
        (lambda: client.infer("iris", columns(frame)[:3]), "400", "petal_width"),
        (lambda: client.infer("iris", columns(models["customers"][1].iloc[:1])), "400", "unknown column"),
        (lambda: client.get_model_metadata("nothing"), "404", "no endpoint"),
        (client.get_trace_settings, "404", "nothing here"),
        (client.get_log_settings, "404", "nothing here"),
        (client.get_system_shared_memory_status, "404", "nothing here"),
        (lambda: client.infer("iris", columns(models["iris"][1].iloc[:1] * np.nan)), "400", "sepal_length"),
    ]
    for act, status, says in cases:
        with pytest.raises(InferenceServerException, match=says) as refused:
            act()
        assert refused.value.status() == status


def test_the_asynchronous_client_gets_the_same(service, models):
    model, frame = models["iris"]

    async def use():
        async with triton_aio.InferenceServerClient(service.url.removeprefix("http://")) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("iris", "1")
            assert (await client.get_server_metadata())["name"] == "fairlead"
            assert (await client.get_model_metadata("iris"))["versions"] == ["1"]
            assert (await client.get_model_config("iris"))["name"] == "iris"
            assert len(await client.get_model_repository_index()) == 3
            assert len((await client.get_inference_statistics())["model_stats"]) == 3
            found = await client.infer("iris", matrix(frame), request_compression_algorithm="gzip")
            assert found.as_numpy("prediction").ravel().tolist() == model.predict(frame).tolist()
            text = await client.infer("customers", columns(models["customers"][1].iloc[:9]))
            assert text.as_numpy("prediction").shape == (9, 1)
            with pytest.raises(InferenceServerException, match="no endpoint"):
                await client.infer("nothing", matrix(frame))

    asyncio.run(use())


@pytest.fixture
def steered(packed_iris, tmp_path):
    """A service of its own with two versions of iris, the first live, and tokens for those who may deploy and may not."""
    home = shutil.copytree(packed_iris, tmp_path / "home")
    cli(home, "deploy", "iris:1")
    tokens = {
        scope: {"Authorization": f"Bearer {cli(home, 'token', 'create', scope, '--scope', scope).stdout.strip()}"}
        for scope in ("predict", "deploy")
    }
    with (
        serving(home) as service,
        triton.InferenceServerClient(service.url.removeprefix("http://"), network_timeout=30) as client,
    ):
        yield home, client, tokens


@pytest.fixture(scope="module")
def packed_iris(tmp_path_factory):
    import fairlead

    home = tmp_path_factory.mktemp("steered") / "home"
    model, table = iris()
    for _ in range(2):
        fairlead.pack(model, name="iris", data=table, target="target", home=home)
    return home


def test_who_may_deploy_loads_the_newest_version_and_unloads_it_and_the_audit_knows(steered):
    home, client, tokens = steered

    def versions():
        index = client.get_model_repository_index(headers=tokens["predict"])
        return [(one["name"], one["version"]) for one in index]

    assert versions() == [("iris", "1")]
    with pytest.raises(InferenceServerException, match="the scope 'deploy'"):
        client.load_model("iris", headers=tokens["predict"])
    client.load_model("iris", headers=tokens["deploy"])
    assert versions() == [("iris", "2")]
    client.unload_model("iris", headers=tokens["deploy"])
    assert versions() == []
    assert not client.is_model_ready("iris", headers=tokens["predict"])
    client.load_model("iris", headers=tokens["deploy"])
    assert client.is_model_ready("iris", "2", headers=tokens["predict"])
    for act, says in (
        (lambda: client.load_model("nothing", headers=tokens["deploy"]), "nothing"),
        (lambda: client.unload_model("nothing", headers=tokens["deploy"]), "no endpoint 'nothing'"),
        (lambda: client.load_model("../etc", headers=tokens["deploy"]), "nothing here"),
        (lambda: client.load_model("Iris", headers=tokens["deploy"]), "cannot be the name"),
        (lambda: client.load_model("iris", headers=tokens["deploy"], config="{}"), "neither files nor a configuration"),
    ):
        with pytest.raises(InferenceServerException, match=says):
            act()
    assert versions() == [("iris", "2")]
    entries = [(one["action"], one["actor"]) for one in json.loads(cli(home, "audit", "--json").stdout)]
    changes = [action for action, actor in entries if actor == "token deploy" and action in {"deployed", "retired"}]
    assert changes == ["deployed", "retired", "deployed"]


def test_the_client_made_from_the_protocols_own_openapi_document_reads_every_answer(service, models):
    from open_inference.openapi.client import OpenInferenceClient
    from open_inference.openapi.errors import BadRequestError
    from open_inference.openapi.types import InferenceRequest, RequestInput, RequestOutput

    model, frame = models["iris"]
    with httpx.Client() as connections:
        client = OpenInferenceClient(base_url=service.url, httpx_client=connections)
        client.check_server_liveness()
        client.check_server_readiness()
        client.check_model_readiness("iris")
        client.check_model_version_readiness("iris", "1")
        assert client.read_server_metadata().name == "fairlead"
        assert client.read_model_metadata("iris").inputs[-1].shape == [-1, 4]
        assert client.read_model_version_metadata("iris", "1").versions == ["1"]
        tensor = RequestInput(name="input", shape=list(frame.shape), datatype="FP64", data=floats(frame).tolist())
        request = InferenceRequest(id="q", inputs=[tensor], outputs=[RequestOutput(name="probabilities")])
        for found in (
            client.model_infer("iris", request=request),
            client.model_version_infer("iris", "1", request=request),
        ):
            assert (found.id, found.model_name, found.model_version) == ("q", "iris", "1")
            (output,) = found.outputs
            got = np.array(output.data.__root__).reshape(output.shape)
            assert np.abs(got - model.predict_proba(frame)).max() < 1e-6
        with pytest.raises(BadRequestError):
            client.model_infer("iris", request=InferenceRequest(inputs=[]))


# -- the protocol by hand --------------------------------------------------------------------------------------------


def test_health_says_in_json_what_kserves_client_reads(service):
    for path, member in (("live", "live"), ("ready", "ready")):
        assert post(service.port, f"/v2/health/{path}?a=b", b"", method="GET")[::2] == (
            200,
            b'{"%b":true}' % member.encode(),
        )
    assert json.loads(post(service.port, "/v2/models/iris/ready", b"", method="GET")[2]) == {
        "name": "iris",
        "ready": True,
    }
    assert json.loads(post(service.port, "/v2/models", b"", method="GET")[2]) == {
        "models": ["customers", "diabetes", "iris"]
    }


def test_a_request_without_a_name_gets_one_and_its_predictions_are_in_the_event_log(service, models):
    frame = models["iris"][1].iloc[:2]
    told = {"inputs": [{"name": "input", "shape": [2, 4], "datatype": "FP64", "data": floats(frame).tolist()}]}
    status, head, body = ask(service, "/v2/models/iris/versions/1/infer", told)
    assert status == 200
    assert "content-type: application/json" in head
    found = json.loads(body)
    ids = next(one["data"] for one in found["outputs"] if one["name"] == "id")
    assert found["id"] == ids[0]
    assert set(ids) <= {one.prediction.id for one in read_log(service.home / "events")}


def test_a_body_of_nothing_but_bytes_is_answered_in_bytes(service, models):
    model, frame = models["iris"]
    status, head, body = ask(
        service, "/v2/models/iris/infer", floats(frame.iloc[:3]).tobytes(), "Inference-Header-Content-Length: 0\r\n"
    )
    assert status == 200
    length = int(head.split("inference-header-content-length: ")[1].split("\r\n")[0])
    first = json.loads(body[:length])["outputs"][0]
    assert first["parameters"] == {"binary_data_size": 24}
    assert struct.unpack("<3q", body[length : length + 24]) == tuple(model.predict(frame.iloc[:3]))


def test_the_index_may_be_asked_with_a_body_and_without(service):
    for body in (b"", b"{}", b'{"ready": true}', b'{"ready": false}'):
        assert len(json.loads(ask(service, "/v2/repository/index", body)[2])) == 3
    for body in (b"[]", b"x", b'{"ready": 1}', b"\xff"):
        assert ask(service, "/v2/repository/index", body)[0] == 400


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/iris/nothing", 404),
        ("GET", "/v2/models/iris/versions", 404),
        ("GET", "/v2/models/..%2F..%2Fetc", 404),
        ("GET", "/v2/models/%00/config", 404),
        ("GET", "/v2/models/iris/infer", 405),
        ("DELETE", "/v2/models/iris", 405),
        ("POST", "/v2", 405),
        ("POST", "/v2/health/ready", 405),
        ("GET", "/v2/repository/index", 405),
        ("POST", "/v2/models/iris/infer", 400),
        ("POST", "/v2/repository/models/iris/load", 403),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/models/nothing", 404),
        ("GET", "/v1/models/iris:predict", 405),
        ("POST", "/v1/models/iris", 405),
        ("POST", "/v1/models/iris:explain", 404),
        ("POST", "/v1/models/iris/versions/2:predict", 404),
        ("POST", "/v1/models/iris:predict", 400),
    ],
)
def test_every_failure_is_one_member_named_error(service, method, path, status):
    found, headers, body = post(service.port, path, b"", None, method)
    assert (found, headers["content-type"]) == (status, "application/json")
    told = json.loads(body)
    assert list(told) == ["error"]
    assert len(told["error"]) > 10
    assert ("allow" in headers) == (status == 405)


def test_bodies_that_are_too_large_or_inflate_to_it_are_refused_in_the_same_words(service):
    for path in ("/v2/models/iris/infer", "/v1/models/iris:predict"):
        status, headers, body = post(service.port, path, bytes(500_000), None)
        assert (status, list(json.loads(body)), headers["content-type"]) == (413, ["error"], "application/json")
        status, _, body = ask(service, path, gzip.compress(bytes(500_000)), "content-encoding: gzip\r\n")
        assert (status, list(json.loads(body))) == (413, ["error"])
        assert ask(service, path, b"plain", "content-encoding: gzip\r\n")[0] == 400
        assert ask(service, path, b"{}", "content-encoding: br\r\n")[0] == 415


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TENSORS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["input", "sepal_length", "sepal_width", "petal_length", "petal_width", "x"]),
        "shape": st.lists(st.integers(-2, 5) | st.integers(), max_size=3) | JSON_VALUES,
        "datatype": st.sampled_from(["FP64", "FP32", "INT64", "UINT8", "BYTES", "BOOL", "FP16", "BF16", "?"]),
    },
    optional={
        "data": st.lists(st.floats() | st.integers(-300, 300), max_size=8) | JSON_VALUES,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 40)}) | JSON_VALUES,
    },
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.fixed_dictionaries(
        {"inputs": st.lists(TENSORS, max_size=5) | JSON_VALUES},
        optional={"id": JSON_VALUES, "outputs": JSON_VALUES, "parameters": JSON_VALUES, "instances": JSON_VALUES},
    ),
    st.binary(max_size=40),
    st.integers(-5, 5),
)
def test_no_request_makes_the_service_fail(service, told, tail, off):
    text = json.dumps(told).encode()
    header = f"inference-header-content-length: {max(0, len(text) + off)}\r\n" if tail or off else ""
    status, _, body = ask(service, "/v2/models/iris/infer", text + tail, header)
    assert status in {200, 400, 413}
    assert status == 200 or list(json.loads(body)) == ["error"]
    status, _, body = ask(service, "/v1/models/customers:predict", text)
    assert status in {200, 400, 413}
    assert status == 200 or list(json.loads(body)) == ["error"]


def test_nobody_has_killed_the_service_and_no_cause_was_logged(service, models):
    frame = models["iris"][1].iloc[:1]
    with Client(service.url) as client:
        assert client.predict("iris", frame.to_dict("records")[0]).prediction == 0
    assert "Traceback" not in service.log


# -- V1 --------------------------------------------------------------------------------------------------------------


def predict(service, name, told, path="/v1/models/{}:predict"):
    status, _, body = ask(service, path.format(name), told)
    assert status == 200, body
    return json.loads(body)


def test_v1_answers_labels_as_scikit_learns_predict_does(service, models):
    model, frame = models["customers"]
    expected = model.predict(frame).tolist()
    rows = json.loads(frame.to_json(orient="records"))
    lists = json.loads(frame.to_json(orient="values"))
    byname = json.loads(frame.to_json(orient="split"))["data"]
    assert predict(service, "customers", {"instances": rows}) == {"predictions": expected}
    assert predict(service, "customers", {"instances": lists}, "/v1/models/{}%3Apredict") == {"predictions": expected}
    named = {name: [row[place] for row in byname] for place, name in enumerate(frame)}
    told = predict(service, "customers", {"inputs": named, "signature_name": "x"}, "/v1/models/{}/versions/1:predict")
    assert told == {"predictions": expected, "outputs": expected}


def test_v1_answers_numbers_as_scikit_learns_predict_does(service, models):
    model, frame = models["diabetes"]
    found = predict(service, "diabetes", {"instances": floats(frame.iloc[:20]).tolist()})["predictions"]
    assert found == pytest.approx(model.predict(frame.iloc[:20]), rel=1e-6)


def test_v1_tells_of_its_models_as_kserve_and_as_tensorflow_serving_do(service):
    def get(path):
        return json.loads(post(service.port, path, b"", method="GET")[2])

    assert get("/v1/models") == {"models": ["customers", "diabetes", "iris"]}
    for path in ("/v1/models/iris", "/v1/models/iris/versions/1"):
        assert get(path)["ready"] is True
        (state,) = get(path)["model_version_status"]
        assert state == {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    told = get("/v1/models/customers/metadata")
    assert told["model_spec"] == {"name": "customers", "signature_name": "", "version": "1"}
    signature = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert {name: one["dtype"] for name, one in signature["inputs"].items()} == {
        "city": "DT_STRING",
        "age": "DT_DOUBLE",
        "visits": "DT_INT64",
        "member": "DT_BOOL",
    }


def test_v1_names_the_row_and_the_column_that_is_wrong(service):
    rows = [
        {"city": "Oslo", "age": 3, "visits": 1, "member": True},
        {"city": "Oslo", "age": "3", "visits": 1, "member": True},
    ]
    status, _, body = ask(service, "/v1/models/customers:predict", {"instances": rows})
    assert status == 400
    assert json.loads(body)["error"].startswith("Row 1: column 'age': expected a number or null, got the text '3'.")
