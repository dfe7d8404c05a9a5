"""How the demo speaks to whoever watches."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

__all__ = ["Screen"]


class Screen(msgspec.Struct, frozen=True):
    """How the demo speaks to whoever watches.

    Attributes:
        talk: Says what is being done, a line at a time.
        show: Says what the watcher is to keep: addresses and commands.
        live: Is told how the replay stands after each flight, and shows it as often as is good.
    """

    talk: Callable[[str], None]
    show: Callable[[str], None]
    live: Callable[[str], None]
