"""Which address a request comes from, when proxies stand before the platform.

Rule: only what a trusted proxy says is believed. X-Forwarded-For is read from its end, where the nearest proxy has
written; the first address that is no trusted proxy's is the caller's, and what stands before it is the caller's own
claim. Pure.
"""

from ipaddress import IPv6Address, ip_address

from openbigmodel.auth.restrictions import Address, Network


class TrustedProxies:
    """The networks of the proxies; none by default, and then the header never counts."""

    def __init__(self, networks: tuple[Network, ...] = ()) -> None:
        self._networks = networks

    def client(self, peer: str, forwarded: bytes | None) -> Address | None:
        """The caller's address; None where it cannot be known.

        `peer` is the other end of the connection, `forwarded` the value of X-Forwarded-For.
        """
        address = _parse(peer)
        for claim in reversed((forwarded or b"").decode("latin-1").split(",") if forwarded else []):
            if address is None or not self._trusts(address):
                break
            address = _parse(claim.strip())
        return address

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _parse(text: str) -> Address | None:
    """An address as proxies write it: alone, in brackets, or with a port."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # What a socket for both protocols calls an IPv4 peer.
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
