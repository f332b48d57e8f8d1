"""Writes docs/reference/*.md from the code: `make docs`. `--check` only says which pages have fallen behind.

Rule: whatever the code knows (codes, models, routes, settings, options, metrics, limits) is read from the code; only
the sentences around it are written here. A route, field or metric without a sentence is an error.
"""

import argparse
import ast
import asyncio
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import typer
from starlette.routing import Route
from typer.core import TyperGroup

from openbigmodel import app
from openbigmodel.api.chat import BODY_LIMIT
from openbigmodel.api.surfaces import SURFACES
from openbigmodel.cli.admin import ADMIN_COMMANDS
from openbigmodel.cli.config import settings_reference
from openbigmodel.cli.main import cli
from openbigmodel.cli.terminal import ServeTerminal
from openbigmodel.db.data_folder import DataFolder
from openbigmodel.edge.head import HEAD_BYTES_MAX, HEAD_FIELDS_MAX
from openbigmodel.edge.server import EdgeLimits
from openbigmodel.errors import ERROR_CODES
from openbigmodel.inference import chat_request, silence
from openbigmodel.schemas.chat import ChatRequest
from openbigmodel.settings import load_settings
from openbigmodel.telemetry import RequestRecord
from tools.reference_engines import engines_page
from tools.reference_models import models_page

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
_MADE = "Made by `make docs` from {source}; do not edit.\n"

