"""A shadow: a version that is asked what others have answered, and whose answers nobody gets.

It is asked off the request's path, in a process of its own, whatever its format, and may be slow, hang, crash or talk nonsense:
callers do not notice. Rows that it cannot keep up with are dropped and counted, so memory is bounded.

```
 gateway, after the answer ──offer──▶ waiting rows (bounded) ──≤ 64 rows──▶ process ──▶ pairs ──▶ event log
                               │ full, resting, cannot be loaded
                               └──▶ dropped, counted
```

*Failed* is what was asked and not answered rightly; *dropped* is what was never asked. If a batch fails, its rows are asked one by
one, so that each is told apart; a row that ends the process is asked once more when it is back, because another gateway's row may
have ended it. After three failures in a row the shadow rests, longer each time, and is then tried with one row.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from loguru import logger

from fairlead.bundle.reader import Bundle, open_bundle
from fairlead.errors import BundleError, DeadlineExceeded, FairleadError, Overloaded, PredictionFailed
from fairlead.events import Event, Mirrored, Prediction
from fairlead.predictor.channel import Channel, Ended
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.shadow_process import PATIENCE
from fairlead.predictor.wire import Ask
from fairlead.routing.table import Mirror
from fairlead.schema import Row, Schema, differences
from fairlead.serving.live import LiveEndpoint
from fairlead.serving.loader import check_samples
from fairlead.serving.pairs import OK, Pairs, order_of
from fairlead.serving.processes.status import ShadowState
from fairlead.serving.waiting import Waiting

__all__ = ["Breaker", "MirrorCount", "Shadow"]

_MAX_BATCH: Final = 64
_GATHER_SECONDS: Final = 0.05
"""How long rows gather, where fewer wait than are asked about at a time."""
_QUICK_SECONDS: Final = 0.05
_SLOW_SECONDS: Final = 0.5
"""A quick run lets the batches grow, a slow one makes them smaller: a slow model must not fail by the size of its batches."""
_REACH_SECONDS: Final = 20.0
_TURNS: Final = 2.0
"""How many times as long as an answer may take is waited: another gateway's rows may be before ours."""
_FRAME: Final = 2**20
_encode = msgspec.msgpack.Encoder().encode


class MirrorCount(msgspec.Struct):
    """What became of the rows for one version in the shadow of an endpoint.

    Attributes:
        endpoint: Its name.
        version: The version, "flights:4".
        ok: Answered.
        failed: Asked, and not answered rightly.
        dropped: Never asked.
        waiting: That wait now.
    """

    endpoint: str
    version: str
    ok: int = 0
    failed: int = 0
    dropped: int = 0
    waiting: int = 0


class Breaker:
    """Says how long to leave something alone that keeps failing."""

    _PATIENT: Final = 3
    _FIRST_SECONDS: Final = 0.5
    _LONGEST_SECONDS: Final = 30.0

    def __init__(self) -> None:
        self._failures = 0

    def succeeded(self) -> None:
        """Forget the failures."""
        self._failures = 0

    def failed(self) -> None:
        """Count one more failure in a row."""
        self._failures += 1

    @property
    def rest(self) -> float:
        """How long to rest before the next try, in seconds: from the third failure in a row half a second, then twice as long."""
        beyond = self._failures - self._PATIENT
        return min(self._FIRST_SECONDS * 2.0**beyond, self._LONGEST_SECONDS) if beyond >= 0 else 0.0


class _Suspect(NamedTuple):
    """A row of a batch that failed: it is asked alone.

    Attributes:
        given: What was answered.
        ended: Whether the process has ended while it was asked alone.
    """

    given: Prediction
    ended: bool


