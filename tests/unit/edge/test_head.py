import contextlib
import re
import timeit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.edge import head as head_module
from openbigmodel.edge.head import (
    HEAD_BYTES_MAX,
    REPEATED_BYTES_MAX,
    RepeatedHead,
    RequestHead,
    accept_language,
    read_head,
    repeated,
)
from openbigmodel.errors import ApiError

HOST = b"Host: api.example:8000\r\n"


def read(raw: bytes) -> RequestHead:
    found = read_head(raw)
    assert found is not None
    assert found[1] == len(raw)
    return found[0]


def get(*lines: bytes, host: bytes = HOST, target: bytes = b"/v1/models", version: bytes = b"1.1") -> bytes:
    return b"GET %b HTTP/%b\r\n%b%b\r\n" % (target, version, host, b"".join(line + b"\r\n" for line in lines))


def refused(raw: bytes) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        read_head(raw)
    return caught.value.status, caught.value.message("en")


def test_reads_everything_about_an_ordinary_request() -> None:
    head = read(
        b"POST /api/paas/v4/chat/completions?a=b?c HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nACCEPT: */*\r\n"
        b"Authorization:Bearer a.b\r\nX-Empty:\r\nX-Spaced: \t two  words \t\r\nContent-Length: 012\r\n\r\n"
    )
    assert head.method == b"POST"
    assert head.target == b"/api/paas/v4/chat/completions?a=b?c"
    assert head.path == b"/api/paas/v4/chat/completions"
    assert head.query == b"a=b?c"
    assert head.http_minor == 1
    assert head.headers == [
        (b"host", b"127.0.0.1:8000"),
        (b"accept", b"*/*"),
        (b"authorization", b"Bearer a.b"),
        (b"x-empty", b""),
        (b"x-spaced", b"two  words"),
        (b"content-length", b"012"),
    ]
    assert head.content_length == 12
    assert not head.chunked
    assert head.keep_alive
    assert not head.expect_continue
    assert head.get(b"authorization") == b"Bearer a.b"
    assert head.get(b"x-absent") is None


def test_what_follows_the_head_is_left_alone() -> None:
    raw = get()
    found = read_head(raw + b"GET nonsense\x00")
    assert found is not None
    assert found[1] == len(raw)


def test_an_incomplete_head_is_waited_for_at_every_length() -> None:
    raw = get(b"Accept: */*", b"Authorization: Bearer x")
    for size in range(len(raw)):
        assert read_head(raw[:size]) is None
    assert read_head(raw, searched=len(raw) - 1) is not None


def test_one_empty_line_before_the_request_is_forgiven() -> None:
    assert read(b"\r\n" + get()).path == b"/v1/models"
    assert read_head(b"\r") is None
    assert read_head(b"\r\n") is None
    assert refused(b"\r\n\r\n")[0] == 400
    assert refused(b"\r\n\r\n" + get())[0] == 400


def test_repeated_ordinary_fields_are_joined() -> None:
    head = read(get(b"Accept: a", b"X-Y: 1", b"accept: b"))
    assert head.get(b"accept") == b"a, b"
    assert len(head.headers) == 4


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        (b"1.1", None, True),
        (b"1.1", b"keep-alive", True),
        (b"1.1", b"Close", False),
        (b"1.1", b"upgrade, close", False),
        (b"1.1", b"te, Keep-Alive", True),
        (b"1.0", None, False),
        (b"1.0", b"keep-alive", True),
        (b"1.0", b"Keep-Alive", True),
        (b"1.0", b"keep-alive, close", False),
        (b"1.0", b"upgrade", False),
    ],
)
def test_persistence(version: bytes, connection: bytes | None, stays: bool) -> None:
    lines = [] if connection is None else [b"Connection: " + connection]
    assert read(get(*lines, version=version)).keep_alive is stays


@pytest.mark.parametrize(
    "host",
    [b"a", b"a:1", b"A-b.c_d~:65535", b"127.0.0.1", b"[::1]", b"[::ffff:1.2.3.4]:80", b" spaced.around \t"],
)
def test_good_hosts(host: bytes) -> None:
    assert read(get(host=b"Host: %b\r\n" % host)).get(b"host") == host.strip()


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"a b",
        b"a,b",
        b"a/admin",
        b"a?x",
        b"a#x",
        b"u@a",
        b"u:p@a",
        b"a:",
        b"a:x",
        b"a:123456",
        b"a:1:2",
        b"::1",
        b"[::1",
        b"[::1]x",
        b"[g]",
        b"[]",
        b"[fe80::1%25eth0]",
        b"http://a",
        b"a\\b",
        b"a%2f",
        b"\xe4",
        b"a" * 256,
    ],
)
def test_bad_hosts(host: bytes) -> None:
    assert refused(get(host=b"Host: %b\r\n" % host))[0] == 400


