"""URLs that must never be fetched, by family (reliability.md §3.4), and what the names in them resolve to.

`{port}` stands for the port of the trap that listens on loopback: a fetcher that is fooled really arrives there.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

PUBLIC_V4 = "93.184.215.14"
PUBLIC_V6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"
PUBLIC_NAME = "public.example"
PUBLIC_NAMES: dict[str, list[str]] = {
    PUBLIC_NAME: [PUBLIC_V4],
    "dual.example": [PUBLIC_V6, PUBLIC_V4],
    "many.example": [f"93.184.215.{number}" for number in range(14, 22)],
    "xn--fiqs8s.example": [PUBLIC_V4],
    "under_score.example": [PUBLIC_V4],
}

FORBIDDEN_V4 = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.254 100.64.0.1 100.100.100.200 100.127.255.254 127.0.0.1 127.0.0.53
    127.255.255.254 168.63.129.16 169.254.0.23 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.254 192.0.0.1
    192.0.0.192 192.0.2.1 192.31.196.1 192.88.99.1 192.168.0.1 192.168.255.254 192.175.48.1 198.18.0.1 198.19.255.254
    198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255
""".split()
FORBIDDEN_V6 = """
    :: ::1 ::2 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:93.184.215.14 ::ffff:0:127.0.0.1
    64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::5db8:d70e 64:ff9b:1::7f00:1 64:ff9b:1:ffff::1 100::1 100:0:0:1::1
    2001::1 2001:0:7f00:1::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a9fe:a9fe:: 2002:5db8:d70e::
    2620:4f:8000::1 3fff::1 5f00::1 fc00::1 fd00::1 fd00:ec2::254 fd20:ce::254 fe80::1 fe80::a9fe:a9fe fec0::1 ff02::1
    ff05::1:3 4000::1
""".split()

