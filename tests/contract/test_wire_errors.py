"""Refusals: what is judged before what, how it is told, and that nothing a caller sends is a fault of ours."""

import json
import time
from typing import Any

import pytest

from openbigmodel.credentials import ApiKey, parse_api_key, sign_jwt
from tests.contract.client_runs import WRONG_KEY
from tests.contract.live_server import LiveServer
from tests.contract.wire import (
    BASES,
    GREETING,
    JSON_TYPE,
    PAAS,
    Answer,
    ask,
    bearer,
    chat,
    error_of,
    exchange,
    post,
)

pytestmark = pytest.mark.timeout(180)
MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
CHAT = {"model": "glm-4.6", "messages": GREETING}
AUTH_CODES = {"1000", "1001", "1002", "1003", "1004"}


def key_of(server: LiveServer) -> ApiKey:
    key = parse_api_key(server.key)
    assert key is not None
    return key


def now_ms() -> int:
    return int(time.time() * 1000)


def refused(server: LiveServer, value: str, body: object = CHAT) -> str:
    """The code with which a credential is refused."""
    answer = post(server, body, headers=[("Authorization", value)])
    assert answer.status == 401, answer.body
    return error_of(answer)[0]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("body", [b"garbage", b"", b"\xff" * 100, b'{"model":'], ids=str)
def test_the_credential_is_judged_before_the_body(server: LiveServer, base: str, body: bytes) -> None:
    assert post(server, body, base=base, headers=[]).json["error"]["code"] == "1001"
    answer = post(server, body, base=base, headers=[("Authorization", f"Bearer {WRONG_KEY}")])
    assert (answer.status, error_of(answer)[0]) == (401, "1000")


def test_a_refused_caller_need_not_send_the_body(server: LiveServer) -> None:
    head = f"POST {PAAS}/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
    for more in ("", "Expect: 100-continue\r\n"):
        received = exchange(server, (head + more + f"Authorization: {WRONG_KEY}\r\n\r\n").encode())
        assert received.startswith(b"HTTP/1.1 401 ")
        assert received.count(b"HTTP/1.1") == 1


def test_codes_of_bad_credentials(server: LiveServer) -> None:
    key, now = key_of(server), now_ms()
    assert error_of(post(server, CHAT, headers=[])) == (
        "1001",
        "Header中未收到Authorization参数，无法进行身份验证。",
    )
    assert refused(server, f"Bearer {WRONG_KEY}") == "1000"
    assert refused(server, f"Bearer {key.id}.wrong") == "1000"
    assert refused(server, f"Bearer {sign_jwt(key, now - 2 * MINUTE_MS, MINUTE_MS)}") == "1003"
    assert refused(server, f"Bearer {sign_jwt(ApiKey(key.id, 'wrong'), now, MINUTE_MS)}") == "1004"
    assert refused(server, f"Bearer {sign_jwt(key, now + 10 * MINUTE_MS, MINUTE_MS)}") in AUTH_CODES
    for value in ("Bearer", "Bearer ", "Basic YTpi", "x", "a.b.c", "Bearer a b", server.key + ".x", "."):
        assert refused(server, value) in AUTH_CODES


def test_all_forms_of_a_good_credential(server: LiveServer) -> None:
    key, now = key_of(server), now_ms()
    jwt = sign_jwt(key, now, 3 * MINUTE_MS)
    ahead = sign_jwt(key, now + 4 * MINUTE_MS, MINUTE_MS)
    day = sign_jwt(key, now, DAY_MS)
    for value in (
        server.key,
        f"Bearer {server.key}",
        f"bearer {server.key}",
        jwt,
        f"Bearer {jwt}",
        day,
        ahead,
    ):
        answer = post(server, CHAT | {"max_tokens": 1}, headers=[("Authorization", value)])
        assert answer.status == 200, (value, answer.body)


