"""`fairlead.wsgi` by hand, within Flask under gunicorn, and in Apache: the answers are scikit-learn's, mistakes are problems."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from wsgiref.validate import validator

import pytest
from mounting import ask, late, script, server, wait_for

import fairlead
from running import cli, free_port

pytestmark = pytest.mark.slow
APACHE_MODULE = Path("/usr/lib/apache2/modules/mod_wsgi.so")


@pytest.fixture(scope="module")
def standing(packed_home, tmp_path_factory):
    """A home in which flights:1 stays deployed."""
    home = Path(shutil.copytree(packed_home, tmp_path_factory.mktemp("standing") / "home"))
    cli(home, "deploy", "flights:1")
    return home


@pytest.fixture(scope="module")
def app(standing):
    return fairlead.wsgi("flights", home=standing)


@pytest.fixture
def deployed(home):
    """A home of the test's own, to deploy to."""
    cli(home, "deploy", "flights:1")
    return home


def call(app, body=b"", method="POST", path="/", **environ):
    """Ask the application itself: status, headers, the body's JSON."""
    heard = []
    environment = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "/model",
        "PATH_INFO": path,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **environ,
    }
    parts = app(environment, lambda status, headers: heard.append((status, dict(headers))))
    (status, headers), text = heard[0], b"".join(parts)
    assert headers["content-length"] == str(len(text)) or method == "HEAD"
    return int(status[:3]), headers, json.loads(text) if text else None


def test_many_threads_get_each_their_own_answer(standing, april_bodies, late_probabilities):
    app = fairlead.wsgi("flights", home=standing)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda body: call(app, body), april_bodies))
    assert {status for status, *_ in answers} == {200}
    found = [late(told) for *_, told in answers]
    assert found == pytest.approx(list(late_probabilities["flights:1"]), abs=1e-6)
    assert sum(thread.name == "fairlead-flights" for thread in threading.enumerate()) == 1


def test_an_array_csv_a_chunked_body_and_the_schema(standing, april_rows, april_bodies, late_probabilities):
    app = fairlead.wsgi("flights", home=standing)
    many = b"[" + b",".join(april_bodies[:500]) + b"]"
    expected = late_probabilities["flights:1"]
    assert [late(told) for told in call(app, many)[2]] == pytest.approx(list(expected[:500]), abs=1e-6)
    cells = ["" if value is None else str(value) for value in april_rows[0].values()]
    table = f"{','.join(april_rows[0])}\n{','.join(cells)}\n".encode()
    (told,) = call(app, table, CONTENT_TYPE="text/csv; charset=utf-8")[2]
    assert late(told) == pytest.approx(expected[0], abs=1e-6)
    chunked = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    assert call(app, april_bodies[0], **chunked)[0] == 200
    status, headers, schema = call(app, method="GET", path="/schema")
    assert (status, headers["cache-control"]) == (200, "no-store")
    assert [column["name"] for column in schema["schema"]["columns"]] == list(april_rows[0])
    assert call(app, method="HEAD", path="/schema")[2] is None


def test_it_keeps_to_the_protocol(standing, april_bodies):
    # wsgiref.validate is Python's own checker of PEP 3333; a byte more or a wrong type is an AssertionError.
    app = validator(fairlead.wsgi("flights", home=standing))
    from wsgiref.util import setup_testing_defaults

    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "CONTENT_TYPE": "application/json"}
    environ |= {"CONTENT_LENGTH": str(len(april_bodies[0])), "wsgi.input": io.BytesIO(april_bodies[0])}
    environ |= {"QUERY_STRING": "", "SCRIPT_NAME": ""}
    setup_testing_defaults(environ)
    heard = []
    parts = app(environ, lambda status, headers, exc_info=None: heard.append(status) or (lambda _: None))
    assert late(json.loads(b"".join(parts))) > 0
    parts.close()
    assert heard == ["200 OK"]


