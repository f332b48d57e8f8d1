"""The reference page about engines: what becomes of each field of a request on each kind, as the code does it.

Rule: nothing is written down here but example values. Each field is translated with and without, for every profile;
the page says what differs in what the engine is sent.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from openbigmodel.catalog import load_catalog
from openbigmodel.engines.profiles import GLM, PROFILES, Profile
from openbigmodel.engines.translate import to_openai
from openbigmodel.inference.chat_request import Surface, check_chat_request, read_chat_request, read_messages
from openbigmodel.schemas.chat import ChatRequest

Table = Callable[[Iterable[str], Iterable[Iterable[str]]], str]
_MODEL = "glm-4.6"
_FUNCTION = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
_SEARCH = {"type": "web_search", "web_search": {"enable": True}}
_NAMED = {"type": "function", "function": {"name": "f"}}
# Field → the model to ask for, other fields that it needs, and its value. Fields that are not ChatRequest's are GLM's
# for other kinds of models, and what OpenAI's clients send.
_SAMPLES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "stream": (_MODEL, {}, True),
    "thinking": (_MODEL, {}, {"type": "disabled"}),
    "thinking.clear_thinking": (_MODEL, {}, {"type": "enabled", "clear_thinking": False}),
    "reasoning_effort": ("glm-5.3", {}, "low"),
    "do_sample": (_MODEL, {}, False),
    "temperature": (_MODEL, {}, 0.5),
    "top_p": (_MODEL, {}, 0.5),
    "max_tokens": (_MODEL, {}, 10),
    "max_completion_tokens": (_MODEL, {}, 10),
    "stop": (_MODEL, {}, ["x"]),
    "tools (functions)": (_MODEL, {}, [_FUNCTION]),
    "tools (web_search, retrieval, mcp …)": (_MODEL, {}, [_SEARCH]),
    "tool_choice: none": (_MODEL, {"tools": [_FUNCTION]}, "none"),
    "tool_choice: required": (_MODEL, {"tools": [_FUNCTION]}, "required"),
    "tool_choice: a function": (_MODEL, {"tools": [_FUNCTION]}, _NAMED),
    "tool_stream": (_MODEL, {"stream": True}, True),
    "response_format": (_MODEL, {}, {"type": "json_object"}),
    "seed": (_MODEL, {}, 1),
    "request_id": (_MODEL, {}, "request-1"),
    "user_id": (_MODEL, {}, "user-1"),
    "sensitive_word_check": (_MODEL, {}, {"type": "ALL", "status": "DISABLE"}),
    "meta": (_MODEL, {}, {"user_info": "me"}),
    "watermark_enabled": (_MODEL, {}, True),
    "top_k": (_MODEL, {}, 40),
    "min_p": (_MODEL, {}, 0.1),
    "repetition_penalty": (_MODEL, {}, 1.1),
    "presence_penalty": (_MODEL, {}, 0.5),
    "frequency_penalty": (_MODEL, {}, 0.5),
    "n": (_MODEL, {}, 2),
    "logprobs": (_MODEL, {}, True),
    "stream_options": (_MODEL, {"stream": True}, {"include_usage": False}),
    "any other": (_MODEL, {}, 1),
}
_ALWAYS = {"model", "messages"}


def engines_page(made: str, table: Table) -> str:
    """The page; `made` says what it is made from, `table` draws a table from its head and rows."""
    known = {field.split(".")[0].split(":")[0].split(" ")[0] for field in _SAMPLES} | _ALWAYS
    missing = {field.name for field in msgspec.structs.fields(ChatRequest)} - known
    assert not missing, missing
    return f"""# Engines

{made}
How to connect each of them: [engines](../engines.md).

## What becomes of each field

The right columns name the fields of the engine's own request that a field makes or changes; "nothing" is not sent, and
never an error. `model` becomes the engine's name for it, and `messages` pass with what GLM's have: role, content, `name`,
earlier reasoning, calls and their results. An engine of kind `glm` gets what the caller sent.

{table(["field", "an engine gets", "but"], [_row(field) for field in _SAMPLES])}
## What is true of each kind

{table(_PROFILE_HEAD, [_profile_row(profile) for profile in PROFILES.values()])}"""


def _row(field: str) -> list[str]:
    by_profile = {name: _cell(_changed(profile, field)) for name, profile in PROFILES.items()}
    cells = list(by_profile.values())
    usual = max(dict.fromkeys(cells), key=cells.count)
    others: dict[str, list[str]] = {}
    for name, cell in by_profile.items():
        if cell != usual:
            others.setdefault(cell, []).append(name)
    exceptions = "; ".join(f"{', '.join(names)}: {cell}" for cell, names in others.items())
    return [f"`{field}`" if " " not in field else field, usual, exceptions]


def _changed(profile: Profile, field: str) -> list[str]:
    model, others, value = _SAMPLES[field]
    name = field.split(".", maxsplit=1)[0].split(":", maxsplit=1)[0].split(" ", maxsplit=1)[0]
    base = {"thinking": {"type": "enabled"}} if "." in field else {}
    without, having = (
        _asked(profile, model, {**others, **base}),
        _asked(profile, model, {**others, name: value}),
    )
    return [key for key in {**having, **without} if without.get(key, "absent") != having.get(key, "absent")]


def _asked(profile: Profile, model: str, fields: dict[str, Any]) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hi"}]
    request = read_chat_request(json.dumps({"model": model, "messages": messages, **fields}).encode())
    known = load_catalog().find(model)
    assert known is not None
    generation = check_chat_request(request, known, Surface(prefix=""))
    body: dict[str, Any] = json.loads(
        to_openai(request, read_messages(request, known), "target", generation, profile)
    )
    return body


def _cell(names: list[str]) -> str:
    return ", ".join(names) or "nothing"


_PROFILE_HEAD = (
    "profile",
    "switches thinking by",
    "reads earlier reasoning as",
    "can be made to call",
    "keeps to `json_schema`",
    "takes besides text",
    "counts",
)
_SWITCHES = {
    "template": "`chat_template_kwargs`",
    "effort": "`reasoning_effort`",
    "field": "`enable_thinking`, `chat_template_kwargs`",
}


def _profile_row(profile: Profile) -> list[str]:
    counts = "in each chunk" if profile.running_usage or profile.counts_in_chunks else "at the end"
    return [
        f"`{profile.name}`",
        _SWITCHES[profile.thinking],
        f"`{profile.history_reasoning}`",
        "yes" if profile.forces_calls else "no: as `auto`",
        "yes" if profile.enforces_schemas else "looked at here",
        ", ".join(f"`{part}`" for part in sorted(profile.media & GLM.media)),
        counts,
    ]
