import json
import shlex
from pathlib import Path

import pytest

from openbigmodel.cli import banner
from openbigmodel.credentials import ApiKey
from openbigmodel.settings import ModelSettings, OpenAIEngineSettings, Settings

KEY = ApiKey(id="a" * 32, secret="s" * 16)
TRY_OUT = Settings(data=Path("/d"))
CONFIGURED = Settings(
    data=Path("/d"),
    engines=(OpenAIEngineSettings(name="gpu", base_url="http://g/v1"),),
    models=(ModelSettings(id="glm-4.7", engine=("gpu",)),),
)


def test_the_first_start_shows_the_key_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    banner.show(TRY_OUT, "http://127.0.0.1:8000", KEY)
    lines = capsys.readouterr().out.splitlines()
    assert lines.count(f"API key: {KEY}") == 1


def test_later_starts_show_no_key(capsys: pytest.CaptureFixture[str]) -> None:
    banner.show(TRY_OUT, "http://127.0.0.1:8000", None)
    assert "API key" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "model"), [(TRY_OUT, "glm-4.6"), (CONFIGURED, "glm-4.7")], ids=["try-out", "configured"]
)
def test_the_command_can_be_pasted_as_it_is(
    settings: Settings, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    banner.show(settings, "https://127.0.0.1:8000", KEY)
    text = capsys.readouterr().out
    words = shlex.split(text[text.index("curl") :])
    assert words[:3] == ["curl", "-k", "https://127.0.0.1:8000/api/paas/v4/chat/completions"]
    assert f"Authorization: Bearer {KEY}" in words
    assert json.loads(words[words.index("-d") + 1])["model"] == model


def test_try_out_mode_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    banner.show(TRY_OUT, "http://127.0.0.1:8000", None)
    assert "glm-demo" in capsys.readouterr().out
    banner.show(CONFIGURED, "http://127.0.0.1:8000", None)
    assert "glm-demo" not in capsys.readouterr().out
