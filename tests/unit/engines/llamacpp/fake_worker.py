"""Workers that behave, and misbehave, on command: the first argument says how. Starts faster than the real one."""

import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

PYTHON = (sys.executable, "-I", "-S", __file__)


def main() -> None:
    how, *rest = sys.argv[1:]
    line = sys.stdin.readline()
    sys.stderr.write(f"fake worker, {how}\n")
    sys.stderr.flush()
    if how == "flaky":
        how = _next_step(Path(rest[0]))
    before_ready: dict[str, Callable[[], object]] = {
        "refuse": lambda: say({"error": "No such thing."}),
        "garbage": lambda: print("hello", flush=True),
        "null": lambda: print("null", flush=True),
        "odd": lambda: say({"ready": "http://127.0.0.1:no"}),
        "endless": lambda: sys.stdout.write("x" * 200_000),
        "exit": lambda: sys.exit(7),
        "illegal": lambda: os.kill(os.getpid(), signal.SIGILL),
        "silent": lambda: time.sleep(60),
        "chatty": lambda: sys.stderr.write("".join(f"line {number} {'x' * 400}\n" for number in range(2000))),
    }
    if how in before_ready:
        before_ready[how]()
        sys.stderr.write("the end\n")
        sys.exit(7)
    serve(how, line)


def say(answer: dict[str, str]) -> None:
    print(json.dumps(answer), flush=True)


def serve(how: str, line: str) -> None:
    if how == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stderr.write(f"told {line}")
    sys.stderr.flush()
    port = listener.getsockname()[1]
    if how == "closed":
        listener.close()
    say({"ready": f"http://127.0.0.1:{port}"})
    if how == "crash":
        sys.exit("it crashed")
    if how == "closed":
        time.sleep(60)
    while True:
        connection, _ = listener.accept()
        answer(connection, how)


def answer(connection: socket.socket, how: str) -> None:
    if how == "hang":
        # Keeps the connection, says nothing.
        time.sleep(60)
    status = "503 Service Unavailable" if how == "ill" else "200 OK"
    with connection, contextlib.suppress(OSError):
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())


def _next_step(steps: Path) -> str:
    """Take the first word out of a file of words."""
    first, *rest = steps.read_text().split()
    steps.write_text(" ".join(rest or [first]))
    return first


if __name__ == "__main__":
    main()
