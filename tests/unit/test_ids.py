"""Ids have the forms of bigmodel.cn."""

import os
import re

from openbigmodel.ids import IdSource, tool_call_id


def test_request_id_is_the_time_in_utc_plus_8_and_16_hex_digits() -> None:
    ids = IdSource(lambda: 1789239490.9, lambda size: bytes(range(size)))

    assert ids.request_id() == "202609130258100001020304050607"


def test_request_ids_follow_the_clock() -> None:
    now = [1789239490.0]
    ids = IdSource(lambda: now[0], bytes)
    first = ids.request_id()
    now[0] += 1

    assert ids.request_id()[:14] == "20260913025811"
    assert first[:14] == "20260913025810"


def test_tool_call_ids_count_up_from_a_signed_number() -> None:
    ids = IdSource(random_bytes=lambda size: b"\xff" * size)
    first = ids.tool_call_number()

    assert first == -1
    assert [tool_call_id(first, index) for index in range(2)] == ["call_-1", "call_0"]
    assert all(
        re.fullmatch(r"call_-?\d{1,19}", tool_call_id(IdSource().tool_call_number(), i)) for i in range(9)
    )


def test_one_draw_of_random_bytes_makes_many_ids() -> None:
    draws: list[int] = []

    def random_bytes(size: int) -> bytes:
        draws.append(size)
        return bytes((len(draws) * 32 + index // 8) % 256 for index in range(size))

    ids = IdSource(lambda: 0.0, random_bytes)
    endings = [ids.request_id()[14:] for _ in range(96)]

    assert draws == [256, 256, 256]
    assert endings == [f"{number:02x}" * 8 for number in range(32, 128)]


def test_one_draw_of_random_bytes_makes_many_numbers() -> None:
    draws: list[int] = []

    def random_bytes(size: int) -> bytes:
        draws.append(size)
        return os.urandom(size)

    ids = IdSource(lambda: 0.0, random_bytes)
    numbers = {ids.tool_call_number() for _ in range(64)}

    assert draws == [256, 256]
    assert len(numbers) == 64 and all(-(2**62) <= number < 2**62 for number in numbers)
