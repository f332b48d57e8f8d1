import pytest

from openbigmodel.inference.anthropic.blocks import AnswerBlock, arguments_of
from openbigmodel.inference.calls_in_order import Call


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", b"{}"), ("{}", b"{}"), (" \n", b"{}"), (" {}\n", b"{}"), ('{"a": 1.0}', b'{"a": 1.0}')],
)
def test_arguments_are_passed_on_as_they_were_written(text: str, expected: bytes) -> None:
    found = arguments_of(text)
    assert found is not None and bytes(found) == expected


@pytest.mark.parametrize("text", ["{", "[]", "5", '{"a":', "{}{}", "{" * 100_000])
def test_what_is_no_object_is_no_argument(text: str) -> None:
    assert arguments_of(text) is None


def test_a_text_is_complete_and_a_call_when_its_arguments_are() -> None:
    assert AnswerBlock("text").complete() and AnswerBlock("thinking").complete()
    call = Call(3)
    block = AnswerBlock("tool_use", call)
    assert not block.complete()
    call.add("f", '{"a":{')
    call.add(None, "}")
    assert not block.complete()
    call.add(None, "} ")
    assert block.complete()
    assert block.pieces == ['{"a":{', "}", "} "]
