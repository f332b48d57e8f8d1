"""What the words of an engine's refusal say: that the prompt is too long, that the engine is set up wrongly, that it
has too much to do, or which field it minds.

Rule: only sentences that a known engine is known to say; what is not recognised is the caller's mistake, in the
engine's own words. Texts of vLLM, SGLang, llama-server, Ollama, LMDeploy, TensorRT-LLM and Ray.
"""

import re

import msgspec

from openbigmodel.schemas.chat import ChatRequest

_TOO_LONG = re.compile(
    r"(?:maximum|available|model'?s|exceeds? the|max) ?(?:\w+ )?context (?:length|size|window)"
    r"|context (?:length|size|window) (?:of|is|exceed|limit|error)|context_length_exceeded|exceed_context_size"
    r"|exceeds? (?:the )?(?:context|session|maximum sequence length|maximum input length)"
    r"|(?:prompt|input|messages?|request|conversation)\b[^.]{0,60} too long|longer than the m(?:aximum|odel)"
    r"|should not exceed max_(?:num_tokens|seq_len|input_len)"
    r"|(?:prompt|input) (?:length|tokens?)[^.]{0,80} (?:exceeds?|(?:is )?(?:larger|longer|greater) than)"
    r"|prompt is too long|length limitation|session_len",
    re.IGNORECASE,
)
# A missing option of the engine, or a template that the model does not have.
_SETUP = re.compile(
    r"requires? --|to be set with --|--enable-auto-tool-choice|--tool-call-parser|--jinja|chat template"
    r"|model .{1,200} (?:does not exist|not found)|unused .{0,40}chat_template_kwargs",
    re.IGNORECASE,
)
_OVERLOAD = re.compile(
    r"queue (?:is )?full|overload|too many requests|loading model|server busy|max(?:imum)? queue|back ?pressure",
    re.IGNORECASE,
)
_NO_MEDIA = re.compile(
    r"(?:image|video|audio|multimodal)s?(?: inputs?)? (?:is|are) not supported"
    r"|does not support (?:image|video|audio|multimodal)|is not a multimodal model"
    r"|at most 0 (?:image|video|audio)",
    re.IGNORECASE,
)
_NO_TOOLS = re.compile(r"does not support tool", re.IGNORECASE)
# Pydantic's way to name a place, as text.
_PLACE = re.compile(r"['\"]?loc['\"]?: [(\[]['\"]body['\"], ([^)\]]{1,200})[)\]]")
_OUR_FIELDS = frozenset(
    (
        *(
            "stream_options",
            "chat_template_kwargs",
            "enable_thinking",
            "timings_per_token",
            "return_progress",
        ),
        *("skip_special_tokens", "separate_reasoning", "reasoning_format"),
    )
)
# A sentence about a field that the engine does not know, which names it before or after; not the ones that it knows.
_COMPLAINT = (
    r"(?:unrecogni[sz]ed|unknown|unexpected|unsupported|not supported|extra|not (?:permitted|allowed))"
)
_OUR_FIELD = rf"\b({'|'.join(sorted(_OUR_FIELDS))})\b"
_OURS_UNKNOWN = re.compile(
    rf"{_COMPLAINT}(?:(?!expected one|supported:|allowed:)[^.]){{0,60}}?{_OUR_FIELD}|{_OUR_FIELD}[^.]{{0,60}}?{_COMPLAINT}",
    re.IGNORECASE,
)
_CALLERS_FIELDS = frozenset(field.name for field in msgspec.structs.fields(ChatRequest)) - {
    "model",
    "stream",
}


def is_too_long(text: str) -> bool:
    """Whether prompt, or prompt and answer, are more than the engine's context holds."""
    return _TOO_LONG.search(text) is not None


def is_about_setup(text: str) -> bool:
    """Whether the engine could not have answered anybody who asked so."""
    return _SETUP.search(text) is not None


def is_overload(text: str) -> bool:
    """Whether the engine has too much to do, or not yet what it needs."""
    return _OVERLOAD.search(text) is not None


def is_beyond_model(text: str) -> bool:
    """Whether the caller asks for what this model cannot do; llama-server calls that an error of its own, 500."""
    return is_blind(text) or _NO_TOOLS.search(text) is not None


def is_blind(text: str) -> bool:
    """Whether this model cannot look at pictures or films, or cannot hear."""
    return _NO_MEDIA.search(text) is not None


def field_of(place: str, text: str) -> tuple[str, bool]:
    """The field that an engine minds, empty if it names none; and whether it is one that we have added.

    `place` is what the engine says apart from its sentence, such as `temperature`, `messages.0.content` or
    `body.messages.0.content`.
    """
    if not place:
        match = _PLACE.search(text)
        place = ".".join(part.strip(" '\"") for part in match[1].split(",")) if match else ""
    first, *rest = place.removeprefix("body.").replace("[", ".").replace("]", "").split(".")
    if first in _OUR_FIELDS:
        return first, True
    ours = _OURS_UNKNOWN.search(text)
    if ours is not None:
        return ours[1] or ours[2], True
    if first not in _CALLERS_FIELDS:
        return "", False
    # Below a list there may be names of the engine's own types, which mean nothing to a caller.
    path = first
    for part in rest:
        if part.isdecimal():
            path += f"[{part}]"
        elif re.fullmatch(r"[a-z_]{1,40}", part):
            path += f".{part}"
        else:
            break
    return path, False