# Route (without its base) → what it is for. Credential: who may ask.
_ROUTES = {
    "/chat/completions": ("API key or JWT", "A chat answer, whole or as a stream of server-sent events."),
    "/models": ("API key or JWT", "The models that can be asked for here, in OpenAI's list shape."),
    "/models/{model_id}": ("API key or JWT", "One of them; 404 with code 1211 when nobody serves it."),
    **{
        base + "/responses": (
            "API key or JWT",
            "An answer in OpenAI's Responses dialect; see [Responses](../responses.md).",
        )
        for base in ("", "/api/v1")
    },
    **{
        base + "/responses/{response_id}": (
            "API key or JWT",
            "A stored response: shown, or with DELETE forgotten.",
        )
        for base in ("", "/api/v1")
    },
    **{
        base + "/responses/{response_id}/input_items": (
            "API key or JWT",
            "What a stored response was asked with.",
        )
        for base in ("", "/api/v1")
    },
    "/api/anthropic/v1/messages": (
        "API key or JWT, also as `x-api-key`",
        "An answer in Anthropic's Messages dialect; see [Anthropic](../anthropic.md).",
    ),
    "/api/anthropic/v1/messages/count_tokens": (
        "API key or JWT, also as `x-api-key`",
        "How many tokens a prompt has, by the engine's own tokenizer where it has one.",
    ),
    "/api/anthropic/v1/models": (
        "API key or JWT, also as `x-api-key`",
        "The models, in Anthropic's list shape.",
    ),
    "/api/anthropic/v1/models/{model_id}": ("API key or JWT, also as `x-api-key`", "One of them."),
    "/api/monitor/usage/quota/limit": (
        "API key or JWT",
        "What is left of the account's Coding Plan; see [Coding Plan](../coding-plan.md).",
    ),
    "/api/monitor/usage/model-usage": (
        "API key or JWT",
        "The account's requests and tokens from `startTime` to `endTime`, by the hour or the day and by model.",
    ),
    "/api/monitor/usage/tool-usage": (
        "API key or JWT",
        "The same of tools that the platform runs: always empty, as it runs none.",
    ),
    "/health": ("none", "200 while requests are taken, else 503; names each engine and its state."),
    "/metrics": (
        "none from this machine, else the operator's key",
        "Metrics in Prometheus' text form; see [metrics](metrics.md).",
    ),
}
_SURFACES = {
    "/api/paas/v4": "bigmodel.cn's own base: zai-sdk, zhipuai, LangChain's ChatZhipuAI.",
    "/api/coding/paas/v4": "The Coding Plan's base. Older model ids are answered by their successors where those are "
    "served, earlier reasoning is kept by default, and thinking can be switched off on every model.",
    "/v1": "The same for clients that expect OpenAI's path.",
}
_FIELDS = {
    "model": "A model id, in any letter case. Unknown: 1211.",
    "messages": f"At least one message, one of them from `user` or `tool`; at most {chat_request.MAX_MESSAGES:,}. "
    "Roles: `system`, `user`, `assistant`, `tool`, and `developer`, which counts as `system`. "
    "Content is text or a list of parts: `text`, and `image_url`, `video_url`, `file`, `file_url` or `input_audio` for "
    "models and engines that take them; see [media](../media.md).",
    "stream": "Server-sent events instead of one body. Default false.",
    "thinking": '`{"type": "enabled"}` or `"disabled"`, and `clear_thinking`: whether reasoning of earlier turns is '
    "left out of the prompt.",
    "reasoning_effort": "How much to reason, for models that know it; others ignore it.",
    "do_sample": "false: always the likeliest token; `temperature` and `top_p` are then ignored.",
    "temperature": "0.0 to 1.0. Default: the model's.",
    "top_p": "0.01 to 1.0. Default: the model's.",
    "max_tokens": "1 to the model's cap; reasoning counts. Above the cap: 1210.",
    "max_completion_tokens": "Another name of `max_tokens`, which wins if both are given.",
    "stop": f"A stop word, or up to {chat_request.MAX_STOPS} of them.",
    "tools": f"Up to {chat_request.MAX_TOOLS} tools. Those of type `function` reach the model. Others, such as "
    "`web_search`, `retrieval` and `mcp`, are run by bigmodel.cn: an engine of kind `glm` is sent them; for engines of the "
    "other kinds they are left out without an error, and the model answers without them.",
    "tool_choice": "`auto`; `none` leaves the tools out; `required`, or a function by name, asks for a call.",
    "tool_stream": "true: arguments of tool calls come in pieces. Otherwise each call is one chunk.",
    "response_format": '`{"type": "text"}`, `json_object`, or `json_schema` with a schema.',
    "request_id": f"The caller's own id, up to {chat_request.MAX_REQUEST_ID_CHARACTERS} characters; it comes back in the "
    "reply. Sent again: 1231 while the first request runs; then, for the same body and not a stream, the stored answer for "
    "24 hours, and 1231 otherwise; see [money](../money.md#the-bill-of-each-case).",
    "user_id": f"The caller's end user, up to {chat_request.MAX_USER_ID_CHARACTERS} characters. Not stored.",
    "sensitive_word_check": '`{"type": "ALL", "status": "DISABLE"}` switches moderation off for accounts that may; see '
    "[moderation](../moderation.md).",
    "seed": "A whole number of 64 bits, handed to the engine.",
    **dict.fromkeys(
        ("top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"),
        "Not of bigmodel.cn. Handed unchecked to engines that know it, otherwise without effect; see "
        "[engines](engines.md).",
    ),
}
_METRICS = {
    "model": "the model's id, `unknown` for one that is not served, empty for a request without a valid credential",
    "engine": "the engine's name in the settings, `glm-demo` in try-out mode",
    "status": "HTTP status",
    "code": "[error code](errors.md), empty when all went well",
    "kind": "of tokens `prompt`, `cached` (part of prompt), `completion`, `reasoning` (part of completion); of the ledger's "
    "doubts `problem` (books that differ), `unknown` (commits whose end is not known) or `chain` (postings)",
    "where": "`body` or `url` of a request",
    "stage": "`input`, what a caller sends, or `output`, what a model says",
    "outcome": "`blocked`, `noted` (reported in `content_filter`) or `failed` (the checker gave no answer)",
    "state": "`downloading`, `starting`, `ready`, `restarting`, `broken` or `stopped`; of an engine elsewhere `starting`, "
    "`ready`, `unreachable` or `refused`",
}


def pages() -> dict[str, str]:
    """Every page's name and text."""
    platform = asyncio.run(_platform())
    return {
        "cli.md": _cli(),
        "endpoints.md": _endpoints(platform),
        "engines.md": engines_page(
            _MADE.format(source="`src/openbigmodel/engines/profiles.py` and `translate.py`"), _table
        ),
        "errors.md": _errors(),
        "metrics.md": _metrics(platform),
        "models.md": _models(),
        "settings.md": settings_reference(),
    }


