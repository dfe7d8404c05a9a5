"""What a kind of model file must be able to do; the plug-in protocol of the group `fairlead.formats`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

__all__ = ["Format"]


@runtime_checkable
class Format(Protocol):
    """How one kind of model is recognised, saved and opened again.

    Attributes:
        name: What a manifest calls it: "pickle".
        runs_code: Whether opening a file may run code of whoever made it. Such a file is opened only in a process of its own.
    """

    name: str
    runs_code: bool

    def recognise(self, model: Any) -> bool:
        """Whether `model`, an object or the path of a file, is of this kind.

        Looks at the class's ancestry or at the file's first bytes; opens nothing, raises nothing.
        """
        ...

    def save(self, model: Any, path: Path) -> None:
        """Write the object to a file; done twice, it gives the same model.

        Raises:
            ConversionUnsupported: The object cannot be written so that another process can read it.
        """
        ...

    def load(self, path: Path) -> Any:
        """Read the object back. May take seconds, and run code where `runs_code` says so.

        Raises:
            FormatUnknown: The file is damaged, or of another kind.
        """
        ...
