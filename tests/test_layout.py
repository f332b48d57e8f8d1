"""The house rules that a program can judge, each with a planted violation that it must find.

A rule is a function from a file to its violations. Style is ruff's, types are mypy's and layers are import-linter's
business; what they cannot say is here.
"""

import ast
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "src/openbigmodel/"
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
MIRRORED_FROM_LINES = 20
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base", "core"}
# Shared wire types have no better name.
VAGUE_ALLOWED = {PACKAGE + "schemas/common.py"}
# Modules that only an integration test can judge, and why.
UNMIRRORED = {
    PACKAGE + "app.py": "builds and serves everything; the integration tests start it",
    PACKAGE + "settings/__init__.py": "names only",
    PACKAGE + "inference/dialect.py": "protocols, which each dialect's tests judge",
    PACKAGE + "inference/surroundings.py": "protocols only",
    PACKAGE + "api/doors.py": "builds every door; tests/contract goes through all of them",
}
# Modules that read JSON which the platform or its operator wrote.
OWN_JSON = {
    PACKAGE + "admin/packs.py",
    PACKAGE + "admin/restore.py",
    PACKAGE + "billing/audit.py",
    PACKAGE + "billing/price_book.py",
    PACKAGE + "billing/price_history.py",
    PACKAGE + "cli/prices.py",
    PACKAGE + "engines/download.py",
}
# Types in which msgspec meets no number that takes it long to read.
QUICK_TYPES = {"bool", "dict", "int", "list", "msgspec", "str", "tuple"}
TEXT_SUFFIXES = {
    ".py",
    ".toml",
    ".md",
    ".txt",
    ".in",
    ".sql",
    ".yaml",
    ".yml",
    ".jinja",
    ".html",
    ".css",
    ".js",
    "",
}
TEXT_FOLDERS = ("src", "tests", "docs", "tools", "requirements", "demo_model", "benchmarks", ".ci")
# Spelled in pieces, or this file would break its own rules.
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b")
MACHINE = re.compile(
    "|".join(("/wo" + "rk/", "/ro" + "ot/", "/Us" + "ers/", "/home/(?!li/)[a-z]+/", "/t" + "mp/"))
)
REGISTRY = re.compile(
    "|".join(
        ("py" + r"pi\.org", "python" + r"hosted\.org", "npm" + r"js\.(org|com)", "--(extra-)?index" + "-url")
    )
)
SQL = re.compile(
    r"\b(SELECT\b.+\bFROM\b|INSERT (OR \w+ )?INTO\b|UPDATE\b.+\bSET\b|DELETE FROM\b|CREATE (TABLE|INDEX)\b|DROP TABLE\b|ALTER TABLE\b)",
    re.DOTALL,
)
# Made on one machine, for that machine.
MADE_HERE = re.compile(r"(^|/)(\.venv[^/]*|node_modules|\.hypothesis)(/|$)")
ENVIRONMENT_NAMES = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
CLIENT_MAY_IMPORT = ("client", "schemas", "sse", "credentials")


