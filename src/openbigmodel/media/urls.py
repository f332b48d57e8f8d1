"""One strict reading of a URL that a caller gave: host, port and what to ask for, or a refusal.

Rule: whatever two parsers could read in two ways is refused, not mended: backslashes, credentials, blanks, percent
signs or zones in the host, numbers that are IPv4 addresses only to some, full-width digits and dots. The result is the
only thing that is resolved and connected to; nobody looks at the text again (reliability.md §2.4, CVE-2026-24779).
"""

import ipaddress
import re
from urllib.parse import quote

import idna
import msgspec

from openbigmodel.media.addresses import Address

URL_CHARACTERS_MAX = 8192
DEFAULT_PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"(https?)://([^/?#]*)(/[^?#]*)?(\?[^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:@%]+))(?::([0-9]{1,5}))?")
# Blanks, controls and backslashes: parsers strip, turn or keep them, each in its own way.
_ODD = re.compile(
    r"[\x00-\x20\x7f-\xa0\\\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ud800-\udfff]"
)
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
# The last label of what WHATWG takes for an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# What a path or query may hold as it is; the rest is sent percent-encoded.
_AS_IT_IS = "/?&=+%:;,@!$'()*~-._[]"

# They mean this machine or its own network, whatever a resolver says.
_LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home.arpa", "localdomain")


class UrlRefused(ValueError):  # noqa: N818  it is an outcome
    """The URL is not one that is fetched; the text is for the operator."""


class Url(msgspec.Struct, frozen=True):
    """Where to connect and what to ask. `host` is ASCII in small letters, without brackets."""

    scheme: str
    host: str
    port: int
    target: str
    address: Address | None = None
    """Set when the host is an address and nothing has to be resolved."""

    @property
    def authority(self) -> str:
        """For the Host header."""
        host = f"[{self.host}]" if self.address is not None and self.address.version == 6 else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_local_name(self) -> bool:
        """Whether the name alone says that it is nobody else's business: `localhost`, `*.internal`, one label."""
        if self.address is not None:
            return False
        return "." not in self.host or any(
            self.host == name or self.host.endswith("." + name) for name in _LOCAL_NAMES
        )


def read_url(text: str) -> Url:
    """Read an http or https URL. Raises UrlRefused."""
    if len(text) > URL_CHARACTERS_MAX:
        raise UrlRefused("too long")
    if _ODD.search(text):
        raise UrlRefused("a blank, control character or backslash")
    match = _URL.fullmatch(text)
    if match is None:
        raise UrlRefused("not an http or https URL")
    scheme, authority, path, query = match[1].lower(), match[2], match[3] or "/", match[4] or ""
    place = _AUTHORITY.fullmatch(authority)
    if place is None:
        raise UrlRefused("a host that cannot be, a credential or a port that is no number")
    port = int(place[3]) if place[3] else DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65535:
        raise UrlRefused("a port that cannot be")
    address: Address | None
    if place[1] is not None:
        host, address = _read_ipv6(place[1])
    else:
        host, address = _read_host(place[2])
    return Url(scheme, host, port, quote(path + query, safe=_AS_IT_IS), address)


def _read_ipv6(text: str) -> tuple[str, Address]:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError as error:
        raise UrlRefused("an IPv6 address that cannot be") from error
    return str(address), address


def _read_host(text: str) -> tuple[str, Address | None]:
    if text.isascii():
        host = text.lower()
    else:
        try:
            # Strict: no mapping, so full-width digits and other people's dots are refused, not turned into ASCII.
            host = idna.encode(text, strict=True, std3_rules=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as error:
            raise UrlRefused("a host that is not a name") from error
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UrlRefused("a host that is not a name")
    if not _NUMBER.fullmatch(labels[-1]):
        return host, None
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError as error:
        raise UrlRefused("an IPv4 address in an odd form") from error
    # Exactly as it would be written: no leading zeros, whatever a release of Python accepts.
    if str(address) != host:
        raise UrlRefused("an IPv4 address in an odd form")
    return host, address