async def _platform() -> app.Platform:
    """A platform in try-out mode with moderation, built but not started, with one request counted."""
    with tempfile.TemporaryDirectory() as folder, DataFolder.open(Path(folder)) as data:
        config = Path(folder) / "reference.toml"
        config.write_text('[moderation]\nchecker_url = "http://127.0.0.1/"\n', encoding="utf-8")
        settings = load_settings(config, flags={"data": folder}, environ={})
        platform = await app.build(settings, data, ServeTerminal(settings))
        record = RequestRecord(
            time="", id="", path="", status=200, model="m", engine="e", prompt_tokens=1, first_token_ms=1
        )
        platform.pipeline.metrics.count(record, "m")
        platform.database.close()
        await asyncio.sleep(0)
        return platform


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [list(head)]
    cells += [["---"] * len(cells[0]), *(list(row) for row in rows)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in cells)


# --- errors


def _errors() -> str:
    in_use = set(_codes_in_use())
    rows = []
    for row in ERROR_CODES.values():
        again = {None: "", True: "yes", False: "no"}[row.retry]
        mark = "✓" if row.code in in_use else ""
        rows.append([f"`{row.code}`", str(row.status), mark, again, row.zh, row.en])
    return f"""# Error codes

{_MADE.format(source="`src/openbigmodel/errors.py`")}
Every error of the API has the same body, and `code` is always a string:

```json
{{"error": {{"code": "1214", "message": "The parameter messages[1].role is invalid. …"}}}}
```

The message is in the language that `Accept-Language` asks for, Chinese or English; without one, in the language of
the setting `server.language`. Codes and texts are bigmodel.cn's. What is added here is the place of the mistake, with
its index.

**Retry.** Where the table says yes or no, the response carries `x-should-retry: true` or `false`, which the official
SDKs obey. Where it says yes, `retry-after` gives whole seconds, too. Where it says nothing, clients decide by status.

**Now.** ✓ marks the codes that this release gives. The others are in the table because their features are on the way.

**Status.** HTTP's own word wins where there is a better one; the code is then `1210`: 405 (CONNECT, TRACE and methods
that HTTP does not have), 408 (a request that does not arrive), 413 (body too large), 417 (an `Expect` that is not
understood), 431 (too large a head). `1211` is 404 when one model is looked up, and 400 in a chat request. `1305` is 503
when a server has all the connections it takes.

**Unknown paths**, and methods that a path does not have, get the shape of bigmodel.cn's gateway instead, without a code:
`{{"status": 404, "error": "Not Found", "path": "/v4/nope"}}`, or `{{"status": 405, "error": "Method Not Allowed", …}}` with
the methods that it has in the header `Allow`.

**In a stream**, nothing but the stream can tell of a failure once it has begun: the last chunk then has
`"finish_reason": "network_error"`, and `[DONE]` follows. If the usage cannot be stored, the connection breaks off.

{_table(["code", "status", "now", "retry", "中文", "English"], rows)}"""


def _codes_in_use() -> Iterator[str]:
    """The codes that some line of the package raises."""
    for path in (ROOT / "src" / "openbigmodel").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in {"ApiError", "CredentialError", "_beyond"}:
                    yield str(node.args[0].value)


def _models() -> str:
    return models_page(_MADE.format(source="`src/openbigmodel/catalog.toml`"), _table)


# --- endpoints


