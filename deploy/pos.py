"""A till in the terminal: pay, ask, watch."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import aiomqtt
from rich.console import Console
from rich.table import Table

from deploy.plain import plain
from shared.envelope import decode_data, decode_event, encode_event, make_event
from shared.errors import PointsmanError
from shared.events import Data, InputRejected, OrderAccepted, Payment, RoutePlanned, RouteRequested
from shared.mqtt import NO_DELAY, QOS
from shared.parts import (
    Destination,
    Fulfilment,
    FulfilmentKind,
    Line,
    Money,
    Package,
    Plan,
    Shortage,
)
from shared.settings import Broker
from shared.topics import ROOT, device_source, down, up

ANSWER_S_MAX = 10.0


class NoAnswerError(PointsmanError):
    """The broker or the edge behind it did not answer."""

    code: ClassVar[str] = "no_answer"


def order_lines(items: list[str]) -> list[Line]:
    """Lines from ``SKU`` or ``SKU:QUANTITY``.

    Raises:
        ValueError: a quantity is not a number.
    """
    lines = []
    for item in items:
        sku, _, quantity = item.partition(":")
        lines.append(Line(sku=sku, quantity=int(quantity or 1), unit_price_minor=100))
    return lines


def destination(text: str | None) -> Destination | None:
    """A destination from ``LAT,LON,REGION``.

    Raises:
        ValueError: it has another form.
    """
    if text is None:
        return None
    lat, lon, region = text.split(",")
    return Destination(lat=float(lat), lon=float(lon), region=region)


def compose(
    *,
    quote: bool,
    store: str,
    items: list[str],
    to: str | None,
    kind: FulfilmentKind,
    deadline_h: float | None,
    terminal: str,
    currency: str = "CNY",
) -> Payment | RouteRequested:
    """A payment, or with `quote` only the question.

    Raises:
        ValueError: an argument does not fit.
    """
    now = datetime.now(UTC)
    deadline = None if deadline_h is None else now + timedelta(hours=deadline_h)
    fulfilment = Fulfilment(
        kind=kind, node_id=store if kind == "pick_up" else None, deadline=deadline
    )
    lines = order_lines(items)
    place = destination(to)
    if quote:
        return RouteRequested(store_id=store, fulfilment=fulfilment, lines=lines, destination=place)
    paid = sum(line.quantity * line.unit_price_minor for line in lines)
    return Payment(
        payment_id=f"pay-{secrets.token_hex(6)}",
        terminal_id=terminal,
        store_id=store,
        paid_at=now,
        amount=Money(minor=paid, currency=currency),
        channel="pos",
        fulfilment=fulfilment,
        lines=lines,
        destination=place,
    )


def connect(broker: Broker, identifier: str) -> aiomqtt.Client:
    """A client of a site's broker, by MQTT 3.1.1, which every broker speaks."""
    return aiomqtt.Client(
        broker.host,
        broker.port,
        identifier=identifier,
        username=broker.username,
        password=broker.password(),
        socket_options=[NO_DELAY],
    )


async def ask(broker: Broker, device: str, data: Payment | RouteRequested) -> Data:
    """Publish as `device` and wait for the answer.

    Raises:
        ConfigError: the password file cannot be read.
        NoAnswerError: no broker, or no edge behind it.
    """
    event = make_event(
        data,
        id=f"{device}-{secrets.token_hex(8)}",
        source=device_source(device),
        time=datetime.now(UTC),
    )
    try:
        async with (
            asyncio.timeout(ANSWER_S_MAX),
            connect(broker, f"{device}-cli") as mqtt,
        ):
            await mqtt.subscribe(down(device, "#"), QOS)
            await mqtt.publish(up(device, data.kind), encode_event(event), QOS)
            async for message in mqtt.messages:
                answer = decode_event(bytes(message.payload))
                if answer.causationid == event.id:
                    return decode_data(answer)
    except (aiomqtt.MqttError, TimeoutError) as error:
        raise NoAnswerError(
            str(error) or f"nothing within {ANSWER_S_MAX:g} s",
            place=f"{broker.host}:{broker.port}",
            expected="the broker of a site with a running edge daemon",
        ) from None
    raise NoAnswerError("the connection ended", place=f"{broker.host}:{broker.port}")


def show(answer: Data, console: Console) -> bool:
    """Print an answer for a person. False: it was a refusal."""
    if isinstance(answer, InputRejected):
        console.print(f"[bold red]{answer.code}[/] at", plain(f"{answer.place}: {answer.detail}"))
        if answer.expected:
            console.print(plain(f"expected: {answer.expected}"))
        return False
    assert isinstance(answer, OrderAccepted | RoutePlanned)
    if isinstance(answer, OrderAccepted):
        console.print(f"order [bold]{answer.order_id}[/] accepted")
    _show_plan(answer.plan, console)
    _show_parked(answer.parked, console)
    return True


def _show_plan(plan: Plan | None, console: Console) -> None:
    if plan is None:
        return
    table = Table("package", "node", "service", "lines", "ready", "likely", "arrives", "cost")
    for package in plan.packages:
        table.add_row(
            str(package.package),
            package.node_id,
            package.service_id,
            ", ".join(f"{line.quantity} x {line.sku}" for line in package.lines),
            f"{package.ready_at:%d %b %H:%M}",
            "" if package.edd_at is None else f"{package.edd_at:%d %b %H:%M}",
            f"{package.arrives_at:%d %b %H:%M}" + _chance(package),
            f"{package.cost_minor / 100:.2f}",
        )
    console.print(table)
    proof = "proven optimal" if plan.optimal else f"at least {plan.bound_minor / 100:.2f} needed"
    console.print(
        f"cost {plan.cost.minor / 100:.2f} {plan.cost.currency}, {proof}; "
        f"profile {plan.profile}, snapshot {plan.snapshot[:12]}"
    )


def _chance(package: Package) -> str:
    chance = package.on_time_per_mille
    return "" if chance is None else f" ({chance / 10:.1f} % by the deadline)"


def _show_parked(parked: list[Shortage], console: Console) -> None:
    for shortage in parked:
        when = (
            f"more expected {shortage.expected_at:%d %b %H:%M}"
            if shortage.expected_at
            else "no arrival known"
        )
        console.print(
            f"[yellow]waits[/] {shortage.quantity} x {shortage.sku} ({shortage.reason}; {when})"
        )


async def watch(broker: Broker, console: Console) -> None:
    """Print every event of a site's broker, a line each, until interrupted.

    Raises:
        ConfigError: the password file cannot be read.
        NoAnswerError: no broker.
    """
    try:
        async with connect(broker, f"watch-{secrets.token_hex(4)}") as mqtt:
            await mqtt.subscribe(f"{ROOT}/#", QOS)
            async for message in mqtt.messages:
                topic = str(message.topic).removeprefix(f"{ROOT}/")
                try:
                    event = decode_event(bytes(message.payload))
                except PointsmanError as error:
                    console.print(plain(topic), f"[red]{error.code}[/]")
                else:
                    about = event.correlationid or event.subject or event.id
                    console.print(plain(f"{event.time:%H:%M:%S}  {topic}  {about}"))
    except aiomqtt.MqttError as error:
        raise NoAnswerError(
            str(error), place=f"{broker.host}:{broker.port}", expected="a running MQTT broker"
        ) from None
