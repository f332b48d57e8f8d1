"""What a model wrote as a call's arguments, or as an answer in JSON, held against its schema and mended once.

Rule: what keeps to its schema passes as it was written, to the letter. What can be mended so that it does is written
anew. What cannot is left as it is: a caller can do more with a model's own words than with a guess. Only for answers
that have come to their end: arguments that were cut off must not be made to look whole.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from openbigmodel.engines.json_repair import NotJson, read_loosely, without_fence
from openbigmodel.engines.json_schema import BeyondJudgement, Judge, has_type, is_valid, types_of

_DECODE = msgspec.json.Decoder(float_hook=float).decode
_INTEGER = re.compile(r"\s*[+-]?\d{1,100}\s*")
_NUMBER = re.compile(r"\s*[+-]?(?:\d{1,100}(?:\.\d{0,100})?|\.\d{1,100})(?:[eE][+-]?\d{1,3})?\s*")
_WORDS: Mapping[str, tuple[str, bool | None]] = {
    "true": ("boolean", True),
    "false": ("boolean", False),
    "null": ("null", None),
    "none": ("null", None),
}
_NOTHING: Any = object()
_MAX_DEPTH = 64


def mended_arguments(text: str, schema: object) -> str:
    """The arguments to hand on, JSON of an object where that can be had; a null is meant for none.

    `schema` is the function's `parameters`, which may be missing.
    """
    if not text.strip():
        return "{}"
    value = _decoded(text)
    if isinstance(value, dict) and (schema is None or is_valid(value, schema)):
        return text
    mended = _mended(text, value, schema, dict)
    return text if mended is None else mended


def is_object(text: str) -> bool:
    """Whether this is a JSON object as it stands."""
    return isinstance(_decoded(text), dict)


def check_answer(text: str, schema: object) -> str | None:
    """An answer that was to keep to `schema`: itself, or mended, or None when it does not and cannot be made to."""
    inner = without_fence(text).strip()
    value = _decoded(inner)
    if value is not _NOTHING and is_valid(value, schema):
        return inner
    return _mended(inner, value, schema, object)


def schema_of_call(tools: list[dict[str, Any]] | None, name: str) -> object:
    """The `parameters` of the function that was called; None for one that is not there."""
    for tool in tools or ():
        function = tool.get("function")
        if isinstance(function, dict) and function.get("name") == name:
            return function.get("parameters")
    return None


def _decoded(text: str) -> Any:
    try:
        return _DECODE(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _NOTHING


def _mended(text: str, value: Any, schema: object, wanted: type) -> str | None:
    """The one way to mend: read loosely, give texts the types of the schema, and look again."""
    if value is _NOTHING:
        try:
            value = read_loosely(text)
        except NotJson:
            return None
    if wanted is dict and isinstance(value, str):
        # Arguments that were written as a text inside JSON.
        try:
            value = read_loosely(value)
        except NotJson:
            return None
    if wanted is dict and value is None:
        value = {}
    if not isinstance(value, wanted):
        return None
    judge = Judge(schema)
    try:
        fitted = _fitted(value, schema, judge, 0)
        return json.dumps(fitted, ensure_ascii=False) if judge.holds(fitted, schema) else None
    except BeyondJudgement:
        return None


def _fitted(value: Any, schema: object, judge: Judge, depth: int) -> Any:
    """`value` with its texts turned into what the schema asks for in their place. Raises BeyondJudgement."""
    judge.step()
    schema = judge.resolved(schema)
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return value
    for keyword in ("anyOf", "oneOf"):
        alternatives = schema.get(keyword)
        if isinstance(alternatives, list):
            return _fitted_to_one(value, alternatives, judge, depth)
    types = types_of(schema)
    if types and not any(has_type(value, name) for name in types):
        value = _converted(value, types)
    if isinstance(value, dict):
        known = schema.get("properties")
        known = known if isinstance(known, dict) else {}
        others = schema.get("additionalProperties")
        return {
            name: _fitted(item, known.get(name, others), judge, depth + 1) for name, item in value.items()
        }
    if isinstance(value, list):
        return [_fitted(item, schema.get("items"), judge, depth + 1) for item in value]
    return value


def _fitted_to_one(value: Any, alternatives: list[object], judge: Judge, depth: int) -> Any:
    """As it is if that fits one of them, else as the first that it can be made to fit."""
    if any(judge.holds(value, each) for each in alternatives):
        return value
    for each in alternatives:
        fitted = _fitted(value, each, judge, depth + 1)
        if judge.holds(fitted, each):
            return fitted
    return value


def _converted(value: Any, types: frozenset[str]) -> Any:
    """A value of another type that means the same; itself where there is none."""
    if not isinstance(value, str):
        # A number where a text belongs, such as a postal code.
        return json.dumps(value) if types == {"string"} and isinstance(value, bool | int | float) else value
    if "integer" in types and _INTEGER.fullmatch(value):
        return int(value)
    if types & {"number", "integer"} and _NUMBER.fullmatch(value):
        number = float(value)
        if math.isfinite(number) and ("number" in types or number.is_integer()):
            return number if "number" in types and not _INTEGER.fullmatch(value) else int(number)
    word = _WORDS.get(value.strip().lower())
    if word is not None and word[0] in types:
        return word[1]
    if types & {"object", "array"}:
        try:
            inner = read_loosely(value)
        except NotJson:
            return value
        return inner if any(has_type(inner, name) for name in types) else value
    return value
