"""Events of one piece of text: neighbours of a kind are one, others stay apart."""

from openbigmodel.engines.glm_parser.events import (
    CallArguments,
    CallEnded,
    CallStarted,
    Content,
    EventList,
    Reasoning,
)


def test_neighbours_become_one() -> None:
    events = EventList()
    events.text("a", reasoning=True)
    events.text("b", reasoning=True)
    events.text("", reasoning=False)
    events.text("c", reasoning=False)
    assert events.take() == [Reasoning("ab"), Content("c")]
    assert events.take() == []


def test_calls_count_up_and_keep_their_fragments() -> None:
    events = EventList()
    events.text("a", reasoning=False)
    events.call("f")
    events.arguments("{")
    events.arguments("")
    events.arguments("}")
    events.end_call()
    events.call("g")
    events.end_call()
    assert events.take() == [
        Content("a"),
        CallStarted(0, "f"),
        CallArguments(0, "{}"),
        CallEnded(0),
        CallStarted(1, "g"),
        CallEnded(1),
    ]


def test_what_was_taken_does_not_join_what_comes() -> None:
    events = EventList()
    events.call("f")
    events.arguments("{")
    assert events.take() == [CallStarted(0, "f"), CallArguments(0, "{")]
    events.arguments("}")
    assert events.take() == [CallArguments(0, "}")]
