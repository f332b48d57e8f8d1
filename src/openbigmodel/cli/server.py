"""`bigmodel serve`, and the options that every command about the server shares.

The help of an option is the help of its setting.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from openbigmodel import __version__
from openbigmodel.credentials import ApiKey
from openbigmodel.settings import ServerSettings, Settings, fields_of, load_settings


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
    # The whole server; `--help` does without it.
    from openbigmodel import app

    return app.serve(settings, lambda url, key: print(greeting(settings, url, key), flush=True))


def greeting(settings: Settings, url: str, key: ApiKey | None) -> str:
    """What an operator reads at the start. A key is there on the first start only, and nowhere again."""
    lines = [f"Open BigModel {__version__} at {url}"]
    if settings.try_out:
        lines.append(
            "Try-out mode: the small built-in model glm-demo answers for every GLM model id. "
            "Real models: [[engines]] in a settings file (--config)."
        )
    if key is not None:
        model = settings.models[0].id if settings.models else "glm-4.6"
        lines += [
            f"API key: {key}",
            "This key is shown only now. Try it:",
            f"  curl {url}/api/paas/v4/chat/completions \\",
            f'    -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\',
            f"""    -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "你好"}}]}}'""",
        ]
    return "\n".join(lines)
