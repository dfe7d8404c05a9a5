"""The settings of MLServer, as its documentation has them: `python -m peers.mlserver_folder FOLDER ROWS`.

Its scikit-learn runtime with adaptive batching of up to ROWS, and one process for the model, as by default. Where ROWS is 0 there are neither
batches nor that process: they would only cost one caller time. The columns are named with their content types, so that the pandas codec makes
the pipeline's table of them and clients of both protocols need not say so.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from peers.protocols import CATEGORIES, COLUMNS


def column(name: str) -> dict[str, Any]:
    """A column of the table as a tensor."""
    if name in CATEGORIES:
        return {"name": name, "datatype": "BYTES", "shape": [-1, 1], "parameters": {"content_type": "str"}}
    return {"name": name, "datatype": "FP64", "shape": [-1, 1]}


SETTINGS = {"debug": False, "host": "127.0.0.1"}
MODEL = {
    "name": "flights",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "inputs": [column(name) for name in COLUMNS],
    "parameters": {"uri": os.environ["BENCH_MODEL"], "content_type": "pd", "extra": {"predict_fn": "predict_proba"}},
}

if __name__ == "__main__":
    folder, size = Path(sys.argv[1]), int(sys.argv[2])
    batches = {"max_batch_size": size, "max_batch_time": 0.005} if size else {}
    (folder / "flights").mkdir(parents=True)
    (folder / "settings.json").write_text(json.dumps(SETTINGS | {"parallel_workers": 1 if size else 0}))
    (folder / "flights" / "model-settings.json").write_text(json.dumps(MODEL | batches))
