"""What `bigmodel conformance` says, and with which exit status."""

import json

import pytest

from openbigmodel.cli.conformance import as_object
from openbigmodel.cli.main import run
from openbigmodel.conformance.checks import check
from openbigmodel.conformance.subject import Subject
from openbigmodel.conformance.suite import Outcome, Report
from tests.planted_gateway import free_port


async def _run(subject: Subject) -> None:
    pass


def test_the_object_has_the_score_and_every_check() -> None:
    required = check("auth", "a", "A.", "甲。", "api.md §2")(_run)
    recommended = check("auth", "b", "B.", "乙。", "api.md §2", required=False)(_run)
    report = Report((Outcome(required, "passed"), Outcome(recommended, "failed", "seen")))

    answer = as_object(report, "http://h", "glm-4.6", None)

    assert (answer["ok"], answer["score"], answer["failed"], answer["failed_recommended"]) == (
        True,
        100,
        0,
        1,
    )
    assert answer["checks"][1] == {
        "id": "auth.b",
        "group": "auth",
        "required": False,
        "verdict": "failed",
        "seen": "seen",
        "en": "B.",
        "zh": "乙。",
        "source": "api.md §2",
    }


def test_a_server_that_is_not_there_cannot_be_measured(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert run(["conformance", url, "--key", "a.b", "--json"]) == 2
    assert "cannot be reached" in json.loads(capsys.readouterr().out)["error"]
    assert run(["conformance", url, "--key", "a.b"]) == 2
    assert "cannot be reached" in capsys.readouterr().err


def test_a_key_is_needed() -> None:
    assert run(["conformance", "http://h"]) == 2
