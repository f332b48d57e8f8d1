"""The command line beside a running server: what it changes holds at once, and neither can harm the other."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from openbigmodel.admin import socket as admin_socket
from openbigmodel.admin.reach import perform
from tests.integration.command_line import CommandLine
from tests.integration.fake_engine_thread import ThreadedFakeEngine, fake_engine
from tests.integration.server_process import ServerProcess, server, wait_until

pytestmark = pytest.mark.timeout(120)

# The last model of the fake engine's settings gets a table of its own.
PRICED = '[[models]]\nid = "priced"\nengine = "fake"\ntarget = "fake-echo"\nprice = { input = 1000.0, output = 1000.0 }\n'


@pytest.fixture(scope="module")
def engine() -> Iterator[ThreadedFakeEngine]:
    with fake_engine() as running:
        yield running


@pytest.fixture(scope="module")
def running(engine: ThreadedFakeEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with server(tmp_path_factory.mktemp("admin"), config=engine.config + PRICED) as process:
        yield process


@pytest.fixture(scope="module")
def bigmodel(running: ServerProcess) -> CommandLine:
    return CommandLine(running.folder / "data")


class Customer:
    """An account with one key, and what the server says to it."""

    def __init__(self, running: ServerProcess, bigmodel: CommandLine, *options: str) -> None:
        self._running = running
        self.account = bigmodel("accounts", "create", "customer")["id"]
        made = bigmodel("keys", "create", "--account", self.account, *options)
        self.key_id, self.key = made["id"], made["key"]

    def ask(self, model: str = "fake-echo", key: str = "") -> tuple[int, str]:
        """Status and error code of one small request."""
        reply = self._running.ask(key or self.key, model=model, max_tokens=4).reply()
        return reply.status, "" if reply.status == 200 else reply.json["error"]["code"]


@pytest.fixture
def customer(running: ServerProcess, bigmodel: CommandLine) -> Customer:
    return Customer(running, bigmodel)


# what is changed holds for the next request


def test_a_new_key_works_and_a_disabled_one_does_not(bigmodel: CommandLine, customer: Customer) -> None:
    assert customer.ask() == (200, "")
    bigmodel("keys", "disable", customer.key_id)
    assert customer.ask() == (401, "1000")


def test_an_expired_key_is_refused(running: ServerProcess, bigmodel: CommandLine, customer: Customer) -> None:
    assert customer.ask() == (200, "")
    bigmodel("keys", "expire", customer.key_id, "--at", "2026-01-01T00:00:00Z")
    assert customer.ask() == (401, "1003")
    bigmodel("keys", "expire", customer.key_id, "--at", "never")
    assert customer.ask() == (200, "")
    assert Customer(running, bigmodel, "--expires", "2026-01-01T00:00:00Z").ask() == (401, "1003")


def test_a_rotated_key_works_until_its_overlap_ends(bigmodel: CommandLine, customer: Customer) -> None:
    second = bigmodel("keys", "rotate", customer.key_id, "--overlap", "1h")
    assert customer.ask() == customer.ask(key=second["key"]) == (200, "")
    third = bigmodel("keys", "rotate", second["id"])
    assert customer.ask(key=second["key"]) == (401, "1003")
    assert customer.ask(key=third["key"]) == (200, "")


def test_a_restriction_holds_and_is_lifted(bigmodel: CommandLine, customer: Customer) -> None:
    bigmodel("keys", "restrict", customer.key_id, "--models", "other")
    assert customer.ask() == (403, "1220")
    bigmodel("keys", "restrict", customer.key_id, "--models", "", "--networks", "192.0.2.0/24")
    assert customer.ask() == (403, "1220")
    bigmodel("keys", "restrict", customer.key_id, "--networks", "")
    assert customer.ask() == (200, "")


def test_a_locked_account_is_refused(bigmodel: CommandLine, customer: Customer) -> None:
    assert customer.ask() == (200, "")
    bigmodel("accounts", "update", customer.account, "--lock")
    assert customer.ask() == (429, "1112")
    bigmodel("accounts", "update", customer.account, "--unlock")
    assert customer.ask() == (200, "")


def test_money_is_there_at_once_and_what_is_charged_is_told(
    bigmodel: CommandLine, customer: Customer
) -> None:
    assert customer.ask("priced") == (429, "1113")
    bigmodel("credit", "add", "--account", customer.account, "--yuan", "5")
    assert customer.ask("priced") == (200, "")

    shown = bigmodel("accounts", "show", customer.account)
    usage = bigmodel("usage", "--account", customer.account)
    charged = [line for line in usage["lines"] if line["charge"] != "0.000000000"]
    assert len(charged) == 1
    assert usage["totals"]["charge"] == charged[0]["charge"]
    assert (usage["balance"], usage["held"]) == (shown["balance"], shown["held"])
    nano = int(shown["balance"].replace(".", "")) + int(charged[0]["charge"].replace(".", ""))
    assert nano == 5_000_000_000

    refunded = bigmodel("credit", "refund", charged[0]["log_id"], "--memo", "sorry")
    assert (refunded["yuan"], refunded["balance"]) == (charged[0]["charge"], "5.000000000")
    assert "nothing is left" in bigmodel.error("credit", "refund", charged[0]["log_id"]).lower()
    (action, _) = bigmodel("credit", "list", "--account", customer.account)["actions"]
    assert (action["kind"], action["request"], action["memo"]) == ("refund", charged[0]["log_id"], "sorry")


def test_a_pack_pays_at_once(bigmodel: CommandLine, customer: Customer) -> None:
    assert customer.ask("priced") == (429, "1113")
    to = ("--to", "2099-01-01T00:00:00Z")
    bigmodel("packs", "grant", "--account", customer.account, "--calls", "1", "--models", "priced", *to)
    assert customer.ask("priced") == (200, "")
    assert customer.ask("priced") == (429, "1113")
    assert bigmodel("packs", "list", "--account", customer.account)["packs"][0]["state"] == "used_up"
    assert bigmodel("accounts", "show", customer.account)["balance"] == "0.000000000"


def test_a_price_holds_at_once(bigmodel: CommandLine, customer: Customer) -> None:
    assert customer.ask("fake-echo") == (200, "")
    bigmodel("prices", "set", "fake-echo", "--input", "1", "--output", "1")
    try:
        assert customer.ask("fake-echo") == (429, "1113")
    finally:
        bigmodel("prices", "clear", "fake-echo")
    assert customer.ask("fake-echo") == (200, "")


def test_a_key_tells_when_it_was_last_used(bigmodel: CommandLine, customer: Customer) -> None:
    def last_used() -> str | None:
        (key,) = bigmodel("keys", "list", "--account", customer.account)["keys"]
        moment: str | None = key["last_used"]
        return moment

    assert last_used() is None
    customer.ask()
    assert last_used() is not None


def test_what_a_request_holds_is_shown(
    engine: ThreadedFakeEngine, running: ServerProcess, bigmodel: CommandLine, customer: Customer
) -> None:
    bigmodel("credit", "add", "--account", customer.account, "--yuan", "100")
    bigmodel("prices", "set", "fake-endless-50", "--input", "10", "--output", "10")
    chat = running.ask(customer.key, model="fake-endless-50", stream=True, max_tokens=1000)
    chat.read(1)
    shown = bigmodel("accounts", "show", customer.account)
    assert shown["held"] != "0.000000000"
    total = int(shown["balance"].replace(".", "")) + int(shown["held"].replace(".", ""))
    assert total == 100_000_000_000
    assert f"hold {shown['held']} besides" in bigmodel.error(
        "credit", "adjust", "--account", customer.account, "--yuan", "-100"
    )
    chat.leave()
    wait_until(lambda: bigmodel("accounts", "show", customer.account)["held"] == "0.000000000")


# the socket


def test_the_socket_is_for_its_owner_alone(running: ServerProcess) -> None:
    mode = (running.folder / "data" / "admin.sock").stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600


def test_the_log_names_commands_and_no_secrets(running: ServerProcess, bigmodel: CommandLine) -> None:
    secret = Customer(running, bigmodel).key.partition(".")[2]
    bigmodel.error("keys", "disable", "nobody")
    wait_until(lambda: any("admin keys.disable: refused, not_found" in line for line in running.log))
    assert any("admin keys.create: done" in line for line in running.log)
    assert secret not in "\n".join(running.log)


def test_who_talks_nonsense_disturbs_nobody(running: ServerProcess, bigmodel: CommandLine) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(2 * admin_socket.CONNECTIONS_MAX):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            connection.connect(str(running.folder / "data" / "admin.sock"))
            with contextlib.suppress(OSError):
                connection.sendall(b"\x00" * number)
    assert bigmodel("accounts", "list")["accounts"]
    assert running.get("/health").status == 200


def test_many_commands_at_once(running: ServerProcess, bigmodel: CommandLine, customer: Customer) -> None:
    add = ("credit", "add", "--account", customer.account, "--yuan", "0.000000001")
    processes = [bigmodel.process(*add) for _ in range(6)]
    answers = [json.loads(process.communicate(timeout=60)[0]) for process in processes]

    assert all(answer["yuan"] == "0.000000001" for answer in answers), answers
    assert bigmodel("accounts", "show", customer.account)["balance"] == "0.000000006"


# starting, stopping, being killed


def test_commands_on_a_server_that_comes_and_goes(engine: ThreadedFakeEngine, tmp_path: Path) -> None:
    """Whoever has the folder, every command is carried out exactly once."""
    bigmodel = CommandLine(tmp_path / "data")
    account = bigmodel("accounts", "create", "team")["id"]
    counts = {"done": 0, "unclear": 0}
    stop = threading.Event()

    def add() -> None:
        while not stop.is_set():
            process = bigmodel.process("credit", "add", "--account", account, "--yuan", "1")
            answer = json.loads(process.communicate(timeout=60)[0])
            if "error" not in answer:
                counts["done"] += 1
            else:
                assert "look before you ask again" in answer["error"], answer
                counts["unclear"] += 1

    worker = threading.Thread(target=add)
    worker.start()
    try:
        for _ in range(2):
            with server(tmp_path, config=engine.config):
                seen = counts["done"]
                wait_until(lambda seen=seen: counts["done"] > seen, 30)  # type: ignore[misc]
            seen = counts["done"]
            wait_until(lambda seen=seen: counts["done"] > seen, 30)  # type: ignore[misc]
    finally:
        stop.set()
        worker.join()

    yuan = int(bigmodel("accounts", "show", account)["balance"].partition(".")[0])
    assert counts["done"] <= yuan <= counts["done"] + counts["unclear"]
    assert bigmodel("verify")["ok"] is True


def test_the_socket_of_a_killed_server_is_in_nobodys_way(engine: ThreadedFakeEngine, tmp_path: Path) -> None:
    bigmodel = CommandLine(tmp_path / "data")
    with server(tmp_path, config=engine.config) as first:
        account = bigmodel("accounts", "create", "team")["id"]
        bigmodel("credit", "add", "--account", account, "--yuan", "1")
        first.process.kill()
        first.process.wait(5)
    assert (tmp_path / "data" / "admin.sock").exists()

    assert bigmodel("verify")["postings"] == 1
    assert bigmodel("backup", str(tmp_path / "b.tar"))["schema"]
    assert bigmodel("accounts", "show", account)["balance"] == "1.000000000"
    with server(tmp_path, config=engine.config) as second:
        assert second.keys == []
        assert bigmodel("accounts", "show", account)["balance"] == "1.000000000"
    assert not (tmp_path / "data" / "admin.sock").exists()


def test_commands_are_taken_until_the_last_stream_has_ended(
    engine: ThreadedFakeEngine, tmp_path: Path
) -> None:
    bigmodel = CommandLine(tmp_path / "data")
    with server(tmp_path, config=engine.config) as running:
        chat = running.ask(running.key, model="fake-endless-50", stream=True, max_tokens=100_000).read(1)
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: any("stopping" in line for line in running.log))
        assert bigmodel("accounts", "list")["accounts"]
        running.process.send_signal(signal.SIGTERM)
        chat.leave()
        assert running.wait_exit(10) == 0
    assert not (tmp_path / "data" / "admin.sock").exists()


def test_a_folder_prepared_before_the_first_start_gets_its_operator(
    engine: ThreadedFakeEngine, tmp_path: Path
) -> None:
    bigmodel = CommandLine(tmp_path / "data")
    account = bigmodel("accounts", "create", "team")["id"]
    key = bigmodel("keys", "create", "--account", account)["key"]

    with server(tmp_path, config=engine.config) as running:
        assert len(running.keys) == 1
        assert running.ask(key, model="fake-echo").reply().status == 200
        assert running.ask(running.key, model="fake-echo").reply().status == 200
    assert [each["name"] for each in bigmodel("accounts", "list")["accounts"]] == ["team", "operator"]


def test_a_server_waits_for_a_command_to_end(engine: ThreadedFakeEngine, tmp_path: Path) -> None:
    CommandLine(tmp_path / "data")("accounts", "create", "team")
    with (
        subprocess.Popen(["flock", str(tmp_path / "data" / "lock"), "sleep", "0.7"]),
        server(tmp_path, config=engine.config) as running,
    ):
        assert running.get("/health").status == 200


def test_a_folder_with_a_long_name(engine: ThreadedFakeEngine, tmp_path: Path) -> None:
    folder = tmp_path / ("f" * 150)
    folder.mkdir()
    with server(folder, config=engine.config):
        assert len(CommandLine(folder / "data")("accounts", "list")["accounts"]) == 1


def test_a_backup_of_a_busy_server_is_a_server(engine: ThreadedFakeEngine, tmp_path: Path) -> None:
    bigmodel = CommandLine(tmp_path / "data")
    with server(tmp_path, config=engine.config + PRICED) as running:
        customer = Customer(running, bigmodel)
        bigmodel("credit", "add", "--account", customer.account, "--yuan", "1000")
        stop = threading.Event()

        def ask() -> None:
            while not stop.is_set():
                assert customer.ask("priced") == (200, "")

        callers = [threading.Thread(target=ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            for number in range(3):
                time.sleep(0.2)
                bigmodel("backup", str(tmp_path / f"{number}.tar"))
        finally:
            stop.set()
            for caller in callers:
                caller.join()

    for number in range(3):
        restored = CommandLine(tmp_path / f"restored{number}" / "data")
        restored("restore", str(tmp_path / f"{number}.tar"))
        assert restored("verify")["problems"] == []
    with server(tmp_path / "restored2", config=engine.config) as again:
        assert again.keys == []
        assert again.ask(customer.key, model="fake-echo").reply().status == 200
        assert again.ask(running.key, model="fake-echo").reply().status == 200


# people and other users


def test_ctrl_c_ends_a_command_that_waits(tmp_path: Path) -> None:
    bigmodel = CommandLine(tmp_path / "data")
    bigmodel("accounts", "create", "team")
    with _held(tmp_path / "data"):
        process = bigmodel.process("accounts", "list")
        time.sleep(3.0)  # past its start, also on a busy machine
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert json.loads(out) == {"error": "interrupted"}
    assert err == ""
    assert len(bigmodel("accounts", "list")["accounts"]) == 1


def test_a_folder_in_use_by_something_without_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert perform.__kwdefaults__ is not None
    monkeypatch.setitem(perform.__kwdefaults__, "patience_s", 0.2)
    bigmodel = CommandLine(tmp_path / "data")
    bigmodel("accounts", "create", "team")
    with _held(tmp_path / "data") as holder:
        error = bigmodel.error("accounts", "list")
    assert f"in use by process {holder}" in error
    assert "takes no commands" in error


@contextlib.contextmanager
def _held(data: Path) -> Iterator[int]:
    """The folder's lock, with another process."""
    with subprocess.Popen(
        ["flock", "--no-fork", str(data / "lock"), "sh", "-c", f"echo $$ > {data / 'lock'}; exec sleep 60"]
    ) as process:
        wait_until(lambda: (data / "lock").read_text().strip() == str(process.pid))
        try:
            yield process.pid
        finally:
            process.kill()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_another_user_is_kept_out(engine: ThreadedFakeEngine) -> None:
    # Not tmp_path, to which only its owner finds a way.
    with tempfile.TemporaryDirectory() as name, server(Path(name), config=engine.config):
        data = Path(name) / "data"
        # As open as a careless operator could make it: the kernel still tells who asks.
        for path in (data.parent, data, data / "admin.sock"):
            path.chmod(0o777)
        assert "User 65534 may not command this server." in _asked_by_nobody(data)


def _asked_by_nobody(data: Path) -> str:
    """What is answered to user nobody."""
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # This process has threads; the child does nothing that minds.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            with socket.socket(socket.AF_UNIX) as connection:
                connection.connect(str(data / "admin.sock"))
                connection.sendall(b'{"command": "accounts.list"}\n')
                os.write(write_end, connection.recv(1000))
        finally:
            # Whatever went wrong: there must not be two of this process.
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        return answer.read()
