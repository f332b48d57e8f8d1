"""The Anthropic surface: `POST …/v1/messages`, its hot route, and models and `count_tokens` beside it (api.md §6).

Rule: one path for all keys (api.md §1). A key of the Coding Plan is served by the plan's rules, any other by the usual
ones, so there are two surfaces, and whoever authenticates chooses.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openbigmodel.api.access_log import ERROR_CODE, LOG_ID
from openbigmodel.api.callers import Callers
from openbigmodel.api.chat import BODY_LIMIT, ChatRoute
from openbigmodel.api.errors import JSON, method_not_allowed
from openbigmodel.auth.api_keys import Principal
from openbigmodel.auth.restrictions import ApiEndpoint
from openbigmodel.catalog import Model, display_name
from openbigmodel.edge import RequestHead, Sink, Unfinished
from openbigmodel.edge.body import body_too_large
from openbigmodel.engines.registry import Registry
from openbigmodel.errors import ApiError
from openbigmodel.inference.anthropic.count_tokens import count_tokens
from openbigmodel.inference.anthropic.dialect import AnthropicDialect
from openbigmodel.inference.anthropic.errors import anthropic_headers, error_status, render_error
from openbigmodel.inference.anthropic.fields import in_callers_words
from openbigmodel.inference.anthropic.read import ReplyWishes
from openbigmodel.inference.caller import Caller
from openbigmodel.inference.chat_request import Surface
from openbigmodel.inference.dialect import Asked
from openbigmodel.inference.model_route import find_route
from openbigmodel.inference.pipeline import Pipeline
from openbigmodel.inference.reading import Reading
from openbigmodel.limits import Limits, ModelLimits, Place
from openbigmodel.room import Room

ANTHROPIC = Surface(prefix="/api/anthropic", path="/v1/messages")
ANTHROPIC_PLAN = Surface(prefix="/api/anthropic", path="/v1/messages", coding=True)
MODELS = ANTHROPIC.prefix + "/v1/models"
COUNT_TOKENS = ANTHROPIC.prefix + ANTHROPIC.path + "/count_tokens"
# Says who has counted, because an estimate must not be taken for more.
COUNTED_BY = "x-bigmodel-counted-by"
# Of one account at the same time, where the model has no limit of its own: programs count before each question.
COUNTS_AT_ONCE = 8
# The status in the log of a request whose client left before it was answered.
CLIENT_LEFT = 499

_ALL_BUT_POST = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]
_MODELS_ENDPOINT = ApiEndpoint("models", coding_keys=True, api_key_header=True)
_CHAT_ENDPOINT = ApiEndpoint("chat", coding_keys=True, api_key_header=True)

Handler = Callable[["AnthropicApi", Request], Awaitable[Response]]


def anthropic_dialect(registry: Registry, surface: Surface) -> AnthropicDialect:
    """The dialect for one of the two surfaces."""

    def model_of(model_id: str) -> Model | None:
        route = registry.route(model_id)
        if route is not None and surface.coding and route.model.coding is not None:
            route = registry.route(route.model.coding) or route
        return None if route is None else route.model

    return AnthropicDialect(model_of, thinking_optional=surface.coding)


def _answered(handler: Handler) -> Handler:
    """Errors in Anthropic's shape, under the id that the log has."""

    @wraps(handler)
    async def answered(api: "AnthropicApi", request: Request) -> Response:
        log_id = request.scope[LOG_ID] = api.callers.log_id()
        try:
            response = await handler(api, request)
        except ApiError as error:
            return _refused(api.callers, request, error, log_id)
        except ClientDisconnect:
            # Nobody is left to read it; the log has it like every request whose client left.
            return Response(status_code=CLIENT_LEFT)
        except asyncio.CancelledError:
            # The platform stops and waits no longer: told as to a question that is cut then.
            return _refused(api.callers, request, ApiError("1234", error_id=log_id), log_id)
        except Exception as error:  # noqa: BLE001  as the edge does it for the hot routes
            context = {"message": "the Anthropic API failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
            return _refused(api.callers, request, ApiError("500"), log_id)
        response.headers["request-id"] = log_id
        return response

    return answered


def _refused(callers: Callers, request: Request, error: ApiError, log_id: str) -> Response:
    request.scope[ERROR_CODE] = error.code
    body = render_error(error, callers.language_of_request(request), log_id)
    response = Response(body, error_status(error), media_type=JSON)
    response.raw_headers += anthropic_headers(error, log_id)
    return response


class MessagesRoute(ChatRoute):
    """The hot route."""

    def __init__(self, registry: Registry, pipeline: Pipeline, callers: Callers) -> None:
        super().__init__(ANTHROPIC, pipeline, callers, anthropic_dialect(registry, ANTHROPIC))
        self._endpoint = _CHAT_ENDPOINT
        self._plan_dialect = anthropic_dialect(registry, ANTHROPIC_PLAN)

    def accept(self, head: RequestHead, sink: Sink) -> Caller | None:
        """See HotRoute."""
        caller = super().accept(head, sink)
        if caller is not None and caller.principal.kind == "coding":
            return msgspec.structs.replace(caller, surface=ANTHROPIC_PLAN, dialect=self._plan_dialect)
        return caller


class AnthropicApi:
    """What Anthropic's clients ask for besides messages."""

    def __init__(
        self,
        registry: Registry,
        callers: Callers,
        limits: Limits,
        reading: Reading,
        unfinished: Room,
        created_s: int,
    ) -> None:
        self._registry = registry
        self.callers = callers
        self._limits = limits
        self._reading = reading
        # For bodies that are not yet whole.
        self._unfinished = unfinished
        # By account, how many requests to count are here, and how many counts are under way.
        self._asked: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        # Unix seconds for models that the catalogue has no date for: when this server started.
        self._created_s = created_s
        self._dialects = {
            surface: anthropic_dialect(registry, surface) for surface in (ANTHROPIC, ANTHROPIC_PLAN)
        }

    def routes(self) -> list[BaseRoute]:
        """Its part of the table of endpoints."""
        return [
            Route(ANTHROPIC.prefix + ANTHROPIC.path, method_not_allowed, methods=_ALL_BUT_POST),
            Route(MODELS, self.list_models),
            Route(MODELS + "/{model_id}", self.show_model),
            Route(COUNT_TOKENS, self.count_tokens, methods=["POST"]),
        ]

    @_answered
    async def list_models(self, request: Request) -> Response:
        """All models that are listed, in one page; a key that is restricted to some sees those."""
        principal = self.callers.authenticate_request(request, _MODELS_ENDPOINT)
        data = [
            self._entry(model)
            for model in self._registry.models()
            if model.listed and principal.allows_model(model.id)
        ]
        ids = [entry["id"] for entry in data]
        return _json(
            {
                "data": data,
                # bigmodel.cn writes it this way (api.md §6), Anthropic's SDKs read it the other.
                "hasMore": False,
                "has_more": False,
                "first_id": ids[0] if ids else None,
                "last_id": ids[-1] if ids else None,
            }
        )

    @_answered
    async def show_model(self, request: Request) -> Response:
        """One model; 404 with 1211 when nobody serves it, 403 with 1220 when this key may not use it."""
        principal = self.callers.authenticate_request(request, _MODELS_ENDPOINT)
        route = self._registry.route(request.path_params["model_id"])
        if route is None:
            raise ApiError("1211", status=404)
        principal.check_model(route.model.id)
        return _json(self._entry(route.model))

    def _entry(self, model: Model) -> dict[str, Any]:
        created = time.gmtime(model.created or self._created_s)
        return {
            "type": "model",
            "id": model.id,
            "display_name": display_name(model.id),
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", created),
            "lifecycle": "active",
            "max_input_tokens": model.context_tokens,
            "max_tokens": model.max_tokens,
        }

    @_answered
    async def count_tokens(self, request: Request) -> Response:
        """The tokens of a prompt, by the engine's own tokenizer where it has one."""
        callers = self.callers
        principal = callers.authenticate_request(request, _CHAT_ENDPOINT)
        with self._turn(principal):
            return await self._count(request, principal)

    async def _count(self, request: Request, principal: Principal) -> Response:
        callers, surface = self.callers, surface_for(principal)
        body = await self._body_of(request, principal.account_id)
        callers.look_for_keys(body, "body")
        self._reading.take(principal, body)
        asked = self._dialects[surface].read_to_count(body)
        caller = Caller(principal, surface, COUNT_TOKENS, callers.language_of_request(request))
        route = find_route(self._registry, caller, asked.request.model)
        try:
            with self._place(principal, route.model):
                count, counted_by = await count_tokens(asked, route, surface)
        except ApiError as error:
            raise _in_callers_words(error, asked) from None
        response = _json({"input_tokens": count})
        response.headers[COUNTED_BY] = counted_by
        return response

    @contextmanager
    def _turn(self, principal: Principal) -> Iterator[None]:
        """Before a byte of the body is read, and so before the model is known: no more than any model allows.

        Raises ApiError 1302.
        """
        account_id = principal.account_id
        if not principal.exempt:
            of_models = (model.limits_for(principal.tier).in_flight for model in self._registry.models())
            _check_at_once(self._asked, account_id, max(COUNTS_AT_ONCE, *of_models))
        with _counted(self._asked, account_id):
            yield

    async def _body_of(self, request: Request, account_id: str) -> bytes:
        """The body. Raises ApiError 1210 with 413 when it is too long, 1305 when there is no room for its beginning."""
        if int(request.headers.get("content-length", "0")) > BODY_LIMIT:
            raise body_too_large(BODY_LIMIT)
        body, size = Unfinished(self._unfinished.share(account_id)), 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                if size > BODY_LIMIT:
                    raise body_too_large(BODY_LIMIT)
                body.keep(chunk)
            return body.whole(b"")
        finally:
            body.leave()

    @contextmanager
    def _place(self, principal: Principal, model: Model) -> Iterator[None]:
        """A place for one count among the account's requests; it uses no tokens and none of the day's requests.

        Raises ApiError 1302, 1303 or 1305. What is refused within counts as if it had never come.
        """
        account_id, limits = principal.account_id, None
        if not principal.exempt:
            limits = model.limits_for(principal.tier)
            if not limits.in_flight:
                _check_at_once(self._counts, account_id, COUNTS_AT_ONCE)
            limits = ModelLimits(in_flight=limits.in_flight, rpm=limits.rpm)
        place = self._limits.enter(account_id, model.id, limits)
        give_back: Callable[[Place | None], None] = self._limits.leave
        try:
            with _counted(self._counts, account_id):
                yield
        except ApiError:
            give_back = self._limits.take_back
            raise
        finally:
            give_back(place)


def surface_for(principal: Principal) -> Surface:
    """By whose rules a key is served."""
    return ANTHROPIC_PLAN if principal.kind == "coding" else ANTHROPIC


def _in_callers_words(error: ApiError, asked: Asked) -> ApiError:
    wishes = asked.extra
    assert isinstance(wishes, ReplyWishes)
    return in_callers_words(error, wishes.origins)


def _check_at_once(counts: Mapping[str, int], account_id: str, most: int) -> None:
    if counts.get(account_id, 0) >= most:
        raise ApiError(
            "1302",
            retry_after_s=1,
            detail_zh=f"限额：{most}个并发计数请求。",
            detail_en=f"Limit: {most} counts at once.",
        )


@contextmanager
def _counted(counts: dict[str, int], account_id: str) -> Iterator[None]:
    counts[account_id] = counts.get(account_id, 0) + 1
    try:
        yield
    finally:
        counts[account_id] -= 1
        if not counts[account_id]:
            del counts[account_id]


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type=JSON)
