"""What begins a call, what may begin one, and what does not."""

import pytest

from openbigmodel.engines.glm_parser.heads import UNFINISHED, Head, Heads

HEADS = Heads(frozenset({"now", "get_weather", "搜索 文档"}))


@pytest.mark.parametrize(
    ("text", "form", "name", "rest"),
    [
        ("now</tool_call>", "tags", "now", "</tool_call>"),
        ("\n now \n<arg_key>k", "tags", "now", "<arg_key>k"),
        ("any.name-1_x</tool_call>", "tags", "any.name-1_x", "</tool_call>"),
        ("搜索 文档<arg_key>", "tags", "搜索 文档", "<arg_key>"),
        ('f>{"a"', "json", "f", '{"a"'),
        ("f > {\n}", "json", "f", "{\n}"),
        ('f\n{ "a"', "json", "f", '{ "a"'),
        ('\n{"name"', "hermes", "", '\n{"name"'),
        ('  { "name"', "hermes", "", '  { "name"'),
        ("x" * 128 + "</tool_call>", "tags", "x" * 128, "</tool_call>"),
    ],
)
def test_a_head_after_the_tag(text: str, form: str, name: str, rest: str) -> None:
    for ended in (False, True):
        head = HEADS.after_tag("?" + text, 1, ended=ended)
        assert isinstance(head, Head)
        assert (head.form, head.name, ("?" + text)[head.end :]) == (form, name, rest)


@pytest.mark.parametrize(
    "text",
    ["", "\n", "n", "now", "now\n", "now <", "now</tool_cal", "now<arg_key", "anything", "f>", "f>\n{", "f {\n", "{", "\n{ ", "搜", "搜索 ", "now<|user|>", "now<|us"],
)  # fmt: skip
def test_what_may_become_one_after_the_tag(text: str) -> None:
    assert HEADS.after_tag(text, 0, ended=False) is UNFINISHED
    assert HEADS.after_tag(text, 0, ended=True) != UNFINISHED


@pytest.mark.parametrize(
    "text",
    ["</tool_call>", "<arg_key>", "<tool_call>", "a b", "标", "a/b", "now<b", "now<|user|>x", "now>x", "now>>{", "f{x", "{x", "{}", "{{", "}", "\n" * 17, "now" + "\n" * 33, "x" * 129, "not it</tool_call>", 'a b{"'],
)  # fmt: skip
def test_what_is_none_after_the_tag(text: str) -> None:
    for ended in (False, True):
        assert HEADS.after_tag(text, 0, ended=ended) is None


def test_at_the_end_only_a_tool_is_called() -> None:
    for text in ("now", "\nnow \n", "now<|observation|>"):
        assert HEADS.after_tag(text, 0, ended=True) == Head("tags", "now", len(text))
    for text in ("no", "later", "now<|user", "now<", "now</tool_call", ""):
        assert HEADS.after_tag(text, 0, ended=True) is None


@pytest.mark.parametrize(
    "text", ['now\n{"a"', "now\r\n{}", "now \n\n {\n}", "get_weather\n{}", "搜索 文档\n{}"]
)
def test_a_head_on_a_line(text: str) -> None:
    for ended in (False, True):
        head = HEADS.on_a_line(text, 0, ended=ended)
        assert isinstance(head, Head)
        assert (head.form, head.name) == ("json", text.split("\n", maxsplit=1)[0].strip())
        assert text[head.end] == "{"


@pytest.mark.parametrize("text", ["n", "now", "now ", "now\r", "now\n", "now\n{", "now\n {\n", "get_"])
def test_what_may_become_one_on_a_line(text: str) -> None:
    assert HEADS.on_a_line(text, 0, ended=False) is UNFINISHED
    assert HEADS.on_a_line(text, 0, ended=True) is None


@pytest.mark.parametrize(
    "text", ["", "x", "nowx", "now x", "now {", "now\nx", "now\n{x", "other\n{}", "now" + " " * 126]
)
def test_what_is_none_on_a_line(text: str) -> None:
    for ended in (False, True):
        assert HEADS.on_a_line(text, 0, ended=ended) is None


def test_names() -> None:
    assert HEADS.may_be_called("a.b-c_9")
    assert HEADS.may_be_called("搜索 文档")
    for name in ("", "a b", "文档", "x" * 129, "a\n"):
        assert not HEADS.may_be_called(name)
