"""A version inside an application: `fairlead.load("flights:champion").predict(frame)`.

A compiled version answers in the application's own process. One whose original answers gets a worker process of its own
even here: loading a model never runs its code in the process that loads it.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from fairlead.bundle.reader import Bundle
from fairlead.columns import Columns, Names, Numbers
from fairlead.errors import DeadlineExceeded, InvalidInput, PredictionFailed
from fairlead.predictor.columnar import Answers, ColumnarPredictor, names_of, numbers_of
from fairlead.predictor.compiled import compiled, open_session
from fairlead.predictor.launch import bare_environment, worker_command
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.wire import HEAD, Ask, Told, short_path
from fairlead.rows import RowReader
from fairlead.schema import Column, Row, Schema, Value, label_text

__all__ = ["LocalModel", "LocalWorker", "open_local"]

_CHUNK: Final = 1024
"""As many rows a call as `columnar` has, so that a frame and its rows get the same bits."""
_START_SECONDS: Final = 60.0


class LocalModel:
    """One version, ready to answer in this process.

    Attributes:
        ref: Which version, "flights:3".
        digest: Of its bundle.
        schema: What it takes and gives.
    """

    def __init__(
        self,
        ref: str,
        bundle: Bundle,
        answer: Callable[[Sequence[Row]], list[Outcome]],
        columnar: ColumnarPredictor | None = None,
    ) -> None:
        self.ref = ref
        self.digest = bundle.digest
        self.schema: Schema = bundle.schema
        self._answer = answer
        self._columnar = columnar
        self._reader = RowReader(self.schema, max_rows=sys.maxsize)

    def predict(self, data: Any) -> np.ndarray[Any, Any]:
        """The label or number of each row, `[rows]`.

        Args:
            data: A pandas or polars DataFrame, a 2-d array in the order of the schema, a list of dicts, or one dict.

        Raises:
            InvalidInput: The rows cannot be read; `SchemaMismatch` names row and field.
            PredictionFailed: The model failed.
        """
        answers = self._answers(data)
        if answers is None:
            return np.array([outcome.prediction for outcome in self.outcomes(data)])
        classes = self.schema.output.classes
        return np.array(classes)[answers.predictions] if classes else answers.predictions

    def predict_proba(self, data: Any) -> np.ndarray[Any, Any]:
        """The probability of each class, `[rows, classes]`, in the order of `schema.output.classes`.

        Raises:
            InvalidInput: As `predict`; or the model gives no probabilities.
            PredictionFailed: The model failed.
        """
        if not self.schema.output.probabilities:
            raise InvalidInput(f"{self.ref} gives no probabilities.", hint="Use `predict`.")
        answers = self._answers(data)
        if answers is not None and answers.probabilities is not None:
            return answers.probabilities
        return np.array([outcome.probabilities for outcome in self.outcomes(data)])

    def outcomes(self, data: Any) -> list[Outcome]:
        """Everything the model says of each row: prediction, probabilities, unseen categories."""
        return self._outcomes(self._rows(data))

    def _answers(self, data: Any) -> Answers | None:
        """Answer a frame or an array by column; `None` where a closer look at its rows is needed, or there are no columns."""
        columns = None if self._columnar is None else _columns_of(data, self.schema)
        return None if columns is None or self._columnar is None else self._columnar.answer(columns)

    def _outcomes(self, rows: list[Row]) -> list[Outcome]:
        return [one for start in range(0, len(rows), _CHUNK) for one in self._answer(rows[start : start + _CHUNK])]

    def answer_text(self, text: str, *, csv: bool = False) -> tuple[list[Outcome], bool]:
        """Answer rows that are JSON or CSV; say whether it was one JSON object. Raises as `predict`."""
        rows, single = (self._reader.from_csv(text), False) if csv else self._reader.from_json(text.encode())
        return self._outcomes(rows), single

    @property
    def labels(self) -> list[str]:
        """The classes as text, in the order of the probabilities."""
        return [label_text(one) for one in self.schema.output.classes]

    def _rows(self, data: Any) -> list[Row]:
        if isinstance(data, Mapping):
            return self._reader.from_mappings([data])
        if hasattr(data, "columns") and hasattr(data, "__getitem__"):
            return self._reader.from_columns({str(name): _entries(data[name]) for name in data.columns})
        if isinstance(data, np.ndarray):
            return self._reader.from_columns(_columns(data, self.schema))
        return self._reader.from_mappings(data)

    def __repr__(self) -> str:
        columns = ", ".join(self.schema.names)
        return f"<{self.ref}: {self.schema.output.target or self.schema.output.task} from {columns}>"


def open_local(
    ref: str, bundle: Bundle, *, threads: int = 1, memory: int = 4 * 2**30, seconds: float = 60.0
) -> LocalModel:
    """Open a version for this process.

    Args:
        ref: Its name, for messages.
        bundle: Its bundle, opened and verified.
        threads: For one call of a compiled graph.
        memory: Of a worker, where one is needed, in bytes.
        seconds: How long one call of a worker may take.

    Raises:
        BundleError: The graph cannot be opened.
        DeadlineExceeded: The worker did not become ready.
    """
    if bundle.graph is not None and bundle.layout is not None:
        session = open_session(bundle.graph, threads=threads)
        columnar = ColumnarPredictor(session, bundle.layout, bundle.schema)
        return LocalModel(ref, bundle, compiled(session, bundle.layout, bundle.schema).answer, columnar)
    return LocalModel(ref, bundle, LocalWorker(bundle, memory=memory, seconds=seconds).answer)


class LocalWorker:
    """A worker process of this process's own; it ends with `close`, or when nobody refers to it any more."""

    def __init__(self, bundle: Bundle, *, memory: int, seconds: float) -> None:
        folder = Path(tempfile.mkdtemp(prefix="fairlead-worker-"))
        path = folder / "worker.sock"
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            worker_command(bundle.folder, bundle.digest, path, memory=memory, seconds=seconds),
            env=bare_environment(),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.close = weakref.finalize(self, _end, self._process, self._socket, folder)
        """End the process."""
        self._seconds = seconds
        self._lost = False
        self._connect(path)

    def answer(self, rows: Sequence[Row]) -> list[Outcome]:
        """Answer rows, in order.

        Raises:
            PredictionFailed: The model raised, or its process ended.
            DeadlineExceeded: It did not answer in time.
        """
        payload = msgspec.msgpack.encode(Ask(tuple(rows)))
        try:
            self._socket.sendall(HEAD.pack(len(payload)) + payload)
            told = msgspec.msgpack.decode(self._read_frame(), type=Told)
        except TimeoutError as err:
            self._lost = True
            raise DeadlineExceeded(f"The model did not answer within {self._seconds:g} s.") from err
        except OSError as err:
            self._lost = True
            raise PredictionFailed("The model's process ended.") from err
        if told.outcomes is None:
            raise PredictionFailed(f"The model raised {told.error}")
        return list(told.outcomes)

    def _connect(self, path: Path) -> None:
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                with short_path(path) as name:
                    self._socket.connect(name)
                self._socket.settimeout(self._seconds + 5.0)
                self._read_frame()  # hello
            except OSError as err:
                if self._process.poll() is not None:
                    raise PredictionFailed(
                        "The model's process ended before it was ready; the lines above say why."
                    ) from err
                if time.monotonic() > end:
                    raise DeadlineExceeded("The model's process did not become ready.") from err
                time.sleep(0.05)
            else:
                return

    def _read_frame(self) -> bytes:
        (length,) = HEAD.unpack(self._read(HEAD.size))
        return self._read(length)

    @property
    def alive(self) -> bool:
        """Whether the process can be asked again: it has not ended, and owes no answer."""
        return not self._lost and self._process.poll() is None

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            if not part:
                raise ConnectionResetError
            data += part
        return data


