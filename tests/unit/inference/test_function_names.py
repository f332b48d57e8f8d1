"""Long names are cut to what GLM takes and stay apart."""

from openbigmodel.inference.function_names import MAX_NAME_CHARACTERS, short_name


def test_a_name_that_fits_stays() -> None:
    exact = "a" * MAX_NAME_CHARACTERS
    assert (short_name(exact), short_name("get_weather")) == (exact, "get_weather")


def test_longer_ones_are_cut_and_stay_apart() -> None:
    begin = "mcp__plugin__server__" + "a" * 60
    short = {short_name(begin + end) for end in "bcd"}
    assert len(short) == 3
    assert {len(name) for name in short} == {MAX_NAME_CHARACTERS}
    assert short_name(begin + "b") in short
