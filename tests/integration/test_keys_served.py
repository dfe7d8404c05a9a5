"""Keys on the real service: every route of both ports, asked with nothing, with too little and with enough."""

import asyncio
import http.client
import json
import shutil
import subprocess
import time

import pytest

from fairlead.client import AsyncClient, Client
from fairlead.console.api import build_app
from fairlead.console.exchange import Operator
from fairlead.errors import Forbidden, RateLimited, Unauthenticated
from fairlead.registry.audit import verify_chain
from fairlead.serving.gateway import Gateway
from fairlead.serving.keys.gate import PUBLIC
from fairlead.serving.pages import web
from fairlead.storage.database import open_database
from running import CLI, cli, free_port, serving

pytestmark = pytest.mark.slow


def create(home, name, *options):
    """A token, as an operator makes it."""
    return cli(home, "token", "create", name, *options).stdout.strip()


def ask(port, path, token=None, *, method="GET", body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if body is not None:
        headers.setdefault("content-type", "application/json")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
    finally:
        connection.close()


class Keys:
    """A service on both ports with two gateways, and a token of each kind."""

    def __init__(self, service, console, tokens):
        self.service, self.port, self.console = service, service.port, console
        self.home, self.tokens = service.home, tokens


@pytest.fixture(scope="module")
def keys(packed_home, tmp_path_factory):
    home = shutil.copytree(packed_home, tmp_path_factory.mktemp("keys") / "home")
    cli(home, "deploy", "flights:1")
    tokens = {
        "app": create(home, "app", "--scope", "predict"),
        "bound": create(home, "bound", "--scope", "predict", "--scope", "deploy", "--endpoint", "trains"),
        "reader": create(home, "reader", "--scope", "read"),
        "boss": create(home, "boss", "--scope", "admin"),
    }
    console = free_port()
    with serving(home, "--console-port", str(console), workers=2) as service:
        service.wait_for(lambda: ask(console, "/api/status")[0] == 401)
        yield Keys(service, console, tokens)


@pytest.fixture(scope="module")
def row(april_rows):
    return dict(april_rows[0])


# -- every route -------------------------------------------------------------------------------------------------------

PROTOCOLS = [
    # From the published specifications of the protocols (Open Inference Protocol, TF-Serving's and KServe's V1, MLflow).
    ("POST", "/predict/flights"),
    ("GET", "/metrics"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/flights"),
    ("GET", "/v1/models/flights/metadata"),
    ("POST", "/v1/models/flights:predict"),
    ("POST", "/v1/models/flights%3Apredict"),
    ("GET", "/v2"),
    ("GET", "/v2/models"),
    ("GET", "/v2/models/stats"),
    ("GET", "/v2/models/flights"),
    ("GET", "/v2/models/flights/ready"),
    ("GET", "/v2/models/flights/config"),
    ("GET", "/v2/models/flights/versions/1/stats"),
    ("POST", "/v2/models/flights/infer"),
    ("POST", "/v2/models/flights/versions/1/infer"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/repository/models/flights/load"),
    ("POST", "/v2/repository/models/flights/unload"),
    ("POST", "/invocations"),
    ("GET", "/version"),
    ("GET", "/nothing/of/the/kind"),
    ("POST", "/nothing/of/the/kind"),
    ("OPTIONS", "/predict/flights"),
]


def routes_of(app):
    """Every method and path of a Starlette app, mounts included."""
    for route in app.routes:
        if hasattr(route, "routes"):
            yield from routes_of(route)
        else:
            path = route.path.replace("{endpoint}", "flights").replace("{name}", "flights")
            yield from ((method, path) for method in sorted(route.methods))


def pages():
    return list(routes_of(web._starlette(Gateway(None), 1024)))


def operators():
    return list(routes_of(build_app(Operator(None, None, None, None, None))))


def is_public(path):
    return path in PUBLIC or path.startswith("/assets/")


@pytest.mark.parametrize(("method", "path"), [*PROTOCOLS, *pages()])
def test_every_route_of_the_public_port_wants_a_token_unless_it_is_public(keys, method, path):
    status, headers, body = ask(keys.port, path, method=method)
    if is_public(path):
        assert status not in {401, 403}
        return
    assert status == 401
    assert headers["www-authenticate"].startswith("Bearer ")
    if path.startswith(("/v1", "/v2")):
        assert list(json.loads(body)) == ["error"]
    elif path == "/invocations":
        assert "error_code" in json.loads(body)
    elif method != "HEAD":
        assert json.loads(body)["code"] == "unauthenticated"


@pytest.mark.parametrize(
    ("method", "path"), [*operators(), ("GET", "/"), ("GET", "/livez"), ("POST", "/x")], ids=" ".join
)
def test_every_route_of_the_operators_port_wants_a_token(keys, method, path):
    assert ask(keys.console, path, method=method)[0] == 401


@pytest.mark.parametrize(("method", "path"), operators())
def test_no_route_of_the_operators_port_takes_a_token_that_may_only_predict(keys, method, path):
    status, _, body = ask(keys.console, path, keys.tokens["app"], method=method)
    assert status == 403
    if method != "HEAD":
        assert json.loads(body)["code"] == "forbidden"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/ping"])
def test_probes_need_no_token_but_the_right_host(keys, path):
    assert ask(keys.port, path)[0] == 200
    assert ask(keys.port, path, host=f"localhost:{keys.port}")[0] == 200
    for host in ("evil.example", f"evil.example:{keys.port}", f"localhost.:{keys.port}", ""):
        status, _, _ = ask(keys.port, path, host=host, x_forwarded_host=f"127.0.0.1:{keys.port}")
        assert status == 421


def test_the_operators_port_answers_to_its_own_address_only(keys):
    for host in ("evil.example", f"127.0.0.1:{keys.port}"):
        assert ask(keys.console, "/api/status", keys.tokens["boss"], host=host)[0] == 421
    assert ask(keys.console, "/api/status", keys.tokens["boss"])[0] == 200


# -- scopes and endpoints ----------------------------------------------------------------------------------------------


def test_a_token_opens_what_its_scopes_say(keys, row):
    body = json.dumps(row)
    for name, status in {"app": 200, "boss": 200, "reader": 403, "bound": 403}.items():
        found = ask(keys.port, "/predict/flights", keys.tokens[name], method="POST", body=body)
        assert found[0] == status, (name, found)
    assert ask(keys.port, "/metrics", keys.tokens["reader"])[0] == 200
    assert ask(keys.port, "/metrics", keys.tokens["app"])[0] == 403


def test_a_token_of_one_endpoint_learns_nothing_of_the_others(keys):
    for path in ("/", "/docs", "/openapi.json", "/flights", "/v2/models", "/v1/models", "/v2/models/flights"):
        status, _, body = ask(keys.port, path, keys.tokens["bound"])
        assert status == 403
        assert b"flights" not in body
    assert ask(keys.port, "/predict/trains", keys.tokens["bound"], method="POST", body="{}")[0] == 404


def test_a_browser_may_show_the_token_as_a_password(keys):
    import base64

    shown = base64.b64encode(f"me:{keys.tokens['app']}".encode()).decode()
    status, headers, body = ask(keys.port, "/flights", authorization=f"Basic {shown}", accept="text/html")
    assert (status, b"<form" in body) == (200, True)
    _, headers, _ = ask(keys.port, "/flights", accept="text/html")
    assert "Basic realm" in headers["www-authenticate"]


def test_another_sites_page_can_do_nothing_with_a_browsers_password(keys, row):
    body = json.dumps(row)
    token = keys.tokens["boss"]
    for headers in ({"sec_fetch_site": "cross-site"}, {"origin": "https://evil.example"}, {"origin": "null"}):
        assert ask(keys.port, "/predict/flights", token, method="POST", body=body, **headers)[0] == 403
        wish = '{"ref": "flights:2"}'
        assert ask(keys.console, "/api/endpoints/x/deploy", token, method="POST", body=wish, **headers)[0] == 403


def test_the_clients_show_their_token(keys, row, monkeypatch, april_rows):
    with Client(keys.service.url, token=keys.tokens["app"]) as client:
        assert client.predict("flights", row).model == "flights:1"
    with Client(keys.service.url) as client, pytest.raises(Unauthenticated):
        client.predict("flights", row)
    with Client(keys.service.url, token=keys.tokens["reader"]) as client, pytest.raises(Forbidden, match="'predict'"):
        client.predict("flights", row)
    monkeypatch.setenv("FAIRLEAD_TOKEN", keys.tokens["app"])

    async def many():
        async with AsyncClient(keys.service.url) as client:
            return await client.predict_many("flights", april_rows[:3])

    assert len(asyncio.run(many())) == 3
    said = cli(keys.home, "predict", "flights", json.dumps(row), "--url", keys.service.url)
    assert json.loads(said.stdout)["model"] == "flights:1"
    monkeypatch.delenv("FAIRLEAD_TOKEN")
    told = cli(keys.home, "predict", "flights", json.dumps(row), "--url", keys.service.url, check=False)
    assert (told.returncode, "This needs a token" in told.stderr) == (5, True)
    cli(keys.home, "predict", "flights", json.dumps(row), "--url", keys.service.url, "--token", keys.tokens["app"])


# -- change ------------------------------------------------------------------------------------------------------------


def best_of(tries, attempt, *, enough):
    """The shortest of several measured times in seconds: a disturbed processor makes one longer, and nothing makes one shorter."""
    found = []
    for number in range(tries):
        found.append(attempt(number))
        if found[-1] < enough:
            break
    return min(found)


def test_a_revoked_token_is_refused_within_a_second_by_every_gateway(keys, row):
    body = json.dumps(row)

    def seconds(number):
        token = create(keys.home, f"leaver-{number}", "--scope", "predict")

        def statuses():  # a connection each, so that the kernel gives some to either gateway
            return {ask(keys.port, "/predict/flights", token, method="POST", body=body)[0] for _ in range(12)}

        keys.service.wait_for(lambda: statuses() == {200})
        cli(keys.home, "token", "revoke", f"leaver-{number}")
        start = time.monotonic()
        keys.service.wait_for(lambda: statuses() == {401})
        taken = time.monotonic() - start
        assert statuses() == {401}
        return taken

    assert best_of(6, seconds, enough=1.0) < 1.0


def test_a_token_that_was_revoked_in_the_database_alone_is_refused_soon(keys, row):
    """As it is on many machines, where another one's command cannot write this one's file."""
    from fairlead.registry.tokens import revoke_token

    def seconds(number):
        token = create(keys.home, f"distant-{number}", "--scope", "predict")
        keys.service.wait_for(lambda: ask(keys.port, "/flights", token)[0] == 200)
        database = open_database(f"sqlite:///{keys.home}/fairlead.db")
        revoke_token(database, f"distant-{number}", actor="test")
        database.close()
        start = time.monotonic()
        keys.service.wait_for(lambda: {ask(keys.port, "/flights", token)[0] for _ in range(8)} == {401})
        return time.monotonic() - start

    assert best_of(6, seconds, enough=1.5) < 1.5


def test_a_rate_holds_over_both_gateways_together_and_tells_when_to_come_again(keys, row):
    token = create(keys.home, "hasty", "--scope", "predict", "--rate", "2", "--burst", "6")
    body = json.dumps(row)
    # Known to both gateways, and nothing is counted yet: what a token may not do does not count.
    keys.service.wait_for(lambda: {ask(keys.port, "/metrics", token)[0] for _ in range(12)} == {403})
    start = time.monotonic()
    found = [ask(keys.port, "/predict/flights", token, method="POST", body=body) for _ in range(30)]
    passed = sum(status == 200 for status, _, _ in found)
    # At least the burst; and no more than the burst and what the time allows, but for two that looked at the same instant.
    assert 6 <= passed <= 6 + 2 * (time.monotonic() - start) + 2
    status, headers, body = next(one for one in found if one[0] != 200)
    assert (status, headers["retry-after"], json.loads(body)["code"]) == (429, "1", "rate_limited")
    with Client(keys.service.url, token=token) as client, pytest.raises(RateLimited) as caught:
        [client.predict("flights", row) for _ in range(20)]
    assert caught.value.values["retry_after"] == 1


def test_an_expired_token_is_refused(keys):
    token = create(keys.home, "brief", "--scope", "predict", "--expires", "6s")
    seen = []

    def says_expired():  # a gateway that has not heard of the token yet also answers 401, with other words
        seen.append(ask(keys.port, "/flights", token))
        return seen[-1][0] == 401 and b"expired" in seen[-1][2]

    keys.service.wait_for(says_expired, 30)
    assert 200 in {status for status, _, _ in seen}


# -- the operator's API ------------------------------------------------------------------------------------------------


def told(keys, path, token="boss"):
    status, headers, body = ask(keys.console, path, keys.tokens[token])
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "application/json", "no-store"), body
    return json.loads(body)


def test_the_operator_sees_what_the_command_line_shows(keys):
    assert told(keys, "/api/models", "reader") == json.loads(cli(keys.home, "models", "--json").stdout)
    shown = json.loads(cli(keys.home, "show", "flights", "--json").stdout)
    assert [one["number"] for one in told(keys, "/api/models/flights", "reader")] == [one["number"] for one in shown]
    status = told(keys, "/api/status", "reader")
    assert {one["state"] for one in status["gateways"]} == {"ready"}
    assert told(keys, "/api/audit?limit=3", "reader") == json.loads(
        cli(keys.home, "audit", "--limit", "3", "--json").stdout
    )
    assert told(keys, "/api/tokens") == json.loads(cli(keys.home, "token", "list", "--json").stdout)


def test_a_list_of_tokens_is_for_admins_and_holds_nothing_to_use(keys):
    assert ask(keys.console, "/api/tokens", keys.tokens["reader"])[0] == 403
    text = ask(keys.console, "/api/tokens", keys.tokens["boss"])[2].decode()
    assert not [token for token in keys.tokens.values() if token in text]
    assert "digest" not in text


def test_a_deployment_is_made_in_the_tokens_name_and_served(keys, row):
    deploying = create(keys.home, "robot", "--scope", "deploy", "--endpoint", "planes")
    keys.service.wait_for(lambda: ask(keys.console, "/api/models", deploying)[0] == 403)
    wish = '{"ref": "flights:2"}'

    def deploy(endpoint, body=wish, **more):
        return ask(keys.console, f"/api/endpoints/{endpoint}/deploy", deploying, method="POST", body=body, **more)

    assert deploy("flights")[0] == 403, "its token is for another endpoint"
    status, _, body = deploy("planes")
    assert (status, json.loads(body)["model"], json.loads(body)["changed"]) == (200, "flights:2", True)
    keys.service.wait_for(lambda: ask(keys.port, "/planes", keys.tokens["app"])[0] == 200)
    entry = told(keys, "/api/audit?subject=planes")[0]
    assert (entry["actor"], entry["action"]) == ("token robot", "deployed")
    database = open_database(f"sqlite:///{keys.home}/fairlead.db")
    assert verify_chain(database)[1] is None
    database.close()
    assert json.loads(deploy("planes")[2])["changed"] is False
    assert ask(keys.console, "/api/endpoints/planes/deploy", deploying)[0] == 405, "nothing changes by GET"


@pytest.mark.parametrize(
    ("body", "content_type", "status", "code"),
    [
        ('{"ref": "flights:2"}', "text/plain", 415, "unsupported_media_type"),
        ('{"ref": "flights:99"}', "application/json", 404, "not_found"),
        ('{"ref": "../../etc"}', "application/json", 400, "bad_reference"),
        ('{"ref": "flights:2", "x": 1}', "application/json", 400, "invalid_input"),
        ('{"ref": 2}', "application/json", 400, "invalid_input"),
        ("[" * 100_000, "application/json", 400, "invalid_input"),
        ("", "application/json", 400, "invalid_input"),
        ("\x00", "application/json", 400, "invalid_input"),
    ],
)
def test_a_wish_that_cannot_be_met_is_a_problem(keys, body, content_type, status, code):
    path, token = "/api/endpoints/flights/deploy", keys.tokens["boss"]
    found = ask(keys.console, path, token, method="POST", body=body, content_type=content_type)
    assert (found[0], found[1]["content-type"], json.loads(found[2])["code"]) == (
        status,
        "application/problem+json",
        code,
    )
    assert b"Traceback" not in found[2]


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "1e3", "9" * 5000, "%D9%A3"])
def test_a_limit_has_limits(keys, limit):
    assert ask(keys.console, f"/api/audit?limit={limit}", keys.tokens["boss"])[0] == 400


