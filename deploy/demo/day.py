"""The real trading day: invoices, cancellations, and what is not trade at all.

Everything here stands in the source. What is drawn is in `world` and `script`.
"""

import csv
import gzip
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Final

SERVICES: Final = frozenset(
    {"POST", "DOT", "C2", "M", "D", "S", "B", "PADS", "CRUK", "BANK CHARGES", "AMAZONFEE"}
)
"""Codes that are paid for but never picked: postage, carriage, manual entries, discount, fees."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of goods."""

    sku: str
    name: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class Invoice:
    """One sale, or (with `credit`) one cancellation; quantities are positive in both.

    Attributes:
        time: local wall time, to the minute.
        customer: empty for those whom the retailer did not know (its web shop's, mostly).
        items: the goods.
        services_minor: what postage, carriage and manual entries add to the amount.
        web: it has a "DOTCOM POSTAGE" line.
    """

    invoice: str
    time: datetime
    customer: str
    country: str
    items: tuple[Item, ...]
    services_minor: int
    web: bool
    credit: bool


@dataclass(frozen=True, slots=True)
class Match:
    """Goods of a cancellation that were sold the same day: line number and units."""

    line: int
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Day:
    """The day's trade, each list in the order of its invoices.

    Attributes:
        sales: invoices with goods.
        credits: cancellation invoices with goods.
        adjustments: invoices without price and customer: corrections of stock, left out.
        services_only: invoices without goods, left out.
    """

    sales: tuple[Invoice, ...]
    credits: tuple[Invoice, ...]
    adjustments: int
    services_only: int


def load() -> Day:
    """Read the file that ships with the demo."""
    packed = files("deploy.demo").joinpath("data", "day.csv.gz").read_bytes()
    return parse(gzip.decompress(packed).decode())


def parse(text: str) -> Day:
    """Read the day from CSV, as `extract` writes it."""
    rows: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(text.splitlines()):
        rows.setdefault(row["invoice"], []).append(row)
    sales: list[Invoice] = []
    credit_notes: list[Invoice] = []
    adjustments = services_only = 0
    for name, lines in rows.items():
        if not name.startswith("C") and not any(
            int(line["quantity"]) > 0 and (line["customer"] or _minor(line["unit_price"]))
            for line in lines
        ):
            adjustments += 1
            continue
        invoice = _invoice(name, lines)
        if not invoice.items:
            services_only += 1
        elif invoice.credit:
            credit_notes.append(invoice)
        else:
            sales.append(invoice)
    return Day(tuple(sales), tuple(credit_notes), adjustments, services_only)


def match_credits(day: Day) -> dict[str, dict[str, list[Match]]]:
    """Which goods of each cancellation were sold earlier the same day to the same customer.

    Returns:
        cancellation → sale → lines of that sale. Goods of a cancellation that are in no match
        were sold on an earlier day: a customer's return. The latest sale is matched first.
    """
    left = {
        (sale.invoice, line): item.quantity
        for sale in day.sales
        for line, item in enumerate(sale.items)
    }
    matches: dict[str, dict[str, list[Match]]] = {}
    for credit in day.credits:
        if not credit.customer:
            continue  # nobody knows whether the unknown customer is the same one
        for item in credit.items:
            wanted = item.quantity
            for sale in reversed(day.sales):
                if sale.customer != credit.customer or sale.time > credit.time:
                    continue
                for line, sold in enumerate(sale.items):
                    units = min(wanted, left[sale.invoice, line])
                    if sold.sku == item.sku and units:
                        left[sale.invoice, line] -= units
                        wanted -= units
                        matches.setdefault(credit.invoice, {}).setdefault(sale.invoice, []).append(
                            Match(line, item.sku, units)
                        )
    return matches


def _invoice(name: str, rows: list[dict[str, str]]) -> Invoice:
    sign = -1 if name.startswith("C") else 1
    items: list[Item] = []
    services_minor = 0
    for row in rows:
        quantity, price = sign * int(row["quantity"]), _minor(row["unit_price"])
        if row["sku"] in SERVICES:
            services_minor += quantity * price
        elif quantity > 0:
            items.append(Item(row["sku"], row["description"], quantity, price))
    return Invoice(
        invoice=name,
        time=datetime.fromisoformat(rows[0]["time"]),
        customer=rows[0]["customer"],
        country=rows[0]["country"],
        items=tuple(items),
        services_minor=services_minor,
        web=any(row["sku"] == "DOT" for row in rows),
        credit=sign < 0,
    )


def _minor(price: str) -> int:
    return round(float(price) * 100)
