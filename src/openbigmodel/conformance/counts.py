"""Whether token counts can be true: whole numbers, none negative, that add up (api.md §3.3)."""

from typing import Any

_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_DETAILS = (
    ("prompt_tokens_details", "cached_tokens", "prompt_tokens"),
    ("completion_tokens_details", "reasoning_tokens", "completion_tokens"),
)


def count_problems(usage: dict[str, Any]) -> list[str]:
    """What is wrong with a usage; nothing if all is well."""
    if not usage:
        return ["there is no usage"]
    wrong = [f"{name} is {usage.get(name)!r}" for name in _COUNTS if not _count(usage.get(name))]
    if wrong:
        return wrong
    problems = []
    if usage["prompt_tokens"] + usage["completion_tokens"] != usage["total_tokens"]:
        problems.append(f"the sum is wrong: {usage}")
    if usage["prompt_tokens"] == 0:
        problems.append("prompt_tokens is 0")
    for group, name, whole in _DETAILS:
        details = usage.get(group)
        if isinstance(details, dict) and name in details:
            part = details[name]
            if not _count(part) or part > usage[whole]:
                problems.append(f"{name} is {part!r}, {whole} {usage[whole]}")
        elif details is not None:
            problems.append(f"{group} is {details!r}")
    return problems


def _count(value: object) -> bool:
    return type(value) is int and value >= 0
