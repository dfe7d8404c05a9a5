"""What `fairlead export service` writes does its work under the real nginx, Supervisor and systemd."""

from __future__ import annotations

import contextlib
import getpass
import http.client
import json
import os
import queue
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import grpc
import pytest

from fairlead.exporters.grammar import nginx_text
from running import alive, cli, free_port, serving

NAME = "models.example.org"
# As a careless operator may name a folder; no '$', which nginx cannot hold.
AWKWARD = "it's `odd`;%i; {100%} grüße"


def need(program, package):
    """The program's path; without it the test is skipped at home and fails in CI."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{program} is missing; CI installs Debian's {package}")
    if found is None:
        pytest.skip(f"needs {program}: apt-get install {package}")
    return found


@contextlib.contextmanager
def running_nginx(folder, http):
    """The real nginx with this `http` block, in the foreground."""
    program = need("nginx", "nginx-light")
    (folder / "nginx.conf").write_text(
        f"""{"user root;" if os.geteuid() == 0 else ""}
worker_processes 1; pid nginx.pid; error_log stderr; daemon off;
events {{}}
http {{ types {{ text/css css; text/javascript js; image/svg+xml svg; }}
access_log off;
client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
{http}
}}
"""
    )
    command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    check = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=20, check=False)
    assert check.returncode == 0, check.stderr
    assert "warn" not in check.stderr
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def wait_for(what, seconds=30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            if found := what():
                return found
        time.sleep(0.05)
    raise AssertionError(f"it did not happen in {seconds} s")


def listens(port):
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def site_of(out):
    """The exported site; a machine without IPv6 cannot have its IPv6 addresses."""
    text = (out / "fairlead.nginx.conf").read_text()
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return text
    return re.sub(r".*listen \[::\].*\n", "", text)


def environment_of(unit):
    """FAIRLEAD_* as the unit sets them."""
    lines = [line for line in unit.read_text().splitlines() if line.startswith("Environment=")]
    return dict(line.removeprefix("Environment=").strip('"').split("=", 1) for line in lines)


def test_nginx_reads_every_value_back(tmp_path):
    values = [AWKWARD, 'quo"te', "back\\", "\\n \\x41 \\\\", "a;b{c}", " blanks ", "#no comment", "`touch loot`"]
    port = free_port()
    locations = "\n".join(f"location = /{number} {{ return 200 {nginx_text(v)}; }}" for number, v in enumerate(values))
    with running_nginx(tmp_path, f"server {{ listen 127.0.0.1:{port}; {locations} }}"):
        wait_for(lambda: listens(port))
        for number, value in enumerate(values):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{number}", timeout=5) as reply:
                assert reply.read().decode() == value


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of the server's name, signed by itself, in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("tls") / AWKWARD
    folder.mkdir()
    command = [need("openssl", "openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-days", "2", "-nodes"]
    files = ["-out", str(folder / "cert.pem"), "-keyout", str(folder / "key.pem")]
    subprocess.run([*command, *names, *files], check=True, capture_output=True, timeout=30)
    return folder


class Site:
    """The exported site, as its visitors see it."""

    def __init__(self, port, certificate):
        self.port = port
        self.context = ssl.create_default_context(cafile=certificate / "cert.pem")
        self.headers = {}

    def ask(self, method, path, body=None, host=None, **more):
        connection = http.client.HTTPSConnection(NAME, self.port, context=self.context, timeout=10)
        # Nobody resolves models.example.org: the address is given, the name is checked against the certificate.
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sock = self.context.wrap_socket(plain, server_hostname=NAME)
        headers = {"Host": host or f"{NAME}:{self.port}", "Content-Type": "application/json", **self.headers, **more}
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read()
        finally:
            connection.close()


def _line(log, number):
    """The access log's line of one request."""
    return next((line for line in map(json.loads, log.read_text().splitlines()) if line["id"] == number), None)


