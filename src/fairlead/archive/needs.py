"""The libraries that events at rest need, and a machine that only serves has not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fairlead.errors import NotFound

__all__ = ["needing_monitor"]


@contextmanager
def needing_monitor(what: str) -> Iterator[None]:
    """Say what is missing, where an import fails.

    Args:
        what: What needs it, as the beginning of a sentence: "Compacting the event log".

    Raises:
        NotFound: polars or pyarrow is not installed.
    """
    try:
        yield
    except ImportError as err:
        raise NotFound(
            f"{what} needs polars and pyarrow; {err.name} is not installed.", hint="pip install 'fairlead[monitor]'"
        ) from err
