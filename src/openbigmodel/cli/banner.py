"""What a person, or a program that reads a pipe, sees on stdout when the platform starts."""

import sys

from openbigmodel.credentials import ApiKey
from openbigmodel.settings import Settings


def show(settings: Settings, url: str, first_key: ApiKey | None) -> None:
    """Print the banner. The line `API key: …` is a contract with other programs, so it stands alone."""
    lines = [f"Open BigModel  {url}/api/paas/v4"]
    if settings.try_out:
        lines += [
            "Try-out mode: no engine is configured, so the built-in demo model glm-demo answers for every GLM model id.",
            "试用模式：未配置引擎，由内置的 glm-demo 演示模型代答所有 GLM 模型。",
        ]
    if first_key is not None:
        lines += [
            "",
            f"API key: {first_key}",
            "",
            "This key is shown only now. Try it:",
            "",
            _curl(url, first_key, settings.models[0].id if settings.models else "glm-4.6"),
            "",
        ]
    print("\n".join(lines))
    sys.stdout.flush()


def _curl(url: str, key: ApiKey, model: str) -> str:
    insecure = " -k" if url.startswith("https") else ""
    return (
        f"curl{insecure} {url}/api/paas/v4/chat/completions \\\n"
        f"  -H 'Authorization: Bearer {key}' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"""  -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "你好"}}]}}'"""
    )
