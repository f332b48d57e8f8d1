"""Several upstream keys as one: conversations stay, a key that cannot serve is left alone, and nobody is locked out."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.engines.upstream_keys import (
    UpstreamKey,
    UpstreamKeys,
    seconds_to_reset,
)
from openbigmodel.errors import ERROR_CODES

# 2026-09-10 00:00 in Beijing.
WALL_S = 1_788_969_600.0
TEXTS = [f"key{number:02d}.secret{number:02d}" for number in range(5)]
_CHANCE = random.Random(3)
STICKY = [_CHANCE.getrandbits(64) for _ in range(2000)]
OF_MODEL = ["1113", "1304", "1311"]
OF_KEY = ["1000", "1112", "1308", "1309", "1310", "1315", "1318"]
BUSY = ["1302", "1303", "1313"]


def pool(count: int = 5) -> UpstreamKeys:
    return UpstreamKeys(TEXTS[:count], lambda: WALL_S)


def homes(keys: UpstreamKeys, now_s: float = 0.0, model: str = "m") -> dict[int, str]:
    return {sticky: keys.choose(sticky, model, now_s).name for sticky in STICKY}


def key_named(keys: UpstreamKeys, name: str) -> UpstreamKey:
    return next(each for each in keys._keys if each.name == name)


def test_conversations_spread_evenly_and_stay() -> None:
    keys = pool()
    counts = Counter(homes(keys).values())
    assert len(counts) == len(keys) == 5
    assert min(counts.values()) > 340
    assert homes(keys) == homes(keys, 1e6) == homes(pool(), model="another")


@pytest.mark.parametrize("code", [*OF_MODEL, *OF_KEY, *BUSY])
def test_only_the_conversations_of_a_key_that_is_set_aside_move_and_they_come_back(code: str) -> None:
    keys = pool()
    before = homes(keys)
    seconds = keys.refused(key_named(keys, "key 2"), code, "m", 0.0)
    assert seconds == (2.0 if code in BUSY else 1800.0)
    after = homes(keys, seconds - 0.1)
    moved = {sticky for sticky in STICKY if before[sticky] != after[sticky]}
    assert moved == {sticky for sticky in STICKY if before[sticky] == "key 2"}
    assert set(after.values()) == {"key 1", "key 3", "key 4", "key 5"}
    assert homes(keys, seconds) == before


def test_the_order_in_the_settings_does_not_matter() -> None:
    turned = UpstreamKeys(TEXTS[::-1], lambda: WALL_S)
    for sticky in STICKY[:100]:
        assert turned.choose(sticky, "m", 0.0).text == pool().choose(sticky, "m", 0.0).text


@pytest.mark.parametrize("code", [*OF_MODEL, *BUSY])
def test_what_is_said_of_a_model_holds_for_that_model(code: str) -> None:
    keys = pool(2)
    keys.refused(key_named(keys, "key 1"), code, "m", 0.0)
    assert set(homes(keys).values()) == {"key 2"}
    assert set(homes(keys, model="n").values()) == {"key 1", "key 2"}


@pytest.mark.parametrize("code", OF_KEY)
def test_what_is_said_of_a_key_holds_for_all_models(code: str) -> None:
    keys = pool(2)
    keys.refused(key_named(keys, "key 1"), code, "m", 0.0)
    assert set(homes(keys, model="n").values()) == {"key 2"}


@pytest.mark.parametrize("code", ["", "1210", "1214", "1261", "1301", "1305", "1312", "1234", "500"])
def test_what_is_not_the_keys_matter_changes_nothing(code: str) -> None:
    keys = pool()
    before = homes(keys)
    assert keys.refused(key_named(keys, "key 1"), code, "m", 0.0) == 0.0
    assert homes(keys) == before


def test_a_plan_is_left_alone_until_its_limit_is_reset() -> None:
    keys = pool(2)
    text = "Usage limit reached for 5 hour. Your limit will reset at 2026-09-10 04:24:36"
    seconds = keys.refused(key_named(keys, "key 1"), "1308", "m", 0.0, text=text)
    assert seconds == 4 * 3600 + 24 * 60 + 36
    assert set(homes(keys, seconds - 1).values()) == {"key 2"}
    assert set(homes(keys, seconds).values()) == {"key 1", "key 2"}


@pytest.mark.parametrize(("retry_after_s", "seconds"), [(None, 2.0), (7.0, 7.0), (1e6, 30.0), (-1.0, 0.0)])
def test_a_busy_key_is_left_alone_for_as_long_as_the_upstream_says(
    retry_after_s: float | None, seconds: float
) -> None:
    keys = pool(2)
    assert keys.refused(key_named(keys, "key 1"), "1302", "m", 0.0, retry_after_s=retry_after_s) == seconds


def test_a_request_that_met_a_busy_key_may_try_another_one() -> None:
    keys = pool(2)
    keys.refused(key_named(keys, "key 1"), "1302", "m", 0.0)
    assert keys.has_other("m", 0.0)
    keys.refused(key_named(keys, "key 2"), "1302", "m", 0.0)
    assert not keys.has_other("m", 0.0)
    assert keys.has_other("n", 0.0)
    assert keys.has_other("m", 2.0)


def test_when_all_are_set_aside_the_one_due_soonest_is_used() -> None:
    keys = pool(3)
    keys.refused(key_named(keys, "key 1"), "1113", "m", 0.0)
    keys.refused(key_named(keys, "key 2"), "1302", "m", 0.0)
    keys.refused(key_named(keys, "key 3"), "1308", "m", 0.0)
    assert set(homes(keys).values()) == {"key 2"}


def test_a_single_key_is_used_whatever_it_has_met() -> None:
    keys = pool(1)
    keys.refused(key_named(keys, "key 1"), "1113", "m", 0.0)
    assert set(homes(keys).values()) == {"key 1"}
    assert not keys.has_other("m", 0.0)


def test_a_key_that_works_is_no_longer_set_aside() -> None:
    keys = pool(2)
    key = key_named(keys, "key 1")
    for code in ("1113", "1308"):
        keys.refused(key, code, "m", 0.0)
    keys.refused(key, "1113", "n", 0.0)
    key.worked("m")
    assert set(homes(keys).values()) == {"key 1", "key 2"}
    assert set(homes(keys, model="n").values()) == {"key 2"}, "not in the plan is not in the plan"
    key.worked("n")
    assert set(homes(keys, model="n").values()) == {"key 1", "key 2"}


EVENT = st.tuples(
    st.integers(0, 3),
    st.sampled_from([*OF_MODEL, *OF_KEY, *BUSY, "1305", "worked"]),
    st.sampled_from("mn"),
    st.floats(0, 900),
)


@given(st.lists(EVENT, max_size=40), st.sampled_from(STICKY))
def test_a_permanent_refusal_is_met_once_as_long_as_another_key_is_left(
    events: list[tuple[int, str, str, float]], sticky: int
) -> None:
    """Against a plain table of who is set aside for what, and until when."""
    keys, now_s = pool(4), 0.0
    table: dict[tuple[str, str], float] = {}
    for index, code, model, seconds in events:
        now_s += seconds
        key = keys._keys[index]
        if code == "worked":
            key.worked(model)
            table[key.name, ""] = table[key.name, model] = -1.0
        elif aside_s := keys.refused(key, code, model, now_s):
            table[key.name, "" if code in OF_KEY else model] = now_s + aside_s
        for asked in "mn":
            free = {
                each.name
                for each in keys._keys
                if max(table.get((each.name, ""), -1.0), table.get((each.name, asked), -1.0)) <= now_s
            }
            chosen = keys.choose(sticky, asked, now_s)
            assert keys.has_other(asked, now_s) is bool(free)
            assert chosen.name in free or not free
            if len(free) == 4:
                assert chosen.name == pool(4).choose(sticky, asked, now_s).name


def test_a_key_never_shows_itself() -> None:
    key = UpstreamKey("abc.xyz", "key 1")
    assert key.text == "abc.xyz"
    assert "xyz" not in f"{key!r} {key} {UpstreamKeys(['abc.xyz'], lambda: 0.0)!r}"


# when a limit is reset


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("您的限额将在 2026-09-10 01:00:00 重置。", 3600.0),
        ("2026-09-10 00:00:05, 2026-09-10 00:00:10", 10.0),
        ("reset at 2026-09-09 23:00:00", 1.0),
        ("reset at 2036-01-01 00:00:00", 8 * 86_400.0),
        ("reset at 2026-13-41 00:00:00", None),
        ("reset at 2026-09-10", None),
    ],
)
def test_a_reset_time_is_beijings(text: str, seconds: float | None) -> None:
    assert seconds_to_reset(text, WALL_S) == seconds


def test_every_code_used_here_is_one_of_the_table() -> None:
    assert {*OF_MODEL, *OF_KEY, *BUSY} <= set(ERROR_CODES)
