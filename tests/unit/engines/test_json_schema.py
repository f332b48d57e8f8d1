"""The keywords that are judged, and that no schema costs more than it may."""

import time
from typing import Any

import pytest

from openbigmodel.engines.json_schema import (
    MAX_STEPS,
    BeyondJudgement,
    Judge,
    has_type,
    is_valid,
    resolved,
    same,
    types_of,
)

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "below": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name"],
        }
    },
    "$ref": "#/$defs/node",
}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, [1, 1.0, -(2**70)], [1.5, True, "1", None]),
        ({"type": "number"}, [1, 1.5], [True, "1"]),
        ({"type": "boolean"}, [True, False], [0, "true"]),
        ({"type": "null"}, [None], [0, "", False]),
        ({"type": ["string", "null"]}, ["a", None], [1, {}]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["北京", "abc"], ["a", "abcd"]),
        ({"enum": [1, "a", None]}, [1, 1.0, "a", None], [True, "b", 0]),
        ({"const": {"a": [1]}}, [{"a": [1.0]}], [{"a": [True]}, {"a": [1], "b": 1}]),
        ({"minimum": 1, "maximum": 5}, [1, 5, "not a number"], [0, 6]),
        ({"exclusiveMinimum": 1, "exclusiveMaximum": 5}, [1.1, 4], [1, 5]),
        ({"multipleOf": 5}, [10, 0], [3]),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "integer"}},
                "required": ["a"],
                "additionalProperties": False,
            },
            [{"a": 1}],
            [{}, {"a": "1"}, {"a": 1, "b": 2}, [1]],
        ),
        ({"additionalProperties": {"type": "string"}}, [{"a": "b"}, {}], [{"a": 1}]),
        ({"additionalProperties": False, "patternProperties": {"^x": {}}}, [{"x1": 1}], []),
        ({"minProperties": 1, "maxProperties": 1}, [{"a": 1}], [{}, {"a": 1, "b": 1}]),
        (
            {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2},
            [["a"]],
            [[], [1], ["a"] * 3],
        ),
        ({"uniqueItems": True}, [[1, 2], [1, True]], [[1, 1.0], [{"a": 1}, {"a": 1}]]),
        (
            {"prefixItems": [{"type": "string"}], "items": {"type": "integer"}},
            [["a", 1], ["a"]],
            [[1], ["a", "b"]],
        ),
        # The old form, which bigmodel.cn refuses.
        ({"items": [{"type": "string"}], "additionalItems": False}, [["a"]], [["a", 1], [1]]),
        ({"anyOf": [{"type": "string"}, {"minimum": 5}]}, ["a", 6], [1]),
        ({"oneOf": [{"minimum": 1}, {"minimum": 5}]}, [2], [6, 0]),
        ({"allOf": [{"minimum": 1}, {"maximum": 5}]}, [2], [6, 0]),
        ({"not": {"type": "string"}}, [1], ["a"]),
        (
            TREE,
            [{"name": "a", "below": [{"name": "b", "below": []}]}],
            [{"name": "a", "below": [{"nam": "b"}]}],
        ),
        (True, [1, None], []),
        (False, [], [1, None]),
        # Neither judged nor followed.
        ({"pattern": "^a$", "format": "date"}, ["b"], []),
        ({"$ref": "http://elsewhere.example/schema"}, [1], []),
        ({"$ref": "#/nowhere"}, [1], []),
        ({"$ref": "#"}, [1], []),
        ({"type": "frob"}, [1], []),
        # No schemas at all.
        (None, [1], []),
        ("text", [1], []),
        ({"type": 5, "enum": 5, "required": 5, "properties": 5, "items": 5, "minItems": "5"}, [{}, []], []),
    ],
)
def test_keywords(schema: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not is_valid(value, schema)] == []
    assert [value for value in bad if is_valid(value, schema)] == []


def test_types_and_references() -> None:
    assert types_of({"type": ["string", 5]}) == {"string"}
    assert types_of(5) == types_of({}) == frozenset()
    assert resolved({"$ref": "#/a~1b/c~0d"}, {"a/b": {"c~d": 1}}) == 1
    assert has_type(1.0, "integer") and not has_type(True, "integer")
    assert same([1, {"a": 2}], [1.0, {"a": 2.0}]) and not same([1], [1, 1])


def costly() -> list[tuple[Any, Any]]:
    deep: Any = {}
    for _ in range(500):
        deep = {"items": deep, "allOf": [deep]}
    doubling: Any = {"type": "string"}
    for _ in range(40):
        doubling = {"anyOf": [doubling, doubling]}
    nested: Any = []
    for _ in range(200):
        nested = [nested]
    return [
        (nested, deep),
        (1, doubling),
        ([0] * 10_000, {"uniqueItems": True}),
        ([[899] * 200] * 1000, {"items": {"items": {"enum": list(range(1, 900))}}}),
        (1, {"$ref": "#/a", "a": {"$ref": "#/a"}}),
        (1, {"allOf": [{"$ref": "#"}]}),
    ]


@pytest.mark.parametrize(("value", "schema"), costly(), ids=range(6))
def test_what_would_cost_too_much_is_not_judged(value: Any, schema: Any) -> None:
    begun_s = time.process_time()

    assert is_valid(value, schema)
    assert time.process_time() - begun_s < 0.5


def test_a_judge_has_one_purse_for_all_its_judgements() -> None:
    judge = Judge({})
    for _ in range(MAX_STEPS):
        judge.holds(1, {})
    with pytest.raises(BeyondJudgement):
        judge.holds(1, {})
