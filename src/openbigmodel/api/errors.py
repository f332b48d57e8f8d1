"""Errors as responses, for both doors: the hot route's sink in its dialect, and ASGI in GLM's."""

from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from openbigmodel.api.surfaces import path_in_error
from openbigmodel.edge import Sink
from openbigmodel.errors import ApiError, Language, error_headers, render_error
from openbigmodel.inference.dialect import Dialect

JSON = "application/json; charset=UTF-8"
_CONTENT_TYPE_LINE = f"content-type: {JSON}\r\n".encode()


def respond_error(sink: Sink, error: ApiError, language: Language, log_id: str, dialect: Dialect) -> None:
    """Answer a hot request with an error that the log has under `log_id`."""
    status, lines, body = dialect.error(error, language, log_id)
    sink.respond(status, b"%bx-log-id: %b\r\n%b" % (_CONTENT_TYPE_LINE, log_id.encode(), lines), body)


def error_response(error: ApiError, language: Language) -> Response:
    """The same as an ASGI response."""
    headers = {name.decode(): value.decode() for name, value in error_headers(error)}
    return Response(render_error(error, language), error.status, headers, media_type=JSON)


async def method_not_allowed(request: Request) -> Response:
    """For a path that takes POST alone."""
    raise HTTPException(405, headers={"allow": "POST"})


def not_found(request: Request, error: HTTPException) -> Response:
    """An unknown path or method, in the shape of bigmodel.cn's gateway (api.md §1), which is not GLM's."""
    body = {
        "status": error.status_code,
        "error": HTTPStatus(error.status_code).phrase,
        "path": path_in_error(request.url.path),
    }
    return Response(msgspec.json.encode(body), error.status_code, error.headers, media_type=JSON)
