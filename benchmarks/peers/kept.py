"""The pipeline behind a class of its maker's: nothing can look inside, so Fairlead keeps it as it is, in a worker."""

from __future__ import annotations

from typing import Any


class Kept:
    """Answers by the pipeline.

    Args:
        pipeline: Fitted.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self.classes_ = pipeline.classes_
        self.feature_names_in_ = pipeline.feature_names_in_

    def predict(self, table: Any) -> Any:
        """The labels."""
        return self._pipeline.predict(table)

    def predict_proba(self, table: Any) -> Any:
        """The probabilities."""
        return self._pipeline.predict_proba(table)
