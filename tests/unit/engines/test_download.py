"""The pure parts; downloads themselves are in tests/integration/test_weights_download.py."""

from pathlib import Path

import pytest

from openbigmodel.engines.download import Patience, backoff_s, free_disk_bytes
from openbigmodel.engines.hub_http import TransientError

PATIENCE = Patience(backoff_s=1, backoff_s_max=8)


@pytest.mark.parametrize(("failures", "seconds"), [(1, 1), (2, 2), (4, 8), (9, 8)])
def test_waiting_doubles_up_to_a_bound(failures: int, seconds: float) -> None:
    assert backoff_s(PATIENCE, failures, TransientError("busy")) == seconds


@pytest.mark.parametrize(("asked", "seconds"), [(0, 1), (5, 5), (30, 30), (86_400, 60)])
def test_a_server_may_ask_for_more_within_reason(asked: float, seconds: float) -> None:
    assert backoff_s(PATIENCE, 1, TransientError("busy", asked)) == seconds


def test_free_disk() -> None:
    assert free_disk_bytes(Path("/")) > 0