@dataclass(frozen=True)
class Source:
    """A text file of the project, by its path from the root."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")

    @property
    def is_package(self) -> bool:
        return self.is_python and self.path.startswith(PACKAGE)

    def nodes(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        return (node for node in ast.walk(self.tree) if isinstance(node, kinds))


Rule = Callable[[Source], Iterator[str]]


def file_size(source: Source) -> Iterator[str]:
    if source.is_python and len(source.lines) > FILE_LINES_MAX:
        yield f"{len(source.lines)} lines; split it by its nouns"


def function_size(source: Source) -> Iterator[str]:
    if source.is_python:
        for node in source.nodes(ast.FunctionDef, ast.AsyncFunctionDef):
            assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            assert node.end_lineno is not None
            size = node.end_lineno - node.lineno + 1
            if size > FUNCTION_LINES_MAX:
                yield f"{node.name} has {size} lines"


def vague_name(source: Source) -> Iterator[str]:
    if source.is_package and source.path not in VAGUE_ALLOWED:
        for part in source.path.removesuffix(".py").split("/"):
            if VAGUE & set(part.split("_")):
                yield f"{part} says nothing; put the code with its noun"


def global_statement(source: Source) -> Iterator[str]:
    if source.is_python:
        yield from ("`global`; pass the object in" for _ in source.nodes(ast.Global))


def environment(source: Source) -> Iterator[str]:
    if not source.is_package or source.path.startswith((PACKAGE + "settings/", PACKAGE + "settings.py")):
        return
    for node in source.nodes(ast.Attribute, ast.ImportFrom):
        if isinstance(node, ast.Attribute):
            if node.attr in ENVIRONMENT_NAMES and isinstance(node.value, ast.Name) and node.value.id == "os":
                yield f"os.{node.attr}; only settings/ reads the environment"
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            names = ENVIRONMENT_NAMES & {alias.name for alias in node.names}
            yield from (f"os.{name}; only settings/ reads the environment" for name in names)


def unfinished(source: Source) -> Iterator[str]:
    yield from (f"{match[0]}: do it, or leave it out" for match in UNFINISHED.finditer(source.text))


def machine_path(source: Source) -> Iterator[str]:
    yield from (f"{match[0]}: a path of one machine" for match in MACHINE.finditer(source.text))


def registry_host(source: Source) -> Iterator[str]:
    yield from (
        f"{match[0]}: where packages come from is pip's business" for match in REGISTRY.finditer(source.text)
    )


def late_import(source: Source) -> Iterator[str]:
    if source.is_package and not source.path.startswith(PACKAGE + "cli/"):
        for function in source.nodes(ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda):
            if any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(function)):
                yield "import inside a function; only cli/ may be lazy"


def broad_except(source: Source) -> Iterator[str]:
    if not source.is_package:
        return
    for node in source.nodes(ast.ExceptHandler):
        assert isinstance(node, ast.ExceptHandler)
        caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        names = {part.id for part in caught if isinstance(part, ast.Name)}
        if node.type is not None and not names & {"Exception", "BaseException"}:
            continue
        if isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
            continue  # it only cleans up on the way
        comment = source.lines[node.lineno - 1].partition("#")[2]
        reason = re.sub(r"noqa(: ?[A-Z0-9, ]+)?", "", comment).strip(" -#.")
        if len(reason.split()) < 2:
            yield f"line {node.lineno}: say beside a broad `except` why it is one"


def sql_made_of_strings(source: Source) -> Iterator[str]:
    if not source.is_package:
        return
    for node in source.nodes(ast.JoinedStr, ast.BinOp, ast.Call):
        if SQL.search(assembled_text(node)):
            assert isinstance(node, ast.expr)
            yield f"line {node.lineno}: SQL put together from strings; give parameters"


def assembled_text(node: ast.AST) -> str:
    """The constant part of an f-string, a `%`, a `+` or a `.format()`; empty where nothing is put together."""
    parts: list[ast.expr] = []
    if isinstance(node, ast.JoinedStr) and any(isinstance(part, ast.FormattedValue) for part in node.values):
        parts = node.values
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add):
        parts = [node.left]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        parts = [node.func.value]
    return "".join(
        part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )


def module_docstring(source: Source) -> Iterator[str]:
    if source.is_package and source.tree.body and ast.get_docstring(source.tree) is None:
        yield "begin with the file's rule in a docstring"


def client_imports(source: Source) -> Iterator[str]:
    if not source.path.startswith(PACKAGE + "client"):
        return
    for node in source.nodes(ast.Import, ast.ImportFrom):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            parts = module.split(".")
            if parts[0] == "openbigmodel" and (len(parts) == 1 or parts[1] not in CLIENT_MAY_IMPORT):
                yield f"{module}: the client knows nothing of the server"


def slow_floats(source: Source) -> Iterator[str]:
    """msgspec takes 20 µs for 1e308, unless it hands it to Python: 10 MB of them would stop the event loop for 20 s."""
    if not source.is_package or source.path in OWN_JSON:
        return
    for node in source.nodes(ast.ImportFrom):
        assert isinstance(node, ast.ImportFrom)
        if node.module == "msgspec.json" or (
            node.module == "msgspec" and "json" in {alias.name for alias in node.names}
        ):
            yield "write msgspec.json.Decoder(…), so that its float_hook can be seen"
    for node in source.nodes(ast.Call):
        assert isinstance(node, ast.Call)
        called, named = ast.unparse(node.func), {word.arg: word.value for word in node.keywords}
        if called not in {"msgspec.json.Decoder", "msgspec.json.decode"} or "float_hook" in named:
            continue
        kind = named.get("type") or next(iter(node.args[called.endswith("decode") :]), None)
        names = set() if kind is None else {part.id for part in ast.walk(kind) if isinstance(part, ast.Name)}
        if not names or names - QUICK_TYPES:
            yield f"line {node.lineno}: others' JSON is for a msgspec.json.Decoder with float_hook=float"


RULES: tuple[Rule, ...] = (
    file_size,
    function_size,
    vague_name,
    global_statement,
    environment,
    unfinished,
    machine_path,
    registry_host,
    late_import,
    broad_except,
    sql_made_of_strings,
    module_docstring,
    client_imports,
    slow_floats,
)


def own_lines(source: Source) -> int:
    """Lines of code that do something: without imports, docstring and `__all__`."""
    body = [node for node in source.tree.body if not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)]
    count = 0
    for node in body:
        if not (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"):
            assert node.end_lineno is not None
            count += node.end_lineno - node.lineno + 1
    return count


def modules_without_tests(sources: list[Source]) -> list[str]:
    tests = {source.path for source in sources if source.path.startswith("tests/unit/")}
    missing = []
    for source in sources:
        if source.is_package and source.path not in UNMIRRORED and own_lines(source) > MIRRORED_FROM_LINES:
            folder, _, name = source.path.removeprefix(PACKAGE).removesuffix(".py").rpartition("/")
            expected = "/".join(filter(None, ("tests/unit", folder, f"test_{name.strip('_')}")))
            if not any(path == expected + ".py" or path.startswith(expected + "_") for path in tests):
                missing.append(f"{source.path} has no {expected}.py")
    return missing


def orphan_tests(sources: list[Source]) -> list[str]:
    modules = {
        source.path.removeprefix(PACKAGE).removesuffix(".py")
        for source in sources
        if source.path.startswith(PACKAGE)
    }
    orphans = []
    for source in sources:
        folder, _, name = source.path.removeprefix("tests/unit/").removesuffix(".py").rpartition("/")
        if source.path.startswith("tests/unit/") and name.startswith("test_"):
            words = name.removeprefix("test_").split("_")
            names = {"_".join(words[:count]) for count in range(1, len(words) + 1)}
            if not {f"{folder}/{name}".strip("/") for name in names} & modules:
                orphans.append(f"{source.path} tests no module of that name")
    return orphans


def made_here(paths: Iterable[str]) -> list[str]:
    return [f"{path}: made on one machine; take it out of git" for path in paths if MADE_HERE.search(path)]


def naming_the_checkout(root: Path, paths: Iterable[str]) -> list[str]:
    """Text files that name the folder in which they lie."""
    folder = re.compile(rb"(?<![\w.~-])" + re.escape(os.fsencode(root)) + rb"(?![\w.-])")
    contents = ((path, (root / path).read_bytes()) for path in paths if (root / path).is_file())
    return [
        f"{path}: names this checkout" for path, text in contents if b"\0" not in text and folder.search(text)
    ]


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """What git keeps."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    try:
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"git does not tell: {error}")
    return [os.fsdecode(path) for path in listing.stdout.split(b"\0") if path]


