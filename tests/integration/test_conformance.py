"""We speak GLM, whichever engine answers: every required check passes, by the suite that anybody can run.

The mistakes that it must find are planted in tests/unit/conformance.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from openbigmodel.conformance.fidelity import FROM_OUTSIDE, ROWS, verdict_of, verdicts_due
from tests.integration.conformance_runs import FORCED_CHECKS, KINDS, RUNS, UNFORCED, platform
from tests.integration.server_process import ROOT
from tests.planted_gateway import failures
from tools.conformance import PAGES, results


@pytest.mark.parametrize("name", RUNS)
def test_every_required_check_passes(name: str, tmp_path: Path) -> None:
    report = RUNS[name](tmp_path)

    assert failures(report).keys() == (FORCED_CHECKS if name in UNFORCED else set())
    assert report.ok and report.score == 100
    # Nothing passes because there was nothing to judge: even the demo model reasons and calls tools.
    assert report.count("skipped") == 0
    # The documented results are these.
    row = results({name: report}, 0).splitlines()[-1]
    assert all(row in (ROOT / page).read_text(encoding="utf-8") for page in PAGES), f"make docs: {row}"
    verdicts = {row: verdict_of(report, row) for row in ROWS}
    if name in KINDS:
        assert verdicts == verdicts_due(KINDS[name])
        assert all(_documented(page, language, name) == verdicts for language, page in enumerate(PAGES))
    else:
        passed = {outcome.check.id for outcome in report.outcomes if outcome.verdict == "passed"}
        assert {check_id for ids in FROM_OUTSIDE.values() for check_id in ids} <= passed


def _documented(page: str, language: int, name: str) -> dict[str, str]:
    """The signs in a run's column of a page's table."""
    text = (ROOT / page).read_text(encoding="utf-8").partition("tools/conformance.py: fidelity -->\n")[2]
    head, _, *rows = [line.strip("| ").split(" | ") for line in text.partition("\n\n")[0].splitlines()]
    by_words = {cells[0]: cells[head.index(name)] for cells in rows}
    return {row: by_words[words[language]] for row, words in ROWS.items()}


def test_the_pages_name_the_checks_that_stand_for_engines_without_a_column() -> None:
    for page in PAGES:
        text = (
            (ROOT / page)
            .read_text(encoding="utf-8")
            .partition("## All checks")[0]
            .partition("## 全部检查")[0]
        )
        told = set(re.findall(r"`(\w+\.\w+)`", text.partition("fidelity -->")[2]))
        assert told >= {check_id for ids in FROM_OUTSIDE.values() for check_id in ids} | FORCED_CHECKS


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
