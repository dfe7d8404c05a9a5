"""An alert: one thing that a person should hear of. Plain data: who finds it makes it, and a channel tells it as it is."""

from __future__ import annotations

import secrets
import time
from typing import Literal

import msgspec

from fairlead.schema import Value

__all__ = ["Alert", "Severity"]

Severity = Literal["info", "warning", "critical"]
"""Good to know; somebody should look; something was harmed, and Fairlead has acted."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a person should hear of.

    Attributes:
        kind: For programs: "rollout_aborted".
        severity: How much it matters.
        subject: What it is about: an endpoint.
        title: In one line.
        text: In a few sentences, with what to do.
        facts: The values in the text, by name.
        id: Unique for all time, and the same when it is told again.
        time: When it was found, in seconds since 1970 (UTC).
    """

    kind: str
    severity: Severity
    subject: str
    title: str
    text: str
    facts: dict[str, Value] = msgspec.field(default_factory=dict)
    id: str = msgspec.field(default_factory=lambda: secrets.token_hex(16))
    time: float = msgspec.field(default_factory=time.time)