def _end(process: subprocess.Popen[bytes], connection: socket.socket, folder: Path) -> None:
    connection.close()
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
    if process.poll() is None:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _columns_of(data: Any, schema: Schema) -> Columns | None:
    """A frame or an array by column, if nothing in it needs a closer look.

    What does (a missing column, an entry of another type, infinity) is `None` here: reading the rows then says where.
    """
    if isinstance(data, np.ndarray):
        if data.ndim != 2 or data.shape[1] != len(schema.columns) or not len(data):
            return None
        given: list[Any] = list(data.T)
    elif hasattr(data, "columns") and hasattr(data, "__getitem__") and len(data):
        if sorted(map(str, data.columns)) != sorted(schema.names):
            return None
        given = [data[name] for name in schema.names]
    else:
        return None
    found: list[Numbers | Names] = []
    for series, column in zip(given, schema.columns, strict=True):
        one = (
            names_of(series.tolist() if isinstance(series, np.ndarray) else _entries(series), column)
            if (column.type == "string")
            else _numbers(series, column)
        )
        if one is None:
            return None
        found.append(one)
    return found


def _numbers(series: Any, column: Column) -> Numbers | None:
    values = series if isinstance(series, np.ndarray) else series.to_numpy()
    read = numbers_of(values, None, column)
    return None if read is None or read[1].any() else read[0]


def _entries(series: Any) -> list[Any]:
    """A pandas or polars column as Python values."""
    taken = series.to_list() if hasattr(series, "to_list") else list(series)
    return [None if type(entry).__name__ in {"NAType", "NaTType"} else entry for entry in taken]


def _columns(array: np.ndarray[Any, Any], schema: Schema) -> dict[str, list[Value]]:
    if array.ndim != 2 or array.shape[1] != len(schema.columns):
        raise InvalidInput(
            f"The array has the shape {array.shape}; expected [rows, {len(schema.columns)}].",
            hint=f"Its columns are {', '.join(schema.names)[:500]}.",
        )
    found: dict[str, list[Value]] = {}
    for index, column in enumerate(schema.columns):
        entries = array[:, index].tolist()
        whole = column.type == "integer" and all(isinstance(one, float) and one.is_integer() for one in entries)
        found[column.name] = [int(one) for one in entries] if whole else entries
    return found
