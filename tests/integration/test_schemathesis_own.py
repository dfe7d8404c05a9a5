"""Our own description of the API against the service that it describes, by an independent reader of such documents.

schemathesis makes requests from `/openapi.json` that fit it and that do not, and holds every answer against it: the status,
the content type, the headers and the body must be described, what fits must be answered, what does not fit refused, another
method be told which are allowed, and nothing be answered without the token that the document demands.
"""

from __future__ import annotations

import json
import re

import httpx
import pytest
from schemathesis_run import failures, held_against
from tensor_models import pack_all

from running import cli, serving
from tables import change_endpoint, wait_for_revision

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OURS = "positive_data_acceptance,not_a_server_error"
"""Its own checks that `schemathesis_checks` has better versions of."""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Three endpoints that answer, and one where people decide."""
    home = tmp_path_factory.mktemp("described") / "home"
    for name in pack_all(home):
        cli(home, "deploy", f"{name}:1")
    cli(home, "deploy", "customers:1", "--endpoint", "people")
    revision = change_endpoint(home, "people", dark=True)
    with serving(home) as running:
        wait_for_revision(running, revision)
        yield running


def test_before_the_first_token_the_document_demands_none_and_afterwards_it_is_as_it_says(service, tmp_path):
    address = f"{service.url}/openapi.json"
    document = httpx.get(address, timeout=30).json()
    assert {} in document["security"]
    scopes = ("--scope", "predict", "--scope", "feedback")
    token = cli(service.home, "token", "create", "tester", *scopes).stdout.strip()
    service.wait_for(lambda: httpx.get(address, timeout=30).status_code == 401)
    header = {"Authorization": f"Bearer {token}"}
    document = httpx.get(address, headers=header, timeout=30).json()
    assert {} not in document["security"]

    (tmp_path / "openapi.json").write_text(json.dumps(aimed(document, service, header)))
    options = ("--url", service.url, "--header", f"Authorization: Bearer {token}", "--exclude-checks", OURS)
    done = held_against("openapi.json", tmp_path, *options, examples=25)

    assert done.returncode == 0, failures(done.stdout)
    assert f"Tested: {len(document['paths'])}" in done.stdout
    assert int(re.search(r"(\d+) generated", done.stdout)[1]) > 100
    assert httpx.get(f"{service.url}/readyz", timeout=30).json()["endpoints"] == [
        "customers",
        "diabetes",
        "iris",
        "people",
    ]
    assert "Traceback" not in service.log


def aimed(document, service, header):
    """The document with ids that were given out: no tester could guess one, and feedback about another is a 404."""
    for path in [path for path in document["paths"] if path.startswith("/predict/")]:
        content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        rows = content["examples"]["many"]["value"] * 5
        answers = httpx.post(service.url + path, json=rows, headers=header, timeout=30).json()
        feedback = document["components"]["schemas"][f"{path.rpartition('/')[2]}.Feedback"]
        feedback["properties"]["id"]["enum"] = [one["id"] for one in answers]
    return document
