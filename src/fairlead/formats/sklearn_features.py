"""What reaches a scikit-learn estimator, traced back to the columns of the table.

Preprocessing that works column by column is followed from the input to the estimator's features. A `Feature` is one raw
column and the fitted transformers its entries pass on the way; asking it for values runs those very transformers, so their
arithmetic, types and special cases hold by construction:

- a *number* feature is a monotone function of a number (imputers, scalers), which `formats/thresholds.py` can invert;
- a *table* feature has passed an encoder: it is known for each category, for an unseen value and for a missing entry.

What mixes columns (PCA, polynomials) or is not known by name is refused.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fairlead.errors import ConversionUnsupported
from fairlead.ir.hardrows import unseen_value
from fairlead.ir.model import Category

__all__ = [
    "Feature",
    "class_name",
    "follow",
    "is_missing",
    "missing_value",
    "refuse",
    "table",
    "takes_missing",
    "values",
]

_SCALERS = {"StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "Binarizer"}
_ENCODERS = {"OneHotEncoder", "OrdinalEncoder", "TargetEncoder"}


@dataclass(frozen=True)
class Step:
    """One fitted transformer, seen from one of its inputs and one of its outputs.

    Attributes:
        transformer: Something with `transform` that takes arrays without names and gives arrays.
        dtype: The type of the array it takes.
        peers: What the inputs hold while one of them is asked for, one entry an input.
        source: The asked input's position.
        target: The output's position.
        keeps: Entries that are not missing pass unchanged, so that an encoder behind still sees raw values.
        memory: What an encoder answered, shared by its outputs: `(source, entries)` → all outputs.
    """

    transformer: Any
    dtype: np.dtype[Any]
    peers: tuple[Any, ...] = (0.0,)
    source: int = 0
    target: int = 0
    keeps: bool = False
    memory: dict[tuple[int, int], Any] | None = None


@dataclass(frozen=True)
class Feature:
    """One number an entry of a raw column becomes.

    Attributes:
        column: Position in the schema.
        raw_dtype: The type of the raw column: float64, float32 or object.
        dtype: The type of the block the feature stands in.
        missing: What a missing entry of the raw column is: NaN or None.
        steps: The transformers on the way.
        affine: `(offset, factor)` where the feature is `factor * (x - offset)`; `None` where it is not.
        flat: The feature is the same for every entry that is not missing.
        known: The raw values an encoder knows; `None` for a number feature.
        closed: An encoder refuses other values.
        guards: How many steps stand before each encoder that refuses a missing entry.
    """

    column: int
    raw_dtype: np.dtype[Any]
    dtype: np.dtype[Any]
    missing: Any = np.nan
    steps: tuple[Step, ...] = ()
    affine: tuple[float, float] | None = (0.0, 1.0)
    flat: bool = False
    known: tuple[Category, ...] | None = None
    closed: bool = False
    guards: tuple[int, ...] = ()

    def then(self, step: Step, **changes: Any) -> Feature:
        """The feature behind one more step."""
        dtype = changes.pop("dtype", step.dtype if step.dtype.kind == "f" else self.dtype)
        return replace(self, steps=(*self.steps, step), dtype=dtype, **changes)


def values(feature: Feature, raw: Sequence[Any] | np.ndarray) -> np.ndarray:
    """The feature's values for raw entries, by the fitted transformers themselves.

    Args:
        feature: Which.
        raw: Entries of the raw column; NaN or None where missing.

    Returns:
        `[len(raw)]`, float64 or float32.

    Raises:
        ConversionUnsupported: A transformer refuses the entries.
    """
    array = _through(feature, feature.steps, raw)
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def table(feature: Feature) -> np.ndarray:
    """A table feature for each of its known values, then for an unseen value, then for a missing entry."""
    assert feature.known is not None
    return np.append(values(feature, [*feature.known, unseen_value(feature.known)]), missing_value(feature))


def missing_value(feature: Feature) -> float:
    """What a missing entry becomes; NaN where it stays missing, or where a step refuses it."""
    try:
        return float(values(feature, [feature.missing])[0])
    except ConversionUnsupported:
        return float("nan")


def takes_missing(feature: Feature) -> bool:
    """Whether every step on the way accepts what a missing entry has become before it."""
    try:
        values(feature, [feature.missing])
        reaching = [_through(feature, feature.steps[:count], [feature.missing])[0] for count in feature.guards]
    except ConversionUnsupported:
        return False
    return not any(map(is_missing, reaching))


def follow(transformer: Any, features: list[Feature]) -> list[Feature]:
    """The features that leave a fitted transformer.

    Args:
        transformer: A transformer, a pipeline or a composition of them; "passthrough" or `None` changes nothing.
        features: What enters, in order.

    Raises:
        ConversionUnsupported: It is not known by name, or not in this setting.
    """
    if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
        return features
    name = class_name(transformer)
    if name in _COMPOSITIONS:
        return _COMPOSITIONS[name](transformer, features)
    if type(transformer).__module__.startswith("sklearn.feature_selection."):
        return [feature for feature, kept in zip(features, transformer.get_support(), strict=True) if kept]
    if name in _SCALERS:
        return _scaled(transformer, name, features)
    if name == "SimpleImputer":
        return _imputed(transformer, features)
    if name == "MissingIndicator":
        _check_missing_values(transformer)
        return [_indicated(transformer, features[k]) for k in transformer.features_]
    if name in _ENCODERS:
        return _encoded(transformer, name, features)
    raise refuse(transformer)


def class_name(thing: Any) -> str:
    """The class's name where scikit-learn itself defines the class, else an empty text: a subclass may mean anything."""
    kind = type(thing)
    return kind.__name__ if kind.__module__.startswith("sklearn.") else ""


