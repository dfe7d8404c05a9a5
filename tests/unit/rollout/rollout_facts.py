"""Events of an endpoint, made by hand for tests of evidence and verdicts."""

from itertools import count

from fairlead.events import Columns, Feedback, Mirrored, Prediction
from fairlead.rollout.evidence import Place
from fairlead.rollout.fold import Fold
from fairlead.rollout.reading import plan_of

REVISION = 7
_numbers = count(1)


def plan_with(*metrics, **fields):
    """A canary with these metrics and no warm-up; fields may say otherwise."""
    fields.setdefault("steps", [{"mirror": 100}, {"weight": 50}])
    fields.setdefault("analysis", {"warm_up": 0})
    return plan_of({"endpoint": "flights", "candidate": "flights:2", "metrics": list(metrics), **fields})


def fold_of(plan, events=(), *, place=None, limit=100_000):
    """A fold that knows revision 7, with these events folded."""
    fold = Fold(plan, {REVISION: place or Place(1, 0.5)}, limit=limit)
    fold.add(Columns("flights:1", "1" * 64, ("origin", "distance"), ("no", "yes")))
    fold.add(Columns("flights:2", "2" * 64, ("origin", "distance"), ("no", "yes")))
    fold.extend(events)
    return fold


def answer(variant="candidate", status="ok", **fields):
    """One prediction."""
    given = {
        "id": f"id-{next(_numbers)}", "time": 0.0, "endpoint": "flights",
        "model": "flights:2" if variant == "candidate" else "flights:1", "variant": variant, "key": None, "status": status,
        "latency": 0.01, "inputs": ("JFK", 100.0), "prediction": "no" if status == "ok" else None, "probabilities": None,
        "flags": (), "revision": REVISION,
    }  # fmt: skip
    return Prediction(**{**given, **fields})


def mirrored(status="ok", **fields):
    """One row that the candidate was asked in the shadow."""
    given = {
        "id": f"id-{next(_numbers)}", "time": 0.0, "endpoint": "flights", "model": "flights:2", "variant": "candidate",
        "status": status, "latency": 0.01, "prediction": "no" if status == "ok" else None, "probabilities": (0.75, 0.25),
        "given_model": "flights:1", "given_latency": 0.01, "given_prediction": "no", "given_probabilities": (0.75, 0.25),
        "revision": REVISION,
    }  # fmt: skip
    return Mirrored(**{**given, **fields})


def told(prediction, time=1.0, **fields):
    """Feedback on a prediction."""
    return Feedback(prediction.id, time, "flights", **fields)
