"""Two versions side by side: what they take and give, how good they are, what they were trained with, how they answer.

Plain data in, plain data out: bundles and versions on one side, the command line and the console on the other.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from fairlead.bundle.reader import Bundle
from fairlead.registry.registry import Version
from fairlead.schema import Column, Schema, differences

__all__ = ["Comparison", "Difference", "MetricPair", "compare", "higher_is_better"]

Standing = Literal["better", "worse", "same", ""]

_HIGHER: Final = frozenset(
    {"accuracy", "auc", "auroc", "pr_auc", "average_precision", "precision", "recall", "f1", "r2", "mcc", "kappa"}
    | {"balanced_accuracy", "explained_variance", "specificity", "sensitivity", "gini", "ndcg", "map", "score", "roc"}
)
_LOWER: Final = frozenset(
    {"loss", "error", "mae", "mse", "rmse", "mape", "smape", "rmsle", "medae", "brier", "deviance", "ece", "fpr", "fnr"}
    | {"pinball", "logloss", "perplexity", "latency"}
)


class Difference(msgspec.Struct, frozen=True):
    """One fact that the two do not share.

    Attributes:
        name: What it is.
        before: The first version's; `None` where it has none.
        after: The second's.
    """

    name: str
    before: Any
    after: Any


class MetricPair(msgspec.Struct, frozen=True):
    """One metric of both.

    Attributes:
        name: Its name.
        before: The first version's; `None` where it has none.
        after: The second's.
        change: `after - before`.
        standing: What the second is; empty where the name does not tell which way is better, or one has none.
    """

    name: str
    before: float | None
    after: float | None
    change: float | None
    standing: Standing


class Comparison(msgspec.Struct, frozen=True):
    """Two versions side by side.

    Attributes:
        before: The first one's name.
        after: The second one's name.
        identical: Whether they are the same bundle, byte for byte.
        fits: Whether the second can answer at an endpoint of the first.
        schema: Why not, a sentence for each difference.
        observed: Columns whose observed range or categories differ.
        metrics: How good they are, by name.
        params: Those that differ.
        data: What is known of the training data and differs.
        facts: Road, format, size and the like, as far as they differ.
    """

    before: str
    after: str
    identical: bool
    fits: bool
    schema: tuple[str, ...]
    observed: tuple[Difference, ...]
    metrics: tuple[MetricPair, ...]
    params: tuple[Difference, ...]
    data: tuple[Difference, ...]
    facts: tuple[Difference, ...]


def compare(before: Version, after: Version, bundles: tuple[Bundle, Bundle]) -> Comparison:
    """Put two versions side by side; `bundles` are theirs."""
    one, other = bundles
    problems = tuple(differences(one.schema, other.schema))
    known, now = one.metadata, other.metadata
    return Comparison(
        before=before.ref,
        after=after.ref,
        identical=before.digest == after.digest,
        fits=not problems,
        schema=problems,
        observed=_observed(one.schema, other.schema),
        metrics=_metrics(before.metrics, after.metrics),
        params=_differing(known.params, now.params),
        data=_differing(_flat(known.data), _flat(now.data)),
        facts=_differing(_facts(before, one), _facts(after, other)),
    )


def higher_is_better(metric: str) -> bool | None:
    """Whether more of a metric is better, by its usual name ("test_auc", "neg_log_loss"); `None` where the name does not tell."""
    words = [word for word in metric.lower().replace("-", "_").replace(" ", "_").replace("@", "_").split("_") if word]
    whole = "_".join(words)
    if words and words[0] == "neg":  # scikit-learn's scorers: a negated loss
        return True
    if whole in _LOWER or any(word in _LOWER for word in words):
        return False
    if whole in _HIGHER or any(word in _HIGHER for word in words):
        return True
    return None


def _metrics(before: dict[str, float], after: dict[str, float]) -> tuple[MetricPair, ...]:
    return tuple(_pair(name, before.get(name), after.get(name)) for name in sorted({*before, *after}))


def _pair(name: str, before: float | None, after: float | None) -> MetricPair:
    if before is None or after is None:
        return MetricPair(name, before, after, None, "")
    change, higher = after - before, higher_is_better(name)
    standing: Standing = "same" if change == 0 else "" if higher is None else "worse"
    if change and higher is not None and (change > 0) == higher:
        standing = "better"
    return MetricPair(name, before, after, change, standing)


def _differing(before: dict[str, Any], after: dict[str, Any]) -> tuple[Difference, ...]:
    names = dict.fromkeys([*before, *after])
    return tuple(
        Difference(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def _observed(before: Schema, after: Schema) -> tuple[Difference, ...]:
    ours, theirs = ({column.name: _range(column) for column in schema.columns} for schema in (before, after))
    shared = [name for name in ours if name in theirs]
    return _differing({name: ours[name] for name in shared}, {name: theirs[name] for name in shared})


def _range(column: Column) -> Any:
    """What was observed: the ends, or the categories in an order of their own."""
    if column.categories:
        return sorted(column.categories, key=str)
    return [column.minimum, column.maximum]


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts by a dotted name."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def _facts(version: Version, bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "road": version.road,
        "task": version.task,
        "original": f"{manifest.model_class} ({manifest.format})",
        "bytes": sum(file.size for file in manifest.files),
        "published": version.created,
        "by": version.actor,
        "description": version.description,
        "git commit": manifest.git_commit,
        "sealed with": manifest.created_with,
        "bundle": version.digest,
    }
