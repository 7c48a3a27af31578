"""The tills and the web shop: a process of MQTT clients that replay the day's sales.

    python -m deploy.demo.tills ORDERS_FILE

It does nothing but send, wait and write down, so that what it measures is the edge.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from deploy.demo import day
from deploy.demo.device import Days, Device, Orders, Wires, start
from deploy.demo.goods import probes
from deploy.demo.records import Packed, Receipt, Refusal, TillRecord
from deploy.demo.script import Cancellation, Sale, Script, web_device, write
from shared.clock import to_ms
from shared.envelope import Event, decode_data
from shared.events import (
    Data,
    InputRejected,
    OrderAccepted,
    OrderCancelled,
    RoutePlanned,
    RouteRequested,
)
from shared.parts import Plan
from shared.topics import device_source

SENDS_MAX: Final = 30

_ANSWER_S_MAX: Final = 2.0
"""Then a till sends the same event again: the edge, or a broker without its disk, was away."""

_AGAIN_S: Final = 0.3
_PROGRESS_S: Final = 0.25
_WATCH_S: Final = 0.01
_STALLS_KEPT: Final = 10


class Tills:
    """All tills of the day.

    Args:
        days: simulated time.
        script: what they sell.
        sends_max: after how many sendings without an answer they give up; None: never.
    """

    def __init__(self, days: Days, script: Script, sends_max: int | None = SENDS_MAX) -> None:
        """See the class."""
        self.on_receipt: Callable[[Receipt], None] = lambda _: None
        """Called with each receipt once its payment is answered for the first time."""
        self._sends_max = sends_max
        self.devices: dict[str, Device] = {}
        self.record = TillRecord(receipts=[])
        self.quotes_ms: list[float] = []
        self.accepts_ms: list[float] = []
        self._days = days
        self._script = script
        self._waiting: dict[str, asyncio.Future[tuple[float, Event, Data]]] = {}
        self._by_event: dict[str, Receipt] = {}
        self._by_order: dict[str, Receipt] = {}
        self._answers: dict[str, bytes] = {}
        self._seen: set[str] = set()
        self._paid = {sale.invoice: asyncio.Event() for sale in script.sales}

    def on_event(self, device: Device, event: Event) -> None:
        """Something came down."""
        arrived = time.perf_counter()
        data = decode_data(event)
        cause = event.causationid or ""
        waiting = self._waiting.pop(cause, None)
        if waiting is not None and not waiting.done():
            waiting.set_result((arrived, event, data))
        match data:
            case OrderAccepted():
                self._accepted(cause, event, data)
            case RoutePlanned(order_id=str() as order_id, plan=Plan() as plan):
                receipt = self._by_order.get(order_id)
                if receipt is not None and self._is_news(event):
                    receipt.planned_later += 1
                    receipt.packages += _packages(plan)
            case OrderCancelled() if self._is_news(event):
                receipt = self._by_order.get(data.order_id)
                if receipt is None:
                    return
                receipt.cancellations += 1
                receipt.released += sum(cell.quantity for cell in data.released)
                receipt.unparked += sum(line.quantity for line in data.unparked)
                receipt.too_late += sum(line.quantity for line in data.too_late)
            case InputRejected():
                self.record.refusals.append(
                    Refusal(device=device.name, cause=cause, code=data.code, detail=data.detail)
                )

    def _is_news(self, event: Event) -> bool:
        """Whether it comes for the first time: a broker may hand on the same again."""
        seen = event.id in self._seen
        self._seen.add(event.id)
        return not seen

    def _accepted(self, cause: str, event: Event, data: OrderAccepted) -> None:
        receipt = self._by_event.get(cause)
        if receipt is None:
            return  # somebody else's payment through this till: the person at the keyboard
        if cause in self._answers:
            same = self._answers[cause] == bytes(event.data)
            receipt.same_answer = same and receipt.same_answer is not False
            return
        self._answers[cause] = bytes(event.data)
        receipt.order_id = data.order_id
        receipt.parked = len(data.parked)
        receipt.optimal = None if data.plan is None else data.plan.optimal
        receipt.packages += _packages(data.plan)
        self._by_order[data.order_id] = receipt
        self.on_receipt(receipt)

    async def ask(self, device: Device, event: Event) -> tuple[float | None, Data | None, int]:
        """Send until there is an answer. A till sends the same event again: same id, same fact.

        Returns:
            Milliseconds from the first sending, the answer, and how often it was sent.
        """
        sent = time.perf_counter()
        sends = 0
        while self._sends_max is None or sends < self._sends_max:
            sends += 1
            waiting = asyncio.get_running_loop().create_future()
            self._waiting[event.id] = waiting
            publishing = asyncio.create_task(device.publish(event))
            try:
                arrived, _, data = await asyncio.wait_for(waiting, _ANSWER_S_MAX)
            except TimeoutError:
                continue
            finally:
                await asyncio.gather(publishing, return_exceptions=True)
            if isinstance(data, InputRejected) and data.retry_after_ms is not None:
                await asyncio.sleep(data.retry_after_ms / 1000)
                continue
            return (arrived - sent) * 1000, data, sends
        return None, None, sends

    def open_receipt(self, sale: Sale) -> Receipt:
        """Begin to write down a sale."""
        deadline = sale.payment.fulfilment.deadline
        receipt = Receipt(
            invoice=sale.invoice,
            edge_id=sale.edge_id,
            device=sale.device,
            source=device_source(sale.device),
            event_id=f"payment-{sale.invoice}",
            fulfilment=sale.payment.fulfilment.kind,
            deadline_ms=None if deadline is None else to_ms(deadline),
        )
        self.record.receipts.append(receipt)
        self._by_event[receipt.event_id] = receipt
        return receipt

    async def sell(self, sale: Sale) -> None:
        """Ask for the route, then pay."""
        await self._days.until(self._days.planned(sale.at))
        receipt = self.open_receipt(sale)
        await self.quote(receipt, sale)
        await self.pay(receipt, sale)

    async def quote(self, receipt: Receipt, sale: Sale) -> None:
        """Ask for the route."""
        device = self.devices[sale.device]
        question = device.event(sale.question, f"question-{sale.invoice}", sale.at)
        receipt.asked_at_ms = time.time() * 1000
        receipt.quote_ms, answer, _ = await self.ask(device, question)
        if receipt.quote_ms is not None and isinstance(answer, RoutePlanned):
            self.quotes_ms.append(receipt.quote_ms)

    async def pay(self, receipt: Receipt, sale: Sale) -> None:
        """Pay; some tills send the payment a second time."""
        device = self.devices[sale.device]
        payment = device.event(sale.payment, receipt.event_id, sale.at)
        receipt.paid_at_ms = time.time() * 1000
        if sale.again == "at_once":
            receipt.again = True
            twin = asyncio.create_task(device.publish(payment))
        else:
            twin = None
        receipt.accept_ms, answer, receipt.sends = await self.ask(device, payment)
        if receipt.accept_ms is not None and isinstance(answer, OrderAccepted):
            self.accepts_ms.append(receipt.accept_ms)
        self._paid[sale.invoice].set()
        if twin is not None:
            await twin
        elif sale.again == "later":
            receipt.again = True
            await asyncio.sleep(_AGAIN_S)
            await device.publish(payment)

    async def cancel(self, cancellation: Cancellation) -> None:
        """Cancel some lines of a sale, once it is an order."""
        await self._days.until(self._days.planned(cancellation.at))
        await self._paid[cancellation.sale].wait()
        receipt = next(x for x in self.record.receipts if x.invoice == cancellation.sale)
        if receipt.order_id is None:
            return
        data = OrderCancelled(
            order_id=receipt.order_id,
            reason=f"cancellation invoice {cancellation.invoice}",
            lines=cancellation.lines,
        )
        device = self.devices[receipt.device]
        event_id = f"cancellation-{cancellation.invoice}-{cancellation.sale}"
        await self.ask(device, device.event(data, event_id, cancellation.at))

    async def probe(self, edge_id: str, questions: Iterable[RouteRequested], name: str) -> int:
        """Ask an edge until it can answer; count the lines that lack stock. Not measured."""
        device = self.devices[web_device(edge_id)]
        lacking = 0
        for number, question in enumerate(questions):
            event_id = f"probe-{name}-{number}-{time.time_ns()}"
            _, answer, _ = await self.ask(
                device, device.event(question, event_id, self._days.now())
            )
            assert isinstance(answer, RoutePlanned), answer
            lacking += sum(line.reason == "share" for line in answer.parked)
        return lacking


def _packages(plan: Plan | None) -> list[Packed]:
    return [
        Packed(
            node_id=package.node_id,
            ready_ms=to_ms(package.ready_at),
            arrives_ms=to_ms(package.arrives_at),
            lines=package.lines,
        )
        for package in (plan.packages if plan else [])
    ]


async def _replay(tills: Tills, script: Script, wires: Wires) -> None:
    """Play the whole script; progress on the way."""

    async def report() -> None:
        told = 0, 0
        while True:
            receipts = tills.record.receipts
            wires.say(
                sent=len(receipts),
                accepted=len(tills.accepts_ms),
                parked=sum(1 for receipt in receipts if receipt.parked),
                quotes_ms=tills.quotes_ms[told[0] :],
                accepts_ms=tills.accepts_ms[told[1] :],
            )
            told = len(tills.quotes_ms), len(tills.accepts_ms)
            await asyncio.sleep(_PROGRESS_S)

    async def watch() -> None:
        while True:
            due = time.perf_counter() + _WATCH_S
            await asyncio.sleep(_WATCH_S)
            stalls_ms.append((time.perf_counter() - due) * 1000)

    stalls_ms: list[float] = []
    chores = [asyncio.create_task(report()), asyncio.create_task(watch())]
    gc.collect()
    gc.freeze()
    gc.disable()  # a day is short; a pause of ours would be counted as the edge's
    await asyncio.gather(
        *(tills.sell(sale) for sale in script.sales),
        *(tills.cancel(cancellation) for cancellation in script.cancellations),
    )
    gc.enable()
    await asyncio.sleep(2 * _PROGRESS_S)
    for chore in chores:
        chore.cancel()
    tills.record.stalls_ms = sorted(stalls_ms)[-_STALLS_KEPT:]


async def main(orders: Orders) -> None:
    """Follow the orchestrator's words: network, stock, go, record."""
    clock = orders.make_clock()
    days = Days(clock, orders.clock[2])
    script = write(day.load()).first(orders.orders)
    tills = Tills(days, script)
    wires = Wires()
    await wires.open()
    names = {sale.device: sale.edge_id for sale in script.sales}
    names |= {web_device(edge_id): edge_id for edge_id in orders.ports}
    async with AsyncExitStack() as stack:
        for name, edge_id in names.items():
            device = Device(name, orders.ports[edge_id], tills.on_event, days.now)
            tills.devices[name] = await stack.enter_async_context(device)
        wires.say(done="connect")
        replay: asyncio.Task[None] | None = None
        while (word := await wires.word()) != "end":
            if word == "network":
                for edge_id in orders.ports:
                    await tills.probe(edge_id, [script.sales[0].question], "network")
            elif word == "stock":
                lacking = 0
                for edge_id in orders.ports:
                    lacking += await tills.probe(edge_id, probes(script), "stock")
                    asked = [sale.question for sale in script.sales if sale.edge_id == edge_id]
                    await tills.probe(edge_id, asked[:5], "warm")
                wires.say(lacking=lacking)
            elif word.startswith("go"):
                days.shift_ms = int(word.split()[1])
                tills.record.refusals.clear()
                replay = asyncio.create_task(_replay(tills, script, wires))
                replay.add_done_callback(lambda _: wires.say(done="day"))
                continue
            elif word == "record":
                orders.record.write_bytes(msgspec.json.encode(tills.record))
            wires.say(done=word)
        if replay is not None:
            replay.cancel()
            await asyncio.gather(replay, return_exceptions=True)


if __name__ == "__main__":
    start(main)
