"""An endpoint as tensor clients see it: its number, its inputs and outputs, its figures."""

from __future__ import annotations

from typing import Final

from fairlead.errors import NotFound
from fairlead.serving.doors.tally import Tally
from fairlead.serving.doors.tensors import TensorReader, TensorSpec, TensorWriter
from fairlead.serving.gateway import Gateway
from fairlead.serving.live import LiveEndpoint

__all__ = ["TensorEndpoint", "TensorEndpoints", "version_number", "version_of"]

PLATFORM: Final = "fairlead"


def version_number(model: str) -> str:
    """The number of a version: "3" for `flights:3`."""
    return model.rpartition(":")[2]


def version_of(live: LiveEndpoint) -> str:
    """The number of the version that answers there."""
    return version_number(live.model)


class TensorEndpoint:
    """One live endpoint; immutable but for its tally."""

    __slots__ = ("live", "reader", "tally", "version", "writer")

    def __init__(self, live: LiveEndpoint) -> None:
        self.live = live
        self.version = version_of(live)
        self.reader = TensorReader(live.reader)
        self.writer = TensorWriter(live.schema)
        self.tally = Tally()

    def metadata(self) -> dict[str, object]:
        """What it takes and gives."""
        return {
            "name": self.live.name,
            "versions": [self.version],
            "platform": PLATFORM,
            "inputs": [one._asdict() for one in self.reader.specs],
            "outputs": [one._asdict() for one in self.writer.specs],
        }

    def config(self) -> dict[str, object]:
        """The same in Triton's words; the matrix may be left out, since it says what the columns say."""
        columns = len(self.live.schema.columns)
        inputs = [_configured(one) | {"optional": place >= columns} for place, one in enumerate(self.reader.specs)]
        return {
            "name": self.live.name,
            "platform": PLATFORM,
            "backend": PLATFORM,
            "version_policy": {"specific": {"versions": [int(self.version)] if self.version.isdigit() else []}},
            "max_batch_size": self.live.reader.max_rows,
            "input": inputs,
            "output": [_configured(one) for one in self.writer.specs],
        }

    def statistics(self) -> dict[str, object]:
        """What was counted, in Triton's words."""
        return self.tally.told(self.live.name, self.version)


class TensorEndpoints:
    """The endpoints that are live now.

    Args:
        gateway: Knows them.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._known: dict[str, TensorEndpoint] = {}

    def all(self) -> list[TensorEndpoint]:
        """All of them, by name."""
        return [self.find(name) for name in sorted(self._gateway.endpoints)]

    def find(self, name: str, version: str | None = None) -> TensorEndpoint:
        """The endpoint of this name.

        Args:
            name: Of the endpoint.
            version: The number of the version that must answer there; any where it is `None`.

        Raises:
            NotFound: There is no such endpoint, or another version answers there.
        """
        live = self._gateway.endpoint(name)
        found = self._known.get(name)
        if found is None or found.live is not live:
            found = self._known[name] = TensorEndpoint(live)
            self._forget()
        if version is not None and version != found.version:
            raise NotFound(
                f"Version {version[:64]!r} of {name!r} is not live.", hint=f"Version {found.version} answers there."
            )
        return found

    def _forget(self) -> None:
        """Let go of endpoints that were taken away."""
        for name in self._known.keys() - self._gateway.endpoints.keys():
            del self._known[name]


def _configured(spec: TensorSpec) -> dict[str, object]:
    datatype = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return {"name": spec.name, "data_type": f"TYPE_{datatype}", "dims": spec.shape[1:]}
