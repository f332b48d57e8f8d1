"""All media of one request, turned into what any OpenAI-compatible engine can read: bytes and text, never URLs.

    image_url, video_url   a data URL, with the media type that the bytes show
    input_audio            base64 and its format
    file, file_url         a text part that names the file

Rule: the caller's messages are not changed; what is the same is fetched once, but counts as often as it stands there,
since an engine is sent it as often; the first part that cannot be used ends
all others. `done` is called on the event loop, once, never before `prepare` has returned, and not after `cancel`. What
was made of a request's media takes room until `leave`, since a line with a URL can stand for a hundred megabytes.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from html import escape

import msgspec

from openbigmodel.catalog import Model
from openbigmodel.errors import ApiError
from openbigmodel.media.fetcher import Fetcher, FetcherUnavailable
from openbigmodel.media.parts import MediaPart, bytes_max, check_parts
from openbigmodel.media.refusals import MIB, refusal, refusal_of
from openbigmodel.media.task import FetchPolicy, Outcome, Task
from openbigmodel.media.urls import UrlRefused, read_url
from openbigmodel.room import Room, Share
from openbigmodel.schemas.chat import AudioPart, ContentPart, MediaUrl, Message
from openbigmodel.settings import MediaSettings

Done = Callable[[list[Message] | ApiError], None]

# Requests whose media are being prepared at once, shared between accounts as in Room: an account alone gets a third.
# One more is told to come again.
PREPARING_MAX = 768
# Parts of one request that are worked on at once, so that a request with fifty images leaves room for others.
_AT_ONCE = 4
# Bytes that all media of one request may come to.
REQUEST_BYTES_MAX = 4 * 64 * MIB
# What was fetched stands in the messages, which the next engine is asked with if this one fails, and in its own
# request.
_COPIES = 2
_NO_ROOM_RETRY_AFTER_S = 2
_PIXELS_MAX = 50_000_000
_CPU_S = {"image": 5, "audio": 5, "video": 5, "file": 20}
_MEMORY_BYTES = 512 * MIB
# A token of these models stands for 28 by 28 pixels; other families take fewer, but seldom less than the floor.
_TOKEN_SIDE_PIXELS = 28
_IMAGE_TOKENS_MIN = 4096
# Frames of videos are sampled, at most so many tokens of them all; a token is never less than a byte of text.
_VIDEO_TOKENS = 65_536
_AUDIO_TOKENS_PER_BYTE = 12.5 / 2000
_NAME = "file"


class Media:
    """Prepares requests, with one worker for all of them. `room` is for what was made of their media."""

    def __init__(self, settings: MediaSettings, fetcher: Fetcher) -> None:
        self._settings = settings
        self._fetcher = fetcher
        self.room = Room(settings.held_mb * MIB)
        # For requests, not for bytes.
        self._places = Room(PREPARING_MAX)
        self._policy = FetchPolicy(
            ports=settings.ports,
            allowed_hosts=tuple(host.lower() for host in settings.allowed_hosts),
            allow_private=tuple(str(network) for network in settings.allow_private),
            timeout_s=float(settings.fetch_s),
        )
        self._preparing: set[asyncio.Task[None]] = set()

    def prepare(self, messages: list[Message], model: Model, done: Done, owner: str) -> "Preparation":
        """Begin. `done` gets new messages, or ApiError 1210, 1213 or 1214 with the part; 1305 or 1234 are ours.

        `owner` is the account whose share of the room, of the places and of the worker's turns it is.
        """
        preparation = Preparation(self.room.share(owner), owner)
        place = self._places.share(owner)
        crowded = not place.take(1)
        task = asyncio.ensure_future(self._prepare(preparation, messages, model, done, crowded=crowded))
        preparation.task = task
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)
        task.add_done_callback(lambda _: place.leave())
        task.add_done_callback(preparation.forget)
        return preparation

    async def close(self) -> None:
        """Cancel what is under way and end the worker."""
        for task in list(self._preparing):
            task.cancel()
        await self._fetcher.close()

    async def _prepare(
        self,
        preparation: "Preparation",
        messages: list[Message],
        model: Model,
        done: Done,
        *,
        crowded: bool,
    ) -> None:
        try:
            if crowded:
                preparation.detail = "too many requests of the account have media under way"
                raise ApiError("1305", retry_after_s=_NO_ROOM_RETRY_AFTER_S)
            result: list[Message] | ApiError = await self._turn(preparation, messages, model)
        except Exception as error:  # noqa: BLE001  the task's edge: a mistake of ours must not leave a request waiting
            # Its traceback leads to all that was made by then, and back to itself.
            result = _told(error.with_traceback(None), preparation)
            preparation.leave()
        done(result)

    async def _turn(self, preparation: "Preparation", messages: list[Message], model: Model) -> list[Message]:
        parts = check_parts(messages, model)
        jobs: dict[tuple[str, ...] | int, asyncio.Task[_Turned]] = {}
        request = _Request(self, preparation, model)
        try:
            for number, part in enumerate(parts):
                key = _identity(number, part)
                if key not in jobs:
                    jobs[key] = asyncio.ensure_future(request.turn(part))
            if jobs:
                await asyncio.wait(jobs.values(), return_when=asyncio.FIRST_EXCEPTION)
            failed = [key for key, job in jobs.items() if job.done() and job.exception() is not None]
            if failed:
                jobs[failed[0]].result()
            turned = {
                (part.message, part.position): jobs[_identity(number, part)].result()
                for number, part in enumerate(parts)
            }
        finally:
            await _end(jobs)
        preparation.prompt_tokens = request.count(parts, turned)
        return _with_parts(messages, turned)

    async def run(
        self, part: MediaPart, model: Model, expect: Callable[[Task, int], None], owner: str
    ) -> tuple[Task, Outcome, bytes]:
        """Have the worker look at one part. `expect` is asked before what it makes of it is read."""
        host = ""
        if part.form == "url":
            if not self._settings.allow_urls:
                raise refusal(part.field, part.kind, "urls_off")
            try:
                host = read_url(part.text).host
            except UrlRefused as error:
                raise refusal(part.field, part.kind, "unreachable") from error
        if part.form == "base64" and not part.text.isascii():
            raise refusal(part.field, part.kind, "encoding")
        limit = bytes_max(part.kind, model, self._settings.max_mb)
        task = Task(
            kind=part.kind,
            form=part.form,
            size=len(part.text) if part.form == "base64" else len(part.text.encode()),
            bytes_max=limit,
            name=part.name,
            formats=model.media.image_formats if part.kind == "image" else (),
            side_max=model.media.image_side,
            pixels_max=_PIXELS_MAX,
            seconds_max=model.media.video_seconds,
            cpu_s=_CPU_S[part.kind],
            memory_bytes=_MEMORY_BYTES + 4 * limit,
            policy=self._policy,
        )
        # A third more, and room for line ends.
        if part.form == "base64" and len(part.text) > limit * 3 // 2 + 1024:
            raise refusal_of(part.field, task, Outcome(refusal="too_large"))
        outcome, data = await self._fetcher.run(task, part.text, host, partial(expect, task), owner)
        return task, outcome, data


class Preparation:
    """One request's media under way. `prompt_tokens`, once done: the most that they add to the prompt."""

    def __init__(self, share: Share, owner: str) -> None:
        self.share = share
        self.owner = owner
        self.task: asyncio.Task[None] | None = None
        self.prompt_tokens = 0
        self.detail = ""
        """Why a part was refused, for the operator's log; never for the caller."""

    def cancel(self) -> None:
        """Stop; `done` is not called any more. Ends what is being fetched."""
        self.leave()
        if self.task is not None:
            self.task.cancel()

    def forget(self, task: asyncio.Task[None]) -> None:
        """The task has ended; one that was cancelled leads to all that was made by then, and back here."""
        self.task = None

    def leave(self) -> None:
        """What was prepared is not needed any more. A second time does nothing."""
        self.share.leave()


