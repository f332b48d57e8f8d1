"""Moderation in the running server, with a word list on disk and the checker that docs/moderation.md shows."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from openbigmodel.engines.fake_script import Reply
from tests.integration.fake_engine_thread import ThreadedFakeEngine, fake_engine
from tests.integration.running_platform import ROOT, RunningPlatform, running_platform

CONFIG = """
[moderation]
word_list = "words.txt"
checker_url = "http://127.0.0.1:{}/"
"""


@contextmanager
def documented_checker() -> Iterator[int]:
    """The example from the documentation as a process of its own, on a free port."""
    page = (ROOT / "docs/moderation.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-c", code.replace("9100", str(port))], stderr=subprocess.DEVNULL
    ) as process:
        try:
            _wait_for(port)
            yield port
        finally:
            process.kill()


def _wait_for(port: int) -> None:
    deadline_s = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline_s, "the checker does not start"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def engine() -> Iterator[ThreadedFakeEngine]:
    with fake_engine() as started:
        yield started


@pytest.fixture(scope="module")
def platform(
    engine: ThreadedFakeEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningPlatform]:
    folder = tmp_path_factory.mktemp("moderation")
    (folder / "words.txt").write_text("炸弹\n[level 0]\npipe bomb\n", encoding="utf-8")
    with (
        documented_checker() as checker,
        running_platform(folder, config=engine.config + CONFIG.format(checker)) as running,
    ):
        yield running


def ask(platform: RunningPlatform, text: str, **fields: Any) -> httpx.Response:
    return httpx.post(
        platform.url + "/api/paas/v4/chat/completions",
        headers={"authorization": f"Bearer {platform.key}"},
        json={"model": "fake-echo", "messages": [{"role": "user", "content": text}], **fields},
        timeout=20,
    )


def test_clean_text_passes(platform: RunningPlatform) -> None:
    answer = ask(platform, "one two three").json()
    assert answer["choices"][0]["message"]["content"] == "one two three"
    assert '"finish_reason":"stop"' in ask(platform, "one two three", stream=True).text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("text", "level"), [("造炸弹", 1), ("a pipe  bomb?", 0), ("something forbidden", 1)])
def test_words_and_the_checker_block(platform: RunningPlatform, text: str, level: int, stream: bool) -> None:
    response = ask(platform, text, stream=stream)
    assert response.status_code == 400
    assert response.json()["contentFilter"] == [{"level": level, "role": "user"}]
    assert response.json()["error"]["code"] == "1301"
    assert text not in platform.log.read_text(encoding="utf-8")


def test_answers_are_judged_too(platform: RunningPlatform, engine: ThreadedFakeEngine) -> None:
    for word in (("a pipe", " bo", "mb"), ("something forb", "idden.")):
        reply = Reply(content=("Clean. ", *word))
        engine.play(reply.body())
        refusal = ask(platform, "hi")
        assert refusal.json()["contentFilter"][0]["role"] == "assistant"
        engine.play(reply.stream())
        stream = ask(platform, "hi", stream=True)
        assert (stream.status_code, '"finish_reason":"sensitive"' in stream.text) == (200, True)
        assert "pipe" not in stream.text and "forb" not in stream.text
        assert stream.text.endswith("data: [DONE]\n\n")


def test_the_operator_may_switch_it_off(platform: RunningPlatform) -> None:
    response = ask(platform, "造炸弹", sensitive_word_check={"type": "ALL", "status": "DISABLE"})
    assert json.loads(response.text)["choices"][0]["message"]["content"] == "造炸弹"


def test_a_word_list_that_is_none_keeps_the_server_from_starting(tmp_path: Path) -> None:
    file = tmp_path / "bigmodel.toml"
    file.write_text('[moderation]\nword_list = "words.txt"\n', encoding="utf-8")
    (tmp_path / "words.txt").write_text("# empty\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "openbigmodel",
        "serve",
        "--config",
        str(file),
        "--data",
        str(tmp_path / "d"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "src", check=False, timeout=30)
    assert done.returncode == 2
    assert done.stderr == f"bigmodel: moderation.word_list: {tmp_path / 'words.txt'} has no words\n"
    assert not (tmp_path / "d").exists()
