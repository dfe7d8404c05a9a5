"""Tokens at rest: hashed, audited, revoked for good."""

import hashlib
import sqlite3

import pytest

from fairlead.errors import BadReference, Conflict, InvalidInput, NotFound
from fairlead.registry.audit import audit_entries, verify_chain
from fairlead.registry.tokens import create_token, list_tokens, revoke_token, token_set, token_stamp
from fairlead.serving.keys.tokens_file import read_tokens
from fairlead.serving.processes.delivery import TokenSource, deliver_tokens
from fairlead.storage.database import open_database

SOURCE = TokenSource(token_stamp, token_set)


@pytest.fixture
def database(tmp_path):
    opened = open_database(f"sqlite:///{tmp_path}/fairlead.db")
    yield opened
    opened.close()


def create(database, name="app", scopes=("predict",), **more):
    return create_token(database, name, scopes=scopes, actor="me", **more)


def test_only_the_digest_of_a_token_is_kept(database, tmp_path):
    issued, secret = create(database, endpoints=["flights"], rate=5, seconds=60)
    with sqlite3.connect(tmp_path / "fairlead.db") as plain:
        kept = "\n".join(plain.iterdump())
    plain.close()
    assert secret not in kept
    assert secret.split("_", 2)[2] not in kept
    assert hashlib.sha256(secret.encode()).hexdigest() in kept
    assert (issued.endpoints, issued.rate, issued.burst) == (("flights",), 5, 5)
    assert issued.expires == pytest.approx(issued.created + 60, abs=1)


def test_what_is_done_to_tokens_is_in_the_audit_without_the_secret(database):
    _, secret = create(database)
    revoke_token(database, "app", actor="you")
    entries = audit_entries(database, subject="app")
    assert [(one.actor, one.action) for one in entries] == [("you", "token revoked"), ("me", "token created")]
    assert entries[1].detail["scopes"] == "predict"
    assert secret not in str(entries)
    assert hashlib.sha256(secret.encode()).hexdigest() not in str(entries)
    assert verify_chain(database) == (2, None)


def test_a_dry_run_changes_nothing(database):
    _, secret = create(database, dry_run=True)
    assert (secret, list_tokens(database), audit_entries(database)) == ("", [], [])
    create(database)
    revoke_token(database, "app", actor="me", dry_run=True)
    assert list_tokens(database)[0].revoked is None


def test_a_name_is_free_again_when_its_token_was_revoked(database):
    first, _ = create(database)
    with pytest.raises(Conflict, match="'app' is in use"):
        create(database)
    with pytest.raises(Conflict):
        create(database, dry_run=True)
    revoke_token(database, first.id, actor="me")
    second, _ = create(database)
    assert [one.state(0) for one in list_tokens(database)] == ["live", "revoked"]
    assert first.id != second.id


def test_who_is_not_there_cannot_be_revoked(database):
    create(database, "reporting")
    with pytest.raises(NotFound) as caught:
        revoke_token(database, "reportin", actor="me")
    assert caught.value.hint == "Did you mean 'reporting'?"
    revoke_token(database, "reporting", actor="me")
    with pytest.raises(NotFound):
        revoke_token(database, "reporting", actor="me")


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"name": "../x"}, BadReference),
        ({"name": "A"}, BadReference),
        ({"scopes": ()}, InvalidInput),
        ({"scopes": ("root",)}, InvalidInput),
        ({"endpoints": ["metrics"]}, BadReference),
        ({"endpoints": ["a b"]}, BadReference),
        ({"rate": 0.0}, InvalidInput),
        ({"rate": float("nan")}, InvalidInput),
        ({"rate": float("inf")}, InvalidInput),
        ({"rate": 1e9}, InvalidInput),
        ({"burst": 5}, InvalidInput),
        ({"rate": 1.0, "burst": 0}, InvalidInput),
    ],
)
def test_what_makes_no_sense_is_refused(database, facts, kind):
    with pytest.raises(kind):
        create(database, **facts)
    assert list_tokens(database) == []


def test_delivery_brings_those_that_hold(database, tmp_path):
    file = tmp_path / "cache" / "tokens.json"
    assert deliver_tokens(database, SOURCE, file).issued == 0
    create(database)
    create(database, "boss", ("admin",))
    revoke_token(database, "app", actor="me")
    told = deliver_tokens(database, SOURCE, file)
    assert read_tokens(file) == told
    assert (told.issued, [(one.number, one.name) for one in told.tokens]) == (2, [(2, "boss")])


def test_a_database_that_lost_its_tokens_opens_no_door(database, tmp_path):
    file = tmp_path / "cache" / "tokens.json"
    create(database)
    told = deliver_tokens(database, SOURCE, file)
    empty = open_database(f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(Conflict, match="knows of no token"):
        deliver_tokens(empty, SOURCE, file)
    empty.close()
    assert read_tokens(file) == told


def test_a_file_that_was_damaged_is_delivered_again(database, tmp_path):
    file = tmp_path / "tokens.json"
    create(database)
    file.write_bytes(b"{")
    assert deliver_tokens(database, SOURCE, file) == read_tokens(file)


def test_the_stamp_changes_whenever_a_token_does(database):
    def stamp():
        with database.read() as connection:
            return token_stamp(connection)

    seen = [stamp()]
    create(database)
    seen.append(stamp())
    revoke_token(database, "app", actor="me")
    seen.append(stamp())
    assert len(set(seen)) == 3
