import socket
from pathlib import Path

import pytest

from openbigmodel.cli.main import run
from openbigmodel.settings import ServerSettings, Settings, fields_of


def test_the_help_of_an_option_is_the_help_of_its_setting(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert run(["serve", "--help"]) == 0
    text = capsys.readouterr().out
    helps = {field.name: field.help for cls in (Settings, ServerSettings) for field in fields_of(cls)}
    for name in ("host", "port", "data", "tls_cert", "tls_key", "log_format"):
        assert f"--{name.replace('_', '-')}" in text
        assert helps[name] in text
    assert "Default: 8000." in text


def test_a_taken_port_is_one_sentence_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert run(["serve", "--port", str(port), "--data", str(tmp_path / "data")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"bigmodel: port {port} on 127.0.0.1 is already in use")
    assert not (tmp_path / "data").exists()


def test_wrong_settings_start_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--log-format", "xml", "--data", str(tmp_path / "data")]) == 2
    assert capsys.readouterr().err == "bigmodel: --log-format must be one of auto, text, json\n"
    assert not (tmp_path / "data").exists()
