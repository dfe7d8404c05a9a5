"""`/invocations`: MLflow's and SageMaker's clients.

The bodies are those of MLflow's documentation ("Deploy MLflow Model as a Local Inference Server") and those that its
`ScoringServerClient` (mlflow-skinny 3.17.2) writes; the truth is scikit-learn's own answer.
"""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairlead.demo.flights import COLUMNS
from running import cli, exchange, serving


@pytest.fixture(scope="module")
def service(packed_home, tmp_path_factory):
    import shutil

    home = shutil.copytree(packed_home, tmp_path_factory.mktemp("invocations") / "home")
    cli(home, "deploy", "flights:1")
    with serving(home) as running:
        yield running


@pytest.fixture(scope="module")
def frame(april):
    """The first flights lack the air pressure, the others do not."""
    lacking = april[april["pressure"].isna()].iloc[:5]
    return pd.concat([lacking, april[april["pressure"].notna()].iloc[:15]])[list(COLUMNS)].reset_index(drop=True)


@pytest.fixture(scope="module")
def labels(models, frame):
    return models["flights:1"].predict(frame).tolist()


def ask(service, body, content_type="application/json", query="", method="POST"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = f"content-type: {content_type}\r\n" if content_type else ""
    head = f"{method} /invocations{query} HTTP/1.1\r\nhost: 127.0.0.1:{service.port}\r\n{kind}"
    sent = f"{head}content-length: {len(data)}\r\nconnection: close\r\n\r\n".encode() + data
    top, _, content = exchange(service.port, sent).partition(b"\r\n\r\n")
    return int(top.split()[1]), json.loads(content)


def shapes(frame):
    """The same rows in each of the shapes, NaN as Python's clients write it."""
    split = frame.to_dict(orient="split")
    return {
        "split": {"dataframe_split": split},
        "split without an index": {"dataframe_split": {"columns": split["columns"], "data": split["data"]}},
        "records": {"dataframe_records": frame.to_dict(orient="records")},
        "instances of records": {"instances": frame.to_dict(orient="records")},
        "instances of lists": {"instances": split["data"]},
        "inputs by column": {"inputs": frame.to_dict(orient="list")},
        "inputs as columns of one": {
            "inputs": {name: [[one] for one in entries] for name, entries in frame.to_dict(orient="list").items()}
        },
        "inputs as a matrix": {"inputs": split["data"]},
        "a column more": {"dataframe_split": frame.assign(extra=1).to_dict(orient="split")},
    }


SHAPES = list(shapes(pd.DataFrame({name: [1] for name in COLUMNS})))


@pytest.mark.parametrize("shape", SHAPES)
def test_each_json_shape_is_answered_as_scikit_learn_answers(service, frame, labels, shape):
    assert ask(service, shapes(frame)[shape]) == (200, {"predictions": labels})


def test_csv_with_and_without_a_header_and_parquet(service, frame, labels):
    assert ask(service, frame.to_csv(index=False).encode(), "text/csv; charset=utf-8") == (200, {"predictions": labels})
    bare = frame.to_csv(index=False, header=False).encode()
    assert ask(service, bare, "text/csv; header=absent") == (200, {"predictions": labels})
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    found = ask(service, buffer.getvalue(), "application/vnd.apache.parquet")
    assert found == (200, {"predictions": labels})


def test_probabilities_are_given_to_those_who_ask(service, frame, models):
    body = {"dataframe_split": frame.to_dict(orient="split"), "params": {"predict_method": "predict_proba"}}
    status, told = ask(service, body)
    assert status == 200
    assert np.abs(np.array(told["predictions"]) - models["flights:1"].predict_proba(frame)).max() < 1e-12


def test_many_rows_and_a_compressed_body_are_read_beside_the_loop(service, frame, labels):
    body = json.dumps({"dataframe_split": pd.concat([frame] * 60).to_dict(orient="split")}).encode()
    assert len(body) > 64 * 1024
    assert ask(service, body) == (200, {"predictions": labels * 60})
    packed = gzip.compress(body)
    sent = (
        f"POST /invocations HTTP/1.1\r\nhost: 127.0.0.1:{service.port}\r\ncontent-encoding: gzip\r\n"
        f"content-type: application/json\r\ncontent-length: {len(packed)}\r\nconnection: close\r\n\r\n"
    ).encode() + packed
    assert json.loads(exchange(service.port, sent).partition(b"\r\n\r\n")[2]) == {"predictions": labels * 60}


def refusals(frame):
    row = frame.iloc[-1].to_dict()
    split = frame.iloc[-2:].to_dict(orient="split")
    narrow = {"columns": split["columns"], "data": [split["data"][0], split["data"][1][:-1]]}
    deep = b'{"inputs":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
    return {
        "nothing": (b"", 400, "BAD_REQUEST", "JSON"),
        "no JSON": (b"{", 400, "BAD_REQUEST", "JSON"),
        "no UTF-8": (b'{"inputs": "\xff"}', 400, "BAD_REQUEST", "UTF-8"),
        "a list": (b"[]", 400, "BAD_REQUEST", "object"),
        "no shape": ({"data": []}, 400, "BAD_REQUEST", "dataframe_split"),
        "two shapes": ({"inputs": [], "instances": []}, 400, "BAD_REQUEST", "exactly one"),
        "unknown params": ({"inputs": [row], "params": {"temperature": 1}}, 400, "BAD_REQUEST", "params"),
        "an unknown member": ({"inputs": [row], "parms": {}}, 400, "BAD_REQUEST", "parms"),
        "no row": ({"dataframe_records": []}, 400, "BAD_REQUEST", "no row"),
        "a row too narrow": ({"dataframe_split": narrow}, 400, "INVALID_PARAMETER_VALUE", "Row 1"),
        "text for a number": (
            {"dataframe_records": [row, {**row, "temp": "warm"}]},
            400,
            "INVALID_PARAMETER_VALUE",
            "'temp'",
        ),
        "infinity": ({"inputs": [{**row, "temp": float("inf")}]}, 400, "INVALID_PARAMETER_VALUE", "'temp'"),
        "a column less": (
            {"dataframe_records": [{k: v for k, v in row.items() if k != "dest"}]},
            400,
            "INVALID_PARAMETER_VALUE",
            "'dest'",
        ),
        "ragged columns": (
            {"inputs": {**{k: [v] for k, v in row.items()}, "dest": []}},
            400,
            "BAD_REQUEST",
            "no row",
        ),
        "a scalar column": ({"inputs": row}, 400, "INVALID_PARAMETER_VALUE", "list"),
        "mixed records": ({"instances": [row, 1]}, 400, "INVALID_PARAMETER_VALUE", "Row 0"),
        "too many rows": ({"inputs": [[1]] * 10_001}, 413, "BAD_REQUEST", "10001"),
        "too deep": (deep, 400, "BAD_REQUEST", ""),
    }


@pytest.mark.parametrize("case", list(refusals(pd.DataFrame({name: [1, 2] for name in COLUMNS}))))
def test_what_cannot_be_answered_is_told_in_mlflows_shape(service, frame, case):
    body, status, code, word = refusals(frame)[case]
    found, told = ask(service, body)
    assert (found, set(told), told["error_code"]) == (status, {"error_code", "message"}, code)
    assert word in told["message"]
    assert "Traceback" not in told["message"]
    assert ".py" not in told["message"]


@pytest.mark.parametrize("kind", ["text/xml", "application/json; charset=latin-1", "application/json; odd=1"])
def test_other_content_types_are_415(service, kind):
    status, told = ask(service, b"{}", kind)
    assert (status, told["error_code"]) == (415, "BAD_REQUEST")


def test_bytes_that_only_say_they_are_parquet(service):
    for body in (b"PAR1", b"PAR1" + b"\xff" * 100 + b"PAR1", b""):
        status, told = ask(service, body, "application/vnd.apache.parquet")
        assert (status, told["error_code"]) == (400, "BAD_REQUEST")


def test_parquet_of_more_rows_than_a_request_may_hold_is_not_unpacked(service):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"carrier": pa.array(["UA"] * 1_000_000)}), buffer)
    assert len(buffer.getvalue()) < 10_000
    assert ask(service, buffer.getvalue(), "application/vnd.apache.parquet")[0] == 413


def test_another_method_and_another_endpoint_are_told_in_the_same_shape(service, frame):
    assert ask(service, b"", method="GET")[1]["error_code"] == "BAD_REQUEST"
    status, told = ask(service, shapes(frame)["split"], query="?endpoint=trains")
    assert (status, told["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_ping_health_and_version(service):
    for path in ("/ping", "/health"):
        sent = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{service.port}\r\nconnection: close\r\n\r\n".encode()
        assert exchange(service.port, sent).endswith(b"\r\n\r\n\n")
    sent = f"GET /version HTTP/1.1\r\nhost: 127.0.0.1:{service.port}\r\nconnection: close\r\n\r\n".encode()
    import fairlead

    assert exchange(service.port, sent).endswith(fairlead.__version__.encode())


def test_several_endpoints_must_be_told_apart(service, frame, labels):
    cli(service.home, "deploy", "flights:2", "--endpoint", "small")
    status, told = ask(service, shapes(frame)["split"])
    assert status == 400
    assert "small" in told["message"]
    assert ask(service, shapes(frame)["split"], query="?endpoint=flights") == (200, {"predictions": labels})
