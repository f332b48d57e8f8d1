"""Credentials that must be refused, with the codes that may say so, and credentials that must be taken.

A generator, so that the same catalogue can be run against the Authenticator and over HTTP:

    bad_credentials    header values that any HTTP server passes on
    bad_bytes          values that HTTP itself may refuse (control characters, size, a header twice)
    good_credentials   the controls

Tokens are put together by hand, not with the code under test.
"""

import base64
import json
from collections.abc import Iterator

from openbigmodel.credentials import ApiKey
from tests.credential_world import (
    ABSENT,
    DAY_MS,
    GOOD_HEADER,
    HOUR_MS,
    MALFORMED,
    MINUTE_MS,
    UNKNOWN,
    Headers,
    World,
    nested_token,
    sign,
    to_json,
    token_of_size,
)
from tests.jwt_catalogue import bad_tokens

__all__ = ["Case", "Headers", "World", "bad_bytes", "bad_credentials", "good_credentials"]

Case = tuple[str, Headers, frozenset[str]]


def bad_credentials(world: World) -> Iterator[Case]:
    yield from _no_credential(world)
    yield from _schemes(world)
    yield from _api_keys(world)
    for name, token, codes in bad_tokens(world):
        yield f"jwt {name}", [(b"authorization", b"Bearer " + token.encode())], codes


def bad_bytes(world: World) -> Iterator[Case]:
    key, token = str(world.key).encode(), world.token().encode()
    for name, credential in (("key", key), ("jwt", token)):
        for byte in (*range(0x20), 0x7F, 0x80, 0xA0, 0xFF):
            odd = bytes([byte])
            yield (
                f"{name} then byte {byte:#x}",
                [(b"authorization", b"Bearer " + credential + odd)],
                MALFORMED,
            )
            yield (
                f"byte {byte:#x} in {name}",
                [(b"authorization", credential[:9] + odd + credential[9:])],
                MALFORMED,
            )
            yield f"byte {byte:#x} then {name}", [(b"authorization", odd + credential)], MALFORMED
        yield f"{name} and space", [(b"authorization", b"Bearer " + credential + b" ")], MALFORMED
        yield f"space and {name}", [(b"authorization", b" " + credential)], MALFORMED
        bearer = (b"authorization", b"Bearer " + credential)
        yield f"{name} twice", [bearer, bearer], MALFORMED
        yield f"{name} and rubbish", [bearer, (b"authorization", b"Bearer x")], MALFORMED
        yield f"rubbish and {name}", [(b"authorization", b"Bearer x"), bearer], MALFORMED
        yield f"{name} and empty", [bearer, (b"authorization", b"")], MALFORMED
    yield "full-width key", [(b"authorization", "Bearer ａｂｃ．ｄｅｆ".encode())], MALFORMED
    for size in (64 * 1024, 1024 * 1024):
        for name, filler in (("letters", b"a"), ("dots", b"."), ("braces", b"{"), ("spaces", b" ")):
            yield f"{size} {name}", [(b"authorization", b"Bearer " + filler * size)], MALFORMED
        yield f"jwt of {size}", [(b"authorization", world.token(pad="x" * size).encode())], MALFORMED
    yield "jwt nested 10000 deep", [(b"authorization", nested_token(world, 10_000).encode())], MALFORMED


def good_credentials(world: World) -> Iterator[tuple[str, Headers]]:
    for name, credential in _good_values(world):
        yield name, [(b"authorization", credential)]


def _no_credential(world: World) -> Iterator[Case]:
    key = str(world.key).encode()
    yield "no headers", [], ABSENT
    yield "empty", [(b"authorization", b"")], ABSENT
    for name in (b"x-api-key", b"proxy-authorization", b"cookie", b"x-authorization", b"api-key", b"token"):
        for value in (key, b"Bearer " + key, b"Authorization=" + key):
            yield f"{name.decode()}: {value[:6].decode()}", [(name, value)], ABSENT
    yield "in the user agent", [(b"user-agent", b"Bearer " + key)], ABSENT


