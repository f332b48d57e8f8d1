"""Answers are taken apart without judging them."""

import pytest

from openbigmodel.conformance.subject import ABSENT, Answer, Subject, Unmeasurable, base_of


def stream(*events: bytes) -> Answer:
    return Answer(
        200, (("content-type", "text/event-stream"),), b"".join(b"data: %b\n\n" % event for event in events)
    )


def test_the_base_of_an_address() -> None:
    assert base_of("http://h:1") == "http://h:1/api/paas/v4"
    assert base_of("h:1/") == "http://h:1/api/paas/v4"
    assert base_of("https://h/v1/chat/completions") == "https://h/v1"
    assert base_of("https://h/api/coding/paas/v4/") == "https://h/api/coding/paas/v4"
    for wrong in ("ftp://h", "http://", "http:///chat"):
        with pytest.raises(Unmeasurable):
            base_of(wrong)


def test_a_stream_is_taken_apart() -> None:
    answer = stream(
        b'{"choices":[{"delta":{"content":"a"}}]}',
        b'{"choices":[{"delta":{"content":"b"},"finish_reason":"stop"}],"usage":{"total_tokens":1}}',
        b"[DONE]",
    )
    assert answer.done and len(answer.chunks) == 2
    assert answer.text("content") == "ab"
    assert (answer.finish_reasons, answer.usage) == (["stop"], {"total_tokens": 1})


def test_a_body_is_taken_apart() -> None:
    body = b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"total_tokens":1}}'
    answer = Answer(200, (), body)
    assert (answer.text("content"), answer.finish_reasons, answer.usage) == (
        "a",
        ["stop"],
        {"total_tokens": 1},
    )
    assert Answer(400, (), b'{"error":{"code":"1214"}}').error == {"code": "1214"}


@pytest.mark.parametrize(
    "body", [b"", b"x", b"[]", b'{"choices":7}', b'{"choices":[{"message":null}]}', b'{"error":"x"}']
)
def test_nonsense_is_taken_apart_as_nothing(body: bytes) -> None:
    for answer in (Answer(200, (), body), stream(body)):
        assert (answer.message, answer.usage, answer.error, answer.text("content")) == ({}, {}, {}, "")
        assert not answer.done


def test_a_request_sends_nulls_and_leaves_out_what_is_absent() -> None:
    subject = Subject("h", "a.b", None, model="glm-4.6", new_mark=str, now_ms=int)  # type: ignore[arg-type]
    assert subject.request("q", stop=None, max_tokens=ABSENT) == {
        "model": "glm-4.6",
        "messages": [{"role": "user", "content": "q"}],
        "thinking": {"type": "disabled"},
        "stop": None,
    }
    always = Subject("h", "a.b", None, model="glm-5.3", new_mark=str, now_ms=int)  # type: ignore[arg-type]
    assert "thinking" not in always.request("q")
