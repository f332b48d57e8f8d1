"""A model's text as JSON text: valid whatever the text is, and with the model's own digits wherever it wrote JSON."""

import ast
import json
import re
import warnings
from json.encoder import encode_basestring
from typing import NoReturn

from openbigmodel.engines.glm_parser.tags import BLANK_CHARACTERS

# No list or object that a model writes in Python's words is longer; a parser of Python costs a microsecond a character.
_PYTHON_MAX_CHARACTERS = 16 * 1024
_SURROGATE = re.compile("[\ud800-\udfff]")


def escaped(text: str) -> str:
    """The text as it stands between the quotes of a JSON string.

    Half of a surrogate pair is no character and cannot be sent: it becomes an escape.
    """
    return printable(encode_basestring(text)[1:-1])


def printable(json_text: str) -> str:
    """A JSON text without halves of surrogate pairs, which only its strings can contain."""
    if json_text.isascii():
        return json_text
    return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", json_text)


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def is_json(text: str) -> bool:
    """Whether this is strict JSON: no NaN, no Infinity. Digits are not converted, so a number may be of any size."""
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return True


def json_value(text: str) -> str | None:
    """The JSON text of a value that is not a string: as it is if it is JSON, else read as a literal of Python.

    None: it is neither.
    """
    text = text.strip(BLANK_CHARACTERS)
    if is_json(text):
        return printable(text)
    if not text or len(text) > _PYTHON_MAX_CHARACTERS:
        return None
    try:
        # An odd escape in a string of Python's is a warning that nobody here could act on.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text)
        return printable(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
