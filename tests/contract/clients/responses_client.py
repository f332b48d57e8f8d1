"""OpenAI's Python SDK on the Responses API: `responses_client.py WORLD`."""

import asyncio
from collections.abc import Iterable
from typing import Any

import openai
import pydantic
import scenarios
from scenarios import WEATHER_RESULT, WEATHER_ZH, world

MODEL = "glm-4.6"
GREETING = "你好"
NAME_ZH, NAME_ASKED_ZH = "我叫小明", "我叫什么名字？"
TOOLS: list[Any] = [
    {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": {
            "type": "object",
            "properties": {parameter: {"type": "string"}},
            "required": [parameter],
        },
    }
    for name, description, parameter in (
        ("get_weather", "查询一个城市的天气", "city"),
        ("get_stock", "查询股票价格", "symbol"),
    )
]
here = world()
sdk = openai.OpenAI()


def slow(**options: Any) -> openai.OpenAI:
    """A client of the server with the scripted engine."""
    return openai.OpenAI(api_key=here.slow_key, base_url=here.slow_root + "/api/v1", **options)


class City(pydantic.BaseModel):
    """What a structured answer has."""

    city: str


def create(client: openai.OpenAI = sdk, **fields: Any) -> Any:
    return client.responses.create(**{"model": MODEL, "input": GREETING, **fields})


def whole(response: Any) -> dict[str, Any]:
    """A response as plain data, with the SDK's own reading of its text."""
    return {**response.model_dump(), "output_text": response.output_text}


def streamed(client: openai.OpenAI = sdk, **fields: Any) -> dict[str, Any]:
    """A stream as a program sees it: every event, and the response of the last that has one."""
    events = [event.model_dump() for event in create(client, stream=True, **fields)]
    return {"events": events, **finished(events)}


def finished(events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    responses = [event["response"] for event in events if event.get("response")]
    return {"response": responses[-1] if responses else None}


def gathered(**fields: Any) -> dict[str, Any]:
    """The SDK's own putting together of a stream."""
    with sdk.responses.stream(model=MODEL, **fields) as stream:
        kinds = [event.type for event in stream]
        return {**whole(stream.get_final_response()), "kinds": kinds}


def call_of(response: Any) -> Any:
    (call,) = [item for item in response.output if item.type == "function_call"]
    return call


def result_of(response: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_of(response).call_id, "output": WEATHER_RESULT}


def tool_round() -> list[dict[str, Any]]:
    """The question, the call and its result are all sent again."""
    question = {"role": "user", "content": WEATHER_ZH}
    first = create(input=[question], tools=TOOLS)
    second = create(input=[question, *first.output, result_of(first)], tools=TOOLS)
    return [whole(first), whole(second)]


def stored_tool_round() -> list[dict[str, Any]]:
    """Only the result is sent."""
    first = create(input=WEATHER_ZH, tools=TOOLS, store=True)
    second = create(input=[result_of(first)], tools=TOOLS, previous_response_id=first.id)
    return [whole(first), whole(second)]


def talk() -> list[dict[str, Any]]:
    first = create(input=NAME_ZH, store=True)
    second = create(input=NAME_ASKED_ZH, previous_response_id=first.id, store=True)
    third = streamed(input=NAME_ASKED_ZH, previous_response_id=second.id)
    return [whole(first), whole(second), third["response"]]


def kept() -> dict[str, Any]:
    """What can be done with a stored response."""
    items: list[Any] = [{"role": "user", "content": str(number)} for number in range(3)]
    response = create(input=[*items, {"role": "user", "content": GREETING}], store=True, metadata={"a": "b"})
    again = sdk.responses.retrieve(response.id)
    backwards = [item.model_dump() for item in sdk.responses.input_items.list(response.id, limit=2)]
    forwards = [item.model_dump() for item in sdk.responses.input_items.list(response.id, order="asc")]
    sdk.responses.delete(response.id)
    try:
        sdk.responses.retrieve(response.id)
    except openai.NotFoundError as error:
        gone = {"body": error.body, "code": error.code, "param": error.param}
    else:
        gone = {}
    return {
        "response": whole(response),
        "again": whole(again),
        "backwards": backwards,
        "forwards": forwards,
        "gone": gone,
    }


def kept_stream() -> list[dict[str, Any]]:
    """A streamed response can be had as soon as its end was seen."""
    told = streamed(store=True)["response"]
    return [told, sdk.responses.retrieve(told["id"]).model_dump()]


def structured() -> str:
    """An answer that cannot be anything but JSON of this schema; the demo model has little to say in it."""
    schema = {"type": "json_schema", "name": "city", "schema": City.model_json_schema()}
    response = create(input="北京", text={"format": schema}, max_output_tokens=200)
    return response.output_text


def structured_asked() -> dict[str, Any]:
    """A schema as the SDK sends it, to a server that tells what it was sent."""
    response = slow().responses.parse(model=MODEL, input="schema", text_format=City)
    return {"parsed": response.output_parsed and response.output_parsed.model_dump()}


def at_once() -> list[str]:
    """Eight requests on one loop."""

    async def ask() -> list[Any]:
        async with openai.AsyncOpenAI() as client:
            asked = [client.responses.create(model=MODEL, input=GREETING) for _ in range(8)]
            return await asyncio.gather(*asked)

    return [response.id for response in asyncio.run(ask())]


def broken() -> dict[str, Any]:
    return streamed(slow(), input="die")


scenarios.play(
    "openai-responses",
    {
        "create": lambda: whole(create()),
        "instructions": lambda: whole(create(instructions="你是一个有用的助手。", metadata={"a": "b"})),
        "stream": streamed,
        "stream-helper": lambda: gathered(input=GREETING),
        "stream-helper-tools": lambda: gathered(input=WEATHER_ZH, tools=TOOLS),
        "stream-tools": lambda: streamed(input=WEATHER_ZH, tools=TOOLS),
        "tools": tool_round,
        "stored-tools": stored_tool_round,
        "talk": talk,
        "kept": kept,
        "kept-stream": kept_stream,
        "cut": lambda: whole(create(max_output_tokens=2)),
        "json-object": lambda: whole(create(input="JSON", text={"format": {"type": "json_object"}})),
        "structured": structured,
        "structured-asked": structured_asked,
        "at-once": at_once,
        "two-calls": lambda: streamed(slow(), input="calls", tools=TOOLS),
        "separators": lambda: streamed(slow(), input="separators"),
        "broken-stream": broken,
        "wrong-key": lambda: create(openai.OpenAI(api_key=here.wrong_key)),
        "unknown-model": lambda: create(model="glm-none"),
        "bad-parameter": lambda: create(max_output_tokens=-1),
        "bad-item": lambda: create(
            input=[{"role": "user", "content": "x"}, {"type": "item_reference", "id": "x"}]
        ),
        "unknown-previous": lambda: create(previous_response_id="resp_unknown"),
        "busy": lambda: create(slow(max_retries=1), input="busy"),
    },
)