@pytest.mark.parametrize(
    ("body", "environ", "status", "code"),
    [
        (b"{}", {}, 422, "schema_mismatch"),
        (b"no json", {}, 400, "invalid_input"),
        (b"{}", {"CONTENT_TYPE": "application/x-pickle"}, 415, "unsupported_media_type"),
        (b"{}", {"CONTENT_LENGTH": "99"}, 400, "invalid_input"),
        (b"{}", {"CONTENT_LENGTH": "99999999999999999999999999"}, 413, "too_large"),
        (b"{}", {"CONTENT_LENGTH": "-1"}, 400, "invalid_input"),
        (b"{}", {"CONTENT_LENGTH": ""}, 400, "invalid_input"),
        (b" " * (16 * 2**20 + 1), {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}, 413, "too_large"),
        (b"{}", {"REQUEST_METHOD": "DELETE"}, 405, "method_not_allowed"),
        (b"{}", {"PATH_INFO": "/../x"}, 404, "not_found"),
    ],
    ids=range(10),
)
def test_mistakes_are_problem_details_in_the_words_of_the_service(app, body, environ, status, code):
    found, headers, told = call(app, body, **environ)
    assert (found, told["code"], headers["content-type"]) == (status, code, "application/problem+json")


def test_a_body_that_cannot_be_read_raises_nothing(standing):
    class Broken:
        def read(self, _):
            raise ConnectionResetError("gone")

    status, _, told = call(fairlead.wsgi("flights", home=standing), b"{}", **{"wsgi.input": Broken()})
    assert (status, told["code"]) == (400, "invalid_input")
    assert "gone" not in json.dumps(told)


