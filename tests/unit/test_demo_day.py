import re
from datetime import date

import msgspec
import pytest

from deploy.demo import day
from deploy.demo.day import Match, match_credits, parse
from deploy.demo.extract import city_rows
from shared.parts import Name

HEAD = "invoice,sku,description,quantity,time,unit_price,customer,country\n"


def read(*lines: str) -> day.Day:
    return parse(HEAD + "\n".join(lines))


def line(invoice: str, sku: str, quantity: int, time: str, customer: str, price: str = "1.00"):
    return f"{invoice},{sku},THING,{quantity},2010-12-06T{time}:00,{price},{customer},Nowhere"


def test_the_shipped_day_is_the_whole_day():
    found = day.load()
    assert len(found.sales) == 102
    assert len(found.credits) == 18
    assert (found.adjustments, found.services_only) == (13, 0)
    assert sum(len(sale.items) for sale in found.sales) == 3805
    assert max(len(sale.items) for sale in found.sales) == 674
    assert {sale.time.date() for sale in found.sales} == {date(2010, 12, 6)}


def test_every_sku_is_a_name():
    for invoice in (*day.load().sales, *day.load().credits):
        for item in invoice.items:
            assert msgspec.convert(item.sku, Name) == item.sku
            assert item.sku not in day.SERVICES


def test_postage_is_paid_for_and_never_picked():
    found = read(
        line("1", "22086", 2, "09:00", "7", "2.95"), line("1", "POST", 1, "09:00", "7", "18.00")
    )
    (sale,) = found.sales
    assert [item.sku for item in sale.items] == ["22086"]
    assert sale.services_minor == 1800


def test_an_invoice_of_services_alone_is_no_order():
    assert read(line("1", "C2", 1, "09:00", "7")).services_only == 1


def test_a_correction_of_stock_is_no_sale():
    found = read(
        line("1", "22086", 120, "09:00", "", "0.00"), line("2", "22086", -20, "09:01", "", "0.00")
    )
    assert (found.sales, found.adjustments) == ((), 2)


def test_a_cancellation_finds_the_latest_sale_of_the_same_customer():
    found = read(
        line("1", "22086", 5, "09:00", "7"),
        line("2", "22086", 3, "10:00", "7"),
        line("3", "22086", 9, "10:30", "8"),
        line("C4", "22086", -4, "11:00", "7"),
        line("5", "22086", 9, "11:30", "7"),
    )
    assert match_credits(found) == {
        "C4": {"2": [Match(0, "22086", 3)], "1": [Match(0, "22086", 1)]}
    }


def test_no_unit_is_cancelled_twice():
    found = read(
        line("1", "22086", 5, "09:00", "7"),
        line("C2", "22086", -4, "10:00", "7"),
        line("C3", "22086", -4, "11:00", "7"),
    )
    assert match_credits(found)["C3"] == {"1": [Match(0, "22086", 1)]}


def test_an_unknown_customer_is_nobody_s_same():
    found = read(line("1", "22086", 5, "09:00", ""), line("C2", "22086", -5, "10:00", ""))
    assert match_credits(found) == {}


def test_four_cancellations_of_the_day_hit_an_order_of_the_day():
    assert sorted(match_credits(day.load())) == ["C537314", "C537379", "C537408", "C537413"]


def test_the_city_list_has_the_largest_and_one_of_each_region():
    cities = [
        {"geonameid": i, "name": f"City {i}", "latitude": 1, "longitude": 2, "population": 100 - i,
         "admin1code": code}
        for i, code in enumerate(["23", "23", "22", "14", "14", ""])
    ]  # fmt: skip
    rows = city_rows(cities, 2)
    assert [row["name"] for row in rows] == ["City 0", "City 1", "City 2", "City 3"]
    assert [row["region"] for row in rows] == ["CN-SH", "CN-SH", "CN-BJ", "CN-XZ"]


@pytest.mark.parametrize("name", ["537226", "C537314"])
def test_quantities_are_positive_in_sales_and_cancellations(name: str):
    found = next(x for x in (*day.load().sales, *day.load().credits) if x.invoice == name)
    assert all(item.quantity > 0 for item in found.items)
    assert re.fullmatch(r"C?\d{6}", found.invoice)
