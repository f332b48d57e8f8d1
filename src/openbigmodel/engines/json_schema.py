"""Whether a JSON value keeps to a JSON Schema: the keywords that tools and answers really use.

Rule: a schema comes from a caller and is never executed, never fetched from anywhere, and cannot cost more than
MAX_STEPS; what goes beyond that, or is no schema, judges nothing. `pattern` and `format` are left out: a caller's
regular expression can run for ever. A library would be four packages with compiled parts, or one that turns callers'
schemas into Python code.
"""

from collections.abc import Mapping
from typing import Any

MAX_STEPS = 20_000
_MAX_DEPTH = 64

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "number": (int, float),
    "integer": (int,),
}


class BeyondJudgement(Exception):  # noqa: N818  it names the state
    """More than a schema may cost."""


def is_valid(value: Any, schema: object) -> bool:
    """Whether `value` keeps to `schema`; True also where that cannot be judged."""
    try:
        return Judge(schema).holds(value, schema)
    except BeyondJudgement:
        return True


def types_of(schema: object) -> frozenset[str]:
    """The types that a schema names itself; none when it leaves them open."""
    named = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(named, str):
        return frozenset((named,))
    return (
        frozenset(name for name in named if isinstance(name, str)) if isinstance(named, list) else frozenset()
    )


def resolved(schema: object, root: object) -> object:
    """The schema that a local `$ref` leads to; itself without one, and an open schema where it leads nowhere."""
    for _ in range(_MAX_DEPTH):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str):
            return schema
        if not reference.startswith("#"):
            return True
        found = root
        for step in filter(None, reference[1:].split("/")):
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                return True
            found = found[name]
        schema = found
    return True


def has_type(value: Any, name: str) -> bool:
    """Whether a value is of a JSON type; 3.0 is an integer, true is no number."""
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, (object,)))


def same(one: Any, other: Any) -> bool:
    """JSON's equality: 1 is 1.0, and true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


class Judge:
    """Judges values by parts of one schema, `root`, from which references start. All together cost MAX_STEPS."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._left = MAX_STEPS

    def step(self, count: int = 1) -> None:
        """Count what was done. Raises BeyondJudgement when it was too much."""
        self._left -= count
        if self._left < 0:
            raise BeyondJudgement

    def resolved(self, schema: object) -> object:
        """See `resolved`."""
        return resolved(schema, self._root)

    def holds(self, value: Any, schema: object, depth: int = 0) -> bool:
        """Whether `value` keeps to `schema`. Raises BeyondJudgement."""
        self.step()
        if depth > _MAX_DEPTH:
            raise BeyondJudgement
        schema = self.resolved(schema)
        if not isinstance(schema, dict):
            return schema is not False
        types = types_of(schema)
        if types and not any(has_type(value, name) for name in types):
            return False
        if "const" in schema and not same(value, schema["const"]):
            return False
        choices = schema.get("enum")
        self.step(len(choices) if isinstance(choices, list) else 0)
        if isinstance(choices, list) and not any(same(value, choice) for choice in choices):
            return False
        return self._combined(value, schema, depth) and self._inside(value, schema, depth)

    def _combined(self, value: Any, schema: dict[str, Any], depth: int) -> bool:
        def alternatives(keyword: str) -> list[object]:
            found = schema.get(keyword)
            return found if isinstance(found, list) else []

        if not all(self.holds(value, each, depth + 1) for each in alternatives("allOf")):
            return False
        some = alternatives("anyOf")
        if some and not any(self.holds(value, each, depth + 1) for each in some):
            return False
        one = alternatives("oneOf")
        if one and sum(self.holds(value, each, depth + 1) for each in one) != 1:
            return False
        return "not" not in schema or not self.holds(value, schema["not"], depth + 1)

    def _inside(self, value: Any, schema: dict[str, Any], depth: int) -> bool:
        if isinstance(value, dict):
            return self._object(value, schema, depth)
        if isinstance(value, list):
            return self._array(value, schema, depth)
        if isinstance(value, str):
            return _between(len(value), schema, "minLength", "maxLength")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _number(value, schema)
        return True

    def _object(self, value: dict[str, Any], schema: dict[str, Any], depth: int) -> bool:
        required = schema.get("required")
        if isinstance(required, list) and not all(
            name in value for name in required if isinstance(name, str)
        ):
            return False
        if not _between(len(value), schema, "minProperties", "maxProperties"):
            return False
        known = schema.get("properties")
        known = known if isinstance(known, dict) else {}
        others = True if "patternProperties" in schema else schema.get("additionalProperties", True)
        return all(self.holds(item, known.get(name, others), depth + 1) for name, item in value.items())

    def _array(self, value: list[Any], schema: dict[str, Any], depth: int) -> bool:
        if not _between(len(value), schema, "minItems", "maxItems"):
            return False
        items = schema.get("items", True)
        first = schema.get("prefixItems", [])
        if isinstance(items, list):  # as schemas had it before 2020
            first, items = items, schema.get("additionalItems", True)
        first = first if isinstance(first, list) else []
        if schema.get("uniqueItems") is True:
            self.step(len(value) ** 2 // 2)
            if any(same(item, later) for place, item in enumerate(value) for later in value[place + 1 :]):
                return False
        return all(
            self.holds(item, first[place] if place < len(first) else items, depth + 1)
            for place, item in enumerate(value)
        )


def _between(size: int, schema: dict[str, Any], least: str, most: str) -> bool:
    low, high = schema.get(least), schema.get(most)
    return not (isinstance(low, int) and size < low) and not (isinstance(high, int) and size > high)


def _number(value: float, schema: dict[str, Any]) -> bool:
    def bound(name: str) -> float | None:
        found = schema.get(name)
        return found if isinstance(found, int | float) and not isinstance(found, bool) else None

    least, most = bound("minimum"), bound("maximum")
    above, below = bound("exclusiveMinimum"), bound("exclusiveMaximum")
    step = schema.get("multipleOf")
    return (
        (least is None or value >= least)
        and (most is None or value <= most)
        and (above is None or value > above)
        and (below is None or value < below)
        # Of fractions nobody can say in binary what divides them.
        and (type(step) is not int or type(value) is not int or step == 0 or value % step == 0)
    )
