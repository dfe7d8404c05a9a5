"""Who asks, where a proxy stands between: whose word about the client is believed.

Everybody can send `X-Forwarded-For`, so it counts only where the connection comes from a proxy that the operator trusts, and
only as far as trusted proxies wrote it: each adds on the right whom it was reached by, so the client is the right-most address
that is none of theirs. What stands left of it is what that client says of itself.

The access log tells that address. The gate does not ask for it: rates are counted by token, and what any proxy passed on, trusted
or not, is never taken for this machine's own (`FORWARDED`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from fairlead.errors import InvalidInput

__all__ = ["FORWARDED", "FORWARDED_FOR", "Proxies", "networks_of"]

FORWARDED_FOR: Final = b"x-forwarded-for"
FORWARDED: Final = frozenset(
    {b"forwarded", FORWARDED_FOR, b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"via"}
)
"""Headers that a proxy leaves; who asks us directly has no reason to send one."""

_MOST_HOPS: Final = 32
_LONGEST_HOP: Final = 80

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies:
    """The proxies that are believed.

    Args:
        trusted: Their addresses or networks: "10.0.0.7", "10.0.0.0/24", "fd00::/8".

    Raises:
        InvalidInput: One is neither, or means everybody.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._networks = networks_of(trusted)

    def client(self, peer: str, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Who asks: the peer itself, or whom a trusted proxy names; `None` where the proxy names nobody who can be.

        Args:
            peer: The address that the connection comes from.
            headers: Of the request.
        """
        if not self.trusts(peer):
            return peer
        told = b",".join(value for name, value in headers if len(name) == 15 and name.lower() == FORWARDED_FOR)
        return self._named(peer, told.decode("latin-1").split(",")) if told else peer

    def _named(self, peer: str, hops: Sequence[str]) -> str | None:
        """The right-most address that is no proxy of ours; the left-most one where all are."""
        found: str = peer
        for hop in reversed(hops[-_MOST_HOPS:]):
            address = _address(hop) if len(hop) <= _LONGEST_HOP else None
            if address is None:
                return None
            found = str(address)
            if not self._holds(address):
                return found
        return found if len(hops) <= _MOST_HOPS else None

    def trusts(self, peer: str) -> bool:
        """Whether a connection from this address is a trusted proxy's."""
        return bool(self._networks) and (address := _address(peer)) is not None and self._holds(address)

    def _holds(self, address: _Address) -> bool:
        return any(address in one for one in self._networks)


def networks_of(trusted: Iterable[str]) -> tuple[_Network, ...]:
    """The networks of the setting `trusted_proxies`.

    Raises:
        InvalidInput: One is no address and no network, or means everybody.
    """
    found = []
    for one in trusted:
        try:
            network = ipaddress.ip_network(one, strict=False)
        except ValueError as err:
            raise InvalidInput(
                f"{one!r} in trusted_proxies is no address and no network.",
                hint="Write them as 10.0.0.7 or 10.0.0.0/24, separated by commas.",
            ) from err
        if network.prefixlen == 0:
            raise InvalidInput(
                f"{one!r} in trusted_proxies means everybody, and everybody could name any address.",
                hint="Name the proxies' own addresses.",
            )
        found.append(network)
    return tuple(found)


@lru_cache(maxsize=4096)
def _address(text: str) -> _Address | None:
    """An address as a proxy may write it: with a port, in brackets, with a zone, as IPv4 within IPv6."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
