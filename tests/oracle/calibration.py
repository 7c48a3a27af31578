"""Do promises come true as often as they say? On real deliveries of a Brazilian marketplace.

    python -m tests.oracle.calibration --data FOLDER [--json REPORT.json]

The data (Olist, Brazilian e-commerce public data set) is not part of this repository. Sellers are
nodes, states are regions, and there is one service. Times are fitted with `deploy.lanes` on
purchases to 2017-12-31 and read through the snapshot and the kernels that the router itself uses,
for each purchase from 2018-01-01 to 2018-04-30, at the moment of the purchase.

What is compared, all as a probability that an order arrives by the day that the marketplace
promised (its whole last day counts as in time):

    this        the distribution of this seller's handling and this lane's transit, with the
                half-life and the widening that the product has by default
    anew ...    the same, but fitted at the beginning of each month to what had been delivered
                by then, as an operator would
    promise     the marketplace's own promise, as a statement that is true as often as it was in
                the time of the fit: one number for all orders
    lane        a constant for each pair of states: how often it was true there in the time of the
                fit; the overall share where there were fewer than ten orders
    hindsight   the best constant there is: the share in the time of the test, known to nobody

Half-life and widening are also tried on purchases from 2017-10-01 to 2017-12-31, after a fit to
2017-09-30, and the table of these trials is printed. They favour widening and hardly tell
half-lives apart; the half-life of 90 days became the default after both tables had been seen, so
judge it by other data. The variants "widened alone" and "neither" owe nothing to the test.

The fit knows how the last orders before 2018 ended, as "purchases to 2017-12-31" says, which
nobody knew on that day. "Anew each month" knows only what had been delivered.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from deploy.history import Shipment
from deploy.lanes import HALF_LIFE_DAYS, fit_network
from edge.network import FRESH_DAYS, WIDEN_PER_MILLE_DAY, Snapshot
from edge.routing.lateness import arrival_min, late_by, one_ppm, unwidened
from shared.network import Network
from tests.oracle.olist import Delivery, deliveries, network_of

Floats = NDArray[np.float64]
BINS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.000001)
WAITS_D = (2, 3, 5, 7, 10, 14, 21, 30)
"""Days after the purchase that the second reliability table asks for."""
FIT_END = datetime(2018, 1, 1, tzinfo=UTC)
TEST_END = datetime(2018, 5, 1, tzinfo=UTC)
TRIAL_END = datetime(2017, 10, 1, tzinfo=UTC)
MONTHS = [datetime(2018, month, 1, tzinfo=UTC) for month in (1, 2, 3, 4, 5)]


@dataclass(frozen=True)
class Forecast:
    """Of each order: P(by the promised day), P(within `WAITS_D`), p50 and p90 in days."""

    by_promise: Floats
    within: Floats
    p50_d: Floats
    p90_d: Floats


def fit(network: Network, past: Sequence[Delivery], half_life_d: float | None) -> Network:
    shipments = [
        Shipment(
            node_id=x.seller, service_id="parcel", region=x.state, purchased_at=x.purchased,
            handed_over_at=x.handed_over, delivered_at=x.delivered, to_lat=x.lat, to_lon=x.lon,
        )
        for x in past
    ]  # fmt: skip
    return fit_network(network, shipments, half_life_d).network


def forecast(
    fitted: Network, orders: Sequence[Delivery], made: datetime, widen_per_mille_day: float = 0
) -> Forecast:
    """What the edge would say of each order at its purchase."""
    snapshot = Snapshot(msgspec.structs.replace(fitted, made_at=made))
    rows: dict[tuple[int, str], tuple[int, int]] = {}
    for region in {x.state for x in orders}:
        options = snapshot.options(region)
        for node, tail, pickup in zip(options.node, options.tail, options.pickup, strict=True):
            rows[int(node), region] = int(tail), int(pickup)
    by_promise, within, p50, p90 = [], [], [], []
    for x in orders:
        node = snapshot.node_ix[x.seller]
        age_d = (x.purchased - made).days - FRESH_DAYS
        widen = unwidened + int(max(age_d, 0) * widen_per_mille_day)
        now_ms = int(x.purchased.timestamp()) * 1_000
        now_min = now_ms // 60_000
        ready_min = int(snapshot.ready_ms(np.array([node]), now_ms)[0]) // 60_000
        tables = snapshot.tails, snapshot.pickups, snapshot.calendar, widen
        option = node, *rows[node, x.state], ready_min
        deadlines = [int(x.promised.timestamp()) // 60]
        deadlines += [now_min + day * 1_440 for day in WAITS_D]
        p, *more = (1 - late_by(*tables, *option, at)[0] / one_ppm for at in deadlines)
        by_promise.append(p)
        within.append(more)
        p50.append((arrival_min(*tables, *option, one_ppm // 2) - now_min) / 1_440)
        p90.append((arrival_min(*tables, *option, one_ppm // 10) - now_min) / 1_440)
    return Forecast(np.array(by_promise), np.array(within), np.array(p50), np.array(p90))


def in_time(orders: Sequence[Delivery]) -> Floats:
    return np.array([x.delivered <= x.promised for x in orders], np.float64)


def days(orders: Sequence[Delivery]) -> Floats:
    return np.array([(x.delivered - x.purchased) / timedelta(days=1) for x in orders])


def brier(p: Floats, happened: Floats) -> float:
    return float(((p - happened) ** 2).mean())


def pinball(quantile: float, said: Floats, was: Floats) -> float:
    """Mean loss of a quantile, in days (Koenker & Bassett 1978)."""
    return float(np.maximum(quantile * (was - said), (quantile - 1) * (was - said)).mean())


def reliability(p: Floats, happened: Floats) -> list[dict[str, float]]:
    found = []
    for low, high in pairwise(BINS):
        inside = (p >= low) & (p < high)
        if inside.any():
            found.append(
                {
                    "from": low,
                    "to": min(high, 1.0),
                    "orders": int(inside.sum()),
                    "promised": float(p[inside].mean()),
                    "observed": float(happened[inside].mean()),
                }
            )
    return found


def scores(said: Forecast, orders: Sequence[Delivery]) -> dict[str, float]:
    was, kept = days(orders), in_time(orders)
    asked = was[:, None] <= np.array(WAITS_D)
    return {
        "brier": brier(said.by_promise, kept),
        "brier_within": brier(said.within.ravel(), asked.ravel().astype(np.float64)),
        "said": float(said.by_promise.mean()),
        "kept": float(kept.mean()),
        "p50_coverage": float((was <= said.p50_d).mean()),
        "p90_coverage": float((was <= said.p90_d).mean()),
        "p50_pinball_d": pinball(0.5, said.p50_d, was),
        "p90_pinball_d": pinball(0.9, said.p90_d, was),
    }


def lane_constants(past: Sequence[Delivery], orders: Sequence[Delivery]) -> tuple[Forecast, Floats]:
    """Per pair of states: share in time, quantiles, shares within; and the promise's one number."""
    kept, took = in_time(past), days(past)
    rows: dict[tuple[str, str], list[int]] = {}
    for i, x in enumerate(past):
        rows.setdefault((x.origin, x.state), []).append(i)
    everything = list(range(len(past)))
    chosen = []
    for x in orders:
        own = rows.get((x.origin, x.state), [])
        chosen.append(own if len(own) >= 10 else everything)
    known: dict[int, tuple[float, Floats, float, float]] = {}
    for inside in chosen:
        if id(inside) not in known:
            part = took[inside]
            shares = (part[:, None] <= np.array(WAITS_D)).mean(axis=0)
            p50, p90 = np.quantile(part, [0.5, 0.9])
            known[id(inside)] = float(kept[inside].mean()), shares, float(p50), float(p90)
    found = [known[id(inside)] for inside in chosen]
    lane = Forecast(*(np.array([x[i] for x in found]) for i in range(4)))
    return lane, np.full(len(orders), kept.mean())


