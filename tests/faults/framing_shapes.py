"""Answers that are whole, framed in every way that is legal, and in some that are not but can be understood."""

from collections.abc import Iterator

from openbigmodel.engines.fake_script import (
    DONE,
    Data,
    End,
    FakeRequest,
    Head,
    Reset,
    Sleep,
    Stall,
    Step,
)
from openbigmodel.engines.profiles import OPENAI
from tests.faults.answer_shape import (
    JSON_TYPE,
    ROLE,
    SAID,
    STOP,
    TOKENS,
    UNCOUNTED,
    Shape,
    chunk,
    raw,
    usage_chunk,
)


def _one_byte_at_a_time(request: FakeRequest) -> Iterator[Step]:
    yield Head()
    for step in [ROLE, *TOKENS[:1], chunk({"content": "two three "}, tokens=2), STOP, usage_chunk(), DONE]:
        assert isinstance(step, Data)
        for place in range(len(step.data)):
            yield Data(step.data[place : place + 1], step.tokens if place == 0 else 0)
    yield End()


def _slow(request: FakeRequest) -> Iterator[Step]:
    yield Head()
    for step in [ROLE, *TOKENS, STOP, usage_chunk(), DONE, End()]:
        yield Sleep(0.01)
        yield step


def _framed(change: bytes | None = None, head: Head | None = None, last: Step | None = None) -> list[Step]:
    return [head or Head(), Data(SAID if change is None else change, 3), last or End()]


FRAMES = (
    Shape("finish without [DONE]", OPENAI, [Head(), ROLE, *TOKENS, STOP, usage_chunk(), End()]),
    Shape("finish without [DONE] or usage", OPENAI, [Head(), *TOKENS, STOP, End()], UNCOUNTED),
    Shape("[DONE], and no end", OPENAI, [Head(), *TOKENS, STOP, usage_chunk(), DONE, Stall()]),
    Shape("[DONE], and a reset", OPENAI, [Head(), *TOKENS, STOP, usage_chunk(), DONE, Reset()]),
    Shape(
        "[DONE], and junk",
        OPENAI,
        [Head(), *TOKENS, STOP, usage_chunk(), DONE, Data(b"data: \xff\xfe\n\n"), Stall()],
    ),
    Shape("[DONE], and more tokens", OPENAI, [Head(), *TOKENS, STOP, usage_chunk(), DONE, *TOKENS, End()]),
    Shape(
        "[DONE] with blanks", OPENAI, [Head(), *TOKENS, STOP, usage_chunk(), Data(b"data:[DONE]\n\n"), End()]
    ),
    Shape("CRLF", OPENAI, _framed(SAID.replace(b"\n", b"\r\n"))),
    Shape("CR alone", OPENAI, _framed(SAID.replace(b"\n", b"\r"))),
    Shape("a byte order mark", OPENAI, _framed(b"\xef\xbb\xbf" + SAID)),
    Shape("no blank behind data", OPENAI, _framed(SAID.replace(b"data: ", b"data:"))),
    Shape("comments between", OPENAI, _framed(SAID.replace(b"data: ", b": OPENROUTER PROCESSING\n\ndata: "))),
    Shape(
        "names, ids and retries of events",
        OPENAI,
        _framed(SAID.replace(b"data: ", b"event: message\nid: 1\nretry: 10\ndata: ")),
    ),
    Shape("data in several lines", OPENAI, _framed(SAID.replace(b',"choices"', b',\ndata: "choices"'))),
    Shape("blanks in JSON", OPENAI, _framed(SAID.replace(b'":', b'" : '))),
    Shape("more empty lines", OPENAI, _framed(SAID.replace(b"\n\n", b"\n\n\n\n"))),
    Shape("one byte at a time", OPENAI, _one_byte_at_a_time),
    Shape("a pause before each event", OPENAI, _slow),
    Shape("ended with the connection", OPENAI, _framed(head=Head(framing="close"))),
    Shape("of known length", OPENAI, _framed(head=Head(framing=len(SAID)))),
    Shape("of HTTP/1.0", OPENAI, raw("HTTP/1.0 200 OK", "Content-Type: text/event-stream")),
    Shape("without a reason phrase", OPENAI, raw("HTTP/1.1 200 ", "Connection: close")),
    Shape(
        "behind 100 Continue",
        OPENAI,
        raw("HTTP/1.1 100 Continue", "", "HTTP/1.1 200 OK", "Connection: close"),
    ),
    Shape(
        "behind 103 Early Hints",
        OPENAI,
        raw("HTTP/1.1 103 Early Hints", "Link: </x>", "", "HTTP/1.1 200 OK", "Connection: close"),
    ),
    Shape(
        "with header names in capitals",
        OPENAI,
        raw("HTTP/1.1 200 OK", f"CONTENT-LENGTH: {len(SAID)}", "CONTENT-TYPE: TEXT/EVENT-STREAM"),
    ),
    Shape(
        "with 60 KiB of headers",
        OPENAI,
        raw("HTTP/1.1 200 OK", *[f"X-{n}: {'x' * 1000}" for n in range(60)], "Connection: close"),
    ),
    Shape(
        "with chunk extensions and trailers",
        OPENAI,
        raw(
            "HTTP/1.1 200 OK",
            "Transfer-Encoding: chunked",
            body=b"%x;name=value\r\n%b\r\n0\r\nX-Usage: 3\r\n\r\n" % (len(SAID), SAID),
        ),
    ),
    Shape("of another content type", OPENAI, _framed(head=Head(headers=(("Content-Type", "text/plain"),)))),
    Shape("as JSON by its content type", OPENAI, _framed(head=Head(headers=JSON_TYPE))),
    Shape("without a content type", OPENAI, _framed(head=Head(headers=()))),
)
