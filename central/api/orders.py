"""Routes about orders."""

import asyncio
import hashlib
from typing import Any, Final

import msgspec
from litestar import HttpMethod, Request, Response, get, post, route

from central.api import answers, asked, resources, sources
from central.api.asked import asked_of
from central.api.operation import Operation
from central.api.problems import ProblemError, problem_of
from central.api.replies import JSON, reply, single
from central.api.service import Here, Service, token_of
from central.past import acceptance
from shared.clock import to_ms
from shared.envelope import NUL, Event, decode_data, decode_event, make_event
from shared.errors import NotJsonError, PointsmanError, split_error
from shared.events import InputRejected, OrderAccepted, Payment
from shared.ids import order_id as order_id_of
from shared.limits import PAYLOAD_BYTES_MAX
from shared.moments import check_moments
from shared.topics import device_source, edge_of

KEY: Final = "Idempotency-Key"
BODY_S_MAX: Final = 10.0

KeySchema: Final[dict[str, Any]] = {
    "type": "string", "minLength": 8, "maxLength": 128, "pattern": "^[!-~]+$",
    "description": "Of this order, for ever: the same key and body again get the same answer.",
    "examples": ["shop-2026-01-05-000123"],
}  # fmt: skip

_payments: Final = msgspec.json.Decoder(Payment)

_LIST = Operation("listOrders", "orders", "read", {200: answers.OrderPage}, asked.Orders)
_ONE = Operation(
    "getOrder", "orders", "read", {200: answers.OrderDetail}, asked.OneOrder, (404,), single=True
)
_TIMELINE = Operation(
    "getTimeline", "orders", "read", {200: answers.Timeline}, asked.OneOrder, (404,), single=True
)
_WHY = Operation(
    "getWhy", "orders", "read", {200: answers.Why}, asked.OneOrder, (404,), single=True
)
_EVENTS = Operation("listEvents", "orders", "read", {200: answers.EntryPage}, asked.Entries, (404,))
_CONTACT = Operation(
    "getContact", "orders", "contact", {200: answers.OrderContact}, asked.OneOrder, (404,)
)
_PUT_IN = Operation(
    "putInOrder", "orders", "order", {201: answers.Accepted, 202: answers.Pending},
    problems=(408, 413, 415, 422, 429), body=Payment, headers={KEY: (True, KeySchema)},
)  # fmt: skip


# Litestar's own answer would name the methods of the first route of this path alone.
@route("/orders", http_method=[HttpMethod.OPTIONS], status_code=204)
async def tell_methods() -> Response[None]:
    """What may be done with orders."""
    return Response(None, status_code=204, headers={"Allow": "GET, OPTIONS, POST"})


