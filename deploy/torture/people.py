"""Customers who pay and change their minds, and lorries that bring goods, whatever is broken."""

import asyncio
import random
from collections.abc import Mapping
from typing import Final

from deploy.demo.script import Cancellation, Sale
from deploy.demo.tills import Tills
from deploy.demo.warehouses import Warehouses
from deploy.torture.pace import Pace
from deploy.torture.town import TILLS, Trade

_CUSTOMERS: Final = 3 * TILLS
"""At once, in all shops: so many payments may wait for an answer."""

_THINK_S_MAX: Final = 1.2
_QUOTE_SHARE: Final = 0.2


class People:
    """Everybody who wants something of the edges.

    Args:
        trade: what they do.
        tills: the tills, with their devices.
        warehouses: where the goods come in.
        pace: of the payments.
        seed: for how long they think.
    """

    def __init__(
        self, trade: Trade, tills: Tills, warehouses: Warehouses, pace: Pace, seed: int
    ) -> None:
        """See the class."""
        self._trade = trade
        self._tills = tills
        self._warehouses = warehouses
        self._pace = pace
        self._lots = random.Random(f"people {seed}")

    async def trade(self) -> None:
        """Until everything is sold, answered, changed and delivered."""
        async with asyncio.TaskGroup() as people:
            people.create_task(self._deliver())
            for _ in range(_CUSTOMERS):
                people.create_task(self._buy())

    def open(self) -> None:
        """The goods that are there before the first customer."""
        for delivery in self._trade.goods:
            if not delivery.after:
                self._warehouses.receive(delivery.event, self._trade.script.sales[0].at)

    async def _deliver(self) -> None:
        for delivery in self._trade.goods:
            if delivery.after and await self._pace.until(delivery.after):
                at = self._trade.script.sales[delivery.after - 1].at
                self._warehouses.receive(delivery.event, at)

    async def _buy(self) -> None:
        while (number := await self._pace.next_payment()) is not None:
            sale = self._trade.script.sales[number]
            receipt = self._tills.open_receipt(sale)
            if self._lots.random() < _QUOTE_SHARE:
                await self._tills.quote(receipt, sale)
            await self._tills.pay(receipt, sale)
            # Between two of them time passes at a till, and so they spread over every fault.
            await asyncio.sleep(self._lots.uniform(0, _THINK_S_MAX))
            await self._change(number, sale)

    async def _change(self, number: int, sale: Sale) -> None:
        lines = self._trade.changes.get(number)
        if lines is not None:
            await self._tills.cancel(Cancellation(sale.at, "change", sale.invoice, lines))


def till_names(trade: Trade) -> Mapping[str, str]:
    """Each till of the trade, with its edge."""
    return {sale.device: sale.edge_id for sale in trade.script.sales}
