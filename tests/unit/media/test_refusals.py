import pytest

from openbigmodel.media.refusals import refusal, refusal_of
from openbigmodel.media.task import Kind, Outcome, Refusal, Task

PLACE = "messages[0].content[1].image_url"
TASK = Task(
    kind="image",
    form="url",
    size=1,
    bytes_max=5 << 20,
    side_max=6000,
    formats=("image/png", "image/jpeg"),
    seconds_max=30,
)


@pytest.mark.parametrize(
    ("outcome", "zh", "en"),
    [
        (Outcome(refusal="unreachable", detail="10.0.0.1 is not public"), "公开访问", "public http or https"),
        (Outcome(refusal="status", status=404), "状态码404", "status 404"),
        (Outcome(refusal="too_large"), "5 MB", "5 MB"),
        (Outcome(refusal="encoding"), "base64", "base64"),
        (Outcome(refusal="format"), "png, jpg, jpeg", "png, jpg, jpeg"),
        (Outcome(refusal="damaged", detail="PNG with two headers"), "损坏", "damaged"),
        (
            Outcome(refusal="dimensions", width=7000, height=9),
            "7000×9像素，不能超过6000×6000",
            "7000×9 pixels",
        ),
        (Outcome(refusal="too_long"), "30秒", "30 s"),
        (Outcome(refusal="too_much_text"), "文字", "too much text"),
    ],
)
def test_a_caller_is_told_what_is_wrong_and_nothing_of_our_network(
    outcome: Outcome, zh: str, en: str
) -> None:
    error = refusal_of(PLACE, TASK, outcome)
    assert (error.code, error.status) == ("1210", 400)
    assert zh in error.message("zh")
    assert en in error.message("en")
    for text in (error.message("zh"), error.message("en")):
        assert PLACE in text
        assert not outcome.detail or outcome.detail not in text
    assert error.message("zh").startswith("图片输入格式/解析错误：")


def test_every_refusal_has_its_words() -> None:
    kinds: tuple[Kind, ...] = ("image", "video", "audio", "file")
    refusals: tuple[Refusal, ...] = Refusal.__args__  # type: ignore[attr-defined]
    for kind in kinds:
        for reason in refusals[1:]:
            task = Task(kind=kind, form="url", size=1, bytes_max=1 << 20)
            assert refusal_of(PLACE, task, Outcome(refusal=reason)).message("zh").endswith("。")
        assert refusal(PLACE, kind, "urls_off").message("en").endswith(".")


def test_of_an_unreachable_url_the_same_is_said_whatever_the_reason() -> None:
    details = ("10.0.0.1 is not public", "a.example cannot be resolved", "nothing complete within 10 s")
    said = {
        refusal_of(PLACE, TASK, Outcome(refusal="unreachable", detail=each)).message("en") for each in details
    }
    assert len(said) == 1
    assert said == {refusal(PLACE, "image", "unreachable").message("en")}
