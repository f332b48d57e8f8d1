import pytest

from openbigmodel.edge.head import RequestHead, read_head
from openbigmodel.edge.sink import Answer, refusal_bytes
from openbigmodel.errors import ApiError

DATE = b"date: now\r\n"


class Wire:
    """The connection as an answer sees it."""

    client: tuple[str, int] | None = ("203.0.113.7", 4711)

    def __init__(self, stays: bool = True) -> None:
        self.stays = stays
        self.writes: list[bytes] = []
        self.ended: list[bool] = []
        self.aborted = 0

    def send(self, data: bytes) -> None:
        self.writes.append(data)

    def answer_ended(self, keep_alive: bool) -> None:
        self.ended.append(keep_alive)

    def abort(self) -> None:
        self.aborted += 1

    def date_line(self) -> bytes:
        return DATE

    def may_stay(self) -> bool:
        return self.stays


def head(version: bytes = b"1.1", connection: bytes = b"keep-alive") -> RequestHead:
    found = read_head(b"POST / HTTP/%b\r\nHost: a\r\nConnection: %b\r\n\r\n" % (version, connection))
    assert found is not None
    return found[0]


def states(answer: Answer) -> tuple[bool, bool]:
    return answer.started, answer.ended


def test_whose_connection_it_is() -> None:
    wire = Wire()
    answer = Answer(wire, head())
    assert answer.peer == "203.0.113.7"
    wire.client = None
    assert answer.peer == ""
    wire.client = ("::1", 1)
    answer.detach()
    assert answer.peer == ""


@pytest.mark.parametrize(
    ("version", "connection", "stays", "line"),
    [
        (b"1.1", b"keep-alive", True, b""),
        (b"1.1", b"close", True, b"connection: close\r\n"),
        (b"1.1", b"keep-alive", False, b"connection: close\r\n"),
        (b"1.0", b"keep-alive", True, b"connection: keep-alive\r\n"),
        (b"1.0", b"x", True, b"connection: close\r\n"),
    ],
)
def test_a_whole_answer(version: bytes, connection: bytes, stays: bool, line: bytes) -> None:
    wire = Wire(stays)
    answer = Answer(wire, head(version, connection))
    assert states(answer) == (False, False)
    answer.respond(429, b"x-a: b\r\n", b"body")
    assert states(answer) == (True, True)
    assert wire.writes == [
        b"HTTP/1.1 429 Too Many Requests\r\n" + DATE + b"content-length: 4\r\n" + line + b"x-a: b\r\n\r\nbody"
    ]
    assert wire.ended == [b"close" not in line]


def test_a_streamed_answer() -> None:
    wire = Wire()
    answer = Answer(wire, head())
    answer.start(b"")
    assert states(answer) == (True, False)
    answer.write(b"x" * 20)
    answer.end()
    assert states(answer) == (True, True)
    assert wire.writes[1:] == [b"14\r\n" + b"x" * 20 + b"\r\n", b"0\r\n\r\n"]
    assert wire.ended == [True]


def test_a_stream_on_http_1_0_has_no_frames_and_closes() -> None:
    wire = Wire()
    answer = Answer(wire, head(b"1.0"))
    answer.start(b"")
    answer.write(b"one")
    answer.end(b"two")
    assert wire.writes == [b"HTTP/1.1 200 OK\r\n" + DATE + b"connection: close\r\n\r\n", b"one", b"two"]
    assert wire.ended == [False]


def play(answer: Answer, calls: str) -> None:
    for call in calls.split():
        if call == "respond":
            answer.respond(200, b"", b"")
        elif call == "bodiless":
            answer.respond(204, b"", b"")
        elif call == "start":
            answer.start(b"")
        elif call == "write":
            answer.write(b"x")
        else:
            answer.end()


MISUSES = [
    "write",
    "end",
    "bodiless",
    "respond respond",
    "respond start",
    "respond write",
    "start start",
    "start respond",
    "start end write",
    "start end end",
]


@pytest.mark.parametrize("calls", MISUSES)
def test_misuse_is_a_programmers_error(calls: str) -> None:
    with pytest.raises(AssertionError):
        play(Answer(Wire(), head()), calls)


@pytest.mark.parametrize("calls", MISUSES)
def test_once_detached_every_call_is_ignored(calls: str) -> None:
    wire = Wire()
    answer = Answer(wire, head())
    answer.detach()
    play(answer, calls)
    answer.abort()
    assert (wire.writes, wire.ended, wire.aborted) == ([], [], 0)


def test_abort_drops_once_and_silences_the_rest() -> None:
    wire = Wire()
    answer = Answer(wire, head())
    answer.start(b"")
    answer.abort()
    answer.abort()
    answer.write(b"x")
    assert wire.aborted == 1
    assert len(wire.writes) == 1
    ended = Answer(wire, head())
    ended.respond(200, b"", b"")
    ended.abort()
    assert wire.aborted == 1, "the connection belongs to the next request by now"


def test_a_refusal_carries_the_envelope_and_the_retry_headers() -> None:
    raw = refusal_bytes(ApiError("1302"), "en", DATE)
    head_bytes, _, body = raw.partition(b"\r\n\r\n")
    assert head_bytes.split(b"\r\n") == [
        b"HTTP/1.1 429 Too Many Requests",
        b"date: now",
        b"content-type: application/json; charset=UTF-8",
        b"content-length: %d" % len(body),
        b"connection: close",
        b"x-should-retry: true",
        b"retry-after: 1",
    ]
    assert body == b'{"error":{"code":"1302","message":"Rate limit reached for requests"}}'


def test_a_status_that_nobody_knows_leaves_the_answer_to_be_given() -> None:
    wire = Wire()
    answer = Answer(wire, head())
    with pytest.raises(KeyError):
        answer.respond(520, b"", b"")
    assert states(answer) == (False, False)
    answer.respond(500, b"", b"")
    assert wire.writes[0].startswith(b"HTTP/1.1 500 ")