@pytest.mark.slow
def test_a_prediction_through_tls_and_what_nginx_refuses(home, tmp_path, certificate, april_bodies, late_probabilities):
    cli(home, "deploy", "flights:1")
    port, https, plain = free_port(), free_port(), free_port()
    out = tmp_path / f"out {AWKWARD}"
    environment = {**os.environ, "FAIRLEAD_PORT": str(port), "FAIRLEAD_MAX_BODY": "4096"}
    files = ["--tls-cert", str(certificate / "cert.pem"), "--tls-key", str(certificate / "key.pem")]
    ports = ["--https-port", str(https), "--http-port", str(plain)]
    cli(home, "export", "service", "-o", str(out), "--server-name", NAME, *files, *ports, env=environment)
    # The service knows its limits and its name from the unit alone.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
    environment |= environment_of(out / "fairlead.service")
    assert environment["FAIRLEAD_MAX_BODY"] == "4096"
    environment["FAIRLEAD_ACCESS_LOG"] = "access.log"
    site = Site(https, certificate)
    with running_nginx(tmp_path, site_of(out)):
        wait_for(lambda: listens(https))
        with serving(home, port=port, env=environment) as service:
            assert site.ask("POST", "/predict/flights", april_bodies[0])[0] == 401, "by nginx comes the world"
            token = cli(home, "token", "create", "site", "--scope", "predict").stdout.strip()
            site.headers["Authorization"] = f"Bearer {token}"
            wait_for(lambda: site.ask("GET", "/v2")[0] == 200)
            # nginx says whom it speaks for, whatever the visitor claims, and is believed.
            claims = {"X-Forwarded-For": "203.0.113.9", "X-Request-Id": "claim"}
            assert site.ask("GET", "/v2", **claims)[0] == 200
            line = wait_for(lambda: _line(service.home / "access.log", "claim"))
            assert line["peer"] == "127.0.0.1"
            status, _, body = site.ask("POST", "/predict/flights", april_bodies[0])
            # scikit-learn's own probability
            assert status == 200
            assert json.loads(body)["probabilities"]["late"] == pytest.approx(
                late_probabilities["flights:1"][0], abs=1e-6
            )
            assert site.ask("POST", "/predict/flights", april_bodies[0], host="evil.example")[0] == 421
            assert site.ask("POST", "/predict/flights", b"x" * 4097)[0] == 413
            status, headers, body = site.ask("POST", "/predict/flights", b"{}")
            assert (status, headers["Content-Type"]) == (422, "application/problem+json")
            status, _, page = site.ask("GET", "/flights")
            assert status == 200
            (sheet,) = re.findall(r'href="(/assets/[^"]*[.]css)"', page.decode())
            assert sheet[1:] in {str(path.relative_to(out / "static")) for path in (out / "static").rglob("*.css")}
        # The service is gone: nginx still has the style sheet, under the headers that the pages have, and nothing else.
        status, headers, body = site.ask("GET", sheet)
        assert (status, body) == (200, (out / "static" / sheet[1:]).read_bytes())
        assert headers["Content-Type"].startswith("text/css")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "immutable" in headers["Cache-Control"]
        assert site.ask("GET", "/flights")[0] == 502
        connection = http.client.HTTPConnection("127.0.0.1", plain, timeout=5)
        connection.request("GET", "/flights?a=1", headers={"Host": NAME})
        moved = connection.getresponse()
        assert (moved.status, moved.headers["Location"]) == (301, f"https://{NAME}:{https}/flights?a=1")
        connection.close()


def flight(triton, client, rows, headers):
    """Rows as Triton's client wants them."""
    import numpy as np

    kinds = {"BYTES": object, "INT64": np.int64}
    tensors = []
    for spec in client.get_model_metadata("flights", headers=headers).inputs:
        tensor = triton.InferInput(spec.name, [len(rows), 1], spec.datatype)
        entries = [[row[spec.name]] for row in rows]
        tensor.set_data_from_numpy(np.array(entries, dtype=kinds.get(spec.datatype, np.float64)))
        tensors.append(tensor)
    return tensors


