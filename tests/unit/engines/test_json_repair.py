"""What is mended, what is not, and that nothing takes long."""

import json
import random
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.engines.json_repair import NotJson, read_loosely, without_fence
from tests.conftest import SCALE


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('  ```\n{"a": 1}```  ', {"a": 1}),
        ('{"a": 1', {"a": 1}),
        ('{"a": [1, {"b": "c', {"a": [1, {"b": "c"}]}),
        ('{"a": 1}}', {"a": 1}),
        ('{"a": [1, 2,], }', {"a": [1, 2]}),
        ('{,"a": 1,,"b": 2}', {"a": 1, "b": 2}),
        (
            "{'a': 'it\\'s', 'b': True, 'c': None, 'd': False}",
            {"a": "it's", "b": True, "c": None, "d": False},
        ),
        ('{a: 1, b_c: "d", $e-f: 2}', {"a": 1, "b_c": "d", "$e-f": 2}),
        ('{"a": "one\ntwo\t"}', {"a": "one\ntwo\t"}),
        ('{"a": "C:\\dir\\new"}', {"a": "C:\\dir\new"}),
        ('{"a": "\\u5317\\ud83d\\ude00"}', {"a": "北😀"}),
        ('{"a": "\\ud83d"}', {"a": "\ufffd"}),
        ('{"a": "\\u12"}', {"a": "\\u12"}),
        ('{"a": -1.5e3, "b": 12345678901234567890123}', {"a": -1500.0, "b": 12345678901234567890123}),
        ("{}", {}),
        ("[", []),
        ('"text', "text"),
        ("true", True),
        ("\ufeff{}", {}),
    ],
)
def test_mended(text: str, value: Any) -> None:
    assert read_loosely(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "hello",
        '{"a"}',
        '{"a" 1}',
        '{"a": }',
        '{"a": 1 "b": 2}',
        '{"a": 1}{"b": 2}',
        '{"a": 1} and more',
        "[1 2]",
        "{5: 1}",
        "{:1}",
        "NaN",
        "Infinity",
        "undefined",
        "1" * 5000,
        "[" * 1000,
        '{"a":' * 1000,
        " " * 2_000_000,
        "```json\n{}\n``` and more",
    ],
)
def test_not_mended(text: str) -> None:
    with pytest.raises(NotJson):
        read_loosely(text)


def test_only_a_whole_fence_is_taken_off() -> None:
    assert without_fence("```python\nx\n```") == "x"
    assert without_fence("a ```x```") == "a ```x```"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_good_json_is_read_as_everybody_reads_it(value: Any) -> None:
    written = json.dumps(value)
    assert read_loosely(written) == json.loads(written.encode("utf-8", "surrogatepass"))


@given(st.dictionaries(st.text(), JSON, min_size=1))
def test_a_cut_object_is_still_an_object(value: dict[str, Any]) -> None:
    text = json.dumps(value)
    try:
        assert isinstance(read_loosely(text[:-1]), dict)
    except NotJson:
        # An unfinished word or number.
        assert text[-2] not in '"}]'


def test_no_text_takes_long_and_none_breaks_it() -> None:
    dice = random.Random(7)
    alphabet = [
        "{",
        "}",
        "[",
        "]",
        '"',
        "'",
        ",",
        ":",
        "\\",
        "u",
        "1",
        "-",
        "a",
        "true",
        " ",
        "```",
        "\n",
        "北",
    ]
    for _ in range(int(2000 * SCALE)):
        text = "".join(dice.choices(alphabet, k=dice.randrange(60)))
        try:
            json.dumps(read_loosely(text))
        except NotJson:
            pass
    begun_s = time.process_time()
    for text in (
        '{"a":"' + "\\" * 400_000,
        "```" * 200_000,
        '["",' * 60 + '"' + "'" * 500_000,
        "[" + "1," * 300_000,
    ):
        try:
            read_loosely(text)
        except NotJson:
            pass
    assert time.process_time() - begun_s < 5
