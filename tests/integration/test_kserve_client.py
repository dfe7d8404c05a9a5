"""KServe's own inference clients, REST in both protocols and gRPC: every call that they have; the truth is scikit-learn's.

They run in an environment of their own, which is kept in the user's cache: KServe claims the names of the protocol's messages
for itself, as Triton's client does, and wants an older pandas than ours.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from own_environment import python_with
from tensor_models import floats, pack_all

from running import cli, free_port, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(330)]

KSERVE = "kserve==0.21.0"
DATATYPES = {"f": "FP64", "i": "INT64", "b": "BOOL"}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    home = tmp_path_factory.mktemp("kserve") / "home"
    return home, pack_all(home)


@pytest.fixture(scope="module")
def asked(packed):
    """Some irises, and customers of whom nothing is missing, since KServe's client cannot write NaN as JSON."""
    models = packed[1]
    return models["iris"][1].iloc[::30], models["customers"][1].dropna().iloc[:6]


@pytest.fixture(scope="module")
def told(packed, asked, tmp_path_factory):
    """What the clients were told, by protocol and call."""
    home, models = packed
    irises, customers = asked
    columns = {
        name: {"datatype": DATATYPES.get(customers[name].dtype.kind, "BYTES"), "values": customers[name].tolist()}
        for name in customers
    }
    rows = json.loads(customers.to_json(orient="records"))
    file = tmp_path_factory.mktemp("asked") / "asked.json"
    file.write_text(json.dumps({"columns": columns, "rows": rows, "matrix": floats(irises).tolist()}))
    for name in models:
        cli(home, "deploy", f"{name}:1")
    python, port = python_with(KSERVE), free_port()
    script = Path(__file__).with_name("kserve_calls.py")
    with serving(home, "--grpc-port", str(port)) as service:
        command = [str(python), str(script), service.url, f"127.0.0.1:{port}", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def labels(packed, asked):
    return packed[1]["iris"][0].predict(asked[0]).tolist(), packed[1]["customers"][0].predict(asked[1]).tolist()


def agrees(answer, name, model, frame):
    assert answer["model"] == name
    expected = model.predict_proba(frame)
    assert answer["shapes"]["probabilities"] == list(expected.shape)
    assert np.abs(np.array(answer["outputs"]["probabilities"]).reshape(expected.shape) - expected).max() < 1e-6


@pytest.mark.parametrize("protocol", ["v2", "grpc"])
def test_a_server_that_lives_and_is_ready_says_so(told, protocol):
    assert [told[protocol][call] for call in ("live", "ready", "model ready", "unknown model ready")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(("protocol", "hows"), [("v2", ("bytes", "JSON")), ("grpc", ("bytes", "contents"))])
def test_tensors_are_answered_as_scikit_learn_answers_them(told, packed, asked, protocol, hows):
    irises, customers = labels(packed, asked)
    for how in hows:
        matrix, columns = told[protocol][f"matrix as {how}"], told[protocol][f"columns as {how}"]
        agrees(matrix, "iris", packed[1]["iris"][0], asked[0])
        agrees(columns, "customers", packed[1]["customers"][0], asked[1])
        assert matrix["outputs"]["prediction"] == irises
        assert matrix["id"] == "mine"
        if protocol == "grpc":  # the client's way to ask for some outputs only is REST's
            assert columns["outputs"]["prediction"] == customers
        else:
            assert list(columns["outputs"]) == ["probabilities"]


def test_who_asks_for_bytes_gets_them(told, packed, asked):
    assert told["v2"]["length told"]
    agrees(told["v2"]["bytes for bytes"], "iris", packed[1]["iris"][0], asked[0])


def test_v1_answers_labels_is_alive_and_says_what_is_ready(told, packed, asked):
    expected = {"predictions": labels(packed, asked)[1]}
    assert told["v1"]["instances"] == told["v1"]["graph"] == expected
    assert (told["v1"]["live"], told["v1"]["model ready"]) == (True, True)


def test_a_refusal_reaches_the_caller_with_its_reason(told):
    for call, status, says in (
        (told["v2"]["refusal"], 404, "no endpoint 'nothing'"),
        (told["grpc"]["refusal"], "NOT_FOUND", "no endpoint 'nothing'"),
        (told["v1"]["refusal"], 400, "column 'age': expected a number or null, got the text 'old'"),
        (told["v1"]["unknown model ready"], 404, "no endpoint 'nothing'"),
        (told["v1"]["explain"], 404, "nothing here"),
    ):
        assert call[0] == status
        assert says in call[1]
