"""The media in a caller's messages: where each part is, in which of its forms it came, whether the model takes it.

Pure, and without looking at a single byte of an image: what can be judged before an engine, a worker or money is
involved is judged here. Errors are 1210 and 1214 with the field, `messages[2].content[0].image_url` (api.md §3.1).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from openbigmodel.catalog import Model
from openbigmodel.errors import ApiError
from openbigmodel.media.refusals import MIB, refusal
from openbigmodel.media.task import Kind
from openbigmodel.schemas.chat import ContentPart, MediaUrl, Message

# Of all kinds together, in one request.
PARTS_MAX = 100
NAME_CHARACTERS_MAX = 255
AUDIO_MB = 25

_DATA_URL = re.compile(r"data:[^,;]{0,255}(?:;[^,;]{0,255}){0,8};base64,", re.IGNORECASE)
_WEB = re.compile(r"https?:", re.IGNORECASE)
# Base64 has no colon, so whatever else begins like a scheme is one.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:")

_KINDS: Mapping[str, Kind] = {
    "image_url": "image",
    "video_url": "video",
    "input_audio": "audio",
    "file": "file",
    # The old name of `file`, with a URL only.
    "file_url": "file",
}
# What a model's inputs are called as types of parts, in the order of the error text.
_TYPES_OF_INPUT: Mapping[str, str] = {
    "text": "text",
    "image": "image_url",
    "video": "video_url",
    "file": "file",
    "audio": "input_audio",
}
_UNNAMEABLE = re.compile(r'[\x00-\x1f\x7f<>"\u2028\u2029\ud800-\udfff]')


class MediaPart(msgspec.Struct, frozen=True, gc=False):
    """One part that is no text. `text` is a URL, or base64 without a prefix."""

    message: int
    position: int
    kind: Kind
    form: Literal["url", "base64"]
    text: str
    field: str
    name: str = ""


def needs_preparing(messages: Iterable[Message]) -> bool:
    """Whether any part is something else than text."""
    for message in messages:
        content = message.content
        if content is not None and not isinstance(content, str):
            for part in content:
                if part.type != "text":
                    return True
    return False


def check_parts(messages: list[Message], model: Model) -> list[MediaPart]:
    """All media parts, judged. Raises ApiError 1210, 1213 or 1214."""
    found: list[MediaPart] = []
    for index, message in enumerate(messages):
        if message.content is not None and not isinstance(message.content, str):
            for position, part in enumerate(message.content):
                media = read_part(index, position, part, model)
                if media is not None:
                    found.append(media)
    if found:
        _check_counts(found, model)
    return found


def read_part(index: int, position: int, part: ContentPart, model: Model) -> MediaPart | None:
    """One part, judged; None when it is text. Raises ApiError 1210 or 1213."""
    where = f"messages[{index}].content[{position}]"
    if part.type == "text":
        if part.text is None:
            raise ApiError("1213", field=f"{where}.text")
        return None
    kind = _KINDS.get(part.type)
    if kind is None or kind not in model.inputs:
        taken = [name for key, name in _TYPES_OF_INPUT.items() if key in model.inputs]
        raise ApiError(
            "1210",
            detail_zh=f"{where}.type 参数非法，模型{model.id}的取值范围 {taken}",
            detail_en=f"{where}.type is invalid: model {model.id} takes only {', '.join(taken)}",
        )
    if part.type == "input_audio":
        return _read_audio(index, position, part, f"{where}.input_audio")
    if part.type == "file":
        return _read_file(index, position, part, f"{where}.file")
    field = f"{where}.{part.type}"
    value = getattr(part, part.type)
    if value is None:
        raise ApiError("1213", field=field)
    text = value.url if isinstance(value, MediaUrl) else value
    media = _read_source(index, position, kind, text, field)
    if part.type == "file_url" and media.form != "url":
        raise refusal(field, "file", "unreachable")
    if media.form == "base64" and not model.media.base64:
        raise refusal(field, kind, "no_base64")
    return media


def _read_source(index: int, position: int, kind: Kind, text: str, field: str, name: str = "") -> MediaPart:
    """Tell a URL from a data URL from bare base64."""
    if not text:
        raise ApiError("1213", field=field)
    prefix = _DATA_URL.match(text)
    if prefix is not None:
        return MediaPart(index, position, kind, "base64", text[prefix.end() :], field, name)
    if _WEB.match(text):
        return MediaPart(index, position, kind, "url", text, field, name)
    if _SCHEME.match(text):
        reason = "encoding" if text[:5].lower() == "data:" else "unreachable"
        raise refusal(field, kind, reason)
    return MediaPart(index, position, kind, "base64", text, field, name)


def _read_file(index: int, position: int, part: ContentPart, field: str) -> MediaPart:
    file = part.file
    if file is None:
        raise ApiError("1213", field=field)
    given = [name for name in ("file_id", "file_url", "file_data") if getattr(file, name)]
    if not given:
        raise ApiError("1213", field=f"{field}.file_data")
    if len(given) > 1:
        raise ApiError("1215", field1=f"{field}.{given[0]}", field2=f"{field}.{given[1]}")
    if file.file_id:
        raise refusal(f"{field}.file_id", "file", "file_id")
    name = _UNNAMEABLE.sub("", file.filename or "")[:NAME_CHARACTERS_MAX]
    field = f"{field}.{given[0]}"
    media = _read_source(index, position, "file", file.file_url or file.file_data or "", field, name)
    if (media.form == "url") != (given[0] == "file_url"):
        raise refusal(field, "file", "encoding" if file.file_data else "unreachable")
    return media


def _read_audio(index: int, position: int, part: ContentPart, field: str) -> MediaPart:
    audio = part.input_audio
    if audio is None:
        raise ApiError("1213", field=field)
    if audio.format is not None and audio.format.lower() not in {"wav", "mp3"}:
        raise ApiError(
            "1214",
            field=f"{field}.format",
            detail_zh="取值范围 ['wav', 'mp3']。",
            detail_en="One of ['wav', 'mp3'].",
        )
    media = _read_source(index, position, "audio", audio.data, f"{field}.data")
    if media.form != "base64":
        raise refusal(media.field, "audio", "encoding")
    return media


def bytes_max(kind: Kind, model: Model, max_mb: int) -> int:
    """How large a part of this kind may be: for the model, and for the platform."""
    limits = model.media
    own = {"image": limits.image_mb, "video": limits.video_mb, "file": limits.file_mb, "audio": AUDIO_MB}[
        kind
    ]
    return min(own, max_mb) * MIB


def _check_counts(found: list[MediaPart], model: Model) -> None:
    limits = model.media
    if len(found) > PARTS_MAX:
        last = found[PARTS_MAX]
        raise _too_many(last.field, PARTS_MAX, ("图片、视频和文件", "images, videos and files"))
    for kind, limit, names in (
        ("image", limits.images, ("图片", "images")),
        ("video", limits.videos, ("视频", "videos")),
        ("file", limits.files, ("文件", "files")),
    ):
        of_kind = [part for part in found if part.kind == kind]
        if len(of_kind) > limit:
            raise _too_many(of_kind[limit].field, limit, names)


def _too_many(field: str, limit: int, names: tuple[str, str]) -> ApiError:
    return ApiError(
        "1210",
        field=field,
        detail_zh=f"{field} 参数非法：{names[0]}不能超过{limit}个",
        detail_en=f"{field} is invalid: at most {limit} {names[1]}",
    )
