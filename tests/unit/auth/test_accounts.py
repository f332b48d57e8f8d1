import pytest

from openbigmodel.auth.accounts import (
    NotFound,
    UnknownAccount,
    UnknownKey,
    UnknownUser,
    check_name,
    check_role,
    check_tier,
    check_user,
    columns_of,
    key_record_of,
    restrictions_of,
)
from openbigmodel.auth.restrictions import read_restrictions


def test_restrictions_survive_the_database() -> None:
    restrictions = read_restrictions(["GLM-5", "glm-4"], ["models", "chat"], ["::1", "10.0.0.0/8"])
    columns = columns_of(restrictions)
    assert columns == ('["glm-4","glm-5"]', '["chat","models"]', '["10.0.0.0/8","::1/128"]')
    assert restrictions_of(*columns) == restrictions
    assert columns_of(read_restrictions()) == (None, None, None)
    assert restrictions_of(None, None, None) is None
    only_models = read_restrictions(models=["glm-5"])
    assert restrictions_of(*columns_of(only_models)) == only_models
    only_networks = read_restrictions(networks=["::1"])
    assert restrictions_of(*columns_of(only_networks)) == only_networks


def test_a_record_shows_the_end_of_a_secret_alone() -> None:
    row = (
        "id",
        "account",
        "standard",
        1,
        "name",
        "active",
        5,
        None,
        None,
        '["glm-5"]',
        None,
        None,
        None,
        None,
        1,
    )
    record = key_record_of(row, "secret-abcd")
    assert record.masked == "id.***abcd"
    assert "secret" not in repr(record)
    assert (record.models, record.endpoints, record.told) == (("glm-5",), None, True)


def test_what_is_missing_is_named() -> None:
    assert str(UnknownAccount("a")) == "there is no account a"
    assert str(UnknownKey("k")) == "there is no key k"
    assert str(UnknownUser("u")) == "there is no user u"
    assert all(issubclass(kind, NotFound) for kind in (UnknownAccount, UnknownKey, UnknownUser))


def test_names_are_what_they_look_like() -> None:
    assert check_name("  团队 one 👩‍🔬 ".replace("\u200d", ""), "x") == "团队 one 👩🔬"
    assert check_name("x" * 100, "x") == "x" * 100


@pytest.mark.parametrize(
    "name", ["", "  ", "x" * 101, "a\nb", "a\x1b[31m", "a\u202eb", "a\u2028b", "a\ud800b", "a\0"]
)
def test_names_that_would_show_as_something_else(name: str) -> None:
    with pytest.raises(ValueError, match="the name must"):
        check_name(name, "the name")


def test_tiers_are_four() -> None:
    for tier in ("V0", "V1", "V2", "V3"):
        check_tier(tier)
    with pytest.raises(ValueError, match="the tier must be one of V0, V1, V2, V3"):
        check_tier("V4")


def test_roles_fit_their_place() -> None:
    for role in ("owner", "member", "viewer"):
        check_role(role, "account")
        with pytest.raises(ValueError, match="operators belong to no account"):
            check_role(role, None)
    check_role("operator", None)
    with pytest.raises(ValueError, match="operators belong to no account"):
        check_role("operator", "account")
    with pytest.raises(ValueError, match="the role must be one of owner"):
        check_role("root", None)


def test_addresses_of_users() -> None:
    assert check_user(" Li.Wei@example.com ", "owner", "account") == "Li.Wei@example.com"
    assert check_user("李@例子.公司", "owner", "account") == "李@例子.公司"


@pytest.mark.parametrize(
    "email", ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\n.c", "a\x1b@b", "a@" + "b" * 253]
)
def test_what_is_no_address(email: str) -> None:
    with pytest.raises(ValueError, match="is no e-mail address"):
        check_user(email, "owner", "account")