# -- before anything is served -----------------------------------------------------------------------------------------


def serve_briefly(home, *options):
    command = [*CLI, "--home", str(home), "serve", "--port", str(free_port()), "--console-port", "0", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)


def test_an_address_that_others_reach_is_refused_without_a_token(home):
    done = serve_briefly(home, "--host", "0.0.0.0")
    assert (done.returncode, done.stdout) == (5, "")
    assert "there is no token" in done.stderr
    assert "fairlead token create" in done.stderr


def test_with_revoked_tokens_only_it_is_refused_as_well(home):
    create(home, "app", "--scope", "predict")
    cli(home, "token", "revoke", "app")
    assert serve_briefly(home, "--host", "0.0.0.0").returncode == 5


def test_no_secret_stands_in_any_file_or_line_of_the_service(keys):
    # A canary for logs, audit, caches, the event log: the token's secret part is searched for in every byte of the home.
    secrets = [token.split("_", 2)[2].encode() for token in keys.tokens.values()]
    files = [path for path in keys.home.rglob("*") if path.is_file() and "blobs" not in path.parts]
    assert keys.home / "serve.log" in files
    assert not [path for path in files for secret in secrets if secret in path.read_bytes()]


def test_tokens_hold_while_the_database_is_gone(packed_home, tmp_path, row):
    home = shutil.copytree(packed_home, tmp_path / "home")
    cli(home, "deploy", "flights:1")
    token = create(home, "app", "--scope", "predict")
    for file in home.glob("fairlead.db*"):
        file.unlink()
    with serving(home, "--console-port", "0") as service:
        body = json.dumps(row)
        assert ask(service.port, "/predict/flights", token, method="POST", body=body)[0] == 200
        assert ask(service.port, "/predict/flights", method="POST", body=body)[0] == 401
        # The control process makes an empty database anew. It must not be taken for a home without tokens.
        service.wait_for(lambda: "knows of no token" in service.log)
        assert ask(service.port, "/predict/flights", method="POST", body=body)[0] == 401
        assert ask(service.port, "/predict/flights", token, method="POST", body=body)[0] == 200
