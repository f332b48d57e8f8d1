"""Requests that servers have been known to read differently, each with the one outcome that is right."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from openbigmodel.edge.head import HEAD_BYTES_MAX

SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Case:
    """`raw` is followed by the sentinel. A last status of 4xx means: nothing more is answered, not even that."""

    name: str
    raw: bytes
    statuses: tuple[int, ...] = (400,)
    bodies: tuple[bytes, ...] = field(default=())  # of the requests answered with 200
    closes: bool = False  # after a good answer

    @property
    def ends_open(self) -> bool:
        return self.statuses[-1] == 200 and not self.closes


def post(
    target: bytes,
    *lines: bytes,
    body: bytes = b"hello",
    length: bytes | None = b"5",
    host: bytes | None = b"api.example",
    version: bytes = b"HTTP/1.1",
    method: bytes = b"POST",
) -> bytes:
    head = [b"%b %b %b" % (method, target, version)]
    if host is not None:
        head.append(b"Host: " + host)
    head += lines
    if length is not None:
        head.append(b"Content-Length: " + length)
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def catalogue(target: bytes) -> list[Case]:
    """All cases for requests to `target`."""
    groups = (
        good(target),
        request_lines(target),
        fields(target),
        hosts(target),
        lengths(target),
        codings(target),
        chunks(target),
        credentials(target),
        sizes(target),
        expectations(target),
        pipelines(target),
    )
    cases = [case for group in groups for case in group]
    assert len({case.name for case in cases}) == len(cases)
    return cases


def good(target: bytes) -> Iterator[Case]:
    def fine(name: str, raw: bytes, *bodies: bytes, closes: bool = False) -> Case:
        bodies = bodies or (b"hello",)
        return Case(f"good {name}", raw, (200,) * len(bodies), bodies, closes)

    yield fine("plain", post(target))
    yield fine("close", post(target, b"Connection: close"), closes=True)
    yield fine("keep-alive named", post(target, b"Connection: Keep-Alive"))
    yield fine("empty body", post(target, body=b"", length=b"0"), b"")
    yield fine("no body", post(target, body=b"", length=None), b"")
    yield fine("get", post(target, method=b"GET", body=b"", length=None), b"")
    yield fine("get with body", post(target, method=b"GET"))
    yield fine("options", post(target, method=b"OPTIONS", body=b"", length=None), b"")
    yield fine("delete with body", post(target, method=b"DELETE"))
    yield fine("query", post(target + b"?a=b&c=d"))
    yield fine("empty line before", b"\r\n" + post(target))
    yield fine("empty line between", post(target) + b"\r\n" + post(target), b"hello", b"hello")
    yield fine("leading zeros", post(target, length=b"0005"))
    yield fine("spaces around the length", post(target, length=b" \t5 \t"))
    yield fine("1.0", post(target, version=b"HTTP/1.0", host=None), closes=True)
    yield fine("1.0 with host", post(target, version=b"HTTP/1.0"), closes=True)
    yield fine("chunked", post(target, b"Transfer-Encoding: chunked", length=None, body=CHUNKED))
    yield fine("Chunked", post(target, b"transfer-encoding:Chunked", length=None, body=CHUNKED))
    yield fine(
        "one-byte chunks",
        post(target, b"Transfer-Encoding: chunked", length=None, body=b"1\r\nx\r\n" * 99 + b"0\r\n\r\n"),
        b"x" * 99,
    )
    yield fine("no space after the colon", post(target, b"X-A:b", b"X-C:"))
    yield fine("latin-1 value", post(target, b"X-A: \xe9\xff"))
    yield fine("64 fields", post(target, *[b"X-%d: y" % number for number in range(62)]))
    yield fine("large body", post(target, body=b"z" * 300_000, length=b"300000"), b"z" * 300_000)
    yield fine(
        "body that looks like a request", post(target, body=SENTINEL, length=b"%d" % len(SENTINEL)), SENTINEL
    )
    yield fine("unknown protocol to upgrade to", post(target, b"Connection: Upgrade", b"Upgrade: foo/2"))
    yield fine(
        "h2c",
        post(
            target,
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        ),
    )
    yield fine(
        "websocket",
        post(
            target,
            *(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
    )


CHUNKED = b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"


def request_lines(target: bytes) -> Iterator[Case]:
    rest = b"\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    lines = {
        "two spaces": b"POST  " + target + b" HTTP/1.1",
        "two spaces before the version": b"POST " + target + b"  HTTP/1.1",
        "tab": b"POST\t" + target + b" HTTP/1.1",
        "leading space": b" POST " + target + b" HTTP/1.1",
        "trailing space": b"POST " + target + b" HTTP/1.1 ",
        "no version": b"POST " + target,
        "0.9": b"GET " + target + b" HTTP/0.9",
        "1.2": b"POST " + target + b" HTTP/1.2",
        "2.0": b"POST " + target + b" HTTP/2.0",
        "11": b"POST " + target + b" HTTP/11",
        "1.10": b"POST " + target + b" HTTP/1.10",
        "lower-case version": b"POST " + target + b" http/1.1",
        "other protocol": b"POST " + target + b" HTTQ/1.1",
        "ICY": b"POST " + target + b" ICY/1.1",
        "absolute-form": b"POST http://a" + target + b" HTTP/1.1",
        "absolute-form https": b"POST https://evil.example" + target + b" HTTP/1.1",
        "absolute-form other scheme": b"POST file://" + target + b" HTTP/1.1",
        "authority-form": b"POST a:443 HTTP/1.1",
        "asterisk-form": b"POST * HTTP/1.1",
        "asterisk options": b"OPTIONS * HTTP/1.1",
        "no slash": b"POST " + target[1:] + b" HTTP/1.1",
        "backslash": b"POST \\" + target[1:] + b" HTTP/1.1",
        "fragment": b"POST " + target + b"#x HTTP/1.1",
        "space in target": b"POST " + target + b" x HTTP/1.1",
        "NUL in target": b"POST " + target + b"\x00 HTTP/1.1",
        "escaped NUL": b"POST " + target + b"%00 HTTP/1.1",
        "broken escape": b"POST " + target + b"%4 HTTP/1.1",
        "high byte in target": b"POST " + target + b"\xff HTTP/1.1",
        "DEL in target": b"POST " + target + b"\x7f HTTP/1.1",
        "only a method": b"POST",
        "colon in method": b"PO:ST " + target + b" HTTP/1.1",
        "long method": b"P" * 40 + b" " + target + b" HTTP/1.1",
        "http2 preface": b"PRI * HTTP/2.0\r\n\r\nSM",
        "TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        "field first": b"Host: b",
    }
    for name, line in lines.items():
        yield Case(f"request line: {name}", line + rest)
    for method in (b"CONNECT", b"TRACE", b"post", b"BREW", b"PROPFIND", b"SOURCE"):
        yield Case(f"method {method!r}", method + b" " + target + b" HTTP/1.1" + rest, (405,))
    yield Case("method CONNECT authority", b"CONNECT a:443 HTTP/1.1" + rest, (405,))
    yield Case("two empty lines before", b"\r\n\r\n" + post(target))
    yield Case("bare LF before", b"\n" + post(target))
    yield Case("bare CR before", b"\r" + post(target))


def fields(target: bytes) -> Iterator[Case]:
    lines = {
        "space before colon": b"X-A : b",
        "tab before colon": b"X-A\t: b",
        "no colon": b"X-A",
        "no name": b": b",
        "space in name": b"X A: b",
        "folded by space": b"X-A: b\r\n c",
        "folded by tab": b"X-A: b\r\n\tc: d",
        "leading space": b" X-A: b",
        "bare LF end": b"X-A: b\nX-B: c",
        "bare CR inside": b"X-A: b\rX-B: c",
        "CR CR LF": b"X-A: b\r\r\nX-B: c",
        "LF CR": b"X-A: b\n\rX-B: c",
        "hidden length": b"X-A: b\nContent-Length: 0",
        "hidden coding": b"X-A: b\rTransfer-Encoding: chunked",
        "high byte in name": b"X-\xe9: b",
        "empty quoted name": b'"": b',
    }
    for name, line in lines.items():
        yield Case(
            f"field at the top: {name}", post(target, host=None).replace(b"\r\n", b"\r\n" + line + b"\r\n", 1)
        )
        yield Case(f"field in the middle: {name}", post(target, line))
        yield Case(f"field at the end: {name}", post(target, b"Content-Length: 5", line, length=None))
    for code in (*range(9), *range(10, 32), 127):
        yield Case(f"control {code:#x} in value", post(target, b"X-A: b%cc" % code))
    for code in b' "(),/:;<=>?@[\\]{}\x00\x01\x7f\x80\xff':
        if code != ord(":"):
            yield Case(f"byte {code:#x} in name", post(target, b"X%cA: b" % code))
    yield Case("all bare LF", post(target).replace(b"\r\n", b"\n"))
    yield Case("all bare CR", post(target).replace(b"\r\n", b"\r"))
    yield Case("end of head LF LF", post(target).replace(b"\r\n\r\n", b"\n\n"))
    yield Case("end of head CR LF LF", post(target).replace(b"\r\n\r\n", b"\r\n\n"))
    yield Case("two content types", post(target, b"Content-Type: a/b", b"Content-Type: application/json"))


def hosts(target: bytes) -> Iterator[Case]:
    bad = (
        *(
            b"",
            b"a b",
            b"a,b",
            b"a, b",
            b"a/b",
            b"a/admin?x=",
            b"a?b",
            b"a#b",
            b"u@a",
            b"u:p@a",
            b"a:",
            b"a:b",
        ),
        *(
            b"a:1:2",
            b"a:-1",
            b"a:999999",
            b"::1",
            b"[::1",
            b"::1]",
            b"[::1]]",
            b"[z]",
            b"http://a",
            b"//a",
            b"a\\b",
        ),
        *(b"a%20b", b"a\tb", b"\xc3\xa9", b"a;b", b"a=b", b"*", b"'a'", b'"a"', b"(a)", b"<a>", b"a" * 300),
    )
    for host in bad:
        yield Case(f"host {host[:20]!r}", post(target, host=host))
    for host in (b"a", b"A.B-c_d", b"127.0.0.1:80", b"[::1]", b"[::1]:8000", b"localhost:65535"):
        yield Case(f"good host {host!r}", post(target, host=host), (200,), (b"hello",))
    yield Case("no host", post(target, host=None))
    yield Case("two hosts", post(target, b"Host: b"))
    yield Case("the same host twice", post(target, b"hOST: api.example"))
    yield Case("two hosts on 1.0", post(target, b"Host: b", version=b"HTTP/1.0"))
    yield Case("bad host on 1.0", post(target, host=b"a b", version=b"HTTP/1.0"))
    yield Case("host with a space before its colon", post(target, b"Host : b"))


def lengths(target: bytes) -> Iterator[Case]:
    bad = (
        *(
            b"",
            b"+5",
            b"-5",
            b"-0",
            b"5.0",
            b"5e0",
            b"0x5",
            b"0b1",
            b"5a",
            b"a5",
            b"5 5",
            b"5,5",
            b"5, 5",
            b"5,6",
            b"5;",
        ),
        *(
            b"'5'",
            b'"5"',
            b"\xb2",
            b"\xd9\xa5",
            b"1_0",
            b"9" * 19,
            b"9" * 400,
            b"5\x00",
            b"5\x0b",
            b"chunked",
            b"Infinity",
        ),
    )
    for length in bad:
        yield Case(f"length {length[:20]!r}", post(target, length=length))
    yield Case("the same length twice", post(target, b"Content-Length: 5"))
    yield Case("two lengths", post(target, b"Content-Length: 4"))
    yield Case("length in two cases", post(target, b"content-LENGTH: 0"))
    yield Case("three lengths", post(target, b"Content-Length: 5", b"Content-Length: 5"))
    yield Case("length too large", post(target, length=b"9" * 18), (413,))
    yield Case("length longer than the body", post(target, body=b"hell"), (200, 405), (b"hellG",))
    yield Case("length shorter than the body", post(target, body=b"hello\r\n\r\n"), (200, 400), (b"hello",))
    yield Case("no length but a body", post(target, length=None), (200, 405), (b"",))


def codings(target: bytes) -> Iterator[Case]:
    bad = (
        *(
            b"",
            b"identity",
            b"gzip",
            b"gzip, chunked",
            b"chunked, gzip",
            b"chunked, chunked",
            b"chunked,",
            b",chunked",
        ),
        *(
            b"xchunked",
            b"chunkedx",
            b"chunked;q=1",
            b'"chunked"',
            b"'chunked'",
            b"chunked\x0b",
            b"\x00chunked",
            b"chunked chunked",
        ),
        *(
            b"ch\xc5\xabnked",
            b"chunked identity",
            b"cow, chunked",
            b"trailers",
            b"deflate",
            b"br",
            b"compress, identity",
        ),
    )
    for coding in bad:
        line = b"Transfer-Encoding: " + coding
        yield Case(f"coding {coding!r}", post(target, line, length=None, body=CHUNKED))
        yield Case(f"coding {coding!r} and length", post(target, line, body=CHUNKED))
    coded = b"Transfer-Encoding: chunked"
    smuggled = b"0\r\n\r\n" + post(target)
    yield Case("coding then length", post(target, coded, length=b"%d" % len(smuggled), body=smuggled))
    yield Case("length then coding", post(target, b"Content-Length: 5", coded, length=None, body=CHUNKED))
    yield Case("length 0 and coding", post(target, coded, length=b"0", body=CHUNKED))
    yield Case("coding twice", post(target, coded, coded, length=None, body=CHUNKED))
    yield Case(
        "coding and identity", post(target, coded, b"Transfer-Encoding: identity", length=None, body=CHUNKED)
    )
    yield Case("coding folded", post(target, b"Transfer-Encoding:\r\n chunked", length=None, body=CHUNKED))
    yield Case(
        "coding with a space before its colon", post(target, b"Transfer-Encoding : chunked", body=CHUNKED)
    )
    yield Case("coding on 1.0", post(target, coded, length=None, body=CHUNKED, version=b"HTTP/1.0"))
    yield Case(
        "coding on 1.0 keep-alive",
        post(target, coded, b"Connection: keep-alive", length=None, body=CHUNKED, version=b"HTTP/1.0"),
    )


def chunks(target: bytes) -> Iterator[Case]:
    bad = {
        "extension": b"5;a=b\r\nhello\r\n0\r\n\r\n",
        "empty extension": b"5;\r\nhello\r\n0\r\n\r\n",
        "quoted extension": b'5;a="\r\nhello\r\n0\r\n\r\n',
        "extension with LF": b"5;a\nhello\r\n0\r\n\r\n",
        "last chunk's extension": b"5\r\nhello\r\n0;a\r\n\r\n",
        "long extension": b"5;" + b"a" * 20000 + b"\r\nhello\r\n0\r\n\r\n",
        "trailer": b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        "trailer with a length": b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
        "trailer with authorization": b"5\r\nhello\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
        "folded trailer": b"5\r\nhello\r\n0\r\n x\r\n\r\n",
        "space before size": b" 5\r\nhello\r\n0\r\n\r\n",
        "space after size": b"5 \r\nhello\r\n0\r\n\r\n",
        "tab after size": b"5\t\r\nhello\r\n0\r\n\r\n",
        "plus": b"+5\r\nhello\r\n0\r\n\r\n",
        "minus": b"-5\r\nhello\r\n0\r\n\r\n",
        "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
        "underscore": b"0_5\r\nhello\r\n0\r\n\r\n",
        "not hexadecimal": b"g\r\nhello\r\n0\r\n\r\n",
        "no size": b"\r\nhello\r\n0\r\n\r\n",
        "nine digits": b"000000005\r\nhello\r\n0\r\n\r\n",
        "overflowing size": b"100000000000000005\r\nhello\r\n0\r\n\r\n",
        "size and LF": b"5\nhello\r\n0\r\n\r\n",
        "size and CR": b"5\rhello\r\n0\r\n\r\n",
        "data and LF": b"5\r\nhello\n0\r\n\r\n",
        "data and CR": b"5\r\nhello\r0\r\n\r\n",
        "data and no line end": b"5\r\nhello0\r\n\r\n",
        "data too long": b"5\r\nhello!\r\n0\r\n\r\n",
        "data too short": b"5\r\nhell\r\n0\r\n\r\n",
        "two CR after data": b"5\r\nhello\r\r\n0\r\n\r\n",
        "end LF LF": b"5\r\nhello\r\n0\n\n",
        "end CR LF LF": b"5\r\nhello\r\n0\r\n\n",
        "NUL": b"5\r\nhello\r\n\x000\r\n\r\n",
        "full-width digit": b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n",
        "not chunked at all": b"hello",
        "flood of tiny ones": b"1\r\nx\r\n" * 3000 + b"0\r\n\r\n",
    }
    for name, body in bad.items():
        yield Case(f"chunk: {name}", post(target, b"Transfer-Encoding: chunked", length=None, body=body))
    huge = b"ffffffff\r\nhello"
    yield Case(
        "chunk: too large", post(target, b"Transfer-Encoding: chunked", length=None, body=huge), (413,)
    )


def credentials(target: bytes) -> Iterator[Case]:
    for name in (b"Authorization", b"x-api-key"):
        same = post(target, name + b": Bearer a.b", name + b": Bearer a.b")
        other = post(target, name + b": Bearer a.b", b"X-Y: z", name.upper() + b": Bearer c.d")
        empty = post(target, name + b": Bearer a.b", name + b":")
        yield Case(f"{name!r} twice the same", same, (401,))
        yield Case(f"{name!r} twice", other, (401,))
        yield Case(f"{name!r} and an empty one", empty, (401,))
        yield Case(f"{name!r} folded", post(target, name + b": Bearer\r\n a.b"))
        yield Case(f"{name!r} with NUL", post(target, name + b": Bearer a.b\x00"))
        yield Case(f"{name!r} once", post(target, name + b": Bearer a.b"), (200,), (b"hello",))


def sizes(target: bytes) -> Iterator[Case]:
    room = HEAD_BYTES_MAX - len(post(target, b"X-Pad: ", body=b""))
    yield Case("head of 16 KiB", post(target, b"X-Pad: " + b"y" * room), (200,), (b"hello",))
    yield Case("head of 16 KiB and a byte", post(target, b"X-Pad: " + b"y" * (room + 1)), (431,))
    yield Case("head of 64 KiB", post(target, b"X-Pad: " + b"y" * 65536), (431,))
    yield Case("head of 1 MiB", post(target, b"X-Pad: " + b"y" * (1 << 20)), (431,))
    yield Case("65 fields", post(target, *[b"X-%d: y" % number for number in range(63)]), (431,))
    yield Case("1,000 fields", post(target, *[b"X: y"] * 1000), (431,))
    yield Case("5,000 fields", post(target, *[b"X-%d: y" % number for number in range(5000)]), (431,))
    yield Case("target of 64 KiB", post(target + b"?" + b"y" * 65536), (431,))
    yield Case("name of 64 KiB", post(target, b"X" * 65536 + b": y"), (431,))
    yield Case("authorization of 1 MiB", post(target, b"Authorization: Bearer " + b"y" * (1 << 20)), (431,))


def expectations(target: bytes) -> Iterator[Case]:
    for value in (b"", b"100", b"continue", b"100-continue, x", b"x=100-continue", b"200-ok"):
        yield Case(f"expect {value!r}", post(target, b"Expect: " + value), (417,))
    yield Case("expect twice", post(target, b"Expect: 100-continue", b"Expect: 100-continue"), (417,))
    yield Case(
        "expect on 1.0",
        post(target, b"Expect: 100-continue", version=b"HTTP/1.0"),
        (200,),
        (b"hello",),
        closes=True,
    )


def pipelines(target: bytes) -> Iterator[Case]:
    one = post(target)
    other = post(b"/elsewhere", body=b"hello")
    coded = post(target, b"Transfer-Encoding: chunked", length=None, body=CHUNKED)
    bare = post(target, method=b"GET", body=b"", length=None)
    two = (b"hello", b"hello")
    yield Case("pipeline: two", one + one, (200, 200), two)
    yield Case("pipeline: mixed", one + other + coded + bare, (200,) * 4, (*two, b"hello", b""))
    yield Case("pipeline: mixed the other way", bare + coded + other + one, (200,) * 4, (b"", b"hello", *two))
    yield Case("pipeline: twenty", (one + other) * 10, (200,) * 20, two * 10)
    yield Case("pipeline: streams", post(target, b"X-Stream: 1") * 3 + other, (200,) * 4, two * 2)
    yield Case(
        "pipeline: after close", post(target, b"Connection: close") + one, (200,), (b"hello",), closes=True
    )
    yield Case(
        "pipeline: after 1.0", post(target, version=b"HTTP/1.0") + one, (200,), (b"hello",), closes=True
    )
    yield Case("pipeline: malformed second", one + b"GET /\r\n\r\n", (200, 400), (b"hello",))
    yield Case("pipeline: malformed first", b"GET /\r\n\r\n" + one)
    yield Case("pipeline: two hosts second", one + post(target, b"Host: b") + one, (200, 400), (b"hello",))
    yield Case("pipeline: NUL between", one + b"\x00" + one, (200, 400), (b"hello",))
    yield Case("pipeline: two empty lines between", one + b"\r\n\r\n" + one, (200, 400), (b"hello",))
    yield Case("pipeline: bad chunk then request", coded[:-5] + b"0;x\r\n\r\n" + one)
    yield Case("pipeline: request in a trailer", coded[:-2] + one)
    yield Case(
        "pipeline: large second head", one + post(target, b"X: " + b"y" * 70_000), (200, 431), (b"hello",)
    )
    prefix = b"0\r\n\r\nGET /admin HTTP/1.1\r\nX: "
    yield Case(
        "pipeline: CL.TE",
        post(target, b"Transfer-Encoding: chunked", length=b"%d" % len(prefix), body=prefix),
    )
    yield Case("pipeline: CL.0", post(target, length=b"0", body=one), (200, 200), (b"", b"hello"))