def refuse(step: Any, why: str = "has no counterpart in the intermediate representation") -> ConversionUnsupported:
    """The error that names the step that could not be taken apart."""
    name = type(step).__name__
    return ConversionUnsupported(f"The step {name} {why}.", step=name, target="ir")


def is_missing(entry: Any) -> bool:
    """Whether an entry of a table is missing: None, NaN, NaT or pandas' NA."""
    return entry is None or type(entry).__name__ == "NAType" or bool(entry != entry)  # noqa: PLR0124 -- true of NaN only


def plain_category(value: Any) -> Category:
    """A known value as Python's own type; a whole number stays whole."""
    found: Category = value.item() if isinstance(value, np.generic) else value
    return int(found) if isinstance(found, float) and found.is_integer() else found


def _through(feature: Feature, steps: Sequence[Step], raw: Sequence[Any] | np.ndarray) -> np.ndarray:
    array = np.empty(len(raw), dtype=feature.raw_dtype)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        array[:] = raw
        for step in steps:
            array = _run(step, array)
    return array


def _run(step: Step, array: np.ndarray) -> np.ndarray:
    key = (step.source, len(array))
    remembers = step.memory is not None and len(array) > 1  # a single entry may be any; more are the known values
    out = step.memory.get(key) if step.memory is not None and remembers else None
    if out is None:
        block = np.empty((len(array), len(step.peers)), dtype=step.dtype)
        block[:] = step.peers
        block[:, step.source] = array
        try:
            out = step.transformer.transform(block)
        except (ValueError, TypeError) as err:
            raise refuse(step.transformer, f"cannot be asked for single values: {err}") from err
        out = out.tocsc() if hasattr(out, "tocsc") else np.asarray(out)
        if step.memory is not None and remembers:
            step.memory[key] = out
    column = out[:, [step.target]]
    return np.asarray(column.toarray() if hasattr(column, "toarray") else column).reshape(-1)


def _plain(transformer: Any, **changes: Any) -> Any:
    """A copy that takes arrays without names and gives arrays, so that asking it neither warns nor builds frames."""
    plain = copy.copy(transformer)
    for attribute in ("feature_names_in_", "_sklearn_output_config"):
        plain.__dict__.pop(attribute, None)
    plain.__dict__.update(changes)
    return plain


def _narrow(transformer: Any, source: int, **changes: Any) -> Any:
    """A copy for one input alone: every fitted array with an entry for each input keeps one."""
    width = transformer.n_features_in_
    kept = {
        name: found[[source]]
        for name, found in vars(transformer).items()
        if name.endswith("_") and isinstance(found, np.ndarray) and found.shape == (width,)
    }
    return _plain(transformer, **kept, n_features_in_=1, **changes)


