"""JWTs that must be refused: the larger part of the credential catalogue (reliability.md §3.3)."""

import base64
import hashlib
import string
from collections.abc import Callable, Iterator

from tests.credential_world import (
    FORGED,
    GOOD_HEADER,
    HOUR_MS,
    MALFORMED,
    Token,
    World,
    base64url,
    mac,
    nested_token,
    sign,
    to_json,
    token_of_size,
)
from tests.jwt_claims import bad_claims

_BASE64URL = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
_CHANGES: dict[str, Callable[[str], str]] = {
    "padded": lambda text: text + "=" * (-len(text) % 4 or 4),
    "a space": lambda text: text + " ",
    "a newline": lambda text: text[:4] + "\\n" + text[4:],
    "a plus": lambda text: text + "+",
    "a slash": lambda text: text + "/",
    "a star": lambda text: "*" + text,
    "a percent": lambda text: text.replace("a", "%61", 1) + "%",
    "a character less": lambda text: text[:-1],
    "a character more": lambda text: text + "A",
    "a tilde": lambda text: text + "~",
}


def bad_tokens(world: World) -> Iterator[Token]:
    yield from _algorithms(world)
    yield from _jwt_headers(world)
    yield from _signatures(world)
    yield from _foreign_secrets(world)
    yield from bad_claims(world)
    yield from _structures(world)
    yield from _encodings(world)


def _algorithms(world: World) -> Iterator[Token]:
    claims, secret = world.claims(), world.key.secret
    for number in range(16):
        none = "".join(c.upper() if number >> i & 1 else c for i, c in enumerate("none"))
        yield f"alg {none}, signed", sign({"alg": none}, claims, secret), MALFORMED
        yield f"alg {none}, unsigned", sign({"alg": none}, claims, secret).rpartition(".")[0] + ".", MALFORMED
        yield f"alg {none}, two parts", sign({"alg": none}, claims, secret).rpartition(".")[0], MALFORMED
    others = [
        "HS384",
        "HS512",
        "RS256",
        "RS384",
        "RS512",
        "ES256",
        "ES384",
        "ES512",
        "ES256K",
        "PS256",
        "PS512",
    ]
    others += [
        "EdDSA",
        "hs256",
        "Hs256",
        "HS256 ",
        " HS256",
        "HS256\n",
        "HS256\0",
        "HS 256",
        "HS-256",
        "HMACSHA256",
    ]
    others += ["ＨＳ256", "SHA256", "dir", "A128KW", "null", "", "*", "HS256,none", "HS25", "HS2566"]
    values: list[object] = [*others, None, 256, 0, True, False, 1.5, [], ["HS256"], {}, {"HS256": "HS256"}]
    for value in values:
        yield f"alg {value!r}", sign({"alg": value, "sign_type": "SIGN"}, claims, secret), MALFORMED
    for name, digest in (("HS384", "sha384"), ("HS512", "sha512")):
        yield f"{name} indeed", sign({"alg": name}, claims, secret, digest), MALFORMED
        yield f"HS256 with the mac of {name}", sign(GOOD_HEADER, claims, secret, digest), MALFORMED
    for name in ("Alg", "ALG", "algorithm", "enc", "alg "):
        yield f"{name} for alg", sign({name: "HS256"}, claims, secret), MALFORMED
    yield "no alg", sign({"sign_type": "SIGN", "typ": "JWT"}, claims, secret), MALFORMED
    yield "empty header", sign({}, claims, secret), MALFORMED


def _jwt_headers(world: World) -> Iterator[Token]:
    claims, secret = world.claims(), world.key.secret
    extras: dict[str, list[object]] = {
        "crit": [[], ["exp"], ["b64"], None, "exp"],
        "kid": ["1", "../../../../dev/null", "' UNION SELECT '", "http://127.0.0.1/key", None, {}],
        "jku": ["https://example.com/keys"],
        "jwk": [{"kty": "oct", "k": base64url(b"secret")}, None],
        "x5u": ["https://example.com/cert"],
        "x5c": [["MIIB"], []],
        "x5t": ["abc"],
        "x5t#S256": ["abc"],
        "zip": ["DEF", None],
        "b64": [False, True],
        "cty": ["JWT", "jwt", None],
        "enc": ["A256GCM"],
        "api_key": [world.key.id],
        "": [""],
        "x": [None, 1, {"y": []}],
        "typ": ["jwt", "Jwt", "JWS", "at+jwt", "application/jwt", "JWT ", "", None, 1, True, ["JWT"], {}],
        "sign_type": ["sign", "Sign", "NONE", "SIGN ", "", None, 0, True, ["SIGN"], {}],
    }
    for name, values in extras.items():
        for value in values:
            yield f"header {name}={value!r}", sign({**GOOD_HEADER, name: value}, claims, secret), MALFORMED


