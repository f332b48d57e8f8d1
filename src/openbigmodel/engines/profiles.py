"""How one kind of engine differs from the others, as data: what it is asked in which words, and what never.

Rule: a difference is a field here and never a branch on a profile's name elsewhere. What few engines know is off by
default; what most know is on, so `openai` sends `chat_template_kwargs` and `stream_options`, and an engine that refuses
these needs a profile of its own. docs/engines.md says which of these facts were seen, read in a source, or only told.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

# What callers of other engines send as well; bigmodel.cn ignores it, and so does a profile that does not list it.
PENALTIES = ("presence_penalty", "frequency_penalty")
SAMPLERS = ("top_k", "min_p", "repetition_penalty", *PENALTIES)

RawFormat = Literal["", "glm45", "glm47", "glm0414"]


class Profile(msgspec.Struct, frozen=True):
    """What is true of a kind of engine.

    `always_stream`: ask for a stream even when the caller wants one body, to see tokens as they come.
    `counts_in_chunks`: each chunk carries llama-server's counters.
    `keep_alive`: connections may be reused.
    `greedy_by_default`: a caller who names no temperature gets the most likely answer.
    `compiles_schemas`: turns schemas into grammars, some of which stop it for good.
    `speaks_glm`: bigmodel.cn itself or another Open BigModel, which takes GLM's own fields.
    `max_output_tokens`: the most that this engine may produce for one request.
    `context_tokens`: prompt and answer together have at most so many, where the engine has told.
    `running_usage`: each chunk can carry the counts so far (`stream_options.continuous_usage_stats`), so that an
    answer that breaks off can be billed to the token. Chunks that all differ cost the relay 4 µs more each.
    `prompt_counter`: how the engine tells the size of a prompt without answering it: `input_tokens`, the chat
    request itself to `/chat/completions/input_tokens`; `tokenize`, its messages to `/tokenize` at the server's root.

    `thinking`: where it is switched: by an argument of the chat `template`, by the `effort` of an engine that knows
    only that, or by a `field` besides the template's argument. `thinking_always_said`: also when the caller was silent.
    `effort`: where the reasoning effort goes, the template's arguments or a field of its own; `efforts`: the engine's
    words for it where they are not the model's. `clears_thinking`: its template may be told `clear_thinking`.
    `history_reasoning`: the name under which it reads an earlier answer's reasoning.
    `extras`: sampling fields beyond OpenAI's and GLM's that pass if the caller gave them.
    `forces_calls`: `tool_choice` "required" makes it call a function; elsewhere that is an error, or endless rambling.
    `enforces_schemas`: an answer to `json_schema` keeps to the schema, so nobody has to look.
    `media`: content parts besides text that it takes.
    `first_token_s`, `between_tokens_s`: silent for so long, it is taken for dead; None for the platform's own bounds.
    `parse`: it returns a GLM model's raw text of this format; `raw_fields` then tell it to.
    """

    name: str
    always_stream: bool = False
    counts_in_chunks: bool = False
    keep_alive: bool = True
    greedy_by_default: bool = False
    speaks_glm: bool = False
    compiles_schemas: bool = False
    max_output_tokens: int | None = None
    context_tokens: int | None = None
    running_usage: bool = False
    prompt_counter: Literal["", "input_tokens", "tokenize"] = ""
    thinking: Literal["template", "effort", "field"] = "template"
    thinking_always_said: bool = False
    effort: Literal["template", "field"] = "template"
    efforts: Mapping[str, str] = {}
    clears_thinking: bool = True
    history_reasoning: Literal["reasoning_content", "reasoning"] = "reasoning_content"
    extras: tuple[str, ...] = ()
    forces_calls: bool = True
    enforces_schemas: bool = False
    media: frozenset[str] = frozenset(("image_url",))
    parse: RawFormat = ""
    raw_fields: Mapping[str, Any] = {}
    first_token_s: int | None = None
    between_tokens_s: int | None = None


_STILLS_AND_FILMS = frozenset(("image_url", "video_url"))
# A tag that counts as a special token would otherwise be gone from the text.
_SPECIAL_TOKENS = {"skip_special_tokens": False}

# Any engine that speaks the OpenAI protocol; also one that has not yet been found out.
OPENAI = Profile(name="openai")
# bigmodel.cn, api.z.ai, another Open BigModel.
GLM = Profile(
    name="glm",
    speaks_glm=True,
    media=frozenset(("image_url", "video_url", "file", "file_url", "input_audio")),
)
# llama-server resets reused connections after a stream (engine.md §2.4, 5). When it must call, it lets the model say
# anything before, to the end of its tokens (engine.md §2.4, 9). It leaves calls in the text only if it was started with
# --skip-chat-parsing; a request can ask for the reasoning alone.
LLAMA_SERVER = Profile(
    name="llama-server",
    always_stream=True,
    counts_in_chunks=True,
    thinking_always_said=True,
    keep_alive=False,
    compiles_schemas=True,
    prompt_counter="input_tokens",
    extras=SAMPLERS,
    forces_calls=False,
    enforces_schemas=True,
    raw_fields={"reasoning_format": "none"},
)
# The built-in engine is llama-server with one GGUF file. What llama.cpp sees with is a second file (mmproj), which no
# setting names.
EMBEDDED = msgspec.structs.replace(LLAMA_SERVER, media=frozenset())
# vLLM took `reasoning_content` until late 2025 and then dropped it without a word (vllm-project/vllm#38488). Without
# `tool_choice: "none"` it refuses tools that no parser of its own looks for; with it, they still are in the prompt.
VLLM = Profile(
    name="vllm",
    running_usage=True,
    prompt_counter="tokenize",
    history_reasoning="reasoning",
    extras=SAMPLERS,
    enforces_schemas=True,
    media=_STILLS_AND_FILMS,
    raw_fields={**_SPECIAL_TOKENS, "tool_choice": "none"},
)
# vLLM behind Ray's own ingress, which has no `/tokenize` at that place.
RAY = msgspec.structs.replace(VLLM, name="ray", prompt_counter="")
# An effort among the template's arguments meets a second one of SGLang's own in older releases, which is an error.
SGLANG = Profile(
    name="sglang",
    running_usage=True,
    effort="field",
    extras=SAMPLERS,
    enforces_schemas=True,
    media=_STILLS_AND_FILMS,
    raw_fields={**_SPECIAL_TOKENS, "separate_reasoning": False},
)
# Ollama has no template arguments and no `tool_choice`; it takes four efforts, of which "none" stops the thinking.
OLLAMA = Profile(
    name="ollama",
    thinking="effort",
    effort="field",
    efforts={"none": "none", "minimal": "low", "low": "low", "medium": "medium"},
    clears_thinking=False,
    history_reasoning="reasoning",
    extras=PENALTIES,
    forces_calls=False,
    enforces_schemas=True,
)
# Older releases know only a field `enable_thinking`, newer ones also the template's arguments.
LMDEPLOY = Profile(
    name="lmdeploy",
    thinking="field",
    extras=("top_k", "min_p", "repetition_penalty"),
    raw_fields=_SPECIAL_TOKENS,
)
# Forbids every field that it does not know, and template arguments that the model's template does not use; of a
# `tool_choice`, older releases know no "required".
TENSORRT_LLM = Profile(
    name="tensorrt-llm",
    running_usage=True,
    clears_thinking=False,
    extras=SAMPLERS,
    forces_calls=False,
    media=_STILLS_AND_FILMS,
    raw_fields=_SPECIAL_TOKENS,
)

PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (OPENAI, VLLM, SGLANG, LLAMA_SERVER, OLLAMA, RAY, LMDEPLOY, TENSORRT_LLM)
}
