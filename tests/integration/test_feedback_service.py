"""Feedback at the real service: over HTTP, by the client, by the command line; in the event log before the answer."""

import asyncio
import csv
import http.client
import io
import json
import os
import shutil
import time
import urllib.request

import httpx
import pytest

from fairlead.archive.events import read_events
from fairlead.client import AsyncClient, Client
from fairlead.errors import InvalidInput, NotFound, SchemaMismatch, StorageError
from fairlead.events import Feedback
from running import Background, cli, post, serving

pytestmark = pytest.mark.slow

ROWS = 400


@pytest.fixture(scope="module")
def service(packed_home, tmp_path_factory):
    home = shutil.copytree(packed_home, tmp_path_factory.mktemp("feedback") / "home")
    cli(home, "deploy", "flights:1")
    with serving(home, workers=2) as running:
        yield running


@pytest.fixture
def client(service):
    with Client(service.url, token="") as found:
        yield found


@pytest.fixture
def answer(client, april_rows):
    return client.predict("flights", april_rows[0])


def recorded(service, *ids):
    """What stands in the event log, read right after the answer."""
    events = [one for one in read_events(service.home / "events") if isinstance(one, Feedback)]
    return [one for one in events if one.id in ids] if ids else events


def metric(service, kind, endpoint="flights"):
    with urllib.request.urlopen(f"{service.url}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    line = f'fairlead_feedback_total{{endpoint="{endpoint}",kind="{kind}"}} '
    return next((float(one.removeprefix(line)) for one in text.splitlines() if one.startswith(line)), 0)


def test_what_was_told_is_in_the_log_when_it_is_answered(service, answer):
    body = {"id": answer.id, "label": "late", "rating": 4, "comment": "Ünd?", "values": {"delay": 31}}
    before = time.time()
    status, _, reply = post(service.port, "/feedback/flights", json.dumps(body).encode())
    assert (status, json.loads(reply)) == (200, {"received": 1, "duplicates": 0, "corrections": 0})
    (event,) = recorded(service, answer.id)
    assert (event.endpoint, event.label, event.rating, event.comment) == ("flights", "late", 4, "Ünd?")
    assert (event.values, event.about, event.source) == ({"delay": 31.0}, "answer", "http")
    assert before - 1 <= event.time <= time.time() + 1


def test_an_id_of_any_gateway_is_known_at_every_gateway_and_after_a_restart(packed_home, tmp_path, april_rows):
    home = shutil.copytree(packed_home, tmp_path / "home")
    cli(home, "deploy", "flights:1")
    with serving(home, workers=2) as first, Client(first.url, token="") as client:
        ids = [client.predict("flights", row).id for row in april_rows[:20]]
        for identity in ids:  # a new connection each time: either gateway may answer
            assert (
                post(first.port, "/feedback/flights", json.dumps({"id": identity, "label": "late"}).encode())[0] == 200
            )
    with serving(home) as second, Client(second.url, token="") as client:
        assert client.feedback_many("flights", [{"id": identity, "label": "late"} for identity in ids]).received == 20


def test_one_invented_id_and_nothing_of_the_batch_is_recorded(service, answer):
    bodies = [{"id": answer.id, "label": "late"}, {"id": answer.id[:-1] + "x", "label": "late"}]
    status, _, reply = post(service.port, "/feedback/flights", json.dumps(bodies).encode())
    told = json.loads(reply)
    assert (status, told["code"], told["row"], told["field"]) == (404, "not_found", 1, "id")
    assert answer.id[:-1] + "x" in told["detail"]
    assert "nothing was recorded" in told["detail"]
    assert recorded(service, answer.id) == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_input"),
        (b"[]", 400, "invalid_input"),
        (b"{", 400, "invalid_input"),
        (b'{"id": "x", "label": NaN}', 400, "invalid_input"),
        (b'{"id": "x", "label": "perhaps"}', 422, "schema_mismatch"),
        (b'{"id": "x", "rating": 6}', 422, "schema_mismatch"),
        (b'{"id": "x", "raiting": 3}', 422, "schema_mismatch"),
        (b'{"id": "x", "id": "y", "rating": 3}', 422, "schema_mismatch"),
        (b'{"id": "x", "rating": 3}', 404, "not_found"),
        (b"[" * 100_000, 400, "invalid_input"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_taken_is_refused_in_the_protocols_own_shape(service, body, status, code):
    found, headers, reply = post(service.port, "/feedback/flights", body)
    told = json.loads(reply)
    assert (found, told["code"], headers["content-type"]) == (status, code, "application/problem+json")


def test_other_methods_endpoints_and_types_are_refused(service):
    assert post(service.port, "/feedback/flights", b"", method="GET")[0] == 405
    assert post(service.port, "/feedback/trains", b"{}")[0] == 404
    assert post(service.port, "/feedback/flights", b"{}", content_type="text/plain")[0] == 415


def test_told_again_is_a_duplicate_and_told_otherwise_a_correction(service, answer):
    def tell(label):
        return json.loads(exchange(json.dumps({"id": answer.id, "label": label}).encode()))

    # One kept connection stays with one gateway, which remembers what it was told.
    with KeptConnection(service.port) as exchange:
        assert tell("late") == {"received": 1, "duplicates": 0, "corrections": 0}
        assert tell("late") == {"received": 1, "duplicates": 1, "corrections": 0}
        assert tell("on time") == {"received": 1, "duplicates": 0, "corrections": 1}
    # All of it is in the log: whoever reads it decides what counts.
    assert [one.label for one in recorded(service, answer.id)] == ["late", "late", "on time"]


class KeptConnection:
    """One connection on which feedback is posted again and again."""

    def __init__(self, port):
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._http.close()

    def __call__(self, body):
        self._http.request("POST", "/feedback/flights", body, {"content-type": "application/json"})
        return self._http.getresponse().read()


def test_both_clients_tell_one_and_many_and_raise_our_own_errors(service, client, answer, april_rows):
    assert client.feedback("flights", answer.id, label="late", values={"delay": 20}).received == 1
    answers = client.predict_many("flights", april_rows[:50])
    told = [{"id": one.id, "label": one.prediction} for one in answers]
    assert client.feedback_many("flights", told).received == 50

    async def again():
        async with AsyncClient(service.url, token="") as other:
            return await other.feedback("flights", answer.id, rating=2, about="page", comment="Slow.")

    assert asyncio.run(again()).received == 1
    with pytest.raises(NotFound, match="was never given out"):
        client.feedback("flights", "1-2-3", rating=3)
    with pytest.raises(SchemaMismatch, match="expected a whole number") as caught:
        client.feedback("flights", answer.id, rating=7)
    assert (caught.value.values["row"], caught.value.values["field"]) == (0, "rating")


def test_a_table_of_thousands_is_recorded_while_others_are_answered(service, client, april_rows, april_bodies):
    answers = [one for _ in range(5) for one in client.predict_many("flights", april_rows)]
    table = io.StringIO()
    csv.writer(table).writerows([["id", "label", "values.delay"], *([one.id, "late", "12.5"] for one in answers)])
    assert len(table.getvalue()) > 64 * 1024  # read in a thread
    with Background(service.port, april_bodies[:100], connections=4) as load:
        receipt = client.feedback_text("flights", table.getvalue(), csv=True)
        service.wait_for(lambda: len(load.answers) > 50)
    assert (receipt.received, load.failures) == (5000, [])
    assert len(recorded(service, *(one.id for one in answers))) == 5000


def test_the_counters_tell_each_feedback_once(service, client, april_rows):
    # An endpoint of its own: what other tests told is written down by the other gateway at any time.
    cli(service.home, "deploy", "flights:2", "--endpoint", "counted")
    found = service.wait_for(lambda: both_answer(service, "counted", april_rows[0]))
    one, other = found[0], client.predict("counted", april_rows[1]).id
    told = [
        {"id": one, "label": "late"},
        {"id": one, "label": "late"},
        {"id": one, "label": "on time"},
        {"id": other, "rating": 5, "about": "page"},
    ]
    assert client.feedback_many("counted", told).corrections == 1
    with pytest.raises(NotFound):
        client.feedback_many("counted", [{"id": "1-2", "rating": 1}, {"id": one, "rating": 1}])
    # The gateway that is scraped may be the other one: it reads what this one writes down every second.
    service.wait_for(lambda: metric(service, "refused", "counted") == 2)
    counts = {kind: metric(service, kind, "counted") for kind in ("answer", "page", "duplicate", "correction")}
    assert counts == {"answer": 1, "page": 1, "duplicate": 1, "correction": 1}


def both_answer(service, endpoint, row):
    """Ids from new connections, once either gateway has the endpoint; none before."""
    replies = [post(service.port, f"/predict/{endpoint}", json.dumps(row).encode()) for _ in range(10)]
    return (
        [json.loads(body)["id"] for status, _, body in replies if status == 200]
        if all(status == 200 for status, _, _ in replies)
        else []
    )


def test_the_command_line_tells_a_file_in_parts_and_lists_it_beside_the_predictions(packed_home, tmp_path, april_rows):
    home = shutil.copytree(packed_home, tmp_path / "home")
    cli(home, "deploy", "flights:1")
    with serving(home) as service, Client(service.url, token="") as client:
        answers = [one for _ in range(2) for one in client.predict_many("flights", april_rows[:600])]
        lines = [json.dumps({"id": one.id, "label": "late"}) for one in answers]
        file = tmp_path / "labels.jsonl"
        file.write_text("\n".join(lines))
        at = ("--url", service.url)
        assert cli(home, "feedback", "add", "flights", str(file), *at).stdout == "1,200 recorded.\n"
        bad = tmp_path / "bad.jsonl"
        bad.write_text("\n".join([*lines[:1100], json.dumps({"id": answers[0].id, "label": "lat"})]))
        refused = cli(home, "feedback", "add", "flights", str(bad), *at, check=False)
        assert refused.returncode == 2
        assert "After row 999: Row 100: field 'label'" in refused.stderr
        assert "1,000 before it are recorded" in refused.stderr
        last = answers[-1]
        more = ("--label", "on time", "--rating", "2", "--value", "delay=-3", "--comment", "Landed \x1b[31mearly")
        told = cli(home, "feedback", "add", "flights", "--id", last.id, *more, *at, "--json")
        assert json.loads(told.stdout) == {"received": 1, "duplicates": 0, "corrections": 1}
        unknown = cli(home, "feedback", "add", "flights", "--id", "1-2-3", "--rating", "3", *at, check=False)
        assert unknown.returncode == 3
    # Without a service, too: the log is all that is needed.
    told = json.loads(cli(home, "feedback", "list", "flights", "--json", "--limit", "5000").stdout)
    assert told["counts"] == {
        "feedback": 2201, "labels": 2201, "duplicate": 1000, "correction": 1, "late": 0, "unknown": 0,
    }  # fmt: skip
    newest = told["feedback"][0]
    assert (newest["id"], newest["label"], newest["rating"], newest["values"]) == (
        last.id,
        "on time",
        2,
        {"delay": -3.0},
    )
    assert (newest["prediction"], newest["model"], newest["variant"]) == (last.prediction, "flights:1", "stable")
    assert newest["told"] == "correction"
    shown = cli(home, "feedback", "list", "flights", "--limit", "3", "--since", "1h")
    assert len(shown.stdout.splitlines()) == 4
    assert "\x1b" not in shown.stdout
    assert "the latest 3 of 2,201 told" in shown.stderr


def test_with_tokens_feedback_needs_its_scope_and_the_page_the_one_to_ask(packed_home, tmp_path, april_rows):
    home = shutil.copytree(packed_home, tmp_path / "home")
    cli(home, "deploy", "flights:1")
    made = {
        scope: cli(home, "token", "create", scope, "--scope", scope).stdout.strip() for scope in ("predict", "feedback")
    }
    with serving(home) as service:
        with Client(service.url, token=made["predict"]) as client:
            answer = client.predict("flights", april_rows[0])
        body = json.dumps({"id": answer.id, "label": "late"})
        asked = {"content": body, "headers": {"content-type": "application/json"}}
        with httpx.Client(base_url=service.url) as http:
            status = {"nobody": http.post("/feedback/flights", **asked).status_code}
            for scope, token in made.items():
                asked["headers"]["authorization"] = f"Bearer {token}"
                status[scope] = http.post("/feedback/flights", **asked).status_code
            # The page asks with the token that its visitor showed, and its feedback goes the same way.
            form = {"prediction": answer.id, "about": "answer", "said": answer.prediction, "right": "yes"}
            shown = {"authorization": f"Bearer {made['predict']}"}
            page = http.post("/flights/feedback", data=form, headers=shown)
        assert status == {"nobody": 401, "predict": 403, "feedback": 200}
        assert (page.status_code, "Thank you" in page.text) == (200, True)
        assert [one.source for one in recorded(service, answer.id)] == ["feedback", "page"]


def test_without_an_event_log_feedback_is_refused_and_not_lost_silently(packed_home, tmp_path, april_rows):
    home = shutil.copytree(packed_home, tmp_path / "home")
    cli(home, "deploy", "flights:1")
    with serving(home, env={**os.environ, "FAIRLEAD_EVENT_LOG": "false"}) as service:
        with Client(service.url, token="") as client:
            answer = client.predict("flights", april_rows[0])
            with pytest.raises(StorageError, match="keeps no event log"):
                client.feedback("flights", answer.id, label="late")
        status, _, reply = post(service.port, "/feedback/flights", json.dumps({"id": answer.id, "rating": 1}).encode())
        assert (status, json.loads(reply)["code"]) == (503, "storage_error")


def test_what_the_command_line_cannot_understand_is_refused_before_anything_is_sent(home):
    for arguments in (
        ("--label", "late"),
        ("--id", "1", "--value", "delay"),
        ("[]", "--id", "1"),
    ):
        done = cli(home, "feedback", "add", "flights", *arguments, check=False)
        assert done.returncode == 2, done.stderr
    assert cli(home, "feedback", "list", "docs", check=False).returncode == 2
    assert "No feedback for flights yet." in cli(home, "feedback", "list", "flights").stderr
    with pytest.raises(InvalidInput):
        Client(token="").feedback("a/b", "1", rating=1)