def test_a_fork_opens_anew_and_leaves_its_parent_alone(deployed, april_bodies, tmp_path):
    # In an interpreter of its own: a process with the threads of pytest must not be forked.
    (tmp_path / "row.json").write_bytes(april_bodies[0])
    code = f"""
import io, json, os, fairlead
body = open({str(tmp_path / "row.json")!r}, "rb").read()
app = fairlead.wsgi("flights", home={str(deployed)!r})
def ask():
    environ = {{"REQUEST_METHOD": "POST", "PATH_INFO": "/", "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body)}}
    return json.loads(b"".join(app(environ, lambda status, headers: None)))["id"]
ids = [ask()]
inner, outer = os.pipe()
if os.fork() == 0:
    os.write(outer, ask().encode())
    os._exit(0)
os.wait()
print(ids[0], os.read(inner, 100).decode(), ask())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    first, forked, last = done.stdout.split()
    # The first part of an id is the gateway's own: the fork has another than its parent, which goes on with its own.
    assert first.split("-")[0] == last.split("-")[0] != forked.split("-")[0]
    writers = {path.name.split("-")[2] for path in (deployed / "events").rglob("*.seg")}
    assert len(writers) == 2


def test_within_flask_under_gunicorn_with_two_workers_and_a_deploy(
    deployed, tmp_path, april_bodies, late_probabilities
):
    port = free_port()
    script(
        tmp_path,
        "import fairlead, os\nfrom flask import Flask\nfrom werkzeug.middleware.dispatcher import DispatcherMiddleware\n"
        "app = Flask(__name__)\n"
        "@app.get('/pid')\ndef pid():\n    return str(os.getpid())\n"
        f"flights = fairlead.wsgi('flights', home={str(deployed)!r})\n"
        "app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {'/flights': flights})\n",
    )
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "gunicorn", "application:app", "--bind", f"127.0.0.1:{port}"]
    # --preload imports the application before the fork; --threads calls it from several threads of each worker.
    command += ["--workers", "2", "--threads", "4", "--preload", "--no-control-socket"]
    with server(command, f"{url}/pid", tmp_path):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda body: ask(f"{url}/flights", body), april_bodies[:400]))
        assert {status for status, *_ in answers} == {200}
        found = [late(told) for *_, told in answers]
        assert found == pytest.approx(list(late_probabilities["flights:1"][:400]), abs=1e-6)
        # Both workers have answered: an id begins with its gateway's own part.
        assert len({told["id"].split("-")[0] for *_, told in answers}) == 2
        assert ask(f"{url}/flights", b"{}")[0] == 422
        cli(deployed, "deploy", "flights:2")
        wait_for(lambda: {ask(f"{url}/flights", april_bodies[0])[2]["model"] for _ in range(10)} == {"flights:2"})
    assert "Traceback" not in (tmp_path / "server.log").read_text()


def apache():
    """Debian's Apache with mod_wsgi for this very Python version, or a skip that says what is missing."""
    program = shutil.which("apache2", path="/usr/sbin")
    reason = None
    if program is None or not APACHE_MODULE.exists():
        reason = "needs apt-get install apache2 libapache2-mod-wsgi-py3"
    elif sys.version_info[:2] != debian_python():
        reason = (
            f"mod_wsgi is Python {debian_python()}, this is {sys.version_info[:2]}: our binary packages do not load"
        )
    elif os.geteuid() == 0 and not all(map(open_to_all, packages())):
        reason = "Apache's user cannot read where this checkout lies"
    if reason and os.environ.get("CI") == "true" and reason.startswith("needs"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return program


def open_to_all(folder):
    return all(path.stat().st_mode & 0o005 == 0o005 for path in (Path(folder), *Path(folder).parents))


def debian_python():
    told = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print(*sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=False,
    )
    return tuple(map(int, told.stdout.split()))


@pytest.fixture
def open_home(packed_home):
    """A deployed home that Apache's user may read and write: Apache runs nothing as root."""
    with tempfile.TemporaryDirectory(prefix="fairlead-apache-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        home = Path(shutil.copytree(packed_home, folder / "home"))
        for ref in ("flights:2", "flights:1"):  # so that both lie unpacked, for another user than who deploys later
            cli(home, "deploy", ref)
        if os.geteuid() == 0:
            for path in (folder, *folder.rglob("*")):
                shutil.chown(path, "www-data", "www-data")
        yield home


def test_in_apache_with_mod_wsgi(open_home, april_bodies, late_probabilities):
    program, port, folder = apache(), free_port(), open_home.parent
    script_file = folder / "flights.wsgi"
    script_file.write_text(f"import fairlead\napplication = fairlead.wsgi('flights', home={str(open_home)!r})\n")
    (folder / "apache.conf").write_text(f"""
ServerName 127.0.0.1
ServerRoot {folder}
PidFile {folder}/pid
ErrorLog /dev/stderr
{"User www-data" if os.geteuid() == 0 else ""}
{"Group www-data" if os.geteuid() == 0 else ""}
Listen 127.0.0.1:{port}
LoadModule mpm_event_module {APACHE_MODULE.parent}/mod_mpm_event.so
LoadModule authz_core_module {APACHE_MODULE.parent}/mod_authz_core.so
LoadModule wsgi_module {APACHE_MODULE}
Mutex file:{folder} default
WSGISocketPrefix {folder}/wsgi
WSGIDaemonProcess flights processes=2 threads=4 python-path={":".join(packages())}
WSGIScriptAlias /flights {script_file} process-group=flights application-group=%{{GLOBAL}}
<Directory {folder}>
Require all granted
</Directory>
""")
    command = [program, "-f", str(folder / "apache.conf"), "-D", "FOREGROUND"]
    url = f"http://127.0.0.1:{port}/flights"
    with server(command, f"{url}/schema", folder, PYTHONPATH=""):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda body: ask(url, body), april_bodies[:200]))
        assert {status for status, *_ in answers} == {200}
        found = [late(told) for *_, told in answers]
        assert found == pytest.approx(list(late_probabilities["flights:1"][:200]), abs=1e-6)
        assert ask(url, b"{}")[0] == 422
        cli(open_home, "deploy", "flights:2")
        wait_for(lambda: {ask(url, april_bodies[0])[2]["model"] for _ in range(10)} == {"flights:2"})


def packages():
    """Where our packages lie: the interpreter's own library is Debian's."""
    return [str(Path(fairlead.__file__).parents[1]), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
