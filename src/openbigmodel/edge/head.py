"""The head of a request, read once and strictly: what is not plainly right is refused, never repaired.

Two programs that read one message differently are how requests get smuggled, so nothing here is lenient
(reliability.md §2.4): CRLF only, no folded lines, one Host, one credential, one way of saying where the body
ends. Everything behind the edge sees this reading and no other. Pure: bytes in, `RequestHead` out.
"""

import re
from typing import Any, Final

import msgspec

from openbigmodel.errors import ApiError

HEAD_BYTES_MAX: Final = 16 * 1024  # request line, fields and the empty line
HEAD_FIELDS_MAX: Final = 64
# A longer head is read anew each time: what is kept of it for its repetition is kept for each idle connection.
REPEATED_BYTES_MAX: Final = 2048

_END = b"\r\n\r\n"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"
# Possessive quantifiers (++, *+): no part is tried twice, so no head can make the match slow.
# The target is origin-form: it begins with a slash, is visible ASCII and has no fragment.
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb"{1,32}) (/[!\"$-~]*+) HTTP/1\.([01])\r\n")
# A match is one whole line, so a block of fields is right if it has as many matches as line ends.
_FIELD_LINE = re.compile(rb"^(" + _TOKEN + rb"++):([\t -~\x80-\xff]*+)\r\n", re.MULTILINE)
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_ESCAPES = re.compile(rb"(?:[^%]|%(?!00)[0-9A-Fa-f]{2})*+")
_LONE = re.compile(rb"(?:[^\r]|\A)\n|\r(?!\n|\Z)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LENGTH = re.compile(rb"\r\ncontent-length:[\t ]*([0-9]{1,18})(?=\r)", re.IGNORECASE)
_LANGUAGE = re.compile(rb"\r\naccept-language:[\t ]*([ -~]{1,256})", re.IGNORECASE)

_METHODS: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
# Fields of which a second one would let two readers pick different ones.
_ONCE: Final = {
    b"host": "hosts",
    b"content-length": "lengths",
    b"transfer-encoding": "transfer_coding",
    b"content-type": "types",
    b"authorization": "credentials",
    b"x-api-key": "credentials",
}

# reason: HTTP status, Chinese, English
_REASONS: Final = {
    "request_line": (400, "请求行格式有误。", "The request line is malformed."),
    "target": (
        400,
        "请求目标须以 / 开头，且只含可见 ASCII 字符。",
        "The request target must begin with / and contain visible ASCII characters only.",
    ),
    "version": (400, "仅支持 HTTP/1.0 与 HTTP/1.1。", "Only HTTP/1.0 and HTTP/1.1 are spoken here."),
    "line_end": (
        400,
        "请求头的每一行须以 CRLF 结尾，且不得含控制字符。",
        "Every line of the request head must end in CRLF and contain no control characters.",
    ),
    "folded": (400, "不支持折行的请求头。", "Folded header lines are not accepted."),
    "field": (400, "请求头字段格式有误。", "A header field is malformed."),
    "method": (405, "不支持该 HTTP 方法。", "This HTTP method is not supported."),
    "hosts": (400, "须有且仅有一个有效的 Host。", "Exactly one valid Host header is required."),
    "lengths": (
        400,
        "Content-Length 须为唯一的十进制数。",
        "Content-Length must be one decimal number, given once.",
    ),
    "transfer_coding": (
        400,
        "Transfer-Encoding 仅支持 HTTP/1.1 的 chunked，且不得与 Content-Length 同时出现。",
        "Transfer-Encoding can only be chunked, on HTTP/1.1, and never beside Content-Length.",
    ),
    "types": (400, "Content-Type 只能出现一次。", "Content-Type may be given only once."),
    "expectation": (417, "Expect 仅支持 100-continue。", "The only expectation understood is 100-continue."),
    "too_many": (
        431,
        f"请求头字段不得超过 {HEAD_FIELDS_MAX} 个。",
        f"At most {HEAD_FIELDS_MAX} header fields are accepted.",
    ),
    "too_large": (
        431,
        f"请求头不得超过 {HEAD_BYTES_MAX} 字节。",
        f"The request head may be at most {HEAD_BYTES_MAX} bytes.",
    ),
}


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """One request's head. Header names are lower-case, values have no white space around them."""

    method: bytes
    target: bytes
    path: bytes
    query: bytes
    http_minor: int  # 0 or 1
    headers: list[tuple[bytes, bytes]]
    fields: dict[bytes, bytes]  # by name; repeated ones are joined with ", "
    content_length: int | None
    chunked: bool
    keep_alive: bool
    expect_continue: bool
    # What others have worked out of the fields, by a name of theirs; the head's repetitions have it, too. Nothing that
    # leads back here: no collector would find it.
    derived: dict[str, Any] = msgspec.field(default_factory=dict)

    def get(self, name: bytes) -> bytes | None:
        """The value of the header `name` (lower-case), or None."""
        return self.fields.get(name)


def read_head(data: bytes, searched: int = 0) -> tuple[RequestHead, int] | None:
    """The head at the start of `data` and the number of bytes it took, or None while it is incomplete.

    `searched` bytes are known from an earlier call not to hold the end. Raises ApiError: 400, 401, 405, 417 or
    431, as soon as it is certain that no further bytes can make the head right.
    """
    # One empty line before a request is forgiven, as old clients send one after a body (RFC 9112 §2.2).
    start = 2 if data.startswith(b"\r\n") else 0
    end = data.find(_END, max(start, searched - 3))
    if end < 0:
        _check_partial(data, start)
        return None
    end += 4
    if end - start > HEAD_BYTES_MAX:
        raise refusal("too_large")
    line = _REQUEST_LINE.match(data, start, end)
    if line is None:
        raise refusal(_fault(data[start:end]))
    found = _FIELD_LINE.findall(data, line.end(), end)
    if len(found) + 1 != data.count(b"\n", line.end(), end):
        raise refusal(_fault(data[start:end]))
    return _head(line, found), end


class RepeatedHead:
    """A head that was read before, to be known again when it comes back with another content length.

    Nearly all that a program sends on one connection are such repetitions. What has the same bytes around the length
    has the same reading but for the length, so it is found by two comparisons, in 0.4 µs instead of 3.4.

    It belongs to one connection and goes with it: so do the head's bytes, and the credential among them.
    """

    __slots__ = ("_after", "_before", "_head", "_length")

    def __init__(self, head: RequestHead, before: bytes, length: bytes, after: bytes) -> None:
        self._head = head
        self._before = before
        self._length = length
        self._after = after

    def read(self, data: bytes) -> tuple[RequestHead, int] | None:
        """As read_head; None also when another head begins here, which says nothing about its soundness."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        start = len(before)
        end = data.find(b"\r", start, start + 19)
        if end < 0 or not data.startswith(after, end):
            return None
        length = data[start:end]
        if length != self._length:
            if not length.isdigit():
                return None
            self._head = _with_length(self._head, length)
            self._length = length
        return self._head, end + len(after)


def repeated(head: RequestHead, raw: bytes) -> RepeatedHead | None:
    """What knows `head`, whose bytes are `raw`, again; None when it is too long or has no content length."""
    if head.content_length is None or len(raw) > REPEATED_BYTES_MAX:
        return None
    found = _LENGTH.search(raw)
    if found is None or raw.startswith(b"\r\n"):
        return None
    return RepeatedHead(head, raw[: found.start(1)], found[1], raw[found.end() :])


def _with_length(head: RequestHead, length: bytes) -> RequestHead:
    name = b"content-length"
    return msgspec.structs.replace(
        head,
        headers=[(name, length) if each[0] == name else each for each in head.headers],
        fields={**head.fields, name: length},
        content_length=int(length),
    )


def refusal(reason: str) -> ApiError:
    """The error that tells the caller what is wrong with the head; `reason` is a key of the table above."""
    if reason == "credentials":
        # Even when both are good: which one counts must not depend on who reads (reliability.md, SEC-03).
        return ApiError(
            "1002", detail_zh="只能提供一个凭证。", detail_en="Exactly one credential is accepted."
        )
    status, zh, en = _REASONS[reason]
    return ApiError("1210", status=status, detail_zh=zh, detail_en=en)


def accept_language(raw: bytes) -> bytes | None:
    """What a head, possibly a malformed one, says about the caller's language."""
    match = _LANGUAGE.search(raw, 0, HEAD_BYTES_MAX)
    return match[1] if match else None


def _head(line: re.Match[bytes], found: list[tuple[bytes, bytes]]) -> RequestHead:
    if len(found) > HEAD_FIELDS_MAX:
        raise refusal("too_many")
    method, target, version = line.groups()
    minor = 0 if version == b"0" else 1
    headers = [(name.lower(), value.strip()) for name, value in found]
    fields = dict(headers)
    if len(fields) != len(headers):
        fields = _joined(headers)
    if method not in _METHODS:
        raise refusal("method")
    path, _, query = target.partition(b"?")
    if b"%" in path and not _ESCAPES.fullmatch(path):
        raise refusal("target")
    host = fields.get(b"host")
    if (host is None and minor) or (host is not None and not _HOST.fullmatch(host)):
        raise refusal("hosts")
    length, chunked = _framing(fields, minor)
    expect = fields.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise refusal("expectation")
    return RequestHead(
        method=method,
        target=target,
        path=path,
        query=query,
        http_minor=minor,
        headers=headers,
        fields=fields,
        content_length=length,
        chunked=chunked,
        keep_alive=_keep_alive(fields.get(b"connection"), minor),
        expect_continue=expect is not None and minor == 1,
    )


def _joined(headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = {}
    for name, value in headers:
        earlier = fields.get(name)
        if earlier is None:
            fields[name] = value
        elif name in _ONCE:
            raise refusal(_ONCE[name])
        else:
            fields[name] = earlier + b", " + value
    return fields


def _framing(fields: dict[bytes, bytes], minor: int) -> tuple[int | None, bool]:
    coding = fields.get(b"transfer-encoding")
    text = fields.get(b"content-length")
    if coding is not None:
        if text is not None or minor == 0 or coding.lower() != b"chunked":
            raise refusal("transfer_coding")
        return None, True
    if text is None:
        return None, False
    if not text.isdigit() or len(text) > 18:
        raise refusal("lengths")
    return int(text), False


def _keep_alive(connection: bytes | None, minor: int) -> bool:
    if connection is None:
        return minor == 1
    if connection == b"keep-alive":
        return True
    options = [option.strip() for option in connection.lower().split(b",")]
    return b"close" not in options and (minor == 1 or b"keep-alive" in options)


def _check_partial(data: bytes, start: int) -> None:
    """Refuse at once what can no longer become a head, instead of waiting for bytes until the time is up."""
    if len(data) - start > HEAD_BYTES_MAX:
        raise refusal("too_large")
    if _LONE.search(data, start) or data.startswith(b"\r\n", start):
        raise refusal("line_end")


def _fault(text: bytes) -> str:
    """Why the grammar said no; not on the fast path, so it may take its time."""
    if _LONE.search(text):
        return "line_end"
    line, *fields = text.split(b"\r\n")
    if not _REQUEST_LINE.match(text):
        return _request_line_fault(line)
    return "folded" if any(field[:1] in (b" ", b"\t") for field in fields) else "field"


def _request_line_fault(line: bytes) -> str:
    parts = line.split(b" ")
    if len(parts) != 3 or not re.fullmatch(_TOKEN + rb"{1,32}", parts[0]):
        return "request_line"
    if parts[0] in (b"CONNECT", b"TRACE"):
        return "method"
    if not re.fullmatch(rb"HTTP/1\.[01]", parts[2]):
        return "version"
    return "target"
