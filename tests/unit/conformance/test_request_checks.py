"""Each field of GLM's is asked about by a check of its own, which notices a server that refuses it."""

from typing import Any

import pytest

from openbigmodel.conformance.request_checks import CHECKS
from openbigmodel.errors import ApiError
from tests.planted_gateway import Members, Mistake, caught

# Check, and what of its request a server has never heard of.
REFUSED: list[tuple[str, Any]] = [
    ("thinking", lambda request: request.get("thinking", {}).get("clear_thinking") is not None),
    ("reasoning_effort", "reasoning_effort"),
    ("do_sample", "do_sample"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("max_tokens", lambda request: request.get("max_tokens") == 16),
    ("max_completion_tokens", "max_completion_tokens"),
    ("stop", lambda request: isinstance(request.get("stop"), list)),
    ("stop_text", lambda request: isinstance(request.get("stop"), str)),
    ("tools_function", "tools"),
    *(
        (f"tools_{kind}", lambda request, kind=kind: any(tool["type"] == kind for tool in request.get("tools", ())))
        for kind in ("web_search", "retrieval", "mcp")
    ),
    ("tools_mixed", lambda request: len(request.get("tools", ())) == 2),
    ("tool_choice_none", lambda request: request.get("tool_choice") == "none"),
    ("tool_choice_required", lambda request: request.get("tool_choice") == "required"),
    ("tool_choice_named", lambda request: isinstance(request.get("tool_choice"), dict)),
    ("tool_stream", "tool_stream"),
    *(
        (f"response_format_{name}", lambda request, kind=kind: request.get("response_format", {}).get("type") == kind)
        for name, kind in (("text", "text"), ("json", "json_object"), ("schema", "json_schema"))
    ),
    ("user_id", "user_id"),
    ("seed", "seed"),
    ("meta", "meta"),
    ("sensitive_word_check", "sensitive_word_check"),
    ("watermark_enabled", "watermark_enabled"),
    ("stream_options", "stream_options"),
    ("history", lambda request: any("reasoning_content" in message for message in request["messages"])),
    ("text_parts", lambda request: isinstance(request["messages"][0]["content"], list)),
    ("nulls", lambda request: None in request.values()),
    ("unknown_fields", "unheard_of"),
    ("request_id_number", lambda request: isinstance(request.get("request_id"), float)),
    ("model_case", lambda request: request["model"].isupper()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "refused"), REFUSED, ids=[name for name, _ in REFUSED])
def test_a_server_that_refuses_it_is_found(name: str, refused: Any) -> None:
    def judge(request: Members) -> None:
        if refused in request if isinstance(refused, str) else refused(request):
            raise ApiError("1214", field=name)

    caught(Mistake(judge=judge), f"requests.{name}")


def test_each_check_has_its_mistake() -> None:
    assert {check.name for check in CHECKS} == {name for name, _ in REFUSED}