def _block_dtype(features: list[Feature]) -> np.dtype[Any]:
    return np.result_type(*(feature.dtype for feature in features)) if features else np.dtype(np.float64)


def _together(features: list[Feature]) -> list[Feature]:
    """Blocks that stand side by side in one array share its type."""
    dtype = _block_dtype(features)
    return [replace(feature, dtype=dtype) for feature in features]


# --- compositions ---


def _pipeline(pipeline: Any, features: list[Feature]) -> list[Feature]:
    for _, step in pipeline.steps:
        features = follow(step, features)
    return features


def _column_transformer(transformer: Any, features: list[Feature]) -> list[Feature]:
    if transformer.transformer_weights:
        raise refuse(transformer, "weighs its transformers, which is not read")
    found: list[Feature] = []
    for name, part, _ in transformer.transformers_:
        if isinstance(part, str) and part == "drop":
            continue
        inputs = [features[k] for k in transformer._transformer_to_input_indices[name]]  # noqa: SLF001 -- the only record of resolved columns
        if inputs:
            found += follow(part, inputs)
    return _together(found)


def _union(union: Any, features: list[Feature]) -> list[Feature]:
    if union.transformer_weights:
        raise refuse(union, "weighs its transformers, which is not read")
    parts = [part for _, part in union.transformer_list if not (isinstance(part, str) and part == "drop")]
    return _together([feature for part in parts for feature in follow(part, features)])


def _function(transformer: Any, features: list[Feature]) -> list[Feature]:
    """ColumnTransformer writes "passthrough" as a function transformer; histogram boosting checks its input by one."""
    function = transformer.func
    checks = getattr(getattr(function, "func", None), "__module__", "") == "sklearn.utils.validation"
    if function is None or checks:
        return features
    raise refuse(transformer, "calls a function of its own")


_COMPOSITIONS: dict[str, Callable[[Any, list[Feature]], list[Feature]]] = {
    "Pipeline": _pipeline,
    "ColumnTransformer": _column_transformer,
    "FeatureUnion": _union,
    "FunctionTransformer": _function,
}


# --- transformers ---


def _scaled(transformer: Any, name: str, features: list[Feature]) -> list[Feature]:
    dtype = _block_dtype(features)
    dtype = dtype if dtype.kind == "f" else np.dtype(np.float64)
    return [
        feature.then(
            Step(_narrow(transformer, k), dtype), affine=_composed(feature.affine, _affine(transformer, name, k))
        )
        for k, feature in enumerate(features)
    ]


def _affine(transformer: Any, name: str, source: int) -> tuple[float, float] | None:
    """`(offset, factor)` of a scaler, from the formulas in scikit-learn's user guide."""

    def entry(attribute: str, instead: float) -> float:
        found = getattr(transformer, attribute, None)
        return instead if found is None else float(found[source])

    if name == "StandardScaler":
        # It keeps the mean also where it does not subtract it.
        return entry("mean_", 0.0) if transformer.with_mean else 0.0, 1 / entry("scale_", 1.0)
    if name == "RobustScaler":
        return entry("center_", 0.0), 1 / entry("scale_", 1.0)
    if getattr(transformer, "clip", False) or name == "Binarizer":
        return None
    if name == "MaxAbsScaler":
        return 0.0, 1 / entry("scale_", 1.0)
    factor = entry("scale_", 1.0)
    return -entry("min_", 0.0) / factor, factor


def _composed(first: tuple[float, float] | None, second: tuple[float, float] | None) -> tuple[float, float] | None:
    if first is None or second is None:
        return None
    return first[0] + second[0] / first[1], first[1] * second[1]


def _check_missing_values(imputer: Any) -> None:
    if not is_missing(imputer.missing_values):
        raise refuse(imputer, f"takes {imputer.missing_values!r} for missing")


def _imputed(imputer: Any, features: list[Feature]) -> list[Feature]:
    _check_missing_values(imputer)
    text = imputer.statistics_.dtype.kind not in "iufb"
    dtype = np.dtype(object) if text else _block_dtype(features)
    dtype = np.dtype(np.float64) if not text and dtype.kind != "f" else dtype
    kept = [
        k
        for k, statistic in enumerate(imputer.statistics_)
        if imputer.strategy == "constant" or imputer.keep_empty_features or not is_missing(statistic)
    ]
    filled = [
        features[k].then(
            Step(_narrow(imputer, k, add_indicator=False, indicator_=None), dtype, keeps=True), dtype=dtype
        )
        for k in kept
    ]
    marked = imputer.indicator_.features_ if imputer.add_indicator else ()
    return filled + [_indicated(imputer, features[k]) for k in marked]


