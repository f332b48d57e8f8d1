"""A row of the fidelity table holds only if all its checks passed."""

import pytest

from openbigmodel.conformance.checks import check
from openbigmodel.conformance.fidelity import ROWS, verdict_of
from openbigmodel.conformance.subject import Subject
from openbigmodel.conformance.suite import CHECKS, Outcome, Report, Verdict


async def _run(subject: Subject) -> None:
    pass


CHECK = check("auth", "a", "A.", "甲。", "api.md §2", row="jwt")(_run)


@pytest.mark.parametrize(
    ("verdicts", "sign"),
    [
        (["passed", "passed"], "✓"),
        (["passed", "failed"], "✗"),
        (["passed", "skipped"], "✓"),
        (["skipped"], "–"),
        ([], "–"),
    ],
)
def test_a_row(verdicts: list[Verdict], sign: str) -> None:
    assert verdict_of(Report(tuple(Outcome(CHECK, verdict) for verdict in verdicts)), "jwt") == sign


def test_every_row_has_checks_and_every_check_a_known_row() -> None:
    assert {one.row for one in CHECKS} - {""} == set(ROWS)
