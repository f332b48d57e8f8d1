from typing import Any

import msgspec
import pytest

from openbigmodel.catalog import Model, load_catalog
from openbigmodel.errors import ApiError
from openbigmodel.media.parts import PARTS_MAX, MediaPart, bytes_max, check_parts, needs_preparing
from openbigmodel.schemas.chat import Message

CATALOG = load_catalog()
MIB = 1 << 20


def model(name: str = "glm-4.6v") -> Model:
    found = CATALOG.find(name)
    assert found is not None
    return found


def messages(*parts: dict[str, Any]) -> list[Message]:
    raw = [{"role": "system", "content": "s"}, {"role": "user", "content": list(parts)}]
    return msgspec.convert(raw, list[Message])


def read(part: dict[str, Any], name: str = "glm-4.6v") -> MediaPart:
    [found] = check_parts(messages({"type": "text", "text": "?"}, part), model(name))
    assert (found.message, found.position) == (1, 1)
    return found


def refused(part: dict[str, Any], name: str = "glm-4.6v") -> ApiError:
    with pytest.raises(ApiError) as raised:
        read(part, name)
    return raised.value


def image(url: object) -> dict[str, Any]:
    return {"type": "image_url", "image_url": url}


def file(**fields: str) -> dict[str, Any]:
    return {"type": "file", "file": fields}


def test_text_needs_nothing() -> None:
    plain = msgspec.convert(
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": None}], list[Message]
    )
    texts = messages({"type": "text", "text": "a"}, {"type": "text", "text": "b"})
    for each in (plain, texts):
        assert not needs_preparing(each)
        assert check_parts(each, model()) == []
    assert needs_preparing(messages({"type": "text", "text": "a"}, image("x")))
    assert needs_preparing(messages({"type": "unheard of"}))


@pytest.mark.parametrize(
    ("url", "form", "text"),
    [
        ("https://a.example/b.png", "url", "https://a.example/b.png"),
        ("HTTP://a.example/", "url", "HTTP://a.example/"),
        ("http:127.0.0.1", "url", "http:127.0.0.1"),
        ("data:image/png;base64,YWI=", "base64", "YWI="),
        ("DATA:;BASE64,YWI=", "base64", "YWI="),
        ("data:image/png;charset=x;base64,YWI=", "base64", "YWI="),
        ("YWI=", "base64", "YWI="),
        ("httpsAndMore", "base64", "httpsAndMore"),
    ],
)
def test_the_forms_of_an_image(url: str, form: str, text: str) -> None:
    for value in (url, {"url": url}, {"url": url, "detail": "high", "other": 1}):
        part = read(image(value))
        assert (part.kind, part.form, part.text) == ("image", form, text)
        assert part.field == "messages[1].content[1].image_url"


def test_the_other_kinds() -> None:
    assert read({"type": "video_url", "video_url": {"url": "https://a.example/"}}).kind == "video"
    old = read({"type": "file_url", "file_url": {"url": "https://a.example/a.pdf"}})
    assert (old.kind, old.form, old.field) == ("file", "url", "messages[1].content[1].file_url")
    new = read(file(file_url="https://a.example/a.pdf", filename="报告.pdf"))
    assert (new.name, new.field) == ("报告.pdf", "messages[1].content[1].file.file_url")
    assert read(file(file_data="data:application/pdf;base64,YWI=")).text == "YWI="
    assert read(file(file_data="YWI=", filename='a"\n<b>\u2028' + "c" * 300)).name == "ab" + "c" * 253
    sound = {"type": "input_audio", "input_audio": {"data": "YWI=", "format": "WAV"}}
    assert read(sound, "glm-4-voice").field == "messages[1].content[1].input_audio.data"