def report(everything: Sequence[Delivery]) -> dict[str, Any]:
    """All tables."""
    network = network_of(everything)
    past = [x for x in everything if x.purchased < FIT_END]
    orders = [x for x in everything if FIT_END <= x.purchased < TEST_END]
    trial_past = [x for x in past if x.purchased < TRIAL_END]
    trial = [x for x in past if x.purchased >= TRIAL_END]
    trials = {}
    for half_life in (None, 180.0, 90.0, 45.0):
        fitted = fit(network, trial_past, half_life)
        for widen in (0, 1, 2, 4):
            said = forecast(fitted, trial, TRIAL_END, widen)
            trials[f"half-life {half_life or 'none'}, widened {widen} ‰ a day"] = scores(
                said, trial
            )
    fitted = fit(network, past, HALF_LIFE_DAYS)
    plain = fit(network, past, None)
    said = forecast(fitted, orders, FIT_END, WIDEN_PER_MILLE_DAY)
    monthly = _monthly(network, everything, orders, HALF_LIFE_DAYS)
    lane, promise = lane_constants(past, orders)
    kept = in_time(orders)
    variants = {
        "as shipped (half-life, widened)": said,
        "half-life alone": forecast(fitted, orders, FIT_END),
        "widened alone": forecast(plain, orders, FIT_END, WIDEN_PER_MILLE_DAY),
        "neither": forecast(plain, orders, FIT_END),
        "as shipped, anew each month": monthly,
        "no half-life, anew each month": _monthly(network, everything, orders, None),
        "lane constants": lane,
    }
    was = days(orders)
    asked = was[:, None] <= np.array(WAITS_D)
    return {
        "orders": {"fit": len(past), "test": len(orders)},
        "brier": {
            "this": brier(said.by_promise, kept),
            "this, anew each month": brier(monthly.by_promise, kept),
            "promise": brier(promise, kept),
            "lane": brier(lane.by_promise, kept),
            "hindsight": brier(np.full(len(kept), kept.mean()), kept),
        },
        "variants": {name: scores(x, orders) for name, x in variants.items()},
        "months": {
            f"{a:%Y-%m}": _part(said, promise, lane, orders, a, b) for a, b in pairwise(MONTHS)
        },
        "reliability_promised_day": reliability(said.by_promise, kept),
        "reliability_within_days": reliability(said.within.ravel(), asked.ravel().astype(float)),
        "trials": trials,
    }


