"""Loading what a routing table names: open, verify, warm up. Nothing is served that was not seen to answer rightly here.

It is done before the swap and away from the event loop: what is live goes on meanwhile, and if anything is wrong it goes on
for good.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fairlead.bundle.manifest import Expected, Samples
from fairlead.bundle.reader import Bundle, open_bundle
from fairlead.errors import BundleError, ParityFailed
from fairlead.predictor.compiled import open_compiled
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.predictor import AsyncPredictor, Predictor
from fairlead.routing.table import Endpoint, RoutingTable, Variant
from fairlead.schema import differences
from fairlead.serving.live import LiveEndpoint, LiveVariant

__all__ = ["Loader", "check_samples"]

_TOLERANCE = 1e-5
_WARM_UP_RUNS = 20


class Loader:
    """Makes live endpoints out of a routing table.

    Args:
        bundles: The folder of unpacked bundles, by digest.
        max_rows: How many rows one request may hold.
        connect_worker: Reaches the worker process of a bundle whose original answers; blocks until it is ready.
    """

    def __init__(
        self, bundles: Path, *, max_rows: int, connect_worker: Callable[[Bundle], tuple[AsyncPredictor, list[Outcome]]]
    ) -> None:
        self._bundles = bundles
        self._max_rows = max_rows
        self._connect_worker = connect_worker

    def load(self, table: RoutingTable, live: Mapping[str, LiveEndpoint]) -> dict[str, LiveEndpoint]:
        """The live endpoints of a table; those that did not change are taken over from `live`.

        Raises:
            BundleError: A bundle is missing, corrupt, or does not answer its samples as it was sealed to.
            Overloaded: A worker did not become ready in time.
        """
        return {
            endpoint.name: self._endpoint(endpoint, live.get(endpoint.name), bytes.fromhex(table.secret))
            for endpoint in table.endpoints
        }

    def _endpoint(self, endpoint: Endpoint, live: LiveEndpoint | None, secret: bytes) -> LiveEndpoint:
        if live is not None and live.endpoint == endpoint and live.secret == secret:
            return live
        loaded = {(one.digest, one.model): one for one in live.variants} if live is not None else {}
        variants = [
            _named(loaded.get((one.digest, one.model)), one.name) or self._variant(endpoint.name, one)
            for one in endpoint.variants
        ]
        for variant in variants[1:]:
            _check_fit(variants[0], variant)
        return LiveEndpoint(endpoint, variants, max_rows=self._max_rows, secret=secret)

    def _variant(self, endpoint: str, variant: Variant) -> LiveVariant:
        bundle = open_bundle(self._bundles / variant.digest, variant.digest)
        samples = bundle.samples
        predictor: Predictor | AsyncPredictor
        if bundle.graph is not None and bundle.layout is not None:
            predictor = open_compiled(bundle.graph, bundle.layout, bundle.schema)
            outcomes = predictor.answer(samples.rows)
            seconds = _seconds_per_row(predictor, samples)
        else:
            predictor, outcomes = self._connect_worker(bundle)
            seconds = 1.0
        check_samples(samples, outcomes, variant.model)
        return LiveVariant(
            endpoint=endpoint,
            name=variant.name,
            model=variant.model,
            digest=variant.digest,
            road=bundle.manifest.road,
            schema=bundle.schema,
            samples=samples,
            predictor=predictor,
            seconds_per_row=seconds,
        )


def _named(loaded: LiveVariant | None, name: str) -> LiveVariant | None:
    return loaded if loaded is None or loaded.name == name else loaded.renamed(name)


def _check_fit(stable: LiveVariant, other: LiveVariant) -> None:
    """Refuse a variant that cannot answer the endpoint's rows; rollouts check it before, so this is the last line.

    Raises:
        BundleError: It does not fit.
    """
    if found := differences(stable.schema, other.schema):
        raise BundleError(f"{other.model} does not fit the endpoint {stable.endpoint!r}: {found[0]}")


def check_samples(samples: Samples, outcomes: Sequence[Outcome], model: str) -> None:
    """Compare answers to the sample rows with those they were sealed with.

    Raises:
        ParityFailed: One differs by its label, or by more than 1e-5.
    """
    for number, (expected, outcome) in enumerate(zip(samples.expected, outcomes, strict=True)):
        if not _agrees(expected, outcome):
            raise ParityFailed(
                f"{model} answers sample row {number} with {outcome.prediction!r} {outcome.probabilities}; it was sealed "
                f"with {expected.prediction!r} {expected.probabilities}.",
                hint="Pack the model again on this platform.",
                row=number,
            )


def _agrees(expected: Expected, outcome: Outcome) -> bool:
    if expected.probabilities is not None and outcome.probabilities is not None:
        pairs = zip(expected.probabilities, outcome.probabilities, strict=True)
        close = all(abs(one - other) <= _TOLERANCE for one, other in pairs)
        return close and expected.prediction == outcome.prediction
    if isinstance(expected.prediction, float) and isinstance(outcome.prediction, float | int):
        return abs(expected.prediction - outcome.prediction) <= _TOLERANCE * max(1.0, abs(expected.prediction))
    return expected.prediction == outcome.prediction


def _seconds_per_row(predictor: Predictor, samples: Samples) -> float:
    """What one row costs, at best of several runs: the first ones pay for caches."""
    row = samples.rows[:1]
    best = float("inf")
    for _ in range(_WARM_UP_RUNS):
        start = time.perf_counter()
        predictor.answer(row)
        best = min(best, time.perf_counter() - start)
    return best
