"""Routes without a token: whether the process lives and serves, and the OpenAPI document."""

from typing import Any, Final

from litestar import Request, Response, get

from central.api import answers, asked
from central.api.asked import asked_of
from central.api.contract import DOCUMENT
from central.api.operation import Operation
from central.api.replies import JSON, reply
from central.api.service import Here
from central.ledger import last_position

_LIVE = Operation("getLive", "health", None, {200: answers.Health})
_READY = Operation("getReady", "health", None, {200: answers.Health})
_DOCUMENT = Operation("getOpenApi", "health", None, {200: dict[str, Any]})


@get("/health/live", opt=_LIVE.opt)
async def get_live(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """Whether the process lives; it looks at nothing else."""
    asked_of(request, asked.Nothing)
    return reply(_health(service))


@get("/health/ready", opt=_READY.opt)
async def get_ready(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """Whether the database can be read; 503 if not."""
    asked_of(request, asked.Nothing)
    await service.readers.read(last_position)
    return reply(_health(service))


@get("/v1/openapi.json", opt=_DOCUMENT.opt)
async def get_document(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Give this document."""
    asked_of(request, asked.Nothing)
    return Response(DOCUMENT.read_bytes(), media_type=JSON)


def _health(service: Here) -> answers.Health:
    till = service.till
    state = "off" if till is None else "open" if till.connected else "away"
    return answers.Health(status="ok", orders=state)  # type: ignore[arg-type]


ROUTES: Final = (get_live, get_ready, get_document)
