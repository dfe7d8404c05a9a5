"""What can go wrong, as one tree.

```
FairleadError
├── InvalidInput
│   ├── BadReference
│   ├── SchemaMismatch
│   └── TooLarge
├── NotFound
├── Conflict
├── NotAllowed
│   ├── Unauthenticated
│   ├── Forbidden
│   └── UntrustedBundle
├── BundleError
│   ├── DigestMismatch
│   ├── BadSignature
│   ├── FormatUnknown
│   └── ParityFailed
├── ConversionUnsupported
├── PredictionFailed
├── Overloaded
│   ├── QueueFull
│   ├── RateLimited
│   └── DeadlineExceeded
├── StorageError
└── PluginError
```

The first line of a class's docstring is its title; the `detail` says what happened, with the values; the `hint` says what
to do next. Errors know no transport: each door keeps one table from error to status, looked up along the class's ancestry.
"""

from __future__ import annotations

import re
from typing import ClassVar

__all__ = [
    "BadReference",
    "BadSignature",
    "BundleError",
    "Conflict",
    "ConversionUnsupported",
    "DeadlineExceeded",
    "DigestMismatch",
    "FairleadError",
    "Forbidden",
    "FormatUnknown",
    "InvalidInput",
    "NotAllowed",
    "NotFound",
    "Overloaded",
    "ParityFailed",
    "PluginError",
    "PredictionFailed",
    "QueueFull",
    "RateLimited",
    "SchemaMismatch",
    "StorageError",
    "TooLarge",
    "Unauthenticated",
    "UntrustedBundle",
]


class FairleadError(Exception):
    """Fairlead could not do what was asked.

    Args:
        detail: What happened, with the values; one or two sentences.
        hint: What to do next, as a sentence or a command.
        **values: The values by name, for programs that read the error.
    """

    code: ClassVar[str] = "fairlead_error"
    title: ClassVar[str] = "Fairlead could not do what was asked."

    def __init_subclass__(cls) -> None:
        """Derive the stable code and the title from the class's name and docstring."""
        cls.code = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
        cls.title = (cls.__doc__ or cls.__name__).strip().splitlines()[0]

    def __init__(self, detail: str = "", *, hint: str = "", **values: object) -> None:
        super().__init__(detail)
        self.detail = detail or self.title
        self.hint = hint
        self.values = values

    @staticmethod
    def of_code(code: str) -> type[FairleadError]:
        """The class with this code, for who reads an error that another process told; `FairleadError` where none has it."""
        return _BY_CODE.get(code, FairleadError)

    def __str__(self) -> str:
        return f"{self.detail} {self.hint}".strip()


class InvalidInput(FairleadError):
    """The request cannot be understood; the caller must change it."""


class BadReference(InvalidInput):
    """A name is not one that Fairlead can use."""


class SchemaMismatch(InvalidInput):
    """A row does not fit what the model takes.

    `values` holds `row` (0-based), `field`, `expected` and `got` where they are known.
    """


class TooLarge(InvalidInput):
    """The request is larger than the limit."""


class NotFound(FairleadError):
    """What was asked for does not exist."""


class Conflict(FairleadError):
    """Something else already holds or has changed this."""


class NotAllowed(FairleadError):
    """This may not be done here."""


class Unauthenticated(NotAllowed):
    """The caller did not say who they are."""


class Forbidden(NotAllowed):
    """The caller may not do this."""


class UntrustedBundle(NotAllowed):
    """The bundle does not come from someone who is trusted."""


class BundleError(FairleadError):
    """The bundle cannot be used."""


class DigestMismatch(BundleError):
    """Stored bytes are not the bytes that were sealed."""


class BadSignature(BundleError):
    """The bundle's signature does not hold."""


class FormatUnknown(BundleError):
    """No known format reads this."""


class ParityFailed(BundleError):
    """The bundle does not give the answers it was sealed with."""


class ConversionUnsupported(FairleadError):
    """A step of the model has no counterpart in the target.

    `values` holds `step`, the operator that could not be converted, and `target`.
    """


class PredictionFailed(FairleadError):
    """The model could not answer.

    The cause is kept for the operator (`__cause__`) and never shown to a caller.
    """


class Overloaded(FairleadError):
    """There is more work than can be done in time; try again later.

    `values` may hold `retry_after`, in seconds.
    """


class QueueFull(Overloaded):
    """The queue is full."""


class RateLimited(Overloaded):
    """The caller asks more often than their token allows."""


class DeadlineExceeded(Overloaded):
    """The answer did not come in time."""


class StorageError(FairleadError):
    """Bytes or rows could not be read or written."""


class PluginError(FairleadError):
    """An extension does not keep its contract."""


_BY_CODE: dict[str, type[FairleadError]] = {kind.code: kind for kind in (globals()[name] for name in __all__)}
