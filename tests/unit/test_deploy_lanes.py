"""Lanes and nodes that learn from history, and borrow from others where they have little."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.history import Shipment, read_history
from deploy.lanes import Fit, fit_network
from deploy.pooling import Hierarchy
from edge.network import Snapshot
from shared.clock import to_datetime
from shared.errors import InvalidDataError
from shared.network import LEVELS_PER_MILLE, Pickup, Transit, parse_network
from tests.shop import NOON_MS, network

START = to_datetime(NOON_MS)
HOUR = timedelta(hours=1)
MEDIAN = LEVELS_PER_MILLE.index(500)


def shipments(
    count: int, hours: float, node: str = "dc-south", region: str = "CN-GD", seed: int = 1,
    day: int = 0, **changes: Any,
) -> list[Shipment]:  # fmt: skip
    """Log-normal transit times about a median, one shipment an hour; handling of two hours."""
    rng = np.random.default_rng(seed)
    found = []
    for i, took in enumerate(hours * rng.lognormal(0, 0.3, count)):
        bought = START + timedelta(days=day) + i * HOUR
        values = {
            "node_id": node, "service_id": "standard", "region": region, "purchased_at": bought,
            "handed_over_at": bought + 2 * HOUR,
            "delivered_at": bought + 2 * HOUR + timedelta(hours=float(took)),
        }  # fmt: skip
        found.append(Shipment(**(values | changes)))
    return found


def median_h(fit: Fit, node: str, region: str) -> float | None:
    found = {(x.lane.node_id, x.lane.region): x.spread_min for x in fit.lanes}[node, region]
    return None if found is None else found[MEDIAN] / 60


def test_a_lane_with_history_has_its_own_quantiles() -> None:
    fit = fit_network(network(), shipments(600, 30))
    assert median_h(fit, "dc-south", "CN-GD") == pytest.approx(30, rel=0.05)
    by_id = {transit.transit_id: transit for transit in fit.network.transits}
    lane = fit.network.lanes[0]
    assert (lane.node_id, lane.region) == ("dc-south", "CN-GD")
    transit = by_id[lane.transit_id or ""]
    assert transit.shipments > 550
    assert fit.network.version == network().version + 1
    assert fit.network.made_at is not None
    parse_network(msgspec.json.encode(fit.network))  # it keeps every bound


def test_a_thin_lane_leans_on_the_others_between_its_regions() -> None:
    slow = shipments(3, 60, node="store-1", seed=2)
    fit = fit_network(network(), shipments(600, 30) + slow)
    thin = median_h(fit, "store-1", "CN-GD")
    assert thin is not None
    assert 28 < thin < 60
    many = fit_network(network(), shipments(600, 30) + shipments(600, 60, node="store-1", seed=2))
    assert median_h(many, "store-1", "CN-GD") == pytest.approx(60, rel=0.07)


def test_an_unknown_lane_learns_from_its_distance_or_keeps_its_stated_time() -> None:
    fit = fit_network(network(), shipments(300, 30))
    # dc-north to its own region is as near as dc-south to its own.
    assert median_h(fit, "dc-north", "CN-BJ") == pytest.approx(30, rel=0.1)
    assert median_h(fit, "dc-south", "CN-BJ") is None
    far = next(x for x in fit.network.lanes if (x.node_id, x.region) == ("dc-south", "CN-BJ"))
    assert far.transit_id is None


def test_recent_shipments_count_for_more_with_a_half_life() -> None:
    history = shipments(400, 30) + shipments(400, 60, day=120, seed=3)
    all_alike = median_h(fit_network(network(), history, None), "dc-south", "CN-GD")
    recent = median_h(fit_network(network(), history, 20), "dc-south", "CN-GD")
    assert all_alike is not None
    assert recent is not None
    assert all_alike < 50 < recent


def test_the_newest_days_of_which_only_the_fast_are_delivered_are_left_out() -> None:
    everything = shipments(2_000, 100)
    seen = max(x.handed_over_at for x in everything)
    known = [x for x in everything if x.delivered_at <= seen]
    fit = fit_network(network(), known, 5)
    assert any("too new" in reason for reason in fit.left_out)
    assert median_h(fit, "dc-south", "CN-GD") == pytest.approx(100, rel=0.06)


def test_a_nodes_handling_counts_from_when_it_works() -> None:
    base = network()
    at_night = START + 12 * HOUR  # midnight; store-1 opens at nine
    history = shipments(
        50, 10, node="store-1", purchased_at=at_night, handed_over_at=at_night + 12 * HOUR,
        delivered_at=at_night + 40 * HOUR,
    )  # fmt: skip
    fit = fit_network(base, history)
    store = next(node for node in fit.network.nodes if node.node_id == "store-1")
    assert store.handling_spread_min[MEDIAN] == pytest.approx(180, rel=0.03)
    assert fit.handling == {"store-1": 50}
    Snapshot(fit.network)


def test_hand_over_at_a_cut_off_teaches_nothing_of_handling() -> None:
    pickups = [Pickup(node_id="dc-south", service_id="standard", cutoff_min=900)]
    of = msgspec.structs.replace(network(), pickups=pickups)
    assert fit_network(of, shipments(50, 10)).handling == {}
    ready = shipments(50, 10, ready_at=START + 300 * HOUR)
    assert set(fit_network(of, ready).handling) == {"dc-south", "dc-north"}


def test_what_cannot_be_used_is_counted_and_nothing_at_all_is_an_error() -> None:
    wrong = shipments(2, 10, node="nobody") + shipments(1, 10, delivered_at=START - HOUR)
    fit = fit_network(network(), wrong + shipments(20, 10))
    assert fit.left_out["unknown node"] == 2
    assert fit.left_out["delivered before it was handed over"] == 1
    with pytest.raises(InvalidDataError, match="no shipment"):
        fit_network(network(), wrong)


def test_only_the_origin_region_is_enough() -> None:
    fit = fit_network(network(), shipments(300, 30, node_id=None, origin="CN-GD"))
    assert median_h(fit, "store-1", "CN-GD") == pytest.approx(30, rel=0.05)
    assert [x.shipments for x in fit.lanes if x.lane.node_id == "store-1"] == [0]


def test_groups_that_differ_borrow_less_than_groups_that_are_alike() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(30), 20)
    parents = [np.zeros(30, np.int64)]
    alike = Hierarchy(parents, group, rng.lognormal(6, 0.5, 600).astype(np.int64))
    own = np.repeat(rng.normal(6, 1, 30), 20)
    differ = Hierarchy(parents, group, np.exp(own + rng.normal(0, 0.2, 600)).astype(np.int64))
    assert differ.strengths[0] < alike.strengths[0]


def test_a_faulty_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    path.write_text("service_id,region,handed_over_at,delivered_at\nstandard,CN-GD,yesterday,\n")
    with pytest.raises(InvalidDataError) as caught:
        read_history(path)
    assert caught.value.place == "h.csv:2"


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_the_command_reads_both_formats_and_says_what_lanes_rest_on(
    tmp_path: Path, suffix: str
) -> None:
    rows = [msgspec.to_builtins(x) for x in shipments(100, 30)]
    history = tmp_path / f"h.{suffix}"
    if suffix == "csv":
        names = list(rows[0])
        lines = [",".join("" if row[x] is None else str(row[x]) for x in names) for row in rows]
        history.write_text("\n".join([",".join(names), *lines]) + "\n")
    else:
        history.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    document, out = tmp_path / "n.json", tmp_path / "out.json"
    document.write_bytes(msgspec.json.encode(network()))
    arguments = ["fit-lanes", "--history", str(history), "--network", str(document)]
    result = CliRunner().invoke(app, [*arguments, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "dc-south" in result.output
    assert "stated" in result.output
    fitted = parse_network(out.read_bytes())
    assert isinstance(fitted.transits[0], Transit)
    assert fitted.nodes[0].handling_spread_min


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    arguments = ["--history", "nowhere.csv", "--network", "nowhere.json", "--out", "x.json"]
    assert CliRunner().invoke(app, ["fit-lanes", *arguments]).exit_code == 1
