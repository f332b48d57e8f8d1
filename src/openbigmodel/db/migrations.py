"""Brings a database up to the schema that this code knows: numbered SQL files, each in one transaction.

Rule: a file that has been released is never edited, only followed by another. `PRAGMA user_version` is the number
of the last file applied, and changes in the same transaction. A database from the future is refused: older code
would write rows that newer code cannot explain.
"""

import re
from collections.abc import Sequence
from importlib import resources

import apsw
import msgspec

_FILE_NAME = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema; `number` counts from 1 without gaps."""

    number: int
    name: str
    sql: str


class DatabaseTooNew(Exception):  # noqa: N818 - it names the state of the file; nothing has gone wrong in the code.
    """The database was written by a newer release."""


def migrate(connection: apsw.Connection, migrations: Sequence[Migration] | None = None) -> int:
    """Applies what is missing and returns how many steps that was.

    Raises DatabaseTooNew, and apsw.Error if a step fails: the steps before it stay applied.
    """
    steps = MIGRATIONS if migrations is None else migrations
    version = schema_version(connection)
    if version > len(steps):
        raise DatabaseTooNew(
            f"{connection.filename} was written by a newer release of Open BigModel (schema {version}; this release "
            f"knows up to {len(steps)}). Start that release, or restore a backup from before the upgrade."
        )
    for step in steps[version:]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(step.sql)
            connection.pragma("user_version", step.number)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return len(steps) - version


def schema_version(connection: apsw.Connection) -> int:
    """The number of the last step applied; 0 for an empty database."""
    version = connection.pragma("user_version")
    assert isinstance(version, int)
    return version


def parse_migrations(files: Sequence[tuple[str, str]]) -> tuple[Migration, ...]:
    """Orders (file name, SQL) pairs. Raises ValueError for a name out of form, a gap or a number used twice."""
    migrations = []
    for file_name, sql in sorted(files):
        match = _FILE_NAME.fullmatch(file_name)
        if match is None:
            raise ValueError(f"{file_name} is not named like 0001_accounts.sql")
        migrations.append(Migration(int(match[1]), match[2], sql))
    if [step.number for step in migrations] != list(range(1, len(migrations) + 1)):
        raise ValueError("the migrations are not numbered 1, 2, 3 …")
    return tuple(migrations)


def _load() -> tuple[Migration, ...]:
    folder = resources.files(__package__) / "sql" / "migrations"
    return parse_migrations([(file.name, file.read_text("utf-8")) for file in folder.iterdir()])


MIGRATIONS = _load()
