"""The one client that loads both gRPC servers: NVIDIA's `tritonclient`, raw tensors, one row a call, one call at a time.

python -m peers.grpc_client PORT ROWS SECONDS

Prints what `rotate.lua` prints. The requests are made before the clock starts.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput

from peers.protocols import CATEGORIES, COLUMNS, Row


def inputs(row: Row) -> list[InferInput]:
    """One tensor a column."""
    return [_tensor(name, row[name]) for name in COLUMNS]


def scores(client: InferenceServerClient, tensors: list[InferInput], count: int) -> list[float]:
    """Ask, and read the probabilities: the one tensor of `count` doubles that comes back."""
    answer = client.infer("flights", tensors)
    wanted = [one.name for one in answer.get_response().outputs if one.datatype == "FP64"]
    found = answer.as_numpy(wanted[0]).reshape(-1).tolist()
    if len(found) != count:
        raise ValueError(f"{len(found)} probabilities came for {count} classes")
    return found


def _tensor(name: str, value: Any) -> InferInput:
    text = name in CATEGORIES
    tensor = InferInput(name, [1, 1], "BYTES" if text else "FP64")
    missing = np.nan if value is None else value
    tensor.set_data_from_numpy(np.array([[value.encode()]], object) if text else np.array([[missing]], np.float64))
    return tensor


def main(port: int, rows: Path, seconds: float) -> None:
    """Load the server for so long."""
    ready = [inputs(json.loads(line)) for line in rows.read_text().splitlines()]
    client = InferenceServerClient(f"127.0.0.1:{port}")
    taken: list[float] = []
    start = moment = time.perf_counter()
    while moment - start < seconds:
        client.infer("flights", ready[len(taken) % len(ready)])
        before, moment = moment, time.perf_counter()
        taken.append(moment - before)
    p50, p99 = (np.percentile(taken, share) * 1e6 for share in (50, 99))
    print(json.dumps({"requests": len(taken), "seconds": moment - start, "p50": p50, "p99": p99, "failed": 0}))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
