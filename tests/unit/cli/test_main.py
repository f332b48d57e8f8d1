import subprocess
import sys
import time

import pytest

from openbigmodel import __version__
from openbigmodel.cli import main as main_module
from openbigmodel.cli.main import run


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr().out == f"bigmodel {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["--help"]], ids=["nothing", "help"])
def test_help_names_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    text = capsys.readouterr().out
    for command in ("serve", "doctor", "version", "config"):
        assert command in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serv"], "No such command 'serv'"),
        (["serve", "--prot", "1"], "No such option: --prot"),
        (["serve", "--port", "x"], "Invalid value for '--port'"),
        (["serve", "--port", "70000"], "--port must be a whole number, 65535 or less"),
        (["config"], "Missing command"),
        (["config", "check"], "Missing argument 'FILE'"),
        (["config", "check", "/nowhere.toml"], "/nowhere.toml: cannot be read: No such file or directory"),
    ],
    ids=range(7),
)
def test_a_mistake_of_the_caller_is_one_sentence_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"bigmodel: {message}")
    assert err.count("\n") == 1


def test_debug_shows_where_a_mistake_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--debug", "config", "check", "/nowhere.toml"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("bigmodel: /nowhere.toml: cannot be read: No such file or directory\n")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (OSError(28, "No space left on device"), 1, "bigmodel: [Errno 28] No space left on device\n"),
        (
            ZeroDivisionError(),
            1,
            "bigmodel: internal error, please report it (--debug shows more): ZeroDivisionError\n",
        ),
        (KeyboardInterrupt(), 130, ""),
        (
            UnicodeEncodeError("utf-8", "\udcff", 0, 1, ""),
            1,
            "bigmodel: What is given must be text in UTF-8.\n",
        ),
        (EOFError(), 130, "\n"),
    ],
    ids=["system", "bug", "Ctrl-C", "text", "Ctrl-D"],
)
def test_what_a_command_raises_becomes_a_status(
    error: BaseException, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @main_module.cli.command("broken")
    def broken() -> None:
        raise error

    try:
        assert run(["broken"]) == status
    finally:
        main_module.cli.registered_commands.pop()
    assert capsys.readouterr().err == message


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "openbigmodel", "version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"bigmodel {__version__}\n"


def test_help_imports_no_server() -> None:
    program = (
        "import sys; from openbigmodel.cli.main import run; run(['--help']);"
        "print(sorted({'uvicorn', 'starlette', 'apsw', 'httpx', 'openbigmodel.app'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_help_is_there_at_once() -> None:
    def once() -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "openbigmodel", "--help"], capture_output=True, check=True)
        return time.perf_counter() - started

    # 0.14 s on an idle machine; the best of three, because this one may be busy.
    assert min(once() for _ in range(3)) < 1.0


def test_the_version_as_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("bigmodel ")


def test_ctrl_c_before_a_command_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "cli", interrupted)
    assert main_module.run(["version"]) == 130
