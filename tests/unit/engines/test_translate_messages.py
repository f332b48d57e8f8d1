"""Messages as engines get them: history, tool results, pictures."""

from typing import Any

import pytest

from openbigmodel.engines.profiles import LLAMA_SERVER, OLLAMA, OPENAI, PROFILES, VLLM, Profile
from openbigmodel.engines.translate_messages import check_media, engine_message
from openbigmodel.errors import ApiError
from openbigmodel.schemas.chat import ContentPart, FilePart, MediaUrl, Message
from tests.unit.engines.asked import USER, asked

PICTURE = "data:image/png;base64,AAAA"


def test_messages_that_have_to_be_written_anew() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": {"city": "北京"}}}
    bare = {"function": {"name": "g"}}
    body = asked(
        messages=[
            {
                "role": "developer",
                "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "kind"}],
            },
            USER,
            {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call, bare]},
            {"role": "tool", "tool_call_id": "call_1", "content": None},
            {"role": "tool", "content": "sunny"},
        ]
    )

    assert body["messages"] == [
        {"role": "system", "content": "be kind"},
        USER,
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "hm",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"city":"北京"}'},
                },
                {"id": "", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "", "tool_call_id": "call_1"},
        {"role": "tool", "content": "sunny", "tool_call_id": ""},
    ]


def test_unknown_fields_of_a_message_do_not_get_through() -> None:
    (message,) = asked(messages=[{**USER, "cache_control": {"type": "ephemeral"}, "audio": None}])["messages"]

    assert message == USER


@pytest.mark.parametrize("profile", PROFILES.values(), ids=[*PROFILES])
@pytest.mark.parametrize("name", ["bob", "小明", "a" * 64])
def test_a_name_passes(profile: Profile, name: str) -> None:
    parts = [{"type": "text", "text": "hi"}]
    for content in ("hi", parts):
        assert asked(profile, messages=[{**USER, "content": content, "name": name}])["messages"] == [
            {**USER, "name": name}
        ]


@pytest.mark.parametrize("name", ["", None, "two words", "a<b", "a|b", "a/b", "a\\b", "a" * 65])
def test_a_name_that_strict_engines_refuse_is_left_out(name: str | None) -> None:
    assert asked(messages=[{**USER, "name": name}])["messages"] == [USER]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=[*PROFILES])
def test_earlier_reasoning_has_the_name_that_the_engine_reads(profile: Profile) -> None:
    _, answer, _ = asked(
        profile, messages=[USER, {"role": "assistant", "content": "a", "reasoning_content": "hm"}, USER]
    )["messages"]
    name = "reasoning" if profile.name in ("vllm", "ray", "ollama") else "reasoning_content"

    assert answer == {"role": "assistant", "content": "a", name: "hm"}


def test_content_is_null_only_beside_calls() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}
    _, thought, called, _ = asked(
        messages=[
            USER,
            {"role": "assistant", "content": None, "reasoning_content": "hm"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            USER,
        ]
    )["messages"]

    assert (thought["content"], called["content"]) == ("", None)
    assert called["tool_calls"][0]["function"]["arguments"] == "{}"


def parts(profile: Profile, *found: ContentPart) -> Any:
    return engine_message(3, Message(role="user", content=list(found)), profile)["content"]


def test_texts_alone_are_one_text() -> None:
    assert parts(OPENAI, ContentPart("text", "a"), ContentPart("text", "b")) == "ab"


def test_a_picture_goes_as_a_data_url() -> None:
    found = parts(
        LLAMA_SERVER,
        ContentPart("text", "what is this?"),
        ContentPart("image_url", image_url=MediaUrl(PICTURE)),
        ContentPart("image_url", image_url=PICTURE),
    )

    assert found[0] == {"type": "text", "text": "what is this?"}
    assert found[1]["image_url"] == MediaUrl(PICTURE)
    assert found[2] == {"type": "image_url", "image_url": {"url": PICTURE}}


def test_a_film_goes_where_films_are_taken() -> None:
    film = ContentPart("video_url", video_url=MediaUrl("data:video/mp4;base64,AAAA"))

    assert parts(VLLM, film)[0]["type"] == "video_url"
    with pytest.raises(ApiError) as caught:
        parts(OLLAMA, ContentPart("text", "a"), film)
    assert caught.value.code == "1210"
    assert caught.value.message("en") == (
        "messages[3].content[1].type is invalid: the engine behind this model takes no videos. "
        "Leave this part out, or have the operator set up an engine for the model that takes videos."
    )


def test_what_no_engine_takes_is_told_before_anything_is_fetched() -> None:
    question = ContentPart("text", "what is this?")
    picture = ContentPart("image_url", image_url="https://example.com/cat.png")
    file = ContentPart("file_url", file_url="https://example.com/report.pdf")
    messages = [
        Message(role="system", content="be kind"),
        Message(role="assistant"),
        Message(role="user", content=[question, file, picture]),
    ]

    check_media(messages, frozenset(("image_url",)))
    check_media(messages[:2], frozenset())
    with pytest.raises(ApiError) as caught:
        check_media(messages, frozenset())
    assert caught.value.code == "1210"
    assert caught.value.message("zh") == (
        "messages[2].content[2].type 参数非法：该模型背后的引擎不支持图片。"
        "请去掉这一部分，或请运营者为该模型配置支持图片的引擎。"
    )


@pytest.mark.parametrize(
    "part",
    [
        ContentPart("file", file=FilePart(file_id="f1")),
        ContentPart("input_audio"),
        ContentPart("image_url"),
        ContentPart("role"),
        ContentPart("__class__"),
    ],
)
def test_a_part_that_no_engine_takes_is_named(part: ContentPart) -> None:
    with pytest.raises(
        ApiError, match=r"messages\[3\]\.content\[0\]\.type is invalid: the engine behind this model"
    ):
        parts(VLLM, part)