def test_host_is_needed_once_and_only_on_http_1_1() -> None:
    assert refused(get(host=b""))[0] == 400
    assert refused(get(b"host: api.example:8000"))[0] == 400
    assert read(get(host=b"", version=b"1.0")).get(b"host") is None
    assert refused(get(b"Host: b", version=b"1.0"))[0] == 400
    assert refused(get(host=b"Host: a b\r\n", version=b"1.0"))[0] == 400


@pytest.mark.parametrize(
    "target",
    [b"/", b"//x", b"/%7e", b"/a;b=c", b"/?", b"/a?%00%zz", b"/!$&'()*+,-.:;<=>@[\\]^_`{|}~\""],
)
def test_good_targets(target: bytes) -> None:
    assert read(get(target=target)).target == target


@pytest.mark.parametrize(
    "target",
    [
        b"*",
        b"",
        b"x",
        b"http://a/",
        b"a:443",
        b"/#f",
        b"/a?b#f",
        b"/\xe4",
        b"/a\tb",
        b"/a b",
        b"/%",
        b"/%2",
        b"/%zz",
        b"/%00",
        b"/a%2",
        b"/\x7f",
    ],
)
def test_bad_targets(target: bytes) -> None:
    assert refused(get(target=target))[0] == 400


@pytest.mark.parametrize("version", [b"0.9", b"1.2", b"2.0", b"1.10", b"1", b"", b"1.1 ", b" 1.1", b"1,1"])
def test_bad_versions(version: bytes) -> None:
    assert refused(get(version=version))[0] == 400


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET  / HTTP/1.1", 400),
        (b"GET / http/1.1", 400),
        (b"GET /", 400),
        (b" GET / HTTP/1.1", 400),
        (b"G(T / HTTP/1.1", 400),
        (b"/ HTTP/1.1", 400),
        (b"CONNECT a:443 HTTP/1.1", 405),
        (b"CONNECT / HTTP/1.1", 405),
        (b"TRACE / HTTP/1.1", 405),
        (b"get / HTTP/1.1", 405),
        (b"BREW / HTTP/1.1", 405),
        (b"X" * 33 + b" / HTTP/1.1", 400),
        (b"PRI * HTTP/2.0", 400),
        (b"OPTIONS * HTTP/1.1", 400),
    ],
)
def test_bad_request_lines(line: bytes, status: int) -> None:
    assert refused(line + b"\r\n" + HOST + b"\r\n")[0] == status


@pytest.mark.parametrize(
    "field",
    [
        b"Name : x",
        b" Name: x",
        b"\tName: x",
        b"Na me: x",
        b": x",
        b"Name",
        b"N\xc3\xa4me: x",
        b"Na(me): x",
        b"Name: a\x00b",
        b"Name: a\x0bb",
        b"Name: a\x1bb",
        b"Name: a\x7fb",
        b"Name: a\rb",
        b"Name: a\nb",
        b"Name: a\r\n b",
        b"Name: a\r\n\tb: c",
        b"\x00Name: x",
    ],
)
def test_bad_fields(field: bytes) -> None:
    assert refused(get(field))[0] == 400
    assert refused(get(b"Accept: a", field, b"Accept: b"))[0] == 400


def test_text_beyond_ascii_and_tabs_are_kept_in_values() -> None:
    assert read(get(b"X-Name: caf\xe9\tau lait \xff")).get(b"x-name") == b"caf\xe9\tau lait \xff"


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"\nGET",
        b"\rGET",
        b"GET / HTTP/1.1\rHost",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET /\x00",
    ],
)
def test_what_can_never_become_a_head_is_refused_at_once(raw: bytes) -> None:
    assert refused(raw)[0] == 400


