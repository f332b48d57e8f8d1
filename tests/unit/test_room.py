"""Room that owners share: what one may have, what is left for others, and that nothing is lost or given back twice."""

from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.room import Room


def test_one_owner_alone_gets_a_third() -> None:
    room = Room(150)
    share = room.share("a")
    assert room.most_for_one == 50
    assert share.take(50)
    assert not share.take(1)
    assert not room.share("a").take(1), "another share is the same owner's"
    assert room.taken == 50


def test_whoever_comes_finds_room_however_many_are_greedy() -> None:
    room = Room(1 << 29)
    for number in range(20):
        share = room.share(f"greedy {number}")
        while share.take(1 << 10):
            pass
    assert room.share("small").take(32 << 10)
    assert not room.share("large").take(1 << 20)


def test_who_holds_much_makes_way_for_others() -> None:
    room = Room(120)
    greedy, other = room.share("a"), room.share("b")
    assert greedy.take(39)
    assert other.take(25)
    assert not greedy.take(1)
    assert other.take(1)
    greedy.leave()
    assert other.take(14)


def test_what_is_taken_is_given_back_once() -> None:
    room = Room(100)
    one, two = room.share("a"), room.share("a")
    assert one.take(10)
    assert two.take(20)
    one.leave()
    one.leave()
    assert room.taken == 20
    assert not one.take(1), "it was over"
    two.leave()
    room.share("b").leave()
    assert room.taken == 0
    assert not room._held


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from("abc"), st.integers(0, 60), st.booleans()), max_size=60
    )
)
def test_nothing_is_ever_beyond_the_bound_and_nothing_is_lost(
    steps: list[tuple[int, str, int, bool]],
) -> None:
    room = Room(100)
    shares = {(number, owner): room.share(owner) for number in range(6) for owner in "abc"}
    held = dict.fromkeys(shares, 0)
    for number, owner, size, leaves in steps:
        key = (number, owner)
        if leaves:
            shares[key].leave()
            shares[key], held[key] = room.share(owner), 0
        elif shares[key].take(size):
            held[key] += size
            mine = sum(found for (_, whose), found in held.items() if whose == owner)
            assert 2 * mine <= 100 - sum(held.values())
        assert room.taken == sum(held.values()) <= 100
    for share in shares.values():
        share.leave()
    assert room.taken == 0
    assert not room._held
