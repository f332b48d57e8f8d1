from openbigmodel.moderation.verdict import CLEAR, Verdict, most_severe
from openbigmodel.schemas.chat import Finding


def test_clear_is_a_verdict_without_findings() -> None:
    assert Verdict() == CLEAR
    assert (CLEAR.blocked, CLEAR.noted) == (None, ())


def test_of_each_role_the_most_severe_finding_counts() -> None:
    found = [Finding(3, "user"), Finding(2, "history"), Finding(1, "user"), Finding(3, "history")]
    assert most_severe(found) == (Finding(1, "user"), Finding(2, "history"))
    assert most_severe([]) == ()
