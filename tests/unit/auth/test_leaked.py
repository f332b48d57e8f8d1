import asyncio
import json
import os
from pathlib import Path

import pytest

from openbigmodel.auth.accounts import FlaggedKey
from openbigmodel.auth.api_keys import KnownKey, Principal
from openbigmodel.auth.leaked import LEAK_MARK, LeakWatch, Where, without_secrets
from openbigmodel.credentials import ApiKey, new_api_key, new_key_id
from tests.unit.auth.store_bench import StoreBench, create_account, run


class Keys:
    """Keys in memory; flagging waits for `go`."""

    def __init__(self, *keys: KnownKey) -> None:
        self.keys = {key.principal.api_key_id: key for key in keys}
        self.looked_up: list[str] = []
        self.flagged: list[str] = []
        self.error: Exception | None = None
        self.go = asyncio.Event()

    def find_key(self, key_id: str) -> KnownKey | None:
        self.looked_up.append(key_id)
        return self.keys.get(key_id)

    async def flag_leaked(self, key_id: str, *, overlap_s: int) -> FlaggedKey | None:
        await self.go.wait()
        if self.error is not None:
            raise self.error
        self.flagged.append(key_id)
        return FlaggedKey(key_id, "account", None)


def known(key: ApiKey, *, active: bool = True, leaked: bool = False) -> KnownKey:
    return KnownKey(Principal("account", key.id), key.secret, active, leaked=leaked)


