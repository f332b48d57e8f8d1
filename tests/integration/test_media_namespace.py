"""The catalogue once more, with the real resolver, the real kernel, and every address in the world one of ours."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ssrf_catalogue import PUBLIC_V4, PUBLIC_V6

ROOT = Path(__file__).parents[2]
PUBLIC = {PUBLIC_V4, PUBLIC_V6, *(f"93.184.215.{number}" for number in range(14, 22))}


def run(fault: str = "") -> dict[str, Any]:
    if not shutil.which("unshare") or not shutil.which("ip"):
        pytest.skip("unshare and ip are needed")
    namespace = ["unshare", "--map-root-user", "--net"]
    if subprocess.run(
        [*namespace, "ip", "link", "set", "lo", "up"], capture_output=True, check=False
    ).returncode:
        pytest.skip("no network namespace for this user")
    command = [*namespace, sys.executable, "-m", "tests.media_namespace", fault]
    result = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, timeout=55)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_only_public_addresses_are_ever_reached() -> None:
    found = run()
    assert set(found["reached"]) == PUBLIC
    assert found["bad"] == []
    assert set(found["good"]) == {""}
    assert found["asked"] > 2000
    assert found["flips"] > 50


@pytest.mark.parametrize("fault", ["resolves again", "redirects unjudged", "only private"])
def test_a_planted_mistake_reaches_others(fault: str) -> None:
    assert set(run(fault)["reached"]) - PUBLIC