def project() -> list[Source]:
    files = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in TEXT_FOLDERS:
        files += [
            path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts
        ]
    return [
        Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(files)
        if path.suffix in TEXT_SUFFIXES
    ]


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    return project()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_project_keeps(rule: Rule, sources: list[Source]) -> None:
    violations = [f"{source.path}: {violation}" for source in sources for violation in rule(source)]
    assert not violations, "\n".join(violations)


def test_every_module_has_its_tests(sources: list[Source]) -> None:
    missing = modules_without_tests(sources)
    assert not missing, "\n".join(missing)


def test_every_unit_test_has_its_module(sources: list[Source]) -> None:
    orphans = orphan_tests(sources)
    assert not orphans, "\n".join(orphans)


def test_the_root_is_small() -> None:
    passing = re.compile(r"\.git|\.venv.*|\..*_cache|\.hypothesis|__pycache__")
    assert len([path.name for path in ROOT.iterdir() if not passing.fullmatch(path.name)]) <= 20


def test_exceptions_to_the_rules_are_still_needed(sources: list[Source]) -> None:
    paths = {source.path for source in sources}
    assert set(UNMIRRORED) | OWN_JSON <= paths
    assert all(
        any(slow_floats(Source(PACKAGE + "x.py", each.text))) for each in sources if each.path in OWN_JSON
    )


