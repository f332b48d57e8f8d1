"""A JSON object in pieces: what comes out can be closed at any moment, and is what went in."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.engines.glm_parser.json_object import JsonObject


def read(text: str, *, piecewise: bool = False) -> tuple[str, int, bool]:
    """The object's text, where it ended, and whether it was closed."""
    reader, data, position, out = JsonObject(), "", 0, ""
    for piece in text if piecewise else [text]:
        data += piece
        position = reader.advance(data, position, ended=False)
        out += reader.take()
        if reader.over:
            break
    if not reader.over:
        position = reader.advance(data, position, ended=True)
    return out + reader.take(), position, reader.whole


@pytest.mark.parametrize("piecewise", [False, True])
@pytest.mark.parametrize(
    ("text", "expected", "rest"),
    [
        ("{}", "{}", ""),
        (" {\r\n\t} x", "{}", " x"),
        ('{"a": {"b": [1, {"c": []}]}}}', '{"a":{"b":[1,{"c":[]}]}}', "}"),
        ('{"a": "x\\"}"} ', '{"a":"x\\"}"}', " "),
        ('{"a": 1,}', '{"a":1}', ""),
        ('{"a": [1,],}', '{"a":[1]}', ""),
        ('{"a": True, "b": False, "c": None}', '{"a":true,"b":false,"c":null}', ""),
        ('{"a"}', "{}", ""),
        ('{"a":}', "{}", ""),
        ('{"a": "C:\\dir\\x"}', '{"a":"C:\\\\dir\\\\x"}', ""),
        ('{"a": "\\u12"}', '{"a":"\\\\u12"}', ""),
        ('{"a": "\\u12g4"}', '{"a":"\\\\u12g4"}', ""),
        ('{"a\n": "b\n\x00"}', '{"a\\u000a":"b\\u000a\\u0000"}', ""),
        ('{"a": "\ud83d"}', '{"a":"\\ud83d"}', ""),
        ('{"a": "\\ud83d\\ude00"}', '{"a":"\\ud83d\\ude00"}', ""),
        ('{"a": "\\\\"}', '{"a":"\\\\"}', ""),
    ],
)
def test_an_object(text: str, expected: str, rest: str, piecewise: bool) -> None:
    assert read(text, piecewise=piecewise) == (expected, len(text) - len(rest), True)
    json.loads(expected)


@pytest.mark.parametrize("piecewise", [False, True])
@pytest.mark.parametrize(
    ("text", "expected", "rest"),
    [
        ('{"a": 1 "b": 2}', '{"a":1}', '"b": 2}'),
        ('{"a": 1, b: 2}', '{"a":1}', "b: 2}"),
        ('{"a" 1}', "{}", "1}"),
        ('{"a": [1}', '{"a":[1]}', "}"),
        ('{"a": [1, oops]}', '{"a":[1]}', "oops]}"),
        ('{"a": 01}', "{}", "01}"),
        ('{"a": 1.}', "{}", "1.}"),
        ('{"a": NaN}', "{}", "NaN}"),
        ('{"a": (1)}', "{}", "(1)}"),
        ("{,}", "{}", ",}"),
        ('{"a": 1,,}', '{"a":1}', ",}"),
        ('{"a": [,1]}', '{"a":[]}', ",1]}"),
        ("{'a': 1}", "{}", "'a': 1}"),
        ('{"a": {"b": "c" d}}', '{"a":{"b":"c"}}', "d}}"),
    ],
)
def test_where_it_stops_being_json_the_rest_is_text(
    text: str, expected: str, rest: str, piecewise: bool
) -> None:
    assert read(text, piecewise=piecewise) == (expected, len(text) - len(rest), False)


@pytest.mark.parametrize("piecewise", [False, True])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "{}"),
        ('{"a', "{}"),
        ('{"a"', "{}"),
        ('{"a": ', "{}"),
        ('{"a": "b', '{"a":"b"}'),
        ('{"a": "b\\', '{"a":"b"}'),
        ('{"a": "b\\u12', '{"a":"b"}'),
        ('{"a": "b"', '{"a":"b"}'),
        ('{"a": "b", ', '{"a":"b"}'),
        ('{"a": 12', '{"a":12}'),
        ('{"a": 12.', "{}"),
        ('{"a": tru', "{}"),
        ('{"a": [[{"b": [', '{"a":[[{"b":[]}]]}'),
    ],
)
def test_where_the_generation_ends_what_is_open_is_closed(text: str, expected: str, piecewise: bool) -> None:
    assert read(text, piecewise=piecewise) == (expected, len(text), False)


@pytest.mark.parametrize("piecewise", [False, True])
def test_what_waits_is_bounded(piecewise: bool) -> None:
    key, word = "k" * 510, "1" * 400
    assert read(f'{{"{key}": 1}}', piecewise=piecewise)[2]
    assert read(f'{{"{key}k": 1}}', piecewise=piecewise) == ("{}", 1, False)
    assert read(f'{{"{key}kkk', piecewise=piecewise)[:2] == ("{}", 1)
    assert read(f'{{"a": {word}}}', piecewise=piecewise)[2]
    assert read(f'{{"a": {word}1}}', piecewise=piecewise) == ("{}", 6, False)
    assert read('{"a":' + "[" * 127 + "]" * 127 + "}", piecewise=piecewise)[2]
    deep = '{"a":' + "[" * 128
    assert read(deep, piecewise=piecewise) == ('{"a":' + "[" * 127 + "]" * 127 + "}", len(deep) - 1, False)


def test_strings_do_not_wait() -> None:
    reader = JsonObject()
    data = '{"a": "Bei'
    assert reader.advance(data, 0, ended=False) == len(data)
    assert reader.take() == '{"a":"Bei'
    assert reader.advance("jing\\", 0, ended=False) == 4
    assert reader.take() == "jing"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=12,
)


@given(
    value=st.dictionaries(st.text(max_size=20), values),
    indent=st.sampled_from([None, 1]),
    plain=st.booleans(),
)
def test_what_json_writes_comes_through(value: dict[str, Any], indent: int | None, plain: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=plain)
    for piecewise in (False, True):
        read_text, end, whole = read(text + " tail", piecewise=piecewise)
        assert (json.loads(read_text), end, whole) == (value, len(text), True)


@given(text=st.text('{}[]:,"\\ntrue1.-e u', max_size=40))
def test_anything_becomes_json(text: str) -> None:
    found = read("{" + text)
    assert isinstance(json.loads(found[0]), dict)
    assert read("{" + text, piecewise=True) == found
