"""What is kept about accounts, their keys and their users, and how the database's rows become that.

Rule: nothing here holds a secret but its last four characters, which tell a person one key from another.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Any, Literal, get_args

import msgspec

from openbigmodel.auth.api_keys import KeyKind
from openbigmodel.auth.restrictions import Restrictions, parse_networks

# By spending, lowest first (api.md §9.1).
TIERS = ("V0", "V1", "V2", "V3")

AccountState = Literal["active", "locked"]
Role = Literal["owner", "member", "viewer", "operator"]
UserState = Literal["active", "disabled"]

_NAME_CHARACTERS_MAX = 100
_EMAIL_CHARACTERS_MAX = 254
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


class Account(msgspec.Struct, frozen=True):
    """Who owns keys, limits and money.

    `operator`: the platform's own account. `exempt`: without limits and price. `tier`: by which limits are chosen.
    `rotate_leaked`: whether a key of theirs that was seen where no key belongs is replaced at once.
    """

    id: str
    name: str
    operator: bool
    created_ms: int
    exempt: bool = False
    tier: str = "V0"
    state: AccountState = "active"
    rotate_leaked: bool = False


class KeyRecord(msgspec.Struct, frozen=True):
    """A key as a list shows it. The restrictions are None where everything is allowed.

    `masked`: the key with its secret hidden but for the last four characters. `rotated_to`: the id of the key that
    takes its place. `leaked_ms`: when it was first seen where no key belongs. `told`: False while nobody has been
    told the secret, see `AuthStore.reveal_key`.
    """

    id: str
    account_id: str
    kind: KeyKind
    version: int
    name: str
    state: str
    created_ms: int
    last_used_ms: int | None
    expires_ms: int | None
    models: tuple[str, ...] | None
    endpoints: tuple[str, ...] | None
    networks: tuple[str, ...] | None
    rotated_to: str | None
    leaked_ms: int | None
    told: bool
    masked: str


class User(msgspec.Struct, frozen=True):
    """A person who signs in. Those with the role `operator` run the platform and belong to no account."""

    id: str
    account_id: str | None
    email: str
    name: str
    role: Role
    state: UserState
    created_ms: int


class FlaggedKey(msgspec.Struct, frozen=True):
    """A key that was flagged as leaked; `rotated_to` is the key that takes its place, if one was made."""

    id: str
    account_id: str
    rotated_to: str | None


class NotFound(LookupError):  # noqa: N818 - it names the state.
    """There is nothing with this id."""


class UnknownAccount(NotFound):
    """There is no account with this id."""

    def __init__(self, account_id: str) -> None:
        super().__init__(f"there is no account {account_id}")


class UnknownKey(NotFound):
    """There is no key with this id."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no key {key_id}")


class UnknownUser(NotFound):
    """There is no user with this id."""

    def __init__(self, user_id: str) -> None:
        super().__init__(f"there is no user {user_id}")


def account_of(row: tuple[Any, ...]) -> Account:
    """A row of `fetch_account` or `list_accounts`."""
    account_id, name, operator, created_ms, exempt, tier, state, rotate_leaked = row
    return Account(
        account_id, name, bool(operator), created_ms, bool(exempt), tier, state, bool(rotate_leaked)
    )


def key_record_of(row: tuple[Any, ...], secret: str) -> KeyRecord:
    """A row of `fetch_key_record` or `list_keys`; `secret` is the key's."""
    key_id, account_id, kind, version, name, state, created_ms, last_used_ms, expires_ms, *rest = row
    models, endpoints, networks, rotated_to, leaked_ms, told = rest
    return KeyRecord(
        id=key_id,
        account_id=account_id,
        kind=kind,
        version=version,
        name=name,
        state=state,
        created_ms=created_ms,
        last_used_ms=last_used_ms,
        expires_ms=expires_ms,
        models=_texts(models),
        endpoints=_texts(endpoints),
        networks=_texts(networks),
        rotated_to=rotated_to,
        leaked_ms=leaked_ms,
        told=bool(told),
        masked=f"{key_id}.***{secret[-4:]}",
    )


def user_of(row: tuple[Any, ...]) -> User:
    """A row of `fetch_user` or `list_users`."""
    return User(*row)


@lru_cache(maxsize=1024)
def restrictions_of(models: str | None, endpoints: str | None, networks: str | None) -> Restrictions | None:
    """The three columns of a key; None if it has no restriction.

    Remembered, so that a look-up takes no longer for a key that has some: its time must not tell strangers.
    """
    if models is None and endpoints is None and networks is None:
        return None
    allowed_models, allowed_endpoints, allowed_networks = map(_texts, (models, endpoints, networks))
    return Restrictions(
        None if allowed_models is None else frozenset(allowed_models),
        None if allowed_endpoints is None else frozenset(allowed_endpoints),
        None if allowed_networks is None else parse_networks(allowed_networks),
    )


def columns_of(restrictions: Restrictions) -> tuple[str | None, str | None, str | None]:
    """The opposite of `restrictions_of`."""
    models, endpoints, networks = restrictions.models, restrictions.endpoints, restrictions.networks
    return (
        None if models is None else _json(sorted(models)),
        None if endpoints is None else _json(sorted(endpoints)),
        None if networks is None else _json([str(network) for network in networks]),
    )


def check_name(text: str, what: str) -> str:
    """A name that people will read in lists. Raises ValueError for one that would not show as what it is."""
    name = text.strip()
    if not name or len(name) > _NAME_CHARACTERS_MAX:
        raise ValueError(f"{what} must have 1 to {_NAME_CHARACTERS_MAX} characters")
    if any(unicodedata.category(character).startswith(("C", "Zl", "Zp")) for character in name):
        raise ValueError(f"{what} must not contain control characters")
    return name


def check_choice(text: str, choices: tuple[str, ...], what: str) -> None:
    """Raises ValueError for a word that is none of the choices."""
    if text not in choices:
        raise ValueError(f"{what} must be one of {', '.join(choices)}")


def check_tier(tier: str) -> None:
    """Raises ValueError for a tier that there is not."""
    check_choice(tier, TIERS, "the tier")


def check_user(email: str, role: str, account_id: str | None) -> str:
    """The address as it is kept. Raises ValueError for what is no address, and for a role that does not fit."""
    email = email.strip()
    if len(email) > _EMAIL_CHARACTERS_MAX or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise ValueError(f"{email!r} is no e-mail address")
    check_role(role, account_id)
    return email


def check_role(role: str, account_id: str | None) -> None:
    """Raises ValueError for a role that there is not, or not for somebody of this account (None: of none)."""
    check_choice(role, get_args(Role), "the role")
    if (role == "operator") != (account_id is None):
        raise ValueError("operators belong to no account, and owners, members and viewers to one")


def _texts(column: str | None) -> tuple[str, ...] | None:
    return None if column is None else msgspec.json.decode(column, type=tuple[str, ...])


def _json(texts: list[str]) -> str:
    return msgspec.json.encode(texts).decode()
