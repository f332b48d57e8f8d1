"""What a command line asks of the admin service, without one: the command and its arguments."""

import contextlib
import io
from typing import Any

import pytest

from openbigmodel.cli.main import run


class Asked:
    """Stands in for whoever carries commands out; answers with `answer`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | None = None) -> None:
        self.answer = answer or {}
        self.questions: list[tuple[str, dict[str, Any]]] = []
        self.new_folder = False
        monkeypatch.setattr("openbigmodel.admin.reach.perform", self._perform)

    def _perform(
        self, settings: object, command: str, arguments: dict[str, Any], *, new_folder: bool = False
    ) -> dict[str, Any]:
        self.questions.append((command, arguments))
        self.new_folder = new_folder
        return self.answer

    def by(self, *words: str) -> tuple[str, dict[str, Any]]:
        """What these words ask."""
        with contextlib.redirect_stdout(io.StringIO()):
            assert run([*words, "--json", "--data", "/nowhere"]) == 0
        return self.questions[-1]

    def shown(self, answer: dict[str, Any], *words: str) -> str:
        """What people see of an answer."""
        self.answer = answer
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert run([*words, "--data", "/nowhere"]) == 0
        return out.getvalue()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)
