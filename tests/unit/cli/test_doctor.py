import json
import os
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from openbigmodel.cli.doctor import Finding, Host, examine
from openbigmodel.cli.main import run
from openbigmodel.db.data_folder import DataFolder
from openbigmodel.settings import Settings, SettingsError, load_settings

GIB = 1 << 30

HEALTHY = Host(
    python=(3, 12, 1),
    system="Linux",
    architecture="x86_64",
    read=lambda path: "processor\t: 0\nflags\t\t: fpu sse4_2 avx2 fma f16c\n",
    loads=lambda library: True,
    import_engine=lambda: (0, "2026.10"),
    memory_available=lambda: 8 * GIB,
    free_bytes=lambda path: 50 * GIB,
    now_s=lambda: 1_795_000_000.0,
    open_files_max=lambda: 20_000,
)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path, free_port: int) -> Settings:
    return load_settings(flags={"data": tmp_path / "data", "server.port": free_port}, environ={})


def configured(text: str, settings: Settings, folder: Path) -> Settings:
    (folder / "b.toml").write_text(text)
    flags = {"data": settings.data, "server.port": settings.server.port}
    return load_settings(folder / "b.toml", flags=flags, environ={})


REMOTE = """
[[engines]]
name = "gpu"
kind = "openai"
base_url = "http://gpu/v1"
[[models]]
id = "glm-4.6"
engine = "gpu"
"""
EMBEDDED = """
[[engines]]
name = "local"
kind = "llamacpp"
model = "a.gguf"
[[models]]
id = "glm-4.6"
engine = "local"
"""


def found(name: str, settings: Settings | SettingsError, host: Host) -> Finding:
    return next(finding for finding in examine(settings, host) if finding.name == name)


def test_a_healthy_machine_has_nothing_to_mend(settings: Settings) -> None:
    findings = examine(settings, HEALTHY)
    assert {finding.status for finding in findings} == {"ok"}
    assert not any(finding.remedy for finding in findings)
    assert [finding.name for finding in findings] == [
        "Python",
        "clock",
        "processor",
        "libraries",
        "built-in engine",
        "settings",
        "memory",
        "data folder",
        "disk",
        "address",
        "open files",
    ]


def test_an_old_python(settings: Settings) -> None:
    assert found("Python", settings, replace(HEALTHY, python=(3, 10, 4))).status == "fail"


def test_a_clock_that_was_never_set(settings: Settings) -> None:
    finding = found("clock", settings, replace(HEALTHY, now_s=lambda: 0.0))
    assert (finding.status, finding.message) == ("fail", "1970-01-01 00:00 UTC is in the past")


def test_an_old_processor_matters_only_where_the_built_in_engine_is_used(
    settings: Settings, tmp_path: Path
) -> None:
    old = replace(HEALTHY, read=lambda path: "flags\t: fpu sse4_2 avx\n")
    finding = found("processor", settings, old)
    assert (finding.status, finding.message) == ("fail", "it has no avx2, fma, f16c")
    assert found("processor", configured(REMOTE, settings, tmp_path), old).status == "warn"
    assert found("processor", configured(EMBEDDED, settings, tmp_path), old).status == "fail"


def test_other_processors_and_systems_are_not_judged_by_x86_features(settings: Settings) -> None:
    arm = examine(settings, replace(HEALTHY, architecture="aarch64", read=lambda path: None))
    assert "processor" not in {finding.name for finding in arm}
    mac = examine(settings, replace(HEALTHY, system="Darwin", loads=lambda library: False))
    assert "libraries" not in {finding.name for finding in mac}
    assert found("processor", settings, replace(HEALTHY, read=lambda path: None)).status == "ok"


def test_missing_libraries_are_named_with_the_command_that_installs_them(settings: Settings) -> None:
    finding = found("libraries", settings, replace(HEALTHY, loads=lambda library: "gomp" not in library))
    assert finding.status == "fail"
    assert finding.message == "libgomp.so.1 cannot be loaded"
    assert finding.remedy == "On Debian and Ubuntu: apt-get install libgomp1"


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        ((1, "ImportError: no such module"), "it does not load: ImportError: no such module"),
        ((-signal.SIGILL, ""), "this processor cannot run it"),
    ],
    ids=["import", "illegal instruction"],
)
def test_an_engine_that_does_not_load(settings: Settings, outcome: tuple[int, str], message: str) -> None:
    finding = found("built-in engine", settings, replace(HEALTHY, import_engine=lambda: outcome))
    assert (finding.status, finding.message) == ("fail", message)


def test_settings_that_cannot_be_used_leave_the_checks_that_need_none(settings: Settings) -> None:
    findings = examine(SettingsError("b.toml: prot is not a setting"), HEALTHY)
    assert findings[-1] == Finding(
        "settings", "fail", "b.toml: prot is not a setting", "Correct the setting that is named."
    )
    assert len(findings) == 6


