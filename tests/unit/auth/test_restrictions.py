from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openbigmodel.auth.restrictions import Restrictions, parse_networks, read_restrictions
from openbigmodel.errors import ApiError


def code_from(address: str | None, *networks: str) -> str | None:
    restrictions = read_restrictions(networks=networks)
    try:
        restrictions.check_address(None if address is None else ip_address(address))
    except ApiError as error:
        return f"{error.code} {error.status}"
    return None


def test_no_list_is_no_restriction() -> None:
    nothing = read_restrictions()
    assert nothing == Restrictions()
    nothing.check_endpoint("chat")
    nothing.check_address(None)
    assert nothing.allows_model("glm-5")


def test_models_in_any_letter_case() -> None:
    restrictions = read_restrictions(models=["GLM-5", " glm-4.6 "])
    assert restrictions.models == frozenset(("glm-5", "glm-4.6"))
    assert restrictions.allows_model("Glm-5")
    assert not restrictions.allows_model("glm-5-air")
    assert not restrictions.allows_model("")


def test_endpoints_by_name() -> None:
    restrictions = read_restrictions(endpoints=["Chat"])
    restrictions.check_endpoint("chat")
    with pytest.raises(ApiError, match=r"1220: .*models") as caught:
        restrictions.check_endpoint("models")
    assert caught.value.status == 403


@pytest.mark.parametrize(
    ("address", "networks", "code"),
    [
        ("10.1.2.3", ["10.0.0.0/8"], None),
        ("11.1.2.3", ["10.0.0.0/8"], "1220 403"),
        ("11.1.2.3", ["10.0.0.0/8", "11.1.2.3"], None),
        ("11.1.2.4", ["10.0.0.0/8", "11.1.2.3"], "1220 403"),
        ("2001:db8::1", ["2001:db8::/32"], None),
        ("2001:db9::1", ["2001:db8::/32"], "1220 403"),
        ("2001:db8::1", ["0.0.0.0/0"], "1220 403"),
        ("1.2.3.4", ["::/0"], "1220 403"),
        (None, ["0.0.0.0/0", "::/0"], "1220 403"),
    ],
)
def test_addresses_by_network(address: str | None, networks: list[str], code: str | None) -> None:
    assert code_from(address, *networks) == code


def test_who_is_outside_learns_which_address_was_seen() -> None:
    restrictions = read_restrictions(networks=["10.0.0.0/8"])
    with pytest.raises(ApiError) as caught:
        restrictions.check_address(ip_address("1.2.3.4"))
    assert "1.2.3.4" in caught.value.message("en")
    assert "1.2.3.4" in caught.value.message("zh")
    with pytest.raises(ApiError, match=r"address \?"):
        restrictions.check_address(None)


def test_networks_are_kept_in_one_order_and_once() -> None:
    networks = parse_networks(["::1", "10.0.0.0/8", "1.2.3.4", " 1.2.3.4/32", "2001:DB8::/32"])
    assert [str(network) for network in networks] == ["1.2.3.4/32", "10.0.0.0/8", "::1/128", "2001:db8::/32"]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"models": []}, "an empty list of models would allow nothing"),
        ({"endpoints": []}, "an empty list of endpoints"),
        ({"networks": []}, "an empty list of networks"),
        ({"models": [" "]}, "cannot be the id of a model"),
        ({"models": ["a" * 129]}, "cannot be the id of a model"),
        ({"models": ["a\nb"]}, "cannot be the id of a model"),
        ({"models": ["m"] * 1001}, "at most 1000 models"),
        ({"endpoints": ["chats"]}, "'chats' is no endpoint; known are chat, models"),
        ({"networks": ["10.0.0.5/8"]}, "'10.0.0.5/8' is no network: .*host bits set"),
        ({"networks": ["localhost"]}, "'localhost' is no network"),
        ({"networks": ["10.0.0.0/33"]}, "is no network"),
    ],
)
def test_lists_that_cannot_be_meant(lists: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_restrictions(**lists)


@given(st.ip_addresses(), st.ip_addresses())
def test_a_single_address_lets_nobody_else_in(allowed: object, other: object) -> None:
    assert code_from(str(allowed), str(allowed)) is None
    assert (code_from(str(other), str(allowed)) is None) == (other == allowed)
