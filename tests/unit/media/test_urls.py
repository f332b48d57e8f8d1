import ipaddress
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.media.urls import URL_CHARACTERS_MAX, Url, UrlRefused, read_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://a.example", Url("http", "a.example", 80, "/")),
        ("HTTPS://A.Example/B?c=D#e", Url("https", "a.example", 443, "/B?c=D")),
        ("http://a.example:8080?x", Url("http", "a.example", 8080, "/?x")),
        ("http://a.example/#", Url("http", "a.example", 80, "/")),
        ("http://1.2.3.4/", Url("http", "1.2.3.4", 80, "/", ipaddress.ip_address("1.2.3.4"))),
        ("http://[2606:0::1]:81/", Url("http", "2606::1", 81, "/", ipaddress.ip_address("2606::1"))),
        (
            "https://图片.中国/图.png",
            Url("https", "xn--wcsw84d.xn--fiqs8s", 443, "/%E5%9B%BE.png"),
        ),
        ("http://a.example/%20%e5?q=a%2Fb", Url("http", "a.example", 80, "/%20%e5?q=a%2Fb")),
        ('http://a.example/"<>^`{|}', Url("http", "a.example", 80, "/%22%3C%3E%5E%60%7B%7C%7D")),
        ("http://a.example/a@b:c", Url("http", "a.example", 80, "/a@b:c")),
        ("http://1.example/", Url("http", "1.example", 80, "/")),
        ("http://0xa.example/", Url("http", "0xa.example", 80, "/")),
    ],
)
def test_a_plain_url_is_read(text: str, expected: Url) -> None:
    assert read_url(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("http://a.example/" + "a" * URL_CHARACTERS_MAX, "too long"),
        ("http://a.example\\@b.example/", "backslash"),
        ("http://a.example/a b", "blank"),
        ("http://a.example/\u2028", "blank"),
        ("ftp://a.example/", "not an http"),
        ("http:/a.example/", "not an http"),
        ("http://", "a host that cannot be"),
        ("http://u@a.example/", "a credential"),
        ("http://u:p@a.example/", "a credential"),
        ("http://a%2eexample/", "a host that cannot be"),
        ("http://[fe80::1%25lo]/", "a host that cannot be"),
        ("http://a.example:/", "no number"),
        ("http://a.example:0/", "port that cannot be"),
        ("http://a.example:65536/", "port that cannot be"),
        ("http://a.example:８０/", "no number"),
        ("http://[::g]/", "a host that cannot be"),
        ("http://[1:2]/", "IPv6 address that cannot be"),
        ("http://127.1/", "odd form"),
        ("http://0x7f.0.0.1/", "odd form"),
        ("http://0x7f000001/", "odd form"),
        ("http://2130706433/", "odd form"),
        ("http://127.0.0.01/", "odd form"),
        ("http://a.1/", "odd form"),
        ("http://a.example./", "not a name"),
        ("http://１.2.3.4/", "not a name"),
        ("http://a。example/", "not a name"),
        ("http://ﬁ.example/", "not a name"),
        ("http://a..example/", "not a name"),
        ("http://" + "a" * 64 + ".example/", "not a name"),
        ("http://" + "a." * 126 + "example/", "not a name"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UrlRefused, match=reason):
        read_url(text)


@given(st.text(st.sampled_from(string.printable + "。．１①İ\u200b\xad中"), max_size=30), st.booleans())
def test_whatever_is_read_is_one_plain_host(text: str, bracketed: bool) -> None:
    try:
        url = read_url(f"http://[{text}" if bracketed else f"http://{text}")
    except UrlRefused:
        return
    assert url.host.isascii()
    assert url.host == url.host.lower()
    assert not set(url.host) & set("@/\\?#%[] \t\r\n")
    assert not set(url.target) & set(" \t\r\n\\")
    assert url.target.startswith("/")
    assert 1 <= url.port <= 65535


def test_the_host_header_names_a_port_only_where_it_is_unusual() -> None:
    assert read_url("http://a.example:80/").authority == "a.example"
    assert read_url("http://a.example:443/").authority == "a.example:443"
    assert read_url("https://[2606::1]:8443/").authority == "[2606::1]:8443"


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("db", True),
        ("x.internal", True),
        ("printer.local", True),
        ("internal.example", False),
        ("notlocalhost.example", False),
        ("1.1.1.1", False),
        ("home.arpa", True),
    ],
)
def test_names_that_are_nobody_elses_business(host: str, local: bool) -> None:
    assert read_url(f"http://{host}/").is_local_name is local
