import asyncio
import math
import socket
from collections.abc import Callable

import pytest

from openbigmodel.edge.server import Edge, EdgeLimits, PortBusy, listening_socket


class Member:
    def __init__(self, deadline: float, on_expire: Callable[[], None] = lambda: None) -> None:
        self.deadline = deadline
        self.expired = 0
        self.on_expire = on_expire

    def expire(self) -> None:
        self.expired += 1
        self.deadline = math.inf
        self.on_expire()


def test_the_sweep_expires_what_is_due_and_nothing_else() -> None:
    now = 100.0
    edge = Edge({}, clock=lambda: now)
    loop = asyncio.new_event_loop()
    try:
        due, later = Member(130.0), Member(131.0)
        leaving = Member(130.0)
        leaving.on_expire = lambda: edge.remove(leaving)
        for member in (due, later, leaving):
            edge.add(member, loop)
        edge.sweep()
        assert (due.expired, later.expired) == (0, 0)
        now = 130.0
        edge.sweep()
        assert (due.expired, later.expired, leaving.expired) == (1, 0, 1)
        assert edge.connection_count == 2
        edge.sweep()
        assert due.expired == 1
        assert edge.now == 130.0
    finally:
        loop.close()


def test_the_sweep_runs_only_while_there_are_connections() -> None:
    sweeps = 0

    def clock() -> float:
        nonlocal sweeps
        sweeps += 1
        return float(sweeps)

    async def run() -> tuple[int, int]:
        edge = Edge({}, EdgeLimits(sweep_s=0.01), clock=clock)
        member = Member(math.inf)
        edge.add(member, asyncio.get_running_loop())
        await asyncio.sleep(0.06)
        edge.remove(member)
        await asyncio.sleep(0.02)
        before = sweeps
        await asyncio.sleep(0.04)
        idle = sweeps - before
        edge.add(member, asyncio.get_running_loop())
        await asyncio.sleep(0.03)
        return idle, sweeps - before

    idle, resumed = asyncio.run(run())
    assert idle == 0
    assert resumed >= 2


def test_the_date_is_read_with_the_sweep() -> None:
    wall = 784111777.0
    edge = Edge({}, wall_s=lambda: wall)
    assert edge.date_line == b"date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    wall += 1
    edge.sweep()
    assert edge.date_line == b"date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


def test_a_listening_socket_accepts_and_passes_its_settings_on() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address, timeout=5):
            listener.setblocking(True)
            accepted, _ = listener.accept()
            with accepted:
                # Linux reports twice what was asked for: the rest is its own bookkeeping.
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * 64 * 1024
                assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


def test_a_port_is_free_again_right_after_use() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address, timeout=5):
            listener.setblocking(True)
            accepted, _ = listener.accept()
            accepted.close()
    listening_socket("127.0.0.1", address[1]).close()


def test_a_name_is_resolved() -> None:
    with listening_socket("localhost", 0) as listener:
        assert listener.getsockname()[0] in ("127.0.0.1", "::1")


def test_a_taken_port_is_said_clearly() -> None:
    with listening_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PortBusy, match=f"port {port} on 127.0.0.1 is already in use") as caught:
            listening_socket("127.0.0.1", port)
    assert caught.value.taken
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)


def test_a_forbidden_port_is_said_clearly() -> None:
    error = PortBusy("0.0.0.0", 80, PermissionError(13, "Permission denied"))
    assert not error.taken
    assert "port 80 on 0.0.0.0 is not permitted to this user" in str(error)


def test_an_address_of_another_machine_is_an_ordinary_error() -> None:
    with pytest.raises(OSError, match="assign"):
        listening_socket("192.0.2.1", 0)
