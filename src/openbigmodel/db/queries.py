"""The named queries of `db/sql/*.sql`, read once at import.

Rule: SQL lives in these files, never in Python, and every value is a bound parameter. A query starts with the line
`-- name: some_name`, then one comment line that says what it is for, and is a single statement, because SQLite
takes a failed statement back as a whole, but not two. A misspelt name fails when the program starts, not when the
query is first needed.
"""

import re
from collections.abc import Mapping
from importlib import resources

_NAME_LINE = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def parse_queries(text: str) -> dict[str, str]:
    """Splits one file's text into queries by name. Raises ValueError for a file that breaks the rule."""
    before, *parts = _NAME_LINE.split(text)
    if before.strip():
        raise ValueError(f"SQL before the first name: {before.strip()[:40]!r}")
    queries: dict[str, str] = {}
    for name, part in zip(parts[::2], parts[1::2], strict=True):
        comment, _, query = part.strip().partition("\n")
        if not comment.startswith("-- ") or not query.strip():
            raise ValueError(f"query {name} needs one line of comment, then SQL")
        if ";" in query:
            raise ValueError(f"query {name} is more than one statement")
        if name in queries:
            raise ValueError(f"two queries are named {name}")
        queries[name] = query.strip()
    return queries


def _load() -> dict[str, str]:
    queries: dict[str, str] = {}
    for file in (resources.files(__package__) / "sql").iterdir():
        if not file.name.endswith(".sql"):
            continue
        for name, query in parse_queries(file.read_text("utf-8")).items():
            if name in queries:
                raise ValueError(f"two queries are named {name}")
            queries[name] = query
    return queries


QUERIES: Mapping[str, str] = _load()
