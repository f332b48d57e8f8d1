"""`bigmodel doctor`: looks for what would keep the platform from working here, and says how to mend it.

A check looks and never changes anything. What it looks with is passed in as a `Host`, so each finding has a test.
"""

import ctypes
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from openbigmodel.cli.config import unusable_files
from openbigmodel.cli.server import ConfigOption, DataOption, HostOption, PortOption
from openbigmodel.settings import LlamaCppEngineSettings, Settings, SettingsError, load_settings

_MIB = 1 << 20
_GIB = 1 << 30
_MEMORY_MIN = 512 * _MIB
_DISK_MIN = 200 * _MIB
_DISK_WANTED = 2 * _GIB
# A model in memory takes a little more than its file (engine.md §4).
_MEMORY_PER_FILE = 1.1
# Earlier than this release: the clock was never set.
_CLOCK_MIN_S = 1_790_000_000
# What the built-in engine's wheel is compiled for (engine.md §2.4 item 14).
_CPU_FEATURES = ("avx2", "fma", "f16c")
_LIBRARIES = {"libgomp.so.1": "libgomp1", "libstdc++.so.6": "libstdc++6"}
_IMPORT_TIMEOUT_S = 60

Status = Literal["ok", "warn", "fail"]
_MARKS = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at. `remedy` is empty when nothing needs mending."""

    name: str
    status: Status
    message: str
    remedy: str = ""


def _import_engine() -> tuple[int, str]:
    """Exit status and last words of a process that loads the engine: a bad load can kill, so not in this one."""
    program = "import importlib.metadata as m, xllamacpp; print(m.version('xllamacpp'))"
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and a fixed program
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            timeout=_IMPORT_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer in {_IMPORT_TIMEOUT_S} s"
    return done.returncode, (done.stdout or done.stderr).strip().rpartition("\n")[2]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _memory_available() -> int | None:
    from openbigmodel.engines.llamacpp.machine import Machine

    return Machine().memory_available()


@dataclass(frozen=True, slots=True)
class Host:
    """What the checks look at; the defaults are this computer."""

    python: tuple[int, ...] = sys.version_info[:3]
    system: str = platform.system()
    architecture: str = platform.machine()
    read: Callable[[str], str | None] = _read
    loads: Callable[[str], bool] = _loads
    import_engine: Callable[[], tuple[int, str]] = _import_engine
    memory_available: Callable[[], int | None] = _memory_available
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free
    now_s: Callable[[], float] = time.time
    open_files_max: Callable[[], int] = lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    host: HostOption = None,
    port: PortOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
) -> int:
    """Look for what would keep the platform from working here. Exit status 1 if something would."""
    settings: Settings | SettingsError
    try:
        settings = load_settings(config, flags={"server.host": host, "server.port": port, "data": data})
    except SettingsError as error:
        settings = error
    findings = examine(settings, Host())
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(findings), indent=2).decode())
    else:
        _show(findings)
    return 1 if any(finding.status == "fail" for finding in findings) else 0


def examine(settings: Settings | SettingsError, host: Host) -> list[Finding]:
    """All findings. Without settings that can be used, those that need none."""
    usable = settings if isinstance(settings, Settings) else None
    engine_needed = usable is None or usable.try_out or bool(_embedded(usable))
    findings = [
        _python(host),
        _clock(host),
        *_engine(host, "fail" if engine_needed else "warn"),
    ]
    if usable is None:
        return [*findings, Finding("settings", "fail", str(settings), "Correct the setting that is named.")]
    return [
        *findings,
        _settings(usable),
        _memory(usable, host),
        *_data_folder(usable.data, host),
        _port(usable),
        _open_files(usable, host),
    ]


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for finding in findings:
        mark, style = _MARKS[finding.status]
        console.print(Text(f"{mark} ", style).append(f"{finding.name}: {finding.message}", "default"))
        if finding.remedy:
            console.print(Text(f"    {finding.remedy}"))


def _embedded(settings: Settings) -> list[LlamaCppEngineSettings]:
    return [engine for engine in settings.engines if isinstance(engine, LlamaCppEngineSettings)]


def _python(host: Host) -> Finding:
    version = ".".join(map(str, host.python))
    if host.python < (3, 11):
        return Finding("Python", "fail", version, "Install Python 3.11 or newer.")
    return Finding("Python", "ok", version)


def _clock(host: Host) -> Finding:
    now = host.now_s()
    text = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if now < _CLOCK_MIN_S:
        remedy = "Set the clock: callers' JWTs are judged by it, and bills carry its dates."
        return Finding("clock", "fail", f"{text} is in the past", remedy)
    return Finding("clock", "ok", text)


def _engine(host: Host, severity: Status) -> Iterator[Finding]:
    """The built-in engine: processor, libraries, and whether it loads."""
    remedy = "Use another machine for the engine, and name it here with kind = 'openai' in [[engines]]."
    if host.system == "Linux" and host.architecture == "x86_64":
        present = (host.read("/proc/cpuinfo") or "").partition("flags")[2].partition("\n")[0].split()
        missing = [feature for feature in _CPU_FEATURES if present and feature not in present]
        if missing:
            yield Finding("processor", severity, f"it has no {', '.join(missing)}", remedy)
        else:
            yield Finding("processor", "ok", f"{host.architecture} with {', '.join(_CPU_FEATURES)}")
    if host.system == "Linux":
        absent = [name for name in _LIBRARIES if not host.loads(name)]
        if absent:
            packages = " ".join(_LIBRARIES[name] for name in absent)
            yield Finding(
                "libraries",
                severity,
                f"{', '.join(absent)} cannot be loaded",
                f"On Debian and Ubuntu: apt-get install {packages}",
            )
        else:
            yield Finding("libraries", "ok", ", ".join(_LIBRARIES))
    status, words = host.import_engine()
    if status == 0:
        yield Finding("built-in engine", "ok", f"xllamacpp {words}")
    elif status == -signal.SIGILL:
        yield Finding("built-in engine", severity, "this processor cannot run it", remedy)
    else:
        yield Finding("built-in engine", severity, f"it does not load: {words}", "Install the package again.")


def _settings(settings: Settings) -> Finding:
    missing = unusable_files(settings)
    if missing:
        return Finding("settings", "fail", "; ".join(missing), "Correct the path, or put the file there.")
    if settings.try_out:
        return Finding("settings", "ok", f"{settings.config or 'no file'}: try-out mode, no engine is named")
    counts = f"{len(settings.engines)} engine(s), {len(settings.models)} model(s)"
    if not settings.models:
        return Finding(
            "settings",
            "warn",
            f"{settings.config}: {counts}",
            "Add [[models]], or nobody can ask for anything.",
        )
    return Finding("settings", "ok", f"{settings.config}: {counts}")


def _memory(settings: Settings, host: Host) -> Finding:
    available = host.memory_available()
    if available is None:
        return Finding("memory", "ok", "the system does not tell how much there is")
    paths = [engine.model.path for engine in _embedded(settings)]
    files = sum(path.stat().st_size for path in paths if path is not None and path.is_file())
    needed = max(_MEMORY_MIN, int(files * _MEMORY_PER_FILE))
    if available < needed:
        remedy = "Stop something else, or take a smaller model."
        return Finding("memory", "warn", f"{_size(available)} free, {_size(needed)} wanted", remedy)
    return Finding("memory", "ok", f"{_size(available)} free")


def _data_folder(folder: Path, host: Host) -> Iterator[Finding]:
    from openbigmodel.db.data_folder import DataFolder, DataFolderBusy, DataFolderError

    existing = next(path for path in (folder, *folder.parents) if path.exists())
    remedy = "Choose another folder with --data, or change its owner."
    if not existing.is_dir() or not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("data folder", "fail", f"{existing} cannot be written to", remedy)
        return
    try:
        # Opening makes the lock file; where there is none, nobody holds it and none shall be made.
        if (folder / "lock").exists():
            DataFolder.open(folder).close()
        yield Finding("data folder", "ok", str(folder))
    except DataFolderBusy as error:
        yield Finding("data folder", "warn", str(error))
    except DataFolderError as error:
        yield Finding("data folder", "fail", str(error), remedy)
    free = host.free_bytes(existing)
    if free < _DISK_WANTED:
        status: Status = "fail" if free < _DISK_MIN else "warn"
        yield Finding("disk", status, f"{_size(free)} free", "Make room, or choose another disk with --data.")
    else:
        yield Finding("disk", "ok", f"{_size(free)} free")


def _port(settings: Settings) -> Finding:
    from openbigmodel.edge import PortBusy, listening_socket

    server = settings.server
    address = f"{server.host} port {server.port}"
    try:
        listening_socket(server.host, server.port).close()
    except PortBusy as error:
        return Finding(
            "address", "fail", str(error), "Stop the other program, or choose another port with --port."
        )
    except OSError as error:
        remedy = "Name an address of this machine with --host."
        return Finding("address", "fail", f"{address}: {error.strerror or error}", remedy)
    return Finding("address", "ok", f"{address} is free")


def _open_files(settings: Settings, host: Host) -> Finding:
    limit = host.open_files_max()
    # A request takes a connection from the client and one to the engine.
    wanted = 2 * settings.server.max_in_flight + 256
    if 0 <= limit < wanted:
        message = f"{limit} allow about {max(0, limit - 256) // 2} requests at once"
        remedy = f"For {settings.server.max_in_flight}: ulimit -n {wanted}, or LimitNOFILE in the service."
        return Finding("open files", "warn", message, remedy)
    return Finding("open files", "ok", str(limit) if limit >= 0 else "no limit")


def _size(size: int) -> str:
    return f"{size / _GIB:.1f} GiB" if size >= _GIB else f"{size // _MIB} MiB"