KEY, OTHER = new_api_key(os.urandom), new_api_key(os.urandom)
SPELLINGS = {
    "alone": str(KEY),
    "in JSON": json.dumps({"messages": [{"role": "user", "content": f"my key is {KEY}\nkeep it"}]}),
    "in a query": f"key={KEY}&x=1",
    "with an escaped dot": str(KEY).replace(".", "%2E"),
    "with an escaped dot in small letters": str(KEY).replace(".", "%2e"),
    "glued to a word": f"x{KEY}y",
    "twice": f"{KEY} {KEY}",
    "in a Chinese sentence": f"密钥是{KEY}。",
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_a_whole_key_is_found(text: str) -> None:
    keys = Keys(known(KEY))
    assert list(LeakWatch(keys, print).find_leaked(text.encode())) == [(KEY.id, False)]
    assert keys.looked_up == [KEY.id]


@pytest.mark.parametrize(
    "text",
    ["", LEAK_MARK.decode(), KEY.id, f"{KEY.id}.", f"{KEY.id}.short", f"{KEY.id} {KEY.secret}", KEY.secret],
    ids=["nothing", "mark", "id", "id and dot", "short secret", "id and secret apart", "secret"],
)
def test_less_than_a_key_is_not_looked_up(text: str) -> None:
    keys = Keys(known(KEY))
    assert list(LeakWatch(keys, print).find_leaked(text.encode())) == []
    assert keys.looked_up == []


def test_only_a_right_secret_of_an_active_key_counts() -> None:
    disabled, unknown = new_api_key(os.urandom), new_api_key(os.urandom)
    keys = Keys(known(KEY), known(OTHER, leaked=True), known(disabled, active=False))
    text = f"{KEY.id}.{OTHER.secret} {unknown} {disabled} {OTHER}"
    assert list(LeakWatch(keys, print).find_leaked(text.encode())) == [(OTHER.id, True)]
    # The work is the same for all of them.
    assert keys.looked_up == [KEY.id, unknown.id, disabled.id, OTHER.id]


def test_an_id_whose_checksum_is_wrong_is_not_looked_up() -> None:
    keys = Keys(known(KEY))
    wrong = KEY.id[:-1] + ("0" if KEY.id[-1] != "0" else "1")
    assert list(LeakWatch(keys, print).find_leaked(f"{wrong}.{KEY.secret}".encode())) == []
    assert keys.looked_up == []


def test_a_text_full_of_keys_costs_no_more_than_a_few_look_ups() -> None:
    keys = Keys()
    text = " ".join(f"{new_key_id(os.urandom)}.{KEY.secret}" for _ in range(1000)).encode()
    assert list(LeakWatch(keys, print).find_leaked(text)) == []
    assert len(keys.looked_up) == 8
    keys.looked_up.clear()
    worthless = (LEAK_MARK + b"0" * 24 + b"." + KEY.secret.encode() + b" ") * 1000
    assert list(LeakWatch(keys, print).find_leaked(worthless)) == []
    assert keys.looked_up == []


def test_a_find_is_flagged_once_and_named_by_its_id() -> None:
    async def main() -> None:
        keys, report = Keys(known(KEY)), list[str]()
        watch = LeakWatch(keys, report.append)
        # Before the first flag is on disk, and in one text with another key.
        for text in (str(KEY), f"x {KEY} {OTHER}"):
            watch.look(text.encode(), "body")
        keys.go.set()
        await settled(watch)
        assert keys.flagged == [KEY.id]
        assert watch.seen == {"body": 2, "url": 0}
        assert watch.counts() == {("body",): 2.0, ("url",): 0.0}
        assert report == [
            f"API key {KEY.id} was seen in the body of a request: flagged as leaked; disable or rotate it"
        ]
        keys.keys[KEY.id] = known(KEY, leaked=True)
        watch.look(str(KEY).encode(), "url")
        await settled(watch)
        assert keys.flagged == [KEY.id]
        assert watch.seen == {"body": 2, "url": 1}

    asyncio.run(main())


def test_what_could_not_be_flagged_is_tried_again() -> None:
    async def main() -> None:
        keys, report = Keys(known(KEY)), list[str]()
        keys.go.set()
        keys.error = OSError("the disk is full")
        watch = LeakWatch(keys, report.append)
        watch.look(str(KEY).encode(), "url")
        await settled(watch)
        assert report == [
            f"API key {KEY.id} was seen in the URL of a request and could not be flagged: the disk is full"
        ]
        keys.error = None
        watch.look(str(KEY).encode(), "url")
        await settled(watch)
        assert keys.flagged == [KEY.id]

    asyncio.run(main())


@pytest.mark.parametrize("where", ["body", "url"])
def test_with_a_real_store_a_key_is_replaced(tmp_path: Path, where: Where) -> None:
    async def scenario(bench: StoreBench) -> None:
        report = list[str]()
        watch = LeakWatch(bench.store, report.append)
        account = await create_account(bench.store, "team", rotate_leaked=True)
        key = await bench.store.create_key(account.id, "one")
        bench.now_ms += 1
        watch.look(str(key).encode(), where)
        await settled(watch)
        record, successor = bench.store.list_keys(account.id)
        assert record.leaked_ms is not None
        assert record.rotated_to == successor.id
        assert len(report) == 1
        assert f"ends within 3600 s, replaced by {successor.id}" in report[0]
        assert key.secret not in report[0]
        # Another server, or a watch that has not heard of it: told once.
        assert await bench.store.flag_leaked(key.id, overlap_s=60) is None
        again = list[str]()
        await LeakWatch(bench.store, again.append)._flag(key.id, where)
        assert again == []

    run(tmp_path, scenario)


def test_a_line_for_the_log_has_no_secret() -> None:
    assert without_secrets("/v1/models/glm-5") == "/v1/models/glm-5"
    for text in SPELLINGS.values():
        assert KEY.secret not in without_secrets(text)
    assert without_secrets(f"/x/{KEY}/y") == f"/x/{KEY.id}.***/y"
    # Not even half of it.
    assert without_secrets(f"/x/{KEY.id}.{KEY.secret[:20]}") == f"/x/{KEY.id}.***"
    # As much of a key as fits into a request id.
    assert without_secrets(str(KEY)[:64]) == f"{KEY.id}.***"


async def settled(watch: LeakWatch) -> None:
    await asyncio.gather(*watch._flagging.values())


def test_with_a_real_store_a_key_that_was_flagged_before_is_replaced_when_it_is_seen_again(
    tmp_path: Path,
) -> None:
    async def scenario(bench: StoreBench) -> None:
        report = list[str]()
        watch = LeakWatch(bench.store, report.append)
        account = await create_account(bench.store, "team")
        key = await bench.store.create_key(account.id, "one")
        for _ in range(2):
            watch.look(str(key).encode(), "body")
            await settled(watch)
        await bench.store.update_account(account.id, rotate_leaked=True)
        for _ in range(3):
            bench.now_ms += 1
            watch.look(str(key).encode(), "body")
            await settled(watch)
        record, successor = bench.store.list_keys(account.id)
        assert record.rotated_to == successor.id
        assert ["replaced by" in line for line in report] == [False, True]
        assert watch.seen["body"] == 5

    run(tmp_path, scenario)
