from pathlib import Path

import pytest

from openbigmodel.cli.config import SERVES_NOTHING_EN, settings_reference, unusable_files
from openbigmodel.cli.main import run
from openbigmodel.settings import load_settings
from tests.unit.engines.gguf_file import write_gguf

REFERENCE = Path(__file__).parents[3] / "docs/reference/settings.md"

FILE = """
[server]
tls_cert = "cert.pem"
tls_key = "key.pem"

[[engines]]
name = "local"
kind = "llamacpp"
model = "a.gguf"
chat_template = "a.jinja"

[[models]]
id = "glm-4.6"
engine = "local"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "bigmodel.toml").write_text(FILE)
    for name in ("cert.pem", "key.pem", "a.jinja"):
        (tmp_path / name).touch()
    write_gguf(tmp_path / "a.gguf")
    return tmp_path / "bigmodel.toml"


def test_the_settings_reference_is_up_to_date() -> None:
    assert settings_reference() == REFERENCE.read_text(encoding="utf-8"), "make docs"


def test_the_reference_is_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "reference"]) == 0
    assert capsys.readouterr().out == settings_reference()


def test_the_reference_tells_type_default_and_variable() -> None:
    rows = settings_reference().splitlines()
    assert any(row.startswith("| `port` | number | `8000` | `BIGMODEL_PORT` |") for row in rows)
    assert any(row.startswith("| `language` | `zh` or `en` | `zh` |") for row in rows)
    assert any(row.startswith("| `name` | text | required |  |") for row in rows)
    assert any(row.startswith("| `hf_token` | text |  | `HF_TOKEN` |") for row in rows)


def test_a_file_in_order(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: in order; 1 engine(s), 1 model(s)\n"


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("cert.pem", "server.tls_cert"),
        ("key.pem", "server.tls_key"),
        ("a.gguf", '[[engines]] "local": model'),
        ("a.jinja", '[[engines]] "local": chat_template'),
    ],
)
def test_a_file_that_is_named_and_not_there(
    name: str, setting: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file.parent / name).unlink()
    assert run(["config", "check", str(file)]) == 2
    assert capsys.readouterr().err == f"bigmodel: {setting}: there is no file {file.parent / name}\n"


def test_a_file_that_is_no_model(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = file.parent / "a.gguf"
    model.write_bytes(model.read_bytes()[:40])
    assert run(["config", "check", str(file)]) == 2
    assert capsys.readouterr().err.startswith('bigmodel: [[engines]] "local": model: The file')


def test_a_word_list_is_read(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(FILE + '[moderation]\nword_list = "words.txt"\n')
    words = file.parent / "words.txt"
    assert run(["config", "check", str(file)]) == 2
    assert (
        capsys.readouterr().err
        == f"bigmodel: moderation.word_list: {words} cannot be read: No such file or directory\n"
    )
    words.write_text("bomb\n[level 9]\n")
    assert run(["config", "check", str(file)]) == 2
    assert f"moderation.word_list: {words}, line 2: a line in brackets" in capsys.readouterr().err
    words.write_text("bomb\n")
    assert run(["config", "check", str(file)]) == 0


def test_serve_refuses_what_check_refuses(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (file.parent / "a.gguf").unlink()
    assert run(["serve", "--config", str(file), "--data", str(file.parent / "data")]) == 2
    assert "there is no file" in capsys.readouterr().err
    assert not (file.parent / "data").exists()


def test_downloads_are_not_looked_for_on_the_disk(tmp_path: Path) -> None:
    file = tmp_path / "b.toml"
    file.write_text('[[engines]]\nname = "a"\nkind = "llamacpp"\nmodel = "hf:a/b/c.gguf"\n')
    assert unusable_files(load_settings(file, environ={})) == []


def test_engines_without_models_are_in_order_and_serve_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "b.toml"
    file.write_text('[[engines]]\nname = "a"\nkind = "openai"\nbase_url = "http://h/v1"\n')
    assert run(["config", "check", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{file}: in order; 1 engine(s), 0 model(s)\n"
    assert err == f"bigmodel: {file}: {SERVES_NOTHING_EN}\n"
    file.write_text(file.read_text() + '[[models]]\nid = "m"\nengine = "a"\n')
    assert run(["config", "check", str(file)]) == 0
    assert capsys.readouterr().err == ""


def test_a_catalogue_of_ones_own_is_read(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text('[server]\ncatalog = "own.toml"\n')
    own = file.parent / "own.toml"
    assert run(["config", "check", str(file)]) == 2
    assert (
        capsys.readouterr().err
        == f"bigmodel: server.catalog: {own}: cannot be read: No such file or directory\n"
    )
    own.write_text('[[families]]\n[families.models]\n"glm-4.6" = { contxt_tokens = 1 }\n')
    assert run(["config", "check", str(file)]) == 2
    assert (
        "own.toml: glm-4.6.contxt_tokens is nothing that a catalogue says; did you mean"
        in capsys.readouterr().err
    )
    assert run(["serve", "--config", str(file), "--data", str(file.parent / "data")]) == 2
    assert not (file.parent / "data").exists()
    own.write_text('[[families]]\n[families.models]\n"glm-4.6" = { context_tokens = 1 }\n')
    assert run(["config", "check", str(file)]) == 0
