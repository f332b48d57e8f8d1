"""The lock files pin every file of every package, agree with each other, and name no place to fetch from."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = ("runtime", "dev", "build")
_PIN = re.compile(r"^([a-z0-9][a-z0-9-]*)==([^ ]+?)( ; .+)? \\$", re.MULTILINE)


def text_of(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")


def pins(lock: str) -> dict[str, str]:
    return {name: version for name, version, _ in _PIN.findall(text_of(lock))}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^a-z0-9-]", requirement)[0] for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_is_pinned_to_a_version_and_its_hashes(lock: str) -> None:
    entries = re.split(r"\n(?=[^ #])", text_of(lock).partition("\n")[2])
    assert len(entries) == len(pins(lock))
    for entry in entries:
        assert _PIN.match(entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place(lock: str) -> None:
    assert "://" not in text_of(lock)
    assert not re.search(r"^\s*-(?!-hash)", text_of(lock), re.MULTILINE)


def test_one_environment_can_hold_them_all() -> None:
    dev = pins("dev")
    assert pins("runtime").items() <= dev.items()
    assert {name: dev.get(name, version) for name, version in pins("build").items()} == pins("build")


def test_what_the_project_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = names(project["project"]["dependencies"])
    assert asked <= pins("runtime").keys()
    assert asked | names(project["project"]["optional-dependencies"]["dev"]) <= pins("dev").keys()
    assert names(project["build-system"]["requires"]) <= pins("build").keys()
