"""The ids of predictions: unique for all time, and recognised again by any gateway without asking a store.

```
19ac2f0e5b1-8c1f6d3a90-2f-9b41c07e66
└─ when and where this maker began ─┘ │  └─ seal: BLAKE2b over endpoint and id, keyed with the installation's secret
                                      └─ the how manieth
```

Feedback refers to predictions by these ids, often days later and at another gateway. The seal tells whether an id was ever
given out here, and at which endpoint, so that an invented one is refused at once and nobody can guess another caller's.
"""

from __future__ import annotations

import os
import time
from hashlib import blake2b
from hmac import compare_digest
from itertools import count
from typing import Final

__all__ = ["Ids"]

_SEAL_BYTES: Final = 5
_LONGEST: Final = 80


class Ids:
    """Makes and recognises the ids of one endpoint.

    Args:
        secret: The installation's, at most 64 bytes.
        endpoint: The endpoint's name.
    """

    __slots__ = ("_begun", "_counter", "_prefix", "_seal")

    def __init__(self, secret: bytes, endpoint: str) -> None:
        self._prefix = f"{time.time_ns() // 1_000_000:x}-{os.urandom(5).hex()}-"
        self._counter = count(1)
        self._seal = blake2b(f"{endpoint}/".encode(), digest_size=_SEAL_BYTES, key=secret)
        self._begun = self._seal.copy()
        self._begun.update(self._prefix.encode())

    def make(self) -> str:
        """The next id."""
        number = f"{next(self._counter):x}"
        seal = self._begun.copy()
        seal.update(number.encode())
        return f"{self._prefix}{number}-{seal.hexdigest()}"

    def knows(self, found: str) -> bool:
        """Whether an id was given out for this endpoint, by whichever gateway."""
        if len(found) > _LONGEST or not found.isascii():
            return False
        name, _, told = found.rpartition("-")
        seal = self._seal.copy()
        seal.update(name.encode())
        return compare_digest(seal.hexdigest(), told)
