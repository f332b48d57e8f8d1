"""Which arguments of the caller's functions are text, by their JSON schemas.

A broken schema makes text, never an error.

GLM writes strings as they are and everything else as JSON, so `3` is a number or a string by the schema alone
(api.md §13.2). Where a string is allowed, or nothing is said, the model's text is the value.
"""

from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote

_NOT_TEXT = frozenset({"integer", "number", "boolean", "array", "object", "null"})
# Parts of one schema that are looked at for one argument. References may go round in circles.
_PARTS_MAX = 200
_ALTERNATIVES = ("anyOf", "oneOf", "allOf")


class ArgumentTypes:
    """The functions among a request's tools."""

    __slots__ = ("_schemas", "names")

    def __init__(self, tools: Iterable[Any]) -> None:
        self._schemas: dict[str, Any] = {}
        for tool in tools:
            function = tool.get("function") if isinstance(tool, dict) else None
            if isinstance(function, dict) and isinstance(function.get("name"), str):
                self._schemas[function["name"]] = function.get("parameters")
        self.names = frozenset(self._schemas)

    def takes_text(self, function: str, argument: str) -> bool:
        """Whether the model's text for this argument is its value."""
        schema = _Schema(self._schemas.get(function))
        types: set[str] = set()
        for part in schema.arguments(schema.root, argument):
            types |= schema.types(part)
        return not types <= _NOT_TEXT or not types


class _Schema:
    """One look at a schema, which may see so many of its parts."""

    __slots__ = ("_left", "root")

    def __init__(self, root: Any) -> None:
        self.root = root
        self._left = _PARTS_MAX

    def arguments(self, schema: Any, name: str) -> list[Any]:
        """The schemas for the property with this name; for an undeclared one, those for all others."""
        others: list[Any] = []
        found: list[Any] = []
        for part in self._parts(schema):
            properties = part.get("properties")
            if isinstance(properties, dict) and name in properties:
                found.append(properties[name])
            elif "additionalProperties" in part:
                others.append(part["additionalProperties"])
        return found or others

    def types(self, schema: Any) -> set[str]:
        """All types that a value may have, empty if the schema does not say."""
        types: set[str] = set()
        for part in self._parts(schema):
            types |= _own_types(part)
        return types

    def _parts(self, schema: Any) -> Iterator[dict[str, Any]]:
        """The schema itself, what it refers to, and its alternatives, all the way down."""
        waiting, seen = [schema], set()
        while waiting and self._left > 0:
            part = waiting.pop()
            self._left -= 1
            if not isinstance(part, dict):
                continue
            yield part
            reference = part.get("$ref")
            if isinstance(reference, str) and reference not in seen:
                seen.add(reference)
                waiting.append(self._referred(reference))
            for word in _ALTERNATIVES:
                if isinstance(part.get(word), list):
                    waiting.extend(part[word])

    def _referred(self, reference: str) -> Any:
        """What a reference within the schema points to, by RFC 6901. None: nothing, or somewhere else."""
        start, *names = reference.split("/")
        if start != "#":
            return None
        part = self.root
        for name in names:
            word = unquote(name).replace("~1", "/").replace("~0", "~")
            if isinstance(part, dict):
                part = part.get(word)
            elif isinstance(part, list) and word.isascii() and word.isdigit() and len(word) < 6:
                part = part[int(word)] if int(word) < len(part) else None
            else:
                return None
        return part


def _own_types(schema: dict[str, Any]) -> set[str]:
    """What a schema itself says about types, by `type`, by the values it allows, or by what it says besides."""
    said = schema.get("type")
    if isinstance(said, str):
        return {said.lower()}
    if isinstance(said, list):
        return {word.lower() for word in said if isinstance(word, str)}
    if "const" in schema:
        return {_type_of(schema["const"])}
    values = schema.get("enum")
    if isinstance(values, list):
        return {_type_of(value) for value in values}
    if "properties" in schema:
        return {"object"}
    return {"array"} if "items" in schema or "prefixItems" in schema else set()


def _type_of(value: Any) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "object"
    return "array" if isinstance(value, list) else "number"
