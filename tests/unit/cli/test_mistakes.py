import pytest

from openbigmodel.cli.main import run
from openbigmodel.cli.mistakes import in_our_words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("usage --account a --by week", "Invalid value for '--by': it must be one of model, key, day, hour"),
        ("usage --account a --limit x", "Invalid value for '--limit': it must be a whole number"),
        ("usage --account a --limit 1.5", "Invalid value for '--limit': it must be a whole number"),
        ("usage --account a --limit 0", "Invalid value for '--limit': it must be 1 or more"),
        ("accounts plans end x", "Invalid value for 'PLAN': it must be a whole number"),
        ("bills --account a --lang fr", "Invalid value for '--lang': it must be one of zh, en"),
        (
            "keys create --account a --kind gold",
            "Invalid value for '--kind': it must be one of standard, coding",
        ),
        (
            "keys rotate k --overlap x",
            "Invalid value for '--overlap': it must be written like 90s, 5m, 24h or 7d",
        ),
    ],
)
def test_a_value_that_cannot_be_is_told_in_our_own_words(
    words: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words.split()) == 2
    assert capsys.readouterr().err == f"bigmodel: {message}\n"


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        ("Invalid value for '--x': Input should be a valid number, unable to parse", "it must be a number"),
        ("Invalid value for '--x': Input should be less than or equal to 9", "it must be 9 or less"),
        ("Invalid value for '--x': Value error, something else", "something else"),
        ("Invalid value for '--x': Value error, 'a': 'b' is not one of 'c'", "it must be one of c"),
    ],
)
def test_what_else_the_library_says(said: str, ours: str) -> None:
    assert in_our_words(said) == f"Invalid value for '--x': {ours}"


@pytest.mark.parametrize("said", ["No such option: --x", "Missing argument 'NAME'.", "", "Invalid value: x"])
def test_what_is_clear_stays(said: str) -> None:
    assert in_our_words(said) == said
