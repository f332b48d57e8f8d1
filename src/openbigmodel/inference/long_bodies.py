"""What a long body may be made of, so that reading one never keeps everybody else waiting.

Rule: a long text costs its reader little, a short one of a million values a second. So a long body is looked at before
it is decoded: how many values it has, and whether each of its members is there once. Both take 0.1 s at most
for 10 MB, and most of that for text that is full of quotation marks, brackets or commas. A short one cannot be any
trouble, and is left alone.
"""

import msgspec

from openbigmodel.errors import ApiError

# Into less, 2,000 times fits a member with such a number as 1e308, which msgspec reads in 10 to 20 µs.
ONCE_FROM_BYTES = 32 * 1024
# Names of members and spaces between them. Of anything more it matters whether it is said twice.
_NAMES_BYTES_MAX = 4096
_BEGINNING_BYTES = 1024 * 1024
# Values, members and what holds them. 10,000 messages with a tool call each have 170,000.
MAX_VALUES = 250_000
# Of all tools, or of what an answer is to look like, before a schema is judged by itself. Real ones of so many would
# be longer than a model's context.
MAX_SCHEMAS_VALUES = 50_000
# In every dialect. Whatever is in these becomes objects.
_SCHEMAS = ("tools", "tool_choice", "response_format", "output_format", "output_config", "text")

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_ENCODE = msgspec.json.Encoder().encode
_MARKS = b",:[{"
_QUOTE = b'"'
_NO_MARKS = bytes(set(range(256)) - set(_MARKS))
_NO_MARKS_OR_QUOTES = bytes(set(range(256)) - set(_MARKS + _QUOTE))


def readable(body: bytes) -> bytes:
    """The same body, as it can be decoded without harm: each of its members once, the last of them, as ever.

    Raises ApiError 1214 for more values than anybody needs, and what a decoder raises.
    """
    size = len(body)
    if size < ONCE_FROM_BYTES:
        return body
    check_values(body, "body")
    members = _MEMBERS(body)
    for name in _SCHEMAS:
        if name in members:
            check_values(bytes(members[name]), name, MAX_SCHEMAS_VALUES)
    if size - sum(map(len, members.values())) <= _NAMES_BYTES_MAX:
        return body
    return _ENCODE(members)


def check_values(text: bytes, field: str, most: int = MAX_VALUES) -> None:
    """Raises ApiError 1214 if there are more values than `most` in what is called `field`."""
    # No text has more of them than bytes.
    if len(text) > most and _too_many(text, most):
        raise ApiError(
            "1214",
            field=field,
            detail_zh=f"超过{most}个值。",
            detail_en=f"More than {most} values.",
        )


def _too_many(text: bytes, most: int) -> bool:
    # Who sends far too many is found out by the beginning.
    if len(text) > _BEGINNING_BYTES and _has_too_many(text[:_BEGINNING_BYTES], most):
        return True
    return _has_too_many(text, most)


def _has_too_many(text: bytes, most: int) -> bool:
    # Nearly always there are not as many marks in all, those in strings included.
    if len(text.translate(None, _NO_MARKS)) <= most:
        return False
    marks = text.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NO_MARKS_OR_QUOTES)
    # Every quote that is left begins or ends a string, and no two strings touch.
    if marks.count(_QUOTE) > 2 * most:
        return True
    return len(b"".join(marks.split(_QUOTE)[::2])) > most
