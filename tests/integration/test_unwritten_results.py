"""Commands whose result nobody can read, and commands that are given again because nobody knows what became of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.command_line import CommandLine, commands
from tests.integration.fake_engine_thread import fake_engine
from tests.integration.server_process import ROOT, server

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full"),
]


@pytest.fixture(scope="module", params=["stopped", "running"])
def bigmodel(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CommandLine]:
    with commands(tmp_path_factory.mktemp(request.param), running=request.param == "running") as command_line:
        yield command_line


def unheard(bigmodel: CommandLine, *words: str) -> tuple[int, str]:
    """Status and stderr of a command whose stdout is a full disk."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "openbigmodel", *words, "--data", str(bigmodel.data)],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": os.environ.get("HOME", "/"),
                "PYTHONPATH": str(ROOT / "src"),
            },
            check=False,
        )
    return done.returncode, done.stderr


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["people", "json"])
def test_what_was_done_is_not_called_a_failure(bigmodel: CommandLine, form: tuple[str, ...]) -> None:
    account = bigmodel("accounts", "create", "team")["id"]
    status, said = unheard(bigmodel, "credit", "add", "--account", account, "--yuan", "1", *form)
    assert status == 3
    assert said == (
        "bigmodel: This was carried out, but its result could not be written: No space left on device. "
        "Look before you ask again.\n"
    )
    assert bigmodel("accounts", "show", account)["balance"] == "1.000000000"


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["people", "json"])
def test_a_key_whose_secret_nobody_saw_is_named(bigmodel: CommandLine, form: tuple[str, ...]) -> None:
    account = bigmodel("accounts", "create", "team")["id"]
    status, said = unheard(bigmodel, "keys", "create", "--account", account, *form)
    (key,) = bigmodel("keys", "list", "--account", account)["keys"]
    assert status == 3
    assert said.startswith(
        f"bigmodel: This was carried out ({key['id']}), but its result could not be written"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("accounts", "list"),
        ("accounts", "list", "--json"),
        ("bills", "--account", "ACCOUNT", "--json"),
        ("bills", "--account", "ACCOUNT", "--csv"),
        ("usage", "--account", "ACCOUNT", "--json"),
        ("verify",),
        ("verify", "--json"),
    ],
    ids=" ".join,
)
def test_what_only_reads_has_failed(bigmodel: CommandLine, words: tuple[str, ...]) -> None:
    account = bigmodel("accounts", "create", "team")["id"]
    status, said = unheard(bigmodel, *(account if word == "ACCOUNT" else word for word in words))
    assert (status, said) == (1, "bigmodel: The result could not be written: No space left on device.\n")


def test_a_mistake_is_heard_on_stderr_where_stdout_is_full(bigmodel: CommandLine) -> None:
    status, said = unheard(bigmodel, "accounts", "show", "nobody", "--json")
    assert (status, said) == (1, "bigmodel: There is no account nobody.\n")


def test_a_reader_who_goes_away_hears_no_complaint_unless_it_matters(bigmodel: CommandLine) -> None:
    account = bigmodel("accounts", "create", "team")["id"]
    for words, status, said in (
        (("accounts", "list"), 1, ""),
        (("credit", "add", "--account", account, "--yuan", "1"), 3, "This was carried out"),
    ):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-m", "openbigmodel", *words, "--data", str(bigmodel.data)],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )
        os.close(writing)
        assert done.returncode == status
        assert said in done.stderr if said else done.stderr == ""


def test_the_same_reference_at_once_from_many_processes(bigmodel: CommandLine) -> None:
    account = bigmodel("accounts", "create", "team")["id"]
    words = ("credit", "add", "--account", account, "--yuan", "2", "--reference", "wx 17")
    asking = [bigmodel.process(*words) for _ in range(6)]
    answers = [json.loads(each.communicate()[0]) for each in asking]
    assert [each.returncode for each in asking] == [0] * 6
    assert sorted("repeated" in answer for answer in answers) == [False, True, True, True, True, True]
    assert {answer["yuan"] for answer in answers} == {"2.000000000"}
    assert bigmodel("accounts", "show", account)["balance"] == "2.000000000"
    assert "stands for something else" in bigmodel.error(*words, "--memo", "other")
    assert bigmodel("verify")["problems"] == []


def test_a_reference_outlives_a_server_that_is_killed(tmp_path: Path) -> None:
    with fake_engine() as engine, server(tmp_path, config=engine.config) as started:
        bigmodel = CommandLine(tmp_path / "data")
        account = bigmodel("accounts", "create", "team")["id"]
        words = ("credit", "add", "--account", account, "--yuan", "2", "--reference")
        asking = [bigmodel.process(*words, f"r{number}") for number in range(4)]
        time.sleep(0.3)
        started.process.send_signal(signal.SIGKILL)
        started.process.wait()
        for each in asking:
            each.communicate()
    # Whatever came of them: asked again, each has been done once.
    for number in range(4):
        bigmodel(*words, f"r{number}")
        assert bigmodel(*words, f"r{number}")["repeated"] is True
    assert bigmodel("accounts", "show", account)["balance"] == "8.000000000"
    assert bigmodel("verify")["problems"] == []