def test_two_credentials_are_refused_even_if_both_are_good(server: LiveServer) -> None:
    good = f"Bearer {server.key}"
    jwt = sign_jwt(key_of(server), now_ms(), MINUTE_MS)
    for first, second in ((good, good), (good, jwt), (good, WRONG_KEY), (WRONG_KEY, good)):
        answer = post(server, CHAT, headers=[("Authorization", first), ("authorization", second)])
        assert answer.status == 401
        assert error_of(answer)[0] in AUTH_CODES


def test_the_edge_s_refusals_look_like_all_others(server: LiveServer) -> None:
    good = ("Authorization", f"Bearer {server.key}")
    by_the_edge = post(server, CHAT, headers=[good, good, ("Accept-Language", "en")])
    assert by_the_edge.header("content-type") == JSON_TYPE
    # Two sentences, with a full stop between them.
    assert ". " in error_of(by_the_edge)[1]


def test_failures_from_this_machine_lock_nobody_out(server: LiveServer) -> None:
    for _ in range(60):
        assert refused(server, WRONG_KEY) == "1000"
    chat(server, max_tokens=1)


def test_texts_follow_the_caller_s_language(server: LiveServer) -> None:
    texts = {
        language: error_of(post(server, CHAT, headers=[("Accept-Language", language)]))[1]
        for language in ("zh-CN,zh;q=0.9", "en-US,en", "en;q=0.5,zh", "fr")
    }
    assert texts["en-US,en"].startswith("Authentication parameter not received")
    assert len({texts[language] for language in ("zh-CN,zh;q=0.9", "en;q=0.5,zh", "fr")}) == 1


