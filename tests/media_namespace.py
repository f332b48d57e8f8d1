"""Run inside a network namespace of its own: every address of the world is this machine, so whoever is reached is seen.

The real resolver of the C library asks our DNS server, the real kernel connects, and one listener takes everything and
writes down which address it was meant for. Prints those addresses, and what could be fetched, as JSON.

    unshare --map-root-user --net python -m tests.media_namespace [MISTAKE]

With a mistake planted into the worker, only as much is asked as shows it.
"""

import asyncio
import ipaddress
import json
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from openbigmodel.media import Fetcher
from openbigmodel.media.task import FetchPolicy, Outcome, Task
from tests.hostile_web import answer, png
from tests.media_worker import flipped
from tests.ssrf_catalogue import PUBLIC_NAMES, PUBLIC_V4, PUBLIC_V6, catalogue, forbidden_names

_FLIPS = 300
_A, _AAAA = 1, 28


class Everywhere:
    """Takes connections to any address, on ports 80 and 443, and remembers the addresses."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.pages = {b"/": answer(png()), b"/image.png": answer(png())}
        for port in (80, 443):
            server = socket.create_server(
                ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024
            )
            threading.Thread(target=self._accept, args=(server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            address = ipaddress.IPv6Address(connection.getsockname()[0])
            self.reached.append(str(address.ipv4_mapped or address))
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            head = connection.recv(65536)
            if head:
                connection.sendall(self.pages.get(head.split(b" ")[1], answer(b"", status="404 Not Found")))


def serve_names() -> None:
    """A DNS server for the names of the catalogue; `flip-…` answers differently each time."""
    table: dict[str, list[str]] = {**PUBLIC_NAMES, **forbidden_names()}
    asked: dict[str, int] = {}
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # The address of the caller's question is the address of our answer only if each has a socket.
    nameservers = [
        line.split()[1]
        for line in Path("/etc/resolv.conf").read_text().splitlines()
        if line.startswith("nameserver")
    ]
    server.bind((next((each for each in nameservers if ":" not in each), "127.0.0.1"), 53))
    while True:
        question, client = server.recvfrom(4096)
        labels, place = [], 12
        while question[place]:
            labels.append(question[place + 1 : place + 1 + question[place]].decode("latin-1"))
            place += 1 + question[place]
        (kind,) = struct.unpack_from(">H", question, place + 1)
        name = ".".join(labels).lower()
        if name.startswith("flip-"):
            asked[name] = asked.get(name, -1) + 1
            addresses = flipped(name, asked[name])
        else:
            addresses = [
                address for address in table.get(name, []) if "%" not in address and address != "example"
            ]
        records = b""
        count = 0
        for address in map(ipaddress.ip_address, addresses):
            if {4: _A, 6: _AAAA}[address.version] == kind:
                packed = address.packed
                records += struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(packed)) + packed
                count += 1
        known = name in table or name.startswith("flip-")
        head = question[:2] + struct.pack(">HHHHH", 0x8180 if known else 0x8183, 1, count, 0, 0)
        server.sendto(head + question[12 : place + 5] + records, client)


async def fetch_all(urls: list[str], fault: str) -> list[Outcome]:
    config = json.dumps({"real": True, "fault": fault})
    fetcher = Fetcher(command=(sys.executable, str(Path(__file__).with_name("media_worker.py")), config))

    async def fetch(url: str) -> Outcome:
        size = len(url.encode("utf-8", "surrogatepass"))
        policy = FetchPolicy(timeout_s=5.0)
        return (
            await fetcher.run(
                Task(kind="image", form="url", size=size, bytes_max=1 << 20, policy=policy), url
            )
        )[0]

    found: list[Outcome] = []
    for start in range(0, len(urls), 256):
        found += await asyncio.gather(*map(fetch, urls[start : start + 256]))
    await fetcher.close()
    return found


def main(fault: str) -> None:
    for command in (
        "ip link set lo up",
        "ip route add local 0.0.0.0/0 dev lo",
        "ip -6 route add local ::/0 dev lo",
    ):
        subprocess.run(command.split(), check=True)
    web = Everywhere()
    threading.Thread(target=serve_names, daemon=True).start()
    good = [f"http://{name}/image.png" for name in PUBLIC_NAMES] + [
        f"http://{PUBLIC_V4}/",
        f"http://[{PUBLIC_V6}]/",
    ]
    bad = [case.url.replace("{port}", "80") for case in catalogue()]
    redirects = [url for url in bad if url.startswith("http") and url.isascii() and url.isprintable()]
    for number, url in enumerate(redirects):
        web.pages[f"/to/{number}".encode()] = answer(b"", f"location: {url}\r\n", "302 Found")
    asked = [f"http://{PUBLIC_V4}/to/{number}" for number in range(len(redirects))]
    flips = [f"http://flip-{number}.example/" for number in range(_FLIPS)]
    if fault:
        bad, redirects, asked = bad[:100], redirects[:100], asked[:100]
    found = asyncio.run(fetch_all(good + bad + asked + flips, fault))
    result = {
        "reached": sorted(set(web.reached)),
        "good": [outcome.refusal for outcome in found[: len(good)]],
        "bad": [
            url
            for url, outcome in zip(bad + redirects, found[len(good) : -_FLIPS], strict=True)
            if not outcome.refusal
        ],
        "flips": sum(not outcome.refusal for outcome in found[-_FLIPS:]),
        "asked": len(found),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
