"""When an engine has been silent for too long."""

import msgspec
import pytest

from openbigmodel.engines.profiles import OPENAI
from openbigmodel.inference.silence import BETWEEN_TOKENS_TIMEOUT_S, FIRST_TOKEN_TIMEOUT_S, Silence

HASTY = msgspec.structs.replace(OPENAI, first_token_s=10, between_tokens_s=3)


@pytest.mark.parametrize(
    ("begun", "limit_s"), [(False, FIRST_TOKEN_TIMEOUT_S), (True, BETWEEN_TOKENS_TIMEOUT_S)]
)
def test_the_platforms_own_bounds(begun: bool, limit_s: float) -> None:
    silence = Silence(100)
    assert silence.too_long(100 + limit_s, OPENAI, begun=begun) == ""
    assert (
        silence.too_long(100.1 + limit_s, OPENAI, begun=begun)
        == f"no word from the engine for {limit_s:.0f} s"
    )


def test_an_engines_own_bounds() -> None:
    silence = Silence(0)
    assert silence.too_long(10, HASTY, begun=False) == ""
    assert silence.too_long(11, HASTY, begun=False)
    assert silence.too_long(4, HASTY, begun=True)


def test_what_was_heard_counts_from_the_sweep_before() -> None:
    silence = Silence(0)
    silence.heard = True
    silence.note(8, 1)
    assert silence.too_long(18, HASTY, begun=False) == ""
    assert silence.too_long(18.5, HASTY, begun=False)
    silence.note(17, 1)  # nothing new
    assert silence.too_long(18.5, HASTY, begun=False)


def test_what_was_brought_was_heard() -> None:
    silence = Silence(0)
    assert silence.note(8, 1)
    assert silence.too_long(18, HASTY, begun=False) == ""
    assert silence.too_long(18.5, HASTY, begun=False)


def test_an_engine_that_talks_and_says_nothing_is_given_up_too() -> None:
    silence = Silence(0)
    for second in range(1, 11):
        silence.heard = True
        silence.note(second, 0)
        assert silence.too_long(second, HASTY, begun=False) == ""
    silence.heard = True
    silence.note(10.5, 0)
    assert silence.too_long(10.6, HASTY, begun=False) == "words, but no token from the engine for 10 s"
    silence.note(10.5, 1)
    assert silence.too_long(10.6, HASTY, begun=False) == ""


def test_who_was_not_asked_yet_need_not_speak() -> None:
    silence = Silence(0)
    silence.restart(500)
    assert silence.too_long(510, HASTY, begun=False) == ""
    assert silence.too_long(511, HASTY, begun=False)


def test_it_says_whether_something_was_brought() -> None:
    silence = Silence(0)
    assert not silence.note(1, 0)
    assert silence.note(2, 5)
    silence.heard = True
    assert not silence.note(3, 5)