def test_settings_are_counted(settings: Settings, tmp_path: Path) -> None:
    assert found("settings", settings, HEALTHY).message == "no file: try-out mode, no engine is named"
    finding = found("settings", configured(REMOTE, settings, tmp_path), HEALTHY)
    assert (finding.status, finding.message) == ("ok", f"{tmp_path / 'b.toml'}: 1 engine(s), 1 model(s)")
    without_models = configured(REMOTE.partition("[[models]]")[0], settings, tmp_path)
    assert found("settings", without_models, HEALTHY).status == "warn"


def test_a_model_file_that_is_not_there(settings: Settings, tmp_path: Path) -> None:
    finding = found("settings", configured(EMBEDDED, settings, tmp_path), HEALTHY)
    assert finding.status == "fail"
    assert finding.message == f'[[engines]] "local": model: there is no file {tmp_path / "a.gguf"}'


def test_memory_is_compared_with_the_model(settings: Settings, tmp_path: Path) -> None:
    with (tmp_path / "a.gguf").open("wb") as model:
        model.truncate(2 * GIB)
    embedded = configured(EMBEDDED, settings, tmp_path)
    assert found("memory", embedded, HEALTHY).status == "ok"
    finding = found("memory", embedded, replace(HEALTHY, memory_available=lambda: 2 * GIB))
    assert (finding.status, finding.message) == ("warn", "2.0 GiB free, 2.2 GiB wanted")
    assert found("memory", settings, replace(HEALTHY, memory_available=lambda: 100 << 20)).status == "warn"
    assert found("memory", settings, replace(HEALTHY, memory_available=lambda: None)).status == "ok"


def test_a_data_folder_that_does_not_exist_is_not_made(settings: Settings) -> None:
    assert found("data folder", settings, HEALTHY).status == "ok"
    assert not settings.data.exists()


def test_a_data_folder_without_a_lock_gets_none(settings: Settings) -> None:
    settings.data.mkdir()
    assert found("data folder", settings, HEALTHY).status == "ok"
    assert list(settings.data.iterdir()) == []


def test_a_data_folder_in_use_is_told_with_its_process(settings: Settings) -> None:
    with DataFolder.open(settings.data):
        finding = found("data folder", settings, HEALTHY)
    assert finding.status == "warn"
    assert f"process {os.getpid()}" in finding.message
    assert found("data folder", settings, HEALTHY).status == "ok"


def test_a_data_folder_that_is_a_file(settings: Settings) -> None:
    settings.data.touch()
    finding = found("data folder", settings, HEALTHY)
    assert (finding.status, finding.message) == ("fail", f"{settings.data} cannot be written to")


def test_a_lock_that_cannot_be_opened(settings: Settings) -> None:
    (settings.data / "lock").mkdir(parents=True)
    assert found("data folder", settings, HEALTHY).status == "fail"


@pytest.mark.parametrize(("free", "status"), [(1 * GIB, "warn"), (100 << 20, "fail")])
def test_a_full_disk(settings: Settings, free: int, status: str) -> None:
    finding = found("disk", settings, replace(HEALTHY, free_bytes=lambda path: free))
    assert finding.status == status


def test_a_port_in_use(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.server.port)):
        finding = found("address", settings, HEALTHY)
    assert finding.status == "fail"
    assert "--port" in finding.remedy


def test_an_address_of_another_machine(settings: Settings) -> None:
    elsewhere = load_settings(flags={"data": settings.data, "server.host": "192.0.2.1"}, environ={})
    finding = found("address", elsewhere, HEALTHY)
    assert finding.status == "fail"
    assert "--host" in finding.remedy


def test_few_open_files(settings: Settings) -> None:
    finding = found("open files", settings, replace(HEALTHY, open_files_max=lambda: 1024))
    assert (finding.status, finding.message) == ("warn", "1024 allow about 384 requests at once")
    assert found("open files", settings, replace(HEALTHY, open_files_max=lambda: -1)).status == "ok"


def test_this_machine(tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["doctor", "--data", str(tmp_path / "data"), "--port", str(free_port)]
    assert run([*arguments, "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {finding["status"] for finding in findings} <= {"ok", "warn"}
    assert run(arguments) == 0
    assert "✓ Python: 3." in capsys.readouterr().out


def test_a_failure_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").touch()
    assert run(["doctor", "--data", str(tmp_path / "data")]) == 1
    assert "✗ data folder" in capsys.readouterr().out
    assert run(["doctor", "--port", "-1"]) == 1
    assert "✗ settings: --port must be" in capsys.readouterr().out