@pytest.mark.slow
def test_grpc_through_tls_is_answered_streamed_and_refused_by_the_service(
    home, tmp_path, certificate, april_rows, late_probabilities
):
    """Triton's own client, through the real nginx; the answers are scikit-learn's."""
    import tritonclient.grpc as triton
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    cli(home, "deploy", "flights:1")
    port, calls, https = free_port(), free_port(), free_port()
    environment = {**os.environ, "FAIRLEAD_PORT": str(port), "FAIRLEAD_GRPC_PORT": str(calls)}
    environment["FAIRLEAD_MAX_BODY"] = "65536"
    files = ["--tls-cert", str(certificate / "cert.pem"), "--tls-key", str(certificate / "key.pem")]
    ports = ["--https-port", str(https), "--http-port", "0"]
    cli(home, "export", "service", "-o", str(tmp_path / "out"), "--server-name", NAME, *files, *ports, env=environment)
    unit = (tmp_path / "out" / "fairlead.service").read_text()
    assert f'"--grpc-port" "{calls}"' in unit
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
    environment |= environment_of(tmp_path / "out" / "fairlead.service")
    # What comes by nginx is the world's, and needs a token.
    token = cli(home, "token", "create", "visitor", "--scope", "predict").stdout.split()[0]
    headers = {"authorization": f"Bearer {token}"}
    named = [("grpc.ssl_target_name_override", NAME)]
    tls = {"ssl": True, "root_certificates": str(certificate / "cert.pem")}
    with (
        running_nginx(tmp_path, site_of(tmp_path / "out")),
        serving(home, "--grpc-port", str(calls), port=port, env=environment),
        triton.InferenceServerClient(f"127.0.0.1:{https}", channel_args=named, **tls) as client,
    ):
        wait_for(lambda: listens(https))
        assert client.is_server_ready(client_timeout=30)
        rows, expected = april_rows[:40], late_probabilities["flights:1"][:40]
        found = client.infer("flights", flight(triton, client, rows, headers), headers=headers, client_timeout=30)
        found = found.as_numpy("probabilities")
        assert found.max(axis=1) == pytest.approx([max(p, 1 - p) for p in expected], abs=1e-6)

        came = queue.Queue()
        client.start_stream(callback=lambda result, error: came.put((result, error)), headers=headers)
        for number in range(5):
            asked = flight(triton, client, [rows[number]], headers)
            client.async_stream_infer("flights", asked, request_id=str(number))
        streamed = [came.get(timeout=30) for _ in range(5)]
        client.stop_stream()
        assert [error for _, error in streamed] == [None] * 5
        assert [result.get_response().id for result, _ in streamed] == list("01234")

        with pytest.raises(triton.InferenceServerException) as caught:
            client.get_server_metadata(client_timeout=30)
        assert caught.value.status() == "StatusCode.UNAUTHENTICATED"
        # What is too large is refused by the service, in gRPC's words, and not by nginx with a page.
        with pytest.raises(triton.InferenceServerException) as caught:
            client.infer(
                "flights", flight(triton, client, april_rows[:1000], headers), headers=headers, client_timeout=30
            )
        assert caught.value.status() == "StatusCode.RESOURCE_EXHAUSTED"

        credentials = grpc.ssl_channel_credentials((certificate / "cert.pem").read_bytes())
        with grpc.secure_channel(f"127.0.0.1:{https}", credentials, options=named) as channel:
            watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
            assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
            watching.cancel()
        # The certificate is for this name, but the call is addressed to another: nginx passes on none of it.
        foreign = [*named, ("grpc.default_authority", "evil.example")]
        with grpc.secure_channel(f"127.0.0.1:{https}", credentials, options=foreign) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            with pytest.raises(grpc.RpcError) as refused:
                stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
            assert "421" in refused.value.details()


