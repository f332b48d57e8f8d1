import asyncio

import pytest

from openbigmodel.admin.protocol import IN_DOUBT, AdminError
from openbigmodel.admin.service import AdminService, Arguments, Command
from openbigmodel.auth.accounts import UnknownKey
from openbigmodel.db.connection import DatabaseBusy, DatabaseFailed
from openbigmodel.errors import ApiError


class Add(Arguments):
    a: int
    b: int = 1


async def add(wanted: Add) -> dict[str, object]:
    return {"sum": wanted.a + wanted.b}


def service(*commands: Command) -> AdminService:
    return AdminService([Command("add", Add, add), *commands])


def refusal(name: str, arguments: dict[str, object], *commands: Command) -> AdminError:
    with pytest.raises(AdminError) as caught:
        asyncio.run(service(*commands).perform(name, arguments))
    return caught.value


def test_a_command_gets_its_arguments() -> None:
    assert asyncio.run(service().perform("add", {"a": 2})) == {"sum": 3}


def test_a_command_that_is_not_known() -> None:
    error = refusal("subtract", {"a": 1})

    assert error.code == "unknown_command"
    assert "subtract" in error.message


@pytest.mark.parametrize("arguments", [{}, {"a": "x"}, {"a": None}, {"a": 1, "c": 2}])
def test_arguments_that_do_not_fit(arguments: dict[str, object]) -> None:
    error = refusal("add", arguments)

    assert error.code == "bad_arguments"
    assert error.message.startswith("add: ")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ApiError("1113"), "1113", "Insufficient balance"),
        (DatabaseBusy("many writes are waiting"), "database", "many writes"),
        (ValueError("the name is too long"), "bad_value", "The name is too long."),
        (UnknownKey("x"), "not_found", "There is no key x."),
        (AdminError("odd", "It is odd."), "odd", "It is odd."),
    ],
)
def test_what_a_command_raises_becomes_a_refusal(error: Exception, code: str, message: str) -> None:
    async def fail(_: Add) -> dict[str, object]:
        raise error

    refused = refusal("fail", {"a": 1}, Command("fail", Add, fail))

    assert refused.code == code
    assert refused.message.startswith(message)


def test_a_bug_stays_a_bug() -> None:
    async def fail(_: Add) -> dict[str, object]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(service(Command("fail", Add, fail)).perform("fail", {"a": 1}))


def test_a_disk_that_failed_leaves_a_doubt_unless_nothing_was_to_be_changed() -> None:
    async def fail(_: Add) -> dict[str, object]:
        raise DatabaseFailed("The database failed: disk I/O error")

    changing = refusal("fail", {"a": 1}, Command("fail", Add, fail))
    assert changing.code in IN_DOUBT
    assert changing.message.endswith(
        "disk I/O error. It may have been carried out: look before you ask again."
    )
    reading = refusal("fail", {"a": 1}, Command("fail", Add, fail, reads=True))
    assert (reading.code, reading.message) == ("database", "The database failed: disk I/O error")