CALM = '"""A rule."""\n\n\ndef f() -> None:\n    """Do it."""\n'
CATCH = CALM + "    try:\n        g()\n    except {}\n        return\n"
PLANTED: list[tuple[Rule, str, str]] = [
    (file_size, "x.py", CALM + "\n" * FILE_LINES_MAX),
    (function_size, "x.py", "def f():\n" + "    g()\n" * FUNCTION_LINES_MAX),
    (function_size, "x.py", "class A:\n    async def f(self):\n" + "        g()\n" * FUNCTION_LINES_MAX),
    (vague_name, "billing/utils.py", CALM),
    (vague_name, "engine_manager.py", CALM),
    (vague_name, "core/money.py", CALM),
    (global_statement, "x.py", "def f():\n    global a\n"),
    (environment, "x.py", "import os\na = os.environ['A']\n"),
    (environment, "x.py", "import os\na = os.getenv('A')\n"),
    (environment, "x.py", "from os import environ\n"),
    (unfinished, "x.py", "# TO" + "DO: later\n"),
    (unfinished, "db/sql/x.sql", "-- FIX" + "ME\n"),
    (machine_path, "x.py", "a = '/ro" + "ot/models'\n"),
    (machine_path, "x.md", "cd /wo" + "rk/main\n"),
    (registry_host, "x.txt", "https://py" + "pi.org/simple\n"),
    (registry_host, "x.txt", "--index" + "-url x\n"),
    (late_import, "x.py", "def f():\n    import json\n"),
    (late_import, "x.py", "def f():\n    if a:\n        from json import loads\n"),
    (broad_except, "x.py", CATCH.format("Exception:")),
    (broad_except, "x.py", CATCH.format("Exception as error:  # noqa: BLE001")),
    (broad_except, "x.py", CATCH.format("(ValueError, Exception):")),
    (broad_except, "x.py", CATCH.format("BaseException:  # oops")),
    (broad_except, "x.py", CATCH.replace(" {}", ":")),
    (sql_made_of_strings, "x.py", 'a = f"SELECT b FROM {c}"\n'),
    (sql_made_of_strings, "x.py", 'a = "DELETE FROM %s" % b\n'),
    (sql_made_of_strings, "x.py", 'a = "UPDATE t SET a = " + b\n'),
    (sql_made_of_strings, "x.py", 'a = "INSERT INTO {}".format(b)\n'),
    (module_docstring, "x.py", "a = 1\n"),
    (client_imports, "client/client.py", "from openbigmodel.billing import usage\n"),
    (client_imports, "client/client.py", "import openbigmodel.app\n"),
    (client_imports, "client/client.py", "from openbigmodel import errors\n"),
    (slow_floats, "x.py", "import msgspec\na = msgspec.json.decode(b)\n"),
    (slow_floats, "x.py", "import msgspec\na = msgspec.json.decode(b, type=Any)\n"),
    (slow_floats, "x.py", "import msgspec\na = msgspec.json.decode(b, type=dict[str, Question])\n"),
    (slow_floats, "x.py", "import msgspec\na = msgspec.json.Decoder().decode\n"),
    (slow_floats, "x.py", "import msgspec\na = msgspec.json.Decoder(list[float], strict=False)\n"),
    (slow_floats, "x.py", "from msgspec.json import Decoder\n"),
    (slow_floats, "x.py", "from msgspec import json\n"),
]


@pytest.mark.parametrize(("rule", "path", "text"), PLANTED, ids=range(len(PLANTED)))
def test_a_planted_violation_is_found(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(PACKAGE + path, text)))


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


