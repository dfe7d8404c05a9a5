"""Endpoints that are live without a bundle, for tests of what stands around them."""

from __future__ import annotations

from fairlead.routing.table import Endpoint, Variant
from fairlead.serving.live import LiveEndpoint, LiveVariant

DIGEST = "0" * 64


def live_endpoint(name, *, model, schema, samples, predictor, variant="stable", seconds_per_row=1.0, max_rows=1000):
    """An endpoint with one variant."""
    loaded = LiveVariant(
        endpoint=name, name=variant, model=model, digest=DIGEST, road="worker", schema=schema, samples=samples,
        predictor=predictor, seconds_per_row=seconds_per_row,
    )  # fmt: skip
    return LiveEndpoint(Endpoint(name, (Variant(variant, model, DIGEST),)), [loaded], max_rows=max_rows)