@pytest.mark.parametrize(
    ("fields", "length", "chunked"),
    [
        ([], None, False),
        ([b"Content-Length: 0"], 0, False),
        ([b"Content-Length: 0007"], 7, False),
        ([b"Content-Length: " + b"9" * 18], int("9" * 18), False),
        ([b"Transfer-Encoding: chunked"], None, True),
        ([b"Transfer-Encoding: CHUNKED"], None, True),
    ],
)
def test_framing(fields: list[bytes], length: int | None, chunked: bool) -> None:
    head = read(get(*fields))
    assert (head.content_length, head.chunked) == (length, chunked)


@pytest.mark.parametrize(
    "fields",
    [
        [b"Content-Length: 5", b"Content-Length: 5"],
        [b"Content-Length: 5, 5"],
        [b"Content-Length: +5"],
        [b"Content-Length: -5"],
        [b"Content-Length: 5.0"],
        [b"Content-Length: 0x5"],
        [b"Content-Length: 5 5"],
        [b"Content-Length: 1_0"],
        [b"Content-Length: \xb2"],
        [b"Content-Length:"],
        [b"Content-Length: " + b"9" * 19],
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", b"Content-Length: 0"],
        [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked, chunked"],
        [b"Transfer-Encoding: gzip, chunked"],
        [b"Transfer-Encoding: identity"],
        [b"Transfer-Encoding: xchunked"],
        [b'Transfer-Encoding: "chunked"'],
        [b"Transfer-Encoding:"],
        [b"Content-Type: a/b", b"Content-Type: a/b"],
    ],
)
def test_bad_framing(fields: list[bytes]) -> None:
    assert refused(get(*fields))[0] == 400


def test_http_1_0_has_no_chunks() -> None:
    assert refused(get(b"Transfer-Encoding: chunked", version=b"1.0"))[0] == 400


@pytest.mark.parametrize("name", [b"Authorization", b"x-api-key"])
def test_a_second_credential_is_a_failed_authentication(name: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        read_head(get(name + b": Bearer good", name.upper() + b": Bearer good"))
    assert (caught.value.status, caught.value.code) == (401, "1002")
    assert read(get(name + b": Bearer good")).get(name.lower()) == b"Bearer good"


@pytest.mark.parametrize(
    ("version", "expect", "waits"), [(b"1.1", b"100-Continue", True), (b"1.0", b"100-continue", False)]
)
def test_expect_continue(version: bytes, expect: bytes, waits: bool) -> None:
    assert read(get(b"Expect: " + expect, version=version)).expect_continue is waits


@pytest.mark.parametrize(
    "fields", [[b"Expect: gold"], [b"Expect: 100-continue", b"Expect: 100-continue"], [b"Expect:"]]
)
def test_other_expectations_fail(fields: list[bytes]) -> None:
    assert refused(get(*fields))[0] == 417


def test_too_many_fields() -> None:
    assert len(read(get(*[b"X-%d: y" % i for i in range(63)])).headers) == 64
    assert refused(get(*[b"X-%d: y" % i for i in range(64)]))[0] == 431


def test_too_large() -> None:
    room = HEAD_BYTES_MAX - len(get(b"X: "))
    assert len(get(b"X: " + b"y" * room)) == HEAD_BYTES_MAX
    assert len(read(get(b"X: " + b"y" * room)).headers) == 2
    assert refused(get(b"X: " + b"y" * (room + 1)))[0] == 431
    assert refused(b"GET /" + b"y" * HEAD_BYTES_MAX)[0] == 431


def test_says_what_is_wrong_in_both_languages() -> None:
    for status, zh, en in head_module._REASONS.values():
        assert 400 <= status < 500
        assert re.search("[\u4e00-\u9fff]", zh)
        assert en.isascii()
    assert "Folded" in refused(get(b"X: a\r\n b"))[1]
    assert "HTTP/1.0" in refused(get(version=b"3.0"))[1]
    assert "target" in refused(get(target=b"x"))[1]
    assert "field" in refused(get(b"X : a"))[1]


def test_the_language_can_be_read_from_a_malformed_head() -> None:
    assert accept_language(b"GET x\r\nAccept-Language: en-US\r\nBroken Line") == b"en-US"
    assert accept_language(b"GET x\r\n") is None


@given(st.binary(max_size=200), st.integers(0, 120))
def test_any_bytes_are_read_or_refused_and_never_crash(noise: bytes, at: int) -> None:
    raw = get(b"Accept: */*", b"Content-Length: 3")
    for case in (noise, raw[:at] + noise + raw[at:], raw[:at] + noise + raw[at + len(noise) :]):
        status = 200
        try:
            found = read_head(case)
        except ApiError as error:
            status = error.status
        else:
            assert found is None or found[1] <= len(case)
        assert 200 <= status < 500


@given(st.lists(st.sampled_from([b"GET", b" ", b"/", b"HTTP/1.1", b"\r\n", b"a", b":", b"\t", b"Host: x"])))
def test_the_verdict_never_turns_with_more_bytes(parts: list[bytes]) -> None:
    """A refusal of a beginning stands for every continuation; an accepted head stays the same."""
    raw = b"".join(parts) + b"\r\n\r\n"
    verdicts: list[object] = []
    for size in range(len(raw) + 1):
        try:
            found = read_head(raw[:size])
        except ApiError:
            verdicts.append("refused")
        else:
            if found is not None:
                verdicts.append(found)
    assert all(verdict == verdicts[0] for verdict in verdicts)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 2600,
        b"GET / HTTP/1.1\r\nX:" + b" " * 16000 + b"\x7f\r\n\r\n",
        b"GET / HTTP/1.1\r\nX:" + b" a" * 8000 + b"\x00\r\n\r\n",
        b"GET /" + b"%41" * 5000 + b"% HTTP/1.1\r\nHost: a\r\n\r\n",
        b"A" * 16000,
        b"GET / HTTP/1.1\r\n" + b"a" * 16000 + b"\r\n\r\n",
    ],
)
def test_no_head_is_slow_to_judge(raw: bytes) -> None:
    def judge() -> None:
        with contextlib.suppress(ApiError):
            read_head(raw)

    assert min(timeit.repeat(judge, number=1, repeat=3)) < 0.01


