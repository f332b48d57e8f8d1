"""Stored responses: `GET …/responses/{id}`, `GET …/{id}/input_items`, `DELETE …/{id}` (api.md §5).

`POST …/responses` is a hot route with the Responses dialect. Errors are in its words here, too.
"""

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from openbigmodel.api.access_log import ERROR_CODE
from openbigmodel.api.callers import Callers
from openbigmodel.api.errors import JSON
from openbigmodel.auth.restrictions import ApiEndpoint
from openbigmodel.db.connection import DatabaseError
from openbigmodel.errors import ApiError, error_headers
from openbigmodel.inference.chat_request import Surface
from openbigmodel.inference.responses.errors import render
from openbigmodel.inference.responses.input_items import LIMIT, LIMIT_MAX, Order, list_input_items
from openbigmodel.inference.responses.store import ResponseStore, StoredResponse

# Where clients look for it: bigmodel.cn's base, and the base that OpenAI's clients are given for chat.
RESPONSES = (Surface(prefix="/api/v1", path="/responses"), Surface(prefix="/v1", path="/responses"))

# Who may ask for answers may have them again.
_ENDPOINT = ApiEndpoint("chat")
_ENCODE = msgspec.json.Encoder(order="sorted").encode
_Answer = Callable[[Request, str], Awaitable[bytes]]


class ResponsesApi:
    """What is stored of an account's responses, for its callers."""

    def __init__(self, store: ResponseStore, callers: Callers) -> None:
        self._store = store
        self._callers = callers

    async def show(self, request: Request) -> Response:
        """One response, as it was answered."""
        return await self._answer(request, self._show)

    async def list_input_items(self, request: Request) -> Response:
        """What a response was asked with."""
        return await self._answer(request, self._list_input_items)

    async def delete(self, request: Request) -> Response:
        """Forget a response."""
        return await self._answer(request, self._delete)

    async def _answer(self, request: Request, answer: _Answer) -> Response:
        callers = self._callers
        try:
            principal = callers.authenticate_request(request, _ENDPOINT)
            try:
                return Response(await answer(request, principal.account_id), media_type=JSON)
            except DatabaseError as error:
                raise ApiError("500") from error
        except ApiError as error:
            request.scope[ERROR_CODE] = error.code
            headers = {name.decode(): value.decode() for name, value in error_headers(error)}
            body = render(error, callers.language_of_request(request))
            return Response(body, error.status, headers, media_type=JSON)

    async def _show(self, request: Request, account_id: str) -> bytes:
        return self._find(request, account_id).response

    async def _list_input_items(self, request: Request, account_id: str) -> bytes:
        stored = self._find(request, account_id)
        query = request.query_params
        order, limit = query.get("order", "desc"), query.get("limit", str(LIMIT))
        if order not in {"asc", "desc"}:
            raise ApiError(
                "1214", field="order", detail_zh="取值范围 asc、desc。", detail_en="One of asc, desc."
            )
        # More digits than that are no number either.
        if not limit.isascii() or not limit.isdigit() or len(limit) > 9 or not 1 <= int(limit) <= LIMIT_MAX:
            raise ApiError(
                "1214",
                field="limit",
                detail_zh=f"取值范围[1,{LIMIT_MAX}]。",
                detail_en=f"Range [1,{LIMIT_MAX}].",
            )
        direction: Order = "asc" if order == "asc" else "desc"
        page = list_input_items(stored, order=direction, after=query.get("after", ""), limit=int(limit))
        return _ENCODE(page)

    async def _delete(self, request: Request, account_id: str) -> bytes:
        response_id = request.path_params["response_id"]
        if not await self._store.delete(account_id, response_id):
            raise _unknown(response_id)
        return _ENCODE({"id": response_id, "object": "response", "deleted": True})

    def _find(self, request: Request, account_id: str) -> StoredResponse:
        response_id = request.path_params["response_id"]
        stored = self._store.find(account_id, response_id)
        if stored is None:
            raise _unknown(response_id)
        return stored


def _unknown(response_id: str) -> ApiError:
    return ApiError(
        "1214",
        status=404,
        field="response_id",
        detail_zh=f"响应 {response_id} 不存在或已过期。",
        detail_en=f"Response {response_id} does not exist, or is not kept any more.",
    )
