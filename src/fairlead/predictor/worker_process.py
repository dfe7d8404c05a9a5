"""The worker: the process that holds one version, and nothing else.

`python -m fairlead.predictor.worker_process BUNDLE DIGEST SOCKET MEMORY SECONDS`

A model in a code format may crash, hang, leak or be hostile. Here it costs its own requests: the process has limits of its
own, no standard input and no secrets in its environment, and the kernel ends it when one answer takes too long, even
inside C code that never returns to Python. A version that is compiled answers here by its graph, as it does in a gateway: that is
for shadows, which are asked in a process of their own whatever they are (`shadow_process`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fairlead.bundle.reader import Bundle, open_bundle
from fairlead.errors import BundleError
from fairlead.formats import sklearn
from fairlead.formats.format import Format
from fairlead.formats.frames import FrameForm
from fairlead.plugins import plugin
from fairlead.predictor.outcome import Answer, Outcome
from fairlead.predictor.unseen import known_categories, unseen
from fairlead.predictor.wire import Ask, Hello, Told, read_frame, short_path, write_frame
from fairlead.schema import Row, Value

__all__ = ["Original", "answering", "main", "restrict"]

_FULL = 0.9
"""The share of its memory at which a process is replaced."""

_LOAD_SECONDS = 60.0
_Limit = Callable[[float], None]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Ask).decode


class Original:
    """A bundle's original model, opened. Opening it may run its code.

    Raises:
        PluginError: No format of its kind is installed.
        BundleError: Its environment does not say how it is asked.
    """

    def __init__(self, bundle: Bundle) -> None:
        kind = plugin("formats", bundle.manifest.format, Format)
        assert isinstance(kind, Format)
        self._model = kind.load(bundle.original)
        self._schema = bundle.schema
        try:
            self._form = msgspec.convert(bundle.environment["form"], FrameForm)
        except (KeyError, msgspec.ValidationError) as err:
            raise BundleError("environment.json does not say how the model is asked.", hint="Pack it again.") from err
        self._known = known_categories(bundle.schema)
        # What a frame needs is loaded here, and not within the time of the first answer.
        sklearn.frame(bundle.samples.rows[:1], self._schema, self._form)

    def answer(self, rows: Sequence[Row]) -> list[Outcome]:
        """Ask the original. Raises whatever the model raises."""
        labels, probabilities = sklearn.answers(self._model, sklearn.frame(rows, self._schema, self._form))
        predictions = [_plain(label) for label in np.asarray(labels).reshape(-1).tolist()]
        shares = (
            [None] * len(rows) if probabilities is None else [tuple(row) for row in np.asarray(probabilities).tolist()]
        )
        flags = unseen(self._known, rows) or [()] * len(rows)
        return [Outcome(*parts) for parts in zip(predictions, shares, flags, strict=True)]


def answering(bundle: Bundle) -> Answer:
    """How a bundle answers: by its graph where it has one, else by its original.

    Raises:
        BundleError: It cannot be opened.
        PluginError: No format of its kind is installed.
    """
    if bundle.graph is None or bundle.layout is None:
        return Original(bundle).answer
    from fairlead.predictor.compiled import open_compiled  # an original is served without ONNX Runtime

    return open_compiled(bundle.graph, bundle.layout, bundle.schema).answer


def restrict(memory: int) -> None:
    """Give this process limits that it cannot take back.

    Args:
        memory: The most address space, in bytes.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(patience: float = 1.0, when_loaded: Callable[[Answer], Answer] = lambda answer: answer) -> None:
    """Run as a process.

    Args:
        patience: How many times as long as it may compute an answer may take, for a process that has to wait for a core.
        when_loaded: Called before the first answer, with what asks the model; returns what is asked from then on.
    """
    folder, digest, socket, memory, seconds = sys.argv[1:]
    restrict(int(memory))
    limit = _time_limit(patience)
    # Opening has a limit as well: a pickle that never ends must not look like one that is slow.
    limit(_LOAD_SECONDS)
    answer = answering(open_bundle(Path(folder), digest))
    limit(0)
    answer = when_loaded(answer)
    path = Path(socket)
    path.unlink(missing_ok=True)
    os.umask(0o177)  # the socket is for this user only
    if asyncio.run(_serve(lambda asked: _told(answer, asked, float(seconds), limit), path, int(memory))):
        sys.exit(os.EX_TEMPFAIL)  # so that who starts it again knows why


async def _serve(tell: Callable[[Ask], Told], path: Path, memory: int) -> bool:
    """Answer until asked to stop; whether it stopped because its memory is nearly full."""
    stop, full = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    clients: set[asyncio.StreamWriter] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await write_frame(writer, _encode(Hello(os.getpid())))
            while True:
                question = _decode(await read_frame(reader))
                await write_frame(writer, _encode(tell(question)))
                if _address_space() > _FULL * memory:
                    # A model that leaks is replaced between two answers, before the limit makes it fail within one.
                    full.set()
                    stop.set()
        clients.discard(writer)
        writer.close()

    with short_path(path) as name:
        server = await asyncio.start_unix_server(talk, name)
    await stop.wait()
    server.close()
    for writer in tuple(clients):
        writer.close()
    return full.is_set()


def _told(answer: Answer, question: Ask, seconds: float, limit: _Limit) -> Told:
    """Ask the model within its time; what it raises becomes text for the operator."""
    _mind_listeners()
    limit(seconds)
    start = time.perf_counter()
    try:
        outcomes = tuple(answer(question.rows))
        return Told(outcomes, seconds=time.perf_counter() - start)
    except MemoryError:
        # What is left of this process cannot be trusted; the supervisor starts another.
        os._exit(os.EX_OSERR)
    except Exception as err:  # noqa: BLE001 - foreign code may raise anything
        return Told(None, f"{type(err).__name__}: {str(err)[:500]}")
    finally:
        limit(0)


def _watched(*streams: int) -> select.poll:
    """Tells which of these streams nobody reads any more."""
    found = select.poll()
    for stream in streams:
        found.register(stream, 0)
    return found


_SPEECH = _watched(1, 2)


def _mind_listeners() -> None:
    """What nobody reads any more goes nowhere: a model that prints must not fail because our supervisor has ended."""
    for stream, _ in _SPEECH.poll(0):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream)
        os.close(nowhere)


def _address_space() -> int:
    """The address space of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _time_limit(patience: float) -> _Limit:
    """Lets the kernel end this process after some seconds; 0 takes the limit back.

    The signals keep their default action: a handler in Python would wait for C code to return. Who has to wait for a core is
    given more time, and is ended all the same by how long it has computed.
    """

    def limit(seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds * patience)
        if patience > 1.0:
            signal.setitimer(signal.ITIMER_PROF, seconds)

    return limit


def _plain(value: Any) -> Value:
    item = value.item() if isinstance(value, np.generic) else value
    return item if isinstance(item, str | int | float | bool) else str(item)


if __name__ == "__main__":
    main()
