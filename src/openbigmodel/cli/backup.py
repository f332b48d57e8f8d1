"""`bigmodel backup` and `bigmodel restore`: everything that is worth keeping in one file, and back.

Both are done right here: a backup is taken beside a running server without asking it.
"""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from openbigmodel.cli.admin import JsonOption, Site, answer_with
from openbigmodel.cli.server import ConfigOption, DataOption


def backup(
    file: Annotated[
        Path, typer.Argument(help="The file to write; it must not be there yet.", metavar="FILE")
    ],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write database and master key to one file, also while the server runs. Keep it secret: it opens every API key."""
    from openbigmodel.admin.backup import write_backup
    from openbigmodel.admin.reach import check_folder
    from openbigmodel.auth.api_keys import unix_ms

    site = Site(data, config, as_json)
    folder = site.folder()
    check_folder(folder)
    written = write_backup(folder, file.absolute(), now_ms=unix_ms)
    return answer_with(site, written, _show_backup, changed=True)


def restore(
    file: Annotated[Path, typer.Argument(help="A backup.", metavar="FILE")],
    data: DataOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Put a backup into a data folder that is missing or empty, once all of it has been proved."""
    from openbigmodel.admin.restore import restore_backup

    site = Site(data, config, as_json)
    restored = restore_backup(file, site.folder())

    def show(answer: dict[str, Any]) -> None:
        place = f" --data {shlex.quote(str(data))}" if data else ""
        place += f" --config {shlex.quote(str(config))}" if config and not data else ""
        print(
            f"{answer['data']}: restored, as of {answer['made']}. Prove the ledger with: bigmodel verify{place}"
        )

    return answer_with(site, restored, show, changed=True)


def _show_backup(answer: dict[str, Any]) -> None:
    print(f"{answer['file']}: {answer['bytes']:,} bytes, as of {answer['made']}")
