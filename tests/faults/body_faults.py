"""What can go wrong in an answer that an engine gives in one piece. The caller sees none of it, so it costs nothing."""

from dataclasses import dataclass

from openbigmodel.engines.fake_script import Close, Data, End, Head, Raw, Reset, Stall, Step, json_answer

_JSON_TYPE = (("Content-Type", "application/json"),)
_WHOLE = b'{"choices":[{"index":0,"message":{"content":"one two three "},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":3}}'


@dataclass(frozen=True)
class BodyFault:
    """`produced`: tokens of an answer are in it, so nobody else is asked."""

    name: str
    steps: list[Step]
    produced: bool = False
    silence: bool = False
    begun: bool = False


def _said(body: bytes) -> list[Step]:
    return [Head(headers=_JSON_TYPE, framing=len(body)), Data(body), End()]


def _message(message: bytes, reason: bytes = b'"stop"') -> list[Step]:
    return _said(b'{"choices":[{"index":0,"message":%b,"finish_reason":%b}]}' % (message, reason))


BODY_FAULTS = (
    BodyFault("a body cut short", [Head(framing=10_000), Data(_WHOLE[:40]), Close()]),
    BodyFault("a body and a reset", [Head(framing=10_000), Data(_WHOLE[:40]), Reset()]),
    BodyFault("a body and silence", [Head(framing=10_000), Data(_WHOLE[:40]), Stall()], silence=True),
    BodyFault("chunks of a body, cut short", [Head(headers=_JSON_TYPE), Data(_WHOLE[:40]), Close()]),
    BodyFault("chunks of a body, ended too early", [Head(headers=_JSON_TYPE), Data(_WHOLE[:40]), End()]),
    BodyFault("a whole body, but the connection breaks", [Head(headers=_JSON_TYPE), Data(_WHOLE), Reset()]),
    BodyFault(
        "chunk sizes of a body that are none", [Head(headers=_JSON_TYPE), Raw(b"zz\r\njunk\r\n"), Stall()]
    ),
    BodyFault("an empty body", _said(b"")),
    BodyFault("blanks for a body", _said(b" \n")),
    BodyFault("a body of text", _said(b"hello")),
    BodyFault("a body of HTML", _said(b"<html></html>")),
    BodyFault("a body of binary junk", _said(b"\x00\xff\xfe\x01")),
    BodyFault("a body of gzip", _said(b"\x1f\x8b\x08\x00\x00\x00\x00\x00")),
    BodyFault("a body with no UTF-8", _message(b'{"content":"\xff"}')),
    BodyFault("a body with half a surrogate pair", _message(b'{"content":"\\ud83d"}')),
    BodyFault("a body with NaN", _message(b'{"content":"x","logprob":NaN}')),
    BodyFault("a body nested beyond all measure", _said(b"[" * 100_000)),
    BodyFault("a body that is a list", _said(b"[1]")),
    BodyFault("a body that is null", _said(b"null")),
    BodyFault("a body in two pieces", _said(_WHOLE + _WHOLE)),
    BodyFault("a body with an error", json_answer(200, {"error": {"message": "no", "code": 500}})),
    BodyFault("a body with an error and a choice", _said(b'{"error":"no",' + _WHOLE[1:])),
    BodyFault(
        "a body in vLLM's words of failure",
        json_answer(200, {"object": "error", "message": "no", "code": 500}),
    ),
    BodyFault("a body without choices", json_answer(200, {"choices": []})),
    BodyFault("a body of nothing known", json_answer(200, {"hello": "world"})),
    BodyFault("a body without a message", json_answer(200, {"choices": [{"index": 0}]})),
    BodyFault("a body without a reason", _message(b'{"content":"one two three "}', b"null"), produced=True),
    BodyFault("a body that was aborted", _message(b'{"content":"one "}', b'"abort"'), produced=True),
    BodyFault("a body that was aborted before a token", _message(b'{"content":""}', b'"abort"')),
    BodyFault("a body with a reason that is an object", _message(b'{"content":"one "}', b'{"type":"abort"}')),
    BodyFault("a body whose content is a list", _message(b'{"content":[{"text":"x"}]}')),
    BodyFault("a body whose calls are an object", _message(b'{"content":null,"tool_calls":{}}')),
    BodyFault(
        "a body whose call's index jumps",
        _message(b'{"tool_calls":[{"index":7,"function":{"name":"f","arguments":"{}"}}]}'),
        produced=True,
    ),
    BodyFault(
        "a body whose arguments are an object",
        _message(b'{"tool_calls":[{"function":{"name":"f","arguments":{}}}]}'),
    ),
    BodyFault(
        "a stream for a body",
        [Head(), Data(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\ndata: [DONE]\n\n'), End()],
    ),
    BodyFault(
        "lines of JSON for a body", [Head(), Data(b'{"message":{"content":"x"},"done":false}\n' * 2), End()]
    ),
)
