"""`bigmodel conformance`: whether any server speaks the GLM wire format.

Exit status 0 if every required check passes, 1 if one fails, 2 if the server cannot be measured.
"""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from openbigmodel.cli import tables

if TYPE_CHECKING:
    from openbigmodel.conformance.suite import Outcome, Report

EXIT_UNMEASURABLE = 2
_SIGNS = {"passed": "✓", "failed": "✗", "skipped": "–"}


class UpstreamKind(StrEnum):
    """What the engine of `--backend` speaks."""

    glm = "glm"
    openai = "openai"
    vllm = "vllm"
    sglang = "sglang"


def conformance(
    url: Annotated[
        str,
        typer.Argument(metavar="URL", help="The server: its base, or its host for GLM's own /api/paas/v4."),
    ],
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="An API key for it.", envvar=None)],
    model: Annotated[str, typer.Option("--model", metavar="ID", help="The model to ask.")] = "glm-4.6",
    media_model: Annotated[
        str,
        typer.Option(
            "--media-model", metavar="ID", help="A model that takes pictures and files. Default: the model."
        ),
    ] = "",
    backend: Annotated[
        int | None,
        typer.Option(
            "--backend",
            metavar="PORT",
            help="Start the suite's own engine on this port of 127.0.0.1; the server is to have it as the model's engine.",
            min=1,
            max=65535,
        ),
    ] = None,
    upstream: Annotated[
        UpstreamKind,
        typer.Option("--upstream", help="What that engine speaks: GLM, or OpenAI as some engines word it."),
    ] = UpstreamKind.glm,
    leave_within: Annotated[
        float,
        typer.Option(
            "--leave-within",
            metavar="SECONDS",
            help="How long the engine may go on for a caller who has left; more for several gateways in a row.",
            min=0.1,
        ),
    ] = 1.0,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Only this group or check; may be repeated."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object; `error` in it if the server cannot be measured."),
    ] = False,
) -> int:
    """Check any server against the GLM wire format."""
    import asyncio

    from openbigmodel.cli.conformance_backend import Measured, measure
    from openbigmodel.conformance.subject import Unmeasurable

    measured = Measured(
        url, key, model, media_model, backend, upstream.value if backend else None, leave_within
    )
    heard = None if as_json or not sys.stderr.isatty() else _tell
    try:
        report = asyncio.run(measure(measured, only or [], heard))
    except (Unmeasurable, OSError) as error:
        if as_json:
            tables.show_error_as_json(str(error))
        else:
            print(f"bigmodel: {error}", file=sys.stderr)
        return EXIT_UNMEASURABLE
    if as_json:
        tables.show_json(as_object(report, measured.url, model, measured.upstream))
    else:
        _show(report)
    return 0 if report.ok else 1


def as_object(report: "Report", url: str, model: str, upstream: str | None) -> dict[str, Any]:
    """The report as the one object of `--json`."""
    return {
        "url": url,
        "model": model,
        "upstream": upstream,
        "ok": report.ok,
        "score": report.score,
        "passed": report.count("passed"),
        "failed": report.count("failed", required=True),
        "failed_recommended": report.count("failed", required=False),
        "skipped": report.count("skipped"),
        "checks": [
            {
                "id": outcome.check.id,
                "group": outcome.check.group,
                "required": outcome.check.required,
                "verdict": outcome.verdict,
                "seen": outcome.seen,
                "en": outcome.check.en,
                "zh": outcome.check.zh,
                "source": outcome.check.source,
            }
            for outcome in report.outcomes
        ],
    }


def _tell(outcome: "Outcome") -> None:
    """A line while people wait."""
    print(f"{_SIGNS[outcome.verdict]} {outcome.check.id}", file=sys.stderr)


def _show(report: "Report") -> None:
    from openbigmodel.conformance.checks import GROUPS

    for group, (en, zh) in GROUPS.items():
        outcomes = [outcome for outcome in report.outcomes if outcome.check.group == group]
        if outcomes:
            print(f"{en} · {zh}")
            tables.show_table(("", "check", "", "what was seen"), map(_row, outcomes))
    passed, failed = report.count("passed", required=True), report.count("failed", required=True)
    print(
        f"score {report.score} / 100: {passed} of {passed + failed} required checks pass, "
        f"{report.count('failed', required=False)} recommended ones fail, {report.count('skipped')} had nothing to judge"
    )


def _row(outcome: "Outcome") -> tuple[str, ...]:
    kind = "required" if outcome.check.required else "recommended"
    said = f"{outcome.check.en} {outcome.seen}" if outcome.verdict == "failed" else outcome.seen
    return _SIGNS[outcome.verdict], outcome.check.name, kind, said
