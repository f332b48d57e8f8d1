"""The fetch worker with a resolver and a network of the test's, and, if wished, with a mistake planted in it.

Started as a program, its configuration its argument. Public addresses lead to the test's web, all others to its traps,
which stand for everything that must never be reached.
"""

import ctypes
import json
import random
import re
import socket
import ssl
import sys
from typing import Any
from urllib.parse import urlsplit

from openbigmodel.media import download as download_module
from openbigmodel.media import fetch_worker
from openbigmodel.media.addresses import Address
from openbigmodel.media.download import Net, SystemNet
from openbigmodel.media.task import FetchPolicy
from openbigmodel.media.urls import Url

# To be tampered with.
download: Any = download_module


class TestNet(SystemNet):
    """`names`: what each resolves to; a list of lists: first time, second time … `web`, `trap`, `trap6`: ports."""

    __test__ = False

    def __init__(self, config: dict[str, Any]) -> None:
        self._names = config["names"]
        self._public = set(config["public"])
        self._ports = config["web"], config["trap"], config["trap6"]
        self._asked: dict[str, int] = {}

    def resolve(self, host: str, port: int) -> list[str]:
        if host.startswith("flip-"):
            return self._flip(host)
        if host == "stuck.example":
            # As the C library does: no handler of Python's runs before it is over.
            ctypes.PyDLL(None).sleep(30)
        answers = self._names.get(host)
        if answers is None:
            # As libc does with numbers in any form, and with what a host knows of itself.
            try:
                return [socket.inet_ntoa(socket.inet_aton(host))]
            except OSError:
                if "localhost" in host:
                    return ["127.0.0.1"]
                raise OSError("no such name") from None
        if answers and isinstance(answers[0], list):
            count = self._asked[host] = self._asked.get(host, -1) + 1
            answers = answers[min(count, len(answers) - 1)]
        return list(answers)

    def _flip(self, host: str) -> list[str]:
        """Another answer each time: all public, none, or some."""
        count = self._asked[host] = self._asked.get(host, -1) + 1
        return flipped(host, count)

    def connect(self, address: str, port: int, timeout_s: float) -> socket.socket:
        web, trap, trap6 = self._ports
        if address in self._public:
            return super().connect("127.0.0.1", web, timeout_s)
        if ":" in address and trap6:
            return super().connect("::1", trap6, timeout_s)
        return super().connect("127.0.0.1", trap, timeout_s)

    def is_own(self, address: str) -> bool:
        return address == "93.184.215.99"


def flipped(host: str, count: int) -> list[str]:
    """What a rebinding name answers when it is asked for the `count`th time."""
    chance = random.Random(f"{host} {count}")
    public = [f"93.184.215.{chance.randrange(14, 22)}"]
    forbidden = [
        chance.choice(("127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "fd00:ec2::254", "100.100.100.200"))
    ]
    return chance.choice((public, public, forbidden, public + forbidden, forbidden + public))


def plant(fault: str) -> None:
    """Put one of the mistakes that others made into the download."""
    if fault:
        _FAULTS[fault]()


def _first_answer_only() -> None:
    real, judge = download.vetted, download._judge
    judged: list[Address] = []

    def vetted(url: Url, policy: FetchPolicy, net: Net) -> list[str]:
        judged.clear()
        addresses: list[str] = real(url, policy, net)
        return addresses[::-1]

    def judge_first(address: Address, *rest: Any) -> None:
        if not judged:
            judge(address, *rest)
        judged.append(address)

    download.vetted = vetted
    download._judge = judge_first


def _resolves_again() -> None:
    real = download._connect

    def connect(url: Url, addresses: list[str], net: Net) -> socket.socket:
        again = addresses if url.address is not None else net.resolve(url.host, url.port)
        connection: socket.socket = real(url, again, net)
        return connection

    download._connect = connect


def _redirects_unjudged() -> None:
    real = download.vetted
    hops: list[Url] = []

    def vetted(url: Url, policy: FetchPolicy, net: Net) -> list[str]:
        hops.append(url)
        if len(hops) == 1:
            addresses: list[str] = real(url, policy, net)
            return addresses
        return [str(url.address)] if url.address is not None else net.resolve(url.host, url.port)

    download.vetted = vetted


def _only_private() -> None:
    def is_forbidden(address: Address, allowed: object = ()) -> bool:
        return address.is_private

    download.is_forbidden = is_forbidden


def _two_parsers() -> None:
    """Judges what one parser sees, connects to what another does."""
    real_vetted, real_read = download.vetted, download.read_url

    def read_url(text: str) -> Url:
        try:
            url: Url = real_read(text)
            return url
        except ValueError:
            parts = urlsplit(text)
            return Url("http", text, parts.port or 80, "/")

    def vetted(url: Url, policy: FetchPolicy, net: Net) -> list[str]:
        if "://" not in url.host:
            addresses: list[str] = real_vetted(url, policy, net)
            return addresses
        judged = (urlsplit(url.host).hostname or "").rpartition("\\")[2]
        real_vetted(Url("http", judged, policy.ports[0], "/"), policy, net)
        seen = re.split(r"[/\\?#@]", url.host.split("://", 1)[1])[0].split(":")[0]
        return net.resolve(seen, 80)

    download.read_url = read_url
    download.vetted = vetted


def _numbers_unseen() -> None:
    """Takes what is not plainly an address for a name, and judges names by their spelling alone."""
    real = download.vetted

    def vetted(url: Url, policy: FetchPolicy, net: Net) -> list[str]:
        addresses: list[str] = real(url, policy, net) if url.address else net.resolve(url.host, url.port)
        return addresses

    download.vetted = vetted


_FAULTS = {
    "first answer only": _first_answer_only,
    "resolves again": _resolves_again,
    "redirects unjudged": _redirects_unjudged,
    "only private": _only_private,
    "two parsers": _two_parsers,
    "names unjudged": _numbers_unseen,
}


class RealNet(SystemNet):
    """The real one, where every address is this machine's own."""

    def is_own(self, address: str) -> bool:
        return False


if __name__ == "__main__":
    CONFIG = json.loads(sys.argv[1])
    if CONFIG.get("real"):
        plant(CONFIG["fault"])
        sys.exit(fetch_worker.main(RealNet()))
    plant(CONFIG["fault"])
    TRUSTED = ssl.create_default_context(cafile=CONFIG["trusted"]) if CONFIG["trusted"] else None
    sys.exit(fetch_worker.main(TestNet(CONFIG), TRUSTED))