class Shadow:
    """One shadow of one endpoint, as one gateway asks it.

    Args:
        live: The endpoint.
        mirror: The shadow.
        folder: Its unpacked bundle.
        path: The socket of its process.
        timeout: How long its process may compute an answer, in seconds.
        note: Records pairs.
        count: Counts what became of the rows.
    """

    def __init__(  # noqa: PLR0913 - what is asked, where, and who is told
        self,
        live: LiveEndpoint,
        mirror: Mirror,
        *,
        folder: Path,
        path: Path,
        timeout: float,
        note: Callable[[Sequence[Event]], object],
        count: MirrorCount,
    ) -> None:
        self.mirror = mirror
        """Its percentage may be changed while it runs."""
        self.count = count
        self.state: ShadowState = "starting"
        self.detail = ""
        """What is wrong, for the operator."""
        self._served = live.schema
        self._given = {one.model: one.schema.output.classes for one in live.variants}
        self._folder = folder
        self._deadline = timeout * PATIENCE * _TURNS
        self._note = note
        classes = len(live.schema.output.classes)
        self._channel = Channel(path, max_frame=_FRAME + _MAX_BATCH * 16 * classes)
        self._breaker = Breaker()
        self._pairs: Pairs | None = None
        self._bundle: Bundle | None = None
        self._warm = 0  # the process that has answered the samples
        self._size = 1
        self._waiting = Waiting(live.schema)
        self._suspects: deque[_Suspect] = deque()
        self._ended = False  # the process, over some of these rows
        self._awake = asyncio.Event()
        self.listening = True
        """Whether it takes rows; it does not while it rests, or cannot be loaded."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return len(self._waiting) + len(self._suspects)

    def offer(self, predictions: Sequence[Prediction]) -> None:
        """Ask the shadow, some time, what has just been answered; returns at once.

        Args:
            predictions: What was answered.
        """
        share = self.mirror.percent / 100.0
        if share < 1.0:
            predictions = [one for one in predictions if random.random() < share]  # noqa: S311 - nothing to guess
        if not self.listening:
            self.count.dropped += len(predictions)
            return
        suspects = len(self._suspects)
        for one in predictions:
            if not self._waiting.add(one, suspects):
                self.count.dropped += 1
        if self._waiting:
            self._awake.set()

    async def end(self) -> None:
        """Ask nothing any more; what waits is dropped."""
        self.listening = False
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._give_up()  # a task that had not begun leaves it to us

    # -- what waits ------------------------------------------------------------------------------------------------

    async def _gather(self) -> None:
        """Wait until there is something to ask, and a little for more."""
        if self._suspects:
            return
        if not self._waiting:
            self._awake.clear()
            await self._awake.wait()
        if len(self._waiting) < self._size:
            await asyncio.sleep(_GATHER_SECONDS)

    def _give_up(self) -> None:
        """Drop what waits."""
        self._blame_first()
        self.count.dropped += self._waiting.clear() + len(self._suspects)
        self._suspects.clear()

    def _blame_first(self) -> None:
        """Leave one failure on record of a process that ended over some rows, and is not well since: which it was is not to be learned."""
        if self._ended and self._suspects and self._pairs is not None:
            self._record(self._pairs.failed([self._suspects.popleft().given], PredictionFailed.code, 0.0))
        self._ended = False

    # -- the process -----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Reach the process, ask it, let it rest, again and again; runs until cancelled."""
        try:
            while True:
                await self._try_once()
                rest = self._breaker.rest
                if rest:
                    self.listening = False
                    self._give_up()
                await asyncio.sleep(rest)
        finally:
            self.listening = False
            self._give_up()
            self._channel.close()

    async def _try_once(self) -> None:
        try:
            await self._reach()
            self.listening, self.state, self.detail = True, "ready", ""
            await self._ask_on()
        except Overloaded as error:
            self._breaker.failed()
            self.state, self.detail = "starting", error.detail
        except FairleadError as error:
            if self.state != "failed":
                logger.warning("{model} cannot stand in the shadow: {error}", model=self.mirror.model, error=str(error))
            self._breaker.failed()
            self.state, self.detail = "failed", str(error)
            self.listening = False
            self._give_up()
        except Exception:  # noqa: BLE001 - a bug of ours costs the shadow, and nothing else
            logger.exception("Asking the shadow {model} failed.", model=self.mirror.model)
            self._breaker.failed()
            self.state, self.detail = "failed", "It could not be asked; the log says why."
        if self.state == "ready" and self._breaker.rest:
            self.state, self.detail = "resting", "It failed three times in a row, or more often."

    async def _reach(self) -> None:
        """Open the bundle, reach the process, and see it answer its samples.

        Raises:
            BundleError: The bundle cannot be used here, or does not answer its samples as it was sealed to.
            Overloaded: The process is not there, or did not answer in time.
        """
        if self._bundle is None:
            bundle = await asyncio.to_thread(open_bundle, self._folder, self.mirror.digest)
            self._pairs = self._fitting(bundle.schema)
            self._bundle = bundle
        await self._channel.connect(_REACH_SECONDS)
        if self._channel.pid != self._warm:
            samples = self._bundle.samples
            try:
                check_samples(samples, await self._outcomes(samples.rows), self.mirror.model)
            except FairleadError:
                self._blame_first()
                raise
            self._warm = self._channel.pid

    def _fitting(self, schema: Schema) -> Pairs:
        if found := differences(self._served, schema):
            raise BundleError(f"{self.mirror.model} does not fit the endpoint: {found[0]}")
        classes = self._served.output.classes
        orders = {model: order for model, given in self._given.items() if (order := order_of(classes, given))}
        return Pairs(self.mirror, self._served.output, schema.output, orders)

    async def _outcomes(self, rows: Sequence[Row]) -> Sequence[Outcome]:
        try:
            told = await self._channel.ask(_encode(Ask(tuple(rows))), self._deadline)
        except Ended as err:
            raise Overloaded("The model's process ended.") from err
        if told.outcomes is None or len(told.outcomes) != len(rows):
            raise BundleError(f"It does not answer its sample rows. {told.error[:500]}".strip())
        return told.outcomes

    # -- asking ----------------------------------------------------------------------------------------------------

    async def _ask_on(self) -> None:
        """Ask about what comes, until the process must be reached anew, or needs a rest."""
        while self._channel.open:
            await self._gather()
            if self._channel.lost:
                return  # it ended while nobody asked it
            if self._suspects:
                suspect = self._suspects.popleft()
                await self._ask([suspect.given], ended=suspect.ended)
            elif batch := self._waiting.take(self._size):
                self._ended = False
                await self._ask(batch)
            if self._breaker.rest:
                return

    async def _ask(self, batch: Sequence[Prediction], *, ended: bool = False) -> None:
        """Ask about rows and record what came of it.

        Args:
            batch: What was answered.
            ended: Whether the process has ended already while this row was asked alone.
        """
        assert self._pairs is not None
        start = time.perf_counter()
        try:
            pairs = await self._answered(batch, self._pairs, start)
        except asyncio.CancelledError:
            self.count.dropped += len(batch)
            raise
        except DeadlineExceeded as error:
            self._breaker.failed()
            self._size = 1
            self._record(self._pairs.failed(batch, error.code, time.perf_counter() - start))
        except (Ended, PredictionFailed) as error:
            self._breaker.failed()
            self._size = 1
            alone = len(batch) == 1
            self._ended |= isinstance(error, Ended)
            if alone and (ended or not isinstance(error, Ended)):
                self._ended = False
                self._record(self._pairs.failed(batch, PredictionFailed.code, time.perf_counter() - start))
            else:
                self._suspects.extendleft(_Suspect(one, alone) for one in reversed(batch))
        else:
            if self._record(pairs):
                self._breaker.succeeded()
                self._resize(len(batch), pairs[0].latency)
            else:
                self._breaker.failed()

    async def _answered(self, batch: Sequence[Prediction], pairs: Pairs, start: float) -> list[Mirrored]:
        told = await self._channel.ask(_encode(Ask(tuple(one.inputs or () for one in batch))), self._deadline)
        elapsed = time.perf_counter() - start
        seconds = told.seconds if 0.0 < told.seconds <= elapsed else elapsed
        if told.outcomes is None:
            logger.info("The shadow {model} failed: {error}", model=self.mirror.model, error=told.error[:500])
            raise PredictionFailed
        return pairs.answered(batch, told.outcomes, seconds)

    def _resize(self, rows: int, seconds: float) -> None:
        """Ask about more at a time, or about less, by how long it took for so many rows."""
        if rows == self._size and seconds < _QUICK_SECONDS:
            self._size = min(2 * self._size, _MAX_BATCH)
        elif seconds > _SLOW_SECONDS:
            self._size = max(1, self._size // 2)

    def _record(self, pairs: Sequence[Mirrored]) -> int:
        """Write pairs down and count them; return how many were answered."""
        self._note(pairs)
        ok = sum(one.status == OK for one in pairs)
        self.count.ok += ok
        self.count.failed += len(pairs) - ok
        return ok
