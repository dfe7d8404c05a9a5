"""The control process's side of `serving.wishes`: what callers of the public port with the scope `deploy` want is done here.

It is the door of the control half for those who speak the repository extension of the Open Inference Protocol. Deploying and
retiring are the same as an operator's, with the same checks and audit entries.
"""

from __future__ import annotations

from pathlib import Path

from loguru import logger

from fairlead.errors import FairleadError
from fairlead.rollout.direct import deploy, retire
from fairlead.serving.processes.wishes import Outcome, Wish, outcome_of, pending, settle
from fairlead.storage.blobs import Blobs
from fairlead.storage.database import Database

__all__ = ["fulfil"]


def fulfil(run: Path, database: Database, blobs: Blobs) -> None:
    """Fulfil what gateways of this machine have left; whatever comes of it, it is told and delivery goes on."""
    for path, wish in pending(run):
        try:
            settle(path, _done(wish, database, blobs))
        except FairleadError as err:
            logger.error("The outcome of a wish cannot be told: {error}", error=str(err))


def _done(wish: Wish, database: Database, blobs: Blobs) -> Outcome:
    try:
        if wish.verb == "load":
            done = deploy(database, blobs, wish.endpoint, wish.endpoint, actor=wish.actor)
        else:
            done = retire(database, wish.endpoint, actor=wish.actor)
    except FairleadError as error:
        return outcome_of(error)
    return Outcome(revision=done.table.revision)
