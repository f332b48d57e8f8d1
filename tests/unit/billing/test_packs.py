from collections.abc import Sequence

import msgspec
import pytest

from openbigmodel.billing.packs import Burn, Pack, Reservation, burn, choose, release, reserve

TOKENS = Pack("t", "a", "tokens", None, gift=False, from_ms=0, to_ms=100, left=10)
CALLS = Pack("c", "a", "calls", None, gift=False, from_ms=0, to_ms=200, left=2)


def pack(like: Pack = TOKENS, **changes: object) -> Pack:
    return msgspec.structs.replace(like, **changes)


def chosen(
    packs: Sequence[Pack], tokens: int, model: str = "glm-4.6", now_ms: int = 50
) -> list[tuple[str, int]]:
    return [(each.id, amount) for each, amount in choose(packs, model, tokens, now_ms).shares]


def test_the_earliest_end_comes_first_then_the_earliest_start_then_the_id() -> None:
    packs = [
        pack(id="d", to_ms=200),
        pack(id="c", to_ms=100, from_ms=1),
        pack(id="b", to_ms=100),
        pack(id="a", to_ms=100),
    ]
    assert [each.id for each in sorted(packs, key=Pack.order)] == ["a", "b", "c", "d"]


@pytest.mark.parametrize(("now_ms", "pays"), [(9, False), (10, True), (99, True), (100, False)])
def test_a_pack_is_valid_from_its_start_until_just_before_its_end(now_ms: int, pays: bool) -> None:
    assert pack(from_ms=10).pays_for("glm-4.6", now_ms) is pays


def test_a_pack_pays_for_its_models_only() -> None:
    scoped = pack(models=frozenset({"glm-4.6", "glm-4.7"}))
    assert scoped.pays_for("glm-4.7", 50)
    assert not scoped.pays_for("glm-4.5", 50)
    assert pack().pays_for("anything", 50)
    assert not pack(left=0, held=5).pays_for("anything", 50)


def test_a_plan_takes_packs_in_order_until_the_request_is_covered() -> None:
    packs = [pack(id="a"), pack(id="b"), pack(id="c")]
    assert chosen(packs, 5) == [("a", 5)]
    assert chosen(packs, 10) == [("a", 10)]
    assert chosen(packs, 11) == [("a", 10), ("b", 1)]
    assert chosen(packs, 100) == [("a", 10), ("b", 10), ("c", 10)]
    assert choose(packs, "x", 100, 50).tokens == 30
    assert not choose(packs, "x", 100, 50).whole
    assert chosen(packs, 0) == []


def test_a_plan_passes_over_what_does_not_pay() -> None:
    packs = [
        pack(id="a", from_ms=60),
        pack(id="b", models=frozenset({"other"})),
        pack(id="c", left=0),
        pack(id="d"),
    ]
    assert chosen(packs, 5) == [("d", 5)]
    assert chosen(packs, 5, now_ms=100) == []


def test_a_call_covers_all_that_is_left_of_a_request() -> None:
    packs = [pack(id="a"), CALLS, pack(id="b", to_ms=300)]
    assert chosen(packs, 5) == [("a", 5), ("c", 1)]
    assert chosen(packs, 50) == [("a", 10), ("c", 1)]
    assert choose(packs, "x", 50, 50).whole
    assert choose(packs, "x", 50, 50).tokens == 50


def test_a_plan_changes_nothing() -> None:
    packs = [pack(), pack(CALLS)]
    choose(packs, "x", 50, 50)
    assert packs == [TOKENS, CALLS]


def reserved(packs: Sequence[Pack], tokens: int) -> tuple[Reservation, ...]:
    shares = choose(packs, "x", tokens, 50).shares
    reserve(shares)
    return shares


def test_what_is_reserved_is_held_until_it_is_released() -> None:
    packs = [pack(id="a"), pack(CALLS)]
    shares = reserved(packs, 15)
    assert [(each.left, each.held) for each in packs] == [(0, 10), (1, 1)]
    release(shares)
    assert [(each.left, each.held) for each in packs] == [(10, 0), (2, 0)]


def test_more_than_there_is_cannot_be_reserved_or_released() -> None:
    with pytest.raises(AssertionError):
        reserve([(pack(), 11)])
    with pytest.raises(AssertionError):
        release([(pack(), 1)])


def test_a_burn_takes_what_was_used_and_returns_the_rest() -> None:
    packs = [pack(id="a"), pack(id="b"), pack(id="c")]
    burns, covered, whole = burn(reserved(packs, 30), 12, 0)
    assert burns == (Burn("a", "tokens", 10), Burn("b", "tokens", 2))
    assert (covered, whole) == (12, False)
    assert [(each.left, each.held) for each in packs] == [(0, 0), (8, 0), (10, 0)]


def test_a_burn_takes_no_more_than_was_reserved() -> None:
    packs = [pack()]
    burns, covered, whole = burn(reserved(packs, 4), 12, 0)
    assert (burns, covered, whole) == ((Burn("t", "tokens", 4),), 4, False)
    assert (packs[0].left, packs[0].held) == (6, 0)


@pytest.mark.parametrize(
    ("tokens", "per_call", "burned"),
    [(0, 0, []), (10, 0, ["t"]), (11, 0, ["t", "c"]), (10, 1, ["t", "c"]), (0, 1, ["c"])],
)
def test_a_call_is_used_only_for_what_the_packs_before_it_leave(
    tokens: int, per_call: int, burned: list[str]
) -> None:
    packs = [pack(), pack(CALLS)]
    burns, _, whole = burn(reserved(packs, 50), tokens, per_call)
    assert [each.pack_id for each in burns] == burned
    assert whole == ("c" in burned)
    assert packs[1].left == 2 - whole
    assert packs[0].held == packs[1].held == 0
