"""What can go wrong in the head of an engine's response: no HTTP, HTTP that nobody can read, refusals and redirects.

Nothing of an answer is there yet, so another engine is asked wherever it may know better.
"""

from dataclasses import dataclass, field
from typing import Any

from openbigmodel.engines.fake_script import (
    Close,
    Data,
    End,
    Head,
    Raw,
    Stall,
    Step,
    error_answer,
    json_answer,
)
from openbigmodel.engines.outcome import Outcome

_EVENT = b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n'
_HTML = b"<html><head><title>502 Bad Gateway</title></head></html>"
_HTML_TYPE = (("Content-Type", "text/html"),)


@dataclass(frozen=True)
class HeadFault:
    """`code` and `status` are what the caller hears if there is nobody else; `elsewhere`: somebody else is asked.

    `broken`: there was no head that can be read, so the same engine may be asked once more.
    """

    name: str
    steps: list[Step]
    code: str = "1234"
    status: int = 500
    blamed: Outcome = Outcome.FAILED
    elsewhere: bool = True
    broken: bool = False
    fields: dict[str, Any] = field(default_factory=dict)


def _raw(data: bytes, last: Step | None = None) -> list[Step]:
    return [Raw(data), last or Stall()]


def _head(*lines: bytes, body: bytes = _EVENT) -> list[Step]:
    return _raw(b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", body]))


_NO_HEAD: dict[str, list[Step]] = {
    "TLS instead of HTTP": _raw(b"\x15\x03\x01\x00\x02\x02\x46"),
    "SSH instead of HTTP": _raw(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "HTTP/2 instead of HTTP/1.1": _raw(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"),
    "HTTP/9.9": _raw(b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "HTTP/0.9": _raw(_EVENT, Close()),
    "a request as the answer": _raw(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a status that is no number": _raw(b"HTTP/1.1 abc OK\r\n\r\n"),
    "a status of four digits": _raw(b"HTTP/1.1 2000 OK\r\n\r\n"),
    "an empty line for ever": _raw(b"\r\n" * 40_000),
    "NUL bytes": _raw(b"\x00" * 100),
    "a head that is cut": _raw(b"HTTP/1.1 200 OK\r\nContent-Ty", Close()),
    "a status line that is cut": _raw(b"HTTP/1.1 2", Close()),
    "a header without colon": _head(b"Nonsense"),
    "a header with a NUL": _head(b"X-A: a\x00b"),
    "a blank before the colon": _head(b"Content-Length : 5"),
    "600 KiB in one header": _head(b"X-A: " + b"x" * 600_000),
    "700 KiB in many headers": _head(*[b"X-%d: %b" % (n, b"x" * 1000) for n in range(700)]),
    "headers for ever": _raw(b"HTTP/1.1 200 OK\r\n" + b"X-A: x\r\n" * 20_000),
    "a length that is no number": _head(b"Content-Length: many"),
    "a length below zero": _head(b"Content-Length: -5"),
    "a length beyond all numbers": _head(b"Content-Length: " + b"9" * 30),
    "two lengths": _head(b"Content-Length: 5", b"Content-Length: 7"),
    "a length and chunks": _head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "101 Switching Protocols": _raw(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"
    ),
    "100 Continue for ever": _raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 4000),
}
_NO_ANSWER = (
    *(HeadFault(name, steps, broken=True) for name, steps in _NO_HEAD.items()),
    HeadFault("a length of nothing", [Head(framing=0), End()]),
    HeadFault("a body shorter than its length", [Head(framing=10_000), Data(b": x\n\n"), Close()]),
    HeadFault(
        "chunks that are gzip",
        [Head(headers=(("Content-Encoding", "gzip"),)), Data(b"\x1f\x8b\x08\x00" * 20), End()],
    ),
    HeadFault("an HTML page with status 200", [Head(200, _HTML_TYPE), Data(_HTML), End()]),
    HeadFault("100 Continue, and an end", _raw(b"HTTP/1.1 100 Continue\r\n\r\n", Close())),
    HeadFault("103 Early Hints, and an end", _raw(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", Close())),
)


def _status(status: int, *headers: tuple[str, str], body: bytes = b"") -> list[Step]:
    return [Head(status, headers, len(body)), *([Data(body)] if body else []), End()]


_UNEXPECTED = (
    *(
        HeadFault(f"status {status}", _status(status))
        for status in (201, 202, 203, 205, 206, 226, 300, 303, 304, 305)
    ),
    # No status of these says that the engine is down, so none of them counts against it.
    *(
        HeadFault(f"status {status}", _status(status), blamed=Outcome.MISCONFIGURED)
        for status in (406, 409, 410, 417, 418, 421, 426, 431, 451)
    ),
    *(
        HeadFault(f"status {status}", _status(status), "1305", 429, Outcome.BUSY)
        for status in (408, 425, 529)
    ),
)
_REDIRECTS = tuple(
    HeadFault(
        f"redirected with {status}", _status(status, ("Location", "http://169.254.169.254/latest/meta-data/"))
    )
    for status in (301, 302, 307, 308)
)
_BROKEN = tuple(
    HeadFault(f"{status} {what}", steps)
    for status in (500, 501, 502, 503, 504, 505, 507, 520, 599)
    for what, steps in (
        ("as JSON", error_answer(status)),
        ("as HTML", _status(status, *_HTML_TYPE, body=_HTML)),
    )
)
_ODD_ERRORS = (
    HeadFault("500 without a body", _status(500)),
    HeadFault("500 with binary junk", _status(500, body=b"\xff\xfe\x00junk")),
    HeadFault("500 with junk in JSON", _status(500, body=b'{"error":{"message":"\xff"}}')),
    HeadFault("500 with an endless body", [Head(500), Data(b"x" * 3_000_000), End()]),
    HeadFault("500 that is cut", [Head(500, framing=500), Data(b'{"error":'), Close()]),
    HeadFault("500 with nested JSON", _status(500, body=b"[" * 50_000)),
    HeadFault("500 as an event stream", [Head(500), Data(b'data: {"error":{"message":"no"}}\n\n'), End()]),
    HeadFault(
        "200 with an error as JSON", json_answer(200, {"error": {"message": "no such luck", "code": 500}})
    ),
)


def _refusal(
    name: str,
    status: int,
    error: Any,
    code: str,
    http: int,
    blamed: Outcome = Outcome.REFUSED,
    *,
    elsewhere: bool = False,
) -> HeadFault:
    return HeadFault(name, json_answer(status, error), code, http, blamed, elsewhere)


_TOO_LONG = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens."
_REFUSED = (
    _refusal(
        "400 in vLLM's words",
        400,
        {"object": "error", "message": "bad", "type": "BadRequestError", "param": None, "code": 400},
        "1210",
        400,
    ),
    _refusal(
        "400 in vLLM's newer words",
        400,
        {"error": {"message": "bad", "type": "BadRequestError", "param": None, "code": 400}},
        "1210",
        400,
    ),
    _refusal("400 with a field", 400, {"error": {"message": "bad", "param": "temperature"}}, "1214", 400),
    _refusal(
        "400 in FastAPI's words", 400, {"detail": [{"loc": ["body", "messages"], "msg": "bad"}]}, "1214", 400
    ),
    _refusal("400, the prompt is too long", 400, {"error": {"message": _TOO_LONG}}, "1261", 400),
    _refusal("500, the prompt is too long", 500, {"error": {"message": _TOO_LONG}}, "1261", 400),
    _refusal(
        "SGLang's 400, the prompt is too long",
        400,
        {
            "object": "error",
            "message": "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        },
        "1261",
        400,
    ),
    _refusal("413", 413, {"error": {"message": "too large"}}, "1210", 400),
    _refusal("422", 422, {"detail": "bad"}, "1210", 400),
    _refusal("400 with a text", 400, "bad", "1210", 400),
    _refusal("400 with a list", 400, ["bad"], "1210", 400),
    _refusal(
        "400 in GLM's words, unsafe", 400, {"error": {"code": "1301", "message": "unsafe"}}, "1301", 400
    ),
    HeadFault(
        "400 with binary junk", _status(400, body=b"\xff\xfe"), "1210", 400, Outcome.REFUSED, elsewhere=False
    ),
    HeadFault("400 without a body", _status(400), "1210", 400, Outcome.REFUSED, elsewhere=False),
)
_SET_UP_WRONGLY = tuple(
    HeadFault(f"{status} {what}", steps, blamed=Outcome.MISCONFIGURED)
    for status in (401, 402, 403, 404, 405, 415)
    for what, steps in (("as JSON", error_answer(status)), ("without a body", _status(status)))
)
_BUSY = (
    HeadFault("429", error_answer(429), "1305", 429, Outcome.BUSY),
    HeadFault("429 without a body", _status(429), "1305", 429, Outcome.BUSY),
    HeadFault("429 with Retry-After", _status(429, ("Retry-After", "7")), "1305", 429, Outcome.BUSY),
    HeadFault(
        "429 with a Retry-After of junk", _status(429, ("Retry-After", "soon")), "1305", 429, Outcome.BUSY
    ),
    HeadFault("429 with binary junk", _status(429, body=b"\xff"), "1305", 429, Outcome.BUSY),
    HeadFault("503, its queue is full", error_answer(503, "The queue is full."), "1305", 429, Outcome.BUSY),
    HeadFault("503, it loads its model", error_answer(503, "Loading model"), "1305", 429, Outcome.BUSY),
    *(
        HeadFault(
            f"429 in GLM's words, {code}",
            json_answer(429, {"error": {"code": code, "message": "wait"}}),
            code,
            429,
            Outcome.BUSY,
        )
        for code in ("1302", "1303", "1305")
    ),
    *(
        HeadFault(
            f"429 in GLM's words, {code}",
            json_answer(429, {"error": {"code": code, "message": "no"}}),
            blamed=Outcome.MISCONFIGURED,
        )
        for code in ("1113", "1308", "1310")
    ),
    HeadFault(
        "429, no quota",
        json_answer(429, {"error": {"type": "insufficient_quota", "message": "no"}}),
        blamed=Outcome.MISCONFIGURED,
    ),
)

HEAD_FAULTS = (
    *_NO_ANSWER,
    *_UNEXPECTED,
    *_REDIRECTS,
    *_BROKEN,
    *_ODD_ERRORS,
    *_REFUSED,
    *_SET_UP_WRONGLY,
    *_BUSY,
)
