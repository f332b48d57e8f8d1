"""We speak GLM, whichever engine answers: every required check passes, by the suite that anybody can run.

The mistakes that it must find are planted in tests/unit/conformance.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from openbigmodel.conformance.checks import BACKEND_GROUPS
from openbigmodel.conformance.fidelity import ROWS, verdict_of
from tests.integration.conformance_runs import RUNS, platform
from tests.integration.server_process import ROOT
from tests.planted_gateway import failures
from tools.conformance import PAGES, results


@pytest.mark.parametrize("name", RUNS)
def test_every_required_check_passes(name: str, tmp_path: Path) -> None:
    report = RUNS[name](tmp_path)

    assert failures(report) == {}
    assert report.ok and report.score == 100
    # Nothing passes because there was nothing to judge: even the demo model reasons and calls tools.
    assert report.count("skipped") == 0
    # The documented results are these.
    row = results({name: report}, 0).splitlines()[-1]
    assert all(row in (ROOT / page).read_text(encoding="utf-8") for page in PAGES), f"make docs: {row}"
    if any(outcome.check.group in BACKEND_GROUPS for outcome in report.outcomes):
        assert {verdict_of(report, row) for row in ROWS} <= {"✓", "–"}


def test_the_command_tells_programs_and_people(tmp_path: Path) -> None:
    with platform(tmp_path, ready=True) as process:
        url = f"127.0.0.1:{process.port}"

        def run(*words: str) -> "subprocess.CompletedProcess[str]":
            command = [sys.executable, "-m", "openbigmodel", "conformance", *words]
            return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT / "src")

        shown = run(url, "--key", process.key, "--only", "errors")
        assert shown.returncode == 0 and "score 100 / 100" in shown.stdout and shown.stderr == ""
        told = run(url, "--key", process.key, "--only", "errors.shape", "--json")
        answer = json.loads(told.stdout)
        assert (told.returncode, answer["ok"], answer["score"], answer["failed"]) == (0, True, 100, 0)
        assert [check["id"] for check in answer["checks"]] == ["errors.shape"]
        refused = run(url, "--key", "a.b", "--json")
        assert refused.returncode == 2 and "refuses the key" in json.loads(refused.stdout)["error"]
        unknown = run(url, "--key", process.key, "--model", "no-such-model")
        assert unknown.returncode == 2 and "does not serve no-such-model" in unknown.stderr
        assert run(url, "--key", process.key, "--only", "nonsense").returncode == 2