class _Turned(msgspec.Struct, frozen=True, gc=False):
    """A part as an engine takes it, its size in bytes, and the most tokens that it takes in a prompt.

    `made`: how many of the bytes are not the caller's own.
    """

    part: ContentPart
    task: Task
    size: int
    made: int
    tokens: int


class _Request:
    """What the parts of one request share: turns, and a bound on all the bytes that are held meanwhile."""

    def __init__(self, media: Media, preparation: Preparation, model: Model) -> None:
        self._media = media
        self._preparation = preparation
        self._model = model
        self._turns = asyncio.Semaphore(_AT_ONCE)
        # More than that would be refused for want of room even if nobody else were here.
        self._bytes_max = min(REQUEST_BYTES_MAX, media.room.most_for_one // _COPIES)
        self._bytes_left = self._bytes_max

    async def turn(self, part: MediaPart) -> _Turned:
        """The part as an engine takes it. Raises ApiError or FetcherUnavailable."""
        async with self._turns:
            expect = partial(self._expect, part)
            task, outcome, data = await self._media.run(part, self._model, expect, self._preparation.owner)
        if outcome.refusal:
            self._preparation.detail = f"{part.field}: {outcome.refusal} {outcome.detail}".strip()
            raise refusal_of(part.field, task, outcome)
        size = len(data)
        if outcome.kept:
            size = task.size
            self._take(part, task, size)
        tokens = _tokens(part, outcome, data)
        return _Turned(_engine_part(part, outcome, data), task, size, len(data), tokens)

    def _expect(self, part: MediaPart, task: Task, size: int) -> None:
        """So many bytes come. Raises ApiError: nothing is read for which there is no room."""
        self._take(part, task, size)
        self._hold(size)

    def _take(self, part: MediaPart, task: Task, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise refusal_of(part.field, task, Outcome(refusal="too_large"))

    def _hold(self, size: int) -> None:
        if not self._preparation.share.take(size):
            self._preparation.detail = "no room for media, see held_mb in [media]"
            raise ApiError("1305", retry_after_s=_NO_ROOM_RETRY_AFTER_S)

    def count(self, parts: list[MediaPart], turned: Mapping[tuple[int, int], _Turned]) -> int:
        """The tokens of all parts that stand in the messages.

        Raises ApiError 1210 for the first that is too much, 1305 when there is no room for what the engine is sent.
        """
        size = tokens = made = 0
        for part in parts:
            one = turned[part.message, part.position]
            size += one.size
            if size > self._bytes_max:
                raise refusal_of(part.field, one.task, Outcome(refusal="too_large"))
            tokens += one.tokens
            made += one.made
        self._hold(made)
        return tokens


def _told(error: Exception, preparation: Preparation) -> ApiError:
    """What the caller is told of it."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, FetcherUnavailable):
        preparation.detail = str(error)
        return ApiError("1305")
    preparation.detail = repr(error)
    return ApiError("500")


async def _end(jobs: dict[tuple[str, ...] | int, asyncio.Task[_Turned]]) -> None:
    """Nothing is left in the dict: what a job has raised leads back to whoever started it, and so to the job."""
    under_way = [*jobs.values()]
    jobs.clear()
    for job in under_way:
        job.cancel()
    if under_way:
        await asyncio.wait(under_way)


def _identity(number: int, part: MediaPart) -> tuple[str, ...] | int:
    """The same for what has to be fetched once. Megabytes of base64 are not compared: nothing is fetched for them."""
    return (part.kind, part.text, part.name) if part.form == "url" else number


def _engine_part(part: MediaPart, outcome: Outcome, data: bytes) -> ContentPart:
    if part.kind == "file":
        name = part.name or _name_in(part)
        return ContentPart(
            "text", f'<file name="{escape(name)}">\n{data.decode("utf-8", "replace")}\n</file>'
        )
    encoded = part.text if outcome.kept else data.decode("ascii")
    if part.kind == "audio":
        sound = AudioPart(encoded, "wav" if outcome.media_type == "audio/wav" else "mp3")
        return ContentPart("input_audio", input_audio=sound)
    url = MediaUrl(f"data:{outcome.media_type};base64,{encoded}")
    if part.kind == "video":
        return ContentPart("video_url", video_url=url)
    return ContentPart("image_url", image_url=url)


def _name_in(part: MediaPart) -> str:
    if part.form != "url":
        return _NAME
    return read_url(part.text).target.partition("?")[0].rpartition("/")[2][:255] or _NAME


def _tokens(part: MediaPart, outcome: Outcome, data: bytes) -> int:
    """The most tokens that the part takes in a prompt."""
    if part.kind == "file":
        return len(data) + 64
    if part.kind == "video":
        return _VIDEO_TOKENS
    if part.kind == "audio":
        return int((len(part.text) if outcome.kept else len(data)) * 0.75 * _AUDIO_TOKENS_PER_BYTE) + 64
    columns = -(-outcome.width // _TOKEN_SIDE_PIXELS) + 1
    rows = -(-outcome.height // _TOKEN_SIDE_PIXELS) + 1
    return max(_IMAGE_TOKENS_MIN, columns * rows)


def _with_parts(messages: list[Message], turned: Mapping[tuple[int, int], _Turned]) -> list[Message]:
    """New messages, in which these parts stand for the caller's."""
    result = []
    for index, message in enumerate(messages):
        content = message.content
        if content is not None and not isinstance(content, str):
            parts = [
                turned[index, position].part if (index, position) in turned else part
                for position, part in enumerate(content)
            ]
            message = msgspec.structs.replace(message, content=parts)  # noqa: PLW2901
        result.append(message)
    return result