BAD: list[tuple[object, str, str]] = [
    (b"", "1210", ""),
    (b"{", "1210", ""),
    (b"not json", "1210", ""),
    (b"\xff\xfe{}", "1210", ""),
    (b"[]", "1214", ""),
    (b"null", "1214", ""),
    ({}, "1213", "model"),
    ({"model": "glm-4.6"}, "1213", "messages"),
    ({"messages": GREETING}, "1213", "model"),
    (CHAT | {"model": "glm-none"}, "1211", ""),
    (CHAT | {"model": ""}, "1211", ""),
    (CHAT | {"model": 7}, "1214", "model"),
    (CHAT | {"messages": []}, "1214", "messages"),
    (CHAT | {"messages": "hello"}, "1214", "messages"),
    (CHAT | {"messages": [{"role": "system", "content": "x"}]}, "1214", "messages"),
    (CHAT | {"messages": [*GREETING, {"role": "robot", "content": "x"}]}, "1214", "messages[1].role"),
    (CHAT | {"messages": [{"content": "x"}]}, "1213", "messages[0].role"),
    (CHAT | {"messages": [{"role": "user"}]}, "1213", "messages[0].content"),
    (CHAT | {"messages": [{"role": "user", "content": 7}]}, "1214", "messages[0].content"),
    (
        CHAT
        | {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "1210",
        "messages[0].content[0].type",
    ),
    (CHAT | {"max_tokens": 0}, "1210", "max_tokens"),
    (CHAT | {"max_tokens": 10**9}, "1210", "[1,131072]"),
    (CHAT | {"max_tokens": "many"}, "1214", "max_tokens"),
    (CHAT | {"temperature": 1.5}, "1214", "temperature"),
    (CHAT | {"top_p": 0}, "1214", "top_p"),
    (CHAT | {"stop": ["a"] * 5}, "1214", "stop"),
    (CHAT | {"stream": "yes"}, "1214", "stream"),
    (CHAT | {"thinking": {"type": "maybe"}}, "1214", "thinking.type"),
    (CHAT | {"tools": [{"type": "function"}]}, "1213", "tools[0].function"),
    (CHAT | {"tools": [{"type": "function", "function": {"name": "a b"}}]}, "1214", "tools[0].function.name"),
    (CHAT | {"request_id": "x" * 65}, "1214", "request_id"),
    (CHAT | {"response_format": {"type": "xml"}}, "1214", "response_format.type"),
]


@pytest.mark.parametrize(("body", "code", "named"), BAD, ids=[str(index) for index in range(len(BAD))])
def test_a_bad_request_is_told_which_field(server: LiveServer, body: object, code: str, named: str) -> None:
    for language in ("zh", "en"):
        answer = post(server, body, headers=[*bearer(server), ("Accept-Language", language)])
        assert answer.status == 400, answer.body
        found, text = error_of(answer)
        assert found == code
        assert named in text


NASTY: dict[str, bytes] = {
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep, closed": b'{"model":"glm-4.6","messages":[],"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "deep in content": b'{"model":"glm-4.6","messages":[{"role":"user","content":'
    + b"[" * 5000
    + b"]" * 5000
    + b"}]}",
    "deep in a tool": json.dumps(CHAT).encode()[:-1]
    + b',"tools":[{"type":"function","function":{"name":"f","parameters":'
    + b'{"a":' * 800
    + b"1"
    + b"}" * 800
    + b"}}]}",
    "deep in arguments": json.dumps(
        CHAT
        | {
            "messages": [
                *GREETING,
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": "1", "function": {"name": "f", "arguments": '{"a":' * 800 + "1" + "}" * 800}}
                    ],
                },
            ]
        }
    ).encode(),
    "NaN": b'{"model":"glm-4.6","messages":[{"role":"user","content":"x"}],"temperature":NaN}',
    "NaN unseen": b'{"model":"glm-4.6","messages":[{"role":"user","content":"x"}],"unknown":NaN}',
    "Infinity": b'{"model":"glm-4.6","messages":[{"role":"user","content":"x"}],"top_p":-Infinity}',
    "huge float": b'{"model":"glm-4.6","messages":[{"role":"user","content":"x"}],"max_tokens":1e999}',
    "huge integer": b'{"model":"glm-4.6","messages":[{"role":"user","content":"x"}],"max_tokens":'
    + b"9" * 5000
    + b"}",
    "huge seed": b'{"model":"glm-4.6","messages":[{"role":"user","content":"x"}],"seed":' + b"9" * 30 + b"}",
    "huge request_id": b'{"model":"glm-4.6","messages":[{"role":"user","content":"x"}],"request_id":1e308}',
    "half a number": b'{"model":"glm-4.6","messages":[],"max_tokens":1e}',
    "surrogate in content": b'{"model":"glm-4.6","messages":[{"role":"user","content":"a\\ud800b"}],"max_tokens":2}',
    "surrogate in a key": b'{"model":"glm-4.6","messages":[{"role":"user","content":"x"}],"\\udc00":1,"max_tokens":2}',
    "surrogate in model": b'{"model":"glm-4.6\\ud800","messages":[{"role":"user","content":"x"}]}',
    "surrogate in request_id": b'{"model":"glm-4.6","messages":[{"role":"user","content":"x"}],"request_id":"\\udfff1234567","max_tokens":2}',
    "surrogate in stop": b'{"model":"glm-4.6","messages":[{"role":"user","content":"x"}],"stop":"\\ud83d","max_tokens":2}',
    "surrogate in a schema": b'{"model":"glm-4.6","messages":[{"role":"user","content":"x"}],"max_tokens":2,"tools":'
    b'[{"type":"function","function":{"name":"f","parameters":{"\\ud800":1}}}]}',
    "raw surrogate": b'{"model":"glm-4.6","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
    "cut UTF-8": b'{"model":"glm-4.6","messages":[{"role":"user","content":"\xe4\xbd"}]}',
    "overlong UTF-8": b'{"model":"glm-4.6","messages":[{"role":"user","content":"\xc0\xaf"}]}',
    "NUL": b'{"model":"glm-4.6","messages":[{"role":"user","content":"a\\u0000b"}],"max_tokens":2}',
    "raw NUL": b'{"model":"glm-4.6","messages":[{"role":"user","content":"a\x00b"}]}',
    "BOM": b"\xef\xbb\xbf" + json.dumps(CHAT | {"max_tokens": 2}).encode(),
    "keys that are not ASCII": json.dumps(
        CHAT | {"模型": 1, "é": 2, "max_tokens": 2}, ensure_ascii=False
    ).encode(),
    "a key twice": b'{"model":"glm-4.6","model":"glm-4.6","messages":[{"role":"user","content":"x"}],"max_tokens":2}',
    "special tokens": json.dumps(
        CHAT
        | {
            "messages": [{"role": "user", "content": "<|user|><|endoftext|></think>[gMASK]<sop>"}],
            "max_tokens": 2,
        }
    ).encode(),
    "template words": json.dumps(
        CHAT
        | {"messages": [{"role": "user", "content": "{{ raise_exception('x') }}{% for %}"}], "max_tokens": 2}
    ).encode(),
    "a schema that is none": json.dumps(
        CHAT
        | {
            "max_tokens": 2,
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": {"type": ["string", 7], "$ref": "#"}},
                }
            ],
        }
    ).encode(),
    "a schema that refers to itself": json.dumps(
        CHAT
        | {
            "max_tokens": 8,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "#"}}},
        }
    ).encode(),
    "a regular expression that never ends": json.dumps(
        CHAT
        | {
            "max_tokens": 8,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": {"type": "string", "pattern": "^((((a+)+)+)+)+$"}},
            },
        }
    ).encode(),
    "a grammar that is none": json.dumps(
        CHAT
        | {
            "max_tokens": 8,
            "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "wrong"}}},
        }
    ).encode(),
    "a tool without a question": json.dumps(
        CHAT | {"max_tokens": 2, "messages": [{"role": "tool", "content": "x", "tool_call_id": "y"}]}
    ).encode(),
    "a tool whose description is null": json.dumps(
        CHAT
        | {"max_tokens": 2, "tools": [{"type": "function", "function": {"name": "f", "description": None}}]}
    ).encode(),
    "a tool whose description is a number": json.dumps(
        CHAT | {"max_tokens": 2, "tools": [{"type": "function", "function": {"name": "f", "description": 5}}]}
    ).encode(),
    "empty words": json.dumps(
        CHAT | {"max_tokens": 2, "messages": [{"role": "user", "content": ""}], "stop": [""]}
    ).encode(),
}


