"""`bigmodel serve`, and the options that every command about the server shares.

The help of an option is the help of its setting.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from openbigmodel.cli.config import unusable_files
from openbigmodel.settings import ServerSettings, Settings, SettingsError, fields_of, load_settings


def _option(name: str, *, metavar: str) -> Any:
    field = next(
        field for cls in (Settings, ServerSettings) for field in fields_of(cls) if field.name == name
    )
    default = f" Default: {field.default}." if isinstance(field.default, str | int) else ""
    return typer.Option(f"--{name.replace('_', '-')}", help=field.help + default, metavar=metavar)


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Settings file (TOML). Default: $BIGMODEL_CONFIG, or none.", metavar="FILE"
    ),
]
DataOption = Annotated[Path | None, _option("data", metavar="DIR")]
HostOption = Annotated[str | None, _option("host", metavar="ADDRESS")]
PortOption = Annotated[int | None, _option("port", metavar="PORT")]
TlsCertOption = Annotated[Path | None, _option("tls_cert", metavar="FILE")]
TlsKeyOption = Annotated[Path | None, _option("tls_key", metavar="FILE")]
LogFormatOption = Annotated[str | None, _option("log_format", metavar="FORM")]


def serve(
    host: HostOption = None,
    port: PortOption = None,
    data: DataOption = None,
    config: ConfigOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    log_format: LogFormatOption = None,
) -> int:
    """Start the platform. Without engines in a settings file, a small built-in model answers."""
    settings = load_settings(
        config,
        flags={
            "server.host": host,
            "server.port": port,
            "data": data,
            "server.tls_cert": tls_cert,
            "server.tls_key": tls_key,
            "server.log_format": log_format,
        },
    )
    unusable = unusable_files(settings)
    if unusable:
        # Else it would show a key and a command to try, and never answer.
        raise SettingsError("; ".join(unusable))
    # The whole server; `--help` does without it.
    from openbigmodel import app
    from openbigmodel.cli import terminal

    return app.serve(settings, terminal.ServeTerminal(settings))
