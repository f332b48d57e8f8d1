import io
import subprocess
import sys
from pathlib import Path

import pytest

from openbigmodel.admin.protocol import AdminError
from openbigmodel.billing.statement import Filter
from openbigmodel.cli.admin import Site
from openbigmodel.cli.statement_source import find_owner, open_statement, open_statements, write_csv
from tests.statement_world import ACCOUNT, START_MS, World
from tests.unit.admin.folder_server import FolderServer


def site(folder: Path) -> Site:
    return Site(folder, None, as_json=True)


def test_nothing_is_printed_before_it_is_known_to_be_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    World(tmp_path)
    for account, since in (("x", None), (ACCOUNT, "soon")):
        with pytest.raises(AdminError), open_statement(site(tmp_path), account, since, None):
            pytest.fail("it was opened")
    assert capsys.readouterr().out == ""


def test_what_is_no_socket_is_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    World(tmp_path)
    (tmp_path / "admin.sock").mkdir()
    with open_statement(site(tmp_path), ACCOUNT, None, None) as statement:
        statement.print_json(Filter(), None)
    assert '"held":"0.000000000"' in capsys.readouterr().out


def test_a_server_that_does_not_tell_the_balance_is_no_stopped_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    World(tmp_path)
    # What it spends is not in the file yet, so the file's balance would be wrong.
    with (
        FolderServer(tmp_path),
        open_statement(site(tmp_path), ACCOUNT, None, None) as statement,
        pytest.raises(AdminError, match="does not know the command"),
    ):
        statement.print_json(Filter(), None)
    assert capsys.readouterr().out == ""


def test_the_connection_is_closed_in_any_case(tmp_path: Path) -> None:
    World(tmp_path)
    with (
        pytest.raises(AdminError, match="There is no account x"),
        open_statements(site(tmp_path)) as statements,
    ):
        find_owner(statements, "x")
    with pytest.raises(Exception, match="closed"):
        statements.connection.execute("SELECT 1")


def test_csv_is_utf_8_whatever_the_terminal_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii", errors="replace"))
    write_csv(["\ufeff", "账期\r\n"])
    sys.stdout.flush()
    assert raw.getvalue() == b"\xef\xbb\xbf" + "账期\r\n".encode()


def test_csv_goes_also_where_text_is_not_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    write_csv(["账期"])
    assert text.getvalue() == "账期"


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.connection:
        for number in range(2000):
            world.line(START_MS + number)
    command = [
        sys.executable,
        "-m",
        "openbigmodel",
        "usage",
        "--account",
        ACCOUNT,
        "--data",
        str(tmp_path),
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == b'{"totals":'
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(20) == 1