INNOCENT: list[tuple[Rule, str, str]] = [
    (file_size, "x.py", CALM + "\n" * (FILE_LINES_MAX - 6)),
    (function_size, "x.py", "def f():\n" + "    g()\n" * (FUNCTION_LINES_MAX - 1)),
    (vague_name, "database.py", CALM),
    (environment, "settings/loader.py", "import os\na = os.environ\n"),
    (environment, "x.py", "import os\na = os.urandom(8)\n"),
    (late_import, "cli/x.py", "def f():\n    import json\n"),
    (broad_except, "x.py", CATCH.format("ValueError:")),
    (broad_except, "x.py", CATCH.format("BaseException:").replace("return", "raise")),
    (broad_except, "x.py", CATCH.format("Exception:  # noqa: BLE001 - the edge of the process")),
    (sql_made_of_strings, "x.py", 'a = "SELECT b FROM c WHERE d = ?"\n'),
    (sql_made_of_strings, "x.py", 'a = f"please select {b} from the list"\n'),
    (module_docstring, "x.py", ""),
    (client_imports, "client/client.py", "import httpx\nfrom openbigmodel.schemas.chat import ChatRequest\n"),
    (slow_floats, "x.py", "from msgspec import Meta\n"),
    (slow_floats, "x.py", "import msgspec\na = msgspec.json.Decoder(float_hook=float).decode\n"),
    (slow_floats, "x.py", "import msgspec\na = msgspec.json.Decoder(A, float_hook=float).decode\n"),
    (slow_floats, "x.py", "import msgspec\na = msgspec.json.decode(b, type=dict[str, msgspec.Raw])\n"),
    (slow_floats, "x.py", "import msgspec\na = msgspec.json.Decoder(str | list[str])\n"),
    (slow_floats, "billing/price_book.py", "import msgspec\na = msgspec.json.decode(b)\n"),
]


@pytest.mark.parametrize(("rule", "path", "text"), INNOCENT, ids=range(len(INNOCENT)))
def test_what_is_allowed_is_left_alone(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(PACKAGE + path, text))) == []


def test_git_keeps_nothing_that_was_made_on_one_machine(tracked: list[str]) -> None:
    assert tracked
    violations = [*made_here(tracked), *naming_the_checkout(ROOT, tracked)]
    assert not violations, "\n".join(violations)


def test_what_was_made_on_one_machine_is_found(tmp_path: Path) -> None:
    planted = [".venv/a", ".venv-zai/b.py", "tests/contract/node/node_modules/c.js", ".hypothesis/d", ".venv"]
    innocent = ["src/venv.py", "docs/node_modules.md", ".gitignore"]
    assert len(made_here([*planted, *innocent])) == len(planted)

    (tmp_path / "a.md").write_text(f"cd {tmp_path}\n")
    (tmp_path / "b.json").write_text(f'"file://{tmp_path}/x"')
    (tmp_path / "c.md").write_text(f"cd {tmp_path}-2 and {tmp_path.name}")
    (tmp_path / "d.gguf").write_bytes(b"\0" + os.fsencode(tmp_path))
    found = naming_the_checkout(tmp_path, ["a.md", "b.json", "c.md", "d.gguf", "gone"])
    assert found == ["a.md: names this checkout", "b.json: names this checkout"]


def test_a_module_without_tests_and_a_test_without_module_are_found() -> None:
    long = CALM + "".join(f"a{number} = {number}\n" for number in range(MIRRORED_FROM_LINES + 1))
    module = Source(PACKAGE + "db/writer.py", long)
    assert modules_without_tests([module]) == [
        "src/openbigmodel/db/writer.py has no tests/unit/db/test_writer.py"
    ]
    for name in ("test_writer.py", "test_writer_faults.py"):
        test = Source("tests/unit/db/" + name, "")
        assert modules_without_tests([module, test]) == []
        assert orphan_tests([module, test]) == []
    assert modules_without_tests([Source(PACKAGE + "db/__init__.py", "import a\n" * 40)]) == []
    assert orphan_tests([module, Source("tests/unit/test_writer.py", "")]) == [
        "tests/unit/test_writer.py tests no module of that name"
    ]
