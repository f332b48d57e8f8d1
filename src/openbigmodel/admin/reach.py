"""Finds the one who may carry out a command: the server of the data folder, or, while none runs, this process.

Rule: whoever holds the folder's lock, and nobody else. A server has the lock before it has a socket and gives up the
socket before the lock, and another command line has the lock for moments; so whoever meets a lock and no socket
waits a little and tries both again.
"""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from openbigmodel.admin.protocol import AdminError, Answer
from openbigmodel.admin.remote import NoServer, ask_server
from openbigmodel.admin.stopped import ask_folder
from openbigmodel.db.data_folder import DATABASE_FILE, DataFolder, DataFolderBusy, DataFolderError
from openbigmodel.settings import Settings

PATIENCE_S = 10.0
_PAUSE_S = 0.05


def perform(
    settings: Settings,
    command: str,
    arguments: Mapping[str, object],
    *,
    new_folder: bool = False,
    patience_s: float = PATIENCE_S,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Have a command carried out in the data folder that the settings name. Raises AdminError.

    `new_folder`: a folder that is missing or empty is made a data folder; else it is an error.
    """
    path = settings.data.expanduser().absolute()
    check_folder(path, new_folder=new_folder)
    deadline_s = now_s() + patience_s
    while True:
        try:
            return ask_server(path, command, arguments)
        except NoServer:
            pass
        try:
            folder = DataFolder.open(path)
        except DataFolderBusy as error:
            if now_s() >= deadline_s:
                raise AdminError(
                    "busy",
                    f"{str(error).partition('. ')[0]}, which takes no commands. Wait for it, or stop it first.",
                ) from error
            sleep(_PAUSE_S)
            continue
        except DataFolderError as error:
            raise AdminError("folder", str(error)) from error
        with folder:
            # Only now: a server that starts has the lock before it has made the database.
            if not new_folder and not (path / DATABASE_FILE).exists():
                raise AdminError("no_folder", f"{path} holds no data of the platform.")
            return ask_folder(folder, settings, command, arguments)


def check_folder(path: Path, *, new_folder: bool = False, to_read: bool = False) -> None:
    """Raise AdminError for a folder that cannot be the platform's, before anything is made in it.

    `to_read`: nothing will be, so it may be one that cannot be written, such as a read-only mount.
    """
    try:
        names = {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        if not new_folder:
            raise AdminError(
                "no_folder", f"There is no data folder {path}. Name the server's own with --data."
            ) from None
        return
    except OSError as error:
        if path.is_file():
            raise AdminError("folder", f"The data folder {path} is a file, not a folder.") from error
        raise AdminError("folder", f"The data folder {path} cannot be read: {error.strerror}.") from error
    if names & {DATABASE_FILE, "lock"} or (new_folder and not names):
        if to_read and not os.access(path / DATABASE_FILE, os.R_OK) and DATABASE_FILE in names:
            raise AdminError(
                "folder",
                f"The database in {path} may not be read; be the user that the server runs as, or root.",
            )
        if not to_read and not os.access(path, os.W_OK | os.X_OK):
            raise AdminError(
                "folder",
                f"The data folder {path} may not be written; be the user that the server runs as, or root.",
            )
        return
    raise AdminError(
        "no_folder", f"{path} holds no data of the platform. Name the server's folder with --data."
    )
