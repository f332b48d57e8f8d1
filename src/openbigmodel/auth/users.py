"""The people who sign in, in the database: what a role may do is the console's business.

Rule: the last owner of an account leaves last, or nobody there could put a wrong role right.
"""

from collections.abc import Callable, Iterator
from typing import get_args

import apsw

from openbigmodel.auth.accounts import (
    Role,
    UnknownAccount,
    UnknownUser,
    User,
    UserState,
    check_choice,
    check_name,
    check_role,
    check_user,
    user_of,
)
from openbigmodel.db.connection import Database
from openbigmodel.db.queries import QUERIES

_ANY_OTHER_OWNER = QUERIES["any_other_owner"]
_ANY_OTHER_USER = QUERIES["any_other_user"]
_ANY_USER_WITH_EMAIL = QUERIES["any_user_with_email"]
_COUNT_USERS = QUERIES["count_users"]
_DELETE_USER = QUERIES["delete_user"]
_FETCH_ACCOUNT = QUERIES["fetch_account"]
_FETCH_USER = QUERIES["fetch_user"]
_INSERT_USER = QUERIES["insert_user"]
_LIST_ALL_USERS = QUERIES["list_all_users"]
_LIST_USERS = QUERIES["list_users"]
_UPDATE_USER = QUERIES["update_user"]

_USERS_PER_PAGE = 200


class UserStore:
    """Users by id; a part of AuthStore."""

    def __init__(
        self, database: Database, now_ms: Callable[[], int], random_bytes: Callable[[int], bytes]
    ) -> None:
        self._database = database
        self._now_ms = now_ms
        self._random_bytes = random_bytes

    async def add_user(
        self, email: str, role: Role, *, account_id: str | None = None, name: str = ""
    ) -> User:
        """A new user; by `account_id` None one who runs the platform. An address belongs to one user.

        Raises ValueError for what is no address, an address that is taken and a role that does not fit;
        UnknownAccount.
        """
        email = check_user(email, role, account_id)
        name = check_name(name or email.partition("@")[0], "the name of a user")
        user = User(self._new_id(), account_id, email, name, role, "active", self._now_ms())

        def insert(connection: apsw.Connection) -> None:
            if connection.execute(_ANY_USER_WITH_EMAIL, (email,)).fetchall():
                raise ValueError(f"there is a user with the address {email}")
            if account_id is not None and not connection.execute(_FETCH_ACCOUNT, (account_id,)).fetchall():
                raise UnknownAccount(account_id)
            connection.execute(_INSERT_USER, (user.id, account_id, email, name, role, user.created_ms))

        await self._database.write(insert)
        return user

    def list_users(self, account_id: str | None = None) -> list[User]:
        """The users of one account, or all, oldest first; for who can wait for all of them."""
        return [user for page in self.pages_of_users(account_id) for user in page]

    def pages_of_users(self, account_id: str | None = None) -> Iterator[list[User]]:
        """The same, so many at a time as are read in a millisecond."""
        query, owner = (_LIST_ALL_USERS, ()) if account_id is None else (_LIST_USERS, (account_id,))
        created_ms, user_id = -1, ""
        while rows := self._database.read(query, (*owner, created_ms, user_id, _USERS_PER_PAGE)):
            page = [user_of(row) for row in rows]
            yield page
            created_ms, user_id = page[-1].created_ms, page[-1].id

    def count_users(self, account_id: str) -> int:
        """How many users an account has."""
        count: int = self._database.read(_COUNT_USERS, (account_id,))[0][0]
        return count

    async def remove_user(self, user_id: str) -> None:
        """Forgets a user. Raises ValueError for the last owner among others; UnknownUser."""

        def delete(connection: apsw.Connection) -> None:
            user = _fetch_user(connection, user_id)
            _check_leaving(connection, user)
            connection.execute(_DELETE_USER, (user_id,))

        await self._database.write(delete)

    async def update_user(
        self, user_id: str, *, role: Role | None = None, state: UserState | None = None
    ) -> User:
        """Changes what is given, all of it or nothing; a disabled user cannot sign in.

        Raises ValueError for a role that does not fit, and for the last owner; UnknownUser.
        """
        if state is not None:
            check_choice(state, get_args(UserState), "the state")

        def update(connection: apsw.Connection) -> User:
            user = _fetch_user(connection, user_id)
            if role is not None:
                check_role(role, user.account_id)
            if role not in (None, "owner") or state not in (None, "active"):
                _check_leaving(connection, user)
            connection.execute(_UPDATE_USER, (user_id, role, state))
            return _fetch_user(connection, user_id)

        return await self._database.write(update)

    def _new_id(self) -> str:
        """128 random bits: 32 hex digits."""
        return self._random_bytes(16).hex()


def _fetch_user(connection: apsw.Connection, user_id: str) -> User:
    rows = connection.execute(_FETCH_USER, (user_id,)).fetchall()
    if not rows:
        raise UnknownUser(user_id)
    return user_of(rows[0])


def _check_leaving(connection: apsw.Connection, user: User) -> None:
    """Raises ValueError if others of the account would be left without an owner."""
    if user.role != "owner" or user.state != "active":
        return
    if connection.execute(_ANY_OTHER_USER, (user.id,)).fetchall() and not (
        connection.execute(_ANY_OTHER_OWNER, (user.id,)).fetchall()
    ):
        raise ValueError(f"{user.email} is the only owner of the account; make somebody else an owner first")