def _signatures(world: World) -> Iterator[Token]:
    token = world.token()
    signed, _, signature = token.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "=")
    for bit in range(256):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        yield f"signature bit {bit} flipped", f"{signed}.{base64url(bytes(flipped))}", FORGED
    for length in (0, 1, 2, 4, 8, 16, 20, 24, 28, 30, 31):
        yield f"signature of {length} bytes", f"{signed}.{base64url(raw[:length])}", MALFORMED
    for length in (33, 48, 64, 128):
        yield f"signature of {length} bytes", f"{signed}.{base64url((raw * 4)[:length])}", MALFORMED
    last = _BASE64URL.index(signature[-1])
    for spare in (1, 2, 3):
        yield (
            f"signature spelled otherwise {spare}",
            f"{signed}.{signature[:-1]}{_BASE64URL[last + spare]}",
            MALFORMED,
        )
    yield "signature padded", f"{token}=", MALFORMED
    yield "signature padded twice", f"{token}==", MALFORMED
    yield "signature in hex", f"{signed}.{raw.hex()}", MALFORMED
    yield "signature doubled", f"{token}{signature}", MALFORMED
    yield "signature a part more", f"{token}.{signature}", MALFORMED
    yield "signature all zero", f"{signed}.{base64url(bytes(32))}", FORGED
    yield "signature all one", f"{signed}.{base64url(bytes([255]) * 32)}", FORGED
    yield "signature reversed", f"{signed}.{base64url(raw[::-1])}", FORGED
    yield (
        "signature is a bare digest",
        f"{signed}.{base64url(hashlib.sha256(signed.encode()).digest())}",
        FORGED,
    )
    yield "signature of the payload", f"{signed}.{mac(world.key.secret, signed.split('.')[1])}", FORGED
    yield "signature of another token", f"{signed}.{world.token(jti=1).rpartition('.')[2]}", FORGED
    for number in range(64):
        # Against a warm cache: all but the last part is what a good token has.
        yield f"tail {number}", f"{signed}.{mac(bytes([number]) * 32, signed)}", FORGED
    for number in range(300):
        odd = world.token(jti=number)
        signature = odd.rpartition(".")[2]
        if "-" in signature and "_" in signature:
            standard = signature.replace("-", "+").replace("_", "/")
            yield "signature in standard base64", f"{odd.rpartition('.')[0]}.{standard}", MALFORMED
            break


def _foreign_secrets(world: World) -> Iterator[Token]:
    key = world.key
    secrets: dict[str, str | bytes] = {
        "nothing": "",
        "the id": key.id,
        "the whole key": str(key),
        "the secret and a newline": key.secret + "\n",
        "the secret and a NUL": key.secret + "\0x",
        "the secret in lower case": key.secret.lower(),
        "the secret in upper case": key.secret.upper(),
        "the secret reversed": key.secret[::-1],
        "the secret less one": key.secret[:-1],
        "the secret and one": key.secret + "0",
        "the secret's digest": hashlib.sha256(key.secret.encode()).digest(),
        "the secret's hex digest": hashlib.sha256(key.secret.encode()).hexdigest(),
        "the secret in base64": base64.b64encode(key.secret.encode()),
        "the secret decoded": base64.b64decode(key.secret + "="),
        "the secret in UTF-16": key.secret.encode("utf-16"),
        "another key's secret": world.other.secret,
        "a disabled key's secret": world.disabled.secret,
        "the previous secret": world.previous_secret,
        "the dummy": "0" * 43,
        "secret": "secret",
        "null": "null",
        "None": "None",
    }
    for name, secret in secrets.items():
        yield f"signed with {name}", sign(GOOD_HEADER, world.claims(), secret), FORGED
        # A bad signature never tells that the token has expired, too.
        expired = world.claims(exp=world.now_ms - HOUR_MS)
        yield f"expired and signed with {name}", sign(GOOD_HEADER, expired, secret), FORGED


def _structures(world: World) -> Iterator[Token]:
    token = world.token()
    header, payload, signature = token.split(".")
    whole = [header, payload, signature]
    shapes = {
        "header only": [header, "", ""],
        "payload only": ["", payload, ""],
        "signature only": ["", "", signature],
        "no header": ["", payload, signature],
        "no payload": [header, "", signature],
        "no signature": [header, payload, ""],
        "two parts": [header, payload],
        "four parts": [*whole, signature],
        "five parts": [*whole, "", signature],
        "empty part between": [header, "", payload, signature],
        "empty part first": ["", *whole],
        "empty part last": [*whole, ""],
        "three empty parts": ["", "", ""],
        "header twice": [header, header, signature],
        "payload twice": [payload, payload, signature],
        "swapped": [payload, header, signature],
        "reversed": [signature, payload, header],
        "encrypted": [header, "", "AAAA", payload, signature],
    }
    for name, parts in shapes.items():
        yield name, ".".join(parts), MALFORMED
    for name, separator in (("spaces", " "), ("commas", ","), ("colons", ":"), ("dots and spaces", ". ")):
        yield f"{name} between", separator.join(whole), MALFORMED
    yield "in quotes", f'"{token}"', MALFORMED
    yield (
        "json serialization",
        to_json({"protected": header, "payload": payload, "signature": signature}).decode(),
        MALFORMED,
    )
    yield from _documents(world)
    yield from _odd_claims(world)


