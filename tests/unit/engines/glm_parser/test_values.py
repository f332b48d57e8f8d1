"""A model's text as JSON, whatever the text is."""

import json
import warnings

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from openbigmodel.engines.glm_parser.values import escaped, is_json, json_value, printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", "3"),
        (" \n3\t", "3"),
        ("-1.50e+7", "-1.50e+7"),
        ("1e999", "1e999"),
        ("9" * 5000, "9" * 5000),
        ("true", "true"),
        ("null", "null"),
        ('"3"', '"3"'),
        ('{"a" : [1 , 2]}', '{"a" : [1 , 2]}'),
        ("[" * 100 + "]" * 100, "[" * 100 + "]" * 100),
        ('["\ud83d"]', '["\\ud83d"]'),
    ],
)
def test_json_stays_as_it_is(text: str, expected: str) -> None:
    assert json_value(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("True", "true"),
        ("None", "null"),
        ("1_000", "1000"),
        ("0x10", "16"),
        ("'it''s'", '"its"'),
        ("['a', \"b\"]", '["a", "b"]'),
        ("(1, 2)", "[1, 2]"),
        ("{'a': {'b': None}, 1: 2}", '{"a": {"b": null}, "1": 2}'),
        ("['\\ud83d']", '["\\ud83d"]'),
        ("['北京']", '["北京"]'),
    ],
)
def test_python_is_read(text: str, expected: str) -> None:
    assert json_value(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "three", "01", "[1", "{1, 2}", "b'x'", "...", "1j", "nan", "NaN", "Infinity", "[1e999, None]", "\x00"),
        *("{[]: 1}", "{(1,): 2}", "f(1)", "lambda: 0", "__import__('os')", "\ud83d", "'\\N{nothing}'", "[１]", "-" * 9999 + "1"),
        *("[" * 5000 + "]" * 5000, "(" * 500 + ")" * 500, "'a' " * 5000, "0x" + "f" * 9000, "1" + "+1" * 4000),
    ],
    ids=lambda text: repr(text[:20]),
)  # fmt: skip
def test_the_rest_is_neither(text: str) -> None:
    assert json_value(text) is None


def test_a_long_text_is_not_read_as_python() -> None:
    assert json_value("'" + "x" * 16_000 + "'") is not None
    assert json_value("'" + "x" * 17_000 + "'") is None


def test_nobody_is_warned() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert json_value("'\\d'") == '"\\\\d"'
        assert json_value("1if 2else 3") is None


@given(text=st.text(st.characters()))
@example(text='"\\\ud83d\u2028\x7f\x00')
def test_any_text_can_be_a_string(text: str) -> None:
    written = f'"{escaped(text)}"'
    assert json.loads(written).encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")
    written.encode()


@given(text=st.text("'\"[]{}()123,: \\xTrueNon-+", max_size=30) | st.text(st.characters(), max_size=9))
def test_what_is_read_is_json(text: str) -> None:
    value = json_value(text)
    assert value is None or is_json(value)


def test_half_characters_become_escapes() -> None:
    assert printable('"ok"') == '"ok"'
    assert printable('"😀\udc00"') == '"😀\\udc00"'
