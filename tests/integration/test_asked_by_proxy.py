"""Who asks and which endpoint is meant, on the real service: behind a proxy, and where the address names no endpoint.

The proxy is played by this test, which knows what it sends; the real nginx is in `test_export_service.py`.
"""

import http.client
import json
import os
import shutil

import pytest

from running import cli, free_port, serving

pytestmark = pytest.mark.slow

VISITOR = "203.0.113.9"  # of RFC 5737's block for documentation


def ask(port, path, body=None, token=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if body is not None:
        headers["content-type"] = "application/json"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET" if body is None else "POST", path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def homes(packed_home, tmp_path_factory):
    def made():
        home = shutil.copytree(packed_home, tmp_path_factory.mktemp("asked") / "home")
        cli(home, "deploy", "flights:1")
        cli(home, "deploy", "flights:2", "--endpoint", "trains")
        return home

    return made


@pytest.fixture(scope="module")
def keyed(homes):
    """A service with tokens, two endpoints, a trusted proxy and an access log."""
    home = homes()
    tokens = {
        "app": ["--scope", "predict"],
        "bound": ["--scope", "predict", "--endpoint", "flights"],
        "hasty": ["--scope", "predict", "--rate", "0.001", "--burst", "3"],
    }
    told = {name: cli(home, "token", "create", name, *more).stdout.strip() for name, more in tokens.items()}
    settings = {"FAIRLEAD_TRUSTED_PROXIES": "127.0.0.1", "FAIRLEAD_INVOCATIONS": "flights"}
    log = {"FAIRLEAD_ACCESS_LOG": "access.log"}
    with serving(home, "--console-port", "0", env={**os.environ, **settings, **log}) as service:
        yield service, told


@pytest.fixture
def body(april_rows):
    return json.dumps({"dataframe_records": [dict(april_rows[0])]})


# -- /invocations ------------------------------------------------------------------------------------------------------


def test_a_token_of_one_endpoint_asks_where_the_request_means_it(keyed, body):
    service, tokens = keyed
    for path, headers in [
        ("/invocations", {}),
        ("/invocations?endpoint=flights", {}),
        ("/invocations", {"x_fairlead_endpoint": "flights"}),
        ("/invocations?endpoint=flights", {"X_Amzn_SageMaker_Target_Model": "flights"}),
    ]:
        status, answer = ask(service.port, path, body, tokens["bound"], **headers)
        assert (status, list(json.loads(answer))) == (200, ["predictions"]), (path, headers, answer)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/invocations?endpoint=trains", {}),
        ("/invocations", {"x_fairlead_endpoint": "trains"}),
        # Two that differ: whichever the door took, the gate must not have looked at the other.
        ("/invocations?endpoint=flights&endpoint=trains", {}),
        ("/invocations?endpoint=trains&endpoint=flights", {}),
        ("/invocations?endpoint=flights", {"x_fairlead_endpoint": "trains"}),
        ("/invocations?%65ndpoint=trains", {"x_fairlead_endpoint": "flights"}),
        ("/invocations?endpoint=fli%67hts", {"x_amzn_sagemaker_target_model": "trains"}),
        ("/invocations?endpoint=", {}),
        ("/invocations?endpoint=nowhere", {}),
    ],
)
def test_a_token_of_one_endpoint_is_led_to_no_other(keyed, body, path, headers):
    service, tokens = keyed
    status, answer = ask(service.port, path, body, tokens["bound"], **headers)
    told = json.loads(answer)
    assert (status, told["error_code"]) == (403, "PERMISSION_DENIED")
    assert "trains" not in told["message"]


def test_who_may_ask_everywhere_is_told_what_is_wrong_with_the_name(keyed, body):
    service, tokens = keyed
    assert ask(service.port, "/invocations?endpoint=trains", body, tokens["app"])[0] == 200
    status, answer = ask(service.port, "/invocations?endpoint=flights&endpoint=trains", body, tokens["app"])
    assert (status, "names 2 endpoints" in json.loads(answer)["message"]) == (400, True)
    assert ask(service.port, "/invocations?endpoint=nowhere", body, tokens["app"])[0] == 404


def test_a_token_of_one_endpoint_learns_what_the_service_is_and_not_what_else_it_serves(keyed):
    service, tokens = keyed
    for path in ("/version", "/v2"):
        assert ask(service.port, path, token=tokens["bound"])[0] == 200
    for path in ("/v2/models", "/v2/models/stats", "/v1/models", "/metrics", "/docs", "/openapi.json", "/"):
        status, answer = ask(service.port, path, token=tokens["bound"])
        assert status == 403
        assert b"trains" not in answer
    assert ask(service.port, "/v2/repository/index", "", tokens["bound"])[0] == 403


