from pathlib import Path

import pytest

from openbigmodel.settings import ModerationSettings, Secret, SettingsError, load_settings

SECTION = """
[moderation]
word_list = "words.txt"
checker_url = "http://127.0.0.1:9100/check"
checker_key = "env:CHECKER_KEY"
checker_timeout_s = 5
checker_concurrency = 2
checker_on_failure = "pass"
applies_to = "output"
block_level = 0
may_disable = ["a", "*"]
"""


def load(text: str, folder: Path) -> ModerationSettings:
    file = folder / "bigmodel.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(file, environ={"HOME": "/home/li", "CHECKER_KEY": "t0"}).moderation


def test_all_of_it_can_be_set(tmp_path: Path) -> None:
    assert load(SECTION, tmp_path) == ModerationSettings(
        word_list=tmp_path / "words.txt",
        checker_url="http://127.0.0.1:9100/check",
        checker_key=Secret("t0"),
        checker_timeout_s=5,
        checker_concurrency=2,
        checker_on_failure="pass",
        applies_to="output",
        block_level=0,
        may_disable=("a", "*"),
    )


def test_it_is_off_unless_it_is_set(tmp_path: Path) -> None:
    assert not load("", tmp_path).on
    assert not load("[moderation]\nblock_level = 1", tmp_path).on


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[moderation]\nblock_level = 4", "FILE: moderation.block_level must be a whole number, 3 or less"),
        (
            "[moderation]\nchecker_timeout_s = 0",
            "FILE: moderation.checker_timeout_s must be a whole number, 1 or more",
        ),
        (
            "[moderation]\napplies_to = 'all'",
            "FILE: moderation.applies_to must be one of both, input, output",
        ),
        ("[moderation]\nmay_disable = 'a'", "FILE: moderation.may_disable must be a list"),
        ("[moderation]\nchecker_key = 'k'", "FILE: moderation.checker_key needs checker_url too"),
        (
            "[moderation]\nchecker_url = 'checker'",
            "FILE: moderation.checker_url must be a URL that begins with http:// or https://",
        ),
        (
            "[moderation]\nchecker_url = 'http://a:b@c/'",
            "FILE: moderation.checker_url must not contain a credential; use checker_key",
        ),
    ],
)
def test_mistakes_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(text, tmp_path)
    assert str(caught.value).replace(str(tmp_path / "bigmodel.toml"), "FILE") == message