_FULL_WIDTH = str.maketrans("0123456789.", "０１２３４５６７８９．")
_CIRCLED = str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨")
_MATHEMATICAL = str.maketrans("0123456789", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗")
_ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


@dataclass(frozen=True)
class Case:
    """One URL. `family` says why it must not be fetched."""

    family: str
    url: str


def forbidden_names() -> dict[str, list[str]]:
    """Names, each with the answers that a resolver gives: every forbidden address alone, and among public ones."""
    names: dict[str, list[str]] = {}
    for number, address in enumerate(FORBIDDEN_V4 + FORBIDDEN_V6):
        names[f"only-{number}.example"] = [address]
        names[f"last-{number}.example"] = [PUBLIC_V4, address]
        names[f"first-{number}.example"] = [address, PUBLIC_V4]
        names[f"among-{number}.example"] = [PUBLIC_V6, PUBLIC_V4, address, "93.184.215.15"]
    for number, address in enumerate(FORBIDDEN_V4):
        names[f"{address.replace('.', '-')}.nip{number}.example"] = [address]
    names["none.example"] = []
    names["crowd.example"] = [f"93.184.{a}.{b}" for a in range(2) for b in range(100)]
    names["nonsense.example"] = ["example"]
    names["zone.example"] = ["fe80::1%lo"]
    return names


def catalogue() -> list[Case]:
    """All of them, the port still to be filled in."""
    # What two families come to alike counts once.
    return list({url: Case(family, url) for make in _FAMILIES for family, url in make()}.values())


def _numbers() -> Iterator[tuple[str, str]]:
    for text in FORBIDDEN_V4:
        value = int(ipaddress.IPv4Address(text))
        octets = text.split(".")
        yield "dotted", f"http://{text}:{{port}}/"
        yield "decimal", f"http://{value}:{{port}}/"
        yield "hex", f"http://{value:#x}:{{port}}/"
        yield "octal parts", "http://" + ".".join(f"0{int(part):o}" for part in octets) + ":{port}/"
        yield "hex parts", "http://" + ".".join(f"{int(part):#x}" for part in octets) + ":{port}/"
        yield "three parts", f"http://{octets[0]}.{octets[1]}.{value & 0xFFFF}:{{port}}/"
        yield "two parts", f"http://{octets[0]}.{value & 0xFFFFFF}:{{port}}/"
        yield "trailing dot", f"http://{text}.:{{port}}/"
        yield "full width", f"http://{text.translate(_FULL_WIDTH)}:{{port}}/"
        yield "mapped", f"http://[::ffff:{text}]:{{port}}/"
        yield "compatible", f"http://[::{text}]:{{port}}/x"
        yield "nat64", f"http://[64:ff9b::{value >> 16:x}:{value & 0xFFFF:x}]:{{port}}/x"
        yield "6to4", f"http://[2002:{value >> 16:x}:{value & 0xFFFF:x}::1]:{{port}}/x"
        yield "percent", "http://" + "".join(f"%{ord(each):02x}" for each in text) + ":{port}/"
        yield "https", f"https://{text}:{{port}}/"


def _odd_numbers() -> Iterator[tuple[str, str]]:
    for host in (
        "127.1 127.0.1 127.0x0.0.1 0177.1 0x7f.1 00000127.0.0.1 127.0.0.01 127.0.0.1.1 127.0.0 0 0x0 00 0x 0X7F000001 "
        "4294967297 2130706433. 017700000001 127.0.0.256 1e9 0x7f000001.0x 08.1.1.1 127..0.0.1 .127.0.0.1 127.0.0.-1 +127.0.0.1"
    ).split():
        yield "odd number", f"http://{host}:{{port}}/odd"
    for table in (_CIRCLED, _MATHEMATICAL, _ARABIC):
        yield "other digits", f"http://{'127.0.0.1'.translate(table)}:{{port}}/"
        yield "other digits", f"http://{'169.254.169.254'.translate(table)}:{{port}}/"
    for dot in "。．｡․﹒":
        yield "other dots", f"http://127{dot}0{dot}0{dot}1:{{port}}/"
        yield "other dots", f"http://localhost{dot}localdomain:{{port}}/"


def _ipv6() -> Iterator[tuple[str, str]]:
    for text in FORBIDDEN_V6:
        yield "ipv6", f"http://[{text}]:{{port}}/six"
    for host in (
        "::1",
        "[::1",
        "::1]",
        "[[::1]]",
        "[::1%lo]",
        "[::1%25lo]",
        "[fe80::1%25eth0]",
        "[fe80::1%1]",
        "[0:0:0:0:0:0:0:1]",
        "[0000:0000:0000:0000:0000:0000:0000:0001]",
        "[::0001]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::ffff:127.1]",
        "[::ffff:0x7f.1]",
        "[v1.::1]",
        "[127.0.0.1]",
        "[]",
        "[:]",
    ):
        yield "ipv6 forms", f"http://{host}:{{port}}/forms"


def _names() -> Iterator[tuple[str, str]]:
    for name in forbidden_names():
        yield "resolves to", f"http://{name}:{{port}}/"
    for host in (
        "localhost LOCALHOST localhost. a.localhost localhost.localdomain ip6-localhost metadata metadata.google.internal "
        "metadata.goog. kubernetes.default.svc.cluster.local printer.local router.lan db redis postgres a.internal x.home.arpa "
        "intranet ｌｏｃａｌｈｏｓｔ ⓛⓞⓒⓐⓛⓗⓞⓢⓣ loc%61lhost localhost%00.public.example localhost%2e"
    ).split():
        yield "local name", f"http://{host}:{{port}}/name"


def _schemes() -> Iterator[tuple[str, str]]:
    for scheme in (
        "file ftp ftps gopher dict ldap ldaps jar netdoc blob unix tftp sftp ssh telnet smb imap smtp ws wss javascript about "
        "view-source php expect phar zip s3 gs hf http+unix httpx htt"
    ).split():
        yield "scheme", f"{scheme}://127.0.0.1:{{port}}/etc/passwd"
    for text in (
        "file:///etc/passwd",
        "file:/etc/passwd",
        "FILE:///etc/passwd",
        "http:127.0.0.1:{port}/",
        "http:/127.0.0.1:{port}/",
        "http:///127.0.0.1:{port}/",
        "http:////127.0.0.1:{port}/",
        "http:\\\\127.0.0.1:{port}\\",
        "http://",
        "http://:{port}/",
        "https:///",
        "//127.0.0.1:{port}/",
        "/etc/passwd",
        "http\t://127.0.0.1:{port}/",
        "ht\ntp://127.0.0.1:{port}/",
        " http://127.0.0.1:{port}/",
        "\x00http://127.0.0.1:{port}/",
        "url:http://127.0.0.1:{port}/",
        "jar:http://127.0.0.1:{port}/!/a",
        "http://http://127.0.0.1:{port}/",
    ):
        yield "scheme forms", text


def _differentials() -> Iterator[tuple[str, str]]:
    good, bad = PUBLIC_NAME, "127.0.0.1:{port}"
    for separator in (
        "\\",
        "\\@",
        "\\\\@",
        "/\\@"[1:],
        "@",
        ":@",
        ":80@",
        "#@",
        "?@",
        ";@",
        "%00@",
        "%40",
        "%2f@",
        "%5c@",
        "%23@",
    ):
        if separator not in {"#@", "?@"}:
            yield "differential", f"http://{good}{separator}{bad}/{len(separator)}"
        yield "differential", f"http://{bad}{separator}{good}/{len(separator)}"
    for blank in (
        "\t",
        "\n",
        "\r",
        "\r\n",
        " ",
        "\x00",
        "\x0b",
        "\x0c",
        "\x7f",
        "\x85",
        "\xa0",
        "\u200b",
        "\u2028",
        "\u3000",
        "\ufeff",
        "\xad",
    ):
        yield "blank", f"http://{bad}{blank}@{good}/"
        yield "blank", f"http://127.0.{blank}0.1:{{port}}/"
        yield "blank", f"http://{good}:80{blank}.127.0.0.1:{{port}}/"
        yield "header injection", f"http://only-7.example:{{port}}/{blank}HTTP/1.1{blank}Host: x"


def _parsers() -> Iterator[tuple[str, str]]:
    good, bad = PUBLIC_NAME, "127.0.0.1:{port}"
    for url in (
        f"http://user:secret@{bad}/",
        f"http://{good}:80@{bad}/",
        f"http://{good}@{bad}@{good}/",
        f"http://{bad}#@{good}/",
        f"http://{bad}?@{good}/",
        f"http://{bad}&@{good}/",
        f"http://{good} {bad}/",
        f"http://{good},{bad}/",
        f"http://{good};{bad}/",
        f"http://{good}|{bad}/",
        f"http://{good}^{bad}/",
        f"http://[{good}]@{bad}/",
        f"http://[::1]@{bad}/",
        f"http://[::1].{good}:{{port}}/",
        f"http://{good}[::1]:{{port}}/",
        "http://127.0.0.1:{port}:80/",
        f"http://{good}:{{port}}:127.0.0.1/",
        "http://①②⑦.0.0.1:{port}/",
        "http://127.0.0.1\u2044@" + good + "/",
        "http://127.0.0.1:{port}／@" + good + "/",
        "http://127.0.0.1:{port}＠" + good + "/",
        "http://127.0.0.1:{port}＃@" + good + "/",
        "http://127.0.0.1:{port}？@" + good + "/",
        "http://127.0.0.1：{port}/",
        "http://ⓔⓧample.com@127.0.0.1:{port}/",
        "http://0://127.0.0.1:{port}/",
        "http://" + "a" * 64 + ".example:{port}/",
        "http://" + "a." * 130 + "example:{port}/",
        "http://only-7.example:{port}/" + "a" * 9000,
        "http://-a.example:{port}/",
        "http://a-.example:{port}/",
        "http://a..example:{port}/",
        "http://.example:{port}/",
        "http://*.example:{port}/",
        "http://xn--.example:{port}/\ud800",
        "http://a_b:c@only-7.example:{port}/",
    ):
        yield "parser", url


def _ports() -> Iterator[tuple[str, str]]:
    """The name is public: it is the port that nobody may ask for."""
    for port in (
        "1 7 19 21 22 23 25 53 79 110 111 135 139 143 389 443x 445 465 514 587 631 873 993 1080 1433 1521 2049 2375 2376 "
        "2379 3000 3128 3306 3389 4194 5000 5432 5601 5672 5900 5984 6000 6379 6443 7001 8000 8001 8008 8080 8081 8086 8443 "
        "8500 8888 9000 9090 9100 9200 9300 9418 10250 11211 11434 15672 27017 50070 65535 65536 65616 131152 0 -1 +80 080x "
        "0x50 8e1 ８０ 80,443 80- 999999 00000000080"
    ).split():
        yield "port", f"http://{PUBLIC_NAME}:{port}/"
    yield "port", f"http://{PUBLIC_NAME}:/"


_FAMILIES = (_numbers, _odd_numbers, _ipv6, _names, _schemes, _differentials, _parsers, _ports)
