"""The same pipeline behind a step of its maker's own: no converter can look inside, so Fairlead keeps it as it is, in a worker."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer


def as_it_is(table: Any) -> Any:
    """The table, unchanged; what a data scientist's own code does here nobody else can know."""
    return table


def kept(pipeline: Any, table: Any) -> Any:
    """The fitted pipeline with that step before it.

    Args:
        pipeline: Fitted.
        table: Some rows of its training table.
    """
    step = FunctionTransformer(as_it_is, feature_names_out="one-to-one").fit(table)
    return Pipeline([("own", step), *pipeline.steps])
