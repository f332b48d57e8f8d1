"""One download of a URL that a stranger chose, inside the fetch worker: blocking, and alone in its process.

Rule, in this order for the URL and again for each redirect: read it once, judge its name and port, resolve it once,
judge EVERY answer, connect to one of the addresses just judged. What was judged is what is connected to; a name is
never handed to anything that would resolve it again. No proxy, cookie or credential; nothing is unpacked.
"""

import http.client
import ipaddress
import socket
import ssl
from typing import Protocol
from urllib.parse import urljoin

import msgspec

from openbigmodel.media.addresses import Address, Network, is_forbidden
from openbigmodel.media.task import FetchPolicy, Refused
from openbigmodel.media.urls import Url, UrlRefused, read_url

# Of one name; more is somebody's game.
ANSWERS_MAX = 64
# Addresses that are tried one after the other, each for at most so long.
_TRIES_MAX = 3
_CONNECT_S = 4.0
_CHUNK_BYTES = 65_536
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class Net(Protocol):
    """The network, as far as a download sees it."""

    def resolve(self, host: str, port: int) -> list[str]:
        """All addresses of a name. Raises OSError."""

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        """A connection to an address. Raises OSError."""

    def is_own(self, address: str) -> bool:
        """Whether the address is one of this machine's."""


class SystemNet:
    """The real one."""

    def resolve(self, host: str, port: int) -> list[str]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        connection = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        connection.settimeout(timeout_s)
        try:
            connection.connect((address, port))
        except BaseException:
            connection.close()
            raise
        return connection

    def is_own(self, address: str) -> bool:
        """The kernel chooses the address itself as the sender only if it is its own. Sends nothing."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
            try:
                probe.connect((address, 9))
            except OSError:
                return False
            return str(probe.getsockname()[0]) == address


class Download(msgspec.Struct, frozen=True):
    """What came. `name` is the last part of the path that was asked for last."""

    data: bytes
    name: str


def download(text: str, policy: FetchPolicy, bytes_max: int, net: Net, tls: ssl.SSLContext) -> Download:
    """Raises Refused `unreachable`, `status` or `too_large`; the caller bounds the time with a signal."""
    for _ in range(policy.redirects_max + 1):
        try:
            url = read_url(text)
            connection = _connect(url, vetted(url, policy, net), net)
        except UrlRefused as error:
            raise Refused("unreachable", f"URL with {error}") from error
        with connection:
            answer = _ask(url, connection, bytes_max, tls)
        if isinstance(answer, bytes):
            return Download(answer, url.target.partition("?")[0].rpartition("/")[2])
        text = urljoin(f"{url.scheme}://{url.authority}{url.target}", answer)
    raise Refused("unreachable", "too many redirects")


def vetted(url: Url, policy: FetchPolicy, net: Net) -> list[str]:
    """The addresses to connect to: all that the name has, each of them judged. Raises Refused."""
    if url.port not in policy.ports:
        raise Refused("unreachable", f"port {url.port} is not in media.ports")
    if policy.allowed_hosts:
        if not is_listed(url.host, policy.allowed_hosts):
            raise Refused("unreachable", f"{url.host} is not in media.allowed_hosts")
    elif url.is_local_name:
        raise Refused("unreachable", f"{url.host} is a local name")
    allowed = [ipaddress.ip_network(text) for text in policy.allow_private]
    if url.address is not None:
        addresses: list[Address] = [url.address]
    else:
        addresses = _resolve(url, net)
    for address in addresses:
        _judge(address, allowed, net)
    return [str(address) for address in addresses]


def _resolve(url: Url, net: Net) -> list[Address]:
    try:
        answers = net.resolve(url.host, url.port)
    except (OSError, UnicodeError) as error:
        raise Refused("unreachable", f"{url.host} cannot be resolved: {error}") from error
    if not 1 <= len(answers) <= ANSWERS_MAX:
        raise Refused("unreachable", f"{url.host} has {len(answers)} addresses")
    try:
        return [ipaddress.ip_address(answer) for answer in answers]
    except ValueError as error:
        raise Refused("unreachable", f"{url.host} resolves to no address") from error


def _judge(address: Address, allowed: list[Network], net: Net) -> None:
    if is_forbidden(address, allowed):
        raise Refused("unreachable", f"{address} is not public")
    if net.is_own(str(address)) and not any(address in network for network in allowed):
        raise Refused("unreachable", f"{address} is this machine's own")


def is_listed(host: str, listed: tuple[str, ...]) -> bool:
    """Whether the list has the host, or `*.` and a part of it from a dot on."""
    return any(
        host.endswith(entry[1:].lower()) if entry.startswith("*.") else host == entry.lower()
        for entry in listed
    )


def _connect(url: Url, addresses: list[str], net: Net) -> socket.socket:
    failure: OSError | None = None
    for address in addresses[:_TRIES_MAX]:
        try:
            return net.connect(address, url.port, _CONNECT_S)
        except OSError as error:
            failure = error
    raise Refused("unreachable", f"{url.host} cannot be connected to: {failure}")


def _ask(url: Url, connection: socket.socket, bytes_max: int, tls: ssl.SSLContext) -> bytes | str:
    """The body, or where a redirect leads."""
    client = http.client.HTTPConnection(url.host, url.port)
    # It must never connect by itself: it would resolve the name again.
    client.auto_open = 0
    try:
        if url.scheme == "https":
            connection = tls.wrap_socket(connection, server_hostname=url.host)
        client.sock = connection
        client.putrequest("GET", url.target, skip_host=True, skip_accept_encoding=True)
        for name, value in (
            ("Host", url.authority),
            ("User-Agent", "openbigmodel"),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ):
            client.putheader(name, value)
        client.endheaders()
        with client.getresponse() as response:
            return _read(response, bytes_max)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Refused("unreachable", f"{url.host}: {type(error).__name__}: {error}") from error
    finally:
        client.close()


def _read(response: http.client.HTTPResponse, bytes_max: int) -> bytes | str:
    if response.status in _REDIRECTS:
        location = response.headers.get("location")
        if not location:
            raise Refused("unreachable", "a redirect to nowhere")
        # Headers are read as Latin-1; what is not ASCII in them is UTF-8 nearly everywhere.
        return location.encode("latin-1", "replace").decode("utf-8", "replace")
    if response.status != 200:
        raise Refused("status", f"status {response.status}", status=response.status)
    if response.headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise Refused("unreachable", "packed, although it was asked not to be")
    if response.length is not None and response.length > bytes_max:
        raise Refused("too_large")
    body = bytearray()
    while chunk := response.read(_CHUNK_BYTES):
        body += chunk
        if len(body) > bytes_max:
            raise Refused("too_large")
    # Where the length was announced, `read` takes an early end for the end.
    if response.length:
        raise Refused("unreachable", "the body was cut short")
    return bytes(body)