class _Indicator:
    """1 where the entry is missing in the sense of the imputer, else 0."""

    def __init__(self, missing_values: Any) -> None:
        self.missing_values = missing_values

    def transform(self, block: np.ndarray) -> np.ndarray:
        """Mark the missing entries of `[rows, 1]`."""
        if self.missing_values is None:
            return np.array([[entry is None] for (entry,) in block], dtype=np.float64)
        return np.asarray(block != block, dtype=np.float64)  # noqa: PLR0124 -- true of NaN only


def _indicated(imputer: Any, feature: Feature) -> Feature:
    if feature.dtype.kind == "O":
        # Text has no order to cut: an indicator of a text column is a table without known values.
        known: tuple[Category, ...] | None = feature.known or ()
    else:
        known = feature.known
    step = Step(_Indicator(imputer.missing_values), feature.dtype, peers=(None if feature.dtype.kind == "O" else 0.0,))
    return feature.then(step, dtype=np.dtype(np.float64), affine=None, flat=True, known=known)


def _encoded(encoder: Any, name: str, features: list[Feature]) -> list[Feature]:
    numeric = all(found.dtype.kind in "iufb" for found in encoder.categories_)
    dtype = np.dtype(np.float64 if numeric else object)
    closed = name != "TargetEncoder" and encoder.handle_unknown == "error"
    peers = tuple(found[0] if len(found) else np.nan for found in encoder.categories_)
    plain = _open(encoder, name, closed=closed)
    memory: dict[tuple[int, int], Any] = {}
    out_dtype = np.dtype(getattr(encoder, "dtype", np.float64))
    out_dtype = out_dtype if out_dtype.kind == "f" else np.dtype(np.float64)
    found: list[Feature] = []
    for k, (feature, targets) in enumerate(zip(features, _targets(encoder, name), strict=True)):
        known = _known(encoder, feature, encoder.categories_[k])
        guards = feature.guards
        if closed and not any(is_missing(entry) for entry in encoder.categories_[k]):
            guards = (*guards, len(feature.steps))
        for target in targets:
            step = Step(plain, dtype, peers, k, target, memory=memory)
            found.append(
                feature.then(
                    step, dtype=out_dtype, affine=None, known=known, closed=feature.closed or closed, guards=guards
                )
            )
    return found


def _open(encoder: Any, name: str, *, closed: bool) -> Any:
    """A copy that answers unseen values too; `Feature.closed` remembers that the original would not."""
    changes: dict[str, Any] = {"sparse_output": True} if name == "OneHotEncoder" else {}
    if closed and name == "OneHotEncoder":
        changes["handle_unknown"] = "ignore"
    if closed and name == "OrdinalEncoder":
        changes |= {"handle_unknown": "use_encoded_value", "unknown_value": -1}
    return _plain(encoder, **changes)


def _targets(encoder: Any, name: str) -> list[range]:
    """Which outputs each input has."""
    count = len(encoder.categories_)
    if name == "OneHotEncoder":
        widths = encoder._n_features_outs  # noqa: SLF001 -- counts dropped and infrequent categories; nothing public does
    elif name == "TargetEncoder" and encoder.target_type_ == "multiclass":
        widths = [len(encoder.classes_)] * count
    else:
        widths = [1] * count
    ends = np.cumsum(widths, dtype=int)
    return [range(end - width, end) for end, width in zip(ends.tolist(), widths, strict=True)]


def _known(encoder: Any, feature: Feature, found: np.ndarray) -> tuple[Category, ...]:
    if feature.known is not None and not feature.flat:
        return feature.known
    if feature.flat or not all(step.keeps for step in feature.steps):
        raise refuse(encoder, "encodes numbers that another step has changed")
    markers = {None if entry is None else "nan" for entry in found if is_missing(entry)}
    if len(markers) > 1:
        raise refuse(encoder, "knows both None and NaN as categories of one column")
    return tuple(dict.fromkeys(plain_category(entry) for entry in found if not is_missing(entry)))
