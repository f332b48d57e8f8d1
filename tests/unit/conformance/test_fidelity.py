"""A row of the fidelity table holds only if all its checks passed."""

import pytest

from openbigmodel.conformance.checks import BACKEND_GROUPS, check
from openbigmodel.conformance.fidelity import FROM_OUTSIDE, ROWS, WITHOUT_MEANING, verdict_of, verdicts_due
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


@pytest.mark.parametrize("kind", ["glm", "openai"])
def test_every_row_has_a_required_check_for_each_kind_unless_it_means_nothing_there(kind: str) -> None:
    rows = {one.row for one in CHECKS if kind in one.upstreams and one.required} - {""}
    assert {row for row, sign in verdicts_due(kind).items() if sign == "✓"} == rows
    assert not [row for row, of in WITHOUT_MEANING if of == "glm"]


def test_what_shows_from_outside_is_judged_without_an_engine_of_ours() -> None:
    found = {one.id: one for one in CHECKS if one.group not in BACKEND_GROUPS and one.required}
    assert FROM_OUTSIDE.keys() <= ROWS.keys()
    assert {check_id for ids in FROM_OUTSIDE.values() for check_id in ids} <= found.keys()