def _endpoints(platform: app.Platform) -> str:
    rows, described = [], set()
    for request, path in _requests(platform):
        base = next((each.prefix for each in SURFACES if path.startswith(each.prefix + "/")), "")
        short = path.removeprefix(base)
        credential, text = _ROUTES[short]
        described.add(short)
        rows.append([f"`{request}`", credential, text])
    assert described == set(_ROUTES), described ^ set(_ROUTES)
    surfaces = [[f"`{surface.prefix}`", _SURFACES[surface.prefix]] for surface in SURFACES]
    fields = [
        [
            f"`{field.encode_name}`",
            _type(field.type) + ("" if field.required is False else ", required"),
            text,
        ]
        for field, text in _with_text(msgspec.structs.fields(ChatRequest))
    ]
    return f"""# Endpoints

{_MADE.format(source="the routes in `src/openbigmodel/api/routes.py` and the types in `src/openbigmodel/schemas/`")}
Three bases, one platform; give a client the base that it expects.

{_table(["base", "for"], surfaces)}
{_table(["request", "credential", "answer"], rows)}
**Credential** is the header `Authorization`, with `Bearer ` before it or without: the API key `id.secret`, or a JWT
signed with its secret (HS256, times in milliseconds). Exactly one such header; codes 1000 to 1004 otherwise, always
with status 401, and before the body is looked at.

## The chat request

Unknown fields are ignored here (an engine of kind `glm` is sent them), and `null` counts as absent. Wrong types and
values are 1214, missing fields 1213, both with the field's name and index.

{_table(["field", "type", "meaning"], fields)}
## The chat reply

As on bigmodel.cn: `choices`, `created`, `id`, `model`, `object`, `request_id` and `usage`. A stream has one `data:` line
an event; each delta repeats the role and holds either content, reasoning or tool calls; the last chunk alone has
`finish_reason` and `usage`; `[DONE]` ends it.

| header | meaning |
| --- | --- |
| `x-log-id` | The platform's id of this request: what to look for in its log. |
| `x-bigmodel-engine` | The engine that answered, by its name in the settings; `glm-demo` in try-out mode. |
| `x-idempotent-replay` | `true`: this is the stored answer to an earlier request with the same `request_id`. |
| `x-should-retry`, `retry-after` | On errors; see [error codes](errors.md). |

## Limits

{_limits()}"""


def _requests(platform: app.Platform) -> Iterator[tuple[str, str]]:
    """Method and path of everything that is answered: the hot routes first."""
    hot = [path.decode() for path in platform.edge.hot_routes]
    for path in hot:
        yield f"POST {path}", path
    for route in platform.asgi.routes:
        assert isinstance(route, Route)
        if route.path not in hot:
            assert route.methods, route.path
            yield f"{' '.join(sorted(route.methods - {'HEAD'}))} {route.path}", route.path


def _with_text(fields: Iterable[Any]) -> Iterator[tuple[Any, str]]:
    found = list(fields)
    names = {field.encode_name for field in found}
    assert names == set(_FIELDS), names ^ set(_FIELDS)
    return ((field, _FIELDS[field.encode_name]) for field in found)


def _type(annotation: Any) -> str:
    """A JSON type in plain words."""
    names = {bool: "boolean", int: "number", float: "number", str: "text", list: "list", msgspec.Raw: "list"}
    if annotation is Any:
        # Only sampling fields are so: what is in them is the engine's to judge.
        return "number"
    found = []
    for part in get_args(annotation) or (annotation,):
        if part is type(None):
            continue
        if get_args(part) and all(isinstance(choice, str) for choice in get_args(part)):
            found += [f"`{choice}`" for choice in get_args(part)]
        elif isinstance(part, str):
            found.append(f"`{part}`")
        else:
            found.append(names.get(getattr(part, "__origin__", part), "object"))
    return " or ".join(dict.fromkeys(found))


def _limits() -> str:
    limits = EdgeLimits()
    mib = 1024 * 1024
    return _table(
        ["what", "limit", "beyond it"],
        [
            ["request head", f"{HEAD_BYTES_MAX // 1024} KiB, {HEAD_FIELDS_MAX} fields", "431"],
            [
                "chat request's body, in any dialect",
                f"{BODY_LIMIT // mib} MiB, so {BODY_LIMIT * 3 // 4 / mib:g} MiB of [media](../media.md) as base64",
                "413",
            ],
            ["any other body", f"{limits.asgi_body_bytes_max // mib} MiB", "413"],
            ["nesting of tool and schema objects", f"{chat_request.MAX_JSON_DEPTH} levels", "400, code 1214"],
            ["a head's arrival", f"{limits.head_s:g} s", "408"],
            [
                "a body's pace",
                f"{limits.body_bytes_per_s // 1024} KiB a second, on average of {limits.body_s:g} s",
                "408",
            ],
            [
                "unfinished bodies of one account",
                "a third of what the others leave free of `unfinished_mb`",
                "503, code 1305",
            ],
            ["a client that does not read its answer", f"{limits.stall_s:g} s", "the connection is dropped"],
            ["a connection without a request", f"{limits.idle_s:g} s", "it is closed"],
            ["connections", f"{limits.connections_max:,}", "503, code 1305"],
            ["the engine's first token", f"{silence.FIRST_TOKEN_TIMEOUT_S:g} s", "500, code 1234"],
            [
                "the engine's silence after that",
                f"{silence.BETWEEN_TOKENS_TIMEOUT_S:g} s",
                "`network_error` in the stream, else 500 with code 1234",
            ],
        ],
    )


