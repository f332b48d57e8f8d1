"""Calls in the manner of Hermes."""

import pytest

from openbigmodel.engines.glm_parser import hermes
from openbigmodel.engines.glm_parser.hermes import HermesCall, HermesReader, read_hermes_call


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ('{"name":"f","arguments":{"a":1e999}}', HermesCall("f", '{"a":1e999}')),
        ('{"parameters":{"a":[]},"name":"f"}', HermesCall("f", '{"a":[]}')),
        ('{"id":1,"arguments":" {\\"a\\": 1}\\n","name":"f"}', HermesCall("f", '{"a": 1}')),
        ('{"name":"f"}', HermesCall("f", "{}")),
        ('{"name":"f","arguments":{},"parameters":{"a":1}}', HermesCall("f", "{}")),
    ],
)
def test_a_call(text: str, call: HermesCall) -> None:
    assert read_hermes_call(text) == call


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"arguments":{}}',
        '{"name":3}',
        '{"name":"f","argumants":{}}',
        '{"name":"f","arguments":[]}',
        '{"name":"f","arguments":null}',
        '{"name":"f","arguments":"[]"}',
        '{"name":"f","arguments":"{"}',
        '{"name":"f","arguments":"{\\"a\\": NaN}"}',
        '{"name":"\\ud83d","arguments":{}}',
        '{"name":"f","arguments":"{\\"\\ud83d\\":1}"}',
    ],
)
def test_no_call(text: str) -> None:
    assert read_hermes_call(text) is None


def test_it_is_read_in_pieces_and_ends_with_its_bracket() -> None:
    reader = HermesReader()
    assert reader.advance('\n{"name": "', 0, ended=False) == 11
    before = (reader.over, reader.call)
    assert before == (False, None)
    assert reader.advance('f"} more', 0, ended=False) == 3
    assert reader.over
    assert reader.call == HermesCall("f", "{}")
    assert reader.raw == '\n{"name": "f"}'


@pytest.mark.parametrize("text", ['{"name": "f"', '{"name": x}', '{"name'])
def test_what_breaks_off_is_no_call(text: str) -> None:
    reader = HermesReader()
    reader.advance(text, 0, ended=True)
    assert reader.over
    assert reader.call is None
    assert text.startswith(reader.raw)


def test_what_is_too_long_is_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for size, found in ((50, True), (49, False)):
        monkeypatch.setattr(hermes, "HELD_MAX_CHARACTERS", size)
        for pieces in (1, 5):
            text = '{"name": "f", "arguments": {"a": "' + "x" * 13 + '"}}'
            assert len(text) == 50
            reader, position = HermesReader(), 0
            for end in range(50 // pieces, 51, 50 // pieces):
                if not reader.over:
                    position = reader.advance(text[:end], position, ended=False)
            assert reader.over
            assert (reader.call is not None) is found