@get("/orders", opt=_LIST.opt)
async def list_orders(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """List orders, the newest first.

    All filters apply at once. To follow what changes, `GET /v1/changes` is cheaper.
    """
    wanted = asked_of(request, asked.Orders)
    return reply(await service.readers.read(lambda db: resources.orders(db, wanted)))


@get("/orders/{order_id:str}", opt=_ONE.opt)
async def get_order(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """One order with its tasks, the lines that wait, and its exceptions."""
    of, now_ms = asked_of(request, asked.OneOrder), service.clock.now_ms()
    return single(
        request,
        await service.readers.read(lambda db: resources.order(db, of.order_id, now_ms)),
    )


@get("/orders/{order_id:str}/timeline", opt=_TIMELINE.opt)
async def get_timeline(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """What happened to an order, each step with who says so and what caused it."""
    of, inquiry = asked_of(request, asked.OneOrder), service.inquiry
    return single(
        request,
        await service.readers.read(lambda db: sources.timeline(db, inquiry, of.order_id)),
    )


@get("/orders/{order_id:str}/why", opt=_WHY.opt)
async def get_why(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """Where an order is stuck, since when and on whom, with the evidence; or what comes next."""
    of, inquiry = asked_of(request, asked.OneOrder), service.inquiry
    now_ms = service.clock.now_ms()
    return single(
        request,
        await service.readers.read(lambda db: sources.why(db, inquiry, of.order_id, now_ms)),
    )


@get("/orders/{order_id:str}/events", opt=_EVENTS.opt)
async def list_events(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """List the ledger's entries about an order, the oldest first.

    Customer and place are left out for roles that may not see contacts.
    """
    wanted, whole = asked_of(request, asked.Entries), token_of(request).may("contact")
    return reply(await service.readers.read(lambda db: resources.events(db, wanted, whole=whole)))


@get("/orders/{order_id:str}/contact", opt=_CONTACT.opt)
async def get_contact(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """Who receives an order. Central records the name of the token that has asked."""
    of = asked_of(request, asked.OneOrder)
    contact = await service.contacts(token_of(request).name, of.order_id)
    return reply(answers.OrderContact(order_id=of.order_id, contact=contact))


@post("/orders", opt=_PUT_IN.opt, request_max_body_size=PAYLOAD_BYTES_MAX)
async def put_in_order(request: Request[Any, Any, Any], service: Here) -> Response[bytes]:
    """Put an order in: a payment that has succeeded elsewhere.

    It goes to the edge of the data centre as any till's payment does. 201: the edge has taken it,
    and it is durable there. 202: the edge has not answered in time; the same request again asks for
    its answer. The contact is passed on and kept nowhere but in central's vault.
    """
    asked_of(request, asked.Nothing)
    key = _key_of(request)
    payment = await _payment_of(request)
    if service.till is None:
        raise ProblemError(
            503, "no_site", "no site that takes orders is configured", place="api.lan",
            expected="the section [api.lan] in central's configuration",
        )  # fmt: skip
    event = event_of(service.till.device, token_of(request).name, key, payment)
    order_id = order_id_of(event.source, event.id, to_ms(event.time))
    location = f"/v1/orders/{order_id}"
    answer = await service.till.ask(event, service.answer_s)
    if answer is None:
        pending = answers.Pending(order_id=order_id, look_at=location)
        return reply(pending, 202, {"Location": location})
    said, data = answer
    if isinstance(data, InputRejected):
        if data.code != "answer_pruned":
            raise _refusal_of(data)
        said, data = await _answer_of_old(service, order_id, data)
    taken = answers.Accepted(
        order_id=data.order_id, edge_id=edge_of(said.source), plan=data.plan, parked=data.parked
    )
    return reply(taken, 201, {"Location": location})


def event_of(device: str, name: str, key: str, payment: Payment) -> Event:
    """The event of a payment: its id is made of the token's name and the key.

    So two who use the same key by chance are two, and a new token of the old name is the old one.
    """
    digest = hashlib.sha256(f"{name}\0{key}".encode()).hexdigest()[:40]
    return make_event(
        payment, id=f"{device}-{digest}", source=device_source(device), time=payment.paid_at
    )


def _key_of(request: Request[Any, Any, Any]) -> str:
    given = request.headers.getall(KEY, [])
    key = given[0] if len(given) == 1 else ""
    least, most = KeySchema["minLength"], KeySchema["maxLength"]
    if not (least <= len(key) <= most and all("!" <= x <= "~" for x in key)):
        raise ProblemError(
            400, "invalid_parameter", "an order needs a key of its own, once", place=KEY,
            expected=f"{least} to {most} printable ASCII characters without spaces",
        )  # fmt: skip
    return key


async def _payment_of(request: Request[Any, Any, Any]) -> Payment:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != JSON:
        raise ProblemError(
            415, "wrong_content_type", f"{media_type[:100]!r} is not what an order comes in",
            place="Content-Type", expected=JSON,
        )  # fmt: skip
    try:
        async with asyncio.timeout(BODY_S_MAX):
            body = await request.body()
    except TimeoutError:
        raise ProblemError(
            408, "request_timeout", "the body does not come", place="body",
            expected=f"all of it within {BODY_S_MAX:g} s",
        ) from None  # fmt: skip
    if NUL in body:
        raise ProblemError(
            422, "invalid_data", "a string has the character U+0000", place="$",
            expected="text without it",
        )  # fmt: skip
    try:
        payment = _payments.decode(body)
        check_moments(payment, "$")
        return payment
    except msgspec.ValidationError as error:
        detail, place = split_error(error)
        raise ProblemError(
            422, "invalid_data", detail, place=place, expected="a Payment, as the document has it"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(
            400, NotJsonError.code, str(error), place="body", expected="one JSON object in UTF-8"
        ) from None


def _refusal_of(data: InputRejected) -> ProblemError:
    error = PointsmanError(data.detail, place=data.place, expected=data.expected)
    error.code = data.code  # type: ignore[misc]  # what the edge has said, word for word
    problem = problem_of(error)
    if data.retry_after_ms is not None:
        problem.headers["Retry-After"] = str(max(1, -(-data.retry_after_ms // 1_000)))
    return problem


async def _answer_of_old(
    service: Service, order_id: str, data: InputRejected
) -> tuple[Event, OrderAccepted]:
    """What the edge has answered long ago, from the ledger."""
    raw = await service.readers.read(lambda db: acceptance(db, order_id))
    if raw is None:
        raise _refusal_of(data)
    event = decode_event(raw)
    answer = decode_data(event)
    assert isinstance(answer, OrderAccepted), "asked for by its type"
    return event, answer


ROUTES: Final = (
    tell_methods, list_orders, get_order, get_timeline, get_why, list_events, get_contact,
    put_in_order,
)  # fmt: skip
