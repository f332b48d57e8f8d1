import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.api.client_address import TrustedProxies
from openbigmodel.auth.restrictions import parse_networks

PROXIES = TrustedProxies(parse_networks(["10.0.0.0/8", "::1"]))


def client(peer: str, forwarded: str | None, proxies: TrustedProxies = PROXIES) -> str | None:
    address = proxies.client(peer, None if forwarded is None else forwarded.encode())
    return None if address is None else str(address)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("1.2.3.4", None, "1.2.3.4"),
        ("1.2.3.4", "9.9.9.9", "1.2.3.4"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        # What the caller made up comes first, and is not believed.
        ("10.0.0.1", "9.9.9.9, 1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "10.0.0.9, 1.2.3.4", "1.2.3.4"),
        # Two proxies of ours.
        ("10.0.0.1", "1.2.3.4, 10.0.0.2", "1.2.3.4"),
        ("::1", "9.9.9.9,1.2.3.4,10.0.0.2", "1.2.3.4"),
        # All of them ours: it began at the first.
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "2001:db8::7", "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]:443", "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        ("10.0.0.1", "1.2.3.4:5678", "1.2.3.4"),
        ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "9.9.9.9", "1.2.3.4"),
        ("10.0.0.1", "::ffff:1.2.3.4", "1.2.3.4"),
        # Nothing that can be read is nothing that can be trusted.
        ("10.0.0.1", "unknown", None),
        ("10.0.0.1", "1.2.3.4, _hidden", None),
        ("10.0.0.1", "1.2.3.4,", None),
        ("", "1.2.3.4", None),
        ("/run/socket", None, None),
    ],
)
def test_whose_address_counts(peer: str, forwarded: str | None, expected: str | None) -> None:
    assert client(peer, forwarded) == expected


def test_without_trusted_proxies_the_header_never_counts() -> None:
    nobody = TrustedProxies()
    assert client("127.0.0.1", "1.2.3.4", nobody) == "127.0.0.1"
    assert client("::1", "1.2.3.4, ::1", nobody) == "::1"


@given(st.ip_addresses(), st.text(max_size=60))
def test_a_caller_cannot_choose_their_address(address: object, claim: str) -> None:
    """A proxy appends what it sees; whatever stood in the header before changes nothing."""
    forwarded = f"{claim}, {address}"
    seen = PROXIES.client("10.0.0.1", forwarded.encode())
    alone = PROXIES.client("10.0.0.1", str(address).encode())
    # An IPv4 address may be written as an IPv6 one, so the address that was read decides.
    if alone is not None and not PROXIES._trusts(alone):
        assert seen == alone


@given(st.binary(max_size=200))
def test_no_header_can_break_it(forwarded: bytes) -> None:
    PROXIES.client("10.0.0.1", forwarded)
