"""The claims of the JWT catalogue: times, key ids, and names that come twice."""

import base64
from collections.abc import Iterator

from tests.credential_world import (
    DAY_MS,
    EXPIRED,
    FORGED,
    GOOD_HEADER,
    HOUR_MS,
    MALFORMED,
    MINUTE_MS,
    SECOND_MS,
    UNKNOWN,
    Token,
    World,
    sign,
)


def bad_claims(world: World) -> Iterator[Token]:
    yield from _times(world)
    yield from _key_claims(world)
    yield from _duplicates(world)


def _times(world: World) -> Iterator[Token]:
    now = world.now_ms
    expired = {
        "1 ms": 1,
        "1 s": SECOND_MS,
        "1 min": MINUTE_MS,
        "1 h": HOUR_MS,
        "1 day": DAY_MS,
        "1 year": 365 * DAY_MS,
    }
    for name, age_ms in expired.items():
        made = now - age_ms - 3 * MINUTE_MS
        yield f"exp {name} ago", world.token(exp=now - age_ms, timestamp=made), EXPIRED
        yield f"exp {name} ago, timestamp now", world.token(exp=now - age_ms), EXPIRED
    for name, exp in (
        ("now", now),
        ("0", 0),
        ("1", 1),
        ("-1", -1),
        ("negative", -now),
        ("far negative", -(10**30)),
    ):
        yield f"exp {name}", world.token(exp=exp), EXPIRED
    for name, ahead_s in (("an hour", 3600), ("a year", 365 * 86_400), ("a century", 36_525 * 86_400)):
        yield f"exp in seconds, {name} ahead", world.token(exp=now // 1000 + ahead_s), EXPIRED
    yield "both in seconds", world.token(exp=now // 1000 + 3600, timestamp=now // 1000), EXPIRED
    yield "timestamp in seconds", world.token(timestamp=now // 1000), EXPIRED
    yield "timestamp 0", world.token(timestamp=0), EXPIRED
    yield "timestamp negative", world.token(timestamp=-now), EXPIRED
    yield "no exp, no timestamp", world.token(exp=..., timestamp=...), MALFORMED
    yield from _odd_times(world)


def _odd_times(world: World) -> Iterator[Token]:
    now = world.now_ms
    soon = now + HOUR_MS
    odd: list[object] = [..., None, str(soon), float(soon), soon + 0.5, True, False, [], [soon], {}, ""]
    odd += [
        {"ms": soon},
        "9999999999999",
        "never",
        "0x19f",
        10**18,
        10**30,
        soon * 1000,
        soon * 1_000_000,
        1e300,
    ]
    for name in ("exp", "timestamp"):
        for value in odd:
            yield (
                f"{name} {'missing' if value is ... else repr(value)}",
                world.token(**{name: value}),
                MALFORMED,
            )
    for name, number in (
        ("exponent", "1.7e12"),
        ("int exponent", "179e10"),
        ("fraction", f"{soon}.0"),
        ("-0.0", "-0.0"),
    ):
        yield f"exp as {name}", sign(GOOD_HEADER, _with_exp(world, number), world.key.secret), MALFORMED
    for number in (
        "NaN",
        "Infinity",
        "-Infinity",
        f"0{soon}",
        f"+{soon}",
        f"{soon}n",
        f"0x{soon:x}",
        "1_000",
        f"{soon}.",
    ):
        yield f"exp {number}", sign(GOOD_HEADER, _with_exp(world, number), world.key.secret), MALFORMED
    for name, ahead_ms in (
        ("10 min", 10 * MINUTE_MS),
        ("20 min", 20 * MINUTE_MS),
        ("1 h", HOUR_MS),
        ("1 day", DAY_MS),
    ):
        late = world.token(timestamp=now + ahead_ms, exp=now + ahead_ms + HOUR_MS)
        yield f"timestamp {name} ahead", late, MALFORMED
    yield (
        "timestamp after exp",
        world.token(timestamp=now + 4 * MINUTE_MS, exp=now + 2 * MINUTE_MS),
        MALFORMED,
    )
    for name in ("Exp", "EXP", "expires", "exp "):
        yield f"{name} for exp", world.token(exp=..., **{name: soon}), MALFORMED
    yield "iat for timestamp", world.token(timestamp=..., iat=now), MALFORMED


def _with_exp(world: World, number: str) -> bytes:
    return f'{{"api_key":"{world.key.id}","exp":{number},"timestamp":{world.now_ms}}}'.encode()


def _key_claims(world: World) -> Iterator[Token]:
    key = world.key
    odd: list[object] = [..., None, 1, 0, True, [], [key.id], {}, {"id": key.id}, 1.5]
    for value in odd:
        yield f"api_key {'missing' if value is ... else repr(value)}", world.token(api_key=value), MALFORMED
    strings = {
        "empty": "",
        "whole key": str(key),
        "upper": key.id.upper(),
        "space after": f"{key.id} ",
        "newline after": f"{key.id}\n",
        "NUL after": f"{key.id}\0",
        "NUL": "\0",
        "look-alike": key.id.replace("0", "О").replace("a", "а") + "а",
        "full width": "０" + key.id[1:],
        "combining": f"{key.id}\u0301",
        "right to left": f"\u202e{key.id}",
        "quote": "'",
        "sql": "' OR '1'='1",
        "sql union": f"{key.id}' UNION SELECT 1--",
        "like": "%",
        "path": "../master.key",
        "star": "*",
        "null": "null",
        "nobody": "0" * 32,
        "prefix": key.id[:-1],
        "longer": f"{key.id}0",
        "2 KB": "a" * 2000,
        "secret": key.secret,
        "emoji": "🔑",
        "url": "http://127.0.0.1:1/",
    }
    for name, text in strings.items():
        yield f"api_key is {name}", world.token(api_key=text), UNKNOWN
        yield (
            f"api_key is {name}, signed with nothing",
            sign(GOOD_HEADER, world.claims(api_key=text), ""),
            UNKNOWN,
        )
    yield "api_key of 10 kB", world.token(api_key="a" * 10_000), MALFORMED
    yield "api_key of another account", world.token(api_key=world.other.id), FORGED
    for name, secret in (("its secret", world.disabled.secret), ("another secret", key.secret)):
        for when, exp in (("", world.now_ms + HOUR_MS), (", expired", world.now_ms - HOUR_MS)):
            claims = world.claims(api_key=world.disabled.id, exp=exp)
            yield f"disabled key with {name}{when}", sign(GOOD_HEADER, claims, secret), UNKNOWN
    for name in ("apikey", "apiKey", "API_KEY", "key", "sub", "iss"):
        yield f"{name} for api_key", world.token(api_key=..., **{name: key.id}), MALFORMED


def _duplicates(world: World) -> Iterator[Token]:
    now, secret = world.now_ms, world.key.secret
    members = {
        "api_key": (f'"{world.key.id}"', f'"{world.other.id}"'),
        "exp": (str(now + HOUR_MS), str(now - HOUR_MS)),
        "timestamp": (str(now), str(now + HOUR_MS)),
    }
    good = {name: values[0] for name, values in members.items()}
    for name, (right, wrong) in members.items():
        for order, first, second in (
            ("good, bad", right, wrong),
            ("bad, good", wrong, right),
            ("same", right, right),
        ):
            rest = "".join(f',"{other}":{value}' for other, value in good.items() if other != name)
            twice = f'{{"{name}":{first},"{name}":{second}{rest}}}'
            yield f"{name} twice: {order}", sign(GOOD_HEADER, twice.encode(), secret), MALFORMED
            apart = f'{{"{name}":{first}{rest},"{name}":{second}}}'
            yield f"{name} twice, apart: {order}", sign(GOOD_HEADER, apart.encode(), secret), MALFORMED
    escaped = world.token().split(".")[1]
    payload = base64.urlsafe_b64decode(escaped + "=" * (-len(escaped) % 4)).decode()
    hidden = payload[:-1] + ',"\\u0065xp":1}'
    yield "exp again, with an escape", sign(GOOD_HEADER, hidden.encode(), secret), MALFORMED
    for name, inner in (
        ("object", '{"a":1,"a":2}'),
        ("array", '[{"a":1,"a":1}]'),
        ("deeper", '{"b":{"a":1,"a":2}}'),
    ):
        nested = payload[:-1] + f',"x":{inner}}}'
        yield f"a name twice in an {name}", sign(GOOD_HEADER, nested.encode(), secret), MALFORMED
    for text in (
        '{"alg":"HS256","alg":"none"}',
        '{"alg":"none","alg":"HS256"}',
        '{"alg":"HS256","alg":"HS256"}',
        '{"alg":"HS256","typ":"JWT","typ":"JWT"}',
        '{"alg":"HS256","sign_type":"SIGN","sign_type":"SIGN"}',
        '{"alg":"HS256","\\u0061lg":"HS256"}',
    ):
        yield f"header {text}", sign(text.encode(), payload.encode(), secret), MALFORMED
