"""MLflow's own scoring client and every call that it has, from an environment of its own; the truth is scikit-learn's."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from own_environment import python_with
from tensor_models import customers

import fairlead
from running import cli, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(330)]

MLFLOW = ("mlflow-skinny==3.17.2", "pandas==3.1.1", "scipy==1.17.1")


@pytest.fixture(scope="module")
def model():
    """Customers, of some of whom the age is missing: the pipeline and the rows that are asked."""
    pipeline, table = customers()
    return pipeline, table


@pytest.fixture(scope="module")
def asked(model):
    frame = model[1].drop(columns="target").iloc[:30]
    assert frame["age"].isna().any()
    return frame


@pytest.fixture(scope="module")
def told(model, asked, tmp_path_factory):
    """What the client was told, by call."""
    folder = tmp_path_factory.mktemp("mlflow")
    fairlead.pack(model[0], name="customers", data=model[1], target="target", home=folder / "home")
    cli(folder / "home", "deploy", "customers:1")
    split = asked.to_dict(orient="split")
    (folder / "asked.json").write_text(json.dumps({"columns": split["columns"], "data": split["data"]}))
    python, script = python_with(*MLFLOW), Path(__file__).with_name("mlflow_calls.py")
    with serving(folder / "home") as service:
        command = [str(python), str(script), str(service.port), str(folder / "asked.json")]
        quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=quiet)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("call", ["frame", "frame back", "array", "list", "text of columns"])
def test_whatever_holds_the_rows_they_are_answered_as_scikit_learn_answers_them(told, model, asked, call):
    assert told[call] == model[0].predict(asked).tolist()


def test_a_body_of_the_callers_own_and_parameters_are_answered(told, model, asked):
    assert told["records"] == {"predictions": model[0].predict(asked.iloc[:2]).tolist()}
    assert np.abs(np.array(told["probabilities"]) - model[0].predict_proba(asked)).max() < 1e-12


def test_the_version_is_told_and_a_mistake_by_its_reason(told):
    assert told["version"] == fairlead.__version__
    assert "column 'age': expected a number or null, got the text 'old'" in told["refusal"]
    assert "error code 400" in told["refusal"]
    assert "INVALID_PARAMETER_VALUE" in told["refusal"]
    assert "params" in told["unknown params"]
