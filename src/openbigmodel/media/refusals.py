"""What a caller is told about a part that cannot be used: bigmodel.cn's sentence, then what exactly is wrong.

Rule: the reason why a URL could not be fetched is one constant sentence, but for the status of a server that was
reached: what resolves, what is forbidden and what merely does not answer would tell how our network looks.
"""

from collections.abc import Mapping

from openbigmodel.errors import ApiError
from openbigmodel.media.task import Kind, Outcome, Task

MIB = 1 << 20

# What bigmodel.cn answers to each kind (api.md §3.1); its sentences for videos and sounds are not known.
_HEADINGS: Mapping[Kind, tuple[str, str]] = {
    "image": ("图片输入格式/解析错误", "The image's format is wrong or it cannot be parsed"),
    "video": ("视频输入格式/解析错误", "The video's format is wrong or it cannot be parsed"),
    "audio": ("音频输入格式/解析错误", "The audio's format is wrong or it cannot be parsed"),
    "file": (
        "文件解析失败，请检查文件可访问性和格式",
        "The file cannot be parsed, please check that it is accessible and its format",
    ),
}
_REASONS: Mapping[str, tuple[str, str]] = {
    "unreachable": (
        "无法从该地址获取内容，请确认是可公开访问的http或https地址",
        "nothing can be fetched from this address; it must be a public http or https URL",
    ),
    "urls_off": (
        "本平台不获取网络地址，请改用base64",
        "this platform fetches no URLs; please send base64 instead",
    ),
    "encoding": ("不是合法的base64", "it is not valid base64"),
    "no_base64": ("该模型不支持base64，请使用URL", "this model takes no base64, please give a URL"),
    "damaged": ("内容不完整或已损坏", "it is incomplete or damaged"),
    "too_much_text": ("文字内容过多", "it has too much text"),
    "file_id": ("找不到该文件", "there is no such file"),
}
_FORMATS = {
    "image/png": "png",
    "image/jpeg": "jpg, jpeg",
    "image/gif": "gif",
    "image/webp": "webp",
}
_KNOWN: Mapping[Kind, str] = {
    "image": "",
    "video": "mp4, mov, mkv",
    "audio": "wav, mp3",
    "file": "pdf, docx, xlsx, pptx, html, txt, md, csv, json, xml",
}


def refusal(field: str, kind: Kind, reason: str) -> ApiError:
    """1210 with the sentence of the kind and of the reason."""
    return _error(field, kind, *_REASONS[reason])


def refusal_of(field: str, task: Task, outcome: Outcome) -> ApiError:
    """1210 for what the worker said."""
    reason = outcome.refusal
    if reason in _REASONS:
        return refusal(field, task.kind, reason)
    if reason == "status":
        return _error(
            field,
            task.kind,
            f"该地址返回状态码{outcome.status}",
            f"the address answers with status {outcome.status}",
        )
    if reason == "too_large":
        size = f"{task.bytes_max / MIB:g} MB"
        return _error(field, task.kind, f"大小不能超过{size}", f"it must not be larger than {size}")
    if reason == "dimensions":
        zh = f"{outcome.width}×{outcome.height}像素，不能超过{task.side_max}×{task.side_max}"
        en = f"{outcome.width}×{outcome.height} pixels are more than {task.side_max}×{task.side_max}"
        return _error(field, task.kind, zh, en)
    if reason == "too_long":
        return _error(
            field,
            task.kind,
            f"时长不能超过{task.seconds_max}秒",
            f"it must not be longer than {task.seconds_max} s",
        )
    formats = ", ".join(_FORMATS[each] for each in task.formats if each in _FORMATS) or _KNOWN[task.kind]
    return _error(field, task.kind, f"支持的格式：{formats}", f"supported are {formats}")


def _error(field: str, kind: Kind, zh: str, en: str) -> ApiError:
    heading_zh, heading_en = _HEADINGS[kind]
    return ApiError(
        "1210",
        field=field,
        detail_zh=f"{heading_zh}：{field} {zh}。",
        detail_en=f"{heading_en}: {field}: {en}.",
    )
