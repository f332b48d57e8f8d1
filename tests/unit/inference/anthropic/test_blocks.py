import pytest

from openbigmodel.inference.anthropic.blocks import AnswerBlock, arguments_of


@pytest.mark.parametrize(("text", "expected"), [("", b"{}"), ("{}", b"{}"), ('{"a": 1.0}', b'{"a": 1.0}')])
def test_arguments_are_passed_on_as_they_were_written(text: str, expected: bytes) -> None:
    found = arguments_of(text)
    assert found is not None and bytes(found) == expected


@pytest.mark.parametrize("text", ["{", "[]", "5", '{"a":', "{}{}", "{" * 100_000])
def test_what_is_no_object_is_no_argument(text: str) -> None:
    assert arguments_of(text) is None


def test_a_text_is_complete_and_a_call_when_its_arguments_are() -> None:
    assert AnswerBlock("text").complete() and AnswerBlock("thinking").complete()
    call = AnswerBlock("tool_use")
    assert not call.complete()
    call.pieces = ['{"a":{', "}"]
    assert not call.complete()
    call.pieces.append("} ")
    assert not call.complete(), "nobody knows its name"
    call.name = "f"
    assert call.complete()
    call.pieces.append("x")
    assert not call.complete()


def test_nobody_looks_at_a_call_for_ever() -> None:
    call = AnswerBlock("tool_use")
    call.name = "f"
    call.pieces = ["{", "}"]
    assert all(call.complete() for _ in range(64))
    assert not call.complete()
