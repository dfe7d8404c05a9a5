"""Our own description of the API against the service that it describes, by an independent reader of such documents.

schemathesis makes requests from `/openapi.json` that fit it and that do not, and holds every answer against it: the status,
the content type, the headers and the body must be described, what fits must be answered, what does not fit refused, another
method be told which are allowed, and nothing be answered without the token that the document demands.
"""

from __future__ import annotations

import re

import httpx
import pytest
from schemathesis_run import failures, held_against
from tensor_models import pack_all

from running import cli, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OURS = "positive_data_acceptance,not_a_server_error"
"""Its own checks that `schemathesis_checks` has better versions of."""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    home = tmp_path_factory.mktemp("described") / "home"
    for name in pack_all(home):
        cli(home, "deploy", f"{name}:1")
    with serving(home) as running:
        yield running


def test_before_the_first_token_the_document_demands_none_and_afterwards_it_is_as_it_says(service, tmp_path):
    address = f"{service.url}/openapi.json"
    document = httpx.get(address, timeout=30).json()
    assert {} in document["security"]
    token = cli(service.home, "token", "create", "tester", "--scope", "predict").stdout.strip()
    service.wait_for(lambda: httpx.get(address, timeout=30).status_code == 401)
    document = httpx.get(address, headers={"Authorization": f"Bearer {token}"}, timeout=30).json()
    assert {} not in document["security"]

    header = ("--header", f"Authorization: Bearer {token}")
    done = held_against(address, tmp_path, *header, "--exclude-checks", OURS, examples=60)

    assert done.returncode == 0, failures(done.stdout)
    assert f"Tested: {len(document['paths'])}" in done.stdout
    assert int(re.search(r"(\d+) generated", done.stdout)[1]) > 100
    assert httpx.get(f"{service.url}/readyz", timeout=30).json()["endpoints"] == ["customers", "diabetes", "iris"]
    assert "Traceback" not in service.log
