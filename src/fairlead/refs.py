"""Names: `flights`, `flights:3`, `flights:champion`.

A name is an identifier and never a path: storage is addressed by digest, so no spelling of a name can reach a file.
"""

from __future__ import annotations

import re

import msgspec

from fairlead.errors import BadReference

__all__ = ["ModelRef", "check_name"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_RULE = "Use 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or a digit."


def check_name(name: str, kind: str = "name") -> str:
    """Return `name` if it is a legal identifier.

    Args:
        name: The identifier to check.
        kind: What it names, for the message: "model", "alias", "endpoint".

    Raises:
        BadReference: `name` has a character, a length or a double dot that no identifier may have.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        article = "an" if kind[:1] in "aeio" else "a"
        raise BadReference(f"{name[:80]!r} cannot be the name of {article} {kind}.", hint=_RULE, name=name[:80])
    return name


class ModelRef(msgspec.Struct, frozen=True):
    """A model, or one of its versions by number or by alias.

    At most one of `number` and `alias` is set; with neither, the model itself is meant.
    """

    model: str
    number: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Read `model`, `model:number` or `model:alias`.

        Raises:
            BadReference: The text is none of these.
        """
        model, colon, selector = text.partition(":")
        check_name(model, "model")
        if not colon:
            return cls(model)
        if selector.isascii() and selector.isdigit():
            number = int(selector) if len(selector) <= 9 else 0
            if number < 1:
                raise BadReference(f"{text[:80]!r} names no version: versions count from 1 to 999999999.")
            return cls(model, number=number)
        return cls(model, alias=check_name(selector, "alias"))

    def __str__(self) -> str:
        selector = self.alias if self.number is None else self.number
        return self.model if selector is None else f"{self.model}:{selector}"
