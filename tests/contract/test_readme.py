"""The examples in the README and the quickstart do what the text around them says: each is run as it stands there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.contract.environments import ROOT, python_of
from tests.contract.live_server import LiveServer

# The first example of a client waits for its environment, which may have to be made.
pytestmark = pytest.mark.timeout(600)
PAGES = ("README.md", "docs/quickstart.md", "docs/quickstart.zh-CN.md")
ENVIRONMENTS = {"zai": "zai", "openai": "openai-langchain", "langchain_community": "openai-langchain"}


def examples(language: str, word: str) -> list[tuple[str, str]]:
    """Page and text of each code block that has the word in it."""
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        found += [(page, block) for block in blocks if word in block]
    return found


def at(server: LiveServer, example: str) -> str:
    return example.replace("http://127.0.0.1:8000", server.root)


def environment(server: LiveServer) -> dict[str, str]:
    return os.environ | {"GLM_KEY": server.key, "GLM_URL": f"{server.root}/api/paas/v4"}


def said_by(command: list[str], server: LiveServer) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment(server))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "example", [text for _, text in examples("python", "import")], ids=["zai", "openai", "langchain"]
)
def test_the_python_examples_get_an_answer(example: str, server: LiveServer, tmp_path: Path) -> None:
    name = next(ENVIRONMENTS[module] for module in ENVIRONMENTS if f"from {module}" in example)
    (tmp_path / "example.py").write_text(at(server, example), encoding="utf-8")

    assert said_by([str(python_of(name)), str(tmp_path / "example.py")], server).strip()


@pytest.mark.parametrize(
    ("page", "example"),
    examples("sh", "chat/completions"),
    ids=[f"{page}-{n}" for n, (page, _) in enumerate(examples("sh", "chat/completions"))],
)
def test_the_curls_get_what_the_text_promises(page: str, example: str, server: LiveServer) -> None:
    said = said_by(["sh", "-c", at(server, example).replace("curl ", "curl --silent ", 1)], server)

    if '"stream": true' in example:
        assert '"finish_reason":"stop"' in said
        assert said.endswith("data: [DONE]\n\n")
    elif "robot" in example:
        assert '"code":"1214"' in said
        assert "messages[1].role" in said
    elif "get_weather" in example:
        assert '"finish_reason":"tool_calls"' in said
        assert r"{\"city\":\"北京\"}" in said
    else:
        assert '"finish_reason":"stop"' in said
        assert ('"reasoning_content"' in said) == ("disabled" not in example)


def test_there_are_examples() -> None:
    assert len(examples("python", "import")) == 3
    assert len(examples("sh", "chat/completions")) == 11


def test_a_model_that_always_thinks_says_so(server: LiveServer) -> None:
    """As the quickstart tells its reader to try."""
    example = next(text for page, text in examples("sh", "disabled") if "quickstart" in page)

    said = said_by(
        ["sh", "-c", example.replace("curl ", "curl --silent ", 1).replace("glm-4.6", "glm-5.3")], server
    )

    assert '"code":"1210"' in said
