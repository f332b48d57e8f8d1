"""Answers as engines are known to write them, with their fields and their bugs: from their sources and from issues that
were reported, not captured from running ones.

vLLM, SGLang, Ollama, llama-server, LMDeploy, TensorRT-LLM. Each says the same as any other would: a caller must not be
able to tell.
"""

from typing import Any

from openbigmodel.engines.profiles import LLAMA_SERVER, LMDEPLOY, OLLAMA, OPENAI, SGLANG, TENSORRT_LLM, VLLM
from tests.faults.answer_shape import (
    CALLED,
    ONE_TWO_THREE,
    ROLE,
    RUNNING,
    STOP,
    THOUGHT,
    TOKENS,
    USAGE,
    USAGE_4,
    Shape,
    call,
    chunk,
    stream,
    words,
)
from tests.faults.engine_scenario import Ending
from tests.faults.stream_faults import TOOLS

# vLLM: nulls and extensions that are no part of OpenAI's chunks.
_VLLM_CHOICE = {"logprobs": None, "token_ids": None}
_VLLM_END = chunk({"content": ""}, "stop", choice={"logprobs": None, "stop_reason": None, "token_ids": None})
_VLLM_CALL = [
    chunk({"role": "assistant", "content": ""}, choice=_VLLM_CHOICE, prompt_token_ids=None),
    call("get_weather", None, id_="chatcmpl-tool-1"),
    call(None, '{"city": "'),
    call(None, "北京"),
    call(None, '"}'),
]
_VLLM_SHAPES = (
    Shape(
        "vLLM's text",
        VLLM,
        stream(
            chunk({"role": "assistant", "content": ""}, choice=_VLLM_CHOICE, prompt_token_ids=None),
            words(*ONE_TWO_THREE, choice=_VLLM_CHOICE),
            _VLLM_END,
        ),
    ),
    Shape(
        "vLLM's stop token",
        VLLM,
        stream(ROLE, TOKENS, chunk({"content": ""}, "stop", choice={"stop_reason": 151336})),
    ),
    Shape(
        "vLLM's reasoning, newer name",
        VLLM,
        stream(ROLE, words("let ", "me ", key="reasoning"), words("four "), _VLLM_END),
        THOUGHT,
    ),
    Shape(
        "vLLM's reasoning, both names",
        VLLM,
        stream(
            ROLE,
            words("let ", key="reasoning", extra={"reasoning_content": "let "}),
            words("me ", key="reasoning", extra={"reasoning_content": "me "}),
            words("four "),
            STOP,
        ),
        THOUGHT,
    ),
    Shape(
        "vLLM's reasoning, older name",
        VLLM,
        stream(ROLE, words("let ", "me ", key="reasoning_content"), words("four "), STOP),
        THOUGHT,
    ),
    Shape(
        "vLLM's reasoning and text at once",
        VLLM,
        stream(
            ROLE,
            words("let ", key="reasoning"),
            chunk({"reasoning": "me ", "content": "four "}, tokens=2),
            STOP,
        ),
        THOUGHT,
    ),
    Shape(
        "vLLM's counts on the way",
        VLLM,
        stream(
            chunk({"role": "assistant", "content": ""}, usage=RUNNING[0]),
            *[
                chunk({"content": word}, tokens=1, usage=RUNNING[count])
                for count, word in enumerate(ONE_TWO_THREE, 1)
            ],
            chunk({}, "stop", usage=RUNNING[3]),
        ),
    ),
    Shape(
        "vLLM's counts on the way, and none at the end",
        VLLM,
        stream(
            ROLE,
            *[
                chunk({"content": word}, tokens=1, usage=RUNNING[count])
                for count, word in enumerate(ONE_TWO_THREE, 1)
            ],
            STOP,
            usage=None,
        ),
    ),
    Shape(
        "vLLM's call",
        VLLM,
        stream(_VLLM_CALL, chunk({"content": ""}, "tool_calls"), usage=USAGE_4),
        CALLED,
        fields={"tools": TOOLS},
    ),
    Shape(
        "vLLM's call that ends in stop",
        VLLM,
        stream(_VLLM_CALL, STOP, usage=USAGE_4),
        CALLED,
        fields={"tools": TOOLS},
    ),
    Shape(
        "vLLM's call whose name comes late and whole (vllm#30999)",
        VLLM,
        stream(
            call("get_weather", '{"city": "北京"}', id_="c"), STOP, usage=USAGE | {"completion_tokens": 4}
        ),
        CALLED,
        fields={"tools": TOOLS},
    ),
    Shape(
        "vLLM's call without usage",
        VLLM,
        stream(_VLLM_CALL, chunk({}, "tool_calls"), usage=None),
        Ending(calls=CALLED.calls, finish_reason="tool_calls", tokens=4, prompt=None),
        fields={"tools": TOOLS},
    ),
    Shape(
        "vLLM's call without arguments (vllm#44326)",
        VLLM,
        stream(call("get_weather", None, id_="c"), STOP, usage=USAGE | {"completion_tokens": 1}),
        Ending(calls=(("get_weather", "{}"),), finish_reason="tool_calls", tokens=1, prompt=7),
        fields={"tools": TOOLS},
    ),
    Shape(
        "vLLM's call with empty arguments",
        VLLM,
        stream(
            call("get_weather", "", id_="c"), call(None, ""), STOP, usage=USAGE | {"completion_tokens": 2}
        ),
        Ending(calls=(("get_weather", "{}"),), finish_reason="tool_calls", tokens=2, prompt=7),
        fields={"tools": TOOLS},
    ),
    Shape(
        "vLLM's pieces of several tokens",
        VLLM,
        stream(
            ROLE, [chunk({"content": "one two "}, tokens=2), chunk({"content": "three "}, tokens=1)], STOP
        ),
    ),
    Shape(
        "vLLM's pieces of several tokens, uncounted",
        VLLM,
        stream(ROLE, [chunk({"content": "one two three "}, tokens=3)], STOP, usage=None),
        Ending(text="one two three ", finish_reason="stop", tokens=2, prompt=None),
    ),
    Shape(
        "vLLM's empty pieces between",
        VLLM,
        stream(ROLE, TOKENS[0], chunk({"content": ""}), TOKENS[1], chunk({}), TOKENS[2], STOP),
    ),
    Shape(
        "vLLM's last piece with the reason",
        VLLM,
        stream(ROLE, TOKENS[:2], chunk({"content": "three "}, "stop", tokens=1)),
    ),
    Shape(
        "vLLM's request id and service tier",
        VLLM,
        stream(
            ROLE,
            TOKENS,
            STOP,
            chunk({}, None, service_tier=None, system_fingerprint=None, kv_transfer_params=None),
        ),
    ),
)
_SGLANG_CHOICE = {"logprobs": None, "matched_stop": None}
_SGLANG_NULLS = {"role": None, "reasoning_content": None, "tool_calls": None}
_SGLANG_SHAPES = (
    Shape(
        "SGLang's text",
        SGLANG,
        stream(
            chunk(
                {"role": "assistant", "content": "", "reasoning_content": None, "tool_calls": None},
                choice=_SGLANG_CHOICE,
                usage=None,
            ),
            words(*ONE_TWO_THREE, choice=_SGLANG_CHOICE, extra=_SGLANG_NULLS, usage=None),
            chunk({"content": None, **_SGLANG_NULLS}, "stop", choice={"matched_stop": 151336}),
        ),
    ),
    Shape(
        "SGLang's matched stop text",
        SGLANG,
        stream(ROLE, TOKENS, chunk({}, "stop", choice={"matched_stop": "\n\nUser:"})),
    ),
    Shape(
        "SGLang's usage in each chunk",
        SGLANG,
        stream(
            ROLE,
            *[
                chunk({"content": word}, tokens=1, usage=RUNNING[count] | {"reasoning_tokens": 0})
                for count, word in enumerate(ONE_TWO_THREE, 1)
            ],
            STOP,
        ),
    ),
    Shape(
        "SGLang's reasoning",
        SGLANG,
        stream(
            ROLE,
            words("let ", "me ", key="reasoning_content", extra={"content": None}),
            words("four ", extra={"reasoning_content": None}),
            STOP,
            usage=USAGE | {"reasoning_tokens": 2},
        ),
        THOUGHT,
    ),
    Shape(
        "SGLang's call with null names",
        SGLANG,
        stream(
            call("get_weather", "", id_="call_0"),
            call(None, '{"city": "', id_=None),
            call(None, "北京"),
            call(None, '"}'),
            chunk({}, "tool_calls", choice=_SGLANG_CHOICE),
            usage=USAGE_4,
        ),
        CALLED,
        fields={"tools": TOOLS},
    ),
    Shape(
        "SGLang's call whose empty end repeats",
        SGLANG,
        stream(
            call("get_weather", "", id_="call_0"),
            call(None, '{"city": "北京"}'),
            call(None, ""),
            call("", ""),
            chunk({}, "tool_calls"),
            usage=USAGE_4,
        ),
        CALLED,
        fields={"tools": TOOLS},
    ),
    Shape(
        "SGLang's call and text",
        SGLANG,
        stream(
            words("one "),
            call("get_weather", '{"city": "北京"}', id_="call_0"),
            chunk({}, "tool_calls"),
            usage=USAGE | {"completion_tokens": 4},
        ),
        Ending(text="one ", calls=CALLED.calls, finish_reason="tool_calls", tokens=4, prompt=7),
        fields={"tools": TOOLS},
    ),
    Shape("SGLang's reason twice", SGLANG, stream(ROLE, TOKENS, STOP, STOP)),
)
_OLLAMA_SHAPES = (
    Shape(
        "Ollama's role in each chunk",
        OLLAMA,
        stream(
            words(*ONE_TWO_THREE, extra={"role": "assistant"}, system_fingerprint="fp_ollama"),
            chunk({"role": "assistant", "content": ""}, "stop"),
        ),
    ),
    Shape(
        "Ollama's thinking",
        OLLAMA,
        stream(
            words("let ", "me ", key="reasoning", extra={"role": "assistant", "content": ""}),
            words("four "),
            STOP,
        ),
        THOUGHT,
    ),
    Shape(
        "Ollama's call in one piece",
        OLLAMA,
        stream(
            chunk(
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {
                            "id": "call_q",
                            "index": 0,
                            "type": "function",
                            "function": {"name": "get_weather", "arguments": '{"city": "北京"}'},
                        }
                    ],
                },
                tokens=4,
            ),
            chunk({"content": ""}, "tool_calls"),
            usage=USAGE_4,
        ),
        CALLED,
        fields={"tools": TOOLS},
    ),
    Shape(
        "a call without index",
        OPENAI,
        stream(call("get_weather", '{"city": "北京"}', id_="c", index=None), STOP, usage=USAGE_4),
        CALLED,
        fields={"tools": TOOLS},
    ),
    Shape(
        "two calls in one chunk without index",
        OPENAI,
        stream(
            chunk(
                {
                    "tool_calls": [
                        {"id": "a", "function": {"name": "get_weather", "arguments": "{}"}},
                        {"id": "b", "function": {"name": "now", "arguments": "{}"}},
                    ]
                },
                tokens=4,
            ),
            STOP,
            usage=USAGE_4,
        ),
        Ending(calls=(("get_weather", "{}"), ("now", "{}")), finish_reason="tool_calls", tokens=4, prompt=7),
        fields={"tools": TOOLS},
    ),
    Shape(
        "two calls with one id",
        OPENAI,
        stream(
            call("get_weather", "{}", id_="same"),
            call("now", "{}", id_="same", index=1),
            STOP,
            usage=USAGE_4,
        ),
        Ending(calls=(("get_weather", "{}"), ("now", "{}")), finish_reason="tool_calls", tokens=4, prompt=7),
        fields={"tools": TOOLS},
    ),
    Shape(
        "a call without a function, then with one",
        OPENAI,
        stream(
            chunk({"tool_calls": [{"index": 0, "id": "c"}]}, tokens=1),
            call("get_weather", '{"city": "北京"}'),
            STOP,
            usage=USAGE_4,
        ),
        CALLED,
        fields={"tools": TOOLS},
    ),
)
_TIMINGS: list[dict[str, Any]] = [
    {"timings": {"cache_n": 2, "prompt_n": 5, "predicted_n": count, "predicted_ms": 1.5}}
    for count in range(4)
]
_LLAMA_SHAPES = (
    Shape(
        "llama-server's text",
        LLAMA_SERVER,
        stream(
            chunk({"role": "assistant", "content": None}),
            *[
                chunk({"content": word}, tokens=1, **_TIMINGS[count])
                for count, word in enumerate(ONE_TWO_THREE, 1)
            ],
            chunk({}, "stop", **_TIMINGS[3]),
        ),
    ),
    Shape(
        "llama-server's counters, and no usage",
        LLAMA_SERVER,
        stream(
            ROLE,
            *[
                chunk({"content": word}, tokens=1, **_TIMINGS[count])
                for count, word in enumerate(ONE_TWO_THREE, 1)
            ],
            STOP,
            usage=None,
        ),
    ),
    Shape(
        "llama-server's progress on the prompt",
        LLAMA_SERVER,
        stream(
            chunk({}, prompt_progress={"total": 7, "cache": 0, "processed": 7, "time_ms": 3}), TOKENS, STOP
        ),
    ),
    Shape(
        "LMDeploy's text",
        LMDEPLOY,
        stream(
            words(
                *ONE_TWO_THREE,
                extra={
                    "role": "assistant",
                    "gen_tokens": None,
                    "reasoning_content": None,
                    "tool_calls": None,
                },
                choice={"logprobs": None},
            ),
            chunk({"role": "assistant", "content": ""}, "stop"),
        ),
    ),
    Shape(
        "TensorRT-LLM's text",
        TENSORRT_LLM,
        stream(
            chunk({"role": "assistant", "content": None, "reasoning_content": None, "tool_calls": []}),
            words(
                *ONE_TWO_THREE,
                choice={
                    "stop_reason": None,
                    "disaggregated_params": None,
                    "avg_decoded_tokens_per_iter": 1.0,
                },
            ),
            STOP,
        ),
    ),
)
# Nothing in the protocol says that one call ends before the next begins. Made up, not recorded.
_MIXED = (
    [call("get_weather", '{"city": "北', id_="a"), call("now", '{"zone": "As', id_="b", index=1)],
    [call(None, '京"}'), call(None, 'ia"}', index=1)],
)
_MIXED_NAMED = (
    _MIXED[0],
    [call("get_weather", '京"}', id_="a"), call("now", 'ia"}', id_="b", index=1)],
)
_BOTH = Ending(
    calls=(*CALLED.calls, ("now", '{"zone": "Asia"}')), finish_reason="tool_calls", tokens=4, prompt=7
)
_MIXED_SHAPES = (
    Shape("mixed calls", VLLM, stream(*_MIXED, STOP, usage=USAGE_4), _BOTH, fields={"tools": TOOLS}),
    Shape(
        "mixed calls, as they come",
        VLLM,
        stream(*_MIXED, STOP, usage=USAGE_4),
        _BOTH,
        fields={"tools": TOOLS, "tool_stream": True},
    ),
    Shape("mixed calls, without tools", VLLM, stream(*_MIXED, STOP, usage=USAGE_4), _BOTH),
    Shape(
        "mixed calls, put together",
        LLAMA_SERVER,
        stream(*_MIXED, STOP, usage=USAGE_4),
        _BOTH,
        body=True,
        fields={"tools": TOOLS},
    ),
    Shape(
        "mixed calls that repeat who they are",
        SGLANG,
        stream(*_MIXED_NAMED, STOP, usage=USAGE_4),
        _BOTH,
        fields={"tools": TOOLS},
    ),
)


RECORDED = (*_VLLM_SHAPES, *_SGLANG_SHAPES, *_OLLAMA_SHAPES, *_LLAMA_SHAPES, *_MIXED_SHAPES)
