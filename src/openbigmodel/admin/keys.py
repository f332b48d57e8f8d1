"""Admin commands about API keys.

Rule: a secret is in an answer only where a key is made or revealed, in the field `key`.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator

from openbigmodel.admin.accounts import find_account, key_state
from openbigmodel.admin.known_models import KnownModels, with_warning
from openbigmodel.admin.protocol import AdminError, Answer
from openbigmodel.admin.service import Arguments, Command
from openbigmodel.auth.accounts import KeyRecord, UnknownKey
from openbigmodel.auth.api_keys import KeyKind
from openbigmodel.auth.store import AuthStore
from openbigmodel.billing.periods import moment_name, parse_end
from openbigmodel.credentials import ApiKey

Names = tuple[str, ...]


class CreateKey(Arguments):
    """The lists are all that the key may use; None is no restriction."""

    account: str
    name: str = "key"
    kind: KeyKind = "standard"
    models: Names | None = None
    endpoints: Names | None = None
    networks: Names | None = None
    expires: str | None = None


class ListKeys(Arguments):
    account: str | None = None


class OneKey(Arguments):
    key: str


class RenameKey(Arguments):
    key: str
    name: str


class RotateKey(Arguments):
    key: str
    overlap_s: int = 0


class RestrictKey(Arguments):
    """A list replaces the one that was, an empty one lifts it, None leaves it."""

    key: str
    models: Names | None = None
    endpoints: Names | None = None
    networks: Names | None = None


class ExpireKey(Arguments):
    """`at` None: never."""

    key: str
    at: str | None = None


class KeyCommands:
    """Keys of all accounts."""

    def __init__(
        self,
        auth: AuthStore,
        known: KnownModels,
        now_ms: Callable[[], int],
        note_used: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._auth = auth
        self._known = known
        self._now_ms = now_ms
        self._note_used = note_used

    def commands(self) -> Iterator[Command]:
        """All of them."""
        yield Command("keys.create", CreateKey, self.create)
        yield Command("keys.list", ListKeys, self.list, reads=True)
        yield Command("keys.rename", RenameKey, self.rename)
        yield Command("keys.disable", OneKey, self.disable)
        yield Command("keys.rotate", RotateKey, self.rotate)
        yield Command("keys.restrict", RestrictKey, self.restrict)
        yield Command("keys.expire", ExpireKey, self.expire)
        yield Command("keys.reveal", OneKey, self.reveal)

    async def create(self, wanted: CreateKey) -> Answer:
        """The new key and its secret, told this once."""
        expires_ms = None if wanted.expires is None else parse_end(wanted.expires)
        key = await self._auth.create_key(
            wanted.account,
            wanted.name,
            kind=wanted.kind,
            models=wanted.models,
            endpoints=wanted.endpoints,
            networks=wanted.networks,
            expires_ms=expires_ms,
        )
        warning = self._known.warning(wanted.models)
        if expires_ms is not None and expires_ms <= self._now_ms():
            past = f"The key will never work: it ended at {moment_name(expires_ms)}."
            warning = f"{past} {warning}".rstrip()
        ends = {} if expires_ms is None else {"expires": moment_name(expires_ms)}
        return with_warning(_told(key) | ends, warning)

    async def list(self, wanted: ListKeys) -> Answer:
        """Those of an account, or all; masked, with the moment of their last use."""
        if self._note_used is not None:
            await self._note_used()
        if wanted.account is None:
            pages = self._auth.pages_of_accounts()
        else:
            pages = iter([[find_account(self._auth, wanted.account)]])
        keys = []
        for account in itertools.chain.from_iterable(pages):
            for page in self._auth.pages_of_keys(account.id):
                keys += [self._facts(key) for key in page]
                # Requests are served by the same loop.
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        return {"keys": keys}

    async def rename(self, wanted: RenameKey) -> Answer:
        """The key as it is now."""
        return self._facts(await self._auth.rename_key(wanted.key, wanted.name))

    async def disable(self, wanted: OneKey) -> Answer:
        """The key as it is now; harmless when repeated."""
        await self._auth.disable_key(wanted.key)
        return self._facts(self._record(wanted.key))

    async def rotate(self, wanted: RotateKey) -> Answer:
        """The new key and its secret, told this once, and the old one."""
        key = await self._auth.rotate_key(wanted.key, overlap_s=wanted.overlap_s)
        return _told(key) | {"replaces": self._facts(self._record(wanted.key))}

    async def restrict(self, wanted: RestrictKey) -> Answer:
        """The key as it is now."""
        if wanted.models is None and wanted.endpoints is None and wanted.networks is None:
            raise AdminError("bad_arguments", "Say to what the key shall be restricted.")
        now = self._record(wanted.key)
        key = await self._auth.restrict_key(
            wanted.key,
            models=_list_of(wanted.models, now.models),
            endpoints=_list_of(wanted.endpoints, now.endpoints),
            networks=_list_of(wanted.networks, now.networks),
        )
        return with_warning(self._facts(key), self._known.warning(wanted.models))

    async def expire(self, wanted: ExpireKey) -> Answer:
        """The key as it is now."""
        at_ms = None if wanted.at is None else parse_end(wanted.at)
        return self._facts(await self._auth.set_key_expiry(wanted.key, at_ms))

    async def reveal(self, wanted: OneKey) -> Answer:
        """The secret of a key that the platform made in place of a leaked one, told this once."""
        return _told(await self._auth.reveal_key(wanted.key))

    def _record(self, key_id: str) -> KeyRecord:
        record = self._auth.find_key_record(key_id)
        if record is None:
            raise UnknownKey(key_id)
        return record

    def _facts(self, key: KeyRecord) -> Answer:
        return _facts(key, key_state(key, self._now_ms()))


def _list_of(wanted: Names | None, now: Names | None) -> Names | None:
    return now if wanted is None else wanted or None


def _told(key: ApiKey) -> Answer:
    return {"id": key.id, "key": str(key)}


def _facts(key: KeyRecord, state: str) -> Answer:
    return {
        "id": key.id,
        "account": key.account_id,
        "name": key.name,
        "masked": key.masked,
        "kind": key.kind,
        "state": state,
        "created": moment_name(key.created_ms),
        "last_used": None if key.last_used_ms is None else moment_name(key.last_used_ms),
        "expires": None if key.expires_ms is None else moment_name(key.expires_ms),
        "models": key.models,
        "endpoints": key.endpoints,
        "networks": key.networks,
        "rotated_to": key.rotated_to,
        "leaked": None if key.leaked_ms is None else moment_name(key.leaked_ms),
        "told": key.told,
    }