@pytest.mark.parametrize(
    ("part", "code", "words"),
    [
        (image(None), "1213", "messages[1].content[1].image_url"),
        (image(""), "1213", "messages[1].content[1].image_url"),
        (image("ftp://a.example/"), "1210", "messages[1].content[1].image_url 无法从该地址"),
        (image("file:///etc/passwd"), "1210", "图片输入格式/解析错误"),
        (image("data:image/png,abc"), "1210", "base64"),
        (image("data:image/png;base64"), "1210", "base64"),
        ({"type": "video_url", "video_url": {"url": "ftp:x"}}, "1210", "视频输入格式/解析错误"),
        ({"type": "text", "text": None}, "1213", "messages[1].content[1].text"),
        (
            {"type": "input_audio", "input_audio": {"data": "YWI="}},
            "1210",
            "['text', 'image_url', 'video_url', 'file']",
        ),
        ({"type": "unheard of"}, "1210", "messages[1].content[1].type 参数非法"),
        ({"type": "file"}, "1213", "messages[1].content[1].file"),
        (file(), "1213", "messages[1].content[1].file.file_data"),
        (file(filename="a.txt"), "1213", "messages[1].content[1].file.file_data"),
        (file(file_id="1_a"), "1210", "文件解析失败，请检查文件可访问性和格式"),
        (file(file_id="1_a", file_data="YWI="), "1215", "messages[1].content[1].file.file_id"),
        (file(file_url="YWI="), "1210", "文件解析失败"),
        (file(file_data="https://a.example/"), "1210", "base64"),
        ({"type": "file_url", "file_url": "YWI="}, "1210", "文件解析失败"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(part: dict[str, Any], code: str, words: str) -> None:
    error = refused(part)
    assert (error.code, error.status) == (code, 400)
    assert words in error.message("zh")
    assert error.message("en")


def test_a_sound_must_be_base64_of_a_known_format() -> None:
    def sound(**fields: str) -> dict[str, Any]:
        return {"type": "input_audio", "input_audio": fields}

    assert refused(sound(data="YWI=", format="ogg"), "glm-4-voice").code == "1214"
    assert refused(sound(data="https://a.example/a.wav"), "glm-4-voice").code == "1210"
    assert refused({"type": "input_audio"}, "glm-4-voice").code == "1213"


def test_a_model_that_reads_only_text_says_so() -> None:
    error = refused(image("YWI="), "glm-4.6")
    assert error.message("zh") == "messages[1].content[1].type 参数非法，模型glm-4.6的取值范围 ['text']"
    assert refused({"type": "video_url", "video_url": "YWI="}, "glm-4v-flash").code == "1210"


def test_a_model_without_base64_takes_urls() -> None:
    assert "不支持base64" in refused(image("YWI="), "glm-4v-flash").message("zh")
    assert read(image("https://a.example/"), "glm-4v-flash").form == "url"


@pytest.mark.parametrize(
    ("name", "part", "limit"),
    [
        ("glm-4.6v", image("YWI="), 50),
        ("glm-5v-turbo", image("https://a.example/"), 50),
        ("glm-4v-plus-0111", image("YWI="), 5),
        ("glm-4v-flash", image("https://a.example/"), 1),
        ("glm-4.6v", file(file_data="YWI="), 50),
    ],
)
def test_the_counts_are_the_models(name: str, part: dict[str, Any], limit: int) -> None:
    assert len(check_parts(messages(*[part] * limit), model(name))) == limit
    with pytest.raises(ApiError) as raised:
        check_parts(messages(*[part] * (limit + 1)), model(name))
    assert raised.value.code == "1210"
    assert f"messages[1].content[{limit}]" in raised.value.message("en")
    assert str(limit) in raised.value.message("zh")


def test_all_kinds_together_are_bounded() -> None:
    many = [image("YWI=")] * 50 + [file(file_data="YWI=")] * 50 + [{"type": "video_url", "video_url": "YWI="}]
    with pytest.raises(ApiError) as raised:
        check_parts(messages(*many), model())
    assert f"content[{PARTS_MAX}]" in raised.value.message("en")


def test_the_smaller_of_two_sizes_counts() -> None:
    assert bytes_max("image", model(), 20) == 5 * MIB
    assert bytes_max("video", model(), 20) == 20 * MIB
    assert bytes_max("video", model(), 200) == 200 * MIB
    assert bytes_max("video", model("glm-4v-plus-0111"), 200) == 20 * MIB
    assert bytes_max("file", model(), 200) == 50 * MIB
    assert bytes_max("audio", model(), 1) == MIB
