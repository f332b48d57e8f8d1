"""Whether tool calls are as GLM writes them, in a message or in pieces of a stream (api.md §3.3, §3.6)."""

import json
from typing import Any

Fragments = list[dict[str, Any]]


def call_problems(calls: Any) -> list[str]:
    """What is wrong with a message's `tool_calls`."""
    if not isinstance(calls, list) or not calls:
        return [f"tool_calls is {calls!r}"]
    problems = []
    for place, call in enumerate(calls):
        problems += fragment_problems(call)
        if isinstance(call, dict) and call.get("index") != place:
            problems.append(f"index is {call.get('index')!r} at place {place}")
        problems += argument_problems(_arguments(call))
    return problems


def fragment_problems(call: Any) -> list[str]:
    """What is missing in a call or a fragment of one: clients insist on these strings in each."""
    if not isinstance(call, dict) or not isinstance(call.get("function"), dict):
        return [f"a call is {call!r}"]
    function = call["function"]
    problems = [f"type is {call.get('type')!r}"] if call.get("type") != "function" else []
    if type(call.get("index")) is not int:
        problems.append(f"index is {call.get('index')!r}")
    values = {"id": call.get("id"), "name": function.get("name")}
    problems += [
        f"{name} is {value!r}" for name, value in values.items() if not (isinstance(value, str) and value)
    ]
    if not isinstance(function.get("arguments"), str):
        problems.append(f"arguments is {function.get('arguments')!r}")
    return problems


def argument_problems(arguments: str) -> list[str]:
    """What is wrong with a call's arguments when they are complete."""
    try:
        value = json.loads(arguments)
    except ValueError:
        return [f"arguments are no JSON: {arguments!r}"]
    return [] if isinstance(value, dict) else [f"arguments are no object: {arguments!r}"]


def joined(fragments: Fragments) -> dict[int, list[dict[str, Any]]]:
    """The fragments of each call by its index."""
    calls: dict[int, list[dict[str, Any]]] = {}
    for fragment in fragments:
        calls.setdefault(fragment["index"], []).append(fragment)
    return calls


def arguments_of(fragments: Fragments) -> str:
    """The arguments of one call, put together."""
    return "".join(_arguments(fragment) for fragment in fragments)


def _arguments(call: Any) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    return arguments if isinstance(arguments, str) else ""
