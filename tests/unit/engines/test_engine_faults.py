"""What engines say, in the words that they were seen to use."""

import pytest

from openbigmodel.engines.engine_faults import (
    field_of,
    is_about_setup,
    is_beyond_model,
    is_blind,
    is_overload,
    is_too_long,
)

TOO_LONG = [
    # vLLM
    (
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages, "
        "1000 in the completion). Please reduce the length of the messages or completion."
    ),
    (
        "This model's maximum context length is 8192 tokens. However, you requested 100 output tokens and your prompt "
        "contains at least 8193 input tokens, for a total of at least 8293 tokens."
    ),
    "The decoder prompt (length 9000) is longer than the maximum model length of 8192.",
    "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096 tokens.",
    # SGLang
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "Requested token count exceeds the model's maximum context length of 4096 tokens.",
    # llama-server
    "the request exceeds the available context size, try increasing it",
    "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    "no exceed_context_size_error",
    # Ollama
    "the input length exceeds the context length",
    "input exceeds maximum context length and cannot be truncated further",
    # LMDeploy
    "input tokens (5000) exceed session_len",
    "exceeds the session length",
    # TensorRT-LLM
    "The sum of prompt length (9351.0), query length (0) should not exceed max_num_tokens (8192)",
    "Prompt length (5056) exceeds maximum sequence length (2048)",
    "Encountered an error when fetching new request: Prompt length (200) exceeds maximum input length (1)",
    # OpenAI's code
    "context_length_exceeded",
]


@pytest.mark.parametrize("text", TOO_LONG)
def test_a_prompt_that_is_too_long(text: str) -> None:
    assert is_too_long(text)
    assert not is_about_setup(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Validation Error: string too long",
        "stop must not be too long",
        "temperature must be below 2",
        "the context of this message is unclear",
        "Internal server error",
    ],
)
def test_other_words(text: str) -> None:
    assert not is_too_long(text)
    assert not is_about_setup(text)
    assert not is_overload(text)
    assert not is_beyond_model(text)


@pytest.mark.parametrize(
    "text",
    [
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "tools param requires --jinja flag",
        "As of transformers v4.44, default chat template is no longer allowed",
        "The model `glm-4.6` does not exist.",
        "model 'glm4' not found, try pulling it first",
    ],
)
def test_an_engine_that_is_set_up_wrongly(text: str) -> None:
    assert is_about_setup(text)


@pytest.mark.parametrize("text", ["The request queue is full.", "Loading model", "overloaded_error"])
def test_an_engine_with_too_much_to_do(text: str) -> None:
    assert is_overload(text)


@pytest.mark.parametrize(
    "text",
    [
        "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
        "zai-org/GLM-4.6 is not a multimodal model",
        "At most 0 image(s) may be provided in one prompt.",
        "registry.ollama.ai/library/glm4:latest does not support tools",
    ],
)
def test_what_the_model_cannot_do(text: str) -> None:
    assert is_beyond_model(text)
    assert is_blind(text) == ("tools" not in text)


@pytest.mark.parametrize(
    ("place", "text", "field"),
    [
        ("temperature", "", "temperature"),
        ("messages.0.content", "", "messages[0].content"),
        ("body.messages.3.role", "", "messages[3].role"),
        ("tools[2].function.name", "", "tools[2].function.name"),
        (
            "",
            "[{'type': 'missing', 'loc': ('body', 'messages', 0, 'content'), 'msg': 'x'}]",
            "messages[0].content",
        ),
        ("", "1 validation error: {'loc': ['body', 'top_p'], 'msg': 'no'}", "top_p"),
        # Names of the engine's own types mean nothing to a caller.
        ("body.messages.0.ChatCompletionUserMessage.content", "", "messages[0]"),
        ("", "nothing of the kind", ""),
        ("frobnicate", "", ""),
        ("model", "", ""),
        ("", "'loc': ('body', )", ""),
    ],
)
def test_the_field_that_an_engine_minds(place: str, text: str, field: str) -> None:
    assert field_of(place, text) == (field, False)


@pytest.mark.parametrize("place", ["stream_options", "body.chat_template_kwargs.enable_thinking"])
def test_a_field_of_ours(place: str) -> None:
    assert field_of(place, "") == (place.removeprefix("body.").partition(".")[0], True)


@pytest.mark.parametrize(
    "text",
    [
        "Unrecognized request argument supplied: chat_template_kwargs",
        "Unrecognized request arguments supplied: chat_template_kwargs, top_k",
        "Unknown parameter: 'chat_template_kwargs'.",
        "Unsupported parameter: chat_template_kwargs",
        "property 'chat_template_kwargs' is unsupported",
        "1 validation error for ChatCompletionRequest\nchat_template_kwargs\n  Extra inputs are not permitted",
        "Additional properties are not allowed ('chat_template_kwargs' was unexpected)",
        "create() got an unexpected keyword argument 'chat_template_kwargs'",
        "Failed to deserialize: unknown field `chat_template_kwargs`, expected one of `model`, `messages`",
        'json: unknown field "chat_template_kwargs"',
        "chat_template_kwargs is not supported by this model",
    ],
)
def test_a_sentence_about_a_field_of_ours(text: str) -> None:
    assert field_of("", text) == ("chat_template_kwargs", True)
    assert field_of("", text.replace("chat_template_kwargs", "frobnicate")) == ("", False)


@pytest.mark.parametrize(
    "text",
    [
        "unknown field `frobnicate`, expected one of `model`, `stream_options`",
        "stream_options must be an object",
        "Extra text. The rest of it says nothing of stream_options",
        "my_stream_options is unknown",
    ],
)
def test_a_field_of_ours_that_is_not_what_it_minds(text: str) -> None:
    assert field_of("", text) == ("", False)
