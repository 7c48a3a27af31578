"""Refusals over HTTP: problem details as RFC 9457 has them, with our code, place and lesson."""

import traceback
from http import HTTPStatus
from typing import Annotated, Any, ClassVar, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import Meta, Struct

from shared.errors import PointsmanError

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:pointsman:problem:"
REQUEST_ID: Final = "pointsman.request_id"
"""Where the scope of a request has its id."""

_log = structlog.get_logger("central.api")

_STATUS: Final = {
    "payload_too_large": 413,
    "no_contact": 404,
    "overloaded": 429,
    "outbox_full": 503,
    "storage_failed": 503,
    "no_network": 503,
    "stale_store": 503,
    "link": 503,
    "config": 503,
}
"""Errors of ours that are not the fault of what was asked."""

_RETRY_S: Final = {429: 1, 503: 5}

_OF_STATUS: Final = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "payload_too_large",
    500: "internal",
}


class Problem(Struct, frozen=True, kw_only=True):
    """Why a request was refused. `code` is stable; the texts are for people."""

    type: Annotated[str, Meta(description="URN of the code.")]
    title: Annotated[str, Meta(description="What the status means.")]
    status: Annotated[int, Meta(ge=400, le=599)]
    code: Annotated[str, Meta(pattern="^[a-z_]+$")]
    detail: Annotated[str, Meta(description="What is wrong.")]
    place: Annotated[str, Meta(description="Parameter, header, or JSON path in the body.")]
    expected: Annotated[str, Meta(description="What would have been right, what to do.")]
    request_id: Annotated[str, Meta(description="Of this request, as the log has it.")]


class ProblemError(PointsmanError):
    """A refusal that knows its status.

    Args:
        status: of HTTP.
        code: stable, for programs.
        detail: what is wrong.
        place: where.
        expected: what would have been right.
        headers: to be sent with it.
    """

    code: ClassVar[str] = "problem"

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        place: str = "$",
        expected: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """See the class."""
        super().__init__(detail, place=place, expected=expected)
        self.status = status
        self.code = code  # type: ignore[misc]  # one class for all of them
        self.headers = headers or {}


def not_found(what: str, place: str) -> ProblemError:
    """There is no such thing."""
    return ProblemError(404, "not_found", f"there is no {what}", place=place)


def problem_of(error: PointsmanError) -> ProblemError:
    """An error of ours as what it means to who has asked."""
    if isinstance(error, ProblemError):
        return error
    status = _STATUS.get(error.code, 422)
    return ProblemError(
        status, error.code, error.detail, place=error.place, expected=error.expected
    )


def response_of(request: Request[Any, Any, Any], error: ProblemError) -> Response[bytes]:
    """The answer that carries a refusal."""
    headers = dict(error.headers)
    if error.status in _RETRY_S:
        headers.setdefault("Retry-After", str(_RETRY_S[error.status]))
    body = Problem(
        type=TYPE_PREFIX + error.code,
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        code=error.code,
        detail=error.detail,
        place=error.place,
        expected=error.expected,
        request_id=str(request.scope.get(REQUEST_ID, "")),
    )
    headers["Cache-Control"] = "no-store"
    return Response(
        msgspec.json.encode(body), status_code=error.status, media_type=MEDIA_TYPE, headers=headers
    )


def _ours(request: Request[Any, Any, Any], error: PointsmanError) -> Response[bytes]:
    return response_of(request, problem_of(error))


def _framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    status = error.status_code
    if status >= 500:
        return _unexpected(request, error)
    headers = {name.title(): value for name, value in (error.headers or {}).items()}
    code = _OF_STATUS.get(status, "bad_request")
    return response_of(
        request, ProblemError(status, code, error.detail[:1024], place="request", headers=headers)
    )


def _unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    # As text: a traceback with its variables would show what was in the request.
    _log.error(
        "internal_error", request_id=request.scope.get(REQUEST_ID, ""),
        traceback="".join(traceback.format_exception(error)),
    )  # fmt: skip
    return response_of(
        request,
        ProblemError(500, "internal", "a fault of ours; the log has it under this request_id"),
    )


HANDLERS: Final[dict[Any, Any]] = {
    PointsmanError: _ours,
    HTTPException: _framework,
    Exception: _unexpected,
}
"""For the app: which refusal each error is."""
