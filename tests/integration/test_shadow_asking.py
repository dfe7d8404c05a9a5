"""One shadow as one gateway asks it. The process is a stand-in at a real socket, which answers whatever a test tells it to.

The truth is what the stand-in was asked and what it said.
"""

import asyncio
import contextlib

import msgspec
import pytest
from bundle_samples import SAMPLES, SCHEMA, sealed

from fairlead.events import Prediction
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.wire import Ask, Hello, Told, read_frame, write_frame
from fairlead.routing.table import Mirror
from fairlead.schema import Output, Schema
from fairlead.serving.mirroring import Shadows
from fairlead.serving.shadow import MirrorCount, Shadow
from fairlead.serving.waiting import MAX_TEXT, MAX_WAITING
from live_endpoints import live_endpoint

ROW = (1400.0, "UA")
RIGHT = Outcome(0, (0.75, 0.25))


class Unasked:
    """The endpoint's own predictor: what it answered is given to the shadow here."""

    healthy = True
    queue = None

    async def answer(self, rows):
        raise AssertionError(rows)


class StandIn:
    """Listens as a shadow's process does, and answers as it is told: `mood` gives a `Told` for some rows, or raises."""

    def __init__(self, path):
        self.path = path
        self.asked = []
        self.mood = well
        self.pid = 1

    async def __aenter__(self):
        self._server = await asyncio.start_unix_server(self._talk, str(self.path))
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _talk(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await write_frame(writer, msgspec.msgpack.encode(Hello(self.pid)))
            while True:
                rows = msgspec.msgpack.decode(await read_frame(reader), type=Ask).rows
                if rows == SAMPLES.rows:  # the one sample row is asked when a process is new
                    told = well(rows)
                else:
                    self.asked.append(len(rows))
                    told = self.mood(rows)
                if told is None:
                    self.pid += 1  # as if it had ended and another were there at once
                    break
                await write_frame(writer, told if isinstance(told, bytes) else msgspec.msgpack.encode(told))
        writer.close()


def well(rows):
    return Told((RIGHT,) * len(rows), seconds=1e-9)


def saying(outcome):
    return lambda rows: Told((outcome,) * len(rows), seconds=1e-9)


def given(number, row=(900.0, "B6")):
    return Prediction(
        f"id-{number}", 1.0, "flights", "flights:1", "stable", None, "ok", 0.01, row, 1, (0.25, 0.75), (), 7
    )


@contextlib.asynccontextmanager
async def asked(tmp_path, *, schema=SCHEMA, percent=100.0, limit=5.0):
    """A shadow that is ready, its stand-in, and what it records."""
    bundle = sealed(tmp_path / "bundle")
    live = live_endpoint("flights", model="flights:1", schema=schema, samples=SAMPLES, predictor=Unasked())
    found = []
    async with StandIn(tmp_path / "s.sock") as process:
        shadow = Shadow(
            live,
            Mirror("candidate", "flights:2", bundle.digest, percent),
            folder=bundle.folder,
            path=process.path,
            timeout=limit,
            note=found.extend,
            count=MirrorCount("flights", "flights:2"),
        )
        try:
            yield shadow, process, found
        finally:
            await shadow.end()
    assert shadow.waiting == 0


async def until(what, seconds=60.0):
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 - what is waited for does not know that it is
            await asyncio.sleep(0.005)


async def offered(shadow, count, start=0):
    await until(lambda: shadow.state == "ready")
    shadow.offer([given(number) for number in range(start, start + count)])


def test_both_answers_stand_side_by_side(tmp_path):
    async def run():
        async with asked(tmp_path) as (shadow, _, found):
            await offered(shadow, 3)
            await until(lambda: len(found) == 3)
            return found

    (pair, *_), count = (found := asyncio.run(run())), len(found)
    assert count == 3
    assert (pair.id, pair.endpoint, pair.model, pair.variant, pair.status) == (
        "id-0", "flights", "flights:2", "candidate", "ok",
    )  # fmt: skip
    assert (pair.prediction, pair.probabilities, pair.latency) == (0, (0.75, 0.25), 1e-9)
    assert (pair.given_model, pair.given_prediction, pair.given_probabilities, pair.given_latency, pair.revision) == (
        "flights:1", 1, (0.25, 0.75), 0.01, 7,
    )  # fmt: skip


def test_probabilities_come_in_the_order_of_the_endpoint(tmp_path):
    turned = Schema(SCHEMA.columns, Output("classification", "late", (1, 0), probabilities=True))

    async def run():
        async with asked(tmp_path, schema=turned) as (shadow, _, found):
            await offered(shadow, 1)
            await until(lambda: found)
            return found

    assert asyncio.run(run())[0].probabilities == (0.25, 0.75)


NONSENSE = {
    "an unknown class": saying(Outcome(2, (0.5, 0.5))),
    "a class of another type": saying(Outcome("0", (0.5, 0.5))),
    "no number": saying(Outcome(0, (float("nan"), 0.5))),
    "beyond one": saying(Outcome(0, (1.5, -0.5))),
    "too few shares": saying(Outcome(0, (1.0,))),
    "no shares": saying(Outcome(0)),
    "too few answers": lambda rows: Told((RIGHT,) * (len(rows) - 1)),
    "too many answers": lambda rows: Told((RIGHT,) * (len(rows) + 1)),
    "an error": lambda rows: Told(None, "ValueError: a secret"),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_a_failure_and_no_answer(tmp_path, kind):
    async def run():
        async with asked(tmp_path) as (shadow, process, found):
            process.mood = NONSENSE[kind]
            await offered(shadow, 5)
            await until(lambda: shadow.state == "resting")
            failed = list(found)
            process.mood = well
            await until(lambda: shadow.state == "ready")
            await offered(shadow, 1, start=100)
            await until(lambda: found[-1].status == "ok")
            return failed, shadow.count

    failed, count = asyncio.run(run())
    assert len(failed) == 3, "after three failures in a row it rests"
    assert {(one.status, one.prediction, one.probabilities) for one in failed} == {("prediction_failed", None, None)}
    assert (count.ok, count.failed, count.dropped) == (1, 3, 2)


def test_what_is_no_message_ends_the_connection_and_is_a_failure(tmp_path):
    async def run():
        async with asked(tmp_path) as (shadow, process, found):
            process.mood = lambda rows: b"\xc1 no MessagePack"
            await offered(shadow, 1)
            await until(lambda: found)
            return found

    assert [one.status for one in asyncio.run(run())] == ["prediction_failed"]


def test_a_row_that_ends_the_process_is_asked_twice_and_the_others_are_answered(tmp_path):
    async def run():
        async with asked(tmp_path) as (shadow, process, found):
            await grown(shadow, found)
            before = len(found)
            process.mood = lambda rows: None if any(row[0] == 66.0 for row in rows) else well(rows)
            shadow.offer([given(1000), given(1001, (66.0, "UA")), given(1002)])
            await until(lambda: len(found) == before + 3)
            return found[before:], process.asked

    found, sizes = asyncio.run(run())
    assert {one.id: one.status for one in found} == {"id-1000": "ok", "id-1001": "prediction_failed", "id-1002": "ok"}
    assert sizes[-5:] == [3, 1, 1, 1, 1], "together, then one by one, the guilty one twice"


async def grown(shadow, found):
    """Let the batches grow."""
    for start in range(0, 400, 40):
        before = len(found)
        await offered(shadow, 40, start)
        await until(lambda before=before: len(found) == before + 40)


def test_batches_grow_while_the_shadow_is_quick_and_never_beyond_sixty_four_rows(tmp_path):
    async def run():
        async with asked(tmp_path) as (shadow, process, found):
            await offered(shadow, 1000)
            await until(lambda: len(found) == 1000)
            return process.asked

    sizes = asyncio.run(run())
    assert sizes[:7] == [1, 2, 4, 8, 16, 32, 64]
    assert max(sizes) == 64


def test_batches_shrink_when_the_shadow_is_slow(tmp_path):
    async def run():
        async with asked(tmp_path, limit=60.0) as (shadow, process, found):
            await grown(shadow, found)
            at = len(process.asked)
            # It says that it took long; the gateway believes no more than what has passed.
            process.mood = slow = SlowWords()
            await offered(shadow, 100, start=5000)
            await until(lambda: slow.asked >= 3)
            return process.asked[at:]

    sizes = asyncio.run(run())
    assert sizes[1] == sizes[0] // 2


class SlowWords:
    """Answers after 0.6 s by the stand-in's own account, which the gateway can see is true."""

    def __init__(self):
        self.asked = 0

    def __call__(self, rows):
        import time

        self.asked += 1
        time.sleep(0.6)
        return Told((RIGHT,) * len(rows), seconds=0.55)


def test_a_shadow_that_hangs_is_given_up_at_its_deadline(tmp_path):
    async def run():
        async with asked(tmp_path, limit=0.05) as (shadow, process, found):
            await until(lambda: shadow.state == "ready")
            server_busy = asyncio.Event()

            class Never(Exception):
                pass

            def hang(rows):
                server_busy.set()
                raise Never

            process.mood = hang
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the stand-in's own, on purpose
            shadow.offer([given(1)])
            await until(lambda: found)
            return found

    assert asyncio.run(run())[0].status in {"deadline_exceeded", "prediction_failed"}


def test_rows_beyond_the_bound_are_dropped_and_counted(tmp_path):
    async def run():
        async with asked(tmp_path) as (shadow, _, _):
            await until(lambda: shadow.state == "ready")
            shadow.offer([given(number) for number in range(MAX_WAITING + 1000)])
            return shadow.waiting, shadow.count.dropped

    assert asyncio.run(run()) == (MAX_WAITING, 1000)


def test_rows_wait_while_the_process_starts(tmp_path):
    async def run():
        async with asked(tmp_path) as (shadow, _, found):
            shadow.offer([given(1), given(2)])
            assert shadow.state == "starting"
            await until(lambda: len(found) == 2)
            return shadow.count.dropped

    assert asyncio.run(run()) == 0


def test_long_texts_are_bounded_as_well(tmp_path):
    async def run():
        async with asked(tmp_path) as (shadow, _, found):
            await until(lambda: shadow.state == "ready")
            shadow.offer([given(number, (1.0, "x" * (MAX_TEXT // 4))) for number in range(10)])
            waiting = shadow.waiting
            await until(lambda: len(found) == 4)
            shadow.offer([given(99)])
            await until(lambda: len(found) == 5)
            return waiting

    assert asyncio.run(run()) == 4


def test_a_share_of_the_rows_is_asked(tmp_path):
    async def run():
        async with asked(tmp_path, percent=25.0) as (shadow, _, _):
            await until(lambda: shadow.state == "ready")
            shadow.offer([given(number) for number in range(4000)])
            return shadow.waiting

    # A binomial of 4,000 at a quarter: 1,000 ± 27; six standard deviations are allowed.
    assert abs(asyncio.run(run()) - 1000) < 6 * 27.4


def test_where_no_row_is_to_be_asked_nothing_is(tmp_path):
    async def run():
        async with asked(tmp_path, percent=0.0) as (shadow, process, found):
            await until(lambda: shadow.state == "ready")
            shadow.offer([given(1)])
            shadow.mirror = msgspec.structs.replace(shadow.mirror, percent=100.0)
            shadow.offer([given(2)])
            await until(lambda: found)
            return [one.id for one in found], process.asked

    assert asyncio.run(run()) == (["id-2"], [1])


def test_a_shadow_that_ends_at_once_leaves_nothing_uncounted(tmp_path):
    async def run():
        async with asked(tmp_path) as (shadow, _, _):
            shadow.offer([given(1), given(2)])
        shadow.offer([given(3)])
        return shadow.count.dropped

    assert asyncio.run(run()) == 3


def test_a_shadow_that_does_not_fit_the_endpoint_is_never_asked_and_says_why(tmp_path):
    narrower = Schema(SCHEMA.columns[:1], SCHEMA.output)

    async def run():
        async with asked(tmp_path, schema=narrower) as (shadow, process, _):
            await until(lambda: shadow.state == "failed")
            shadow.offer([given(1)])
            return shadow.detail, shadow.count.dropped, process.asked

    detail, dropped, sizes = asyncio.run(run())
    assert "carrier" in detail
    assert (dropped, sizes) == (1, [])


def test_a_shadow_that_does_not_answer_its_samples_as_it_was_sealed_is_never_asked(tmp_path, monkeypatch):
    async def run():
        bundle = sealed(tmp_path / "bundle")
        live = live_endpoint("flights", model="flights:1", schema=SCHEMA, samples=SAMPLES, predictor=Unasked())
        monkeypatch.setitem(globals(), "well", saying(Outcome(1, (0.0, 1.0))))
        async with StandIn(tmp_path / "s.sock") as process:
            shadow = Shadow(
                live, Mirror("candidate", "flights:2", bundle.digest), folder=bundle.folder, path=process.path,
                timeout=5.0, note=lambda _: None, count=MirrorCount("flights", "flights:2"),
            )  # fmt: skip
            await until(lambda: shadow.state == "failed")
            await shadow.end()
            return shadow.detail

    assert "sample row 0" in asyncio.run(run())


def test_shadows_follow_the_table_and_leave_no_task_behind(tmp_path):
    bundle = sealed(tmp_path / "bundles" / "x")
    (tmp_path / "bundles" / "x").rename(tmp_path / "bundles" / bundle.digest)

    def live(*mirrors):
        made = live_endpoint("flights", model="flights:1", schema=SCHEMA, samples=SAMPLES, predictor=Unasked())
        made.endpoint = msgspec.structs.replace(made.endpoint, mirrors=mirrors)
        return {"flights": made}

    async def run():
        shadows = Shadows(tmp_path, tmp_path / "bundles", timeout=5.0, log=None)
        one = Mirror("candidate", "flights:2", bundle.digest)
        first = live(one)
        shadows.follow(first)
        path = next(iter(shadows._running.values()))._channel._path
        async with StandIn(path) as process:
            await until(lambda: shadows.statuses()[0].state == "ready")
            running = next(iter(shadows._running.values()))
            again = live(msgspec.structs.replace(one, percent=50.0), Mirror("noise", "flights:2", bundle.digest))
            shadows.follow(again)
            assert running in shadows._running.values(), "what the new table names goes on"
            assert running.mirror.percent == 50.0
            await until(lambda: {one.state for one in shadows.statuses()} == {"ready"})
            first["flights"].mirror([given(1)])  # a request that had begun with the former table
            again["flights"].mirror([given(number) for number in range(2, 50)])
            await until(lambda: sum(process.asked) > 48)
            shadows.follow(live())
            assert (shadows.statuses(), live()["flights"].mirror) == ((), None)
            again["flights"].mirror([given(99)])
            await shadows.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(left, timeout=5) if left else None
        return [one for one in left if not one.done()], shadows.counts()

    left, (count,) = asyncio.run(run())
    assert left == []
    assert (count.endpoint, count.version, count.waiting) == ("flights", "flights:2", 0)