# --- metrics


def _metrics(platform: app.Platform) -> str:
    rows, labels = [], set()
    for family in platform.pipeline.metrics.collect():
        assert family.samples, family.name
        own = [name for name in family.samples[0].labels if name != "le"]
        labels.update(own)
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append(
            [f"`{name}`", family.type, ", ".join(f"`{label}`" for label in own), family.documentation]
        )
    assert labels == set(_METRICS), labels ^ set(_METRICS)
    record = get_type_hints(RequestRecord)
    return f"""# Metrics and the request log

{_MADE.format(source="`src/openbigmodel/telemetry.py`")}
## Metrics

`GET /metrics` answers a scraper on the same machine, or one that sends the operator's API key. A request that a proxy
has forwarded counts as coming from elsewhere.

{_table(["name", "type", "labels", "meaning"], rows)}
{_table(["label", "values"], [[f"`{name}`", _METRICS[name]] for name in sorted(labels)])}
A request counts once it has ended, however it ended. `bigmodel_moderation_total` is there while
[moderation](../moderation.md) is on. Histograms have buckets from 10 ms to 300 s.

## The request log

One line a finished request on stderr, as JSON or, on a terminal, as coloured text (setting `server.log_format`). Never
a credential, never a word of a prompt or an answer. Fields that have nothing to say are left out:

{", ".join(f"`{name}`" for name in record)}.

Times in names are milliseconds; `time` is RFC 3339 in UTC; `id` is the reply's `x-log-id`; `code` is the GLM
error code; `detail` is what the caller is not told, such as an engine's own words. Other lines have `time` and `event`.
"""


# --- command line


def _cli() -> str:
    root = typer.main.get_command(cli)
    return f"""# Command line

{_MADE.format(source="the commands in `src/openbigmodel/cli/`")}
Exit status: 0 all went well, 1 the work failed, 2 the command or the settings are wrong, 130 after Ctrl-C.

**Admin commands** are those that begin with
{_admin_commands()}.
They ask the server of the data folder, or, while none runs, work on the folder itself; see [operate](../operate.md). With `--json` they print exactly one JSON object on
stdout; after any failure, a wrong option included, it is `{{"error": "…"}}` and the status is 1.

{"".join(_command(root, "bigmodel")).rstrip()}
"""


def _admin_commands() -> str:
    *names, last = (f"`{name}`" for name in sorted(ADMIN_COMMANDS))
    return f"{', '.join(names)} or {last}"


def _command(command: Any, path: str) -> Iterator[str]:
    text = f"## `{path}`\n\n{command.help}\n\n"
    rows = []
    for parameter in command.params:
        name = (
            ", ".join((*parameter.opts, *parameter.secondary_opts))
            if parameter.param_type_name == "option"
            else ""
        )
        value = parameter.metavar or ""
        rows.append([f"`{f'{name} {value}'.strip()}`", parameter.help or ""])
    if rows:
        text += _table(["option", "meaning"], rows) + "\n"
    yield text
    if isinstance(command, TyperGroup):
        for name, below in command.commands.items():
            yield from _command(below, f"{path} {name}")


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description="Write docs/reference from the code.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit with 1 if a page has fallen behind"
    )
    check = parser.parse_args().check
    behind = []
    for name, text in pages().items():
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            behind.append(path.relative_to(ROOT).as_posix())
            if not check:
                path.write_text(text, encoding="utf-8")
    for name in behind:
        print(f"{name}: {'has fallen behind; run make docs' if check else 'written'}")
    return 1 if check and behind else 0


if __name__ == "__main__":
    sys.exit(main())
