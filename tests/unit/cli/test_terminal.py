import json
import shlex
from pathlib import Path

import pytest

from openbigmodel.cli.terminal import ServeTerminal
from openbigmodel.credentials import ApiKey
from openbigmodel.engines.weights import Progress
from openbigmodel.settings import ModelSettings, OpenAIEngineSettings, Settings

KEY = ApiKey(id="a" * 32, secret="s" * 16)
TRY_OUT = Settings(data=Path("/d"))
CONFIGURED = Settings(
    data=Path("/d"),
    engines=(OpenAIEngineSettings(name="gpu", base_url="http://g/v1"),),
    models=(ModelSettings(id="glm-4.7", engine="gpu"),),
)


def test_the_first_start_shows_the_key_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    ServeTerminal(TRY_OUT).announce("http://127.0.0.1:8000", KEY)
    assert capsys.readouterr().out.splitlines().count(f"API key: {KEY}") == 1


def test_later_starts_show_no_key(capsys: pytest.CaptureFixture[str]) -> None:
    ServeTerminal(TRY_OUT).announce("http://127.0.0.1:8000", None)
    assert "API key" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "model"), [(TRY_OUT, "glm-4.6"), (CONFIGURED, "glm-4.7")], ids=["try-out", "configured"]
)
def test_the_command_can_be_pasted_as_it_is(
    settings: Settings, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ServeTerminal(settings).announce("https://127.0.0.1:8000", KEY)
    text = capsys.readouterr().out
    words = shlex.split(text[text.index("curl") :])
    assert "-k" in words
    assert "https://127.0.0.1:8000/api/paas/v4/chat/completions" in words
    assert f"Authorization: Bearer {KEY}" in words
    assert json.loads(words[words.index("-d") + 1])["model"] == model


@pytest.mark.parametrize(
    ("called", "told"),
    [
        (".venv/bin/bigmodel", 'export PATH="$PWD/.venv/bin:$PATH"'),
        ("/usr/local/bin/bigmodel", ""),
        ("src/openbigmodel/__main__.py", ""),
    ],
)
def test_who_called_it_by_its_place_is_told_how_to_call_it_again(
    called: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [called, "serve"])
    ServeTerminal(TRY_OUT).announce("http://127.0.0.1:8000", KEY)

    assert capsys.readouterr().out.partition("export ")[1:] == (
        ("export ", told.removeprefix("export ") + "\n\n") if told else ("", "")
    )


def test_try_out_mode_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    ServeTerminal(TRY_OUT).announce("http://127.0.0.1:8000", None)
    assert "glm-demo" in capsys.readouterr().out
    ServeTerminal(CONFIGURED).announce("http://127.0.0.1:8000", None)
    assert "glm-demo" not in capsys.readouterr().out


def test_a_download_is_told_in_tenths_where_nobody_watches() -> None:
    terminal = ServeTerminal(CONFIGURED)
    told = [terminal.download("gpu", Progress("glm.gguf", 1, 2, done, 1000)) for done in range(0, 1001, 5)]
    lines = [line for line in told if line is not None]

    assert len(lines) == 11
    assert lines[0] == "downloading gpu: glm.gguf (1/2): 0% of 1,000 bytes"
    assert lines[-1] == "downloading gpu: glm.gguf (1/2): 100% of 1,000 bytes"


def test_an_empty_file_is_a_finished_download() -> None:
    line = ServeTerminal(CONFIGURED).download("gpu", Progress("glm.gguf", 1, 1, 0, 0))

    assert line == "downloading gpu: glm.gguf: 100% of 0 bytes"


def test_a_person_at_a_terminal_sees_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    terminal = ServeTerminal(CONFIGURED)
    terminal.download("gpu", Progress("glm.gguf", 1, 1, 500, 1000))
    terminal.download("gpu", Progress("glm.gguf", 1, 1, 1000, 1000))

    assert "glm.gguf" in capsys.readouterr().err


def test_no_command_is_shown_for_a_model_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    bare = Settings(data=Path("/d"), engines=CONFIGURED.engines)
    ServeTerminal(bare).announce("http://127.0.0.1:8000", KEY)
    seen = capsys.readouterr().out
    assert f"\nAPI key: {KEY}\n" in seen
    assert "no [[models]]" in seen and "没有 [[models]]" in seen
    assert "curl" not in seen and "glm-" not in seen
    for settings in (TRY_OUT, CONFIGURED):
        ServeTerminal(settings).announce("http://127.0.0.1:8000", KEY)
        assert "[[models]]" not in capsys.readouterr().out