def _documents(world: World) -> Iterator[Token]:
    secret = world.key.secret
    documents: dict[str, bytes] = {
        "null": b"null",
        "true": b"true",
        "number": b"1",
        "string": b'"HS256"',
        "array": b"[]",
        "array of objects": b'[{"alg":"HS256"}]',
        "nothing": b" ",
        "open brace": b"{",
        "closed twice": b"{}}",
        "two objects": b"{}{}",
        "single quotes": b"{'alg':'HS256'}",
        "no quotes": b"{alg:HS256}",
        "trailing comma": b'{"alg":"HS256",}',
        "comment": b'{"alg":"HS256"}//',
        "newline in a string": b'{"alg":"HS\n256"}',
        "NUL after": b'{"alg":"HS256"}\0',
        "NUL before": b'\0{"alg":"HS256"}',
        "BOM": b'\xef\xbb\xbf{"alg":"HS256"}',
        "UTF-16": '{"alg":"HS256"}'.encode("utf-16"),
        "UTF-16LE": '{"alg":"HS256"}'.encode("utf-16-le"),
        "UTF-32": '{"alg":"HS256"}'.encode("utf-32"),
        "cut character": b'{"alg":"HS256\xe4"}',
        "overlong": b'{"alg":"HS256\xc0\xaf"}',
        "raw surrogate": b'{"alg":"HS256","x":"\xed\xa0\x80"}',
        "latin-1": b'{"alg":"HS256","x":"\xe9"}',
        "binary": bytes(range(256)),
    }
    for name, document in documents.items():
        yield f"header is {name}", sign(document, world.claims(), secret), MALFORMED
        yield f"payload is {name}", sign(GOOD_HEADER, document, secret), MALFORMED


def _odd_claims(world: World) -> Iterator[Token]:
    secret = world.key.secret
    body = to_json(world.claims())
    for name, claim in {
        "lone high surrogate": b'"\\ud800"',
        "lone low surrogate": b'"\\udc00"',
        "surrogates reversed": b'"\\udc00\\ud800"',
        "surrogate in a name": b'{"\\udfff":1}',
        "surrogate in an array": b'["\\ud83d"]',
        "NaN": b"NaN",
        "Infinity": b"[-Infinity]",
        "bad escape": b'"\\x41"',
        "short escape": b'"\\u12"',
        "control character": b'"\x01"',
        "raw surrogate": b'"\xed\xb0\x80"',
        "raw byte": b'"\xff"',
        "65 arrays": b"[" * 65 + b"]" * 65,
        "900 objects": b'{"a":' * 400 + b"1" + b"}" * 400,
        "100 empty arrays": b"[" + b",".join([b"[]"] * 100) + b"]",
    }.items():
        yield f"claim with {name}", sign(GOOD_HEADER, body[:-1] + b',"x":' + claim + b"}", secret), MALFORMED
    yield "nested 1000 deep", nested_token(world, 1000), MALFORMED
    yield "header nested", sign(b"[" * 1000, world.claims(), secret), MALFORMED
    for size in (4097, 4100, 5000, 6000):
        yield f"{size} bytes", token_of_size(world, size), MALFORMED


def _encodings(world: World) -> Iterator[Token]:
    secret = world.key.secret
    for index, part in enumerate(("header", "payload")):
        for name, change in _CHANGES.items():
            parts = world.token().split(".")[:2]
            parts[index] = change(parts[index])
            signed = ".".join(parts)
            yield f"{part} with {name}", f"{signed}.{mac(secret, signed)}", MALFORMED
    for number in range(40):
        token = sign(GOOD_HEADER, to_json(world.claims(pad="x" * number)), secret)
        parts = token.split(".")[:2]
        if len(parts[1]) % 4 == 0:
            continue
        last = _BASE64URL.index(parts[1][-1])
        parts[1] = parts[1][:-1] + _BASE64URL[last + 1]
        signed = ".".join(parts)
        yield f"payload spelled otherwise {number}", f"{signed}.{mac(secret, signed)}", MALFORMED
    parts = world.token().split(".")
    yield "a console session", base64url(b"s" * 32), MALFORMED
    yield "a hex session", "ab" * 32, MALFORMED
    yield "a jwt in base64", base64url(".".join(parts).encode()), MALFORMED
    yield "a jwt as a secret", f"{world.key.id}.{parts[0]}.{parts[1]}.{parts[2]}", MALFORMED
    yield "a key as a payload", f"{parts[0]}.{base64url(str(world.key).encode())}.{parts[2]}", MALFORMED
    yield "a jwt's first two parts as a key", f"{parts[0]}.{parts[1]}", MALFORMED
