"""The systemd unit of docs/deploy, judged by systemd itself."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.integration.running_platform import ROOT

UNIT = ROOT / "docs" / "deploy" / "bigmodel.service"


def verify(unit: str, folder: Path) -> str:
    """What systemd has to say about a unit, whose program is taken to be there."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not installed")
    path = folder / "bigmodel.service"
    path.write_text(
        re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", unit, flags=re.MULTILINE), encoding="utf-8"
    )
    environment = os.environ | {"SYSTEMD_COLORS": "0"}
    done = subprocess.run(
        [program, "verify", str(path)], check=False, capture_output=True, text=True, env=environment
    )
    return done.stdout + done.stderr


def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    # It may find fault with units of the machine itself.
    said = [
        line for line in verify(UNIT.read_text(encoding="utf-8"), tmp_path).splitlines() if "bigmodel" in line
    ]

    assert said == []


def test_a_mistake_in_the_unit_would_be_found(tmp_path: Path) -> None:
    unit = UNIT.read_text(encoding="utf-8").replace("KillMode=mixed", "KillMode=sometimes")

    assert "KillMode" in verify(unit, tmp_path) or "kill mode" in verify(unit, tmp_path)
