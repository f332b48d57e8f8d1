"""Measures the platform with each kind of engine and writes the tables into docs/conformance*.md.

python -m tools.conformance            # half a minute; `--check` only says whether the tables are still true
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from openbigmodel.conformance.checks import BACKEND_GROUPS, GROUPS
from openbigmodel.conformance.fidelity import ROWS, WITHOUT_MEANING, verdict_of
from openbigmodel.conformance.suite import CHECKS, Report
from tests.integration.conformance_runs import RUNS

ROOT = Path(__file__).parents[1]
PAGES = ("docs/conformance.md", "docs/conformance.zh-CN.md")
_PLACE = re.compile(r"(<!-- made by tools/conformance.py: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def tables(reports: Mapping[str, Report], language: int) -> dict[str, str]:
    """Each table's name and text; `language` 0 is English, 1 Chinese."""
    return {
        "results": results(reports, language),
        "fidelity": _fidelity(reports, language),
        "checks": _checks(language),
    }


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def results(reports: Mapping[str, Report], language: int) -> str:
    """How many checks passed with each kind of engine."""
    head = [
        ("engine", "引擎"),
        ("score", "得分"),
        ("required checks passed", "通过的必需检查"),
        ("recommended checks failed", "未通过的建议检查"),
        ("nothing to judge", "无可判断"),
    ]
    rows = [
        [
            name,
            str(report.score),
            _share(report),
            str(report.count("failed", required=False)),
            str(report.count("skipped")),
        ]
        for name, report in reports.items()
    ]
    return _table([words[language] for words in head], rows)


def _share(report: Report) -> str:
    passed, failed = report.count("passed", required=True), report.count("failed", required=True)
    return f"{passed} / {passed + failed}"


def _fidelity(reports: Mapping[str, Report], language: int) -> str:
    shown = {
        name: report
        for name, report in reports.items()
        if any(outcome.check.group in BACKEND_GROUPS for outcome in report.outcomes)
    }
    rows = [
        [words[language], *(verdict_of(report, row) for report in shown.values())]
        for row, words in ROWS.items()
    ]
    reasons = [
        f"– {ROWS[row][language]}{(': ', '：')[language]}{why[language]}{('.', '。')[language]}\n"
        for (row, _), why in WITHOUT_MEANING.items()
    ]
    return _table([("field or behaviour", "字段或行为")[language], *shown], rows) + "\n" + "\n".join(reasons)


def _checks(language: int) -> str:
    head = [("check", "检查"), ("what holds", "要求"), ("engine", "引擎"), ("source", "出处")]
    rows = []
    for group in GROUPS:
        for one in CHECKS:
            if one.group == group:
                text = one.zh if language else one.en
                mark = "" if one.required else ("（建议）" if language else " (recommended)")
                kinds = "" if len(one.upstreams) > 1 else f"`{next(iter(one.upstreams))}`"
                rows.append([f"`{one.id}`", text.replace("|", "\\|") + mark, kinds, one.source])
    return _table([words[language] for words in head], rows)


def written(text: str, made: Mapping[str, str]) -> str:
    """A page with its tables in their places."""
    return _PLACE.sub(lambda match: match[1] + made[match[2]] + match[3], text)


def measured() -> dict[str, Report]:
    """The platform with each kind of engine."""
    with tempfile.TemporaryDirectory() as folder:
        return {name: run(Path(folder) / str(number)) for number, (name, run) in enumerate(RUNS.items())}


def main() -> int:
    """Write the pages, or say which are no longer true."""
    parser = argparse.ArgumentParser(description="Measures the platform with each kind of engine.")
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit status 1 if a table is old"
    )
    check = parser.parse_args().check
    reports, stale = measured(), []
    for language, page in enumerate(PAGES):
        path = ROOT / page
        old = path.read_text(encoding="utf-8")
        new = written(old, tables(reports, language))
        if new != old:
            stale.append(page)
            if not check:
                path.write_text(new, encoding="utf-8")
    print("\n".join(f"{page}: {'is old' if check else 'written'}" for page in stale) or "all tables are true")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
