"""A wish travels as a file; both sides are played here."""

import asyncio
import os
import time

import pytest

from fairlead.errors import Conflict, NotFound
from fairlead.serving.processes.wishes import Outcome, Wish, Wishes, outcome_of, pending, settle


def fulfil(folder, answer):
    """The control process's side: wait for one wish, and settle it."""

    async def wait():
        while True:
            for path, wish in pending(folder):
                settle(path, answer)
                return wish
            await asyncio.sleep(0.01)

    return wait()


def ask(folder, answer, revision=lambda: 7):
    async def both():
        async with asyncio.timeout(5):
            return await asyncio.gather(
                Wishes(folder, revision)("load", "flights", "token ci"), fulfil(folder, answer), return_exceptions=True
            )

    return asyncio.run(both())


def test_a_wish_is_told_whole_and_its_outcome_ends_the_wait(tmp_path):
    assert ask(tmp_path, Outcome(revision=7)) == [None, Wish("load", "flights", "token ci")]
    assert list((tmp_path / "wishes").iterdir()) == []


def test_the_answer_waits_until_the_revision_is_served(tmp_path):
    start = time.monotonic()
    ask(tmp_path, Outcome(revision=8), lambda: 8 if time.monotonic() > start + 0.3 else 7)
    assert time.monotonic() - start >= 0.3


@pytest.mark.parametrize("error", [NotFound("There is none.", hint="Look."), Conflict("Somebody was quicker.")])
def test_an_error_arrives_as_it_was_raised(tmp_path, error):
    found, _ = ask(tmp_path, outcome_of(error))
    assert (type(found), str(found)) == (type(error), str(error))


def test_what_nobody_waits_for_any_more_is_not_done(tmp_path):
    folder = tmp_path / "wishes"
    folder.mkdir()
    for name in ("a.wish", "b.outcome"):
        (folder / name).write_bytes(b'{"verb":"unload","endpoint":"flights","actor":"x"}')
        os.utime(folder / name, (0, 0))
    (folder / "c.wish").write_bytes(b"no wish")
    assert list(pending(tmp_path)) == []
    assert list(folder.iterdir()) == []
