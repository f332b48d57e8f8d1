import pytest

from openbigmodel.inference.anthropic.read import ReplyWishes
from openbigmodel.inference.anthropic.stop_reasons import stop_reason

WISHES = ReplyWishes(stop_sequences=("END",))


@pytest.mark.parametrize(
    ("finish_reason", "called", "sequence", "expected"),
    [
        ("stop", False, None, ("end_turn", None)),
        ("stop", False, "END", ("stop_sequence", "END")),
        ("stop", False, "<|user|>", ("end_turn", None)),
        ("stop", True, None, ("tool_use", None)),
        ("stop", True, "END", ("tool_use", None)),
        ("tool_calls", True, None, ("tool_use", None)),
        ("tool_calls", False, None, ("end_turn", None)),
        ("length", False, None, ("max_tokens", None)),
        ("length", True, None, ("max_tokens", None)),
        ("sensitive", False, None, ("refusal", None)),
        ("model_context_window_exceeded", False, None, ("model_context_window_exceeded", None)),
        ("something_new", False, None, ("end_turn", None)),
    ],
)
def test_why_an_answer_ended(
    finish_reason: str, called: bool, sequence: str | None, expected: tuple[str, str | None]
) -> None:
    assert stop_reason(finish_reason, WISHES, sequence, called=called) == expected