def _monthly(
    network: Network, everything: Sequence[Delivery], orders: Sequence[Delivery],
    half_life: float | None,
) -> Forecast:  # fmt: skip
    """Each month by a fit to what had been delivered before it began."""
    parts = []
    for start, end in pairwise(MONTHS):
        known = [x for x in everything if x.delivered < start]
        month = [x for x in orders if start <= x.purchased < end]
        fitted = fit(network, known, half_life)
        parts.append(forecast(fitted, month, start, WIDEN_PER_MILLE_DAY))
    return Forecast(
        np.concatenate([x.by_promise for x in parts]),
        np.concatenate([x.within for x in parts]),
        np.concatenate([x.p50_d for x in parts]),
        np.concatenate([x.p90_d for x in parts]),
    )


def _part(
    said: Forecast, promise: Floats, lane: Forecast, orders: Sequence[Delivery],
    start: datetime, end: datetime,
) -> dict[str, float]:  # fmt: skip
    inside = np.array([start <= x.purchased < end for x in orders])
    part = [x for x, yes in zip(orders, inside, strict=True) if yes]
    here = Forecast(
        said.by_promise[inside], said.within[inside], said.p50_d[inside], said.p90_d[inside]
    )
    kept = in_time(part)
    return {
        "orders": len(part),
        **scores(here, part),
        "brier_promise": brier(promise[inside], kept),
        "brier_lane": brier(lane.by_promise[inside], kept),
    }


def show(found: dict[str, Any]) -> None:
    print(f"fitted on {found['orders']['fit']} orders, tested on {found['orders']['test']}\n")
    for name, rows in found.items():
        if name == "orders":
            continue
        print(name)
        if name == "brier":
            for key, value in rows.items():
                print(f"  {key:32} {value:.4f}")
        elif isinstance(rows, list):
            print("  " + " ".join(f"{column:>9}" for column in rows[0]))
            for row in rows:
                print("  " + " ".join(f"{value:9.3f}" for value in row.values()))
        else:
            print(" " * 46 + " ".join(f"{c:>14}" for c in next(iter(rows.values()))))
            for key, row in rows.items():
                print(f"  {key:44}" + " ".join(f"{value:14.4f}" for value in row.values()))
        print()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the CSV files")
    parser.add_argument("--json", type=Path, help="write the report here too")
    arguments = parser.parse_args()
    tables = report(sorted(deliveries(arguments.data), key=lambda x: x.purchased))
    show(tables)
    if arguments.json:
        arguments.json.write_text(json.dumps(tables, indent=1) + "\n")
