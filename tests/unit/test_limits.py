"""Places in flight are never handed out twice and never lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.errors import ApiError
from openbigmodel.limits import InFlight


def test_the_platform_limit_is_1305_with_a_time_to_wait() -> None:
    places = InFlight(2)
    places.enter("a", "m")
    places.enter("b", "m")

    with pytest.raises(ApiError) as refused:
        places.enter("c", "m")

    assert (refused.value.code, refused.value.retry_after_s) == ("1305", 2)
    assert places.total == 2


def test_an_account_has_its_own_limit_for_each_model() -> None:
    places = InFlight(10, account_limit=1)
    places.enter("a", "m")
    places.enter("a", "n")
    places.enter("b", "m")

    with pytest.raises(ApiError) as refused:
        places.enter("a", "m")

    assert refused.value.code == "1302"


def test_an_unlimited_account_knows_only_the_platform_limit() -> None:
    places = InFlight(2, account_limit=1)
    places.enter("a", "m", unlimited=True)
    places.enter("a", "m", unlimited=True)

    with pytest.raises(ApiError) as refused:
        places.enter("a", "m", unlimited=True)

    assert refused.value.code == "1305"


def test_leaving_makes_room() -> None:
    places = InFlight(1)
    places.enter("a", "m")
    places.leave("a", "m")
    places.enter("b", "n")

    assert places.total == 1


def test_leaving_twice_is_a_bug() -> None:
    places = InFlight(1)
    with pytest.raises(AssertionError):
        places.leave("a", "m")


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("mn"), st.booleans()), max_size=60))
def test_counts_always_add_up(steps: list[tuple[str, str, bool]]) -> None:
    places = InFlight(5, account_limit=2)
    held: list[tuple[str, str]] = []
    for account, model, entering in steps:
        if entering:
            full = len(held) >= 5 or held.count((account, model)) >= 2
            try:
                places.enter(account, model)
                held.append((account, model))
                assert not full
            except ApiError:
                assert full
        elif (account, model) in held:
            held.remove((account, model))
            places.leave(account, model)
        assert places.total == len(held)
