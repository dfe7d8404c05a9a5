"""The controller: carries rollouts out, one stage at a time, and may be killed between any two of them.

Where a rollout stands is a row that was written before it was applied; what the endpoint shall be follows from the row; what was
observed is in the event log. So a pass reads where things stand, does what the stage says, and writes the next state in one
transaction. Whoever comes after a crash does the same pass again.

| state | what a pass does | and then |
|---|---|---|
| pending | lets every gateway load the candidate, without traffic | warming |
| warming | waits until every live gateway has it; one that cannot load it ends the rollout | progressing, aborting |
| progressing | looks: evidence, verdicts, decision | the next step, paused, promoting, aborting |
| paused | looks on: a guardrail that fails still ends it | progressing, aborting |
| promoting, aborting | waits until every live gateway obeys | promoted, aborted |

An endpoint whose former version was kept warm long enough lets it go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from loguru import logger

from fairlead.errors import Conflict, FairleadError
from fairlead.registry.audit import append_entry
from fairlead.rollout.decide import Decision, decide
from fairlead.rollout.evidence import Evidence
from fairlead.rollout.lease import check_lease, give_up_lease, take_lease
from fairlead.rollout.measures import measure
from fairlead.rollout.moves import moved, restored
from fairlead.rollout.rollout import ALIVE_SECONDS, ENDING, FORMER, Rollout, State
from fairlead.rollout.store import (
    active_rollouts,
    append_log,
    commit,
    find_rollout,
    last_look,
    last_move,
    last_promoted,
    put_in_quarantine,
)
from fairlead.rollout.watch import Watches
from fairlead.routing.store import GatewayReport, live_gateways, read_table, write_table
from fairlead.routing.table import Endpoint
from fairlead.schema import Value
from fairlead.storage.changes import Changes
from fairlead.storage.database import Database

__all__ = ["CONTROLLER", "Controller", "Notice", "readiness"]

CONTROLLER: Final = "controller"
"""Who does what the plan says, in the history and the audit."""

_LEASE_SECONDS: Final = 10.0
_COOL_SECONDS: Final = 5.0
_WARM_SECONDS: Final = 300.0
_HEARD_SECONDS: Final = 1.5


class Notice(msgspec.Struct, frozen=True):
    """Something that people may want to hear of.

    Attributes:
        kind: "began", "stepped", "paused", "inconclusive", "promoted", "aborted".
        rollout: As it is now.
    """

    kind: str
    rollout: Rollout


class Controller:
    """Carries rollouts out.

    Args:
        database: Where they are.
        events: The event log's folder; `None` where nothing is recorded.
        holder: A name that no other controller has.
        tell: Told what people may want to hear of; must return at once.
        clock: Seconds since 1970 (UTC).
    """

    def __init__(
        self,
        database: Database,
        events: Path | None,
        holder: str,
        *,
        tell: Callable[[Notice], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._holder = holder
        self._tell = tell
        self._clock = clock
        self._watches = Watches(events)
        self._epoch: int | None = None
        self._lease_until = 0.0
        self._cooled = 0.0
        self._changes = Changes(database)
        self._idle = False  # nothing was under way when we last looked
        self._stages: dict[State, Callable[[Rollout], None]] = {
            "pending": self._begin,
            "warming": self._warm,
            "progressing": self._look,
            "paused": self._look,
            "promoting": self._settle,
            "aborting": self._settle,
        }

    def step(self) -> None:
        """One pass over everything that is under way.

        What goes wrong is logged and tried again at the next pass; what goes wrong with one rollout does not hold up the others.
        """
        try:
            self._pass()
        except FairleadError as err:
            logger.error("Rollouts wait: {error}", error=str(err))

    def _pass(self) -> None:
        cooling = self._clock() >= self._cooled + _COOL_SECONDS
        changed = self._changes.since()
        if self._idle and not changed and not cooling:
            return
        self._idle = False
        with self._database.read() as connection:
            found = active_rollouts(connection)
            cooled = self._cooled_down(connection) if cooling else []
        if cooling:
            self._cooled = self._clock()
        self._idle = not found
        self._follow(found)
        # To lead is to write: where nothing is to be done, nobody does.
        if not (found or cooled) or not self._leads():
            return
        for rollout in found:
            try:
                self._stages[rollout.state](rollout)
            except Conflict as err:
                # Somebody was faster, or another leads: the next pass reads what is true now.
                logger.info("Rollout {number}: {error}", number=rollout.number, error=str(err))
            except FairleadError as err:
                logger.error("Rollout {number} waits: {error}", number=rollout.number, error=str(err))
        for endpoint in cooled:
            self._let_go(endpoint)

    def close(self) -> None:
        """Let another lead at once."""
        self._changes.close()
        with self._database.write() as connection:
            give_up_lease(connection, self._holder)

    def _leads(self) -> bool:
        now = self._clock()
        if self._epoch is not None and now < self._lease_until - _LEASE_SECONDS / 2:
            return True
        with self._database.write() as connection:
            epoch = take_lease(connection, self._holder, now, _LEASE_SECONDS)
        if epoch != self._epoch and epoch is not None:
            logger.info("This controller leads, epoch {epoch}.", epoch=epoch)
        self._epoch, self._lease_until = epoch, now + _LEASE_SECONDS
        return epoch is not None

    def _follow(self, found: Sequence[Rollout]) -> None:
        try:
            self._watches.keep_up({one.number: one for one in found}, self._evidence_of)
        except OSError as err:
            logger.error("The event log cannot be read: {error}", error=err.strerror)

    def _evidence_of(self, number: int) -> Evidence | None:
        """What an earlier attempt had found when it ended, as its last look was written down."""
        with self._database.read() as connection:
            look = last_look(connection, number)
        return None if look is None else msgspec.convert(look.content["evidence"], Evidence)

    # -- the stages ------------------------------------------------------------------------------------------------

    def _begin(self, rollout: Rollout) -> None:
        self._move(rollout, "warming", f"Every gateway loads {rollout.model}.")
        self._tell(Notice("began", rollout))

    def _warm(self, rollout: Rollout) -> None:
        ready, failure = self._readiness(rollout)
        late = self._clock() - rollout.changed > _WARM_SECONDS
        if ready:
            self._enter(rollout, 0, f"Every gateway has {rollout.model}.", {})
        elif failure or late:
            because = failure or f"Not every gateway had {rollout.model} after {_WARM_SECONDS:g} s."
            self._end_badly(rollout, because, {})

    def _look(self, rollout: Rollout) -> None:
        watch, now = self._watches.of(rollout), self._clock()
        if watch is None:
            if rollout.state != "paused":
                because = "Nothing is recorded, so nothing can be judged: the setting `event_log` is off."
                self._tell(Notice("paused", self._move(rollout, "paused", because)))
            return
        if not watch.due(now):
            return
        evidence = watch.evidence(now)
        report = measure(rollout.plan, evidence)
        decision = decide(rollout.plan, watch.standing(rollout, evidence), report, now)
        watch.errors, watch.erred = decision.errors, decision.erred
        # Written before it is acted upon; looks that say nothing new are not.
        if decision.kind != "hold" or watch.grown(evidence):
            content = {"step": rollout.step, "decision": decision, "report": report, "evidence": evidence}
            with self._write() as connection:
                append_log(connection, rollout, CONTROLLER, "look", decision.because, content)
        self._act(rollout, decision)

    def _act(self, rollout: Rollout, decision: Decision) -> None:
        told = {"decision": decision}
        match decision.kind:
            case "advance":
                assert decision.step is not None  # to advance is to advance somewhere
                self._enter(rollout, decision.step, decision.because, told)
            case "promote":
                self._tell(Notice("promoted", self._move(rollout, "promoting", decision.because, told)))
            case "abort":
                self._end_badly(rollout, decision.because, told)
            case "pause" if rollout.state != "paused":
                self._tell(Notice("paused", self._move(rollout, "paused", decision.because, told)))
            case _:
                pass

    def _settle(self, rollout: Rollout) -> None:
        ready, failure = self._readiness(rollout)
        if failure:
            logger.error("Rollout {number}: {error}", number=rollout.number, error=failure)
        if ready or not self._reports():  # where no gateway is alive, nobody is to be waited for
            with self._database.read() as connection:
                last = last_move(connection, rollout.number)
            done = self._move(rollout, ENDING[rollout.state], rollout.because)
            if last is not None and last.actor != CONTROLLER:  # a person's deed, which nobody was told of yet
                self._tell(Notice(done.state, done))

    def _cooled_down(self, connection: sa.Connection) -> list[Endpoint]:
        """The endpoints whose former version was kept warm long enough."""
        warm = [one for one in read_table(connection).endpoints if one.variant(FORMER) is not None]
        return [one for one in warm if self._warm_enough(connection, one.name)]

    def _let_go(self, endpoint: Endpoint) -> None:
        """Let go of an endpoint's former version, if nothing has changed there meanwhile."""
        with self._write() as connection:
            table = read_table(connection)
            if table.endpoint(endpoint.name) == endpoint:
                written = write_table(connection, table.with_endpoint(restored(endpoint)), table.revision)
                detail: dict[str, Value] = {"version": endpoint.stable.model, "revision": written.revision}
                append_entry(connection, CONTROLLER, "let the former version go", endpoint.name, detail)

    def _warm_enough(self, connection: sa.Connection, endpoint: str) -> bool:
        last = last_promoted(connection, endpoint)
        return last is None or self._clock() - last.changed >= last.plan.rollback.keep_warm

    # -- what the stages do ----------------------------------------------------------------------------------------

    def _enter(self, rollout: Rollout, step: int, because: str, told: dict[str, Any]) -> None:
        self._tell(Notice("stepped", self._move(rollout, "progressing", because, told, step=step)))

    def _end_badly(self, rollout: Rollout, because: str, told: dict[str, Any]) -> None:
        """Take the candidate out at once, and do not let the same version try again without a reason."""
        with self._write() as connection:
            current = self._current(connection, rollout)
            ended, _ = commit(connection, moved(current, "aborting", because, self._clock()), CONTROLLER, told)
            put_in_quarantine(connection, ended)
        self._tell(Notice("aborted", ended))

    def _move(
        self,
        rollout: Rollout,
        state: State,
        because: str,
        told: dict[str, Any] | None = None,
        *,
        step: int | None = None,
    ) -> Rollout:
        with self._write() as connection:
            current = self._current(connection, rollout)
            done, _ = commit(connection, moved(current, state, because, self._clock(), step=step), CONTROLLER, told)
        return done

    def _current(self, connection: sa.Connection, rollout: Rollout) -> Rollout:
        """The rollout, if nobody has moved it since it was read.

        Raises:
            Conflict: Somebody has.
        """
        found = find_rollout(connection, rollout.number)
        if found.revision != rollout.revision:
            raise Conflict(f"Rollout {rollout.number} is {found.state} meanwhile: {found.because}")
        return found

    def _readiness(self, rollout: Rollout) -> tuple[bool, str]:
        return readiness(self._reports(), rollout.stretches[-1].revision if rollout.stretches else 0, rollout.changed)

    def _reports(self) -> list[GatewayReport]:
        with self._database.read() as connection:
            return live_gateways(connection, self._clock() - ALIVE_SECONDS)

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        """A transaction of the leader; refused where another leads by now."""
        with self._database.write() as connection:
            assert self._epoch is not None  # `_leads` was asked first
            check_lease(connection, self._holder, self._epoch)
            yield connection


def readiness(reports: Sequence[GatewayReport], revision: int, since: float) -> tuple[bool, str]:
    """Whether every live gateway serves a revision of the routing table, and why one cannot. Pure.

    Without a live gateway nothing is ready: whoever waits, waits for a service.

    Args:
        reports: Of the gateways that are alive.
        revision: The one that they shall serve.
        since: When it was written, in seconds since 1970 (UTC). A gateway that says right afterwards that it failed may still
            speak of the revision before.
    """
    behind = [one for one in reports if one.revision < revision]
    failed = next((one for one in behind if one.state == "failed" and one.time > since + _HEARD_SECONDS), None)
    if failed is not None:
        return False, f"{failed.name} cannot serve it: {failed.detail}"
    return bool(reports) and not behind, ""