def _schemes(world: World) -> Iterator[Case]:
    for kind, credential in (("key", str(world.key).encode()), ("jwt", world.token().encode())):
        for name, value in (
            ("basic", b"Basic " + base64.b64encode(credential)),
            ("basic plain", b"Basic " + credential),
            ("token", b"Token " + credential),
            ("digest", b"Digest " + credential),
            ("apikey", b"ApiKey " + credential),
            ("negotiate", b"Negotiate " + credential),
            ("two schemes", b"Bearer Bearer " + credential),
            ("two spaces", b"Bearer  " + credential),
            ("tab", b"Bearer\t" + credential),
            ("space and tab", b"Bearer \t" + credential),
            ("colon", b"Bearer: " + credential),
            ("parameter", b'Bearer token="' + credential + b'"'),
            ("quotes", b'Bearer "' + credential + b'"'),
            ("single quotes", b"Bearer '" + credential + b"'"),
            ("angle brackets", b"Bearer <" + credential + b">"),
            ("list", b"Bearer " + credential + b", Bearer " + credential),
            ("list without space", b"Bearer " + credential + b",Bearer x"),
            ("list first", b"Bearer x, " + credential),
            ("semicolon", b"Bearer " + credential + b";"),
            ("comma", b"Bearer " + credential + b","),
            ("and more", b"Bearer " + credential + b" x"),
            ("twice", b"Bearer " + credential + b" " + credential),
            ("percent", b"Bearer " + credential.replace(b".", b"%2e")),
            ("backslash", b"Bearer " + credential + b"\\n"),
            ("name again", b"Authorization: Bearer " + credential),
            ("bear", b"Bear " + credential),
            ("bearers", b"Bearers " + credential),
        ):
            yield f"{kind} scheme: {name}", [(b"authorization", value)], MALFORMED
        # A key with such an id could exist.
        codes = UNKNOWN if kind == "key" else MALFORMED
        yield f"{kind} scheme: no space", [(b"authorization", b"Bearer" + credential)], codes
        yield f"{kind} scheme: equals", [(b"authorization", b"Bearer=" + credential)], codes
    for alone in (b"Bearer", b"bearer", b"Basic", b"."):
        yield f"{alone.decode()} alone", [(b"authorization", alone)], MALFORMED


def _api_keys(world: World) -> Iterator[Case]:
    for table, codes in ((_malformed_keys(world.key), MALFORMED), (_unknown_keys(world), UNKNOWN)):
        for name, text in table.items():
            yield f"key {name}", [(b"authorization", b"Bearer " + text.encode())], codes
            if " " not in text:
                yield f"bare key {name}", [(b"authorization", text.encode())], codes


def _malformed_keys(key: ApiKey) -> dict[str, str]:
    return {
        "id alone": key.id,
        "secret alone": key.secret,
        "no secret": f"{key.id}.",
        "no id": f".{key.secret}",
        "two dots": f"{key.id}..{key.secret}",
        "dot before": f".{key}",
        "dot after": f"{key}.",
        "dots only": "..",
        "four parts": f"{key.id}.a.b.c",
        "colon": f"{key.id}:{key.secret}",
        "space inside": f"{key.id}. {key.secret}",
        "sql": f"{key.id}.' OR '1'='1",
        "sql id": f"' OR 1=1 --.{key.secret}",
        "sql comment": f"{key.id}--.{key.secret};",
        "path": f"../../{key}",
        "percent": f"%00{key}",
        "wildcard": f"*.{key.secret}",
        "sql wildcard": f"%.{key.secret}",
        "braces": f"{{{key}}}",
        "dollar": f"${{{key}}}",
        "257 bytes": f"{key.id}.{'a' * (257 - 33)}",
        "4 KiB": f"{key.id}.{'a' * 4000}",
        "openai": "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789",
        "uuid": "123e4567-e89b-12d3-a456-426614174000",
        "null": "null",
        "undefined": "undefined",
        "environment": "$ZAI_API_KEY",
        "placeholder": "<your api key>",
    }


