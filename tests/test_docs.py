"""The documentation against the code: pages made from it are fresh, and what people wrote names things that exist.

A check is a function from a page to its mistakes; each has a planted one that it must find.
"""

import functools
import re
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from openbigmodel.cli import main as command_line
from openbigmodel.cli.terminal import ServeTerminal
from openbigmodel.settings import ServerSettings, Settings, SettingsError, fields_of, load_settings
from tools import reference

ROOT = Path(__file__).parents[1]
# Pages that exist in two languages, part for part.
PAIRS = (
    "README",
    "docs/quickstart",
    "docs/configuration",
    "docs/keys",
    "docs/statements",
    "docs/money",
    "docs/operate",
    "docs/moderation",
    "docs/coding-plan",
    "docs/media",
    "docs/engines",
    "docs/engine-notes",
    "docs/routing",
    "docs/anthropic",
    "docs/responses",
    "docs/conformance",
)
# Named in a page as an example, or made by running something.
NO_FILES = {"bigmodel.toml", "master.key", "bigmodel.db"}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!`)\[[^\]`]*(?:`[^`]*`[^\]`]*)*\]\(([^)\s]+)\)")
INLINE_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
COMMAND = re.compile(r"(?:^(?:[A-Z_]+=\S+ )?|bin/)bigmodel((?: +[^\s|&;#]+)*)")
FILE = re.compile(r"[\w./-]*\w\.(?:py|toml|sql|md|conf|service|txt|gguf|jinja)")
HEADING = re.compile(r"^(#{1,4}) +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Page:
    """A Markdown file, by its path from the root."""

    path: str
    text: str

    @functools.cached_property
    def fences(self) -> list[tuple[str, str]]:
        """Language and text of every code block."""
        return FENCE.findall(self.text)

    @functools.cached_property
    def prose(self) -> str:
        """Everything but the code blocks."""
        return FENCE.sub("", self.text)

    @functools.cached_property
    def anchors(self) -> set[str]:
        """What a link may point to within the page, as GitHub names it."""
        titles = (title for _, title in HEADING.findall(self.prose))
        return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


Check = Callable[[Page], Iterator[str]]


def broken_link(page: Page) -> Iterator[str]:
    for target in LINK.findall(page.prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page.path).parent / name
        if name and not path.exists():
            yield f"there is no {target}"
        elif anchor and anchor not in (read(path) if name else page).anchors:
            yield f"{name or page.path} has no section #{anchor}"


def unknown_command(page: Page) -> Iterator[str]:
    """`bigmodel …` with a subcommand or an option that does not exist."""
    for text in (*(body for _, body in page.fences), *INLINE_CODE.findall(page.prose)):
        for line in text.replace("\\\n", " ").splitlines():
            for arguments in COMMAND.findall(line):
                yield from wrong_arguments(arguments.split())


def wrong_arguments(words: list[str]) -> Iterator[str]:
    command = root_command()
    value_next = False
    for word in words:
        below = getattr(command, "commands", {})
        if re.match(r"--?[a-z]", word):
            option = word.partition("=")[0].rstrip(".,)")
            known = {
                option: getattr(parameter, "is_flag", False)
                for parameter in command.params
                for option in (*parameter.opts, *parameter.secondary_opts)
            }
            if option not in known | {"--help": True}:
                yield f"bigmodel has no {word} there"
            value_next = not known.get(option, True) and "=" not in word
        elif value_next:
            value_next = False
        elif below and re.fullmatch(r"[a-z]+", word):
            if word not in below:
                yield f"bigmodel has no command {word}"
                return
            command = below[word]


@functools.cache
def root_command() -> Any:
    return typer.main.get_command(command_line.cli)


def unknown_task(page: Page) -> Iterator[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    tasks = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for text in (*(body for _, body in page.fences), *INLINE_CODE.findall(page.prose)):
        for task in re.findall(r"^(?:[A-Z]+=\S+ )?make ([a-z]+)", text, re.MULTILINE):
            if task not in tasks:
                yield f"there is no make {task}"


def settings_that_do_not_load(page: Page) -> Iterator[str]:
    """A block of TOML is a settings file that the platform takes."""
    for number, (language, text) in enumerate(page.fences):
        if language == "toml":
            names = re.findall(r'"env:(\w+)"', text)
            with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                try:
                    load_settings(Path(file.name), environ={"HOME": "/", **dict.fromkeys(names, "x")})
                except SettingsError as error:
                    yield f"block {number}: {error}"


def unknown_variable(page: Page) -> Iterator[str]:
    known = {field.env for section in (Settings, ServerSettings) for field in fields_of(section)}
    for name in set(re.findall(r"\bBIGMODEL_[A-Z_]+\b", page.text)) - {"BIGMODEL_CONFIG"}:
        if name not in known:
            yield f"{name} sets nothing"


def missing_file(page: Page) -> Iterator[str]:
    """A file of the project that is named in running text, from the root, the package or the page's folder."""
    bases = (ROOT, ROOT / "src/openbigmodel", (ROOT / page.path).parent)
    for code in INLINE_CODE.findall(page.prose):
        if FILE.fullmatch(code) and "/" in code.strip("/") and not code.startswith(("/", "~")):
            if not any((base / code).exists() for base in bases):
                yield f"there is no file {code}"
        elif FILE.fullmatch(code) and "/" not in code and code not in NO_FILES and not named(code):
            yield f"there is no file {code}"


@functools.cache
def named(name: str) -> bool:
    folders = ("src", "tests", "docs", "tools", "demo_model", "requirements")
    return (ROOT / name).exists() or any(next((ROOT / folder).rglob(name), None) for folder in folders)


CHECKS: tuple[Check, ...] = (
    broken_link,
    unknown_command,
    unknown_task,
    settings_that_do_not_load,
    unknown_variable,
    missing_file,
)


@functools.cache
def read(path: Path) -> Page:
    return Page(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


def pages() -> list[Page]:
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return [read(path) for path in sorted(paths)]


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    return reference.pages()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_no_page_has_a(check: Check) -> None:
    mistakes = [f"{page.path}: {mistake}" for page in pages() for mistake in check(page)]
    assert not mistakes, "\n".join(mistakes)


def test_reference_pages_are_what_the_code_says_now(generated: dict[str, str]) -> None:
    folder = ROOT / "docs/reference"
    behind = [name for name, text in generated.items() if (folder / name).read_text(encoding="utf-8") != text]
    assert not behind, f"run `make docs`: {behind}"


def test_every_reference_page_is_generated(generated: dict[str, str]) -> None:
    assert {path.name for path in (ROOT / "docs/reference").glob("*.md")} == set(generated)


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, waiting = set(), [ROOT / "README.md", ROOT / "README.zh-CN.md"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        links = [path.parent / target.partition("#")[0] for target in LINK.findall(read(path).prose)]
        found = [link.resolve() for link in links if link.is_file()]
        found += [each for link in links if link.is_dir() for each in link.resolve().glob("*.md")]
        waiting += [link for link in found if link.suffix == ".md" and link.is_relative_to(ROOT)]
    assert {page.path for page in pages()} == {path.relative_to(ROOT).as_posix() for path in seen}


@pytest.mark.parametrize("name", PAIRS)
def test_both_languages_have_the_same_parts(name: str) -> None:
    english, chinese = read(ROOT / f"{name}.md"), read(ROOT / f"{name}.zh-CN.md")
    assert shape(english) == shape(chinese)


@pytest.mark.parametrize("name", PAIRS)
def test_each_language_leads_to_the_other(name: str) -> None:
    file = Path(name).name
    english, chinese = read(ROOT / f"{name}.md"), read(ROOT / f"{name}.zh-CN.md")
    assert english.text.split("\n")[2] == f"**English** · [简体中文]({file}.zh-CN.md)"
    assert chinese.text.split("\n")[2] == f"[English]({file}.md) · **简体中文**"


def shape(page: Page) -> list[str]:
    """Headings, code blocks and table rows, in order."""
    found = []
    for match in re.finditer(r"^(#{1,4}) |^```(\w+)\n|^\|", page.text, re.MULTILINE):
        found.append(match[1] or match[2] or "row")
    return found


def test_the_code_in_both_readmes_is_the_same() -> None:
    english, chinese = read(ROOT / "README.md"), read(ROOT / "README.zh-CN.md")
    assert english.fences == chinese.fences


def test_the_picture_shows_what_the_platform_says_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ServeTerminal(Settings(data=tmp_path)).announce("http://127.0.0.1:8000", None)
    said = capsys.readouterr().out.splitlines()

    picture = ET.parse(ROOT / "docs/images/first-answer.svg")
    shown = ["".join(text.itertext()) for text in picture.iter("{http://www.w3.org/2000/svg}text")]

    assert [line for line in said if line not in shown] == []
    assert "data: [DONE]" in shown


def test_every_decision_has_its_parts() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [path.name[:4] for path in decisions] == [f"{n:04}" for n in range(1, len(decisions) + 1)]
    for path in decisions:
        titles = [title for _, title in HEADING.findall(read(path).prose)]
        assert titles[1:] == ["Context", "Decision", "Consequences"], path.name


PLANTED: list[tuple[Check, str]] = [
    (broken_link, "[a](docs/nowhere.md)"),
    (broken_link, "[a](README.md#no-such-section)"),
    (broken_link, "[a](#no-such-section)"),
    (unknown_command, "```sh\nbigmodel fly\n```"),
    (unknown_command, "```sh\n.venv/bin/bigmodel serve --port 1 \\\n  --colour red\n```"),
    (unknown_command, "`bigmodel config destroy FILE`"),
    (unknown_command, "`bigmodel --debug config destroy FILE`"),
    (unknown_task, "```sh\nmake coffee\n```"),
    (settings_that_do_not_load, "```toml\n[server]\ncolour = 1\n```"),
    (unknown_variable, "`BIGMODEL_COLOUR`"),
    (missing_file, "`api/nowhere.py`"),
    (missing_file, "`nowhere.py`"),
]


@pytest.mark.parametrize(("check", "text"), PLANTED, ids=range(len(PLANTED)))
def test_a_planted_mistake_is_found(check: Check, text: str) -> None:
    assert list(check(Page("README.md", text + "\n")))


def test_every_check_has_a_planted_mistake() -> None:
    assert {check for check, _ in PLANTED} == set(CHECKS)


INNOCENT: list[tuple[Check, str]] = [
    (broken_link, "# A part\n[a](#a-part) [b](https://example.com/x) [c](LICENSE)"),
    (unknown_command, "```sh\nbigmodel serve --host 0.0.0.0 --port 9000 --data DIR | tee log\n```"),
    (unknown_command, "`bigmodel --help` and the command `bigmodel`"),
    (unknown_command, "`bigmodel usage --by model` and `bigmodel accounts update ID --unlock`"),
    (unknown_task, "```sh\nmake serve ARGS='--port 9000'\n```"),
    (settings_that_do_not_load, "```toml\n[server]\nport = 9000\n```"),
    (unknown_variable, "`BIGMODEL_PORT`"),
    (missing_file, "`api/routes.py`, `routes.py`, `tests/test_docs.py`"),
]


@pytest.mark.parametrize(("check", "text"), INNOCENT, ids=range(len(INNOCENT)))
def test_what_is_right_is_left_alone(check: Check, text: str) -> None:
    assert list(check(Page("README.md", text + "\n"))) == []