# -- behind a proxy ----------------------------------------------------------------------------------------------------


def test_the_access_log_names_whom_a_trusted_proxy_speaks_for(keyed):
    service, tokens = keyed
    said = {
        "a-1": VISITOR,
        "a-2": f"127.0.0.1, 198.51.100.1,{VISITOR}",
        "a-3": f"{VISITOR}, 127.0.0.1",
        "a-4": "rubbish",
    }
    for number, chain in said.items():
        assert ask(service.port, "/v2", token=tokens["app"], x_forwarded_for=chain, x_request_id=number)[0] == 200
    assert ask(service.port, "/v2", token=tokens["app"], x_request_id="a-5")[0] == 200

    def peers():
        lines = [json.loads(line) for line in (service.home / "access.log").read_text().splitlines()]
        found = {line["id"]: line["peer"] for line in lines if line["id"].startswith("a-")}
        return found if len(found) == 5 else None

    here = "127.0.0.1"
    assert service.wait_for(peers) == {"a-1": VISITOR, "a-2": VISITOR, "a-3": VISITOR, "a-4": here, "a-5": here}


def test_another_address_in_every_request_is_no_way_around_a_rate(keyed):
    service, tokens = keyed
    found = [ask(service.port, "/v2", token=tokens["hasty"], x_forwarded_for=f"203.0.113.{n}")[0] for n in range(8)]
    assert found == [200] * 3 + [429] * 5


def test_without_a_token_this_machine_may_ask_and_what_a_proxy_passes_on_may_not(homes, april_bodies):
    home = homes()
    names = {"FAIRLEAD_TRUSTED_PROXIES": "127.0.0.1", "FAIRLEAD_ALLOWED_HOSTS": "models.example.org"}
    grpc_port = free_port()
    options = ["--console-port", "0", "--grpc-port", str(grpc_port)]
    with serving(home, *options, env={**os.environ, **names}) as service:
        row = april_bodies[0]
        assert ask(service.port, "/predict/flights", row)[0] == 200
        assert ask(service.port, "/metrics")[0] == 200
        for mark in (
            {"x_forwarded_for": VISITOR},
            {"x_forwarded_for": "127.0.0.1"},
            {"forwarded": "for=127.0.0.1"},
            {"via": "1.1 tunnel"},
            {"host": "models.example.org"},
        ):
            status, answer = ask(service.port, "/predict/flights", row, **mark)
            assert (status, json.loads(answer)["code"]) == (401, "unauthenticated"), mark
            assert ask(service.port, "/metrics", **mark)[0] == 401
            assert ask(service.port, "/readyz", **mark)[0] == 200
        triton = pytest.importorskip("tritonclient.grpc", reason="Triton's client is not installed")
        client = triton.InferenceServerClient(f"127.0.0.1:{grpc_port}")
        assert service.wait_for(client.is_server_ready)
        assert client.get_server_metadata().name
        with pytest.raises(triton.InferenceServerException, match="UNAUTHENTICATED"):
            client.get_server_metadata(headers={"x-forwarded-for": VISITOR})
        client.close()


# -- settings that cannot be -------------------------------------------------------------------------------------------


def refused(home, *options, **settings):
    """What `serve` says when it does not start."""
    more = {"env": {**os.environ, **settings}}
    done = cli(home, "serve", "--port", str(free_port()), *options, check=False, **more)
    return done.returncode, done.stderr


def test_an_operators_address_that_others_reach_is_refused_until_a_token_may_use_it(homes):
    home = homes()
    code, said = refused(home, "--console-host", "0.0.0.0")
    assert (code, "fairlead token create" in said) == (5, True)
    cli(home, "token", "create", "app", "--scope", "predict")
    code, said = refused(home, "--console-host", "0.0.0.0")
    assert (code, "operator's API" in said) == (5, True)
    code, said = refused(home, "--console-host", "example.org")
    assert (code, "is not an IP address" in said) == (2, True)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("FAIRLEAD_TRUSTED_PROXIES", "proxy.example.org", "no address and no network"),
        ("FAIRLEAD_TRUSTED_PROXIES", "0.0.0.0/0", "means everybody"),
        ("FAIRLEAD_INVOCATIONS", "../x", "FAIRLEAD_INVOCATIONS"),
    ],
)
def test_a_setting_that_cannot_be_stops_the_start(packed_home, name, value, says):
    code, said = refused(packed_home, **{name: value})
    assert (code, says in said) == (2, True)
