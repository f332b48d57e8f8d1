"""Whatever is changed in whichever order, a server that remembers credentials says what one says that just started."""

import asyncio
import random
from pathlib import Path

import pytest

from openbigmodel.auth.api_keys import Authenticator
from openbigmodel.credentials import ApiKey, sign_jwt
from openbigmodel.errors import ApiError
from tests.conftest import SCALE
from tests.unit.auth.store_bench import StoreBench, create_account, run

SEEDS = range(max(2, round(4 * SCALE)))
STEPS = 80
KEYS_MAX = 10


class Walk:
    """Random changes to a few accounts and keys."""

    def __init__(self, bench: StoreBench, seed: int) -> None:
        self.bench = bench
        self.random = random.Random(seed)
        self.accounts: list[str] = []
        self.credentials: list[str] = []
        self.keys: list[ApiKey] = []

    async def begin(self) -> None:
        for number in range(2):
            account = await create_account(self.bench.store, str(number), rotate_leaked=bool(number))
            self.accounts.append(account.id)
            for _ in range(2):
                self.add(await self.bench.store.create_key(account.id, "key"))

    def add(self, key: ApiKey) -> None:
        self.keys.append(key)
        self.credentials += [str(key), sign_jwt(key, self.bench.now_ms, self.random.choice((500, 10**6)))]

    async def step(self) -> None:
        store, choose = self.bench.store, self.random.choice
        account_id, key_id = choose(self.accounts), choose(self.keys).id
        what = self.random.randrange(10)
        if what == 0:
            await store.update_account(account_id, state=choose(("active", "active", "locked")))
        elif what == 1:
            await store.update_account(account_id, tier=choose(("V0", "V1")), exempt=choose((True, False)))
        elif what == 2:
            await store.set_key_expiry(key_id, choose((None, self.bench.now_ms + 700)))
        elif what == 3:
            await store.restrict_key(
                key_id, models=choose((None, ["glm-5"])), networks=choose((None, ["::1"]))
            )
        elif what == 4 and len(self.keys) < KEYS_MAX:
            self.add(await store.create_key(account_id, "key", kind=choose(("standard", "coding"))))
        elif what == 5 and len(self.keys) < KEYS_MAX:
            try:
                self.add(await store.rotate_key(key_id, overlap_s=1))
            except ValueError:
                pass  # it has ended, or was rotated before
        elif what == 6 and self.random.random() < 0.3:
            await store.disable_key(key_id)
        elif what == 7:
            await store.flag_leaked(key_id, overlap_s=1)
        else:
            self.bench.now_ms += self.random.randrange(600)

    def disagreements(self) -> list[str]:
        fresh = Authenticator(self.bench.store, now_ms=lambda: self.bench.now_ms)
        return [
            f"{credential[:40]}: {remembered} instead of {judged}"
            for credential in self.credentials
            if (remembered := verdict(self.bench.authenticator, credential))
            != (judged := verdict(fresh, credential))
        ]


def verdict(authenticator: Authenticator, credential: str) -> str:
    try:
        return repr(authenticator.authenticate(credential.encode()))
    except ApiError as error:
        return error.code


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_remembered_is_what_is_true(tmp_path: Path, seed: int) -> None:
    async def scenario(bench: StoreBench) -> None:
        walk = Walk(bench, seed)
        await walk.begin()
        for step in range(STEPS):
            await walk.step()
            assert walk.disagreements() == [], f"seed {seed}, step {step}"

    run(tmp_path, scenario)


@pytest.mark.parametrize("listeners", ["_key_listeners", "_account_listeners"])
def test_a_store_that_announces_nothing_is_found_out(tmp_path: Path, listeners: str) -> None:
    async def scenario(bench: StoreBench) -> None:
        getattr(bench.store, listeners).clear()
        walk = Walk(bench, 1)
        await walk.begin()
        found = []
        for _ in range(STEPS):
            found += walk.disagreements()
            await walk.step()
            await asyncio.sleep(0)
        assert found

    run(tmp_path, scenario)
