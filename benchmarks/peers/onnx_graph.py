"""One flight through skl2onnx's float graph: one tensor a column, as the graph takes them."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import onnxruntime

_options = onnxruntime.SessionOptions()
# One core is what the server has; more threads would only wait for it.
_options.intra_op_num_threads = 1
_session = onnxruntime.InferenceSession(os.environ["BENCH_GRAPH"], _options, providers=["CPUExecutionProvider"])
_inputs = {item.name: item.type == "tensor(string)" for item in _session.get_inputs()}
_classes = os.environ["BENCH_CLASSES"].split("|")


def answer(flight: dict[str, Any]) -> dict[str, Any]:
    """Ask the graph for one flight."""
    feed = {name: _tensor(flight[name], text=text) for name, text in _inputs.items()}
    label, scores = _session.run(None, feed)
    return {"prediction": str(label[0]), "probabilities": dict(zip(_classes, scores[0].tolist(), strict=True))}


def _tensor(value: str | float | None, *, text: bool) -> np.ndarray[Any, Any]:
    if text:
        return np.array([[value]], dtype=object)
    return np.array([[math.nan if value is None else value]], dtype=np.float32)
