"""A request read and a reply written, as the pipeline does it between them."""

import json
from collections.abc import Callable
from typing import Any

from openbigmodel.billing.usage import Usage
from openbigmodel.catalog import Model, load_catalog
from openbigmodel.engines.translate import Generation
from openbigmodel.inference.anthropic.dialect import AnthropicDialect
from openbigmodel.inference.dialect import Asked, ReplyFacts, ReplyWriter

CATALOG = {model.id: model for model in load_catalog()}
ID = "202601031513181856df84e5504309"
USAGE = Usage(prompt_tokens=552, cached_tokens=20, completion_tokens=20, reasoning_tokens=5, measured=True)
NO_USAGE = Usage()
GENERATION = Generation(
    thinking=None,
    thinking_default=True,
    clear_thinking=None,
    effort=None,
    max_tokens=100,
    max_tokens_asked=True,
    temperature=None,
    top_p=None,
)


def model_of(model_id: str) -> Model | None:
    return CATALOG.get(model_id.lower())


def dialect(*, thinking_optional: bool = False) -> AnthropicDialect:
    return AnthropicDialect(model_of, thinking_optional=thinking_optional)


def body(**fields: Any) -> bytes:
    """A request; a field that is None is left out."""
    fields = {
        "model": "glm-4.6",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "hi"}],
        **fields,
    }
    return json.dumps(
        {name: value for name, value in fields.items() if value is not None}, ensure_ascii=False
    ).encode()


def asked(*, thinking_optional: bool = False, **fields: Any) -> Asked:
    return dialect(thinking_optional=thinking_optional).read(body(**fields), "account")


def glm(**fields: Any) -> dict[str, Any]:
    """The request in GLM's words."""
    read: dict[str, Any] = json.loads(asked(**fields).body)
    return read


def glm_messages(*messages: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """Only its messages."""
    read: list[dict[str, Any]] = glm(messages=list(messages), **fields)["messages"]
    return read


def user(*content: Any) -> dict[str, Any]:
    """A message of blocks; texts may be written as such."""
    return {"role": "user", "content": [_block(each) for each in content]}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": [_block(each) for each in content]}


def _block(content: Any) -> Any:
    return {"type": "text", "text": content} if isinstance(content, str) else content


def tool_use(call_id: str, name: str = "f", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": arguments}


def tool_result(call_id: str, content: Any = "ok", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content, **fields}


def writer(
    counts: Callable[[], Usage] = lambda: NO_USAGE, met: str | None = None, **fields: Any
) -> ReplyWriter:
    """Who writes the reply to a request with these fields; its calls count up from 7.

    `met`: where the engine stopped.
    """
    request = asked(**fields)
    model = model_of(request.request.model)
    assert model is not None
    facts = ReplyFacts(
        ID, ID, 1767424398, request.request.model, model, request.request, GENERATION, 7, counts, lambda: met
    )
    return dialect().writer(facts, request)


def stream(**fields: Any) -> ReplyWriter:
    return writer(stream=True, **fields)


Event = dict[str, Any]


def events(data: bytes) -> list[Event]:
    """The events of a stream, each with the name that its data repeats."""
    parts = data.decode().split("\n\n")
    assert parts.pop() == "", "an event was cut"
    found = []
    for part in parts:
        name, _, value = part.partition("\n")
        assert name.startswith("event: ") and value.startswith("data: ") and "\n" not in value, part
        event = json.loads(value.removeprefix("data: "))
        assert event["type"] == name.removeprefix("event: ")
        found.append(event)
    return found


def message(data: bytes) -> dict[str, Any]:
    """What a client puts together of a stream."""
    found: dict[str, Any] = {}
    for event in events(data):
        match event["type"]:
            case "message_start":
                found = event["message"]
            case "content_block_start":
                found["content"].append({**event["content_block"]})
            case "content_block_delta":
                _add(found["content"][event["index"]], event["delta"])
            case "content_block_stop":
                block = found["content"][event["index"]]
                if block["type"] == "tool_use":
                    block["input"] = json.loads(block.pop("json"))
            case "message_delta":
                found |= event["delta"]
                found["usage"] |= event["usage"]
    return found


def _add(block: dict[str, Any], delta: dict[str, Any]) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] += delta["signature"]
        case "input_json_delta":
            block["json"] = block.get("json", "") + delta["partial_json"]