def _unknown_keys(world: World) -> dict[str, str]:
    key, other = world.key, world.other
    unknown = {
        "wrong secret": f"{key.id}.{other.secret}",
        "other id": f"{other.id}.{key.secret}",
        "disabled": str(world.disabled),
        "disabled, wrong secret": f"{world.disabled.id}.{key.secret}",
        "previous secret": f"{key.id}.{world.previous_secret}",
        "secret is the id": f"{key.id}.{key.id}",
        "swapped": f"{key.secret}.{key.id}",
        "lower secret": f"{key.id}.{key.secret.lower()}",
        "upper secret": f"{key.id}.{key.secret.upper()}",
        "upper id": f"{key.id.upper()}.{key.secret}",
        "id with dash": f"{key.id[:8]}-{key.id[8:]}.{key.secret}",
        "one more": f"{key}A",
        "padded": f"{key}=",
        "dummy secret": f"{key.id}.{'0' * 43}",
        "dummy secret of nobody": f"{'0' * 32}.{'0' * 43}",
        "short": "a.b",
        "null.null": "null.null",
        "undefined.undefined": "undefined.undefined",
        "256 bytes": f"{key.id}.{'a' * (256 - 33)}",
        "bigmodel": "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp",
        "coding": "sk-cp-0123456789.abcdefghijklmnop",
    }
    for length in range(1, len(key.secret)):
        unknown[f"first {length} of the secret"] = f"{key.id}.{key.secret[:length]}"
    for index in range(len(key.secret)):
        wrong = "a" if key.secret[index] != "a" else "b"
        unknown[f"secret wrong at {index}"] = f"{key.id}.{key.secret[:index]}{wrong}{key.secret[index + 1 :]}"
    for index in range(len(key.id)):
        wrong = "a" if key.id[index] != "a" else "b"
        unknown[f"id wrong at {index}"] = f"{key.id[:index]}{wrong}{key.id[index + 1 :]}.{key.secret}"
    return unknown


def _good_values(world: World) -> Iterator[tuple[str, bytes]]:
    key, other, now = str(world.key).encode(), str(world.other).encode(), world.now_ms
    for scheme in (b"Bearer", b"bearer", b"BEARER", b"bEaReR"):
        yield f"{scheme.decode()} key", scheme + b" " + key
        yield f"{scheme.decode()} jwt", scheme + b" " + world.token().encode()
    yield "bare key", key
    yield "other key", b"Bearer " + other
    yield "bare other key", other
    yield "bare jwt", world.token().encode()
    tokens = {
        f"lifetime {ms} ms": world.token(exp=now + ms)
        for ms in (MINUTE_MS, 180_000, 210_000, 2_100_000, DAY_MS)
    }
    tokens |= {f"exp {days} days ahead": world.token(exp=now + days * DAY_MS) for days in (2, 30, 365, 3650)}
    tokens |= {
        f"made {age} ms ago": world.token(timestamp=now - age) for age in (1, 180_000, HOUR_MS, DAY_MS)
    }
    tokens |= {
        f"clock ahead {ms} ms": world.token(timestamp=now + ms) for ms in (1, 1000, MINUTE_MS, 4 * MINUTE_MS)
    }
    headers: list[object] = [
        {"alg": "HS256"},
        {"alg": "HS256", "typ": "JWT"},
        {"typ": "JWT", "alg": "HS256"},
        {"alg": "HS256", "sign_type": "SIGN", "typ": "JWT"},
        {"sign_type": "SIGN", "alg": "HS256"},
        b'{ "alg" : "HS256" }',
        b'\n{"alg":\t"HS256"}\r\n',
        b'{"\\u0061lg":"HS\\u0032\\u0035\\u0036"}',
    ]
    tokens |= {f"header {header!r}": sign(header, world.claims(), world.key.secret) for header in headers}
    extras: list[object] = [
        None,
        True,
        1.5,
        1e400,
        "智谱",
        "😀",
        [],
        {},
        {"a": [1, {"b": None}]},
        -1,
        10**40,
        "x" * 2000,
    ]
    tokens |= {f"claim {extra!r:.20}": world.token(x=extra) for extra in extras if extra != 1e400}
    body = to_json(world.claims())
    for claim in (b'"\\ud83d\\ude00"', b'"\\\\ud800"', b"1e400", b'"\\u0000"', b"[" * 60 + b"]" * 60, b"-0"):
        tokens[f"claim {claim[:20]!r}"] = sign(
            GOOD_HEADER, body[:-1] + b',"x":' + claim + b"}", world.key.secret
        )
    tokens["registered claims"] = world.token(
        iat=now // 1000, nbf=now * 2, iss="x", sub="y", aud=["z"], jti="1"
    )
    tokens["claims in another order"] = sign(
        GOOD_HEADER, dict(reversed(world.claims().items())), world.key.secret
    )
    tokens["spaces in the payload"] = sign(
        GOOD_HEADER, json.dumps(world.claims(), indent=2).encode(), world.key.secret
    )
    tokens["other key's"] = sign(GOOD_HEADER, world.claims(api_key=world.other.id), world.other.secret)
    tokens["4090 bytes"] = token_of_size(world, 4090)
    for name, token in tokens.items():
        yield f"jwt {name}", b"Bearer " + token.encode()
        yield f"bare jwt {name}", token.encode()
