"""`bigmodel verify`: proves the ledger of a running, a stopped or a just killed server, without asking it."""

from typing import Any

import msgspec

from openbigmodel.cli import tables
from openbigmodel.cli.admin import JsonOption, Site, answer_with
from openbigmodel.cli.server import ConfigOption, DataOption


def verify(data: DataOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Prove the ledger from its first posting on: chain, balances, charges. Exit status 1 if anything is wrong."""
    from openbigmodel.admin.protocol import AdminError
    from openbigmodel.admin.reach import check_folder
    from openbigmodel.billing.audit import verify as audit
    from openbigmodel.db.connection import DatabaseError
    from openbigmodel.db.data_folder import DATABASE_FILE
    from openbigmodel.db.migrations import DatabaseTooNew

    site = Site(data, config, as_json)
    folder = site.folder()
    check_folder(folder, to_read=True)
    try:
        report = audit(folder / DATABASE_FILE)
    except (FileNotFoundError, DatabaseTooNew) as error:
        raise AdminError("database", f"{error}.") from error
    except DatabaseError as error:
        raise AdminError("database", str(error)) from error
    answer: dict[str, Any] = msgspec.structs.asdict(report)
    if report.ok:
        return answer_with(site, answer, _show)
    count = len(report.problems)
    answer["error"] = f"{count} {'thing is' if count == 1 else 'things are'} wrong: {report.problems[0]}"
    if as_json:
        tables.show_json(answer)
    else:
        _show(answer)
    return 1


def _show(answer: dict[str, Any]) -> None:
    print(
        f"{answer['postings']:,} postings, {answer['usage_rows']:,} requests: {'in order' if answer['ok'] else 'NOT in order'}"
    )
    for problem in answer["problems"]:
        print(f"  {problem}")
    if answer["head"]:
        print(f"the chain ends with {answer['head']}")
