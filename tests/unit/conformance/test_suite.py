"""The suite counts right, tells what cannot be measured, and passes a server that does everything right."""

import asyncio

import pytest

from openbigmodel.cli.conformance_backend import Measured, measure
from openbigmodel.conformance.checks import GROUPS, Failed, Skipped, check
from openbigmodel.conformance.subject import Subject, Unmeasurable
from openbigmodel.conformance.suite import CHECKS, Outcome, Report, _judged, chosen
from openbigmodel.errors import ApiError
from tests.planted_gateway import KEY, Gateway, Mistake, failures, free_port, measured


async def _nothing(subject: Subject) -> None:
    pass


REQUIRED = check("auth", "a", "A.", "甲。", "api.md §1")(_nothing)
RECOMMENDED = check("auth", "b", "B.", "乙。", "api.md §1", required=False)(_nothing)


def test_a_server_that_does_everything_right_passes_everything() -> None:
    report = measured(Mistake())

    assert failures(report) == {}
    assert report.ok and report.score == 100
    assert report.count("skipped") == 0
    assert {outcome.check for outcome in report.outcomes} == {one for one in CHECKS if "glm" in one.upstreams}


def test_names_are_unique_and_every_text_is_there() -> None:
    assert len({one.id for one in CHECKS}) == len(CHECKS)
    assert {one.group for one in CHECKS} == set(GROUPS)
    for one in CHECKS:
        assert one.en.endswith(".") and one.zh.endswith("。") and one.source.startswith("api.md §"), one.id


@pytest.mark.parametrize(
    ("verdicts", "score", "ok"),
    [
        (((REQUIRED, "passed"), (RECOMMENDED, "failed")), 100, True),
        (((REQUIRED, "passed"), (REQUIRED, "failed")), 50, False),
        (((REQUIRED, "skipped"),), 0, False),
        (((REQUIRED, "passed"),) * 999 + ((REQUIRED, "failed"),), 99, False),
    ],
    ids=["recommended", "half", "nothing judged", "almost"],
)
def test_what_counts(verdicts: object, score: int, ok: bool) -> None:
    report = Report(tuple(Outcome(one, verdict) for one, verdict in verdicts))  # type: ignore[attr-defined]
    assert (report.score, report.ok) == (score, ok)


def test_checks_that_need_an_engine_run_only_with_one() -> None:
    assert not any(one.group == "to_engine" for one in chosen((), upstream=None))
    assert all("openai" in one.upstreams for one in chosen((), upstream="openai"))
    assert [one.id for one in chosen(["auth.jwt"], upstream=None)] == ["auth.jwt"]
    with pytest.raises(Unmeasurable, match="no check or group nonsense"):
        chosen(["nonsense"], upstream=None)
    with pytest.raises(Unmeasurable, match="--backend"):
        chosen(["to_engine"], upstream=None)


def test_a_check_that_breaks_has_failed() -> None:
    async def main() -> list[str]:
        async def broken(subject: Subject) -> None:
            raise KeyError("choices")

        async def fails(subject: Subject) -> None:
            raise Failed("seen")

        async def says_nothing(subject: Subject) -> None:
            raise Skipped("why")

        made = [check("auth", "x", "X.", "X。", "api.md §1")(run) for run in (broken, fails, says_nothing)]
        outcomes = [await _judged(None, one) for one in made]  # type: ignore[arg-type]
        return [f"{outcome.verdict}: {outcome.seen}" for outcome in outcomes]

    assert asyncio.run(main()) == ["failed: KeyError: 'choices'", "failed: seen", "skipped: why"]


def unmeasurable(measured_as: Measured, mistake: Mistake | None = None) -> str:
    async def main() -> str:
        async with Gateway(free_port(), mistake or Mistake()) as gateway:
            url = measured_as.url or f"http://127.0.0.1:{gateway.port}"
            with pytest.raises(Unmeasurable) as caught:
                await measure(Measured(url, measured_as.key, measured_as.model), ())
            return str(caught.value)

    return asyncio.run(main())


def test_what_cannot_be_measured_is_said() -> None:
    def busy(request: object) -> None:
        raise ApiError("1305")

    assert "refuses the key" in unmeasurable(Measured("", "a.b", "glm-5.2"))
    assert "does not serve no-model" in unmeasurable(Measured("", str(KEY), "no-model"))
    assert "429" in unmeasurable(Measured("", str(KEY), "glm-5.2"), Mistake(judge=busy))
    assert "cannot be reached" in unmeasurable(Measured(f"http://127.0.0.1:{free_port()}", "a.b", "m"))
    assert "no address" in unmeasurable(Measured("ftp://x", "a.b", "m"))
