"""Why an answer ended, in Anthropic's words (api.md §3.3, §6)."""

from openbigmodel.inference.anthropic.read import ReplyWishes

_REASONS = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "sensitive": "refusal",
    "model_context_window_exceeded": "model_context_window_exceeded",
}


def stop_reason(
    finish_reason: str, wishes: ReplyWishes, stop_sequence: str | None, *, called: bool
) -> tuple[str, str | None]:
    """`stop_reason` and `stop_sequence`. `called`: the answer has calls in it.

    Most engines stop at a sequence and at the end of what they have to say with the same word, and then nobody knows:
    it is `end_turn`.
    """
    reason = _REASONS.get(finish_reason, "end_turn")
    if reason == "end_turn":
        if called:
            return "tool_use", None
        if stop_sequence is not None and stop_sequence in wishes.stop_sequences:
            return "stop_sequence", stop_sequence
    return ("end_turn" if reason == "tool_use" and not called else reason), None
