"""The whole catalogue of credentials against the Authenticator on a real database."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt as pyjwt
import pytest

from openbigmodel.auth.api_keys import Authenticator, unix_ms
from openbigmodel.auth.store import AuthStore
from openbigmodel.credentials import ApiKey, new_api_key, parse_api_key
from openbigmodel.db.connection import Database
from openbigmodel.errors import ApiError
from tests.credential_catalogue import Headers, World, bad_bytes, bad_credentials, good_credentials
from tests.unit.auth.store_bench import create_account

Judge = Callable[[Headers], str | None]


async def make_world(store: AuthStore) -> World:
    """Two accounts with a key each, and a disabled key."""
    key, other, disabled = [
        await store.create_key((await create_account(store, name)).id, name)
        for name in ("one", "two", "three")
    ]
    await store.disable_key(disabled.id)
    previous = store._master_key.secret(key.id, 2)
    return World(unix_ms(), key, other, disabled, previous)


def judge_of(authenticator: Authenticator) -> Judge:
    def judge(headers: Headers) -> str | None:
        values = [value for name, value in headers if name == b"authorization"]
        if len(values) > 1:
            return "1002"  # the edge refuses the head of such a request
        try:
            authenticator.authenticate(values[0] if values else None)
        except ApiError as error:
            return error.code if error.status == 401 else f"status {error.status}"
        return None

    return judge


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[World, Judge, Database]]:
    loop = asyncio.new_event_loop()
    database = Database.open(tmp_path / "x.db", loop=loop)
    store = AuthStore(database, tmp_path)
    world = loop.run_until_complete(make_world(store))
    yield world, judge_of(Authenticator(store)), database
    database.close()
    loop.close()


def test_the_catalogue_is_large_and_has_no_name_twice(server: tuple[World, Judge, Database]) -> None:
    world, _, _ = server
    names = [name for name, _, _ in (*bad_credentials(world), *bad_bytes(world))]
    names += [name for name, _ in good_credentials(world)]
    assert [name for name, times in Counter(names).items() if times > 1] == []
    assert len(list(bad_credentials(world))) >= 800
    assert len(list(good_credentials(world))) >= 40


def test_every_bad_credential_is_refused_with_its_code(server: tuple[World, Judge, Database]) -> None:
    world, judge, database = server
    pages = database.read("PRAGMA data_version")
    good = list(good_credentials(world))
    # Against a warm cache first: whatever resembles a credential that was proved must still be proved itself.
    for _ in range(2):
        assert [name for name, headers in good if judge(headers) is not None] == []
        wrong = [
            (name, code, sorted(codes))
            for name, headers, codes in (*bad_credentials(world), *bad_bytes(world))
            if (code := judge(headers)) not in codes
        ]
        assert wrong == []
    assert database.read("PRAGMA data_version") == pages


def test_every_good_credential_is_taken(server: tuple[World, Judge, Database]) -> None:
    world, judge, _ = server
    assert [
        (name, code) for name, headers in good_credentials(world) if (code := judge(headers)) is not None
    ] == []


def test_tokens_of_a_real_library_are_taken(server: tuple[World, Judge, Database]) -> None:
    world, judge, _ = server
    for lifetime_ms in (180_000, 210_000, 2_100_000, 86_400_000):
        claims = {"api_key": world.key.id, "exp": world.now_ms + lifetime_ms, "timestamp": world.now_ms}
        for headers in ({"alg": "HS256", "sign_type": "SIGN"}, {"sign_type": "SIGN"}, {}):
            token = pyjwt.encode(claims, world.key.secret, algorithm="HS256", headers=headers)
            assert judge([(b"authorization", b"Bearer " + token.encode())]) is None
            assert judge([(b"authorization", token.encode())]) is None


def naive(world: World) -> Judge:
    """What a program does that trusts a JWT library: the negative control of this catalogue."""
    keys = {key.id: key for key in (world.key, world.other)}

    def judge(headers: Headers) -> str | None:
        text = dict(headers).get(b"authorization", b"").decode("latin-1").removeprefix("Bearer ")
        key: ApiKey | None = parse_api_key(text)
        if key is not None:
            return None if keys.get(key.id) == key else "1000"
        try:
            unproved = pyjwt.decode(text, options={"verify_signature": False})
            pyjwt.decode(text, keys[unproved["api_key"]].secret, algorithms=["HS256"])
        except pyjwt.ExpiredSignatureError:
            return "1003"
        except (pyjwt.PyJWTError, KeyError, TypeError, ValueError, RecursionError):
            return "1002"
        return None

    return judge


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
def test_a_naive_verifier_fails_the_catalogue(server: tuple[World, Judge, Database]) -> None:
    world, _, _ = server
    judge = naive(world)
    taken = {name for name, headers, _ in bad_credentials(world) if judge(headers) is None}
    # Milliseconds read as seconds: an hour-old token expires in the year 58,000.
    assert {"jwt exp 1 h ago", "jwt exp 1 year ago", "jwt exp in seconds, an hour ahead"} <= taken
    assert "jwt exp twice: good, bad" in taken
    assert len(taken) > 50


def test_the_catalogue_knows_its_own_key(server: tuple[World, Judge, Database]) -> None:
    world, judge, _ = server
    stranger = new_api_key(bytes)
    assert judge([(b"authorization", str(world.key).encode())]) is None
    assert judge([(b"authorization", str(stranger).encode())]) == "1000"
