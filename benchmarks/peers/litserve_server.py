"""LitServe: a LitAPI with batching on, and one worker, because there is one core.

`python -m peers.litserve_server 8000`
"""

from __future__ import annotations

import sys
from typing import Any

import litserve

from peers.joblib_model import Pipeline


class Flights(litserve.LitAPI):
    """Batches of up to 64; without a timeout LitServe waits for nobody and makes no batches, so it has 5 ms."""

    def setup(self, device: str) -> None:
        """Open the model in the worker."""
        del device
        self._pipeline = Pipeline()

    def batch(self, inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave the rows as they came: the table is made of all at once."""
        return list(inputs)

    def predict(self, x: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answer a batch."""
        return self._pipeline.answers(x)

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One answer a request."""
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Flights(max_batch_size=64, batch_timeout=0.005), accelerator="cpu")
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="warning"
    )
