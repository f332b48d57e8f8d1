"""Which arguments are text, by schemas as people write them, and by schemas as nobody should."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.engines.glm_parser.argument_types import ArgumentTypes


def takes_text(schema: Any, argument: str = "x") -> bool:
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    return ArgumentTypes(tools).takes_text("f", argument)


def of_x(schema: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": schema}, **more}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "STRING"},
        {"type": ["string", "null"]},
        {"type": ["integer", "string"]},
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"oneOf": [{"type": "null"}, {"enum": ["a"]}]},
        {"allOf": [{"minLength": 1}, {"type": "string"}]},
        {"enum": ["a", "b"]},
        {"enum": [1, "b"]},
        {"const": "a"},
        {"type": "date"},
        {"description": "anything"},
        {"type": []},
        {"enum": []},
        {},
        True,
        None,
        7,
        [],
    ],
)
def test_text(schema: Any) -> None:
    assert takes_text(of_x(schema))


@pytest.mark.parametrize(
    "schema",
    [
        *({"type": word} for word in ("integer", "number", "boolean", "array", "object", "null", "Integer")),
        {"type": ["integer", "null"]},
        {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        {"oneOf": [{"type": "number"}, {"type": "boolean"}]},
        {"allOf": [{"type": "integer"}, {"minimum": 1}]},
        {"anyOf": [{"anyOf": [{"type": "integer"}]}, {"oneOf": [{"type": "null"}]}]},
        {"enum": [1, 2.5, None, True, [], {}]},
        {"const": 0},
        {"const": [1]},
        {"const": {"a": "b"}},
        {"properties": {"a": {}}},
        {"items": {"type": "string"}},
        {"prefixItems": []},
    ],
)
def test_not_text(schema: Any) -> None:
    assert not takes_text(of_x(schema))


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("#/$defs/number", False),
        ("#/$defs/text", True),
        ("#/$defs/through", False),
        ("#/$defs/a~1b~0c%20d", False),
        ("#/$defs/list/anyOf/1", False),
        ("#/$defs/list/anyOf/9", True),
        ("#/$defs/list/anyOf/-1", True),
        ("#/$defs/list/anyOf/²", True),
        ("#", False),
        ("#/$defs/nothing/more", True),
        ("#/$defs/text/type/more", True),
        ("https://example.com/schema.json", True),
        ("", True),
        ("#/$defs/ring", True),
        ("#/$defs/pair", True),
    ],
)
def test_references(reference: str, text: bool) -> None:
    definitions = {
        "number": {"type": "number"},
        "text": {"type": "string"},
        "through": {"anyOf": [{"$ref": "#/$defs/number"}, {"$ref": "#/$defs/ring"}]},
        "a/b~c d": {"type": "array"},
        "list": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "ring": {"$ref": "#/$defs/ring"},
        "pair": {"allOf": [{"$ref": "#/$defs/pair"}, {"$ref": "#/$defs/ring"}]},
    }
    schema = of_x({"$ref": reference}, **{"$defs": definitions})
    assert takes_text(schema) is text


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/all", "$defs": {"all": {"properties": {"x": {"type": "integer"}}}}},
        {"allOf": [{"properties": {"y": {}}}, {"properties": {"x": {"type": "integer"}}}]},
        {"anyOf": [{"properties": {"x": {"type": "integer"}}}, {"properties": {"x": {"type": "null"}}}]},
        {"properties": {"y": {}}, "additionalProperties": {"type": "integer"}},
    ],
)
def test_where_properties_are_found(schema: Any) -> None:
    assert not takes_text(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"anyOf": [{"properties": {"x": {"type": "integer"}}}, {"properties": {"x": {"type": "string"}}}]},
        {"properties": {"y": {"type": "integer"}}},
        {"properties": {"x": {"type": "string"}}, "additionalProperties": {"type": "integer"}},
        {"additionalProperties": False},
        {"properties": [1]},
        {"anyOf": 5, "$ref": 7},
        None,
        "string",
    ],
)
def test_where_they_are_text(schema: Any) -> None:
    assert takes_text(schema)


def test_a_schema_of_many_parts_is_not_read_to_its_end() -> None:
    wide: Any = {"type": "integer"}
    for _ in range(40):
        wide = {"anyOf": [wide, wide, wide]}
    takes_text(of_x(wide))
    assert not takes_text(of_x({"anyOf": [{"type": "integer"}] * 100}))


@pytest.mark.parametrize(
    "tools",
    [[], [{}], [None], [{"function": None}], [{"function": {"name": 3}}], [{"type": "web_search"}], ["f"]],
)
def test_what_is_no_function_is_none(tools: list[Any]) -> None:
    types = ArgumentTypes(tools)
    assert types.names == frozenset()
    assert types.takes_text("f", "x")


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["#", "string", "#/x", "#/x/0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["x", "type", "anyOf", "$ref", "properties", "enum", "const", "additionalProperties"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(schema=json_like)
def test_no_schema_is_an_error(schema: Any) -> None:
    assert takes_text(schema) in {True, False}
