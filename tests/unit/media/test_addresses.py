import ipaddress
import random

import pytest

from openbigmodel.media.addresses import is_forbidden
from tests.conftest import SCALE
from tests.ssrf_catalogue import FORBIDDEN_V4, FORBIDDEN_V6, PUBLIC_V4, PUBLIC_V6


@pytest.mark.parametrize("text", FORBIDDEN_V4 + FORBIDDEN_V6)
def test_what_is_not_public_is_forbidden(text: str) -> None:
    assert is_forbidden(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        PUBLIC_V4,
        PUBLIC_V6,
        "1.1.1.1",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "168.63.129.15",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "223.255.255.255",
        "2400:3200::1",
        "2001:4860:4860::8888",
        "2a00::1",
        "2001:200::1",
        "2003::1",
    ],
)
def test_what_is_public_is_allowed(text: str) -> None:
    assert not is_forbidden(ipaddress.ip_address(text))


def test_the_edges_of_every_forbidden_network_are_inside() -> None:
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
    ):
        network = ipaddress.ip_network(text)
        for address in (network[0], network[-1], network[network.num_addresses // 2]):
            assert is_forbidden(address)
        assert not is_forbidden(network[-1] + 1)


def test_an_ipv4_address_in_disguise_is_forbidden_whatever_it_is() -> None:
    chance = random.Random(4)
    for _ in range(round(2000 * SCALE)):
        value = chance.getrandbits(32)
        for disguise in (
            value,
            0xFFFF << 32 | value,
            0x64FF9B << 96 | value,
            0x0064_FF9B_0001 << 80 | value,
            0x2002 << 112 | value << 80,
            0x2001_0000 << 96 | value,
        ):
            assert is_forbidden(ipaddress.IPv6Address(disguise)), ipaddress.IPv6Address(disguise)


def test_an_operator_opens_networks_and_no_more() -> None:
    opened = [ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8")]
    assert not is_forbidden(ipaddress.ip_address("10.1.2.3"), opened)
    assert not is_forbidden(ipaddress.ip_address("fd00::1"), opened)
    assert is_forbidden(ipaddress.ip_address("10.2.0.1"), opened)
    assert is_forbidden(ipaddress.ip_address("::ffff:10.1.2.3"), opened)
