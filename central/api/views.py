"""Routes about everything besides single orders."""

from typing import Any, Final

from litestar import Request, Response, get
from litestar.response import Stream

from central.api import answers, asked, resources, sources
from central.api.asked import asked_of, given
from central.api.changes import Wanted
from central.api.operation import Operation
from central.api.problems import ProblemError
from central.api.replies import reply, single
from central.api.service import Here, token_of
from shared.limits import SEQUENCE_MAX

LAST_ID: Final = "Last-Event-ID"
_LAST_ID_SCHEMA: Final[dict[str, Any]] = {
    "type": "string", "pattern": "^[0-9]{1,15}$", "examples": ["41"],
    "description": "The last position that was received; it goes before `after`.",
}  # fmt: skip
EVENT_STREAM: Final = "text/event-stream"

_TASKS = Operation("listTasks", "tasks", "read", {200: answers.TaskPage}, asked.Tasks)
_EXCEPTIONS = Operation(
    "listExceptions", "exceptions", "read", {200: answers.ExceptionPage}, asked.Exceptions
)
_EDGES = Operation("listEdges", "edges", "read", {200: answers.EdgePage}, asked.Page)
_STOCK = Operation("listStock", "stock", "read", {200: answers.StockPage}, asked.Stocks)
_CELL = Operation(
    "getStock", "stock", "read", {200: answers.StockDetail}, asked.OneCell, (404,), single=True
)
_AGREEMENT = Operation(
    "getAgreement", "agreement", "read", {200: answers.AgreementList}, asked.Systems, single=True
)
_DIFFERENCES = Operation(
    "listDifferences", "agreement", "read", {200: answers.DifferencePage}, asked.Differences
)
_DEVICES = Operation("listDevices", "devices", "read", {200: answers.DevicePage}, asked.Devices)
_LEDGER = Operation("getLedgerState", "ledger", "read", {200: answers.LedgerState}, single=True)
_CHANGES = Operation(
    "followChanges", "ledger", "read", {200: str}, asked.Changes, (410,),
    headers={LAST_ID: (False, _LAST_ID_SCHEMA)}, media_type=EVENT_STREAM,
)  # fmt: skip


@get("/tasks", opt=_TASKS.opt)
async def list_tasks(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """List pick tasks, those of the newest orders first.

    `late=true`: only those that are promised by now and still at their node.
    """
    wanted, now_ms = asked_of(request, asked.Tasks), service.clock.now_ms()
    return reply(await service.readers.read(lambda db: resources.tasks(db, wanted, now_ms)))


@get("/exceptions", opt=_EXCEPTIONS.opt)
async def list_exceptions(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """List what should not be and someone has to see, the newest first."""
    wanted = asked_of(request, asked.Exceptions)
    return reply(await service.readers.read(lambda db: resources.exceptions(db, wanted)))


@get("/edges", opt=_EDGES.opt)
async def list_edges(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """List the edges: where their streams stand, and when each was heard."""
    wanted = asked_of(request, asked.Page)
    return reply(await service.readers.read(lambda db: resources.edges(db, wanted)))


@get("/stock", opt=_STOCK.opt)
async def list_stock(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """List stock by node and SKU, with what each edge may promise of it."""
    wanted = asked_of(request, asked.Stocks)
    return reply(await service.readers.read(lambda db: resources.stock(db, wanted)))


@get("/stock/{node_id:str}/{sku:str}", opt=_CELL.opt)
async def get_stock(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """The stock of one SKU at one node, and what is on its way there."""
    of = asked_of(request, asked.OneCell)
    return single(
        request,
        await service.readers.read(lambda db: resources.cell(db, of.node_id, of.sku)),
    )


@get("/agreement", opt=_AGREEMENT.opt)
async def get_agreement(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """How far what other systems say about orders agrees with the ledger."""
    wanted, systems = asked_of(request, asked.Systems), service.systems
    return single(
        request, await service.readers.read(lambda db: sources.agreement(db, systems, wanted))
    )


@get("/agreement/differences", opt=_DIFFERENCES.opt)
async def list_differences(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """List the orders of which systems believe something else, and since when."""
    wanted, systems = asked_of(request, asked.Differences), service.systems
    return reply(await service.readers.read(lambda db: sources.differences(db, systems, wanted)))


@get("/devices", opt=_DEVICES.opt)
async def list_devices(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """List the devices at the edges' sites: which are there or lost, and their faults."""
    wanted = asked_of(request, asked.Devices)
    return reply(await service.readers.read(lambda db: sources.devices(db, wanted)))


@get("/ledger/verify-state", opt=_LEDGER.opt)
async def get_ledger_state(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """How far the ledger is covered by signed checkpoints."""
    asked_of(request, asked.Nothing)
    return single(request, await service.readers.read(resources.ledger_state))


@get("/changes", opt=_CHANGES.opt)
async def follow_changes(request: Request[Any, Any, Any], service: Here) -> Stream:
    """Follow the ledger as server-sent events, without end.

    Each has its position as `id`, its type as `event`, and an Entry as `data`. A client that was
    cut off goes on by sending the last id as `Last-Event-ID`, as browsers do by themselves.
    """
    wanted = asked_of(request, asked.Changes)
    after = _last_id(request)
    after = await service.changes.begin(given(wanted.after) if after is None else after)
    whole = token_of(request).may("contact")
    of = Wanted(given(wanted.type), given(wanted.order_id), whole)
    return Stream(
        service.changes.follow(after, of), media_type=EVENT_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )  # fmt: skip


def _last_id(request: Request[Any, Any, Any]) -> int | None:
    text = request.headers.get(LAST_ID)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < len(str(SEQUENCE_MAX))):
        raise ProblemError(
            400, "invalid_parameter", "this is no position", place=LAST_ID,
            expected="the `id` of the last event that was received",
        )  # fmt: skip
    return int(text)


ROUTES: Final = (
    list_tasks, list_exceptions, list_edges, list_stock, get_stock, get_agreement,
    list_differences, list_devices, get_ledger_state, follow_changes,
)  # fmt: skip
