"""Answers that are whole and odd in what they say; and those that come in one piece."""

from typing import Any

from openbigmodel.engines.fake_script import Data, End, Head, Step, event, json_answer
from openbigmodel.engines.profiles import OLLAMA, OPENAI, SGLANG, VLLM
from tests.faults.answer_shape import (
    CALLED,
    JSON_TYPE,
    ONE_TWO_THREE,
    ROLE,
    STOP,
    THOUGHT,
    TOKENS,
    UNCOUNTED,
    USAGE,
    USAGE_4,
    WHOLE,
    Shape,
    body_of,
    chunk,
    counted,
    raw,
    stream,
    words,
)
from tests.faults.engine_scenario import Ending
from tests.faults.stream_faults import TOOLS

_REASONS = tuple(
    Shape(
        f"the reason {theirs!r}",
        OPENAI,
        stream(ROLE, TOKENS, chunk({}, theirs)),
        Ending(text=WHOLE.text, finish_reason=ours, tokens=3, prompt=7),
    )
    for theirs, ours in (
        ("eos", "stop"),
        ("eos_token", "stop"),
        ("stop_sequence", "stop"),
        ("end_turn", "stop"),
        ("length", "length"),
        ("content_filter", "sensitive"),
        ("model_context_window_exceeded", "model_context_window_exceeded"),
    )
)
_ODD = (
    Shape(
        "two choices",
        OPENAI,
        stream(
            ROLE,
            *[
                event(
                    {
                        "choices": [
                            {"index": 0, "delta": {"content": word}},
                            {"index": 1, "delta": {"content": "no"}},
                        ]
                    },
                    tokens=1,
                )
                for word in ONE_TWO_THREE
            ],
            STOP,
        ),
    ),
    Shape(
        "no ids",
        OPENAI,
        stream(
            *[event({"choices": [{"delta": {"content": word}}]}, tokens=1) for word in ONE_TWO_THREE],
            event({"choices": [{"finish_reason": "stop"}]}),
        ),
    ),
    Shape(
        "an id that changes",
        OPENAI,
        stream(*[chunk({"content": word}, tokens=1, id=f"x-{word}") for word in ONE_TWO_THREE], STOP),
    ),
    Shape(
        "the same chunk twice",
        OPENAI,
        stream(words("one ", "one "), STOP, usage={"prompt_tokens": 7, "completion_tokens": 2}),
        Ending(text="one one ", finish_reason="stop", tokens=2, prompt=7),
    ),
    Shape(
        "messages instead of deltas",
        OPENAI,
        stream(
            *[event({"choices": [{"message": {"content": word}}]}, tokens=1) for word in ONE_TWO_THREE], STOP
        ),
    ),
    Shape(
        "a reason that is an empty text",
        OPENAI,
        stream(*[chunk({"content": word}, "", tokens=1) for word in ONE_TWO_THREE], STOP),
    ),
    Shape("a delta that is null", OPENAI, stream(ROLE, TOKENS, chunk(None), chunk(None, "stop"))),
    Shape(
        "choices that are null", OPENAI, stream(ROLE, TOKENS, event({"choices": None, "usage": None}), STOP)
    ),
    Shape("an error that is null", OPENAI, stream(ROLE, *words(*ONE_TWO_THREE, error=None), STOP)),
    Shape(
        "escaped texts",
        OPENAI,
        stream(
            Data(b'data: {"choices":[{"delta":{"content":"one\\u0020two\\u0020"}}]}\n\n', 2),
            words("three "),
            STOP,
        ),
    ),
    Shape(
        "an empty answer",
        OPENAI,
        stream(ROLE, STOP, usage={"prompt_tokens": 7, "completion_tokens": 0}),
        Ending(finish_reason="stop", prompt=7),
    ),
    Shape("tokens behind the reason", OPENAI, stream(ROLE, TOKENS[:2], STOP, TOKENS[2:])),
    Shape(
        "unknown fields everywhere",
        OPENAI,
        stream(
            *[
                chunk({"content": word, "x": {"y": [1]}}, tokens=1, choice={"z": None}, w=2**70)
                for word in ONE_TWO_THREE
            ],
            STOP,
        ),
    ),
    Shape(
        "duplicate keys",
        OPENAI,
        stream(
            *[
                Data(
                    b'data: {"choices":[],"choices":[{"delta":{"content":"%b","content":"%b"}}]}\n\n'
                    % (word.encode(), word.encode()),
                    1,
                )
                for word in ONE_TWO_THREE
            ],
            STOP,
        ),
    ),
)


