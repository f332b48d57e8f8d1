"""The catalogue of credentials against a real server: refused with 401 before the body is looked at."""

import asyncio
import json
import re
import socket
from collections.abc import Iterator

import pytest

from openbigmodel.auth.store import AuthStore
from openbigmodel.db.connection import Database
from tests.credential_catalogue import Headers, World, bad_bytes, bad_credentials, good_credentials
from tests.integration.server_process import ServerProcess, server
from tests.integration.test_bad_credentials import make_world

# A body that no good caller sends: whoever gets as far as this is told 1210.
BODY = b"no JSON"
# What HTTP itself refuses: control bytes, a head that is too large, a broken line.
HTTP_REFUSES = {400, 431}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, ServerProcess]]:
    folder = tmp_path_factory.mktemp("credentials") / "data"
    folder.mkdir(mode=0o700)

    async def prepare() -> World:
        database = Database.open(folder / "bigmodel.db")
        try:
            return await make_world(AuthStore(database, folder))
        finally:
            database.close()

    world = asyncio.run(prepare())
    with server(folder.parent) as process:
        yield world, process


def ask(port: int, headers: Headers) -> tuple[int, str]:
    """The status and code that a chat request with these headers gets."""
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    request = b"POST /api/paas/v4/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    request += lines + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        try:
            client.sendall(request)
        except OSError:
            pass  # refused before all of it was sent; the answer is there
        answer = b""
        try:
            while part := client.recv(65536):
                answer += part
        except ConnectionResetError:
            pass
    status = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    assert status is not None, answer[:100]
    return int(status[1]), str(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"])


def test_every_bad_credential_is_refused_over_http(platform: tuple[World, ServerProcess]) -> None:
    world, process = platform
    cases = list(bad_credentials(world))

    wrong = [
        (name, found, sorted(codes))
        for name, headers, codes in cases
        if (found := ask(process.port, headers)) not in {(401, code) for code in codes}
    ]

    assert wrong == []
    assert len(cases) >= 800


def test_what_http_may_refuse_itself_never_passes(platform: tuple[World, ServerProcess]) -> None:
    world, process = platform
    wrong = []
    for name, headers, _ in bad_bytes(world):
        status, code = ask(process.port, headers)
        if status != 401 and status not in HTTP_REFUSES:
            wrong.append((name, status, code))

    assert wrong == []


def test_good_credentials_get_as_far_as_the_body(platform: tuple[World, ServerProcess]) -> None:
    world, process = platform
    wrong = [
        (name, found)
        for name, headers in good_credentials(world)
        if (found := ask(process.port, headers)) != (400, "1210")
    ]

    assert wrong == []