def post(length: bytes, *lines: bytes, name: bytes = b"Content-Length") -> bytes:
    extra = b"".join(line + b"\r\n" for line in lines)
    return b"POST /hot HTTP/1.1\r\n%b%b: %b\r\n%b\r\n" % (HOST, name, length, extra)


def known(raw: bytes) -> RepeatedHead:
    found = repeated(read(raw), raw)
    assert found is not None
    return found


@given(
    st.text("0123456789", min_size=1, max_size=18),
    st.text("0123456789", min_size=1, max_size=18),
    st.sampled_from([(), (b"Authorization: Bearer a.b",), (b"Accept: */*", b"X-Content-Length: 7")]),
    st.sampled_from([b"Content-Length", b"content-length", b"CONTENT-LENGTH"]),
)
def test_a_repeated_head_reads_as_if_read_anew(
    first: str, second: str, lines: tuple[bytes, ...], name: bytes
) -> None:
    raw, again = (post(length.encode(), *lines, name=name) for length in (first, second))
    earlier = known(raw)

    for _ in range(2):  # the second time nothing has changed
        assert earlier.read(again + b"body") == read_head(again + b"body") == (read(again), len(again))
    assert earlier.read(raw) == read_head(raw)


@pytest.mark.parametrize(
    "other",
    [
        post(b"5").replace(b"/hot", b"/cold"),
        post(b"5", b"Authorization: Bearer a.b"),
        post(b"5").replace(b"POST", b"PUT"),
        post(b"5", b"Content-Length: 5"),
        post(b"5", b"Transfer-Encoding: chunked"),
        post(b""),
        post(b"-5"),
        post(b"5 "),
        post(b"5, 5"),
        post(b"0x5"),
        post(b"5" * 19),
        post("٥".encode()),
        post(b"5\n"),
        post(b"5")[:-1],
        post(b"5")[:-10],
        b"",
    ],
)
def test_what_is_not_the_same_head_is_left_to_the_reader(other: bytes) -> None:
    assert known(post(b"3")).read(other) is None


def test_spaces_around_the_length_are_part_of_what_repeats() -> None:
    earlier = known(post(b" 3"))
    assert earlier.read(post(b" 44")) == read_head(post(b" 44"))
    assert repeated(read(post(b"3 ")), post(b"3 ")) is None


@pytest.mark.parametrize("raw", [get(), b"\r\n" + post(b"3"), post(b"3", b"X: " + b"x" * REPEATED_BYTES_MAX)])
def test_heads_that_are_read_anew_each_time(raw: bytes) -> None:
    assert repeated(read(raw), raw) is None
