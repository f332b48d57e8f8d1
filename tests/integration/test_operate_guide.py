"""The guide for operators does what it says: its commands, in its order, on a stopped folder and beside a server."""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.fake_engine_thread import fake_engine
from tests.integration.server_process import ROOT, server

pytestmark = pytest.mark.timeout(180)

GUIDES = ("operate.md", "operate.zh-CN.md")


def blocks(guide: str, language: str) -> list[str]:
    text = (ROOT / "docs" / guide).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def environment(folder: Path) -> dict[str, str]:
    """With `bigmodel` on the path, and `folder/data` as the default data folder."""
    (folder / "bin").mkdir()
    command = folder / "bin" / "bigmodel"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m openbigmodel "$@"\n')
    command.chmod(0o755)
    return {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "BIGMODEL_DATA": str(folder / "data"),
        "HOME": str(folder),
    }


@pytest.mark.parametrize(
    ("guide", "place"), [(GUIDES[0], "stopped"), (GUIDES[1], "running")], ids=["stopped", "running"]
)
def test_the_guide_can_be_followed(guide: str, place: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        if place == "running":
            engine = stack.enter_context(fake_engine())
            stack.enter_context(server(tmp_path, config=engine.config))
        script = "set -eu\n" + "".join(blocks(guide, "sh"))
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "API key: b1690de1" in done.stdout
    assert "the balance is 99.500000000" in done.stdout
    assert "input 2, output 8, cached 0.4" in done.stdout
    assert done.stdout.count("in order") == 2
    assert (tmp_path / "restored" / "bigmodel.db").exists()


def test_the_program_in_the_guide_works(tmp_path: Path) -> None:
    (program,) = set(blocks(GUIDES[0], "python") + blocks(GUIDES[1], "python"))
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert re.fullmatch("[0-9a-f]{32}\n", done.stdout)
    listed = subprocess.run(
        [tmp_path / "bin" / "bigmodel", "accounts", "list", "--json"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "BIGMODEL_DATA": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [account["name"] for account in json.loads(listed.stdout)["accounts"]] == ["CI"]


def test_both_guides_have_the_same_commands() -> None:
    english, chinese = (
        [re.sub(r'"[^"]*"', '""', block) for block in blocks(guide, "sh")] for guide in GUIDES
    )
    assert english == chinese
    assert len(english) == 9
