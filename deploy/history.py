"""Shipments of the past, as `pointsman fit-lanes` reads them: CSV with a header, or JSON lines."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from shared.errors import InvalidDataError
from shared.parts import Moment, Name


class Shipment(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One delivered package. The fields are the columns; other columns are refused.

    Attributes:
        node_id: where it came from; or, where that is not known,
        origin: the region that it came from.
        service_id: the carrier service.
        region: where it went.
        purchased_at: when the order was placed; wanted for handling times.
        ready_at: when the node had it ready; wanted for the handling times of nodes where
            carriers collect at a cut-off, since hand-over then says when the carrier came.
        handed_over_at: when the carrier got it.
        delivered_at: when the customer got it.
        to_lat, to_lon: where exactly, for the distances of thin lanes.
    """

    service_id: Name
    region: Name
    handed_over_at: Moment
    delivered_at: Moment
    node_id: Name | None = None
    origin: Name | None = None
    purchased_at: Moment | None = None
    ready_at: Moment | None = None
    to_lat: float | None = None
    to_lon: float | None = None


def read_history(path: Path) -> list[Shipment]:
    """All shipments of a file; by its name's end, `.csv`, or JSON lines.

    Raises:
        InvalidDataError: the line and what is wrong in it.
    """
    try:
        with path.open(encoding="utf-8", newline="") as text:
            rows = _csv_rows(text) if path.suffix == ".csv" else _json_rows(text)
            return [_shipment(row, f"{path.name}:{number}") for number, row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise InvalidDataError(
            f"{type(error).__name__}: {error}", place=path.name, expected="CSV or JSON lines, UTF-8"
        ) from None


def _csv_rows(text: Iterator[str]) -> Iterator[tuple[int, object]]:
    rows = csv.DictReader(text)
    for row in rows:
        yield rows.line_num, {name: value for name, value in row.items() if value != ""}


def _json_rows(text: Iterator[str]) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(text, 1):
        if line.strip():
            yield number, json.loads(line)


def _shipment(row: object, place: str) -> Shipment:
    try:
        return msgspec.convert(row, Shipment, strict=False)
    except msgspec.ValidationError as error:
        fields = ", ".join(Shipment.__struct_fields__)
        raise InvalidDataError(str(error), place=place, expected=f"columns {fields}") from None
