"""A server that does not get over clients who left is found."""

import pytest

from openbigmodel.conformance.disconnect_checks import CHECKS
from tests.planted_gateway import Mistake, caught


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_server_that_is_wedged_by_them_is_found(check: object) -> None:
    caught(Mistake(wedged_after=1, slow_s=0.2), check.id)  # type: ignore[attr-defined]
