"""Errors as the Responses surface tells them: a word for a code, and the field as the caller knows it (api.md §5).

A refused credential is a 401 here, not the 200 of bigmodel.cn, which clients take for an empty answer (api.md §14).
"""

from collections.abc import Mapping

import msgspec

from openbigmodel.errors import ApiError, Language, error_headers
from openbigmodel.inference.dialect import Asked
from openbigmodel.inference.responses.fields import own_words
from openbigmodel.inference.responses.read import Question

INVALID_REQUEST = "invalid_request"
SERVER_ERROR = "server_error"
NOT_FOUND = "not_found"
RATE_LIMIT = "rate_limit_exceeded"

_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("1000", "1001", "1002", "1003", "1004", "1005"), "authentication_error"),
    **dict.fromkeys(("1110", "1111", "1112", "1121", "1220"), "permission_denied"),
    "1113": "insufficient_quota",
    "1211": "model_not_found",
    "1261": "context_length_exceeded",
    "1300": "content_filter",
    "1301": "content_filter",
    **dict.fromkeys(("1302", "1303", "1313", "1701"), RATE_LIMIT),
    **dict.fromkeys(("1305", "1312"), "overloaded"),
    **dict.fromkeys(("1304", "1308", "1309", "1310", "1311"), "insufficient_quota"),
    **dict.fromkeys(("1314", "1315", "1316", "1317", "1318", "1319", "1320", "1321"), "insufficient_quota"),
}


def word_for(error: ApiError) -> str:
    """The code of an error here."""
    word = _WORDS.get(error.code)
    if word is not None:
        return word
    if error.status == 404:
        return NOT_FOUND
    if error.status == 429:
        # Also of a code that only an upstream has.
        return RATE_LIMIT
    return INVALID_REQUEST if error.status < 500 else SERVER_ERROR


def render(error: ApiError, language: Language, asked: Asked | None = None) -> bytes:
    """The body. `asked` is the request, if it was understood so far, and tells where its parts came from."""
    question = asked.extra if asked is not None else None
    places = (question.messages, question.tools) if isinstance(question, Question) else ((), None)
    word, text = word_for(error), error.message(language)
    if type(error) is ApiError:
        # What an upstream has said in its own words stays so.
        text = own_words(text, *places)
    return msgspec.json.encode(
        {
            "error": {
                "code": word,
                "message": text,
                "param": None if error.field is None else own_words(error.field, *places),
                "type": word,
            }
        }
    )


def header_lines(error: ApiError) -> bytes:
    """Header lines that tell whether and when to ask again; OpenAI's clients go by them, too."""
    return b"".join(b"%b: %b\r\n" % pair for pair in error_headers(error))