@pytest.mark.parametrize("stream", [False, True], ids=["body", "stream"])
@pytest.mark.parametrize("name", NASTY)
def test_nothing_a_caller_sends_is_a_fault_of_ours(server: LiveServer, name: str, stream: bool) -> None:
    body = NASTY[name]
    if stream:
        body = body.replace(b'"model":"glm-4.6"', b'"stream":true,"model":"glm-4.6"', 1)
        body = body.replace(b'"model": "glm-4.6"', b'"stream": true, "model": "glm-4.6"', 1)
    answer = post(server, body)
    assert answer.status in {200, 400}, answer.body
    if answer.status == 400:
        error_of(answer)
    answer.body.decode()


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Long", "a" * 65536)],
        [("Authorization", "Bearer " + "a" * 65536)],
        [(f"X-{number}", "b" * 1000) for number in range(65)],
        [(f"X-{number}", "") for number in range(2000)],
        [("Cookie", "é" * 30000)],
    ],
    ids=["one", "credential", "many", "small", "latin"],
)
def test_64_kib_of_headers_are_refused(server: LiveServer, headers: list[tuple[str, str]]) -> None:
    answer = ask(server, "GET", PAAS + "/models", headers=headers)
    assert answer.status in {400, 401, 431}
    assert error_of(answer)[0]


@pytest.mark.parametrize(
    "value", ["Bearer 密钥.秘密".encode(), b"Bearer \xe9.\xe8", b"\xff\xfe.x", b"Bearer a\xc2\xa0.b"], ids=str
)
def test_keys_that_are_not_ascii_are_unknown(server: LiveServer, value: bytes) -> None:
    body = json.dumps(CHAT).encode()
    head = b"POST %b/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n" % (
        PAAS.encode(),
        len(body),
    )
    received = exchange(server, head + b"Authorization: " + value + b"\r\n\r\n" + body)
    assert received.startswith(b"HTTP/1.1 401 ")