def _message(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": "one two three ", **fields}


def _body(
    message: Any, reason: Any = "stop", *, tokens: int = 3, usage: Any = USAGE, **more: Any
) -> list[Step]:
    value = {
        "id": "x",
        "choices": [{"index": 0, "message": message, "finish_reason": reason, **more}],
        "usage": usage,
    }
    return json_answer(200, value, tokens=tokens)


def _single_bytes(body: bytes) -> list[Step]:
    return [Data(body[:1], 3), *(Data(bytes([byte])) for byte in body[1:])]


_CALL_BODY = {
    "id": "c",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "北京"}'},
}
_BODIES = (
    Shape(
        "vLLM's body",
        VLLM,
        _body(
            _message(
                refusal=None,
                annotations=None,
                audio=None,
                function_call=None,
                tool_calls=[],
                reasoning=None,
                reasoning_content=None,
            ),
            logprobs=None,
            stop_reason=None,
            token_ids=None,
        ),
        body=True,
    ),
    Shape(
        "vLLM's body with reasoning",
        VLLM,
        _body({"content": "four ", "reasoning": "let me "}),
        THOUGHT,
        body=True,
    ),
    Shape(
        "SGLang's body",
        SGLANG,
        _body(
            _message(reasoning_content=None, tool_calls=None),
            matched_stop=151336,
            usage=USAGE | {"prompt_tokens_details": None, "reasoning_tokens": 0},
        ),
        body=True,
    ),
    Shape(
        "SGLang's body with reasoning",
        SGLANG,
        _body({"content": "four ", "reasoning_content": "let me "}),
        THOUGHT,
        body=True,
    ),
    Shape("Ollama's body", OLLAMA, _body(_message(), system_fingerprint="fp_ollama"), body=True),
    Shape(
        "a body with a call",
        VLLM,
        _body({"content": None, "tool_calls": [_CALL_BODY]}, "tool_calls", tokens=4, usage=USAGE_4),
        CALLED,
        body=True,
        fields={"tools": TOOLS},
    ),
    Shape(
        "a body with a call that ends in stop",
        VLLM,
        _body({"content": "", "tool_calls": [_CALL_BODY]}, "stop", tokens=4, usage=USAGE_4),
        CALLED,
        body=True,
        fields={"tools": TOOLS},
    ),
    Shape("a body without usage", OPENAI, _body(_message(), usage=None), UNCOUNTED, body=True),
    Shape(
        "a body whose usage is junk",
        OPENAI,
        _body(_message(), usage={"completion_tokens": "many", "prompt_tokens": -1}),
        UNCOUNTED,
        body=True,
    ),
    Shape(
        "a body whose usage says too little",
        OPENAI,
        _body(_message(), usage={"completion_tokens": 1, "prompt_tokens": 7}),
        body=True,
    ),
    Shape(
        "a body whose usage says too much",
        OPENAI,
        _body(_message(), usage={"completion_tokens": 900, "prompt_tokens": 7}, tokens=8),
        counted(8),
        body=True,
        fields={"max_tokens": 8},
    ),
    Shape(
        "a body with two choices",
        OPENAI,
        json_answer(
            200,
            {
                "choices": [
                    {"message": _message(), "finish_reason": "stop"},
                    {"message": _message(), "finish_reason": "stop"},
                ],
                "usage": USAGE,
            },
            tokens=3,
        ),
        body=True,
    ),
    Shape(
        "a body with blanks around",
        OPENAI,
        [Head(headers=JSON_TYPE), Data(b"\n\n  "), Data(body_of(_body(_message())), 3), Data(b" \n"), End()],
        body=True,
    ),
    Shape(
        "a body that ends with the connection",
        OPENAI,
        [Head(headers=JSON_TYPE, framing="close"), Data(body_of(_body(_message())), 3), End()],
        body=True,
    ),
    Shape("a body of HTTP/1.0", OPENAI, raw("HTTP/1.0 200 OK", body=body_of(_body(_message()))), body=True),
    Shape(
        "a body that is called an event stream",
        OPENAI,
        [Head(), Data(body_of(_body(_message())), 3), End()],
        body=True,
    ),
    Shape(
        "a body in single bytes",
        OPENAI,
        [Head(headers=JSON_TYPE), *_single_bytes(body_of(_body(_message()))), End()],
        body=True,
    ),
)


ODD = (*_REASONS, *_ODD, *_BODIES)
