"""What an engine is asked, as JSON, for a caller's fields."""

import json
from typing import Any

from openbigmodel.catalog import load_catalog
from openbigmodel.engines.profiles import OPENAI, Profile
from openbigmodel.engines.translate import to_openai
from openbigmodel.inference.chat_request import Surface, check_chat_request, read_chat_request, read_messages

CATALOG = load_catalog()
PAAS = Surface(prefix="/api/paas/v4")
USER = {"role": "user", "content": "hi"}
TOOLS = [
    {"type": "function", "function": {"name": "a", "parameters": {"type": "object"}}},
    {"type": "web_search", "web_search": {"enable": True}},
    {"type": "function", "function": {"name": "b"}},
]


def asked(profile: Profile = OPENAI, model: str = "glm-4-flash", **fields: Any) -> dict[str, Any]:
    """The body that the engine gets."""
    request = read_chat_request(json.dumps({"model": model, "messages": [USER], **fields}).encode())
    known = CATALOG.find(model)
    assert known is not None
    messages = read_messages(request, known)
    generation = check_chat_request(request, known, PAAS)
    body = json.loads(to_openai(request, messages, "target", generation, profile))
    assert isinstance(body, dict)
    return body