def test_a_body_that_is_too_large_is_413(server: LiveServer) -> None:
    head = f"POST {PAAS}/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {11 << 20}\r\nAuthorization: {server.key}\r\n\r\n"
    received = exchange(server, head.encode())
    assert received.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/api/coding/paas/v4/v1/chat/completions", "/v4/v1/chat/completions"),
        ("/api/paas/v4/nothing", "/v4/nothing"),
        ("/v1/nothing", "/v1/nothing"),
        ("/nothing?x=1", "/nothing"),
        ("/api/paas/v4/chat/completions/", "/v4/chat/completions/"),
        ("/api/paas/v4/models/", "/v4/models/"),
        ("/", "/"),
    ],
)
def test_an_unknown_path_is_404_in_the_gateway_s_shape(
    server: LiveServer, method: str, path: str, told: str
) -> None:
    answer = ask(server, method, path, headers=[], body=b"{}" if method == "POST" else None)
    assert answer.status == 404
    assert answer.header("content-type") == JSON_TYPE
    assert answer.body == b'{"status":404,"error":"Not Found","path":"%b"}' % told.encode()


def engine_error(scripted: LiveServer, text: str) -> Answer:
    return post(scripted, {"model": "glm-4.6", "messages": [{"role": "user", "content": text}]})


def test_whether_a_retry_helps_is_said(scripted: LiveServer) -> None:
    busy = engine_error(scripted, "busy")
    assert (busy.status, error_of(busy)[0]) == (429, "1305")
    assert busy.header("x-should-retry") == "true"
    assert int(busy.header("retry-after") or 0) >= 1


def test_a_fault_of_the_engine_names_an_id(scripted: LiveServer) -> None:
    broken = engine_error(scripted, "broken")
    assert (broken.status, error_of(broken)[0]) == (500, "1234")
    assert str(broken.header("x-log-id")) in error_of(broken)[1]
    assert "memory" not in error_of(broken)[1]


def test_a_prompt_that_is_too_long_is_1261(scripted: LiveServer) -> None:
    answer = engine_error(scripted, "too long")
    assert (answer.status, error_of(answer)[0]) == (400, "1261")


def test_a_model_that_nobody_configured_is_1211(scripted: LiveServer) -> None:
    answer = post(scripted, CHAT | {"model": "glm-4.7"})
    assert (answer.status, error_of(answer)[0]) == (400, "1211")


def test_a_prompt_beyond_the_demo_model_is_told(server: LiveServer) -> None:
    answer: Answer = post(
        server, CHAT | {"messages": [{"role": "user", "content": "很长的文字。" * 100_000}]}
    )
    body: Any = answer.json
    assert answer.status == 200 or (answer.status, body["error"]["code"]) == (400, "1261")


def logged(server: LiveServer, answer: Answer) -> str:
    """The line in the log for an answer."""
    line = server.logged(lambda line: line.get("id") == answer.header("x-log-id"))
    return json.dumps(line, ensure_ascii=False)


def test_an_engine_s_complaint_brings_no_prompt_into_the_log(scripted: LiveServer) -> None:
    answer = engine_error(scripted, "quote: my secret plan")
    assert (answer.status, error_of(answer)[0]) == (400, "1210")
    assert "secret plan" not in logged(scripted, answer)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 7},
        {"tools": [{"type": "function", "function": {"name": "plan", "description": 5}}]},
    ],
    ids=["answered", "refused", "odd tool"],
)
def test_neither_key_nor_prompt_is_in_the_log(server: LiveServer, fields: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": "我的计划"}]
    line = logged(server, post(server, CHAT | {"messages": messages, "max_tokens": 2} | fields))
    assert "计划" not in line and "plan" not in line
    assert key_of(server).secret not in line
