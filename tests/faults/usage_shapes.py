"""Answers that are whole, whose usage is missing, repeated, contradictory or no usage at all."""

from typing import Any

from openbigmodel.engines.fake_script import DONE, Data, End, Step
from openbigmodel.engines.profiles import OPENAI
from tests.faults.answer_shape import (
    ROLE,
    STOP,
    TOKENS,
    UNCOUNTED,
    USAGE,
    Shape,
    chunk,
    counted,
    stream,
    usage_chunk,
)


def _with_usage(usage: Any) -> list[Step]:
    return stream(ROLE, TOKENS, STOP, usage_chunk(usage), usage=None)


USAGES = (
    Shape("no usage", OPENAI, stream(ROLE, TOKENS, STOP, usage=None), UNCOUNTED),
    Shape("usage null", OPENAI, _with_usage(None), UNCOUNTED),
    Shape("usage empty", OPENAI, _with_usage({}), UNCOUNTED),
    Shape("usage that is a text", OPENAI, _with_usage("7/3"), UNCOUNTED),
    Shape("usage that is a list", OPENAI, _with_usage([7, 3]), UNCOUNTED),
    Shape(
        "usage of nulls", OPENAI, _with_usage({"prompt_tokens": None, "completion_tokens": None}), UNCOUNTED
    ),
    Shape("usage of texts", OPENAI, _with_usage({"prompt_tokens": "7", "completion_tokens": "3"}), UNCOUNTED),
    Shape("usage below zero", OPENAI, _with_usage({"prompt_tokens": -7, "completion_tokens": -3}), UNCOUNTED),
    Shape(
        "usage of halves", OPENAI, _with_usage({"prompt_tokens": 7.5, "completion_tokens": 3.5}), UNCOUNTED
    ),
    Shape(
        "usage of truths", OPENAI, _with_usage({"prompt_tokens": True, "completion_tokens": True}), UNCOUNTED
    ),
    Shape("usage as 3.0", OPENAI, _with_usage({"prompt_tokens": 7.0, "completion_tokens": 3.0})),
    Shape("usage of the prompt alone", OPENAI, _with_usage({"prompt_tokens": 7})),
    Shape("usage of the answer alone", OPENAI, _with_usage({"completion_tokens": 3}), UNCOUNTED),
    Shape("usage of nothing", OPENAI, _with_usage({"prompt_tokens": 0, "completion_tokens": 0}), UNCOUNTED),
    Shape("usage that says too little", OPENAI, _with_usage({"prompt_tokens": 7, "completion_tokens": 1})),
    Shape(
        "usage that says more than was asked for",
        OPENAI,
        [
            *_with_usage({"prompt_tokens": 7, "completion_tokens": 900})[:-3],
            usage_chunk({"prompt_tokens": 7, "completion_tokens": 900}),
            Data(b": more\n\n", 5),
            DONE,
            End(),
        ],
        counted(8),
        fields={"max_tokens": 8},
    ),
    Shape(
        "usage beyond all measure",
        OPENAI,
        [
            *_with_usage(None)[:-3],
            usage_chunk({"prompt_tokens": 7, "completion_tokens": 10**12}),
            Data(b": more\n\n", 5),
            DONE,
            End(),
        ],
        counted(8),
        fields={"max_tokens": 8},
    ),
    Shape(
        "usage twice, the second true",
        OPENAI,
        stream(ROLE, TOKENS, STOP, usage_chunk({"prompt_tokens": 5, "completion_tokens": 1})),
    ),
    Shape("usage twice, the same", OPENAI, stream(ROLE, TOKENS, STOP, usage_chunk())),
    Shape(
        "usage, then usage null",
        OPENAI,
        stream(ROLE, TOKENS, STOP, usage_chunk(), usage_chunk(None), usage=None),
    ),
    Shape(
        "usage, then usage of nulls",
        OPENAI,
        stream(ROLE, TOKENS, STOP, usage_chunk(), usage_chunk({"completion_tokens": None}), usage=None),
    ),
    Shape(
        "usage before the text",
        OPENAI,
        stream(usage_chunk({"prompt_tokens": 7, "completion_tokens": 0}), TOKENS, STOP),
    ),
    Shape("usage with the reason", OPENAI, stream(ROLE, TOKENS, chunk({}, "stop", usage=USAGE), usage=None)),
    Shape(
        "more cached than asked",
        OPENAI,
        _with_usage(USAGE | {"prompt_tokens_details": {"cached_tokens": 99}}),
    ),
    Shape("cached below zero", OPENAI, _with_usage(USAGE | {"prompt_tokens_details": {"cached_tokens": -1}})),
    Shape(
        "details that are null",
        OPENAI,
        _with_usage(USAGE | {"prompt_tokens_details": None, "completion_tokens_details": None}),
    ),
    Shape("details that are a text", OPENAI, _with_usage(USAGE | {"prompt_tokens_details": "none"})),
    Shape(
        "more reasoning than tokens",
        OPENAI,
        _with_usage(USAGE | {"completion_tokens_details": {"reasoning_tokens": 99}}),
    ),
    Shape(
        "usage after [DONE]",
        OPENAI,
        [*stream(ROLE, TOKENS, STOP, usage=None)[:-1], usage_chunk(), End()],
        UNCOUNTED,
    ),
)
