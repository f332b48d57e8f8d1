"""What can go wrong in an engine's stream, and the places in it where that can happen.

A fault ends what the engine has to say: each of these is the death of an answer that is not whole yet, and changes
nothing for one that is, since a finish reason is an end (docs/money.md: the bill of each case).
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from openbigmodel.engines.fake_script import (
    DONE,
    LLAMA_SERVER,
    VLLM,
    Close,
    Data,
    Dialect,
    End,
    FakeRequest,
    Gate,
    Head,
    Raw,
    Reply,
    Reset,
    Script,
    Sleep,
    Stall,
    Step,
    event,
)

WORDS = (
    "one ",
    "two ",
    "three ",
    "four ",
    "five ",
    "six ",
    "seven ",
    "eight ",
    "nine ",
    "ten ",
    "eleven ",
    "twelve ",
)
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


@dataclass(frozen=True)
class Place:
    """How far an answer has come: `cut` tokens of what is said are out, and seen by a caller with a stream.

    `whole`: a finish reason was said; `counted`: the usage, too. `hidden`: what is out is kept back until it is whole.
    """

    name: str
    said: Reply = field(default_factory=Reply)
    cut: int = 0
    head: bool = True
    role: bool = True
    whole: bool = False
    counted: bool = False
    hidden: bool = False
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> int:
        return 0 if self.hidden else self.cut

    def steps(self, dialect: Dialect) -> list[Step]:
        """What the engine has said when it comes to the fault."""
        reply = Reply(
            content=self.said.content, reasoning=self.said.reasoning, calls=self.said.calls, dialect=dialect
        )
        finish, usage = reply.finish()
        steps: list[Step] = []
        if self.head:
            steps.append(Head())
        if self.head and self.role:
            steps.append(ROLE)
        steps += reply.events()[: self.cut]
        if self.cut:
            steps.append(Gate())
        if self.whole:
            steps.append(finish)
        if self.counted:
            steps.append(usage)
        return steps

    @property
    def text(self) -> str:
        return "".join(self.said.content[: max(0, self.cut - len(self.said.reasoning))])

    @property
    def reasoning(self) -> str:
        return "".join(self.said.reasoning[: self.cut])

    @property
    def calls(self) -> tuple[tuple[str, str], ...]:
        return (("get_weather", '{"city": "'),) if self.fields else ()


ROLE = event(
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
)
PLAIN = Reply(content=WORDS)
THOUGHT = Reply(reasoning=("let ", "me ", "think "), content=WORDS)
CALL = Reply(content=(), calls=(("get_weather", ('{"city"', ': "', "北京", '"}')),))

BEFORE_THE_HEAD = Place("before the head", head=False)
AFTER_THE_HEAD = Place("after the head", role=False)
AFTER_THE_ROLE = Place("after the role")
AFTER_THREE = Place("after three tokens", PLAIN, 3)
AFTER_TWELVE = Place("after twelve tokens", PLAIN, 12)
IN_REASONING = Place("within the reasoning", THOUGHT, 2)
IN_A_CALL = Place("within a call", CALL, 3, hidden=True, fields={"tools": TOOLS})
IN_A_STREAMED_CALL = Place("within a streamed call", CALL, 3, fields={"tools": TOOLS, "tool_stream": True})
AFTER_THE_FINISH = Place("after the finish reason", PLAIN, 12, whole=True)
AFTER_THE_USAGE = Place("after the usage", PLAIN, 12, whole=True, counted=True)

BEGINNINGS = (AFTER_THE_HEAD, AFTER_THE_ROLE)
MIDDLES = (AFTER_THREE, AFTER_TWELVE, IN_REASONING, IN_A_CALL, IN_A_STREAMED_CALL)
ENDS = (AFTER_THE_FINISH, AFTER_THE_USAGE)


@dataclass(frozen=True)
class Fault:
    """`steps` end an answer. `headless`: also before there is a head. `broken`: the connection is, without a word.

    `gives_reason`: it says how the answer ends, so it means nothing behind another that did. `produces`: it is
    something of an answer, if a bad one. `silence`: only a deadline ends it. `ends`: HTTP is as it should be, so
    behind a whole answer nothing is wrong.
    """

    name: str
    steps: list[Step] | Callable[[], Iterable[Step]]
    headless: bool = False
    gives_reason: bool = False
    produces: bool = False
    silence: bool = False
    ends: bool = False

    @property
    def endless(self) -> bool:
        return callable(self.steps)

    def after(self, steps: list[Step]) -> list[Step] | Script:
        """The whole script."""
        own = self.steps
        if not callable(own):
            return [*steps, *own]

        def script(_: FakeRequest) -> Iterator[Step]:
            yield from steps
            yield from own()

        return script


def _for_ever(*what: Data) -> Callable[[], Iterable[Step]]:
    def steps() -> Iterator[Step]:
        for one in itertools.cycle(what):
            yield one
            yield Sleep(0.003)

    return steps


def _says(*lines: bytes) -> list[Step]:
    """Events as they are, behind which the engine waits to be left."""
    return [Data(b"".join(b"data: " + line + b"\n\n" for line in lines)), Stall()]


def _delta(text: str) -> list[Step]:
    """A choice, whatever its delta is, as JSON text."""
    return _says(b'{"choices":[{"index":0,"delta":' + text.encode() + b',"finish_reason":null}]}')


def _call(index: str, tokens: int = 0) -> list[Step]:
    said = _delta('{"tool_calls":[{"index":' + index + ',"function":{"name":"f","arguments":"{}"}}]}')[0]
    assert isinstance(said, Data)
    return [Data(said.data, tokens), Stall()]


_TOKEN = event({"choices": [{"index": 0, "delta": {"content": "lost "}, "finish_reason": None}]}).data
_VLLM_ERROR = b'{"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "param": null, "code": 500}}'
_SGLANG_ERROR = b'{"error": {"object": "error", "message": "Request aborted", "type": "AbortError", "param": null, "code": 503}}'
_OLD_VLLM_ERROR = b'{"object": "error", "message": "CUDA out of memory", "type": "InternalServerError", "param": null, "code": 500}'
_LLAMA_ERROR = b'{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}'

_TRANSPORT = (
    Fault("reset", [Reset()], headless=True),
    Fault("closed", [Close()], headless=True),
    Fault("silent", [Stall()], headless=True, silence=True),
    Fault("ended", [End()], ends=True),
    Fault("cut within an event, and ended", [Data(_TOKEN[:25]), End()], ends=True),
    Fault("cut within an event, and closed", [Data(_TOKEN[:25]), Close()]),
    Fault("cut within an event, and silent", [Data(_TOKEN[:25]), Stall()], silence=True),
    Fault(
        "cut within a character", [Data(b'data: {"choices":[{"delta":{"content":"\xe5\x8c'), End()], ends=True
    ),
    Fault("cut before the empty line", [Data(_TOKEN[:-1]), End()], ends=True),
    Fault("chunk sizes that are none", [Raw(b"zz\r\njunk\r\n"), Stall()]),
    Fault("a chunk of negative size", [Raw(b"-5\r\njunk\r\n"), Stall()]),
    Fault("a chunk of endless size", [Raw(b"f" * 20 + b"\r\njunk\r\n"), Stall()]),
    Fault("a chunk longer than it says", [Raw(b"3\r\ndata: junk\r\n"), Stall()]),
    Fault("another response in the body", [Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Close()]),
    Fault("a chunk that is cut", [Raw(b"40\r\ndata: "), Close()]),
)
_ENDS = (
    Fault("[DONE] at once", [DONE, End()], ends=True),
    Fault("[DONE] twice", [DONE, DONE, End()], ends=True),
    Fault("[DONE], and no end", [DONE, Stall()], ends=True),
    Fault("[DONE], and a reset", [DONE, Reset()], ends=True),
    Fault("only usage and [DONE]", [event({"choices": [], "usage": None}), DONE, End()], ends=True),
    Fault(
        "abort as a reason",
        [event({"choices": [{"delta": {}, "finish_reason": "abort"}]}), DONE, End()],
        gives_reason=True,
    ),
    Fault(
        "error as a reason",
        [event({"choices": [{"delta": {}, "finish_reason": "error"}]}), DONE, End()],
        gives_reason=True,
    ),
    Fault(
        "network_error as a reason",
        [event({"choices": [{"delta": {}, "finish_reason": "network_error"}]}), DONE, End()],
        gives_reason=True,
    ),
    Fault(
        "SGLang's abort as an object",
        _says(
            b'{"choices":[{"delta":{},"finish_reason":{"type":"abort","message":"Aborted by AbortReq."}}]}'
        ),
        gives_reason=True,
    ),
    Fault("a number as a reason", _says(b'{"choices":[{"delta":{},"finish_reason":1}]}'), gives_reason=True),
)
_ERRORS = (
    Fault(
        "OpenAI's error", _says(b'{"error":{"message":"out of memory","type":"server_error","code":null}}')
    ),
    Fault("vLLM's error and [DONE]", [Data(b"data: " + _VLLM_ERROR + b"\n\n"), DONE, End()]),
    Fault("SGLang's error and [DONE]", [Data(b"data: " + _SGLANG_ERROR + b"\n\n"), DONE, End()]),
    Fault(
        "vLLM's error without a name", [Data(b"data: " + _OLD_VLLM_ERROR + b"\n\n"), DONE, End()], ends=True
    ),
    Fault("llama-server's error", [Data(b"error: " + _LLAMA_ERROR + b"\n\n"), End()], ends=True),
    Fault("llama-server's newer error", [Data(b"data: " + _LLAMA_ERROR + b"\n\n"), End()]),
    Fault("Ollama's error", _says(b'{"error":"llama runner process has terminated: exit status 2"}')),
    Fault(
        "an error as an event of its own",
        [Data(b'event: error\ndata: {"error":{"message":"no"}}\n\n'), Stall()],
    ),
    Fault(
        "an error with a choice", _says(b'{"error":{"message":"no"},"choices":[{"delta":{"content":"x"}}]}')
    ),
    Fault("an error and more tokens", _says(b'{"error":{"message":"no"}}', _TOKEN[6:-2])),
)
_JUNK = (
    Fault("a huge event", [Data(b"data: " + b"x" * 5_000_000), Stall()]),
    Fault(
        "a huge event of many lines",
        [Data(b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n" * 120_000), Stall()],
    ),
    Fault("binary junk", _says(b"\xff\xfe\x00\x01")),
    Fault(
        "no UTF-8 in a text",
        _says(b'{"choices":[{"delta":{"content":"\xff"}}]}'),
    ),
    Fault("NaN", _says(b'{"choices":[{"delta":{"content":"x"},"logprobs":NaN}]}')),
    Fault("Infinity", _says(b'{"choices":[{"delta":{"content":"x"},"score":-Infinity}]}')),
    Fault("half a surrogate pair", _says(b'{"choices":[{"delta":{"content":"\\ud83d"}}]}')),
    Fault("nested beyond all measure", _says(b'{"choices":' + b"[" * 200_000)),
    Fault("JSON that is cut", _says(b'{"choices":[{"delta":{"conte')),
    Fault("JSON with a comma too many", _says(b'{"choices":[],}')),
    Fault("two objects in one event", _says(b'{"choices":[]}{"choices":[]}')),
    Fault("a list", _says(b"[1,2]")),
    Fault("a number", _says(b"17")),
    Fault("null", _says(b"null")),
    Fault("an empty event", _says(b"")),
    Fault("HTML", _says(b"<html><body>502 Bad Gateway</body></html>")),
    Fault("gzip", [Data(b"data: \x1f\x8b\x08\x00\x00\x00\x00\x00\n\n"), Stall()]),
    Fault(
        "lines of plain JSON",
        [Data(b'{"message":{"role":"assistant","content":"x"},"done":false}\n' * 3), End()],
        ends=True,
    ),
    Fault(
        "an answer in one piece",
        [Data(b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}'), End()],
        ends=True,
    ),
    Fault("a bare HTTP error page", [Data(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), End()], ends=True),
)
_SHAPES = (
    Fault("choices that are an object", _says(b'{"choices":{"delta":{"content":"x"}}}')),
    Fault("a choice that is a text", _says(b'{"choices":["x"]}')),
    Fault("a delta that is a text", _delta('"x"')),
    Fault("content that is a number", _delta('{"content":5}')),
    Fault("content that is a list", _delta('{"content":[{"type":"text","text":"x"}]}')),
    Fault("reasoning that is a list", _delta('{"reasoning":["x"]}')),
    Fault("calls that are an object", _delta('{"tool_calls":{"index":0}}')),
    Fault("a function that is a text", _delta('{"tool_calls":[{"index":0,"function":"f"}]}')),
    Fault(
        "arguments that are an object",
        _delta('{"tool_calls":[{"index":0,"function":{"name":"f","arguments":{}}}]}'),
    ),
    Fault("a call's index that jumps", _call("9", 1), produces=True),
    Fault("a call's index below zero", _call("-1", 1), produces=True),
    Fault("a call's index that is a text", _call('"0"')),
    Fault("a call's index beyond all numbers", _call("9" * 30, 1), produces=True),
    Fault("a call's index that is no whole number", _call("0.5")),
)
_ENDLESS = (
    Fault("comments for ever", _for_ever(Data(b": keep-alive\n\n")), silence=True),
    Fault("empty choices for ever", _for_ever(event({"choices": []})), silence=True),
    Fault("roles for ever", _for_ever(ROLE), silence=True),
    Fault(
        "empty deltas for ever", _for_ever(event({"choices": [{"delta": {"content": None}}]})), silence=True
    ),
    Fault("usage for ever", _for_ever(event({"choices": [], "usage": {"prompt_tokens": 7}})), silence=True),
)

# What any engine may do, whatever it is asked to say and in which words.
OF_ANY_ENGINE = (*_TRANSPORT, *_ENDS, *_ERRORS, *_JUNK)
FAULTS = (*OF_ANY_ENGINE, *_SHAPES, *_ENDLESS)
DIALECTS = {"llama-server": LLAMA_SERVER, "lmdeploy": Dialect(reasoning_key="reasoning_content")}
OTHER_DIALECT = VLLM
