"""Which addresses a caller's URL may lead to: those of the public Internet, and no others.

Rule: an address is forbidden unless it is known to be global. `ipaddress.is_global` alone is not enough (it knows
nothing of clouds, and its tables changed between releases of Python), nor is the list below alone: both must agree.
Sources: the IANA special-purpose registries, and the places where clouds keep their metadata (reliability.md §3.4).
"""

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FORBIDDEN_V4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for this machine
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT; in it 100.100.100.200, Alibaba Cloud's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host, on an address that looks public
        "169.254.0.0/16",  # link-local; in it the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # in it 192.0.0.192, Oracle Cloud's metadata
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)

# Everything that is routed lies in 2000::/3: outside are loopback, mapped and compatible IPv4, NAT64 (64:ff9b::/96 and
# 64:ff9b:1::/48), discard-only, unique local, link-local, site-local and multicast.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_FORBIDDEN_V6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocols; in it Teredo, ORCHID, benchmarks
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)


def is_forbidden(address: Address, allowed: Iterable[Network] = ()) -> bool:
    """Whether nothing may be fetched from there. `allowed` are networks that the operator opened."""
    if any(address in network for network in allowed):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not address.is_global or any(address in network for network in _FORBIDDEN_V4)
    return (
        address not in _GLOBAL_V6
        or not address.is_global
        or any(address in network for network in _FORBIDDEN_V6)
    )