@pytest.mark.slow
def test_supervisor_starts_the_service_and_brings_it_back(packed_home, tmp_path):
    home = Path(shutil.copytree(packed_home, tmp_path / f"home {AWKWARD}".replace("%", "")))
    cli(home, "deploy", "flights:1")
    port = free_port()
    environment = {**os.environ, "FAIRLEAD_PORT": str(port)}
    out = tmp_path / "out"
    cli(home, "export", "service", "-o", str(out), "--server-name", NAME, "--user", getpass.getuser(), env=environment)
    main = tmp_path / "supervisord.conf"
    main.write_text(
        f"[supervisord]\nnodaemon=true\nlogfile={tmp_path}/log\npidfile={tmp_path}/pid\nchildlogdir={tmp_path}\n"
        f"[include]\nfiles={out}/*.supervisor.conf\n"
    )
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(main)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("FAIRLEAD_")}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=clean)
    try:

        def ready():
            request = urllib.request.Request(f"http://127.0.0.1:{port}/readyz", headers={"Host": NAME})
            with urllib.request.urlopen(request, timeout=2) as reply:
                return reply.status == 200

        def pids():
            found = json.loads((home / "run" / "processes.json").read_text())
            return {one["pid"] for one in found if alive(one["pid"])}

        wait_for(ready)
        first = wait_for(pids)
        (parent,) = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in first}
        for pid in [parent, *first]:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: ready() and len(pids()) >= 2 and not pids() & first)
        last = pids()
    finally:
        process.terminate()
        process.wait(60)
    # Supervisor stops it in order: nothing is left.
    assert not [pid for pid in last if alive(pid)]


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    analyze = need("systemd-analyze", "systemd")
    out = tmp_path / "out"
    cli(
        tmp_path / AWKWARD.replace("%", ""),
        "export",
        "service",
        "-o",
        str(out),
        "--server-name",
        NAME,
        "--user",
        getpass.getuser(),
    )
    unit = str(out / "fairlead.service")
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    # systemd's own score of what a service could do to the machine: 10 is everything, a unit without hardening has 9.6.
    command = [analyze, "security", "--offline=yes", "--threshold=20", "--no-pager", unit]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_systemd_understands_the_program_as_it_was_meant(tmp_path):
    from fairlead.exporters.grammar import systemd_command, systemd_plain

    analyze = need("systemd-analyze", "systemd")
    program = "/nowhere/`odd` ;#%i; {100%} grüße"
    unit = tmp_path / "odd.service"
    unit.write_text(
        f"[Unit]\nDescription={systemd_plain(AWKWARD)}\n[Service]\nExecStart={systemd_command([program])}\n"
    )
    done = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False)
    # It says which program it did not find.
    assert f"Command {program} is not executable: No such file or directory" in done.stderr


def test_supervisor_would_expand_the_name_of_a_log_twice(tmp_path):
    # Seen with Supervisor 4.3.0: the path "%%i" of a log fails as "%i" would.
    done = cli(tmp_path / "100%", "export", "service", "-o", str(tmp_path / "out"), "--server-name", NAME, check=False)
    assert (done.returncode, "Supervisor" in done.stderr) == (2, True)


def test_a_folder_that_is_not_empty_is_left_alone_unless_forced(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("precious")
    arguments = ("export", "service", "-o", str(out), "--server-name", NAME)
    done = cli(tmp_path / "home", *arguments, check=False)
    assert (done.returncode, "--force" in done.stderr) == (4, True)
    assert [path.name for path in out.iterdir()] == ["mine"]
    told = json.loads(cli(tmp_path / "home", *arguments, "--force", "--json").stdout)
    assert all(Path(path).is_file() for path in told)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--server-name", "a b"), "--server-name"),
        (("--server-name", f"{NAME}\nevil"), "--server-name"),
        (("--server-name", NAME, "--user", "root;"), "--user"),
        (("--server-name", NAME, "--https-port", "99999"), "--https-port"),
        (("--server-name", NAME, "--tls-cert", "/a.pem"), "--tls-key"),
        (("--server-name", NAME, "--tls-cert", "a.pem", "--tls-key", "b.pem"), "absolute"),
        (("--server-name", NAME, "--name", "../x"), "../x"),
        ((), "--server-name"),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_refused_by_its_name(arguments, says, tmp_path):
    done = cli(tmp_path / "home", "export", "service", "-o", str(tmp_path / "out"), *arguments, check=False)
    assert done.returncode == 2
    assert says in done.stderr
    assert not (tmp_path / "out").exists()
