"""The named queries of `db/sql/*.sql`, read once at import.

Rule: SQL lives in these files, never in Python, and every value is a bound parameter. A query starts with the line
`-- name: some_name`, then one comment line that says what it is for, and is a single statement, because SQLite
takes a failed statement back as a whole, but not two. A misspelt name fails when the program starts, not when the
query is first needed.
"""

import re
from collections.abc import Iterator, Mapping
from importlib import resources

_NAME_LINE = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def parse_queries(*texts: str) -> dict[str, str]:
    """Splits the texts of files into queries by name. Raises ValueError for a file that breaks the rule."""
    queries: dict[str, str] = {}
    for text in texts:
        for name, query in _parse_file(text):
            if name in queries:
                raise ValueError(f"two queries are named {name}")
            queries[name] = query
    return queries


def _parse_file(text: str) -> Iterator[tuple[str, str]]:
    before, *parts = _NAME_LINE.split(text)
    if before.strip():
        raise ValueError(f"SQL before the first name: {before.strip()[:40]!r}")
    for name, part in zip(parts[::2], parts[1::2], strict=True):
        comment, _, query = part.strip().partition("\n")
        if not comment.startswith("-- ") or not query.strip():
            raise ValueError(f"query {name} needs one line of comment, then SQL")
        if ";" in query:
            raise ValueError(f"query {name} is more than one statement")
        yield name, query.strip()


def _load() -> dict[str, str]:
    folder = resources.files(__package__) / "sql"
    return parse_queries(
        *(file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".sql"))
    )


QUERIES: Mapping[str, str] = _load()
