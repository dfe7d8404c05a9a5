"""What people do to rollouts, against a real database: who may do what, when, and what stands in the records afterwards."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest
from bundle_samples import SCHEMA, sealed

from fairlead.bundle.reader import SCHEMA as SCHEMA_FILE
from fairlead.bundle.seal import seal
from fairlead.bundle.store import put_bundle
from fairlead.errors import Conflict, InvalidInput, NotFound, SchemaMismatch
from fairlead.registry.audit import audit_entries, verify_chain
from fairlead.registry.registry import publish, resolve
from fairlead.rollout import operations
from fairlead.rollout.direct import deploy, retire
from fairlead.rollout.moves import moved
from fairlead.rollout.plan import Assigned, Audience, Metric, Plan, Step, complete, default_plan
from fairlead.rollout.store import active_of, commit, history, list_rollouts, put_in_quarantine
from fairlead.routing.store import GatewayReport, forget_gateway, read_table, report_gateway
from fairlead.schema import Column
from fairlead.storage.blobs import open_blobs
from fairlead.storage.database import open_database


@pytest.fixture
def blobs(tmp_path):
    return open_blobs(str(tmp_path / "blobs"))


@pytest.fixture
def database(tmp_path, blobs):
    """Three versions of a model, of which the first answers at the endpoint."""
    opened = open_database(f"sqlite:///{tmp_path}/fairlead.db")
    for number in (1, 2, 3):
        digest = put_bundle(sealed(tmp_path / str(number), b"original %d" % number), blobs)
        publish(opened, model="flights", digest=digest, road="worker", task="classification", actor="ann")
    deploy(opened, blobs, "flights:1", actor="ann")
    alive = GatewayReport("a/gateway-0", "a", 1, 1, "ready", "", time.time() + 3600)
    with opened.write() as connection:
        report_gateway(connection, alive)
    yield opened
    opened.close()


@pytest.fixture
def begin(database, blobs):
    def begin(candidate="flights:2", strategy="canary", actor="bob", plan=None, **further):
        wanted = default_plan(strategy, "flights", candidate) if plan is None else complete(plan)
        return operations.begin(database, blobs, wanted, actor=actor, **further).rollout

    return begin


def served(database):
    with database.read() as connection:
        found = read_table(connection).endpoint("flights")
    return {one.name: (one.model, one.slots) for one in found.variants}


def underway(database):
    with database.read() as connection:
        return active_of(connection, "flights")


def carry(database, *states, step=0):
    """Do what a controller does, without looking."""
    for state in states:
        with database.write() as connection:
            rollout = active_of(connection, "flights")
            began = step if state == "progressing" else None
            commit(connection, moved(rollout, state, "so the test", 0.0, step=began), "controller")


def test_a_rollout_begins_without_touching_what_is_served(database, begin):
    rollout = begin()
    assert (rollout.number, rollout.state, rollout.stable) == (2, "pending", "flights:1")  # 1 was the deployment
    assert served(database) == {"stable": ("flights:1", 10_000)}
    assert audit_entries(database, limit=1)[0].action == "began rollout"


def test_steps_divide_the_slots_and_the_records_tell_it(database, begin):
    begin()
    carry(database, "warming")
    assert served(database) == {"stable": ("flights:1", 10_000), "candidate": ("flights:2", 0)}
    carry(database, "progressing")
    assert served(database) == {"stable": ("flights:1", 9900), "candidate": ("flights:2", 100)}
    carry(database, "progressing", step=1)
    assert served(database)["candidate"] == ("flights:2", 1000)
    stretches = underway(database).stretches
    assert [(one.step, one.weight) for one in stretches] == [(0, 0.0), (0, 1.0), (1, 10.0)]
    assert len({one.revision for one in stretches}) == 3
    assert verify_chain(database)[1] is None


def test_promotion_repoints_moves_the_champion_and_keeps_the_former_warm(database, blobs, begin):
    begin()
    carry(database, "warming", "progressing")
    done = operations.promote(database, "flights", actor="cid", because="looks good")
    assert (done.state, done.because) == ("promoting", "looks good")
    assert served(database) == {"stable": ("flights:2", 10_000), "former": ("flights:1", 0)}
    assert resolve(database, "flights:champion").number == 2
    carry(database, "promoted")
    back = operations.roll_back(database, blobs, "flights", actor="cid")
    assert (back.model, back.state) == ("flights:1", "promoted")
    assert served(database) == {"stable": ("flights:1", 10_000)}
    assert resolve(database, "flights:champion").number == 1
    assert audit_entries(database, subject="flights")[1].action == "rolled back"


def test_an_abort_takes_the_candidate_out_at_once(database, begin):
    begin()
    carry(database, "warming", "progressing")
    operations.abort(database, "flights", actor="cid")
    assert served(database) == {"stable": ("flights:1", 10_000)}
    with pytest.raises(Conflict, match="aborting"):
        operations.promote(database, "flights", actor="dan")


def test_where_no_gateway_is_alive_nobody_is_waited_for(database, blobs, begin):
    with database.write() as connection:
        forget_gateway(connection, "a/gateway-0")
    begin()
    carry(database, "warming", "progressing")
    assert operations.abort(database, "flights", actor="cid").state == "aborted"
    deploy(database, blobs, "flights:3", actor="cid")
    assert served(database) == {"stable": ("flights:3", 10_000)}


def test_two_rollouts_at_once_are_refused_and_the_first_is_named(database, blobs, begin):
    begin()
    with pytest.raises(Conflict, match=r"Rollout 2 .* flights:2 .* bob began it") as caught:
        begin("flights:3", actor="eve")
    assert "--supersede" in caught.value.hint
    for change in (
        lambda: deploy(database, blobs, "flights:3", actor="eve"),
        lambda: retire(database, "flights", actor="e"),
    ):
        with pytest.raises(Conflict, match="Rollout 2"):
            change()
    assert [one.number for one in list_rows(database)] == [2, 1]


def list_rows(database):
    with database.read() as connection:
        return list_rollouts(connection, "flights")


def test_a_third_version_supersedes_and_the_old_candidate_has_no_traffic(database, begin):
    begin()
    carry(database, "warming", "progressing")
    assert begin("flights:3", supersede=True).number == 3
    assert served(database) == {"stable": ("flights:1", 10_000)}
    assert [(one.number, one.state) for one in list_rows(database)] == [
        (3, "pending"),
        (2, "superseded"),
        (1, "promoted"),
    ]


def test_of_two_people_who_promote_at_once_one_is_told_who_was_faster(database, begin):
    begin()
    carry(database, "warming", "progressing")
    outcomes, barrier = [], threading.Barrier(2)

    def promote(actor):
        barrier.wait()
        try:
            outcomes.append(operations.promote(database, "flights", actor=actor).because)
        except Conflict as error:
            outcomes.append(error.detail)

    threads = [threading.Thread(target=promote, args=(name,)) for name in ("ann", "bob")]
    [one.start() for one in threads]
    [one.join(20) for one in threads]
    won, lost = sorted(outcomes, key=len)
    assert won in {"ann promoted it.", "bob promoted it."}
    assert won in lost
    assert "is promoting" in lost
    assert [entry.content["state"] for entry in history(database, 2) if entry.kind == "moved"][-2:] == [
        "progressing",
        "promoting",
    ]


def test_a_pause_holds_the_weights_and_resume_begins_the_steps_time_anew(database, begin):
    begin()
    carry(database, "warming", "progressing")
    paused = operations.pause(database, "flights", actor="cid")
    assert served(database)["candidate"] == ("flights:2", 100)
    with pytest.raises(Conflict, match="paused already: cid"):
        operations.pause(database, "flights", actor="dan")
    resumed = operations.resume(database, "flights", actor="dan")
    assert (resumed.state, resumed.step) == ("progressing", 0)
    assert resumed.stepped > paused.stepped
    with pytest.raises(Conflict, match="not paused"):
        operations.resume(database, "flights", actor="dan")


def test_an_approval_is_given_once_and_only_where_it_is_asked_for(database, begin):
    begin(plan=Plan("flights", "flights:2", steps=(Step(weight=10), Step(approve=True), Step(weight=50))))
    carry(database, "warming", "progressing")
    with pytest.raises(Conflict, match="asks for no"):
        operations.approve(database, "flights", actor="cid")
    carry(database, "progressing", step=1)
    assert served(database)["candidate"] == ("flights:2", 1000)  # while somebody is asked, the step before goes on
    assert operations.approve(database, "flights", actor="cid").approved == 1
    assert [entry.kind for entry in history(database, 2)][-1] == "approved"


def test_a_version_that_failed_is_not_tried_again_without_a_reason(database, begin):
    begin()
    carry(database, "warming", "progressing", "aborting")
    with database.write() as connection:
        put_in_quarantine(connection, active_of(connection, "flights"))
    carry(database, "aborted")
    with pytest.raises(Conflict, match="failed at 'flights' in rollout 2") as caught:
        begin()
    assert "--retry" in caught.value.hint
    again = begin(retry="the disk was full")
    assert (again.retry, again.carried) == ("the disk was full", 0)


def test_an_attempt_that_people_ended_hands_its_evidence_on(database, begin):
    begin()
    carry(database, "warming", "progressing")
    operations.abort(database, "flights", actor="cid", because="lunch")
    carry(database, "aborted")
    assert begin().carried == 2


def test_a_candidate_that_does_not_fit_is_refused_with_what_differs(tmp_path, database, blobs, begin):
    other = msgspec.structs.replace(
        SCHEMA,
        columns=(Column("distance", "string"), Column("carrier", "string", nullable=True), Column("gate", "integer")),
    )
    folder = sealed(tmp_path / "other", b"other").folder
    (folder / "manifest.json").unlink()
    (folder / SCHEMA_FILE).write_bytes(msgspec.json.encode(other))
    bundle = seal(folder, name="flights", format="pickle", model_class="a.B", road="worker", git_commit="")
    publish(
        database, model="flights", digest=put_bundle(bundle, blobs), road="worker", task="classification", actor="ann"
    )
    with pytest.raises(SchemaMismatch) as caught:
        begin("flights:4")
    assert "'distance' is number at the endpoint and string in the candidate" in caught.value.detail
    assert "wants the column 'gate'" in caught.value.detail
    assert underway(database) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"assignment": Assigned("column:customer")}, "no column 'customer'"),
        ({"audience": Audience(("JFK",), column="origin")}, "no column 'origin'"),
        ({"metrics": (Metric("accuracy", segment={"origin": "JFK"}),)}, "no column 'origin'"),
        ({"metrics": (Metric("lateness", source="feedback", label=7),)}, "no class 7"),
    ],
)
def test_a_plan_that_names_what_the_model_has_not_is_refused(begin, change, words):
    with pytest.raises(InvalidInput, match=words):
        begin(plan=msgspec.structs.replace(Plan("flights", "flights:2"), **change))


def test_nothing_to_compare_with_is_said(database, blobs):
    with pytest.raises(NotFound, match="nothing to compare"):
        operations.begin(database, blobs, default_plan("canary", "new", "flights:2"), actor="bob")
    with pytest.raises(Conflict, match="answers at 'flights' already"):
        operations.begin(database, blobs, default_plan("canary", "flights", "flights:1"), actor="bob")


def test_behind_people_a_model_answers_in_the_dark_and_goes_live_by_promotion(database, blobs):
    begun = operations.begin(database, blobs, default_plan("shadow", "triage", "flights:2"), actor="bob").rollout
    assert begun.dark

    def endpoint():
        with database.read() as connection:
            return read_table(connection).endpoint("triage")

    def move(state, step=None):
        with database.write() as connection:
            rollout = active_of(connection, "triage")
            commit(connection, moved(rollout, state, "so the test", 0.0, step=step), "controller")

    move("warming")
    move("progressing", 0)
    assert (endpoint().dark, [one.model for one in endpoint().variants]) == (True, ["flights:2"])
    operations.promote(database, "triage", actor="bob")
    assert (endpoint().dark, [(one.name, one.model) for one in endpoint().variants]) == (
        False,
        [("stable", "flights:2")],
    )


def test_a_dry_run_checks_everything_and_changes_nothing(database, begin):
    before = len(audit_entries(database))
    assert begin(dry_run=True).number == 0
    assert (underway(database), len(audit_entries(database))) == (None, before)
    with pytest.raises(NotFound):
        begin("flights:9", dry_run=True)


def test_a_rollback_has_somewhere_to_go_or_says_that_it_has_not(database, blobs, begin):
    with pytest.raises(NotFound, match="Nothing answered at 'flights' before flights:1"):
        operations.roll_back(database, blobs, "flights", actor="cid")
    deploy(database, blobs, "flights:2", actor="ann")
    assert operations.roll_back(database, blobs, "flights", actor="cid").model == "flights:1"
    begin()
    with pytest.raises(Conflict, match=r"Rollout 4"):
        operations.roll_back(database, blobs, "flights", actor="cid")
    with pytest.raises(NotFound, match="No version answers at 'houses'"):
        operations.roll_back(database, blobs, "houses", actor="cid")


def test_a_mirrored_step_asks_the_stable_version_again_to_know_the_noise_floor(database, begin):
    begin(strategy="shadow")
    carry(database, "warming", "progressing")
    with database.read() as connection:
        mirrors = read_table(connection).endpoint("flights").mirrors
    assert [(one.name, one.model, one.percent) for one in mirrors] == [
        ("candidate", "flights:2", 100.0),
        ("stable", "flights:1", 25.0),
    ]
