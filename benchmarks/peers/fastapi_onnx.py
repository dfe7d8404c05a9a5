"""FastAPI and onnxruntime, on the float graph that skl2onnx makes of the pipeline by default.

`async def`: the call takes microseconds, so a thread would cost more than it frees.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from peers.flight import Flight
from peers.onnx_graph import answer

app = FastAPI()


@app.post("/predict/flights")
async def predict(flight: Flight) -> dict[str, Any]:
    """Answer one flight."""
    return answer(flight.model_dump())
